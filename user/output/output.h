/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Views of a model, as text for people or as JSON. All print to a stdio stream
 * that the caller owns, and return 0 or -errno (of the stream: -ENOSPC ...;
 * -ESRCH, with nothing printed, when the address space is NULL).
 * What is not known is printed as "?" (JSON: null), never as 0.
 */
#ifndef OUTPUT_OUTPUT_H
#define OUTPUT_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "model/model.h"
#include "model/page.h"
#include "model/ptmalloc.h"
#include "output/symbol.h"

/*
 * The model of a trace whose front was not kept, as the trace begins: everything
 * older than ts is in it.
 */
struct output_beginning {
	uint64_t ts; /* 0: nothing is missing */
	uint64_t spaces, vmas, chunks, bytes; /* that were alive */
};
struct output_beginning output_beginning(const struct model *m, uint64_t ts);

struct output {
	FILE *f;
	bool json;
	const struct model *model;
	struct symbols *symbols; /* may be NULL: addresses stay numbers */
	uint64_t now; /* CLOCK_MONOTONIC ns: ages are relative to it */
	uint64_t start; /* of the watch: times are printed relative to it */
	uint64_t stack_bytes; /* stacks: 0: none, 1: of all allocations, N: of one in N bytes */
	const char *alloc; /* allocator source: "shim", "uprobe", "none" */
	struct output_beginning begins;
};

/* /proc/PID/maps, annotated, of one address space; totals and "unknown" close it. */
int output_maps(const struct output *o, const struct space *s);
/* Wholesale and retail of all address spaces (or one, `only` not NULL). */
int output_report(const struct output *o, const struct space *only);
/* What was allocated by which stack, the most first; folded: for flame graphs. */
enum stack_order { STACKS_LIVE, STACKS_BYTES, STACKS_ALLOCS };
/* "live", "bytes", "allocs": 0, or -EINVAL. */
int stack_order_parse(const char *name, enum stack_order *by);
int output_stacks(const struct output *o, const struct space *only,
		  enum stack_order by);
int output_folded(const struct output *o, const struct space *only,
		  enum stack_order by);
/* What the process itself said of an address, when it still runs. */
struct why_look {
	const struct page_look *page; /* NULL: not mapped, or not to be read */
	const struct pt_book *book; /* malloc's own; NULL: not asked, or none */
};
/*
 * address -> chunk -> VMA -> the event that created it -> page. `l` may be NULL: of
 * a trace.
 */
int output_why(const struct output *o, const struct space *s, uint64_t addr,
	       const struct why_look *l);
/*
 * "7f00c0de", or, with `bytes` or blanks or commas between them, 4 or 8 bytes as a
 * dump of memory shows them: "d0 cf ae 30 00 00 00 00". 0, or -EINVAL.
 */
int address_parse(const char *text, bool bytes, uint64_t *addr);
/*
 * One of the array of list --json (output/list.c), in one line; what it costs does
 * not depend on what was allocated. o->json is not asked for: there is no text.
 */
int output_list_entry(const struct output *o, const struct space *s);
/* The line before the first of a trace whose front was not kept. */
int output_begin(const struct output *o);
/* One line for one applied event, in strace's spirit. */
int output_event(const struct output *o, const struct outcome *out);

#endif
