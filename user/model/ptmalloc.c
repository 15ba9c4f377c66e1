// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas, their heaps, and every chunk in them. First the heaps are walked from
 * chunk to chunk, which tells all sizes and what is free by the mark in the
 * chunk above; then the lists are followed, without reading anything again,
 * through the links that the walk has kept: they tell what looks as if in use
 * and is not (fastbins, tcache), and in which bin the rest is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ptmalloc_inside.h"

#define MAX_CHUNKS (32u << 20)
#define NONCONTIGUOUS 2u /* malloc_state.flags */
#define BATCH 512 /* pages of which a word is read in one call */
#define TRIES 4 /* of a walk that a running process has spoiled */

struct walk {
	const struct pt_target *t;
	struct pt_book *b;
	size_t room_arenas, room_heaps, room_chunks;
	struct pt_state *states; /* of each arena, as read */
	size_t chunks_max; /* those with a mapping of their own included; SIZE_MAX: not known */
	bool incomplete;
};

static int grow(void **array, size_t nr, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *p;

	if (nr < *room)
		return 0;
	p = realloc(*array, more * size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = more;
	return 0;
}

static int add_chunk(struct walk *w, const struct pt_chunk *c)
{
	size_t max = w->t->max_chunks ? w->t->max_chunks : MAX_CHUNKS;
	int err;

	if (w->b->nr_chunks >= max)
		return -E2BIG;
	err = grow((void **)&w->b->chunks, w->b->nr_chunks, &w->room_chunks,
		   sizeof(*c));
	if (!err)
		w->b->chunks[w->b->nr_chunks++] = *c;
	return err;
}

/* --- one heap */

/* The chunk below turns out to be free; what of it is on a list is known later. */
static void mark_free(struct pt_book *b, struct pt_heap *h)
{
	struct pt_chunk *c;

	if (!h->nr_chunks)
		return;
	c = &b->chunks[h->chunk + h->nr_chunks - 1];
	if (c->state == PT_USED)
		c->state = pt_size(c) < 1024 ? PT_SMALL : PT_LARGE;
}

/*
 * Where the chain goes on after a fence in the brk heap: behind what somebody
 * else took by sbrk, which may be anything. The first place from which chunks
 * lead up to the top, without a step that is no chunk, is taken for it.
 */
static bool leads_to(const struct pt_target *t, uint64_t p, uint64_t top,
		     unsigned int *budget)
{
	uint64_t head;

	while (p < top && (*budget)--) {
		if (pt_word(t, p + 8, &head) || head & 6 ||
		    (head & ~7ull) < PT_MINSIZE || head & 8 ||
		    (head & ~7ull) > top - p)
			return false;
		p += head & ~7ull;
		if (!*budget)
			break;
	}
	return p == top;
}

/* Some 16 reads for each place, however long the chains are that lead nowhere. */
static uint64_t resume(const struct pt_target *t, uint64_t p, uint64_t top)
{
	unsigned int budget = top - p < 8u << 20 ? (unsigned int)(top - p) :
						   8u << 20;
	uint64_t head, next;

	for (; p < top && budget; p += 16) {
		budget--;
		/* The chunk above a fence begins new memory: no one below it is free. */
		if (pt_word(t, p + 8, &head))
			return top;
		if (!(head & PT_PREV_INUSE) || (head & ~7ull) < PT_MINSIZE)
			continue;
		next = p + (head & ~7ull);
		if (next > p && next <= top && leads_to(t, p, top, &budget))
			return p;
	}
	return top;
}

/* Reads the header at p. False: that is no chunk. */
static bool read_chunk(const struct walk *w, const struct pt_heap *h,
		       uint64_t p, struct pt_chunk *c)
{
	uint64_t words[2] = { 0, 0 }, size;

	*c = (struct pt_chunk){ .addr = p, .thread = UINT16_MAX };
	if (h->end - p < 16 ||
	    pt_peek(w->t, p + 8, words, h->end - p < 24 ? 8 : 16))
		return false;
	c->head = words[0];
	c->link = words[1];
	size = pt_size(c);
	if (size & 15 || c->head & PT_IS_MMAPPED || size > h->end - p)
		return false;
	if (size < PT_MINSIZE) {
		c->state = PT_FENCE;
		return c->head & PT_PREV_INUSE || !size || size == 16;
	}
	return true;
}

/* From the first chunk to the top or the end. */
static int walk_chunks(struct walk *w, uint32_t index)
{
	struct pt_heap *h = &w->b->heaps[index];
	const struct pt_arena *a = &w->b->arenas[h->arena];
	uint64_t p = h->first, next;
	struct pt_chunk c;
	int err = 0;

	while (!err && p < h->end) {
		if (!read_chunk(w, h, p, &c)) {
			h->broken = p;
			return 0;
		}
		c.heap = index;
		if (!(c.head & PT_PREV_INUSE))
			mark_free(w->b, h);
		if (p == a->top)
			c.state = PT_TOP;
		err = add_chunk(w, &c);
		h->nr_chunks += !err;
		if (p == a->top || !pt_size(&c))
			break;
		next = p + pt_size(&c);
		if (c.state == PT_FENCE && !h->arena && a->top > next &&
		    h->nr_chunks > 1 &&
		    w->b->chunks[w->b->nr_chunks - 2].state == PT_FENCE) {
			p = resume(w->t, next, a->top);
			h->foreign += p - next;
			next = p;
		}
		p = next;
	}
	return err;
}

static bool reached_end(const struct walk *w, const struct pt_heap *h)
{
	const struct pt_chunk *last;

	if (h->broken || !h->nr_chunks)
		return false;
	last = &w->b->chunks[h->chunk + h->nr_chunks - 1];
	return last->state == PT_TOP || last->state == PT_FENCE ||
	       last->addr + pt_size(last) == h->end;
}

/* A process that runs on may change a size while we pass. */
static int walk_heap(struct walk *w, uint32_t index)
{
	struct pt_heap *h = &w->b->heaps[index];
	int err = 0, tries;

	h->chunk = w->b->nr_chunks;
	for (tries = 0; !err && tries < TRIES; tries++) {
		w->b->nr_chunks = h->chunk;
		h->nr_chunks = 0;
		h->broken = 0;
		h->foreign = 0;
		err = walk_chunks(w, index);
		if (reached_end(w, h))
			break;
	}
	if (!reached_end(w, h))
		w->incomplete = true;
	return err;
}

/* --- which heaps there are */

static struct pt_heap *add_heap(struct walk *w, uint32_t arena)
{
	if (grow((void **)&w->b->heaps, w->b->nr_heaps, &w->room_heaps,
		 sizeof(*w->b->heaps)))
		return NULL;
	w->b->heaps[w->b->nr_heaps] = (struct pt_heap){ .arena = arena };
	return &w->b->heaps[w->b->nr_heaps++];
}

/* The top lies in [.., limit); what claims more was overwritten, or has grown just now. */
static uint64_t top_end(const struct pt_arena *a, uint64_t limit)
{
	return a->top_size < limit - a->top ? a->top + a->top_size : limit;
}

/*
 * The brk heap; where brk failed or must not be used, pieces of anonymous memory,
 * of which the one with the top in it can be found, if nothing lies below it in
 * the same VMA.
 */
static int main_heaps(struct walk *w)
{
	struct pt_arena *a = &w->b->arenas[0];
	const struct pt_target *t = w->t;
	bool top_in_brk = a->top >= t->brk.start && a->top < t->brk.end;
	const struct pt_range *r;
	struct pt_heap *h;

	if (w->b->par.sbrk_base >= t->brk.start &&
	    w->b->par.sbrk_base < t->brk.end) {
		h = add_heap(w, 0);
		if (!h)
			return -ENOMEM;
		h->start = h->first = (w->b->par.sbrk_base + 15) & ~15ull;
		h->end = top_in_brk ? top_end(a, t->brk.end) : t->brk.end;
		h->committed = h->reserved = t->brk.end;
		if (h->first > h->end) {
			w->incomplete = true;
			h->end = h->reserved;
		}
	}
	r = top_in_brk ? NULL : pt_in(t->ranges, t->nr_ranges, a->top, 16);
	if (r) {
		h = add_heap(w, 0);
		if (!h)
			return -ENOMEM;
		h->start = h->first = r->start;
		h->end = top_end(a, r->end);
		h->committed = h->reserved = h->end;
	}
	return 0;
}

/* The heap_info at `start`, when it is one of this arena. */
static bool read_heap_info(const struct walk *w, uint64_t start,
			   const struct pt_arena *a, uint64_t info[5])
{
	size_t len = w->b->heap_info == 0x20 ? 32 : 40;

	info[4] = PT_PAGE;
	return !pt_peek(w->t, start, info, len) && info[0] == a->addr &&
	       info[2] <= w->b->heap_max && info[3] <= w->b->heap_max &&
	       info[2] >= w->b->heap_info && info[2] <= info[3];
}

/* Where the first chunk of an arena's own heap is: behind both structs, aligned. */
static uint64_t first_chunk(const struct walk *w, const struct pt_arena *a,
			    uint64_t start)
{
	if (a->addr - start == w->b->heap_info)
		return (a->addr + w->b->layout->size + 15) & ~15ull;
	return start + w->b->heap_info;
}

/* From the heap that the top is in to the oldest one. */
static int arena_heaps(struct walk *w, uint32_t index)
{
	struct pt_arena *a = &w->b->arenas[index];
	uint64_t start = a->top & ~(w->b->heap_max - 1), info[5];
	size_t from = w->b->nr_heaps, i, j;

	while (start && w->b->nr_heaps - from < PT_HEAPS_MAX) {
		struct pt_heap *h;

		if (!read_heap_info(w, start, a, info)) {
			w->incomplete = true;
			break;
		}
		h = add_heap(w, index);
		if (!h)
			return -ENOMEM;
		h->start = start;
		h->first = first_chunk(w, a, start);
		h->end = start + info[2];
		h->committed = start + info[3];
		h->reserved = start + w->b->heap_max;
		h->pagesize = info[4];
		start = info[1];
		if (start & (w->b->heap_max - 1))
			break;
	}
	/* The oldest first. */
	for (i = from, j = w->b->nr_heaps; i + 1 < j; i++) {
		struct pt_heap tmp = w->b->heaps[i];

		w->b->heaps[i] = w->b->heaps[--j];
		w->b->heaps[j] = tmp;
	}
	return 0;
}

static int walk_arena(struct walk *w, uint32_t index)
{
	struct pt_arena *a = &w->b->arenas[index];
	uint32_t i;
	int err;

	a->heap = (uint32_t)w->b->nr_heaps;
	err = !a->top ? 0 : index ? arena_heaps(w, index) : main_heaps(w);
	a = &w->b->arenas[index];
	a->nr_heaps = (uint32_t)w->b->nr_heaps - a->heap;
	for (i = 0; !err && i < a->nr_heaps; i++) {
		struct pt_heap *h = &w->b->heaps[a->heap + i];

		if (!h->pagesize)
			h->pagesize = PT_PAGE;
		if (h->first < h->end)
			err = walk_heap(w, a->heap + i);
	}
	return err;
}

/* --- the arenas */

static int add_arena(struct walk *w, const struct pt_state *s)
{
	size_t room = w->room_arenas;
	struct pt_arena *a;
	uint64_t head = 0;
	int err;

	err = grow((void **)&w->b->arenas, w->b->nr_arenas, &w->room_arenas,
		   sizeof(*a));
	if (!err)
		err = grow((void **)&w->states, w->b->nr_arenas, &room,
			   sizeof(*s));
	if (err)
		return err;
	w->states[w->b->nr_arenas] = *s;
	a = &w->b->arenas[w->b->nr_arenas++];
	*a = (struct pt_arena){
		.addr = s->addr,
		.top = pt_field(s, s->layout->top),
		.attached = pt_field(s, s->layout->attached),
		.system_mem = pt_field(s, s->layout->system_mem),
		.max_system_mem = pt_field(s, s->layout->max_system_mem),
		.noncontiguous = pt_u32(s->raw + 4) & NONCONTIGUOUS,
	};
	if (a->top == pt_bin(s, 1) || pt_word(w->t, a->top + 8, &head))
		a->top = 0;
	a->top_size = head & ~7ull;
	if (a->top_size & 15 || a->top_size >= 1ull << 47)
		a->top = a->top_size = 0;
	return 0;
}

static int read_arenas(struct walk *w, struct pt_state *s)
{
	uint64_t main_arena = s->addr;
	int err = add_arena(w, s), n = 0;
	uint64_t next = pt_field(s, s->layout->next);

	while (!err && next != main_arena && n++ < PT_HEAPS_MAX) {
		if (pt_read_state(w->t, next, w->b->layout, s)) {
			w->incomplete = true;
			break;
		}
		err = add_arena(w, s);
		next = pt_field(s, s->layout->next);
	}
	return err;
}

/* --- looking up */

/* Index of the last chunk of [from, to) that begins at or below addr; SIZE_MAX: none. */
static size_t lower(const struct pt_book *b, size_t from, size_t to,
		    uint64_t addr)
{
	size_t lo = from, hi = to;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (b->chunks[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == from ? SIZE_MAX : lo - 1;
}

static const struct pt_heap *heap_of(const struct pt_book *b, uint64_t addr)
{
	size_t lo = 0, hi = b->nr_heaps;
	const struct pt_heap *h;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (b->heaps[b->by_address[mid]].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	h = lo ? &b->heaps[b->by_address[lo - 1]] : NULL;
	return h && addr < h->end ? h : NULL;
}

static int compare_heaps(const void *x, const void *y, void *heaps)
{
	const struct pt_heap *a =
		(const struct pt_heap *)heaps + *(const uint32_t *)x;
	const struct pt_heap *b =
		(const struct pt_heap *)heaps + *(const uint32_t *)y;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int sort_heaps(struct pt_book *b)
{
	uint32_t i;

	b->by_address = calloc(b->nr_heaps + 1, sizeof(*b->by_address));
	if (!b->by_address)
		return -ENOMEM;
	for (i = 0; i < b->nr_heaps; i++)
		b->by_address[i] = i;
	qsort_r(b->by_address, b->nr_heaps, sizeof(*b->by_address),
		compare_heaps, b->heaps);
	return 0;
}

static struct pt_chunk *last_at_or_below(const struct pt_book *b, uint64_t addr)
{
	const struct pt_heap *h = heap_of(b, addr);
	size_t i = h ? lower(b, h->chunk, h->chunk + h->nr_chunks, addr) :
		       lower(b, b->mmapped, b->nr_chunks, addr);

	return i == SIZE_MAX ? NULL : &b->chunks[i];
}

struct pt_chunk *pt_at(const struct pt_book *b, uint64_t addr)
{
	struct pt_chunk *c = last_at_or_below(b, addr);

	return c && c->addr == addr ? c : NULL;
}

const struct pt_chunk *pt_find(const struct pt_book *b, uint64_t addr)
{
	struct pt_chunk *c = last_at_or_below(b, addr);

	return c && addr - c->addr < pt_size(c) ? c : NULL;
}

/* --- the lists */

/* A chunk of this arena that is on a list; NULL (and counted): there is none. */
static struct pt_chunk *listed(struct walk *w, struct pt_arena *a,
			       uint64_t addr)
{
	struct pt_chunk *c = pt_at(w->b, addr);

	if (!c || c->heap == PT_NOWHERE ||
	    &w->b->arenas[w->b->heaps[c->heap].arena] != a ||
	    c->state == PT_FENCE || c->state == PT_TOP) {
		a->lost++;
		return NULL;
	}
	return c;
}

static void follow_fastbins(struct walk *w, struct pt_arena *a,
			    const struct pt_state *s)
{
	unsigned int i;

	for (i = 0; s->layout->fastbins && i < PT_FASTBINS; i++) {
		uint64_t p = pt_u64(s->raw + s->layout->fastbins + 8 * i);
		size_t left = w->b->nr_chunks;

		while (p && left--) {
			struct pt_chunk *c = listed(w, a, p);

			if (!c || c->state != PT_USED)
				break; /* or it is a loop */
			c->state = PT_FAST;
			p = c->link;
			if (w->b->safe_linking)
				p ^= (c->addr + 16) >> 12; /* PROTECT_PTR */
		}
	}
}

/* Marks the members of one bin; free by the walk, and now on a list, too. */
static void follow_bin(struct walk *w, struct pt_arena *a,
		       const struct pt_state *s, unsigned int bin,
		       uint8_t *seen)
{
	uint64_t head = pt_bin(s, bin);
	uint64_t p = pt_u64(s->raw + s->layout->bins + (bin - 1) * 16);
	size_t left = w->b->nr_chunks;

	while (p != head && left--) {
		struct pt_chunk *c = listed(w, a, p);
		size_t i = c ? (size_t)(c - w->b->chunks) : 0;

		if (!c || seen[i / 8] & 1 << i % 8)
			break;
		seen[i / 8] |= 1 << i % 8;
		if (c->state != PT_SMALL && c->state != PT_LARGE) {
			a->lost++; /* taken by now, or not free yet when we passed */
			break;
		}
		if (bin == 1)
			c->state = PT_UNSORTED;
		p = c->link;
	}
}

static int follow_lists(struct walk *w)
{
	uint8_t *seen = calloc(w->b->nr_chunks / 8 + 1, 1);
	struct pt_book *b = w->b;
	unsigned int bin;
	size_t i;

	if (!seen)
		return -ENOMEM;
	for (i = 0; i < b->nr_arenas; i++) {
		follow_fastbins(w, &b->arenas[i], &w->states[i]);
		for (bin = 1; bin <= PT_BINS; bin++)
			follow_bin(w, &b->arenas[i], &w->states[i], bin, seen);
	}
	for (i = 0; i < b->nr_chunks; i++) {
		const struct pt_chunk *c = &b->chunks[i];

		if ((c->state == PT_SMALL || c->state == PT_LARGE) &&
		    !(seen[i / 8] & 1 << i % 8))
			b->arenas[b->heaps[c->heap].arena].unlisted++;
	}
	free(seen);
	return 0;
}

static void sum_up(struct pt_book *b)
{
	size_t i;

	for (i = 0; i < b->nr_chunks; i++) {
		const struct pt_chunk *c = &b->chunks[i];
		struct pt_sum *s;

		if (c->heap == PT_NOWHERE)
			continue;
		s = &b->arenas[b->heaps[c->heap].arena].sum[c->state];
		s->chunks++;
		s->bytes += pt_size(c);
	}
}

/* --- chunks with a mapping of their own */

/*
 * They are on no list. prev_size says how far in its mapping one begins, and both
 * sizes together are whole pages; from 2.43 on less the 16 bytes at the end, and
 * bit 0 of prev_size says that they are huge pages (malloc.c, mmap_set_chunk).
 */
static uint64_t tail(const struct pt_book *b)
{
	return b->layout->fastbins ? 0 : 16;
}

static bool is_mmapped(const struct pt_book *b, const uint64_t w[2],
		       uint64_t offset, uint64_t room)
{
	uint64_t before = b->layout->fastbins ? w[0] : w[0] & ~1ull;
	uint64_t size = w[1] & ~7ull, total = offset + size + tail(b);

	return (w[1] & 7) == PT_IS_MMAPPED && before == offset &&
	       size >= PT_MINSIZE && size < 1ull << 47 && !(total % PT_PAGE) &&
	       total <= room;
}

static bool may_begin(const uint64_t w[2])
{
	return (w[1] & 7) == PT_IS_MMAPPED && w[0] <= 1;
}

/*
 * The chunk whose mapping begins at base. One that had to be aligned lies further
 * on, behind the header with which the mapping began and which may be out of
 * date; beyond the first page it is not looked for.
 */
static bool find_header(const struct pt_target *t, const struct pt_book *b,
			uint64_t base, uint64_t room, struct pt_chunk *c)
{
	uint64_t page[PT_PAGE / 8];
	unsigned int i;

	if (pt_peek(t, base, page, sizeof(page)) || !may_begin(page))
		return false;
	for (i = PT_PAGE / 8 - 2; i; i -= 2)
		if (is_mmapped(b, &page[i], 8 * i, room))
			break;
	if (!i && !is_mmapped(b, page, 0, room))
		return false;
	*c = (struct pt_chunk){ .addr = base + 8 * i,
				.head = page[i + 1],
				.link = 8 * i,
				.heap = PT_NOWHERE,
				.thread = UINT16_MAX,
				.state = PT_MMAPPED };
	return true;
}

uint64_t pt_mapping(const struct pt_book *b, const struct pt_chunk *c)
{
	return c->link + pt_size(c) + tail(b);
}

/* p, or the end of the heap that it is in. *free: up to where there is no heap. */
static uint64_t beyond_heaps(const struct pt_book *b, uint64_t p,
			     uint64_t *free)
{
	size_t i = 0;

	*free = UINT64_MAX;
	while (i < b->nr_heaps) {
		const struct pt_heap *h = &b->heaps[i++];

		if (p < h->start || p >= h->reserved)
			continue;
		p = h->reserved;
		i = 0;
	}
	for (i = 0; i < b->nr_heaps; i++)
		if (b->heaps[i].start >= p && b->heaps[i].start < *free)
			*free = b->heaps[i].start;
	return p;
}

/* One behind the other from *p on, as far as they are. 0 or -ENOMEM. */
static int add_mmapped(struct walk *w, uint64_t *p, uint64_t end)
{
	struct pt_chunk c;
	uint64_t free;

	while (w->b->nr_chunks < w->chunks_max && *p + PT_PAGE <= end &&
	       beyond_heaps(w->b, *p, &free) == *p &&
	       find_header(w->t, w->b, *p, end - *p, &c)) {
		if (add_chunk(w, &c))
			return -ENOMEM;
		*p += pt_mapping(w->b, &c);
	}
	return 0;
}

/* The next pages in [p, end) that may hold something and are no heap's. */
static size_t next_pages(const struct walk *w, uint64_t p, uint64_t end,
			 uint64_t pages[BATCH])
{
	const struct pt_memory *m = &w->t->mem;
	uint64_t free = p;
	size_t nr = 0;

	while (nr < BATCH) {
		if (p >= free)
			p = beyond_heaps(w->b, p, &free);
		if (m->next && p < end)
			p = m->next(m->ctx, p, end);
		if (p + PT_PAGE > end)
			break;
		if (p >= free)
			continue;
		pages[nr++] = p;
		p += PT_PAGE;
	}
	return nr;
}

static void read_each(const struct pt_target *t, const uint64_t *addrs,
		      size_t nr, uint64_t (*words)[2])
{
	size_t i;

	if (t->mem.read_each) {
		t->mem.read_each(t->mem.ctx, addrs, nr, words);
		return;
	}
	for (i = 0; i < nr; i++)
		if (t->mem.read(t->mem.ctx, addrs[i], words[i], 16))
			words[i][0] = words[i][1] = 0;
}

/* Each page of a range may begin one: of those that are there two words are read. */
static int search_mmapped(struct walk *w, uint64_t p, uint64_t end)
{
	uint64_t pages[BATCH], words[BATCH][2];
	size_t i, nr;

	while (w->b->nr_chunks < w->chunks_max &&
	       (nr = next_pages(w, p, end, pages))) {
		read_each(w->t, pages, nr, words);
		p = pages[nr - 1] + PT_PAGE;
		for (i = 0; i < nr && !may_begin(words[i]); i++)
			;
		if (i == nr)
			continue;
		p = pages[i];
		if (add_mmapped(w, &p, end))
			return -ENOMEM;
		if (p == pages[i])
			p += PT_PAGE;
	}
	return 0;
}

/*
 * The kernel puts what is new below what is there, so most are found where a range of
 * memory begins, each behind the other. Only when that is not how many there are each
 * page of what is not large is looked at, and then of all: a Java heap of gigabytes may
 * be among them, and a page takes up to a microsecond.
 */
static int find_mmapped(struct walk *w)
{
	static const uint64_t searched[] = { 0, 64 << 20, UINT64_MAX };
	size_t i, k;

	w->b->mmapped = w->b->nr_chunks;
	w->chunks_max = w->b->par.addr ? w->b->mmapped + w->b->par.n_mmaps :
					 SIZE_MAX;
	for (k = 0; k < 3 && w->b->nr_chunks < w->chunks_max; k++) {
		w->b->nr_chunks = w->b->mmapped;
		for (i = 0; i < w->t->nr_anon; i++) {
			const struct pt_range *r = &w->t->anon[i];
			uint64_t p = (r->start + PT_PAGE - 1) & ~(PT_PAGE - 1);
			int err = r->end - r->start <= searched[k] ?
					  search_mmapped(w, p, r->end) :
					  add_mmapped(w, &p, r->end);

			if (err)
				return err;
		}
	}
	return 0;
}

/* --- all of it */

/* The size of a heap: four huge pages when malloc was told to use them (hugetlb=2). */
static uint64_t heap_max(const struct pt_par *par)
{
	return par->addr && par->hp_pagesize ? par->hp_pagesize * 4 :
					       PT_HEAP_MAX;
}

/*
 * The links of fastbins and caches are XORed from 2.32 on. mp_ grew with 2.35; in
 * between a link tells, when there is one: as it is it would not be aligned.
 */
static bool links_are_safe(const struct walk *w)
{
	const struct pt_book *b = w->b;
	size_t i, j;

	if (!b->layout->fastbins || !b->par.addr || b->par.layout->hp_pagesize)
		return true;
	for (i = 0; i < b->nr_arenas; i++) {
		for (j = 0; j < PT_FASTBINS; j++) {
			uint64_t p = pt_u64(w->states[i].raw +
					    b->layout->fastbins + 8 * j);
			const struct pt_chunk *c = p ? pt_at(b, p) : NULL;

			if (c && c->link & 15)
				return true;
		}
	}
	return false;
}

static int read_all(struct walk *w)
{
	struct pt_book *b = w->b;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < b->nr_arenas; i++)
		err = walk_arena(w, (uint32_t)i);
	if (err)
		return err;
	b->mmapped = b->nr_chunks;
	err = sort_heaps(b);
	b->safe_linking = !err && links_are_safe(w);
	if (!err)
		err = follow_lists(w);
	if (!err)
		err = find_mmapped(w);
	if (!err)
		err = pt_read_threads(w->t, b);
	if (!err)
		sum_up(b);
	return err;
}

int pt_read(const struct pt_target *t, struct pt_book *b, const char **why)
{
	struct walk w = { .t = t, .b = b };
	struct pt_state s;
	int err;

	memset(b, 0, sizeof(*b));
	*why = NULL;
	err = pt_find_main(t, &s, &b->by_symbol, &b->heap_info, why);
	if (err)
		return err;
	b->layout = s.layout;
	pt_find_par(t, &s, &b->par);
	b->heap_max = heap_max(&b->par);
	err = read_arenas(&w, &s);
	if (!err)
		err = read_all(&w);
	free(w.states);
	if (err) {
		pt_free(b);
		*why = err == -E2BIG ? "it has more chunks than may be read" :
				       "no memory";
	} else if (w.incomplete) {
		*why = "some heap could not be read to its end";
	} else if (!b->par.addr) {
		*why = "malloc's parameters (mp_) were not found";
	}
	return err;
}

void pt_free(struct pt_book *b)
{
	free(b->arenas);
	free(b->heaps);
	free(b->chunks);
	free(b->threads);
	free(b->by_address);
	memset(b, 0, sizeof(*b));
}

uint64_t pt_usable(const struct pt_book *b, const struct pt_chunk *c)
{
	if (c->state == PT_MMAPPED)
		return c->addr - c->link + pt_mapping(b, c) - (c->addr + 16);
	return pt_size(c) - 8;
}

const char *pt_state_name(enum pt_chunk_state s)
{
	static const char *const names[PT_STATES] = {
		"used",	 "malloc's own", "mmapped",  "tcache", "fastbin",
		"small", "large",	 "unsorted", "top",    "fence",
	};

	return names[s];
}

struct pt_sum pt_arena_rest(const struct pt_arena *a)
{
	static const enum pt_chunk_state rest[] = { PT_SMALL, PT_LARGE,
						    PT_UNSORTED, PT_TOP };
	struct pt_sum sum = { 0, 0 };
	size_t i;

	for (i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		sum.chunks += a->sum[rest[i]].chunks;
		sum.bytes += a->sum[rest[i]].bytes;
	}
	return sum;
}

/* Chunks of a heap follow each other, but for what is foreign between two fences. */
static const char *check_heap(const struct pt_book *b, const struct pt_heap *h)
{
	uint64_t gaps = 0;
	size_t i;

	if (h->first < h->start || h->end > h->reserved ||
	    h->arena >= b->nr_arenas)
		return "a heap without order";
	if (h->chunk > b->nr_chunks || h->nr_chunks > b->nr_chunks - h->chunk)
		return "a heap has chunks that are not there";
	for (i = 0; i < h->nr_chunks; i++) {
		const struct pt_chunk *c = &b->chunks[h->chunk + i];
		uint64_t end = c->addr + pt_size(c);

		if (c->addr < h->first || end > h->end || end < c->addr)
			return "a chunk outside its heap";
		if (i + 1 == h->nr_chunks)
			break;
		if (c[1].addr < end)
			return "chunks overlap";
		gaps += c[1].addr - end;
	}
	return gaps > h->foreign ? "a gap between chunks" : NULL;
}

const char *pt_check(const struct pt_book *b)
{
	const char *bad = NULL;
	size_t i;

	for (i = 0; !bad && i < b->nr_heaps; i++)
		bad = check_heap(b, &b->heaps[i]);
	for (i = 0; !bad && i < b->nr_chunks; i++) {
		const struct pt_chunk *c = &b->chunks[i];

		if (c->state >= PT_STATES)
			bad = "a chunk without a state";
		else if (c->heap == PT_NOWHERE ? i < b->mmapped :
						 c->heap >= b->nr_heaps)
			bad = "a chunk without a heap";
	}
	return bad;
}
