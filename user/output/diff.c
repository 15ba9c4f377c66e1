// SPDX-License-Identifier: GPL-2.0
/*
 * --json (bytes; what is not known is null):
 *   a, b: { trace, at (ns since its first event), pid, comm, from_start (chunks from
 *     before the watch cannot be missing; null: no allocator events) }
 *   memory: [ kind, name, perms, maker (null: the name says it), start, end (of the
 *     largest one, in b, or where it is in a alone in a), a, b, growth: { vmas, size,
 *     resident, live, chunks } ], those that grew most first
 *   sites: [ frames: [ the innermost first ], a, b, growth: { chunks, live } ]; null:
 *     no allocator events
 *   total: { a, b, growth } as in memory; live and chunks of all chunks
 *   rebuilt: [ objects of which the build ids differ: offsets into their functions were
 *     not compared ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/diff.h"
#include "output/table.h"
#include "output/text.h"

#define TOP 20 /* rows in the text */

/* What there is on both sides; NULL: not on this one. */
struct pair {
	const struct moment_vmas *a, *b;
};

struct site_pair {
	const struct moment_site *a, *b;
};

struct diff {
	struct moment *a, *b;
	struct pair *vmas;
	struct site_pair *sites;
	size_t nr_vmas, nr_sites;
	struct moment_file *rebuilt; /* borrowed names */
	size_t nr_rebuilt;
};

static const struct moment_vmas nothing;
static const struct moment_site no_site;

static const struct moment_vmas *side(const struct moment_vmas *v)
{
	return v ? v : &nothing;
}

static const struct moment_site *site(const struct moment_site *s)
{
	return s ? s : &no_site;
}

/* --- side by side */

static int find_rebuilt(struct diff *d)
{
	size_t i, j;

	d->rebuilt = calloc(d->a->nr_files + 1, sizeof(*d->rebuilt));
	if (!d->rebuilt)
		return -ENOMEM;
	for (i = 0; i < d->a->nr_files; i++)
		for (j = 0; j < d->b->nr_files; j++)
			if (!strcmp(d->a->files[i].object,
				    d->b->files[j].object) &&
			    strcmp(d->a->files[i].build_id,
				   d->b->files[j].build_id))
				d->rebuilt[d->nr_rebuilt++] = d->a->files[i];
	return 0;
}

/* Both are sorted. */
static int join_vmas(struct diff *d)
{
	const struct moment *a = d->a, *b = d->b;
	size_t i = 0, j = 0;

	d->vmas = calloc(a->nr_vmas + b->nr_vmas + 1, sizeof(*d->vmas));
	while (d->vmas && (i < a->nr_vmas || j < b->nr_vmas)) {
		int c = i == a->nr_vmas ?
				1 :
			j == b->nr_vmas ?
				-1 :
				moment_vmas_compare(&a->vmas[i], &b->vmas[j]);
		struct pair *p = &d->vmas[d->nr_vmas++];

		p->a = c <= 0 ? &a->vmas[i++] : NULL;
		p->b = c >= 0 ? &b->vmas[j++] : NULL;
	}
	return d->vmas ? 0 : -ENOMEM;
}

static int join_sites(struct diff *d)
{
	const struct moment *a = d->a, *b = d->b;
	size_t i = 0, j = 0;

	d->sites = calloc(a->nr_sites + b->nr_sites + 1, sizeof(*d->sites));
	while (d->sites && (i < a->nr_sites || j < b->nr_sites)) {
		int c = i == a->nr_sites ?
				1 :
			j == b->nr_sites ?
				-1 :
				strcmp(a->sites[i].frames, b->sites[j].frames);
		struct site_pair *p = &d->sites[d->nr_sites++];

		p->a = c <= 0 ? &a->sites[i++] : NULL;
		p->b = c >= 0 ? &b->sites[j++] : NULL;
	}
	return d->sites ? 0 : -ENOMEM;
}

static int64_t minus(uint64_t b, uint64_t a)
{
	return (int64_t)(b - a);
}

static int by_growth(const void *vx, const void *vy)
{
	const struct pair *x = vx, *y = vy;
	int64_t gx = minus(side(x->b)->size, side(x->a)->size);
	int64_t gy = minus(side(y->b)->size, side(y->a)->size);

	if (gx == gy) {
		gx = minus(side(x->b)->resident, side(x->a)->resident);
		gy = minus(side(y->b)->resident, side(y->a)->resident);
	}
	return gx > gy ? -1 : gx < gy;
}

static int by_live(const void *vx, const void *vy)
{
	const struct site_pair *x = vx, *y = vy;
	int64_t gx = minus(site(x->b)->live, site(x->a)->live);
	int64_t gy = minus(site(y->b)->live, site(y->a)->live);

	if (gx == gy) {
		gx = minus(site(x->b)->chunks, site(x->a)->chunks);
		gy = minus(site(y->b)->chunks, site(y->a)->chunks);
	}
	return gx > gy ? -1 : gx < gy;
}

static int compare(struct diff *d)
{
	int err = find_rebuilt(d);

	if (err)
		return err;
	moment_forget_offsets(d->a, d->rebuilt, d->nr_rebuilt);
	moment_forget_offsets(d->b, d->rebuilt, d->nr_rebuilt);
	err = join_vmas(d);
	if (!err)
		err = join_sites(d);
	if (err)
		return err;
	qsort(d->vmas, d->nr_vmas, sizeof(*d->vmas), by_growth);
	qsort(d->sites, d->nr_sites, sizeof(*d->sites), by_live);
	return 0;
}

/* --- text */

static void cell(struct table *t, bool known, int64_t bytes, bool sign)
{
	char buf[32];

	if (known)
		table_cell(t, "%s%s",
			   bytes < 0	     ? "-" :
			   sign && bytes > 0 ? "+" :
					       "",
			   kib((uint64_t)(bytes < 0 ? -bytes : bytes), buf));
	else
		table_cell(t, "?");
}

static void cells_vmas(struct table *t, const struct diff *d,
		       const struct moment_vmas *a, const struct moment_vmas *b)
{
	bool sampled = !a->unsampled && !b->unsampled;
	bool calls = d->a->has_calls && d->b->has_calls;

	cell(t, true, (int64_t)a->size, false);
	cell(t, true, (int64_t)b->size, false);
	cell(t, true, minus(b->size, a->size), true);
	cell(t, sampled, minus(b->resident, a->resident), true);
	cell(t, calls, minus(b->live, a->live), true);
	if (a->vmas == b->vmas)
		table_cell(t, "%" PRIu64, b->vmas);
	else
		table_cell(t, "%" PRIu64 " > %" PRIu64, a->vmas, b->vmas);
}

static bool differs(const struct moment_vmas *a, const struct moment_vmas *b)
{
	return a->size != b->size || a->vmas != b->vmas || a->live != b->live ||
	       (!a->unsampled && !b->unsampled && a->resident != b->resident);
}

static void row_vmas(struct table *t, const struct diff *d,
		     const struct pair *p)
{
	const struct moment_vmas *v = p->b ? p->b : p->a;

	cells_vmas(t, d, side(p->a), side(p->b));
	table_cell(t, "%s", v->perms);
	table_cell(t, "%s%s%s%s%s", v->kind, *v->name ? " " : "", v->name,
		   *v->maker ? ", " : "", v->maker);
}

static int text_vmas(const struct diff *d, FILE *f)
{
	static const char *const heads[] = { "size A", "size B",
					     "growth", "resident",
					     "live",   "VMAs",
					     "perm",   "memory that changed" };
	struct table *t = table_new("rrrrrrll");
	size_t i, same = 0;
	int err;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < 8; i++)
		table_cell(t, "%s", heads[i]);
	for (i = 0; i < d->nr_vmas; i++) {
		const struct pair *p = &d->vmas[i];

		if (differs(side(p->a), side(p->b)))
			row_vmas(t, d, p);
		else
			same++;
	}
	cells_vmas(t, d, &d->a->total, &d->b->total);
	table_cell(t, "%s", "");
	table_cell(t, "all, with %zu that are the same", same);
	err = table_print(t, f);
	table_free(t);
	return err;
}

static void row_site(struct table *t, const struct moment_site *a,
		     const struct moment_site *b)
{
	cell(t, true, (int64_t)a->live, false);
	cell(t, true, (int64_t)b->live, false);
	cell(t, true, minus(b->live, a->live), true);
	table_cell(t, "%+" PRIi64, minus(b->chunks, a->chunks));
}

/* The innermost frame in the row, the others below it. */
static void frames_lines(struct table *t, const char *frames)
{
	size_t len = strcspn(frames, "\n");
	char line[600];

	table_cell(t, "%.*s", (int)len, frames);
	while (frames[len]) {
		frames += len + 1;
		len = strcspn(frames, "\n");
		snprintf(line, sizeof(line), "        %.*s", (int)len, frames);
		table_line(t, line);
	}
}

static int text_sites(const struct diff *d, FILE *f)
{
	static const char *const heads[] = { "live A", "live B", "growth",
					     "chunks", "allocated by" };
	const struct moment_vmas *ta = &d->a->total, *tb = &d->b->total;
	struct table *t = table_new("rrrrl");
	size_t i, shown = 0, more = 0;
	int err;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < 5; i++)
		table_cell(t, "%s", heads[i]);
	for (i = 0; i < d->nr_sites; i++) {
		const struct moment_site *a = site(d->sites[i].a);
		const struct moment_site *b = site(d->sites[i].b);

		if (a->live == b->live && a->chunks == b->chunks)
			continue;
		if (++shown > TOP) {
			more++;
			continue;
		}
		row_site(t, a, b);
		frames_lines(t, d->sites[i].b ? b->frames : a->frames);
	}
	row_site(t, &(struct moment_site){ NULL, ta->chunks, ta->live },
		 &(struct moment_site){ NULL, tb->chunks, tb->live });
	table_cell(t, "all, of %zu places, %zu more that changed", d->nr_sites,
		   more);
	err = table_print(t, f);
	table_free(t);
	return err;
}

static void put_side(FILE *f, const char *name, const struct moment *m)
{
	fprintf(f, "%s: process %u (", name, m->pid);
	put_name(f, m->comm);
	fprintf(f, "), trace %s at %" PRIu64 ".%06" PRIu64 " s%s\n", m->trace,
		m->at / 1000000000, m->at % 1000000000 / 1000,
		!m->has_calls ? "; no allocator events" :
		!m->from_start ?
				"; chunks from before the watch are not known" :
				"");
}

static int diff_text(const struct diff *d, FILE *f)
{
	size_t i;
	int err;

	put_side(f, "A", d->a);
	put_side(f, "B", d->b);
	fputs("KiB, what grew most first; resident, live, chunks: growth.\n",
	      f);
	for (i = 0; i < d->nr_rebuilt; i++)
		fprintf(f,
			"%s was built anew: its functions are compared by name alone.\n",
			d->rebuilt[i].object);
	fputc('\n', f);
	err = text_vmas(d, f);
	if (err || !d->a->has_calls || !d->b->has_calls)
		return err;
	fputc('\n', f);
	return text_sites(d, f);
}

/* --- JSON */

static json_t *json_moment(const struct moment *m)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o}", "trace", json_name(m->trace), "at",
		json_u64(m->at), "pid", json_u64(m->pid), "comm",
		json_name(m->comm), "from_start",
		m->has_calls ? json_boolean(m->from_start) : json_null());
}

static json_t *json_known(bool known, int64_t n)
{
	return known ? json_integer(n) : json_null();
}

static json_t *json_counts(bool calls, const struct moment_vmas *a,
			   const struct moment_vmas *b)
{
	bool sampled = !a->unsampled && !b->unsampled;

	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "vmas",
			 json_integer(minus(b->vmas, a->vmas)), "size",
			 json_integer(minus(b->size, a->size)), "resident",
			 json_known(sampled, minus(b->resident, a->resident)),
			 "live", json_known(calls, minus(b->live, a->live)),
			 "chunks",
			 json_known(calls, minus(b->chunks, a->chunks)));
}

static void set_counts(const struct diff *d, json_t *j,
		       const struct moment_vmas *a, const struct moment_vmas *b)
{
	bool in_a = d->a->has_calls, in_b = d->b->has_calls;

	json_object_set_new(j, "a", json_counts(in_a, &nothing, a));
	json_object_set_new(j, "b", json_counts(in_b, &nothing, b));
	json_object_set_new(j, "growth", json_counts(in_a && in_b, a, b));
}

static json_t *json_memory(const struct diff *d)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < d->nr_vmas; i++) {
		const struct pair *p = &d->vmas[i];
		const struct moment_vmas *v = p->b ? p->b : p->a;
		json_t *j = json_pack(
			"{s:s, s:o, s:s, s:o, s:o, s:o}", "kind", v->kind,
			"name", json_name(v->name), "perms", v->perms, "maker",
			*v->maker ? json_name(v->maker) : json_null(), "start",
			json_addr(v->start), "end", json_addr(v->end));

		set_counts(d, j, side(p->a), side(p->b));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *json_frames(const char *frames)
{
	json_t *list = json_array();
	char *copy = strdup(frames), *line, *save = NULL;

	for (line = copy ? strtok_r(copy, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		json_array_append_new(list, json_name(line));
	free(copy);
	return list;
}

static json_t *json_site(const struct moment_site *a,
			 const struct moment_site *b)
{
	return json_pack("{s:o, s:o}", "chunks",
			 json_integer(minus(b->chunks, a->chunks)), "live",
			 json_integer(minus(b->live, a->live)));
}

static json_t *json_sites(const struct diff *d)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < d->nr_sites; i++) {
		const struct moment_site *a = site(d->sites[i].a);
		const struct moment_site *b = site(d->sites[i].b);

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o}", "frames",
					json_frames(d->sites[i].b ? b->frames :
								    a->frames),
					"a", json_site(&no_site, a), "b",
					json_site(&no_site, b), "growth",
					json_site(a, b)));
	}
	return list;
}

static int diff_json(const struct diff *d, FILE *f)
{
	const struct output o = { .f = f, .json = true };
	bool calls = d->a->has_calls && d->b->has_calls;
	json_t *total = json_object(), *rebuilt = json_array();
	size_t i;

	set_counts(d, total, &d->a->total, &d->b->total);
	for (i = 0; i < d->nr_rebuilt; i++)
		json_array_append_new(rebuilt, json_name(d->rebuilt[i].object));
	return json_print(&o,
			  json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "a",
				    json_moment(d->a), "b", json_moment(d->b),
				    "memory", json_memory(d), "sites",
				    calls ? json_sites(d) : json_null(),
				    "total", total, "rebuilt", rebuilt),
			  false);
}

int output_diff(FILE *f, bool json, struct moment *a, struct moment *b)
{
	struct diff d = { .a = a, .b = b };
	int err = compare(&d);

	if (!err)
		err = json ? diff_json(&d, f) : diff_text(&d, f);
	free(d.vmas);
	free(d.sites);
	free(d.rebuilt);
	return err ? err : output_status(f);
}
