/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Rows of cells that can be searched and sorted: what a screen of top shows. A
 * cell has a text and what it is sorted by; what is not known ("?") comes last.
 */
#ifndef TOP_SHEET_H
#define TOP_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct column {
	const char *name;
	char align; /* 'l' or 'r' */
	char order; /* 't': by text; 'a', 'd': by value, ascending or descending */
	bool wide; /* only where there is room */
};

struct row {
	uint64_t key; /* what it is about: a process, an address ... */
	char *note; /* more on it; may be NULL */
	char **text; /* a cell each column */
	double *value; /* NAN: not known */
};

struct sheet {
	const struct column *columns;
	size_t nr_columns;
	struct row *rows;
	size_t nr, room;
	size_t next; /* cell of the last row */
	bool failed; /* there was no memory for all */
};

/* `columns` ends with a NULL name, and is kept as it is. */
void sheet_init(struct sheet *s, const struct column *columns);
void sheet_free(struct sheet *s);

/* A new row; its cells follow, from left to right. */
void sheet_row(struct sheet *s, uint64_t key);
__attribute__((format(printf, 2, 3))) void sheet_text(struct sheet *s,
						      const char *fmt, ...);
/* A text that is sorted by a value. */
void sheet_value(struct sheet *s, double value, const char *text);
/* NAN is "?"; `digits` after the point. */
void sheet_number(struct sheet *s, double value, int digits);
/* Bytes as KiB. */
void sheet_kib(struct sheet *s, double bytes);
/* Of the last row; frees `note`. */
void sheet_note(struct sheet *s, char *note);

/* Leaves only rows of which a cell or the note holds `text`, in whatever case. */
void sheet_filter(struct sheet *s, const char *text);
/* `reverse`: the other way round; what is not known stays last. */
void sheet_sort(struct sheet *s, size_t column, bool reverse);
/*
 * The heading, then a line each row: NULL, or as many strings as rows + 1, in an
 * array to be freed with sheet_lines_free(). `wide`: with all columns.
 */
char **sheet_lines(const struct sheet *s, bool wide);
void sheet_lines_free(char **lines);

#endif
