// SPDX-License-Identifier: GPL-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "intake/probe_point.h"
#include "seed.h"

/* Code, padded with int3. */
static size_t point(const char *bytes, size_t nr, bool null_returns)
{
	unsigned char code[PROBE_POINT_BYTES];

	memset(code, 0xcc, sizeof(code));
	memcpy(code, bytes, nr);
	return probe_point(code, sizeof(code), null_returns);
}

#define POINT(bytes, null_returns) point(bytes, sizeof(bytes) - 1, null_returns)

/* glibc 2.36 of Debian 12 */
static void test_glibc(void **state)
{
	(void)state;
	/* malloc: push %r12 */
	assert_int_equal(POINT("\x41\x54\x55\x53\x48\x89\xfb", false), 0);
	/* free: test %rdi,%rdi; je; push %rbp */
	assert_int_equal(POINT("\x48\x85\xff\x0f\x84\xb9\x00\x00\x00\x55"
			       "\x48\x8d\x77\xf0",
			       true),
			 9);
	/* memalign: cmpb $0,d(%rip); je; jmp */
	assert_int_equal(POINT("\x80\x3d\x71\x0e\x14\x00\x00\x74\x07\xe9"
			       "\x32\xf6\xff\xff",
			       false),
			 7);
	/* posix_memalign: cmpb; push %r12 */
	assert_int_equal(
		POINT("\x80\x3d\x01\x02\x14\x00\x00\x41\x54\x49\x89\xd4",
		      false),
		7);
	/* reallocarray: mov %rsi,%rax; mul %rdx: nothing */
	assert_int_equal(POINT("\x48\x89\xf0\x48\xf7\xe2\x48\x89\xc6\x70\x05",
			       false),
			 0);
}

static void test_others(void **state)
{
	(void)state;
	/* endbr64; push %rbp */
	assert_int_equal(POINT("\xf3\x0f\x1e\xfa\x55\x48\x89\xe5", false), 4);
	/* a branch for NULL where NULL counts is itself the place */
	assert_int_equal(POINT("\x48\x85\xff\x74\x10\x55", false), 3);
	/* ... and where nothing better follows it */
	assert_int_equal(POINT("\x48\x85\xff\x74\x10\x48\x8b\x07", true), 3);
	/* jne goes the other way */
	assert_int_equal(POINT("\x48\x85\xff\x75\x10\x55", true), 3);
	/* test %rsi,%rsi says nothing of the pointer */
	assert_int_equal(POINT("\x48\x85\xf6\x74\x10\x55", true), 3);
	/* the test was not the last word */
	assert_int_equal(POINT("\x48\x85\xff\x80\x3d\x01\x02\x14\x00\x00\x74"
			       "\x10\x55",
			       true),
			 10);
	/* mov %rdx,%rdi: an argument is gone */
	assert_int_equal(POINT("\x48\x89\xd7\x55", false), 0);
	/* mov %rdi,%rbx; push */
	assert_int_equal(POINT("\x48\x89\xfb\x55", false), 3);
	/* sub $8,%rsp: the return address is elsewhere */
	assert_int_equal(POINT("\x48\x83\xec\x08\x55", false), 0);
	/* mov (%rdi),%rax */
	assert_int_equal(POINT("\x48\x8b\x07\x55", false), 0);
}

/* It never looks beyond what it was given, whatever that is. */
static void test_random(void **state)
{
	unsigned int i, j;

	(void)state;
	seed_start();
	for (i = 0; i < 100000; i++) {
		size_t nr = seed_below(PROBE_POINT_BYTES + 1);
		unsigned char *code = malloc(nr + 1);

		for (j = 0; j < nr; j++)
			code[j] = (unsigned char)seed_next();
		/* what lies behind is not ours (AddressSanitizer) */
		code = realloc(code, nr ? nr : 1);
		assert_true(probe_point(code, nr, i & 1) <= nr);
		free(code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
