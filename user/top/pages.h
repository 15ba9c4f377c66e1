/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of top, each made of one of the daemon's answers (--json; the keys
 * stand at the top of the files in output/) and, for rates, of the one before.
 */
#ifndef TOP_PAGES_H
#define TOP_PAGES_H

#include <jansson.h>

#include "top/sheet.h"

struct facts {
	const json_t *list,
		*old_list; /* of all processes; old: NULL at first */
	const json_t *process, *old_process; /* the one that is looked at */
	const json_t *answer; /* to the page's own question; NULL: none yet */
};

struct page {
	const char *name; /* NULL: the end */
	const char *
		question[3]; /* what to ask the daemon; NULL: the list is enough */
	bool stops; /* the process stands still for it: only asked by hand */
	const struct column *columns;
	size_t sort; /* the column, at first */
	void (*fill)(struct sheet *s, const struct facts *f);
};

/* pages[0] shows all processes, the others one of them. */
extern const struct page pages[];

/* The entry of process pid of a list; NULL: it is not there. */
const json_t *page_process(const json_t *list, uint64_t pid);

/*
 * Lines above the rows, with what the numbers are; malloc'ed, NULL: no memory.
 * `width`: columns of the screen.
 */
char *page_terms(const json_t *process);
char *page_rates(const struct facts *f);
/* What the page's own answer says of all rows; NULL: nothing. */
char *page_remark(const struct page *p, const struct facts *f);
/* What resident memory consists of, to scale. */
struct bar {
	char *text;
	char *term; /* of each cell a letter, 'a' for the first term; ' ': none */
};
/* False: it is not known. To be freed with bar_free(). */
bool page_bar(const json_t *process, size_t width, struct bar *b);
void bar_free(struct bar *b);

#endif
