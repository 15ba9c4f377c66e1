// SPDX-License-Identifier: GPL-2.0
/*
 * Changes its address space at random, in several threads, with forks, vforks
 * and execs between: mm_storm THREADS OPS [SEED]
 *
 * Half of the calls hit one arena that all threads share, so that they split,
 * merge and overwrite each other's VMAs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define ARENA (512 * PAGE)

static char *arena, *heap;
static pthread_mutex_t brk_lock = PTHREAD_MUTEX_INITIALIZER;
static int ops;
static uint32_t seed;
static pthread_barrier_t together;
static int file;
static char *self;

static uint32_t next(uint32_t *s)
{
	*s = *s * 1664525 + 1013904223;
	return *s >> 8;
}

static void grow_stack(int depth)
{
	volatile char page[PAGE];

	page[0] = depth;
	if (depth > 0)
		grow_stack(depth - 1);
	page[1] = page[0];
}

static void children(uint32_t r)
{
	char *const args[] = { self, "1", "20", NULL };
	pid_t pid = r % 3 ? fork() : vfork();

	if (!pid) {
		if (r % 3 == 1) {
			for (int i = 0; i < 10; i++)
				munmap(mmap(NULL, PAGE << (i & 3), PROT_READ,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
				       PAGE);
			_exit(3);
		}
		execv(self, args);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void one(uint32_t *s, int t)
{
	static const int prots[] = { PROT_NONE, PROT_READ,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_EXEC };
	size_t at = next(s) % 512 * PAGE, len = (1 + next(s) % 16) * PAGE;
	int prot = prots[next(s) % 4];
	char *p = arena + at, *q;

	if (at + len > ARENA)
		len = ARENA - at;
	switch (next(s) % 20) {
	case 0:
	case 1:
	case 2:
		mmap(p, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
		break;
	case 3:
		mmap(p, len, prot & ~PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
		     at);
		break;
	case 4:
	case 5:
		mmap(p, len, prot, MAP_PRIVATE | MAP_FIXED, file, at);
		break;
	case 6:
	case 7:
		munmap(p, len);
		break;
	case 8:
	case 9:
	case 10:
		mprotect(p, len, prot);
		break;
	case 11:
		mremap(p, len, len + PAGE, MREMAP_MAYMOVE);
		break;
	case 12:
		mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		       arena + (at + ARENA / 2) % (ARENA - len));
		break;
	case 13:
		madvise(p, len, next(s) % 2 ? MADV_DONTNEED : MADV_RANDOM);
		break;
	case 14: /* never below what malloc has */
		pthread_mutex_lock(&brk_lock);
		if (next(s) % 2)
			sbrk(len);
		else if ((char *)sbrk(0) - PAGE > heap)
			sbrk(-(intptr_t)PAGE);
		pthread_mutex_unlock(&brk_lock);
		break;
	case 15:
		next(s) % 2 ? mlock2(p, len, MLOCK_ONFAULT) : munlock(p, len);
		break;
	case 16: /* not in a hole of the arena, where others would overwrite it */
		q = mmap((char *)0x10000000000 + t * ARENA, len,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		if (q != MAP_FAILED) {
			memset(q, 1, len);
			munmap(q, len);
		}
		break;
	case 17:
		madvise(p, len, next(s) % 2 ? MADV_DONTFORK : MADV_DOFORK);
		break;
	case 18: {
		int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);

		q = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		if (q != (void *)-1)
			shmdt(q);
		break;
	}
	case 19:
		if (next(s) % 8 == 0)
			grow_stack(next(s) % 64);
		else
			mmap(p, len, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	}
}

static void *storm(void *arg)
{
	int t = (uintptr_t)arg;
	uint32_t s = seed + t;

	/* Stacks are mapped before there are holes into which they could fall. */
	pthread_barrier_wait(&together);
	for (int i = 0; i < ops; i++) {
		one(&s, t);
		if (i % 100 == 50)
			children(next(&s));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 4;
	pthread_t t[64];

	self = argv[0];
	ops = argc > 2 ? atoi(argv[2]) : 1000;
	file = open("/proc/self/exe", O_RDONLY);
	arena = mmap(NULL, ARENA, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	seed = argc > 3 ? atoi(argv[3]) : 0;
	pthread_barrier_init(&together, NULL, threads);
	free(malloc(1));
	heap = (char *)sbrk(0) + 16 * PAGE;
	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, storm, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	return 0;
}
