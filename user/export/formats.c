// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "export/export.h"

int export_folded(const struct export *x)
{
	return output_folded(x->o, x->only, STACKS_LIVE);
}

static const struct export_format formats[] = {
	{ .name = "pprof",
	  .state = export_pprof,
	  .binary = true,
	  .waste = true },
	{ .name = "openmetrics", .state = export_openmetrics },
	{ .name = "perfetto", .story = export_perfetto, .binary = true },
	{ .name = "sqlite", .story = export_sqlite, .file = true },
	{ .name = "heaptrack", .story = export_heaptrack, .one_process = true },
	{ .name = "csv", .story = export_csv },
	{ .name = "ctf2", .copy = true },
	{ .name = "folded", .state = export_folded },
};
#define NR_FORMATS (sizeof(formats) / sizeof(formats[0]))

const struct export_format *export_format_at(size_t i)
{
	return i < NR_FORMATS ? &formats[i] : NULL;
}

const struct export_format *export_format(const char *name)
{
	for (size_t i = 0; i < NR_FORMATS; i++)
		if (!strcmp(name, formats[i].name))
			return &formats[i];
	return NULL;
}
