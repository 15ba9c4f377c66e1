// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ptmalloc_inside.h"
#include "model/ptmalloc_trim.h"

/* FASTBIN_CONSOLIDATION_THRESHOLD; ATTEMPT_TRIMMING_THRESHOLD from 2.43 on */
#define TRIM_FROM 65536u
#define MAX_FAST 128u /* DEFAULT_MXFAST; mallopt(M_MXFAST) is not read */
#define HEADER \
	48u /* sizeof(struct malloc_chunk), what mtrim leaves untouched */

enum { USED, FREE, FAST };

/* Neighbours that are FREE are one chunk; what of them touches the top is the top. */
struct pt_trim {
	const struct pt_book *b;
	uint8_t *state; /* of each chunk */
	uint64_t *end; /* of each heap: what is in use of it; 0: it is gone */
	size_t *top; /* of each arena: the first chunk of its top */
	uint32_t *top_heap; /* and its heap; PT_NOWHERE: no top */
	struct pt_range *back;
	size_t nr, room;
};

static uint8_t initial(const struct pt_chunk *c)
{
	switch (c->state) {
	case PT_SMALL:
	case PT_LARGE:
	case PT_UNSORTED:
		return FREE;
	case PT_FAST:
		return FAST;
	default:
		return USED;
	}
}

static void find_top(struct pt_trim *t, uint32_t arena)
{
	const struct pt_arena *a = &t->b->arenas[arena];
	uint32_t i;

	t->top_heap[arena] = PT_NOWHERE;
	for (i = a->heap; i < a->heap + a->nr_heaps; i++) {
		const struct pt_heap *h = &t->b->heaps[i];
		size_t last = h->chunk + h->nr_chunks - 1;

		if (!h->nr_chunks || t->b->chunks[last].state != PT_TOP)
			continue;
		t->top_heap[arena] = i;
		t->top[arena] = last;
	}
}

struct pt_trim *pt_trim_new(const struct pt_book *b)
{
	struct pt_trim *t = calloc(1, sizeof(*t));
	size_t i;

	if (!t)
		return NULL;
	t->b = b;
	t->state = calloc(b->nr_chunks + 1, 1);
	t->end = calloc(b->nr_heaps + 1, sizeof(*t->end));
	t->top = calloc(b->nr_arenas + 1, sizeof(*t->top));
	t->top_heap = calloc(b->nr_arenas + 1, sizeof(*t->top_heap));
	if (!t->state || !t->end || !t->top || !t->top_heap) {
		pt_trim_drop(t);
		return NULL;
	}
	for (i = 0; i < b->nr_chunks; i++)
		t->state[i] = initial(&b->chunks[i]);
	for (i = 0; i < b->nr_heaps; i++)
		t->end[i] = b->heaps[i].end;
	for (i = 0; i < b->nr_arenas; i++)
		find_top(t, (uint32_t)i);
	return t;
}

struct pt_trim *pt_trim_clone(const struct pt_trim *t)
{
	const struct pt_book *b = t->b;
	struct pt_trim *c = pt_trim_new(b);

	if (!c)
		return NULL;
	c->back = malloc((t->nr + 1) * sizeof(*c->back));
	if (!c->back) {
		pt_trim_drop(c);
		return NULL;
	}
	if (t->nr)
		memcpy(c->back, t->back, t->nr * sizeof(*c->back));
	c->nr = t->nr;
	c->room = t->nr + 1;
	memcpy(c->state, t->state, b->nr_chunks);
	memcpy(c->end, t->end, b->nr_heaps * sizeof(*c->end));
	memcpy(c->top, t->top, b->nr_arenas * sizeof(*c->top));
	memcpy(c->top_heap, t->top_heap, b->nr_arenas * sizeof(*c->top_heap));
	return c;
}

void pt_trim_drop(struct pt_trim *t)
{
	if (!t)
		return;
	free(t->state);
	free(t->end);
	free(t->top);
	free(t->top_heap);
	free(t->back);
	free(t);
}

static int give(struct pt_trim *t, uint64_t start, uint64_t end)
{
	if (t->nr == t->room) {
		size_t more = t->room ? t->room * 2 : 64;
		void *p = realloc(t->back, more * sizeof(*t->back));

		if (!p)
			return -ENOMEM;
		t->back = p;
		t->room = more;
	}
	t->back[t->nr++] = (struct pt_range){ start, end };
	return 0;
}

/* --- the top */

/* What is free right below the top belongs to it. */
static void sink_top(struct pt_trim *t, uint32_t arena)
{
	const struct pt_heap *h = &t->b->heaps[t->top_heap[arena]];

	while (t->top[arena] > h->chunk && t->state[t->top[arena] - 1] == FREE)
		t->top[arena]--;
}

size_t pt_trim_top(const struct pt_trim *t, uint32_t arena, uint64_t *size)
{
	uint32_t h = t->top_heap[arena];

	*size = 0;
	if (h == PT_NOWHERE)
		return SIZE_MAX;
	*size = t->end[h] - t->b->chunks[t->top[arena]].addr;
	return t->top[arena];
}

static int cut_top(struct pt_trim *t, uint32_t arena, uint64_t pad,
		   uint64_t pagesize)
{
	uint32_t h = t->top_heap[arena];
	uint64_t size, extra;

	pt_trim_top(t, arena, &size);
	if (!pagesize || size <= PT_MINSIZE + 1 + pad)
		return 0;
	extra = size - PT_MINSIZE - 1 - pad;
	extra -= extra % pagesize;
	if (!extra)
		return 0;
	t->end[h] -= extra;
	return give(t, t->end[h], t->end[h] + extra);
}

/* sbrk moves the break only when nobody else has moved it. */
static int systrim(struct pt_trim *t, uint64_t pad)
{
	const struct pt_par *p = &t->b->par;
	uint32_t h = t->top_heap[0];

	if (h == PT_NOWHERE || t->b->arenas[0].noncontiguous ||
	    t->b->heaps[h].committed != t->b->heaps[h].end)
		return 0;
	return cut_top(t, 0, pad, p->thp_pagesize ? p->thp_pagesize : PT_PAGE);
}

/* The newest heap is empty: what the one before it would have for a top. */
static bool falls_back(const struct pt_trim *t, uint32_t heap, uint64_t pad,
		       size_t *top)
{
	const struct pt_heap *h = &t->b->heaps[heap], *prev = h - 1;
	uint64_t room, size;
	size_t p;

	if (prev->arena != h->arena || prev->nr_chunks < 2)
		return false;
	p = prev->chunk + prev->nr_chunks - 2; /* below the last fence */
	while (p > prev->chunk && t->state[p - 1] == FREE)
		p--;
	size = prev->end - t->b->chunks[p].addr;
	room = t->b->heap_max - (prev->end - prev->start);
	*top = p;
	return size + room >= pad + PT_MINSIZE + h->pagesize;
}

static int heap_trim(struct pt_trim *t, uint32_t arena)
{
	const struct pt_book *b = t->b;
	uint64_t pad = b->par.top_pad, size;
	size_t top;
	int err = 0;

	for (;;) {
		uint32_t h = t->top_heap[arena];

		if (b->heaps[h].start + b->heap_info !=
			    b->chunks[t->top[arena]].addr ||
		    h == b->arenas[arena].heap || !falls_back(t, h, pad, &top))
			break;
		err = give(t, b->heaps[h].start, b->heaps[h].reserved);
		if (err)
			return err;
		t->end[h] = 0;
		t->top_heap[arena] = h - 1;
		t->top[arena] = top;
	}
	pt_trim_top(t, arena, &size);
	if (size < b->par.trim_threshold)
		return 0;
	return cut_top(t, arena, pad, b->heaps[t->top_heap[arena]].pagesize);
}

/* --- free and malloc_trim */

static void consolidate(struct pt_trim *t, uint32_t arena)
{
	const struct pt_arena *a = &t->b->arenas[arena];
	uint32_t h;
	size_t i;

	for (h = a->heap; h < a->heap + a->nr_heaps; h++)
		for (i = 0; i < t->b->heaps[h].nr_chunks; i++)
			if (t->state[t->b->heaps[h].chunk + i] == FAST)
				t->state[t->b->heaps[h].chunk + i] = FREE;
	if (t->top_heap[arena] != PT_NOWHERE)
		sink_top(t, arena);
}

/* The free chunk that i is part of ends before chunk *end; its size. */
static uint64_t run_of(const struct pt_trim *t, uint32_t arena, size_t i,
		       size_t *end)
{
	const struct pt_book *b = t->b;
	uint32_t heap = b->chunks[i].heap;
	const struct pt_heap *h = &b->heaps[heap];
	size_t lo = i, hi = i + 1, last = h->chunk + h->nr_chunks;

	while (lo > h->chunk && t->state[lo - 1] == FREE)
		lo--;
	while (hi < last && t->state[hi] == FREE)
		hi++;
	*end = hi;
	if (t->top_heap[arena] == heap && hi >= t->top[arena])
		return t->end[heap] - b->chunks[lo].addr;
	return b->chunks[hi - 1].addr + pt_size(&b->chunks[hi - 1]) -
	       b->chunks[lo].addr;
}

/* Of the free chunk that i is part of now; what joins the top is as large as the top. */
static uint64_t merged(struct pt_trim *t, uint32_t arena, size_t i)
{
	size_t end;
	uint64_t size = run_of(t, arena, i, &end);

	if (t->top_heap[arena] == t->b->chunks[i].heap && end >= t->top[arena])
		sink_top(t, arena);
	return size;
}

int pt_trim_freed(struct pt_trim *t, size_t i)
{
	const struct pt_book *b = t->b;
	uint32_t arena = b->heaps[b->chunks[i].heap].arena;
	uint64_t size;

	if (b->layout->fastbins && pt_size(&b->chunks[i]) <= MAX_FAST) {
		t->state[i] = FAST;
		return 0;
	}
	t->state[i] = FREE;
	size = merged(t, arena, i);
	if (size < TRIM_FROM)
		return 0;
	consolidate(t, arena);
	if (t->top_heap[arena] == PT_NOWHERE)
		return 0;
	if (arena)
		return heap_trim(t, arena);
	pt_trim_top(t, 0, &size);
	return size >= b->par.trim_threshold ? systrim(t, b->par.top_pad) : 0;
}

/* Has one of those that were freed become part of what makes free() look at the top? */
static bool has_large(const struct pt_trim *t, uint32_t arena,
		      const size_t *chunks, size_t nr)
{
	size_t i, end = 0;

	for (i = 0; i < nr; i++)
		if (chunks[i] >= end && t->state[chunks[i]] == FREE &&
		    run_of(t, arena, chunks[i], &end) >= TRIM_FROM)
			return true;
	return false;
}

static int settle_top(struct pt_trim *t, uint32_t arena, const size_t *chunks,
		      size_t nr)
{
	uint64_t size;

	if (t->top_heap[arena] == PT_NOWHERE)
		return 0;
	sink_top(t, arena);
	if (!has_large(t, arena, chunks, nr))
		return 0;
	consolidate(t, arena);
	if (arena)
		return heap_trim(t, arena);
	pt_trim_top(t, 0, &size);
	return size >= t->b->par.trim_threshold ?
		       systrim(t, t->b->par.top_pad) :
		       0;
}

int pt_trim_freed_many(struct pt_trim *t, const size_t *chunks, size_t nr)
{
	const struct pt_book *b = t->b;
	size_t from = 0, i;
	int err = 0;

	for (i = 0; i < nr; i++)
		t->state[chunks[i]] =
			b->layout->fastbins && pt_size(&b->chunks[chunks[i]]) <=
						       MAX_FAST ?
				FAST :
				FREE;
	for (i = 0; !err && i < nr; i++) {
		uint32_t arena = b->heaps[b->chunks[chunks[i]].heap].arena;

		if (i + 1 < nr &&
		    b->heaps[b->chunks[chunks[i + 1]].heap].arena == arena)
			continue;
		err = settle_top(t, arena, chunks + from, i + 1 - from);
		from = i + 1;
	}
	return err;
}

/* The whole pages of the free chunk [lo, hi), but for what its header needs. */
static int give_pages(struct pt_trim *t, uint64_t lo, uint64_t hi)
{
	uint64_t first = (lo + HEADER + PT_PAGE - 1) & ~(PT_PAGE - 1);

	hi &= ~(PT_PAGE - 1);
	return hi > first ? give(t, first, hi) : 0;
}

static int trim_heap(struct pt_trim *t, uint32_t heap)
{
	const struct pt_book *b = t->b;
	const struct pt_heap *h = &b->heaps[heap];
	size_t i, end = h->chunk + h->nr_chunks, from;
	int err = 0;

	if (t->top_heap[h->arena] == heap)
		end = t->top[h->arena];
	for (i = h->chunk; !err && i < end; i++) {
		if (t->state[i] != FREE)
			continue;
		from = i;
		while (i + 1 < end && t->state[i + 1] == FREE)
			i++;
		err = give_pages(t, b->chunks[from].addr,
				 b->chunks[i].addr + pt_size(&b->chunks[i]));
	}
	return err;
}

static int trim_arena(struct pt_trim *t, uint32_t arena)
{
	const struct pt_arena *a = &t->b->arenas[arena];
	uint32_t i;
	int err = 0;

	consolidate(t, arena);
	for (i = a->heap; !err && i < a->heap + a->nr_heaps; i++)
		if (t->end[i])
			err = trim_heap(t, i);
	return err || arena ? err : systrim(t, 0);
}

int pt_trim_now(struct pt_trim *t, uint32_t arena)
{
	uint32_t i;
	int err = 0;

	if (arena != PT_NOWHERE)
		return trim_arena(t, arena);
	for (i = 0; !err && i < t->b->nr_arenas; i++)
		err = trim_arena(t, i);
	return err;
}

bool pt_trim_is_free(const struct pt_trim *t, size_t i)
{
	const struct pt_book *b = t->b;
	uint32_t h = b->chunks[i].heap, arena;

	if (h == PT_NOWHERE)
		return false;
	arena = b->heaps[h].arena;
	return t->state[i] != USED || !t->end[h] ||
	       (t->top_heap[arena] == h && i >= t->top[arena]);
}

static int compare_ranges(const void *x, const void *y)
{
	const struct pt_range *a = x, *b = y;

	return a->start < b->start ? -1 : a->start > b->start;
}

const struct pt_range *pt_trim_ranges(struct pt_trim *t, size_t *nr)
{
	size_t i, n = 0;

	if (t->nr)
		qsort(t->back, t->nr, sizeof(*t->back), compare_ranges);
	for (i = 0; i < t->nr; i++) {
		struct pt_range *last = n ? &t->back[n - 1] : NULL;

		if (last && t->back[i].start <= last->end) {
			if (t->back[i].end > last->end)
				last->end = t->back[i].end;
		} else {
			t->back[n++] = t->back[i];
		}
	}
	t->nr = n;
	*nr = n;
	return t->back;
}
