/* SPDX-License-Identifier: GPL-2.0 */
/* A picture of lines, on a terminal (ncurses) or, for scripts, on standard output. */
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include "top/pages.h"

#define HEAD_LINES 8

struct picture {
	char *head[HEAD_LINES]; /* above the rows; malloc'ed */
	size_t nr_head;
	struct bar bar; /* text NULL: none; is the head's line bar_line */
	size_t bar_line;
	char **lines; /* of sheet_lines(); NULL: there are none */
	size_t nr_rows; /* without the heading */
	size_t selected, first; /* rows; the first one that is shown */
	const char *const *help; /* instead of all that; ends with NULL */
	char *status; /* on the last two lines; NULL: nothing */
	bool alarm; /* it is bad news */
	const char *hint; /* on the last line, if it is free */
};

/* NULL, or why there can be no screen. Colours unless $NO_COLOR. */
const char *screen_open(void);
/* The terminal is as it was. */
void screen_close(void);
void screen_size(size_t *lines, size_t *columns);
/* How many rows a picture with such a head has room for. */
size_t screen_rows(size_t nr_head);
void screen_draw(const struct picture *p);

enum input {
	INPUT_NONE =
		0, /* no more keys for now; others are their character, or */
	INPUT_OTHERS = 0x10000,
	INPUT_UP,
	INPUT_DOWN,
	INPUT_PAGE_UP,
	INPUT_PAGE_DOWN,
	INPUT_FIRST,
	INPUT_LAST,
	INPUT_OPEN, /* Enter */
	INPUT_BACK, /* Esc, left */
	INPUT_ERASE, /* Backspace */
	INPUT_RESIZE, /* the terminal has another size now */
};
int screen_key(void);

/* All of it, and a blank line. */
void screen_print(const struct picture *p, FILE *f);

void picture_free(struct picture *p);

#endif
