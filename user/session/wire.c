// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "session/wire.h"

/* It is another user's where su(1) has left it as it was. */
static bool is_own_dir(const char *dir)
{
	struct stat st;

	return !stat(dir, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

const char *wire_dir(void)
{
	static char dir[64];
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (dir[0])
		return dir;
	if (!geteuid())
		snprintf(dir, sizeof(dir), "/run/vmaheap");
	else if (run && *run == '/' && strlen(run) < sizeof(dir) - 10 &&
		 is_own_dir(run))
		snprintf(dir, sizeof(dir), "%s/vmaheap", run);
	else
		snprintf(dir, sizeof(dir), "/tmp/vmaheap-%u", geteuid());
	/* The shim of another user's process must get in, whatever our umask is. */
	if (!mkdir(dir, 0711))
		chmod(dir, 0711);
	return dir;
}

/*
 * A peer that does not read for so long is given up; nobody waits for it again
 * (send_message()).
 */
void wire_patience(int fd, unsigned int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* Whoever could put a socket in our way must be root or ourselves. */
static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (!peer.uid || peer.uid == geteuid());
}

static int unix_socket(const char *path, struct sockaddr_un *sun)
{
	int fd;

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int wire_connect(const char *path)
{
	struct sockaddr_un sun;
	int fd = unix_socket(path, &sun);
	int err = 0;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		err = errno;
	else if (!is_ours(fd))
		err = EPERM;
	if (!err) {
		wire_patience(fd, 10000);
		return fd;
	}
	close(fd);
	return -err;
}

/* Open to the group, if there is one. */
static int share(const char *path, gid_t group)
{
	if (group == WIRE_NO_GROUP)
		return 0;
	return chown(path, (uid_t)-1, group) || chmod(path, 0660) ? -errno : 0;
}

/* In /tmp somebody else may have made it before us, to put his sockets there. */
static bool is_safe_dir(const char *dir)
{
	struct stat st;

	return !lstat(dir, &st) && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && !(st.st_mode & 022);
}

int wire_listen(const char *path, gid_t group)
{
	struct sockaddr_un sun;
	int fd = is_safe_dir(wire_dir()) ? wire_connect(path) : -EPERM;
	mode_t mask;
	int err;

	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd == -EPERM)
		return fd;
	if (fd == -ECONNREFUSED)
		unlink(path);
	fd = unix_socket(path, &sun);
	if (fd < 0)
		return fd;
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 16) ?
		      -errno :
		      0;
	umask(mask);
	if (!err)
		err = share(path, group);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Of a daemon: the shims' ones are beside them. */
static bool is_daemon_socket(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, ".sock") &&
	       strncmp(name, "shim-", 5) != 0;
}

bool wire_each(bool (*each)(void *ctx, const char *path), void *ctx)
{
	/* root finds it in its directory */
	bool enough = geteuid() && each(ctx, WIRE_SYSTEM_SOCKET);
	DIR *dir = opendir(wire_dir());
	struct dirent *d;
	char path[PATH_MAX];

	while (dir && !enough && (d = readdir(dir))) {
		if (!is_daemon_socket(d->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", wire_dir(), d->d_name);
		enough = each(ctx, path);
	}
	if (dir)
		closedir(dir);
	return enough;
}

static int send_message(int fd, const struct msghdr *msg)
{
	int err;

	while (sendmsg(fd, msg, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		err = -errno;
		shutdown(fd, SHUT_RDWR);
		return err;
	}
	return 0;
}

static int send_kind(int fd, enum wire_kind kind, const char *text, size_t len)
{
	char k = (char)kind;
	struct iovec iov[2] = { { &k, 1 }, { (void *)text, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return send_message(fd, &msg);
}

int wire_send(int fd, enum wire_kind kind, const char *text, size_t len)
{
	size_t part;
	int err = 0;

	do {
		part = len < WIRE_MAX / 2 ? len : WIRE_MAX / 2;
		err = send_kind(fd, kind, text, part);
		text += part;
		len -= part;
	} while (!err && len);
	return err;
}

int wire_exit(int fd, int status)
{
	char text[16];

	return wire_send(fd, WIRE_EXIT, text,
			 (size_t)snprintf(text, sizeof(text), "%d", status));
}

int wire_request(int fd, const char *const *args, int pass)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[WIRE_ARGS];
	struct msghdr msg = { .msg_iov = iov };
	struct cmsghdr *c;

	for (; *args && msg.msg_iovlen < WIRE_ARGS; args++)
		iov[msg.msg_iovlen++] =
			(struct iovec){ (void *)*args, strlen(*args) + 1 };
	if (pass >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	return send_message(fd, &msg);
}

/* The descriptor that came with a message. Who sends several is none of ours. */
static int received_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t nr, i;
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -1;
	nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < nr; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (nr > 1)
			close(fd);
	}
	return nr == 1 ? fd : -1;
}

ssize_t wire_recv(int fd, char *buf, int *pass)
{
	/* The padding of one descriptor has room for a second one. */
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { buf, WIRE_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

	*pass = -1;
	if (len < 0)
		return -errno;
	*pass = received_fd(&msg);
	if (!len && *pass >= 0) {
		close(*pass);
		*pass = -1;
	}
	buf[len] = 0;
	return len;
}

const char *wire_value(const char *buf, size_t len, const char *key)
{
	const char *end = buf + len;
	size_t n = strlen(key);

	for (; buf < end; buf += strlen(buf) + 1)
		if (!strncmp(buf, key, n) && buf[n] == '=')
			return buf + n + 1;
	return NULL;
}
