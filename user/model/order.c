// SPDX-License-Identifier: GPL-2.0
/*
 * The source with the smallest ts runs until its ts passes that of the next
 * source, so the common event costs one comparison. Among equal ts the sources
 * take turns: that is nearer to the truth than one after the other, so fewer
 * events wait in the model, and fewer lives are mistaken for one another.
 */
#include <stdlib.h>
#include <string.h>

#include "model/order.h"

/* A source that is full may not be able to read on until it is rid of something. */
#define MAX_STUCK 2

#define TURN 32 /* events; a turn costs a look at every source */

struct order_source {
	const struct source_ops *ops;
	void *ctx;
	bool kernel;
	const struct event *ev; /* the next one, NULL: none up to the horizon */
	bool sure;
	uint64_t served; /* number of its last turn that ended early */
};

struct order {
	struct model *model;
	struct order_source **sources; /* owned, in the order of order_add() */
	size_t nr;
	uint64_t newest; /* ts of what was applied */
	uint64_t turns;
	unsigned int
		stuck; /* runs in a row that only met events that are not sure */
	struct order_totals totals;
};

/* One order_run(). */
struct run {
	struct order *o;
	uint64_t horizon;
	bool all; /* what is not sure is applied, too */
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
	s->sure |= r->all;
	if (s->ev && s->ev->ts > r->horizon)
		s->ev = NULL;
	return s->ev;
}

static bool goes_before(const struct order_source *a,
			const struct order_source *b)
{
	if (!b)
		return true;
	if (a->ev->ts != b->ev->ts)
		return a->ev->ts < b->ev->ts;
	if (a->kernel != b->kernel)
		return a->kernel;
	if (a->sure != b->sure)
		return a->sure;
	return a->served < b->served;
}

static struct order_source *first(const struct order *o,
				  struct order_source **second)
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

static void apply(const struct run *r, struct order_source *s)
{
	struct order *o = r->o;
	uint64_t ts = s->ev->ts;
	struct outcome out;

	if (ts < o->newest)
		o->totals.late++;
	if (ts > o->newest) {
		model_settle(o->model, ts);
		o->newest = ts;
	}
	o->totals.applied++;
	if (model_apply(o->model, s->ev, &out) == 0 && r->told)
		r->told(r->ctx, &out);
	s->ops->pop(s->ctx);
}

static void take_turn(const struct run *r, struct order_source *s,
		      const struct order_source *next)
{
	size_t left = r->o->nr < TURN ? TURN : r->o->nr;

	do {
		if (!left-- && next && next->ev->ts == s->ev->ts) {
			s->served = ++r->o->turns;
			return;
		}
		apply(r, s);
	} while (look(r, s) && s->sure && !(next && goes_before(next, s)));
}

uint64_t order_run(struct order *o, uint64_t horizon, bool final,
		   void (*told)(void *ctx, const struct outcome *out),
		   void *ctx)
{
	const struct run r = { o, horizon, final || o->stuck >= MAX_STUCK, told,
			       ctx };
	uint64_t before = o->totals.applied, end = horizon;
	struct order_source *s, *next;

	for (size_t i = 0; i < o->nr; i++)
		look(&r, o->sources[i]);
	while ((s = first(o, &next)) && s->sure)
		take_turn(&r, s, next);
	/* Of the stamp of the first that is not sure, some may be missing. */
	if (s)
		end = s->ev->ts - 1;
	model_settle(o->model,
		     final || end == UINT64_MAX ? UINT64_MAX : end + 1);
	o->stuck = s && o->totals.applied == before ? o->stuck + 1 : 0;
	return o->totals.applied - before;
}
