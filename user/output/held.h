/* SPDX-License-Identifier: GPL-2.0 */
/* Answers that need both books: the model's, and malloc's own. */
#ifndef OUTPUT_HELD_H
#define OUTPUT_HELD_H

#include "model/ptmalloc.h"
#include "output/output.h"

struct look_view {
	const struct output *o;
	const struct space *s;
	const struct pt_book
		*book; /* read while the process ran, or stood still */
	bool opaque; /* another allocator: the book is empty (rss only) */
	bool stopped;
	const struct pt_thread_at
		*at; /* where its threads stood: then alone known */
	size_t nr_at;
	const char *incomplete; /* NULL: nothing is */
	uint64_t rss; /* the kernel's own figure at that moment, bytes */
	int64_t page_tables; /* bytes; -1: not known */
	bool khugepaged; /* may make resident what goes back (held only) */
	/* Resident bytes of whole pages; -errno: cannot be told. */
	int64_t (*resident)(void *ctx, uint64_t lo, uint64_t hi);
	/* PAGE_IS_* of the page at addr (model/page.h); -errno: cannot be told. */
	int (*page)(void *ctx, uint64_t addr);
	void *ctx;
};

/* Why free memory does not go back: what pins it. 0 or -errno. */
int output_held(const struct look_view *v);
/*
 * The same of a trace, by live chunks alone, so at most. -ENODATA: there are no
 * allocator events.
 */
int output_held_trace(const struct output *o, const struct space *s);
/*
 * Calls pin(ctx, addr, bytes) for each pin that output_held() names: the address that
 * malloc returned, and what goes back when it is freed after those before it. The sum
 * is that of (the last pin's `back` - trim_now) of all arenas. 0 or -errno.
 */
int held_pins(const struct look_view *v,
	      void (*pin)(void *ctx, uint64_t addr, int64_t bytes), void *ctx);
/*
 * What goes back when these chunks in use (indices in the book, ascending) are freed,
 * past the threads' caches, and malloc_trim(0) is called: bytes. 0 or -errno.
 */
int held_if_freed(const struct look_view *v, const size_t *chunks, size_t nr,
		  uint64_t *back);
/* What the arenas are, who uses them, what of them is resident. */
int output_arenas(const struct look_view *v);
/* What resident memory consists of, to the last page. */
int output_rss(const struct look_view *v);

#endif
