// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>

#include "model/apply.h"
#include "model/touch.h"

#define PAGE 4096ull

/* asm-generic/mman-common.h: after these a page is as it was when it was mapped. */
#define ADVICE_DONTNEED 4
#define ADVICE_FREE 8
#define ADVICE_REMOVE 9
#define ADVICE_DONTNEED_LOCKED 24

static uint64_t page_of(uint64_t addr)
{
	return addr & ~(PAGE - 1);
}

const struct touch *space_touch(const struct model *m, const struct space *s,
				uint64_t addr)
{
	const struct book *b = model_book(m, s->mm);
	uintptr_t nr = (uintptr_t)hash_get(&b->touched, page_of(addr), 0);

	return nr ? &s->touches[nr - 1] : NULL;
}

/* --- the pages */

static int put_touch(struct book *b, const struct touch *touch)
{
	struct space *s = &b->s;
	struct touch *t = tally_room(s->touches, s->nr_touches, sizeof(*t));

	if (!t)
		return -ENOMEM;
	s->touches = t;
	if (hash_put(&b->touched, touch->page, 0,
		     (void *)(uintptr_t)(s->nr_touches + 1)))
		return -ENOMEM;
	t[s->nr_touches++] = *touch;
	return 0;
}

/* The last one takes the place of the i-th. */
static void del_touch(struct book *b, size_t i)
{
	struct space *s = &b->s;
	const struct touch *last = &s->touches[--s->nr_touches];

	hash_del(&b->touched, s->touches[i].page, 0);
	if (i == s->nr_touches)
		return;
	s->touches[i] = *last;
	/* It is there already, so this takes no memory. */
	hash_put(&b->touched, last->page, 0, (void *)(uintptr_t)(i + 1));
}

/* Takes all of [lo, hi) out; fn(ctx, t) hears of each, NULL: nobody does. */
static void take_out(struct book *b, uint64_t lo, uint64_t hi,
		     void (*fn)(void *ctx, const struct touch *t), void *ctx)
{
	struct space *s = &b->s;
	uint64_t page;
	size_t i = 0;

	if ((hi - lo) / PAGE < s->nr_touches) {
		for (page = lo; page < hi; page += PAGE) {
			uintptr_t nr =
				(uintptr_t)hash_get(&b->touched, page, 0);

			if (nr && fn)
				fn(ctx, &s->touches[nr - 1]);
			if (nr)
				del_touch(b, nr - 1);
		}
		return;
	}
	while (i < s->nr_touches) {
		const struct touch *t = &s->touches[i];

		if (t->page < lo || t->page >= hi) {
			i++;
			continue;
		}
		if (fn)
			fn(ctx, t);
		del_touch(b, i);
	}
}

/* --- by the site that allocated the chunk */

static struct touch_tally *site(struct book *b, uint64_t caller)
{
	struct space *s = &b->s;
	uintptr_t nr = (uintptr_t)hash_get(&b->touch_sites, caller, 0);
	struct touch_tally *t;

	if (nr)
		return &s->touch_sites[nr - 1];
	t = tally_room(s->touch_sites, s->nr_touch_sites, sizeof(*t));
	if (!t)
		return NULL;
	s->touch_sites = t;
	if (hash_put(&b->touch_sites, caller, 0,
		     (void *)(uintptr_t)(s->nr_touch_sites + 1)))
		return NULL;
	t = &s->touch_sites[s->nr_touch_sites++];
	*t = (struct touch_tally){ .caller = caller };
	return t;
}

static int count_chunk(struct book *b, const struct event *ev,
		       const struct chunk *c)
{
	uint64_t delay = ev->ts > c->ts ? ev->ts - c->ts : 0;
	struct touch_tally *t = site(b, c->caller);

	if (!t)
		return -ENOMEM;
	b->s.faults.in_chunks++;
	t->touches++;
	t->in_kernel += ev->fault.syscall >= 0;
	if (chunk_is_found(c)) /* when it was allocated is not known */
		return 0;
	t->timed++;
	t->delay += delay;
	if (delay > t->longest)
		t->longest = delay;
	return 0;
}

int touch_fault(struct book *b, const struct event *ev, struct outcome *out)
{
	struct space *s = &b->s;
	struct touch t = { .page = page_of(ev->fault.addr),
			   .ts = ev->ts,
			   .ip = ev->fault.ip,
			   .tid = ev->tid,
			   .syscall = ev->fault.syscall,
			   .flags = ev->fault.flags };
	int err;

	out->known = !chunk_find(s->chunks, ev->fault.addr, &out->chunk);
	s->faults.all++;
	if (ev->fault.flags & FAULT_PRESENT) {
		s->faults.present++;
		return 0;
	}
	if (!vma_map_find(s->vmas, t.page)) {
		s->faults.unmapped++;
		return 0;
	}
	if (hash_get(&b->touched, t.page, 0)) /* swapped in, migrated ... */
		return 0;
	err = put_touch(b, &t);
	if (err)
		return err;
	out->first = true;
	s->faults.first++;
	s->faults.in_kernel += t.syscall >= 0;
	return out->known ? count_chunk(b, ev, &out->chunk) : 0;
}

/* --- what becomes of pages */

struct moving {
	struct book *b;
	uint64_t by; /* modulo 2^64 */
	struct touch *v; /* owned */
	size_t nr;
	int err;
};

static void move_one(void *ctx, const struct touch *t)
{
	struct moving *m = ctx;
	struct touch *v = tally_room(m->v, m->nr, sizeof(*v));

	if (!v) {
		m->err = -ENOMEM;
		return;
	}
	m->v = v;
	v[m->nr] = *t;
	v[m->nr++].page += m->by;
}

static bool is_another(const struct vma_change *c)
{
	return c->kind == VMA_CREATED || c->kind == VMA_REMOVED ||
	       c->kind == VMA_GREW || c->kind == VMA_SHRANK;
}

/*
 * Of what moves all is taken out first, then what is no more, or is a new mapping;
 * then what has moved is put in. When there were more changes than are told, all
 * touches of the range are forgotten.
 */
int touch_range(struct book *b, const struct event *ev,
		const struct outcome *out)
{
	struct moving m = { .b = b };
	size_t i;

	if (!b->s.nr_touches)
		return 0;
	if (out->nr_changes > OUTCOME_CHANGES) {
		take_out(b, ev->range.lo, ev->range.hi, NULL, NULL);
		return 0;
	}
	for (i = 0; i < out->nr_changes; i++) {
		const struct vma_change *c = &out->changes[i];

		if (c->kind != VMA_MOVED)
			continue;
		m.by = c->start - c->from;
		take_out(b, c->from, c->from + (c->end - c->start), move_one,
			 &m);
	}
	for (i = 0; i < out->nr_changes; i++)
		if (is_another(&out->changes[i]))
			take_out(b, out->changes[i].start, out->changes[i].end,
				 NULL, NULL);
	for (i = 0; i < m.nr && !m.err; i++)
		if (!hash_get(&b->touched, m.v[i].page, 0))
			m.err = put_touch(b, &m.v[i]);
	free(m.v);
	return m.err;
}

void touch_advice(struct book *b, const struct event *ev)
{
	uint64_t end = ev->madvise.addr + ev->madvise.len;

	switch (ev->madvise.advice) {
	case ADVICE_DONTNEED:
	case ADVICE_FREE:
	case ADVICE_REMOVE:
	case ADVICE_DONTNEED_LOCKED:
		if (end > ev->madvise.addr)
			take_out(b, page_of(ev->madvise.addr),
				 page_of(end + PAGE - 1), NULL, NULL);
		break;
	}
}

void touch_free(struct book *b)
{
	hash_destroy(&b->touched);
	hash_destroy(&b->touch_sites);
	free(b->s.touches);
	free(b->s.touch_sites);
}

const char *touch_check(const struct book *b)
{
	const struct space *s = &b->s;
	uint64_t touches = 0;

	for (size_t i = 0; i < s->nr_touch_sites; i++)
		touches += s->touch_sites[i].touches;
	if (touches != s->faults.in_chunks)
		return "first touches by site and in chunks differ";
	for (size_t i = 0; i < s->nr_touches; i++)
		if ((uintptr_t)hash_get(&b->touched, s->touches[i].page, 0) !=
		    i + 1)
			return "a touched page is not found";
	return s->nr_touches == b->touched.nr ? NULL :
						"touched pages are found twice";
}
