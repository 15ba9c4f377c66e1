// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/PID/maps, annotated, and the identity
 *
 *   resident = live + held + stack + file + shared + kernel + vmaheap + other
 *              + unknown
 *
 * of which each byte is in exactly one term. `live` is resident memory under
 * live chunks, wherever they lie; `held` the rest of what the allocator got
 * from the kernel: free memory, slack, book-keeping. What a term cannot be told
 * of is "?" (null), and what nothing explains is `unknown`.
 *
 * --json (bytes; times CLOCK_MONOTONIC ns; see text.h):
 *   kernel         "module", or "none": there is none, and the VMAs are those that
 *                  /proc/PID/maps listed at vmas_at
 *   allocator      null: not known yet, or { name, file, static } (see text.h)
 *   vmas_at        when the VMAs were told of last (null: never)
 *   pid, comm, mm, alloc, now, start, died (null: it lives),
 *   from_start     chunks from before the watch cannot be missing (null: no
 *                  allocator events)
 *   found          null, or see text.h
 *   vmas: [ start, end, perms, offset, dev, ino, name, kind, size, resident,
 *           swapped, huge (of resident: in huge pages), untouched (no page: never
 *           touched, only read, or given back), live, chunks, live_resident,
 *           made, parts, changed ]
 *           `made` brought most of it, one of `parts` events that did;
 *           `changed` is null when nothing came after `made`
 *   totals: vmas, size, resident, swapped, huge, untouched, sampled_at, unsampled
 *           (VMAs that the sample does not cover as they are now), unsampled_size,
 *           chunks, live_size (all live bytes, resident or not),
 *           live, held, allocator (live + held), stack, file, shared, kernel,
 *           vmaheap, other, unknown,
 *           rss: { file, anon, shmem, swap } of the kernel's own counters at the
 *           last VMA event
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/table.h"
#include "output/text.h"
#include "output/total.h"
#include "output/view.h"

static const struct {
	const char *text, *note;
} terms[TERMS] = {
	[TERM_LIVE] = { "  live", "under chunks that are allocated" },
	[TERM_HELD] = { "  held, not live",
			"free memory, slack and book-keeping of the allocator" },
	[TERM_STACK] = { "  stack", "" },
	[TERM_FILE] = { "  file",
			"private mappings, what was written to included" },
	[TERM_SHARED] = { "  shared", "" },
	[TERM_KERNEL] = { "  kernel-provided", "vdso, vvar" },
	[TERM_OURS] = { "  vmaheap's own", "the shim's rings" },
	[TERM_OTHER] = { "  other anonymous",
			 "bss, and what was mapped outside the allocator" },
	[TERM_UNKNOWN] = { "  unknown",
			   "anonymous memory that nothing explains" },
};

/* --- text */

static void cell_kib(struct table *t, bool known, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", known ? kib(bytes, buf) : "?");
}

/* A string that is ours to free. */
static void cell_owned(struct table *t, char *text)
{
	table_cell(t, "%s", text ? text : "?");
	free(text);
}

static char *time_text(const struct output *o, uint64_t ts)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_time(o, f, ts);
	return fclose(f) ? NULL : text;
}

static char *name_text(const char *name)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_name(f, name);
	return fclose(f) ? NULL : text;
}

/* What is alive in it: "-" where no chunk can be. */
static void cells_live(struct table *t, const struct space *s,
		       const struct view *w)
{
	uint64_t size = w->v->d.end - w->v->d.start;

	if (w->live_known && w->kind != VIEW_RESERVE) {
		cell_kib(t, true, w->live.bytes);
		table_cell(t, "%" PRIu64, w->live.chunks);
		table_cell(t, "%.0f %%",
			   100.0 * (double)w->live.bytes / (double)size);
		return;
	}
	if (view_is_allocators(w->kind) && w->kind != VIEW_RESERVE &&
	    !space_has_chunks(s)) {
		table_cell(t, "?");
		table_cell(t, "?");
		table_cell(t, "?");
		return;
	}
	table_cell(t, "-");
	table_cell(t, "-");
	table_cell(t, "-");
}

static void line_changed(const struct output *o, const struct space *s,
			 struct table *t, const struct vma *v)
{
	char *line = NULL;
	size_t size;
	FILE *f;

	if (v->changed == v->made)
		return;
	f = open_memstream(&line, &size);
	if (!f)
		return;
	fputs("        ^ changed last at ", f);
	put_time(o, f, v->changed->ts);
	fputs(" by ", f);
	put_cause(o, s, f, v->changed);
	if (!fclose(f))
		table_line(t, line);
	free(line);
}

/* Of what was there before the watch the time is not known. */
static uint64_t made_at(const struct cause *c)
{
	return c->kind == CAUSE_ATTACH ? 0 : c->ts;
}

/* Of a VMA that came by several events, the one that brought the most of it. */
static char *made_text(const struct output *o, const struct space *s,
		       const struct view *w)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_cause(o, s, f, w->made);
	if (w->parts > 1)
		fprintf(f, " (1 of %u parts)", w->parts);
	if (!fclose(f))
		return text;
	free(text);
	return NULL;
}

/* What is rare has a column only where it is. */
struct columns {
	bool swapped, huge;
};

static void row(const struct output *o, const struct space *s, struct table *t,
		const struct columns *c, size_t i)
{
	struct view w = view_of(s, i);
	const struct vma_desc *d = &w.v->d;
	char buf[5];

	table_cell(t, "%08" PRIx64 "-%08" PRIx64, d->start, d->end);
	table_cell(t, "%s", perms(d, buf));
	cell_kib(t, true, d->end - d->start);
	cell_kib(t, w.res, w.res ? w.res->resident : 0);
	if (c->huge)
		cell_kib(t, w.res, w.res ? w.res->huge : 0);
	if (c->swapped)
		cell_kib(t, w.res, w.res ? w.res->swapped : 0);
	cells_live(t, s, &w);
	table_cell(t, "%s", view_kind_name(w.kind));
	cell_owned(t, name_text(vma_name(o, s, w.v)));
	cell_owned(t, time_text(o, made_at(w.made)));
	cell_owned(t, made_text(o, s, &w));
	line_changed(o, s, t, w.v);
}

static void headings(struct table *t, const struct columns *c)
{
	static const char *const names[] = { "live",	"chunks", "live/size",
					     "kind",	"name",	  "made at",
					     "made by", NULL };

	table_cell(t, "address range");
	table_cell(t, "perm");
	table_cell(t, "size");
	table_cell(t, "resident");
	if (c->huge)
		table_cell(t, "huge");
	if (c->swapped)
		table_cell(t, "swapped");
	table_names(t, names);
}

static int print_rows(const struct output *o, const struct space *s,
		      const struct totals *sum)
{
	struct columns c = { sum->swapped, sum->huge };
	struct table *t = table_new(c.swapped && c.huge ? "llrrrrrrrllrl" :
				    c.swapped || c.huge ? "llrrrrrrllrl" :
							  "llrrrrrllrl");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	headings(t, &c);
	for (i = 0; i < vma_map_count(s->vmas); i++)
		row(o, s, t, &c, i);
	err = table_print(t, o->f);
	table_free(t);
	return err;
}

static void total(struct table *t, const char *text, bool known, uint64_t bytes,
		  const char *note)
{
	table_cell(t, "%s", text);
	cell_kib(t, known, bytes);
	table_cell(t, "%s", note);
}

static void total_resident(const struct output *o, const struct space *s,
			   struct table *t, const struct totals *sum)
{
	char *note = NULL;
	size_t size;
	FILE *f = open_memstream(&note, &size);

	if (!f)
		return;
	if (s->sampled_at) {
		fputs("sampled at ", f);
		put_time(o, f, s->sampled_at);
	} else {
		fputs("never sampled", f);
	}
	if (s->sampled_at && sum->unsampled) {
		fprintf(f, ", but for %" PRIu64 " VMA%s of ", sum->unsampled,
			plural(sum->unsampled));
		put_size(f, sum->unsampled_size);
		fputs(" that changed since", f);
	}
	if (!fclose(f))
		total(t, "resident", s->sampled_at, sum->resident, note);
	free(note);
}

static void total_term(const struct space *s, struct table *t,
		       const struct totals *sum, enum term term)
{
	bool split = term == TERM_LIVE || term == TERM_HELD;
	const char *note = terms[term].note;

	if (split && !space_has_chunks(s)) {
		if (term == TERM_HELD)
			total(t, "  allocator", s->sampled_at, sum->term[term],
			      "no allocator events: what is alive of it is not known");
		return;
	}
	if (term == TERM_LIVE && !space_knows_all_chunks(s))
		note = "under chunks that are known to be allocated";
	if (term == TERM_HELD && !space_knows_all_chunks(s))
		note = "not live, or chunks from before the watch, which are not known";
	total(t, terms[term].text, s->sampled_at, sum->term[term], note);
}

static int print_totals(const struct output *o, const struct space *s,
			const struct totals *sum)
{
	struct table *t = table_new("lrl");
	struct chunk_sum live = chunk_total(s->chunks);
	enum term term;
	int err;

	if (!t)
		return -ENOMEM;
	table_cell(t, "size");
	cell_kib(t, true, sum->size);
	table_cell(t, "%" PRIu64 " VMA%s", sum->vmas, plural(sum->vmas));
	if (space_has_chunks(s)) {
		table_cell(t, "live");
		cell_kib(t, true, live.bytes);
		table_cell(t, "%" PRIu64 " chunk%s, resident or not",
			   live.chunks, plural(live.chunks));
	}
	total_resident(o, s, t, sum);
	for (term = 0; term < TERMS; term++)
		total_term(s, t, sum, term);
	if (sum->huge)
		total(t, "in huge pages", s->sampled_at, sum->huge,
		      "of resident");
	total(t, "swapped", s->sampled_at, sum->swapped, "");
	total(t, "untouched", s->sampled_at, sum->untouched,
	      "no page: never touched, only read, or given back");
	err = table_print(t, o->f);
	table_free(t);
	return err;
}

/* Where there is no module, what that means. */
static void print_source(const struct output *o, const struct space *s)
{
	if (!s->vmas_sampled)
		return;
	if (!s->vmas_at) {
		fputs("No module, and /proc/PID/maps could not be read: its VMAs are not known.\n",
		      o->f);
		return;
	}
	fputs("No module: these are the VMAs that /proc/PID/maps listed at ",
	      o->f);
	put_time(o, o->f, s->vmas_at);
	fputs(" s. What made them, and what there was in between, is not known; \"made at\" is when they were first seen.\n",
	      o->f);
}

static void print_chunks_known(const struct output *o, const struct space *s)
{
	if (s->found.looks)
		put_found(o, s, o->f);
	else if (!s->has_calls)
		fputs("No allocator events: which chunks are alive is not known.\n",
		      o->f);
	else if (!s->chunks_known_from_start)
		fputs("Chunks from before the watch are not known: live is what has been allocated since.\n",
		      o->f);
}

static void print_head(const struct output *o, const struct space *s)
{
	put_process(o->f, s);
	if (s->died) {
		fputs(", as it was when it ended, at ", o->f);
		put_time(o, o->f, s->died);
	} else {
		fputs(", at ", o->f);
		put_time(o, o->f, o->now);
	}
	fputs(" s since the watch began. KiB; live/size: live bytes by the VMA's size.\n",
	      o->f);
	print_source(o, s);
	if (s->allocator.known) {
		fputs("Allocator: ", o->f);
		put_allocator(o->f, s->allocator.kind, s->allocator.file,
			      s->allocator.is_static);
		fputs(".\n", o->f);
	}
	print_chunks_known(o, s);
	fputc('\n', o->f);
}

static void print_counters(const struct output *o, const struct space *s)
{
	char buf[4][32];

	fputs("\nThe kernel's counters at ", o->f);
	if (s->vmas_sampled) {
		put_time(o, o->f, s->vmas_at);
		fputs(" s", o->f);
	} else {
		fputs("its last VMA event", o->f);
	}
	fprintf(o->f, ": file %s, anonymous %s, shmem %s, swap %s.\n",
		kib(s->rss.file, buf[0]), kib(s->rss.anon, buf[1]),
		kib(s->rss.shmem, buf[2]), kib(s->rss.swap, buf[3]));
}

static int maps_text(const struct output *o, const struct space *s)
{
	struct totals sum = totals_of(s);
	int err;

	print_head(o, s);
	err = print_rows(o, s, &sum);
	if (err)
		return err;
	fputc('\n', o->f);
	err = print_totals(o, s, &sum);
	if (err)
		return err;
	print_counters(o, s);
	return 0;
}

/* --- JSON */

static json_t *json_known(bool known, uint64_t n)
{
	return known ? json_u64(n) : json_null();
}

json_t *json_maps_vma(const struct output *o, const struct space *s, size_t i)
{
	struct view w = view_of(s, i);
	const struct vma_desc *d = &w.v->d;
	char buf[5];
	json_t *j = json_object();

	json_object_set_new(j, "start", json_addr(d->start));
	json_object_set_new(j, "end", json_addr(d->end));
	json_object_set_new(j, "perms", json_string(perms(d, buf)));
	json_object_set_new(j, "offset", json_u64(d->offset));
	json_object_set_new(j, "dev",
			    json_sprintf("%02x:%02x", d->dev >> 20,
					 d->dev & 0xfffff));
	json_object_set_new(j, "ino", json_u64(d->ino));
	json_object_set_new(j, "name", json_name(vma_name(o, s, w.v)));
	json_object_set_new(j, "kind", json_string(view_kind_name(w.kind)));
	json_object_set_new(j, "size", json_u64(d->end - d->start));
	json_object_set_new(j, "resident",
			    json_known(w.res, w.res ? w.res->resident : 0));
	json_object_set_new(j, "swapped",
			    json_known(w.res, w.res ? w.res->swapped : 0));
	json_object_set_new(j, "huge",
			    json_known(w.res, w.res ? w.res->huge : 0));
	json_object_set_new(j, "untouched",
			    json_known(w.res, w.res ? view_untouched(&w) : 0));
	json_object_set_new(j, "live",
			    json_known(space_has_chunks(s), w.live.bytes));
	json_object_set_new(j, "chunks",
			    json_known(space_has_chunks(s), w.live.chunks));
	json_object_set_new(j, "live_resident",
			    json_known(w.res && space_has_chunks(s),
				       w.res ? w.res->live_resident : 0));
	json_object_set_new(j, "made", json_cause(o, s, w.made));
	json_object_set_new(j, "parts", json_integer(w.parts));
	json_object_set_new(j, "changed",
			    w.v->changed == w.v->made ?
				    json_null() :
				    json_cause(o, s, w.v->changed));
	return j;
}

static json_t *json_rss(const struct space *s)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "file", json_u64(s->rss.file),
			 "anon", json_u64(s->rss.anon), "shmem",
			 json_u64(s->rss.shmem), "swap", json_u64(s->rss.swap));
}

json_t *json_totals(const struct space *s)
{
	struct totals sum = totals_of(s);
	struct chunk_sum live = chunk_total(s->chunks);
	bool sampled = s->sampled_at;
	json_t *j = json_object();
	enum term i;

	json_object_set_new(j, "vmas", json_u64(sum.vmas));
	json_object_set_new(j, "size", json_u64(sum.size));
	json_object_set_new(j, "resident", json_known(sampled, sum.resident));
	json_object_set_new(j, "swapped", json_known(sampled, sum.swapped));
	json_object_set_new(j, "huge", json_known(sampled, sum.huge));
	json_object_set_new(j, "untouched", json_known(sampled, sum.untouched));
	json_object_set_new(j, "sampled_at",
			    json_known(sampled, s->sampled_at));
	json_object_set_new(j, "unsampled", json_u64(sum.unsampled));
	json_object_set_new(j, "unsampled_size", json_u64(sum.unsampled_size));
	json_object_set_new(j, "chunks",
			    json_known(space_has_chunks(s), live.chunks));
	json_object_set_new(j, "live_size",
			    json_known(space_has_chunks(s), live.bytes));
	json_object_set_new(
		j, "allocator",
		json_known(sampled, sum.term[TERM_LIVE] + sum.term[TERM_HELD]));
	for (i = 0; i < TERMS; i++)
		json_object_set_new(j, term_key(i),
				    json_known(sampled &&
						       (space_has_chunks(s) ||
							i > TERM_HELD),
					       sum.term[i]));
	json_object_set_new(j, "rss", json_rss(s));
	return j;
}

static int maps_json(const struct output *o, const struct space *s)
{
	json_t *j = json_object(), *vmas = json_array();
	size_t i;

	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "mm", json_u64(s->mm));
	json_object_set_new(j, "alloc", json_string(o->alloc));
	json_object_set_new(j, "now", json_u64(o->now));
	json_object_set_new(j, "start", json_u64(o->start));
	json_object_set_new(j, "kernel",
			    json_string(s->vmas_sampled ? "none" : "module"));
	json_object_set_new(j, "allocator", json_allocator(s));
	json_object_set_new(j, "vmas_at", json_known(s->vmas_at, s->vmas_at));
	json_object_set_new(j, "died", json_known(s->died, s->died));
	json_object_set_new(j, "from_start",
			    space_has_chunks(s) ?
				    json_boolean(s->chunks_known_from_start) :
				    json_null());
	json_object_set_new(j, "found", json_found(s));
	for (i = 0; i < vma_map_count(s->vmas); i++)
		json_array_append_new(vmas, json_maps_vma(o, s, i));
	json_object_set_new(j, "vmas", vmas);
	json_object_set_new(j, "totals", json_totals(s));
	return json_print(o, j, false);
}

int output_maps(const struct output *o, const struct space *s)
{
	int err;

	if (!s)
		return -ESRCH;
	err = o->json ? maps_json(o, s) : maps_text(o, s);
	return err ? err : output_status(o->f);
}
