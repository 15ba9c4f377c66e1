// SPDX-License-Identifier: GPL-2.0
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define NCURSES_WIDECHAR 1
#include <curses.h>

#include "top/screen.h"

static bool coloured;
static SCREEN *screen;

/* Pairs for the bar, in the order of its terms. */
static const short colours[] = { COLOR_GREEN, COLOR_YELLOW,  COLOR_BLUE,
				 COLOR_CYAN,  COLOR_MAGENTA, COLOR_WHITE,
				 COLOR_WHITE, COLOR_WHITE,   COLOR_RED };
#define NR_COLOURS (sizeof(colours) / sizeof(colours[0]))
#define PAIR_ALARM (NR_COLOURS + 1)

static void set_colours(void)
{
	const char *no = getenv("NO_COLOR");
	size_t i;

	coloured = !(no && *no) && has_colors() && start_color() != ERR;
	if (!coloured)
		return;
	use_default_colors();
	for (i = 0; i < NR_COLOURS; i++)
		init_pair((short)(i + 1), colours[i], -1);
	init_pair(PAIR_ALARM, COLOR_RED, -1);
}

const char *screen_open(void)
{
	setlocale(LC_CTYPE, "");
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return "this is no terminal: vmaheap top -b prints lines";
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return "the kind of this terminal is not known ($TERM): vmaheap top -b prints lines";
	set_colours();
	cbreak();
	noecho();
	keypad(stdscr, true);
	nodelay(stdscr, true);
	set_escdelay(100);
	curs_set(0);
	return NULL;
}

void screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void screen_size(size_t *lines, size_t *columns)
{
	*lines = (size_t)LINES;
	*columns = (size_t)COLS;
}

size_t screen_rows(size_t nr_head)
{
	size_t used = nr_head + 3; /* the heading, and the status */

	return (size_t)LINES > used ? (size_t)LINES - used : 0;
}

/* --- drawing */

/*
 * A line of text, and blanks to its end. What the locale cannot say is '?'.
 * Returns what there was no room for; NULL: nothing.
 */
static const char *put_text(int y, const char *text)
{
	mbstate_t state = { 0 };
	size_t left = strlen(text), n;
	int x = 0, w;
	wchar_t c;

	move(y, 0);
	for (; left; left -= n, text += n) {
		n = mbrtowc(&c, text, left, &state);
		if (n > left) {
			state = (mbstate_t){ 0 };
			n = 1;
			c = L'?';
		}
		w = wcwidth(c);
		if (w < 0) {
			w = 1;
			c = L'?';
		}
		if (x + w > COLS)
			break;
		addnwstr(&c, 1);
		x += w;
	}
	for (; x < COLS; x++)
		addch(' ');
	return left ? text : NULL;
}

static const char *put_line(int y, const char *text, attr_t attr)
{
	const char *rest;

	if (y < 0 || y >= LINES)
		return NULL;
	attron(attr);
	rest = put_text(y, text);
	attroff(attr);
	return rest;
}

static attr_t term_attr(char term)
{
	if (term == ' ' || !coloured)
		return A_NORMAL;
	return COLOR_PAIR(term - 'a' + 1) | A_REVERSE;
}

static void put_bar(int y, const struct bar *b)
{
	int x;

	for (x = 0; y < LINES && x < COLS && b->text[x]; x++)
		mvaddch(y, x,
			(unsigned char)b->text[x] | term_attr(b->term[x]));
}

static void draw_help(const struct picture *p)
{
	int y;

	for (y = 0; p->help[y]; y++)
		put_line(y, p->help[y], y ? A_NORMAL : A_BOLD);
}

static void draw_head(const struct picture *p)
{
	size_t i;

	for (i = 0; i < p->nr_head; i++) {
		if (p->bar.text && i == p->bar_line)
			put_bar((int)i, &p->bar);
		else
			put_line((int)i, p->head[i], i ? A_NORMAL : A_BOLD);
	}
}

static void draw_rows(const struct picture *p)
{
	int y = (int)p->nr_head;
	size_t i, n = screen_rows(p->nr_head);

	if (!p->lines)
		return;
	put_line(y++, p->lines[0], A_BOLD | A_UNDERLINE);
	for (i = p->first; i < p->nr_rows && i - p->first < n; i++)
		put_line(y++, p->lines[i + 1],
			 i == p->selected ? A_REVERSE : A_NORMAL);
}

static void draw_status(const struct picture *p)
{
	attr_t attr = p->alarm ? A_BOLD : A_NORMAL;
	const char *rest = NULL;

	if (p->alarm && coloured)
		attr |= COLOR_PAIR(PAIR_ALARM);
	if (p->status)
		rest = put_line(LINES - 2, p->status, attr);
	if (rest)
		put_line(LINES - 1, rest, attr);
	else
		put_line(LINES - 1, p->hint, A_DIM);
}

void screen_draw(const struct picture *p)
{
	erase();
	if (p->help) {
		draw_help(p);
	} else {
		draw_head(p);
		draw_rows(p);
	}
	draw_status(p);
	refresh();
}

int screen_key(void)
{
	static const struct {
		int curses, ours;
	} keys[] = {
		{ KEY_UP, INPUT_UP },	      { KEY_DOWN, INPUT_DOWN },
		{ KEY_PPAGE, INPUT_PAGE_UP }, { KEY_NPAGE, INPUT_PAGE_DOWN },
		{ KEY_HOME, INPUT_FIRST },    { KEY_END, INPUT_LAST },
		{ KEY_ENTER, INPUT_OPEN },    { '\n', INPUT_OPEN },
		{ '\r', INPUT_OPEN },	      { KEY_RIGHT, INPUT_OPEN },
		{ KEY_LEFT, INPUT_BACK },     { KEY_BACKSPACE, INPUT_ERASE },
		{ 0x7f, INPUT_ERASE },	      { '\b', INPUT_ERASE },
		{ 0x1b, INPUT_BACK },	      { KEY_RESIZE, INPUT_RESIZE },
	};
	int c = getch();
	size_t i;

	if (c == ERR)
		return INPUT_NONE;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].curses == c)
			return keys[i].ours;
	return c;
}

/* --- as lines */

void screen_print(const struct picture *p, FILE *f)
{
	size_t i;

	for (i = 0; i < p->nr_head; i++)
		fprintf(f, "%s\n",
			p->bar.text && i == p->bar_line ? p->bar.text :
							  p->head[i]);
	for (i = 0; p->lines && i <= p->nr_rows; i++)
		fprintf(f, "%s\n", p->lines[i]);
	if (p->status && p->alarm)
		fprintf(f, "%s\n", p->status);
	fputc('\n', f);
	fflush(f);
}

void picture_free(struct picture *p)
{
	size_t i;

	for (i = 0; i < p->nr_head; i++)
		free(p->head[i]);
	bar_free(&p->bar);
	sheet_lines_free(p->lines);
	free(p->status);
	*p = (struct picture){ 0 };
}
