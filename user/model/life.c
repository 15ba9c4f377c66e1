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
	struct chunk c; /* the chunk; of a death: addr, ts, tid and op */
	bool birth;
};

/* One thread's events at one address, in order. */
struct lane {
	struct lane *next;
	struct waiting *first, *last;
	uint32_t tid;
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
	uint64_t lived; /* the last stamp during which a cancelled life was lived here */
};

/* --- the waiting ones */

static struct knot *knot_get(const struct lives *l, const struct book *b, uint64_t addr)
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
	if (l->knots.nr == 1 || stamp < l->oldest)
		l->oldest = stamp;
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

static int enqueue(struct lives *l, struct book *b, const struct chunk *c, bool birth)
{
	struct knot *k = knot_make(l, b, c->addr, c->ts);
	struct lane *n = k ? lane_make(k, c->tid) : NULL;
	struct waiting *w = malloc(sizeof(*w));

	if (!n || !w) {
		free(w);
		return -ENOMEM;
	}
	*w = (struct waiting){ .c = *c, .birth = birth };
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

static int do_birth(struct book *b, const struct chunk *c)
{
	int ret = chunk_insert(b->s.chunks, c);
	struct chunk_sum sum = chunk_total(b->s.chunks);

	if (sum.bytes > b->s.live_peak)
		b->s.live_peak = sum.bytes;
	return ret;
}

static void give_back(struct book *b, enum call_op op, uint64_t bytes)
{
	if (op == CALL_FREE)
		b->s.ops[op].bytes += bytes;
}

static int do_death(struct book *b, const struct chunk *c, struct chunk *old)
{
	int ret = chunk_die(b->s.chunks, c->addr, c->ts, old);

	if (!ret)
		give_back(b, c->op, old->size);
	return ret;
}

/* A death of this thread ends the birth that waits before it: nobody else saw it. */
static void cancel_life(struct knot *k, struct lane *n, struct waiting *prev,
			struct waiting *birth, enum call_op op)
{
	k->lived = birth->c.ts;
	give_back(k->book, op, birth->c.size);
	dequeue(n, prev, birth);
}

static bool ends_own_birth(struct knot *k, const struct chunk *c)
{
	struct lane *n = lane_of(k, c->tid);
	struct waiting *prev = NULL;

	if (!n || !n->first || !n->last->birth)
		return false;
	for (struct waiting *w = n->first; w != n->last; w = w->next)
		prev = w;
	cancel_life(k, n, prev, n->last, c->op);
	return true;
}

/* --- trying again */

static int resolve(struct lives *l, struct knot *k);

/* The birth at `addr` waits for the death of the chunk in its way. */
static int ask_for_poke(struct lives *l, struct book *b, const struct chunk *c)
{
	struct chunk in_way;
	struct knot *k;
	struct poke *p;

	if (chunk_overlap(b->s.chunks, c->addr, c->size, &in_way) ||
	    in_way.addr == c->addr)
		return 0;
	k = knot_make(l, b, in_way.addr, c->ts);
	if (!k)
		return -ENOMEM;
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
	struct chunk old;
	int ret;

	ret = w->birth ? do_birth(k->book, &w->c) : do_death(k->book, &w->c, &old);
	if (ret == -ENOENT)
		return LIFE_WAITS;
	if (ret == -EEXIST) {
		ret = ask_for_poke(l, k->book, &w->c);
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
	cancel_life(k, birth, NULL, birth->first, death->first->c.op);
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

static int wait_birth(struct lives *l, struct book *b, const struct chunk *c)
{
	int ret = enqueue(l, b, c, true);

	if (!ret)
		ret = resolve_at(l, b, c->addr);
	return ret ? ret : LIFE_WAITS;
}

int life_birth(struct lives *l, struct book *b, const struct chunk *c)
{
	int ret;

	if (l->knots.nr && waits_here(knot_get(l, b, c->addr), c->tid))
		return wait_birth(l, b, c);
	ret = do_birth(b, c);
	if (ret == -EEXIST)
		return wait_birth(l, b, c);
	return ret ? ret : resolve_at(l, b, c->addr);
}

static int wait_death(struct lives *l, struct book *b, const struct chunk *c)
{
	struct knot *k = knot_get(l, b, c->addr);
	int ret;

	if (k && ends_own_birth(k, c))
		return LIFE_WAITS;
	ret = enqueue(l, b, c, false);
	if (!ret)
		ret = resolve_at(l, b, c->addr);
	return ret ? ret : LIFE_WAITS;
}

int life_death(struct lives *l, struct book *b, struct chunk *c)
{
	struct chunk old;
	int ret;

	if (l->knots.nr && waits_here(knot_get(l, b, c->addr), c->tid))
		return wait_death(l, b, c);
	ret = do_death(b, c, &old);
	if (ret == -ENOENT)
		return wait_death(l, b, c);
	if (!ret)
		*c = old;
	return ret ? ret : resolve_at(l, b, old.addr);
}

bool life_not_dead(struct lives *l, struct book *b, uint64_t addr, uint32_t tid)
{
	struct lane *n = lane_of(knot_get(l, b, addr), tid);
	struct waiting *prev = NULL;

	if (!n || !n->first || n->last->birth)
		return false;
	for (struct waiting *w = n->first; w != n->last; w = w->next)
		prev = w;
	dequeue(n, prev, n->last);
	return true;
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

		give_back(k->book, death->c.op, birth->c.size);
		dequeue(n, before, birth);
		if (before == death)
			before = NULL;
		dequeue(n, NULL, death);
		birth = next;
		any = true;
	}
	return any;
}

static bool was_alive(const struct knot *k, uint64_t stamp)
{
	return k->lived == stamp || chunk_died(k->book->s.chunks, k->addr, stamp);
}

/* Drops the chunks that must be dead, for *c lies where they were. */
static int make_room(struct space *s, const struct chunk *c)
{
	struct chunk dead;

	while (chunk_overlap(s->chunks, c->addr, c->size, &dead) == 0) {
		int ret = chunk_remove(s->chunks, dead.addr, NULL);

		if (ret)
			return ret;
		s->double_allocs++;
	}
	return 0;
}

static int force(struct lives *l, struct knot *k, struct lane *n)
{
	struct waiting *w = n->first;
	int ret = 0;

	l->in_vain++;
	if (!w->birth) {
		k->book->s.unknown_frees++;
	} else {
		ret = make_room(&k->book->s, &w->c);
		if (!ret)
			ret = do_birth(k->book, &w->c);
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

static bool cancel_any(struct knot *k)
{
	for (struct lane *n = k->lanes; n; n = n->next) {
		if (n->first && !n->first->birth && was_alive(k, n->first->c.ts) &&
		    cancel_halves(k, n))
			return true;
	}
	return false;
}

static int settle_knot(struct lives *l, struct knot *k)
{
	int ret = resolve(l, k);

	while (!ret && first_lane(k)) {
		if (!cancel_any(k))
			ret = force(l, k, first_lane(k));
		if (!ret)
			ret = resolve(l, k);
	}
	return ret;
}

static bool older(const struct knot *k, uint64_t stamp)
{
	for (const struct lane *n = k->lanes; n; n = n->next) {
		if (n->first && n->last->c.ts >= stamp)
			return false;
	}
	return true;
}

static bool drop_empty(void *val, void *ctx)
{
	struct knot *k = val;
	uint64_t *oldest = ctx;

	if (!first_lane(k)) {
		knot_free(k);
		return true;
	}
	if (k->since < *oldest)
		*oldest = k->since;
	return false;
}

static bool free_knot(void *val, void *ctx)
{
	(void)ctx;
	knot_free(val);
	return true;
}

/* All knots as they are now: settling may make more. */
static struct knot **all_knots(const struct lives *l, size_t *nr)
{
	struct knot **all = malloc(l->knots.nr * sizeof(struct knot *));

	*nr = 0;
	for (size_t i = 0; all && i < l->knots.cap; i++) {
		if (l->knots.slots[i].val)
			all[(*nr)++] = l->knots.slots[i].val;
	}
	return all;
}

int life_settle(struct lives *l, uint64_t stamp)
{
	struct knot **all;
	size_t nr;
	int ret = 0;

	if (!l->knots.nr || l->oldest >= stamp)
		return 0;
	all = all_knots(l, &nr);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < nr && !ret; i++) {
		if (older(all[i], stamp))
			ret = settle_knot(l, all[i]);
	}
	free(all);
	l->oldest = UINT64_MAX;
	hash_filter(&l->knots, drop_empty, &l->oldest);
	return ret;
}

void lives_destroy(struct lives *l)
{
	hash_filter(&l->knots, free_knot, NULL);
	hash_destroy(&l->knots);
}
