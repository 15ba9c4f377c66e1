/* SPDX-License-Identifier: GPL-2.0 */
/* gzip to a stdio stream that the caller owns. */
#ifndef EXPORT_GZIP_H
#define EXPORT_GZIP_H

#include <stdio.h>

#include <zlib.h>

struct gzip {
	FILE *f;
	z_stream z;
	int err; /* the first, -errno: nothing is written any more */
};

void gzip_begin(struct gzip *g, FILE *f);
void gzip_write(struct gzip *g, const void *data, size_t bytes);
int gzip_end(struct gzip *g); /* writes the rest, frees. 0 or -errno */

#endif
