/* SPDX-License-Identifier: GPL-2.0 */
/* Strings by number, each once: what formats call a string table. */
#ifndef EXPORT_INTERN_H
#define EXPORT_INTERN_H

#include <stdbool.h>
#include <stdint.h>

struct intern {
	void *tree;
	uint64_t nr;
	bool no_memory; /* what was then asked for became 0 */
};

/*
 * The number of a string, 1 for the first; 0: no memory. When it was not known
 * before, *fresh is what it is written as, else NULL.
 */
uint64_t intern(struct intern *t, const char *text, const char **fresh);
void intern_free(struct intern *t);

/* Valid UTF-8, malloc'ed: other bytes become "?". NULL: no memory. */
char *utf8_of(const char *text);

#endif
