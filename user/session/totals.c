// SPDX-License-Identifier: GPL-2.0
/* What a session has counted, lost and cost, for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "intake/kernel.h"
#include "intake/rings.h"
#include "intake/sampled.h"
#include "intake/uprobe.h"
#include "session/attach.h"
#include "session/inside.h"

#define PRICE_LOUD \
	0.1 /* of a CPU: uprobes that cost more are told of at once */

struct session_totals session_totals(struct session *s)
{
	struct session_totals t = {
		.order = order_totals(s->order),
		.model = model_totals(s->model),
		.module_gaps = s->kernel ? kernel_gaps(s->kernel) : 0,
		.skipped = s->skipped
	};

	struct vmaheap_stats now;

	if (s->kernel && !s->kernel_gone && !kernel_stats(s->kernel, &now))
		s->stats = now;
	t.module = s->stats;
	if (s->trace)
		t.trace = trace_written(s->trace);
	if (!t.trace.error && (s->dump_error || s->recorder.error))
		t.trace.error = s->dump_error ? s->dump_error :
						s->recorder.error;
	if (s->rings)
		s->rings_were = rings_totals(s->rings);
	t.calls_lost += s->rings_were.lost + s->rings_lost;
	t.broken += s->rings_were.broken;
	if (s->uprobes)
		t.calls_lost += uprobes_totals(s->uprobes).lost;
	return t;
}

void session_print_checks(struct session *s, FILE *f)
{
	struct session_totals t = session_totals(s);

	if (!s->o.verify_ms && !t.model.checks)
		return;
	fprintf(f,
		"verify: %" PRIu64 " checks, %" PRIu64
		" VMAs compared, %" PRIu64 " mismatches\n",
		t.model.checks, t.model.check_vmas, t.model.check_mismatches);
	if (t.skipped)
		fprintf(f,
			"verify: %" PRIu64
			" checks were left out: a thread did not stop in time\n",
			t.skipped);
	if (!t.model.checks)
		fprintf(f,
			"verify: the target ended before it could be compared\n");
}

/* Who was attached to, and whoever had the shim because of that. */
static void print_attached(const struct session *s, FILE *f)
{
	unsigned int others = s->attach_was.others;

	if (s->o.on_exec)
		fprintf(f, "record: %u process%s without a preloaded shim ",
			others, others == 1 ? "" : "es");
	else
		fprintf(f, "attach: process %u ", s->o.pid);
	if (!s->o.on_exec && others)
		fprintf(f, "and %u that came from it ", others);
}

static void print_stops(const struct session *s, FILE *f)
{
	const struct attach_cost *c = &s->attach_was;
	bool many = c->others + !s->o.on_exec > 1;

	if (s->found_took)
		fprintf(f,
			"%s: %u process%s stood still for %.1f ms while %s read\n",
			s->o.on_exec ? "record" : "attach", s->found_in,
			s->found_in == 1 ? "" : "es",
			(double)s->found_took / 1e6,
			s->found_in == 1 ? "its heap was" : "their heaps were");
	if (!c->stops)
		return;
	print_attached(s, f);
	fprintf(f, "%s stopped %u time%s, %.1f ms altogether, %.1f ms at most",
		many ? "were" : "was", c->stops, c->stops == 1 ? "" : "s",
		(double)c->stopped_ns / 1e6, (double)c->longest_ns / 1e6);
	if (c->pointers)
		fprintf(f, "; %s pointers are put back (%u)",
			many ? "their" : "its", c->pointers);
	fputc('\n', f);
	if (s->inside)
		fprintf(f,
			"attach: in %u processes a thread may still be inside of the shim, did not stop, or has a seccomp filter: what is left of it there is silent\n",
			s->inside);
}

/* Per second of the watch, as a part of a CPU; 0: not known. */
static double probe_load(const struct session *s, double *ms)
{
	struct uprobe_totals t = uprobes_totals(s->uprobes);
	double seconds = (double)(now_ns() - s->began) / 1e9;

	*ms = (double)t.hits * t.hit_ns / 1e6;
	return seconds > 0 ? *ms / 1e3 / seconds : 0;
}

static void print_probes(const struct session *s, FILE *f)
{
	struct uprobe_totals t = uprobes_totals(s->uprobes);
	double ms, load = probe_load(s, &ms);

	if (t.hit_ns > 0)
		fprintf(f,
			"attach: %" PRIu64
			" hits of %u probes, at %.0f ns each (measured) %.1f ms: %.1f %% of a CPU\n",
			t.hits, t.probes, t.hit_ns, ms, 100 * load);
	else
		fprintf(f,
			"attach: %" PRIu64
			" hits of %u probes; what they cost could not be measured\n",
			t.hits, t.probes);
}

void session_print_price(struct session *s, FILE *f)
{
	print_stops(s, f);
	if (s->uprobes)
		print_probes(s, f);
}

/* While there is time to end it. */
void session_warn_of_price(struct session *s)
{
	double ms, load;

	if (s->warned || now_ns() - s->began < 1000000000)
		return;
	load = probe_load(s, &ms);
	if (load < PRICE_LOUD)
		return;
	s->warned = true;
	session_say(
		s,
		"THE PROBES COST PROCESS %u %.0f %% OF A CPU (%.0f ms so far): it is slower by that; ^C ends it",
		s->o.pid, 100 * load, ms);
}

void session_print_losses(struct session *s, FILE *f)
{
	struct session_totals t = session_totals(s);
	uint64_t lost = t.model.kernel_lost + t.module_gaps + t.calls_lost +
			t.trace.discarded;

	if (s->sampled)
		fprintf(f,
			"events: %" PRIu64 " (no module: VMAs as seen %" PRIu64
			" time%s), lost: %" PRIu64 "\n",
			t.model.events, sampled_looks(s->sampled),
			sampled_looks(s->sampled) == 1 ? "" : "s", lost);
	else
		fprintf(f,
			"events: %" PRIu64 " (%" PRIu64
			" from the module), lost: %" PRIu64
			", coalesced: %" PRIu64 "\n",
			t.model.events, (uint64_t)t.module.records, lost,
			(uint64_t)t.module.coalesced);
	if (s->kernel_gone)
		fprintf(f,
			"the module was gone before the end: lost and coalesced are what was known then\n");
	if (t.broken)
		fprintf(f,
			"%" PRIu64
			" allocator sources were cut off: nonsense in their rings\n",
			t.broken);
	if (t.model.no_memory)
		fprintf(f,
			"%" PRIu64
			" events are not in the model: there was no memory\n",
			t.model.no_memory);
	if (t.model.invalid)
		fprintf(f, "%" PRIu64 " events were refused\n",
			t.model.invalid);
	if (t.trace.discarded)
		fprintf(f, "%" PRIu64 " events are not in the trace: %s\n",
			t.trace.discarded, strerror(t.trace.error));
}

void session_print_kept(struct session *s, FILE *f)
{
	if (s->dump_error)
		fprintf(f, "what was recorded is not whole in the trace: %s\n",
			strerror(s->dump_error));
	if (s->recorder.error)
		fprintf(f,
			"the trace is longer than it was to be: the state that its end begins with cannot be written: %s\n",
			strerror(s->recorder.error));
}
