// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/table.h"
#include "output/text.h"
#include "top/sheet.h"

void sheet_init(struct sheet *s, const struct column *columns)
{
	*s = (struct sheet){ .columns = columns };
	while (columns[s->nr_columns].name)
		s->nr_columns++;
}

static void free_row(const struct sheet *s, struct row *r)
{
	size_t c;

	for (c = 0; r->text && c < s->nr_columns; c++)
		free(r->text[c]);
	free(r->text);
	free(r->value);
	free(r->note);
}

void sheet_free(struct sheet *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		free_row(s, &s->rows[i]);
	free(s->rows);
	s->rows = NULL;
	s->nr = s->room = 0;
}

static bool make_room(struct sheet *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	struct row *rows = s->rows;

	if (s->nr == s->room)
		rows = realloc(rows, room * sizeof(*rows));
	if (!rows)
		return false;
	if (s->nr == s->room)
		s->room = room;
	s->rows = rows;
	return true;
}

void sheet_row(struct sheet *s, uint64_t key)
{
	struct row *r;

	s->failed |= !make_room(s);
	if (s->failed)
		return;
	r = &s->rows[s->nr++];
	*r = (struct row){ .key = key,
			   .text = calloc(s->nr_columns, sizeof(*r->text)),
			   .value = calloc(s->nr_columns, sizeof(*r->value)) };
	s->failed |= !r->text || !r->value;
	s->next = 0;
}

/* Names come from outside: nothing that a terminal would obey. */
static char *clean(const char *text)
{
	char *out = NULL;
	size_t len;
	FILE *f = text ? open_memstream(&out, &len) : NULL;

	if (!f)
		return NULL;
	put_name(f, text);
	return fclose(f) ? NULL : out;
}

static void put_cell(struct sheet *s, char *text, double value)
{
	struct row *r = s->failed ? NULL : &s->rows[s->nr - 1];

	if (!r || !text || s->next == s->nr_columns) {
		s->failed |= !text;
		free(text);
		return;
	}
	r->text[s->next] = text;
	r->value[s->next++] = value;
}

void sheet_text(struct sheet *s, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	put_cell(s, clean(text), NAN);
	free(text);
}

void sheet_number(struct sheet *s, double value, int digits)
{
	char *text = NULL;

	if (isnan(value))
		text = strdup("?");
	else if (asprintf(&text, "%.*f", digits, value) < 0)
		text = NULL;
	put_cell(s, text, value);
}

void sheet_value(struct sheet *s, double value, const char *text)
{
	put_cell(s, clean(text), value);
}

void sheet_kib(struct sheet *s, double bytes)
{
	sheet_number(s, bytes / 1024, 0);
}

void sheet_note(struct sheet *s, char *note)
{
	if (!s->failed)
		s->rows[s->nr - 1].note = clean(note);
	free(note);
}

/* --- which rows, and in which order */

static bool row_holds(const struct sheet *s, const struct row *r,
		      const char *text)
{
	size_t c;

	for (c = 0; c < s->nr_columns; c++)
		if (r->text[c] && strcasestr(r->text[c], text))
			return true;
	return r->note && strcasestr(r->note, text);
}

void sheet_filter(struct sheet *s, const char *text)
{
	size_t i, nr = 0;

	for (i = 0; i < s->nr; i++) {
		if (row_holds(s, &s->rows[i], text))
			s->rows[nr++] = s->rows[i];
		else
			free_row(s, &s->rows[i]);
	}
	s->nr = nr;
}

struct order {
	size_t column;
	bool number;
	int sign;
};

/* Of equals the lower key comes first, so that rows stand still. */
static int by_order(const void *va, const void *vb, void *ctx)
{
	const struct row *a = va, *b = vb;
	const struct order *o = ctx;
	double x = a->value[o->column], y = b->value[o->column];
	int cmp = 0;

	if (o->number && (isnan(x) || isnan(y)))
		cmp = isnan(x) - isnan(y);
	else if (o->number)
		cmp = ((x > y) - (x < y)) * o->sign;
	else
		cmp = strcmp(a->text[o->column], b->text[o->column]) * o->sign;
	return cmp ? cmp : (a->key > b->key) - (a->key < b->key);
}

void sheet_sort(struct sheet *s, size_t column, bool reverse)
{
	char how = s->columns[column].order;
	struct order o = { .column = column,
			   .number = how != 't',
			   .sign = (how == 'd') == reverse ? 1 : -1 };

	if (!s->failed && s->nr)
		qsort_r(s->rows, s->nr, sizeof(*s->rows), by_order, &o);
}

/* --- as text */

static struct table *to_table(const struct sheet *s, bool wide)
{
	char aligns[32];
	struct table *t;
	size_t i, c, n = 0;

	for (c = 0; c < s->nr_columns && n + 1 < sizeof(aligns); c++)
		if (wide || !s->columns[c].wide)
			aligns[n++] = s->columns[c].align;
	aligns[n] = 0;
	t = table_new(aligns);
	for (c = 0; t && c < s->nr_columns; c++)
		if (wide || !s->columns[c].wide)
			table_cell(t, "%s", s->columns[c].name);
	for (i = 0; t && i < s->nr; i++)
		for (c = 0; c < s->nr_columns; c++)
			if (wide || !s->columns[c].wide)
				table_cell(t, "%s", s->rows[i].text[c]);
	return t;
}

/* The text of the table, cut into its lines; the first one owns it. */
static char **cut(char *text, size_t nr)
{
	char **lines = calloc(nr + 1, sizeof(*lines));
	size_t i;

	if (!lines) {
		free(text);
		return NULL;
	}
	for (i = 0; i < nr; i++) {
		lines[i] = text;
		text += strcspn(text, "\n");
		if (*text)
			*text++ = 0;
	}
	return lines;
}

char **sheet_lines(const struct sheet *s, bool wide)
{
	struct table *t = s->failed ? NULL : to_table(s, wide);
	char *text = NULL;
	size_t len;
	FILE *f = t ? open_memstream(&text, &len) : NULL;
	bool failed = !f || table_print(t, f);

	if (f)
		failed |= fclose(f) != 0;
	table_free(t);
	if (!failed)
		return cut(text, s->nr + 1);
	free(text);
	return NULL;
}

void sheet_lines_free(char **lines)
{
	if (lines)
		free(lines[0]);
	free(lines);
}
