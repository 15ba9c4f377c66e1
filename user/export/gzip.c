// SPDX-License-Identifier: GPL-2.0
#include <errno.h>

#include "export/gzip.h"

#define GZIP_WINDOW (15 + 16) /* zlib.h: 16 more means gzip's header */

void gzip_begin(struct gzip *g, FILE *f)
{
	*g = (struct gzip){ .f = f };
	if (deflateInit2(&g->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW,
			 8, Z_DEFAULT_STRATEGY) != Z_OK)
		g->err = -ENOMEM;
}

/* Until it takes no more, or, with Z_FINISH, has no more to give. */
static void run(struct gzip *g, int flush)
{
	unsigned char out[16384];
	size_t n;

	do {
		g->z.next_out = out;
		g->z.avail_out = sizeof(out);
		deflate(&g->z, flush);
		n = sizeof(out) - g->z.avail_out;
		errno = 0;
		if (fwrite(out, 1, n, g->f) != n)
			g->err = errno ? -errno : -EIO;
	} while (!g->err && !g->z.avail_out);
}

void gzip_write(struct gzip *g, const void *data, size_t bytes)
{
	if (g->err)
		return;
	g->z.next_in = (unsigned char *)data;
	g->z.avail_in = (unsigned int)bytes;
	run(g, Z_NO_FLUSH);
}

int gzip_end(struct gzip *g)
{
	if (!g->err)
		run(g, Z_FINISH);
	deflateEnd(&g->z);
	return g->err;
}
