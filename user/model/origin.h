/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which event brought each byte of an address space into being, regardless of
 * how VMAs merge and split: a heap that grew by ten brk calls is one VMA with ten
 * origins. Segments are sorted and do not overlap; neighbours have different
 * causes.
 */
#ifndef MODEL_ORIGIN_H
#define MODEL_ORIGIN_H

#include <stddef.h>

#include "model/vma.h"

struct origin {
	uint64_t start, end;
	struct cause *cause; /* owned reference */
};

struct origins {
	struct origin *v;
	size_t nr, cap;
};

void origins_free(struct origins *o); /* the contents, not *o */
/* The first segment that ends above addr; o->nr when there is none. */
size_t origins_lower(const struct origins *o, uint64_t addr);
/*
 * [start, end) comes from `cause` now, NULL: is no more. 0 or -ENOMEM (nothing
 * has changed).
 */
int origins_set(struct origins *o, uint64_t start, uint64_t end,
		struct cause *cause);
/* NULL when the structure is sound, else what is wrong with it. */
const char *origins_check(const struct origins *o);

#endif
