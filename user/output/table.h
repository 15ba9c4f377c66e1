/* SPDX-License-Identifier: GPL-2.0 */
/* Columns as wide as their widest cell, two blanks between them. */
#ifndef OUTPUT_TABLE_H
#define OUTPUT_TABLE_H

#include <stdio.h>

struct table;

/* One letter a column: l(eft) or r(ight). NULL: no memory. */
struct table *table_new(const char *columns);
void table_free(struct table *t); /* NULL is allowed */
/* The next cell; rows are filled from left to right, and begin by themselves. */
__attribute__((format(printf, 2, 3))) void table_cell(struct table *t,
						      const char *fmt, ...);
/* A row, or the rest of one, of these texts; NULL ends them. */
void table_names(struct table *t, const char *const *names);
/* A line of its own, behind the last row, as it is. The row must be full. */
void table_line(struct table *t, const char *line);
/* 0, or -ENOMEM when a cell could not be kept (nothing is printed). */
int table_print(const struct table *t, FILE *f);

#endif
