// SPDX-License-Identifier: GPL-2.0
/* hash: random operations against an array; filtering closes all gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/hash.h"
#include "seed.h"

#define KEYS 300
#define RANDOM_OPS 200000

static int values[KEYS];

/* A few of the keys share both halves with others. */
static uint64_t key_a(int key)
{
	return key % 17;
}

static uint64_t key_b(int key)
{
	return (uint64_t)(key / 17) << 40;
}

struct drop {
	bool gone[KEYS];
	int modulus, nr;
};

static bool drop_some(void *val, void *ctx)
{
	struct drop *d = ctx;
	int key = (int *)val - values;

	if (key % d->modulus)
		return false;
	assert_false(d->gone[key]);
	d->gone[key] = true;
	d->nr++;
	return true;
}

static void filter(struct hash *h, bool *there)
{
	struct drop d = { .modulus = 1 + seed_below(5) };
	int expected = 0;

	for (int i = 0; i < KEYS; i++)
		expected += there[i] && i % d.modulus == 0;
	hash_filter(h, drop_some, &d);
	assert_int_equal(d.nr, expected);
	for (int i = 0; i < KEYS; i++)
		there[i] = there[i] && !d.gone[i];
}

static void compare(const struct hash *h, const bool *there)
{
	size_t nr = 0;

	for (int i = 0; i < KEYS; i++) {
		assert_ptr_equal(hash_get(h, key_a(i), key_b(i)),
				 there[i] ? &values[i] : NULL);
		nr += there[i];
	}
	assert_int_equal(h->nr, nr);
}

static void test_random_against_twin(void **state)
{
	struct hash h = { 0 };
	bool there[KEYS] = { 0 };

	(void)state;
	seed_start();
	assert_null(hash_get(&h, 1, 2));
	hash_filter(&h, drop_some, NULL);
	hash_del(&h, 1, 2);
	for (int i = 0; i < RANDOM_OPS; i++) {
		int key = seed_below(KEYS);

		assert_int_equal(
			hash_put(&h, key_a(key), key_b(key), &values[key]), 0);
		there[key] = true;
		if (seed_below(100) == 0)
			filter(&h, there);
		key = seed_below(KEYS); /* which may not be there */
		if (seed_below(4) == 0) {
			hash_del(&h, key_a(key), key_b(key));
			there[key] = false;
		}
		if (i % 20 == 0)
			compare(&h, there);
	}
	hash_destroy(&h);
	assert_null(hash_get(&h, 1, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
