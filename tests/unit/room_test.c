// SPDX-License-Identifier: GPL-2.0
/* Layouts, holes, the heap's room, and neighbours that are not one VMA (model/room.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/room.h"

#define RW (VMA_READ | VMA_WRITE)
#define PAGE 4096ull

static struct space space_of(const struct vma_desc *v, size_t nr,
			     uint64_t start_brk, uint64_t brk)
{
	struct space s = { .vmas = vma_map_new(),
			   .start_brk = start_brk,
			   .brk = brk,
			   .start_stack = v[nr - 1].start };
	struct cause *c = calloc(1, sizeof(*c));

	assert_non_null(s.vmas);
	assert_non_null(c);
	*c = (struct cause){ .refs = 1, .kind = CAUSE_ATTACH };
	assert_true(vma_map_replace(s.vmas, 0, 1ull << 47, v, nr, c, NULL, 0) >=
		    0);
	cause_put(c);
	return s;
}

static void is_room(const struct vma_desc *v, size_t nr, uint64_t start_brk,
		    uint64_t brk, const struct room *want)
{
	struct space s = space_of(v, nr, start_brk, brk);
	struct room r = room_of(&s);

	assert_int_equal(r.is_32, want->is_32);
	assert_int_equal(r.layout, want->layout);
	assert_int_equal(r.hole.start, want->hole.start);
	assert_int_equal(r.hole.end, want->hole.end);
	assert_int_equal(r.heap_end, want->heap_end);
	assert_int_equal(r.most, want->most);
	assert_int_equal(r.real, want->real);
	vma_map_free(s.vmas);
}

static void test_top_down(void **state)
{
	static const struct vma_desc v[] = {
		{ 0x400000, 0x401000, .flags = VMA_READ | VMA_EXEC },
		{ 0x500000, 0x521000, .flags = RW },
		/* The shim's own, which is not there for the question. */
		{ OURS_START, OURS_START + PAGE, .flags = RW },
		{ 0x7f0000000000, 0x7f0000010000, .flags = RW },
		{ 0x7ffffffde000, 0x7ffffffff000, .flags = RW },
	};

	(void)state;
	is_room(v, 5, 0x500000, 0x520010, /* within its last page */
		&(struct room){ .layout = LAYOUT_TOP_DOWN,
				.hole = { 0x521000, 0x7f0000000000 },
				.heap_end = 0x521000,
				.most = 0x7ffffffff000 - PAGE - 0x521000,
				.real = 0x7f0000000000 - PAGE - 0x521000 });
}

static void test_legacy(void **state)
{
	static const struct vma_desc v[] = {
		{ 0x400000, 0x401000, .flags = VMA_READ | VMA_EXEC },
		{ 0x500000, 0x521000, .flags = RW },
		{ 0x2aaaab000000, 0x2aaaab010000, .flags = RW },
		{ 0x7ffffffde000, 0x7ffffffff000, .flags = RW },
	};
	/* A program that is loaded at two thirds: no mapping is above its heap. */
	static const struct vma_desc pie[] = {
		{ 0x2aaaab000000, 0x2aaaab010000, .flags = RW },
		{ 0x555555554000, 0x555555555000,
		  .flags = VMA_READ | VMA_EXEC },
		{ 0x555555600000, 0x555555621000, .flags = RW },
		{ 0x7ffffffde000, 0x7ffffffff000, .flags = RW | VMA_GROWSDOWN },
	};

	(void)state;
	is_room(v, 4, 0x500000, 0x521000,
		&(struct room){ .layout = LAYOUT_LEGACY,
				.hole = { 0x2aaaab010000, 0x7ffffffde000 },
				.heap_end = 0x521000,
				.most = 0x2aaaaaaab000 - PAGE - 0x521000,
				.real = 0x2aaaab000000 - PAGE - 0x521000 });
	/* Below a stack its guard stays free. */
	is_room(pie, 4, 0x555555600000, 0x555555621000,
		&(struct room){ .layout = LAYOUT_LEGACY,
				.hole = { 0x10000, 0x2aaaab000000 },
				.heap_end = 0x555555621000,
				.most = 0x7ffffffff000 - PAGE - 0x555555621000,
				.real = 0x7ffffffde000 - 257 * PAGE -
					0x555555621000 });
}

static void test_32(void **state)
{
	static const struct vma_desc v[] = {
		{ 0x08048000, 0x08049000, .flags = VMA_READ | VMA_EXEC },
		{ 0x09000000, 0x09021000, .flags = RW },
		{ 0xf7f00000, 0xf7f10000, .flags = RW },
		{ 0xf7f10000, 0xf7f12000, .flags = VMA_READ | VMA_VDSO },
		{ 0xffdd0000, 0xffdf1000, .flags = RW | VMA_GROWSDOWN },
	};

	(void)state;
	is_room(v, 5, 0x09000000, 0x09021000,
		&(struct room){ .is_32 = true,
				.layout = LAYOUT_TOP_DOWN,
				.hole = { 0x09021000, 0xf7f00000 },
				.heap_end = 0x09021000,
				.most = 0xffffe000 - PAGE - 0x09021000,
				.real = 0xf7f00000 - PAGE - 0x09021000 });
}

static void test_apart(void **state)
{
	static const struct {
		struct vma_desc a, b;
		enum apart why;
	} pairs[] = {
		{ { 0, PAGE, .flags = RW },
		  { 2 * PAGE, 3 * PAGE, .flags = RW },
		  APART_GAP },
		{ { 0, PAGE, .flags = RW },
		  { PAGE, 2 * PAGE, .flags = VMA_READ },
		  APART_PERMS },
		{ { 0, PAGE, .flags = RW },
		  { PAGE, 2 * PAGE, .flags = RW | VMA_SHARED },
		  APART_SHARED },
		{ { 0, PAGE, .flags = RW | VMA_FILE, .ino = 1 },
		  { PAGE, 2 * PAGE, .flags = RW | VMA_FILE, .ino = 2 },
		  APART_FILE },
		{ { 0, PAGE, .flags = RW | VMA_FILE, .ino = 1 },
		  { PAGE, 2 * PAGE, .flags = RW },
		  APART_FILE },
		{ { 0, PAGE, .flags = RW | VMA_FILE, .ino = 1 },
		  { PAGE, 2 * PAGE, .flags = RW | VMA_FILE, .ino = 1,
		    .offset = 3 * PAGE },
		  APART_OFFSET },
		{ { 0, PAGE, .flags = RW },
		  { PAGE, 2 * PAGE, .flags = RW | VMA_LOCKED },
		  APART_FLAGS },
		{ { 0, PAGE, .flags = VMA_READ | VMA_VVAR },
		  { PAGE, 2 * PAGE, .flags = VMA_READ | VMA_VDSO },
		  APART_SPECIAL },
		{ { 0, PAGE, .flags = RW | VMA_FILE, .ino = 1 },
		  { PAGE, 2 * PAGE, .flags = RW | VMA_FILE, .ino = 1,
		    .offset = PAGE },
		  APART_UNKNOWN },
		{ { 0, PAGE, .flags = RW },
		  { PAGE, 2 * PAGE, .flags = RW },
		  APART_UNKNOWN },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_int_equal(vma_apart(&pairs[i].a, &pairs[i].b),
				 pairs[i].why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top_down),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
