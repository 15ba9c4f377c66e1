// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top/pages.h"

/* --- answers */

/* "totals.live" of an object; NULL when it is not there. */
static const json_t *at(const json_t *j, const char *path)
{
	char key[64];
	size_t n;

	while (j && *path) {
		n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		j = json_object_get(j, key);
		path += n + (path[n] == '.');
	}
	return j;
}

/* NAN: not known. */
static double number(const json_t *j, const char *path)
{
	const json_t *n = at(j, path);

	return json_is_number(n) ? json_number_value(n) : NAN;
}

static const char *string(const json_t *j, const char *path)
{
	const char *s = json_string_value(at(j, path));

	return s ? s : "?";
}

/* An address is a string. */
static uint64_t address(const json_t *j, const char *path)
{
	return strtoull(string(j, path), NULL, 16);
}

/* "7ffff7dd1000": as in /proc/PID/maps */
static const char *hex(const json_t *j, const char *path)
{
	const char *s = string(j, path);

	return strncmp(s, "0x", 2) ? s : s + 2;
}

const json_t *page_process(const json_t *list, uint64_t pid)
{
	const json_t *p;
	size_t i;

	json_array_foreach((json_t *)list, i, p)
		if (number(p, "pid") == (double)pid)
			return p;
	return NULL;
}

/* --- rates */

/* The same member of an array, by its name (null: page faults). */
static const json_t *namesake(const json_t *array, const json_t *of)
{
	const json_t *p, *name = json_object_get(of, "name");
	size_t i;

	json_array_foreach((json_t *)array, i, p)
		if (json_equal(json_object_get(p, "name"), name) &&
		    json_is_true(json_object_get(p, "compat")) ==
			    json_is_true(json_object_get(of, "compat")))
			return p;
	return NULL;
}

/* Seconds between two entries of one address space; NAN: there is no older one. */
static double seconds(const json_t *now, const json_t *old)
{
	double s;

	if (!old || number(now, "mm") != number(old, "mm"))
		return NAN;
	s = (number(now, "now") - number(old, "now")) / 1e9;
	return s > 0 ? s : NAN;
}

static double rate(const json_t *now, const json_t *old, const char *path)
{
	return (number(now, path) - number(old, path)) / seconds(now, old);
}

/* Of a member of an array of a process: what was not there has been 0. */
static double member_rate(const struct facts *f, const char *array,
			  const json_t *member, const char *key)
{
	const json_t *then = namesake(at(f->old_process, array), member);
	double old = then ? number(then, key) : 0;

	return (number(member, key) - old) /
	       seconds(f->process, f->old_process);
}

/* --- causes, as `maps` prints them */

static void put_call(FILE *f, const json_t *call)
{
	fprintf(f, "%s(", string(call, "op"));
	if (json_object_get(call, "addr"))
		fputs(string(call, "addr"), f);
	else
		fprintf(f, "%.0f", number(call, "size"));
	fputs(")", f);
	if (json_is_object(json_object_get(call, "caller")))
		fprintf(f, " from %s", string(call, "caller.symbol"));
}

static void put_cause(FILE *f, const json_t *cause)
{
	const json_t *call = json_object_get(cause, "call");

	if (json_is_object(json_object_get(cause, "syscall")))
		fputs(string(cause, "syscall.name"), f);
	else
		fputs(string(cause, "kind"), f);
	if (!json_is_object(call))
		return;
	fputs(" in ", f);
	put_call(f, call);
}

static char *cause_text(const json_t *cause)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	put_cause(f, cause);
	return fclose(f) ? NULL : text;
}

/* --- all processes */

static const struct column process_columns[] = {
	{ "PID", 'r', 'a', false },	 { "calls/s", 'r', 'd', false },
	{ "kernel/s", 'r', 'd', false }, { "live", 'r', 'd', false },
	{ "held", 'r', 'd', false },	 { "resident", 'r', 'd', false },
	{ "VMAs", 'r', 'd', false },	 { "source", 'l', 't', true },
	{ "command", 'l', 't', false },	 { NULL, 0, 0, false },
};

static void fill_processes(struct sheet *s, const struct facts *f)
{
	const json_t *p, *old;
	size_t i;

	json_array_foreach((json_t *)f->list, i, p) {
		double pid = number(p, "pid");

		old = page_process(f->old_list, (uint64_t)pid);
		sheet_row(s, (uint64_t)pid);
		sheet_number(s, pid, 0);
		sheet_number(s, rate(p, old, "calls.calls"), 0);
		sheet_number(s, rate(p, old, "kernel.events"), 0);
		sheet_kib(s, number(p, "live.bytes"));
		sheet_kib(s, number(p, "totals.held"));
		sheet_kib(s, number(p, "totals.resident"));
		sheet_number(s, number(p, "totals.vmas"), 0);
		sheet_text(s, "%s", string(p, "alloc"));
		sheet_text(s, "%s", string(p, "comm"));
	}
}

/* --- VMAs */

static const struct column vma_columns[] = {
	{ "start", 'r', 'a', false },  { "perm", 'l', 't', false },
	{ "size", 'r', 'd', false },   { "resident", 'r', 'd', false },
	{ "live", 'r', 'd', false },   { "live/size", 'r', 'd', false },
	{ "chunks", 'r', 'd', true },  { "kind", 'l', 't', false },
	{ "made by", 'l', 't', true }, { "name", 'l', 't', false },
	{ NULL, 0, 0, false },
};

static void note_vma(struct sheet *s, const struct facts *f, const json_t *v)
{
	const json_t *changed = json_object_get(v, "changed");
	double since = number(f->answer, "start");
	char *note = NULL;
	size_t len;
	FILE *n = open_memstream(&note, &len);

	if (!n)
		return;
	fprintf(n, "%s-%s %s: ", hex(v, "start"), hex(v, "end"),
		string(v, "name"));
	put_cause(n, json_object_get(v, "made"));
	if (number(v, "made.ts") >= since)
		fprintf(n, " at %.6f s", (number(v, "made.ts") - since) / 1e9);
	if (number(v, "parts") > 1)
		fprintf(n, " (1 of %.0f parts)", number(v, "parts"));
	if (json_is_object(changed)) {
		fputs("; last changed by ", n);
		put_cause(n, changed);
	}
	if (fclose(n))
		return;
	sheet_note(s, note);
}

static bool is_allocators(const char *kind)
{
	return !strcmp(kind, "heap") || !strcmp(kind, "arena") ||
	       !strcmp(kind, "mapped chunk") || !strcmp(kind, "pool");
}

/* Where chunks can be; elsewhere there is no number, known or not. */
static void cells_live(struct sheet *s, const json_t *v)
{
	double live = number(v, "live"), chunks = number(v, "chunks");

	if (!(chunks > 0) && !is_allocators(string(v, "kind"))) {
		sheet_value(s, 0, "-");
		sheet_value(s, 0, "-");
		sheet_value(s, 0, "-");
		return;
	}
	sheet_kib(s, live);
	sheet_number(s, 100 * live / number(v, "size"), 0);
	sheet_number(s, chunks, 0);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void fill_vmas(struct sheet *s, const struct facts *f)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(f->answer, "vmas"), i, v) {
		uint64_t start = address(v, "start");
		char *made = cause_text(json_object_get(v, "made"));

		sheet_row(s, start);
		sheet_value(s, (double)start, hex(v, "start"));
		sheet_text(s, "%s", string(v, "perms"));
		sheet_kib(s, number(v, "size"));
		sheet_kib(s, number(v, "resident"));
		cells_live(s, v);
		sheet_text(s, "%s", string(v, "kind"));
		sheet_text(s, "%s", made ? made : "?");
		sheet_text(s, "%s", base_name(string(v, "name")));
		note_vma(s, f, v);
		free(made);
	}
}

/* --- arenas */

static const struct column arena_columns[] = {
	{ "arena", 'r', 'a', false },
	{ "address", 'r', 'a', false },
	{ "threads", 'r', 'd', false },
	{ "live", 'r', 'd', false },
	{ "chunks", 'r', 'd', true },
	{ "free", 'r', 'd', false },
	{ "cached", 'r', 'd', false },
	{ "resident", 'r', 'd', false },
	{ "from kernel", 'r', 'd', false },
	{ "heaps", 'r', 'd', false },
	{ NULL, 0, 0, false },
};

static double sum_of(const json_t *array, const char *key)
{
	const json_t *p;
	double sum = 0;
	size_t i;

	json_array_foreach((json_t *)array, i, p)
		sum += number(p, key);
	return sum;
}

/* Who uses it, and who made it. */
static void note_arena(struct sheet *s, const json_t *a)
{
	const json_t *t, *heaps = json_object_get(a, "heaps");
	char *note = NULL;
	size_t len, i;
	FILE *n = open_memstream(&note, &len);

	if (!n)
		return;
	fputs("threads", n);
	json_array_foreach(json_object_get(a, "threads"), i, t)
		fprintf(n, " %.0f", json_number_value(t));
	if (json_is_object(at(json_array_get(heaps, 0), "made"))) {
		fputs("; made: ", n);
		put_cause(n, at(json_array_get(heaps, 0), "made"));
	}
	if (fclose(n))
		return;
	sheet_note(s, note);
}

static void fill_arenas(struct sheet *s, const struct facts *f)
{
	const json_t *a, *heaps;
	size_t i;

	json_array_foreach(json_object_get(f->answer, "arenas"), i, a) {
		heaps = json_object_get(a, "heaps");
		sheet_row(s, i);
		sheet_number(s, number(a, "arena"), 0);
		sheet_value(s, (double)address(a, "addr"), hex(a, "addr"));
		sheet_number(s, number(a, "attached"), 0);
		sheet_kib(s, number(a, "live.bytes"));
		sheet_number(s, number(a, "live.chunks"), 0);
		sheet_kib(s, number(a, "free"));
		sheet_kib(s, number(a, "cached"));
		sheet_kib(s, sum_of(heaps, "resident"));
		sheet_kib(s, number(a, "system_mem"));
		sheet_number(s, (double)json_array_size(heaps), 0);
		note_arena(s, a);
	}
}

/* --- calls: both books, side by side */

static const struct column call_columns[] = {
	{ "call", 'l', 't', false },	  { "per second", 'r', 'd', false },
	{ "calls", 'r', 'd', false },	  { "failed", 'r', 'd', false },
	{ "joined", 'r', 'd', false },	  { "got", 'r', 'd', false },
	{ "gave back", 'r', 'd', false }, { NULL, 0, 0, false },
};

static void fill_functions(struct sheet *s, const struct facts *f)
{
	const json_t *c;
	size_t i;

	json_array_foreach(at(f->process, "functions"), i, c) {
		sheet_row(s, i);
		sheet_text(s, "%s()", string(c, "name"));
		sheet_number(s, member_rate(f, "functions", c, "calls"), 0);
		sheet_number(s, number(c, "calls"), 0);
		sheet_number(s, number(c, "failed"), 0);
		sheet_number(s, number(c, "to_kernel"), 0);
		sheet_kib(s, number(c, "asked"));
		sheet_kib(s, number(c, "given_back"));
	}
}

/* Failed system calls are told with their reasons; here is how many. */
static double failed_syscalls(const json_t *process, const char *name)
{
	const json_t *c;
	double sum = 0;
	size_t i;

	json_array_foreach(at(process, "failed"), i, c)
		if (!strcmp(string(c, "syscall"), name))
			sum += number(c, "calls");
	return sum;
}

static void fill_syscalls(struct sheet *s, const struct facts *f)
{
	const json_t *c;
	size_t i;

	json_array_foreach(at(f->process, "syscalls"), i, c) {
		bool fault = json_is_null(json_object_get(c, "name"));
		const char *name = fault ? "page fault" : string(c, "name");

		sheet_row(s, 100 + i);
		sheet_text(s, "%s", name);
		sheet_number(s, member_rate(f, "syscalls", c, "events"), 0);
		sheet_number(s, number(c, "events"), 0);
		sheet_number(s, failed_syscalls(f->process, name), 0);
		sheet_number(s, number(c, "in_calls"), 0);
		sheet_kib(s, number(c, "mapped"));
		sheet_kib(s, number(c, "unmapped"));
	}
}

static void fill_calls(struct sheet *s, const struct facts *f)
{
	fill_functions(s, f);
	fill_syscalls(s, f);
}

/* --- callers */

static const struct column caller_columns[] = {
	{ "events", 'r', 'd', false }, { "calls", 'r', 'd', false },
	{ "mapped", 'r', 'd', false }, { "unmapped", 'r', 'd', false },
	{ "made RW", 'r', 'd', true }, { "in", 'l', 't', false },
	{ "from", 'l', 't', false },   { NULL, 0, 0, false },
};

static void fill_callers(struct sheet *s, const struct facts *f)
{
	const json_t *space = json_array_get(at(f->answer, "spaces"), 0), *c;
	size_t i;

	json_array_foreach(at(space, "callers"), i, c) {
		sheet_row(s, i);
		sheet_number(s, number(c, "events"), 0);
		sheet_number(s, number(c, "calls"), 0);
		sheet_kib(s, number(c, "mapped"));
		sheet_kib(s, number(c, "unmapped"));
		sheet_kib(s, number(c, "changed"));
		sheet_text(s, "%s()", string(c, "op"));
		sheet_text(s, "%s", string(c, "caller.symbol"));
	}
}

/* --- pins */

static const struct column pin_columns[] = {
	{ "arena", 'r', 'a', false },	     { "address", 'r', 'a', false },
	{ "bytes", 'r', 'd', false },	     { "state", 'l', 't', false },
	{ "free below", 'r', 'd', false },   { "back", 'r', 'd', false },
	{ "allocated by", 'l', 't', false }, { NULL, 0, 0, false },
};

static char *call_text(const json_t *call)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	if (json_is_object(call))
		put_call(f, call);
	else
		fputc('?', f);
	return fclose(f) ? NULL : text;
}

static void fill_pin(struct sheet *s, const json_t *arena, const json_t *pin,
		     size_t i)
{
	char *call = call_text(json_object_get(pin, "call"));

	sheet_row(s, (uint64_t)number(arena, "arena") << 32 | i);
	sheet_number(s, number(arena, "arena"), 0);
	sheet_value(s, (double)address(pin, "addr"), hex(pin, "addr"));
	sheet_number(s, number(pin, "size"), 0);
	sheet_text(s, "%s", string(pin, "state"));
	sheet_kib(s, number(pin, "free_below"));
	sheet_kib(s, number(pin, "back"));
	sheet_text(s, "%s", call ? call : "?");
	free(call);
}

static void fill_pins(struct sheet *s, const struct facts *f)
{
	const json_t *a, *p;
	size_t i, k;

	json_array_foreach(at(f->answer, "arenas"), i, a)
		json_array_foreach(at(a, "pins"), k, p)
			fill_pin(s, a, p, k);
}

const struct page pages[] = {
	{ .name = "processes",
	  .columns = process_columns,
	  .sort = 5,
	  .fill = fill_processes },
	{ .name = "VMAs",
	  .question = { "maps" },
	  .columns = vma_columns,
	  .sort = 3,
	  .fill = fill_vmas },
	{ .name = "arenas",
	  .question = { "why", "what=arena" },
	  .stops = true,
	  .columns = arena_columns,
	  .sort = 0,
	  .fill = fill_arenas },
	{ .name = "calls",
	  .columns = call_columns,
	  .sort = 2,
	  .fill = fill_calls },
	{ .name = "callers",
	  .question = { "report" },
	  .columns = caller_columns,
	  .sort = 0,
	  .fill = fill_callers },
	{ .name = "pins",
	  .question = { "why", "what=held" },
	  .stops = true,
	  .columns = pin_columns,
	  .sort = 4,
	  .fill = fill_pins },
	{ .name = NULL },
};

/* --- above the rows */

/* What maps calls it, and how the bar draws it. */
static const struct {
	const char *key;
	char fill;
} terms[] = {
	{ "live", '#' },    { "held", '=' },   { "file", '-' },
	{ "stack", '+' },   { "shared", '~' }, { "kernel", '.' },
	{ "vmaheap", ',' }, { "other", ':' },  { "unknown", '?' },
};
#define NR_TERMS (sizeof(terms) / sizeof(terms[0]))

static double term(const json_t *process, size_t i)
{
	char path[32];

	snprintf(path, sizeof(path), "totals.%s", terms[i].key);
	return number(process, path);
}

/* KiB, in four digits or so: then it is M or G, rounded. */
static void put_short(FILE *f, double bytes)
{
	double kib = bytes / 1024;

	if (isnan(bytes))
		fputc('?', f);
	else if (kib < 100000)
		fprintf(f, "%.0f", kib);
	else if (kib < 100000.0 * 1024)
		fprintf(f, "%.0fM", kib / 1024);
	else
		fprintf(f, "%.0fG", kib / (1024 * 1024));
}

/* In the line there is place for these, */
static bool is_named(size_t i)
{
	return i < 3 || i >= NR_TERMS - 2;
}

/* and for the sum of the others. */
static double rest(const json_t *process)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < NR_TERMS; i++)
		if (!is_named(i))
			sum += term(process, i);
	return sum;
}

char *page_terms(const json_t *process)
{
	bool split = !isnan(number(process, "totals.live"));
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs("resident ", f);
	put_short(f, number(process, "totals.resident"));
	if (!split) {
		fputs(": allocator ", f);
		put_short(f, number(process, "totals.allocator"));
	}
	for (i = split ? 0 : 2; i < NR_TERMS; i++) {
		if (!is_named(i))
			continue;
		fprintf(f, "%s %s ", i ? "," : ":", terms[i].key);
		put_short(f, term(process, i));
	}
	fputs(", rest ", f);
	put_short(f, rest(process));
	return fclose(f) ? NULL : text;
}

/* "kernel 12/s (brk 8, mmap 4)"; what is quiet is left out. */
static void put_rates(FILE *out, const struct facts *f, const char *what,
		      double all, const char *array, const char *key)
{
	const char *before = " (", *name;
	const json_t *c;
	size_t i;

	if (isnan(all)) {
		fprintf(out, "%s ?/s", what);
		return;
	}
	fprintf(out, "%s %.0f/s", what, all);
	json_array_foreach(at(f->process, array), i, c) {
		double n = member_rate(f, array, c, key);

		if (n < 0.5)
			continue;
		name = json_string_value(json_object_get(c, "name"));
		fprintf(out, "%s%s %.0f", before, name ? name : "page fault",
			n);
		before = ", ";
	}
	if (*before == ',')
		fputc(')', out);
}

char *page_rates(const struct facts *f)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	put_rates(out, f, "calls",
		  rate(f->process, f->old_process, "calls.calls"), "functions",
		  "calls");
	put_rates(out, f, "; kernel",
		  rate(f->process, f->old_process, "kernel.events"), "syscalls",
		  "events");
	return fclose(out) ? NULL : text;
}

static char *remark_pins(const json_t *answer)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs("malloc_trim(0) returns ", f);
	put_short(f, number(answer, "trim_now"));
	fputs(", with these freed ", f);
	put_short(f, number(answer, "back"));
	return fclose(f) ? NULL : text;
}

char *page_remark(const struct page *p, const struct facts *f)
{
	const json_t *space = json_array_get(at(f->answer, "spaces"), 0);

	if (p->fill == fill_pins && f->answer)
		return remark_pins(f->answer);
	if (p->fill == fill_callers && json_is_null(at(space, "callers")))
		return strdup(
			"no module: who made the kernel act is not known");
	return NULL;
}

/* Of `width` cells those up to `upto` of `whole`. */
static size_t cells(double upto, double whole, size_t width)
{
	size_t n = (size_t)(upto * (double)width / whole + 0.5);

	return n < width ? n : width;
}

/* Cells [from, to) are of this term: its name, if there is room, and its fill. */
static void segment(struct bar *b, size_t from, size_t to, const char *name,
		    char fill, size_t i)
{
	size_t len = strlen(name);

	if (to <= from)
		return;
	memset(b->text + from, fill, to - from);
	memset(b->term + from, (char)('a' + i), to - from);
	if (len < to - from)
		memcpy(b->text + from, name, len);
}

bool page_bar(const json_t *process, size_t width, struct bar *b)
{
	double whole = number(process, "totals.resident"), upto = 0;
	bool split = !isnan(number(process, "totals.live"));
	size_t i, from = 0, to;

	*b = (struct bar){ calloc(1, width + 1), calloc(1, width + 1) };
	if (!b->text || !b->term || isnan(whole) || !whole) {
		bar_free(b);
		return false;
	}
	memset(b->text, ' ', width);
	memset(b->term, ' ', width);
	for (i = split ? 0 : 1; i < NR_TERMS; i++) {
		bool both = !split && i == 1;

		upto += both ? number(process, "totals.allocator") :
			       term(process, i);
		to = cells(upto, whole, width);
		segment(b, from, to, both ? "allocator" : terms[i].key,
			terms[i].fill, i);
		from = to > from ? to : from;
	}
	return true;
}

void bar_free(struct bar *b)
{
	free(b->text);
	free(b->term);
	*b = (struct bar){ 0 };
}
