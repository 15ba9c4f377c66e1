// SPDX-License-Identifier: GPL-2.0
#include <sys/mman.h>

#include "model/pool.h"

#define FIRST_CAP 1024u

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
	p->chunks = mem;
	p->cap = cap;
	if (!p->used)
		p->used = 1;
	return true;
}

uint32_t pool_take(struct pool *p)
{
	uint32_t nr = p->free;

	if (nr) {
		p->free = p->chunks[nr].tid;
		return nr;
	}
	if (p->used == p->cap && !grow(p))
		return 0;
	return p->used++;
}

void pool_give(struct pool *p, uint32_t nr)
{
	p->chunks[nr].tid = p->free;
	p->free = nr;
}

void pool_destroy(struct pool *p)
{
	if (p->cap)
		munmap(p->chunks, p->cap * sizeof(struct chunk));
}
