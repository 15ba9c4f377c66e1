// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/origin.h"

void origins_free(struct origins *o)
{
	for (size_t i = 0; i < o->nr; i++)
		cause_put(o->v[i].cause);
	free(o->v);
	*o = (struct origins){ NULL, 0, 0 };
}

size_t origins_lower(const struct origins *o, uint64_t addr)
{
	size_t lo = 0, hi = o->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (o->v[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int room_for(struct origins *o, size_t more)
{
	size_t cap = o->cap ? o->cap : 32;
	struct origin *v;

	while (cap < o->nr + more)
		cap *= 2;
	if (cap == o->cap)
		return 0;
	v = realloc(o->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	o->v = v;
	o->cap = cap;
	return 0;
}

static void insert(struct origins *o, size_t at, uint64_t start, uint64_t end,
		   struct cause *cause)
{
	memmove(&o->v[at + 1], &o->v[at], (o->nr - at) * sizeof(*o->v));
	o->v[at] = (struct origin){ start, end, cause_get(cause) };
	o->nr++;
}

static void delete (struct origins *o, size_t at, size_t nr)
{
	for (size_t i = at; i < at + nr; i++)
		cause_put(o->v[i].cause);
	memmove(&o->v[at], &o->v[at + nr], (o->nr - at - nr) * sizeof(*o->v));
	o->nr -= nr;
}

/* No segment crosses addr afterwards. */
static void cut(struct origins *o, uint64_t addr)
{
	size_t i = origins_lower(o, addr);

	if (i == o->nr || o->v[i].start >= addr)
		return;
	insert(o, i, o->v[i].start, addr, o->v[i].cause);
	o->v[i + 1].start = addr;
}

/* Segment i and the one before it become one where that is the same. */
static void join(struct origins *o, size_t i)
{
	if (i == 0 || i >= o->nr || o->v[i - 1].end != o->v[i].start ||
	    o->v[i - 1].cause != o->v[i].cause)
		return;
	o->v[i - 1].end = o->v[i].end;
	delete (o, i, 1);
}

int origins_set(struct origins *o, uint64_t start, uint64_t end,
		struct cause *cause)
{
	size_t i, n = 0;

	if (room_for(o, 3))
		return -ENOMEM;
	cut(o, start);
	cut(o, end);
	i = origins_lower(o, start);
	while (i + n < o->nr && o->v[i + n].start < end)
		n++;
	/* The new one first: the cause may live by what is deleted. */
	if (cause)
		insert(o, i + n, start, end, cause);
	delete (o, i, n);
	join(o, i + 1);
	join(o, i);
	return 0;
}

const char *origins_check(const struct origins *o)
{
	uint64_t end = 0;

	for (size_t i = 0; i < o->nr; i++) {
		if (o->v[i].start < end || o->v[i].end <= o->v[i].start)
			return "origins are unsorted or overlap";
		if (i && o->v[i].start == end &&
		    o->v[i].cause == o->v[i - 1].cause)
			return "one origin is in two parts";
		end = o->v[i].end;
	}
	return NULL;
}
