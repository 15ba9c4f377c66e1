// SPDX-License-Identifier: GPL-2.0
/*
 * The source with the smallest ts runs until its ts passes that of the next
 * source, so the common event costs one comparison.
 */
#include <stdlib.h>
#include <string.h>

#include "model/order.h"

struct order_source {
	const struct source_ops *ops;
	void *ctx;
	bool kernel;
	const struct event *ev; /* the next one, NULL: none up to the horizon */
	bool sure;
};

struct order {
	struct model *model;
	struct order_source **sources; /* owned, in the order of order_add() */
	size_t nr;
	uint64_t newest; /* ts of what was applied */
	/*
	 * The smallest ts of those that were not sure, in this run and the one
	 * before: nothing from there on can be settled, for what belongs before
	 * it may have been read a round later, or two when a ring was very full.
	 */
	uint64_t unsure, unsure_before;
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

	if (!o)
		return NULL;
	o->model = m;
	o->unsure = UINT64_MAX;
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
	struct order_totals t = o->totals;

	t.held = model_totals(o->model).waited;
	t.forced = model_totals(o->model).in_vain;
	return t;
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

static struct order_source *first(const struct order *o, struct order_source **second)
{
	struct order_source *a = NULL, *b = NULL;

	for (size_t i = 0; i < o->nr; i++) {
		struct order_source *s = o->sources[i];

		if (!s->ev)
			continue;
		if (goes_before(s, a)) {
			b = a;
			a = s;
		} else if (goes_before(s, b)) {
			b = s;
		}
	}
	*second = b;
	return a;
}

/* Every event older than ts has been applied. */
static void settle(const struct run *r, uint64_t ts)
{
	const struct order *o = r->o;

	if (!r->final && o->unsure < ts)
		ts = o->unsure;
	if (!r->final && o->unsure_before < ts)
		ts = o->unsure_before;
	model_settle(o->model, ts);
}

static void apply(const struct run *r, struct order_source *s)
{
	struct order *o = r->o;
	uint64_t ts = s->ev->ts;
	struct outcome out;

	if (ts < o->newest)
		o->totals.late++;
	if (ts > o->newest) {
		settle(r, ts);
		o->newest = ts;
	}
	if (!s->sure && ts < o->unsure)
		o->unsure = ts;
	o->totals.applied++;
	if (model_apply(o->model, s->ev, &out) == 0 && r->told)
		r->told(r->ctx, &out);
	s->ops->pop(s->ctx);
}

uint64_t order_run(struct order *o, uint64_t horizon, bool final,
		   void (*told)(void *ctx, const struct outcome *out), void *ctx)
{
	const struct run r = { o, horizon, final, told, ctx };
	uint64_t before = o->totals.applied;
	struct order_source *s, *next;

	o->unsure_before = o->unsure;
	o->unsure = UINT64_MAX;
	for (size_t i = 0; i < o->nr; i++)
		look(&r, o->sources[i]);
	while ((s = first(o, &next))) {
		do {
			apply(&r, s);
		} while (look(&r, s) && !(next && goes_before(next, s)));
	}
	settle(&r, final || horizon == UINT64_MAX ? UINT64_MAX : horizon + 1);
	return o->totals.applied - before;
}
