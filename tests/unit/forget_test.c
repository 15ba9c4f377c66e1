// SPDX-License-Identifier: GPL-2.0
/* forget: of many processes that have ended the sums stay, and the memory flat. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "model/save.h"

#define PAGE 4096ull
#define PARENT 1 /* mm and pid */
#define INHERITED 50 /* chunks */
#define CHUNKS 20
#define KEPT 5
#define PIDS 500
#define STEP 1000 /* of ts, from one process to the next */
#define NR_BRK 12

/* Of the sanitizer, where the test is built with it: mallinfo2() is empty then. */
size_t __attribute__((weak)) __sanitizer_get_current_allocated_bytes(void);

static size_t heap_bytes(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void apply(struct model *m, struct event ev)
{
	assert_int_equal(model_apply(m, &ev, NULL), 0);
}

static uint64_t mm_of(uint64_t n)
{
	return 100 + n;
}

static uint32_t pid_of(uint64_t n)
{
	return (uint32_t)(1000 + n % PIDS);
}

static void call(struct model *m, uint64_t ts, uint32_t pid,
		 enum call_phase phase, uint64_t addr, uint64_t size)
{
	enum call_op op = phase == CALL_FREED ? CALL_FREE : CALL_MALLOC;

	apply(m, (struct event){ .kind = EV_CALL,
				 .ts = ts,
				 .tgid = pid,
				 .tid = pid,
				 .call = { .op = op,
					   .phase = phase,
					   .addr = addr,
					   .size = size,
					   .caller = 0x400000 } });
}

static void range(struct model *m, uint64_t ts, uint64_t mm, uint32_t pid,
		  uint64_t pages)
{
	struct vma_desc d[2] = {
		{ .start = 16 * PAGE, .end = (16 + pages) * PAGE, .flags = 3 },
		{ .start = 8000 * PAGE, .end = 8030 * PAGE, .flags = 3 },
	};

	apply(m, (struct event){ .kind = EV_RANGE,
				 .ts = ts,
				 .mm = mm,
				 .tgid = pid,
				 .tid = pid,
				 .range = { .hi = 10000 * PAGE,
					    .syscall = NR_BRK,
					    .map_count = 2,
					    .nr_vmas = 2,
					    .vmas = d } });
}

static void begin(struct model *m, uint64_t ts, uint64_t mm, uint32_t pid)
{
	apply(m,
	      (struct event){
		      .kind = EV_MM,
		      .ts = ts,
		      .mm = mm,
		      .tgid = pid,
		      .tid = pid,
		      .mm_start = { .cause = mm == PARENT ? MM_EXEC : MM_FORK,
				    .parent_mm = mm == PARENT ? 0 : PARENT,
				    .owner = pid,
				    .comm = "short" } });
	range(m, ts, mm, pid, 30);
}

static void end(struct model *m, uint64_t ts, uint64_t mm, uint32_t pid)
{
	apply(m, (struct event){ .kind = EV_MM_EXIT, .ts = ts, .mm = mm });
	apply(m, (struct event){ .kind = EV_TASK_EXIT, .ts = ts, .tgid = pid });
	assert_int_equal(model_settle(m, ts + 1), 0);
}

static void start(struct model *m)
{
	begin(m, 1, PARENT, PARENT);
	for (uint64_t i = 0; i < INHERITED; i++)
		call(m, 2, PARENT, CALL_ALLOC, 0x10000 + i * 64, 40);
}

/* The n-th process, all of its life. */
static void live(struct model *m, uint64_t n)
{
	uint64_t ts = (n + 1) * STEP, at = 0x12000;
	uint32_t pid = pid_of(n);

	begin(m, ts, mm_of(n), pid);
	range(m, ts + 1, mm_of(n), pid, 31 + n % 3);
	for (uint64_t i = 0; i < CHUNKS; i++)
		call(m, ts + 2, pid, CALL_ALLOC, at + i * 64, 8 + n % 5);
	for (uint64_t i = KEPT; i < CHUNKS; i++)
		call(m, ts + 3, pid, CALL_FREED, at + i * 64, 0);
	call(m, ts + 4, pid, CALL_FREED, 0x20000, 0); /* of no chunk */
	assert_int_equal(model_settle(m, ts + 5), 0);
	end(m, ts + 5, mm_of(n), pid);
}

/* The sums of the forgotten, and of those that are not but have died. */
static struct forgotten all_dead(const struct model *m)
{
	struct forgotten f = *model_forgotten(m);

	for (size_t i = 0; i < model_spaces(m); i++) {
		const struct space *s = model_space_at(m, i);

		if (!s->died)
			continue;
		f.spaces++;
		f.until = s->died > f.until ? s->died : f.until;
		for (int op = 0; op < CALL_OP_MAX; op++) {
			f.ops[op].calls += s->ops[op].calls;
			f.ops[op].bytes += s->ops[op].bytes;
		}
		for (size_t j = 0; j < s->nr_syscalls; j++) {
			f.events += s->syscalls[j].calls;
			f.mapped += s->syscalls[j].mapped;
			f.unmapped += s->syscalls[j].unmapped;
		}
		f.chunks += chunk_total(s->chunks).chunks;
		f.bytes += chunk_total(s->chunks).bytes;
		if (chunk_peak(s->chunks) > f.peak)
			f.peak = chunk_peak(s->chunks);
		f.unknown_frees += s->unknown_frees;
	}
	return f;
}

static void test_memory_stays_flat(void **state)
{
	const size_t limit = 1 << 20;
	struct model *m = model_new();
	size_t base, most = 0, nr = 0;

	(void)state;
	start(m);
	base = heap_bytes();
	model_limit_dead(m, limit);
	for (uint64_t n = 0; n < 10000; n++) {
		live(m, n);
		if (heap_bytes() > base + most)
			most = heap_bytes() - base;
		if (model_spaces(m) > nr)
			nr = model_spaces(m);
	}
	assert_null(model_check(m));
	/* It is full, and no more than full; a hash or an array may double. */
	assert_in_range(most, limit / 4 * 3, limit / 4 * 5);
	assert_in_range(nr, 100, 1000);
	assert_int_equal(model_forgotten(m)->spaces + model_spaces(m), 10001);
	model_free(m);
}

/* What is forgotten is in the sums to the byte; all else is as without a limit. */
static void test_sums_are_exact(void **state)
{
	struct model *a = model_new(), *b = model_new();
	const struct space *pa, *pb;
	struct forgotten fa, fb;

	(void)state;
	start(a);
	start(b);
	model_limit_dead(b, 64 << 10);
	for (uint64_t n = 0; n < 300; n++) {
		live(a, n);
		live(b, n);
	}
	assert_int_equal(model_forgotten(a)->spaces, 0);
	assert_int_equal(model_forgotten(a)->until, 0);
	assert_true(model_forgotten(b)->spaces > 200);
	assert_true(model_spaces(b) > 2);
	fa = all_dead(a);
	fb = all_dead(b);
	assert_memory_equal(&fa, &fb, sizeof(fa));
	assert_int_equal(fa.spaces, 300);
	assert_int_equal(fa.ops[CALL_MALLOC].calls, 300 * CHUNKS);
	assert_int_equal(fa.chunks, 300 * (INHERITED + KEPT));
	assert_int_equal(fa.unknown_frees, 300);
	assert_int_equal(fa.peak, INHERITED * 40 + CHUNKS * 12);
	assert_int_equal(model_totals(a).events, model_totals(b).events);
	/* The parent, and the last that died, are whole; they are the last ones. */
	pa = model_space(a, PARENT);
	pb = model_space(b, PARENT);
	assert_memory_equal(pa->ops, pb->ops, sizeof(pa->ops));
	assert_int_equal(chunk_total(pb->chunks).chunks, INHERITED);
	assert_ptr_equal(model_space_at(b, 0), pb);
	for (size_t i = 1; i < model_spaces(b); i++) {
		uint64_t n = 300 - model_spaces(b) + i;
		const struct space *s = model_space_at(b, i);

		assert_int_equal(s->mm, mm_of(n));
		assert_ptr_equal(model_process(b, pid_of(n)), s);
		assert_int_equal(chunk_total(s->chunks).chunks,
				 INHERITED + KEPT);
		assert_int_equal(vma_map_count(s->vmas), 2);
	}
	assert_null(model_space(b, mm_of(0)));
	assert_null(model_process(b, pid_of(0)));
	assert_non_null(model_process(a, pid_of(0)));
	assert_null(model_check(b));
	model_free(a);
	model_free(b);
}

/* However large it is: somebody may ask for it now. */
static void test_the_last_one_is_kept(void **state)
{
	struct model *m = model_new();

	(void)state;
	start(m);
	model_limit_dead(m, 1);
	live(m, 0);
	assert_non_null(model_process(m, pid_of(0)));
	live(m, 1);
	assert_null(model_process(m, pid_of(0)));
	assert_non_null(model_process(m, pid_of(1)));
	assert_int_equal(model_forgotten(m)->until, STEP + 5);
	end(m, 5 * STEP, PARENT, PARENT);
	assert_int_equal(model_spaces(m), 1);
	assert_non_null(model_process(m, PARENT));
	model_free(m);
}

/* Not before it is known what waits in it. */
static void test_not_while_it_waits(void **state)
{
	struct model *m = model_new();

	(void)state;
	start(m);
	model_limit_dead(m, 1);
	live(m, 0);
	begin(m, 5000, mm_of(1), pid_of(1));
	call(m, 5001, pid_of(1), CALL_FREED, 0x20000, 0);
	apply(m,
	      (struct event){ .kind = EV_MM_EXIT, .ts = 5001, .mm = mm_of(1) });
	assert_int_equal(model_settle(m, 5001), 0);
	assert_non_null(model_space(m, mm_of(0)));
	assert_int_equal(model_settle(m, 5002), 0);
	assert_null(model_space(m, mm_of(0)));
	assert_int_equal(model_space(m, mm_of(1))->unknown_frees, 1);
	live(m, 6);
	assert_int_equal(model_forgotten(m)->unknown_frees, 2);
	model_free(m);
}

/* An event that comes after the exit makes a thread; it goes with its space. */
static void test_late_call(void **state)
{
	struct model *m = model_new();

	(void)state;
	start(m);
	model_limit_dead(m, 1);
	live(m, 0);
	call(m, STEP + 10, pid_of(0), CALL_ALLOC, 0x30000, 8);
	assert_int_equal(model_settle(m, STEP + 11), 0);
	assert_int_equal(model_process(m, pid_of(0))->ops[CALL_MALLOC].calls,
			 CHUNKS + 1);
	live(m, 1);
	call(m, 3 * STEP, pid_of(0), CALL_ALLOC, 0x40000, 8);
	assert_int_equal(model_totals(m).orphan_calls, 1);
	assert_int_equal(model_forgotten(m)->ops[CALL_MALLOC].calls,
			 CHUNKS + 1);
	model_free(m);
}

/* A child of vfork that ended without an exec had nothing of its own. */
static void test_borrower(void **state)
{
	struct model *m = model_new();

	(void)state;
	start(m);
	apply(m, (struct event){ .kind = EV_TASK,
				 .mm = PARENT,
				 .ts = 20,
				 .task = { 200, PARENT } });
	assert_ptr_equal(model_process(m, 200), model_space(m, PARENT));
	apply(m, (struct event){ .kind = EV_TASK_EXIT, .tgid = 200, .ts = 30 });
	assert_null(model_process(m, 200));
	apply(m,
	      (struct event){ .kind = EV_TASK_EXIT, .tgid = PARENT, .ts = 31 });
	assert_non_null(model_process(m, PARENT));
	model_free(m);
}

/* A trace may begin with such a model. */
static void test_saved(void **state)
{
	struct model *m = model_new(), *again;
	uint8_t *buf;
	size_t len;
	int err;

	(void)state;
	start(m);
	model_limit_dead(m, 64 << 10);
	for (uint64_t n = 0; n < 300; n++)
		live(m, n);
	assert_int_equal(model_save(m, &buf, &len), 0);
	assert_true(len < 128 << 10);
	again = model_load(buf, len, &err);
	assert_non_null(again);
	assert_memory_equal(model_forgotten(again), model_forgotten(m),
			    sizeof(struct forgotten));
	assert_int_equal(model_spaces(again), model_spaces(m));
	/* Who loads it has no limit, or another one. */
	live(again, 300);
	assert_int_equal(model_spaces(again), model_spaces(m) + 1);
	model_limit_dead(again, 1);
	live(again, 301);
	assert_int_equal(model_spaces(again), 2);
	assert_int_equal(model_forgotten(again)->spaces, 301);
	free(buf);
	model_free(again);
	model_free(m);
}

static void file(struct model *m, uint64_t ino)
{
	char path[32];

	snprintf(path, sizeof(path), "/tmp/%ju", (uintmax_t)ino);
	apply(m,
	      (struct event){ .kind = EV_FILE,
			      .file = { .ino = ino, .dev = 9, .path = path } });
}

/* The space maps 4 pages each of nr files from ino on, and nothing else. */
static void map_files(struct model *m, uint64_t ts, uint64_t ino, uint32_t nr)
{
	struct vma_desc *d = calloc(nr, sizeof(*d));

	for (uint32_t i = 0; i < nr; i++)
		d[i] = (struct vma_desc){ .start = (100 + 8 * i) * PAGE,
					  .end = (104 + 8 * i) * PAGE,
					  .flags = VMA_READ | VMA_FILE,
					  .dev = 9,
					  .ino = ino + i };
	apply(m, (struct event){ .kind = EV_RANGE,
				 .ts = ts,
				 .mm = PARENT,
				 .tgid = PARENT,
				 .tid = PARENT,
				 .range = { .hi = 100000 * PAGE,
					    .syscall = NR_BRK,
					    .map_count = nr,
					    .nr_vmas = nr,
					    .vmas = d } });
	free(d);
}

/* Many files, one after the other, a few of which are mapped. */
static void test_files(void **state)
{
	struct model *m = model_new();
	size_t base, most = 0;
	uint64_t told = 0, kept = 0;

	(void)state;
	start(m);
	while (told < 300)
		file(m, ++told);
	map_files(m, 10, 1, 5);
	model_limit_files(m, 200);
	base = heap_bytes();
	for (; told < 20000; assert_int_equal(model_settle(m, told), 0)) {
		file(m, ++told);
		assert_non_null(model_path(m, 9, told - 80));
		if (heap_bytes() > base + most)
			most = heap_bytes() - base;
	}
	/* No more than there were when the limit was set, nearly. */
	assert_true(most < 4096);
	for (uint64_t ino = 1; ino <= told; ino++)
		kept += model_path(m, 9, ino) != NULL;
	assert_in_range(kept, 100, 205);
	for (uint64_t ino = 1; ino <= 5; ino++)
		assert_non_null(model_path(m, 9, ino));
	assert_null(model_path(m, 9, 6));
	/* What is not mapped any more goes, what is told again stays. */
	map_files(m, 30000, 2, 4);
	for (uint64_t i = 0; i < 300; i++) {
		file(m, 50000 + i);
		file(m, 6);
		assert_int_equal(model_settle(m, 30001 + i), 0);
	}
	assert_null(model_path(m, 9, 1));
	assert_non_null(model_path(m, 9, 2));
	assert_non_null(model_path(m, 9, 6));
	model_free(m);
}

/* More are mapped than the limit says: those are kept all the same. */
static void test_many_mapped_files(void **state)
{
	struct model *m = model_new();

	(void)state;
	start(m);
	model_limit_files(m, 100);
	for (uint64_t ino = 1; ino <= 1000; ino++)
		file(m, ino);
	map_files(m, 10, 1, 1000);
	for (uint64_t ino = 1001; ino <= 9000; ino++) {
		file(m, ino);
		assert_int_equal(model_settle(m, ino), 0);
	}
	for (uint64_t ino = 1; ino <= 1000; ino++)
		assert_non_null(model_path(m, 9, ino));
	assert_null(model_path(m, 9, 5000));
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_stays_flat),
		cmocka_unit_test(test_sums_are_exact),
		cmocka_unit_test(test_the_last_one_is_kept),
		cmocka_unit_test(test_not_while_it_waits),
		cmocka_unit_test(test_late_call),
		cmocka_unit_test(test_borrower),
		cmocka_unit_test(test_saved),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_many_mapped_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
