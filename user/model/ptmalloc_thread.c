// SPDX-License-Identifier: GPL-2.0
/*
 * Threads, their caches, and the arenas that they allocate from.
 *
 * A thread's cache (tcache_perthread_struct) is a chunk in the heap like any
 * other. It is told by its size and by what is in it: counts, and as many lists,
 * whose members are chunks of the size that the list is for.
 *
 * Whose it is stands in the thread's static TLS, together with the address of its
 * arena (arena.c, thread_arena; malloc.c, tcache). The TLS ends at the thread's
 * control block, which points at itself twice (sysdeps/x86_64/nptl/tls.h,
 * tcbhead_t) and holds its kernel id.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ptmalloc_inside.h"

#define TLS_BELOW 16384u /* how far below the control block we look */
#define TID_FROM \
	0x280u /* struct pthread.tid: 0x2d0 in all glibc of Debian 11 to 13 */
#define TID_TO 0x340u
/*
 * A thread's control block ends its stack. That of the main thread lies in a few
 * pages of their own, below which the first thread's stack may be: in one VMA.
 */
#define TAIL (1u << 18)
#define PLACES_MAX (1u << 24) /* where we look for one, in all */

/* Its size as a chunk, and what is in it. */
struct layout {
	uint64_t chunk;
	unsigned int bins;
	bool slots; /* the counts say how many more fit */
};

static const struct layout layouts[] = {
	{ 0x290, 64, false }, /* 2.30 to 2.41 */
	{ 0x300, 76, true }, /* 2.42 */
};
#define NR_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))
#define BINS_MAX 76

struct cache {
	uint16_t counts[BINS_MAX];
	uint64_t entries[BINS_MAX];
};

static bool read_cache(const struct pt_target *t, const struct layout *l,
		       uint64_t addr, struct cache *c)
{
	return !pt_peek(t, addr, c->counts, 2 * l->bins) &&
	       !pt_peek(t, addr + 2 * l->bins, c->entries, 8 * l->bins);
}

/* Bin i is for chunks of one size; the last twelve of 2.42 for ranges. */
static bool size_fits(unsigned int bin, uint64_t size)
{
	return bin < 64 ? size == 32 + 16ull * bin : size > 32 + 16 * 63;
}

/* What is looked at in all, of lists that may share their members: enough for real ones. */
struct look {
	const struct pt_target *t;
	struct pt_book *b;
	size_t room; /* for threads */
	uint64_t budget;
	uint32_t places;
};

/* One list: how many chunks it has; -1: it is none. Marks them when thread >= 0. */
static long follow(struct look *k, unsigned int bin, uint64_t mem, int thread)
{
	struct pt_book *b = k->b;
	long n = 0;

	while (mem) {
		struct pt_chunk *c = mem & 15 ? NULL : pt_at(b, mem - 16);

		if (!c || n++ == 65535 || !k->budget-- ||
		    !size_fits(bin, pt_size(c)) ||
		    (c->state != PT_USED && c->state != PT_TCACHE))
			return -1;
		mem = c->link;
		if (b->safe_linking)
			mem ^= (c->addr + 16) >> 12;
		if (thread < 0)
			continue;
		if (c->state == PT_TCACHE)
			return -1; /* in two lists: a loop */
		c->state = PT_TCACHE;
		c->thread = (uint16_t)thread;
		b->threads[thread].cached.chunks++;
		b->threads[thread].cached.bytes += pt_size(c);
	}
	return n;
}

/* How many chunks list `bin` must have; -1: any number up to the limit. */
static long expected(const struct pt_book *b, const struct layout *l,
		     const struct cache *c, unsigned int bin)
{
	if (!l->slots)
		return c->counts[bin];
	if (!b->par.addr || c->counts[bin] > b->par.tcache_count)
		return -1;
	return (long)b->par.tcache_count - c->counts[bin];
}

/* A process that is running may be between the list and the count. */
static bool count_fits(long want, long got)
{
	return want < 0 || got == want || got == want + 1 || got == want - 1;
}

static bool is_cache(struct look *k, const struct layout *l,
		     const struct cache *c)
{
	const struct pt_book *b = k->b;
	uint64_t max = b->par.addr ? b->par.tcache_count : 65535;
	unsigned int i, off = 0;

	for (i = 0; i < l->bins; i++) {
		long n = follow(k, i, c->entries[i], -1);
		long want = expected(b, l, c, i);

		if (n < 0 || c->counts[i] > max || !count_fits(want, n))
			return false;
		off += want >= 0 && n != want;
	}
	return off <= 1;
}

static bool is_empty(const struct layout *l, const struct cache *c)
{
	unsigned int i;

	for (i = 0; i < l->bins; i++)
		if (c->entries[i])
			return false;
	return true;
}

/* --- threads */

static int add_thread(struct look *k, struct pt_thread th)
{
	struct pt_book *b = k->b;

	if (b->nr_threads == k->room) {
		size_t more = k->room ? k->room * 2 : 16;
		void *p = realloc(b->threads, more * sizeof(th));

		if (!p)
			return -ENOMEM;
		b->threads = p;
		k->room = more;
	}
	b->threads[b->nr_threads++] = th;
	return 0;
}

static uint32_t arena_at(const struct pt_book *b, uint64_t addr)
{
	size_t i;

	for (i = 0; i < b->nr_arenas; i++)
		if (b->arenas[i].addr == addr)
			return (uint32_t)i;
	return PT_NOWHERE;
}

static bool is_tid(const struct pt_target *t, uint32_t tid)
{
	size_t i;

	for (i = 0; i < t->nr_tids; i++)
		if (t->tids[i] == tid)
			return true;
	return false;
}

/* The kernel's id in the control block at tcb, and where it stands; 0: there is none. */
static uint32_t tid_of(const struct pt_target *t, uint64_t tcb,
		       unsigned int *at)
{
	uint32_t ids[(TID_TO - TID_FROM) / 4];
	uint64_t self[3];
	size_t i;

	if (pt_peek(t, tcb, self, 24) || self[0] != tcb || self[2] != tcb ||
	    pt_peek(t, tcb + TID_FROM, ids, sizeof(ids)))
		return 0;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		*at = TID_FROM + 4 * (unsigned int)i;
		if (is_tid(t, ids[i]))
			return ids[i];
	}
	return 0;
}

/* Could a thread's cache begin here? */
static bool may_be_cache(const struct pt_book *b, uint64_t mem)
{
	struct pt_chunk *c = mem & 15 || mem < 16 ? NULL : pt_at(b, mem - 16);
	size_t i;

	for (i = 0; c && i < NR_LAYOUTS; i++)
		if (pt_size(c) == layouts[i].chunk && c->state == PT_USED)
			return true;
	return false;
}

/* What the thread's TLS says, from `from` up to its control block. */
static void read_tls(const struct pt_target *t, const struct pt_book *b,
		     uint64_t from, uint64_t tcb, struct pt_thread *th)
{
	uint64_t words[64], at = tcb;
	unsigned int i, n;

	while (at > from) {
		n = at - from < sizeof(words) ? (unsigned int)(at - from) :
						sizeof(words);
		n &= ~7u;
		if (!n || pt_peek(t, at - n, words, n))
			return;
		at -= n;
		for (i = n / 8; i-- > 0;) {
			if (th->arena == PT_NOWHERE)
				th->arena = arena_at(b, words[i]);
			if (!th->tcache && may_be_cache(b, words[i]))
				th->tcache = words[i];
		}
		if (th->arena != PT_NOWHERE && th->tcache)
			return;
	}
}

static bool have_thread(const struct pt_book *b, uint32_t tid)
{
	size_t i;

	for (i = 0; i < b->nr_threads; i++)
		if (b->threads[i].tid == tid)
			return true;
	return false;
}

/* A control block at tcb that was not known yet: 1; 0: it is none; -ENOMEM. */
static int take_block(struct look *k, uint64_t tcb, unsigned int *tid_at)
{
	const struct pt_range *r =
		pt_in(k->t->ranges, k->t->nr_ranges, tcb, TID_TO);
	struct pt_thread th = { .arena = PT_NOWHERE };
	uint64_t from;

	if (!r)
		return 0;
	th.tid = tid_of(k->t, tcb, tid_at);
	if (!th.tid || have_thread(k->b, th.tid))
		return 0;
	from = tcb - r->start > TLS_BELOW ? tcb - TLS_BELOW : r->start;
	read_tls(k->t, k->b, from, tcb, &th);
	return add_thread(k, th) ? -ENOMEM : 1;
}

/*
 * All stacks in use are on a ring (nptl/descr.h, struct pthread.list, right before
 * the tid): one thread leads to the others, wherever their blocks lie. From 2.42
 * on stacks have no guard of another VMA between them.
 */
static int follow_ring(struct look *k, uint64_t tcb, unsigned int tid_at)
{
	uint64_t first = tcb + tid_at - 16, node = first;
	unsigned int at;
	size_t i;
	int ret = 0;

	for (i = 0; ret >= 0 && i < k->t->nr_tids + 8; i++) {
		if (pt_word(k->t, node, &node) || node == first)
			break;
		ret = take_block(k, node + 16 - tid_at, &at);
	}
	return ret < 0 ? ret : 0;
}

/* Control blocks at the end of r. */
static int find_blocks(struct look *k, const struct pt_range *r)
{
	uint64_t from = r->end - r->start > TAIL ? r->end - TAIL : r->start;
	unsigned int tid_at;
	uint64_t p, self;
	int ret = 0;

	for (p = (from + 63) & ~63ull; ret >= 0 && p + TID_TO <= r->end;
	     p += 64) {
		if (!k->places)
			return 0;
		k->places--;
		if (pt_word(k->t, p, &self) || self != p)
			continue;
		ret = take_block(k, p, &tid_at);
		if (ret > 0)
			ret = follow_ring(k, p, tid_at);
	}
	return ret < 0 ? ret : 0;
}

/* Caches of which no living thread speaks belong to threads that we did not find. */
static int find_orphans(struct look *look)
{
	const struct pt_target *t = look->t;
	struct pt_book *b = look->b;
	size_t i, j, k;

	for (i = 0; i < b->mmapped; i++) {
		const struct pt_chunk *c = &b->chunks[i];
		struct cache cache;

		for (j = 0; j < NR_LAYOUTS; j++) {
			struct pt_thread th = {
				.arena = PT_NOWHERE,
				.tcache = c->addr + 16,
			};

			if (c->state != PT_USED ||
			    pt_size(c) != layouts[j].chunk ||
			    !read_cache(t, &layouts[j], th.tcache, &cache) ||
			    is_empty(&layouts[j], &cache) ||
			    !is_cache(look, &layouts[j], &cache))
				continue;
			for (k = 0; k < b->nr_threads; k++)
				if (b->threads[k].tcache == th.tcache)
					break;
			if (k == b->nr_threads && k < UINT16_MAX - 1 &&
			    add_thread(look, th))
				return -ENOMEM;
		}
	}
	return 0;
}

/* Marks what the thread's cache holds. */
static void take_cache(struct look *k, size_t i)
{
	const struct pt_target *t = k->t;
	struct pt_book *b = k->b;
	struct pt_thread *th = &b->threads[i];
	struct pt_chunk *c = th->tcache ? pt_at(b, th->tcache - 16) : NULL;
	struct cache cache;
	unsigned int bin;
	size_t j;

	for (j = 0; c && j < NR_LAYOUTS; j++) {
		if (pt_size(c) != layouts[j].chunk ||
		    !read_cache(t, &layouts[j], th->tcache, &cache) ||
		    !is_cache(k, &layouts[j], &cache))
			continue;
		c->state = PT_META;
		c->thread = (uint16_t)i;
		for (bin = 0; bin < layouts[j].bins; bin++)
			follow(k, bin, cache.entries[bin], (int)i);
		return;
	}
	b->torn += th->tcache != 0;
	th->tcache = 0;
}

int pt_read_threads(const struct pt_target *t, struct pt_book *b)
{
	struct look k = { .t = t,
			  .b = b,
			  .budget = 8 * b->nr_chunks + 65536,
			  .places = PLACES_MAX };
	unsigned int at;
	size_t i;
	int err = 0;

	for (i = 0; err >= 0 && i < t->nr_at; i++)
		err = take_block(&k, t->at[i].tcb, &at);
	err = err < 0 ? err : 0;
	/* To look for the others is to read, and what is swapped comes back by that. */
	for (i = 0; !err && i < t->nr_anon && b->nr_threads < t->nr_tids &&
		    b->nr_threads < UINT16_MAX - 1;
	     i++)
		err = find_blocks(&k, &t->anon[i]);
	if (!err)
		err = find_orphans(&k);
	for (i = 0; !err && i < b->nr_threads; i++)
		take_cache(&k, i);
	return err;
}
