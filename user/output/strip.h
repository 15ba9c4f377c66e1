/* SPDX-License-Identifier: GPL-2.0 */
/* The address space as one strip, the way textbooks draw it. */
#ifndef OUTPUT_STRIP_H
#define OUTPUT_STRIP_H

#include <jansson.h>

#include "output/output.h"

struct strip;

/* NULL: no memory. It looks at the space again, which must stay as it is. */
struct strip *strip_new(const struct output *o, const struct space *s);
void strip_free(struct strip *st); /* NULL is allowed */
/* <defs> of what all strips of a page are hatched with. */
void strip_patterns(FILE *f);
/*
 * As SVG to o->f: with its own colours, patterns and a title, or (`inner`) as a part of
 * a page that brings them.
 */
void strip_svg(const struct strip *st, bool inner);
/*
 * What the parts of the picture are, in address order: an element with
 * data-part="N" belongs to the N-th. One VMA: as `maps --json` has it; several
 * that were folded, because there are too many: { start, end, vmas, kind (of the
 * largest), size, resident (null: not all sampled), live }.
 */
json_t *strip_json(const struct strip *st);

#endif
