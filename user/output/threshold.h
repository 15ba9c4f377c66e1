/* SPDX-License-Identifier: GPL-2.0 */
/* Why large chunks are on the heap, or are not, and what it costs. */
#ifndef OUTPUT_THRESHOLD_H
#define OUTPUT_THRESHOLD_H

#include "model/ptmalloc.h"
#include "model/score.h"
#include "output/output.h"

/* What the recorded calls asked of the kernel, made once more. */
struct rehearsed {
	uint64_t brk, mmap, munmap, mremap, mprotect; /* calls */
	uint64_t fresh_pages; /* that these gave it: 4 KiB each */
	uint64_t chunks,
		elsewhere; /* and how many lay not where they had been */
};

struct what_if {
	const char *setting; /* "glibc.malloc.top_pad=1048576" */
	struct rehearsed n;
};

struct threshold_view {
	const struct output *o;
	const struct space *s;
	const struct threshold *t; /* NULL: not known, because ... */
	const char *no_history;
	/* The first one as it was, the others with one setting each; 0: none, because ... */
	const struct what_if *plays;
	size_t nr_plays;
	const char *no_plays;
	const char *libc; /* that played: "2.36" */
	const struct pt_par
		*now; /* by the process's own malloc_par; NULL: not read */
};

/* Are the counts of the first play those that were recorded? */
bool threshold_exact(const struct threshold_view *v);
/* 0 or -errno. */
int output_threshold(const struct threshold_view *v);

#endif
