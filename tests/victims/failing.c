// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that fail, for one reason after the other, and how often:
 * "failed CALL ERROR REASON TIMES". vm.max_map_count should be small.
 */
#include <errno.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "truth.h"

#define PAGE 4096ul
#define LOTS (64ul << 20)

static int times;

static void expect(int failed, int error)
{
	if (failed && errno == error)
		times++;
}

static void tell(const char *call, const char *error, const char *reason)
{
	truth("failed %s %s %s %d\n", call, error, reason, times);
	times = 0;
}

static void *map(void *at, unsigned long len, int prot, int flags)
{
	return (void *)syscall(SYS_mmap, at, len, prot,
			       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void limit(int resource, unsigned long bytes)
{
	struct rlimit r;

	getrlimit(resource, &r);
	r.rlim_cur = bytes;
	setrlimit(resource, &r);
}

int main(void)
{
	char *area = map(0, 16 * PAGE, PROT_READ | PROT_WRITE, 0), *p;
	unsigned long brk = syscall(SYS_brk, 0);
	int i;

	truth("started\n");
	for (i = 0; i < 3; i++)
		expect(map(area, PAGE, PROT_READ, MAP_FIXED_NOREPLACE) ==
			       MAP_FAILED,
		       EEXIST);
	tell("mmap", "EEXIST", "null");
	expect(map(area + 1, PAGE, PROT_READ, MAP_FIXED) == MAP_FAILED, EINVAL);
	tell("mmap", "EINVAL", "null");
	munmap(area + 4 * PAGE, PAGE);
	expect(mprotect(area, 16 * PAGE, PROT_READ), ENOMEM);
	tell("mprotect", "ENOMEM", "null");
	expect(madvise(area, 16 * PAGE, 12345), EINVAL);
	tell("madvise", "EINVAL", "null");
	expect(syscall(SYS_mremap, area, 16 * PAGE, PAGE, 0x100, 0) < 0,
	       EINVAL);
	tell("mremap", "EINVAL", "null");
	expect(munmap(area + 1, PAGE), EINVAL);
	tell("munmap", "EINVAL", "null");
	/* More than there can be: no limit, and not too many VMAs. */
	expect(map(0, 1ul << 46, PROT_READ | PROT_WRITE, 0) == MAP_FAILED,
	       ENOMEM);
	tell("mmap", "ENOMEM", "null");

	limit(RLIMIT_DATA, 1 << 20);
	for (i = 0; i < 2; i++)
		expect(map(0, LOTS, PROT_READ | PROT_WRITE, 0) == MAP_FAILED,
		       ENOMEM);
	tell("mmap", "ENOMEM", "RLIMIT_DATA");
	limit(RLIMIT_DATA, RLIM_INFINITY);
	limit(RLIMIT_AS, LOTS);
	for (i = 0; i < 4; i++)
		expect(map(0, LOTS, PROT_NONE, 0) == MAP_FAILED, ENOMEM);
	tell("mmap", "ENOMEM", "RLIMIT_AS");
	/* It has no errno: it returns where the break is. */
	errno = ENOMEM;
	expect(syscall(SYS_brk, brk + LOTS) == (long)brk, ENOMEM);
	tell("brk", "ENOMEM", "RLIMIT_AS");
	limit(RLIMIT_AS, RLIM_INFINITY);

	for (i = 0; times < 5 && i < 100000; i++)
		expect(map(0, PAGE, i % 2 ? PROT_READ : PROT_NONE, 0) ==
			       MAP_FAILED,
		       ENOMEM);
	tell("mmap", "ENOMEM", "vm.max_map_count");
	p = area + 8 * PAGE; /* a split makes two more */
	expect(mprotect(p, PAGE, PROT_NONE), ENOMEM);
	tell("mprotect", "ENOMEM", "vm.max_map_count");
	return 0;
}
