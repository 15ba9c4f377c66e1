// SPDX-License-Identifier: GPL-2.0
/*
 * Words to events. words_length() alone decides what is well-formed, so a
 * stream that it accepts can be given to others as it is.
 */
#include "intake/words.h"

#include <assert.h>
#include <errno.h>

#include "probe/inject.h"
#include "probe/words.h"

static_assert((int)OP_NONE == CALL_NONE, "call_op is alloc_op");
static_assert((int)OP_MALLOC == CALL_MALLOC, "call_op is alloc_op");
static_assert((int)OP_FREE == CALL_FREE, "call_op is alloc_op");
static_assert((int)OP_CALLOC == CALL_CALLOC, "call_op is alloc_op");
static_assert((int)OP_REALLOC == CALL_REALLOC, "call_op is alloc_op");
static_assert((int)OP_REALLOCARRAY == CALL_REALLOCARRAY, "call_op is alloc_op");
static_assert((int)OP_MEMALIGN == CALL_MEMALIGN, "call_op is alloc_op");
static_assert((int)OP_ALIGNED_ALLOC == CALL_ALIGNED_ALLOC,
	      "call_op is alloc_op");
static_assert((int)OP_POSIX_MEMALIGN == CALL_POSIX_MEMALIGN,
	      "call_op is alloc_op");
static_assert((int)OP_VALLOC == CALL_VALLOC, "call_op is alloc_op");
static_assert((int)OP_PVALLOC == CALL_PVALLOC, "call_op is alloc_op");
static_assert((int)OP_MAX == CALL_OP_MAX, "call_op is alloc_op");
static_assert(OURS_START == SHIM_REGION &&
		      OURS_END == SHIM_REGION + SHIM_REGION_BYTES &&
		      OURS_PLACE == SHIM_PLACE_BYTES &&
		      OURS_IMAGE_PLACE == INJECT_PLACE_BYTES &&
		      OURS_IMAGE == INJECT_IMAGE_BYTES,
	      "what is ours");
static_assert(WORD_STACK == CALLER_STACK, "callers are numbered alike");

static unsigned int alloc_op_of(uint64_t w)
{
	return word_get_size(w) & 63;
}

static unsigned int alloc_align_of(uint64_t w)
{
	return (unsigned int)(word_get_size(w) >> 6);
}

/* Words of the body that begins with w, or -EINVAL. */
static int body_words(uint64_t w)
{
	switch (word_id(w)) {
	case WORD_MALLOC:
	case WORD_CALLOC:
	case WORD_REALLOCED:
		return 1;
	case WORD_FREE:
	case WORD_REALLOC:
		return word_get_size(w) ? -EINVAL : 1;
	case WORD_LEAVE:
		return word_get_value(w) ? -EINVAL : 1;
	case WORD_ALLOC:
		if (alloc_op_of(w) == OP_NONE || alloc_op_of(w) == OP_FREE ||
		    alloc_op_of(w) >= OP_MAX || alloc_align_of(w) > 63)
			return -EINVAL;
		return 2;
	default:
		return -EINVAL;
	}
}

static uint64_t ctrl_value(uint64_t w)
{
	return word_get_value(w) >> 4;
}

static int stack_words(const uint64_t *w, size_t nr)
{
	uint64_t frames = ctrl_value(w[0]) & ~(uint64_t)STACK_TRUNCATED, i;

	if (!frames || frames > STACK_FRAMES_MAX)
		return -EINVAL;
	for (i = 1; i <= frames && i < nr; i++)
		if (w[i] > WORD_ADDR_MAX)
			return -EINVAL;
	return frames < nr ? (int)frames + 1 : 0;
}

static int ctrl_words(const uint64_t *w, size_t nr)
{
	switch (word_get_value(w[0]) & 15) {
	case CTRL_TID:
		return ctrl_value(w[0]) <= 2 * WORD_TID_MAX ? 1 : -EINVAL;
	case CTRL_LOST:
		return 1;
	case CTRL_STACK:
		return stack_words(w, nr);
	default:
		return -EINVAL;
	}
}

/* A window that ends before it begins is nonsense. */
static int check_header(const uint64_t *w, size_t header, size_t nr)
{
	unsigned int id = word_id(w[0]);
	size_t i;

	for (i = 1; i < header && i < nr; i++)
		if (word_id(w[i]))
			return -EINVAL;
	if (nr >= 2 &&
	    (id == WORD_HDR_WINDOW || id == WORD_HDR_WINDOW_CALLER) &&
	    word_get_value(w[0]) > word_get_value(w[1]))
		return -EINVAL;
	return 0;
}

int words_length(const uint64_t *w, size_t nr)
{
	size_t header;
	int body;

	if (!nr)
		return 0;
	if (word_id(w[0]) == WORD_CTRL)
		return ctrl_words(w, nr);
	header = word_header_words(word_id(w[0]));
	if (header && check_header(w, header, nr))
		return -EINVAL;
	if (header >= nr)
		return 0;
	body = body_words(w[header]);
	if (body < 0)
		return body;
	return header + (size_t)body <= nr ? (int)header + body : 0;
}

#define BARE ((uint64_t)WORD_SIZE_MAX << WORD_ID_BITS)
#define NONE (~0ull)

/* Most words are events by themselves. By id: which bits of word | 1 they do not have. */
static const uint64_t not_plain[16] = { NONE,
					[WORD_MALLOC] = 0,
					[WORD_FREE] = BARE,
					[WORD_CALLOC] = 0,
					[WORD_REALLOC] = BARE,
					[WORD_REALLOCED] = 0,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE,
					NONE };

static bool is_plain(uint64_t w)
{
	return !((w | 1) & not_plain[word_id(w)]);
}

/* Words of the plain event at w[0..nr), behind a caller or not; 0: it is none. */
static size_t plain_words(const uint64_t *w, size_t nr)
{
	if (is_plain(w[0]))
		return 1;
	return word_id(w[0]) == WORD_HDR_CALLER && nr > 1 && is_plain(w[1]) ?
		       2 :
		       0;
}

#define BLOCK 16 /* words */

static inline uint32_t has_id(uint32_t w, enum word_id id)
{
	return -(uint32_t)((w & 15) == id);
}

/*
 * Words of a run of plain events, behind a caller or not, that w[0..nr) begins
 * with; it may go on behind them. Without a branch for a word, and with the half of
 * a word that matters, this is done four words at a time.
 */
static size_t plain_run(const uint64_t *w, size_t nr)
{
	size_t at = 0;

	for (; at + BLOCK < nr; at += BLOCK) {
		uint32_t bad = 0;

		for (size_t i = at; i < at + BLOCK; i++) {
			uint32_t x = (uint32_t)w[i], next = (uint32_t)w[i + 1];
			uint32_t sized = has_id(x, WORD_MALLOC) |
					 has_id(x, WORD_CALLOC) |
					 has_id(x, WORD_REALLOCED);
			uint32_t bare = has_id(x, WORD_FREE) |
					has_id(x, WORD_REALLOC);
			uint32_t caller = has_id(x, WORD_HDR_CALLER);

			bad |= ~(sized | bare | caller) |
			       (bare & x & (uint32_t)BARE) |
			       (caller & has_id(next, WORD_HDR_CALLER));
		}
		if (bad)
			break;
	}
	return at - (at && word_id(w[at - 1]) == WORD_HDR_CALLER);
}

/* The stamp of an event that has one in its header, else 0. */
static uint64_t stamp_of(const uint64_t *w)
{
	unsigned int id = word_id(w[0]);

	if (id < WORD_HDR_TS)
		return 0;
	return word_get_value(id < WORD_HDR_WINDOW ? w[0] : w[1]);
}

size_t words_run(const uint64_t *w, size_t nr, uint64_t latest, int *stop)
{
	size_t at = 0, plain;
	int len;

	for (;;) {
		at += plain_run(w + at, nr - at);
		while (at < nr && (plain = plain_words(w + at, nr - at)))
			at += plain;
		len = words_length(w + at, nr - at);
		if (len > 0 && word_id(w[at]) != WORD_CTRL) {
			if (stamp_of(w + at) <= latest) {
				at += (size_t)len;
				continue;
			}
			len = -EINVAL;
		}
		*stop = len;
		return at;
	}
}

/* What the header says, as far as it depends on the header alone. */
struct header {
	uint64_t begin, ts, caller;
	bool has_ts, has_caller;
};

static struct header read_header(const uint64_t *w)
{
	unsigned int id = word_id(w[0]);
	struct header h = { 0 };

	if (id == WORD_HDR_WINDOW || id == WORD_HDR_WINDOW_CALLER)
		h.begin = word_get_value(*w++);
	if (id >= WORD_HDR_TS) {
		h.has_ts = true;
		h.ts = word_get_value(*w++);
	}
	if (id == WORD_HDR_CALLER || id == WORD_HDR_TS_CALLER ||
	    id == WORD_HDR_WINDOW_CALLER) {
		h.has_caller = true;
		h.caller = word_get_value(*w);
	}
	return h;
}

static void read_long(const uint64_t *w, struct event *ev)
{
	unsigned int log2 = alloc_align_of(w[0]);
	unsigned int op = alloc_op_of(w[0]);

	ev->call.op = (enum call_op)op;
	ev->call.phase = op == OP_REALLOC || op == OP_REALLOCARRAY ?
				 CALL_REALLOC_RETURN :
				 CALL_ALLOC;
	ev->call.align = log2 ? 1ull << log2 : 0;
	ev->call.size = w[1];
}

struct body {
	uint8_t op, phase; /* enum call_op, enum call_phase */
	uint8_t frees; /* which of the two sticky callers it has */
};

static const struct body bodies[16] = {
	[WORD_MALLOC] = { CALL_MALLOC, CALL_ALLOC },
	[WORD_FREE] = { CALL_FREE, CALL_FREED, 1 },
	[WORD_CALLOC] = { CALL_CALLOC, CALL_ALLOC },
	[WORD_REALLOC] = { CALL_REALLOC, CALL_REALLOC_ENTER, 1 },
	[WORD_REALLOCED] = { CALL_REALLOC, CALL_REALLOC_RETURN },
	[WORD_LEAVE] = { CALL_FREE, CALL_LEAVE, 1 },
};

static void read_body(const uint64_t *w, struct event *ev)
{
	unsigned int id = word_id(w[0]);

	ev->call.op = (enum call_op)bodies[id].op;
	ev->call.phase = (enum call_phase)bodies[id].phase;
	ev->call.addr = word_get_addr(w[0]);
	ev->call.size = word_get_size(w[0]);
	ev->call.align = 0;
	if (id == WORD_ALLOC)
		read_long(w, ev);
}

/* Which of the two sticky callers the event uses. */
static uint64_t *caller_of(struct words_state *st, const struct event *ev)
{
	switch (ev->call.phase) {
	case CALL_FREED:
	case CALL_REALLOC_ENTER:
	case CALL_LEAVE:
		return &st->free_caller;
	default:
		return &st->alloc_caller;
	}
}

/* The number is computed here, whatever the target calls it. */
static void decode_stack(const uint64_t *w, struct event *ev)
{
	uint32_t nr = (uint32_t)(ctrl_value(w[0]) & ~(uint64_t)STACK_TRUNCATED);
	bool truncated = ctrl_value(w[0]) & STACK_TRUNCATED;
	uint64_t hash = stack_hash_begin(truncated);
	uint32_t i;

	for (i = nr; i > 0; i--)
		hash = stack_hash_add(hash, w[i]);
	ev->kind = EV_STACK;
	ev->stack.id = stack_id(hash);
	ev->stack.nr = nr;
	ev->stack.truncated = truncated;
	ev->stack.frames = w + 1;
}

static void decode_ctrl(struct words_state *st, const uint64_t *w,
			struct event *ev)
{
	switch (word_get_value(w[0]) & 15) {
	case CTRL_TID:
		st->tid = (uint32_t)ctrl_value(w[0]);
		st->alloc_caller = st->free_caller = 0;
		ev->kind = (enum event_kind)0;
		return;
	case CTRL_STACK:
		decode_stack(w, ev);
		return;
	default:
		ev->kind = EV_CALLS_LOST;
		ev->calls_lost.count = ctrl_value(w[0]);
	}
}

static void decode_call(struct words_state *st, const uint64_t *w,
			struct event *ev)
{
	size_t header = word_header_words(word_id(w[0]));
	uint64_t *caller;
	struct header h;

	ev->kind = EV_CALL;
	ev->call.begin = 0;
	read_body(w + header, ev);
	caller = caller_of(st, ev);
	if (header) {
		h = read_header(w);
		ev->call.begin = h.begin;
		if (h.has_ts)
			st->ts = h.ts;
		if (h.has_caller)
			*caller = h.caller;
	}
	ev->call.caller = *caller;
}

int words_decode(struct words_state *st, const uint64_t *w, size_t nr,
		 struct event *ev)
{
	int len = nr && is_plain(w[0]) ? 1 : words_length(w, nr);

	if (len <= 0)
		return len;
	if (word_id(w[0]) == WORD_CTRL)
		decode_ctrl(st, w, ev);
	else
		decode_call(st, w, ev);
	ev->tgid = st->tgid;
	ev->tid = st->tid;
	ev->ts = st->ts;
	ev->mm = 0;
	return len;
}

bool words_brief(const struct event *ev, struct call_brief *call)
{
	if (ev->kind != EV_CALL || ev->call.begin || ev->call.align ||
	    ev->call.phase == CALL_LEAVE)
		return false;
	*call = (struct call_brief){ .addr = ev->call.addr,
				     .size = ev->call.size,
				     .caller = ev->call.caller,
				     .op = (uint8_t)ev->call.op,
				     .phase = (uint8_t)ev->call.phase };
	return true;
}

size_t words_take(struct words_state *st, const uint64_t *w, size_t nr,
		  struct call_brief *calls, size_t max, size_t *words)
{
	uint64_t callers[2] = { st->alloc_caller, st->free_caller };
	const uint64_t *begin = w, *end = w + nr;
	size_t n = 0;

	for (; n < max && w < end; n++) {
		bool caller = word_id(*w) == WORD_HDR_CALLER && w + 1 < end;
		uint64_t w0 = w[0], w1 = w[caller];
		const struct body *b = &bodies[word_id(w1)];

		if (!is_plain(w1))
			break;
		if (caller)
			callers[b->frees] = word_get_value(w0);
		calls[n] = (struct call_brief){ .addr = word_get_addr(w1),
						.size = word_get_size(w1),
						.caller = callers[b->frees],
						.op = b->op,
						.phase = b->phase };
		w += 1 + caller;
	}
	st->alloc_caller = callers[0];
	st->free_caller = callers[1];
	*words = (size_t)(w - begin);
	return n;
}
