// SPDX-License-Identifier: GPL-2.0
/*
 * Eight threads whose allocator calls often go to the kernel, in every way that
 * glibc has (mmap, munmap, mremap, mprotect of an arena, giving an arena's end
 * back), and which free what others have allocated; between them the threads
 * change memory by themselves. Each thread notes when each of its calls began and
 * ended, by the clock that the module's records have. So of each record of such a
 * thread the truth is known: it was made in the call whose time it lies in.
 *
 *	causes ROUNDS	prints "TID BEGIN END OP SIZE ADDR" of each call, in order
 *
 * OP is "own" when the thread made the system call itself. What a thread does
 * depends on its number alone.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "truth.h"

#define THREADS 8
#define SHARED 64
#define OWN_BYTES 65536

struct note {
	uint64_t begin, end;
	const char *op;
	size_t size;
	uintptr_t addr;
};

struct worker {
	pthread_t thread;
	unsigned int random, tid;
	char *own; /* what its system calls are about */
	struct note *notes;
	size_t nr;
};

static void *_Atomic shared[SHARED];
static unsigned long rounds = 200;
static pthread_barrier_t barrier;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static unsigned int next_random(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static void note(struct worker *w, uint64_t begin, const char *op, size_t size,
		 const void *addr)
{
	w->notes[w->nr++] =
		(struct note){ begin, now(), op, size, (uintptr_t)addr };
}

/* One in four is mapped (threshold 64 KiB), the others make the arena grow. */
static size_t some_size(unsigned int r)
{
	return r & 3 ? 4096 + (r >> 4) % 49152 : 65536 + (r >> 4) % 262144;
}

static void *allocate(struct worker *w, unsigned int r)
{
	size_t size = some_size(r >> 3);
	void *volatile p = NULL;
	uint64_t begin = now();

	switch (r % 6) {
	case 0:
	case 1:
		p = malloc(size);
		note(w, begin, "malloc", size, p);
		break;
	case 2:
		p = calloc(1, size);
		note(w, begin, "calloc", size, p);
		break;
	case 3:
		p = memalign(16384, size);
		note(w, begin, "memalign", size, p);
		break;
	case 4:
		if (posix_memalign((void **)&p, 4096, size))
			_exit(3);
		note(w, begin, "posix_memalign", size, p);
		break;
	default:
		p = aligned_alloc(64, size & ~(size_t)63);
		note(w, begin, "aligned_alloc", size & ~(size_t)63, p);
		break;
	}
	if (!p)
		_exit(4);
	return p;
}

static void release(struct worker *w, void *p)
{
	uint64_t begin = now();

	if (!p)
		return;
	free(p);
	note(w, begin, "free", 0, p);
}

static void *move(struct worker *w, void *p, unsigned int r)
{
	size_t size = some_size(r >> 5);
	uint64_t begin = now();
	void *q = realloc(p, size);

	if (!q)
		_exit(5);
	note(w, begin, "realloc", size, q);
	return q;
}

/* Pages of a mapping of its own: split off, given other rights, removed, put back. */
static void change_own(struct worker *w, unsigned int r)
{
	char *at = w->own + (r >> 4) % 14 * 4096;
	uint64_t begin = now();
	void *p = at;

	if (r & 3)
		mprotect(at, 8192, r & 4 ? PROT_READ : PROT_READ | PROT_WRITE);
	else if (munmap(at, 4096) ||
		 mmap(p, 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		_exit(6);
	note(w, begin, "own", 0, at);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned long i;

	w->tid = (unsigned int)syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < rounds; i++) {
		unsigned int r = next_random(&w->random);
		void *p = NULL;

		if (!(r & 7))
			change_own(w, r >> 3);
		if (r & 0x300)
			p = allocate(w, r >> 10);
		if (p && !(r & 0xc00))
			p = move(w, p, next_random(&w->random));
		p = __atomic_exchange_n((void **)&shared[(r >> 20) % SHARED], p,
					__ATOMIC_ACQ_REL);
		release(w, p);
	}
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(7);
	return p;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	size_t t, i;

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	mallopt(M_MMAP_THRESHOLD, 65536); /* and it stays so */
	mallopt(M_TRIM_THRESHOLD, 65536);
	mallopt(M_TOP_PAD, 4096);
	mallopt(M_ARENA_MAX, 4); /* some have one to themselves, some do not */
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (t = 0; t < THREADS; t++) {
		struct worker *w = &workers[t];

		w->random = 2463534242u + 7919u * (unsigned int)t;
		w->own = map(OWN_BYTES);
		w->notes = map(rounds * 4 * sizeof(*w->notes));
		if (pthread_create(&w->thread, NULL, work, w))
			_exit(8);
	}
	for (t = 0; t < THREADS; t++)
		pthread_join(workers[t].thread, NULL);
	for (t = 0; t < THREADS; t++) {
		const struct worker *w = &workers[t];

		for (i = 0; i < w->nr; i++)
			truth("%u %lu %lu %s %zu %#lx\n", w->tid,
			      w->notes[i].begin, w->notes[i].end,
			      w->notes[i].op, w->notes[i].size,
			      w->notes[i].addr);
	}
	return 0;
}
