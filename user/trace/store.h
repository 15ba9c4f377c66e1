/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the packets of a trace go: into the files of a directory, or into memory
 * until somebody wants them in a directory (a flight recorder).
 *
 * A trace that may only become so long is a row of segments. Each one but the
 * first begins with the state that the segments before it have led to, so that
 * those can be thrown away whole:
 *
 *   | segment 4 ......... | segment 5 ......... | segment 6 ...
 *   | .state.4  packets   | .state.5  packets   | .state.6  packets
 *     ^ a reader begins here
 *
 * In the directory a stream is one file in each segment that has packets of it:
 * `kernel` in segment 0, `kernel.5` in segment 5. What the others refer to
 * (`tables`) is in no segment and stays. Whoever reads begins at the lowest
 * segment that has a state and takes nothing of those before it, which are being
 * deleted. `.state.0` is empty, for nothing was before it. What is kept of other
 * files (`.symbols.BUILD-ID`) stays, too. Readers of CTF do not look into files whose
 * names begin with a dot.
 */
#ifndef TRACE_STORE_H
#define TRACE_STORE_H

#include "trace/trace.h"

/* Streams by number: these, and from STORE_ALLOC on those of allocator events. */
enum { STORE_KERNEL, STORE_NOTES, STORE_TABLES, STORE_ALLOC };

#define STORE_NAME 48
/* The name of a stream's file in a segment. */
void store_name(char name[STORE_NAME], uint32_t stream, uint32_t segment);
/* The name of a segment's state. */
void store_state_name(char name[STORE_NAME], uint32_t segment);

struct store;

/* In the directory dirfd (becomes the store's), or, with -1, in memory. NULL: no memory. */
struct store *store_new(int dirfd, const struct trace_limits *limits);
void store_free(struct store *s);

/* A file of the directory that is no stream. 0 or -errno. */
int store_text(struct store *s, const char *name, const void *p, size_t len);
/*
 * The same of one that a store in memory has, too; nothing when there is one of that
 * name. -E2BIG: all of them would become more than STORE_KEPT_MAX bytes, or more than a
 * quarter of what the trace may become.
 */
#define STORE_KEPT_MAX (64u << 20)
int store_keep(struct store *s, const char *name, const void *p, size_t len);

/*
 * One packet of a stream, whole. 0 or -errno: then the stream is as it was. ts:
 * of its last event.
 */
int store_put(struct store *s, uint32_t stream, const void *p, size_t len,
	      uint64_t ts);
/* Bytes that are kept. */
uint64_t store_bytes(const struct store *s);

/* Is it time for a new segment, at ts, of which not everything may be put yet? */
bool store_cut_due(struct store *s, uint64_t ts);
/*
 * What is put from here on belongs to a new segment, and `state`, malloc'ed, becomes
 * the store's, is what all that was put until now leads to; ts: it is not older.
 * Throws away what is too much or too old. 0 or -errno: there is no new segment.
 */
int store_cut(struct store *s, void *state, size_t len, uint64_t ts);
/*
 * All that is kept in memory, into a store in a directory, the oldest first. 0 or
 * -errno: it is not whole.
 */
int store_copy(const struct store *s, struct store *to);

#endif
