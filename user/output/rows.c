// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "output/rows.h"

static struct stack_row *get_row(struct stack_rows *r, uint64_t where)
{
	uintptr_t nr = (uintptr_t)hash_get(&r->index, where, 0);

	if (nr)
		return &r->at[nr - 1];
	if (r->nr == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		void *p = realloc(r->at, room * sizeof(*r->at));

		if (!p)
			return NULL;
		r->at = p;
		r->room = room;
	}
	if (hash_put(&r->index, where, 0, (void *)(uintptr_t)(r->nr + 1)))
		return NULL;
	r->at[r->nr] = (struct stack_row){ .where = where };
	return &r->at[r->nr++];
}

void stack_rows_free(struct stack_rows *r)
{
	free(r->at);
	hash_destroy(&r->index);
}

/* All stacks that are not known are one. */
static uint64_t place(const struct output *o, uint64_t caller)
{
	bool known = !(caller & CALLER_STACK) || model_stack(o->model, caller);

	return known ? caller : CALLER_STACK;
}

static int add_live(const struct output *o, const struct space *s,
		    struct stack_rows *r)
{
	struct chunk c;
	uint64_t at = 0;

	for (; !chunk_next(s->chunks, at, UINT64_MAX, &c); at = c.addr + 1) {
		struct stack_row *row = get_row(r, place(o, c.caller));

		if (!row)
			return -ENOMEM;
		row->live_bytes += c.size;
		row->live_chunks++;
	}
	return 0;
}

/* Where stacks were recorded, rows without one are left out: they have no sums. */
int stack_rows_add(const struct output *o, const struct space *s,
		   struct stack_rows *r)
{
	size_t i;
	int err = add_live(o, s, r);

	for (i = 0; !err && i < s->nr_stacks; i++) {
		const struct stack_tally *t = &s->stacks[i];
		struct stack_row *row = get_row(r, t->stack);

		if (!row)
			return -ENOMEM;
		row->allocs = t->allocs;
		row->asked = t->bytes;
	}
	return err;
}

uint64_t stack_row_value(const struct stack_row *r, enum stack_order by)
{
	switch (by) {
	case STACKS_ALLOCS:
		return r->allocs;
	case STACKS_BYTES:
		return r->asked;
	default:
		return r->live_bytes;
	}
}

static int by_value(const void *va, const void *vb, void *ctx)
{
	const struct stack_row *a = va, *b = vb;
	enum stack_order by = *(const enum stack_order *)ctx;
	uint64_t x = stack_row_value(a, by), y = stack_row_value(b, by);

	if (x != y)
		return x > y ? -1 : 1;
	if (a->asked != b->asked)
		return a->asked > b->asked ? -1 : 1;
	return a->where < b->where ? -1 : a->where > b->where;
}

void stack_rows_sort(struct stack_rows *r, enum stack_order by)
{
	if (r->nr)
		qsort_r(r->at, r->nr, sizeof(*r->at), by_value, &by);
}
