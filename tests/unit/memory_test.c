// SPDX-License-Identifier: GPL-2.0
/* Our own memory read as another process's is: whatever the order, the same bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/memory.h"
#include "seed.h"

#define PAGE 4096ull
#define PAGES 1024ull /* four windows */
#define UNMAPPED 700ull

static uint8_t *area;

/* Of three pages one is not there; one in the middle is not even mapped. */
static int make_area(void **state)
{
	uint64_t i, j;

	(void)state;
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return -1;
	for (i = 0; i < PAGES; i++)
		for (j = 0; seed_below(3) && j < PAGE; j += 8)
			area[i * PAGE + j] = (uint8_t)(i + j / 8);
	return munmap(area + UNMAPPED * PAGE, PAGE);
}

static bool is_mapped(uint64_t at, size_t len)
{
	return at + len <= UNMAPPED * PAGE || at >= (UNMAPPED + 1) * PAGE;
}

static void check(struct memory *m, uint64_t at, size_t len)
{
	static uint8_t got[3 * PAGE];
	int err = memory_read(m, (uint64_t)area + at, got, len);

	if (err == -EFAULT)
		assert_false(is_mapped(at, len));
	else
		assert_int_equal(err, 0);
	if (is_mapped(at, len))
		assert_memory_equal(got, area + at, len);
}

/* In a row, with steps of up to some pages, or wherever. */
static void any_order(void **state)
{
	struct memory *m = memory_open((uint32_t)getpid());
	uint64_t at = 0, step;
	size_t len;
	int i;

	(void)state;
	assert_non_null(m);
	for (i = 0; i < 30000; i++) {
		len = 1 + seed_below(seed_below(8) ? 64 : 2 * PAGE);
		step = seed_below(4);
		at = !step ? seed_below((uint32_t)(PAGES * PAGE)) :
			     at + seed_below(step == 1 ? 5 * PAGE : 200);
		at %= (PAGES - 3) * PAGE;
		check(m, at, len);
		if (!seed_below(1000))
			memory_forget(m);
	}
	memory_close(m);
}

static void next_page(void **state)
{
	struct memory *m = memory_open((uint32_t)getpid());
	uint64_t p = (uint64_t)area, end = p + UNMAPPED * PAGE, q;
	unsigned char there;

	(void)state;
	assert_non_null(m);
	while (p < end) {
		q = memory_next(m, p, end);
		assert_true(q >= p && q <= end);
		for (; p < q; p += PAGE) {
			assert_int_equal(mincore((void *)p, PAGE, &there), 0);
			assert_false(there & 1);
		}
		p += PAGE;
	}
	memory_close(m);
}

static void each(void **state)
{
	static uint64_t at[PAGES], words[PAGES][2];
	struct memory *m = memory_open((uint32_t)getpid());
	size_t i;

	(void)state;
	assert_non_null(m);
	for (i = 0; i < PAGES; i++)
		at[i] = (uint64_t)area + (i % 7 ? i : UNMAPPED) * PAGE +
			seed_below(256) * 16;
	memory_read_each(m, at, PAGES, words);
	for (i = 0; i < PAGES; i++) {
		if (is_mapped(at[i] - (uint64_t)area, 16))
			assert_memory_equal(words[i], (void *)at[i], 16);
		else
			assert_int_equal(words[i][0] | words[i][1], 0);
	}
	memory_read_each(m, at, 0, words);
	memory_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(next_page),
		cmocka_unit_test(each),
	};

	seed_start();
	return cmocka_run_group_tests(tests, make_area, NULL);
}
