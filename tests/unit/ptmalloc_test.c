// SPDX-License-Identifier: GPL-2.0
/*
 * ptmalloc's book-keeping, read from an image (ptimage.h), sound and spoiled. That
 * it is read right from real processes shows tests/live/70-heap.t.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/ptmalloc_trim.h"
#include "ptimage.h"
#include "seed.h"

static struct image im;

static int read_image(struct pt_book *b, const char **why)
{
	struct pt_target t = image_target(&im);

	return pt_read(&t, b, why);
}

static void same_sum(struct pt_sum s, uint64_t chunks, uint64_t bytes)
{
	assert_int_equal(s.chunks, chunks);
	assert_int_equal(s.bytes, bytes);
}

static void check_image(bool newer)
{
	const char *why;
	struct pt_book b;
	const struct pt_arena *a;

	image_make(&im, newer);
	assert_int_equal(read_image(&b, &why), 0);
	assert_null(why);
	assert_null(pt_check(&b));
	assert_string_equal(b.layout->glibc, newer ? "2.43" : "2.31 to 2.42");
	assert_false(b.by_symbol);
	assert_int_equal(b.heap_info, 0x30);
	assert_true(b.safe_linking);
	assert_int_equal(b.par.addr, IMAGE_MP);
	assert_int_equal(b.par.mmap_threshold, 128 << 10);
	assert_int_equal(b.par.n_mmaps, 1);
	assert_int_equal(b.nr_arenas, 2);
	assert_int_equal(b.nr_heaps, 3);
	a = &b.arenas[0];
	assert_int_equal(a->addr, IMAGE_MAIN);
	same_sum(a->sum[PT_META], 1, newer ? 0x300 : 0x290);
	same_sum(a->sum[PT_TCACHE], 1, 0x20);
	same_sum(a->sum[PT_FAST], !newer, newer ? 0 : 0x20);
	same_sum(a->sum[PT_UNSORTED], 1, 0x1200);
	same_sum(a->sum[PT_SMALL], 1, 0x90);
	same_sum(a->sum[PT_USED], newer ? 5 : 4,
		 0x20 + 0x100 + 0x30 + 0x40 + (newer ? 0x20 : 0));
	assert_int_equal(a->unlisted + a->lost, 0);
	a = &b.arenas[1];
	assert_int_equal(a->nr_heaps, 2);
	assert_int_equal(b.heaps[a->heap].start, IMAGE_OLDER);
	assert_int_equal(b.heaps[a->heap + 1].start, IMAGE_ARENA);
	same_sum(a->sum[PT_USED], 2, 0x50 + 0x1010);
	same_sum(a->sum[PT_FENCE], 2, 16);
	assert_int_equal(a->sum[PT_UNSORTED].chunks, 1);
	assert_int_equal(a->unlisted + a->lost, 0);
	assert_int_equal(b.nr_chunks - b.mmapped, 1);
	assert_int_equal(b.chunks[b.mmapped].addr, IMAGE_MAPPED);
	assert_int_equal(pt_mapping(&b, &b.chunks[b.mmapped]), 8192);
	assert_int_equal(b.nr_threads, 1);
	assert_int_equal(b.threads[0].tid, 100);
	assert_int_equal(b.threads[0].arena, 0);
	same_sum(b.threads[0].cached, 1, 0x20);
	assert_int_equal(pt_find(&b, IMAGE_BRK + 16)->state, PT_META);
	assert_int_equal(pt_find(&b, IMAGE_MAPPED + 5000)->state, PT_MMAPPED);
	assert_null(pt_find(&b, IMAGE_LIBC));
	pt_free(&b);
}

static void all_states(void **state)
{
	(void)state;
	check_image(false);
}

static void all_states_of_2_43(void **state)
{
	(void)state;
	check_image(true);
}

static void refused(int wanted, const char *sentence)
{
	const char *why;
	struct pt_book b;

	assert_int_equal(read_image(&b, &why), wanted);
	assert_non_null(strstr(why, sentence));
	assert_null(b.chunks);
}

static void nothing_there(void **state)
{
	int i;

	(void)state;
	image_make(&im, false);
	memset(im.bytes[LIBC], 0, IMAGE_PIECE);
	refused(-EBADMSG, "no arena");
	/* As the linker made it: `next` is itself, all else is zero. */
	image_set(&im, IMAGE_MAIN + 2160, IMAGE_MAIN);
	refused(-ENOENT, "has not been called");
	/* A ring that does not come back. */
	image_make(&im, false);
	image_set(&im, IMAGE_OLDER + 0x30 + 2160, IMAGE_OLDER + 0x30);
	refused(-EBADMSG, "no arena");
	/* Bins that lead nowhere. */
	image_make(&im, false);
	for (i = 20; i < 23; i++)
		image_set(&im, image_bin(&im, IMAGE_MAIN, i) + 16, IMAGE_BRK);
	refused(-EBADMSG, "no arena");
}

static void symbols_are_checked(void **state)
{
	struct pt_target t;
	const char *why;
	struct pt_book b;

	(void)state;
	image_make(&im, false);
	t = image_target(&im);
	t.main_arena = IMAGE_MAIN;
	t.mp = IMAGE_MP;
	assert_int_equal(pt_read(&t, &b, &why), 0);
	assert_true(b.by_symbol);
	pt_free(&b);
	t.main_arena = IMAGE_MAIN + 16;
	t.mp = IMAGE_MP + 8;
	assert_int_equal(pt_read(&t, &b, &why), 0);
	assert_false(b.by_symbol);
	assert_int_equal(b.par.addr, IMAGE_MP);
	pt_free(&b);
}

/* What is read stays sound, and what is not is said. */
static void spoiled(void **state)
{
	const uint64_t first = IMAGE_BRK + 0x290, unsorted = first + 0x160;
	const char *why;
	struct pt_book b;

	(void)state;
	image_make(&im, false);
	image_set(&im, first + 8, 0xfffffffffffffff1ull);
	assert_int_equal(read_image(&b, &why), 0);
	assert_non_null(why);
	assert_null(pt_check(&b));
	assert_int_equal(b.heaps[0].broken, first);
	pt_free(&b);

	image_make(&im, false);
	image_set(&im, unsorted + 16, unsorted); /* a loop */
	image_set(&im, unsorted + 24, image_bin(&im, IMAGE_MAIN, 1));
	image_set(&im, image_bin(&im, IMAGE_MAIN, 1) + 24, unsorted);
	read_image(&b, &why);
	assert_null(pt_check(&b));
	pt_free(&b);

	image_make(&im, false);
	image_set(&im, IMAGE_BRK + 0x8, 0x290); /* the one below 0 is free */
	assert_int_equal(read_image(&b, &why), 0);
	assert_null(pt_check(&b));
	pt_free(&b);

	image_make(&im, false);
	image_set(&im, IMAGE_ARENA + 8, IMAGE_ARENA); /* prev: itself */
	assert_int_equal(read_image(&b, &why), 0);
	assert_null(pt_check(&b));
	pt_free(&b);
}

static void bounded(void **state)
{
	struct pt_target t;
	const char *why;
	struct pt_book b;

	(void)state;
	image_make(&im, false);
	t = image_target(&im);
	t.max_chunks = 5;
	assert_int_equal(pt_read(&t, &b, &why), -E2BIG);
	assert_null(b.chunks);
}

/* Words by chance at any place: never more than so many reads, never unsound. */
static void words_by_chance(void **state)
{
	struct pt_book b;
	const char *why;
	int i, j;

	(void)state;
	for (i = 0; i < 3000; i++) {
		image_make(&im, i & 1);
		for (j = 0; j < 1 + i % 5; j++) {
			int piece = (int)(seed_next() % PIECES);
			uint64_t at = seed_next() % (IMAGE_PIECE / 8) * 8;
			uint64_t from = seed_next() % PIECES;
			uint64_t word = image_at[from] +
					seed_next() % IMAGE_PIECE / 16 * 16;

			if (j & 1)
				word = seed_next() % 70000;
			image_set(&im, image_at[piece] + at % 0x1800, word);
		}
		if (!read_image(&b, &why))
			assert_null(pt_check(&b));
		assert_true(im.reads < 300000);
		pt_free(&b);
	}
}

/* --- what goes back */

static size_t chunk_at(const struct pt_book *b, uint64_t addr)
{
	const struct pt_chunk *c = pt_find(b, addr);

	assert_non_null(c);
	return (size_t)(c - b->chunks);
}

static void one_range(struct pt_trim *t, uint64_t start, uint64_t end)
{
	const struct pt_range *r;
	size_t nr;

	r = pt_trim_ranges(t, &nr);
	assert_int_equal(nr, 1);
	assert_int_equal(r->start, start);
	assert_int_equal(r->end, end);
}

/*
 * The image's brk heap: 0x290 0x20 0x20(cached) 0x20(fast) 0x100 [0x1200 free at
 * 0x3f0] 0x30 [0x90 free] 0x40 top: at 0x16f0, up to 0x2000.
 */
static void trimmed(void **state)
{
	struct pt_trim *t, *u;
	const char *why;
	struct pt_book b;
	uint64_t size;
	size_t nr;

	(void)state;
	image_make(&im, false);
	assert_int_equal(read_image(&b, &why), 0);
	t = pt_trim_new(&b);
	assert_non_null(t);
	assert_int_equal(b.chunks[pt_trim_top(t, 0, &size)].addr,
			 IMAGE_BRK + 0x16f0);
	assert_int_equal(size, 0x2000 - 0x16f0);
	/* No whole page is free: 0x3f0 + 48 up to 0x15f0 has none, nor has the top. */
	assert_int_equal(pt_trim_now(t, 0), 0);
	pt_trim_ranges(t, &nr);
	assert_int_equal(nr, 0);
	/* The two pins above it: 0x40 into a fastbin, and 0x30; then the top begins at 0x3f0. */
	u = pt_trim_clone(t);
	assert_non_null(u);
	assert_int_equal(pt_trim_freed(u, chunk_at(&b, IMAGE_BRK + 0x16c0)), 0);
	assert_int_equal(pt_trim_freed(u, chunk_at(&b, IMAGE_BRK + 0x1600)), 0);
	pt_trim_top(u, 0, &size);
	assert_int_equal(size, 0x2000 - 0x16f0);
	assert_int_equal(pt_trim_now(u, PT_NOWHERE), 0);
	assert_int_equal(b.chunks[pt_trim_top(u, 0, &size)].addr,
			 IMAGE_BRK + 0x3f0);
	/* Down to the page that still holds 33 bytes of it. */
	assert_int_equal(size, 0x1000 - 0x3f0);
	{
		const struct pt_range *r = pt_trim_ranges(u, &nr);

		assert_true(nr >= 1);
		assert_int_equal(r[0].start, IMAGE_BRK + 0x1000);
		assert_int_equal(r[0].end, IMAGE_BRK + 0x2000);
	}
	pt_trim_drop(u);
	pt_trim_drop(t);
	pt_free(&b);
}

/* An arena's newest heap goes when it is empty, if the merged chunk is large enough to try. */
static void arena_trimmed(void **state)
{
	const uint64_t used = IMAGE_ARENA + 0x30;
	struct pt_trim *t;
	const char *why;
	struct pt_book b;
	uint64_t size;
	size_t nr;

	(void)state;
	image_make(&im, false);
	assert_int_equal(read_image(&b, &why), 0);
	t = pt_trim_new(&b);
	assert_int_equal(pt_trim_freed(t, chunk_at(&b, used)), 0);
	assert_int_equal(b.chunks[pt_trim_top(t, 1, &size)].addr, used);
	pt_trim_ranges(t, &nr);
	assert_int_equal(nr, 0); /* 8 KiB: less than what makes free() try */
	pt_trim_drop(t);
	/* The same with a top that is larger than 64 KiB. */
	b.heaps[2].end += 1 << 20;
	b.par.trim_threshold = 1ull << 40;
	t = pt_trim_new(&b);
	assert_int_equal(pt_trim_freed(t, chunk_at(&b, used)), 0);
	one_range(t, IMAGE_ARENA, IMAGE_ARENA + (64 << 20));
	assert_true(b.chunks[pt_trim_top(t, 1, &size)].addr <
		    IMAGE_OLDER + IMAGE_PIECE);
	assert_true(pt_trim_is_free(t, chunk_at(&b, used)));
	pt_trim_drop(t);
	pt_free(&b);
}

/* Freed together or one after the other (the small ones first), the same goes back. */
static void same_together(const struct pt_book *b)
{
	struct pt_trim *t = pt_trim_new(b), *u = pt_trim_new(b);
	const struct pt_range *r, *q;
	size_t list[64], nr = 0, m, n, i;

	for (i = 0; i < b->mmapped; i++)
		if (b->chunks[i].state == PT_USED && seed_below(2))
			list[nr++] = i;
	for (i = 0; i < nr; i++)
		if (pt_size(&b->chunks[list[i]]) <= 128)
			assert_int_equal(pt_trim_freed(t, list[i]), 0);
	for (i = 0; i < nr; i++)
		if (pt_size(&b->chunks[list[i]]) > 128)
			assert_int_equal(pt_trim_freed(t, list[i]), 0);
	assert_int_equal(pt_trim_freed_many(u, list, nr), 0);
	assert_int_equal(pt_trim_now(t, PT_NOWHERE), 0);
	assert_int_equal(pt_trim_now(u, PT_NOWHERE), 0);
	r = pt_trim_ranges(t, &n);
	q = pt_trim_ranges(u, &m);
	assert_int_equal(n, m);
	for (i = 0; i < n; i++) {
		assert_int_equal(r[i].start, q[i].start);
		assert_int_equal(r[i].end, q[i].end);
	}
	pt_trim_drop(t);
	pt_trim_drop(u);
}

static void freed_together(void **state)
{
	const char *why;
	struct pt_book b;
	int i;

	(void)state;
	image_make(&im, false);
	assert_int_equal(read_image(&b, &why), 0);
	assert_true(b.mmapped < 64);
	for (i = 0; i < 40; i++)
		same_together(&b);
	b.heaps[2].end += 1 << 20;
	for (i = 0; i < 40; i++) {
		b.par.trim_threshold = i % 2 ? 1ull << 40 : 1 << 17;
		same_together(&b);
	}
	pt_free(&b);
}

static unsigned long pages_read;

static void image_read_each(void *ctx, const uint64_t *addrs, size_t nr,
			    uint64_t (*words)[2])
{
	size_t i;

	pages_read += nr;
	for (i = 0; i < nr; i++)
		if (image_read(ctx, addrs[i], words[i], 16))
			words[i][0] = words[i][1] = 0;
}

/* As many as there are by n_mmaps are found, wherever in their range they lie. */
static void own_mappings(struct pt_target *t, uint32_t wanted, size_t found,
			 uint64_t first)
{
	const char *why;
	struct pt_book b;

	image_set(&im, IMAGE_MP + 56, (uint64_t)wanted << 32);
	image_set(&im, IMAGE_MP + 64, 65536 | 8ull << 32);
	image_set(&im, IMAGE_MP + 80, wanted * 4096ull);
	image_set(&im, IMAGE_MP + 88, wanted * 4096ull);
	pages_read = 0;
	assert_int_equal(pt_read(t, &b, &why), 0);
	assert_int_equal(b.nr_chunks - b.mmapped, found);
	if (found)
		assert_int_equal(b.chunks[b.mmapped].addr, first);
	if (found == 2)
		assert_int_equal(b.chunks[b.mmapped + 1].addr, first + 4096);
	pt_free(&b);
}

static void with_own_mappings(void **state)
{
	struct pt_target t;

	(void)state;
	image_make(&im, false);
	t = image_target(&im);
	own_mappings(&t, 0, 0, 0);
	image_chunk(&im, IMAGE_MAPPED, 4096, PT_IS_MMAPPED);
	image_chunk(&im, IMAGE_MAPPED + 4096, 4096, PT_IS_MMAPPED);
	own_mappings(&t, 2, 2, IMAGE_MAPPED);
	own_mappings(&t, 1, 1, IMAGE_MAPPED);
	t.mem.read_each = image_read_each;
	own_mappings(&t, 2, 2, IMAGE_MAPPED);
	assert_int_equal(pages_read, 0); /* they were where one looks first */
	own_mappings(&t, 3, 2, IMAGE_MAPPED);
	assert_true(pages_read);
	image_chunk(&im, IMAGE_MAPPED, 0, 0);
	own_mappings(&t, 1, 1, IMAGE_MAPPED + 4096);
	/* What looks like one within the heap of an arena is the program's. */
	image_chunk(&im, IMAGE_ARENA + 4096, 4096, PT_IS_MMAPPED);
	im.anon[0] = im.ranges[2];
	own_mappings(&t, 2, 1, IMAGE_MAPPED + 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_states),
		cmocka_unit_test(all_states_of_2_43),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(symbols_are_checked),
		cmocka_unit_test(spoiled),
		cmocka_unit_test(bounded),
		cmocka_unit_test(words_by_chance),
		cmocka_unit_test(trimmed),
		cmocka_unit_test(arena_trimmed),
		cmocka_unit_test(freed_together),
		cmocka_unit_test(with_own_mappings),
	};

	seed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
