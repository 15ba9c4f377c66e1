// SPDX-License-Identifier: GPL-2.0
/*
 * What is told of in detail is bounded: the largest regions, few enough cells for
 * each, and of all chunks so many, the uppermost ones of each region, since they
 * decide what can go back to the kernel. The sums are of everything.
 */
#include "output/cells.h"

#include <stdlib.h>

#include "model/hash.h"
#include "output/text.h"
#include "output/view.h"

#define REGIONS 48
#define CELLS 8192 /* of a region, at most */
#define CHUNKS 40000 /* of all */
#define PINS 5
#define PAGE 4096ull

struct makers {
	struct hash hash; /* caller, op and tid -> index + 1 */
	json_t *list;
};

struct teller {
	const struct output *o;
	const struct space *s;
	struct makers makers;
	uint64_t left; /* chunks that may be told of */
};

static uint64_t end_of(const struct chunk *c)
{
	return c->addr + c->size;
}

static uint64_t maker_of(struct teller *t, const struct chunk *c)
{
	uint64_t who = (uint64_t)c->op << 32 | c->tid;
	uintptr_t nr = (uintptr_t)hash_get(&t->makers.hash, c->caller, who);
	char *caller;

	if (nr)
		return nr - 1;
	caller = caller_text(t->o, t->s, c->caller);
	json_array_append_new(
		t->makers.list,
		json_pack("{s:s, s:o, s:o}", "op",
			  c->op == CALL_NONE ? "?" : call_op_name(c->op),
			  "caller", json_name(caller ? caller : "?"), "tid",
			  json_u64(c->tid)));
	free(caller);
	nr = json_array_size(t->makers.list);
	hash_put(&t->makers.hash, c->caller, who, (void *)nr);
	return nr - 1;
}

/* --- cells */

static uint64_t cell_bytes(uint64_t size)
{
	uint64_t cell = PAGE;

	while (size / cell > CELLS)
		cell *= 2;
	return cell;
}

static json_t *json_cells(const struct space *s, const struct vma_desc *d,
			  uint64_t cell)
{
	json_t *list = json_array();
	uint64_t at, page, live;

	for (at = d->start; at < d->end; at += cell) {
		live = 0;
		for (page = at; page < at + cell && page < d->end; page += PAGE)
			live += chunk_page_bytes(s->chunks, page);
		json_array_append_new(list, json_u64(live));
	}
	return list;
}

/* --- chunks */

/* The last chunks of a region, in a ring. */
struct last {
	struct chunk ring[PINS + 1];
	uint64_t nr; /* that were put into it */
};

static const struct chunk *nth_last(const struct last *l, uint64_t n)
{
	return n < l->nr && n <= PINS ? &l->ring[(l->nr - 1 - n) % (PINS + 1)] :
					NULL;
}

static void tell_chunk(struct teller *t, json_t *told, const struct chunk *c,
		       uint64_t from)
{
	uint64_t age = c->ts > t->o->start ? c->ts - t->o->start : 0;

	json_array_append_new(told, json_u64(c->addr - from));
	json_array_append_new(told, json_u64(c->size));
	json_array_append_new(told, json_u64(maker_of(t, c)));
	json_array_append_new(told, json_u64(age / 1000));
}

static json_t *json_pin(struct teller *t, const struct vma_desc *d,
			const struct last *l, uint64_t n)
{
	const struct chunk *c = nth_last(l, n), *up = nth_last(l, n - 1),
			   *down = nth_last(l, n + 1);
	uint64_t top = n && up ? up->addr : d->end;
	uint64_t foot = down ? end_of(down) : d->start;

	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "addr",
			 json_addr(c->addr), "size", json_u64(c->size), "maker",
			 json_u64(maker_of(t, c)), "above",
			 json_u64(top > end_of(c) ? top - end_of(c) : 0),
			 "below", json_u64(c->addr - foot));
}

static json_t *json_pins(struct teller *t, const struct view *w,
			 const struct last *l)
{
	json_t *list = json_array();

	if (w->kind != VIEW_HEAP && w->kind != VIEW_ARENA)
		return list;
	for (uint64_t n = 0; n < PINS && nth_last(l, n); n++)
		json_array_append_new(list, json_pin(t, &w->v->d, l, n));
	return list;
}

/* Fills `told` with the last ones that there is room for; false: none. */
static bool tell_chunks(struct teller *t, const struct view *w, json_t *told,
			struct last *last, uint64_t *first)
{
	uint64_t skip = w->live.chunks > t->left ? w->live.chunks - t->left : 0;
	uint64_t at = w->v->d.start, from = 0;
	struct chunk c;

	for (; !chunk_next(t->s->chunks, at, w->v->d.end, &c);
	     at = c.addr + 1) {
		last->ring[last->nr++ % (PINS + 1)] = c;
		if (skip) {
			skip--;
			continue;
		}
		if (!from)
			*first = from = c.addr;
		tell_chunk(t, told, &c, from);
		from = c.addr;
		t->left--;
	}
	return from;
}

static json_t *json_region(struct teller *t, const struct view *w)
{
	const struct vma_desc *d = &w->v->d;
	uint64_t cell = cell_bytes(d->end - d->start), first = 0;
	struct last last = { .nr = 0 };
	json_t *told = json_array();
	bool any = tell_chunks(t, w, told, &last, &first);

	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "start", json_addr(d->start), "end", json_addr(d->end),
			 "kind", view_kind_name(w->kind), "live",
			 json_u64(w->live.bytes), "chunks",
			 json_u64(w->live.chunks), "cell", json_u64(cell),
			 "cells", json_cells(t->s, d, cell), "from",
			 any ? json_addr(first) : json_null(), "told", told,
			 "pins", json_pins(t, w, &last));
}

/* --- which regions */

static bool is_region(const struct view *w)
{
	return w->live_known && w->kind != VIEW_RESERVE &&
	       w->kind != VIEW_MAPPED;
}

static int by_size(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return a > b ? -1 : a < b;
}

/* Smaller regions are left out; the brk heap never is. */
static uint64_t least_size(const struct space *s)
{
	size_t nr = vma_map_count(s->vmas), n = 0, i;
	uint64_t *sizes = calloc(nr + 1, sizeof(*sizes)), least;

	for (i = 0; sizes && i < nr; i++) {
		struct view w = view_of(s, i);

		if (is_region(&w))
			sizes[n++] = w.v->d.end - w.v->d.start;
	}
	if (sizes)
		qsort(sizes, n, sizeof(*sizes), by_size);
	least = sizes && n > REGIONS ? sizes[REGIONS] + 1 : 0;
	free(sizes);
	return least;
}

struct rest {
	uint64_t regions;
	struct chunk_sum live;
};

static void count(struct rest *r, const struct view *w)
{
	r->regions++;
	r->live.bytes += w->live.bytes;
	r->live.chunks += w->live.chunks;
}

static json_t *json_rest(const struct rest *r)
{
	return json_pack("{s:o, s:o, s:o}", "regions", json_u64(r->regions),
			 "live", json_u64(r->live.bytes), "chunks",
			 json_u64(r->live.chunks));
}

/* Of everything, what is neither drawn nor a mapping of its own. */
static struct rest more_than(const struct space *s, const struct rest *drawn,
			     const struct rest *mapped, uint64_t regions)
{
	struct chunk_sum all = chunk_total(s->chunks);

	return (struct rest){
		.regions = regions - drawn->regions - mapped->regions,
		.live = { .bytes = all.bytes - drawn->live.bytes -
				   mapped->live.bytes,
			  .chunks = all.chunks - drawn->live.chunks -
				    mapped->live.chunks }
	};
}

json_t *cells_json(const struct output *o, const struct space *s)
{
	struct teller t = { .o = o, .s = s, .left = CHUNKS };
	struct rest drawn = { 0 }, mapped = { 0 }, more;
	uint64_t least, regions = 0;
	json_t *list, *j;

	if (!space_has_chunks(s))
		return json_null();
	least = least_size(s);
	t.makers.list = json_array();
	list = json_array();
	for (size_t i = 0; i < vma_map_count(s->vmas); i++) {
		struct view w = view_of(s, i);
		uint64_t size = w.v->d.end - w.v->d.start;

		regions += w.live_known && w.kind != VIEW_RESERVE;
		if (is_region(&w) && (w.kind == VIEW_HEAP || size >= least)) {
			json_array_append_new(list, json_region(&t, &w));
			count(&drawn, &w);
		} else if (w.kind == VIEW_MAPPED && w.live_known) {
			count(&mapped, &w);
		}
	}
	more = more_than(s, &drawn, &mapped, regions);
	j = json_pack("{s:o, s:o, s:o, s:o}", "regions", list, "makers",
		      t.makers.list, "mapped", json_rest(&mapped), "more",
		      json_rest(&more));
	hash_destroy(&t.makers.hash);
	return j;
}
