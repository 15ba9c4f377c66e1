// SPDX-License-Identifier: GPL-2.0
#include "intake/queue.h"
#include "probe/words.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_WORDS (1u << 16) /* a drained buffer larger than this is freed */

/* Forgets what was taken, when moving the rest costs less than what it gains. */
static void queue_compact(struct word_queue *q)
{
	if (!q->taken || q->taken < q->len - q->taken)
		return;
	memmove(q->buf, q->buf + q->taken, (q->len - q->taken) * 8);
	q->base += q->taken;
	q->told -= q->told < q->taken ? q->told : q->taken;
	q->len -= q->taken;
	q->checked -= q->taken;
	q->taken = 0;
}

bool queue_reserve(struct word_queue *q, size_t nr)
{
	uint64_t *buf;
	size_t cap;

	queue_compact(q);
	if (q->len + nr <= q->cap)
		return true;
	for (cap = q->cap ? q->cap : 512; cap < q->len + nr; cap *= 2)
		;
	buf = realloc(q->buf, cap * 8);
	if (!buf)
		return false;
	q->buf = buf;
	q->cap = cap;
	return true;
}

void queue_ctrl(struct word_queue *q, size_t nr)
{
	q->checked += nr;
	q->ctrl = q->base + q->checked;
}

void queue_lost(struct word_queue *q, uint64_t nr)
{
	q->buf[q->len++] = word_ctrl(CTRL_LOST, nr);
	queue_ctrl(q, 1);
}

void queue_relax(struct word_queue *q)
{
	if (q->taken != q->len || q->cap <= KEEP_WORDS || q->ev_words)
		return;
	queue_compact(q);
	free(q->buf);
	q->buf = NULL;
	q->cap = 0;
}

void queue_free(struct word_queue *q)
{
	free(q->buf);
}

/* Control words are rare, so mostly nothing has to be looked through for one. */
void queue_tell(struct word_queue *q, const struct queue_teller *t, void *ctx)
{
	while (q->told < q->taken) {
		const uint64_t *w = q->buf + q->told;
		size_t nr = q->taken - q->told;
		int stop = 0;

		if (q->base + q->told < q->ctrl)
			nr = words_run(w, nr, UINT64_MAX, &stop);
		if (nr)
			t->words(ctx, w, nr);
		q->told += nr;
		if (stop <= 0) /* the end: what was taken was whole */
			break;
		if (!t->ctrl(ctx, w + nr, (size_t)stop))
			break;
		q->told += (size_t)stop;
	}
}

uint64_t queue_untold(const struct word_queue *q, uint64_t ts)
{
	struct words_state st = { .ts = ts };
	size_t at = q->told;
	struct event ev;
	int len;

	if (queue_all_told(q))
		return q->st.ts;
	do {
		len = words_decode(&st, q->buf + at, q->taken - at, &ev);
		if (len > 0 && ev.kind == EV_CALL)
			return ev.ts;
		at += (size_t)len;
	} while (len > 0 && at < q->taken);
	return UINT64_MAX;
}

const struct event *queue_peek(struct word_queue *q, bool *sure)
{
	int len;

	while (!q->ev_words) {
		if (q->taken == q->checked)
			return NULL;
		/* checked, so it decodes */
		len = words_decode(&q->st, q->buf + q->taken,
				   q->checked - q->taken, &q->ev);
		if (len <= 0)
			return NULL;
		/* Stacks were told as they came (ring_ctrl()). */
		if (q->ev.kind && q->ev.kind != EV_STACK)
			q->ev_words = (size_t)len;
		else
			q->taken += (size_t)len;
	}
	*sure = q->base + q->taken < q->sure;
	return &q->ev;
}

void queue_pop(struct word_queue *q)
{
	q->taken += q->ev_words;
	q->ev_words = 0;
}

/* Where what is as sure as the next event ends. */
static size_t queue_limit(const struct word_queue *q)
{
	uint64_t sure = q->sure > q->base ? q->sure - q->base : 0;

	return q->taken < sure && sure < q->checked ? sure : q->checked;
}

size_t queue_take(struct word_queue *q, struct call_brief *calls, size_t max)
{
	size_t limit = queue_limit(q), words, n;

	if (!max || !q->ev_words || !words_brief(&q->ev, &calls[0]))
		return 0;
	queue_pop(q);
	n = words_take(&q->st, q->buf + q->taken, limit - q->taken, calls + 1,
		       max - 1, &words);
	q->taken += words;
	return n + 1;
}
