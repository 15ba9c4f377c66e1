// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's end of a client's connection: messages of any bytes, with any
 * number of descriptors. No descriptor remains, and the client hears no more
 * than what the protocol has.
 */
#include "session/server.c"

#include <dirent.h>
#include <fcntl.h>

#include "fuzz.h"

#define FDS 4

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

static void send_bytes(int fd, const void *p, size_t n, unsigned int nr_fds)
{
	union {
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)p, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	unsigned int i;

	if (nr_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		for (i = 0; i < nr_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd,
			       sizeof(int));
	}
	MUST(sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n);
}

static void check_answers(int fd)
{
	static char buf[WIRE_MAX + 1];
	ssize_t n;

	while ((n = recv(fd, buf, WIRE_MAX, MSG_DONTWAIT)) > 0)
		MUST(strchr("oex", buf[0]));
}

/* "start" would watch a process of this machine; what it reads is read here. */
static bool starts(const char *p, size_t n)
{
	static const char *const keys[] = { "pid",   "follow",	"on_exec",
					    "alloc", "command", "verify",
					    "ring" };
	char *copy = malloc(n + 1);
	bool is;
	size_t i;

	memcpy(copy, p, n);
	copy[n] = 0;
	is = !strcmp(copy, "start");
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *v = wire_value(copy, n, keys[i]);

		MUST(!v || (v > copy && v <= copy + n));
		if (v)
			read_all(v, strlen(v) + 1);
	}
	free(copy);
	return is;
}

static void one_message(struct server *sv, int fd, struct input *in)
{
	size_t n = input_u16(in) % 2048;
	unsigned int fds = input_u8(in) % (FDS + 1);
	char text[2048];

	n = input_bytes(in, text, n < in->left ? n : in->left);
	if (starts(text, n))
		return;
	send_bytes(fd, text, n, fds);
	if (!read_client(sv, &sv->clients[0]))
		MUST(!n);
	check_answers(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct server sv;
	static int before;
	struct input in = { data, size };
	int pair[2];

	if (!before)
		before = open_fds();
	MUST(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	sv = (struct server){ .listen_fd = -1,
			      .signal_fd = -1,
			      .nr = 1,
			      .clients = { { .fd = pair[0],
					     .peer.trusted = size & 1 } } };
	while (in.left)
		one_message(&sv, pair[1], &in);
	drop_client(&sv, 0);
	close(pair[1]);
	MUST(open_fds() == before);
	return 0;
}
