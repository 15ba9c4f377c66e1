// SPDX-License-Identifier: GPL-2.0
/*
 * Eight threads allocate, and free what others have allocated. Prints how many
 * allocations and frees were made from this file, and what is still alive.
 * Usage: alloc_threads [ROUNDS]
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc_wait.h"

extern char __executable_start, etext;

#define THREADS 8
#define SHARED 512

static void *shared[SHARED]; /* whoever swaps a pointer out owns it */
static unsigned long rounds = 20000;
static unsigned long allocs, frees;

static unsigned int next_random(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static void *work(void *arg)
{
	unsigned int x = 2463534242u + (unsigned int)(uintptr_t)arg;
	unsigned long i, a = 0, f = 0;

	for (i = 0; i < rounds; i++) {
		unsigned int r = next_random(&x);
		void *p = NULL;

		if (r & 3) {
			p = r & 0x300 ? malloc(r >> 10 & 511) :
					malloc(r >> 10 & 0xffff);
			a++;
		}
		p = __atomic_exchange_n(&shared[(r >> 20) % SHARED], p,
					__ATOMIC_ACQ_REL);
		if (p) {
			free(p);
			f++;
		}
	}
	__atomic_fetch_add(&allocs, a, __ATOMIC_RELAXED);
	__atomic_fetch_add(&frees, f, __ATOMIC_RELAXED);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	unsigned long i;

	wait_for_start();
	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, work, (void *)(i * 7919));
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("text %#lx %#lx\n", (unsigned long)&__executable_start,
	       (unsigned long)&etext);
	printf("allocs %lu frees %lu live %lu\n", allocs, frees,
	       allocs - frees);
	return 0;
}
