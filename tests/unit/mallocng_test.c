// SPDX-License-Identifier: GPL-2.0
/*
 * The books of musl's malloc, read from an image (ngimage.h), sound and spoiled.
 * That they are read right from real processes shows tests/live/52-attach.t.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ngimage.h"
#include "seed.h"

static struct ng_image im;

#define SMALL(slot) (NG_AT_SMALL + 16 + (slot)*48ull)

static const struct found_chunk wanted[] = {
	{ SMALL(0), 40 },
	{ SMALL(1), 3 },
	{ SMALL(2) + 16, 20 },
	{ SMALL(6), 44 },
	{ SMALL(7), 0 },
	{ NG_AT_OUTER + 16 + 496, 400 },
	{ NG_AT_OUTER + 32, 12 },
	{ NG_AT_OUTER + 32 + 29 * 16, 1 },
	{ NG_AT_MAPPED + 16, 8000 },
	{ NG_AT_FAR + NG_MOVED, 100 },
};
#define WANTED (sizeof(wanted) / sizeof(wanted[0]))

static int read_image(struct ng_book *b, const char **why)
{
	struct pt_target t = ng_target(&im);

	return ng_read(&t, b, why);
}

/* The size of the chunk at addr; -1: there is none. */
static int64_t size_at(const struct ng_book *b, uint64_t addr)
{
	size_t i;

	for (i = 0; i < b->nr_chunks; i++)
		if (b->chunks[i].addr == addr)
			return (int64_t)b->chunks[i].size;
	return -1;
}

static void is_as_wanted(const struct ng_book *b)
{
	size_t i;

	assert_int_equal(b->nr_chunks, WANTED);
	for (i = 0; i < WANTED; i++)
		assert_int_equal(size_at(b, wanted[i].addr), wanted[i].size);
	assert_int_equal(b->nr_groups, 5);
	assert_int_equal(b->lost, 0);
	assert_int_equal(b->unready, 1);
	assert_int_equal(b->context, NG_CONTEXT);
}

static void all_chunks(void **state)
{
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	assert_int_equal(read_image(&b, &why), 0);
	assert_null(why);
	is_as_wanted(&b);
	ng_free(&b);
}

static uint64_t next(void *ctx, uint64_t addr, uint64_t end)
{
	(void)ctx;
	(void)end;
	return addr & ~4095ull;
}

static void with_page_tables(void **state)
{
	struct pt_target t;
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	t = ng_target(&im);
	t.mem.next = next;
	assert_int_equal(ng_read(&t, &b, &why), 0);
	is_as_wanted(&b);
	ng_free(&b);
}

static void refused(int err, const char *sentence)
{
	const char *why;
	struct ng_book b;

	assert_int_equal(read_image(&b, &why), err);
	assert_non_null(strstr(why, sentence));
	assert_null(b.chunks);
}

static void put(uint64_t addr, uint64_t value, size_t len)
{
	ng_make(&im);
	ng_put(&im, addr, value, len);
}

static void nothing_there(void **state)
{
	static const struct {
		uint64_t at, value;
	} spoiled[] = {
		{ NG_CONTEXT, NG_SECRET + 1 },
		{ NG_CONTEXT, 0 },
		{ NG_CONTEXT + 8, 0 },
		{ NG_CONTEXT + 32, 102 },
		{ NG_CONTEXT + 56, NG_AT_AREAS + 8 },
		{ NG_CONTEXT + 64, NG_AT_AREAS }, /* there is a next one */
		{ NG_CONTEXT + 80, NG_AT_AREAS + 25 },
		{ NG_CONTEXT + 88, NG_AT_SMALL + 24 },
		{ NG_AT_AREAS + 16, 102 },
		{ NG_AT_AREAS + 16, 0 },
		{ NG_AT_AREAS + 4096, 0 },
	};
	size_t i;

	(void)state;
	ng_make(&im);
	memset(im.bytes[NG_DATA], 0, NG_PIECE); /* nobody has called malloc */
	refused(-EBADMSG, "no books of musl's malloc");
	for (i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
		put(spoiled[i].at, spoiled[i].value, 8);
		refused(-EBADMSG, "no books of musl's malloc");
	}
}

/* Active are groups of that class, but for one that has just gone. */
static void groups_of_another_class(void **state)
{
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	ng_put(&im, NG_CONTEXT + 80 + 3 * 8, ng_meta(0, 0), 8);
	assert_int_equal(read_image(&b, &why), 0);
	is_as_wanted(&b);
	ng_free(&b);
	ng_put(&im, NG_CONTEXT + 80 + 4 * 8, ng_meta(0, 0), 8);
	refused(-EBADMSG, "no books of musl's malloc");
}

/* A copy; and one that is old, for the areas of that time were others. */
static void another_one(void **state)
{
	const uint64_t copy = NG_AT_DATA + 0x1008;
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	memcpy(ng_byte(&im, copy, 928), ng_byte(&im, NG_CONTEXT, 928), 928);
	refused(-EBADMSG, "two places");
	ng_put(&im, copy + 64, NG_AT_AREAS, 8);
	assert_int_equal(read_image(&b, &why), 0);
	is_as_wanted(&b);
	ng_free(&b);
}

/* The same one, in data that is told of twice. */
static void twice(void **state)
{
	struct pt_target t;
	struct pt_range data[2];
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	data[0] = data[1] = im.data;
	t = ng_target(&im);
	t.data = data;
	t.nr_data = 2;
	assert_int_equal(ng_read(&t, &b, &why), 0);
	is_as_wanted(&b);
	ng_free(&b);
}

static void chain_of_areas(void **state)
{
	const uint64_t next_of_first = NG_AT_AREAS + 8;

	(void)state;
	put(next_of_first, NG_AT_AREAS, 8); /* to itself */
	refused(-EAGAIN, "contradict");
	put(next_of_first, NG_AT_SMALL, 8);
	refused(-EAGAIN, "contradict");
	put(next_of_first, 0x1000, 8);
	refused(-EAGAIN, "contradict");
	put(next_of_first, NG_AT_AREAS + 16, 8);
	refused(-EAGAIN, "contradict");
}

/* One group, or one slot, is passed over, and the others are there. */
static void passed_over(uint64_t at, uint64_t value, size_t len, size_t lost,
			size_t unready, size_t chunks)
{
	const char *why;
	struct ng_book b;

	put(at, value, len);
	assert_int_equal(read_image(&b, &why), 0);
	assert_int_equal(b.lost, lost);
	assert_int_equal(b.unready, unready);
	assert_int_equal(b.nr_chunks, chunks);
	ng_free(&b);
}

static void being_changed(void **state)
{
	const uint64_t bits = ng_meta(1, 1) + 32, small = ng_meta(0, 0);

	(void)state;
	/* Its memory is somebody else's by now, or is not there. */
	passed_over(NG_AT_SMALL, 0, 8, 1, 0, WANTED - 5);
	passed_over(small + 16, 0x7f0000050000ull, 8, 1, 0, WANTED - 5);
	passed_over(small + 16, NG_AT_SMALL + 8, 8, 1, 0, WANTED - 5);
	passed_over(small + 16, 1ull << 60, 8, 1, 0, WANTED - 5);
	/* Free in two ways; slots that there are not; sizes that there are not. */
	passed_over(small + 24, 1 << 4 | 1 << 3, 4, 1, 0, WANTED - 5);
	passed_over(small + 24, 1u << 31, 4, 1, 0, WANTED - 5);
	passed_over(bits, 48 << 6 | 2 << 12, 8, 1, 1, WANTED - 1);
	passed_over(bits, 63 << 6, 8, 1, 1, WANTED - 1);
	passed_over(bits, ~0ull << 12 | 63 << 6, 8, 1, 1, WANTED - 1);
	passed_over(bits, 31 | 47 << 6 | 2 << 12, 8, 1, 1, WANTED - 1);
	/* A header of another slot, of nothing, further on, behind the end. */
	passed_over(SMALL(0) - 3, 1, 1, 0, 2, WANTED - 1);
	passed_over(SMALL(0) - 3, 255, 1, 0, 2, WANTED - 1);
	passed_over(SMALL(1) - 2, 7, 2, 0, 2, WANTED - 1);
	passed_over(SMALL(2) - 2, 2, 2, 0, 2, WANTED - 1);
	passed_over(SMALL(2) - 2, 0xffff, 2, 0, 2, WANTED - 1);
	passed_over(NG_AT_FAR + NG_MOVED - 8, 0xffff, 4, 0, 2, WANTED - 1);
	passed_over(NG_AT_FAR + 14, 0xfffe, 2, 0, 2, WANTED - 1);
}

/* What the program has written over: the chunk is there, its size that of the slot. */
static void size_written_over(void **state)
{
	const uint32_t bad[] = { 0, 4, 45, ~0u };
	const char *why;
	struct ng_book b;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(SMALL(1) + 44 - 4, bad[i], 4);
		assert_int_equal(read_image(&b, &why), 0);
		assert_int_equal(size_at(&b, SMALL(1)), 44);
		ng_free(&b);
	}
}

static void too_many(void **state)
{
	struct pt_target t;
	const char *why;
	struct ng_book b;

	(void)state;
	ng_make(&im);
	t = ng_target(&im);
	t.max_chunks = WANTED + 1; /* one is a group, one not ready */
	assert_int_equal(ng_read(&t, &b, &why), -E2BIG);
	assert_string_equal(why, "it has more chunks than may be read");
	t.max_chunks++;
	assert_int_equal(ng_read(&t, &b, &why), 0);
	ng_free(&b);
}

/* Groups that are none, more than can be under way. */
static void other_books(void **state)
{
	int i;

	(void)state;
	ng_make(&im);
	for (i = 3; i < 50; i++)
		ng_put(&im, ng_meta(0, i) + 16, NG_AT_DATA, 8);
	refused(-EAGAIN, "contradict");
	/* So few that all might be under way, but then there are none. */
	ng_make(&im);
	for (i = 0; i < 3; i++)
		ng_put(&im, ng_meta(1, i) + 16, 0, 8);
	ng_put(&im, NG_AT_SMALL, 0, 8);
	ng_put(&im, NG_AT_OUTER, 0, 8);
	refused(-EAGAIN, "contradict");
}

/* Whatever is written there: nothing but what is in reach, and chunks in its groups. */
static void hostile(void **state)
{
	const char *why;
	struct ng_book b;
	size_t i, n;

	(void)state;
	seed_start();
	for (i = 0; i < 20000; i++) {
		ng_make(&im);
		for (n = 1 + seed_below(4); n; n--) {
			uint64_t at = ng_at[seed_below(NG_PIECES)] +
				      seed_below(seed_below(4) ? 1024 : 8184);
			uint64_t word = seed_next();

			if (seed_below(2))
				word = ng_at[seed_below(NG_PIECES)] +
				       (word & 0x1fff);
			ng_put(&im, at, word, 1u << seed_below(4));
		}
		if (!read_image(&b, &why))
			for (n = 0; n < b.nr_chunks; n++)
				assert_true(b.chunks[n].addr +
						    b.chunks[n].size <
					    1ull << 47);
		ng_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_chunks),
		cmocka_unit_test(with_page_tables),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(groups_of_another_class),
		cmocka_unit_test(another_one),
		cmocka_unit_test(twice),
		cmocka_unit_test(chain_of_areas),
		cmocka_unit_test(being_changed),
		cmocka_unit_test(size_written_over),
		cmocka_unit_test(too_many),
		cmocka_unit_test(other_books),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
