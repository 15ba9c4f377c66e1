// SPDX-License-Identifier: GPL-2.0
#include "output/asset.h"

/* A file, and a NUL behind it. */
#define FILE_AS(name, path)                                             \
	extern const char name[] __attribute__((visibility("hidden"))); \
	__asm__(".pushsection .rodata\n" #name ":\n"                    \
		".incbin \"user/output/html/" path "\"\n.byte 0\n"      \
		".popsection\n")

FILE_AS(asset_strip_css, "strip.css");
FILE_AS(asset_page_css, "page.css");
FILE_AS(asset_page_html, "page.html");
FILE_AS(asset_page_js, "page.js");
FILE_AS(asset_heap_js, "heap.js");
FILE_AS(asset_time_js, "time.js");
FILE_AS(asset_uplot_css, "uPlot.min.css");
FILE_AS(asset_uplot_js, "uPlot.iife.min.js");
FILE_AS(asset_uplot_license, "uPlot.LICENSE");

static const char *const assets[ASSETS] = {
	[ASSET_STRIP_CSS] = asset_strip_css,
	[ASSET_PAGE_CSS] = asset_page_css,
	[ASSET_PAGE_HTML] = asset_page_html,
	[ASSET_PAGE_JS] = asset_page_js,
	[ASSET_HEAP_JS] = asset_heap_js,
	[ASSET_TIME_JS] = asset_time_js,
	[ASSET_UPLOT_CSS] = asset_uplot_css,
	[ASSET_UPLOT_JS] = asset_uplot_js,
	[ASSET_UPLOT_LICENSE] = asset_uplot_license,
};

void asset_put(FILE *f, enum asset a)
{
	fputs(assets[a], f);
}
