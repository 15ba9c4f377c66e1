// SPDX-License-Identifier: GPL-2.0
/*
 * "Why is my 200 kB buffer on brk now?" The mmap threshold over time: each free
 * that raised it, and what got memory of the heap because of that. And which
 * setting would have spared how many system calls: not estimated, but tried, by
 * making the recorded calls once more; and only where they come out as recorded
 * when nothing is set.
 *
 * --json (bytes; times CLOCK_MONOTONIC ns; see text.h):
 *   pid, comm
 *   settings: malloc's in its environment, null: not known
 *   first, last: mmap_threshold at the beginning and now (null: not known)
 *   history: null, or [ { ts, tid, addr, caller, from, to, trim_threshold, later:
 *     { calls, bytes } } ]: each free that raised it; `later`: allocations of sizes
 *     between `from` and `to` that then got memory of a heap
 *   contradictions: chunks smaller than the threshold that got a mapping all the same
 *   unknown: null, or why there is no history
 *   now: null, or { mmap_threshold, trim_threshold, top_pad, dynamic }: as the
 *     process's own malloc_par has them (of a running one)
 *   recorded: null (not known), or { brk, mmap, munmap, mremap, mprotect }: calls
 *     inside of allocator calls
 *   rehearsal: null, or { libc, exact, chunks, elsewhere, plays: [ { setting (null: as it
 *     was), brk, mmap, munmap, mremap, mprotect, fresh_pages } ] }; settings are
 *     tried only when `exact`
 *   not_rehearsed: null, or why not
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/syscall.h"
#include "output/table.h"
#include "output/text.h"
#include "output/threshold.h"

/* Calls of the 64-bit table inside of allocator calls, as far as the module told. */
static uint64_t recorded(const struct space *s, const char *name)
{
	char buf[32];
	size_t i;

	for (i = 0; i < s->nr_syscalls; i++)
		if (!s->syscalls[i].compat &&
		    !strcmp(syscall_name(s->syscalls[i].nr, false, buf), name))
			return s->syscalls[i].in_calls;
	return 0;
}

static struct rehearsed recorded_calls(const struct space *s)
{
	return (struct rehearsed){ .brk = recorded(s, "brk"),
				   .mmap = recorded(s, "mmap"),
				   .munmap = recorded(s, "munmap"),
				   .mremap = recorded(s, "mremap"),
				   .mprotect = recorded(s, "mprotect") };
}

static bool same_calls(const struct rehearsed *a, const struct rehearsed *b)
{
	return a->brk == b->brk && a->mmap == b->mmap &&
	       a->munmap == b->munmap && a->mremap == b->mremap &&
	       a->mprotect == b->mprotect;
}

bool threshold_exact(const struct threshold_view *v)
{
	struct rehearsed was;

	if (!v->nr_plays)
		return false;
	if (v->s->vmas_sampled)
		return !v->plays[0].n.elsewhere;
	was = recorded_calls(v->s);
	return same_calls(&was, &v->plays[0].n);
}

/* --- text: the history */

static void row_rise(const struct threshold_view *v, struct table *t,
		     const struct threshold_rise *r)
{
	char buf[32], *by = caller_text(v->o, v->s, r->by.caller);
	char *when = NULL;
	size_t size;
	FILE *f = open_memstream(&when, &size);

	if (f) {
		put_time(v->o, f, r->by.ts);
		fclose(f);
	}
	table_cell(t, "%s", when ? when : "?");
	table_cell(t, "%s", kib(r->from, buf));
	table_cell(t, "%s", kib(r->to, buf));
	table_cell(t, "%s", kib(2 * r->to, buf));
	table_cell(t, "%" PRIu64, r->calls);
	table_cell(t, "%s", kib(r->bytes, buf));
	table_cell(t, "free(%#" PRIx64 ") from %s, thread %u", r->by.addr,
		   by ? by : "?", r->by.tid);
	free(when);
	free(by);
}

static int text_rises(const struct threshold_view *v)
{
	static const char *const names[] = {
		"at",  "from",	    "to", "trim at", "later on heap",
		"KiB", "raised by", NULL
	};
	struct table *t = table_new("rrrrrrl");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_names(t, names);
	for (i = 0; i < v->t->nr; i++)
		row_rise(v, t, &v->t->rises[i]);
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static int text_history(const struct threshold_view *v)
{
	FILE *f = v->o->f;
	char buf[2][32];
	int err = 0;

	if (!v->t) {
		fprintf(f, "How it came to be is not known: %s.\n",
			v->no_history);
		return 0;
	}
	if (v->t->nr) {
		fputs("Each free of a chunk that had a mapping of its own and was larger raised it; what had been mapped\n"
		      "before was then taken from the heap (\"later on heap\": calls, and KiB that they asked for):\n\n",
		      f);
		err = text_rises(v);
		fputc('\n', f);
	} else {
		fprintf(f, "No free has raised it: it is %s KiB.\n",
			kib(v->t->now, buf[0]));
	}
	if (v->t->contradictions)
		fprintf(f,
			"But %" PRIu64
			" chunk%s smaller than that got a mapping: the program has set M_MMAP_THRESHOLD itself\n"
			"(mallopt), or the heap could not grow. So do not trust this.\n",
			v->t->contradictions, plural(v->t->contradictions));
	return err;
}

static void text_now(const struct threshold_view *v)
{
	const struct pt_par *p = v->now;
	char buf[3][32];

	if (!p)
		return;
	fprintf(v->o->f,
		"Now, by its own book-keeping: mmap_threshold %s KiB, trim_threshold %s KiB, top_pad %s KiB, %s.\n",
		kib(p->mmap_threshold, buf[0]), kib(p->trim_threshold, buf[1]),
		kib(p->top_pad, buf[2]),
		p->no_dyn_threshold ?
			"fixed: the program or its environment has set them" :
			"dynamic");
}

static void text_settings(const struct threshold_view *v)
{
	FILE *f = v->o->f;

	put_process(f, v->s);
	fputs(": the mmap threshold of glibc's malloc. In its environment: ",
	      f);
	if (!v->s->allocator.settings_known)
		fputs("not known", f);
	else if (!v->s->allocator.settings[0])
		fputs("no setting of malloc", f);
	else
		put_name(f, v->s->allocator.settings);
	fputs(".\n", f);
}

/* --- text: the rehearsal */

static void row_play(struct table *t, const char *name,
		     const struct rehearsed *n, bool pages)
{
	table_cell(t, "%s", name);
	table_cell(t, "%" PRIu64, n->brk);
	table_cell(t, "%" PRIu64, n->mmap);
	table_cell(t, "%" PRIu64, n->munmap);
	table_cell(t, "%" PRIu64, n->mremap);
	table_cell(t, "%" PRIu64, n->mprotect);
	if (pages)
		table_cell(t, "%" PRIu64, n->fresh_pages);
	else
		table_cell(t, "%s", "-");
}

static int text_plays(const struct threshold_view *v)
{
	static const char *const names[] = { "setting", "brk",	  "mmap",
					     "munmap",	"mremap", "mprotect",
					     "pages",	NULL };
	struct rehearsed was = recorded_calls(v->s);
	struct table *t = table_new("lrrrrrr");
	size_t i;
	int err;

	if (!t)
		return -ENOMEM;
	table_names(t, names);
	if (!v->s->vmas_sampled)
		row_play(t, "(as recorded)", &was, false);
	for (i = 0; i < v->nr_plays; i++)
		row_play(t, i ? v->plays[i].setting : "(as it was)",
			 &v->plays[i].n, true);
	err = table_print(t, v->o->f);
	table_free(t);
	return err;
}

static int text_rehearsal(const struct threshold_view *v)
{
	const struct rehearsed *n;
	FILE *f = v->o->f;
	int err;

	if (!v->nr_plays) {
		fprintf(f,
			"\nWhat other settings would change is not known: %s.\n",
			v->no_plays);
		return 0;
	}
	n = &v->plays[0].n;
	fprintf(f,
		"\nThe same calls, made once more to malloc of glibc %s; system calls inside of allocator calls:\n\n",
		v->libc);
	err = text_plays(v);
	if (err)
		return err;
	if (n->elsewhere)
		fprintf(f,
			"\n%" PRIu64 " of %" PRIu64
			" chunks lay elsewhere than recorded.\n",
			n->elsewhere, n->chunks);
	else
		fprintf(f,
			"\nAll %" PRIu64 " chunks lay where they had been.\n",
			n->chunks);
	if (!threshold_exact(v)) {
		fputs("It did not come out as recorded, so no other setting was tried: the figures would be guesses.\n",
		      f);
		return 0;
	}
	fputs("pages: what these calls gave it, 4 KiB each. Each can fault when it is first touched, and which ones\n"
	      "were is not recorded: page faults are unknown.\n",
	      f);
	return 0;
}

static int threshold_text(const struct threshold_view *v)
{
	int err;

	text_settings(v);
	err = text_history(v);
	text_now(v);
	return err ? err : text_rehearsal(v);
}

/* --- JSON */

static json_t *json_calls(const struct rehearsed *n)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "brk", json_u64(n->brk),
			 "mmap", json_u64(n->mmap), "munmap",
			 json_u64(n->munmap), "mremap", json_u64(n->mremap),
			 "mprotect", json_u64(n->mprotect));
}

static json_t *json_history(const struct threshold_view *v)
{
	json_t *list;
	size_t i;

	if (!v->t)
		return json_null();
	list = json_array();
	for (i = 0; i < v->t->nr; i++) {
		const struct threshold_rise *r = &v->t->rises[i];

		json_array_append_new(
			list,
			json_pack(
				"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}",
				"ts", json_u64(r->by.ts), "tid",
				json_u64(r->by.tid), "addr",
				json_addr(r->by.addr), "caller",
				json_caller(v->o, v->s, r->by.caller), "from",
				json_u64(r->from), "to", json_u64(r->to),
				"trim_threshold", json_u64(2 * r->to), "later",
				"calls", json_u64(r->calls), "bytes",
				json_u64(r->bytes)));
	}
	return list;
}

static json_t *json_now(const struct pt_par *p)
{
	if (!p)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:b}", "mmap_threshold",
			 json_u64(p->mmap_threshold), "trim_threshold",
			 json_u64(p->trim_threshold), "top_pad",
			 json_u64(p->top_pad), "dynamic",
			 (int)!p->no_dyn_threshold);
}

static json_t *json_plays(const struct threshold_view *v)
{
	json_t *list, *j;
	size_t i;

	if (!v->nr_plays)
		return json_null();
	list = json_array();
	for (i = 0; i < v->nr_plays; i++) {
		j = json_calls(&v->plays[i].n);
		json_object_set_new(j, "setting",
				    i ? json_string(v->plays[i].setting) :
					json_null());
		json_object_set_new(j, "fresh_pages",
				    json_u64(v->plays[i].n.fresh_pages));
		json_array_append_new(list, j);
	}
	return json_pack("{s:s, s:b, s:o, s:o, s:o}", "libc", v->libc, "exact",
			 (int)threshold_exact(v), "chunks",
			 json_u64(v->plays[0].n.chunks), "elsewhere",
			 json_u64(v->plays[0].n.elsewhere), "plays", list);
}

static json_t *json_sentence(const char *s)
{
	return s ? json_string(s) : json_null();
}

static int threshold_json(const struct threshold_view *v)
{
	const struct space *s = v->s;
	struct rehearsed was = recorded_calls(s);
	json_t *j = json_object();

	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "settings",
			    s->allocator.settings_known ?
				    json_name(s->allocator.settings) :
				    json_null());
	json_object_set_new(j, "first",
			    !v->t ? json_null() :
				    json_u64(v->t->nr ? v->t->rises[0].from :
							v->t->now));
	json_object_set_new(j, "last",
			    v->t ? json_u64(v->t->now) : json_null());
	json_object_set_new(j, "history", json_history(v));
	json_object_set_new(j, "contradictions",
			    v->t ? json_u64(v->t->contradictions) :
				   json_null());
	json_object_set_new(j, "unknown",
			    json_sentence(v->t ? NULL : v->no_history));
	json_object_set_new(j, "now", json_now(v->now));
	json_object_set_new(j, "recorded",
			    s->vmas_sampled ? json_null() : json_calls(&was));
	json_object_set_new(j, "rehearsal", json_plays(v));
	json_object_set_new(j, "not_rehearsed",
			    json_sentence(v->nr_plays ? NULL : v->no_plays));
	return json_print(v->o, j, false);
}

int output_threshold(const struct threshold_view *v)
{
	int err = v->o->json ? threshold_json(v) : threshold_text(v);

	return err ? err : output_status(v->o->f);
}
