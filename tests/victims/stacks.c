// SPDX-License-Identifier: GPL-2.0
/*
 * Allocates under call chains of every kind that a compiler makes, and tells what
 * libgcc's unwinder says of each: lines "SIZE: ADDRESS ADDRESS ...", the
 * innermost caller first, without the function that allocates. Sizes are
 * unique. The seed of the chains is the argument.
 *
 *	stacks SEED CHAINS
 */
#include <alloca.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define FIRST_SIZE 20000
#define FRAMES 256
#define TRUTHS 4000

#define NOINLINE __attribute__((noinline))
#define KEEP __asm__ volatile("" : : : "memory") /* no tail call */

struct truth {
	size_t size;
	int nr;
	void *frames[FRAMES];
};

static struct truth truths[TRUTHS];
static unsigned int nr_truths;
static __thread unsigned int seed;

static unsigned int rnd(void)
{
	seed = seed * 1103515245 + 12345;
	return seed >> 16;
}

/* Its own frame is the first of each list; which differs by an instruction or two. */
static NOINLINE void take(void)
{
	unsigned int n = __atomic_fetch_add(&nr_truths, 1, __ATOMIC_RELAXED);
	struct truth *t = &truths[n];

	if (n >= TRUTHS)
		abort();
	t->size = FIRST_SIZE + n;
	t->nr = backtrace(t->frames, FRAMES);
	free(malloc(t->size));
	KEEP;
}

static void down(int depth);

/* --- kinds of frames */

static NOINLINE void plain(int depth)
{
	down(depth);
	KEEP;
}

static NOINLINE void large(int depth)
{
	volatile char room[20000];

	room[0] = 1;
	down(depth);
	room[1] = room[0];
}

/* Needs rbp, for its frame has no fixed size. */
static NOINLINE void with_alloca(int depth)
{
	volatile char *p = alloca(16 + rnd() % 1000);

	p[0] = 1;
	down(depth);
	p[1] = p[0];
}

/* The stack is realigned: the CFA is saved in the frame. */
static NOINLINE void aligned(int depth)
{
	volatile char room[64] __attribute__((aligned(64)));
	volatile char *p = alloca(16 + rnd() % 1000);

	room[0] = p[0] = 1;
	down(depth);
	p[1] = room[0];
}

static NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) void
with_rbp(int depth)
{
	down(depth);
	KEEP;
}

/* All callee-saved registers, rbp with them, hold something else. */
static volatile int sink;
static int nr_chains;

static NOINLINE void registers(int depth)
{
	int a = (int)rnd(), b = (int)rnd(), c = (int)rnd(), d = (int)rnd();
	int e = (int)rnd(), f = (int)rnd(), g = (int)rnd();

	down(depth);
	a ^= b * c + d;
	down(-1);
	sink = a ^ e ^ f * g ^ b;
}

static NOINLINE int many(int depth, ...)
{
	down(depth);
	return depth;
}

static NOINLINE void variadic(int depth)
{
	sink = many(depth, 1, 2, 3.0, 4, 5, 6, 7, 8, 9);
}

static NOINLINE void by_pointer(int depth)
{
	void (*volatile f)(int) = plain;

	f(depth);
	KEEP;
}

static __thread int sort_depth;

static int compare(const void *a, const void *b)
{
	int depth = sort_depth;

	sort_depth = -1;
	down(depth);
	return *(const int *)a - *(const int *)b;
}

/* Through libc, which was compiled by somebody else. */
static NOINLINE void through_qsort(int depth)
{
	int v[5] = { 4, 2, 5, 1, 3 };

	sort_depth = depth;
	qsort(v, 5, sizeof(*v), compare);
}

static NOINLINE void through_bsearch(int depth)
{
	int v[5] = { 1, 2, 3, 4, 5 }, key = 4;

	sort_depth = depth;
	if (!bsearch(&key, v, 5, sizeof(*v), compare))
		abort();
}

static void down(int depth)
{
	static void (*const kinds[])(int) = {
		plain,	       large,		with_alloca, aligned,
		with_rbp,      registers,	variadic,    by_pointer,
		through_qsort, through_bsearch,
	};

	if (depth < 0)
		return;
	if (!depth) {
		take();
		if (rnd() % 3 == 0) /* again, as the walk before */
			take();
		return;
	}
	kinds[rnd() % (sizeof(kinds) / sizeof(*kinds))](depth - 1);
	KEEP;
}

static NOINLINE void chains(int nr)
{
	while (nr--)
		down(1 + (int)(rnd() % 20));
}

/* --- other stacks */

static void *thread(void *arg)
{
	seed = (unsigned int)(uintptr_t)arg;
	chains(nr_chains / 4);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
	down(3);
	KEEP;
}

static void signals(void)
{
	static char room[65536];
	stack_t st = { .ss_sp = room, .ss_size = sizeof(room) };
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	raise(SIGUSR1);
	sa.sa_flags = SA_ONSTACK;
	sigaltstack(&st, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	raise(SIGUSR1);
}

static ucontext_t here, there;

static void coroutine(void)
{
	down(5);
	swapcontext(&there, &here);
	down(5);
}

static void coroutines(void)
{
	static char room[262144] __attribute__((aligned(4096)));

	getcontext(&there);
	there.uc_stack.ss_sp = room;
	there.uc_stack.ss_size = sizeof(room);
	there.uc_link = &here;
	makecontext(&there, coroutine, 0);
	swapcontext(&here, &there);
	down(4);
	swapcontext(&here, &there);
}

static NOINLINE void deep(int depth)
{
	volatile char c = 1;

	if (depth)
		deep(depth - 1);
	else
		take();
	c++;
}

int main(int argc, char **argv)
{
	void *prime[4];
	pthread_t threads[2];
	unsigned int i;
	int k;

	if (argc < 3)
		return 2;
	backtrace(prime, 4); /* which loads libgcc */
	seed = (unsigned int)strtoul(argv[1], NULL, 0);
	nr_chains = atoi(argv[2]);
	chains(nr_chains);
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, thread,
			       (void *)(uintptr_t)(seed + i));
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	signals();
	coroutines();
	for (k = 100; k < 200; k += 7)
		deep(k);
	for (; k > 90; k -= 3)
		deep(k);
	chains(3);
	for (i = 0; i < nr_truths; i++) {
		printf("%zu:", truths[i].size);
		for (k = 1; k < truths[i].nr; k++)
			printf(" %lx", (unsigned long)truths[i].frames[k]);
		printf("\n");
	}
	return 0;
}
