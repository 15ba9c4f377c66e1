// SPDX-License-Identifier: GPL-2.0
/*
 * --json (bytes; what is not known is null: of a trace the pages and malloc's books, of
 * another allocator its books, without the module what the kernel did):
 *   pid, comm, mm, stopped, incomplete (null, or a sentence)
 *   sites: [ stack, caller (see text.h), chunks, live, resident, swapped, untouched,
 *     spare (of resident: zeroes in huge pages), slack (what chunks have beyond what
 *     was asked for), slack_chunks (of so many it is known), hostage (what goes back
 *     when the pins that `why held` names are freed, in its order), freed (what goes back
 *     when all of its chunks are freed and malloc_trim(0) is called, beyond what that
 *     gives back now; of the first 20 sites, else null), calls (VMA events
 *     made by its allocator calls) ]; where a page has several chunks they share it in
 *     proportion to their bytes on it
 *   nobody: { resident, swapped, untouched, spare } on pages without a live byte
 *   total: as a site, with nobody's pages
 *   vmas: [ start, end, name, kind, size, resident, swapped, untouched, spare, huge
 *     (of resident: in huge pages) ]: those that were counted
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/table.h"
#include "output/text.h"
#include "output/view.h"
#include "output/waste.h"

#define TOP 20 /* sites in the text */

static const char *const names[WASTE_ORDERS] = {
	[WASTE_LIVE] = "live",		 [WASTE_RESIDENT] = "resident",
	[WASTE_UNTOUCHED] = "untouched", [WASTE_SPARE] = "spare",
	[WASTE_SLACK] = "slack",	 [WASTE_HOSTAGE] = "hostage",
	[WASTE_EVENTS] = "calls",
};

int waste_order_parse(const char *name, enum waste_order *by)
{
	unsigned int i;

	for (i = 0; i < WASTE_ORDERS; i++) {
		if (strcmp(name, names[i]))
			continue;
		*by = (enum waste_order)i;
		return 0;
	}
	return -EINVAL;
}

static bool is_known(const struct waste *w, enum waste_order what)
{
	switch (what) {
	case WASTE_LIVE:
		return true;
	case WASTE_SLACK:
		return w->slack_known;
	case WASTE_HOSTAGE:
		return w->hostage_known;
	case WASTE_EVENTS:
		return w->events_known;
	default:
		return w->pages_known;
	}
}

static int64_t value(const struct waste_site *s, enum waste_order what)
{
	switch (what) {
	case WASTE_RESIDENT:
		return (int64_t)s->pages.resident;
	case WASTE_UNTOUCHED:
		return (int64_t)s->pages.untouched;
	case WASTE_SPARE:
		return (int64_t)s->pages.spare;
	case WASTE_SLACK:
		return (int64_t)s->slack;
	case WASTE_HOSTAGE:
		return s->hostage;
	case WASTE_EVENTS:
		return (int64_t)s->events;
	default:
		return (int64_t)s->live;
	}
}

static int compare(const void *va, const void *vb, void *ctx)
{
	const struct waste_site *a = va, *b = vb;
	enum waste_order by = *(const enum waste_order *)ctx;
	int64_t x = value(a, by), y = value(b, by);

	if (x != y)
		return x > y ? -1 : 1;
	if (a->live != b->live)
		return a->live > b->live ? -1 : 1;
	return a->where < b->where ? -1 : a->where > b->where;
}

static int count(const struct look_view *v, enum waste_order by,
		 struct waste *w)
{
	int err = waste_count(v, w);

	if (w->nr_sites)
		qsort_r(w->sites, w->nr_sites, sizeof(*w->sites), compare, &by);
	return err;
}

/* What is dear to know, of those that are shown. */
static int ask_what_if(const struct look_view *v, struct waste *w)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && v->book && i < w->nr_sites && i < TOP; i++)
		err = waste_if_freed(v, w, &w->sites[i]);
	return err;
}

/* --- text */

static void cell_kib(struct table *t, bool known, int64_t bytes)
{
	char buf[32];

	if (known)
		table_cell(t, "%s%s", bytes < 0 ? "-" : "",
			   kib((uint64_t)(bytes < 0 ? -bytes : bytes), buf));
	else
		table_cell(t, "?");
}

static void cells_pages(struct table *t, const struct waste *w,
			const struct waste_pages *p)
{
	cell_kib(t, w->pages_known, (int64_t)p->resident);
	cell_kib(t, w->pages_known, (int64_t)p->untouched);
	if (w->sum.pages.spare)
		cell_kib(t, w->pages_known, (int64_t)p->spare);
}

static void cells(struct table *t, const struct waste *w,
		  const struct waste_site *s)
{
	cell_kib(t, true, (int64_t)s->live);
	table_cell(t, "%" PRIu64, s->chunks);
	cells_pages(t, w, &s->pages);
	cell_kib(t, s->slack_chunks || !s->chunks ? w->slack_known : false,
		 (int64_t)s->slack);
	cell_kib(t, w->hostage_known, s->hostage);
	if (s == &w->sum)
		table_cell(t,
			   "-"); /* together more goes back than one by one */
	else
		cell_kib(t, s->freed >= 0, s->freed);
	if (w->events_known)
		table_cell(t, "%" PRIu64, s->events);
	else
		table_cell(t, "?");
}

/* The frames of a stack stand below the row; put_stack() prints a line each. */
static void lines_stack(const struct look_view *v, struct table *t,
			uint64_t where)
{
	char *text = NULL, *line, *save = NULL;
	size_t size;
	FILE *f;

	if (!(where & CALLER_STACK))
		return;
	f = open_memstream(&text, &size);
	if (!f)
		return;
	put_stack(v->o, v->s, f, where);
	if (!fclose(f))
		for (line = strtok_r(text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			table_line(t, line);
	free(text);
}

static void row(const struct look_view *v, struct table *t,
		const struct waste *w, const struct waste_site *s)
{
	char *caller = caller_text(v->o, v->s, s->where);

	cells(t, w, s);
	table_cell(t, "%s",
		   !s->where ? "? (no event tells who)" :
		   caller    ? caller :
			       "?");
	free(caller);
	lines_stack(v, t, s->where);
}

static void headings(struct table *t, const struct waste *w)
{
	static const char *const before[] = { "live", "chunks", "resident",
					      "untouched" };
	static const char *const after[] = { "slack", "hostage", "if freed",
					     "calls", "allocated by" };
	size_t i;

	for (i = 0; i < 4; i++)
		table_cell(t, "%s", before[i]);
	if (w->sum.pages.spare)
		table_cell(t, "spare");
	for (i = 0; i < 5; i++)
		table_cell(t, "%s", after[i]);
}

static void row_nobody(struct table *t, const struct waste *w)
{
	int i;

	table_cell(t, "-");
	table_cell(t, "-");
	cells_pages(t, w, &w->none);
	for (i = 0; i < 4; i++)
		table_cell(t, "-");
	table_cell(t,
		   "nobody: pages without a live byte (see why rss, why held)");
}

static int text_sites(const struct look_view *v, const struct waste *w)
{
	struct table *t =
		table_new(w->sum.pages.spare ? "rrrrrrrrrl" : "rrrrrrrrl");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	headings(t, w);
	for (i = 0; i < w->nr_sites && i < TOP; i++)
		row(v, t, w, &w->sites[i]);
	if (w->pages_known)
		row_nobody(t, w);
	cells(t, w, &w->sum);
	table_cell(t, "all, of %zu places", w->nr_sites);
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static int text_regions(const struct look_view *v, const struct waste *w)
{
	struct table *t = table_new("lrrrrrl");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "huge pages in");
	table_cell(t, "size");
	table_cell(t, "resident");
	table_cell(t, "untouched");
	table_cell(t, "huge");
	table_cell(t, "spare");
	table_cell(t, "kind");
	for (i = 0; i < w->nr_regions; i++) {
		const struct waste_region *r = &w->regions[i];
		struct view one = view_of(v->s, r->vma);
		const struct vma_desc *d = &one.v->d;

		if (!r->huge)
			continue;
		table_cell(t, "%08" PRIx64 "-%08" PRIx64, d->start, d->end);
		cell_kib(t, true, (int64_t)(d->end - d->start));
		cell_kib(t, true, (int64_t)r->pages.resident);
		cell_kib(t, true, (int64_t)r->pages.untouched);
		cell_kib(t, true, (int64_t)r->huge);
		cell_kib(t, true, (int64_t)r->pages.spare);
		table_cell(t, "%s", view_kind_name(one.kind));
	}
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static bool has_huge(const struct waste *w)
{
	size_t i;

	for (i = 0; i < w->nr_regions; i++)
		if (w->regions[i].huge)
			return true;
	return false;
}

static void text_head(const struct look_view *v, const struct waste *w,
		      enum waste_order by)
{
	FILE *f = v->o->f;

	put_process(f, v->s);
	fprintf(f, ": memory by who allocated it, most %s first. KiB.\n",
		names[by]);
	if (w->pages_known)
		fputs("resident, untouched (no page): a page belongs to the live chunks on it, in proportion to their bytes.\n",
		      f);
	else
		fputs("Of a trace: pages, slack and hostages are not known, only the running process could tell.\n",
		      f);
	if (has_huge(w))
		fputs("spare: pages of huge pages that hold nothing but zeroes: never used, it seems, and yet resident.\n",
		      f);
	if (w->slack_known)
		fprintf(f,
			"slack: what a chunk has beyond what was asked for, known of %" PRIu64
			" of %" PRIu64
			" chunks; hostage: what the pins of why held keep back;\n"
			"if freed: what goes back when all of it is freed and malloc_trim(0) called, beyond what that gives back now.\n",
			w->sum.slack_chunks, w->sum.chunks);
	if (v->o->stack_bytes > 1)
		fprintf(f,
			"Stacks are those of one allocation in %" PRIu64
			" bytes of each thread; the others have their caller.\n",
			v->o->stack_bytes);
	if (v->opaque)
		fputs("slack, hostage, if freed: only of glibc's malloc, which is not in use here.\n",
		      f);
	else if (v->incomplete)
		fprintf(f, "Incomplete: %s.\n", v->incomplete);
	fputc('\n', f);
}

/* --- JSON */

static json_t *json_known(const struct waste *w, enum waste_order what,
			  const struct waste_site *s)
{
	return is_known(w, what) ? json_integer(value(s, what)) : json_null();
}

static void set_pages(json_t *j, const struct waste *w,
		      const struct waste_pages *p)
{
	const struct {
		const char *key;
		uint64_t bytes;
	} n[] = { { "resident", p->resident },
		  { "swapped", p->swapped },
		  { "untouched", p->untouched },
		  { "spare", p->spare } };
	size_t i;

	for (i = 0; i < sizeof(n) / sizeof(n[0]); i++)
		json_object_set_new(j, n[i].key,
				    w->pages_known ? json_u64(n[i].bytes) :
						     json_null());
}

static json_t *json_site(const struct waste *w, const struct waste_site *s)
{
	json_t *j = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "chunks",
		json_u64(s->chunks), "live", json_u64(s->live), "slack",
		json_known(w, WASTE_SLACK, s), "slack_chunks",
		w->slack_known ? json_u64(s->slack_chunks) : json_null(),
		"hostage", json_known(w, WASTE_HOSTAGE, s), "freed",
		s->freed < 0 || s == &w->sum ? json_null() :
					       json_integer(s->freed),
		"calls", json_known(w, WASTE_EVENTS, s));

	set_pages(j, w, &s->pages);
	return j;
}

static json_t *json_sites(const struct look_view *v, const struct waste *w)
{
	json_t *sites = json_array();
	size_t i;

	for (i = 0; i < w->nr_sites; i++) {
		json_t *j = json_site(w, &w->sites[i]);

		json_object_set_new(j, "stack",
				    json_stack(v->o, v->s, w->sites[i].where));
		json_object_set_new(j, "caller",
				    json_caller(v->o, v->s, w->sites[i].where));
		json_array_append_new(sites, j);
	}
	return sites;
}

static json_t *json_regions(const struct look_view *v, const struct waste *w)
{
	json_t *regions = json_array();
	size_t i;

	for (i = 0; i < w->nr_regions; i++) {
		const struct waste_region *r = &w->regions[i];
		struct view one = view_of(v->s, r->vma);
		const struct vma_desc *d = &one.v->d;
		json_t *j = json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "start",
				      json_addr(d->start), "end",
				      json_addr(d->end), "name",
				      json_name(vma_name(v->o, v->s, one.v)),
				      "kind", view_kind_name(one.kind), "size",
				      json_u64(d->end - d->start), "huge",
				      json_u64(r->huge));

		set_pages(j, w, &r->pages);
		json_array_append_new(regions, j);
	}
	return regions;
}

static int waste_json(const struct look_view *v, const struct waste *w)
{
	json_t *nobody = json_object();

	set_pages(nobody, w, &w->none);
	return json_print(
		v->o,
		json_pack("{s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}",
			  "pid", json_u64(v->s->owner), "comm",
			  json_name(v->s->comm), "mm", json_u64(v->s->mm),
			  "stopped", (int)v->stopped, "incomplete",
			  v->incomplete ? json_string(v->incomplete) :
					  json_null(),
			  "sites", json_sites(v, w), "nobody", nobody, "total",
			  json_site(w, &w->sum), "vmas",
			  w->pages_known ? json_regions(v, w) : json_null()),
		false);
}

/* --- the views */

int output_waste(const struct look_view *v, enum waste_order by)
{
	struct waste w;
	int err = count(v, by, &w);

	if (!err)
		err = ask_what_if(v, &w);
	if (!err && v->o->json) {
		err = waste_json(v, &w);
	} else if (!err) {
		text_head(v, &w, by);
		err = text_sites(v, &w);
		if (!err && has_huge(&w)) {
			fputc('\n', v->o->f);
			err = text_regions(v, &w);
		}
	}
	waste_free(&w);
	return err ? err : output_status(v->o->f);
}

int output_waste_folded(const struct look_view *v, enum waste_order by)
{
	struct waste w;
	int err = count(v, by, &w);
	size_t i;

	if (!err && !is_known(&w, by))
		err = -ENODATA;
	for (i = 0; !err && i < w.nr_sites; i++)
		if (value(&w.sites[i], by) > 0)
			put_folded(v->o, v->s, w.sites[i].where,
				   (uint64_t)value(&w.sites[i], by));
	waste_free(&w);
	return err ? err : output_status(v->o->f);
}
