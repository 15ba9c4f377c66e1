// SPDX-License-Identifier: GPL-2.0
/* "In [lo, hi) there are now exactly these": the kernel's side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/apply.h"
#include "model/touch.h"

/* How an address space began is why its first VMAs are there. */
static const enum cause_kind first_kinds[] = {
	[MM_ATTACH] = CAUSE_ATTACH,
	[MM_FORK] = CAUSE_FORK,
	[MM_EXEC] = CAUSE_EXEC,
};

static enum cause_kind kind_of(const struct model *m, const struct book *b,
			       const struct event *ev)
{
	if (b->s.vmas_sampled)
		return CAUSE_SAMPLED;
	if (!b->told)
		return first_kinds[b->s.cause];
	/* A snapshot changes nothing; what it does change, we had missed. */
	if (ev->range.flags & (RANGE_LATE | RANGE_SNAPSHOT))
		return CAUSE_LATE;
	if (!ev->tid || model_book_of(m, ev->tgid) != b)
		return CAUSE_OTHER;
	return ev->range.syscall < 0 ? CAUSE_FAULT : CAUSE_SYSCALL;
}

static struct cause *new_cause(enum cause_kind kind, const struct event *ev)
{
	struct cause *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->kind = kind;
	c->ts = ev->ts;
	c->tgid = ev->tgid;
	c->tid = ev->tid;
	c->syscall = ev->range.syscall < 0 ? -1 : ev->range.syscall;
	c->compat = ev->range.flags & RANGE_COMPAT && c->syscall >= 0;
	memcpy(c->args, ev->range.args, sizeof(c->args));
	c->ip = ev->range.ip;
	c->sp = ev->range.sp;
	c->coalesced = ev->range.coalesced;
	return c;
}

static bool same_doer(const struct cause *a, const struct event *ev)
{
	return a->tgid == ev->tgid && a->tid == ev->tid &&
	       a->syscall == (ev->range.syscall < 0 ? -1 : ev->range.syscall);
}

/* The parts of one record share a cause. Owned reference. */
static struct cause *cause_of(const struct model *m, struct book *b,
			      const struct event *ev, bool *further)
{
	*further = b->part && same_doer(b->part, ev);
	return *further ? cause_get(b->part) : new_cause(kind_of(m, b, ev), ev);
}

/* A new event, not a further part of one, by one of the space's own threads or not. */
static int begin_event(struct model *m, struct book *b, const struct event *ev,
		       struct cause *c)
{
	struct thread *t;

	b->s.coalesced += c->coalesced;
	b->s.late += c->kind == CAUSE_LATE && ev->range.flags & RANGE_LATE;
	if (!cause_is_event(c))
		return 0;
	if (tally_event(b, c))
		return -ENOMEM;
	if (c->kind == CAUSE_OTHER)
		return 0;
	t = model_thread(m, b, ev);
	if (!t)
		return -ENOMEM;
	t->seen = ev->ts;
	return join_cause(t, c);
}

static void mark_heap(struct vma_change *changes, size_t nr, uint64_t start,
		      uint64_t end)
{
	for (size_t i = 0; i < nr && i < OUTCOME_CHANGES; i++)
		changes[i].heap = changes[i].start < end &&
				  changes[i].end > start;
}

/* A shrinking brk takes away what the heap was until now. */
static void new_limits(struct model *m, struct space *s, const struct event *ev,
		       size_t nr_changes)
{
	uint64_t brk = ev->range.brk;

	if (s->start_brk == ev->range.start_brk && s->brk > brk)
		brk = s->brk;
	mark_heap(m->changes, nr_changes, ev->range.start_brk, brk);
	s->start_brk = ev->range.start_brk;
	s->brk = ev->range.brk;
	s->start_stack = ev->range.start_stack;
	s->rss = ev->range.rss;
}

static void end_record(struct book *b, const struct event *ev, struct cause *c,
		       struct outcome *out)
{
	cause_put(b->part);
	b->part = NULL;
	if (ev->range.flags & RANGE_MORE) {
		b->part = cause_get(c);
		return;
	}
	b->told = true;
	b->s.vmas_at = ev->ts;
	if (vma_map_count(b->s.vmas) != ev->range.map_count) {
		b->s.map_count_mismatches++;
		out->checksum_failed = true;
	}
}

static int replace(struct model *m, struct book *b, const struct event *ev,
		   struct cause *c, struct outcome *out)
{
	struct bytes before = { c->mapped, c->unmapped, c->changed, 0 }, delta;
	size_t vmas = vma_map_count(b->s.vmas);
	int nr = vma_map_replace(b->s.vmas, ev->range.lo, ev->range.hi,
				 ev->range.vmas, ev->range.nr_vmas, c,
				 m->changes, OUTCOME_CHANGES);

	if (nr < 0)
		return nr;
	delta = (struct bytes){ c->mapped - before.mapped,
				c->unmapped - before.unmapped,
				c->changed - before.changed,
				(int64_t)vma_map_count(b->s.vmas) -
					(int64_t)vmas };
	c->vmas += delta.vmas;
	if (cause_is_event(c))
		tally_bytes(b, c, &delta);
	new_limits(m, &b->s, ev, nr);
	b->s.ranges++;
	out->changes = m->changes;
	out->nr_changes = nr;
	return touch_range(b, ev, out);
}

int apply_range(struct model *m, const struct event *ev, struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);
	struct cause *c;
	bool further;
	int ret = 0;

	if (!b || b->s.died)
		return -EINVAL;
	out->space = &b->s;
	c = cause_of(m, b, ev, &further);
	if (!c)
		return -ENOMEM;
	cause_put(m->told);
	m->told = c;
	out->cause = c;
	if (!vma_range_valid(ev->range.lo, ev->range.hi, ev->range.vmas,
			     ev->range.nr_vmas))
		return -EINVAL;
	if (!further)
		ret = begin_event(m, b, ev, c);
	if (!ret)
		ret = replace(m, b, ev, c, out);
	if (!ret)
		end_record(b, ev, c, out);
	return ret;
}
