// SPDX-License-Identifier: GPL-2.0
/* The list of calls, and the threshold that follows from it (model/score.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/ptmalloc.h"
#include "model/score.h"

#define PID 100u

static struct space space = { .mm = 1, .vmas_sampled = true };
static uint64_t now;

static void call(struct score *s, uint32_t tid, enum call_op op,
		 enum call_phase phase, uint64_t addr, uint64_t size)
{
	struct event ev = {
		.kind = EV_CALL,
		.tgid = PID,
		.tid = tid,
		.ts = ++now,
		.call = { .op = op, .phase = phase, .addr = addr, .size = size }
	};
	struct outcome out = { .ev = &ev, .space = &space };

	score_take(s, &out);
}

static void born(struct score *s, uint32_t tid, uint64_t addr, uint64_t size)
{
	call(s, tid, CALL_MALLOC, CALL_ALLOC, addr, size);
}

static void dead(struct score *s, uint32_t tid, uint64_t addr)
{
	call(s, tid, CALL_FREE, CALL_FREED, addr, 0);
}

static struct score *ended(struct score *s, size_t notes)
{
	score_end(s);
	assert_false(s->no_memory);
	assert_int_equal(s->disorder, 0);
	assert_int_equal(s->nr, notes);
	return s;
}

static void is_note(const struct score *s, size_t i, enum score_op op,
		    uint32_t slot, uint16_t thread)
{
	assert_int_equal(s->notes[i].op, op);
	assert_int_equal(s->notes[i].slot, slot);
	assert_int_equal(s->notes[i].thread, thread);
}

static void test_slots(void **state)
{
	struct score *s = score_new(1);

	(void)state;
	born(s, PID, 0x1010, 24);
	born(s, PID, 0x1030, 24);
	dead(s, PID, 0x1010);
	born(s, PID, 0x1010, 24); /* the slot again */
	dead(s, PID, 0); /* free(NULL) asks for nothing */
	born(s, PID, 0, 1ull << 40); /* failed */
	call(s, PID, CALL_REALLOC, CALL_REALLOC_ENTER, 0x1030, 0);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_RETURN, 0x2010, 500);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_ENTER, 0, 0);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_RETURN, 0x3010, 7);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_ENTER, 0x2010, 0);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_RETURN, 0, 0);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_ENTER, 0x3010, 0);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_RETURN, 0, 1ull << 40);
	dead(s, PID, 0x3010); /* it is there still */
	ended(s, 8);
	is_note(s, 0, SCORE_MALLOC, 0, 0);
	is_note(s, 1, SCORE_MALLOC, 1, 0);
	is_note(s, 2, SCORE_FREE, 0, 0);
	is_note(s, 3, SCORE_MALLOC, 0, 0);
	is_note(s, 4, SCORE_REALLOC, 1, 0);
	is_note(s, 5, SCORE_MALLOC, 2, 0);
	is_note(s, 6, SCORE_FREE, 1, 0);
	is_note(s, 7, SCORE_FREE, 2, 0);
	assert_int_equal(s->addrs[4], 0x2010);
	score_free(s);
}

/* Of equal stamps one thread's events come first, whatever happened first. */
static void test_threads(void **state)
{
	struct score *s = score_new(1);

	(void)state;
	born(s, PID, 0x1010, 24);
	born(s, PID + 1, 0x1010,
	     40); /* before the free that made it possible */
	dead(s, PID, 0x1010); /* the first one */
	dead(s, PID, 0x1010); /* the second one */
	dead(s, PID + 2, 0x5010); /* before its birth */
	dead(s, PID + 2, 0x5010);
	born(s, PID, 0x5010, 1);
	born(s, PID, 0x5010, 2);
	born(s, PID, 0x5010, 3);
	/* While it is with realloc, another thread gets its place. */
	call(s, PID, CALL_REALLOC, CALL_REALLOC_ENTER, 0x5010, 0);
	born(s, PID + 1, 0x5010, 9);
	dead(s, PID + 1, 0x5010);
	call(s, PID, CALL_REALLOC, CALL_REALLOC_RETURN, 0x6010, 100);
	ended(s, 12);
	is_note(s, 1, SCORE_MALLOC, 1, 1);
	is_note(s, 2, SCORE_FREE, 0, 0);
	is_note(s, 3, SCORE_FREE, 1, 0);
	is_note(s, 5, SCORE_FREE, s->notes[4].slot, 0);
	is_note(s, 7, SCORE_FREE, s->notes[6].slot, 0);
	is_note(s, 8, SCORE_MALLOC, s->notes[8].slot, 0);
	is_note(s, 10, SCORE_FREE, s->notes[9].slot, 1);
	is_note(s, 11, SCORE_REALLOC, s->notes[8].slot, 0);
	assert_int_equal(s->nr_threads, 3);
	score_free(s);
}

#define MAPPED(size)                         \
	{                                    \
		0x10, (size) | PT_IS_MMAPPED \
	}
#define ON_HEAP            \
	{                  \
		0x10, 0x21 \
	}

static void test_threshold(void **state)
{
	static const struct score_heard heard[] = {
		MAPPED(200704), MAPPED(135168),	  { 0 }, ON_HEAP,	 { 0 },
		{ 0 },		MAPPED(35000320), { 0 }, MAPPED(401408), { 0 },
	};
	struct score *s = score_new(1);
	struct threshold t;

	(void)state;
	born(s, PID, 0x10010, 200000);
	born(s, PID, 0x80010, 131072);
	dead(s, PID, 0x10010); /* raises it */
	born(s, PID, 0x90010, 150000); /* and this is on the heap */
	dead(s, PID, 0x80010); /* not larger */
	dead(s, PID, 0x90010); /* no mapping */
	born(s, PID, 0x10010, 35000000);
	dead(s, PID, 0x10010); /* larger than 32 MiB */
	born(s, PID, 0x10010, 400000);
	dead(s, PID, 0x10010); /* raises it again */
	ended(s, 10);
	assert_null(s->mapped); /* no module has told */
	assert_int_equal(threshold_history(s, NULL, 0, &t), -ENODATA);
	assert_int_equal(threshold_history(s, heard, 0, &t), 0);
	assert_int_equal(t.nr, 2);
	assert_int_equal(t.rises[0].by.note, 2);
	assert_int_equal(t.rises[0].from, 131072);
	assert_int_equal(t.rises[0].to, 200704);
	assert_int_equal(t.rises[0].calls, 1);
	assert_int_equal(t.rises[0].bytes, 150000);
	assert_int_equal(t.rises[1].by.addr, 0x10010);
	assert_int_equal(t.rises[1].to, 401408);
	assert_int_equal(t.rises[1].calls, 0);
	assert_int_equal(t.now, 401408);
	assert_int_equal(t.contradictions, 0);
	threshold_free(&t);
	/* Fixed: nothing raises it; and what is mapped below it, it cannot explain. */
	assert_int_equal(threshold_history(s, heard, 300000, &t), 0);
	assert_int_equal(t.nr, 0);
	assert_int_equal(t.now, 300000);
	assert_int_equal(t.contradictions, 2);
	threshold_free(&t);
	score_free(s);
}

static void test_late(void **state)
{
	struct score *s = score_new(1);

	(void)state;
	born(s, PID, 0x1010, 24);
	assert_false(s->late);
	score_free(s);
	s = score_new(1);
	space.ops[CALL_MALLOC].calls = 2; /* this one, and one before it */
	born(s, PID, 0x1010, 24);
	space.ops[CALL_MALLOC].calls = 0;
	assert_true(s->late);
	score_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_threshold),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
