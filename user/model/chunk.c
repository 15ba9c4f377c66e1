// SPDX-License-Identifier: GPL-2.0
/*
 * A shadow of the address space: for each 16 bytes of it one number, that of
 * the chunk which starts there (0: none; with the bit DEAD: when the last one
 * died, and whether it was CROSSED). It is reserved 1 GiB of addresses (a leaf)
 * at a time and costs memory
 * only where chunks lie. Chunks that start at 8 mod 16 (jemalloc and mimalloc
 * have such) go into a second such array, which a leaf gets with its first one.
 *
 * Live chunks never overlap: whoever inserts sees to it. So a page needs to know
 * little: which of its granules have a byte of a chunk (so that the common
 * insertion sees without a look at its neighbours that it is in nobody's way),
 * how many chunks start on it, the live bytes, and how far a chunk from an
 * earlier page reaches into it:
 *
 *      page 1                page 2                page 3
 *   |      [chunk A        |                     |     ] [B ]         |
 *    bytes: its part        bytes 4096, into 4096  into: A's end, bytes: into + B
 *
 * Two chunks share a granule only where one starts at 8 mod 16, of which a page has
 * the number.
 *
 * The pages that lie wholly inside of a chunk of a MiB or more are not touched
 * at all; a short sorted list of such chunks stands for them.
 *
 * First touches of memory cost more than all the rest where the heap is new, so
 * a leaf in which more than a MiB has been used asks for huge pages.
 *
 * A table that is not going to change (a fork that only execs, a process that is
 * gone) is *packed*: one sorted array, no reserved memory. The first change
 * unpacks it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/archive.h"
#include "model/model.h"
#include "model/pool.h"

#define ADDR_BITS 47
#define PAGE_BITS 12
#define PAGE (1ull << PAGE_BITS)
#define LEAF_BITS 30
#define LEAF_PAGES (1u << (LEAF_BITS - PAGE_BITS))
#define LEAF_GRANULES (1ull << (LEAF_BITS - 4))
#define LEAVES (1u << (ADDR_BITS - LEAF_BITS))
#define BLOCK_PAGES 64u
#define LEAF_BLOCKS (LEAF_PAGES / BLOCK_PAGES)
#define LARGE_PAGES 256u
#define DEAD (1u << 31)
#define CROSSED (1u << 30) /* chunk_crossed() */
#define PREFETCH_CHUNKS 32768 /* so many are in the caches anyway */
#define AHEAD 8 /* calls */
#define HUGE_BLOCKS 4 /* used blocks from which on huge pages are worth it */
#define SPARE_LEAVES 8
#define CLEARED_MAX 1024 /* pages of a spare leaf, which stay resident */

struct page {
	uint64_t covered[4]; /* a bit for each granule that has a byte of a chunk */
	uint16_t nr_starts;
	uint16_t into; /* the first so many bytes belong to a chunk from before */
	uint16_t bytes; /* live */
	uint16_t nr_odd : 15; /* of nr_starts, those at 8 mod 16 */
	uint16_t in_use : 1; /* page_use() has been told */
};

struct leaf {
	struct leaf *next; /* the one with the next higher number */
	uint64_t number; /* of its GiB */
	uint32_t *even, *odd; /* by granule: chunks at 0 and at 8 mod 16 */
	struct page *pages;
	uint64_t used[LEAF_BLOCKS / 64]; /* blocks of pages that ever were */
	uint32_t nr_used;
	uint32_t cleared; /* pages, for tables before */
};

/* The whole pages inside of a large chunk. */
struct large {
	uint64_t start, end;
	uint32_t nr;
};

struct chunk_table {
	struct leaf **leaves; /* by number; NULL when packed */
	struct leaf *first_leaf;
	struct pool pool;
	struct large *large; /* sorted */
	size_t nr_large, cap_large;
	struct chunk *packed; /* sorted; total.chunks of them */
	struct chunk_sum total;
	uint64_t peak; /* of total.bytes */
};

/* --- memory */

static void *reserve(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void unreserve(void *mem, size_t size)
{
	if (mem)
		munmap(mem, size);
}

static bool block_used(const struct leaf *l, uint32_t block)
{
	return l->used[block / 64] >> block % 64 & 1;
}

/*
 * Of tables that were dropped while they were small, as if new: to map and unmap
 * memory takes longer than many a process runs.
 */
static struct spare {
	struct leaf *first_leaf; /* linked by `next` */
	unsigned int nr_leaves;
	struct leaf **leaves; /* all NULL */
	struct pool pool;
} spare;

static void page_clear(struct leaf *l, uint32_t page)
{
	const size_t granules = PAGE / 16;

	memset(&l->pages[page], 0, sizeof(l->pages[page]));
	memset(&l->even[page * granules], 0, granules * sizeof(*l->even));
	l->cleared++;
}

static void leaf_clear(struct leaf *l)
{
	for (uint32_t page = 0; page < LEAF_PAGES; page++) {
		if (!block_used(l, page / BLOCK_PAGES))
			page |= BLOCK_PAGES - 1; /* its last one */
		else if (l->pages[page].in_use)
			page_clear(l, page);
	}
	memset(l->used, 0, sizeof(l->used));
	l->nr_used = 0;
}

static void leaf_free(struct leaf *l)
{
	if (!l)
		return;
	unreserve(l->even, LEAF_GRANULES * sizeof(*l->even));
	unreserve(l->odd, LEAF_GRANULES * sizeof(*l->odd));
	unreserve(l->pages, LEAF_PAGES * sizeof(*l->pages));
	free(l);
}

/* Each table has other addresses, so what was touched adds up. */
static void leaf_drop(struct leaf *l)
{
	if (l->nr_used >= HUGE_BLOCKS || l->odd || l->cleared > CLEARED_MAX ||
	    spare.nr_leaves == SPARE_LEAVES) {
		leaf_free(l);
		return;
	}
	leaf_clear(l);
	l->next = spare.first_leaf;
	spare.first_leaf = l;
	spare.nr_leaves++;
}

static struct leaf *leaf_new(void)
{
	struct leaf *l = spare.first_leaf;

	if (l) {
		spare.first_leaf = l->next;
		spare.nr_leaves--;
		return l;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->even = reserve(LEAF_GRANULES * sizeof(*l->even));
	l->pages = reserve(LEAF_PAGES * sizeof(*l->pages));
	if (l->even && l->pages)
		return l;
	leaf_free(l);
	return NULL;
}

static struct leaf *leaf_of(const struct chunk_table *t, uint64_t addr)
{
	return addr >> ADDR_BITS ? NULL : t->leaves[addr >> LEAF_BITS];
}

/* To be found without looking through all that there could be. */
static void leaf_link(struct chunk_table *t, struct leaf *l)
{
	struct leaf **at = &t->first_leaf;

	while (*at && (*at)->number < l->number)
		at = &(*at)->next;
	l->next = *at;
	*at = l;
	t->leaves[l->number] = l;
}

/* The leaf for a chunk that is about to start (or end) at addr. */
static struct leaf *leaf_make(struct chunk_table *t, uint64_t addr)
{
	struct leaf *l = leaf_of(t, addr);

	if (!l) {
		l = leaf_new();
		if (!l)
			return NULL;
		l->number = addr >> LEAF_BITS;
		leaf_link(t, l);
	}
	if (addr & 8 && !l->odd) {
		l->odd = reserve(LEAF_GRANULES * sizeof(*l->odd));
		if (!l->odd)
			return NULL;
	}
	return l;
}

static struct page *page_of(const struct leaf *l, uint64_t addr)
{
	return &l->pages[addr >> PAGE_BITS & (LEAF_PAGES - 1)];
}

static void want_huge(const struct leaf *l)
{
	want_huge_pages(l->even, LEAF_GRANULES * sizeof(*l->even));
	want_huge_pages(l->pages, LEAF_PAGES * sizeof(*l->pages));
	if (l->odd)
		want_huge_pages(l->odd, LEAF_GRANULES * sizeof(*l->odd));
}

static void block_use(struct leaf *l, uint32_t block)
{
	l->used[block / 64] |= 1ull << block % 64;
	if (++l->nr_used == HUGE_BLOCKS)
		want_huge(l);
}

static struct page *page_use(struct leaf *l, uint64_t addr)
{
	uint32_t block = (addr >> PAGE_BITS & (LEAF_PAGES - 1)) / BLOCK_PAGES;
	struct page *p = page_of(l, addr);

	if (p->in_use)
		return p;
	if (!block_used(l, block))
		block_use(l, block);
	p->in_use = true;
	return p;
}

/* The same within the leaf of addr, or where the leaf ends. */
static uint64_t next_in_leaf(const struct leaf *l, uint64_t addr)
{
	uint32_t block = (addr >> PAGE_BITS & (LEAF_PAGES - 1)) / BLOCK_PAGES;

	if (block_used(l, block))
		return addr;
	do {
		block += l->used[block / 64] ? 1 : 64 - block % 64;
	} while (block < LEAF_BLOCKS && !block_used(l, block));
	return (l->number << LEAF_BITS) + block * BLOCK_PAGES * PAGE;
}

static const struct leaf *leaf_from(const struct chunk_table *t, uint64_t addr)
{
	const struct leaf *l = leaf_of(t, addr);

	if (l)
		return l;
	l = t->first_leaf;
	while (l && l->number < addr >> LEAF_BITS)
		l = l->next;
	return l;
}

/*
 * The first page at or above addr, below end, that may ever have been used;
 * end when there is none.
 */
static uint64_t next_used(const struct chunk_table *t, uint64_t addr,
			  uint64_t end)
{
	const struct leaf *l = leaf_from(t, addr);

	for (; l && addr < end; l = l->next) {
		if (addr >> LEAF_BITS < l->number)
			addr = l->number << LEAF_BITS;
		addr = next_in_leaf(l, addr);
		if (addr >> LEAF_BITS == l->number)
			return addr < end ? addr : end;
	}
	return end;
}

/* --- the shadow */

static uint32_t *slot(const struct leaf *l, uint64_t addr)
{
	uint64_t granule = addr >> 4 & (LEAF_GRANULES - 1);

	return addr & 8 ? &l->odd[granule] : &l->even[granule];
}

static uint32_t living(uint32_t number)
{
	return number & DEAD ? 0 : number;
}

/* What the slot of addr holds; 0 when it has none. */
static uint32_t slot_value(const struct chunk_table *t, uint64_t addr)
{
	const struct leaf *l = leaf_of(t, addr);

	if (!l || addr & 7 || (addr & 8 && !l->odd))
		return 0;
	return *slot(l, addr);
}

static uint32_t start_at(const struct chunk_table *t, uint64_t addr)
{
	return living(slot_value(t, addr));
}

static uint32_t even_at(const struct leaf *l, uint64_t addr)
{
	return living(l->even[addr >> 4 & (LEAF_GRANULES - 1)]);
}

static uint32_t odd_at(const struct leaf *l, uint64_t addr)
{
	return l->odd ? living(l->odd[addr >> 4 & (LEAF_GRANULES - 1)]) : 0;
}

/* In the granule of addr: the last chunk that starts at or below addr. */
static uint32_t last_in_granule(const struct leaf *l, uint64_t addr)
{
	uint32_t odd = addr & 8 ? odd_at(l, addr) : 0;

	return odd ? odd : even_at(l, addr);
}

static uint32_t first_in_granule(const struct leaf *l, uint64_t addr)
{
	uint32_t even = addr & 15 ? 0 : even_at(l, addr);

	return even || (addr & 15) > 8 ? even : odd_at(l, addr);
}

/* On the page of addr: the last chunk that starts at or below addr, or 0. */
static uint32_t last_on_page(const struct leaf *l, uint64_t addr)
{
	const struct page *p = page_of(l, addr);
	int granule = addr >> 4 & 255;
	uint64_t base = addr & ~(PAGE - 1);

	for (int w = granule / 64; w >= 0; w--) {
		uint64_t bits = p->covered[w];

		if (w == granule / 64)
			bits &= ~0ull >> (63 - granule % 64);
		while (bits) {
			int b = 63 - __builtin_clzll(bits);
			uint64_t last = base + (w * 64 + b) * 16 + 15;
			uint32_t nr =
				last_in_granule(l, last < addr ? last : addr);

			if (nr)
				return nr;
			bits &= ~(1ull << b);
		}
	}
	return 0;
}

/* On the page of addr: the first chunk that starts at or above addr, or 0. */
static uint32_t first_on_page(const struct leaf *l, uint64_t addr)
{
	const struct page *p = page_of(l, addr);
	int granule = addr >> 4 & 255;
	uint64_t base = addr & ~(PAGE - 1);

	for (int w = granule / 64; w < 4; w++) {
		uint64_t bits = p->covered[w];

		if (w == granule / 64)
			bits &= ~0ull << granule % 64;
		while (bits) {
			int b = __builtin_ctzll(bits);
			uint64_t first = base + (w * 64 + b) * 16;
			uint32_t nr = first_in_granule(l, first > addr ? first :
									 addr);

			if (nr)
				return nr;
			bits &= bits - 1;
		}
	}
	return 0;
}

/* The first chunk that starts in [addr, end), or 0. */
static uint32_t first_start(const struct chunk_table *t, uint64_t addr,
			    uint64_t end)
{
	while ((addr = next_used(t, addr, end)) < end) {
		const struct leaf *l = leaf_of(t, addr);

		if (page_of(l, addr)->nr_starts) {
			uint32_t nr = first_on_page(l, addr);

			if (nr)
				return t->pool.chunks[nr].addr < end ? nr : 0;
		}
		addr = (addr | (PAGE - 1)) + 1;
	}
	return 0;
}

/* --- large chunks */

static uint64_t page_after(uint64_t addr)
{
	return (addr | (PAGE - 1)) + 1;
}

/* The whole pages behind the one on which a chunk starts: how many there are. */
static uint64_t whole_pages(uint64_t addr, uint64_t size)
{
	uint64_t first = page_after(addr), end = addr + size;

	return end > first ? (end - first) >> PAGE_BITS : 0;
}

static bool is_large(const struct chunk *c)
{
	return whole_pages(c->addr, c->size) >= LARGE_PAGES;
}

/* The index of the first large chunk whose whole pages end above addr. */
static size_t large_lower(const struct chunk_table *t, uint64_t addr)
{
	size_t lo = 0, hi = t->nr_large;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->large[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static uint32_t large_at(const struct chunk_table *t, uint64_t addr)
{
	size_t i = large_lower(t, addr);

	return i < t->nr_large && t->large[i].start <= addr ? t->large[i].nr :
							      0;
}

static int large_reserve(struct chunk_table *t)
{
	size_t cap = t->cap_large ? 2 * t->cap_large : 16;
	struct large *l;

	if (t->nr_large < t->cap_large)
		return 0;
	l = realloc(t->large, cap * sizeof(*l));
	if (!l)
		return -ENOMEM;
	t->large = l;
	t->cap_large = cap;
	return 0;
}

static void large_add(struct chunk_table *t, const struct chunk *c, uint32_t nr)
{
	uint64_t start = page_after(c->addr);
	uint64_t end = start + (whole_pages(c->addr, c->size) << PAGE_BITS);
	size_t i = large_lower(t, start);

	memmove(&t->large[i + 1], &t->large[i],
		(t->nr_large - i) * sizeof(*t->large));
	t->large[i] = (struct large){ start, end, nr };
	t->nr_large++;
}

static void large_del(struct chunk_table *t, const struct chunk *c)
{
	size_t i = large_lower(t, page_after(c->addr));

	t->nr_large--;
	memmove(&t->large[i], &t->large[i + 1],
		(t->nr_large - i) * sizeof(*t->large));
}

/* --- bytes on pages */

/* One past the last byte that belongs to a chunk; a chunk of size 0 has one. */
static uint64_t chunk_end(const struct chunk *c)
{
	return c->addr + (c->size ? c->size : 1);
}

/* Of the bits that stand for granules [from, to] of a page: those of word w. */
static uint64_t word_mask(unsigned int from, unsigned int to, unsigned int w)
{
	uint64_t mask = ~0ull;

	if (w == from / 64)
		mask &= ~0ull << from % 64;
	if (w == to / 64)
		mask &= ~0ull >> (63 - to % 64);
	return mask;
}

/* Of granules [addr, end): the last one that lies on the page of addr. */
static unsigned int last_granule(uint64_t addr, uint64_t end)
{
	uint64_t last = end - 1;

	return last >> PAGE_BITS == addr >> PAGE_BITS ? last >> 4 & 255 : 255;
}

/* On the page of addr: the granules of [addr, end), as far as they lie on it. */
static void cover_granules(struct page *p, uint64_t addr, uint64_t end,
			   bool live)
{
	unsigned int from = addr >> 4 & 255, to = last_granule(addr, end);

	for (unsigned int w = from / 64; w <= to / 64; w++) {
		if (live)
			p->covered[w] |= word_mask(from, to, w);
		else
			p->covered[w] &= ~word_mask(from, to, w);
	}
}

/* Does a chunk have a byte in a granule of these? */
static bool any_covered(const struct page *p, uint64_t addr, uint64_t end)
{
	unsigned int from = addr >> 4 & 255, to = last_granule(addr, end);

	for (unsigned int w = from / 64; w <= to / 64; w++) {
		if (p->covered[w] & word_mask(from, to, w))
			return true;
	}
	return false;
}

/* The page on which a chunk starts, when `live`; else as if the chunk were not. */
static void cover_first(struct chunk_table *t, uint64_t addr, uint64_t size,
			bool live)
{
	struct page *p = page_use(leaf_of(t, addr), addr);
	uint64_t room = page_after(addr) - addr;
	uint64_t here = size < room ? size : room;

	p->bytes += live ? here : -here;
	cover_granules(p, addr, addr + size + !size, live);
}

/* The same for pages that it reaches into from before. */
static void cover_rest(struct chunk_table *t, uint64_t at, uint64_t end,
		       bool live)
{
	for (; at < end; at += PAGE) {
		struct page *p = page_use(leaf_of(t, at), at);
		uint64_t here = end - at < PAGE ? end - at : PAGE;

		p->into = live ? here : 0;
		p->bytes += live ? here : -here;
		cover_granules(p, at, end, live);
	}
}

/* All of its pages but those that are large_add()'s. */
static void cover(struct chunk_table *t, uint64_t addr, uint64_t size,
		  bool live)
{
	uint64_t at = page_after(addr), whole = whole_pages(addr, size);

	cover_first(t, addr, size, live);
	if (whole >= LARGE_PAGES)
		at += whole << PAGE_BITS;
	cover_rest(t, at, addr + size, live);
}

/* --- finding */

/* The chunk that reaches into the page of addr from an earlier page. */
static uint32_t reaching_into(const struct chunk_table *t, uint64_t addr)
{
	for (addr &= ~(PAGE - 1); addr; addr -= PAGE) {
		const struct leaf *l = leaf_of(t, addr - 1);
		uint32_t nr = large_at(t, addr - 1);

		if (!nr && l)
			nr = last_on_page(l, addr - 1);
		if (nr)
			return nr;
	}
	return 0;
}

static uint32_t find(const struct chunk_table *t, uint64_t addr)
{
	const struct leaf *l = leaf_of(t, addr);
	uint32_t nr;

	if (l && any_covered(page_of(l, addr), addr, addr + 1)) {
		nr = page_of(l, addr)->nr_starts ? last_on_page(l, addr) : 0;
		if (nr)
			return addr < chunk_end(&t->pool.chunks[nr]) ? nr : 0;
		if ((addr & (PAGE - 1)) < page_of(l, addr)->into)
			return reaching_into(t, addr);
	}
	return t->nr_large ? large_at(t, addr) : 0;
}

/* The whole pages of a large chunk in [addr, end)? */
static bool large_in(const struct chunk_table *t, uint64_t addr, uint64_t end)
{
	size_t i;

	if (!t->nr_large || end <= t->large[0].start ||
	    addr >= t->large[t->nr_large - 1].end)
		return false;
	i = large_lower(t, addr);
	return i < t->nr_large && t->large[i].start < end;
}

/* On few pages of one leaf, which need no more than a look at each of them. */
static bool is_handy(uint64_t addr, uint64_t size)
{
	return size < LARGE_PAGES * PAGE &&
	       addr >> LEAF_BITS == (addr + size) >> LEAF_BITS;
}

/* The common case: a chunk among others, and in nobody's way. */
static bool surely_free(const struct chunk_table *t, uint64_t addr,
			uint64_t end)
{
	const struct leaf *l = leaf_of(t, addr);

	if (!l || !is_handy(addr, end - addr) || large_in(t, addr, end))
		return false;
	for (; addr < end; addr = page_after(addr)) {
		if (any_covered(page_of(l, addr), addr, end))
			return false;
	}
	return true;
}

/* A live chunk that overlaps [addr, end), or 0. */
static uint32_t overlapping(const struct chunk_table *t, uint64_t addr,
			    uint64_t end)
{
	uint32_t nr;

	if (surely_free(t, addr, end))
		return 0;
	nr = find(t, addr);
	return nr ? nr : first_start(t, addr, end);
}

/* --- the packed form */

static size_t packed_lower(const struct chunk_table *t, uint64_t addr)
{
	size_t lo = 0, hi = t->total.chunks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->packed[mid].addr >= addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static const struct chunk *packed_next(const struct chunk_table *t,
				       uint64_t addr, uint64_t end)
{
	size_t i = packed_lower(t, addr);

	return i < t->total.chunks && t->packed[i].addr < end ? &t->packed[i] :
								NULL;
}

static const struct chunk *packed_find(const struct chunk_table *t,
				       uint64_t addr)
{
	size_t i = packed_lower(t, addr + 1);

	return i && addr < chunk_end(&t->packed[i - 1]) ? &t->packed[i - 1] :
							  NULL;
}

static struct chunk_sum packed_range(const struct chunk_table *t, uint64_t lo,
				     uint64_t hi)
{
	size_t i = packed_lower(t, lo);
	struct chunk_sum sum = { 0, 0 };

	if (i && t->packed[i - 1].addr + t->packed[i - 1].size > lo)
		i--;
	for (; i < t->total.chunks && t->packed[i].addr < hi; i++) {
		const struct chunk *c = &t->packed[i];
		uint64_t from = c->addr > lo ? c->addr : lo;
		uint64_t to = c->addr + c->size < hi ? c->addr + c->size : hi;

		sum.chunks += c->addr >= lo;
		sum.bytes += to - from;
	}
	return sum;
}

/* All live chunks, sorted. */
static struct chunk *pack(const struct chunk_table *t)
{
	struct chunk *all = malloc((t->total.chunks + 1) * sizeof(*all));
	uint64_t addr = 0, end = 1ull << ADDR_BITS;
	size_t n = 0;
	uint32_t nr;

	if (!all)
		return NULL;
	if (t->packed) {
		memcpy(all, t->packed, t->total.chunks * sizeof(*all));
		return all;
	}
	while ((nr = first_start(t, addr, end))) {
		all[n++] = t->pool.chunks[nr];
		addr = chunk_end(&t->pool.chunks[nr]);
	}
	return all;
}

static void drop_leaves(struct chunk_table *t)
{
	while (t->first_leaf) {
		struct leaf *l = t->first_leaf;

		t->first_leaf = l->next;
		t->leaves[l->number] = NULL;
		leaf_drop(l);
	}
	if (spare.leaves)
		unreserve(t->leaves, LEAVES * sizeof(*t->leaves));
	else
		spare.leaves = t->leaves;
}

static void drop_pool(struct chunk_table *t)
{
	if (spare.pool.cap || !pool_reset(&t->pool))
		pool_destroy(&t->pool);
	else
		spare.pool = t->pool;
}

static void drop_shadow(struct chunk_table *t)
{
	drop_leaves(t);
	drop_pool(t);
	free(t->large);
	t->leaves = NULL;
	t->pool = (struct pool){ 0 };
	t->large = NULL;
	t->nr_large = t->cap_large = 0;
}

static int unpack(struct chunk_table *t)
{
	struct chunk_table fresh = { .leaves = spare.leaves,
				     .pool = spare.pool };
	int ret = 0;

	if (!fresh.leaves)
		fresh.leaves = reserve(LEAVES * sizeof(*fresh.leaves));
	if (!fresh.leaves)
		return -ENOMEM;
	spare.leaves = NULL;
	spare.pool = (struct pool){ 0 };
	for (size_t i = 0; i < t->total.chunks && !ret; i++)
		ret = chunk_insert(&fresh, &t->packed[i]);
	if (ret) {
		drop_shadow(&fresh);
		return ret;
	}
	free(t->packed);
	fresh.peak = t->peak;
	*t = fresh;
	return 0;
}

int chunk_table_pack(struct chunk_table *t)
{
	struct chunk *all;

	if (t->packed)
		return 0;
	all = pack(t);
	if (!all)
		return -ENOMEM;
	drop_shadow(t);
	t->packed = all;
	return 0;
}

/* --- what others call */

struct chunk_table *chunk_table_new(void)
{
	struct chunk_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->packed = malloc(sizeof(*t->packed));
	if (t->packed)
		return t;
	free(t);
	return NULL;
}

struct chunk_table *chunk_table_clone(const struct chunk_table *t)
{
	struct chunk_table *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->packed = pack(t);
	c->total = t->total;
	c->peak = t->total.bytes;
	if (c->packed)
		return c;
	free(c);
	return NULL;
}

void chunk_table_free(struct chunk_table *t)
{
	if (!t)
		return;
	drop_shadow(t);
	free(t->packed);
	free(t);
}

static bool addr_valid(uint64_t addr, uint64_t size)
{
	uint64_t limit = 1ull << ADDR_BITS;

	return addr && !(addr & 7) && addr < limit && size <= limit - addr;
}

/* A stamp in what a slot has room for: microseconds, which wrap after 18 minutes. */
static uint32_t death_mark(uint64_t ts)
{
	return DEAD | ((uint32_t)(ts >> 10) & (CROSSED - 1));
}

/* The same of a chunk that dies now. */
static inline uint32_t mark_of(const struct chunk *c, uint32_t mark,
			       uint64_t ts, uint32_t tid)
{
	return c->ts == ts && c->tid != tid ? mark | CROSSED : mark;
}

static void add_to_total(struct chunk_table *t, uint64_t bytes)
{
	t->total.chunks++;
	t->total.bytes += bytes;
	if (t->total.bytes > t->peak)
		t->peak = t->total.bytes;
}

/*
 * The quick way of chunk_run(), for handy chunks. What it does is what chunk_insert()
 * and chunk_die() do then, with all that it needs at hand.
 *
 * Most are small: they end on their page, a page that is in use, and their granules
 * are QUICK_BYTES of bits at most, wherever they begin in a byte; the 8 bytes from
 * there on are the page's own. For these cover() is dear.
 *
 * Where a chunk starts at 8 mod 16 its granule may be another one's as well. Those
 * that allocators have are tiny, as are their neighbours: of 8 bytes at most. What
 * is not, on a page with such, has no quick way, unless its granules are free.
 */
#define QUICK_BYTES ((64 - 7) * 16)
#define TINY_BYTES 8

_Static_assert(sizeof(struct page) >= 32 + 7, "8 bytes at each of covered[]");

struct quick {
	uint32_t *even, *odd;
	struct page *pages;
	struct chunk *chunks;
	uint64_t large_start, large_bytes; /* where large chunks may lie */
	uint32_t free, used, cap; /* of the pool */
	uint64_t nr, bytes, peak;
};

static struct quick quick_begin(const struct chunk_table *t,
				const struct leaf *l)
{
	struct quick q = { .even = l->even,
			   .odd = l->odd,
			   .pages = l->pages,
			   .chunks = t->pool.chunks,
			   .free = t->pool.free,
			   .used = t->pool.used,
			   .cap = t->pool.cap,
			   .nr = t->total.chunks,
			   .bytes = t->total.bytes,
			   .peak = t->peak };

	if (t->nr_large) {
		q.large_start = t->large[0].start;
		q.large_bytes = t->large[t->nr_large - 1].end - q.large_start;
	}
	return q;
}

static void quick_end(struct chunk_table *t, const struct quick *q)
{
	t->pool.free = q->free;
	t->pool.used = q->used;
	t->total.chunks = q->nr;
	t->total.bytes = q->bytes;
	t->peak = q->peak;
}

static inline uint64_t get_bits(const struct page *p, unsigned int from)
{
	uint64_t bits;

	memcpy(&bits, (const char *)p->covered + from / 8, sizeof(bits));
	return bits;
}

static inline void put_bits(struct page *p, unsigned int from, uint64_t bits)
{
	memcpy((char *)p->covered + from / 8, &bits, sizeof(bits));
}

static inline unsigned int granules(uint64_t size)
{
	return (unsigned int)((size + 15) >> 4) + !size;
}

static inline uint64_t granule_mask(unsigned int from, unsigned int nr)
{
	return ~(~0ull << nr) << from % 8;
}

static inline bool is_small(uint64_t addr, uint64_t size)
{
	return size <= QUICK_BYTES && (addr >> 4 & 255) + granules(size) <= 256;
}

/* Its bytes and granules, when it is in nobody's way. */
static inline bool small_birth(const struct chunk_table *t,
			       const struct quick *q, struct page *p,
			       uint64_t addr, uint64_t size)
{
	unsigned int from = addr >> 4 & 255;
	uint64_t mask = granule_mask(from, granules(size));
	uint64_t bits = get_bits(p, from);

	if (bits & mask || (addr - q->large_start < q->large_bytes &&
			    large_in(t, addr, addr + 1)))
		return false;
	put_bits(p, from, bits | mask);
	p->bytes += size;
	return true;
}

/* From an earlier granule into that of addr? 1, 0; -1: that takes a search. */
static int tiny_reaches(const struct chunk_table *t, const struct leaf *l,
			const struct page *p, uint64_t addr)
{
	uint64_t start = addr & ~15ull, before = start - 16;
	unsigned int granule = before >> 4 & 255;
	uint32_t nr;

	if (!(start & (PAGE - 1)))
		return p->into ? -1 : 0;
	if (!(p->covered[granule / 64] >> granule % 64 & 1))
		return 0;
	nr = last_in_granule(l, before | 8);
	return nr ? chunk_end(&t->pool.chunks[nr]) > start : -1;
}

/*
 * Of a tiny one: its bytes, when it is in nobody's way, although another one has its
 * granule as well. Not inline: the registers are for the others.
 */
static __attribute__((noinline)) bool tiny_birth(const struct chunk_table *t,
						 struct page *p, uint64_t addr,
						 uint64_t size)
{
	const struct leaf *l = leaf_of(t, addr);
	uint32_t other = addr & 8 ? even_at(l, addr) : odd_at(l, addr);

	if (!other || living(*slot(l, addr)))
		return false;
	if (addr & 8 ? chunk_end(&t->pool.chunks[other]) > addr :
		       tiny_reaches(t, l, p, addr))
		return false;
	p->bytes += size;
	return true;
}

/*
 * The same for one that is not small, or the first on its page. Not inline, as its
 * death: the registers are for the small ones.
 */
static __attribute__((noinline)) bool wide_birth(struct chunk_table *t,
						 uint64_t addr, uint64_t size)
{
	if (!surely_free(t, addr, addr + size + !size))
		return false;
	cover(t, addr, size, true);
	return true;
}

/* The pool has one, as the caller knows. */
static inline uint32_t quick_number(struct quick *q)
{
	uint32_t nr = q->free;

	if (!nr)
		return q->used++;
	q->free = q->chunks[nr].tid;
	return nr;
}

static inline uint32_t *quick_slot(const struct quick *q, uint64_t addr,
				   bool mixed)
{
	uint64_t granule = addr >> 4 & (LEAF_GRANULES - 1);

	return mixed && addr & 8 ? &q->odd[granule] : &q->even[granule];
}

static __always_inline bool quick_birth(struct chunk_table *t, struct quick *q,
					const struct call_run *r,
					const struct call_brief *c, bool mixed)
{
	struct page *p = &q->pages[c->addr >> PAGE_BITS & (LEAF_PAGES - 1)];
	bool full = !q->free && q->used >= q->cap;
	bool odd = mixed && c->addr & 8;
	uint32_t nr;

	if (full)
		return false;
	if (odd && (c->size > TINY_BYTES || !p->in_use))
		return false;
	if (mixed && (odd || p->nr_odd) && c->size <= TINY_BYTES &&
	    any_covered(p, c->addr, c->addr + 1)) {
		if (!tiny_birth(t, p, c->addr, c->size))
			return false;
	} else if (!(p->in_use && is_small(c->addr, c->size) ?
			     small_birth(t, q, p, c->addr, c->size) :
			     wide_birth(t, c->addr, c->size))) {
		return false;
	}
	p->nr_odd += odd;
	nr = quick_number(q);
	p->nr_starts++;
	*quick_slot(q, c->addr, mixed) = nr;
	q->chunks[nr] = (struct chunk){ .addr = c->addr,
					.size = c->size,
					.ts = r->ts,
					.caller = c->caller,
					.tid = r->tid,
					.op = (enum call_op)c->op };
	q->nr++;
	q->bytes += c->size;
	if (q->bytes > q->peak)
		q->peak = q->bytes;
	return true;
}

static inline void small_death(struct page *p, uint64_t addr, uint64_t size)
{
	unsigned int from = addr >> 4 & 255;

	put_bits(p, from,
		 get_bits(p, from) & ~granule_mask(from, granules(size)));
	p->bytes -= size;
}

static __attribute__((noinline)) bool tiny_death(const struct chunk_table *t,
						 struct page *p, uint64_t addr,
						 uint64_t size)
{
	const struct leaf *l = leaf_of(t, addr);
	int reaches = 1;

	if (size > TINY_BYTES)
		return false;
	if (!(addr & 8 ? even_at(l, addr) : odd_at(l, addr)))
		reaches = addr & 8 ? tiny_reaches(t, l, p, addr) : 0;
	if (reaches < 0)
		return false;
	if (!reaches)
		cover_granules(p, addr, addr + 1, false);
	p->bytes -= size;
	return true;
}

/* Its last granule may be another one's as well, where one starts at 8 mod 16. */
static __attribute__((noinline)) bool wide_death(struct chunk_table *t,
						 uint64_t addr, uint64_t size)
{
	if (!is_handy(addr, size) ||
	    page_of(leaf_of(t, addr), addr + size - 1)->nr_odd)
		return false;
	cover(t, addr, size, false);
	return true;
}

/* *size: of the chunk that died; *old (may be NULL): all of it. */
static __always_inline bool quick_death(struct chunk_table *t, struct quick *q,
					uint64_t addr, uint32_t mark,
					const struct call_run *crossed,
					uint64_t *size, struct chunk *old,
					bool mixed)
{
	struct page *p = &q->pages[addr >> PAGE_BITS & (LEAF_PAGES - 1)];
	uint32_t *at = quick_slot(q, addr, mixed);
	bool odd = mixed && addr & 8;
	uint32_t nr = living(*at);

	if (!nr)
		return false;
	*size = q->chunks[nr].size;
	if (odd || (mixed && p->nr_odd)) {
		if (!tiny_death(t, p, addr, *size))
			return false;
		p->nr_odd -= odd;
	} else if (is_small(addr, *size)) {
		small_death(p, addr, *size);
	} else if (!wide_death(t, addr, *size)) {
		return false;
	}
	if (old)
		*old = q->chunks[nr];
	p->nr_starts--;
	*at = crossed ?
		      mark_of(&q->chunks[nr], mark, crossed->ts, crossed->tid) :
		      mark;
	q->chunks[nr].tid = q->free;
	q->free = nr;
	q->nr--;
	q->bytes -= *size;
	return true;
}

/* Of many chunks few are in the caches: what is needed soon is asked for. */
static __always_inline void
prefetch_place(const uint32_t *even, const struct page *pages, uint64_t addr)
{
	const struct page *p = &pages[addr >> PAGE_BITS & (LEAF_PAGES - 1)];

	__builtin_prefetch(&even[addr >> 4 & (LEAF_GRANULES - 1)], 1);
	__builtin_prefetch(p, 1);
	__builtin_prefetch(&p->nr_starts,
			   1); /* half of them: on the next line */
}

static __always_inline void
prefetch_record(const uint32_t *even, const struct chunk *chunks, uint64_t addr)
{
	uint32_t nr = living(even[addr >> 4 & (LEAF_GRANULES - 1)]);

	__builtin_prefetch(&chunks[nr], 1);
	__builtin_prefetch(&chunks[nr].tid, 1);
}

/*
 * The same for those of another leaf than the one at hand. (With nothing in it but
 * prefetches the compiler takes it for pure, and drops it.)
 */
static __attribute__((noinline)) void
prefetch_elsewhere(const struct chunk_table *t, uint64_t far, uint64_t near)
{
	const struct leaf *l = leaf_of(t, far);

	if (l)
		prefetch_place(l->even, l->pages, far);
	l = leaf_of(t, near);
	if (l)
		prefetch_record(l->even, t->pool.chunks, near);
	__asm__ volatile("");
}

static __always_inline void quick_prefetch(const struct chunk_table *t,
					   const struct quick *q, uint64_t gib,
					   const struct call_brief *c,
					   size_t left)
{
	uint64_t far = c[2 * AHEAD < left ? 2 * AHEAD : 0].addr;
	uint64_t near = c[AHEAD < left ? AHEAD : 0].addr;

	if (far >> LEAF_BITS == gib && near >> LEAF_BITS == gib) {
		prefetch_place(q->even, q->pages, far);
		prefetch_record(q->even, q->chunks, near);
	} else {
		prefetch_elsewhere(t, far, near);
	}
}

static inline bool quick_address(uint64_t addr, uint64_t gib, bool mixed)
{
	uint64_t step = mixed ? 8 : 16;

	return addr &&
	       (addr & ~((1ull << LEAF_BITS) - step)) == gib << LEAF_BITS;
}

/* The stack that an allocation names is where it is counted now. False: it cannot be. */
static inline bool quick_stack(struct chunk_run *run, uint64_t caller)
{
	if (!(caller & CALLER_STACK) || caller == run->stack)
		return true;
	run->tally = run->tally_of(run->ctx, caller);
	run->stack = run->tally ? caller : 0;
	return run->tally;
}

static __always_inline bool quick_alloc(struct chunk_table *t, struct quick *q,
					const struct call_run *r,
					const struct call_brief *c,
					struct chunk_run *run, bool mixed)
{
	if (!quick_stack(run, c->caller) || !quick_birth(t, q, r, c, mixed))
		return false;
	if (c->caller & CALLER_STACK) {
		run->tally->allocs++;
		run->tally->bytes += c->size;
	}
	return true;
}

/* As chunk_run(), for the calls from c on, as far as they are about the leaf. */
static __always_inline const struct call_brief *
run_in(struct chunk_table *t, const struct leaf *l, const struct call_run *r,
       const struct call_brief *c, struct chunk_run *run, bool mixed)
{
	const struct call_brief *end = r->calls + r->nr;
	struct op_tally *ops = run->ops;
	struct chunk *old = run->old;
	struct quick q = quick_begin(t, l);
	bool many = q.nr > PREFETCH_CHUNKS;
	const struct call_run *crossed = run->crossed ? r : NULL;
	uint32_t mark = death_mark(r->ts);

	for (; c < end; c++) {
		bool frees = c->phase == CALL_FREED && c->op == CALL_FREE;
		bool allocates = c->phase == CALL_ALLOC ||
				 (c->phase == CALL_REALLOC_RETURN && old);
		uint64_t size = c->size;

		if (c->op >= CALL_OP_MAX ||
		    (c->caller & CALLER_STACK && !allocates))
			break;
		if (frees && !c->addr) {
			ops[CALL_FREE].calls++;
			continue;
		}
		if (!quick_address(c->addr, l->number, mixed))
			break;
		if (many)
			quick_prefetch(t, &q, l->number, c, (size_t)(end - c));
		if (allocates) {
			if (!quick_alloc(t, &q, r, c, run, mixed))
				break;
			if (c->phase == CALL_REALLOC_RETURN)
				old->addr = 0;
		} else if (frees) {
			if (!quick_death(t, &q, c->addr, mark, crossed, &size,
					 NULL, mixed))
				break;
		} else {
			if (c->phase != CALL_REALLOC_ENTER || !old ||
			    !quick_death(t, &q, c->addr, mark, crossed, &size,
					 old, mixed))
				break;
			continue; /* counted when it returns */
		}
		ops[c->op].calls++;
		ops[c->op].bytes += size;
	}
	quick_end(t, &q);
	return c;
}

/* Each with its own code: where there are only even ones nothing is to be asked. */
static __attribute__((noinline)) const struct call_brief *
run_even(struct chunk_table *t, const struct leaf *l, const struct call_run *r,
	 const struct call_brief *c, struct chunk_run *run)
{
	return run_in(t, l, r, c, run, false);
}

static __attribute__((noinline)) const struct call_brief *
run_mixed(struct chunk_table *t, const struct leaf *l, const struct call_run *r,
	  const struct call_brief *c, struct chunk_run *run)
{
	return run_in(t, l, r, c, run, true);
}

size_t chunk_run(struct chunk_table *t, const struct call_run *calls, size_t i,
		 struct chunk_run *run)
{
	const struct call_brief *c = calls->calls + i;
	const struct call_brief *end = calls->calls + calls->nr;
	const struct call_brief *begin = NULL;

	while (!t->packed && c < end && c != begin) {
		const struct leaf *l = leaf_of(t, c->addr);

		if (!l)
			break;
		begin = c;
		c = l->odd ? run_mixed(t, l, calls, c, run) :
			     run_even(t, l, calls, c, run);
	}
	return (size_t)(c - calls->calls);
}

int chunk_insert(struct chunk_table *t, const struct chunk *c)
{
	struct leaf *l;
	uint32_t nr;

	if (!addr_valid(c->addr, c->size))
		return -EINVAL;
	if (t->packed && unpack(t))
		return -ENOMEM;
	if (overlapping(t, c->addr, chunk_end(c)))
		return -EEXIST;
	l = leaf_make(t, c->addr);
	if (!l || !leaf_make(t, (chunk_end(c) - 1) & ~15ull) ||
	    (is_large(c) && large_reserve(t)))
		return -ENOMEM;
	nr = pool_take(&t->pool);
	if (!nr)
		return -ENOMEM;
	t->pool.chunks[nr] = *c;
	*slot(l, c->addr) = nr;
	page_of(l, c->addr)->nr_starts++;
	page_of(l, c->addr)->nr_odd += c->addr >> 3 & 1;
	cover(t, c->addr, c->size, true);
	if (is_large(c))
		large_add(t, c, nr);
	add_to_total(t, c->size);
	return 0;
}

/* The granule of addr has a byte of a chunk if one starts in it, or before. */
static void mend_granule(struct chunk_table *t, uint64_t addr)
{
	struct leaf *l = leaf_of(t, addr);
	uint64_t from = addr & ~15ull;
	uint32_t nr = 0;

	if (!l->odd)
		return;
	if (!even_at(l, from) && !odd_at(l, from)) {
		nr = from & (PAGE - 1) ? last_on_page(l, from - 1) : 0;
		if (!nr && (from & (PAGE - 1)) < page_of(l, from)->into)
			nr = reaching_into(t, from);
		if (!nr || chunk_end(&t->pool.chunks[nr]) <= from)
			return;
	}
	cover_granules(page_of(l, from), from, from + 16, true);
}

/* A chunk is gone: its first and its last granule may be another one's as well. */
static void mend_shared(struct chunk_table *t, const struct chunk *c)
{
	mend_granule(t, c->addr);
	mend_granule(t, chunk_end(c) - 1);
}

int chunk_remove(struct chunk_table *t, uint64_t addr, struct chunk *old)
{
	const struct chunk *c;
	struct leaf *l;
	uint32_t nr;

	if (t->packed && unpack(t))
		return -ENOMEM;
	nr = start_at(t, addr);
	if (!nr)
		return -ENOENT;
	c = &t->pool.chunks[nr];
	if (old)
		*old = *c;
	l = leaf_of(t, addr);
	*slot(l, addr) = 0;
	page_of(l, addr)->nr_starts--;
	page_of(l, addr)->nr_odd -= addr >> 3 & 1;
	cover(t, addr, c->size, false);
	if (is_large(c))
		large_del(t, c);
	mend_shared(t, c);
	t->total.chunks--;
	t->total.bytes -= c->size;
	pool_give(&t->pool, nr);
	return 0;
}

int chunk_die(struct chunk_table *t, uint64_t addr, uint64_t ts, uint32_t tid,
	      struct chunk *old)
{
	struct chunk c;
	int ret = chunk_remove(t, addr, &c);

	if (ret)
		return ret;
	*slot(leaf_of(t, addr), addr) = mark_of(&c, death_mark(ts), ts, tid);
	if (old)
		*old = c;
	return 0;
}

void chunk_mark_died(struct chunk_table *t, uint64_t addr, uint64_t ts,
		     bool crossed)
{
	struct leaf *l = t->packed || !addr_valid(addr, 0) ? NULL :
							     leaf_make(t, addr);

	if (!l || living(*slot(l, addr)))
		return;
	page_use(l, addr);
	*slot(l, addr) = death_mark(ts) | (crossed ? CROSSED : 0);
}

bool chunk_died(const struct chunk_table *t, uint64_t addr, uint64_t from,
		uint64_t to)
{
	uint32_t mark = t->packed ? 0 : slot_value(t, addr);
	uint32_t first = death_mark(from);

	return mark & DEAD &&
	       ((mark - first) & (CROSSED - 1)) <=
		       ((death_mark(to) - first) & (CROSSED - 1));
}

bool chunk_crossed(const struct chunk_table *t, uint64_t addr)
{
	uint32_t mark = t->packed ? 0 : slot_value(t, addr);

	return mark & DEAD && mark & CROSSED;
}

static int found(const struct chunk *from, struct chunk *c)
{
	if (!from)
		return -ENOENT;
	if (c)
		*c = *from;
	return 0;
}

static const struct chunk *by_number(const struct chunk_table *t, uint32_t nr)
{
	return nr ? &t->pool.chunks[nr] : NULL;
}

int chunk_get(const struct chunk_table *t, uint64_t addr, struct chunk *c)
{
	if (t->packed)
		return found(packed_next(t, addr, addr + 1), c);
	return found(by_number(t, start_at(t, addr)), c);
}

int chunk_find(const struct chunk_table *t, uint64_t addr, struct chunk *c)
{
	if (t->packed)
		return found(packed_find(t, addr), c);
	return found(by_number(t, find(t, addr)), c);
}

static uint64_t clamp(uint64_t addr)
{
	return addr < 1ull << ADDR_BITS ? addr : 1ull << ADDR_BITS;
}

int chunk_next(const struct chunk_table *t, uint64_t addr, uint64_t end,
	       struct chunk *c)
{
	if (t->packed)
		return found(packed_next(t, addr, end), c);
	return found(by_number(t, first_start(t, addr, clamp(end))), c);
}

int chunk_overlap(const struct chunk_table *t, uint64_t addr, uint64_t size,
		  struct chunk *c)
{
	uint64_t end;

	if (!addr_valid(addr, size))
		return -ENOENT;
	end = addr + (size ? size : 1);
	if (t->packed)
		return found(packed_find(t, addr), c) == 0 ?
			       0 :
			       found(packed_next(t, addr, end), c);
	return found(by_number(t, overlapping(t, addr, end)), c);
}

struct chunk_sum chunk_total(const struct chunk_table *t)
{
	return t->total;
}

uint64_t chunk_peak(const struct chunk_table *t)
{
	return t->peak;
}

static uint64_t large_bytes(const struct chunk_table *t, uint64_t lo,
			    uint64_t hi)
{
	uint64_t bytes = 0;

	for (size_t i = large_lower(t, lo); i < t->nr_large; i++) {
		const struct large *l = &t->large[i];

		if (l->start >= hi)
			break;
		bytes += (l->end < hi ? l->end : hi) -
			 (l->start > lo ? l->start : lo);
	}
	return bytes;
}

struct chunk_sum chunk_range(const struct chunk_table *t, uint64_t lo,
			     uint64_t hi)
{
	struct chunk_sum sum = { 0, 0 };

	if (t->packed)
		return packed_range(t, lo, hi);
	hi = clamp(hi);
	for (uint64_t at = lo; (at = next_used(t, at, hi)) < hi; at += PAGE) {
		const struct page *p = page_of(leaf_of(t, at), at);

		sum.chunks += p->nr_starts;
		sum.bytes += p->bytes;
	}
	sum.bytes += large_bytes(t, lo, hi);
	return sum;
}

unsigned int chunk_page_bytes(const struct chunk_table *t, uint64_t addr)
{
	const struct leaf *l;

	addr &= ~(PAGE - 1);
	if (t->packed)
		return packed_range(t, addr, addr + PAGE).bytes;
	l = leaf_of(t, addr);
	if (l && page_of(l, addr)->bytes)
		return page_of(l, addr)->bytes;
	return large_at(t, addr) ? PAGE : 0;
}

/* --- as bytes: packed */

static bool packed_sound(const struct chunk *c, size_t nr,
			 struct chunk_sum *total)
{
	uint64_t end = 0;

	*total = (struct chunk_sum){ .chunks = nr };
	for (size_t i = 0; i < nr; i++) {
		if (!addr_valid(c[i].addr, c[i].size) || c[i].addr < end ||
		    (unsigned int)c[i].op >= CALL_OP_MAX)
			return false;
		end = chunk_end(&c[i]);
		total->bytes += c[i].size;
	}
	return true;
}

static void chunk_table_save(struct archive *a, const struct chunk_table *t)
{
	struct chunk *all = t->packed ? t->packed : pack(t);
	size_t nr = t->total.chunks;
	uint64_t peak = t->peak;
	uint8_t packed = t->packed != NULL;

	if (!all) {
		archive_fail(a, -ENOMEM);
		return;
	}
	archive_array(a, (void **)&all, &nr, sizeof(*all));
	archive_raw(a, &peak, sizeof(peak));
	archive_raw(a, &packed, sizeof(packed));
	if (all != t->packed)
		free(all);
}

static struct chunk_table *chunk_table_load(struct archive *a)
{
	struct chunk_table *t = calloc(1, sizeof(*t));
	uint8_t packed = 1;
	size_t nr = 0;

	if (!t) {
		archive_fail(a, -ENOMEM);
		return NULL;
	}
	archive_array(a, (void **)&t->packed, &nr, sizeof(*t->packed));
	archive_raw(a, &t->peak, sizeof(t->peak));
	if (!a->err && (!packed_sound(t->packed, nr, &t->total) ||
			t->total.bytes > t->peak))
		archive_fail(a, -EINVAL);
	archive_raw(a, &packed, sizeof(packed));
	if (!a->err && !packed && unpack(t))
		archive_fail(a, -ENOMEM);
	if (!a->err)
		return t;
	chunk_table_free(t);
	return NULL;
}

void chunk_table_archive(struct archive *a, struct chunk_table **t)
{
	if (a->load)
		*t = chunk_table_load(a);
	else
		chunk_table_save(a, *t);
}

/* --- soundness */

static const char *check_order(const struct chunk_table *t)
{
	struct chunk c = { .addr = 0 };
	struct chunk_sum sum = { 0, 0 };
	uint64_t end = 0;

	while (chunk_next(t, c.addr + 1, 1ull << ADDR_BITS, &c) == 0) {
		if (!addr_valid(c.addr, c.size))
			return "chunk with an invalid address";
		if (c.addr < end)
			return "overlapping chunks";
		if (!t->packed &&
		    t->pool.chunks[start_at(t, c.addr)].addr != c.addr)
			return "the shadow points to another chunk";
		end = chunk_end(&c);
		sum.chunks++;
		sum.bytes += c.size;
	}
	if (sum.chunks != t->total.chunks || sum.bytes != t->total.bytes)
		return "total does not match the chunks";
	return NULL;
}

static const char *check_page(const struct chunk_table *t, uint64_t addr)
{
	const struct page *p = page_of(leaf_of(t, addr), addr);
	struct page covered = { .nr_starts = 0 };
	uint32_t before = addr ? find(t, addr - 1) : 0;
	uint64_t bytes = 0, into = 0, end;
	unsigned int nr = 0, nr_odd = 0;
	struct chunk c = { .addr = addr - 1 };

	if (large_at(t, addr))
		return p->bytes || p->into || p->nr_starts ||
				       any_covered(p, addr, addr + PAGE) ?
			       "a page inside of a large chunk was touched" :
			       NULL;
	if (before) {
		end = t->pool.chunks[before].addr + t->pool.chunks[before].size;
		into = end <= addr ? 0 : end - addr < PAGE ? end - addr : PAGE;
		bytes = into;
	}
	if (into)
		cover_granules(&covered, addr, addr + into, true);
	while (chunk_next(t, c.addr + 1, addr + PAGE, &c) == 0) {
		end = c.addr + c.size;
		bytes += (end < addr + PAGE ? end : addr + PAGE) - c.addr;
		cover_granules(&covered, c.addr, chunk_end(&c), true);
		nr++;
		nr_odd += c.addr >> 3 & 1;
	}
	if (p->into != into)
		return "page knows a wrong end of the chunk from before";
	if (p->nr_starts != nr || p->nr_odd != nr_odd)
		return "page has a wrong count of chunks";
	if (p->bytes != bytes)
		return "page has a wrong count of bytes";
	return memcmp(p->covered, covered.covered, sizeof(p->covered)) ?
		       "page has a wrong granule" :
		       NULL;
}

static const char *check_pool(const struct chunk_table *t)
{
	uint64_t nr = 0;

	for (uint32_t i = t->pool.free; i && nr <= t->pool.used; nr++)
		i = t->pool.chunks[i].tid;
	nr += t->total.chunks;
	return nr == (t->pool.used ? t->pool.used - 1 : 0) ? NULL :
							     "chunks leaked";
}

const char *chunk_table_check(const struct chunk_table *t)
{
	const char *why = check_order(t);
	uint64_t end = 1ull << ADDR_BITS;

	if (why || t->packed)
		return why;
	for (uint64_t at = 0; (at = next_used(t, at, end)) < end; at += PAGE) {
		why = check_page(t, at);
		if (why)
			return why;
	}
	return check_pool(t);
}
