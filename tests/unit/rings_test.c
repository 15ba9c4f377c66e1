// SPDX-License-Identifier: GPL-2.0
/*
 * rings.c against producers that this process plays itself, over a real socket:
 * good ones, and ones that break every rule.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/rings.h"
#include "probe/words.h"

#define BYTES 4096
#define WORDS (BYTES / 8)

struct fixture {
	char dir[40], path[64];
	struct rings *rs;
	int stamp_fd, admit_error, none;
	uint32_t flags; /* of the last request that was asked about */
	struct ring *last; /* opened */
	unsigned int opened, closed, byes;
	uint64_t lost;
	unsigned int stacks;
	uint64_t stack_id, last_frame;
	uint32_t lost_tid;
	/* What ops->words got. */
	uint64_t *raw;
	uint32_t *raw_tid;
	size_t nr_raw, cap_raw;
	void (*in_words)(struct fixture *f);
	void *in_words_arg;
	/* What ops->taken got: the last word of each event of two, and whose it was. */
	uint64_t taken[8];
	uint32_t taken_tid[8];
	size_t nr_taken;
};

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct fixture *f = ctx;

	assert_int_equal(tgid, getpid());
	f->flags = flags;
	if (stamp_fd)
		*stamp_fd = f->stamp_fd;
	return f->admit_error;
}

static void opened(void *ctx, struct ring *r)
{
	struct fixture *f = ctx;

	f->opened++;
	f->last = r;
}

static void closing(void *ctx, struct ring *r)
{
	struct fixture *f = ctx;

	if (f->last == r)
		f->last = NULL;
	f->closed++;
}

static void words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		  size_t nr)
{
	struct fixture *f = ctx;
	size_t i;

	assert_int_equal(tgid, getpid());
	if (f->nr_raw + nr > f->cap_raw) {
		f->cap_raw = 2 * (f->nr_raw + nr);
		f->raw = realloc(f->raw, f->cap_raw * 8);
		f->raw_tid = realloc(f->raw_tid, f->cap_raw * 4);
	}
	for (i = 0; i < nr; i++) {
		f->raw[f->nr_raw] = w[i];
		f->raw_tid[f->nr_raw++] = tid;
	}
	if (f->in_words)
		f->in_words(f);
}

static void taken(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		  size_t nr)
{
	struct fixture *f = ctx;
	size_t i;

	assert_int_equal(tgid, getpid());
	for (i = 1; i < nr; i += 2) {
		assert_in_range(f->nr_taken, 0, 7);
		f->taken[f->nr_taken] = w[i];
		f->taken_tid[f->nr_taken++] = tid;
	}
}

static void lost(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct fixture *f = ctx;

	assert_int_equal(tgid, getpid());
	f->lost += nr;
	f->lost_tid = tid;
}

static void bye(void *ctx, uint32_t tgid)
{
	struct fixture *f = ctx;

	assert_int_equal(tgid, getpid());
	f->byes++;
}

static void none(void *ctx, uint32_t tgid, int err)
{
	struct fixture *f = ctx;

	assert_int_equal(tgid, getpid());
	f->none = err;
}

static void stack(void *ctx, const struct event *ev)
{
	struct fixture *f = ctx;

	assert_int_equal(ev->kind, EV_STACK);
	assert_int_equal(ev->tgid, getpid());
	f->stacks++;
	f->stack_id = ev->stack.id;
	f->last_frame = ev->stack.frames[ev->stack.nr - 1];
}

static const struct rings_ops ops = { .admit = admit,
				      .opened = opened,
				      .closing = closing,
				      .words = words,
				      .taken = taken,
				      .lost = lost,
				      .bye = bye,
				      .none = none,
				      .stack = stack };

static int setup_bytes(void **state, size_t bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/vmaheap-rings-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	f->stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->stamp_fd, 4096), 0);
	f->rs = rings_open(f->path, bytes, true, &ops, f);
	assert_non_null(f->rs);
	*state = f;
	return 0;
}

/* One that was killed left its socket; where somebody listens nothing is taken. */
static void test_stale_socket(void **state)
{
	struct fixture *f = *state;
	char path[sizeof(f->path) + 8];
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(path, sizeof(path), "%s-left", f->path);
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(rings_listen(f->rs, path), -EADDRINUSE);
	close(fd);
	assert_int_equal(rings_listen(f->rs, path), 0);
}

static int setup(void **state)
{
	return setup_bytes(state, BYTES);
}

static int setup_big(void **state)
{
	return setup_bytes(state, 1 << 20);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rings_close(f->rs);
	assert_int_equal(f->closed, f->opened);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(rmdir(f->dir), 0);
	close(f->stamp_fd);
	free(f->raw);
	free(f->raw_tid);
	free(f);
	return 0;
}

/* ---- the producer ---- */

struct producer {
	struct ring_header *h;
	uint64_t *data;
	size_t bytes; /* of all */
	size_t words;
	uint64_t head;
	struct ring *ring;
};

static int client(const struct fixture *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	return fd;
}

static void serve(struct fixture *f)
{
	struct pollfd p = { rings_fd(f->rs), POLLIN, 0 };

	while (poll(&p, 1, 0) == 1)
		rings_accept(f->rs);
}

/* Sends a request; takes the reply, and up to two descriptors. */
static struct shim_reply ask_with(struct fixture *f, uint32_t op, uint32_t tid,
				  uint32_t flags, int fds[2])
{
	struct shim_request q = { SHIM_MAGIC, op, tid, flags };
	struct shim_reply a;
	struct iovec iov = { &a, sizeof(a) };
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = client(f);

	fds[0] = fds[1] = -1;
	assert_int_equal(send(fd, &q, sizeof(q), 0), sizeof(q));
	serve(f);
	assert_int_equal(recvmsg(fd, &msg, MSG_DONTWAIT), sizeof(a));
	assert_int_equal(a.magic, SHIM_MAGIC);
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		assert_int_equal(c->cmsg_len, CMSG_LEN(2 * sizeof(int)));
		memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	}
	close(fd);
	return a;
}

static struct shim_reply ask(struct fixture *f, uint32_t op, uint32_t tid,
			     int fds[2])
{
	return ask_with(f, op, tid, 0, fds);
}

static struct producer produce(struct fixture *f, uint32_t tid)
{
	struct producer p = { 0 };
	struct shim_reply a;
	int fds[2];

	a = ask(f, SHIM_RING, tid, fds);
	assert_int_equal(a.error, 0);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	p.h = mmap(NULL, a.ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fds[0], 0);
	assert_ptr_not_equal(p.h, MAP_FAILED);
	assert_int_equal(ftruncate(fds[0], 0), -1);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(p.h->magic, RING_MAGIC);
	p.bytes = a.ring_bytes;
	p.words = p.h->words;
	assert_int_equal(a.ring_bytes, ring_bytes_of(p.words, p.h->levels));
	p.data = (uint64_t *)((char *)p.h + RING_DATA);
	p.ring = f->last;
	return p;
}

static void produce_end(struct producer *p)
{
	munmap(p->h, p->bytes);
}

static size_t room(const struct producer *p)
{
	return p->words - (size_t)(p->head - p->h->tail);
}

static void put(struct producer *p, uint64_t w)
{
	assert_true(room(p) > 0);
	p->data[p->head++ & (p->words - 1)] = w;
}

static void publish(struct producer *p)
{
	__atomic_store_n(&p->h->head, p->head, __ATOMIC_RELEASE);
}

static void say(struct producer *p, uint64_t w)
{
	put(p, w);
	publish(p);
}

/* The address of the next event of kind EV_CALL; 0: none. */
static void take_all(struct ring *r)
{
	bool sure;

	while (ring_peek(r, &sure))
		ring_pop(r);
}

static uint64_t next_addr(struct ring *r)
{
	const struct event *ev;
	uint64_t addr;
	bool sure;

	ev = ring_peek(r, &sure);
	if (!ev)
		return 0;
	assert_int_equal(ev->kind, EV_CALL);
	addr = ev->call.addr;
	ring_pop(r);
	return addr;
}

static uint32_t self(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

/* ---- the tests ---- */

static void test_handshake(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	struct shim_reply a;
	struct stat st;
	bool populates;
	int fds[2];

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(p.words, WORDS);
	populates = !madvise(p.h, RING_DATA, MADV_POPULATE_WRITE);
	assert_int_equal(p.h->flags,
			 RING_BLOCK | (populates ? RING_POPULATE : 0));
	assert_int_equal(ring_tgid(p.ring), getpid());
	ring_set_data(p.ring, f);
	assert_ptr_equal(ring_data(p.ring), f);
	a = ask(f, SHIM_BYE, self(), fds);
	assert_int_equal(a.error, 0);
	assert_int_equal(fds[0], -1);
	assert_int_equal(f->byes, 1);
	a = ask_with(f, SHIM_NONE, self(), ENOMEM, fds);
	assert_int_equal(a.error, 0);
	assert_int_equal(f->none, -ENOMEM);
	a = ask_with(f, SHIM_NONE, self(), 0, fds);
	assert_int_equal(a.error, EINVAL);
	a = ask_with(f, SHIM_NONE, self(), UINT32_MAX, fds);
	assert_int_equal(a.error, EINVAL);
	assert_int_equal(f->none, -ENOMEM);
	f->admit_error = -ESRCH;
	a = ask(f, SHIM_RING, self(), fds);
	assert_int_equal(a.error, ESRCH);
	a = ask_with(f, SHIM_NONE, self(), EPERM, fds);
	assert_int_equal(a.error, ESRCH);
	assert_int_equal(f->none, -ENOMEM);
	assert_int_equal(rings_totals(f->rs).refused, 4);
	assert_int_equal(rings_totals(f->rs).open, 1);
	produce_end(&p);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A stack is told when it is whole, before the event that names it. */
static void test_stack(void **state)
{
	struct fixture *f = *state;
	struct producer p;
	uint64_t id;

	rings_set_stacks(f->rs, 4711);
	p = produce(f, self());
	assert_int_equal(p.h->stack_bytes, 4711);
	say(&p, word_body(WORD_MALLOC, 1, 16));
	say(&p, word_ctrl(CTRL_STACK, 2 | STACK_TRUNCATED));
	say(&p, 0x4000);
	rings_drain(f->rs);
	assert_int_equal(f->stacks, 0);
	say(&p, 0x5000);
	rings_drain(f->rs);
	assert_int_equal(f->stacks, 1);
	assert_int_equal(f->last_frame, 0x5000);
	id = stack_id(stack_hash_add(
		stack_hash_add(stack_hash_begin(true), 0x5000), 0x4000));
	assert_int_equal(f->stack_id, id);
	put(&p, word_value(WORD_HDR_CALLER, id));
	say(&p, word_body(WORD_MALLOC, 1, 32));
	rings_drain(f->rs);
	assert_int_equal(next_addr(p.ring), 16);
	assert_int_equal(next_addr(p.ring), 32);
	assert_int_equal(next_addr(p.ring), 0);
	assert_int_equal(f->nr_raw, 3); /* no stack in what the trace gets */
	assert_int_equal(rings_totals(f->rs).broken, 0);
	produce_end(&p);
}

/* Clients that say nothing, or nonsense, hold nobody up. */
static void test_rude_clients(void **state)
{
	struct fixture *f = *state;
	struct shim_request q = { SHIM_MAGIC, 99, 1, 0 };
	struct shim_reply a;
	struct producer p;
	uint64_t begin;
	int fds[300], i, fd;

	for (i = 0; i < 300; i++)
		fds[i] = client(f);
	begin = now_ns();
	serve(f);
	p = produce(f, self());
	assert_true(now_ns() - begin < 500000000);
	for (i = 0; i < 300; i++)
		close(fds[i]);
	serve(f);
	for (i = 0; i < 4; i++) {
		fd = client(f);
		q.op = i == 1 ? SHIM_RING : 99;
		q.magic = i == 1 ? 5 : SHIM_MAGIC;
		assert_true(send(fd, &q,
				 i < 2	? sizeof(q) :
				 i == 2 ? 3 :
					  0,
				 0) >= 0);
		serve(f);
		if (i < 3) {
			assert_int_equal(recv(fd, &a, sizeof(a), MSG_DONTWAIT),
					 sizeof(a));
			assert_int_equal(a.error, i == 0 ? EINVAL : EPROTO);
		}
		close(fd);
	}
	assert_int_equal(f->opened, 1);
	produce_end(&p);
}

/* A target that has connected waits beside any number of strangers who have. */
static void test_strangers(void **state)
{
	struct fixture *f = *state;
	struct shim_request q = { SHIM_MAGIC, SHIM_RING, self(), 0 };
	struct shim_reply a;
	int target = client(f), i, fd;

	serve(f);
	f->admit_error = -ESRCH;
	for (i = 0; i < 1000; i++) {
		fd = client(f);
		serve(f);
		assert_int_equal(recv(fd, &a, sizeof(a), MSG_DONTWAIT),
				 sizeof(a));
		assert_int_equal(a.error, ESRCH);
		close(fd);
	}
	assert_int_equal(rings_totals(f->rs).refused, 1000);
	f->admit_error = 0;
	assert_int_equal(send(target, &q, sizeof(q), 0), sizeof(q));
	serve(f);
	assert_int_equal(recv(target, &a, sizeof(a), MSG_DONTWAIT), sizeof(a));
	assert_int_equal(a.error, 0);
	assert_int_equal(f->opened, 1);
	close(target);
}

/* The number is that of a target, but it was another user who connected. */
static void test_other_user(void **state)
{
	struct fixture *f = *state;
	struct shim_reply a;
	int fds[2], fd;

	if (geteuid()) /* only root can become another user */
		skip();
	assert_int_equal(chmod(f->dir, 0711), 0);
	assert_int_equal(seteuid(65534), 0);
	fd = client(f);
	assert_int_equal(seteuid(0), 0);
	serve(f);
	assert_int_equal(recv(fd, &a, sizeof(a), MSG_DONTWAIT), sizeof(a));
	assert_int_equal(a.error, ESRCH);
	close(fd);
	a = ask(f, SHIM_RING, self(), fds);
	assert_int_equal(a.error, 0);
	close(fds[0]);
	close(fds[1]);
}

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd_below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

/* Events of all lengths, thousands of times around, drained whenever. */
static void test_around(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	uint64_t *all = malloc(8 * 300000), n = 0, got = 1, a, i;
	size_t nr = 0, k;

	while (n < 60000) {
		for (i = rnd_below(60); i && room(&p) >= 5; i--) {
			size_t first = nr;

			n++;
			if (rnd_below(4) == 0) {
				all[nr++] =
					word_value(WORD_HDR_WINDOW_CALLER, n);
				all[nr++] = word_value(0, n);
				all[nr++] = word_value(0, n);
			}
			if (rnd_below(4) == 0) {
				all[nr++] = word_alloc(OP_MEMALIGN, 5, n);
				all[nr++] = ~n;
			} else {
				all[nr++] = word_body(WORD_FREE, 0, n);
			}
			for (k = first; k < nr; k++)
				put(&p, all[k]);
			publish(&p);
		}
		if (rnd_below(3) == 0)
			rings_drain(f->rs);
		if (rnd_below(3) == 0)
			while ((a = next_addr(p.ring)))
				assert_int_equal(a, got++);
	}
	rings_drain(f->rs);
	while ((a = next_addr(p.ring)))
		assert_int_equal(a, got++);
	assert_int_equal(got, n + 1);
	assert_int_equal(f->nr_raw, nr);
	assert_memory_equal(f->raw, all, nr * 8);
	assert_int_equal(rings_totals(f->rs).words, nr);
	assert_int_equal(rings_totals(f->rs).broken, 0);
	free(all);
	produce_end(&p);
}

static void say_more(struct fixture *f)
{
	struct producer *p = f->in_words_arg;

	f->in_words = NULL;
	say(p, word_body(WORD_FREE, 0, 0x40));
}

static void test_sure(void **state)
{
	struct fixture *f = *state;
	struct producer a = produce(f, self()), b = produce(f, 0);
	bool sure;

	say(&a, word_body(WORD_FREE, 0, 0x10));
	say(&b, word_body(WORD_FREE, 0, 0x20));
	/* While the first pass reads one of them, the other says more. */
	f->in_words = say_more;
	f->in_words_arg = &b; /* the newest ring is read first */
	rings_drain(f->rs);
	assert_non_null(ring_peek(a.ring, &sure));
	assert_true(sure);
	assert_int_equal(ring_peek(b.ring, &sure)->call.addr, 0x20);
	assert_true(sure);
	ring_pop(b.ring);
	assert_int_equal(ring_peek(b.ring, &sure)->call.addr, 0x40);
	assert_false(sure);
	rings_drain(f->rs);
	assert_int_equal(ring_peek(b.ring, &sure)->call.addr, 0x40);
	assert_true(sure);
	produce_end(&a);
	produce_end(&b);
}

static void test_wake(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	size_t i;

	for (i = 0; i < WORDS; i++)
		put(&p, word_body(WORD_FREE, 0, i + 1));
	publish(&p);
	p.h->waiting = 1;
	assert_false(rings_busy(f->rs));
	assert_int_equal(rings_drain(f->rs), WORDS);
	assert_true(rings_busy(f->rs));
	assert_int_equal(p.h->waiting, 0);
	assert_int_equal(p.h->wakeups, 1);
	assert_int_equal(p.h->tail, WORDS);
	rings_drain(f->rs);
	assert_false(rings_busy(f->rs));
	assert_int_equal(p.h->wakeups, 1);
	produce_end(&p);
}

static void check_broken(struct fixture *f, struct producer *p, unsigned int nr)
{
	struct producer good = produce(f, 0);

	rings_drain(f->rs);
	assert_int_equal(rings_totals(f->rs).broken, nr);
	assert_int_equal(p->h->detached, 1);
	say(&good, word_body(WORD_FREE, 0, 0x30));
	rings_drain(f->rs);
	assert_int_equal(next_addr(good.ring), 0x30);
	assert_int_equal(rings_totals(f->rs).broken, nr);
	produce_end(&good);
}

static void check_loss(struct fixture *f, struct producer *p)
{
	const struct event *ev;
	bool sure;

	ev = ring_peek(p->ring, &sure);
	assert_non_null(ev);
	assert_int_equal(ev->kind, EV_CALLS_LOST);
	assert_int_equal(ev->calls_lost.count, 1);
	ring_pop(p->ring);
	assert_null(ring_peek(p->ring, &sure));
	assert_int_equal(f->lost, 1);
	assert_int_equal(f->lost_tid, self());
}

static void test_head_jumps(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());

	say(&p, word_body(WORD_FREE, 0, 0x10));
	rings_drain(f->rs);
	p.h->head = 1ull << 40;
	check_broken(f, &p, 1);
	assert_int_equal(next_addr(p.ring), 0x10);
	check_loss(f, &p);
	p.h->head = 2; /* too late */
	rings_drain(f->rs);
	produce_end(&p);
}

static void test_head_runs_back(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	int i;

	for (i = 0; i < 3; i++)
		say(&p, word_body(WORD_FREE, 0, 0x10));
	rings_drain(f->rs);
	p.h->head = 1;
	check_broken(f, &p, 1);
	produce_end(&p);
}

/* As the shim does it. */
static void grow(struct producer *p)
{
	uint32_t level = p->h->level;

	p->h->grown[level] = p->head;
	p->h->level = level + 1;
	p->words = (size_t)p->h->words << 2 * (level + 1);
	p->data = (uint64_t *)((char *)p->h + RING_DATA) +
		  ring_level_at(p->h->words, level + 1);
}

/* Level after level, each full, and read when it is known of or later. */
static void check_growth(struct fixture *f, unsigned int drains)
{
	struct producer p = produce(f, self());
	uint64_t n = 0, i, end = 0;
	unsigned int level;

	assert_int_equal(p.h->levels, RING_LEVELS);
	for (level = 0; level < RING_LEVELS; level++) {
		if (level)
			grow(&p);
		if (drains & 1)
			rings_drain(f->rs);
		for (end += p.words; n < end; n++) {
			p.data[p.head++ & (p.words - 1)] =
				word_body(WORD_FREE, 0, 0x10 + n);
			publish(&p);
		}
		if (drains & 2)
			rings_drain(f->rs);
	}
	rings_drain(f->rs);
	assert_int_equal(p.h->tail, n);
	for (i = 0; i < 100; i++)
		say(&p, word_body(WORD_FREE, 0, 0x10 + n++));
	rings_drain(f->rs);
	for (i = 0; i < n; i++)
		assert_int_equal(next_addr(p.ring), 0x10 + i);
	assert_int_equal(next_addr(p.ring), 0);
	assert_int_equal(rings_totals(f->rs).broken, 0);
	produce_end(&p);
}

static void test_growth(void **state)
{
	unsigned int drains;

	for (drains = 0; drains < 4; drains++)
		check_growth(*state, drains);
}

static void test_growth_nonsense(void **state)
{
	struct fixture *f = *state;
	struct producer p;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		p = produce(f, self());
		say(&p, word_body(WORD_FREE, 0, 0x10));
		grow(&p);
		say(&p, word_body(WORD_FREE, 0, 0x20));
		rings_drain(f->rs);
		if (i == 0)
			p.h->level = RING_LEVELS;
		if (i == 1)
			p.h->level = 0;
		if (i >= 2)
			grow(&p);
		if (i == 2)
			p.h->grown[1] = 1; /* before what was read */
		p.h->head += i == 3 ? p.words + 1 : 1;
		rings_drain(f->rs);
		assert_int_equal(rings_totals(f->rs).broken, i + 1);
		assert_int_equal(p.h->detached, 1);
		produce_end(&p);
	}
}

static void test_nonsense(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());

	put(&p, word_body(WORD_FREE, 0, 0x10));
	put(&p, word_value(9, 1));
	put(&p, word_body(WORD_FREE, 0, 0x20));
	publish(&p);
	check_broken(f, &p, 1);
	assert_int_equal(next_addr(p.ring), 0x10);
	check_loss(f, &p);
	assert_int_equal(f->raw[0], word_body(WORD_FREE, 0, 0x10));
	produce_end(&p);
}

/*
 * The target may put anything into its stamp. An event from the future would
 * wait for ever, and the ring fill up behind it.
 */
static void test_future(void **state)
{
	struct fixture *f = *state;
	uint64_t hour = 3600ull * 1000000000;
	unsigned int id;

	for (id = WORD_HDR_TS; id <= WORD_HDR_WINDOW_CALLER; id++) {
		struct producer p = produce(f, 0);
		bool window = id >= WORD_HDR_WINDOW;
		bool sure;

		f->lost = 0;
		put(&p, word_value(id, window ? 1 : now_ns()));
		if (id > WORD_HDR_TS)
			put(&p, word_value(0, window ? now_ns() : 1));
		if (id == WORD_HDR_WINDOW_CALLER)
			put(&p, word_value(0, 1));
		put(&p, word_body(WORD_FREE, 0, 0x10));
		put(&p, word_value(id, window ? 1 : now_ns() + hour));
		if (id > WORD_HDR_TS)
			put(&p, word_value(0, window ? now_ns() + hour : 1));
		if (id == WORD_HDR_WINDOW_CALLER)
			put(&p, word_value(0, 1));
		put(&p, word_body(WORD_FREE, 0, 0x20));
		publish(&p);
		check_broken(f, &p, id - WORD_HDR_TS + 1);
		assert_int_equal(next_addr(p.ring), 0x10);
		assert_int_equal(ring_peek(p.ring, &sure)->kind, EV_CALLS_LOST);
		ring_pop(p.ring);
		assert_null(ring_peek(p.ring, &sure));
		assert_int_equal(f->lost, 1);
		produce_end(&p);
	}
}

/* Thousands that connect and never ask, some of them again and again. */
static void test_silent_clients(void **state)
{
	struct fixture *f = *state;
	int *fds, kept = 0, max = 800, i;
	struct producer p;

	fds = malloc(sizeof(*fds) * (size_t)max);
	for (i = 0; i < 5000; i++) {
		if (kept == max)
			close(fds[--kept]);
		fds[kept++] = client(f);
		if (i % 100 == 0)
			rings_accept(f->rs);
		if (i % 1000 == 999) {
			p = produce(f, self());
			say(&p, word_body(WORD_FREE, 0, 0x10));
			rings_drain(f->rs);
			assert_int_equal(next_addr(p.ring), 0x10);
			produce_end(&p);
		}
	}
	assert_int_equal(f->opened, 5);
	assert_int_equal(rings_totals(f->rs).broken, 0);
	while (kept)
		close(fds[--kept]);
	free(fds);
	serve(f);
}

/* A scribbler in the target: whatever stands in the ring, we stay sane. */
static void test_scribble(void **state)
{
	struct fixture *f = *state;
	int round, i;

	for (round = 0; round < 40; round++) {
		struct producer p = produce(f, 0);
		uint64_t *whole = (uint64_t *)p.h;

		for (i = 0; i < 5; i++) {
			size_t k;

			for (k = 0; k < RING_DATA / 8 + WORDS;
			     k += 1 + rnd_below(40))
				whole[k] = rnd_below(2) ? rnd_below(~0ull) :
							  rnd_below(600);
			rings_drain(f->rs);
			while (ring_peek(p.ring, &(bool){ false }))
				ring_pop(p.ring);
		}
		produce_end(&p);
		rings_gone(f->rs, (uint32_t)getpid());
		rings_drain(f->rs);
		while (f->last && ring_peek(p.ring, &(bool){ false }))
			ring_pop(p.ring);
		rings_drain(f->rs);
		assert_int_equal(rings_totals(f->rs).open, 0);
	}
}

static void test_half_an_event(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	bool sure;

	say(&p, word_value(WORD_HDR_TS_CALLER, 5));
	rings_drain(f->rs);
	assert_null(ring_peek(p.ring, &sure));
	say(&p, word_value(0, 6));
	rings_drain(f->rs);
	assert_null(ring_peek(p.ring, &sure));
	assert_int_equal(f->nr_raw, 0);
	say(&p, word_body(WORD_FREE, 0, 0x10));
	rings_drain(f->rs);
	assert_int_equal(ring_peek(p.ring, &sure)->call.caller, 6);
	assert_int_equal(next_addr(p.ring), 0x10);
	assert_int_equal(f->nr_raw, 3);
	/* Killed in the middle: the rest never comes. */
	say(&p, word_value(WORD_HDR_TS_CALLER, 7));
	rings_gone(f->rs, (uint32_t)getpid());
	rings_drain(f->rs);
	assert_int_equal(f->closed, 1);
	produce_end(&p);
}

static void test_control(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	const struct event *ev;
	bool sure;

	put(&p, word_body(WORD_FREE, 0, 0x10));
	put(&p, word_ctrl(CTRL_LOST, 7));
	put(&p, word_ctrl(CTRL_TID, 4242));
	put(&p, word_body(WORD_FREE, 0, 0x20));
	publish(&p);
	rings_drain(f->rs);
	assert_int_equal(f->nr_raw, 2);
	assert_int_equal(f->raw_tid[0], self());
	assert_int_equal(f->raw_tid[1], 4242);
	assert_int_equal(f->lost, 7);
	assert_int_equal(f->lost_tid, self());
	assert_int_equal(rings_totals(f->rs).lost, 7);
	assert_int_equal(ring_peek(p.ring, &sure)->tid, self());
	ring_pop(p.ring);
	ev = ring_peek(p.ring, &sure);
	assert_int_equal(ev->kind, EV_CALLS_LOST);
	assert_int_equal(ev->calls_lost.count, 7);
	ring_pop(p.ring);
	ev = ring_peek(p.ring, &sure);
	assert_int_equal(ev->tid, 4242);
	assert_int_equal(ev->call.addr, 0x20);
	produce_end(&p);
}

/* Ids that are no threads of ours are reported as such, and buy a few rings only. */
static void test_foreign(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, 1);
	struct shim_reply a;
	bool sure;
	int i, fds[2];

	put(&p, word_ctrl(CTRL_TID, 2));
	put(&p, word_body(WORD_FREE, 0, 0x20));
	publish(&p);
	rings_drain(f->rs);
	assert_int_equal(ring_peek(p.ring, &sure)->tid, WORD_TID_MAX + 2);
	ring_pop(p.ring);
	put(&p, word_ctrl(CTRL_TID, 2 * WORD_TID_MAX)); /* nobody's number */
	put(&p, word_body(WORD_FREE, 0, 0x20));
	publish(&p);
	rings_drain(f->rs);
	assert_int_equal(ring_peek(p.ring, &sure)->tid, 0);
	for (i = 1; i < 1024; i++) {
		a = ask(f, SHIM_RING, 1, fds);
		assert_int_equal(a.error, 0);
		close(fds[0]);
		close(fds[1]);
	}
	a = ask(f, SHIM_RING, 1, fds);
	assert_int_equal(a.error, ENOSPC);
	assert_int_equal(rings_totals(f->rs).open, 1024);
	produce_end(&p);
}

static void test_exec(void **state)
{
	struct fixture *f = *state;
	struct producer a = produce(f, self()), b;

	say(&a, word_body(WORD_FREE, 0, 0x10));
	b = produce(f, self());
	say(&b, word_body(WORD_FREE, 0, 0x20));
	rings_drain(f->rs);
	assert_int_equal(f->closed, 0); /* its event has not been taken */
	assert_int_equal(next_addr(a.ring), 0x10);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 1);
	assert_int_equal(a.h->detached, 1);
	assert_int_equal(next_addr(b.ring), 0x20);
	/* A ring that went over to another thread is not touched. */
	say(&b, word_ctrl(CTRL_TID, 4242));
	produce_end(&a);
	a = produce(f, self());
	rings_drain(f->rs);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 1);
	produce_end(&a);
	produce_end(&b);
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct producer p[3];
	int i;

	for (i = 0; i < 3; i++) {
		p[i] = produce(f, 0);
		say(&p[i], word_body(WORD_FREE, 0, 0x10));
	}
	rings_gone(f->rs, 1);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 0);
	rings_gone(f->rs, (uint32_t)getpid());
	rings_drain(f->rs);
	assert_int_equal(f->closed, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(next_addr(p[i].ring), 0x10);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 3);
	assert_int_equal(rings_totals(f->rs).open, 0);
	for (i = 0; i < 3; i++)
		produce_end(&p[i]);
}

/* Nobody takes the events: the ring stays full, and memory bounded. */
static void test_back_pressure(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self()), q = produce(f, 0);
	size_t nr = 0, taken = 0;
	bool sure;
	int i;

	for (i = 0; i < 1600; i++) {
		while (room(&p)) {
			put(&p, word_body(WORD_FREE, 0, 16));
			nr++;
		}
		publish(&p);
		rings_drain(f->rs);
	}
	assert_int_equal(p.h->head - p.h->tail, p.words);
	assert_int_equal(p.h->tail, 64 << 17);
	/* What q says now may come after something that p keeps back. */
	say(&q, word_body(WORD_FREE, 0, 0x20));
	rings_drain(f->rs);
	rings_drain(f->rs);
	assert_non_null(ring_peek(q.ring, &sure));
	assert_false(sure);
	do {
		while (next_addr(p.ring))
			taken++;
	} while (rings_drain(f->rs));
	assert_int_equal(taken, nr);
	assert_non_null(ring_peek(q.ring, &sure));
	assert_true(sure);
	produce_end(&p);
	produce_end(&q);
}

static size_t fill(struct producer *p)
{
	size_t nr = 0;

	for (; room(p); nr++)
		put(p, word_body(WORD_FREE, 0, 16));
	publish(p);
	return nr;
}

/*
 * The limit is of all rings together, but what a ring holds is always read: what
 * the others keep back must not keep it back as well.
 */
static void test_common_limit(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self()), q = produce(f, 0);
	size_t ring = ring_level_at(q.words, q.h->levels);
	size_t of_p = 0, of_q = 0, taken = 0;
	int i;

	for (i = 0; i < 100; i++) {
		of_q += fill(&q);
		rings_drain(f->rs);
	}
	assert_int_equal(q.h->tail, of_q);
	for (i = 0; i < 1600; i++) {
		of_p += fill(&p);
		rings_drain(f->rs);
	}
	assert_int_equal(p.h->tail + q.h->tail, 64 << 17);
	assert_int_equal(room(&p), 0);
	/* q has had more than its own part by now: nothing more is read of it. */
	assert_true(of_q > 2 * ring);
	of_q += fill(&q);
	rings_drain(f->rs);
	assert_int_equal(room(&q), 0);
	/* One that comes now has its own part all the same. */
	while (next_addr(q.ring))
		taken++;
	assert_int_equal(taken, of_q - q.words);
	rings_drain(f->rs);
	while (next_addr(q.ring))
		taken++;
	for (i = 0; i < 1600; i++) {
		of_p += fill(&p);
		rings_drain(f->rs);
	}
	assert_int_equal(p.h->tail, 64 << 17);
	for (i = 0; i < 100; i++) {
		of_q += fill(&q);
		rings_drain(f->rs);
	}
	assert_int_equal(q.h->tail - taken, 2 * ring);
	assert_int_equal(room(&q), 0);
	/* Nothing is lost. */
	do {
		while (next_addr(q.ring))
			taken++;
		while (next_addr(p.ring))
			of_p--;
	} while (rings_drain(f->rs));
	assert_int_equal(taken, of_q);
	assert_int_equal(of_p, 0);
	produce_end(&p);
	produce_end(&q);
}

/* Rings that all together could become too large may not all grow. */
static void test_many_rings(void **state)
{
	struct fixture *f = *state;
	struct producer p[500];
	uint64_t bytes = 0;
	int i, small = 0;

	for (i = 0; i < 500; i++) {
		p[i] = produce(f, 0);
		bytes += p[i].bytes;
		small += p[i].h->levels == 1;
		say(&p[i], word_body(WORD_FREE, 0, 0x10));
		assert_true(p[i].h->levels == RING_LEVELS || bytes > 510 << 20);
	}
	assert_in_range(small, 90, 110);
	assert_true(bytes < 530 << 20);
	rings_drain(f->rs);
	for (i = 0; i < 500; i++)
		assert_int_equal(next_addr(p[i].ring), 0x10);
	/* A level that this one has no room for is nonsense. */
	grow(&p[499]);
	p[499].head++;
	publish(&p[499]);
	rings_drain(f->rs);
	assert_int_equal(rings_totals(f->rs).broken, 1);
	/* Who comes when they are gone has a whole one. */
	rings_gone(f->rs, (uint32_t)getpid());
	rings_drain(f->rs);
	take_all(p[499].ring);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 500);
	for (i = 0; i < 500; i++)
		produce_end(&p[i]);
	p[0] = produce(f, 0);
	assert_int_equal(p[0].h->levels, RING_LEVELS);
	produce_end(&p[0]);
}

/* A loss that the target could not tell of is told when it is gone. */
static void test_untold_loss(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	bool sure;

	put(&p, word_ctrl(CTRL_LOST, 2));
	publish(&p);
	p.h->lost = 5;
	rings_drain(f->rs);
	assert_int_equal(f->lost, 2);
	rings_gone(f->rs, (uint32_t)getpid());
	rings_drain(f->rs);
	assert_int_equal(f->lost, 5);
	assert_int_equal(ring_peek(p.ring, &sure)->calls_lost.count, 2);
	ring_pop(p.ring);
	assert_int_equal(ring_peek(p.ring, &sure)->calls_lost.count, 3);
	ring_pop(p.ring);
	rings_drain(f->rs);
	assert_int_equal(f->closed, 1);
	produce_end(&p);
}

static void put_free(struct producer *p, uint64_t ts, uint64_t addr)
{
	put(p, word_value(WORD_HDR_TS, ts));
	put(p, word_body(WORD_FREE, 0, addr));
}

/*
 * A thread that has written into two rings, by exec or as it ended: what it wrote is
 * told in that order, whatever order the rings have.
 */
static void test_told_in_order(void **state)
{
	static const struct {
		uint64_t addr;
		bool other;
	} expect[] = { { 0x10, false },
		       { 0x20, false },
		       { 0x30, true },
		       { 0x40, true },
		       { 0x50, true } };
	struct fixture *f = *state;
	struct producer p = produce(f, self()), q = produce(f, self());
	size_t i;

	put_free(&p, 100, 0x10);
	put(&p, word_ctrl(CTRL_TID, 4242));
	put_free(&p, 400, 0x40);
	publish(&p);
	put_free(&q, 200, 0x20);
	put(&q, word_ctrl(CTRL_TID, 4242));
	put_free(&q, 300, 0x30);
	publish(&q);
	rings_drain(f->rs);
	take_all(p.ring);
	take_all(q.ring);
	rings_tell(f->rs);
	put_free(&p, 500, 0x50);
	publish(&p);
	rings_drain(f->rs);
	take_all(p.ring);
	rings_tell(f->rs);
	assert_int_equal(f->nr_taken, 5);
	for (i = 0; i < 5; i++) {
		assert_int_equal(f->taken[i],
				 word_body(WORD_FREE, 0, expect[i].addr));
		assert_int_equal(f->taken_tid[i],
				 expect[i].other ? 4242 : (uint32_t)self());
	}
	produce_end(&p);
	produce_end(&q);
}

/* So it is when nobody listens any more, and nothing is taken after that. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	struct producer p = produce(f, self());
	bool sure;

	put(&p, word_body(WORD_FREE, 0, 0x10));
	publish(&p);
	p.h->lost = 3;
	rings_end(f->rs);
	assert_int_equal(f->lost, 3);
	assert_int_equal(ring_peek(p.ring, &sure)->call.addr, 0x10);
	ring_pop(p.ring);
	assert_int_equal(ring_peek(p.ring, &sure)->calls_lost.count, 3);
	ring_pop(p.ring);
	put(&p, word_ctrl(CTRL_LOST, 3));
	publish(&p);
	assert_int_equal(rings_drain(f->rs), 0);
	rings_end(f->rs);
	assert_int_equal(f->lost, 3);
	assert_null(ring_peek(p.ring, &sure));
	produce_end(&p);
}

static void test_close(void **state)
{
	struct fixture *f;
	struct producer p;

	(void)state;
	setup((void **)&f);
	p = produce(f, self());
	teardown((void **)&f);
	assert_int_equal(p.h->detached, 1);
	assert_int_equal(p.h->wakeups, 1);
	produce_end(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stale_socket),
		TEST(test_handshake),
		TEST(test_stack),
		TEST(test_rude_clients),
		TEST(test_strangers),
		TEST(test_other_user),
		TEST(test_around),
		TEST(test_sure),
		TEST(test_wake),
		TEST(test_head_jumps),
		TEST(test_head_runs_back),
		TEST(test_nonsense),
		cmocka_unit_test_setup_teardown(test_growth, setup_big,
						teardown),
		cmocka_unit_test_setup_teardown(test_growth_nonsense, setup_big,
						teardown),
		TEST(test_future),
		TEST(test_silent_clients),
		TEST(test_scribble),
		TEST(test_half_an_event),
		TEST(test_control),
		TEST(test_foreign),
		TEST(test_exec),
		TEST(test_gone),
		TEST(test_untold_loss),
		TEST(test_told_in_order),
		TEST(test_end),
		cmocka_unit_test_setup_teardown(test_back_pressure, setup_big,
						teardown),
		cmocka_unit_test_setup_teardown(test_common_limit, setup_big,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_rings, setup_big,
						teardown),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
