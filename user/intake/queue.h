/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The words of one writer that nobody has taken yet: what ring_peek() and
 * uprobe_peek() show.
 *
 *   buf   [ taken ... | checked ... | the beginning of an event )  len
 *
 * Positions in the stream (base, seen, sure) count all words ever put in.
 */
#ifndef INTAKE_QUEUE_H
#define INTAKE_QUEUE_H

#include "intake/words.h"

struct word_queue {
	uint64_t *buf;
	size_t len, cap;
	size_t checked; /* [0, checked) are whole events */
	size_t taken; /* [0, taken) were popped */
	size_t told; /* [0, told) queue_tell() has told of */
	uint64_t ctrl; /* position of the end of the last control word that was checked */
	uint64_t base; /* position of buf[0] */
	/* Position of the end of what was visible before the latest pass ... */
	uint64_t seen;
	uint64_t sure; /* ... and before the latest pass that missed nothing */
	struct words_state st; /* at `taken` */
	struct event ev; /* the event at `taken`, ev_words long; 0: not decoded */
	size_t ev_words;
};

/* Makes room for nr words behind buf[len]; false: no memory. May move buf. */
bool queue_reserve(struct word_queue *q, size_t nr);
/* The nr words behind buf[checked] are a control word (and what belongs to it). */
void queue_ctrl(struct word_queue *q, size_t nr);
/* Puts in that nr events were dropped here: all was checked, and there is room for a word. */
void queue_lost(struct word_queue *q, uint64_t nr);
/* Gives memory back when all was taken. */
void queue_relax(struct word_queue *q);
void queue_free(struct word_queue *q);
/*
 * The words that were taken since the last call, as they came: whole events to
 * words(), each control word (with what belongs to it) to ctrl(); false: that one is
 * to be told of by another call. To be called before more words come, or they are
 * not told.
 */
struct queue_teller {
	void (*words)(void *ctx, const uint64_t *w, size_t nr);
	bool (*ctrl)(void *ctx, const uint64_t *w, size_t nr);
};
void queue_tell(struct word_queue *q, const struct queue_teller *t, void *ctx);
/*
 * The stamp of the first event that is to be told, UINT64_MAX when that are control words
 * alone; when all was told, of the last one. ts: what it was after the last queue_tell().
 */
uint64_t queue_untold(const struct word_queue *q, uint64_t ts);
/* See struct source_ops of model/order.h. */
const struct event *queue_peek(struct word_queue *q, bool *sure);
void queue_pop(struct word_queue *q);
size_t queue_take(struct word_queue *q, struct call_brief *calls, size_t max);

static inline bool queue_empty(const struct word_queue *q)
{
	return q->taken == q->checked && !q->ev_words;
}

static inline bool queue_all_told(const struct word_queue *q)
{
	return q->told == q->taken;
}

static inline size_t queue_backlog(const struct word_queue *q)
{
	return q->len - q->taken;
}

/* A pass over all writers begins: what is here now was visible before it. */
static inline void queue_mark(struct word_queue *q)
{
	q->seen = q->base + q->checked;
}

#endif
