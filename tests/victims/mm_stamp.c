// SPDX-License-Identifier: GPL-2.0
/*
 * Loads the stamp page (descriptor 3) before and after calls that change its
 * address space, and at the end writes what it saw (descriptor 4):
 *
 *   tid  stamp before  stamp after  number of the call
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define CALLS 1000
#define PAGE 4096UL

struct seen {
	uint64_t a, b;
	int nr;
};

static _Atomic uint64_t *stamp;
static struct seen seen[THREADS][CALLS];
static int tids[THREADS];
static pthread_barrier_t together;

static void *calls(void *arg)
{
	uintptr_t t = (uintptr_t)arg;
	char *p = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	tids[t] = syscall(SYS_gettid);
	pthread_barrier_wait(&together);
	for (int i = 0; i < CALLS; i++) {
		struct seen *s = &seen[t][i];
		char *q = p + (i % 32 * 2 + 1) * PAGE;

		s->a = atomic_load(stamp);
		switch (i % 32 == 31 ? 4 : i % 4) {
		case 0:
			s->nr = SYS_mprotect;
			mprotect(q, PAGE, PROT_READ | PROT_WRITE);
			break;
		case 1:
			s->nr = SYS_mmap;
			mmap(q, PAGE, PROT_READ,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		case 2:
			s->nr = SYS_madvise;
			madvise(q, PAGE, MADV_DONTNEED);
			break;
		case 3:
			s->nr = SYS_mmap;
			mmap(q, PAGE, PROT_NONE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		case 4: /* all alike again */
			s->nr = SYS_mmap;
			mmap(p, 64 * PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		}
		s->b = atomic_load(stamp);
	}
	return NULL;
}

int main(void)
{
	pthread_t t[THREADS];

	stamp = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, 3, 0);
	if (stamp == MAP_FAILED) {
		perror("stamp");
		return 1;
	}
	if (mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0) !=
		    MAP_FAILED ||
	    mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 3, 0) != MAP_FAILED ||
	    mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, 3, 0) != MAP_FAILED ||
	    !mprotect((void *)stamp, PAGE, PROT_READ | PROT_WRITE)) {
		fprintf(stderr, "a mapping that must be refused was not\n");
		return 2;
	}
	pthread_barrier_init(&together, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, calls, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < CALLS; j++)
			dprintf(4, "%d %ju %ju %d\n", tids[i],
				(uintmax_t)seen[i][j].a,
				(uintmax_t)seen[i][j].b, seen[i][j].nr);

	/* The tick: it rises where nothing happens. */
	uint64_t before = atomic_load(stamp);

	usleep(100000);
	if (atomic_load(stamp) == before) {
		fprintf(stderr, "the tick does not tick\n");
		return 3;
	}
	return 0;
}
