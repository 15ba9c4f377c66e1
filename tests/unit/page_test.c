// SPDX-License-Identifier: GPL-2.0
/* Pages of this very process and of a child: what is told of them is what we made. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "intake/page.h"
#include "intake/proc.h"
#include "output/output.h"
#include "output/page.h"

#define PAGE 4096ull

static uint64_t frame_of(const volatile void *p)
{
	int fd = proc_open_pagemap((uint32_t)getpid());
	uint64_t entry = 0;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)),
			 8);
	close(fd);
	return entry & ((1ull << 55) - 1);
}

/* May we see frames? Then so may page_look(). */
static bool may_see_frames(void)
{
	int on_stack = 1;

	return frame_of(&on_stack);
}

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
	return p;
}

static struct page_look look(const char *p, bool trusted)
{
	uint32_t pid = (uint32_t)getpid();
	struct page_look l;
	struct proc_map *maps;
	long nr = proc_maps(pid, &maps), i;

	for (i = 0; i < nr && maps[i].d.end <= (uintptr_t)p; i++)
		;
	assert_true(i < nr && maps[i].d.start <= (uintptr_t)p);
	assert_int_equal(
		page_look(pid, &maps[i].d, (uintptr_t)p + 17, trusted, &l), 0);
	assert_int_equal(l.addr, (uintptr_t)p);
	free(maps);
	return l;
}

static const struct page_user *user(const struct page_look *l, pid_t pid)
{
	size_t i;

	for (i = 0; i < l->users && i < PAGE_USERS; i++)
		if (l->user[i].pid == (uint32_t)pid)
			return &l->user[i];
	return NULL;
}

/* Not every kernel has one frame for all pages that have only been read. */
static void test_states(void **state)
{
	volatile char *p = map(4);
	bool shares_zeroes;
	struct page_look l;

	(void)state;
	p[0] = 1;
	(void)p[PAGE];
	(void)p[3 * PAGE];
	shares_zeroes = may_see_frames() &&
			frame_of(p + PAGE) == frame_of(p + 3 * PAGE);
	l = look((char *)p, true);
	assert_int_equal(l.state, PAGE_PRESENT);
	assert_true(l.alone && !l.file && !l.looked);
	assert_int_not_equal(l.huge, PAGE_YES);
	assert_int_not_equal(l.soft_dirty, PAGE_NO);
	assert_int_equal(l.permitted, may_see_frames());
	if (l.mapped_known)
		assert_int_equal(l.mapped, 1);
	l = look((char *)p + PAGE, true);
	assert_int_equal(l.state, shares_zeroes ? PAGE_ZERO : PAGE_PRESENT);
	l = look((char *)p + 2 * PAGE, true);
	assert_int_equal(l.state, PAGE_NONE);
	assert_false(l.permitted || l.looked);
	munmap((char *)p, 4 * PAGE);
}

/* A child that stands still until it is told to go on, and then to end. */
struct child {
	pid_t pid;
	int to, from;
};

static void answer(int to)
{
	if (write(to, "", 1) != 1)
		_exit(1);
}

static struct child start(char *touch)
{
	int to[2], from[2];
	struct child c;
	char byte;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	c.pid = fork();
	if (!c.pid) {
		close(to[1]);
		answer(from[1]);
		if (read(to[0], &byte, 1) == 1)
			*(volatile char *)touch = 2;
		answer(from[1]);
		byte = (char)read(to[0], &byte, 1);
		_exit(byte);
	}
	close(to[0]);
	close(from[1]);
	c.to = to[1];
	c.from = from[0];
	assert_int_equal(read(c.from, &byte, 1), 1);
	return c;
}

static void go_on(const struct child *c)
{
	char byte;

	assert_int_equal(write(c->to, "", 1), 1);
	assert_int_equal(read(c->from, &byte, 1), 1);
}

static void stop(const struct child *c)
{
	close(c->to);
	close(c->from);
	waitpid(c->pid, NULL, 0);
}

/* One's own memory after a fork: shared until one of them writes. */
static void test_fork(void **state)
{
	char *p = map(1);
	struct page_look l;
	struct child c;

	(void)state;
	*p = 1;
	c = start(p);
	l = look(p, true);
	assert_int_equal(l.state, PAGE_PRESENT);
	assert_false(l.alone);
	assert_int_equal(l.looked, may_see_frames());
	if (may_see_frames()) {
		assert_non_null(user(&l, c.pid));
		assert_int_equal(user(&l, c.pid)->addr, (uintptr_t)p);
	}
	if (l.mapped_known)
		assert_int_equal(l.mapped, 2);
	l = look(p, false);
	assert_false(l.permitted || l.looked || l.flags_known ||
		     l.mapped_known);
	go_on(&c);
	l = look(p, true);
	assert_true(l.alone && !l.looked);
	stop(&c);
	munmap(p, PAGE);
}

/* Shared memory: who maps it is known by its file, who has touched it by the frame. */
static void test_shared(void **state)
{
	int fd = memfd_create("page_test", 0);
	struct page_look l;
	struct child c;
	char *p;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p += 2 * PAGE;
	c = start(p);
	l = look(p, true);
	assert_int_equal(l.state, PAGE_NONE);
	assert_true(l.looked);
	assert_non_null(user(&l, c.pid));
	*p = 1;
	l = look(p, true);
	assert_int_equal(l.state, PAGE_PRESENT);
	assert_true(l.file && l.alone);
	assert_non_null(user(&l, c.pid));
	assert_int_equal(user(&l, c.pid)->here,
			 may_see_frames() ? PAGE_NO : PAGE_UNKNOWN);
	go_on(&c);
	l = look(p, true);
	assert_false(l.alone);
	assert_int_equal(user(&l, c.pid)->here,
			 may_see_frames() ? PAGE_YES : PAGE_UNKNOWN);
	assert_int_equal(user(&l, c.pid)->addr, (uintptr_t)p);
	stop(&c);
	munmap(p - 2 * PAGE, 4 * PAGE);
	close(fd);
}

static void test_words(void **state)
{
	struct page_look l = {
		.addr = 0x7f0000001000,
		.state = PAGE_PRESENT,
		.soft_dirty = PAGE_YES,
		.huge = PAGE_UNKNOWN,
		.permitted = true,
		.frame = 0x1234,
		.flags_known = true,
		.flags = 1 << 12 | 1 << 3 | 1ull << 40,
		.looked = true,
		.users = 1,
		.user = { { 77, "a\nb", 0x7f0000001000, PAGE_YES } },
		.blind = 2,
	};
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	json_t *j = json_page(&l);

	(void)state;
	put_page(f, &l);
	l.permitted = false;
	l.looked = false;
	put_page(f, &l);
	fclose(f);
	assert_string_equal(
		text,
		"  page      7f0000001000, present, its own memory, mapped by others too, huge page: ?, soft-dirty\n"
		"  frame     0x1234, mapped ? times, flags UPTODATE ANON\n"
		"  shared    with 1 process: 77 (a\\012b) at 0x7f0000001000; 2 could not be looked at\n"
		"  page      7f0000001000, present, its own memory, mapped by others too, huge page: ?, soft-dirty\n"
		"  frame     not permitted (CAP_SYS_ADMIN)\n");
	free(text);
	assert_string_equal(json_string_value(json_object_get(j, "frame")),
			    "0x1234");
	assert_true(json_is_null(json_object_get(j, "mapped")));
	assert_true(json_is_null(json_object_get(j, "huge")));
	assert_true(json_is_true(json_object_get(j, "soft_dirty")));
	assert_int_equal(json_array_size(json_object_get(j, "flags")), 2);
	json_decref(j);
}

static void test_address(void **state)
{
	static const struct {
		const char *text;
		bool bytes;
		uint64_t addr; /* 0: refused */
	} cases[] = {
		{ "30aecfd0", false, 0x30aecfd0 },
		{ "0x7f0012345678", false, 0x7f0012345678 },
		{ "d0 cf ae 30 00 00 00 00", false, 0x30aecfd0 },
		{ " d0,cf,ae,30,ff, 7f,00,00 ", false, 0x7fff30aecfd0 },
		{ "0xd0\t0xcf\t0xae\t0x30\t0x00\t0x00\t0x00\t0x00", false,
		  0x30aecfd0 },
		{ "d0 cf ae 30", false, 0x30aecfd0 },
		{ "d0cfae3000000000", true, 0x30aecfd0 },
		{ "d0cf ae30 0000 0000", true, 0x30aecfd0 },
		{ "d0cfae3000000000", false, 0xd0cfae3000000000 },
		{ "d0cf ae30 0000 0000", false, 0 }, /* in which order? */
		{ "d0 cf ae", false, 0 },
		{ "d0 cf ae 30 00 00 00 00 00", false, 0 },
		{ "d0 cf ae 3", false, 0 },
		{ "d0 cf ae 3g", false, 0 },
		{ "", false, 0 },
		{ "", true, 0 },
		{ " ", false, 0 },
		{ "0x", true, 0 },
		{ "-1", false, 0 },
		{ "1ffffffffffffffff", false, 0 },
		{ "xyz", false, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t addr;
		int err = address_parse(cases[i].text, cases[i].bytes, &addr);

		assert_int_equal(err, cases[i].addr ? 0 : -EINVAL);
		if (!err)
			assert_int_equal(addr, cases[i].addr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),	cmocka_unit_test(test_fork),
		cmocka_unit_test(test_shared),	cmocka_unit_test(test_words),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
