// SPDX-License-Identifier: GPL-2.0
/*
 * Many short threads, a few at a time; each allocates and frees in its body and
 * again in every round of a key destructor, the last after the shim's own.
 * Prints the counts of this file. Usage: alloc_churn [THREADS]
 */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc_wait.h"

extern char __executable_start, etext;

#define AT_ONCE 10

static pthread_key_t key;
static unsigned long allocs, frees;

static void *get(size_t size)
{
	__atomic_fetch_add(&allocs, 1, __ATOMIC_RELAXED);
	return malloc(size);
}

static void put(void *p)
{
	__atomic_fetch_add(&frees, 1, __ATOMIC_RELAXED);
	free(p);
}

static void again(void *arg)
{
	put(get(77));
	pthread_setspecific(key, arg);
}

static void *work(void *arg)
{
	void *p[20];
	int i;

	for (i = 0; i < 20; i++)
		p[i] = get((size_t)i * 10);
	for (i = 0; i < 20; i++)
		put(p[i]);
	pthread_setspecific(key, (void *)1);
	return arg;
}

int main(int argc, char **argv)
{
	unsigned long i, j, nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000;

	wait_for_start();
	pthread_key_create(&key, again);
	for (i = 0; i < nr; i += AT_ONCE) {
		pthread_t t[AT_ONCE];

		for (j = 0; j < AT_ONCE; j++)
			if (pthread_create(&t[j], NULL, work, NULL))
				return 1;
		for (j = 0; j < AT_ONCE; j++)
			pthread_join(t[j], NULL);
	}
	printf("text %#lx %#lx\n", (unsigned long)&__executable_start,
	       (unsigned long)&etext);
	printf("allocs %lu frees %lu live %lu\n", allocs, frees,
	       allocs - frees);
	return 0;
}
