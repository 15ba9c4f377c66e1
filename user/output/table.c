// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "output/table.h"

struct table {
	char *columns;
	size_t nr_columns;
	char **cells; /* by row; NULL: the row is one line, in the cell that follows */
	size_t nr, room;
	bool failed;
};

struct table *table_new(const char *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = strdup(columns);
	t->nr_columns = strlen(columns);
	if (!t->columns) {
		free(t);
		return NULL;
	}
	return t;
}

void table_free(struct table *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->nr; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->columns);
	free(t);
}

static void push(struct table *t, char *cell)
{
	if (t->nr == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		void *p = realloc(t->cells, room * sizeof(*t->cells));

		if (!p) {
			t->failed = true;
			free(cell);
			return;
		}
		t->cells = p;
		t->room = room;
	}
	t->cells[t->nr++] = cell;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char *cell;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&cell, fmt, ap) < 0)
		t->failed = true;
	else
		push(t, cell);
	va_end(ap);
}

void table_names(struct table *t, const char *const *names)
{
	for (; *names; names++)
		table_cell(t, "%s", *names);
}

/* A row of which the first cell is NULL and the second is the line. */
void table_line(struct table *t, const char *line)
{
	char *copy = strdup(line);

	if (!copy) {
		t->failed = true;
		return;
	}
	push(t, NULL);
	push(t, copy);
}

/* Columns of the terminal: continuation bytes of UTF-8 take none. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* The cells of the row at i, or of the line. */
static size_t row_cells(const struct table *t, size_t i)
{
	return t->cells[i] ? t->nr_columns : 2;
}

static void measure(const struct table *t, int *width)
{
	size_t i, c;

	for (i = 0; i < t->nr; i += row_cells(t, i))
		for (c = 0; t->cells[i] && c < t->nr_columns && i + c < t->nr;
		     c++)
			if (width_of(t->cells[i + c]) > width[c])
				width[c] = width_of(t->cells[i + c]);
}

static void print_row(const struct table *t, char *const *cells,
		      const int *width, FILE *f)
{
	size_t c, last = t->nr_columns - 1;

	/* No blanks at the end of a line. */
	while (last && t->columns[last] == 'l' && !*cells[last])
		last--;
	for (c = 0; c <= last; c++) {
		int pad = width[c] - width_of(cells[c]);

		if (t->columns[c] == 'r')
			fprintf(f, "%*s%s", pad, "", cells[c]);
		else
			fprintf(f, "%s%*s", cells[c], c < last ? pad : 0, "");
		fputs(c < last ? "  " : "\n", f);
	}
}

int table_print(const struct table *t, FILE *f)
{
	int *width = calloc(t->nr_columns, sizeof(*width));
	size_t i;

	if (!width || t->failed) {
		free(width);
		return -ENOMEM;
	}
	measure(t, width);
	for (i = 0; i < t->nr; i += row_cells(t, i)) {
		if (!t->cells[i])
			fprintf(f, "%s\n", t->cells[i + 1]);
		else if (i + t->nr_columns <= t->nr)
			print_row(t, t->cells + i, width, f);
	}
	free(width);
	return 0;
}
