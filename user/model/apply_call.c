// SPDX-License-Identifier: GPL-2.0
/* What malloc handed out and free took back: the allocator's side. */
#include <errno.h>

#include "model/apply.h"

/* NULL with *orphan: the process is not watched; else there is no memory. */
static struct thread *thread_of(struct model *m, const struct event *ev,
				bool *orphan)
{
	struct thread *t = m->last;
	struct book *b;

	*orphan = false;
	if (t && t->tid == ev->tid && t->tgid == ev->tgid)
		return t;
	b = model_book_of(m, ev->tgid);
	*orphan = !b;
	if (!b)
		return NULL;
	t = model_thread(m, b, ev);
	m->last = t;
	return t;
}

/* The window of the call is told: which VMA events lie in it? */
static int end_call(struct thread *t, const struct call *call, uint64_t begin,
		    const struct event *ev, struct outcome *out)
{
	int nr;

	t->open.op = CALL_NONE;
	if (begin >= ev->ts) {
		join_call(t, call, ev->ts, ev->ts);
		return 0;
	}
	nr = join_call(t, call, begin, ev->ts);
	if (nr < 0)
		return nr;
	out->vma_events = nr;
	t->book->s.window_no_event += nr == 0;
	return 0;
}

/* The stack that an event names becomes the thread's. 0 or -ENOMEM. */
static int set_where(struct model *m, struct thread *t, uint64_t where)
{
	const struct stack *st = stacks_get(&m->stacks, where);
	long tally = tally_stack(t->book, st ? where : CALLER_STACK);

	if (tally < 0)
		return (int)tally;
	t->where = where;
	t->where_tally = (size_t)tally;
	t->where_caller = st ? st->frames[0] : 0;
	return 0;
}

/* The return address of the call, and where its stack is counted. */
static int caller_of(struct model *m, struct thread *t, uint64_t told,
		     uint64_t *caller)
{
	int ret = 0;

	*caller = told;
	if (!(*caller & CALLER_STACK))
		return 0;
	if (*caller != t->where)
		ret = set_where(m, t, *caller);
	*caller = t->where_caller;
	return ret;
}

static void count_stack(struct thread *t, uint64_t caller, uint64_t addr,
			uint64_t size)
{
	struct stack_tally *st;

	if (!(caller & CALLER_STACK) || !addr)
		return;
	st = &t->book->s.stacks[t->where_tally];
	st->allocs++;
	st->bytes += size;
}

static void begin_call(struct thread *t, const struct event *ev,
		       uint64_t caller)
{
	const struct call none = { .op = CALL_NONE };

	join_call(t, &none, ev->ts, ev->ts);
	t->open = (struct call){ ev->call.op, ev->call.addr, 0, caller };
	t->entered = ev->ts;
}

void model_forget_old(struct model *m, struct thread *t)
{
	if (t->old_waits)
		life_forget_fate(&m->lives, t->book, t->old_addr, t->tid);
	t->old_waits = false;
	t->old.addr = 0;
}

static void born_here(struct chunk *c, const struct event *ev)
{
	c->addr = ev->call.addr;
	c->size = ev->call.size;
	c->ts = ev->ts;
	c->caller = ev->call.caller;
	c->tid = ev->tid;
	c->op = ev->call.op;
}

static struct life life_of(const struct event *ev, struct chunk *c)
{
	return (struct life){
		.c = c, .ts = ev->ts, .tid = ev->tid, .op = ev->call.op
	};
}

static int birth(struct model *m, struct thread *t, const struct event *ev,
		 struct outcome *out)
{
	struct life e = life_of(ev, &out->chunk);
	int ret = life_birth(&m->lives, t->book, &e);

	out->waits = ret == LIFE_WAITS;
	out->known = ret == LIFE_DONE;
	return ret < 0 ? ret : 0;
}

/* Takes the chunk of a free or realloc out; NULL is no chunk. */
static int death(struct model *m, struct thread *t, const struct event *ev,
		 struct outcome *out, struct chunk *fate)
{
	struct life e;
	int ret;

	if (!ev->call.addr)
		return 0;
	out->chunk.addr = ev->call.addr;
	e = life_of(ev, &out->chunk);
	e.fate = fate;
	ret = life_death(&m->lives, t->book, &e);
	out->waits = ret == LIFE_WAITS;
	out->known = ret == LIFE_DONE;
	return ret < 0 ? ret : 0;
}

static int apply_alloc(struct model *m, struct thread *t,
		       const struct event *ev, uint64_t caller,
		       struct outcome *out)
{
	struct op_tally *op = &t->book->s.ops[ev->call.op];
	struct call call = { ev->call.op, ev->call.addr, ev->call.size,
			     caller };
	int ret = 0;

	born_here(&out->chunk, ev);
	if (ev->call.addr)
		ret = birth(m, t, ev, out);
	if (ret)
		return ret;
	count_stack(t, ev->call.caller, ev->call.addr, ev->call.size);
	op->calls++;
	if (ev->call.addr)
		op->bytes += ev->call.size;
	else
		op->failed++;
	return end_call(t, &call, ev->call.begin ? ev->call.begin : ev->ts, ev,
			out);
}

static int apply_freed(struct model *m, struct thread *t,
		       const struct event *ev, uint64_t caller,
		       struct outcome *out)
{
	int ret = death(m, t, ev, out, NULL);

	if (ret)
		return ret;
	t->book->s.ops[ev->call.op].calls++;
	begin_call(t, ev, caller);
	return 0;
}

static int apply_leave(struct thread *t, const struct event *ev,
		       struct outcome *out)
{
	struct call call = t->open;

	out->chunk.addr = call.addr;
	if (call.op == CALL_NONE)
		return end_call(t, &call, ev->ts, ev, out);
	return end_call(t, &call, t->entered, ev, out);
}

static int apply_realloc_enter(struct model *m, struct thread *t,
			       const struct event *ev, uint64_t caller,
			       struct outcome *out)
{
	int ret;

	model_forget_old(m, t);
	ret = death(m, t, ev, out, &t->old);
	if (ret)
		return ret;
	t->old_waits = out->waits;
	t->old_addr = ev->call.addr;
	begin_call(t, ev, caller);
	return 0;
}

/* The old chunk is alive again, and it is as old as it was. */
static int realloc_failed(struct model *m, struct thread *t,
			  const struct event *ev, struct outcome *out)
{
	if (t->old_waits &&
	    life_not_dead(&m->lives, t->book, t->old_addr, t->tid))
		return 0;
	out->chunk = t->old;
	return t->old.addr ? birth(m, t, ev, out) : 0;
}

/* What the return of a realloc leaves behind: the new chunk, the old, or none. */
static int realloc_result(struct model *m, struct thread *t,
			  const struct event *ev, struct outcome *out)
{
	struct op_tally *op = &t->book->s.ops[ev->call.op];
	bool failed = !ev->call.addr && ev->call.size;
	int ret = 0;

	born_here(&out->chunk, ev);
	if (failed)
		ret = realloc_failed(m, t, ev, out);
	else if (ev->call.addr)
		ret = birth(m, t, ev, out);
	if (ret)
		return ret;
	model_forget_old(m, t);
	count_stack(t, ev->call.caller, ev->call.addr, ev->call.size);
	op->calls++;
	op->failed += failed;
	op->bytes += failed ? 0 : ev->call.size;
	return 0;
}

static int apply_realloc_return(struct model *m, struct thread *t,
				const struct event *ev, uint64_t caller,
				struct outcome *out)
{
	struct call call = { ev->call.op, ev->call.addr, ev->call.size,
			     caller };
	uint64_t begin = t->open.op == CALL_NONE ? ev->ts : t->entered;
	int ret = realloc_result(m, t, ev, out);

	if (ret)
		return ret;
	return end_call(t, &call, ev->call.begin ? ev->call.begin : begin, ev,
			out);
}

static bool call_valid(const struct event *ev)
{
	return (unsigned int)ev->call.op < CALL_OP_MAX &&
	       (ev->call.op != CALL_NONE || ev->call.phase == CALL_LEAVE);
}

int apply_call(struct model *m, const struct event *ev, struct outcome *out)
{
	struct thread *t;
	uint64_t caller;
	bool orphan;

	if (!call_valid(ev))
		return -EINVAL;
	t = thread_of(m, ev, &orphan);
	m->totals.orphan_calls += orphan;
	if (!t)
		return orphan ? 0 : -ENOMEM;
	out->space = &t->book->s;
	out->space->has_calls = true;
	t->seen = ev->ts;
	if (caller_of(m, t, ev->call.caller, &caller))
		return -ENOMEM;
	switch (ev->call.phase) {
	case CALL_ALLOC:
		return apply_alloc(m, t, ev, caller, out);
	case CALL_FREED:
		return apply_freed(m, t, ev, caller, out);
	case CALL_REALLOC_ENTER:
		return apply_realloc_enter(m, t, ev, caller, out);
	case CALL_REALLOC_RETURN:
		return apply_realloc_return(m, t, ev, caller, out);
	case CALL_LEAVE:
		return apply_leave(t, ev, out);
	}
	return -EINVAL;
}

/* --- many at once */

/* As event: what the quick way below cannot do. */
static void apply_brief(struct model *m, const struct call_run *r,
			const struct call_brief *c)
{
	struct event ev = { .kind = EV_CALL,
			    .tgid = r->tgid,
			    .tid = r->tid,
			    .ts = r->ts,
			    .call = { .op = (enum call_op)c->op,
				      .phase = (enum call_phase)c->phase,
				      .addr = c->addr,
				      .size = c->size,
				      .caller = c->caller } };

	model_apply(m, &ev, NULL);
}

/* The thread of the run, as the first call of it would find or make it. */
static struct thread *thread_of_run(struct model *m, const struct call_run *r)
{
	const struct event ev = { .tgid = r->tgid, .tid = r->tid, .ts = r->ts };
	struct thread *t;
	bool orphan;

	t = thread_of(m, &ev, &orphan);
	if (!t)
		return NULL;
	t->book->s.has_calls = true;
	t->seen = r->ts;
	life_see(&m->lives, r->ts);
	return t;
}

/*
 * The quick way, where nothing waits: no event of another thread (life.h), no VMA
 * event of this one (join.h). Then what remains of apply_alloc() and the others is
 * the chunk, a count, and which call is open.
 */
static bool nothing_waits(const struct model *m, const struct thread *t)
{
	return !m->lives.knots.nr && !t->nr_waiting;
}

static void quick_open(struct thread *t, const struct call_run *r,
		       const struct call_brief *c, uint64_t caller)
{
	t->open = (struct call){ (enum call_op)c->op, c->addr, 0, caller };
	t->entered = r->ts;
}

static bool quick_birth(struct thread *t, const struct call_run *r,
			const struct call_brief *c)
{
	struct op_tally *op = &t->book->s.ops[c->op];
	struct chunk born = { .addr = c->addr,
			      .size = c->size,
			      .ts = r->ts,
			      .caller = c->caller,
			      .tid = r->tid,
			      .op = (enum call_op)c->op };

	if (chunk_insert(t->book->s.chunks, &born))
		return false;
	count_stack(t, c->caller, c->addr, c->size);
	op->calls++;
	op->bytes += c->size;
	t->open.op = CALL_NONE;
	return true;
}

static bool quick_free(struct thread *t, const struct call_run *r,
		       const struct call_brief *c, uint64_t caller)
{
	struct op_tally *op = &t->book->s.ops[c->op];
	struct chunk dead;

	if (chunk_die(t->book->s.chunks, c->addr, r->ts, r->tid, &dead))
		return false;
	op->calls++;
	if (c->op == CALL_FREE)
		op->bytes += dead.size;
	quick_open(t, r, c, caller);
	return true;
}

static bool quick_realloc_enter(struct thread *t, const struct call_run *r,
				const struct call_brief *c, uint64_t caller)
{
	struct chunk dead;

	if (t->old_waits ||
	    chunk_die(t->book->s.chunks, c->addr, r->ts, r->tid, &dead))
		return false;
	t->old = dead;
	t->old_addr = c->addr;
	quick_open(t, r, c, caller);
	return true;
}

static bool quick_realloc_return(struct thread *t, const struct call_run *r,
				 const struct call_brief *c)
{
	bool window = t->open.op != CALL_NONE && t->entered < r->ts;

	if (window || t->old_waits || !quick_birth(t, r, c))
		return false;
	t->old.addr = 0;
	return true;
}

static bool quick_one(struct model *m, struct thread *t,
		      const struct call_run *r, const struct call_brief *c)
{
	uint64_t caller;

	if (!c->addr || c->op == CALL_NONE || c->op >= CALL_OP_MAX ||
	    caller_of(m, t, c->caller, &caller))
		return false;
	switch (c->phase) {
	case CALL_ALLOC:
		return quick_birth(t, r, c);
	case CALL_FREED:
		return quick_free(t, r, c, caller);
	case CALL_REALLOC_ENTER:
		return quick_realloc_enter(t, r, c, caller);
	case CALL_REALLOC_RETURN:
		return quick_realloc_return(t, r, c);
	}
	return false;
}

struct quick_stacks {
	struct model *m;
	struct thread *t;
};

static struct stack_tally *quick_tally(void *ctx, uint64_t stack)
{
	struct quick_stacks *s = ctx;

	if (set_where(s->m, s->t, stack))
		return NULL;
	return &s->t->book->s.stacks[s->t->where_tally];
}

/* What chunk_run() does, from the i-th call on. The index of the first other. */
static size_t quick_many(struct model *m, struct thread *t,
			 const struct call_run *r, size_t i)
{
	bool window = t->open.op != CALL_NONE && t->entered < r->ts;
	struct space *s = &t->book->s;
	struct quick_stacks stacks = { m, t };
	struct chunk_run run = { .ops = s->ops,
				 .old = window || t->old_waits ? NULL : &t->old,
				 .stack = t->where,
				 .tally = &s->stacks[t->where_tally],
				 .tally_of = quick_tally,
				 .ctx = &stacks,
				 .crossed = found_expected(s) };
	size_t end = chunk_run(s->chunks, r, i, &run);
	const struct call_brief *last;

	if (end == i)
		return i;
	last = &r->calls[end - 1];
	t->open.op = CALL_NONE;
	if (last->phase == CALL_FREED || last->phase == CALL_REALLOC_ENTER)
		quick_open(t, r, last, last->caller);
	return end;
}

/* All calls from the i-th on that can be done so. The index of the first other. */
static size_t quick_calls(struct model *m, struct thread *t,
			  const struct call_run *r, size_t i)
{
	while (i < r->nr && nothing_waits(m, t)) {
		i = quick_many(m, t, r, i);
		if (i == r->nr || !quick_one(m, t, r, &r->calls[i]))
			break;
		i++;
	}
	return i;
}

void model_apply_run(struct model *m, const struct call_run *r)
{
	struct thread *t = thread_of_run(m, r);
	size_t i = 0, done;

	while (i < r->nr) {
		done = t ? quick_calls(m, t, r, i) : i;
		m->totals.events += done - i;
		i = done;
		if (i < r->nr)
			apply_brief(m, r, &r->calls[i++]);
	}
}

/* What was under way may have ended in what was lost. */
int apply_calls_lost(struct model *m, const struct event *ev,
		     struct outcome *out)
{
	struct book *b = model_book_of(m, ev->tgid);
	struct thread *t;

	if (!b) {
		m->totals.orphan_calls += ev->calls_lost.count;
		return 0;
	}
	out->space = &b->s;
	/* That nobody hears the process (a loss of no thread) is no source. */
	b->s.has_calls |= ev->tid != 0;
	b->s.calls_lost += ev->calls_lost.count;
	t = hash_get(&m->threads, b->s.mm, ev->tid);
	if (t) {
		t->open.op = CALL_NONE;
		model_forget_old(m, t);
	}
	return 0;
}
