// SPDX-License-Identifier: GPL-2.0
/* Two moments by hand: what matches what, what is summed, what is not known. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "output/diff.h"

static struct moment *moment(const char *build_id)
{
	struct moment *m = calloc(1, sizeof(*m));

	m->trace = strdup("trace");
	m->has_calls = true;
	m->from_start = true;
	m->vmas = calloc(8, sizeof(*m->vmas));
	m->sites = calloc(8, sizeof(*m->sites));
	m->files = calloc(1, sizeof(*m->files));
	m->files[0].object = strdup("a.out");
	snprintf(m->files[0].build_id, sizeof(m->files[0].build_id), "%s",
		 build_id);
	m->nr_files = 1;
	return m;
}

static void add(struct moment *m, const char *kind, const char *name,
		uint64_t size, uint64_t live, uint64_t unsampled)
{
	struct moment_vmas *v = &m->vmas[m->nr_vmas++];

	*v = (struct moment_vmas){ .kind = strdup(kind),
				   .name = strdup(name),
				   .perms = strdup("rw-p"),
				   .maker = strdup(""),
				   .vmas = 1,
				   .size = size,
				   .live = live,
				   .resident = unsampled ? 0 : size / 2,
				   .unsampled = unsampled };
	m->total.vmas++;
	m->total.size += size;
	m->total.resident += v->resident;
	m->total.unsampled += unsampled;
}

static void add_site(struct moment *m, const char *frames, uint64_t chunks,
		     uint64_t live)
{
	m->sites[m->nr_sites++] =
		(struct moment_site){ strdup(frames), chunks, live };
	m->total.chunks += chunks;
	m->total.live += live;
}

static json_t *answer(struct moment *a, struct moment *b)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	json_t *j;

	assert_int_equal(output_diff(f, true, a, b), 0);
	fclose(f);
	j = json_loads(text, 0, NULL);
	assert_non_null(j);
	free(text);
	moment_free(a);
	moment_free(b);
	return j;
}

/* "growth.size" of the i-th of a list */
static int64_t at(const json_t *j, const char *list, size_t i, const char *part,
		  const char *key)
{
	const json_t *n = json_object_get(
		json_object_get(json_array_get(json_object_get(j, list), i),
				part),
		key);

	assert_true(json_is_integer(n));
	return json_integer_value(n);
}

static void test_vmas(void **state)
{
	struct moment *a = moment("11"), *b = moment("11");
	json_t *j, *total;

	(void)state;
	/* As moment_take() sorts them. */
	add(a, "file", "gone", 8192, 0, 0);
	add(a, "heap", "[heap]", 4096, 100, 0);
	add(b, "arena", "1", 135168, 0, 1);
	add(b, "heap", "[heap]", 12288, 300, 0);
	j = answer(a, b);
	assert_int_equal(json_array_size(json_object_get(j, "memory")), 3);
	assert_int_equal(at(j, "memory", 0, "growth", "size"), 135168);
	assert_int_equal(at(j, "memory", 0, "a", "vmas"), 0);
	assert_true(json_is_null(json_object_get(
		json_object_get(json_array_get(json_object_get(j, "memory"), 0),
				"growth"),
		"resident")));
	assert_int_equal(at(j, "memory", 1, "growth", "size"), 8192);
	assert_int_equal(at(j, "memory", 1, "growth", "live"), 200);
	assert_int_equal(at(j, "memory", 1, "growth", "resident"), 4096);
	assert_int_equal(at(j, "memory", 2, "growth", "size"), -8192);
	assert_int_equal(at(j, "memory", 2, "b", "size"), 0);
	total = json_object_get(json_object_get(j, "total"), "growth");
	assert_int_equal(json_integer_value(json_object_get(total, "size")),
			 135168 + 8192 - 8192);
	assert_true(json_is_null(json_object_get(total, "resident")));
	json_decref(j);
}

/* Of one that was built anew the offsets say nothing; of the others they do. */
static void test_sites(void **state)
{
	struct moment *a = moment("11"), *b = moment("22");
	json_t *j, *frames;

	(void)state;
	add_site(a, "f+0x10 (a.out)\nmain+0x5 (a.out)", 1, 100);
	add_site(a, "f+0x20 (a.out)\nmain+0x5 (a.out)", 1, 10);
	add_site(a, "f+0x30 (libx.so)\nmain+0x5 (a.out)", 2, 50);
	add_site(b, "f+0x18 (a.out)\nmain+0x7 (a.out)", 3, 111);
	add_site(b, "f+0x38 (libx.so)\nmain+0x5 (a.out)", 2, 50);
	j = answer(a, b);
	assert_int_equal(json_array_size(json_object_get(j, "rebuilt")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "sites")), 3);
	assert_int_equal(at(j, "sites", 0, "growth", "live"), 50);
	assert_int_equal(at(j, "sites", 1, "growth", "live"), 1);
	assert_int_equal(at(j, "sites", 1, "growth", "chunks"), 1);
	assert_int_equal(at(j, "sites", 2, "growth", "live"), -50);
	frames = json_object_get(json_array_get(json_object_get(j, "sites"), 1),
				 "frames");
	assert_string_equal(json_string_value(json_array_get(frames, 0)),
			    "f (a.out)");
	assert_string_equal(json_string_value(json_array_get(frames, 1)),
			    "main (a.out)");
	frames = json_object_get(json_array_get(json_object_get(j, "sites"), 2),
				 "frames");
	assert_string_equal(json_string_value(json_array_get(frames, 0)),
			    "f+0x30 (libx.so)");
	json_decref(j);
	a = moment("11");
	b = moment("11");
	add_site(a, "f+0x10 (a.out)", 1, 100);
	add_site(b, "f+0x18 (a.out)", 1, 100);
	j = answer(a, b);
	assert_int_equal(json_array_size(json_object_get(j, "sites")), 2);
	json_decref(j);
}

/* Nothing is changed in what only looks like a name with an offset. */
static void test_offsets(void **state)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{ "main+0x12 (a.out)", "main (a.out)" },
		{ "operator+(int)+0x12 (a.out)", "operator+(int) (a.out)" },
		{ "a.out+0x1234", "a.out+0x1234" },
		{ "main (a.out)", "main (a.out)" },
		{ "main+0x12 (b.out)", "main+0x12 (b.out)" },
		{ "+0x1 (a.out)", " (a.out)" },
		{ "(a.out)", "(a.out)" },
		{ "", "" },
		{ "?\n\nmain+0x12 (a.out)\n?", "?\n\nmain (a.out)\n?" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct moment *m = moment("11");

		add_site(m, cases[i].before, 1, 1);
		moment_forget_offsets(m, m->files, 1);
		assert_string_equal(m->sites[0].frames, cases[i].after);
		moment_free(m);
	}
}

static void test_full_stream(void **state)
{
	struct moment *a = moment("11"), *b = moment("11");
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	add(a, "heap", "[heap]", 4096, 100, 0);
	assert_int_equal(output_diff(f, false, a, b), -ENOSPC);
	fclose(f);
	moment_free(a);
	moment_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vmas),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_full_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
