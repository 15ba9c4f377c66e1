/* SPDX-License-Identifier: GPL-2.0 */
/* Page faults and first touches (model/touch.h), for those who print them. */
#ifndef OUTPUT_TOUCH_H
#define OUTPUT_TOUCH_H

#include "output/text.h"

/* "fault: write of 0x7f... at memset+0x12 (libc.so.6): first touch of its page, +8 in malloc(400) ..." */
void put_fault(const struct output *o, const struct outcome *out);
void json_fault(const struct output *o, const struct outcome *out, json_t *j);

/* "first touched ..." of the page of addr, a line; c: the chunk there, or NULL. */
void put_touch(const struct output *o, const struct space *s, uint64_t addr,
	       const struct chunk *c);
/*
 * null: no page fault told of it, or { ts, tid, by (a caller), access (read, write,
 * execute), syscall (null: the program itself), after (ns since the chunk was
 * allocated; null: none there, or it was allocated later, or before the watch) }
 */
json_t *json_touch(const struct output *o, const struct space *s, uint64_t addr,
		   const struct chunk *c);

/* A section of report; nothing when faults were not recorded. 0 or -ENOMEM. */
int print_touches(const struct output *o, const struct space *s);
/*
 * null: not recorded, or { faults, present, unmapped, first, in_chunks, in_kernel,
 * sites: [ caller, stack, touches, in_kernel, delay (mean, ns; null: not known),
 * longest ], most touches first; without `callers` none }; of a huge page only the
 * first touch of all can be known
 */
json_t *json_touches(const struct output *o, const struct space *s,
		     bool callers);

#endif
