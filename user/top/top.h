/* SPDX-License-Identifier: GPL-2.0 */
/*
 * `vmaheap top`: what the daemons tell, again and again.
 *
 *   daemons --answer--> rounds --JSON--> pages --sheet--> picture --> screen
 *                                                            (or lines: -b)
 *   keys --> top: which page, which row, in which order
 */
#ifndef TOP_TOP_H
#define TOP_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "session/client.h"

struct top_opts {
	uint32_t pid; /* 0: all processes */
	bool batch; /* lines instead of a screen */
	bool json; /* of these, one JSON text a look (output/list.c) */
	unsigned int count; /* of pictures; 0: no end */
	uint64_t ms; /* between two */
	const struct record_opts *attach; /* how, if nobody watches pid */
};

/* The exit status. */
int top_run(const struct top_opts *o);

#endif
