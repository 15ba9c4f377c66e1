// SPDX-License-Identifier: GPL-2.0
/*
 * The two books of each address space: what the program asked the allocator for
 * (retail), what the kernel did (wholesale), and where the one made the other.
 *
 * --json (bytes; times CLOCK_MONOTONIC ns; see text.h):
 *   alloc, now, start
 *   begins: null, or, of a trace whose front was not kept, what it begins with: { ts,
 *     and, alive then: spaces, vmas, chunks, live_size }. The counts are those of the
 *     whole watch all the same.
 *   spaces: [ pid, comm, mm, parent_mm (null: none known), cause (attach, fork,
 *     exec), born, died (null: it lives),
 *     vmas_sampled: there was no module, so that of the kernel nothing is known but
 *       samples of /proc/PID/maps: then to_kernel, syscalls, kernel, failed,
 *       callers, and in doubts coalesced, late, map_count_mismatches are null
 *     allocator: null (not looked for), or { name, file, static } (see text.h)
 *     functions: [ name, calls, failed, asked, given_back, to_kernel ]
 *     calls: null without allocator events, or { calls, failed, asked,
 *       given_back, to_kernel }
 *     live: null, or { chunks, bytes, peak, from_start }
 *     found: null, or see text.h
 *     syscalls: [ name (null: page fault), compat, events, in_calls, mapped,
 *       unmapped, changed, mapped_in_calls, unmapped_in_calls, changed_in_calls ]
 *     kernel: { events, in_calls, outside, mapped, unmapped, changed, madvises }
 *     failed: [ syscall, error (a name), reason (vm.max_map_count, RLIMIT_AS,
 *       RLIMIT_DATA, "no hole so large"; null: not known), calls ]
 *     touches: null (page faults were not recorded), or see touch.h
 *     callers: [ op, caller, calls, events, mapped, unmapped, changed ], all,
 *       most events first
 *     doubts: { calls_lost, unknown_frees, double_allocs, clipped (chunks whose size
 *       may be another's, life.h), coalesced, late, map_count_mismatches } ]
 *   sum: { calls, failed, asked, given_back, to_kernel, events, in_calls, mapped,
 *     unmapped, changed } over all spaces of this report (of a whole watch: those that
 *     are forgotten, too)
 *   forgotten: null, or, of address spaces that have ended of which no details are kept
 *     any more: { as sum, spaces, until (when the last of them ended), live: { chunks,
 *     bytes (as they ended), peak (of one) }, doubts }
 *   lost: { kernel_lost, no_memory, invalid, orphan_calls }, verify: { checks, vmas,
 *     mismatches }, events: of the whole watch
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/syscall.h"
#include "output/table.h"
#include "output/text.h"
#include "output/touch.h"

#define TOP 10 /* callers in the text */

/* One space's books, or the sum of several. */
struct sums {
	uint64_t calls, failed, asked, given_back, to_kernel;
	uint64_t events, in_calls, mapped, unmapped, changed;
};

static void add_ops(struct sums *t, const struct op_tally *ops)
{
	enum call_op op;

	for (op = CALL_NONE; op < CALL_OP_MAX; op++) {
		const struct op_tally *o = &ops[op];

		t->calls += o->calls;
		t->failed += o->failed;
		t->to_kernel += o->to_kernel;
		if (op == CALL_FREE)
			t->given_back += o->bytes;
		else
			t->asked += o->bytes;
	}
}

static void add_syscalls(struct sums *t, const struct space *s)
{
	size_t i;

	for (i = 0; i < s->nr_syscalls; i++) {
		const struct syscall_tally *c = &s->syscalls[i];

		t->events += c->calls;
		t->in_calls += c->in_calls;
		t->mapped += c->mapped;
		t->unmapped += c->unmapped;
		t->changed += c->changed;
	}
}

static void add_space(struct sums *t, const struct space *s)
{
	add_ops(t, s->ops);
	add_syscalls(t, s);
}

static void add_forgotten(struct sums *t, const struct forgotten *f)
{
	add_ops(t, f->ops);
	t->events += f->events;
	t->in_calls += f->in_calls;
	t->mapped += f->mapped;
	t->unmapped += f->unmapped;
	t->changed += f->changed;
}

static struct sums sum_up(const struct output *o, const struct space *only)
{
	struct sums t = { 0 };
	size_t i;

	if (only) {
		add_space(&t, only);
		return t;
	}
	for (i = 0; i < model_spaces(o->model); i++)
		add_space(&t, model_space_at(o->model, i));
	add_forgotten(&t, model_forgotten(o->model));
	return t;
}

/* Sorted copies, so that the same events give the same report. */
static int by_events(const void *va, const void *vb)
{
	const struct syscall_tally *a = va, *b = vb;

	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	if (a->nr != b->nr)
		return a->nr < b->nr ? -1 : 1;
	return a->compat - b->compat;
}

static int by_kernel_work(const void *va, const void *vb)
{
	const struct site_tally *a = va, *b = vb;
	uint64_t wa = a->mapped + a->unmapped + a->changed;
	uint64_t wb = b->mapped + b->unmapped + b->changed;

	if (a->vma_events != b->vma_events)
		return a->vma_events > b->vma_events ? -1 : 1;
	if (wa != wb)
		return wa > wb ? -1 : 1;
	if (a->caller != b->caller)
		return a->caller < b->caller ? -1 : 1;
	return (int)a->op - (int)b->op;
}

/* --- text */

static void headings(struct table *t, const char *const *names)
{
	for (; *names; names++)
		table_cell(t, "%s", *names);
}

static void cell_kib(struct table *t, uint64_t bytes)
{
	char buf[32];

	table_cell(t, "%s", kib(bytes, buf));
}

static void cell_count(struct table *t, uint64_t n)
{
	table_cell(t, "%" PRIu64, n);
}

static int finish(struct table *t, FILE *f)
{
	int err = table_print(t, f);

	table_free(t);
	return err;
}

static void retail_row(struct table *t, const struct space *s, const char *name,
		       const struct sums *n, bool asks, bool gives)
{
	table_cell(t, "%s", name);
	cell_count(t, n->calls);
	cell_count(t, n->failed);
	if (asks)
		cell_kib(t, n->asked);
	else
		table_cell(t, "-");
	if (gives)
		cell_kib(t, n->given_back);
	else
		table_cell(t, "-");
	if (s->vmas_sampled) {
		table_cell(t, "?");
		table_cell(t, "?");
		return;
	}
	cell_count(t, n->to_kernel);
	table_cell(t, "%.3f %%",
		   n->calls ? 100.0 * (double)n->to_kernel / (double)n->calls :
			      0.0);
}

static struct sums op_sums(const struct space *s, enum call_op op)
{
	const struct op_tally *t = &s->ops[op];

	return (struct sums){ .calls = t->calls,
			      .failed = t->failed,
			      .asked = op == CALL_FREE ? 0 : t->bytes,
			      .given_back = op == CALL_FREE ? t->bytes : 0,
			      .to_kernel = t->to_kernel };
}

static int print_retail(const struct output *o, const struct space *s)
{
	static const char *const names[] = { "allocator call", "calls",
					     "failed",	       "asked KiB",
					     "given back KiB", "to the kernel",
					     "share",	       NULL };
	struct table *t = table_new("lrrrrrr");
	struct sums all = { 0 };
	enum call_op op;

	if (!t)
		return -ENOMEM;
	headings(t, names);
	for (op = CALL_NONE; op < CALL_OP_MAX; op++) {
		struct sums n = op_sums(s, op);

		if (n.calls)
			retail_row(t, s, call_op_name(op), &n, op != CALL_FREE,
				   op == CALL_FREE);
	}
	add_ops(&all, s->ops);
	retail_row(t, s, "all", &all, true, true);
	return finish(t, o->f);
}

static void print_live(const struct output *o, const struct space *s)
{
	struct chunk_sum live = chunk_total(s->chunks);
	char a[32], b[32];

	fprintf(o->f,
		"Live %s: %" PRIu64
		" chunk%s, %s KiB; at most %s KiB at once.\n",
		s->died ? "at the end" : "now", live.chunks,
		plural(live.chunks), kib(live.bytes, a),
		kib(chunk_peak(s->chunks), b));
}

static int retail(const struct output *o, const struct space *s)
{
	int err;

	fprintf(o->f,
		"\nRetail: what it asked the allocator for (source: %s)\n\n",
		o->alloc);
	if (s->allocator.known) {
		fputs("Allocator: ", o->f);
		put_allocator(o->f, s->allocator.kind, s->allocator.file,
			      s->allocator.is_static);
		fputs("\n\n", o->f);
	}
	if (s->found.looks) {
		put_found(o, s, o->f);
		fputc('\n', o->f);
	}
	if (!s->has_calls) {
		fputs("Not known: there are no allocator events of it.\n",
		      o->f);
		if (space_has_chunks(s))
			print_live(o, s);
		return 0;
	}
	err = print_retail(o, s);
	if (err)
		return err;
	fputc('\n', o->f);
	print_live(o, s);
	return 0;
}

static void wholesale_row(struct table *t, const char *name, uint64_t events,
			  uint64_t in_calls, const uint64_t bytes[3])
{
	int i;

	table_cell(t, "%s", name);
	cell_count(t, events);
	cell_count(t, in_calls);
	cell_count(t, events - in_calls);
	for (i = 0; i < 3; i++)
		cell_kib(t, bytes[i]);
}

static const char *tally_name(const struct syscall_tally *c, char buf[32])
{
	return c->nr < 0 ? "none (page fault, or not known)" :
			   syscall_name(c->nr, c->compat, buf);
}

static int print_wholesale(const struct output *o, const struct space *s)
{
	static const char *const names[] = {
		"system call", "VMA events",   "in allocator calls", "outside",
		"mapped KiB",  "unmapped KiB", "re-protected KiB",   NULL
	};
	struct syscall_tally *calls = sorted_copy(s->syscalls, s->nr_syscalls,
						  sizeof(*calls), by_events);
	struct table *t = table_new("lrrrrrr");
	struct sums all = { 0 };
	char buf[32];
	size_t i;

	if (!t || (s->nr_syscalls && !calls)) {
		table_free(t);
		free(calls);
		return -ENOMEM;
	}
	headings(t, names);
	for (i = 0; i < s->nr_syscalls; i++) {
		const struct syscall_tally *c = &calls[i];

		wholesale_row(t, tally_name(c, buf), c->calls, c->in_calls,
			      (uint64_t[]){ c->mapped, c->unmapped,
					    c->changed });
	}
	add_syscalls(&all, s);
	wholesale_row(t, "all", all.events, all.in_calls,
		      (uint64_t[]){ all.mapped, all.unmapped, all.changed });
	free(calls);
	return finish(t, o->f);
}

static void print_share(const struct output *o, const struct space *s)
{
	struct sums n = { 0 };

	add_space(&n, s);
	fputc('\n', o->f);
	if (s->has_calls)
		fprintf(o->f,
			"%" PRIu64 " of %" PRIu64
			" allocator calls (%.3f %%) went to the kernel. ",
			n.to_kernel, n.calls,
			n.calls ?
				100.0 * (double)n.to_kernel / (double)n.calls :
				0.0);
	fprintf(o->f,
		"Of %" PRIu64 " VMA events, %" PRIu64
		" were inside an allocator call, %" PRIu64 " outside of any.\n",
		n.events, n.in_calls, n.events - n.in_calls);
	if (s->madvises)
		fprintf(o->f, "madvise was called %" PRIu64 " time%s.\n",
			s->madvises, plural(s->madvises));
}

static int by_calls(const void *va, const void *vb)
{
	const struct failed_tally *a = va, *b = vb;

	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	if (a->nr != b->nr)
		return a->nr < b->nr ? -1 : 1;
	return a->error != b->error ? a->error - b->error :
				      (int)a->reason - (int)b->reason;
}

static void failed_row(struct table *t, const struct failed_tally *c)
{
	const char *error = strerrorname_np(c->error);
	const char *why = failed_reason_name(c->reason);
	char buf[32];

	table_cell(t, "%s", syscall_name(c->nr, false, buf));
	if (error)
		table_cell(t, "%s", error);
	else
		table_cell(t, "%d", c->error);
	cell_count(t, c->calls);
	table_cell(t, "%s", why ? why : "");
}

static int print_failed(const struct output *o, const struct space *s)
{
	struct failed_tally *calls =
		sorted_copy(s->failed, s->nr_failed, sizeof(*calls), by_calls);
	struct table *t = table_new("llrl");
	size_t i;

	if (!t || !calls) {
		table_free(t);
		free(calls);
		return s->nr_failed ? -ENOMEM : 0;
	}
	fputs("\nSystem calls that failed\n\n", o->f);
	table_cell(t, "system call");
	table_cell(t, "error");
	table_cell(t, "calls");
	table_cell(t, "because of");
	for (i = 0; i < s->nr_failed; i++)
		failed_row(t, &calls[i]);
	free(calls);
	return finish(t, o->f);
}

static void site_row(const struct output *o, const struct space *s,
		     struct table *t, const struct site_tally *c)
{
	char *who = caller_text(o, s, c->caller);

	cell_count(t, c->vma_events);
	cell_count(t, c->calls);
	cell_kib(t, c->mapped);
	cell_kib(t, c->unmapped);
	cell_kib(t, c->changed);
	table_cell(t, "%s", call_op_name(c->op));
	table_cell(t, "%s", who ? who : "?");
	free(who);
}

static int print_sites(const struct output *o, const struct space *s)
{
	static const char *const names[] = { "VMA events",	 "calls",
					     "mapped KiB",	 "unmapped KiB",
					     "re-protected KiB", "by",
					     "called from",	 NULL };
	struct site_tally *sites = sorted_copy(s->sites, s->nr_sites,
					       sizeof(*sites), by_kernel_work);
	struct table *t = table_new("rrrrrll");
	size_t i;

	if (!t || !sites) {
		table_free(t);
		free(sites);
		return s->nr_sites ? -ENOMEM : 0;
	}
	fprintf(o->f,
		"\nWho made the kernel act through the allocator (%zu of %zu place%s)\n\n",
		s->nr_sites < TOP ? s->nr_sites : TOP, s->nr_sites,
		plural(s->nr_sites));
	headings(t, names);
	for (i = 0; i < s->nr_sites && i < TOP; i++)
		site_row(o, s, t, &sites[i]);
	free(sites);
	return finish(t, o->f);
}

static int print_kernel(const struct output *o, const struct space *s)
{
	int err;

	fputs("\nWholesale: what the kernel did to its VMAs\n\n", o->f);
	if (s->vmas_sampled) {
		fputs("Not known: there was no module (--kernel=none). VMAs were seen now and then in\n"
		      "/proc/PID/maps (vmaheap maps); which calls made them is not known.\n",
		      o->f);
		return 0;
	}
	err = print_wholesale(o, s);
	if (err)
		return err;
	print_share(o, s);
	err = print_failed(o, s);
	if (!err)
		err = print_sites(o, s);
	return err ? err : print_touches(o, s);
}

static uint64_t doubt(FILE *f, uint64_t n, const char *what)
{
	if (n)
		fprintf(f, "%s: %" PRIu64 "\n", what, n);
	return n;
}

static void print_doubts(const struct output *o, const struct space *s)
{
	uint64_t any = 0;

	fputc('\n', o->f);
	any += doubt(
		o->f, s->calls_lost,
		"Allocator events dropped by their source, so that counts and live chunks are not complete");
	any += doubt(
		o->f, s->unknown_frees,
		s->chunks_known_from_start ?
			"Frees of what was not known to be live" :
		s->found.at ?
			"Frees of what was not known to be live, as the watch began" :
			"Frees of what was not known to be live, most likely from before the watch");
	any += doubt(
		o->f, s->found.wrong,
		"Chunks found as the watch began that were not alive: others were allocated on them");
	any += doubt(
		o->f, s->double_allocs,
		"Chunks that must have been freed unseen, for others were allocated on them");
	any += doubt(
		o->f, s->clipped,
		"Chunks taken to end where the next one begins: threads were at their address at once, and whose came last was not to be seen");
	any += doubt(
		o->f, s->coalesced,
		"VMA changes merged into later events (the state is exact, the history between is not)");
	any += doubt(
		o->f, s->late,
		"VMA events sent late, so that who caused them is not known");
	any += doubt(
		o->f, s->map_count_mismatches,
		"Times the kernel counted other VMAs than we did, until it was asked for all");
	if (!any)
		fputs("Nothing was lost, coalesced or doubtful here.\n", o->f);
}

static void print_space_head(const struct output *o, const struct space *s)
{
	static const char *const began[] = { [MM_ATTACH] = "watched from",
					     [MM_FORK] = "forked at",
					     [MM_EXEC] = "exec at" };

	put_process(o->f, s);
	fprintf(o->f, ", %s ",
		s->cause >= MM_ATTACH && s->cause <= MM_EXEC ? began[s->cause] :
							       "?");
	put_time(o, o->f, s->born);
	fputs(" to ", o->f);
	put_time(o, o->f, s->died ? s->died : o->now);
	fputs(s->died ? " s, then it ended\n" : " s\n", o->f);
}

static int space_text(const struct output *o, const struct space *s)
{
	int err;

	print_space_head(o, s);
	err = retail(o, s);
	if (err)
		return err;
	err = print_kernel(o, s);
	if (err)
		return err;
	print_doubts(o, s);
	return 0;
}

/* One watch has the module for all its spaces, or for none. */
static const struct space *first_space(const struct output *o,
				       const struct space *only)
{
	if (only)
		return only;
	return model_spaces(o->model) ? model_space_at(o->model, 0) : NULL;
}

static uint64_t all_spaces(const struct output *o)
{
	return model_spaces(o->model) + model_forgotten(o->model)->spaces;
}

static void print_sum(const struct output *o)
{
	struct sums n = sum_up(o, NULL);
	char a[32], b[32], c[32];

	if (first_space(o, NULL)->vmas_sampled) {
		fprintf(o->f,
			"\nAll %" PRIu64 " address spaces: %" PRIu64
			" allocator calls asked for %s KiB.\n",
			all_spaces(o), n.calls, kib(n.asked, a));
		return;
	}

	fprintf(o->f,
		"\nAll %" PRIu64 " address spaces: %" PRIu64
		" allocator calls asked for %s KiB, %" PRIu64
		" of them went to the kernel; %" PRIu64 " VMA events, %" PRIu64
		" inside allocator calls, mapped %s KiB and unmapped %s KiB.\n",
		all_spaces(o), n.calls, kib(n.asked, a), n.to_kernel, n.events,
		n.in_calls, kib(n.mapped, b), kib(n.unmapped, c));
}

struct output_beginning output_beginning(const struct model *m, uint64_t ts)
{
	struct output_beginning b = { .ts = ts };

	for (size_t i = 0; ts && i < model_spaces(m); i++) {
		const struct space *s = model_space_at(m, i);
		struct chunk_sum live = chunk_total(s->chunks);

		if (s->died)
			continue;
		b.spaces++;
		b.vmas += vma_map_count(s->vmas);
		b.chunks += live.chunks;
		b.bytes += live.bytes;
	}
	return b;
}

/* Nobody is to look for the calls that made these counts in the trace. */
static void print_beginning(const struct output *o)
{
	const struct output_beginning *b = &o->begins;

	if (!b->ts)
		return;
	fputs("\nThe trace begins at ", o->f);
	put_time(o, o->f, b->ts);
	fputs(" s: what was before was not kept. Alive then: ", o->f);
	put_beginning(o->f, b);
	fputs(". The counts are of the whole watch.\n", o->f);
}

static void print_forgotten(const struct output *o)
{
	const struct forgotten *f = model_forgotten(o->model);
	struct sums n = { 0 };
	char a[32], b[32], c[32];

	if (!f->spaces)
		return;
	add_forgotten(&n, f);
	fprintf(o->f,
		"\nOf %" PRIu64
		" address space%s no details are kept any more, only sums; the last of them ended at ",
		f->spaces, plural(f->spaces));
	put_time(o, o->f, f->until);
	fprintf(o->f,
		" s: %" PRIu64
		" allocator calls asked for %s KiB; alive when they ended: %" PRIu64
		" chunk%s, %s KiB; at most %s KiB at once in one of them.\n",
		n.calls, kib(n.asked, a), f->chunks, plural(f->chunks),
		kib(f->bytes, b), kib(f->peak, c));
	doubt(o->f, f->calls_lost,
	      "Allocator events of them that their source dropped");
	doubt(o->f, f->unknown_frees,
	      "Frees in them of what was not known to be live");
	doubt(o->f, f->double_allocs,
	      "Chunks in them that must have been freed unseen");
	doubt(o->f, f->clipped,
	      "Chunks in them taken to end where the next one begins");
	doubt(o->f, f->coalesced,
	      "VMA changes in them merged into later events");
	doubt(o->f, f->late, "VMA events in them sent late");
	doubt(o->f, f->map_count_mismatches,
	      "Times the kernel counted other VMAs in them than we did");
}

static void print_watch(const struct output *o)
{
	struct model_totals t = model_totals(o->model);

	print_beginning(o);
	print_forgotten(o);
	doubt(o->f, t.kernel_lost, "Events that the module could not report");
	doubt(o->f, t.no_memory, "Events that there was no memory for");
	doubt(o->f, t.invalid,
	      "Events that contradicted the protocol and were refused");
	doubt(o->f, t.orphan_calls,
	      "Allocator events of processes that are not watched");
	if (t.checks)
		fprintf(o->f,
			"Compared with /proc/PID/maps %" PRIu64
			" time%s, %" PRIu64 " VMAs: %" PRIu64 " mismatches.\n",
			t.checks, plural(t.checks), t.check_vmas,
			t.check_mismatches);
}

static int report_text(const struct output *o, const struct space *only)
{
	size_t i, nr = only ? 1 : model_spaces(o->model);
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		if (i)
			fputc('\n', o->f);
		err = space_text(o, only ? only : model_space_at(o->model, i));
	}
	if (err)
		return err;
	if (!only && all_spaces(o) > 1)
		print_sum(o);
	print_watch(o);
	return 0;
}

/* --- JSON */

/* What only the module tells. */
static json_t *json_kernels(const struct space *s, json_t *j)
{
	if (!s || !s->vmas_sampled)
		return j;
	json_decref(j);
	return json_null();
}

static json_t *json_sums(const struct space *s, const struct sums *n)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "calls",
			 json_u64(n->calls), "failed", json_u64(n->failed),
			 "asked", json_u64(n->asked), "given_back",
			 json_u64(n->given_back), "to_kernel",
			 json_kernels(s, json_u64(n->to_kernel)));
}

static json_t *json_functions(const struct space *s)
{
	json_t *a = json_array(), *j;
	enum call_op op;

	for (op = CALL_NONE; op < CALL_OP_MAX; op++) {
		struct sums n = op_sums(s, op);

		if (!n.calls)
			continue;
		j = json_sums(s, &n);
		json_object_set_new(j, "name", json_string(call_op_name(op)));
		json_array_append_new(a, j);
	}
	return a;
}

static json_t *json_live(const struct space *s)
{
	struct chunk_sum live = chunk_total(s->chunks);

	if (!space_has_chunks(s))
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:b}", "chunks",
			 json_u64(live.chunks), "bytes", json_u64(live.bytes),
			 "peak", json_u64(chunk_peak(s->chunks)), "from_start",
			 (int)s->chunks_known_from_start);
}

static json_t *json_syscall(const struct syscall_tally *c)
{
	char buf[32];
	json_t *j = json_object();

	json_object_set_new(
		j, "name",
		c->nr < 0 ? json_null() :
			    json_string(syscall_name(c->nr, c->compat, buf)));
	json_object_set_new(j, "compat", json_boolean(c->compat));
	json_object_set_new(j, "events", json_u64(c->calls));
	json_object_set_new(j, "in_calls", json_u64(c->in_calls));
	json_object_set_new(j, "mapped", json_u64(c->mapped));
	json_object_set_new(j, "unmapped", json_u64(c->unmapped));
	json_object_set_new(j, "changed", json_u64(c->changed));
	json_object_set_new(j, "mapped_in_calls", json_u64(c->mapped_in_calls));
	json_object_set_new(j, "unmapped_in_calls",
			    json_u64(c->unmapped_in_calls));
	json_object_set_new(j, "changed_in_calls",
			    json_u64(c->changed_in_calls));
	return j;
}

static json_t *json_syscalls(const struct space *s)
{
	struct syscall_tally *calls = sorted_copy(s->syscalls, s->nr_syscalls,
						  sizeof(*calls), by_events);
	json_t *a = json_array();
	size_t i;

	for (i = 0; calls && i < s->nr_syscalls; i++)
		json_array_append_new(a, json_syscall(&calls[i]));
	free(calls);
	return a;
}

static json_t *json_kernel(const struct space *s)
{
	struct sums n = { 0 };

	add_syscalls(&n, s);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "events",
			 json_u64(n.events), "in_calls", json_u64(n.in_calls),
			 "outside", json_u64(n.events - n.in_calls), "mapped",
			 json_u64(n.mapped), "unmapped", json_u64(n.unmapped),
			 "changed", json_u64(n.changed), "madvises",
			 json_u64(s->madvises));
}

static json_t *json_failed(const struct space *s)
{
	struct failed_tally *calls =
		sorted_copy(s->failed, s->nr_failed, sizeof(*calls), by_calls);
	json_t *a = json_array();
	char buf[32];
	size_t i;

	for (i = 0; calls && i < s->nr_failed; i++) {
		const struct failed_tally *c = &calls[i];
		const char *error = strerrorname_np(c->error);
		const char *why = failed_reason_name(c->reason);

		json_array_append_new(
			a, json_pack("{s:s, s:o, s:o, s:o}", "syscall",
				     syscall_name(c->nr, false, buf), "error",
				     error ? json_string(error) :
					     json_integer(c->error),
				     "reason",
				     why ? json_string(why) : json_null(),
				     "calls", json_u64(c->calls)));
	}
	free(calls);
	return a;
}

static json_t *json_sites(const struct output *o, const struct space *s)
{
	struct site_tally *sites = sorted_copy(s->sites, s->nr_sites,
					       sizeof(*sites), by_kernel_work);
	json_t *a = json_array();
	size_t i;

	for (i = 0; sites && i < s->nr_sites; i++) {
		const struct site_tally *c = &sites[i];

		json_array_append_new(
			a, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
				     "op", call_op_name(c->op), "caller",
				     json_caller(o, s, c->caller), "calls",
				     json_u64(c->calls), "events",
				     json_u64(c->vma_events), "mapped",
				     json_u64(c->mapped), "unmapped",
				     json_u64(c->unmapped), "changed",
				     json_u64(c->changed)));
	}
	free(sites);
	return a;
}

static json_t *json_doubts(const struct space *s)
{
	json_t *j = json_object();

	json_object_set_new(j, "calls_lost", json_u64(s->calls_lost));
	json_object_set_new(j, "unknown_frees", json_u64(s->unknown_frees));
	json_object_set_new(j, "double_allocs", json_u64(s->double_allocs));
	json_object_set_new(j, "clipped", json_u64(s->clipped));
	json_object_set_new(j, "coalesced",
			    json_kernels(s, json_u64(s->coalesced)));
	json_object_set_new(j, "late", json_kernels(s, json_u64(s->late)));
	json_object_set_new(j, "map_count_mismatches",
			    json_kernels(s, json_u64(s->map_count_mismatches)));
	return j;
}

static const char *mm_cause_name(enum mm_cause c)
{
	return c == MM_FORK ? "fork" : c == MM_EXEC ? "exec" : "attach";
}

json_t *json_books(const struct output *o, const struct space *s, bool callers)
{
	struct sums n = { 0 };
	json_t *j = json_object();

	add_ops(&n, s->ops);
	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "mm", json_u64(s->mm));
	json_object_set_new(j, "parent_mm",
			    s->parent_mm ? json_u64(s->parent_mm) :
					   json_null());
	json_object_set_new(j, "cause", json_string(mm_cause_name(s->cause)));
	json_object_set_new(j, "born", json_u64(s->born));
	json_object_set_new(j, "died",
			    s->died ? json_u64(s->died) : json_null());
	json_object_set_new(j, "allocator", json_allocator(s));
	json_object_set_new(j, "functions", json_functions(s));
	json_object_set_new(j, "calls",
			    s->has_calls ? json_sums(s, &n) : json_null());
	json_object_set_new(j, "live", json_live(s));
	json_object_set_new(j, "found", json_found(s));
	json_object_set_new(j, "vmas_sampled", json_boolean(s->vmas_sampled));
	json_object_set_new(j, "syscalls", json_kernels(s, json_syscalls(s)));
	json_object_set_new(j, "kernel", json_kernels(s, json_kernel(s)));
	json_object_set_new(j, "failed", json_kernels(s, json_failed(s)));
	json_object_set_new(j, "touches", json_touches(o, s, callers));
	if (callers)
		json_object_set_new(j, "callers",
				    json_kernels(s, json_sites(o, s)));
	json_object_set_new(j, "doubts", json_doubts(s));
	return j;
}

static json_t *json_all_sums(const struct space *s, const struct sums *n)
{
	json_t *j = json_sums(s, n);

	json_object_set_new(j, "events", json_kernels(s, json_u64(n->events)));
	json_object_set_new(j, "in_calls",
			    json_kernels(s, json_u64(n->in_calls)));
	json_object_set_new(j, "mapped", json_kernels(s, json_u64(n->mapped)));
	json_object_set_new(j, "unmapped",
			    json_kernels(s, json_u64(n->unmapped)));
	json_object_set_new(j, "changed",
			    json_kernels(s, json_u64(n->changed)));
	return j;
}

static json_t *json_sum(const struct output *o, const struct space *only)
{
	struct sums n = sum_up(o, only);

	return json_all_sums(first_space(o, only), &n);
}

/* One watch has the module for all its spaces: `s` is any of them. */
static json_t *json_forgotten(const struct output *o, const struct space *s)
{
	const struct forgotten *f = model_forgotten(o->model);
	struct sums n = { 0 };
	json_t *j;

	if (!f->spaces)
		return json_null();
	add_forgotten(&n, f);
	j = json_all_sums(s, &n);
	json_object_set_new(j, "spaces", json_u64(f->spaces));
	json_object_set_new(j, "until", json_u64(f->until));
	json_object_set_new(j, "live",
			    json_pack("{s:o, s:o, s:o}", "chunks",
				      json_u64(f->chunks), "bytes",
				      json_u64(f->bytes), "peak",
				      json_u64(f->peak)));
	json_object_set_new(
		j, "doubts",
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "calls_lost",
			  json_u64(f->calls_lost), "unknown_frees",
			  json_u64(f->unknown_frees), "double_allocs",
			  json_u64(f->double_allocs), "clipped",
			  json_u64(f->clipped), "coalesced",
			  json_kernels(s, json_u64(f->coalesced)), "late",
			  json_kernels(s, json_u64(f->late)),
			  "map_count_mismatches",
			  json_kernels(s, json_u64(f->map_count_mismatches))));
	return j;
}

static json_t *json_beginning(const struct output_beginning *b)
{
	if (!b->ts)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "ts", json_u64(b->ts),
			 "spaces", json_u64(b->spaces), "vmas",
			 json_u64(b->vmas), "chunks", json_u64(b->chunks),
			 "live_size", json_u64(b->bytes));
}

static void json_watch(json_t *j, const struct output *o)
{
	struct model_totals t = model_totals(o->model);

	json_object_set_new(j, "lost",
			    json_pack("{s:o, s:o, s:o, s:o}", "kernel_lost",
				      json_u64(t.kernel_lost), "no_memory",
				      json_u64(t.no_memory), "invalid",
				      json_u64(t.invalid), "orphan_calls",
				      json_u64(t.orphan_calls)));
	json_object_set_new(j, "verify",
			    json_pack("{s:o, s:o, s:o}", "checks",
				      json_u64(t.checks), "vmas",
				      json_u64(t.check_vmas), "mismatches",
				      json_u64(t.check_mismatches)));
	json_object_set_new(j, "events", json_u64(t.events));
}

static int report_json(const struct output *o, const struct space *only)
{
	size_t i, nr = only ? 1 : model_spaces(o->model);
	json_t *j = json_object(), *spaces = json_array();

	for (i = 0; i < nr; i++)
		json_array_append_new(
			spaces,
			json_books(o, only ? only : model_space_at(o->model, i),
				   true));
	json_object_set_new(j, "alloc", json_string(o->alloc));
	json_object_set_new(j, "now", json_u64(o->now));
	json_object_set_new(j, "start", json_u64(o->start));
	json_object_set_new(j, "begins", json_beginning(&o->begins));
	json_object_set_new(j, "spaces", spaces);
	json_object_set_new(j, "sum", json_sum(o, only));
	json_object_set_new(j, "forgotten",
			    json_forgotten(o, first_space(o, only)));
	json_watch(j, o);
	return json_print(o, j, false);
}

int output_report(const struct output *o, const struct space *only)
{
	int err = o->json ? report_json(o, only) : report_text(o, only);

	return err ? err : output_status(o->f);
}
