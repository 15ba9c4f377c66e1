// SPDX-License-Identifier: GPL-2.0
/*
 * What each choice of the shim's hot path costs: ns that it adds to a malloc
 * and its free, recorded and not yet read by anybody.
 *
 * All ways to record run in one process and take turns, a few thousand pairs
 * each, hundreds of times, so that whatever the machine does meets all of them;
 * of each way's turns the 25th percentile is taken. "the shim" is the library
 * itself, loaded beside the others; the other ways are written here, as much
 * like it as can be, and differ in one thing each.
 *
 *	hot SHIM.so [ROUNDS]
 */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "intake/rings.h"
#include "probe/words.h"

#define PAIRS 3000 /* a turn */
#define WARM 300 /* more, before the clock is looked at */
#define RING_WORDS (1u << 17)
#define MAX_ROUNDS 5000

#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- ways to record ---- */

enum choice {
	WORDS_1 = 0, /* 8 bytes an event */
	WORDS_3 = 1, /* 24: address, size, caller or time */
	CALLER = 2, /* compared with the last one, told when it differs */
	STAMP = 4, /* the stamp page, before and after the call */
	HEAD = 8, /* published with each event, for the reader */
	RDTSC = 16,
	CLOCK = 32,
	COARSE = 64,
	EACH_CALLER = 128, /* a word of its own in each event */
};

struct slot {
	uint64_t head, limit, *data, mask;
	uint64_t ts, callers[2];
	uint64_t *stamp;
};

struct ring {
	uint64_t head;
	uint64_t words[RING_WORDS] __attribute__((aligned(4096)));
};

static __thread struct slot *my_slot;
static uint64_t stamp_word;

static NOINLINE __attribute__((cold)) void
tell_change(struct slot *s, uint64_t ts, uint64_t caller, uint64_t *caller_was)
{
	s->data[s->head++ & s->mask] = ts;
	s->data[s->head++ & s->mask] = caller;
	s->ts = ts;
	*caller_was = caller;
}

INLINE uint64_t stamp_of(const struct slot *s)
{
	return __atomic_load_n(s->stamp, __ATOMIC_ACQUIRE);
}

INLINE uint64_t time_of(enum choice c)
{
	struct timespec ts;

	if (c & RDTSC)
		return __rdtsc();
	if (!(c & (CLOCK | COARSE)))
		return 0;
	clock_gettime(c & CLOCK ? CLOCK_MONOTONIC : CLOCK_MONOTONIC_COARSE,
		      &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

INLINE void put(struct slot *s, uint64_t word)
{
	s->data[s->head++ & s->mask] = word;
}

INLINE void record(struct slot *s, enum choice c, unsigned int which,
		   uint64_t begin, uint64_t caller, uint64_t word)
{
	uint64_t ts = c & STAMP ? stamp_of(s) : 0;
	uint64_t now = c & CALLER ? caller : 0;

	(void)begin;
	if (c & (STAMP | CALLER) &&
	    __builtin_expect((ts ^ s->ts) | (now ^ s->callers[which]), 0))
		tell_change(s, ts, now, &s->callers[which]);
	put(s, word);
	if (c & WORDS_3) {
		put(s, caller);
		put(s, time_of(c));
	} else if (c & (RDTSC | CLOCK | COARSE)) {
		put(s, time_of(c));
	} else if (c & EACH_CALLER) {
		put(s, caller);
	}
	if (c & HEAD)
		__atomic_store_n(
			&((struct ring *)((char *)s->data - 4096))->head,
			s->head, __ATOMIC_RELEASE);
}

#define CALLED_FROM ((uint64_t)(uintptr_t)__builtin_return_address(0))

INLINE void *record_malloc(enum choice c, size_t size, struct slot *s,
			   uint64_t caller)
{
	uint64_t begin = c & STAMP ? stamp_of(s) : 0;
	void *p = malloc(size);

	record(s, c, 0, begin, caller,
	       1 | (uint64_t)size << 4 | (uint64_t)(uintptr_t)p << 17);
	return p;
}

INLINE void record_free(enum choice c, void *p, struct slot *s, uint64_t caller)
{
	record(s, c, 1, 0, caller, 2 | (uint64_t)(uintptr_t)p << 17);
	free(p);
	if (c & STAMP && __builtin_expect(stamp_of(s) != s->ts, 0))
		put(s, 7);
}

static NOINLINE void make_room(struct slot *s)
{
	s->limit = s->head + RING_WORDS - 64;
}

/* As SHIM() of user/probe/shim.c. */
#define WAY(name, c)                                                          \
	static NOINLINE void *name##_malloc_fast(size_t size, struct slot *s, \
						 uint64_t caller)             \
	{                                                                     \
		return record_malloc((enum choice)(c), size, s, caller);      \
	}                                                                     \
	static NOINLINE void name##_free_fast(void *p, struct slot *s,        \
					      uint64_t caller)                \
	{                                                                     \
		record_free((enum choice)(c), p, s, caller);                  \
	}                                                                     \
	static NOINLINE void *name##_malloc(size_t size)                      \
	{                                                                     \
		struct slot *s = my_slot;                                     \
                                                                              \
		if (__builtin_expect(!s || s->head >= s->limit, 0))           \
			make_room(s);                                         \
		return name##_malloc_fast(size, s, CALLED_FROM);              \
	}                                                                     \
	static NOINLINE void name##_free(void *p)                             \
	{                                                                     \
		struct slot *s = my_slot;                                     \
                                                                              \
		if (__builtin_expect(!s || s->head >= s->limit, 0))           \
			make_room(s);                                         \
		name##_free_fast(p, s, CALLED_FROM);                          \
	}

static NOINLINE void *wrapper_malloc(size_t size)
{
	void *p = malloc(size);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

static NOINLINE void wrapper_free(void *p)
{
	free(p);
	__asm__ volatile("" : : : "memory");
}

WAY(bare, WORDS_1)
WAY(head, WORDS_1 | HEAD)
WAY(stamp, WORDS_1 | HEAD | STAMP)
WAY(caller, WORDS_1 | HEAD | STAMP | CALLER)
WAY(each, WORDS_1 | HEAD | STAMP | EACH_CALLER)
WAY(tsc, WORDS_1 | HEAD | CALLER | RDTSC)
WAY(coarse, WORDS_1 | HEAD | CALLER | COARSE)
WAY(clock, WORDS_1 | HEAD | CALLER | CLOCK)
WAY(wide, WORDS_3 | HEAD | STAMP)
WAY(wide_tsc, WORDS_3 | HEAD | RDTSC)
WAY(wide_clock, WORDS_3 | HEAD | CLOCK)

static struct way {
	const char *name;
	void *(*malloc)(size_t);
	void (*free)(void *);
	struct slot slot;
} ways[] = {
#define ENTRY(text, name)                         \
	{                                         \
		text, name##_malloc, name##_free, \
		{                                 \
			0                         \
		}                                 \
	}
	{ "libc alone", malloc, free, { 0 } },
	ENTRY("a wrapper that does nothing", wrapper),
	ENTRY("8 B an event, never published", bare),
	ENTRY("8 B", head),
	ENTRY("8 B, stamp page", stamp),
	ENTRY("8 B, stamp page, caller when it changes", caller),
	ENTRY("8 B, stamp page, caller in each event", each),
	ENTRY("8 B, caller, rdtsc", tsc),
	ENTRY("8 B, caller, CLOCK_MONOTONIC_COARSE", coarse),
	ENTRY("8 B, caller, CLOCK_MONOTONIC", clock),
	ENTRY("24 B, stamp page, caller", wide),
	ENTRY("24 B, caller, rdtsc", wide_tsc),
	ENTRY("24 B, caller, CLOCK_MONOTONIC", wide_clock),
	{ "the shim, nobody listens", NULL, NULL, { 0 } },
	{ "the shim", NULL, NULL, { 0 } },
};

#define WAYS (sizeof(ways) / sizeof(*ways))
#define UNHEARD (&ways[WAYS - 2])
#define REAL (&ways[WAYS - 1])

/* ---- what they are used for ---- */

static unsigned int next_random(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static NOINLINE void tight(const struct way *w, size_t pairs)
{
	size_t i;

	for (i = 0; i < pairs; i++)
		w->free(memset(w->malloc(64), 1, 1));
}

static NOINLINE void batch(const struct way *w, size_t pairs)
{
	void *p[100];
	size_t i, j;

	for (i = 0; i < pairs; i += 100) {
		for (j = 0; j < 100; j++)
			p[j] = w->malloc(32 + j % 8 * 16);
		for (j = 0; j < 100; j++)
			w->free(p[j]);
	}
}

/* Each way has chunks and a sequence of its own, so that all do the same. */
static NOINLINE void mixed(const struct way *w, size_t pairs)
{
	static void *p[WAYS][1024];
	static unsigned int seeds[WAYS];
	size_t n = (size_t)(w - ways), i;
	unsigned int x = seeds[n] ? seeds[n] : 2463534242u;

	for (i = 0; i < pairs; i++) {
		unsigned int r = next_random(&x), at = r % 1024;
		size_t size = (r >> 10 & 127) + 8;

		if (!(r & 0xff00000))
			size <<= 8;
		w->free(p[n][at]);
		p[n][at] = w->malloc(size);
	}
	seeds[n] = x;
}

static const struct {
	const char *name;
	void (*run)(const struct way *w, size_t pairs);
} loops[] = { { "tight", tight }, { "batch", batch }, { "mixed", mixed } };

#define LOOPS (sizeof(loops) / sizeof(*loops))

/* ---- the shim and its reader, both here ---- */

static struct rings *rings;
static struct ring *shim_ring; /* the reader's, not the one above */
static int stamp_fd;

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *fd)
{
	(void)ctx;
	(void)tgid;
	(void)flags;
	if (fd)
		*fd = stamp_fd;
	return 0;
}

static void opened(void *ctx, struct ring *r)
{
	(void)ctx;
	__atomic_store_n(&shim_ring, r, __ATOMIC_RELEASE);
}

static void *answer(void *arg)
{
	struct pollfd p = { rings_fd(rings), POLLIN, 0 };

	(void)arg;
	while (!__atomic_load_n(&shim_ring, __ATOMIC_ACQUIRE) &&
	       poll(&p, 1, 5000) > 0)
		rings_accept(rings);
	return NULL;
}

static uint64_t drain(void)
{
	uint64_t nr = 0;
	bool sure;

	rings_drain(rings);
	for (; ring_peek(shim_ring, &sure); nr++)
		ring_pop(shim_ring);
	return nr;
}

/*
 * A copy of the library, for each copy has its own state. The names must
 * differ, for dlopen() gives what it has already of one name.
 */
static bool load(struct way *w, const char *shim, const char *copy)
{
	char command[1024];
	void *so;

	snprintf(command, sizeof(command), "cp '%s' '%s'", shim, copy);
	so = system(command) ? NULL : dlopen(copy, RTLD_NOW | RTLD_LOCAL);
	unlink(copy);
	if (!so)
		return false;
	w->malloc = (void *(*)(size_t))dlsym(so, "malloc");
	w->free = (void (*)(void *))dlsym(so, "free");
	w->free(w->malloc(1)); /* the handshake */
	return w->malloc && w->free;
}

static bool start_shims(const char *shim)
{
	static const struct rings_ops ops = { .admit = admit,
					      .opened = opened };
	char dir[] = "/tmp/vmaheap-hot.XXXXXX", sock[64], copy[2][64];
	pthread_t thread;
	bool ok;

	if (!mkdtemp(dir))
		return false;
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	snprintf(copy[0], sizeof(copy[0]), "%s/unheard.so", dir);
	snprintf(copy[1], sizeof(copy[1]), "%s/heard.so", dir);
	stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	rings = rings_open(sock, RING_WORDS * 8, true, &ops, NULL);
	if (!rings || ftruncate(stamp_fd, 4096))
		return false;
	unsetenv(SHIM_SOCK_ENV);
	ok = load(UNHEARD, shim, copy[0]);
	pthread_create(&thread, NULL, answer, NULL);
	setenv(SHIM_SOCK_ENV, sock, 1);
	ok = ok && load(REAL, shim, copy[1]);
	pthread_join(thread, NULL);
	rmdir(dir);
	return ok && shim_ring;
}

/* ---- the turns ---- */

static double figures[LOOPS][WAYS][MAX_ROUNDS];
static uint64_t turns, told;

static double turn(struct way *w, size_t loop)
{
	uint64_t ns;

	my_slot = &w->slot;
	loops[loop].run(w, WARM);
	ns = clock_ns();
	loops[loop].run(w, PAIRS);
	ns = clock_ns() - ns;
	if (w == REAL) {
		told += drain();
		turns++;
	}
	return (double)ns / PAIRS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quarter(double *f, int rounds)
{
	qsort(f, (size_t)rounds, sizeof(*f), by_value);
	return f[rounds / 4];
}

static void make_slots(void)
{
	for (size_t i = 0; i < WAYS; i++) {
		struct ring *r = aligned_alloc(4096, sizeof(*r));

		if (!r)
			exit(2);
		memset(r, 0, sizeof(*r));
		ways[i].slot.data = r->words;
		ways[i].slot.mask = RING_WORDS - 1;
		ways[i].slot.stamp = &stamp_word;
	}
}

static void print_table(int rounds)
{
	double base[LOOPS];
	size_t w, l;

	printf("| added ns a pair |");
	for (l = 0; l < LOOPS; l++) {
		base[l] = quarter(figures[l][0], rounds);
		printf(" %s (%.1f) |", loops[l].name, base[l]);
	}
	printf("\n|---|---:|---:|---:|\n");
	for (w = 1; w < WAYS; w++) {
		printf("| %s |", ways[w].name);
		for (l = 0; l < LOOPS; l++)
			printf(" %.1f |",
			       quarter(figures[l][w], rounds) - base[l]);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 400, r;
	size_t w, l;

	if (argc < 2 || rounds < 4 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: hot SHIM.so [ROUNDS]\n");
		return 1;
	}
	make_slots();
	if (!start_shims(argv[1])) {
		fprintf(stderr, "hot: the shim cannot be had\n");
		return 2;
	}
	for (l = 0; l < LOOPS; l++)
		for (r = 0; r < rounds; r++)
			for (w = 0; w < WAYS; w++)
				figures[l][w][r] = turn(&ways[w], l);
	print_table(rounds);
	if (told < turns * 2 * PAIRS) {
		fprintf(stderr,
			"hot: the shim told of %lu events in %lu turns\n", told,
			turns);
		return 1;
	}
	return 0;
}
