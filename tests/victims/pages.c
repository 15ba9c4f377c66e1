// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of every kind of residency, then a stop: touched, only read (frames of
 * zeroes), written and swapped out, given back, in huge pages (transparent ones,
 * whole and cut, and hugetlb), private and shared, of a file before and after
 * writing, shared with a child, locked, a ring of io_uring (which has no struct
 * page). Prints "ADDRESS LENGTH WHAT" for each, and "ready".
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)

static char *tell(char *p, size_t len, const char *what)
{
	if (p == MAP_FAILED) {
		printf("none 0 %s\n", what);
		return NULL;
	}
	printf("%#lx %zu %s\n", (unsigned long)p, len, what);
	return p;
}

static char *map(size_t len, int flags, const char *what)
{
	return tell(mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_ANONYMOUS | flags, -1, 0),
		    len, what);
}

/* `len` bytes, 2 MiB-aligned, with room between neighbours, so that none merge. */
static char *map_aligned(size_t len, const char *what)
{
	static uintptr_t at = 0x100000000;
	char *p = mmap((void *)at, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	at += (len + 5 * HUGE) & -HUGE;
	return tell(p, len, what);
}

static void read_all(const volatile char *p, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		(void)p[i];
}

int main(int argc, char **argv)
{
	struct io_uring_params par = { 0 };
	int fd, ring, i;
	char *p, byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open(argc > 1 ? argv[1] : "/proc/self/exe", O_RDWR);

	p = map_aligned(16 * PAGE, "touched");
	memset(p, 1, 16 * PAGE);
	p = map_aligned(16 * PAGE, "partly");
	for (i = 0; i < 16; i += 3)
		p[i * PAGE] = 1;
	map_aligned(16 * PAGE, "untouched");
	p = map_aligned(16 * PAGE, "read");
	madvise(p, 16 * PAGE, MADV_NOHUGEPAGE);
	read_all(p, 16 * PAGE);
	p = map_aligned(2 * HUGE, "read-huge");
	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	read_all(p, 2 * HUGE);
	p = map_aligned(64 * PAGE, "swapped");
	madvise(p, 64 * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < 64; i++)
		memset(p + i * PAGE, i + 1, PAGE);
	madvise(p, 48 * PAGE, MADV_PAGEOUT);
	p = map_aligned(32 * PAGE, "returned");
	memset(p, 1, 32 * PAGE);
	madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED);
	p = map_aligned(32 * PAGE, "free");
	memset(p, 1, 32 * PAGE);
	madvise(p, 32 * PAGE, MADV_FREE);
	p = map_aligned(3 * HUGE, "huge");
	madvise(p, 3 * HUGE, MADV_HUGEPAGE);
	p[0] = p[2 * HUGE] = 1;
	p = map_aligned(2 * HUGE, "huge-cut");
	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	p[0] = p[HUGE] = 1;
	mprotect(p + HUGE + HUGE / 2, PAGE, PROT_READ);
	p = map_aligned(2 * HUGE, "not-huge");
	madvise(p, 2 * HUGE, MADV_NOHUGEPAGE);
	memset(p, 1, 2 * HUGE);
	p = map(2 * HUGE, MAP_PRIVATE | MAP_HUGETLB, "hugetlb");
	if (p)
		p[0] = 1;
	p = map(2 * HUGE, MAP_SHARED | MAP_HUGETLB, "hugetlb-shared");
	if (p)
		p[HUGE] = 1;
	p = map(16 * PAGE, MAP_SHARED, "shared");
	memset(p, 1, 7 * PAGE);
	read_all(p + 8 * PAGE, 2 * PAGE);
	p = map_aligned(8 * PAGE, "locked");
	mlock(p, 8 * PAGE);
	p = tell(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
		      0),
		 16 * PAGE, "file");
	read_all(p, 6 * PAGE);
	p[2 * PAGE] = 1;
	p[9 * PAGE] = 1;
	p = tell(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0),
		 16 * PAGE, "file-shared");
	p[3 * PAGE] = 1;
	ring = syscall(SYS_io_uring_setup, 4, &par);
	p = tell(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES),
		 PAGE, "ring");

	/* A child holds the same pages, and keeps what it has copied. */
	p = map_aligned(8 * PAGE, "forked");
	memset(p, 1, 8 * PAGE);
	if (!fork()) {
		p[0] = 2;
		(void)!read(0, &byte, 1);
		_exit(0);
	}
	puts("ready");
	(void)!read(0, &byte, 1);
	return 0;
}
