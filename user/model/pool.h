/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Chunks by a 32-bit number, so that the shadow array (chunk.c) needs 4 bytes
 * for each. Numbers begin with 1 and are below POOL_MAX; freed ones are used
 * again, the last first.
 */
#ifndef MODEL_POOL_H
#define MODEL_POOL_H

#include "model/chunk.h"

#define POOL_MAX (1u << 31)

struct pool {
	struct chunk *chunks; /* moves when it grows */
	uint32_t used; /* numbers below it have been handed out once */
	uint32_t cap;
	uint32_t free; /* first of the freed ones, linked by `tid`; 0: none */
};

uint32_t pool_take_new(struct pool *p);

/* A zeroed pool is an empty one. Returns 0 when there is no memory. */
static inline uint32_t pool_take(struct pool *p)
{
	uint32_t nr = p->free;

	if (!nr)
		return pool_take_new(p);
	p->free = p->chunks[nr].tid;
	return nr;
}

static inline void pool_give(struct pool *p, uint32_t nr)
{
	p->chunks[nr].tid = p->free;
	p->free = nr;
}

void pool_destroy(struct pool *p);
/* Empty again, with the memory that it has. False: it has none, or too much to keep. */
bool pool_reset(struct pool *p);

/*
 * Few first touches for memory that will be used: huge pages, in place of what
 * is there already, too. Only advice: where it is not taken, all is as before.
 */
void want_huge_pages(void *mem, size_t size);

#endif
