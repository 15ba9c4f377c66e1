// SPDX-License-Identifier: GPL-2.0
/* The pages of top, of answers that are written down here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "session/wire.h"
#include "top/pages.h"
#include "top/rounds.h"

static json_t *parse(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		fail_msg("%s in %s", e.text, text);
	return j;
}

/* A process of a list: so many mallocs and brks until `now` (ns). */
static json_t *entry(unsigned int pid, unsigned int mm, double now,
		     unsigned int mallocs, unsigned int brks)
{
	return json_pack(
		"{s:i, s:i, s:s, s:s, s:f, s:[{s:s, s:i, s:i, s:i, s:i, s:i}],"
		" s:{s:i}, s:{s:i}, s:[{s:s, s:b, s:i, s:i, s:i, s:i}], s:{s:i}, s:[],"
		" s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}}",
		"pid", pid, "mm", mm, "comm", "vic\ntim", "alloc", "shim",
		"now", now, "functions", "name", "malloc", "calls", mallocs,
		"failed", 0, "asked", mallocs * 1024, "given_back", 0,
		"to_kernel", brks, "calls", "calls", mallocs, "live", "bytes",
		4096, "syscalls", "name", "brk", "compat", 0, "events", brks,
		"in_calls", brks, "mapped", 8192, "unmapped", 0, "kernel",
		"events", brks, "failed", "totals", "resident", 100 * 1024,
		"live", 40 * 1024, "held", 20 * 1024, "file", 30 * 1024,
		"stack", 4 * 1024, "shared", 0, "kernel", 2 * 1024, "vmaheap",
		1024, "other", 3 * 1024, "unknown", 0, "vmas", 9);
}

static json_t *list_of(json_t *a, json_t *b)
{
	return b ? json_pack("[o, o]", a, b) : json_pack("[o]", a);
}

/* The line of a page that begins with `start`, of all columns, blanks squeezed. */
static char *line_of(const struct page *p, const struct facts *f,
		     const char *start)
{
	struct sheet s;
	char **lines, *found = NULL, *from, *to;
	size_t i;

	sheet_init(&s, p->columns);
	p->fill(&s, f);
	sheet_sort(&s, p->sort, false);
	lines = sheet_lines(&s, true);
	assert_non_null(lines);
	for (i = 0; i <= s.nr && !found; i++) {
		from = lines[i] + strspn(lines[i], " ");
		if (!strncmp(from, start, strlen(start)))
			found = strdup(from);
	}
	assert_non_null(found);
	for (from = to = found; *from; from++)
		if (*from != ' ' || from[1] != ' ')
			*to++ = *from;
	*to = 0;
	sheet_lines_free(lines);
	sheet_free(&s);
	return found;
}

static void check_line(const struct page *p, const struct facts *f,
		       const char *line)
{
	char start[16], *got;

	snprintf(start, sizeof(start), "%.*s ", (int)strcspn(line, " "), line);
	got = line_of(p, f, start);
	assert_string_equal(got, line);
	free(got);
}

static void test_rates(void **state)
{
	json_t *old =
		list_of(entry(1, 7, 1e9, 1000, 10), entry(2, 8, 1e9, 5, 5));
	json_t *list = list_of(entry(1, 7, 1.5e9, 1600, 12),
			       entry(2, 9, 1.5e9, 50, 50));
	struct facts f = { .list = list,
			   .old_list = old,
			   .process = page_process(list, 1),
			   .old_process = page_process(old, 1) };
	char *text;

	(void)state;
	check_line(&pages[0], &f, "1 1200 4 4 20 100 9 shim vic\\012tim");
	/* Another address space than before: nothing to compare it with. */
	check_line(&pages[0], &f, "2 ? ? 4 20 100 9 shim vic\\012tim");
	check_line(&pages[3], &f, "malloc() 1200 1600 0 12 1600 0");
	check_line(&pages[3], &f, "brk 4 12 0 12 8 0");
	text = page_rates(&f);
	assert_string_equal(text,
			    "calls 1200/s (malloc 1200); kernel 4/s (brk 4)");
	free(text);
	f.old_process = NULL;
	text = page_rates(&f);
	assert_string_equal(text, "calls ?/s; kernel ?/s");
	free(text);
	json_decref(old);
	json_decref(list);
}

/* A function that was not called before has been called 0 times. */
static void test_rate_of_new(void **state)
{
	json_t *old = list_of(entry(1, 7, 1e9, 0, 0), NULL);
	json_t *list = list_of(entry(1, 7, 2e9, 300, 7), NULL);
	struct facts f = { .process = json_array_get(list, 0),
			   .old_process = json_array_get(old, 0) };

	(void)state;
	json_array_clear(json_object_get(json_array_get(old, 0), "functions"));
	json_array_clear(json_object_get(json_array_get(old, 0), "syscalls"));
	check_line(&pages[3], &f, "malloc() 300 300 0 7 300 0");
	check_line(&pages[3], &f, "brk 7 7 0 7 8 0");
	json_decref(old);
	json_decref(list);
}

static void test_terms(void **state)
{
	json_t *p = entry(1, 7, 1e9, 1, 1), *totals;
	struct bar b;
	char *text = page_terms(p);

	(void)state;
	assert_string_equal(
		text,
		"resident 100: live 40, held 20, file 30, other 3, unknown 0, rest 7");
	free(text);
	assert_true(page_bar(p, 50, &b));
	assert_string_equal(
		b.text, "live################held======file-----------++.,:");
	assert_string_equal(
		b.term, "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbcccccccccccccccddfgh");
	bar_free(&b);
	/* What is alive is not known: live and held are one. */
	totals = json_object_get(p, "totals");
	json_object_set_new(totals, "live", json_null());
	json_object_set_new(totals, "held", json_null());
	json_object_set_new(totals, "allocator", json_integer(60 * 1024));
	text = page_terms(p);
	assert_string_equal(
		text,
		"resident 100: allocator 60, file 30, other 3, unknown 0, rest 7");
	free(text);
	assert_true(page_bar(p, 10, &b));
	assert_string_equal(b.text, "======---.");
	bar_free(&b);
	/* Nor where anything is. */
	json_object_set_new(totals, "resident", json_null());
	assert_false(page_bar(p, 10, &b));
	json_decref(p);
}

static void test_vmas(void **state)
{
	json_t *j = parse(
		"{\"start\": 1000, \"vmas\": [{\"start\": \"0x1000\", \"end\": \"0x3000\","
		"\"perms\": \"rw-p\", \"size\": 8192, \"resident\": 4096, \"live\": 2048,"
		"\"chunks\": 2, \"kind\": \"heap\", \"name\": \"[heap]\", \"parts\": 2,"
		"\"made\": {\"kind\": \"syscall\", \"ts\": 2000001000, \"syscall\": {\"name\": \"brk\"},"
		"\"call\": {\"op\": \"malloc\", \"size\": 400, \"caller\": {\"symbol\": \"main+0x1\"}}},"
		"\"changed\": {\"kind\": \"fault\", \"syscall\": null, \"call\": null}},"
		"{\"start\": \"0x5000\", \"end\": \"0x6000\", \"perms\": \"r-xp\", \"size\": 4096,"
		"\"resident\": null, \"live\": 0, \"chunks\": 0, \"kind\": \"file\","
		"\"name\": \"/lib/libc.so.6\", \"made\": {\"kind\": \"exec\", \"syscall\": null, \"call\": null}}]}");
	struct facts f = { .answer = j };
	struct sheet s;

	(void)state;
	check_line(
		&pages[1], &f,
		"1000 rw-p 8 4 2 25 2 heap brk in malloc(400) from main+0x1 [heap]");
	check_line(&pages[1], &f, "5000 r-xp 4 ? - - - file exec libc.so.6");
	sheet_init(&s, pages[1].columns);
	pages[1].fill(&s, &f);
	assert_string_equal(
		s.rows[0].note,
		"1000-3000 [heap]: brk in malloc(400) from main+0x1 at 2.000000 s (1 of 2 parts); last changed by fault");
	sheet_filter(&s, "LIBC");
	assert_int_equal(s.nr, 1);
	assert_int_equal(s.rows[0].key, 0x5000);
	sheet_filter(&s, "no such");
	assert_int_equal(s.nr, 0);
	sheet_free(&s);
	json_decref(j);
}

static void test_pins(void **state)
{
	json_t *j = parse(
		"{\"trim_now\": 2048, \"back\": 209715200, \"arenas\": [{\"arena\": 3, \"pins\": ["
		"{\"addr\": \"0x7f10\", \"size\": 24, \"state\": \"used\", \"free_below\": 4096,"
		"\"back\": 8192, \"call\": null}]}]}");
	struct facts f = { .answer = j };
	char *text = page_remark(&pages[5], &f);

	(void)state;
	assert_string_equal(text,
			    "malloc_trim(0) returns 2, with these freed 200M");
	free(text);
	check_line(&pages[5], &f, "3 7f10 24 used 4 8 ?");
	json_decref(j);
}

static const struct column few[] = { { "n", 'r', 'd', false },
				     { "name", 'l', 't', true },
				     { NULL, 0, 0, false } };

static void add_few(struct sheet *s, uint64_t key, double n, const char *name)
{
	sheet_row(s, key);
	sheet_number(s, n, 0);
	sheet_text(s, "%s", name);
}

static void check_order(struct sheet *s, size_t column, bool reverse,
			const char *keys)
{
	size_t i;

	sheet_sort(s, column, reverse);
	for (i = 0; i < s->nr; i++)
		assert_int_equal(s->rows[i].key, keys[i] - '0');
}

/* An answer that comes when its question is not the screen's any more is not taken. */
static void test_late_answer(void **state)
{
	struct rounds r = { .asking = ANSWER_NONE };
	int forget, fds[2];

	(void)state;
	for (forget = 0; forget < 2; forget++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds),
				 0);
		r.asking.fd = fds[0];
		r.asking.out =
			open_memstream(&r.asking.text, &r.asking.text_len);
		r.asking.err =
			open_memstream(&r.asking.said, &r.asking.said_len);
		r.coming = json_array();
		r.busy = r.on_question = true;
		if (forget)
			rounds_forget(&r);
		assert_int_equal(wire_send(fds[1], WIRE_OUT, "{}", 2), 0);
		assert_int_equal(wire_exit(fds[1], 0), 0);
		rounds_step(&r, 0);
		assert_true(r.busy);
		rounds_step(&r, 0);
		assert_false(r.busy);
		assert_int_equal(r.answer == NULL, forget);
		close(fds[1]);
		answer_drop(&r.asking);
	}
	rounds_free(&r);
}

/* What the last round has found holds until the next one is over. */
static void test_round_under_way(void **state)
{
	struct rounds r = { .asking = ANSWER_NONE, .daemons = 1 };
	char path[200];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/%d.sock", wire_dir(), getpid());
	fd = wire_listen(path, WIRE_NO_GROUP); /* it does not answer */
	assert_true(fd >= 0);
	rounds_begin(&r, NULL, 0, 0);
	assert_true(r.busy);
	assert_int_equal(r.daemons, 1);
	rounds_free(&r);
	close(fd);
	unlink(path);
}

/* What is not known comes last, whichever way. Equals are by key. */
static void test_sort(void **state)
{
	struct sheet s;

	(void)state;
	sheet_init(&s, few);
	add_few(&s, 4, 1, "d");
	add_few(&s, 3, NAN, "a");
	add_few(&s, 2, 5, "c");
	add_few(&s, 1, 1, "b");
	check_order(&s, 0, false, "2143");
	check_order(&s, 0, true, "1423");
	check_order(&s, 1, false, "3124");
	check_order(&s, 1, true, "4213");
	sheet_free(&s);
}

static void test_lines(void **state)
{
	struct sheet s;
	char **lines;

	(void)state;
	sheet_init(&s, few);
	add_few(&s, 1, 12, "a\x1b[2J");
	lines = sheet_lines(&s, true);
	assert_string_equal(lines[0], " n  name");
	assert_string_equal(lines[1], "12  a\\033[2J");
	sheet_lines_free(lines);
	lines = sheet_lines(&s, false);
	assert_string_equal(lines[1], "12");
	sheet_lines_free(lines);
	sheet_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rate_of_new),
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_vmas),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_late_answer),
		cmocka_unit_test(test_round_under_way),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
