// SPDX-License-Identifier: GPL-2.0
/*
 * `why held` of a trace. malloc's own lists are not in it, so the live chunks must do:
 *
 *   [live]....[live]..........[live pin 2]....[live pin 1].......end of the VMA
 *         gap                            below 1          above 1
 *
 * What lies between two of them is free, or in a thread's cache, or header and
 * rounding, or a chunk that no event told of: that is not known, so what goes back is
 * at most what is said here. At most, too, is what malloc_trim(0) would give back: the
 * whole pages without a live byte. Each 64 MiB heap of an arena is on its own, for
 * which of them has the arena's top is not known either.
 *
 * --json (bytes):
 *   pid, comm, at (ns since the watch began), from_start (chunks from before it cannot be
 *     missing), allocator (see text.h)
 *   heaps: [ start, end, kind, size, resident (null: not sampled as it is now), live,
 *     chunks, above (the highest live chunk), empty (pages without a live byte),
 *     pins: [ addr, size (asked for), below (up to the next live chunk), back (at most,
 *     from the top, when this one and those before it are freed), call: { op, caller,
 *     stack, tid, ts } ] ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/held.h"
#include "output/table.h"
#include "output/text.h"
#include "output/view.h"

#define PAGE 4096ull
#define PINS 5

struct pins {
	size_t vma; /* index */
	uint64_t start, end;
	struct chunk top[PINS + 1]; /* the highest first */
	unsigned int nr;
	uint64_t empty;
};

static uint64_t end_of(const struct chunk *c)
{
	return c->addr + c->size;
}

static void add_chunk(struct pins *p, const struct chunk *c)
{
	memmove(p->top + 1, p->top, PINS * sizeof(*c));
	p->top[0] = *c;
	p->nr += p->nr <= PINS;
}

/* Takes the pages of a chunk out of those that are empty, from *page on. */
static void fill_pages(struct pins *p, const struct chunk *c, uint64_t *page)
{
	uint64_t lo = c->addr & ~(PAGE - 1);
	uint64_t hi = (end_of(c) + PAGE - 1) & ~(PAGE - 1);

	if (lo < *page)
		lo = *page;
	if (hi > p->end)
		hi = p->end;
	if (!c->size || hi <= lo)
		return;
	p->empty -= hi - lo;
	*page = hi;
}

static void find_pins(const struct space *s, struct pins *p)
{
	uint64_t at = p->start, page = p->start;
	struct chunk c;

	p->empty = p->end - p->start;
	for (; !chunk_next(s->chunks, at, p->end, &c); at = c.addr + 1) {
		add_chunk(p, &c);
		fill_pages(p, &c, &page);
	}
}

static struct pins pins_of(const struct space *s, size_t vma)
{
	const struct vma_desc *d = &vma_map_at(s->vmas, vma)->d;
	struct pins p = { .vma = vma, .start = d->start, .end = d->end };

	find_pins(s, &p);
	return p;
}

static unsigned int shown(const struct pins *p)
{
	return p->nr < PINS ? p->nr : PINS;
}

/* Where the live chunk below pin i ends, or the heap begins. */
static uint64_t floor_of(const struct pins *p, unsigned int i)
{
	return i + 1 < p->nr ? end_of(&p->top[i + 1]) : p->start;
}

/* The memory from addr to the end, in whole pages. */
static uint64_t pages_above(const struct pins *p, uint64_t addr)
{
	addr = (addr + PAGE - 1) & ~(PAGE - 1);
	return addr < p->end ? p->end - addr : 0;
}

static uint64_t above(const struct pins *p)
{
	uint64_t end = p->nr ? end_of(&p->top[0]) : p->start;

	return end < p->end ? p->end - end : 0;
}

static bool is_heap(enum view_kind kind)
{
	return kind == VIEW_HEAP || kind == VIEW_ARENA;
}

/* --- text */

static void cell_kib(struct table *t, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", kib(bytes, buf));
}

static char *maker_text(const struct output *o, const struct space *s,
			const struct chunk *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (c->op == CALL_NONE) {
		fputs("not known: no allocator event tells of it", f);
		return fclose(f) ? NULL : text;
	}
	put_call(f, c->op, c->addr, c->size);
	fputs(" from ", f);
	put_caller(o, s, f, c->caller);
	fprintf(f, ", thread %u, at ", c->tid);
	put_time(o, f, c->ts);
	return fclose(f) ? NULL : text;
}

static int text_pins(const struct output *o, const struct space *s,
		     const struct pins *p)
{
	static const char *const heads[] = { "  pin",	     "address",
					     "bytes",	     "below, not live",
					     "back at most", "made by" };
	struct table *t = table_new("rlrrrl");
	unsigned int i;
	int err;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < 6; i++)
		table_cell(t, "%s", heads[i]);
	for (i = 0; i < shown(p); i++) {
		const struct chunk *c = &p->top[i];
		char *maker = maker_text(o, s, c);

		table_cell(t, "%u", i + 1);
		table_cell(t, "%#" PRIx64, c->addr);
		table_cell(t, "%" PRIu64, c->size);
		cell_kib(t, c->addr - floor_of(p, i));
		cell_kib(t, pages_above(p, floor_of(p, i)));
		table_cell(t, "%s", maker ? maker : "?");
		free(maker);
	}
	err = table_print(t, o->f);
	table_free(t);
	return err;
}

static int text_heap(const struct output *o, const struct space *s, size_t i)
{
	struct view w = view_of(s, i);
	struct pins p = pins_of(s, i);
	char buf[4][32];

	fprintf(o->f,
		"\n%s %08" PRIx64 "-%08" PRIx64
		": %s, resident %s; live %s in %" PRIu64 " chunk%s\n",
		view_kind_name(w.kind), p.start, p.end,
		kib(p.end - p.start, buf[0]),
		w.res ? kib(w.res->resident, buf[1]) : "?",
		kib(w.live.bytes, buf[2]), w.live.chunks,
		plural(w.live.chunks));
	fprintf(o->f,
		"  above the highest live chunk %s: at most that goes back from the top\n",
		kib(above(&p), buf[0]));
	fprintf(o->f,
		"  pages without a live byte %s: at most that malloc_trim(0) gives back\n",
		kib(p.empty, buf[0]));
	return p.nr ? text_pins(o, s, &p) : 0;
}

static void text_head(const struct output *o, const struct space *s)
{
	const char *kind = s->allocator.kind;

	put_process(o->f, s);
	fputs(": what may keep free memory from the kernel, by live chunks alone, at ",
	      o->f);
	put_time(o, o->f, s->died ? s->died : o->now);
	fputs(" s. KiB.\n"
	      "Not known of a trace: what malloc has on its lists, in threads' caches, as headers. So what lies between\n"
	      "live chunks need not be free, and what goes back is at most what is said here; ask the running process.\n",
	      o->f);
	if (!space_knows_all_chunks(s))
		fputs("Chunks from before the watch are not known: there may be other pins.\n",
		      o->f);
	if (s->allocator.known && strcmp(kind, "glibc"))
		fprintf(o->f,
			"The allocator is %s, not glibc's: its memory has no top that could be pinned.\n",
			*kind ? kind : "another one");
}

static int held_text(const struct output *o, const struct space *s)
{
	size_t nr = vma_map_count(s->vmas), i;
	int err = 0;

	text_head(o, s);
	for (i = 0; !err && i < nr; i++)
		if (is_heap(view_of(s, i).kind))
			err = text_heap(o, s, i);
	return err;
}

/* --- JSON */

static json_t *json_pin(const struct output *o, const struct space *s,
			const struct pins *p, unsigned int i)
{
	const struct chunk *c = &p->top[i];

	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o}", "addr", json_addr(c->addr), "size",
		json_u64(c->size), "below", json_u64(c->addr - floor_of(p, i)),
		"back", json_u64(pages_above(p, floor_of(p, i))), "call",
		c->op == CALL_NONE ?
			json_null() :
			json_pack("{s:s, s:o, s:o, s:o, s:o}", "op",
				  call_op_name(c->op), "caller",
				  json_caller(o, s, c->caller), "stack",
				  json_stack(o, s, c->caller), "tid",
				  json_u64(c->tid), "ts", json_u64(c->ts)));
}

static json_t *json_heap(const struct output *o, const struct space *s,
			 size_t vma)
{
	struct view w = view_of(s, vma);
	struct pins p = pins_of(s, vma);
	json_t *pins = json_array();
	unsigned int i;

	for (i = 0; i < shown(&p); i++)
		json_array_append_new(pins, json_pin(o, s, &p, i));
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "start", json_addr(p.start), "end", json_addr(p.end),
			 "kind", view_kind_name(w.kind), "size",
			 json_u64(p.end - p.start), "resident",
			 w.res ? json_u64(w.res->resident) : json_null(),
			 "live", json_u64(w.live.bytes), "chunks",
			 json_u64(w.live.chunks), "above", json_u64(above(&p)),
			 "empty", json_u64(p.empty), "pins", pins);
}

static int held_json(const struct output *o, const struct space *s)
{
	size_t nr = vma_map_count(s->vmas), i;
	json_t *heaps = json_array();

	for (i = 0; i < nr; i++)
		if (is_heap(view_of(s, i).kind))
			json_array_append_new(heaps, json_heap(o, s, i));
	return json_print(
		o,
		json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "pid",
			  json_u64(s->owner), "comm", json_name(s->comm), "at",
			  json_u64((s->died ? s->died : o->now) - o->start),
			  "from_start", (int)s->chunks_known_from_start,
			  "allocator", json_allocator(s), "heaps", heaps),
		false);
}

int output_held_trace(const struct output *o, const struct space *s)
{
	int err;

	if (!s->has_calls)
		return -ENODATA;
	err = o->json ? held_json(o, s) : held_text(o, s);
	return err ? err : output_status(o->f);
}
