// SPDX-License-Identifier: GPL-2.0
/*
 * What a few system calls and a page fault cost, in ns, a line each:
 *
 *	OPERATION THREAD MACHINE
 *
 * THREAD is this thread's CPU time, what the call costs its caller; MACHINE is
 * the time that passed, with whatever else ran because of it: on one CPU a
 * tracer's own work is in it. tests/bench/kernel runs this under each tracer;
 * with tests/vm/run --icount a ns is an instruction.
 *
 *	calls [ITERATIONS]
 *
 * An operation is a pair of calls that ends where it began, so that the address
 * space stays as it was.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char *page; /* for mprotect, with a neighbour that it may merge with */
static char *fresh; /* pages that nobody has touched, for the fault */
static char *top; /* of the heap */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* The system calls as they are: libc's brk() calls more than once. */

static void mmap_munmap(void)
{
	munmap(map(4096), 4096);
}

static void mprotects(void)
{
	mprotect(page, 4096, PROT_READ);
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void brks(void)
{
	syscall(SYS_brk, top + 4096);
	syscall(SYS_brk, top);
}

static void fault(void)
{
	*(volatile char *)fresh = 1;
	fresh += 4096;
}

static void getppid_call(void)
{
	syscall(SYS_getppid);
}

static const struct {
	const char *name;
	void (*run)(void);
} operations[] = {
	{ "mmap+munmap", mmap_munmap },
	{ "mprotect_x2", mprotects },
	{ "brk_x2", brks },
	{ "fault", fault },
	{ "getppid", getppid_call },
};

/* What a tracer has been given before is worked off in the meantime. */
static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 1 ? (unsigned int)atoi(argv[1]) : 2000;
	size_t i, len = n * 4096UL;
	static char buffer[4096];
	char *pages = map(len);

	setvbuf(stdout, buffer, _IOFBF,
		sizeof(buffer)); /* or malloc moves the brk */
	madvise(pages, len, MADV_NOHUGEPAGE);
	page = map(3 * 4096) + 4096;
	*page = 1;
	top = (char *)syscall(SYS_brk, 0);
	fresh = pages;
	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		uint64_t thread, machine;
		unsigned int k;

		for (k = 0; k < 10; k++)
			operations[i].run();
		fresh = pages;
		madvise(pages, len, MADV_DONTNEED);
		settle();
		machine = clock_ns(CLOCK_MONOTONIC);
		thread = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		for (k = 0; k < n; k++)
			operations[i].run();
		thread = clock_ns(CLOCK_THREAD_CPUTIME_ID) - thread;
		machine = clock_ns(CLOCK_MONOTONIC) - machine;
		printf("%s %.0f %.0f\n", operations[i].name, (double)thread / n,
		       (double)machine / n);
	}
	return 0;
}
