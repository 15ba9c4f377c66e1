// SPDX-License-Identifier: GPL-2.0
/*
 * Why the greedy way is exact, for one address and one stamp, when no event is
 * missing: let a thread's waiting events be F (deaths) and A (births). A and the
 * thread's own F behind it cancel, so what is left is F..FA..A. If the address
 * is alive, no F waits as a thread's first, so only A are left; births exceed
 * deaths then, which cannot be. If it is dead, no A is a first, so every thread
 * that still waits began with F, and since deaths cannot exceed births, some
 * thread has an F and an A: that pair cancels too, for the F belongs to a life
 * during the stamp that has been lived already (there was one, or nobody could
 * have begun with F), and the A to another one. Then the next A fits.
 *
 * A birth may also wait because a chunk at another address is in its way. Then
 * it is looked at again when that one dies.
 */
#include <errno.h>
#include <stdlib.h>

#include "model/life.h"

struct waiting {
	struct waiting *next;
	struct life e; /* its c is the one below */
	struct chunk c;
	bool birth;
};

/* One thread's events at one address, in order. */
struct lane {
	struct lane *next;
	struct waiting *first, *last;
	uint32_t tid;
	bool lived; /* a whole life of its own, behind the death that waits first */
};

/* At `addr` a birth waits for the death of a chunk here. */
struct poke {
	struct poke *next;
	uint64_t addr;
};

struct knot {
	struct book *book;
	uint64_t addr;
	uint64_t since; /* the stamp of its first event */
	struct lane *lanes;
	struct poke *pokes;
};

/* --- the waiting ones */

static struct knot *knot_get(const struct lives *l, const struct book *b,
			     uint64_t addr)
{
	return l->knots.nr ? hash_get(&l->knots, b->s.mm, addr) : NULL;
}

static struct knot *knot_make(struct lives *l, struct book *b, uint64_t addr,
			      uint64_t stamp)
{
	struct knot *k = knot_get(l, b, addr);

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->book = b;
	k->addr = addr;
	k->since = stamp;
	if (hash_put(&l->knots, b->s.mm, addr, k)) {
		free(k);
		return NULL;
	}
	return k;
}

static struct lane *lane_of(const struct knot *k, uint32_t tid)
{
	struct lane *n = k ? k->lanes : NULL;

	while (n && n->tid != tid)
		n = n->next;
	return n;
}

static struct lane *lane_make(struct knot *k, uint32_t tid)
{
	struct lane *n = lane_of(k, tid);

	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->tid = tid;
	n->next = k->lanes;
	k->lanes = n;
	return n;
}

static int enqueue(struct lives *l, struct book *b, const struct life *e,
		   bool birth)
{
	struct knot *k = knot_make(l, b, e->c->addr, e->ts);
	struct lane *n = k ? lane_make(k, e->tid) : NULL;
	struct waiting *w = malloc(sizeof(*w));

	if (!n || !w) {
		free(w);
		return -ENOMEM;
	}
	*w = (struct waiting){ .e = *e, .c = *e->c, .birth = birth };
	w->e.c = &w->c;
	if (n->first)
		n->last->next = w;
	else
		n->first = w;
	n->last = w;
	l->waited++;
	return 0;
}

/* Takes w, which comes behind prev (NULL: it is the first), out of its lane. */
static void dequeue(struct lane *n, struct waiting *prev, struct waiting *w)
{
	if (prev)
		prev->next = w->next;
	else
		n->first = w->next;
	if (n->last == w)
		n->last = prev;
	free(w);
}

static void drop_lanes(struct knot *k)
{
	while (k->lanes) {
		struct lane *n = k->lanes;

		while (n->first)
			dequeue(n, NULL, n->first);
		k->lanes = n->next;
		free(n);
	}
}

static void drop_pokes(struct knot *k)
{
	while (k->pokes) {
		struct poke *p = k->pokes;

		k->pokes = p->next;
		free(p);
	}
}

static void knot_free(struct knot *k)
{
	drop_lanes(k);
	drop_pokes(k);
	free(k);
}

static bool waits_here(const struct knot *k, uint32_t tid)
{
	const struct lane *n = lane_of(k, tid);

	return n && n->first;
}

/* --- doing it */

static void tell_born(const struct book *b, const struct chunk *c)
{
	if (b->watch)
		b->watch->born(b->watch->ctx, &b->s, c);
}

static void tell_died(const struct book *b, const struct chunk *c, uint64_t ts,
		      uint32_t tid)
{
	if (b->watch)
		b->watch->died(b->watch->ctx, &b->s, c, ts, tid);
}

static int do_birth(struct book *b, const struct chunk *c)
{
	int ret = chunk_insert(b->s.chunks, c);

	if (!ret)
		tell_born(b, c);
	return ret;
}

/* Its fate is known: the chunk that it ended. */
static void tell_fate(struct book *b, struct life *death, const struct chunk *c)
{
	tell_died(b, c, death->ts, death->tid);
	if (death->op == CALL_FREE)
		b->s.ops[CALL_FREE].bytes += c->size;
	if (death->fate)
		*death->fate = *c;
}

static int do_death(struct book *b, struct life *e)
{
	int ret = chunk_die(b->s.chunks, e->c->addr, e->ts, e->tid, e->c);

	if (!ret)
		tell_fate(b, e, e->c);
	return ret;
}

/* The birth, which waits, and this death are a whole life that was lived before. */
static void cancel_life(struct knot *k, struct lane *n, struct waiting *prev,
			struct waiting *birth, struct life *death)
{
	tell_born(k->book, &birth->c);
	tell_fate(k->book, death, &birth->c);
	dequeue(n, prev, birth);
}

static void mark_lived(const struct knot *k, const struct waiting *w,
		       bool crossed)
{
	chunk_mark_died(k->book->s.chunks, k->addr, w->e.ts, crossed);
}

/* The thread's last event here, and the one before it. */
static struct waiting *last_of(struct lane *n, struct waiting **prev)
{
	*prev = NULL;
	if (!n || !n->first)
		return NULL;
	for (struct waiting *w = n->first; w != n->last; w = w->next)
		*prev = w;
	return n->last;
}

static bool ends_own_birth(struct knot *k, struct life *death)
{
	struct lane *n = lane_of(k, death->tid);
	struct waiting *prev, *last = last_of(n, &prev);

	if (!last || !last->birth)
		return false;
	/* Not what the death before it could be a half of. */
	if (n->first->birth)
		mark_lived(k, last, false);
	else
		n->lived = true;
	cancel_life(k, n, prev, last, death);
	return true;
}

/* --- trying again */

static int resolve(struct lives *l, struct knot *k);

static bool has_poke(const struct knot *k, uint64_t addr)
{
	const struct poke *p = k->pokes;

	while (p && p->addr != addr)
		p = p->next;
	return p;
}

/* The birth at `addr` waits for the death of the chunk in its way. */
static int ask_for_poke(struct lives *l, struct book *b, const struct life *e)
{
	const struct chunk *c = e->c;
	struct chunk in_way;
	struct knot *k;
	struct poke *p;

	if (chunk_overlap(b->s.chunks, c->addr, c->size, &in_way) ||
	    in_way.addr == c->addr)
		return 0;
	k = knot_make(l, b, in_way.addr, e->ts);
	if (!k)
		return -ENOMEM;
	if (has_poke(k, c->addr))
		return 0;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct poke){ k->pokes, c->addr };
	k->pokes = p;
	return 0;
}

static int poke_others(struct lives *l, struct knot *k)
{
	struct poke *p = k->pokes;
	int ret = 0;

	k->pokes = NULL;
	while (p) {
		struct poke *next = p->next;
		struct knot *other = knot_get(l, k->book, p->addr);

		if (other && !ret)
			ret = resolve(l, other);
		free(p);
		p = next;
	}
	return ret;
}

/* The lane's first event, if it fits now: LIFE_DONE, LIFE_WAITS or an error. */
static int try_first(struct lives *l, struct knot *k, struct lane *n)
{
	struct waiting *w = n->first;
	int ret = w->birth ? do_birth(k->book, &w->c) :
			     do_death(k->book, &w->e);

	if (ret == -ENOENT)
		return LIFE_WAITS;
	if (ret == -EEXIST) {
		ret = ask_for_poke(l, k->book, &w->e);
		return ret ? ret : LIFE_WAITS;
	}
	if (!ret)
		dequeue(n, NULL, w);
	return ret;
}

/*
 * A birth that a chunk at another address keeps away, and a death of another
 * thread at the same one: a whole life, too.
 */
static bool cancel_across(struct knot *k)
{
	struct lane *birth = NULL, *death = NULL;

	for (struct lane *n = k->lanes; n; n = n->next) {
		if (n->first && n->first->birth)
			birth = n;
		else if (n->first)
			death = n;
	}
	if (!birth || !death)
		return false;
	mark_lived(k, birth->first, birth->first->e.ts == death->first->e.ts);
	cancel_life(k, birth, NULL, birth->first, &death->first->e);
	dequeue(death, NULL, death->first);
	return true;
}

static int resolve(struct lives *l, struct knot *k)
{
	bool again;

	do {
		again = false;
		for (struct lane *n = k->lanes; n; n = n->next) {
			int ret = n->first ? try_first(l, k, n) : LIFE_WAITS;

			if (ret < 0)
				return ret;
			again |= ret == LIFE_DONE;
		}
	} while (again || cancel_across(k));
	/* Whoever waited for a death here may have got it. */
	return k->pokes ? poke_others(l, k) : 0;
}

static int resolve_at(struct lives *l, const struct book *b, uint64_t addr)
{
	struct knot *k = knot_get(l, b, addr);

	return k ? resolve(l, k) : 0;
}

/* --- what others call */

static int wait_birth(struct lives *l, struct book *b, const struct life *e)
{
	int ret = enqueue(l, b, e, true);

	if (!ret)
		ret = resolve_at(l, b, e->c->addr);
	return ret ? ret : LIFE_WAITS;
}

static bool behind_own(const struct lives *l, const struct book *b,
		       const struct life *e)
{
	return l->knots.nr && waits_here(knot_get(l, b, e->c->addr), e->tid);
}

int life_birth(struct lives *l, struct book *b, struct life *e)
{
	int ret;

	life_see(l, e->ts);
	if (behind_own(l, b, e))
		return wait_birth(l, b, e);
	ret = do_birth(b, e->c);
	if (ret == -EEXIST)
		return wait_birth(l, b, e);
	return ret ? ret : resolve_at(l, b, e->c->addr);
}

static int wait_death(struct lives *l, struct book *b, struct life *e)
{
	struct knot *k = knot_get(l, b, e->c->addr);
	int ret;

	if (k && ends_own_birth(k, e))
		return LIFE_WAITS;
	ret = enqueue(l, b, e, false);
	if (!ret)
		ret = resolve_at(l, b, e->c->addr);
	return ret ? ret : LIFE_WAITS;
}

int life_death(struct lives *l, struct book *b, struct life *e)
{
	int ret;

	life_see(l, e->ts);
	if (behind_own(l, b, e))
		return wait_death(l, b, e);
	ret = do_death(b, e);
	if (ret == -ENOENT)
		return wait_death(l, b, e);
	return ret ? ret : resolve_at(l, b, e->c->addr);
}

bool life_not_dead(struct lives *l, struct book *b, uint64_t addr, uint32_t tid)
{
	struct lane *n = lane_of(knot_get(l, b, addr), tid);
	struct waiting *prev, *w = last_of(n, &prev);

	if (!w || !w->e.fate)
		return false;
	dequeue(n, prev, w);
	return true;
}

void life_forget_fate(struct lives *l, struct book *b, uint64_t addr,
		      uint32_t tid)
{
	struct lane *n = lane_of(knot_get(l, b, addr), tid);

	for (struct waiting *w = n ? n->first : NULL; w; w = w->next)
		w->e.fate = NULL;
}

/* --- settling */

/* Deaths and later births of the lane are halves of lives that were lived here. */
static bool cancel_halves(struct knot *k, struct lane *n)
{
	struct waiting *before = NULL, *birth = n->first;
	bool any = false;

	while (birth && !birth->birth) {
		before = birth;
		birth = birth->next;
	}
	while (birth && !n->first->birth) {
		struct waiting *next = birth->next, *death = n->first;

		tell_born(k->book, &birth->c);
		tell_fate(k->book, &death->e, &birth->c);
		dequeue(n, before, birth);
		if (before == death)
			before = NULL;
		dequeue(n, NULL, death);
		birth = next;
		any = true;
	}
	return any;
}

/*
 * Has a life at this address been lived, of which the death that waits first in the
 * lane could be a half? Not one of long ago: there are programs in which we miss a
 * malloc, but see its free. Nor one that came behind that death.
 */
static bool was_alive(const struct lives *l, const struct knot *k,
		      const struct lane *n)
{
	const struct lane *other = k->lanes;

	while (other && (other == n || !other->lived))
		other = other->next;
	return other ||
	       chunk_died(k->book->s.chunks, k->addr, k->since, l->newest);
}

/* The chunk ends where the next one begins. */
static int clip(struct book *b, struct chunk *low, const struct chunk *c)
{
	int ret = chunk_remove(b->s.chunks, low->addr, NULL);

	b->s.clipped++;
	tell_died(b, low, c->ts, c->tid);
	low->size = c->addr - low->addr;
	return ret && ret != -ENOENT ? ret : do_birth(b, low);
}

/*
 * A birth that nothing makes room for. Where another chunk is alive at the very
 * address, that one must be dead. Where one at another address is in the way,
 * both are alive as far as counting tells, but of the lower one another life
 * within its stamp may have been the last, one with another size; unless events
 * were lost, for then its death may be among them.
 */
static int make_room(struct book *b, struct chunk *c)
{
	struct space *s = &b->s;
	struct chunk other;
	int ret = 0;

	while (!ret &&
	       chunk_overlap(s->chunks, c->addr, c->size, &other) == 0) {
		if (other.addr == c->addr || s->calls_lost) {
			ret = chunk_remove(s->chunks, other.addr, NULL);
			tell_died(b, &other, c->ts, c->tid);
			if (chunk_is_found(&other))
				s->found.wrong++;
			else
				s->double_allocs++;
		} else if (other.addr < c->addr) {
			ret = clip(b, &other, c);
		} else {
			c->size = other.addr - c->addr;
			s->clipped++;
		}
	}
	return ret;
}

static int force_birth(struct lives *l, struct book *b, struct chunk *c)
{
	uint64_t before = b->s.double_allocs;
	int ret = make_room(b, c);

	l->in_vain += b->s.double_allocs != before;
	return ret ? ret : do_birth(b, c);
}

static int force(struct lives *l, struct knot *k, struct lane *n)
{
	struct waiting *w = n->first;
	int ret = 0;

	if (w->birth) {
		ret = force_birth(l, k->book, &w->c);
	} else {
		k->book->s.unknown_frees++;
		found_gone(k->book, k->addr);
		if (n->lived)
			mark_lived(k, w, false);
		l->in_vain++;
		if (w->e.fate)
			w->e.fate->addr = 0;
	}
	dequeue(n, NULL, w);
	return ret;
}

static struct lane *first_lane(const struct knot *k)
{
	struct lane *n = k->lanes;

	while (n && !n->first)
		n = n->next;
	return n;
}

/*
 * What cannot be: rather a death behind which its thread has a birth, for no more than
 * one chunk can have been there before all that is known, and that birth makes room for
 * the other threads' deaths.
 */
static struct lane *lane_to_force(const struct knot *k)
{
	struct lane *n = k->lanes;

	while (n && !(n->first && !n->first->birth && n->first->next &&
		      n->first->next->birth))
		n = n->next;
	return n ? n : first_lane(k);
}

static bool cancel_any(const struct lives *l, struct knot *k)
{
	for (struct lane *n = k->lanes; n; n = n->next) {
		if (n->first && !n->first->birth && was_alive(l, k, n) &&
		    cancel_halves(k, n))
			return true;
	}
	return false;
}

static bool older(const struct knot *k, uint64_t stamp)
{
	for (const struct lane *n = k->lanes; n; n = n->next) {
		if (n->first && n->last->e.ts >= stamp)
			return false;
	}
	return true;
}

static int settle_knot(struct lives *l, struct knot *k)
{
	int ret = resolve(l, k);

	while (!ret && first_lane(k)) {
		if (!cancel_any(l, k))
			ret = force(l, k, lane_to_force(k));
		if (!ret)
			ret = resolve(l, k);
	}
	return ret;
}

static bool drop_empty(void *val, void *ctx)
{
	struct knot *k = val;

	(void)ctx;
	if (first_lane(k))
		return false;
	knot_free(k);
	return true;
}

static bool free_knot(void *val, void *ctx)
{
	(void)ctx;
	knot_free(val);
	return true;
}

static int by_place(const void *va, const void *vb)
{
	const struct knot *a = *(struct knot *const *)va;
	const struct knot *b = *(struct knot *const *)vb;

	if (a->book->s.mm != b->book->s.mm)
		return a->book->s.mm < b->book->s.mm ? -1 : 1;
	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/*
 * All knots as they are now: settling may make more. In an order of their own,
 * for what is forced first may decide what the next one finds.
 */
static struct knot **all_knots(const struct lives *l, size_t *nr)
{
	struct knot **all = malloc(l->knots.nr * sizeof(struct knot *));

	*nr = 0;
	for (size_t i = 0; all && i < l->knots.cap; i++) {
		if (l->knots.slots[i].val)
			all[(*nr)++] = l->knots.slots[i].val;
	}
	if (all)
		qsort(all, *nr, sizeof(struct knot *), by_place);
	return all;
}

static int settle_all(struct lives *l, uint64_t stamp)
{
	size_t nr;
	struct knot **all = all_knots(l, &nr);
	int ret = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < nr && !ret; i++) {
		if (older(all[i], stamp))
			ret = settle_knot(l, all[i]);
	}
	free(all);
	hash_filter(&l->knots, drop_empty, NULL);
	return ret;
}

int life_settle(struct lives *l, uint64_t stamp)
{
	bool again = stamp == l->last_stamp && l->waited == l->last_waited;
	int ret = 0;

	if (l->knots.nr && !again)
		ret = settle_all(l, stamp);
	l->last_stamp = stamp;
	l->last_waited = l->waited;
	return ret;
}

void lives_destroy(struct lives *l)
{
	hash_filter(&l->knots, free_knot, NULL);
	hash_destroy(&l->knots);
}
