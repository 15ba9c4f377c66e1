/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How address spaces came to be what they are: their sizes over time, and what
 * the kernel did when, in few points, however long it took.
 *
 * Time is cut into slots of equal length, which doubles whenever there would be
 * too many, or looking at tens of thousands of VMAs at the end of each takes too long. A slot has the state at its end, exactly, and the sum of what
 * happened in it, with the causes of the largest changes. Slots in which nothing
 * changed are left out: the state before them holds on.
 */
#ifndef OUTPUT_HISTORY_H
#define OUTPUT_HISTORY_H

#include <jansson.h>

#include "output/output.h"

struct history;

/* From ts `start` on, of all spaces of the model, which must outlive it. NULL: no memory. */
struct history *history_new(const struct model *m, uint64_t start);
void history_free(struct history *h); /* NULL is allowed */

/* Hears every event but allocator calls, after it was applied. `h`: the history. */
void history_told(void *h, const struct outcome *out);
/* Before an event of a new ts is applied (order_on_advance()): 0. */
uint64_t history_advance(void *h, uint64_t ts);
/* All has been applied, up to ts. 0, or -ENOMEM when something is missing. */
int history_end(struct history *h, uint64_t ts);

/*
 * Of one space; times are ns from `start`, sizes bytes:
 *   slot: the length of one
 *   t: [ end of each slot that is told of ]
 *   live: [ ... ] (null: no allocator events); size: { held (the allocator's
 *     memory, live or not), stack, file ...: [ ... ] } of VMAs by term, without
 *     reserve; reserve: [ ... ]
 *   peak: null, or { at (end of its slot), bytes }: the most that ever was live
 *   resident: { t, live, held, stack, ... : [ ... ] }, each time it was sampled
 *   events: null (no module), or [ { t (start of the slot), n: { brk, mmap, munmap, mprotect,
 *     mremap, other }, mapped, unmapped, changed, top: [ { t, tid, what, call,
 *     mapped, unmapped, changed } ] (the largest) } ]
 */
json_t *history_json(const struct history *h, const struct output *o,
		     const struct space *s);

#endif
