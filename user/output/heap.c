// SPDX-License-Identifier: GPL-2.0
/*
 * The heap by its own book-keeping. Sizes are those of chunks: what malloc was
 * asked for, its header and rounding included.
 *
 * --json (bytes):
 *   pid, comm, took (ns), stopped, incomplete (null, or a sentence)
 *   layout (glibc versions that have it), main_arena, by_symbol, heap_max
 *   mp: null (not found), or { addr, layout, mmap_threshold, trim_threshold,
 *     top_pad, dynamic (may the thresholds still grow), arena_max (0: by the
 *     number of cores), thp_pagesize, hp_pagesize, n_mmaps, mmapped_mem,
 *     tcache_count, tcache_bytes (larger chunks are not cached) }
 *   arenas: [ addr, attached (threads, by its own count), threads: [ tid ],
 *     system_mem, max_system_mem, top, top_size, contiguous, heaps: [ start, end,
 *     committed, reserved, foreign, broken (null, or where) ], unlisted, lost, and
 *     { chunks, bytes } for each of used, tcache, fastbin, small, large, unsorted,
 *     "malloc's own", fence, and rest (small, large, unsorted, top), as
 *     malloc_info(3) counts them ]
 *   mmapped: { chunks, bytes } as found
 *   threads: [ tid (null: not known), arena (its index, null: not known), tcache
 *     (null: none), cached { chunks, bytes } ]
 *   bins: [ arena, list, from, to (chunk sizes that are in it), chunks, bytes ]
 *   chunks (with --chunks): [ addr, size, flags, arena (null: mmapped), state,
 *     next (null: no member of a list, or the last) ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/heap.h"
#include "output/table.h"
#include "output/text.h"

char *heap_threads(const struct pt_book *b, uint32_t arena)
{
	uint64_t found = 0;
	char *text = NULL;
	size_t size, i;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (i = 0; i < b->nr_threads; i++) {
		const struct pt_thread *th = &b->threads[i];

		if (th->arena == arena && th->tid)
			fprintf(f, "%s%u", found++ ? " " : "", th->tid);
	}
	if (found < b->arenas[arena].attached)
		fprintf(f, "%s%" PRIu64 " not known", found ? " and " : "",
			b->arenas[arena].attached - found);
	else if (!found)
		fputs("-", f);
	return fclose(f) ? NULL : text;
}

/* Where the members of a list are in the cells of a table by size. */
struct bin {
	uint32_t arena;
	enum pt_chunk_state state;
	uint64_t from, to;
	struct pt_sum sum;
};

/* Of large chunks the bins are ranges (malloc.c, largebin_index_64). */
static void large_range(uint64_t size, uint64_t *from, uint64_t *to)
{
	unsigned int shift = size >> 6 <= 48  ? 6 :
			     size >> 9 <= 20  ? 9 :
			     size >> 12 <= 10 ? 12 :
			     size >> 15 <= 4  ? 15 :
			     size >> 18 <= 2  ? 18 :
						0;
	static const struct {
		unsigned int shift;
		uint64_t last;
	} steps[] = { { 6, 48 }, { 9, 20 }, { 12, 10 }, { 15, 4 }, { 18, 2 } };
	size_t i;

	*from = 1024;
	*to = UINT64_MAX;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t end = (steps[i].last + 1) << steps[i].shift;

		if (steps[i].shift == shift) {
			uint64_t lo = size >> shift << shift;

			*from = lo > *from ? lo : *from;
			*to = ((size >> shift) + 1) << shift;
			*to -= 16;
			return;
		}
		*from = end;
	}
}

static bool on_list(const struct pt_chunk *c)
{
	return c->state >= PT_TCACHE && c->state <= PT_UNSORTED;
}

static struct bin bin_of(const struct pt_book *b, const struct pt_chunk *c)
{
	struct bin n = { .arena = b->heaps[c->heap].arena,
			 .state = c->state,
			 .from = pt_size(c),
			 .to = pt_size(c) };

	if (c->state == PT_LARGE) {
		large_range(pt_size(c), &n.from, &n.to);
	} else if (c->state == PT_UNSORTED) {
		n.from = PT_STATES; /* one list for all sizes */
		n.to = UINT64_MAX;
	}
	return n;
}

static int compare_bins(const void *x, const void *y)
{
	const struct bin *a = x, *b = y;

	if (a->arena != b->arena)
		return a->arena < b->arena ? -1 : 1;
	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	return a->from < b->from ? -1 : a->from > b->from;
}

static size_t fold(struct bin *bins, size_t nr)
{
	size_t i, n = 0;

	for (i = 0; i < nr; i++) {
		if (n && !compare_bins(&bins[n - 1], &bins[i])) {
			bins[n - 1].sum.chunks += bins[i].sum.chunks;
			bins[n - 1].sum.bytes += bins[i].sum.bytes;
		} else {
			bins[n++] = bins[i];
		}
	}
	return n;
}

/* All lists that have members, by arena, kind and size; malloc'ed. */
static struct bin *collect(const struct pt_book *b, size_t *nr)
{
	size_t room = 4096, n = 0, i;
	struct bin *bins = calloc(room, sizeof(*bins));

	for (i = 0; bins && i < b->mmapped; i++) {
		const struct pt_chunk *c = &b->chunks[i];

		if (!on_list(c))
			continue;
		if (n == room) {
			qsort(bins, n, sizeof(*bins), compare_bins);
			n = fold(bins, n);
		}
		if (n > room / 2) {
			void *p = realloc(bins, 2 * room * sizeof(*bins));

			if (!p)
				break;
			bins = p;
			room *= 2;
		}
		bins[n] = bin_of(b, c);
		bins[n++].sum = (struct pt_sum){ 1, pt_size(c) };
	}
	if (!bins)
		return NULL;
	qsort(bins, n, sizeof(*bins), compare_bins);
	*nr = fold(bins, n);
	return bins;
}

/* The next chunk on its list, 0: none. */
static uint64_t next_of(const struct pt_book *b, const struct pt_chunk *c)
{
	bool single = c->state == PT_TCACHE || c->state == PT_FAST;
	uint64_t p = c->link;

	if (!on_list(c))
		return 0;
	if (single && b->safe_linking)
		p ^= (c->addr + 16) >> 12;
	if (c->state == PT_TCACHE && p)
		p -= 16; /* it links what malloc returned */
	return p;
}

static struct pt_sum mmapped_sum(const struct pt_book *b)
{
	struct pt_sum s = { 0, 0 };
	size_t i;

	for (i = b->mmapped; i < b->nr_chunks; i++) {
		s.chunks++;
		s.bytes += pt_mapping(b, &b->chunks[i]);
	}
	return s;
}

/* --- text */

static void text_head(const struct heap_view *v)
{
	const struct pt_book *b = v->book;

	fprintf(v->f, "process %u (", v->pid);
	put_name(v->f, v->comm);
	fprintf(v->f,
		"), by malloc's own book-keeping, read in %" PRIu64
		".%03" PRIu64 " ms %s\n",
		v->took / 1000000, v->took / 1000 % 1000,
		v->stopped ? "while it stood still" : "as it ran");
	fprintf(v->f, "main_arena at %#" PRIx64 " (%s), as in glibc %s\n",
		b->arenas[0].addr,
		b->by_symbol ? "by its symbol" : "found by its bins",
		b->layout->glibc);
	if (v->incomplete)
		fprintf(v->f, "Incomplete: %s.\n", v->incomplete);
}

static void text_par(const struct heap_view *v)
{
	const struct pt_par *p = &v->book->par;

	if (!p->addr) {
		fputs("thresholds ?\n", v->f);
		return;
	}
	fputs("thresholds: mmap from ", v->f);
	put_size(v->f, p->mmap_threshold);
	fputs(p->no_dyn_threshold ? " (fixed), trim from " :
				    " (may grow), trim from ",
	      v->f);
	put_size(v->f, p->trim_threshold);
	fputs(", top pad ", v->f);
	put_size(v->f, p->top_pad);
	if (p->arena_max)
		fprintf(v->f, ", at most %" PRIu64 " arenas", p->arena_max);
	if (p->thp_pagesize)
		fputs(", transparent huge pages", v->f);
	if (p->hp_pagesize) {
		fputs(", huge pages of ", v->f);
		put_size(v->f, p->hp_pagesize);
	}
	fputc('\n', v->f);
}

static void cell_bytes(struct table *t, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", kib(bytes, buf));
}

static void arena_row(struct table *t, const struct pt_book *b, uint32_t i)
{
	const struct pt_arena *a = &b->arenas[i];
	uint64_t bins = a->sum[PT_SMALL].bytes + a->sum[PT_LARGE].bytes +
			a->sum[PT_UNSORTED].bytes;
	char *threads = heap_threads(b, i);

	table_cell(t, "%u", i);
	table_cell(t, "%08" PRIx64, a->addr);
	table_cell(t, "%u", a->nr_heaps);
	cell_bytes(t, a->system_mem);
	cell_bytes(t, a->sum[PT_USED].bytes);
	table_cell(t, "%" PRIu64, a->sum[PT_USED].chunks);
	cell_bytes(t, a->sum[PT_TCACHE].bytes);
	cell_bytes(t, a->sum[PT_FAST].bytes);
	cell_bytes(t, bins);
	cell_bytes(t, a->top_size);
	table_cell(t, "%s", threads ? threads : "?");
	free(threads);
}

static int text_arenas(const struct heap_view *v)
{
	static const char *const names[] = { "arena",  "address",  "heaps",
					     "system", "used",	   "chunks",
					     "tcache", "fastbins", "bins",
					     "top",    "threads",  NULL };
	struct table *t = table_new("rlrrrrrrrrl");
	uint32_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_names(t, names);
	for (i = 0; i < v->book->nr_arenas; i++)
		arena_row(t, v->book, i);
	err = table_print(t, v->f);
	table_free(t);
	return err;
}

static void text_mmapped(const struct heap_view *v)
{
	const struct pt_book *b = v->book;
	struct pt_sum s = mmapped_sum(b);

	fprintf(v->f, "\n%" PRIu64 " chunk%s with a mapping of %s own, ",
		s.chunks, plural(s.chunks), s.chunks == 1 ? "its" : "their");
	put_size(v->f, s.bytes);
	if (b->par.addr &&
	    (s.chunks != b->par.n_mmaps || s.bytes != b->par.mmapped_mem)) {
		fprintf(v->f, "; malloc counts %u of ", b->par.n_mmaps);
		put_size(v->f, b->par.mmapped_mem);
	}
	fputc('\n', v->f);
}

/* What does not add up is said, per arena. */
static void text_doubts(const struct heap_view *v)
{
	const struct pt_book *b = v->book;
	size_t i;

	for (i = 0; i < b->nr_heaps; i++) {
		const struct pt_heap *h = &b->heaps[i];

		if (h->broken)
			fprintf(v->f,
				"arena %u: the chunks from %#" PRIx64
				" on could not be read: nonsense at %#" PRIx64
				"\n",
				h->arena, h->start, h->broken);
		if (h->foreign)
			fprintf(v->f,
				"arena %u: %" PRIu64
				" bytes in its middle are not malloc's (sbrk)\n",
				h->arena, h->foreign);
	}
	for (i = 0; i < b->nr_arenas; i++) {
		const struct pt_arena *a = &b->arenas[i];

		if (a->unlisted || a->lost)
			fprintf(v->f,
				"arena %zu: %" PRIu64
				" free chunks are on no list, %" PRIu64
				" members of lists are no free chunks\n",
				i, a->unlisted, a->lost);
	}
}

static int text_bins(const struct heap_view *v)
{
	struct table *t = table_new("rlrrr");
	size_t nr, i;
	struct bin *bins = t ? collect(v->book, &nr) : NULL;
	int err = bins ? 0 : -ENOMEM;

	if (!err && nr) {
		table_cell(t, "arena");
		table_cell(t, "free in");
		table_cell(t, "of size");
		table_cell(t, "chunks");
		table_cell(t, "bytes");
	}
	for (i = 0; !err && i < nr; i++) {
		const struct bin *n = &bins[i];

		table_cell(t, "%u", n->arena);
		table_cell(t, "%s", pt_state_name(n->state));
		if (n->state == PT_UNSORTED)
			table_cell(t, "any");
		else if (n->from == n->to)
			table_cell(t, "%" PRIu64, n->from);
		else if (n->to == UINT64_MAX)
			table_cell(t, "%" PRIu64 "-", n->from);
		else
			table_cell(t, "%" PRIu64 "-%" PRIu64, n->from, n->to);
		table_cell(t, "%" PRIu64, n->sum.chunks);
		table_cell(t, "%" PRIu64, n->sum.bytes);
	}
	if (!err && nr) {
		fputc('\n', v->f);
		err = table_print(t, v->f);
	}
	free(bins);
	table_free(t);
	return err;
}

/* Letters as debuggers print them: A not of the main arena, M mmapped, P below in use. */
static const char *flags_text(uint64_t head, char buf[4])
{
	buf[0] = head & PT_NON_MAIN ? 'A' : '-';
	buf[1] = head & PT_IS_MMAPPED ? 'M' : '-';
	buf[2] = head & PT_PREV_INUSE ? 'P' : '-';
	buf[3] = 0;
	return buf;
}

static void text_chunk(const struct heap_view *v, const struct pt_chunk *c)
{
	uint64_t next = next_of(v->book, c);
	char buf[4];

	fprintf(v->f, "%#" PRIx64 "  %10" PRIu64 "  %s  %s", c->addr,
		pt_size(c), flags_text(c->head, buf), pt_state_name(c->state));
	if (c->thread != UINT16_MAX && v->book->threads[c->thread].tid)
		fprintf(v->f, " of thread %u", v->book->threads[c->thread].tid);
	if (next)
		fprintf(v->f, " -> %#" PRIx64, next);
	fputc('\n', v->f);
}

static void text_chunks(const struct heap_view *v)
{
	const struct pt_book *b = v->book;
	size_t i, j;

	for (i = 0; i < b->nr_heaps; i++) {
		const struct pt_heap *h = &b->heaps[i];

		fprintf(v->f,
			"\narena %u, heap %08" PRIx64 "-%08" PRIx64
			": chunk (malloc returned 16 more), size, flags, state -> next on the list\n",
			h->arena, h->start, h->end);
		for (j = 0; j < h->nr_chunks; j++)
			text_chunk(v, &b->chunks[h->chunk + j]);
	}
	if (b->mmapped < b->nr_chunks)
		fputs("\nchunks with a mapping of their own\n", v->f);
	for (i = b->mmapped; i < b->nr_chunks; i++)
		text_chunk(v, &b->chunks[i]);
}

static int heap_text(const struct heap_view *v)
{
	int err;

	text_head(v);
	text_par(v);
	fputs("KiB, headers of chunks included.\n\n", v->f);
	err = text_arenas(v);
	if (err)
		return err;
	text_mmapped(v);
	text_doubts(v);
	if (v->bins)
		err = text_bins(v);
	if (!err && v->chunks)
		text_chunks(v);
	return err;
}

/* --- JSON */

static json_t *json_sum(struct pt_sum s)
{
	return json_pack("{s:o, s:o}", "chunks", json_u64(s.chunks), "bytes",
			 json_u64(s.bytes));
}

static json_t *json_par(const struct pt_par *p)
{
	if (!p->addr)
		return json_null();
	return json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"addr", json_addr(p->addr), "layout", p->layout->glibc,
		"mmap_threshold", json_u64(p->mmap_threshold), "trim_threshold",
		json_u64(p->trim_threshold), "top_pad", json_u64(p->top_pad),
		"dynamic", !p->no_dyn_threshold, "arena_max",
		json_u64(p->arena_max), "thp_pagesize",
		json_u64(p->thp_pagesize), "hp_pagesize",
		json_u64(p->hp_pagesize), "n_mmaps", json_u64(p->n_mmaps),
		"mmapped_mem", json_u64(p->mmapped_mem), "tcache_count",
		json_u64(p->tcache_count), "tcache_bytes",
		json_u64(p->tcache_bytes));
}

static json_t *json_heaps(const struct pt_book *b, const struct pt_arena *a)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < a->nr_heaps; i++) {
		const struct pt_heap *h = &b->heaps[a->heap + i];

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "start",
				  json_addr(h->start), "end", json_addr(h->end),
				  "committed", json_addr(h->committed),
				  "reserved", json_addr(h->reserved), "foreign",
				  json_u64(h->foreign), "broken",
				  h->broken ? json_addr(h->broken) :
					      json_null()));
	}
	return list;
}

static json_t *json_tids(const struct pt_book *b, uint32_t arena)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < b->nr_threads; i++)
		if (b->threads[i].arena == arena && b->threads[i].tid)
			json_array_append_new(list,
					      json_u64(b->threads[i].tid));
	return list;
}

static json_t *json_arena(const struct pt_book *b, uint32_t i)
{
	const struct pt_arena *a = &b->arenas[i];
	json_t *j = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}",
		"addr", json_addr(a->addr), "attached", json_u64(a->attached),
		"threads", json_tids(b, i), "system_mem",
		json_u64(a->system_mem), "max_system_mem",
		json_u64(a->max_system_mem), "top", json_addr(a->top),
		"top_size", json_u64(a->top_size), "contiguous",
		!a->noncontiguous, "heaps", json_heaps(b, a), "unlisted",
		json_u64(a->unlisted), "lost", json_u64(a->lost), "rest",
		json_sum(pt_arena_rest(a)));
	enum pt_chunk_state s;

	for (s = 0; s < PT_STATES; s++)
		if (s != PT_MMAPPED && s != PT_TOP)
			json_object_set_new(j, pt_state_name(s),
					    json_sum(a->sum[s]));
	return j;
}

static json_t *json_thread(const struct pt_thread *th)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o}", "tid",
		th->tid ? json_u64(th->tid) : json_null(), "arena",
		th->arena == PT_NOWHERE ? json_null() : json_u64(th->arena),
		"tcache", th->tcache ? json_addr(th->tcache) : json_null(),
		"cached", json_sum(th->cached));
}

static json_t *json_bins(const struct pt_book *b)
{
	json_t *list = json_array();
	size_t nr = 0, i;
	struct bin *bins = collect(b, &nr);

	for (i = 0; bins && i < nr; i++) {
		const struct bin *n = &bins[i];
		bool any = n->state == PT_UNSORTED;

		json_array_append_new(
			list,
			json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "arena",
				  json_u64(n->arena), "list",
				  pt_state_name(n->state), "from",
				  any ? json_null() : json_u64(n->from), "to",
				  n->to == UINT64_MAX ? json_null() :
							json_u64(n->to),
				  "chunks", json_u64(n->sum.chunks), "bytes",
				  json_u64(n->sum.bytes)));
	}
	free(bins);
	return list;
}

static json_t *json_chunks(const struct pt_book *b)
{
	json_t *list = json_array();
	size_t i;
	char buf[4];

	for (i = 0; i < b->nr_chunks; i++) {
		const struct pt_chunk *c = &b->chunks[i];
		uint64_t next = next_of(b, c);

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:s, s:o, s:s, s:o}", "addr",
				  json_addr(c->addr), "size",
				  json_u64(pt_size(c)), "flags",
				  flags_text(c->head, buf), "arena",
				  c->heap == PT_NOWHERE ?
					  json_null() :
					  json_u64(b->heaps[c->heap].arena),
				  "state", pt_state_name(c->state), "next",
				  next ? json_addr(next) : json_null()));
	}
	return list;
}

static int heap_json(const struct heap_view *v)
{
	const struct output o = { .f = v->f };
	const struct pt_book *b = v->book;
	json_t *j = json_object(), *arenas = json_array();
	json_t *threads = json_array();
	size_t i;

	for (i = 0; i < b->nr_arenas; i++)
		json_array_append_new(arenas, json_arena(b, (uint32_t)i));
	for (i = 0; i < b->nr_threads; i++)
		json_array_append_new(threads, json_thread(&b->threads[i]));
	json_object_set_new(j, "pid", json_u64(v->pid));
	json_object_set_new(j, "comm", json_name(v->comm));
	json_object_set_new(j, "took", json_u64(v->took));
	json_object_set_new(j, "stopped", json_boolean(v->stopped));
	json_object_set_new(j, "incomplete",
			    v->incomplete ? json_string(v->incomplete) :
					    json_null());
	json_object_set_new(j, "layout", json_string(b->layout->glibc));
	json_object_set_new(j, "main_arena", json_addr(b->arenas[0].addr));
	json_object_set_new(j, "by_symbol", json_boolean(b->by_symbol));
	json_object_set_new(j, "heap_max", json_u64(b->heap_max));
	json_object_set_new(j, "mp", json_par(&b->par));
	json_object_set_new(j, "arenas", arenas);
	json_object_set_new(j, "mmapped", json_sum(mmapped_sum(b)));
	json_object_set_new(j, "threads", threads);
	json_object_set_new(j, "bins", json_bins(b));
	if (v->chunks)
		json_object_set_new(j, "chunks", json_chunks(b));
	return json_print(&o, j, false);
}

int output_heap(const struct heap_view *v)
{
	int err = v->json ? heap_json(v) : heap_text(v);

	return err ? err : output_status(v->f);
}
