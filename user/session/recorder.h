/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A trace that keeps only its end: the last so many bytes, or seconds, in its
 * directory or, of a flight recorder, in memory until somebody wants to see them.
 *
 * Nobody could make sense of such an end alone: frees of chunks that nobody
 * allocated, changes of VMAs that nobody mapped. So it is a row of segments
 * (trace/store.h), and each one begins with the whole model as bytes
 * (session/index.h), which is what all older segments have led to: then a replay of
 * what is left gives the answers that one of everything would.
 *
 * The model is always a little behind what the trace was told, for events wait for
 * each other (model/order.h). So a segment is begun first, and its state is the
 * model at the next moment at which every event that the segments before it hold
 * has been applied; the replay leaves out what of the segment is older than that.
 */
#ifndef SESSION_RECORDER_H
#define SESSION_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/order.h"
#include "trace/trace.h"

struct recorder {
	struct trace_writer *trace; /* NULL: nothing is to be done */
	struct order *order;
	const struct model *model;
	bool waits; /* the newest segment has no state yet */
	uint64_t newest; /* what the segments before it hold is not later */
	uint64_t noted; /* notes told before this round are not later */
	uint64_t retry; /* not before this ts: the last one could not be kept */
	int error; /* why, an errno; 0: all went well */
};

/*
 * Once a round, when the order has run up to horizon and no note of this round has
 * been told. quiet: nothing came.
 */
void recorder_round(struct recorder *r, uint64_t horizon, bool quiet);

/* What makes a flight recorder give away what it has, each one once. */
enum trigger_what { TRIGGER_RSS, TRIGGER_VMAS };
struct trigger {
	enum trigger_what what;
	uint64_t above; /* bytes, VMAs */
	bool fired;
};
#define TRIGGERS_MAX 8
struct triggers {
	struct trigger v[TRIGGERS_MAX];
	size_t nr;
};
/* "rss>SIZE" or "vmas>N". False: it is none, or there are too many. */
bool trigger_parse(struct triggers *t, const char *text);
/* The trigger that this is the first time too much for, or NULL. */
const struct trigger *trigger_pull(struct triggers *t, enum trigger_what what,
				   uint64_t value);

/* "100", "64K", "2M", "1G" to bytes; 0: it is no such number. */
uint64_t parse_size(const char *text);

#endif
