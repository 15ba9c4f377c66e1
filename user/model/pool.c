// SPDX-License-Identifier: GPL-2.0
#include <sys/mman.h>

#include "model/pool.h"

#define FIRST_CAP 1024u
#define HUGE_BYTES (1u << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

void want_huge_pages(void *mem, size_t size)
{
	madvise(mem, size, MADV_HUGEPAGE);
	madvise(mem, size, MADV_COLLAPSE);
}

/* mremap moves page tables, not bytes: growing costs the same at any size. */
static bool grow(struct pool *p)
{
	uint32_t cap = p->cap ? p->cap * 2 : FIRST_CAP;
	size_t old = p->cap * sizeof(struct chunk);
	size_t size = cap * sizeof(struct chunk);
	void *mem;

	if (p->cap == POOL_MAX)
		return false;
	if (p->cap)
		mem = mremap(p->chunks, old, size, MREMAP_MAYMOVE);
	else
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return false;
	if (size >= HUGE_BYTES)
		want_huge_pages(mem, size);
	p->chunks = mem;
	p->cap = cap;
	if (!p->used)
		p->used = 1;
	return true;
}

uint32_t pool_take_new(struct pool *p)
{
	if (p->used == p->cap && !grow(p))
		return 0;
	return p->used++;
}

bool pool_reset(struct pool *p)
{
	p->used = 1;
	p->free = 0;
	return p->cap && p->cap * sizeof(struct chunk) < HUGE_BYTES;
}

void pool_destroy(struct pool *p)
{
	if (p->cap)
		munmap(p->chunks, p->cap * sizeof(struct chunk));
}
