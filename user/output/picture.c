// SPDX-License-Identifier: GPL-2.0
/*
 * The page is one file that asks nobody for anything: styles, scripts and data
 * are in it.
 *
 *   html/page.html    what there is before any script has run; the strips, drawn
 *                     here, go in its middle
 *   <script id=data>  what the scripts show, as JSON:
 *     start, now, alloc, left_out (processes that are not shown),
 *     processes: [ pid, comm, died, vmas_sampled, from_start, sampled_at (ns from start),
 *       report (`report --json`, spaces), totals (`maps --json`), parts (strip.h),
 *       heap (cells.h), time (history.h; null: not known) ]
 *     A number that JavaScript could not hold exactly is a string.
 *   scripts           uPlot, and ours (html/)
 *
 * Names come from the target, which may be hostile: in the JSON no "<" is left,
 * and the scripts never make markup of a string.
 */
#include "output/picture.h"

#include <errno.h>
#include <string.h>

#include "output/asset.h"
#include "output/cells.h"
#include "output/strip.h"
#include "output/text.h"

#define PROCESSES 16
#define CALLERS 50 /* of report's */
#define EXACT (1ll << 53) /* integers that a double holds */

/* --- data */

/* Numbers that are too large for JavaScript become strings. */
static json_t *exact(json_t *j)
{
	const char *key;
	json_t *value;
	size_t i;
	void *tmp;

	json_object_foreach_safe(j, tmp, key, value)
		json_object_set_new(j, key, exact(json_incref(value)));
	for (i = 0; i < json_array_size(j); i++)
		json_array_set_new(j, i,
				   exact(json_incref(json_array_get(j, i))));
	if (!json_is_integer(j) ||
	    (json_integer_value(j) <= EXACT && json_integer_value(j) >= -EXACT))
		return j;
	value = json_sprintf("%lld", (long long)json_integer_value(j));
	json_decref(j);
	return value;
}

/* In a script element "<" could end it. */
static int put_safe(const char *buf, size_t len, void *ctx)
{
	FILE *f = ctx;

	for (size_t i = 0; i < len; i++)
		if (buf[i] == '<')
			fputs("\\u003c", f);
		else
			fputc(buf[i], f);
	return ferror(f) ? -1 : 0;
}

static json_t *json_report(const struct output *o, const struct space *s)
{
	json_t *j = json_books(o, s, true),
	       *callers = json_object_get(j, "callers");

	while (json_array_size(callers) > CALLERS)
		json_array_remove(callers, json_array_size(callers) - 1);
	return j;
}

static json_t *json_process(const struct output *o, const struct history *h,
			    const struct space *s, const struct strip *st)
{
	json_t *j = json_object();

	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "died",
			    s->died ? json_u64(s->died - o->start) :
				      json_null());
	json_object_set_new(j, "vmas_sampled", json_boolean(s->vmas_sampled));
	json_object_set_new(j, "from_start",
			    json_boolean(s->chunks_known_from_start));
	json_object_set_new(j, "sampled_at",
			    s->sampled_at > o->start ?
				    json_u64(s->sampled_at - o->start) :
				    json_null());
	json_object_set_new(j, "report", json_report(o, s));
	json_object_set_new(j, "totals", json_totals(s));
	json_object_set_new(j, "parts", strip_json(st));
	json_object_set_new(j, "heap", cells_json(o, s));
	json_object_set_new(j, "time", h ? history_json(h, o, s) : json_null());
	return j;
}

static int put_data(const struct output *o, json_t *processes, size_t left_out)
{
	json_t *j = json_pack("{s:o, s:o, s:s, s:o, s:o}", "start",
			      json_u64(o->start), "now", json_u64(o->now),
			      "alloc", o->alloc, "left_out", json_u64(left_out),
			      "processes", processes);
	int err;

	if (!j)
		return -ENOMEM;
	j = exact(j);
	fputs("<script type=\"application/json\" id=\"data\">", o->f);
	err = json_dump_callback(j, put_safe, o->f, JSON_COMPACT);
	fputs("</script>\n", o->f);
	json_decref(j);
	return err ? -EIO : 0;
}

/* --- page */

static void put_head(FILE *f)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<title>vmaheap</title>\n<style>\n",
	      f);
	asset_put(f, ASSET_UPLOT_CSS);
	asset_put(f, ASSET_STRIP_CSS);
	asset_put(f, ASSET_PAGE_CSS);
	fputs("</style>\n</head>\n<body>\n", f);
}

static void put_scripts(FILE *f)
{
	fputs("<script>\n/*\nuPlot:\n", f);
	asset_put(f, ASSET_UPLOT_LICENSE);
	fputs("*/\n", f);
	asset_put(f, ASSET_UPLOT_JS);
	fputs("</script>\n<script>\n\"use strict\";\n", f);
	asset_put(f, ASSET_PAGE_JS);
	asset_put(f, ASSET_HEAP_JS);
	asset_put(f, ASSET_TIME_JS);
	fputs("start();\n</script>\n</body>\n</html>\n", f);
}

/* One process: its strip goes to the page, its data to the list. */
static int add_process(const struct output *o, const struct history *h,
		       const struct space *s, json_t *list)
{
	struct strip *st = strip_new(o, s);

	if (!st)
		return -ENOMEM;
	fprintf(o->f, "<div class=\"strip-of\" data-process=\"%zu\">\n",
		json_array_size(list));
	strip_svg(st, true);
	fputs("</div>\n", o->f);
	json_array_append_new(list, json_process(o, h, s, st));
	strip_free(st);
	return 0;
}

static bool is_shown(const struct output *o, const struct space *only,
		     const struct space *s)
{
	return only ? s == only : s == model_process(o->model, s->owner);
}

static int add_processes(const struct output *o, const struct history *h,
			 const struct space *only, json_t *list,
			 size_t *left_out)
{
	int err = 0;

	for (size_t i = 0; !err && i < model_spaces(o->model); i++) {
		const struct space *s = model_space_at(o->model, i);

		if (!is_shown(o, only, s))
			continue;
		if (json_array_size(list) < PROCESSES)
			err = add_process(o, h, s, list);
		else
			++*left_out;
	}
	return err;
}

int output_page(const struct output *o, const struct history *h,
		const struct space *only)
{
	json_t *list = json_array();
	size_t left_out = 0;
	int err;

	put_head(o->f);
	asset_put(o->f, ASSET_PAGE_HTML);
	fputs("<svg class=\"strip patterns\" aria-hidden=\"true\">", o->f);
	strip_patterns(o->f);
	fputs("</svg>\n", o->f);
	err = add_processes(o, h, only, list, &left_out);
	if (!err)
		err = put_data(o, list, left_out);
	else
		json_decref(list);
	put_scripts(o->f);
	return err ? err : output_status(o->f);
}

int output_svg(const struct output *o, const struct space *s)
{
	struct strip *st;

	if (!s)
		return -ESRCH;
	st = strip_new(o, s);
	if (!st)
		return -ENOMEM;
	strip_svg(st, false);
	strip_free(st);
	return output_status(o->f);
}
