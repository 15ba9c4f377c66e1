// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/stack.h"

static bool same(const struct stack *st, const struct event *ev)
{
	return st->nr == ev->stack.nr && st->truncated == ev->stack.truncated &&
	       !memcmp(st->frames, ev->stack.frames,
		       st->nr * sizeof(*st->frames));
}

static struct stack *stack_new(const struct event *ev)
{
	size_t bytes = ev->stack.nr * sizeof(uint64_t);
	struct stack *st = malloc(sizeof(*st) + bytes);

	if (!st)
		return NULL;
	st->id = ev->stack.id;
	st->nr = ev->stack.nr;
	st->truncated = ev->stack.truncated;
	st->ambiguous = false;
	memcpy(st->frames, ev->stack.frames, bytes);
	return st;
}

int stacks_add(struct stacks *s, const struct event *ev)
{
	struct stack *st = hash_get(&s->by_id, ev->stack.id, 0);

	if (!ev->stack.nr || !(ev->stack.id & CALLER_STACK))
		return -EINVAL;
	if (st) { /* two stacks with one number: nobody knows which is meant */
		st->ambiguous |= !same(st, ev);
		return 0;
	}
	if (s->frames + ev->stack.nr > STACKS_FRAMES) {
		s->refused++;
		return 0;
	}
	st = stack_new(ev);
	if (!st || hash_put(&s->by_id, st->id, 0, st)) {
		free(st);
		return -ENOMEM;
	}
	s->frames += st->nr;
	return 0;
}

const struct stack *stacks_get(const struct stacks *s, uint64_t caller)
{
	const struct stack *st =
		caller & CALLER_STACK ? hash_get(&s->by_id, caller, 0) : NULL;

	return st && !st->ambiguous ? st : NULL;
}

static bool drop(void *val, void *ctx)
{
	(void)ctx;
	free(val);
	return true;
}

void stacks_destroy(struct stacks *s)
{
	hash_filter(&s->by_id, drop, NULL);
	hash_destroy(&s->by_id);
}
