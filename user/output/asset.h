/* SPDX-License-Identifier: GPL-2.0 */
/* The files of user/output/html, which are linked in as they are. */
#ifndef OUTPUT_ASSET_H
#define OUTPUT_ASSET_H

#include <stdio.h>

enum asset {
	ASSET_STRIP_CSS,
	ASSET_PAGE_CSS,
	ASSET_PAGE_HTML, /* what is between the head and the data */
	ASSET_PAGE_JS,
	ASSET_HEAP_JS,
	ASSET_TIME_JS,
	ASSET_UPLOT_CSS,
	ASSET_UPLOT_JS,
	ASSET_UPLOT_LICENSE,
	ASSETS,
};

void asset_put(FILE *f, enum asset a);

#endif
