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
#define RUN \
	1024 /* allocator calls applied at once: 32 KiB; a prefetch begins in each anew */

struct order_source {
	const struct source_ops *ops;
	void *ctx;
	bool kernel;
	const struct event *ev; /* the next one, NULL: none up to the horizon */
	bool sure;
	uint64_t served; /* number of its last turn that ended early, at: */
	uint64_t served_ts;
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
	uint64_t (*advance)(void *ctx, uint64_t ts);
	void *advance_ctx;
	uint64_t advance_at; /* applied */
	struct call_brief calls[RUN];
};

/* One order_run(). */
struct run {
	struct order *o;
	uint64_t horizon;
	bool all; /* what is not sure is applied, too */
	bool quick; /* nobody wants to hear of each call */
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

void order_on_advance(struct order *o, uint64_t applied,
		      uint64_t (*fn)(void *ctx, uint64_t ts), void *ctx)
{
	o->advance = fn;
	o->advance_ctx = ctx;
	o->advance_at = applied;
}

void order_resume(struct order *o, uint64_t applied, uint64_t first,
		  uint64_t last)
{
	o->totals.applied = applied;
	o->totals.first = first;
	o->totals.last = o->newest = last;
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

/* Only turns at the same ts count: what came before decides nothing. */
static uint64_t served(const struct order_source *s)
{
	return s->served_ts == s->ev->ts ? s->served : 0;
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
	return served(a) < served(b);
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

/* The next event, which no source has given away yet, has this ts. */
static void reach(struct order *o, uint64_t ts)
{
	if (ts <= o->newest)
		return;
	model_settle(o->model, ts);
	if (o->advance && o->totals.applied >= o->advance_at)
		o->advance_at = o->advance(o->advance_ctx, ts);
	o->newest = ts;
}

static void count(struct order *o, uint64_t ts, size_t nr)
{
	if (ts < o->newest)
		o->totals.late += nr;
	o->totals.applied += nr;
	if (!o->totals.first)
		o->totals.first = ts;
	o->totals.last = o->newest;
}

/* Allocator calls that nobody wants to hear of, up to max. How many: 0: none. */
static size_t apply_run(const struct run *r, struct order_source *s, size_t max)
{
	struct order *o = r->o;
	struct call_run calls = { .tgid = s->ev->tgid,
				  .tid = s->ev->tid,
				  .ts = s->ev->ts,
				  .calls = o->calls };

	if (!r->quick || !s->ops->take || s->ev->kind != EV_CALL)
		return 0;
	calls.nr = s->ops->take(s->ctx, o->calls, max < RUN ? max : RUN);
	if (!calls.nr)
		return 0;
	count(o, calls.ts, calls.nr);
	model_apply_run(o->model, &calls);
	return calls.nr;
}

static void apply_one(const struct run *r, struct order_source *s)
{
	struct outcome out;

	count(r->o, s->ev->ts, 1);
	if (model_apply(r->o->model, s->ev, &out) == 0 && r->told &&
	    !(r->quick && s->ev->kind == EV_CALL))
		r->told(r->ctx, &out);
	s->ops->pop(s->ctx);
}

/* Events of one ts. Returns how many: 1 to max. */
static size_t apply(const struct run *r, struct order_source *s, size_t max)
{
	size_t nr;

	reach(r->o, s->ev->ts);
	nr = apply_run(r, s, max);
	if (nr)
		return nr;
	apply_one(r, s);
	return 1;
}

/*
 * The source comes to a ts that the next one has, too: who begins there does not
 * depend on what was before, so that a replay may begin at any ts.
 */
static bool meets(const struct order_source *s, const struct order_source *next,
		  uint64_t ts)
{
	return next && s->ev->ts != ts && next->ev->ts == s->ev->ts;
}

static void take_turn(const struct run *r, struct order_source *s,
		      const struct order_source *next)
{
	size_t left = r->o->nr < TURN ? TURN : r->o->nr;
	uint64_t ts;

	do {
		bool shared = next && next->ev->ts == s->ev->ts;

		ts = s->ev->ts;
		if (shared && !left) {
			s->served = ++r->o->turns;
			s->served_ts = ts;
			return;
		}
		if (shared)
			left -= apply(r, s, left);
		else
			apply(r, s, RUN);
	} while (look(r, s) && s->sure && !meets(s, next, ts) &&
		 !(next && goes_before(next, s)));
}

static uint64_t run_all(struct run r, bool final)
{
	struct order *o = r.o;
	uint64_t before = o->totals.applied, end = r.horizon;
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

uint64_t order_run(struct order *o, uint64_t horizon, bool final,
		   void (*told)(void *ctx, const struct outcome *out),
		   void *ctx)
{
	struct run r = { .o = o,
			 .horizon = horizon,
			 .all = final || o->stuck >= MAX_STUCK,
			 .quick = !told,
			 .told = told,
			 .ctx = ctx };

	return run_all(r, final);
}

uint64_t order_run_quick(struct order *o, uint64_t horizon, bool final,
			 void (*told)(void *ctx, const struct outcome *out),
			 void *ctx)
{
	struct run r = { .o = o,
			 .horizon = horizon,
			 .all = final || o->stuck >= MAX_STUCK,
			 .quick = true,
			 .told = told,
			 .ctx = ctx };

	return run_all(r, final);
}
