/* SPDX-License-Identifier: GPL-2.0 */
/* The heap page by page, and chunk by chunk, for a picture. */
#ifndef OUTPUT_CELLS_H
#define OUTPUT_CELLS_H

#include <jansson.h>

#include "output/output.h"

/*
 * null without allocator events, else (bytes; addresses are strings):
 *   regions: [ start, end, kind, live, chunks (their number),
 *     cell (bytes: a page or more), cells: [ live bytes in each ],
 *     from (the chunks told of are those from this address on; null: none),
 *     told: [ four numbers a chunk: address (the first one: from `from`, the others from
 *       the one before), size, index in makers, age of the watch when it was
 *       made, us ],
 *     pins: [ { addr, size, maker, above, below } ] of a brk heap or an arena: its uppermost
 *       chunks, top first, with the bytes that are not live above and below ]
 *   makers: [ { op, caller, tid } ]
 *   mapped: { regions, live, chunks } of chunks with a mapping of their own
 *   more: the same of all the rest: there are too many regions, or the VMAs that
 *     chunks lie in are not known
 */
json_t *cells_json(const struct output *o, const struct space *s);

#endif
