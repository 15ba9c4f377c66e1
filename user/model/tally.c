// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "model/room.h"
#include "model/tally.h"

#define NR_MMAP 9

/* There are a dozen system calls that change VMAs: a list will do. */
static struct syscall_tally *find(const struct space *s, const struct cause *c)
{
	for (size_t i = 0; i < s->nr_syscalls; i++) {
		struct syscall_tally *t = &s->syscalls[i];

		if (t->nr == c->syscall && t->compat == c->compat)
			return t;
	}
	return NULL;
}

void *tally_room(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return realloc(array, (nr ? 2 * nr : 1) * size);
}

int tally_event(struct book *b, const struct cause *c)
{
	struct space *s = &b->s;
	struct syscall_tally *t = find(s, c);

	if (!t) {
		t = tally_room(s->syscalls, s->nr_syscalls, sizeof(*t));
		if (!t)
			return -ENOMEM;
		s->syscalls = t;
		t = &s->syscalls[s->nr_syscalls++];
		*t = (struct syscall_tally){ .nr = c->syscall,
					     .compat = c->compat };
	}
	t->calls++;
	s->vma_events_outside++;
	return 0;
}

void tally_bytes(struct book *b, const struct cause *c, const struct bytes *n)
{
	struct syscall_tally *t = find(&b->s, c);

	t->mapped += n->mapped;
	t->unmapped += n->unmapped;
	t->changed += n->changed;
	t->vmas += n->vmas;
	if (c->op == CALL_NONE)
		return;
	t->mapped_in_calls += n->mapped;
	t->unmapped_in_calls += n->unmapped;
	t->changed_in_calls += n->changed;
	t->vmas_in_calls += n->vmas;
}

void tally_inside(struct book *b, const struct cause *c)
{
	struct syscall_tally *t = find(&b->s, c);

	b->s.vma_events_outside--;
	b->s.vma_events_in_calls++;
	t->in_calls++;
	t->mapped_in_calls += c->mapped;
	t->unmapped_in_calls += c->unmapped;
	t->changed_in_calls += c->changed;
	t->vmas_in_calls += c->vmas;
}

static struct site_tally *site(struct book *b, enum call_op op, uint64_t caller)
{
	struct space *s = &b->s;
	uintptr_t nr = (uintptr_t)hash_get(&b->sites, op, caller);
	struct site_tally *t;

	if (nr)
		return &s->sites[nr - 1];
	t = tally_room(s->sites, s->nr_sites, sizeof(*t));
	if (!t)
		return NULL;
	s->sites = t;
	if (hash_put(&b->sites, op, caller,
		     (void *)(uintptr_t)(s->nr_sites + 1)))
		return NULL;
	t = &s->sites[s->nr_sites++];
	*t = (struct site_tally){ .op = op, .caller = caller };
	return t;
}

int tally_site(struct book *b, enum call_op op, uint64_t caller,
	       unsigned int nr, const struct bytes *n)
{
	struct site_tally *t = site(b, op, caller);

	if (!t)
		return -ENOMEM;
	t->calls++;
	t->vma_events += nr;
	t->mapped += n->mapped;
	t->unmapped += n->unmapped;
	t->changed += n->changed;
	t->vmas += n->vmas;
	b->s.ops[op].to_kernel++;
	return 0;
}

long tally_stack(struct book *b, uint64_t stack)
{
	struct space *s = &b->s;
	uintptr_t nr = (uintptr_t)hash_get(&b->stacks, stack, 0);
	struct stack_tally *t;

	if (nr)
		return (long)nr - 1;
	t = tally_room(s->stacks, s->nr_stacks, sizeof(*t));
	if (!t)
		return -ENOMEM;
	s->stacks = t;
	if (hash_put(&b->stacks, stack, 0,
		     (void *)(uintptr_t)(s->nr_stacks + 1)))
		return -ENOMEM;
	s->stacks[s->nr_stacks] = (struct stack_tally){ .stack = stack };
	return (long)s->nr_stacks++;
}

/* A mapping that was refused though no limit was reached: was there room for it? */
static enum failed_reason reason_of(const struct space *s,
				    const struct event *ev)
{
	if (ev->failed.reason != FAILED_UNKNOWN || ev->failed.error != ENOMEM ||
	    ev->failed.syscall != NR_MMAP ||
	    room_largest(s, NULL) >= ev->failed.args[1])
		return ev->failed.reason;
	return FAILED_NO_ROOM;
}

/* There are few errors: a list will do here, too. */
int tally_failed(struct book *b, const struct event *ev)
{
	struct space *s = &b->s;
	enum failed_reason reason = reason_of(s, ev);
	struct failed_tally *t;

	for (size_t i = 0; i < s->nr_failed; i++) {
		t = &s->failed[i];
		if (t->nr == ev->failed.syscall &&
		    t->error == ev->failed.error && t->reason == reason) {
			t->calls++;
			return 0;
		}
	}
	t = tally_room(s->failed, s->nr_failed, sizeof(*t));
	if (!t)
		return -ENOMEM;
	s->failed = t;
	s->failed[s->nr_failed++] =
		(struct failed_tally){ .nr = ev->failed.syscall,
				       .error = ev->failed.error,
				       .reason = reason,
				       .calls = 1 };
	return 0;
}

static const char *check_sites(const struct space *s)
{
	uint64_t calls = 0, events = 0;

	for (size_t i = 0; i < s->nr_sites; i++) {
		calls += s->sites[i].calls;
		events += s->sites[i].vma_events;
	}
	for (int op = 0; op < CALL_OP_MAX; op++)
		calls -= s->ops[op].to_kernel;
	if (calls)
		return "calls by site and by function differ";
	return events == s->vma_events_in_calls ?
		       NULL :
		       "VMA events by site are not those in calls";
}

const char *tally_check(const struct book *b)
{
	const struct space *s = &b->s;
	uint64_t calls = 0, inside = 0;

	for (size_t i = 0; i < s->nr_syscalls; i++) {
		const struct syscall_tally *t = &s->syscalls[i];

		if (t->in_calls > t->calls || t->mapped_in_calls > t->mapped ||
		    t->unmapped_in_calls > t->unmapped ||
		    t->changed_in_calls > t->changed)
			return "more inside of calls than at all";
		calls += t->calls;
		inside += t->in_calls;
	}
	if (inside != s->vma_events_in_calls ||
	    calls != s->vma_events_in_calls + s->vma_events_outside)
		return "VMA events by system call do not add up";
	return check_sites(s);
}
