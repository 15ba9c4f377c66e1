// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake with the daemon (probe/words.h), and where its results are
 * mapped. Every call opens a connection and closes it again, so the target
 * never has a descriptor that it did not open itself, but for these moments;
 * signals are blocked meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe/shim.h"
#include "probe/shim_sys.h"

#define LINK_SECONDS 5 /* a daemon that does not answer so long is not there */
#define BYE_SECONDS 1

/* The region: what is wiped by fork lies first, then the rings and the stamp. */
#define PLACES (SHIM_REGION_BYTES / SHIM_PLACE_BYTES)

/*
 * Maps at the next free place of the region, for no forked child: there, or -errno.
 * After a fork in the middle of another thread's mmap the child may hold a ring that
 * nobody knows of, so an occupied place is nothing bad.
 */
static long map_somewhere(uint32_t *place, size_t bytes, int flags, int fd)
{
	for (;;) {
		uint32_t n = __atomic_fetch_add(place, 1, __ATOMIC_RELAXED);
		uint64_t want = SHIM_REGION +
				(SHIM_WIPED_PLACES + n) * SHIM_PLACE_BYTES;
		long got;

		if (SHIM_WIPED_PLACES + n >= PLACES || bytes > SHIM_PLACE_BYTES)
			return -ENOSPC;
		got = sys_mmap(want, bytes, PROT_READ | PROT_WRITE,
			       flags | MAP_FIXED_NOREPLACE, fd);
		if (got == (long)want) {
			sys_madvise(want, bytes, MADV_DONTFORK);
			return got;
		}
		if (got > 0) { /* before Linux 4.17 it is only a hint */
			sys_munmap((uint64_t)got, bytes);
			return -EOPNOTSUPP;
		}
		if (got != -EEXIST)
			return got;
	}
}

void *link_wiped_memory(size_t bytes)
{
	uint64_t at;
	uint32_t n;

	/* Another copy of the shim (dlmopen) may sit at the first place. */
	for (n = 0; n < SHIM_WIPED_PLACES; n++) {
		at = SHIM_REGION + n * SHIM_PLACE_BYTES;
		if (sys_mmap(at, bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				     MAP_FIXED_NOREPLACE,
			     -1) == (long)at)
			break;
	}
	if (n == SHIM_WIPED_PLACES)
		return NULL;
	if (sys_madvise(at, bytes, MADV_WIPEONFORK)) {
		sys_munmap(at, bytes);
		return NULL;
	}
	return (void *)(uintptr_t)at;
}

void *link_memory(size_t bytes, uint32_t *place)
{
	long at = map_somewhere(place, bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	return at < 0 ? NULL : (void *)at;
}

void link_unmap(void *p, size_t bytes)
{
	sys_munmap((uintptr_t)p, bytes);
}

/*
 * A call on a socket that has a time limit ends with EINTR when a stop (a
 * debugger, SIGSTOP, vmaheap's own verification) interrupts it, though all
 * signals are blocked (signal(7); include/net/sock.h, sock_intr_errno()).
 */
static long again(long nr, long fd, long b, long c, long d)
{
	long ret;

	do
		ret = sys6(nr, fd, b, c, d, 0, 0);
	while (ret == -EINTR);
	return ret;
}

static int link_connect(const char *path, long seconds)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	long limit[2] = { seconds, 0 }; /* struct timeval */
	size_t len = strlen(path);
	long fd, err;

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, len);
	fd = sys3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	sys6(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)limit,
	     sizeof(limit), 0);
	sys6(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)limit,
	     sizeof(limit), 0);
	err = again(SYS_connect, fd, (long)&addr, sizeof(addr), 0);
	if (err) {
		sys_close((int)fd);
		return (int)err;
	}
	return (int)fd;
}

/* Takes out of msg the two descriptors of a ring, into fds. */
static int link_take_fds(struct msghdr *msg, int fds[2])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	if (!c && msg->msg_flags & MSG_CTRUNC) /* our table is full */
		return -EMFILE;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	if (c->cmsg_len == CMSG_LEN(sizeof(int))) { /* one had place */
		memcpy(fds, CMSG_DATA(c), sizeof(int));
		sys_close(fds[0]);
		return -EMFILE;
	}
	if (c->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return -EPROTO;
	memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	return 0;
}

/* One request, one reply. fds: NULL when none are expected. 0 or -errno. */
static int link_ask(const char *path, uint32_t op, uint32_t flags, long seconds,
		    struct shim_reply *reply, int fds[2])
{
	struct shim_request request = { SHIM_MAGIC, op, sys_gettid(), flags };
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = fds ? control.bytes : NULL,
			      .msg_controllen = fds ? sizeof(control.bytes) :
						      0 };
	int fd = link_connect(path, seconds);
	long n;

	if (fd < 0)
		return fd;
	n = again(SYS_sendto, fd, (long)&request, sizeof(request),
		  MSG_NOSIGNAL);
	if (n == sizeof(request))
		n = again(SYS_recvmsg, fd, (long)&msg, MSG_CMSG_CLOEXEC, 0);
	sys_close(fd);
	if (n < 0)
		return n == -EAGAIN ? -ETIMEDOUT : (int)n;
	if (n != sizeof(*reply) || reply->magic != SHIM_MAGIC)
		return -EPROTO;
	if (reply->error)
		return reply->error > 0 ? -reply->error : -EPROTO;
	return fds ? link_take_fds(&msg, fds) : 0;
}

/* What is answered when it was heard, and with nothing else. */
static void link_tell(const char *path, uint32_t op, uint32_t flags,
		      long seconds)
{
	struct shim_reply reply;
	uint64_t mask;

	sys_block_signals(&mask);
	link_ask(path, op, flags, seconds, &reply, NULL);
	sys_restore_signals(&mask);
}

/*
 * The stamp is one mapping a process. Two threads may map it at the same time;
 * the second one's is removed again.
 */
static int link_stamp(int fd, uint64_t **stamp, uint32_t *place)
{
	uint64_t *none = NULL;
	long at;

	if (__atomic_load_n(stamp, __ATOMIC_ACQUIRE))
		return 0;
	at = map_somewhere(place, 4096, MAP_SHARED, fd);
	if (at < 0)
		return (int)at;
	if (!__atomic_compare_exchange_n(stamp, &none, (uint64_t *)at, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		sys_munmap((uint64_t)at, 4096);
	return 0;
}

/*
 * One call for many pages costs less than touching them one by one, as they are
 * written.
 */
void link_level(struct slot *s)
{
	struct ring_header *ring = s->ring;
	uint64_t *data = (uint64_t *)((char *)ring + RING_DATA);
	uint64_t words = (uint64_t)ring->words << 2 * ring->level;

	s->data = data + ring_level_at(ring->words, ring->level);
	s->mask = words - 1;
	if (ring->flags & RING_POPULATE && !shim_guarded)
		sys_madvise((uintptr_t)s->data, 8 * words, MADV_POPULATE_WRITE);
}

static bool ring_fits(const struct ring_header *ring, uint64_t bytes)
{
	return ring->magic == RING_MAGIC && ring->words >= 2 * SLOT_RESERVE &&
	       !(ring->words & (ring->words - 1)) && ring->levels &&
	       ring->levels <= RING_LEVELS && ring->level < ring->levels &&
	       ring_bytes_of(ring->words, ring->levels) <= bytes;
}

static int link_map(struct slot *s, uint64_t bytes, int fd, uint32_t *place)
{
	struct ring_header *ring;
	long at = map_somewhere(place, bytes, MAP_SHARED, fd);

	if (at < 0)
		return (int)at;
	ring = (struct ring_header *)at;
	if (!ring_fits(ring, bytes)) {
		sys_munmap((uint64_t)at, bytes);
		return -EPROTO;
	}
	s->head = s->from = ring->head;
	s->ring = ring;
	link_level(s);
	return 0;
}

int link_ring(const char *path, uint32_t flags, struct slot *s,
	      uint64_t **stamp, uint32_t *place)
{
	struct shim_reply reply;
	uint64_t mask;
	int fds[2];
	int err;

	sys_block_signals(&mask);
	err = link_ask(path, SHIM_RING, flags, LINK_SECONDS, &reply, fds);
	if (!err) {
		err = link_stamp(fds[1], stamp, place);
		if (!err)
			err = link_map(s, reply.ring_bytes, fds[0], place);
		sys_close(fds[0]);
		sys_close(fds[1]);
		if (err)
			link_tell(path, SHIM_NONE, (uint32_t)-err,
				  LINK_SECONDS);
	}
	sys_restore_signals(&mask);
	return err;
}

void link_none(const char *path, int err)
{
	link_tell(path, SHIM_NONE, (uint32_t)-err, BYE_SECONDS);
}

void link_knock(const char *path)
{
	uint64_t mask;
	int fd;

	sys_block_signals(&mask);
	fd = link_connect(path, BYE_SECONDS);
	if (fd >= 0)
		sys_close(fd);
	sys_restore_signals(&mask);
}

void link_bye(const char *path)
{
	link_tell(path, SHIM_BYE, 0, BYE_SECONDS);
}
