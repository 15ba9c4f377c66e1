// SPDX-License-Identifier: GPL-2.0
/*
 * churn THREADS SECONDS: allocates and frees across threads until the time is
 * over or it is killed; prints "running PID" once all threads run.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "truth.h"

#define SLOTS 1024

static _Atomic(void *) slots[SLOTS];
static atomic_int running;
static time_t end;

static void *thread(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15ull + 1;
	size_t size;

	running++;
	while (time(NULL) < end) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size = x >> 20 & 63 ? x >> 30 & 2047 : x >> 30 & 0x3ffff;
		/* whoever comes next frees it: in another thread, most often */
		free(atomic_exchange(&slots[x % SLOTS], malloc(size)));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2, i;
	pthread_t t[64];

	end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 3);
	for (i = 0; i < threads && i < 64; i++)
		pthread_create(&t[i], NULL, thread, (void *)(uintptr_t)(i + 1));
	while (running < i)
		usleep(1000);
	truth("running %d\n", getpid());
	while (i--)
		pthread_join(t[i], NULL);
	return 0;
}
