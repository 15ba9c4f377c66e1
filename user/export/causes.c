// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "export/causes.h"

struct event_id {
	uint64_t ts, id;
};

struct thread {
	struct event_id *waiting; /* ts rising */
	uint64_t *ids; /* as many, for who asks */
	size_t nr, room;
	enum call_op op; /* that was entered; CALL_NONE: none */
	uint64_t addr, caller, entered;
};

/* NULL: no memory. */
static struct thread *thread_of(struct causes *c, const struct outcome *out)
{
	uint64_t mm = out->space->mm;
	struct thread *t = hash_get(&c->threads, mm, out->ev->tid);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (t && hash_put(&c->threads, mm, out->ev->tid, t)) {
		free(t);
		return NULL;
	}
	return t;
}

static int grow(struct thread *t)
{
	size_t room = t->room ? 2 * t->room : 8;
	void *w, *ids;

	w = realloc(t->waiting, room * sizeof(*t->waiting));
	if (!w)
		return -ENOMEM;
	t->waiting = w;
	ids = realloc(t->ids, room * sizeof(*t->ids));
	if (!ids)
		return -ENOMEM;
	t->ids = ids;
	t->room = room;
	return 0;
}

int causes_event(struct causes *c, const struct outcome *out, uint64_t id)
{
	struct thread *t = thread_of(c, out);

	if (!t || (t->nr == t->room && grow(t)))
		return -ENOMEM;
	t->waiting[t->nr++] = (struct event_id){ out->ev->ts, id };
	return 0;
}

/* Those of the window (begin, end]; what came before it was in no call. */
static void take(struct thread *t, struct ended_call *call)
{
	size_t i;

	for (i = 0; i < t->nr && t->waiting[i].ts <= call->end; i++)
		if (t->waiting[i].ts > call->begin)
			t->ids[call->nr_ids++] = t->waiting[i].id;
	call->ids = t->ids;
	t->nr -= i;
	for (size_t j = 0; j < t->nr; j++)
		t->waiting[j] = t->waiting[i + j];
}

static void enter(struct thread *t, const struct event *ev)
{
	struct ended_call none = { .begin = ev->ts, .end = ev->ts };

	take(t, &none);
	t->op = ev->call.op;
	t->addr = ev->call.addr;
	t->caller = ev->call.caller;
	t->entered = ev->ts;
}

/* What a call was, as it ends. */
static void leave(struct thread *t, const struct event *ev,
		  struct ended_call *call)
{
	bool inside = ev->call.phase != CALL_ALLOC && t->op != CALL_NONE;

	*call = (struct ended_call){ .op = ev->call.op,
				     .addr = ev->call.addr,
				     .size = ev->call.size,
				     .caller = ev->call.caller,
				     .begin = inside ? t->entered : ev->ts,
				     .end = ev->ts };
	if (ev->call.phase == CALL_LEAVE) {
		call->op = t->op;
		call->addr = t->addr;
		call->caller = t->caller;
	} else if (ev->call.begin) {
		call->begin = ev->call.begin;
	}
	t->op = CALL_NONE;
	take(t, call);
}

int causes_call(struct causes *c, const struct outcome *out,
		struct ended_call *call)
{
	struct thread *t;

	*call = (struct ended_call){ .op = CALL_NONE };
	if (!out->space)
		return 0;
	t = thread_of(c, out);
	if (!t)
		return -ENOMEM;
	switch (out->ev->call.phase) {
	case CALL_FREED:
	case CALL_REALLOC_ENTER:
		enter(t, out->ev);
		return 0;
	case CALL_ALLOC:
	case CALL_REALLOC_RETURN:
	case CALL_LEAVE:
		leave(t, out->ev, call);
		return 0;
	}
	return 0;
}

static bool drop(void *val, void *ctx)
{
	struct thread *t = val;

	(void)ctx;
	free(t->waiting);
	free(t->ids);
	free(t);
	return true;
}

void causes_free(struct causes *c)
{
	hash_filter(&c->threads, drop, NULL);
	hash_destroy(&c->threads);
}
