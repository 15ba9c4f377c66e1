/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the command and the daemon: a SOCK_SEQPACKET connection to a UNIX
 * socket in the run directory.
 *
 * A request is one message of NUL-terminated strings, the first is its name, the
 * others are "key=value"; a descriptor may come with it. The answer is any
 * number of messages whose first byte says what they are:
 *
 *   'o' text for standard output     'e' text for standard error
 *   'r' a request for a session was granted; "key=value" strings follow
 *   'f' a trigger of the flight recorder has fired, a sentence; whoever wants to see
 *       what it has asks for "dump" and passes the directory
 *   'd' the processes that the session watches are gone
 *   'x' the end of the answer: the exit status, in decimal
 */
#ifndef SESSION_WIRE_H
#define SESSION_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WIRE_MAX 65536 /* bytes of one message */
#define WIRE_ARGS 24

enum wire_kind {
	WIRE_OUT = 'o',
	WIRE_ERR = 'e',
	WIRE_READY = 'r',
	WIRE_FIRED = 'f',
	WIRE_DONE = 'd',
	WIRE_EXIT = 'x',
};

/* Where the sockets are: /run/vmaheap for root. Static, created when missing. */
const char *wire_dir(void);

/* vmaheapd's socket; where it is for those who are not root, too. */
#define WIRE_SYSTEM_SOCKET "/run/vmaheap/vmaheapd.sock"
#define WIRE_NO_GROUP ((gid_t)-1)

/*
 * Descriptor or -errno. A stale socket (nobody answers) is replaced. It is mode
 * 0600, or 0660 and the group's. Whoever listens must be root or the caller's own
 * user, and so must the owner of wire_dir() be (-EPERM).
 */
int wire_listen(const char *path, gid_t group);
int wire_connect(const char *path);

/* Calls each() with every socket at which a daemon may listen, until it returns true. */
bool wire_each(bool (*each)(void *ctx, const char *path), void *ctx);

/* How long a peer may not read; 10 s for what wire_connect() returns. */
void wire_patience(int fd, unsigned int ms);

/* All 0 or -errno, and then the connection is shut down. */
int wire_send(int fd, enum wire_kind kind, const char *text, size_t len);
int wire_exit(int fd, int status);
/* args ends with NULL. pass < 0: no descriptor. */
int wire_request(int fd, const char *const *args, int pass);

/*
 * One message, NUL-terminated in buf[WIRE_MAX + 1]: its length, 0: the peer has
 * closed, or -errno. *pass: the descriptor that came with it, or -1.
 */
ssize_t wire_recv(int fd, char *buf, int *pass);

/* The value of "key=value" among the strings of a message; NULL: none. */
const char *wire_value(const char *buf, size_t len, const char *key);

#endif
