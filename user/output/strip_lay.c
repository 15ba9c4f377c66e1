// SPDX-License-Identifier: GPL-2.0
/* How high each part of the strip is, and where the lines of text beside it stand. */
#include "output/strip_inside.h"

#include <stdlib.h>

#define TOP 26.0 /* px, of the strip */
#define BODY 520.0 /* px of all VMAs together, at least */
#define CUT (BODY / 4)
#define FOLDED 22.0 /* of a reserve */

/* --- heights */

static double scaled(const struct part *p, double scale)
{
	double h = (double)p->size / scale;

	return h < STRIP_LEAST ? STRIP_LEAST : h > CUT ? CUT : h;
}

static bool is_scaled(const struct part *p)
{
	return p->what == PART_VMAS && !p->is_none && p->w.kind != VIEW_OURS;
}

static double height_at(const struct strip *st, double scale)
{
	double h = 0;

	for (size_t i = 0; i < st->nr; i++)
		if (is_scaled(&st->parts[i]))
			h += scaled(&st->parts[i], scale);
	return h;
}

/* More than what least heights take. */
static double body(const struct strip *st)
{
	double least = 0;

	for (size_t i = 0; i < st->nr; i++)
		least += is_scaled(&st->parts[i]) ? STRIP_LEAST : 0;
	return least * 1.5 > BODY ? least * 1.5 : BODY;
}

/* The larger the scale, the lower they all are: halve until it fits. */
static void find_scale(struct strip *st)
{
	double lo = 16, hi = 1ull << 47, room = body(st);

	for (int i = 0; i < 60; i++) {
		double mid = lo + (hi - lo) / 2;

		if (height_at(st, mid) > room)
			lo = mid;
		else
			hi = mid;
	}
	st->scale = hi;
}

static double height_of(const struct strip *st, const struct part *p)
{
	if (p->what == PART_KERNEL)
		return 36;
	if (p->what == PART_GAP)
		return p->size >= STRIP_WIDE_GAP ? 44 : 7;
	if (!is_scaled(p))
		return p->is_none && p->size > 1 << 20 ? FOLDED : STRIP_LEAST;
	return scaled(p, st->scale);
}

static void lay_out(struct strip *st)
{
	double y = st->top;

	find_scale(st);
	for (size_t i = st->nr; i-- > 0;) {
		struct part *p = &st->parts[i];

		p->y = y;
		p->h = height_of(st, p);
		p->cut = p->what == PART_VMAS && p->h > STRIP_LEAST &&
			 p->h * st->scale < (double)p->size * 0.99;
		y += p->h;
	}
	st->foot = y;
}

/* --- labels */

static bool same_file(const struct part *a, const struct part *b)
{
	const struct vma_desc *c = &a->w.v->d, *d = &b->w.v->d;

	return c->flags & d->flags & VMA_FILE && c->ino == d->ino &&
	       c->dev == d->dev;
}

bool strip_is_thread_stack(const struct part *p)
{
	return p->w.kind == VIEW_THREAD_STACK || p->w.kind == VIEW_GUARD;
}

/* Is b, the next part above a, told of in the same line? */
static bool belong(const struct strip *st, const struct part *a,
		   const struct part *b)
{
	if (strip_is_program(st, a) || strip_is_program(st, b))
		return strip_is_program(st, a) && strip_is_program(st, b) &&
		       a->w.v->d.flags == b->w.v->d.flags;
	if (same_file(a, b) ||
	    (strip_is_thread_stack(a) && strip_is_thread_stack(b)))
		return true;
	if (b->w.kind == VIEW_BSS)
		return a->w.kind == VIEW_FILE;
	if (b->w.kind == VIEW_RESERVE)
		return a->w.kind == VIEW_ARENA;
	return a->w.kind == b->w.kind && a->w.kind != VIEW_FILE &&
	       a->w.kind != VIEW_ARENA;
}

/* The part above i that is no small gap; st->nr: there is none. */
static size_t above(const struct strip *st, size_t i)
{
	for (i++; i < st->nr; i++)
		if (st->parts[i].what != PART_GAP ||
		    st->parts[i].size >= STRIP_WIDE_GAP)
			break;
	return i;
}

static size_t last_of_label(const struct strip *st, size_t i)
{
	size_t next;

	while ((next = above(st, i)) < st->nr &&
	       st->parts[next].what == PART_VMAS &&
	       belong(st, &st->parts[i], &st->parts[next]))
		i = next;
	return i;
}

static int add_labels(struct strip *st)
{
	size_t i, last;

	st->labels = calloc(st->nr, sizeof(*st->labels));
	if (!st->labels)
		return -1;
	for (i = 0; i < st->nr; i++) {
		struct label *l = &st->labels[st->nr_labels];

		if (st->parts[i].what != PART_VMAS)
			continue;
		last = last_of_label(st, i);
		l->first = i;
		l->nr = last - i + 1;
		l->at = (st->parts[last].y + st->parts[i].y + st->parts[i].h) /
			2;
		l->y = l->at;
		st->nr_labels++;
		i = last;
	}
	return 0;
}

/*
 * None above the last one, none in another's line. Going down, each is pushed below the one
 * above it; what is pushed below the foot then pushes the others up.
 */
static void spread_labels(struct strip *st)
{
	double room = (double)st->nr_labels * STRIP_LINE, y = st->top;
	struct label *l = st->labels;
	size_t i;

	if (st->foot - st->top < room)
		st->foot = st->top + room;
	for (i = st->nr_labels; i-- > 0; y = l[i].y + STRIP_LINE / 2)
		if (l[i].y < y + STRIP_LINE / 2)
			l[i].y = y + STRIP_LINE / 2;
	y = st->foot;
	for (i = 0; i < st->nr_labels && l[i].y > y - STRIP_LINE / 2; i++) {
		l[i].y = y - STRIP_LINE / 2;
		y = l[i].y - STRIP_LINE / 2;
	}
}

int strip_lay_out(struct strip *st)
{
	st->top = TOP;
	lay_out(st);
	if (add_labels(st))
		return -1;
	spread_labels(st);
	return 0;
}
