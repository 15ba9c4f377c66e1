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
 * What the trace was told is what the model has, no more and no less: the sources
 * tell it of an event when that has been applied. (When it comes would not do. Events
 * wait for each other, and their stamps do not tell which are in the model: a thread
 * that is slow may tell of an old one late.)
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
	/* Tells the trace of all that has been applied. */
	void (*tell)(void *ctx);
	void *ctx;
	bool waits; /* the next segment begins as soon as nothing waits in the model */
	uint64_t failed; /* ts; the next try is later */
	int error; /* why, an errno; 0: all went well */
};

/* Once a round, when the order has run and all has been told. */
void recorder_round(struct recorder *r);

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
