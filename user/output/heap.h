/* SPDX-License-Identifier: GPL-2.0 */
/* Views of ptmalloc's own book-keeping (model/ptmalloc.h). */
#ifndef OUTPUT_HEAP_H
#define OUTPUT_HEAP_H

#include <stdbool.h>
#include <stdio.h>

#include "model/ptmalloc.h"

struct heap_view {
	FILE *f;
	bool json;
	bool bins; /* each list that has members */
	bool chunks; /* each of them */
	uint32_t pid;
	const char *comm;
	const struct pt_book *book;
	uint64_t took; /* ns, the reading */
	bool stopped; /* the process stood still meanwhile */
	const char *incomplete; /* NULL: nothing is */
};

/* Arenas, thresholds, lists; 0 or -errno. */
int output_heap(const struct heap_view *v);

/* The threads of an arena, "12 13"; "?" when it counts more than were found. malloc'ed. */
char *heap_threads(const struct pt_book *b, uint32_t arena);

#endif
