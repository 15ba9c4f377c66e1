// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that do nothing but allocate.
 *
 *	loops NAME THREADS PAIRS
 *
 *	tight   malloc(64) and its free
 *	mixed   1024 chunks of 8 bytes to 90 KB at a time, one replaced by another
 *	larson  as mixed, 16 to 512 bytes, of chunks that all threads share: most
 *	        are freed by another thread than the one that allocated them
 *
 * Prints CPU time of the threads and wall time, ns a pair, of each thread's loop
 * without its start: what is slow once (libraries, a ring) is not in it. With
 * $LOOPS_GATE it begins when a byte comes on standard input.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define SLOTS 1024
#define WARM 2000

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static unsigned int next_random(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

struct worker {
	pthread_t thread;
	unsigned int seed;
	uint64_t cpu;
	void *slots[SLOTS];
};

static _Atomic(void *) shared[SLOTS];
static void (*loop)(struct worker *w, uint64_t pairs);
static uint64_t pairs;
static pthread_barrier_t barrier;

static void tight(struct worker *w, uint64_t n)
{
	(void)w;
	while (n--)
		free(memset(malloc(64), 1, 1));
}

static size_t mixed_size(unsigned int r)
{
	size_t size = (r >> 10 & 127) + 8;

	return r & 0xff00000 ? size : size * 700;
}

static void mixed(struct worker *w, uint64_t n)
{
	while (n--) {
		unsigned int r = next_random(&w->seed);

		free(w->slots[r % SLOTS]);
		w->slots[r % SLOTS] = malloc(mixed_size(r));
	}
}

static void larson(struct worker *w, uint64_t n)
{
	while (n--) {
		unsigned int r = next_random(&w->seed);
		void *p = malloc((r >> 10) % 497 + 16);

		free(atomic_exchange(&shared[r % SLOTS], p));
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	loop(w, WARM);
	pthread_barrier_wait(&barrier);
	w->cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	loop(w, pairs);
	w->cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - w->cpu;
	pthread_barrier_wait(&barrier);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*loop)(struct worker *w, uint64_t pairs);
	} loops[] = { { "tight", tight },
		      { "mixed", mixed },
		      { "larson", larson } };
	static struct worker workers[MAX_THREADS];
	unsigned int threads = argc > 3 ? (unsigned int)atoi(argv[2]) : 0, i;
	uint64_t wall, cpu = 0, all;
	char c;

	for (i = 0; argc > 3 && i < 3; i++)
		if (!strcmp(argv[1], loops[i].name))
			loop = loops[i].loop;
	if (!loop || !threads || threads > MAX_THREADS) {
		fprintf(stderr,
			"usage: loops tight|mixed|larson THREADS PAIRS\n");
		return 1;
	}
	if (getenv("LOOPS_GATE") && read(STDIN_FILENO, &c, 1) != 1)
		return 1;
	all = strtoull(argv[3], NULL, 0);
	pairs = all / threads;
	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 1; i < threads; i++) {
		workers[i].seed = 2463534242u * (i + 1);
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	workers[0].seed = 2463534242u;
	wall = clock_ns(CLOCK_MONOTONIC);
	work(&workers[0]);
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	for (i = 1; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < threads; i++)
		cpu += workers[i].cpu;
	printf("%.2f %.2f\n", (double)cpu / (double)all,
	       (double)wall / (double)all);
	return 0;
}
