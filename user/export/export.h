/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model in the formats of other programs, whose readers are good at what we are
 * not. Some show a state: a trace up to some moment, or a live process; others a
 * whole trace, event by event.
 *
 * All write to the output's stream (or to a file of their own) and return 0 or
 * -errno (-ENODATA: nothing that this format could tell is known). What is not
 * known is left out, never 0.
 */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include "output/output.h"
#include "output/waste.h"

struct export
{
	const struct output *o;
	const struct space *only; /* NULL: all */
	int64_t clock_offset; /* CLOCK_REALTIME - CLOCK_MONOTONIC, ns */
	const struct waste *waste; /* of a state: of `only`; NULL: not known */
	/* Of a trace: runs through it, telling each event, and (w not NULL) chunks. */
	void (*replay)(void *ctx, const struct model_watch *w,
		       void (*told)(void *ctx, const struct outcome *out),
		       void *told_ctx);
	void *replay_ctx;
	uint32_t pid; /* of a trace, the process that it is about; 0: not given */
	const char *command; /* that was traced; NULL: not known */
	const char *path; /* where the format needs a file: its name */
};

struct export_format {
	const char *name;
	int (*state)(const struct export *x); /* or NULL, and then: */
	int (*story)(const struct export *x);
	bool binary; /* nothing for a terminal */
	bool file; /* it needs x->path, not a stream */
	bool waste; /* a state that tells of x->waste */
	bool one_process; /* a story of x->pid, not of all */
	bool copy; /* neither state nor story: the trace's files, by trace_ctf2() */
};

/* NULL: there is none of this name. */
const struct export_format *export_format(const char *name);
/* The i-th; NULL: there are no more. */
const struct export_format *export_format_at(size_t i);

/*
 * profile.proto, gzipped (go tool pprof, Pyroscope, Parca, speedscope). A sample
 * for each place that allocated, with the label pid. Its values: live chunks and
 * bytes; all allocations and bytes asked for, where each had its stack recorded
 * (what had none is a sample of its own, so that the sums are those of the
 * report); and of a live process what x->waste tells of its pages.
 */
int export_pprof(const struct export *x);
/* The gauges and counters of all processes that live (openmetrics.h). */
int export_openmetrics(const struct export *x);
/* Live bytes by stack, as output_folded(). */
int export_folded(const struct export *x);

/*
 * Perfetto's trace, for ui.perfetto.dev and trace_processor: tracks for VMAs and
 * threads, counters, and arrows from a call of malloc to what the kernel did.
 */
int export_perfetto(const struct export *x);
/* A database of its own at x->path, its tables and views documented in it. */
int export_sqlite(const struct export *x);
/* heaptrack's data, for heaptrack_print and heaptrack_gui: of one process. */
int export_heaptrack(const struct export *x);
/* One line an event; the first names the columns. */
int export_csv(const struct export *x);

#endif
