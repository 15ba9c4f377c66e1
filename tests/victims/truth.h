/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A victim does something to its memory and prints what it did, from what it
 * sees itself: return values, sbrk(0), the bits in front of a chunk. The tests
 * compare that with what vmaheap says. No stdio: its buffer would be a chunk.
 */
#ifndef VICTIMS_TRUTH_H
#define VICTIMS_TRUTH_H

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static inline void truth(const char *fmt,
							       ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(99);
}

/* glibc malloc/malloc.c, struct malloc_chunk: the size word lies before the chunk. */
static inline int is_mmapped(const void *p)
{
	return ((const size_t *)p)[-1] & 2;
}

/* "malloc SIZE ADDR ACT", ACT: the system call that it took, "-" for none. */
static inline void *told_malloc(size_t size)
{
	char *top = sbrk(0);
	void *volatile p = malloc(size);

	truth("malloc %zu %p %s\n", size, p,
	      is_mmapped(p)	     ? "mmap" :
	      (char *)sbrk(0) != top ? "brk" :
				       "-");
	return p;
}

static inline void told_free(void *p)
{
	char *top = sbrk(0);
	int mapped = is_mmapped(p);
	uintptr_t addr = (uintptr_t)p;

	free(p);
	truth("free %#lx %s\n", (unsigned long)addr,
	      mapped		     ? "munmap" :
	      (char *)sbrk(0) != top ? "brk" :
				       "-");
}

#endif
