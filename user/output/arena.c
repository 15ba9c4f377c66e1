// SPDX-License-Identifier: GPL-2.0
/*
 * "What are these 64 MiB blocks?" Each is a heap of an arena: address space that
 * malloc reserved for threads, of which it makes accessible what it needs.
 *
 * What fewer arenas would cost or save is told as far as it can be computed: the
 * resident memory of all arenas but the main one that no chunk in use fills. One
 * arena for all could use it for any thread; how long threads would wait for each
 * other then, nobody can tell from this.
 *
 * --json (bytes):
 *   pid, comm, stopped, incomplete (null, or a sentence)
 *   arenas: [ arena (index), addr, attached (threads, by its own count), threads:
 *     [ tid ], live { chunks, bytes }, free (bins, fastbins and top), cached (in
 *     threads' caches), system_mem, heaps: [ start, end (of what is used), committed
 *     (end of what is accessible), reserved (end), resident, made (cause; both null: not
 *     known), grown (cause of the last change; null: none after `made`), commits ] ]
 *   commits: null (there is no module: not known), or { calls, bytes, last (cause, null:
 *     none), callers: [ op (null: outside of any allocator call), caller, calls, bytes ],
 *     most bytes first }: the mprotect calls by which what is accessible now became so
 *   others (null: not known): { arenas, resident, live, idle }  of all but the main
 *     arena: resident bytes, bytes of chunks in use, and what is resident and not of
 *     chunks in use
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "output/heap.h"
#include "output/held.h"
#include "output/table.h"
#include "output/text.h"
#include "output/view.h"

/* Resident bytes of what is accessible; -errno. */
static int64_t resident_of(const struct look_view *v, const struct pt_heap *h)
{
	return v->resident(v->ctx, h->start, h->committed);
}

static int64_t arena_resident(const struct look_view *v, uint32_t arena)
{
	const struct pt_arena *a = &v->book->arenas[arena];
	int64_t sum = 0, n;
	uint32_t i;

	for (i = 0; i < a->nr_heaps; i++) {
		n = resident_of(v, &v->book->heaps[a->heap + i]);
		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static struct pt_sum live_of(const struct pt_arena *a)
{
	return a->sum[PT_USED];
}

static uint64_t free_of(const struct pt_arena *a)
{
	return pt_arena_rest(a).bytes + a->sum[PT_FAST].bytes;
}

/* All but the main arena. */
struct others {
	uint64_t resident, live, idle;
};

static int sum_others(const struct look_view *v, struct others *o)
{
	uint32_t i;

	*o = (struct others){ 0 };
	for (i = 1; i < v->book->nr_arenas; i++) {
		int64_t n = arena_resident(v, i);
		uint64_t live = live_of(&v->book->arenas[i]).bytes;

		if (n < 0)
			return (int)n;
		o->resident += (uint64_t)n;
		o->live += live;
		/* Chunks in use that were never touched are not resident. */
		o->idle += (uint64_t)n > live ? (uint64_t)n - live : 0;
	}
	return 0;
}

/* The VMA at the heap's beginning, and what made it; NULL: not in the model (yet). */
static const struct vma *vma_of(const struct look_view *v,
				const struct pt_heap *h,
				const struct cause **made)
{
	const struct vma_map *m = v->s->vmas;
	size_t i = vma_map_lower(m, h->start);
	const struct vma *vma = i < vma_map_count(m) ? vma_map_at(m, i) : NULL;

	if (!vma || vma->d.start > h->start)
		return NULL;
	*made = vma_map_origin(m, h->start, NULL, NULL);
	if (!*made)
		*made = vma->made;
	return vma;
}

/* --- the mprotect calls that made accessible what is */

struct commit_site {
	enum call_op op;
	uint64_t caller;
	uint64_t calls, bytes;
};

struct commits {
	uint64_t calls, bytes;
	const struct cause *before; /* the one that was seen just before */
	const struct cause *last; /* in time */
	struct commit_site *sites; /* owned */
	size_t nr_sites;
	int err;
};

static struct commit_site *site_of(struct commits *n, const struct cause *c)
{
	struct commit_site *v = n->sites;
	size_t i;

	for (i = 0; i < n->nr_sites; i++)
		if (v[i].op == c->op && v[i].caller == c->caller)
			return &v[i];
	v = realloc(v, (n->nr_sites + 1) * sizeof(*v));
	if (!v)
		return NULL;
	n->sites = v;
	v[n->nr_sites] = (struct commit_site){ c->op, c->caller, 0, 0 };
	return &v[n->nr_sites++];
}

static void count_commit(void *ctx, uint64_t bytes, const struct cause *c)
{
	struct commits *n = ctx;
	struct commit_site *site = site_of(n, c);

	if (!site) {
		n->err = -ENOMEM;
		return;
	}
	/* What a later call took a piece out of is in two pieces. */
	n->calls += c != n->before;
	site->calls += c != n->before;
	n->bytes += bytes;
	site->bytes += bytes;
	n->before = c;
	if (!n->last || c->ts > n->last->ts)
		n->last = c;
}

static int most_bytes(const void *x, const void *y)
{
	const struct commit_site *a = x, *b = y;

	return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1 : 0;
}

/* False: not known. Else the caller frees ->sites. */
static bool commits_of(const struct look_view *v, const struct pt_heap *h,
		       struct commits *n)
{
	*n = (struct commits){ 0 };
	if (v->s->vmas_sampled)
		return false;
	vma_map_protects(v->s->vmas, h->start, h->committed, count_commit, n);
	if (n->sites)
		qsort(n->sites, n->nr_sites, sizeof(*n->sites), most_bytes);
	if (n->err)
		free(n->sites);
	return !n->err;
}

/* --- text */

static void cell_kib(struct table *t, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", kib(bytes, buf));
}

static void put_maker(const struct look_view *v, FILE *f, const struct cause *c)
{
	put_cause(v->o, v->s, f, c);
	if (c->kind != CAUSE_SYSCALL)
		return;
	fprintf(f, ", thread %u, at ", c->tid);
	put_time(v->o, f, c->ts);
}

/* "; committed by 12 mprotect (1536 KiB), last in malloc(400) from ..., thread 7, at 1.5" */
static void put_commits(const struct look_view *v, FILE *f,
			const struct pt_heap *h)
{
	struct commits n;
	char buf[32];

	if (!commits_of(v, h, &n))
		return;
	if (n.calls) {
		fprintf(f, "; committed by %" PRIu64 " mprotect%s (%s KiB)",
			n.calls, plural(n.calls), kib(n.bytes, buf));
		fprintf(f,
			n.nr_sites > 1 ? " of %zu callers, the last: " :
					 ", the last: ",
			n.nr_sites);
		put_maker(v, f, n.last);
	}
	free(n.sites);
}

static char *made_text(const struct look_view *v, const struct pt_heap *h)
{
	const struct cause *made;
	const struct vma *vma = vma_of(v, h, &made);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (!vma) {
		fputc('?', f);
	} else {
		put_maker(v, f, made);
		put_commits(v, f, h);
	}
	return fclose(f) ? NULL : text;
}

static void row(const struct look_view *v, struct table *t, uint32_t arena,
		uint32_t heap)
{
	const struct pt_arena *a = &v->book->arenas[arena];
	const struct pt_heap *h = &v->book->heaps[heap];
	bool first = heap == a->heap;
	char *made = made_text(v, h), buf[32];
	int64_t n = resident_of(v, h);

	if (first)
		table_cell(t, "%u", arena);
	else
		table_cell(t, "%s", "");
	table_cell(t, "%08" PRIx64, h->start);
	cell_kib(t, h->reserved - h->start);
	cell_kib(t, h->committed - h->start);
	table_cell(t, "%s", n < 0 ? "?" : kib((uint64_t)n, buf));
	if (first) {
		char *threads = heap_threads(v->book, arena);

		cell_kib(t, live_of(a).bytes);
		table_cell(t, "%" PRIu64, live_of(a).chunks);
		cell_kib(t, free_of(a));
		cell_kib(t, a->sum[PT_TCACHE].bytes);
		table_cell(t, "%s", threads ? threads : "?");
		free(threads);
	} else {
		table_cell(t, "%s", "\"");
		table_cell(t, "%s", "\"");
		table_cell(t, "%s", "\"");
		table_cell(t, "%s", "\"");
		table_cell(t, "%s", "\"");
	}
	table_cell(t, "%s", made ? made : "?");
	free(made);
}

static int text_rows(const struct look_view *v)
{
	static const char *const names[] = {
		"arena",  "heap", "reserved", "committed", "resident", "live",
		"chunks", "free", "cached",   "threads",   "made by",  NULL
	};
	struct table *t = table_new("rlrrrrrrrll");
	uint32_t i, j;
	int err;

	if (!t)
		return -ENOMEM;
	table_names(t, names);
	for (i = 0; i < v->book->nr_arenas; i++) {
		const struct pt_arena *a = &v->book->arenas[i];

		for (j = a->heap; j < a->heap + a->nr_heaps; j++)
			row(v, t, i, j);
	}
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static int arenas_text(const struct look_view *v)
{
	size_t others = v->book->nr_arenas - 1;
	FILE *f = v->o->f;
	struct others o;
	char buf[3][32];
	int err = sum_others(v, &o);

	if (err)
		return err;
	put_process(f, v->s);
	fprintf(f,
		": malloc's arenas, read %s. KiB; live, free and cached (in threads' caches) are of the whole arena.\n",
		v->stopped ? "while it stood still" : "as it ran");
	if (v->incomplete)
		fprintf(f, "Incomplete: %s.\n", v->incomplete);
	fputc('\n', f);
	err = text_rows(v);
	if (err || !others)
		return err;
	fprintf(f,
		"\n%zu arena%s besides the main one: %s resident, of which chunks in use fill %s. With one arena for all\n"
		"(MALLOC_ARENA_MAX=1) the remaining %s could serve any thread; what threads would then wait for each\n"
		"other is not known.\n",
		others, plural(others), kib(o.resident, buf[0]),
		kib(o.resident - o.idle, buf[1]), kib(o.idle, buf[2]));
	return 0;
}

/* --- JSON */

static json_t *json_commits(const struct look_view *v, const struct pt_heap *h)
{
	json_t *sites, *j;
	struct commits n;
	size_t i;

	if (!commits_of(v, h, &n))
		return json_null();
	sites = json_array();
	for (i = 0; i < n.nr_sites; i++) {
		const struct commit_site *c = &n.sites[i];

		json_array_append_new(
			sites,
			json_pack("{s:o, s:o, s:o, s:o}", "op",
				  c->op == CALL_NONE ?
					  json_null() :
					  json_string(call_op_name(c->op)),
				  "caller", json_caller(v->o, v->s, c->caller),
				  "calls", json_u64(c->calls), "bytes",
				  json_u64(c->bytes)));
	}
	j = json_pack("{s:o, s:o, s:o, s:o}", "calls", json_u64(n.calls),
		      "bytes", json_u64(n.bytes), "last",
		      n.last ? json_cause(v->o, v->s, n.last) : json_null(),
		      "callers", sites);
	free(n.sites);
	return j;
}

static json_t *json_heap(const struct look_view *v, const struct pt_heap *h)
{
	const struct cause *made = NULL;
	const struct vma *vma = vma_of(v, h, &made);
	int64_t n = resident_of(v, h);

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "start",
			 json_addr(h->start), "end", json_addr(h->end),
			 "committed", json_addr(h->committed), "reserved",
			 json_addr(h->reserved), "resident",
			 n < 0 ? json_null() : json_u64((uint64_t)n), "made",
			 vma ? json_cause(v->o, v->s, made) : json_null(),
			 "grown",
			 vma && vma->changed != made ?
				 json_cause(v->o, v->s, vma->changed) :
				 json_null(),
			 "commits", json_commits(v, h));
}

static json_t *json_arena(const struct look_view *v, uint32_t i)
{
	const struct pt_book *b = v->book;
	const struct pt_arena *a = &b->arenas[i];
	json_t *heaps = json_array(), *tids = json_array();
	uint32_t j;
	size_t k;

	for (j = a->heap; j < a->heap + a->nr_heaps; j++)
		json_array_append_new(heaps, json_heap(v, &b->heaps[j]));
	for (k = 0; k < b->nr_threads; k++)
		if (b->threads[k].arena == i && b->threads[k].tid)
			json_array_append_new(tids,
					      json_u64(b->threads[k].tid));
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:o, s:o, s:o}",
		"arena", json_u64(i), "addr", json_addr(a->addr), "attached",
		json_u64(a->attached), "threads", tids, "live", "chunks",
		json_u64(live_of(a).chunks), "bytes",
		json_u64(live_of(a).bytes), "free", json_u64(free_of(a)),
		"cached", json_u64(a->sum[PT_TCACHE].bytes), "system_mem",
		json_u64(a->system_mem), "heaps", heaps);
}

static int arenas_json(const struct look_view *v)
{
	json_t *list = json_array(), *j;
	struct others o;
	uint32_t i;
	int err = sum_others(v, &o);

	for (i = 0; i < v->book->nr_arenas; i++)
		json_array_append_new(list, json_arena(v, i));
	j = json_pack("{s:o, s:o, s:b, s:o, s:o, s:o}", "pid",
		      json_u64(v->s->owner), "comm", json_name(v->s->comm),
		      "stopped", (int)v->stopped, "incomplete",
		      v->incomplete ? json_string(v->incomplete) : json_null(),
		      "arenas", list, "others",
		      err ? json_null() :
			    json_pack("{s:o, s:o, s:o, s:o}", "arenas",
				      json_u64(v->book->nr_arenas - 1),
				      "resident", json_u64(o.resident), "live",
				      json_u64(o.live), "idle",
				      json_u64(o.idle)));
	return json_print(v->o, j, false);
}

int output_arenas(const struct look_view *v)
{
	int err = v->o->json ? arenas_json(v) : arenas_text(v);

	return err ? err : output_status(v->o->f);
}
