// SPDX-License-Identifier: GPL-2.0
/*
 * A second thread's arena: a reserve of 64 MiB (glibc malloc/arena.c,
 * HEAP_MAX_SIZE on 64 bit), of which mprotect commits what is used.
 */
#include <pthread.h>

#include "truth.h"

#define BLOCKS 64
#define HEAP_MAX (64ul << 20)

static void *blocks[BLOCKS];

static void *thread(void *arg)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(20000);
		memset(blocks[i], 1, 20000);
	}
	return arg;
}

int main(void)
{
	pthread_t t;
	size_t i;

	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	truth("reserve %#lx %#lx\n", (unsigned long)blocks[0] & ~(HEAP_MAX - 1),
	      HEAP_MAX);
	for (i = 0; i < BLOCKS; i++)
		truth("live %p 20000 -\n", blocks[i]);
	return 0;
}
