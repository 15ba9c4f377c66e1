// SPDX-License-Identifier: GPL-2.0
/*
 * A source with the smallest ts runs until its ts passes the next source's, so
 * the common event costs one comparison. It runs through an equal ts as far as
 * it can, too, because allocators give an address back to the thread that freed
 * it last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/order.h"

struct order_source {
	const struct source_ops *ops;
	void *ctx;
	bool kernel;
	bool stalled; /* its next event is early as the model is now */
	const struct event *ev; /* the next one, NULL: none */
	bool sure;
};

struct order {
	struct model *model;
	struct order_source **sources; /* owned, in the order of order_add() */
	size_t nr;
	uint64_t newest; /* ts of what was applied */
	struct order_totals totals;
};

/* One order_run(). */
struct run {
	struct order *o;
	uint64_t horizon;
	bool final;
	void (*told)(void *ctx, const struct outcome *out);
	void *ctx;
};

struct order *order_new(struct model *m)
{
	struct order *o = calloc(1, sizeof(*o));

	if (o)
		o->model = m;
	return o;
}

void order_free(struct order *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->nr; i++)
		free(o->sources[i]);
	free(o->sources);
	free(o);
}

struct order_source *order_add(struct order *o, const struct source_ops *ops,
			       void *ctx, bool kernel)
{
	struct order_source *s = calloc(1, sizeof(*s));
	struct order_source **all;

	if (!s)
		return NULL;
	all = realloc(o->sources, (o->nr + 1) * sizeof(*all));
	if (!all) {
		free(s);
		return NULL;
	}
	s->ops = ops;
	s->ctx = ctx;
	s->kernel = kernel;
	all[o->nr++] = s;
	o->sources = all;
	return s;
}

void order_remove(struct order *o, struct order_source *s)
{
	size_t i = 0;

	while (i < o->nr && o->sources[i] != s)
		i++;
	if (i == o->nr)
		return;
	o->nr--;
	memmove(&o->sources[i], &o->sources[i + 1], (o->nr - i) * sizeof(s));
	free(s);
}

struct order_totals order_totals(const struct order *o)
{
	return o->totals;
}

/* Looks at the next event of a source. False: none up to the horizon. */
static bool look(const struct run *r, struct order_source *s)
{
	s->sure = true;
	s->ev = s->ops->peek(s->ctx, &s->sure);
	if (s->ev && s->ev->ts > r->horizon)
		s->ev = NULL;
	return s->ev;
}

static bool goes_before(const struct order_source *a, const struct order_source *b)
{
	if (!b)
		return true;
	if (a->ev->ts != b->ev->ts)
		return a->ev->ts < b->ev->ts;
	return a->kernel && !b->kernel;
}

/* The first and the second to go among those that are not stalled, or that are. */
static struct order_source *first(const struct order *o, bool stalled,
				  struct order_source **second)
{
	struct order_source *a = NULL, *b = NULL;

	for (size_t i = 0; i < o->nr; i++) {
		struct order_source *s = o->sources[i];

		if (!s->ev || s->stalled != stalled)
			continue;
		if (goes_before(s, a)) {
			b = a;
			a = s;
		} else if (goes_before(s, b)) {
			b = s;
		}
	}
	if (second)
		*second = b;
	return a;
}

static void apply(const struct run *r, struct order_source *s)
{
	struct order *o = r->o;
	struct outcome out;

	if (s->ev->ts < o->newest)
		o->totals.late++;
	else
		o->newest = s->ev->ts;
	o->totals.applied++;
	if (model_apply(o->model, s->ev, &out) == 0 && r->told)
		r->told(r->ctx, &out);
	s->ops->pop(s->ctx);
}

/* Until its events would come after those of next, or of a stalled source. */
static uint64_t run_source(const struct run *r, struct order_source *s,
			   const struct order_source *next, uint64_t limit)
{
	uint64_t n = 0;

	do {
		if (model_early(r->o->model, s->ev)) {
			s->stalled = true;
			r->o->totals.held++;
			break;
		}
		apply(r, s);
		n++;
	} while (look(r, s) && s->ev->ts <= limit && !(next && goes_before(next, s)));
	return n;
}

/*
 * Nobody else can go before these any more. False: what they wait for may be
 * unread yet. It may also be behind another one that stalls, hence all of equal
 * ts must be sure.
 */
static bool force(const struct run *r, struct order_source *s)
{
	for (size_t i = 0; i < r->o->nr && !r->final; i++) {
		const struct order_source *t = r->o->sources[i];

		if (t->ev && t->stalled && t->ev->ts == s->ev->ts && !t->sure)
			return false;
	}
	r->o->totals.forced++;
	apply(r, s);
	look(r, s);
	return true;
}

static void retry(struct order *o)
{
	for (size_t i = 0; i < o->nr; i++)
		o->sources[i]->stalled = false;
}

uint64_t order_run(struct order *o, uint64_t horizon, bool final,
		   void (*told)(void *ctx, const struct outcome *out), void *ctx)
{
	const struct run r = { o, horizon, final, told, ctx };
	uint64_t before = o->totals.applied;

	retry(o);
	for (size_t i = 0; i < o->nr; i++)
		look(&r, o->sources[i]);
	for (;;) {
		struct order_source *next;
		struct order_source *s = first(o, false, &next);
		struct order_source *held = first(o, true, NULL);

		if (held && (!s || s->ev->ts > held->ev->ts)) {
			if (!force(&r, held))
				break;
			retry(o);
			continue;
		}
		if (!s)
			break;
		if (run_source(&r, s, next, held ? held->ev->ts : UINT64_MAX))
			retry(o);
	}
	return o->totals.applied - before;
}
