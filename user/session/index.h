/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The time index of a trace: checkpoints, each the whole model as it was before
 * the first event of a ts, and where each stream goes on from there. A replay
 * leaves them behind in a directory `.index` of the trace (which readers of CTF
 * do not look into), and one that wants a certain moment begins at the last one
 * before it. It is a cache of this very program: what does not fit, is damaged or
 * cannot be written is as if it were not there, and it may be deleted.
 */
#ifndef SESSION_INDEX_H
#define SESSION_INDEX_H

#include "model/model.h"
#include "trace/trace.h"

struct index_stream {
	uint32_t kind, number;
	uint32_t ended; /* nothing more is to be read from it */
	uint32_t unused;
	struct trace_place place; /* of the packet with the next event */
};

struct index_head {
	uint64_t ts; /* all older events are in the model */
	uint64_t applied, first, last; /* see order_resume() */
	uint64_t nonsense;
};

/* 0 or -errno. `streams` are all of the trace's, in its order. */
int index_write(int dirfd, const struct trace_reader *t,
		const struct index_head *h, const struct index_stream *streams,
		const struct model *m);
/*
 * The last checkpoint with a ts <= the given one that can be used: its model, and
 * one index_stream for each of the trace's in *streams (malloc'ed); or NULL.
 */
struct model *index_read(int dirfd, const struct trace_reader *t, uint64_t ts,
			 struct index_head *h, struct index_stream **streams);

/*
 * The same as bytes, of which a trace is the beginning whose front was thrown away
 * (trace_cut()): it goes on with the first packet of each stream. The head's ts is
 * that of the last event that is in the model, nearly: each thread's are in order. *bytes is malloc'ed. 0, -EBUSY (see
 * model_save()), -ENOMEM.
 */
int index_begin(const uint8_t uuid[16], const struct index_head *h,
		const struct model *m, void **bytes, size_t *len);
/* NULL: *why says what is wrong with them; a malloc'ed sentence. */
struct model *index_begun(const struct trace_reader *t, const void *bytes,
			  size_t len, struct index_head *h, char **why);

#endif
