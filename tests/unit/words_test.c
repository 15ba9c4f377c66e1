// SPDX-License-Identifier: GPL-2.0
/*
 * words_decode(): against an encoder of its own, prefixes, and garbage. The ones
 * that go through many words at once: against it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "intake/words.h"
#include "probe/words.h"

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

/* Small, large and extreme values alike. */
static uint64_t rnd_bits(unsigned int bits)
{
	return rnd() >> (64 - bits) >> rnd_below(bits);
}

/* An event that can be said in words, its sticky values chosen at random. */
struct said {
	enum word_id id;
	enum alloc_op op;
	unsigned int log2;
	uint64_t addr, size;
};

static struct said rnd_said(void)
{
	static const enum word_id ids[] = { WORD_MALLOC,    WORD_FREE,
					    WORD_CALLOC,    WORD_REALLOC,
					    WORD_REALLOCED, WORD_ALLOC,
					    WORD_LEAVE };
	struct said s = { .id = ids[rnd_below(7)] };

	if (s.id != WORD_LEAVE)
		s.addr = rnd_bits(WORD_ADDR_BITS);
	if (s.id == WORD_MALLOC || s.id == WORD_CALLOC ||
	    s.id == WORD_REALLOCED)
		s.size = rnd_bits(WORD_SIZE_BITS);
	if (s.id == WORD_ALLOC) {
		do
			s.op = (enum alloc_op)(1 + rnd_below(OP_MAX - 1));
		while (s.op == OP_FREE);
		s.log2 = (unsigned int)rnd_below(64);
		s.size = rnd_bits(64);
	}
	return s;
}

static size_t say(const struct said *s, uint64_t *w)
{
	if (s->id != WORD_ALLOC) {
		w[0] = word_body(s->id, s->size, s->addr);
		return 1;
	}
	w[0] = word_alloc(s->op, s->log2, s->addr);
	w[1] = s->size;
	return 2;
}

static enum call_phase phase_of(const struct said *s)
{
	switch (s->id) {
	case WORD_FREE:
		return CALL_FREED;
	case WORD_REALLOC:
		return CALL_REALLOC_ENTER;
	case WORD_REALLOCED:
		return CALL_REALLOC_RETURN;
	case WORD_LEAVE:
		return CALL_LEAVE;
	case WORD_ALLOC:
		return s->op == OP_REALLOC || s->op == OP_REALLOCARRAY ?
			       CALL_REALLOC_RETURN :
			       CALL_ALLOC;
	default:
		return CALL_ALLOC;
	}
}

static enum call_op op_of(const struct said *s)
{
	switch (s->id) {
	case WORD_MALLOC:
		return CALL_MALLOC;
	case WORD_CALLOC:
		return CALL_CALLOC;
	case WORD_FREE:
	case WORD_LEAVE:
		return CALL_FREE;
	case WORD_ALLOC:
		return (enum call_op)s->op;
	default:
		return CALL_REALLOC;
	}
}

/* Puts a header in front, in each of its six forms; returns its length. */
static size_t say_header(uint64_t *w, uint64_t *begin, uint64_t *ts,
			 uint64_t *caller)
{
	unsigned int form = (unsigned int)rnd_below(6);
	uint64_t later = *ts + rnd_bits(20), c = rnd_bits(60);

	*begin = 0;
	switch (form) {
	case 1:
		w[0] = word_value(WORD_HDR_CALLER, *caller = c);
		return 1;
	case 2:
		w[0] = word_value(WORD_HDR_TS, *ts = later);
		return 1;
	case 3:
		w[0] = word_value(WORD_HDR_TS_CALLER, *ts = later);
		w[1] = word_value(0, *caller = c);
		return 2;
	case 4:
	case 5:
		*begin = *ts + 1;
		*ts = *begin + rnd_bits(20);
		w[0] = word_value(form == 4 ? WORD_HDR_WINDOW :
					      WORD_HDR_WINDOW_CALLER,
				  *begin);
		w[1] = word_value(0, *ts);
		if (form == 5)
			w[2] = word_value(0, *caller = c);
		return form - 2;
	default:
		return 0;
	}
}

static void check_event(const struct said *s, const struct event *ev,
			uint64_t begin, uint64_t ts, uint64_t caller)
{
	assert_int_equal(ev->kind, EV_CALL);
	assert_int_equal(ev->tgid, 11);
	assert_int_equal(ev->tid, 12);
	assert_int_equal(ev->mm, 0);
	assert_int_equal(ev->ts, ts);
	assert_int_equal(ev->call.op, op_of(s));
	assert_int_equal(ev->call.phase, phase_of(s));
	assert_int_equal(ev->call.addr, s->addr);
	assert_int_equal(ev->call.size, s->size);
	assert_int_equal(ev->call.align, s->log2 ? 1ull << s->log2 : 0);
	assert_int_equal(ev->call.caller, caller);
	assert_int_equal(ev->call.begin, begin);
}

/* A copy of exactly n words, so that the sanitizer sees a read beyond. */
static int decode_exact(struct words_state *st, const uint64_t *w, size_t n,
			struct event *ev)
{
	uint64_t *copy = malloc(n * 8 + !n);
	int len;

	memcpy(copy, w, n * 8);
	len = words_decode(st, copy, n, ev);
	free(copy);
	return len;
}

static void test_round_trip(void **state)
{
	struct words_state st = { .tgid = 11, .tid = 12 };
	uint64_t ts = 0, alloc_caller = 0, free_caller = 0, begin,
		 w[WORD_EVENT_WORDS];
	int i;

	(void)state;
	for (i = 0; i < 300000; i++) {
		struct said s = rnd_said();
		bool gives = phase_of(&s) == CALL_FREED ||
			     phase_of(&s) == CALL_LEAVE ||
			     phase_of(&s) == CALL_REALLOC_ENTER;
		uint64_t *caller = gives ? &free_caller : &alloc_caller;
		struct words_state before = st;
		struct event ev;
		size_t n, k;

		n = say_header(w, &begin, &ts, caller);
		n += say(&s, w + n);
		for (k = 0; k < n; k++)
			assert_int_equal(decode_exact(&st, w, k, &ev), 0);
		assert_memory_equal(&st, &before, sizeof(st));
		assert_int_equal(decode_exact(&st, w, n, &ev), n);
		check_event(&s, &ev, begin, ts, *caller);
		assert_int_equal(words_length(w, WORD_EVENT_WORDS), n);
	}
}

static void test_ctrl(void **state)
{
	struct words_state st = {
		.tgid = 1, .tid = 2, .ts = 9, .alloc_caller = 5
	};
	uint64_t w = word_ctrl(CTRL_LOST, 1234567890123);
	struct event ev;

	(void)state;
	assert_int_equal(words_decode(&st, &w, 1, &ev), 1);
	assert_int_equal(ev.kind, EV_CALLS_LOST);
	assert_int_equal(ev.calls_lost.count, 1234567890123);
	assert_int_equal(ev.tid, 2);
	assert_int_equal(ev.ts, 9);
	assert_int_equal(st.alloc_caller, 5);
	w = word_ctrl(CTRL_TID, 77);
	assert_int_equal(words_decode(&st, &w, 1, &ev), 1);
	assert_int_equal(ev.kind, 0);
	assert_int_equal(st.tid, 77);
	assert_int_equal(st.alloc_caller, 0);
}

static void test_stack(void **state)
{
	struct words_state st = { .tgid = 1, .tid = 2 };
	uint64_t w[STACK_FRAMES_MAX + 2], hash;
	struct event ev;
	size_t nr, i, k;

	(void)state;
	for (nr = 1; nr <= STACK_FRAMES_MAX; nr++) {
		bool cut = nr & 1;

		w[0] = word_ctrl(CTRL_STACK, nr | (cut ? STACK_TRUNCATED : 0));
		for (i = 1; i <= nr; i++)
			w[i] = rnd_bits(WORD_ADDR_BITS);
		hash = stack_hash_begin(cut);
		for (i = nr; i > 0; i--)
			hash = stack_hash_add(hash, w[i]);
		for (k = 0; k <= nr; k++)
			assert_int_equal(decode_exact(&st, w, k, &ev), 0);
		assert_int_equal(decode_exact(&st, w, nr + 1, &ev), nr + 1);
		assert_int_equal(ev.kind, EV_STACK);
		assert_int_equal(ev.tgid, 1);
		assert_int_equal(ev.stack.nr, nr);
		assert_int_equal(ev.stack.truncated, cut);
		assert_int_equal(ev.stack.id, stack_id(hash));
		assert_true(ev.stack.id & CALLER_STACK);
		assert_true(ev.stack.id <= WORD_VALUE_MAX);
		assert_memory_equal(ev.stack.frames, w + 1, nr * 8);
	}
	w[0] = word_ctrl(CTRL_STACK, 2);
	w[2] = WORD_ADDR_MAX + 1;
	assert_int_equal(decode_exact(&st, w, 3, &ev), -EINVAL);
	assert_int_equal(decode_exact(&st, w, 2, &ev), 0);
}

static void test_refused(void **state)
{
	const uint64_t bad[][2] = {
		{ word_value(8, 1) },
		{ word_value(9, 1) },
		{ word_value(10, 1) },
		{ 0 }, /* control, nothing */
		{ word_ctrl((enum word_ctrl)4, 1) },
		{ word_ctrl(CTRL_STACK, 0) },
		{ word_ctrl(CTRL_STACK, STACK_TRUNCATED) },
		{ word_ctrl(CTRL_STACK, STACK_FRAMES_MAX + 1) },
		{ word_ctrl(CTRL_STACK, 2 * STACK_TRUNCATED + 1) },
		{ word_ctrl(CTRL_TID, 2 * WORD_TID_MAX + 1) },
		{ word_body(WORD_FREE, 1, 16) },
		{ word_body(WORD_REALLOC, 1, 16) },
		{ word_body(WORD_LEAVE, 0, 16) },
		{ word_alloc(OP_NONE, 0, 16) },
		{ word_alloc(OP_FREE, 0, 16) },
		{ word_alloc(OP_MAX, 0, 16) },
		{ word_alloc(OP_MEMALIGN, 64, 16) },
		{ word_value(WORD_HDR_TS, 5), word_value(WORD_HDR_TS, 6) },
		{ word_value(WORD_HDR_TS, 5), word_ctrl(CTRL_LOST, 6) },
		{ word_value(WORD_HDR_WINDOW, 5), word_value(0, 4) },
		{ word_value(WORD_HDR_WINDOW, 5), word_value(1, 6) },
		{ word_value(WORD_HDR_TS_CALLER, 5),
		  word_body(WORD_MALLOC, 1, 16) },
	};
	struct words_state st = { 0 };
	struct event ev;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(decode_exact(&st, bad[i], 2, &ev), -EINVAL);
}

static void test_garbage(void **state)
{
	uint64_t w[8];
	struct words_state st = { 0 };
	int i, j, taken = 0;

	(void)state;
	for (i = 0; i < 500000; i++) {
		size_t n = rnd_below(8);
		struct event ev;
		int len;

		for (j = 0; j < 8; j++) /* often an id that leads further */
			w[j] = rnd() & 1 ? rnd() :
					   rnd_bits(60) << 4 | (rnd() & 15);
		len = decode_exact(&st, w, n, &ev);
		assert_true(len == -EINVAL || (len >= 0 && (size_t)len <= n));
		assert_int_equal(len, words_length(w, n));
		taken += len > 0;
		if (len > 0 && ev.kind == EV_CALL) {
			assert_true(ev.call.op > CALL_NONE &&
				    ev.call.op < CALL_OP_MAX);
			assert_true(ev.call.begin <= ev.ts);
		}
	}
	assert_true(taken > 1000);
}

/* --- many at once */

/* As real streams are: mostly plain words, with or without a caller. */
static uint64_t rnd_word(unsigned int others)
{
	static const enum word_id ids[] = { WORD_MALLOC,    WORD_FREE,
					    WORD_CALLOC,    WORD_REALLOC,
					    WORD_REALLOCED, WORD_HDR_CALLER };
	enum word_id id = ids[rnd_below(6)];
	uint64_t addr = rnd_bits(WORD_ADDR_BITS);

	if (rnd_below(others) == 0)
		return rnd() & 1 ? rnd() : word_value(rnd() & 15, addr);
	if (id == WORD_FREE || id == WORD_REALLOC)
		return word_body(id, 0, addr);
	return word_body(id, rnd_bits(WORD_SIZE_BITS), addr);
}

/* One after the other: where words_run() has to end, and why. */
static size_t slow_run(const uint64_t *w, size_t nr, uint64_t latest, int *stop)
{
	struct words_state st = { 0 };
	size_t at = 0;

	for (;;) {
		struct event ev;

		*stop = words_decode(&st, w + at, nr - at, &ev);
		if (*stop <= 0 || word_id(w[at]) == WORD_CTRL)
			return at;
		if (st.ts > latest) {
			*stop = -EINVAL;
			return at;
		}
		at += (size_t)*stop;
	}
}

/* Room for what is read to be exactly as much as is said (ASan sees more). */
static uint64_t *rnd_words(size_t nr, unsigned int others)
{
	uint64_t *w = malloc(nr * sizeof(*w) + 1);

	assert_non_null(w);
	for (size_t i = 0; i < nr; i++) {
		w[i] = rnd_word(others);
		if (i && word_id(w[i]) == WORD_HDR_CALLER &&
		    word_id(w[i - 1]) == WORD_HDR_CALLER && rnd_below(others))
			w[i] = word_body(WORD_MALLOC, 1, 16);
	}
	return w;
}

static void test_run(void **state)
{
	size_t longest = 0;

	(void)state;
	for (int i = 0; i < 30000; i++) {
		size_t nr = rnd_below(200), end;
		uint64_t *w = rnd_words(nr, i % 2 ? 20 : 400);
		uint64_t latest = rnd() & 1 ? UINT64_MAX : rnd_bits(60);
		int stop, slow;

		end = words_run(w, nr, latest, &stop);
		assert_int_equal(end, slow_run(w, nr, latest, &slow));
		assert_int_equal(stop, slow);
		if (longest < end)
			longest = end;
		free(w);
	}
	assert_true(longest > 150);
}

static void test_take(void **state)
{
	size_t most = 0;

	(void)state;
	for (int i = 0; i < 30000; i++) {
		size_t nr = rnd_below(200), words, n, at = 0;
		uint64_t *w = rnd_words(nr, i % 2 ? 20 : 400);
		size_t max = 1 + rnd_below(200);
		struct call_brief *c = calloc(max, sizeof(*c));
		struct words_state a = { .alloc_caller = 1, .free_caller = 2 };
		struct words_state b = a;

		n = words_take(&a, w, nr, c, max, &words);
		for (size_t j = 0; j < n; j++) {
			struct call_brief one = { 0 };
			struct event ev;
			int len = words_decode(&b, w + at, nr - at, &ev);

			assert_true(len == 1 || len == 2);
			assert_true(words_brief(&ev, &one));
			assert_memory_equal(&one, &c[j], sizeof(one));
			at += (size_t)len;
		}
		assert_int_equal(at, words);
		assert_memory_equal(&a, &b, sizeof(a));
		/* It stops at what is not plain, and only there. */
		if (n < max && at < nr)
			assert_true(word_id(w[at]) != WORD_MALLOC &&
				    (word_id(w[at]) != WORD_HDR_CALLER ||
				     at + 1 == nr ||
				     word_id(w[at + 1]) != WORD_MALLOC));
		if (most < n)
			most = n;
		free(c);
		free(w);
	}
	assert_true(most > 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_ctrl),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_take),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 88172645463325252ull;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
