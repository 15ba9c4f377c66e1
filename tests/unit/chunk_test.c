// SPDX-License-Identifier: GPL-2.0
/*
 * chunk_table against a twin that is a sorted array and looks at everything.
 * Addresses crowd in a few small regions, one of them across the border of two
 * leaves (1 GiB), so that chunks meet, overlap and reach over pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/chunk.h"
#include "model/model.h"
#include "seed.h"

#define PAGE 4096ull
#define TOP (1ull << 47)
#define GIB (1ull << 30)

static struct chunk chunk_of(uint64_t addr, uint64_t size)
{
	return (struct chunk){ .addr = addr,
			       .size = size,
			       .ts = addr ^ size,
			       .caller = size + 1,
			       .tid = 7,
			       .op = CALL_MALLOC };
}

static int insert(struct chunk_table *t, uint64_t addr, uint64_t size)
{
	struct chunk c = chunk_of(addr, size);

	return chunk_insert(t, &c);
}

static struct call_brief malloc_call(uint64_t addr, uint64_t size)
{
	return (struct call_brief){ .addr = addr,
				    .size = size,
				    .caller = size + 1,
				    .op = CALL_MALLOC,
				    .phase = CALL_ALLOC };
}

static struct call_brief free_call(uint64_t addr)
{
	return (struct call_brief){ .addr = addr,
				    .op = CALL_FREE,
				    .phase = CALL_FREED };
}

/* --- hand cases */

/*
 * Who died may be known before anybody has lived, when lives were put in order. The
 * first of all: a later table has the memory of one before.
 */
static void test_run_of_dead(void **state)
{
	const struct call_brief call = free_call(0x1000);
	const struct call_run calls = { .ts = 5000, .nr = 1, .calls = &call };
	struct op_tally ops[CALL_OP_MAX] = { 0 };
	struct chunk_table *t = chunk_table_new();
	struct chunk_run run = { .ops = ops };

	(void)state;
	assert_int_equal(chunk_die(t, 0x1000, 3000, 9, NULL), -ENOENT);
	chunk_mark_died(t, 0x1000, 4000, false);
	assert_int_equal(chunk_run(t, &calls, 0, &run), 0);
	assert_true(chunk_died(t, 0x1000, 4000, 4000));
	assert_int_equal(ops[CALL_FREE].calls, 0);
	chunk_table_free(t);
}

/* Chunks on several pages are done among others, but not those on two leaves. */
static void test_run_of_wide(void **state)
{
	const struct call_brief call[] = {
		malloc_call(0x1ff0, 3000),
		malloc_call(0x3000, 5 * PAGE),
		free_call(0x1ff0),
		malloc_call(0x2000, PAGE),
		free_call(0x3000),
		malloc_call(0x2ff0, 32), /* in the way of that at 0x2000 */
		malloc_call(GIB - PAGE, 2 * PAGE),
		malloc_call(0x3000, 256 * PAGE), /* large */
	};
	const struct call_run calls = { .ts = 5000, .nr = 8, .calls = call };
	struct op_tally ops[CALL_OP_MAX] = { 0 };
	struct chunk_table *t = chunk_table_new();
	struct chunk_run run = { .ops = ops };

	(void)state;
	assert_int_equal(insert(t, 0x1000, 16), 0);
	assert_int_equal(chunk_run(t, &calls, 0, &run), 5);
	assert_int_equal(ops[CALL_MALLOC].calls, 3);
	assert_int_equal(ops[CALL_FREE].bytes, 3000 + 5 * PAGE);
	assert_true(chunk_died(t, 0x1ff0, 5000, 5000));
	assert_true(chunk_died(t, 0x3000, 5000, 5000));
	assert_int_equal(chunk_page_bytes(t, 0x1000), 16);
	assert_int_equal(chunk_page_bytes(t, 0x2000), PAGE);
	assert_int_equal(chunk_page_bytes(t, 0x3000), 0);
	for (size_t i = 5; i < calls.nr; i++)
		assert_int_equal(chunk_run(t, &calls, i, &run), i);
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

/*
 * Of 8 bytes and at 8 mod 16, with neighbours of the same kind: two may have one
 * granule, and an earlier one may reach into it.
 */
static void test_run_of_tiny(void **state)
{
	const struct call_brief call[] = {
		malloc_call(0x2000, 8), malloc_call(0x2008, 5),
		malloc_call(0x2018, 8), malloc_call(0x2010, 8),
		free_call(0x2008),	free_call(0x2000),
		malloc_call(0x2008, 8), malloc_call(0x2000, 0),
		free_call(0x2018),	free_call(0x2010),
		free_call(0x2000),	malloc_call(0x2030, 24),
		malloc_call(0x2048, 8), free_call(0x2048),
		malloc_call(0x2040, 8), /* in the way of that at 0x2030 */
	};
	const size_t other = 12; /* beside one that reaches into its granule */
	struct call_run calls = { .ts = 5000, .calls = call };
	struct op_tally ops[CALL_OP_MAX] = { 0 };
	struct chunk_table *t = chunk_table_new();
	struct chunk_run run = { .ops = ops };
	size_t i = 2;

	(void)state;
	assert_int_equal(insert(t, 0x2000, 8), 0);
	assert_int_equal(insert(t, 0x2008, 5), 0); /* the first of its leaf */
	for (; i < 14; i++) {
		calls.nr = i + 1;
		assert_int_equal(chunk_run(t, &calls, i, &run),
				 i + (i != other));
		if (i == other)
			assert_int_equal(insert(t, 0x2048, 8), 0);
		assert_null(chunk_table_check(t));
	}
	calls.nr = i + 1;
	assert_int_equal(chunk_run(t, &calls, i, &run), i);
	assert_int_equal(chunk_get(t, 0x2008, NULL), 0);
	assert_int_equal(chunk_total(t).chunks, 2);
	assert_int_equal(chunk_page_bytes(t, 0x2000), 8 + 24);
	chunk_table_free(t);
}

/* More chunks than there is room for: it is for others to make some. */
static void test_run_of_many(void **state)
{
	struct op_tally ops[CALL_OP_MAX] = { 0 };
	struct chunk_table *t = chunk_table_new();
	struct chunk_run run = { .ops = ops };
	struct call_brief call;
	const struct call_run calls = { .nr = 1, .calls = &call };

	(void)state;
	for (uint64_t i = 1; i <= 40000; i++) {
		call = malloc_call(0x1000 * i, 24);
		if (chunk_run(t, &calls, 0, &run) == 0)
			assert_int_equal(insert(t, call.addr, call.size), 0);
	}
	assert_int_equal(chunk_total(t).chunks, 40000);
	assert_in_range(ops[CALL_MALLOC].calls, 39900, 39997);
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

static void test_one(void **state)
{
	struct chunk_table *t = chunk_table_new();
	struct chunk c;

	(void)state;
	assert_int_equal(chunk_remove(t, 0x1000, NULL), -ENOENT);
	assert_int_equal(chunk_get(t, 0x1000, &c), -ENOENT);
	assert_int_equal(insert(t, 0x1010, 100), 0);
	assert_int_equal(insert(t, 0x1010, 100), -EEXIST);
	assert_int_equal(insert(t, 0x1000, 17), -EEXIST);
	assert_int_equal(insert(t, 0x1070, 1), -EEXIST);
	assert_int_equal(insert(t, 0x1000, 16), 0);
	assert_int_equal(insert(t, 0x1078, 0), 0);
	assert_int_equal(chunk_get(t, 0x1010, &c), 0);
	assert_int_equal(c.size, 100);
	assert_int_equal(c.tid, 7);
	assert_int_equal(chunk_find(t, 0x1073, &c), 0);
	assert_int_equal(c.addr, 0x1010);
	assert_int_equal(chunk_find(t, 0x1074, &c), -ENOENT);
	assert_int_equal(chunk_find(t, 0x1078, &c), 0);
	assert_int_equal(chunk_find(t, 0x1079, &c), -ENOENT);
	assert_int_equal(chunk_next(t, 0x1011, TOP, &c), 0);
	assert_int_equal(c.addr, 0x1078);
	assert_int_equal(chunk_next(t, 0x1011, 0x1078, &c), -ENOENT);
	assert_int_equal(chunk_total(t).chunks, 3);
	assert_int_equal(chunk_total(t).bytes, 116);
	assert_int_equal(chunk_remove(t, 0x1010, &c), 0);
	assert_int_equal(c.size, 100);
	assert_int_equal(chunk_remove(t, 0x1010, &c), -ENOENT);
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

static void test_refused(void **state)
{
	struct chunk_table *t = chunk_table_new();

	(void)state;
	assert_int_equal(insert(t, 0, 1), -EINVAL);
	assert_int_equal(insert(t, 0x1004, 1), -EINVAL);
	assert_int_equal(insert(t, TOP, 0), -EINVAL);
	assert_int_equal(insert(t, TOP - 8, 9), -EINVAL);
	assert_int_equal(insert(t, 0x1000, UINT64_MAX), -EINVAL);
	assert_int_equal(insert(t, UINT64_MAX - 7, 8), -EINVAL);
	assert_int_equal(insert(t, TOP - 8, 8), 0);
	assert_int_equal(insert(t, 8, 8), 0);
	assert_int_equal(chunk_remove(t, UINT64_MAX - 7, NULL), -ENOENT);
	assert_int_equal(chunk_find(t, UINT64_MAX, NULL), -ENOENT);
	assert_int_equal(chunk_overlap(t, 0x1004, 1, NULL), -ENOENT);
	assert_int_equal(chunk_range(t, 0, UINT64_MAX & ~(PAGE - 1)).bytes, 16);
	assert_int_equal(chunk_page_bytes(t, UINT64_MAX), 0);
	assert_int_equal(chunk_page_bytes(t, TOP - 1), 8);
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

static void test_large(void **state)
{
	struct chunk_table *t = chunk_table_new();
	uint64_t at = 5 * GIB - 16;
	struct chunk c;

	(void)state;
	assert_int_equal(insert(t, at, 3 * GIB), 0);
	assert_int_equal(chunk_find(t, at + GIB, &c), 0);
	assert_int_equal(c.addr, at);
	assert_int_equal(chunk_find(t, at + 3 * GIB - 1, &c), 0);
	assert_int_equal(chunk_find(t, at + 3 * GIB, &c), -ENOENT);
	assert_int_equal(chunk_page_bytes(t, at), 16);
	assert_int_equal(chunk_page_bytes(t, at + GIB), PAGE);
	assert_int_equal(chunk_page_bytes(t, at + 3 * GIB - 1), PAGE - 16);
	assert_int_equal(insert(t, at + 2 * GIB, 16), -EEXIST);
	assert_int_equal(insert(t, at - GIB, 2 * GIB), -EEXIST);
	assert_int_equal(insert(t, at + 3 * GIB, 16), 0);
	assert_int_equal(chunk_page_bytes(t, at + 3 * GIB), PAGE);
	assert_int_equal(chunk_range(t, 0, TOP).bytes, 3 * GIB + 16);
	assert_int_equal(chunk_range(t, 6 * GIB, 7 * GIB).bytes, GIB);
	assert_int_equal(chunk_range(t, 6 * GIB, 7 * GIB).chunks, 0);
	/* All there is, as a hostile trace may say. */
	assert_int_equal(insert(t, 9 * GIB, TOP - 9 * GIB), 0);
	assert_int_equal(chunk_page_bytes(t, TOP - 1), PAGE);
	assert_null(chunk_table_check(t));
	assert_int_equal(chunk_remove(t, at, NULL), 0);
	assert_int_equal(chunk_find(t, at + GIB, &c), -ENOENT);
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

/* That a chunk died is remembered by the microsecond, until another one lives there. */
static void test_death(void **state)
{
	struct chunk_table *t = chunk_table_new();
	const uint64_t us = 1024, at = 1000000 * us;
	struct chunk c;

	(void)state;
	assert_int_equal(insert(t, 0x1008, 8), 0);
	assert_int_equal(insert(t, 0x1000, 8), 0);
	assert_int_equal(chunk_die(t, 0x1008, at, 9, &c), 0);
	assert_int_equal(c.size, 8);
	assert_int_equal(chunk_die(t, 0x1008, at, 9, &c), -ENOENT);
	assert_int_equal(chunk_find(t, 0x1008, NULL), -ENOENT);
	assert_int_equal(chunk_next(t, 0x1001, TOP, NULL), -ENOENT);
	assert_true(chunk_died(t, 0x1008, at, at));
	assert_true(chunk_died(t, 0x1008, at - us, at + us));
	assert_false(chunk_died(t, 0x1008, at + us, at + 5 * us));
	assert_false(chunk_died(t, 0x1008, at - 5 * us, at - us));
	assert_false(chunk_died(t, 0x1000, at, at));
	assert_null(chunk_table_check(t));
	chunk_mark_died(t, 0x1000, at, false); /* it lives */
	assert_int_equal(chunk_get(t, 0x1000, NULL), 0);
	assert_int_equal(chunk_remove(t, 0x1000, NULL), 0);
	assert_false(chunk_died(t, 0x1000, at, at));
	chunk_mark_died(t, 0x1000, at, false);
	assert_true(chunk_died(t, 0x1000, at, at));
	chunk_mark_died(t, UINT64_MAX - 7, at, false);
	assert_int_equal(insert(t, 0x1000, 100), 0);
	assert_false(chunk_died(t, 0x1000, at, at));
	assert_int_equal(chunk_table_pack(t), 0);
	assert_false(chunk_died(t, 0x1008, at, at));
	assert_null(chunk_table_check(t));
	chunk_table_free(t);
}

/* What a table has of one before it is as if new. */
static void test_again(void **state)
{
	static const uint64_t died[] = { 0x1000, 0x1010, 0x9000, 3 * GIB };
	struct chunk_table *t = chunk_table_new();
	struct chunk c;
	size_t i;

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(insert(t, 0x1000, 8), 0);
		assert_int_equal(insert(t, 0x1010, 3 * PAGE), 0);
		assert_int_equal(insert(t, 3 * GIB, 8), 0);
		for (i = 0; i < sizeof(died) / sizeof(died[0]); i++)
			assert_false(chunk_died(t, died[i], 5000, 5000));
		chunk_die(t, 0x1000, 5000, 9, NULL);
		chunk_die(t, 0x1010, 5000, 9, NULL);
		chunk_die(t, 3 * GIB, 5000, 9, NULL);
		chunk_mark_died(t, 0x9000, 5000,
				false); /* no chunk was there */
		for (i = 0; i < sizeof(died) / sizeof(died[0]); i++)
			assert_true(chunk_died(t, died[i], 5000, 5000));
		assert_int_equal(insert(t, 0x20550, 10 * PAGE), 0);
		chunk_table_free(t);
		t = chunk_table_new();
		assert_int_equal(insert(t, 0x40000, 8), 0);
		assert_int_equal(chunk_next(t, 1, TOP, &c), 0);
		assert_int_equal(c.addr, 0x40000);
		assert_int_equal(chunk_range(t, 0, 4 * GIB).bytes, 8);
		assert_int_equal(chunk_remove(t, 0x40000, NULL), 0);
		assert_null(chunk_table_check(t));
	}
	chunk_table_free(t);
}

static long resident_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * (long)(PAGE >> 10);
}

/* Small tables, each somewhere else, one after the other. */
static void test_kept(void **state)
{
	struct chunk_table *t;
	long before = 0;

	(void)state;
	for (uint64_t i = 0; i < 4000; i++) {
		if (i == 1000)
			before = resident_kib();
		t = chunk_table_new();
		for (uint64_t page = 0; page < 32; page++)
			assert_int_equal(
				insert(t, 5 * GIB + (i * 64 + page) * PAGE,
				       100),
				0);
		chunk_table_free(t);
	}
	assert_true(resident_kib() - before < 16 << 10);
}

/* --- the twin */

#define REGIONS 4
#define REGION_PAGES 16
#define MAX_LIVE 600
#define RANDOM_OPS 200000
#define RANDOM_RUNS 50000
#define RUN_CALLS 8

static const uint64_t region[REGIONS] = {
	0x10000,
	GIB - 8 * PAGE,
	0x7f0000000000,
	0x555555554000,
};

struct twin {
	struct chunk c[MAX_LIVE]; /* sorted */
	size_t nr;
};

static uint64_t end_of(const struct chunk *c)
{
	return c->addr + (c->size ? c->size : 1);
}

static const struct chunk *twin_overlap(const struct twin *t, uint64_t addr,
					uint64_t end)
{
	for (size_t i = 0; i < t->nr; i++) {
		if (t->c[i].addr < end && end_of(&t->c[i]) > addr)
			return &t->c[i];
	}
	return NULL;
}

static void twin_insert(struct twin *t, const struct chunk *c)
{
	size_t i = t->nr++;

	for (; i && t->c[i - 1].addr > c->addr; i--)
		t->c[i] = t->c[i - 1];
	t->c[i] = *c;
}

static void twin_remove(struct twin *t, uint64_t addr)
{
	size_t i = 0;

	while (i < t->nr && t->c[i].addr != addr)
		i++;
	assert_true(i < t->nr);
	t->nr--;
	memmove(&t->c[i], &t->c[i + 1], (t->nr - i) * sizeof(t->c[0]));
}

static const struct chunk *twin_next(const struct twin *t, uint64_t addr,
				     uint64_t end)
{
	for (size_t i = 0; i < t->nr; i++) {
		if (t->c[i].addr >= addr && t->c[i].addr < end)
			return &t->c[i];
	}
	return NULL;
}

static struct chunk_sum twin_range(const struct twin *t, uint64_t lo,
				   uint64_t hi)
{
	struct chunk_sum sum = { 0, 0 };

	for (size_t i = 0; i < t->nr; i++) {
		uint64_t a = t->c[i].addr, b = a + t->c[i].size;

		sum.chunks += a >= lo && a < hi;
		a = a > lo ? a : lo;
		b = b < hi ? b : hi;
		sum.bytes += b > a ? b - a : 0;
	}
	return sum;
}

static uint64_t random_addr(unsigned int align)
{
	uint64_t addr = region[seed_below(REGIONS)];

	return (addr + seed_below(REGION_PAGES * PAGE)) &
	       ~(uint64_t)(align - 1);
}

static uint64_t random_size(void)
{
	switch (seed_below(40)) {
	case 0:
		return 0;
	case 1:
		return seed_below(5 * PAGE);
	case 2:
		return (uint64_t)seed_below(3) * PAGE + seed_below(3) * 8;
	case 3:
		/* around the size from which chunks count as large */
		return 256 * PAGE - 24 + seed_below(2 * PAGE);
	case 4:
		return seed_below(8) ? 16 : seed_next() >> 16;
	default:
		return seed_below(300);
	}
}

static void same_chunk(int ret, const struct chunk *c,
		       const struct chunk *expected)
{
	if (!expected) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	assert_memory_equal(c, expected, sizeof(*c));
}

static void insert_both(struct chunk_table *t, struct twin *w, uint64_t addr,
			uint64_t size)
{
	struct chunk c = chunk_of(addr, size), got;
	const struct chunk *over = twin_overlap(w, c.addr, end_of(&c));
	int ret = chunk_insert(t, &c);

	if (c.addr >= TOP || c.size > TOP - c.addr) {
		assert_int_equal(ret, -EINVAL);
	} else if (over) {
		assert_int_equal(ret, -EEXIST);
		assert_int_equal(chunk_overlap(t, c.addr, c.size, &got), 0);
		over = twin_next(w, got.addr, got.addr + 1);
		assert_non_null(over);
		assert_true(over->addr < end_of(&c) && end_of(over) > c.addr);
	} else {
		assert_int_equal(ret, 0);
		twin_insert(w, &c);
	}
}

static void random_insert(struct chunk_table *t, struct twin *w)
{
	insert_both(t, w, random_addr(seed_below(4) ? 16 : 8), random_size());
}

static void random_remove(struct chunk_table *t, struct twin *w)
{
	struct chunk got;
	size_t i;

	if (!w->nr)
		return;
	i = seed_below(w->nr);
	assert_int_equal(chunk_remove(t, w->c[i].addr, &got), 0);
	assert_memory_equal(&got, &w->c[i], sizeof(got));
	twin_remove(w, got.addr);
}

static void random_questions(const struct chunk_table *t, const struct twin *w)
{
	uint64_t addr = random_addr(1), end = random_addr(1);
	uint64_t lo = addr & ~(PAGE - 1), hi = end & ~(PAGE - 1);
	struct chunk_sum sum, expected;
	struct chunk c;
	int ret;

	ret = chunk_find(t, addr, &c);
	same_chunk(ret, &c, twin_overlap(w, addr, addr + 1));
	ret = chunk_next(t, addr, end, &c);
	same_chunk(ret, &c, twin_next(w, addr, end));
	ret = chunk_get(t, addr, &c);
	same_chunk(ret, &c, twin_next(w, addr, addr + 1));
	ret = chunk_overlap(t, addr & ~7ull, 33, NULL);
	assert_int_equal(ret == 0, twin_overlap(w, addr & ~7ull,
						(addr & ~7ull) + 33) != NULL);
	assert_int_equal(chunk_page_bytes(t, addr),
			 twin_range(w, lo, lo + PAGE).bytes);
	if (lo > hi)
		return;
	sum = chunk_range(t, lo, hi);
	expected = twin_range(w, lo, hi);
	assert_int_equal(sum.chunks, expected.chunks);
	assert_int_equal(sum.bytes, expected.bytes);
}

static void compare(const struct chunk_table *t, const struct twin *w)
{
	struct chunk_sum all = twin_range(w, 0, UINT64_MAX);
	struct chunk c = { .addr = 0 };
	size_t n = 0;

	assert_null(chunk_table_check(t));
	assert_int_equal(chunk_total(t).chunks, all.chunks);
	assert_int_equal(chunk_total(t).bytes, all.bytes);
	while (chunk_next(t, c.addr + 1, TOP, &c) == 0)
		assert_memory_equal(&c, &w->c[n++], sizeof(c));
	assert_int_equal(n, w->nr);
}

static void test_random_against_twin(void **state)
{
	struct chunk_table *t = chunk_table_new();
	struct twin w = { .nr = 0 };
	int target = MAX_LIVE / 2;

	(void)state;
	seed_start();
	for (int i = 0; i < RANDOM_OPS; i++) {
		if (i % 1000 == 0)
			target = seed_below(MAX_LIVE);
		if (w.nr < MAX_LIVE &&
		    (int)(w.nr + seed_below(50)) < target + 25)
			random_insert(t, &w);
		else
			random_remove(t, &w);
		random_questions(t, &w);
		if (i % 500 == 0)
			compare(t, &w);
		if (i % 5000 == 0)
			assert_int_equal(chunk_table_pack(t), 0);
		/* packed, it answers the same */
		if (i % 10000 == 0) {
			compare(t, &w);
			for (int q = 0; q < 200; q++)
				random_questions(t, &w);
		}
	}
	compare(t, &w);
	chunk_table_free(t);
}

/* tiny: half of them as allocators have at 8 mod 16, close together, with others among them. */
static struct call_brief random_call(const struct twin *w, bool tiny)
{
	uint64_t addr = random_addr(tiny ? 8 : 16);

	if (seed_below(MAX_LIVE / 2) < w->nr)
		return free_call(w->c[seed_below(w->nr)].addr);
	if (tiny && seed_below(2))
		return malloc_call(region[0] + PAGE - 512 + (addr & 1023),
				   seed_below(8) ? seed_below(9) :
						   seed_below(40));
	return malloc_call(addr, random_size());
}

/* As chunk_run() says that it was done. */
static void twin_call(struct twin *w, const struct call_run *r,
		      const struct call_brief *call)
{
	struct chunk c = chunk_of(call->addr, call->size);

	if (call->phase == CALL_FREED) {
		twin_remove(w, call->addr);
		return;
	}
	c.ts = r->ts;
	c.tid = r->tid;
	assert_null(twin_overlap(w, c.addr, end_of(&c)));
	twin_insert(w, &c);
}

/* What a run cannot do, if anybody can. */
static void other_call(struct chunk_table *t, struct twin *w,
		       const struct call_brief *call)
{
	if (call->phase == CALL_ALLOC)
		insert_both(t, w, call->addr, call->size);
	else if (chunk_remove(t, call->addr, NULL) == 0)
		twin_remove(w, call->addr);
	else
		assert_null(twin_next(w, call->addr, call->addr + 1));
}

static void runs_against_twin(bool tiny, uint64_t enough)
{
	struct op_tally ops[CALL_OP_MAX] = { 0 };
	struct chunk_table *t = chunk_table_new();
	struct call_brief call[RUN_CALLS];
	struct call_run r = { .tid = 9, .nr = RUN_CALLS, .calls = call };
	struct chunk_run run = { .ops = ops };
	struct twin w = { .nr = 0 };
	size_t done;

	seed_start();
	for (; r.ts < RANDOM_RUNS; r.ts++) {
		for (size_t i = 0; i < RUN_CALLS; i++)
			call[i] = random_call(&w, tiny);
		done = chunk_run(t, &r, 0, &run);
		for (size_t i = 0; i < done; i++)
			twin_call(&w, &r, &call[i]);
		if (done < RUN_CALLS)
			other_call(t, &w, &call[done]);
		random_questions(t, &w);
		if (r.ts % 500 == 0)
			compare(t, &w);
	}
	compare(t, &w);
	/* It is the run that did most of them. */
	assert_true(ops[CALL_MALLOC].calls + ops[CALL_FREE].calls > enough);
	chunk_table_free(t);
}

static void test_runs_against_twin(void **state)
{
	(void)state;
	runs_against_twin(false, RANDOM_RUNS);
}

static void test_tiny_runs_against_twin(void **state)
{
	(void)state;
	runs_against_twin(true, RANDOM_RUNS);
}

static void test_clone(void **state)
{
	struct chunk_table *t = chunk_table_new(), *c, *cc;
	struct twin w = { .nr = 0 }, wc;

	(void)state;
	for (int i = 0; i < 500; i++)
		random_insert(t, &w);
	c = chunk_table_clone(t);
	wc = w;
	compare(c, &wc);
	for (int i = 0; i < 200; i++) {
		random_questions(c, &wc);
		random_remove(t, &w);
	}
	compare(t, &w);
	compare(c, &wc);
	cc = chunk_table_clone(c);
	for (int i = 0; i < 100; i++)
		random_remove(c, &wc);
	for (int i = 0; i < 300; i++)
		random_insert(c, &wc);
	compare(c, &wc);
	compare(t, &w);
	chunk_table_free(c);
	assert_null(chunk_table_check(cc));
	assert_int_equal(chunk_remove(cc, 0x1008, NULL), -ENOENT);
	assert_null(chunk_table_check(cc));
	chunk_table_free(cc);
	chunk_table_free(t);
}

/* Many chunks, so that the pool grows, and numbers are used again. */
static void test_many(void **state)
{
	struct chunk_table *t = chunk_table_new();

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 100000; i++)
			assert_int_equal(insert(t, 0x10000000 + i * 32, 24), 0);
		for (uint64_t i = round; i < 100000; i += 2)
			assert_int_equal(
				chunk_remove(t, 0x10000000 + i * 32, NULL), 0);
		assert_null(chunk_table_check(t));
		for (uint64_t i = 0; i < 100000; i++)
			chunk_remove(t, 0x10000000 + i * 32, NULL);
		assert_int_equal(chunk_total(t).chunks, 0);
		assert_int_equal(chunk_total(t).bytes, 0);
		assert_null(chunk_table_check(t));
	}
	chunk_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_of_dead),
		cmocka_unit_test(test_run_of_wide),
		cmocka_unit_test(test_run_of_tiny),
		cmocka_unit_test(test_run_of_many),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_random_against_twin),
		cmocka_unit_test(test_runs_against_twin),
		cmocka_unit_test(test_tiny_runs_against_twin),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
