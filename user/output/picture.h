/* SPDX-License-Identifier: GPL-2.0 */
/* Pictures to be opened anywhere: a web page in one file, and an SVG. */
#ifndef OUTPUT_PICTURE_H
#define OUTPUT_PICTURE_H

#include "output/history.h"
#include "output/output.h"

/*
 * Address space, heap and (`h` not NULL) time, of `only` or of the first processes
 * of the model, each as its last program has it.
 */
int output_page(const struct output *o, const struct history *h,
		const struct space *only);
int output_svg(const struct output *o, const struct space *s);

#endif
