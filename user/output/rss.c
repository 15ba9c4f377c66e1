// SPDX-License-Identifier: GPL-2.0
/*
 * The identity
 *
 *   resident = live + slack + free in threads' caches, fastbins, bins, tops
 *              + malloc's own + stacks + files + shared + kernel + vmaheap
 *              + other anonymous + unknown
 *
 * `resident` is the kernel's figure (smaps_rollup); every other term is counted
 * page by page, so that `unknown`, the rest, can be negative when the process has
 * given something back meanwhile.
 *
 * --json (bytes):
 *   pid, comm, stopped, incomplete (null, or a sentence), opaque (the allocator is
 *     not glibc's: its memory is in `other`)
 *   resident, unknown, slack_known (bytes of live chunks of which the size that was
 *     asked for is known: the slack of the others is in `live`), page_tables (of the
 *     process; not part of resident; null: not known)
 *   terms: live, slack, tcache, fastbins, bins, top, malloc (headers, arenas, caches),
 *     stack, file, shared, kernel, vmaheap, other
 *   vmas: [ start, end, name, kind, resident (null: not sampled), and of the terms
 *     above those that are not 0 ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/held.h"
#include "output/table.h"
#include "output/text.h"
#include "output/view.h"

enum term {
	LIVE,
	SLACK,
	TCACHE,
	FAST,
	BINS,
	TOP,
	OWN,
	STACK,
	FILES,
	SHARED,
	KERNEL,
	OURS,
	OTHER,
	TERMS,
};

static const struct {
	const char *key, *text, *note;
} terms[TERMS] = {
	[LIVE] = { "live", "live", "in use by the program" },
	[SLACK] = { "slack", "slack", "rounding inside chunks in use" },
	[TCACHE] = { "tcache", "free, in threads' caches",
		     "goes back when the thread ends" },
	[FAST] = { "fastbins", "free, in fastbins",
		   "merged at the next chance" },
	[BINS] = { "bins", "free, in bins",
		   "between chunks in use: see why held" },
	[TOP] = { "top", "free, at the top",
		  "below the trim threshold, or of an arena: see why held" },
	[OWN] = { "malloc", "malloc's own", "headers, arenas, caches" },
	[STACK] = { "stack", "stacks", "of all threads" },
	[FILES] = { "file", "files",
		    "private mappings, what was written to included" },
	[SHARED] = { "shared", "shared", "" },
	[KERNEL] = { "kernel", "kernel-provided", "vdso, vvar" },
	[OURS] = { "vmaheap", "vmaheap's own", "the shim's rings" },
	[OTHER] = { "other", "other anonymous",
		    "bss, and what the program mapped without malloc" },
};

struct row {
	uint64_t term[TERMS];
	uint64_t counted; /* of the terms, page by page: resident bytes */
};

struct sum {
	const struct look_view *v;
	struct row *rows; /* of each VMA */
	size_t nr;
	uint64_t term[TERMS];
	uint64_t slack_known;
	int64_t unknown;
	/* the last page that was asked for */
	uint64_t page;
	bool page_resident;
	size_t last; /* VMA */
	int err;
};

/* --- malloc's memory, byte by byte */

static bool page_is_resident(struct sum *s, uint64_t page)
{
	int64_t n;

	if (page == s->page)
		return s->page_resident;
	n = s->v->resident(s->v->ctx, page, page + 4096);
	if (n < 0)
		s->err = (int)n;
	s->page = page;
	s->page_resident = n > 0;
	return s->page_resident;
}

/* The VMA that holds addr; NULL: none does. */
static const struct vma *vma_at(struct sum *s, uint64_t addr)
{
	const struct vma_map *m = s->v->s->vmas;
	const struct vma *v;

	if (s->last >= s->nr || addr < vma_map_at(m, s->last)->d.start ||
	    addr >= vma_map_at(m, s->last)->d.end)
		s->last = vma_map_lower(m, addr);
	if (s->last >= s->nr)
		return NULL;
	v = vma_map_at(m, s->last);
	return addr >= v->d.start && addr < v->d.end ? v : NULL;
}

static void count(struct sum *s, uint64_t lo, uint64_t hi, enum term term)
{
	while (lo < hi) {
		uint64_t page = lo & ~4095ull, end = page + 4096;
		uint64_t n = (end < hi ? end : hi) - lo;

		if (vma_at(s, lo) && page_is_resident(s, page)) {
			s->rows[s->last].term[term] += n;
			s->rows[s->last].counted += n;
		}
		lo += n;
	}
}

/* Of a chunk in use: what was asked for, when an event told; else all of it. */
static void count_used(struct sum *s, uint64_t mem, uint64_t end)
{
	struct chunk c;

	if (!chunk_get(s->v->s->chunks, mem, &c) && c.op != CALL_NONE &&
	    c.size <= end - mem) {
		s->slack_known += end - mem;
		count(s, mem, mem + c.size, LIVE);
		count(s, mem + c.size, end, SLACK);
	} else {
		count(s, mem, end, LIVE);
	}
}

static enum term term_of_free(const struct pt_chunk *c)
{
	return c->state == PT_TCACHE ? TCACHE :
	       c->state == PT_FAST   ? FAST :
	       c->state == PT_TOP    ? TOP :
				       BINS;
}

/* A chunk's memory reaches into the first word of the next one. */
static void count_chunk(struct sum *s, const struct pt_heap *h,
			const struct pt_chunk *c)
{
	uint64_t mem = c->addr + 16, end = c->addr + pt_size(c) + 8;

	if (end > h->end)
		end = h->end;
	if (c->state == PT_FENCE || mem > end) {
		count(s, c->addr + 8, end, OWN);
		return;
	}
	count(s, c->addr + 8, mem, OWN);
	if (c->state == PT_USED)
		count_used(s, mem, end);
	else
		count(s, mem, end, c->state == PT_META ? OWN : term_of_free(c));
}

static void count_heap(struct sum *s, const struct pt_heap *h)
{
	const struct pt_book *b = s->v->book;
	uint64_t first = h->first + 8;
	size_t i;

	count(s, h->start, first < h->end ? first : h->end, OWN);
	for (i = 0; i < h->nr_chunks; i++)
		count_chunk(s, h, &b->chunks[h->chunk + i]);
}

static void count_mmapped(struct sum *s, const struct pt_chunk *c)
{
	uint64_t base = c->addr - c->link;
	uint64_t end = base + pt_mapping(s->v->book, c);

	count(s, base, c->addr + 16, OWN);
	count_used(s, c->addr + 16, end);
}

/* --- threads' stacks, which may lie in one VMA with other memory */

#define PTHREAD 0x900u /* sizeof(struct pthread), where a stack ends: about */

static bool is_guard(const struct vma *v)
{
	return !(v->d.flags & (VMA_READ | VMA_WRITE | VMA_EXEC));
}

/*
 * Where it begins: above the guard, or above the next thread's; where neither tells
 * what is in use. UINT64_MAX: not known.
 */
static uint64_t stack_start(const struct sum *s, const struct pt_thread_at *th,
			    size_t vma)
{
	const struct vma_map *m = s->v->s->vmas;
	const struct vma *v = vma_map_at(m, vma),
			 *below = vma ? vma_map_at(m, vma - 1) : NULL;
	uint64_t lo = v->d.start;
	size_t i;

	for (i = 0; i < s->v->nr_at; i++)
		if (s->v->at[i].tcb > lo && s->v->at[i].tcb < th->tcb)
			lo = (s->v->at[i].tcb + PTHREAD + 4095) & ~4095ull;
	if (lo > v->d.start || (below && below->d.end == lo && is_guard(below)))
		return lo;
	return th->sp >= lo && th->sp < th->tcb ? th->sp & ~4095ull :
						  UINT64_MAX;
}

static void count_stack(struct sum *s, const struct pt_thread_at *th)
{
	const struct vma *v = vma_at(s, th->tcb);
	uint64_t lo, hi;

	/* The first thread's control block is no part of its stack. */
	if (th->tid == s->v->s->owner || !v)
		return;
	lo = stack_start(s, th, s->last);
	hi = (th->tcb + PTHREAD + 4095) & ~4095ull;
	if (lo < hi)
		count(s, lo, hi < v->d.end ? hi : v->d.end, STACK);
}

/* --- the rest, VMA by VMA */

static enum term term_of_rest(enum view_kind kind)
{
	switch (kind) {
	case VIEW_STACK:
	case VIEW_THREAD_STACK:
	case VIEW_GUARD:
		return STACK;
	case VIEW_FILE:
		return FILES;
	case VIEW_SHARED:
		return SHARED;
	case VIEW_KERNEL:
		return KERNEL;
	case VIEW_OURS:
		return OURS;
	case VIEW_BSS:
		return OTHER;
	case VIEW_ANON:
	case VIEW_MAPPED:
		return OTHER; /* all that is malloc's has been found, or unknown below */
	default:
		return TERMS;
	}
}

/* Has every mapping of malloc been found? Else the rest may be its own. */
static bool all_found(const struct pt_book *b)
{
	return !b->layout ||
	       (b->par.addr && b->nr_chunks - b->mmapped == b->par.n_mmaps);
}

static void count_rest(struct sum *s, size_t i)
{
	struct view w = view_of(s->v->s, i);
	enum term term = term_of_rest(w.kind);
	bool heap = w.kind == VIEW_HEAP || w.kind == VIEW_ARENA ||
		    w.kind == VIEW_POOL;
	bool anon = w.kind == VIEW_ANON || w.kind == VIEW_MAPPED;

	if (heap && s->v->opaque)
		term = OTHER;
	if (!w.res || term == TERMS || (anon && !all_found(s->v->book)))
		return;
	if (w.res->resident > s->rows[i].counted)
		s->rows[i].term[term] += w.res->resident - s->rows[i].counted;
}

static int sum_up(struct sum *s)
{
	const struct pt_book *b = s->v->book;
	size_t i, t;

	s->nr = vma_map_count(s->v->s->vmas);
	s->rows = calloc(s->nr + 1, sizeof(*s->rows));
	if (!s->rows)
		return -ENOMEM;
	for (i = 0; i < b->nr_heaps; i++)
		count_heap(s, &b->heaps[i]);
	for (i = b->mmapped; i < b->nr_chunks; i++)
		count_mmapped(s, &b->chunks[i]);
	for (i = 0; i < s->v->nr_at; i++)
		count_stack(s, &s->v->at[i]);
	s->unknown = (int64_t)s->v->rss;
	for (i = 0; i < s->nr; i++) {
		count_rest(s, i);
		for (t = 0; t < TERMS; t++) {
			s->term[t] += s->rows[i].term[t];
			s->unknown -= (int64_t)s->rows[i].term[t];
		}
	}
	return s->err;
}

/* --- text */

static void signed_kib(struct table *t, int64_t bytes)
{
	char buf[32];

	table_cell(t, "%s%s", bytes < 0 ? "-" : "",
		   kib((uint64_t)(bytes < 0 ? -bytes : bytes), buf));
}

/* Where most of a term is: "7f..-7f.. 120, [heap] 64, ... in 12 VMAs". */
static char *places(const struct sum *s, enum term term)
{
	const struct space *sp = s->v->s;
	size_t best[3] = { SIZE_MAX, SIZE_MAX, SIZE_MAX }, nr = 0, i, size;
	char *text = NULL, buf[32];
	unsigned int j, k;
	FILE *f;

	for (i = 0; i < s->nr; i++) {
		uint64_t n = s->rows[i].term[term];

		nr += n > 0;
		for (j = 0; n && j < 3; j++) {
			if (best[j] != SIZE_MAX &&
			    s->rows[best[j]].term[term] >= n)
				continue;
			for (k = 2; k > j; k--)
				best[k] = best[k - 1];
			best[j] = i;
			break;
		}
	}
	f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	for (j = 0; j < 3 && best[j] != SIZE_MAX; j++) {
		const struct vma *v = vma_map_at(sp->vmas, best[j]);
		const char *name = vma_name(s->v->o, sp, v);

		fprintf(f, "%s%08" PRIx64 " ", j ? ", " : "", v->d.start);
		if (strrchr(name, '/'))
			name = strrchr(name, '/') + 1;
		put_name(f, name);
		fprintf(f, "%s%s", *name ? " " : "",
			kib(s->rows[best[j]].term[term], buf));
	}
	if (nr > 3)
		fprintf(f, ", and %zu more", nr - 3);
	return fclose(f) ? NULL : text;
}

static int text_terms(const struct sum *s)
{
	struct table *t = table_new("lrll");
	double all = s->v->rss ? (double)s->v->rss : 1;
	unsigned int i;
	char note[80];
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "resident");
	signed_kib(t, (int64_t)s->v->rss);
	table_cell(t, "by the kernel's own account (smaps_rollup)");
	table_cell(t, "most of it in");
	for (i = 0; i < TERMS; i++) {
		char *where;

		if (!s->term[i] && (i > OWN || s->v->opaque))
			continue;
		where = places(s, i);
		table_cell(t, "  %s", terms[i].text);
		signed_kib(t, (int64_t)s->term[i]);
		table_cell(
			t, "%s",
			i == SLACK && !s->slack_known ?
				"? (it is in live: what was asked for is not known)" :
				terms[i].note);
		table_cell(t, "%s", where ? where : "?");
		free(where);
	}
	snprintf(note, sizeof(note), "%.2f %% that nothing explains",
		 100.0 * (double)s->unknown / all);
	table_cell(t, "  unknown");
	signed_kib(t, s->unknown);
	table_cell(t, "%s", note);
	table_cell(t, "%s", "");
	if (s->v->page_tables >= 0) {
		table_cell(t, "page tables");
		signed_kib(t, s->v->page_tables);
		table_cell(t, "charged to it, but no part of resident");
		table_cell(t, "%s", "");
	}
	err = table_print(t, s->v->o->f);
	table_free(t);
	return err;
}

static int rss_text(const struct sum *s)
{
	FILE *f = s->v->o->f;

	put_process(f, s->v->s);
	fprintf(f, ": what its resident memory consists of, read %s. KiB.\n",
		s->v->stopped ? "while it stood still" : "as it ran");
	if (s->v->opaque)
		fprintf(f,
			"Allocator opaque (%s): what it got from the kernel is in other anonymous.\n",
			s->v->incomplete);
	else if (s->v->incomplete)
		fprintf(f, "Incomplete: %s.\n", s->v->incomplete);
	return text_terms(s);
}

/* --- JSON */

static json_t *json_vma(const struct sum *s, size_t i)
{
	struct view w = view_of(s->v->s, i);
	json_t *j = json_pack("{s:o, s:o, s:o, s:s, s:o}", "start",
			      json_addr(w.v->d.start), "end",
			      json_addr(w.v->d.end), "name",
			      json_name(vma_name(s->v->o, s->v->s, w.v)),
			      "kind", view_kind_name(w.kind), "resident",
			      w.res ? json_u64(w.res->resident) : json_null());
	unsigned int t;

	for (t = 0; t < TERMS; t++)
		if (s->rows[i].term[t])
			json_object_set_new(j, terms[t].key,
					    json_u64(s->rows[i].term[t]));
	return j;
}

static int rss_json(const struct sum *s)
{
	const struct look_view *v = s->v;
	json_t *sums = json_object(), *vmas = json_array(), *j;
	unsigned int t;
	size_t i;

	for (t = 0; t < TERMS; t++)
		json_object_set_new(sums, terms[t].key, json_u64(s->term[t]));
	for (i = 0; i < s->nr; i++)
		json_array_append_new(vmas, json_vma(s, i));
	j = json_pack("{s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		      "pid", json_u64(v->s->owner), "comm",
		      json_name(v->s->comm), "stopped", (int)v->stopped,
		      "opaque", (int)v->opaque, "incomplete",
		      v->incomplete ? json_string(v->incomplete) : json_null(),
		      "resident", json_u64(v->rss), "unknown",
		      json_integer(s->unknown), "slack_known",
		      json_u64(s->slack_known), "page_tables",
		      v->page_tables < 0 ? json_null() :
					   json_integer(v->page_tables),
		      "terms", sums, "vmas", vmas);
	return json_print(v->o, j, false);
}

int output_rss(const struct look_view *v)
{
	struct sum s = { .v = v, .page = UINT64_MAX, .last = SIZE_MAX };
	int err = sum_up(&s);

	if (!err)
		err = v->o->json ? rss_json(&s) : rss_text(&s);
	free(s.rows);
	return err ? err : output_status(v->o->f);
}
