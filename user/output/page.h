/* SPDX-License-Identifier: GPL-2.0 */
/* One page, in words and in JSON. */
#ifndef OUTPUT_PAGE_H
#define OUTPUT_PAGE_H

#include <jansson.h>
#include <stdio.h>

#include "model/page.h"

/* Two to four lines of `why`. */
void put_page(FILE *f, const struct page_look *p);
/*
 * { addr, state (none: never touched, or given back, or of a file and not mapped;
 *   present; zero: only read; swapped; marked: migrating, poisoned, a guard),
 *   file (of a file or shared memory), alone (nobody else maps it), soft_dirty, huge,
 *   frame, swap: { type, offset }, flags: [ names ], mapped (times),
 *   shared: null (not looked for), or { users, with: [ first of them: pid, comm, addr,
 *     here (is this frame mapped there now?) ], not_seen (processes that could not be
 *     looked at) } }: null is what is not known, not permitted, or does not apply
 */
json_t *json_page(const struct page_look *p);

#endif
