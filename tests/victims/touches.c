// SPDX-License-Identifier: GPL-2.0
/*
 * touches: chunks whose pages are first touched by different hands. A line for each,
 * "NAME ADDR BYTES PAGES": so many of its pages were touched after it had been allocated.
 * At the end "marks FROM TO FAULTS": from the touch of the page FROM to that of TO, which
 * counts, the process had so many page faults by getrusage(2).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define BYTES (64 * PAGE)

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

static void tell(const char *name, const void *p, size_t bytes, size_t pages)
{
	printf("%s %p %zu %zu\n", name, p, bytes, pages);
}

static void *mark(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(3);
	*(volatile char *)p = 1;
	return p;
}

/* malloc's header has made the first page present, and the chunk ends in one more. */
__attribute__((noinline)) static void by_the_program(void)
{
	char *p = malloc(BYTES);
	struct timespec later = { 0, 50000000 };

	nanosleep(&later, NULL);
	memset(p, 1, BYTES);
	tell("program", p, BYTES, BYTES / PAGE);
}

__attribute__((noinline)) static void by_nobody(void)
{
	tell("nobody", malloc(BYTES), BYTES, 0);
}

__attribute__((noinline)) static void by_the_kernel(int zero)
{
	char *p = malloc(BYTES);

	if (read(zero, p, BYTES) != (ssize_t)BYTES)
		exit(1);
	tell("kernel", p, BYTES, BYTES / PAGE);
}

/* Page by page, given back, and again. */
__attribute__((noinline)) static void twice(void)
{
	char *p = malloc(BYTES), *page;
	int i;

	for (i = 0; i < 2; i++) {
		for (page = p + PAGE; page < p + 11 * PAGE; page += PAGE)
			*(volatile char *)page = 1;
		madvise((void *)((unsigned long)(p + PAGE) & -PAGE), 10 * PAGE,
			MADV_DONTNEED);
	}
	tell("twice", p, BYTES, 20);
}

/* Touched as one chunk, kept by the next one at the same place. */
__attribute__((noinline)) static void before_its_time(void)
{
	char *p = malloc(4 * PAGE), *q;

	memset(p, 1, 4 * PAGE);
	free(p);
	q = malloc(3 * PAGE);
	memset(q, 2, 3 * PAGE);
	if (q != p)
		exit(2);
	tell("before", q, 3 * PAGE, 0);
}

int main(void)
{
	static char buf[4096];
	int zero = open("/dev/zero", O_RDONLY);
	void *from, *to;
	long before;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	setvbuf(stdout, buf, _IOFBF, sizeof(buf));
	/* So that the shim has its ring, whose pages come without a fault. */
	free(malloc(1));
	from = mark();
	before = faults();
	by_the_program();
	by_nobody();
	by_the_kernel(zero);
	twice();
	before_its_time();
	to = mark();
	printf("marks %p %p %ld\n", from, to, faults() - before);
	return 0;
}
