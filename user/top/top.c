// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "top/rounds.h"
#include "top/screen.h"
#include "top/top.h"

/* At most so much of a daemon's time is taken: a fifth. */
#define SHARE 5
#define FASTEST_MS 100
#define SLOWEST_MS 60000

struct top {
	const struct top_opts *o;
	struct rounds rounds;
	uint64_t ms, due;

	const struct page *page;
	uint32_t pid; /* of all pages but the first */
	json_t *process; /* its entry, kept when it has ended */
	json_t *old_process;
	bool ended, paused,
		again; /* again: the process may be stopped for it */
	bool seen; /* a daemon has answered */

	size_t column; /* sorted by */
	bool reverse;
	char filter[64];
	bool typing; /* a filter */
	uint64_t key; /* of the selected row */
	size_t selected, first;
	bool help, dirty, quit;
};

static volatile int stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static const char *const help[] = {
	"vmaheap top: who has what from the kernel, and what is alive in it",
	"",
	"  Up Down PgUp PgDn Home End, j k   another row",
	"  Enter   the process of this row   Esc   back to all processes",
	"  1 to 5, Tab   its pages:",
	"    1 VMAs     as vmaheap maps; live/size in %",
	"    2 arenas   by malloc's own books, as vmaheap why arena",
	"    3 calls    of malloc and of the kernel; joined: those that went to the",
	"               kernel, and VMA changes that the allocator made",
	"    4 callers  who made the kernel act, and by which function",
	"    5 pins     what keeps free memory from going back, as vmaheap why held;",
	"               back: what would go, were it and those above it freed",
	"  r       read arenas or pins again: the process is stopped for it, briefly",
	"  /       only rows with this text; Enter keeps it, Esc forgets it",
	"  < >     sort by the column before or behind;  R the other way round",
	"  + -     faster, slower;  space pause;  q quit",
	"",
	"Sizes are KiB. live: under chunks that are allocated; held: the allocator's,",
	"but not live; ?: not known. Of one process all but size, live/size, free and",
	"cached is resident memory; of all processes live is not.",
	NULL,
};

/* --- what is known */

static struct facts facts(const struct top *t)
{
	return (struct facts){ .list = t->rounds.list,
			       .old_list = t->rounds.old_list,
			       .process = t->process,
			       .old_process = t->old_process,
			       .answer = t->rounds.answer };
}

static void take(json_t **place, const json_t *j)
{
	json_decref(*place);
	*place = json_incref((json_t *)j);
}

/* The entry of the process that is looked at, now and then. */
static void find_process(struct top *t)
{
	const json_t *p = page_process(t->rounds.list, t->pid);

	t->ended = !p && t->process;
	if (!p)
		return;
	take(&t->process, p);
	take(&t->old_process, page_process(t->rounds.old_list, t->pid));
}

static void forget_process(struct top *t)
{
	take(&t->process, NULL);
	take(&t->old_process, NULL);
	t->ended = false;
}

/* --- pages */

static void show_page(struct top *t, const struct page *page)
{
	t->page = page;
	t->column = page->sort;
	t->reverse = false;
	t->filter[0] = 0;
	t->selected = t->first = 0;
	t->key = 0;
	t->again = true;
	t->due = 0;
	rounds_forget(&t->rounds);
}

static void show_processes(struct top *t)
{
	uint32_t pid = t->pid;

	show_page(t, &pages[0]);
	forget_process(t);
	t->pid = 0;
	t->key = pid;
}

static void show_process(struct top *t, uint32_t pid)
{
	forget_process(t);
	t->pid = pid;
	show_page(t, &pages[1]);
	find_process(t);
}

static const char *const *question(struct top *t)
{
	const struct page *p = t->page;

	if (!p->question[0] || !t->pid || (p->stops && !t->again))
		return NULL;
	return p->question;
}

/* --- the picture */

__attribute__((format(printf, 2, 3))) static void head(struct picture *p,
						       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (p->nr_head < HEAD_LINES &&
	    vasprintf(&p->head[p->nr_head], fmt, ap) >= 0)
		p->nr_head++;
	va_end(ap);
}

static void head_owned(struct picture *p, char *text)
{
	if (text)
		head(p, "%s", text);
	free(text);
}

static const char *string(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "?";
}

static void head_title(const struct top *t, struct picture *p)
{
	time_t now = time(NULL);
	struct tm tm;
	char clock[16] = "", every[32];
	size_t n = json_array_size(t->rounds.list);

	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	if (t->paused)
		snprintf(every, sizeof(every), "paused");
	else
		snprintf(every, sizeof(every), "every %g s",
			 (double)t->ms / 1000);
	if (!t->pid)
		head(p, "vmaheap top  %s  %s  %zu process%s, KiB", clock, every,
		     n, n == 1 ? "" : "es");
	else
		head(p, "vmaheap top  %s  %s  process %u (%s), KiB, %s, %s",
		     clock, every, t->pid, string(t->process, "comm"),
		     !strcmp(string(t->process, "alloc"), "none") ?
			     "no allocator events" :
			     string(t->process, "alloc"),
		     json_is_true(json_object_get(t->process, "vmas_sampled")) ?
			     "no module" :
			     "module");
}

static void head_tabs(const struct top *t, struct picture *p)
{
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	for (i = 1; t->pid && pages[i].name; i++)
		fprintf(f, &pages[i] == t->page ? "[%zu %s] " : " %zu %s  ", i,
			pages[i].name);
	fprintf(f, "%sby %s%s", t->pid ? " " : "sorted ",
		t->page->columns[t->column].name,
		t->reverse ? ", reversed" : "");
	if (*t->filter || t->typing)
		fprintf(f, "  /%s%s", t->filter, t->typing ? "_" : "");
	if (fclose(f))
		return;
	head_owned(p, text);
}

/* What the page's answer says on the whole, and of what age it is. */
static void head_remark(const struct top *t, struct picture *p,
			const struct facts *f)
{
	char *remark = page_remark(t->page, f);

	if (t->page->stops && t->rounds.answer)
		head(p, "%s%sread %.0f s ago (r: again)", remark ? remark : "",
		     remark ? "; " : "",
		     (double)(rounds_ms() - t->rounds.answer_at) / 1000);
	else if (remark)
		head(p, "%s", remark);
	free(remark);
}

static void head_process(const struct top *t, struct picture *p, size_t width)
{
	struct facts f = facts(t);

	head_owned(p, page_terms(t->process));
	if (page_bar(t->process, width, &p->bar)) {
		p->bar_line = p->nr_head;
		head(p, "%s", "");
	}
	head_owned(p, page_rates(&f));
	head_remark(t, p, &f);
}

/* What is the matter, or NULL; malloc'ed. */
static char *alarm_text(const struct top *t)
{
	char *text = NULL;
	int n = 0;

	if (t->rounds.busy && !t->rounds.list)
		return NULL;
	if (!t->rounds.daemons && t->seen)
		return strdup(
			"no daemon answers any more: what it watched has ended, or it was killed");
	if (t->rounds.denied)
		return strdup(
			"a daemon's socket is not for you: run as root (sudo)");
	if (t->ended)
		n = asprintf(
			&text,
			"process %u has ended, or nobody watches it any more",
			t->pid);
	else if (t->rounds.why)
		n = asprintf(&text, "%s", t->rounds.why);
	else if (!t->pid && !json_array_size(t->rounds.list))
		return strdup(
			"nothing is watched: vmaheap record -- COMMAND, or vmaheap top -p PID");
	return n < 0 ? NULL : text;
}

static const char *hint(const struct top *t)
{
	if (t->typing)
		return "a text; Enter keeps the filter, Esc forgets it";
	if (t->help)
		return "any key goes on";
	return t->pid ?
		       "q quit  ? help  Esc back  Tab next page  / filter  < > sort" :
		       "q quit  ? help  Enter open  / filter  < > sort";
}

static void picture_status(const struct top *t, struct picture *p,
			   const struct sheet *s)
{
	bool any = t->selected < s->nr && !t->help;
	const char *note = any ? s->rows[t->selected].note : NULL;

	p->hint = hint(t);
	p->status = alarm_text(t);
	p->alarm = p->status;
	if (!p->alarm && note)
		p->status = strdup(note);
}

/* The row that was selected, wherever it is now. */
static void follow_row(struct top *t, const struct sheet *s, size_t room)
{
	size_t i;

	for (i = 0; i < s->nr && t->key; i++)
		if (s->rows[i].key == t->key)
			t->selected = i;
	if (t->selected >= s->nr)
		t->selected = s->nr ? s->nr - 1 : 0;
	if (t->selected < t->first)
		t->first = t->selected;
	if (room && t->selected >= t->first + room)
		t->first = t->selected - room + 1;
	if (t->first + room > s->nr)
		t->first = s->nr > room ? s->nr - room : 0;
}

static void fill(struct top *t, struct sheet *s)
{
	struct facts f = facts(t);

	sheet_init(s, t->page->columns);
	if (t->page == &pages[0] || t->process)
		t->page->fill(s, &f);
	if (*t->filter)
		sheet_filter(s, t->filter);
	sheet_sort(s, t->column, t->reverse);
}

static void make_picture(struct top *t, struct picture *p, struct sheet *s,
			 size_t width)
{
	*p = (struct picture){ 0 };
	fill(t, s);
	head_title(t, p);
	if (t->pid && t->process)
		head_process(t, p, width);
	head_tabs(t, p);
	follow_row(t, s, t->o->batch ? s->nr : screen_rows(p->nr_head));
	p->lines = sheet_lines(s, width >= 110);
	p->nr_rows = s->nr;
	p->selected = t->selected;
	p->first = t->first;
	p->help = t->help ? help : NULL;
	picture_status(t, p, s);
}

static void draw(struct top *t)
{
	struct picture p;
	struct sheet s;
	size_t lines, columns;

	screen_size(&lines, &columns);
	make_picture(t, &p, &s, columns);
	screen_draw(&p);
	picture_free(&p);
	sheet_free(&s);
	t->dirty = false;
}

/* --- keys */

/* The key of the row that is selected now. */
static void select_row(struct top *t, size_t to)
{
	struct sheet s;

	fill(t, &s);
	t->selected = s.nr && to >= s.nr ? s.nr - 1 : to;
	t->key = t->selected < s.nr ? s.rows[t->selected].key : 0;
	sheet_free(&s);
}

static void move_row(struct top *t, long by)
{
	long to = (long)t->selected + by;

	select_row(t, to < 0 ? 0 : (size_t)to);
}

static void type(struct top *t, int key)
{
	size_t len = strlen(t->filter);

	if (key == INPUT_OPEN)
		t->typing = false;
	if (key == INPUT_BACK) {
		t->typing = false;
		t->filter[0] = 0;
	}
	if (key == INPUT_ERASE && len)
		t->filter[len - 1] = 0;
	if (key >= ' ' && key < 0x7f && len + 1 < sizeof(t->filter)) {
		t->filter[len] = (char)key;
		t->filter[len + 1] = 0;
	}
	t->first = 0;
	select_row(t, 0);
}

static void next_page(struct top *t)
{
	const struct page *p = t->page + 1;

	show_page(t, p->name ? p : &pages[1]);
}

/* Narrow screens lack some columns, but may be sorted by them. */
static void sort_by(struct top *t, int by)
{
	size_t n = 0;

	while (t->page->columns[n].name)
		n++;
	t->column = (t->column + n + (size_t)by) % n;
}

static void set_pace(struct top *t, uint64_t ms)
{
	t->ms = ms < FASTEST_MS ? FASTEST_MS :
		ms > SLOWEST_MS ? SLOWEST_MS :
				  ms;
	t->due = 0;
}

static void go_back(struct top *t)
{
	if (*t->filter)
		t->filter[0] = 0;
	else if (t->pid)
		show_processes(t);
}

static void open_row(struct top *t)
{
	select_row(t, t->selected);
	if (!t->pid && t->key)
		show_process(t, (uint32_t)t->key);
}

static void press_letter(struct top *t, int key)
{
	switch (key) {
	case 'q':
		t->quit = true;
		break;
	case '?':
	case 'h':
		t->help = true;
		break;
	case '/':
		t->typing = true;
		break;
	case '<':
	case '>':
		sort_by(t, key == '<' ? -1 : 1);
		break;
	case 'R':
		t->reverse = !t->reverse;
		break;
	case 'r':
		t->again = true;
		t->due = 0;
		break;
	case ' ':
		t->paused = !t->paused;
		t->due = 0;
		break;
	case '+':
		set_pace(t, t->ms / 2);
		break;
	case '-':
		set_pace(t, t->ms * 2);
		break;
	case '\t':
		if (t->pid)
			next_page(t);
		break;
	default:
		if (t->pid && key >= '1' && key <= '5')
			show_page(t, &pages[key - '0']);
	}
}

static void press(struct top *t, int key)
{
	long page = (long)screen_rows(5);

	t->dirty = true;
	if (key == INPUT_RESIZE)
		return;
	if (t->help) {
		t->help = false;
		return;
	}
	if (t->typing) {
		type(t, key);
		return;
	}
	switch (key) {
	case INPUT_UP:
	case 'k':
		move_row(t, -1);
		break;
	case INPUT_DOWN:
	case 'j':
		move_row(t, 1);
		break;
	case INPUT_PAGE_UP:
		move_row(t, -page);
		break;
	case INPUT_PAGE_DOWN:
		move_row(t, page);
		break;
	case INPUT_FIRST:
		select_row(t, 0);
		break;
	case INPUT_LAST:
		select_row(t, SIZE_MAX);
		break;
	case INPUT_OPEN:
		open_row(t);
		break;
	case INPUT_BACK:
	case INPUT_ERASE:
		go_back(t);
		break;
	default:
		press_letter(t, key);
	}
}

/* --- rounds */

static void begin(struct top *t)
{
	rounds_begin(&t->rounds, question(t), t->pid, t->ms / 2);
}

/* A round is over. */
static void look(struct top *t)
{
	uint64_t took = rounds_ms() - t->rounds.began;

	if (t->page->stops && t->rounds.answer)
		t->again = false;
	t->seen |= t->rounds.daemons;
	if (t->pid)
		find_process(t);
	t->due =
		t->rounds.began + (took * SHARE > t->ms ? took * SHARE : t->ms);
	t->dirty = true;
}

static int until_due(const struct top *t)
{
	uint64_t now = rounds_ms();

	if (t->rounds.busy || t->paused)
		return -1;
	return t->due > now ? (int)(t->due - now) : 0;
}

/* What a signal interrupts is this alone. */
static void wait_for(struct top *t, const sigset_t *open)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
			       { .fd = t->rounds.busy ? t->rounds.asking.fd :
							-1,
				 .events = POLLIN } };
	int ms = until_due(t), key;
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	if (ppoll(p, 2, ms < 0 ? NULL : &ts, open) < 0)
		p[0].revents = p[1].revents = 0;
	if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		t->quit = true;
	if (p[1].revents) {
		rounds_step(&t->rounds, t->ms / 2);
		if (!t->rounds.busy)
			look(t);
	}
	/* A new size is told as a key. */
	while (!t->quit && (key = screen_key()) != INPUT_NONE)
		press(t, key);
}

static void watch_screen(struct top *t, const sigset_t *open)
{
	while (!t->quit && !stop) {
		if (!t->rounds.busy && !until_due(t)) {
			begin(t);
			if (!t->rounds.busy)
				look(t);
		}
		if (t->dirty)
			draw(t);
		wait_for(t, open);
	}
}

static void sleep_until_due(struct top *t, const sigset_t *open)
{
	int ms = until_due(t);
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	ppoll(NULL, 0, &ts, open);
}

/* The list, or the process alone; nothing while it is not there. */
static void print_json(const struct top *t)
{
	if (t->pid && (t->ended || !t->process))
		return;
	if (t->pid)
		json_dumpf(t->process, stdout, JSON_COMPACT);
	else
		json_dumpf(t->rounds.list, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

/* False: nobody reads any more. */
static bool print(struct top *t)
{
	struct picture p;
	struct sheet s;

	if (t->o->json) {
		print_json(t);
		return !ferror(stdout);
	}
	make_picture(t, &p, &s, 80);
	sheet_lines_free(p.lines);
	p.lines = sheet_lines(&s, true);
	screen_print(&p, stdout);
	picture_free(&p);
	sheet_free(&s);
	return !ferror(stdout);
}

static void watch_lines(struct top *t, const sigset_t *open)
{
	unsigned int n;

	for (n = 0; !stop && (!t->o->count || n < t->o->count); n++) {
		if (n)
			sleep_until_due(t, open);
		if (stop || !rounds_run(&t->rounds, question(t), t->pid,
					t->ms / 2, &stop))
			break;
		look(t);
		if (!print(t) || t->ended)
			break;
	}
}

/* --- */

static void catch_signals(sigset_t *open)
{
	struct sigaction sa = { .sa_handler = on_signal };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t block;
	size_t i;

	sigemptyset(&block);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &sa, NULL);
		sigaddset(&block, signals[i]);
	}
	sigaddset(&block, SIGWINCH);
	sigprocmask(SIG_BLOCK, &block, open);
	signal(SIGPIPE, SIG_IGN);
}

static int run(struct top *t, const sigset_t *open)
{
	const char *why;

	if (t->o->batch) {
		watch_lines(t, open);
		return 0;
	}
	why = screen_open();
	if (why) {
		fprintf(stderr, "vmaheap: %s\n", why);
		return STATUS_FAILED;
	}
	watch_screen(t, open);
	screen_close();
	return 0;
}

/* Is it watched? Else it becomes so. *w may stay NULL. 0 or the exit status. */
static int see_to_watch(struct top *t, struct watch **w)
{
	uint32_t pid = t->o->pid;

	rounds_run(&t->rounds, NULL, 0, 0, &stop);
	if (!pid || stop || page_process(t->rounds.list, pid))
		return 0;
	if (kill((pid_t)pid, 0) && errno == ESRCH) {
		fprintf(stderr, "vmaheap: process %u: no such process\n", pid);
		return STATUS_FAILED;
	}
	if (t->rounds.denied) {
		fprintf(stderr,
			"vmaheap: the daemon's socket is not for you: run as root (sudo)\n");
		return STATUS_FAILED;
	}
	*w = client_watch(t->o->attach);
	return *w ? 0 : STATUS_FAILED;
}

int top_run(const struct top_opts *o)
{
	struct top t = { .o = o,
			 .rounds = { .asking = ANSWER_NONE },
			 .ms = o->ms,
			 .dirty = true };
	struct watch *w = NULL;
	sigset_t open;
	int status;

	if (!o->batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		fprintf(stderr,
			"vmaheap: this is no terminal: vmaheap top -b prints lines\n");
		return STATUS_FAILED;
	}
	status = see_to_watch(&t, &w);
	if (!status) {
		catch_signals(&open);
		if (o->pid)
			show_process(&t, o->pid);
		else
			show_page(&t, &pages[0]);
		status = run(&t, &open);
	}
	if (w && client_watch_end(w))
		status = STATUS_FAILED;
	forget_process(&t);
	rounds_free(&t.rounds);
	return status;
}
