// SPDX-License-Identifier: GPL-2.0
/*
 * "mmap fails with ENOMEM though there is memory." What refuses it, or will: the
 * number of VMAs, and whose they are; the limits of the process and the machine;
 * the room in its address space.
 *
 * --json (bytes; see text.h):
 *   pid, comm, bits (64, 32), layout ("top down", "legacy", null: it does not show)
 *   map_count: { vmas, ours (the shim's own among them), max (null: not known) }
 *   makers: [ made (cause), vmas, bytes ], most first
 *   calls: [ name (null: page fault), in_calls, outside ]: by how many VMAs there are
 *     more because of such calls inside and outside of allocator calls (less when
 *     negative); null without the module
 *   callers: [ op, caller, vmas ]: the same of allocator calls, most first; null
 *   splits: [ by (cause), borders ]: where two VMAs that one call made touch, what
 *     changed one of them last; `holes`: where they do not
 *   coalesced: changes that were merged into later ones, which stand here as the
 *     makers and splitters; null without the module
 *   neighbours: { gap, permissions, shared, file, offset, flags, special, unknown }:
 *     pairs, by what keeps them from being one VMA
 *   failed: [ syscall, reason (as in report), calls ] of ENOMEM; null: not known
 *   limits: null, or { as, vm_size, data, vm_data (null: no limit), overcommit_memory,
 *     commit_limit, committed }
 *   heap: null, or { start, end, above: null | { start, end, name, made }, most, real }
 *   hole: { start, end }, the largest
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/room.h"
#include "output/enomem.h"
#include "output/syscall.h"
#include "output/table.h"
#include "output/text.h"

#define TOP 10 /* rows of a table, in text */

/* --- who made them */

/* VMAs of one place in the program, or of one kind of event. */
struct group {
	const struct cause *cause; /* one of them */
	uint64_t vmas, bytes;
};

struct groups {
	struct group *v;
	size_t nr;
};

static bool same_place(const struct cause *a, const struct cause *b)
{
	if (a->kind != b->kind || a->op != b->op)
		return false;
	if (a->op != CALL_NONE)
		return a->caller == b->caller;
	return a->kind != CAUSE_SYSCALL ||
	       (a->syscall == b->syscall && a->compat == b->compat &&
		a->ip == b->ip);
}

/* There are few places; a program with thousands of them has other troubles. */
static void count_group(struct groups *g, const struct cause *c, uint64_t bytes)
{
	size_t i = 0;

	while (i < g->nr && !same_place(g->v[i].cause, c))
		i++;
	if (i == g->nr)
		g->v[g->nr++] = (struct group){ .cause = c };
	g->v[i].vmas++;
	g->v[i].bytes += bytes;
}

static int by_vmas(const void *x, const void *y)
{
	const struct group *a = x, *b = y;

	if (a->vmas != b->vmas)
		return a->vmas < b->vmas ? 1 : -1;
	return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1 : 0;
}

/* --- what is to be said */

struct findings {
	struct groups makers, splitters;
	uint64_t apart[APART_REASONS];
	uint64_t holes; /* in what one call made */
	uint64_t ours;
	struct room room;
};

/* Two VMAs that one event brought into being, perhaps with a hole between them. */
static bool is_split(const struct space *s, const struct vma *a,
		     const struct vma *b)
{
	const struct cause *c =
		vma_map_origin(s->vmas, a->d.end - 1, NULL, NULL);

	return c && (c->kind == CAUSE_SYSCALL) &&
	       c == vma_map_origin(s->vmas, b->d.start, NULL, NULL);
}

static void look_between(const struct space *s, const struct vma *a,
			 const struct vma *b, struct findings *f)
{
	f->apart[vma_apart(&a->d, &b->d)]++;
	if (!is_split(s, a, b))
		return;
	if (a->d.end != b->d.start)
		f->holes++;
	else
		count_group(&f->splitters,
			    a->changed->ts > b->changed->ts ? a->changed :
							      b->changed,
			    0);
}

static int find(const struct space *s, struct findings *f)
{
	size_t nr = vma_map_count(s->vmas), i;

	*f = (struct findings){ .room = room_of(s) };
	f->makers.v = calloc(nr + 1, sizeof(struct group));
	f->splitters.v = calloc(nr + 1, sizeof(struct group));
	if (!f->makers.v || !f->splitters.v)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		const struct vma *v = vma_map_at(s->vmas, i);

		f->ours += vma_is_ours(&v->d);
		count_group(&f->makers, v->made, v->d.end - v->d.start);
		if (i)
			look_between(s, vma_map_at(s->vmas, i - 1), v, f);
	}
	qsort(f->makers.v, f->makers.nr, sizeof(struct group), by_vmas);
	qsort(f->splitters.v, f->splitters.nr, sizeof(struct group), by_vmas);
	return 0;
}

static void forget(struct findings *f)
{
	free(f->makers.v);
	free(f->splitters.v);
}

static const char *layout_name(enum room_layout l)
{
	return l == LAYOUT_TOP_DOWN ? "top down" :
	       l == LAYOUT_LEGACY   ? "legacy" :
				      NULL;
}

static const char *const apart_names[APART_REASONS] = {
	[APART_GAP] = "gap",	     [APART_PERMS] = "permissions",
	[APART_SHARED] = "shared",   [APART_FILE] = "file",
	[APART_OFFSET] = "offset",   [APART_FLAGS] = "flags",
	[APART_SPECIAL] = "special", [APART_UNKNOWN] = "unknown",
};

/* Callers of the allocator that made VMAs more, the most first: indices. */
static int by_site(const void *x, const void *y, void *ctx)
{
	const struct space *s = ctx;
	int64_t a = s->sites[*(const size_t *)x].vmas;
	int64_t b = s->sites[*(const size_t *)y].vmas;

	return a < b ? 1 : a > b ? -1 : 0;
}

static size_t *sites_sorted(const struct space *s, size_t *nr)
{
	size_t *v = calloc(s->nr_sites + 1, sizeof(*v)), i;

	*nr = 0;
	for (i = 0; v && i < s->nr_sites; i++)
		if (s->sites[i].vmas)
			v[(*nr)++] = i;
	if (v)
		qsort_r(v, *nr, sizeof(*v), by_site, (void *)s);
	return v;
}

/* --- text */

static int text_groups(const struct output *o, const struct space *s,
		       const struct groups *g, const char *count,
		       const char *by)
{
	struct table *t = table_new("rl");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "%s", count);
	table_cell(t, "%s", by);
	for (i = 0; i < g->nr && i < TOP; i++) {
		char *text = cause_text(o, s, g->v[i].cause);

		table_cell(t, "%" PRIu64, g->v[i].vmas);
		table_cell(t, "%s", text ? text : "?");
		free(text);
	}
	err = table_print(t, o->f);
	table_free(t);
	if (g->nr > TOP)
		fprintf(o->f, "(and %zu more places)\n", g->nr - TOP);
	return err;
}

static void text_count(const struct output *o, const struct space *s,
		       const struct enomem_limits *l, const struct findings *f)
{
	size_t nr = vma_map_count(s->vmas);

	fprintf(o->f, "VMAs: %zu", nr);
	if (f->ours)
		fprintf(o->f, " (%" PRIu64 " of them are vmaheap's own)",
			f->ours);
	if (l && l->max_map_count)
		fprintf(o->f, ", vm.max_map_count is %" PRIu64 ": %.1f %%\n\n",
			l->max_map_count,
			100.0 * (double)nr / (double)l->max_map_count);
	else
		fputs(", vm.max_map_count is not known\n\n", o->f);
}

static int text_calls(const struct output *o, const struct space *s)
{
	struct table *t = table_new("lrr");
	char buf[32];
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "%s", "more VMAs by");
	table_cell(t, "%s", "in allocator calls");
	table_cell(t, "%s", "outside");
	for (i = 0; i < s->nr_syscalls; i++) {
		const struct syscall_tally *c = &s->syscalls[i];

		table_cell(t, "%s",
			   c->nr < 0 ? "stack growth" :
				       syscall_name(c->nr, c->compat, buf));
		table_cell(t, "%+" PRId64, c->vmas_in_calls);
		table_cell(t, "%+" PRId64, c->vmas - c->vmas_in_calls);
	}
	err = table_print(t, o->f);
	table_free(t);
	return err;
}

static void text_callers(const struct output *o, const struct space *s)
{
	size_t nr, i, *v = sites_sorted(s, &nr);

	for (i = 0; v && i < nr && i < TOP; i++) {
		const struct site_tally *c = &s->sites[v[i]];

		fprintf(o->f, "  %+" PRId64 " in %s from ", c->vmas,
			call_op_name(c->op));
		put_caller(o, s, o->f, c->caller);
		fputc('\n', o->f);
	}
	free(v);
}

static int text_who(const struct output *o, const struct space *s,
		    const struct findings *f)
{
	int err = text_groups(o, s, &f->makers, "VMAs", "made by");

	fputc('\n', o->f);
	if (err || s->vmas_sampled)
		return err;
	if (f->splitters.nr)
		err = text_groups(o, s, &f->splitters, "borders",
				  "in what one call had made, by");
	if (f->holes)
		fprintf(o->f,
			"%" PRIu64
			" hole%s in what one call had made: by munmap, whose is not kept\n",
			f->holes, plural(f->holes));
	if (f->splitters.nr || f->holes)
		fputc('\n', o->f);
	if (!err)
		err = text_calls(o, s);
	text_callers(o, s);
	if (s->coalesced)
		fprintf(o->f,
			"Not told one by one: %" PRIu64
			" change%s, merged into later ones, which stand here for them.\n",
			s->coalesced, plural(s->coalesced));
	fputc('\n', o->f);
	return err;
}

static void text_neighbours(const struct output *o, const struct findings *f)
{
	size_t i;
	bool first = true;

	fputs("Neighbours that are not one VMA, for: ", o->f);
	for (i = 0; i < APART_REASONS; i++) {
		if (!f->apart[i])
			continue;
		fprintf(o->f, "%s%s %" PRIu64, first ? "" : ", ",
			apart_names[i], f->apart[i]);
		first = false;
	}
	fputs(first ? "none\n" : "\n", o->f);
	if (f->apart[APART_UNKNOWN])
		fputs("(unknown: alike in all that is told; their pages have different anon_vmas, or they have a name,\n"
		      "a memory policy or userfaultfd)\n",
		      o->f);
}

static void text_failed(const struct output *o, const struct space *s,
			const struct findings *f)
{
	char buf[32];
	bool any = false;
	size_t i;

	if (s->vmas_sampled) {
		fputs("Whether calls failed is not known: there was no module.\n",
		      o->f);
		return;
	}
	if (f->room.is_32)
		fputs("Calls of 32-bit programs that fail are not recorded.\n",
		      o->f);
	for (i = 0; i < s->nr_failed; i++) {
		const struct failed_tally *t = &s->failed[i];
		const char *why = failed_reason_name(t->reason);

		if (t->error != ENOMEM)
			continue;
		any = true;
		fprintf(o->f, "ENOMEM: %" PRIu64 " %s: %s\n", t->calls,
			syscall_name(t->nr, false, buf),
			why ? why :
			      "no limit was reached and there was room: overcommit, or a range that is not all mapped");
	}
	if (!any && !f->room.is_32)
		fputs("No call has failed with ENOMEM.\n", o->f);
}

static void put_limit(FILE *f, const char *name, uint64_t limit, uint64_t used)
{
	char buf[2][32];

	if (limit == LIMIT_NONE)
		fprintf(f, "%s: none (%s KiB are used)\n", name,
			kib(used, buf[0]));
	else
		fprintf(f, "%s: %s KiB, of which %s are used\n", name,
			kib(limit, buf[0]), kib(used, buf[1]));
}

static void text_limits(const struct output *o, const struct enomem_limits *l)
{
	static const char *const modes[] = { "by guess (0)", "always (1)",
					     "strict (2)" };
	char buf[2][32];

	if (!l) {
		fputs("Limits and overcommit are not in a trace: not known.\n",
		      o->f);
		return;
	}
	if (l->has_limits) {
		put_limit(o->f, "RLIMIT_AS", l->as, l->vm_size);
		put_limit(o->f, "RLIMIT_DATA", l->data, l->vm_data);
	} else {
		fputs("RLIMIT_AS, RLIMIT_DATA: not known\n", o->f);
	}
	fprintf(o->f, "overcommit: %s",
		l->overcommit >= 0 && l->overcommit <= 2 ?
			modes[l->overcommit] :
			"not known");
	fprintf(o->f, "; the machine's limit is %s KiB, %s are committed%s\n",
		kib(l->commit_limit, buf[0]), kib(l->committed, buf[1]),
		l->overcommit == 2 ? "" : " (it counts in mode 2 alone)");
}

static void text_heap(const struct output *o, const struct space *s,
		      const struct room *r)
{
	const struct vma *v = r->above;
	char buf[2][32];

	if (!r->heap_start) {
		fputs("brk heap: none\n", o->f);
		return;
	}
	fprintf(o->f,
		"brk heap: [%08" PRIx64 "-%08" PRIx64
		"), can grow by %s KiB; its layout leaves it %s.\n",
		r->heap_start, r->heap_end, kib(r->real, buf[0]),
		kib(r->most, buf[1]));
	if (!v)
		return;
	fprintf(o->f, "  above it lies %08" PRIx64 "-%08" PRIx64 " ",
		v->d.start, v->d.end);
	put_name(o->f, vma_name(o, s, v));
	fputs(*vma_name(o, s, v) ? ", made by " : "made by ", o->f);
	put_cause(o, s, o->f, v->made);
	fputc('\n', o->f);
}

static void text_room(const struct output *o, const struct space *s,
		      const struct room *r)
{
	char buf[32];

	fprintf(o->f, "Address space: %d bits, ", r->is_32 ? 32 : 64);
	if (r->layout == LAYOUT_LEGACY)
		fprintf(o->f,
			"the legacy layout: mappings from %08" PRIx64 " up\n",
			r->base);
	else if (r->layout == LAYOUT_TOP_DOWN)
		fputs("mappings from the stack down\n", o->f);
	else
		fputs("which layout does not show: nothing was placed by the kernel\n",
		      o->f);
	text_heap(o, s, r);
	fprintf(o->f, "largest hole: [%08" PRIx64 "-%08" PRIx64 "), %s KiB\n",
		r->hole.start, r->hole.end,
		kib(r->hole.end - r->hole.start, buf));
}

static int enomem_text(const struct output *o, const struct space *s,
		       const struct enomem_limits *l, const struct findings *f)
{
	int err;

	put_process(o->f, s);
	fputs(": what refuses it memory, or may\n", o->f);
	text_count(o, s, l, f);
	err = text_who(o, s, f);
	text_neighbours(o, f);
	fputc('\n', o->f);
	text_failed(o, s, f);
	text_limits(o, l);
	fputc('\n', o->f);
	text_room(o, s, &f->room);
	return err;
}

/* --- JSON */

static json_t *json_groups(const struct output *o, const struct space *s,
			   const struct groups *g, bool makers)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < g->nr; i++) {
		const struct group *x = &g->v[i];
		json_t *j = json_object();

		json_object_set_new(j, makers ? "made" : "by",
				    json_cause(o, s, x->cause));
		json_object_set_new(j, makers ? "vmas" : "borders",
				    json_u64(x->vmas));
		if (makers)
			json_object_set_new(j, "bytes", json_u64(x->bytes));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *json_calls(const struct space *s)
{
	json_t *list = json_array();
	char buf[32];
	size_t i;

	for (i = 0; i < s->nr_syscalls; i++) {
		const struct syscall_tally *c = &s->syscalls[i];

		json_array_append_new(
			list,
			json_pack("{s:o, s:I, s:I}", "name",
				  c->nr < 0 ? json_null() :
					      json_string(syscall_name(
						      c->nr, c->compat, buf)),
				  "in_calls", (json_int_t)c->vmas_in_calls,
				  "outside",
				  (json_int_t)(c->vmas - c->vmas_in_calls)));
	}
	return list;
}

static json_t *json_callers(const struct output *o, const struct space *s)
{
	size_t nr, i, *v = sites_sorted(s, &nr);
	json_t *list = json_array();

	for (i = 0; v && i < nr; i++) {
		const struct site_tally *c = &s->sites[v[i]];

		json_array_append_new(list,
				      json_pack("{s:s, s:o, s:I}", "op",
						call_op_name(c->op), "caller",
						json_caller(o, s, c->caller),
						"vmas", (json_int_t)c->vmas));
	}
	free(v);
	return list;
}

static json_t *json_failed(const struct space *s)
{
	json_t *list = json_array();
	char buf[32];
	size_t i;

	for (i = 0; i < s->nr_failed; i++) {
		const struct failed_tally *t = &s->failed[i];
		const char *why = failed_reason_name(t->reason);

		if (t->error != ENOMEM)
			continue;
		json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o}", "syscall",
				  syscall_name(t->nr, false, buf), "reason",
				  why ? json_string(why) : json_null(), "calls",
				  json_u64(t->calls)));
	}
	return list;
}

static json_t *json_limit(bool known, uint64_t n)
{
	return known && n != LIMIT_NONE ? json_u64(n) : json_null();
}

static json_t *json_limits(const struct enomem_limits *l)
{
	if (!l)
		return json_null();
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "as",
		json_limit(l->has_limits, l->as), "vm_size",
		json_limit(l->has_limits, l->vm_size), "data",
		json_limit(l->has_limits, l->data), "vm_data",
		json_limit(l->has_limits, l->vm_data), "overcommit_memory",
		l->overcommit < 0 ? json_null() : json_integer(l->overcommit),
		"commit_limit", json_u64(l->commit_limit), "committed",
		json_u64(l->committed));
}

static json_t *json_heap(const struct output *o, const struct space *s,
			 const struct room *r)
{
	const struct vma *v = r->above;

	if (!r->heap_start)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "start",
			 json_addr(r->heap_start), "end",
			 json_addr(r->heap_end), "above",
			 !v ? json_null() :
			      json_pack("{s:o, s:o, s:o, s:o}", "start",
					json_addr(v->d.start), "end",
					json_addr(v->d.end), "name",
					json_name(vma_name(o, s, v)), "made",
					json_cause(o, s, v->made)),
			 "most", json_u64(r->most), "real", json_u64(r->real));
}

static json_t *json_neighbours(const struct findings *f)
{
	json_t *j = json_object();
	size_t i;

	for (i = 0; i < APART_REASONS; i++)
		json_object_set_new(j, apart_names[i], json_u64(f->apart[i]));
	return j;
}

static int enomem_json(const struct output *o, const struct space *s,
		       const struct enomem_limits *l, const struct findings *f)
{
	const char *layout = layout_name(f->room.layout);
	bool known = !s->vmas_sampled;
	json_t *j = json_object();

	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "bits", json_integer(f->room.is_32 ? 32 : 64));
	json_object_set_new(j, "layout",
			    layout ? json_string(layout) : json_null());
	json_object_set_new(j, "map_count",
			    json_pack("{s:o, s:o, s:o}", "vmas",
				      json_u64(vma_map_count(s->vmas)), "ours",
				      json_u64(f->ours), "max",
				      l && l->max_map_count ?
					      json_u64(l->max_map_count) :
					      json_null()));
	json_object_set_new(j, "makers", json_groups(o, s, &f->makers, true));
	json_object_set_new(j, "calls", known ? json_calls(s) : json_null());
	json_object_set_new(j, "callers",
			    known ? json_callers(o, s) : json_null());
	json_object_set_new(j, "splits",
			    known ? json_groups(o, s, &f->splitters, false) :
				    json_null());
	json_object_set_new(j, "holes",
			    known ? json_u64(f->holes) : json_null());
	json_object_set_new(j, "coalesced",
			    known ? json_u64(s->coalesced) : json_null());
	json_object_set_new(j, "neighbours", json_neighbours(f));
	json_object_set_new(j, "failed",
			    known && !f->room.is_32 ? json_failed(s) :
						      json_null());
	json_object_set_new(j, "limits", json_limits(l));
	json_object_set_new(j, "heap", json_heap(o, s, &f->room));
	json_object_set_new(j, "hole",
			    json_pack("{s:o, s:o}", "start",
				      json_addr(f->room.hole.start), "end",
				      json_addr(f->room.hole.end)));
	return json_print(o, j, false);
}

int output_enomem(const struct output *o, const struct space *s,
		  const struct enomem_limits *l)
{
	struct findings f;
	int err;

	if (!s)
		return -ESRCH;
	err = find(s, &f);
	if (!err)
		err = o->json ? enomem_json(o, s, l, &f) :
				enomem_text(o, s, l, &f);
	forget(&f);
	return err ? err : output_status(o->f);
}
