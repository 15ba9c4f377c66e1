/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim in a process that runs already, in the children that it forks meanwhile
 * and in the programs that all these execute: where it finds the daemon's socket,
 * and how it gets out again.
 */
#ifndef SESSION_ATTACH_H
#define SESSION_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct attach;

/* Listens at path as well, until the end of the attach. 0 or -errno. */
typedef int (*attach_listen_fn)(void *ctx, const char *path);

/*
 * sock: where the socket is to be, for who sees our files; a process that sees others
 * (a container, chroot) gets one in a folder of its own. pid: of attach_inject(), or 0.
 * NULL: no memory.
 */
struct attach *attach_new(uint32_t pid, const char *sock,
			  attach_listen_fn listen, void *ctx);
/* The socket is needed at `sock` in any case, for those that preload it. 0 or -errno. */
int attach_listen(struct attach *a);
/* Puts the shim into pid. 0, or -1: *why is malloc'ed or NULL. */
int attach_inject(struct attach *a, char **why);
/*
 * Process pid, which is watched, executes another program: it is put in there, too.
 * preloaded: if it is not in it already, and unless attach_heard() comes first.
 */
void attach_exec(struct attach *a, uint32_t pid, bool preloaded);
/* The program has it. */
void attach_heard(struct attach *a, uint32_t pid);
void attach_gone(struct attach *a, uint32_t pid); /* it has exited */
/*
 * Something newly loaded, another program by exec? now, and what it returns: ns of
 * CLOCK_MONOTONIC; by then it is to be called again, and after attach_exec() at once.
 */
uint64_t attach_look(struct attach *a, uint64_t now);
/* What the looks have found in process pid; not told twice of a program. */
struct attach_news {
	uint32_t pid;
	bool entered; /* the shim is in the program that it executes */
	bool misses; /* it has an allocator that the shim does not see */
	char *why; /* malloc'ed: the shim cannot be put into that program */
};
/* False: there are no (more) news. */
bool attach_next(struct attach *a, struct attach_news *news);

/*
 * No new call comes to the shim from process pid, which is watched. Returns how many
 * events of it no ring tells of.
 */
uint64_t attach_silence(struct attach *a, uint32_t pid);
/* Of all that it was put into, in all programs that they have run. */
struct attach_cost {
	unsigned int others; /* processes, beside the one that was attached to */
	unsigned int pointers; /* put back; 0: all are gone */
	unsigned int stops;
	uint64_t stopped_ns, longest_ns;
};

/*
 * Takes the shim out of all that were silenced, and frees. The sockets are closed
 * already. Returns how many processes it could not be taken out of wholly.
 */
unsigned int attach_close(struct attach *a, struct attach_cost *cost);

#endif
