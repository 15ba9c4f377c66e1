// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's end of the shim's rings.
 *
 *   ring in shared memory --copy--> private buffer --check--> whole events
 *                                                   |-> ops->words, for the trace
 *                                                   `-> decoded one by one in peek
 *
 * Nothing is looked at twice in shared memory: words are copied out, then
 * checked in the copy. A head that jumps or runs back, words that are no event,
 * and stamps of the future end that ring and no other.
 */
#include "intake/rings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "intake/proc.h"
#include "intake/threads.h"
#include "intake/queue.h"
#include "probe/words.h"

#ifndef MFD_NOEXEC_SEAL
/* Linux 6.3; without it 6.3 and later print a warning. */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Connections of targets that have not asked yet; the oldest makes place. */
#define PEERS 64
/*
 * What was copied of all rings and has not been taken. Beyond it a ring may have
 * copied twice what it can hold, for both passes of rings_drain(), so that it does
 * not keep back what others wait for; more words stay in it. When it is full, its
 * writer waits (RING_BLOCK), or drops events and says how many.
 */
#define BACKLOG_WORDS (64u << 20 >> 3)
/* What all rings may grow to; beyond it those of further threads stay small. */
#define RINGS_BYTES (512ull << 20)
#define LOST_MAX ((1ull << 56) - 1) /* what a control word can say */
/*
 * A target can write any stamp, and an event waits until its stamp has passed.
 * The stamps of the module are never in the future; what two clocks of one
 * kernel may differ by is far less than this.
 */
#define FUTURE_NS 100000000
/* Of a process, for what is no thread of it. */
#define ANONYMOUS_RINGS 1024

struct ring {
	struct ring *next;
	struct ring_header *shared; /* hostile */
	unsigned int levels; /* that it has room for */
	size_t words; /* of the ring's level that `tail` is in */
	uint64_t *words_at; /* where they are */
	unsigned int level;
	uint64_t head, tail; /* ours; everything below tail was copied out */
	uint32_t tgid;
	bool foreign; /* thread ids of another pid namespace */
	bool gone; /* its process is: free it when all is taken */
	bool retired; /* as if gone, unless more words come */
	bool broken;
	bool settled; /* what was dropped and never told of has been told */
	uint64_t lost; /* events, by CTRL_LOST */
	bool behind; /* some words stayed in the ring */
	void *data;

	struct words_state told; /* at q.checked: whose words are they */
	uint32_t taken_tid; /* and at q.told */
	uint64_t told_ts; /* and the stamp: queue_untold() */
	struct word_queue q;
};

struct listener {
	char *path;
	int fd;
};

struct rings {
	struct listener *listeners;
	size_t nr_listeners;
	int epoll_fd;
	int peers[PEERS];
	unsigned int nr_peers;
	size_t ring_words; /* of the first level */
	unsigned int levels; /* of a ring that may grow as far as was asked for */
	uint64_t bytes; /* of all rings */
	uint64_t backlog; /* words, of all rings: BACKLOG_WORDS */
	uint64_t stack_bytes;
	uint32_t populate; /* RING_POPULATE or 0 */
	bool block, busy;
	struct ring *first;
	struct threads *threads;
	bool over; /* rings_end() */
	const struct rings_ops *ops;
	void *ctx;
	struct rings_totals totals;
};

static size_t ring_bytes(const struct rings *rs, const struct ring *r)
{
	return ring_bytes_of(rs->ring_words, r->levels);
}

static unsigned int levels_left(const struct rings *rs)
{
	unsigned int levels = rs->levels;

	while (levels > 1 &&
	       rs->bytes + ring_bytes_of(rs->ring_words, levels) > RINGS_BYTES)
		levels--;
	return levels;
}

/* ---- one ring ---- */

static int ring_memfd(size_t bytes)
{
	int fd = memfd_create("vmaheap-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING |
						      MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("vmaheap-ring",
				  MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void ring_set_level(const struct rings *rs, struct ring *r,
			   unsigned int level)
{
	r->level = level;
	r->words = rs->ring_words << 2 * level;
	r->words_at = (uint64_t *)((char *)r->shared + RING_DATA) +
		      ring_level_at(rs->ring_words, level);
}

/* A ring that nobody knows of yet; *fd is what its writer maps. */
static struct ring *ring_new(struct rings *rs, int *fd)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->levels = levels_left(rs);
	*fd = ring_memfd(ring_bytes(rs, r));
	if (*fd < 0)
		goto out_free;
	r->shared = mmap(NULL, ring_bytes(rs, r), PROT_READ | PROT_WRITE,
			 MAP_SHARED, *fd, 0);
	if (r->shared == MAP_FAILED)
		goto out_close;
	r->shared->magic = RING_MAGIC;
	r->shared->words = (uint32_t)rs->ring_words;
	r->shared->levels = r->levels;
	ring_set_level(rs, r, 0);
	r->shared->flags = (rs->block ? RING_BLOCK : 0) | rs->populate;
	r->shared->stack_bytes = rs->stack_bytes;
	rs->bytes += ring_bytes(rs, r);
	return r;

out_close:
	close(*fd);
out_free:
	free(r);
	return NULL;
}

static void ring_free(struct rings *rs, struct ring *r)
{
	rs->bytes -= ring_bytes(rs, r);
	munmap(r->shared, ring_bytes(rs, r));
	queue_free(&r->q);
	free(r);
}

/* Lets a writer that waits for room look again. */
static void ring_wake(struct ring *r)
{
	__atomic_fetch_add(&r->shared->wakeups, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &r->shared->wakeups, FUTEX_WAKE, INT_MAX, NULL, NULL,
		0);
}

static void ring_detach(struct ring *r)
{
	__atomic_store_n(&r->shared->detached, 1, __ATOMIC_SEQ_CST);
	ring_wake(r);
}

static void ring_copy(struct ring *r, size_t nr)
{
	size_t at = r->tail & (r->words - 1);
	size_t first = nr < r->words - at ? nr : r->words - at;

	memcpy(r->q.buf + r->q.len, r->words_at + at, first * 8);
	memcpy(r->q.buf + r->q.len + first, r->words_at, (nr - first) * 8);
	r->q.len += nr;
	r->tail += nr;
}

/* Notes a loss at the end of what was checked. */
static void ring_lost(struct rings *rs, struct ring *r, uint64_t nr)
{
	if (!queue_reserve(&r->q, 1))
		return;
	queue_lost(&r->q, nr);
	rs->totals.lost += nr;
	if (rs->ops->lost)
		rs->ops->lost(rs->ctx, r->told.tgid, r->told.tid, nr);
}

/*
 * Ends a ring: what it said so far stays, then comes a loss of unknown size
 * (told of as one event).
 */
static void ring_break(struct rings *rs, struct ring *r)
{
	r->broken = true;
	r->behind = false;
	r->q.len = r->q.checked;
	rs->totals.broken++;
	ring_detach(r);
	ring_lost(rs, r, 1);
}

/*
 * One that is gone by now keeps the number that it gave itself, in a range of its
 * own: its events must not be taken for another one's.
 */
static uint32_t foreign_thread(struct rings *rs, uint32_t tgid, uint32_t tid)
{
	bool foreign;
	uint32_t ours;

	if (!tid || tid > WORD_TID_MAX)
		return 0;
	ours = threads_find(&rs->threads, tgid, tid, &foreign);
	return ours ? ours : WORD_TID_MAX + tid;
}

static void ring_ctrl(struct rings *rs, struct ring *r, uint64_t *w, size_t nr)
{
	uint64_t value = word_get_value(*w);
	struct event ev;

	if (r->foreign && (value & 15) == CTRL_TID)
		*w = word_ctrl(CTRL_TID,
			       foreign_thread(rs, r->told.tgid,
					      (uint32_t)(value >> 4)));
	words_decode(&r->told, w, nr, &ev);
	if (ev.kind == EV_STACK && rs->ops->stack)
		rs->ops->stack(rs->ctx, &ev);
	if (ev.kind != EV_CALLS_LOST)
		return;
	rs->totals.lost += ev.calls_lost.count;
	r->lost += ev.calls_lost.count;
	if (rs->ops->lost)
		rs->ops->lost(rs->ctx, r->told.tgid, r->told.tid,
			      ev.calls_lost.count);
}

/* The latest stamp that what was copied before this call may bear. */
static uint64_t latest_stamp(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec +
	       FUTURE_NS;
}

/* Finds the whole events in what was copied, and passes them on. */
static void ring_check(struct rings *rs, struct ring *r)
{
	struct word_queue *q = &r->q;
	uint64_t latest = latest_stamp();
	int stop;

	do {
		size_t n = words_run(q->buf + q->checked, q->len - q->checked,
				     latest, &stop);

		if (n && rs->ops->words)
			rs->ops->words(rs->ctx, r->told.tgid, r->told.tid,
				       q->buf + q->checked, n);
		q->checked += n;
		if (stop > 0) {
			ring_ctrl(rs, r, q->buf + q->checked, (size_t)stop);
			queue_ctrl(q, (size_t)stop);
		}
	} while (stop > 0);
	if (stop < 0)
		ring_break(rs, r);
}

/*
 * The end of what the level has that the ring is read from: the ring's head, or
 * where the next level begins. False: nonsense.
 */
static bool ring_level_end(const struct ring *r, unsigned int level,
			   uint64_t *end)
{
	uint64_t grown;

	if (level < r->level || level >= r->levels || r->head < r->tail)
		return false;
	*end = r->head;
	if (level > r->level) {
		grown = __atomic_load_n(&r->shared->grown[r->level],
					__ATOMIC_RELAXED);
		if (grown < r->tail)
			return false;
		if (grown < r->head)
			*end = grown;
	}
	return *end - r->tail <= r->words;
}

/* The pages of a level that nobody uses any more are the kernel's again. */
static void ring_next_level(const struct rings *rs, struct ring *r)
{
	madvise(r->words_at, r->words * 8, MADV_REMOVE);
	ring_set_level(rs, r, r->level + 1);
}

static uint64_t left_of(uint64_t limit, uint64_t used)
{
	return used < limit ? limit - used : 0;
}

/* How many words may be copied out of it: see BACKLOG_WORDS. */
static uint64_t ring_room(const struct rings *rs, const struct ring *r)
{
	uint64_t common = left_of(BACKLOG_WORDS, rs->backlog);
	uint64_t own = left_of(2 * ring_level_at(rs->ring_words, r->levels),
			       queue_backlog(&r->q));

	return common > own ? common : own;
}

/*
 * Copies what there is up to head, and what there is room for. What the header
 * says of levels is true of all words before a head that was loaded earlier.
 * False: nonsense.
 */
static bool ring_copy_all(const struct rings *rs, struct ring *r)
{
	unsigned int level =
		__atomic_load_n(&r->shared->level, __ATOMIC_RELAXED);
	uint64_t end, room = ring_room(rs, r);

	for (;;) {
		if (!ring_level_end(r, level, &end))
			return false;
		if (end - r->tail > room)
			end = r->tail + room;
		if (end != r->tail) {
			if (!queue_reserve(&r->q, end - r->tail))
				return true;
			room -= end - r->tail;
			ring_copy(r, end - r->tail);
		}
		if (!room || end == r->head)
			return true;
		ring_next_level(rs, r);
	}
}

/* Copies out what the ring holds now. Returns words copied. */
static size_t ring_drain(struct rings *rs, struct ring *r)
{
	uint64_t head, was = r->tail, nr;

	if (r->broken || rs->over)
		return 0;
	head = __atomic_load_n(&r->shared->head, __ATOMIC_ACQUIRE);
	if (head < r->head) {
		ring_break(rs, r);
		return 0;
	}
	r->head = head;
	if (!ring_copy_all(rs, r)) {
		r->tail = was;
		ring_break(rs, r);
		return 0;
	}
	r->behind = r->tail != head;
	nr = r->tail - was;
	if (nr > r->words / 2)
		rs->busy = true;
	if (!nr)
		return 0;
	r->retired = r->settled = false;
	rs->totals.words += nr;
	rs->backlog += nr;
	__atomic_store_n(&r->shared->tail, r->tail, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&r->shared->waiting, 0, __ATOMIC_SEQ_CST))
		ring_wake(r);
	ring_check(rs, r);
	return nr;
}

const struct event *ring_peek(void *ring, bool *sure)
{
	return queue_peek(&((struct ring *)ring)->q, sure);
}

void ring_pop(void *ring)
{
	queue_pop(&((struct ring *)ring)->q);
}

size_t ring_take(void *ring, struct call_brief *calls, size_t max)
{
	return queue_take(&((struct ring *)ring)->q, calls, max);
}

uint32_t ring_tgid(const struct ring *r)
{
	return r->q.st.tgid;
}

void ring_set_data(struct ring *r, void *data)
{
	r->data = data;
}

void *ring_data(const struct ring *r)
{
	return r->data;
}

/* ---- what was taken ---- */

struct telling {
	const struct rings *rs;
	struct ring *r;
	bool begun;
};

static void tell_words(void *ctx, const uint64_t *w, size_t nr)
{
	struct telling *t = ctx;

	t->begun = true;
	t->rs->ops->taken(t->rs->ctx, t->r->told.tgid, t->r->taken_tid, w, nr);
}

static bool tell_ctrl(void *ctx, const uint64_t *w, size_t nr)
{
	const struct telling *t = ctx;
	const struct rings_ops *ops = t->rs->ops;
	struct words_state st = { .tgid = t->r->told.tgid,
				  .tid = t->r->taken_tid };
	struct event ev;

	words_decode(&st, w, nr, &ev);
	if (ev.kind == EV_CALLS_LOST)
		ops->taken_lost(t->rs->ctx, st.tgid, st.tid,
				ev.calls_lost.count);
	if (st.tid == t->r->taken_tid)
		return true;
	if (t->begun)
		return false;
	if (ops->ended) /* another one has its ring */
		ops->ended(t->rs->ctx, st.tgid, t->r->taken_tid);
	t->r->taken_tid = st.tid;
	return true;
}

static struct ring *first_untold(const struct rings *rs)
{
	struct ring *r, *first = NULL;

	for (r = rs->first; r; r = r->next)
		if (!queue_all_told(&r->q) &&
		    (!first || r->told_ts < first->told_ts))
			first = r;
	return first;
}

/*
 * What a thread wrote may lie in two rings: in that of the program before exec, or in
 * another one's, for what is freed after the thread's last destructor. Its words are
 * told as it wrote them, so what belongs to one thread in one ring goes by the stamp
 * that it begins with.
 */
void rings_tell(struct rings *rs)
{
	static const struct queue_teller teller = { tell_words, tell_ctrl };
	struct ring *r;

	if (!rs->ops->taken)
		return;
	for (r = rs->first; r; r = r->next)
		r->told_ts = queue_untold(&r->q, r->told_ts);
	while ((r = first_untold(rs))) {
		queue_tell(&r->q, &teller,
			   &(struct telling){ .rs = rs, .r = r });
		r->told_ts = queue_untold(&r->q, r->told_ts);
	}
}

/* ---- all rings ---- */

/*
 * The writer is gone, or nobody listens any more, and everything it wrote was read: half
 * an event, if it was killed in the middle, and what it dropped and could not tell of any
 * more.
 */
static void ring_settle(struct rings *rs, struct ring *r)
{
	uint64_t dropped = r->shared->lost;

	if (r->settled || r->behind)
		return;
	r->settled = true;
	r->q.len = r->q.checked;
	if (!r->broken && dropped > r->lost && dropped <= LOST_MAX)
		ring_lost(rs, r, dropped - r->lost);
}

/*
 * The ring of the program before exec is freed when the thread has another one;
 * of a process that is gone all are.
 */
static void ring_ended(const struct rings *rs, const struct ring *ended)
{
	const struct ring *r;

	if (!rs->ops->ended)
		return;
	for (r = rs->first; r && !ended->gone; r = r->next)
		if (r->told.tgid == ended->told.tgid &&
		    r->told.tid == ended->told.tid)
			return;
	rs->ops->ended(rs->ctx, ended->told.tgid, ended->told.tid);
}

static void rings_reap(struct rings *rs)
{
	struct ring **at = &rs->first, *r;

	while ((r = *at)) {
		if (r->gone || r->retired)
			ring_settle(rs, r);
		if (!(r->gone || r->retired) || r->behind ||
		    !queue_empty(&r->q)) {
			queue_relax(&r->q);
			at = &r->next;
			continue;
		}
		*at = r->next;
		if (rs->ops->closing)
			rs->ops->closing(rs->ctx, r);
		ring_ended(rs, r);
		rs->totals.open--;
		ring_detach(r);
		ring_free(rs, r);
	}
}

/*
 * An event is sure when everything that its writer could have known of has been
 * copied too: all rings were read once more after it was seen. As long as a ring
 * keeps words back, nothing becomes sure.
 */
size_t rings_drain(struct rings *rs)
{
	struct ring *r;
	size_t nr = 0;
	bool behind = false;

	rs->busy = false;
	rs->backlog = 0;
	for (r = rs->first; r; r = r->next)
		rs->backlog += queue_backlog(&r->q);
	for (r = rs->first; r; r = r->next) {
		nr += ring_drain(rs, r);
		behind |= r->behind;
	}
	for (r = rs->first; r; r = r->next) {
		queue_mark(&r->q);
		nr += ring_drain(rs, r);
		behind |= r->behind;
	}
	for (r = rs->first; r && !behind; r = r->next)
		r->q.sure = r->q.seen;
	rings_reap(rs);
	return nr;
}

void rings_end(struct rings *rs)
{
	struct ring *r;

	for (r = rs->first; r; r = r->next)
		ring_drain(rs, r);
	for (r = rs->first; r; r = r->next)
		ring_settle(rs, r);
	rs->over = true;
}

bool rings_busy(const struct rings *rs)
{
	return rs->busy;
}

void rings_gone(struct rings *rs, uint32_t tgid)
{
	struct ring *r;

	for (r = rs->first; r; r = r->next) {
		if (r->q.st.tgid != tgid)
			continue;
		ring_drain(rs, r);
		r->gone = true;
	}
	threads_forget(&rs->threads, tgid);
}

struct rings_totals rings_totals(const struct rings *rs)
{
	return rs->totals;
}

/* ---- the handshake ---- */

/*
 * A thread writes into one ring. When it asks for another one, its first one is
 * that of the program before exec and will get no more words. (Not so when the
 * ring has gone over to another thread, so all its words must have been seen.)
 */
static void rings_retire(struct rings *rs, uint32_t tgid, uint32_t tid)
{
	struct ring *r;

	for (r = rs->first; r; r = r->next) {
		if (r->q.st.tgid != tgid || r->gone)
			continue;
		ring_drain(rs, r);
		if (!r->behind && r->told.tid == tid)
			r->retired = true;
	}
}

/*
 * So no process has more rings than threads, however it behaves; a fixed number
 * limits those for threads that it has not.
 */
static bool rings_may_add(const struct rings *rs, uint32_t tgid, uint32_t tid)
{
	const struct ring *r;
	unsigned int nr = 0;

	for (r = rs->first; r && !tid; r = r->next)
		nr += r->q.st.tgid == tgid;
	return nr < ANONYMOUS_RINGS;
}

static void send_reply(int fd, int error, uint64_t bytes, const int *fds)
{
	struct shim_reply reply = { SHIM_MAGIC, error, bytes };
	struct iovec iov = { &reply, sizeof(reply) };
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	}
	/* A peer that is gone by now leaves a ring that rings_gone() frees. */
	sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int serve_ring(struct rings *rs, int fd, uint32_t tgid, uint32_t tid,
		      uint32_t flags)
{
	int fds[2] = { -1, -1 }, err;
	bool foreign;
	struct ring *r;

	err = rs->ops->admit(rs->ctx, tgid, flags, &fds[1]);
	if (err)
		return err;
	tid = threads_find(&rs->threads, tgid, tid, &foreign);
	if (tid)
		rings_retire(rs, tgid, tid);
	errno = ENOSPC;
	r = rings_may_add(rs, tgid, tid) ? ring_new(rs, &fds[0]) : NULL;
	if (!r) {
		err = -errno;
		if (rs->ops->none)
			rs->ops->none(rs->ctx, tgid, err);
		return err;
	}
	r->foreign = foreign || !tid;
	r->q.st.tgid = tgid;
	r->q.st.tid = tid;
	r->told = r->q.st;
	r->taken_tid = r->told.tid;
	r->next = rs->first;
	rs->first = r;
	rs->totals.rings++;
	rs->totals.open++;
	if (rs->ops->opened)
		rs->ops->opened(rs->ctx, r);
	send_reply(fd, 0, ring_bytes(rs, r), fds);
	close(fds[0]);
	return 0;
}

/*
 * The process that connected, 0: none that may have a ring. The socket is open to
 * everybody, for a target may be anybody. A peer is known by the number of the
 * process that called connect(), which is the kernel's word, and must be watched.
 * That process may have ended, with the connection left to another one and its
 * number to a target of another user: so the user must be the same, too. What
 * processes of one user do to each other they can do without us (ptrace).
 */
static uint32_t peer_tgid(const struct rings *rs, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return 0;
	if (peer.pid <= 0) /* of a pid namespace that we cannot see into */
		return 0;
	if (rs->ops->admit(rs->ctx, (uint32_t)peer.pid, 0, NULL) ||
	    proc_user((uint32_t)peer.pid) != peer.uid)
		return 0;
	return (uint32_t)peer.pid;
}

/* It was given a ring, perhaps, but could not map what it needs. */
static int serve_none(struct rings *rs, int fd, uint32_t tgid, uint32_t error)
{
	if (!error || error > 4095) /* MAX_ERRNO of linux/err.h */
		return -EINVAL;
	if (rs->ops->none)
		rs->ops->none(rs->ctx, tgid, -(int)error);
	send_reply(fd, 0, 0, NULL);
	return 0;
}

static int serve(struct rings *rs, int fd, const struct shim_request *q)
{
	uint32_t tgid;

	if (q->magic != SHIM_MAGIC)
		return -EPROTO;
	tgid = peer_tgid(rs, fd);
	if (!tgid)
		return -ESRCH;
	switch (q->op) {
	case SHIM_RING:
		return serve_ring(rs, fd, tgid, q->tid, q->flags);
	case SHIM_BYE:
		if (rs->ops->bye)
			rs->ops->bye(rs->ctx, tgid);
		send_reply(fd, 0, 0, NULL);
		return 0;
	case SHIM_NONE:
		return serve_none(rs, fd, tgid, q->flags);
	default:
		return -EINVAL;
	}
}

static void peer_drop(struct rings *rs, unsigned int i)
{
	close(rs->peers[i]);
	rs->nr_peers--;
	memmove(rs->peers + i, rs->peers + i + 1,
		(rs->nr_peers - i) * sizeof(int));
}

/* The request of a peer, if it is there. False: not yet. */
static bool peer_serve(struct rings *rs, int fd)
{
	struct shim_request q;
	ssize_t n = recv(fd, &q, sizeof(q), MSG_DONTWAIT | MSG_TRUNC);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (!n)
		return true; /* it went away without asking */
	err = n == sizeof(q) ? serve(rs, fd, &q) : -EPROTO;
	if (err) {
		rs->totals.refused++;
		send_reply(fd, -err, 0, NULL);
	}
	return true;
}

static void peer_keep(struct rings *rs, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (rs->nr_peers == PEERS) {
		rs->totals.refused++;
		peer_drop(rs, 0);
	}
	if (epoll_ctl(rs->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		close(fd);
		return;
	}
	rs->peers[rs->nr_peers++] = fd;
}

/*
 * So that strangers who never ask take no target's place. A request that comes in
 * now must not stay unread, or the answer would be lost with the connection
 * (ECONNRESET).
 */
static void peer_refuse(struct rings *rs, int fd)
{
	struct shim_request q;

	rs->totals.refused++;
	shutdown(fd, SHUT_RD);
	recv(fd, &q, sizeof(q), MSG_DONTWAIT);
	send_reply(fd, ESRCH, 0, NULL);
	close(fd);
}

static void accept_peers(struct rings *rs, int listen_fd)
{
	int i, fd;

	for (i = 0; i < PEERS; i++) {
		fd = accept4(listen_fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (peer_serve(rs, fd))
			close(fd);
		else if (peer_tgid(rs, fd))
			peer_keep(rs, fd);
		else
			peer_refuse(rs, fd);
	}
}

static void peer_event(struct rings *rs, int fd)
{
	unsigned int i;

	for (i = 0; i < rs->nr_peers; i++)
		if (rs->peers[i] == fd && peer_serve(rs, fd))
			peer_drop(rs, i);
}

static bool is_listener(const struct rings *rs, int fd)
{
	size_t i;

	for (i = 0; i < rs->nr_listeners; i++)
		if (rs->listeners[i].fd == fd)
			return true;
	return false;
}

/* Never waits: a peer that is slow to ask is left in the epoll set. */
void rings_accept(struct rings *rs)
{
	struct epoll_event evs[16];
	int i, n = epoll_wait(rs->epoll_fd, evs, 16, 0);

	for (i = 0; i < n; i++) {
		if (is_listener(rs, evs[i].data.fd))
			accept_peers(rs, evs[i].data.fd);
		else
			peer_event(rs, evs[i].data.fd);
	}
}

int rings_fd(const struct rings *rs)
{
	return rs->epoll_fd;
}

/*
 * Where nobody listens a socket was left by one who was killed, whose process number we
 * have now. False: somebody does, or there is none.
 */
static bool is_stale(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	bool stale =
		fd >= 0 &&
		connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) &&
		errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_at(int fd, const struct sockaddr_un *addr)
{
	if (!bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (is_stale(addr))
		unlink(addr->sun_path);
	return bind(fd, (const struct sockaddr *)addr, sizeof(*addr));
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bind_at(fd, &addr))
		goto out_close;
	if (chmod(path, 0666) || listen(fd, SOMAXCONN))
		goto out_unlink;
	return fd;

out_unlink:
	unlink(path);
out_close:
	close(fd);
	return -1;
}

int rings_listen(struct rings *rs, const char *path)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct listener l = { .path = strdup(path) }, *all;
	int err;

	all = realloc(rs->listeners, (rs->nr_listeners + 1) * sizeof(*all));
	if (all)
		rs->listeners = all;
	if (!all || !l.path) {
		free(l.path);
		return -ENOMEM;
	}
	l.fd = ev.data.fd = listen_at(path);
	if (l.fd >= 0 && !epoll_ctl(rs->epoll_fd, EPOLL_CTL_ADD, l.fd, &ev)) {
		all[rs->nr_listeners++] = l;
		return 0;
	}
	err = -errno;
	if (l.fd >= 0) {
		close(l.fd);
		unlink(path);
	}
	free(l.path);
	return err;
}

static void close_listeners(struct rings *rs)
{
	struct listener *l;

	while (rs->nr_listeners) {
		l = &rs->listeners[--rs->nr_listeners];
		close(l->fd);
		unlink(l->path);
		free(l->path);
	}
	free(rs->listeners);
}

bool ring_bytes_valid(uint64_t bytes)
{
	return bytes >= 4096 && bytes <= 1u << 25 && !(bytes & (bytes - 1));
}

struct rings *rings_open(const char *path, size_t bytes, bool block,
			 const struct rings_ops *ops, void *ctx)
{
	struct rings *rs;
	int err;

	if (!ring_bytes_valid(bytes)) {
		errno = EINVAL;
		return NULL;
	}
	rs = calloc(1, sizeof(*rs));
	if (!rs)
		return NULL;
	rs->levels = bytes >> 2 * (RING_LEVELS - 1) >= 4096 ? RING_LEVELS : 1;
	rs->ring_words = bytes / 8 >> 2 * (rs->levels - 1);
	rs->block = block;
	rs->populate = madvise(NULL, 0, MADV_POPULATE_WRITE) ? 0 :
							       RING_POPULATE;
	rs->ops = ops;
	rs->ctx = ctx;
	rs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = rs->epoll_fd < 0 ? -errno : path ? rings_listen(rs, path) : 0;
	if (!err)
		return rs;
	if (rs->epoll_fd >= 0)
		close(rs->epoll_fd);
	free(rs->listeners);
	free(rs);
	errno = -err;
	return NULL;
}

void rings_set_stacks(struct rings *rs, uint64_t bytes)
{
	rs->stack_bytes = bytes;
}

void rings_close(struct rings *rs)
{
	struct ring *r;

	while ((r = rs->first)) {
		rs->first = r->next;
		if (rs->ops->closing)
			rs->ops->closing(rs->ctx, r);
		ring_detach(r);
		ring_free(rs, r);
	}
	while (rs->nr_peers)
		peer_drop(rs, 0);
	threads_free(&rs->threads);
	close_listeners(rs);
	close(rs->epoll_fd);
	free(rs);
}
