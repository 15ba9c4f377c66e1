// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of VMAs that the victim itself makes and checks, one line each:
 * "name lo hi count": so many VMAs overlap [lo, hi) now. It reads
 * /proc/self/maps for that, not vmaheap.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>

#include "truth.h"

#define PAGE 4096ul

static char maps[1 << 20];

static unsigned int vmas(char *lo, char *hi)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t len = 0;
	ssize_t got;
	unsigned int n = 0;
	char *line;

	while ((got = read(fd, maps + len, sizeof(maps) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	maps[len] = 0;
	for (line = maps; *line; line = strchr(line, '\n') + 1) {
		unsigned long start = strtoul(line, &line, 16);
		unsigned long end = strtoul(line + 1, &line, 16);

		n += start < (unsigned long)hi && end > (unsigned long)lo;
	}
	return n;
}

static void tell(const char *name, char *lo, size_t pages)
{
	truth("%s %#lx %#lx %u\n", name, (unsigned long)lo,
	      (unsigned long)(lo + pages * PAGE), vmas(lo, lo + pages * PAGE));
}

static char *map(size_t pages)
{
	return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A guard on both sides, so that the neighbours cannot merge with it. */
static char *map_alone(size_t pages)
{
	char *p = map(pages + 2);

	munmap(p, PAGE);
	munmap(p + (pages + 1) * PAGE, PAGE);
	return p + PAGE;
}

static void split_and_merge(void)
{
	char *p = map_alone(9);

	tell("mapped", p, 9);
	mprotect(p + 3 * PAGE, 3 * PAGE, PROT_READ);
	tell("split", p, 9);
	mprotect(p + 3 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE);
	tell("merged", p, 9);
	munmap(p + 4 * PAGE, PAGE);
	tell("hole", p, 9);
}

static void move(void)
{
	char *p = map_alone(4), *room = map_alone(20), *q;

	q = mremap(p, 4 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	tell("moved-to", q, 20);
	truth("moved-from %#lx %#lx\n", (unsigned long)p, (unsigned long)q);
}

/* The main thread's stack grows by a page fault, without a system call. */
static __attribute__((noinline)) int deep(unsigned int levels)
{
	volatile char frame[64 << 10];

	frame[0] = 1;
	return levels ? deep(levels - 1) + frame[0] : 0;
}

int main(void)
{
	split_and_merge();
	move();
	deep(20);
	truth("stack %p\n", __builtin_frame_address(0));
	return 0;
}
