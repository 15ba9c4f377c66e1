// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/join.h"

/*
 * One call makes a handful of VMA events (a new arena: four); a thread that
 * makes many without ever calling the allocator must not hold them all.
 */
#define MAX_WAITING 256u

/* The first n were outside of any call, and were counted so from the start. */
static void drop(struct thread *t, unsigned int n)
{
	if (!n)
		return;
	for (unsigned int i = 0; i < n; i++)
		cause_put(t->waiting[i]);
	t->nr_waiting -= n;
	memmove(t->waiting, t->waiting + n,
		t->nr_waiting * sizeof(*t->waiting));
}

int join_cause(struct thread *t, struct cause *c)
{
	if (t->nr_waiting == t->cap_waiting) {
		unsigned int cap = t->cap_waiting ? 4 * t->cap_waiting : 4;
		struct cause **w = realloc(t->waiting, cap * sizeof(*w));

		if (!w)
			return -ENOMEM;
		t->waiting = w;
		t->cap_waiting = cap;
	}
	t->waiting[t->nr_waiting++] = cause_get(c);
	if (t->nr_waiting == MAX_WAITING)
		drop(t, MAX_WAITING / 4);
	return 0;
}

static void label(struct cause *c, const struct call *call)
{
	c->op = call->op;
	c->call_addr = call->addr;
	c->call_size = call->size;
	c->caller = call->caller;
}

static unsigned int not_after(const struct thread *t, uint64_t ts)
{
	unsigned int n = 0;

	while (n < t->nr_waiting && t->waiting[n]->ts <= ts)
		n++;
	return n;
}

int join_call(struct thread *t, const struct call *call, uint64_t begin,
	      uint64_t end)
{
	struct bytes sum = { 0 };
	unsigned int n;
	int ret = 0;

	if (!t->nr_waiting)
		return 0;
	drop(t, not_after(t, begin));
	n = not_after(t, end);
	for (unsigned int i = 0; i < n; i++) {
		struct cause *c = t->waiting[i];

		label(c, call);
		tally_inside(t->book, c);
		sum.mapped += c->mapped;
		sum.unmapped += c->unmapped;
		sum.changed += c->changed;
		sum.vmas += c->vmas;
	}
	if (n)
		ret = tally_site(t->book, call->op, call->caller, n, &sum);
	drop(t, n);
	return ret ? ret : (int)n;
}

void join_forget(struct thread *t)
{
	drop(t, t->nr_waiting);
	free(t->waiting);
	free(t);
}
