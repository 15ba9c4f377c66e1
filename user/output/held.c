// SPDX-License-Identifier: GPL-2.0
/*
 * "I freed it; why does it not go back?" Free memory goes back from the top of a
 * heap, or by malloc_trim(3) in whole pages. A pin is a chunk in use that lies
 * between free memory and the top.
 *
 * What goes back is counted in resident bytes: whole pages that malloc would hand
 * over and that are there (model/ptmalloc_trim.h has the rules).
 *
 * --json (bytes):
 *   pid, comm, stopped, incomplete (null, or a sentence)
 *   trim_now: what malloc_trim(0) would give back
 *   named: [ addresses to free, as malloc returned them ]: the pins of all arenas
 *     that are in use by the program
 *   back: what would go back if these were freed, in this order and past the
 *     threads' caches, and malloc_trim(0) called then
 *   khugepaged: it may make resident again what goes back inside a heap
 *   arenas: [ arena (index), addr, threads, system_mem, free (in bins, fastbins and
 *     the top), cached (in threads' caches), top, top_now (of `trim_now`: the top),
 *     trim_now, pins: [ addr, size (usable), state ("used", or "tcache" and
 *     "malloc's own", which nobody can free), cached (free() leaves one of its size
 *     in the thread's cache while that has room), call (null: not known, or { op,
 *     size, caller, tid, ts }), free_below (up to the next chunk in use), back (of
 *     this arena: when it and those before it are freed, and malloc_trim(0) called) ] ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "model/ptmalloc_trim.h"
#include "output/heap.h"
#include "output/held.h"
#include "output/table.h"
#include "output/text.h"

#define PINS 5

struct pin {
	size_t chunk; /* index in the book */
	uint64_t free_below;
	uint64_t back;
};

struct hold {
	uint32_t arena;
	uint64_t now, top_now;
	struct pin pins[PINS];
	unsigned int nr;
};

struct holds {
	struct hold *arena;
	uint64_t now, back;
};

/* --- what goes back */

static int resident(const struct look_view *v, struct pt_trim *t,
		    uint64_t *bytes)
{
	const struct pt_range *r;
	size_t nr, i;

	*bytes = 0;
	r = pt_trim_ranges(t, &nr);
	for (i = 0; i < nr; i++) {
		int64_t n = v->resident(v->ctx, r[i].start, r[i].end);

		if (n < 0)
			return (int)n;
		*bytes += (uint64_t)n;
	}
	return 0;
}

/* What malloc_trim(0) would bring on top of what has been freed in t, which stays. */
static int if_trimmed(const struct look_view *v, const struct pt_trim *t,
		      uint32_t arena, uint64_t *bytes)
{
	struct pt_trim *c = pt_trim_clone(t);
	int err = c ? pt_trim_now(c, arena) : -ENOMEM;

	if (!err)
		err = resident(v, c, bytes);
	pt_trim_drop(c);
	return err;
}

static bool can_be_freed(const struct pt_book *b, size_t i)
{
	return b->chunks[i].state == PT_USED;
}

/* From the top (or the last pin) down: the next chunk in use; SIZE_MAX: none. */
static size_t next_pin(const struct pt_book *b, const struct pt_trim *t,
		       uint32_t arena, size_t from)
{
	const struct pt_arena *a = &b->arenas[arena];
	size_t first = b->heaps[a->heap].chunk, i;

	for (i = from; i-- > first;)
		if (!pt_trim_is_free(t, i) && b->chunks[i].state != PT_FENCE)
			return i;
	return SIZE_MAX;
}

static uint64_t free_below(const struct pt_book *b, const struct pt_trim *t,
			   size_t pin)
{
	const struct pt_heap *h = &b->heaps[b->chunks[pin].heap];
	uint64_t bytes = 0;
	size_t i;

	for (i = pin; i-- > h->chunk && pt_trim_is_free(t, i);)
		bytes += pt_size(&b->chunks[i]);
	return bytes;
}

static int find_pins(const struct look_view *v, struct pt_trim *t,
		     struct hold *h)
{
	const struct pt_book *b = v->book;
	uint64_t size;
	size_t at = pt_trim_top(t, h->arena, &size);
	int err = 0;

	while (!err && at != SIZE_MAX && h->nr < PINS) {
		struct pin *p = &h->pins[h->nr];

		at = next_pin(b, t, h->arena, at);
		if (at == SIZE_MAX)
			break;
		p->chunk = at;
		p->free_below = free_below(b, t, at);
		if (can_be_freed(b, at))
			err = pt_trim_freed(t, at);
		if (!err)
			err = if_trimmed(v, t, h->arena, &p->back);
		h->nr++;
	}
	return err;
}

/* Of one arena; what is freed for it stays freed in *all, for the sum. */
static int look_at(const struct look_view *v, struct pt_trim *all,
		   struct hold *h)
{
	const struct pt_book *b = v->book;
	struct pt_trim *t = pt_trim_new(b);
	const struct pt_heap *top;
	const struct pt_range *r;
	size_t nr, i;
	int err = t ? pt_trim_now(t, h->arena) : -ENOMEM;

	if (!err)
		err = resident(v, t, &h->now);
	r = err ? NULL : pt_trim_ranges(t, &nr);
	top = b->arenas[h->arena].nr_heaps ?
		      &b->heaps[b->arenas[h->arena].heap +
				b->arenas[h->arena].nr_heaps - 1] :
		      NULL;
	if (r && nr && top && r[nr - 1].end == top->end && !h->arena) {
		int64_t n = v->resident(v->ctx, r[nr - 1].start, r[nr - 1].end);

		h->top_now = n > 0 ? (uint64_t)n : 0;
	}
	pt_trim_drop(t);
	t = err ? NULL : pt_trim_new(b);
	if (!err)
		err = t ? find_pins(v, t, h) : -ENOMEM;
	pt_trim_drop(t);
	for (i = 0; !err && i < h->nr; i++)
		if (can_be_freed(b, h->pins[i].chunk))
			err = pt_trim_freed(all, h->pins[i].chunk);
	return err;
}

static int find_out(const struct look_view *v, struct holds *all)
{
	const struct pt_book *b = v->book;
	struct pt_trim *t = pt_trim_new(b);
	uint32_t i;
	int err = 0;

	all->arena = calloc(b->nr_arenas + 1, sizeof(*all->arena));
	if (!t || !all->arena)
		err = -ENOMEM;
	if (!err)
		err = if_trimmed(v, t, PT_NOWHERE, &all->now);
	for (i = 0; !err && i < b->nr_arenas; i++) {
		all->arena[i].arena = i;
		err = look_at(v, t, &all->arena[i]);
	}
	if (!err)
		err = if_trimmed(v, t, PT_NOWHERE, &all->back);
	pt_trim_drop(t);
	return err;
}

/* --- what is known of a pin */

static uint64_t memory_of(const struct pt_chunk *c)
{
	return c->addr + 16;
}

static bool known(const struct look_view *v, const struct pt_chunk *c,
		  struct chunk *chunk)
{
	return !chunk_get(v->s->chunks, memory_of(c), chunk) &&
	       chunk->op != CALL_NONE;
}

/* Would free() leave it in the thread's cache? */
static bool is_cached(const struct pt_book *b, const struct pt_chunk *c)
{
	return b->par.tcache_count && pt_size(c) <= b->par.tcache_bytes + 8;
}

static uint64_t free_bytes(const struct pt_arena *a)
{
	return pt_arena_rest(a).bytes + a->sum[PT_FAST].bytes;
}

/* --- text */

static char *maker_text(const struct look_view *v, const struct pt_chunk *c)
{
	const struct output *o = v->o;
	struct chunk k;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (c->state == PT_META) {
		fputs("malloc's own: a thread's cache", f);
	} else if (c->state == PT_TCACHE) {
		fputs("free, in the cache of thread ", f);
		if (c->thread != UINT16_MAX && v->book->threads[c->thread].tid)
			fprintf(f, "%u", v->book->threads[c->thread].tid);
		else
			fputc('?', f);
	} else if (known(v, c, &k)) {
		put_call(f, k.op, k.addr, k.size);
		fputs(" from ", f);
		put_caller(o, v->s, f, k.caller);
		fprintf(f, ", thread %u", k.tid);
		if (k.ts && o->now >= k.ts)
			fprintf(f, ", %" PRIu64 ".%06" PRIu64 " s ago",
				(o->now - k.ts) / 1000000000,
				(o->now - k.ts) % 1000000000 / 1000);
	} else {
		fputs("not known: no allocator event tells of it", f);
	}
	return fclose(f) ? NULL : text;
}

static void cell_kib(struct table *t, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", kib(bytes, buf));
}

static int text_pins(const struct look_view *v, const struct hold *h)
{
	struct table *t = table_new("rlrrrl");
	unsigned int i;
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "  pin");
	table_cell(t, "address");
	table_cell(t, "bytes");
	table_cell(t, "free below");
	table_cell(t, "back");
	table_cell(t, "made by");
	for (i = 0; i < h->nr; i++) {
		const struct pt_chunk *c = &v->book->chunks[h->pins[i].chunk];
		char *maker = maker_text(v, c);

		table_cell(t, "%u", i + 1);
		table_cell(t, "%#" PRIx64, memory_of(c));
		table_cell(t, "%" PRIu64, pt_size(c) - 8);
		cell_kib(t, h->pins[i].free_below);
		cell_kib(t, h->pins[i].back);
		table_cell(t, "%s", maker ? maker : "?");
		free(maker);
	}
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static int text_arena(const struct look_view *v, const struct hold *h)
{
	const struct pt_arena *a = &v->book->arenas[h->arena];
	char *threads = heap_threads(v->book, h->arena), buf[6][32];
	int err = 0;

	fprintf(v->o->f, "\narena %u at %#" PRIx64 " (%s), threads %s\n",
		h->arena, a->addr, h->arena ? "mmap" : "brk heap",
		threads ? threads : "?");
	free(threads);
	fprintf(v->o->f,
		"  from the kernel %s, free in it %s: in the top %s; in threads' caches %s\n",
		kib(a->system_mem, buf[0]), kib(free_bytes(a), buf[1]),
		kib(a->top_size, buf[2]), kib(a->sum[PT_TCACHE].bytes, buf[3]));
	fprintf(v->o->f,
		"  malloc_trim(0) would give back %s: inside free chunks %s, of the top %s\n",
		kib(h->now, buf[0]), kib(h->now - h->top_now, buf[1]),
		kib(h->top_now, buf[2]));
	if (h->nr)
		err = text_pins(v, h);
	return err;
}

static unsigned int nr_named(const struct look_view *v, const struct holds *all)
{
	unsigned int n = 0, j;
	size_t i;

	for (i = 0; i < v->book->nr_arenas; i++)
		for (j = 0; j < all->arena[i].nr; j++)
			n += can_be_freed(v->book, all->arena[i].pins[j].chunk);
	return n;
}

static int held_text(const struct look_view *v, const struct holds *all)
{
	unsigned int named = nr_named(v, all);
	char buf[2][32];
	size_t i;
	int err = 0;

	put_process(v->o->f, v->s);
	fprintf(v->o->f,
		": what keeps free memory from the kernel, by malloc's own book-keeping (read %s)\n",
		v->stopped ? "while it stood still" : "as it ran");
	fputs("KiB; free below: up to the next chunk in use; back: resident memory of this arena that goes back\n"
	      "when this pin and those before it are freed (past the threads' caches) and malloc_trim(0) is called.\n",
	      v->o->f);
	if (v->incomplete)
		fprintf(v->o->f, "Incomplete: %s.\n", v->incomplete);
	for (i = 0; !err && i < v->book->nr_arenas; i++)
		err = text_arena(v, &all->arena[i]);
	if (err)
		return err;
	fprintf(v->o->f, "\nmalloc_trim(0) now gives back %s",
		kib(all->now, buf[0]));
	if (named)
		fprintf(v->o->f,
			"; free the %u pin%s above first, and %s go back",
			named, plural(named), kib(all->back, buf[1]));
	fputs(".\n", v->o->f);
	if (v->khugepaged)
		fputs("Transparent huge pages are \"always\" here: khugepaged may make resident again what goes back inside a heap.\n",
		      v->o->f);
	return 0;
}

/* --- JSON */

static json_t *json_call(const struct look_view *v, const struct pt_chunk *c)
{
	struct chunk k;

	if (c->state != PT_USED || !known(v, c, &k))
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "op", call_op_name(k.op),
			 "size", json_u64(k.size), "caller",
			 json_caller(v->o, v->s, k.caller), "tid",
			 json_u64(k.tid), "ts", json_u64(k.ts));
}

static json_t *json_pin(const struct look_view *v, const struct pin *p)
{
	const struct pt_chunk *c = &v->book->chunks[p->chunk];

	return json_pack("{s:o, s:o, s:s, s:b, s:o, s:o, s:o}", "addr",
			 json_addr(memory_of(c)), "size",
			 json_u64(pt_size(c) - 8), "state",
			 pt_state_name(c->state), "cached",
			 (int)is_cached(v->book, c), "call", json_call(v, c),
			 "free_below", json_u64(p->free_below), "back",
			 json_u64(p->back));
}

static json_t *json_arena(const struct look_view *v, const struct hold *h)
{
	const struct pt_arena *a = &v->book->arenas[h->arena];
	char *threads = heap_threads(v->book, h->arena);
	json_t *pins = json_array(), *j;
	unsigned int i;

	for (i = 0; i < h->nr; i++)
		json_array_append_new(pins, json_pin(v, &h->pins[i]));
	j = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		      "arena", json_u64(h->arena), "addr", json_addr(a->addr),
		      "threads", threads ? threads : "?", "system_mem",
		      json_u64(a->system_mem), "free", json_u64(free_bytes(a)),
		      "cached", json_u64(a->sum[PT_TCACHE].bytes), "top",
		      json_u64(a->top_size), "top_now", json_u64(h->top_now),
		      "trim_now", json_u64(h->now), "pins", pins);
	free(threads);
	return j;
}

static int held_json(const struct look_view *v, const struct holds *all)
{
	json_t *named = json_array(), *arenas = json_array(), *j;
	unsigned int k;
	size_t i;

	for (i = 0; i < v->book->nr_arenas; i++) {
		const struct hold *h = &all->arena[i];

		json_array_append_new(arenas, json_arena(v, h));
		for (k = 0; k < h->nr; k++) {
			size_t c = h->pins[k].chunk;

			if (can_be_freed(v->book, c))
				json_array_append_new(
					named, json_addr(memory_of(
						       &v->book->chunks[c])));
		}
	}
	j = json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:b, s:o}", "pid",
		      json_u64(v->s->owner), "comm", json_name(v->s->comm),
		      "stopped", (int)v->stopped, "incomplete",
		      v->incomplete ? json_string(v->incomplete) : json_null(),
		      "trim_now", json_u64(all->now), "named", named, "back",
		      json_u64(all->back), "khugepaged", (int)v->khugepaged,
		      "arenas", arenas);
	return json_print(v->o, j, false);
}

int held_pins(const struct look_view *v,
	      void (*pin)(void *ctx, uint64_t addr, int64_t bytes), void *ctx)
{
	struct holds all = { NULL };
	int err = find_out(v, &all);
	unsigned int j;
	size_t i;

	for (i = 0; !err && i < v->book->nr_arenas; i++) {
		const struct hold *h = &all.arena[i];
		uint64_t before = h->now;

		for (j = 0; j < h->nr; j++) {
			const struct pin *p = &h->pins[j];

			if (can_be_freed(v->book, p->chunk))
				pin(ctx, memory_of(&v->book->chunks[p->chunk]),
				    (int64_t)(p->back - before));
			before = p->back;
		}
	}
	free(all.arena);
	return err;
}

/* Those with a mapping of their own, which goes back whole, are the last in the book. */
int held_if_freed(const struct look_view *v, const size_t *chunks, size_t nr,
		  uint64_t *back)
{
	const struct pt_book *b = v->book;
	struct pt_trim *t = pt_trim_new(b);
	uint64_t mapped = 0;
	int err = t ? 0 : -ENOMEM;

	for (; !err && nr && chunks[nr - 1] >= b->mmapped; nr--) {
		const struct pt_chunk *c = &b->chunks[chunks[nr - 1]];
		uint64_t start = c->addr - c->link;
		int64_t n =
			v->resident(v->ctx, start, start + pt_mapping(b, c));

		if (n < 0)
			err = (int)n;
		else
			mapped += (uint64_t)n;
	}
	if (!err)
		err = pt_trim_freed_many(t, chunks, nr);
	if (!err)
		err = if_trimmed(v, t, PT_NOWHERE, back);
	*back += mapped;
	pt_trim_drop(t);
	return err;
}

int output_held(const struct look_view *v)
{
	struct holds all = { NULL };
	int err = find_out(v, &all);

	if (!err)
		err = v->o->json ? held_json(v, &all) : held_text(v, &all);
	free(all.arena);
	return err ? err : output_status(v->o->f);
}
