// SPDX-License-Identifier: GPL-2.0
/*
 * Where glibc keeps main_arena and mp_, and how they are laid out.
 *
 * Both are static, so a stripped libc does not tell. But main_arena cannot hide:
 * an empty bin is a list head that points at itself, 127 of them in a row, and
 * `next` behind them leads through all arenas back to main_arena. Whatever says
 * where it is, symbol or search, it counts only when all of that holds.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ptmalloc_inside.h"

/*
 * struct malloc_state and struct malloc_par of x86-64, by the debug information
 * of Debian's glibc 2.31, 2.36, 2.41 and 2.43. Between them: safe-linking came
 * with 2.32, huge pages with 2.35 (malloc/malloc.c, malloc/arena.c), larger
 * thread caches with 2.42; fastbins went with 2.43.
 */
static const struct pt_state_layout states[] = {
	{ "2.31 to 2.42", 16, 96, 112, 2160, 2176, 2184, 2192, 2200 },
	{ "2.43", 0, 8, 24, 2072, 2088, 2096, 2104, 2112 },
};
#define NR_STATES (sizeof(states) / sizeof(states[0]))

static const struct pt_par_layout pars[] = {
	{ .glibc = "2.31 to 2.34",
	  .n_mmaps = 40,
	  .n_mmaps_max = 44,
	  .no_dyn = 52,
	  .mmapped_mem = 56,
	  .sbrk_base = 72,
	  .tcache_bins = 80,
	  .tcache_bytes = 88,
	  .tcache_count = 96,
	  .size = 112 },
	{ .glibc = "2.35 to 2.42",
	  .thp_pagesize = 40,
	  .hp_pagesize = 48,
	  .n_mmaps = 60,
	  .n_mmaps_max = 64,
	  .no_dyn = 72,
	  .mmapped_mem = 80,
	  .sbrk_base = 96,
	  .tcache_bins = 104,
	  .tcache_bytes = 112,
	  .tcache_count = 120,
	  .size = 136 },
	{ .glibc = "2.43",
	  .drifts = true,
	  .thp_pagesize = 48,
	  .hp_pagesize = 56,
	  .n_mmaps = 68,
	  .n_mmaps_max = 72,
	  .no_dyn = 80,
	  .mmapped_mem = 88,
	  .sbrk_base = 104,
	  .tcache_bins = 112,
	  .tcache_bytes = 120,
	  .tcache_count = 128,
	  .size = 144 },
};
#define NR_PARS (sizeof(pars) / sizeof(pars[0]))
#define PAR_MAX 144

const struct pt_range *pt_in(const struct pt_range *r, size_t nr, uint64_t addr,
			     uint64_t len)
{
	size_t lo = 0, hi = nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == nr || r[lo].start > addr || len > r[lo].end - addr)
		return NULL;
	return &r[lo];
}

int pt_peek(const struct pt_target *t, uint64_t addr, void *buf, size_t len)
{
	if (!pt_in(t->ranges, t->nr_ranges, addr, len))
		return -EFAULT;
	return t->mem.read(t->mem.ctx, addr, buf, len);
}

int pt_word(const struct pt_target *t, uint64_t addr, uint64_t *word)
{
	return pt_peek(t, addr, word, 8);
}

int pt_read_state(const struct pt_target *t, uint64_t addr,
		  const struct pt_state_layout *l, struct pt_state *s)
{
	s->addr = addr;
	s->layout = l;
	return pt_peek(t, addr, s->raw, l->size);
}

/* --- main_arena */

/* A bin that is not empty leads to a chunk that leads back. */
static bool bin_is_sound(const struct pt_target *t, const struct pt_state *s,
			 unsigned int i)
{
	const uint8_t *pair = s->raw + s->layout->bins + (i - 1) * 16;
	uint64_t fd = pt_u64(pair), bk = pt_u64(pair + 8);
	uint64_t bin = pt_bin(s, i), back, forth;

	if (fd == bin || bk == bin)
		return fd == bk;
	return !(fd & 15) && !(bk & 15) && !pt_word(t, fd + 24, &back) &&
	       !pt_word(t, bk + 16, &forth) && back == bin && forth == bin;
}

/* The process may be working on one while we read it. */
static bool bins_are_sound(const struct pt_target *t, const struct pt_state *s)
{
	unsigned int i, bad = 0;

	for (i = 1; i <= PT_BINS; i++)
		bad += !bin_is_sound(t, s, i);
	return bad <= 2;
}

/* An arena that is not the main one lies behind the heap_info that names it. */
static int heap_info_of(const struct pt_target *t, uint64_t arena,
			uint16_t *size)
{
	uint64_t owner;

	*size = arena & (PT_PAGE - 1);
	if (*size != 0x20 && *size != 0x30)
		return -EBADMSG;
	if (pt_word(t, arena - *size, &owner) || owner != arena)
		return -EBADMSG;
	return 0;
}

/* Through all arenas and back. *heap_info stays as it is where there is one only. */
static int check_ring(const struct pt_target *t, const struct pt_state *s,
		      uint16_t *heap_info)
{
	uint64_t next = pt_field(s, s->layout->next);
	unsigned int i;

	for (i = 0; next != s->addr; i++) {
		if (i == PT_HEAPS_MAX || heap_info_of(t, next, heap_info) ||
		    pt_word(t, next + s->layout->next, &next))
			return -EBADMSG;
	}
	return 0;
}

static bool top_is_sound(const struct pt_target *t, const struct pt_state *s)
{
	uint64_t top = pt_field(s, s->layout->top), head;

	if (top == pt_bin(s, 1))
		return true; /* initial_top(): nothing from the kernel yet */
	return !(top & 15) && !pt_word(t, top + 8, &head) &&
	       head & PT_PREV_INUSE && !((top + (head & ~7ull)) & 15);
}

static int check_main(const struct pt_target *t, uint64_t addr,
		      const struct pt_state_layout *l, struct pt_state *s,
		      uint16_t *heap_info)
{
	int err = pt_read_state(t, addr, l, s);

	if (err)
		return err;
	if (check_ring(t, s, heap_info) || !bins_are_sound(t, s) ||
	    !top_is_sound(t, s))
		return -EBADMSG;
	return 0;
}

/* Before the first malloc main_arena is all zeroes but for `next`. */
static bool is_untouched(const struct pt_state *s)
{
	const uint8_t *bins = s->raw + s->layout->bins;
	unsigned int i;

	for (i = 0; i < PT_BINS * 16; i++)
		if (bins[i])
			return false;
	return pt_field(s, s->layout->next) == s->addr &&
	       !pt_field(s, s->layout->top);
}

/* Worth a closer look? Its `next` is itself, or an arena's address. */
static bool may_be_main(uint64_t addr, uint64_t next)
{
	uint64_t low = next & (PT_PAGE - 1);

	return next == addr || (next > PT_PAGE && (low == 0x20 || low == 0x30));
}

/* All places of one range where main_arena could be. */
static int search_range(const struct pt_target *t, const struct pt_range *r,
			struct pt_state *s, uint16_t *heap_info,
			bool *untouched)
{
	uint64_t addr, next;
	size_t i;

	for (addr = (r->start + 15) & ~15ull; addr < r->end; addr += 16) {
		for (i = 0; i < NR_STATES; i++) {
			const struct pt_state_layout *l = &states[i];

			/* 32 byte alignment is usual, 16 is what malloc needs. */
			if (l->size > r->end - addr)
				continue;
			if (pt_word(t, addr + l->next, &next) ||
			    !may_be_main(addr, next))
				continue;
			if (!check_main(t, addr, l, s, heap_info))
				return 0;
			if (next == addr && !pt_read_state(t, addr, l, s))
				*untouched |= is_untouched(s);
		}
	}
	return -ENOENT;
}

static int by_symbol(const struct pt_target *t, struct pt_state *s,
		     uint16_t *heap_info, bool *untouched)
{
	size_t i;

	for (i = 0; t->main_arena && i < NR_STATES; i++) {
		if (!check_main(t, t->main_arena, &states[i], s, heap_info))
			return 0;
		if (!pt_read_state(t, t->main_arena, &states[i], s))
			*untouched |= is_untouched(s);
	}
	return -ENOENT;
}

int pt_find_main(const struct pt_target *t, struct pt_state *s, bool *symbol,
		 uint16_t *heap_info, const char **why)
{
	bool untouched = false;
	size_t i;

	*heap_info = 0;
	*symbol = !by_symbol(t, s, heap_info, &untouched);
	if (*symbol)
		return 0;
	for (i = 0; i < t->nr_data; i++)
		if (!search_range(t, &t->data[i], s, heap_info, &untouched))
			return 0;
	*why = untouched ?
		       "glibc's malloc has not been called in it" :
		       "no arena in the data of its libc: another allocator, a glibc that is not known, or one that changes too fast";
	return untouched ? -ENOENT : -EBADMSG;
}

/* --- malloc_par */

static void fill_par(const uint8_t *raw, uint64_t addr,
		     const struct pt_par_layout *l, struct pt_par *p)
{
	*p = (struct pt_par){
		.addr = addr,
		.layout = l,
		.trim_threshold = pt_u64(raw),
		.top_pad = pt_u64(raw + 8),
		.mmap_threshold = pt_u64(raw + 16),
		.arena_test = pt_u64(raw + 24),
		.arena_max = pt_u64(raw + 32),
		.thp_pagesize =
			l->thp_pagesize ? pt_u64(raw + l->thp_pagesize) : 0,
		.hp_pagesize = l->hp_pagesize ? pt_u64(raw + l->hp_pagesize) :
						0,
		.n_mmaps = pt_u32(raw + l->n_mmaps),
		.n_mmaps_max = pt_u32(raw + l->n_mmaps_max),
		.no_dyn_threshold = pt_u32(raw + l->no_dyn),
		.mmapped_mem = pt_u64(raw + l->mmapped_mem),
		.sbrk_base = pt_u64(raw + l->sbrk_base),
		.tcache_bins = pt_u64(raw + l->tcache_bins),
		.tcache_bytes = pt_u64(raw + l->tcache_bytes),
		.tcache_count = pt_u64(raw + l->tcache_count),
	};
}

static bool is_huge_size(uint64_t n)
{
	return !n || (!(n & (n - 1)) && n >= PT_PAGE && n <= 1ull << 34);
}

/*
 * max_n_mmaps and max_mmapped_mem stand right behind what they are the maxima of.
 * 2.43 counts 16 bytes too many with each mapping that is resized (mremap_chunk() in
 * malloc/malloc.c), so there some may be left when no mapping is.
 */
static bool mmap_counts_fit(const uint8_t *raw, const struct pt_par_layout *l,
			    const struct pt_par *p)
{
	return p->n_mmaps <= pt_u32(raw + l->n_mmaps_max + 4) &&
	       p->n_mmaps_max < 1u << 31 && !(p->mmapped_mem % 16) &&
	       (p->n_mmaps ? p->mmapped_mem : l->drifts || !p->mmapped_mem) &&
	       p->mmapped_mem <= pt_u64(raw + l->mmapped_mem + 8) &&
	       p->mmapped_mem < 1ull << 47;
}

static bool par_fits(const struct pt_target *t, const uint8_t *raw,
		     const struct pt_par_layout *l, const struct pt_par *p)
{
	bool in_brk = t->brk.end > t->brk.start &&
		      p->sbrk_base >= t->brk.start && p->sbrk_base < t->brk.end;

	return mmap_counts_fit(raw, l, p) && (in_brk || !p->sbrk_base) &&
	       p->arena_test && p->arena_test <= 65536 &&
	       p->arena_max <= 1ull << 32 && p->top_pad < 1ull << 47 &&
	       p->mmap_threshold && p->mmap_threshold < 1ull << 47 &&
	       is_huge_size(p->thp_pagesize) && is_huge_size(p->hp_pagesize) &&
	       p->tcache_bins <= 64 && p->tcache_count <= 65535 &&
	       p->tcache_bytes + 16 >= p->tcache_bins * 16;
}

/*
 * How many layouts fit at addr, of those that go with fastbins or without; *p is
 * the last one that does.
 */
static unsigned int fit_par(const struct pt_target *t, uint64_t addr,
			    bool fastbins, struct pt_par *p)
{
	uint8_t raw[PAR_MAX + 8];
	struct pt_par try;
	unsigned int nr = 0;
	size_t i;

	for (i = 0; i < NR_PARS; i++) {
		if (fastbins == (i == NR_PARS - 1) ||
		    pt_peek(t, addr, raw, pars[i].size))
			continue;
		fill_par(raw, addr, &pars[i], &try);
		if (!par_fits(t, raw, &pars[i], &try))
			continue;
		*p = try;
		nr++;
	}
	return nr;
}

/* These are in no order: what is likely comes first. */
static const struct pt_range *data_of(const struct pt_target *t, uint64_t addr)
{
	size_t i;

	for (i = 0; i < t->nr_data; i++)
		if (addr >= t->data[i].start && addr < t->data[i].end)
			return &t->data[i];
	return NULL;
}

/*
 * mp_ lies in the same section as main_arena (.data); what fits in two places or
 * in two ways is not believed. One that knows where the brk heap begins is better
 * than one that says there is none, which with a top in there cannot be.
 */
void pt_find_par(const struct pt_target *t, const struct pt_state *main_arena,
		 struct pt_par *par)
{
	const struct pt_range *r = data_of(t, main_arena->addr);
	unsigned int nr, found = 0;
	struct pt_par p;
	uint64_t addr;
	uint64_t top = pt_field(main_arena, main_arena->layout->top);
	bool based = top >= t->brk.start && top < t->brk.end;
	bool fastbins = main_arena->layout->fastbins;

	memset(par, 0, sizeof(*par));
	if (t->mp && fit_par(t, t->mp, fastbins, par) == 1)
		return;
	memset(par, 0, sizeof(*par));
	if (!r)
		return;
	addr = main_arena->addr > r->start + 65536 ? main_arena->addr - 65536 :
						     r->start;
	for (; addr < r->end && addr < main_arena->addr + 65536; addr += 8) {
		nr = fit_par(t, addr, fastbins, &p);
		if (!nr || (based && !p.sbrk_base))
			continue;
		if (p.sbrk_base && !based) {
			based = true;
			found = 0;
		}
		found += nr;
		*par = p;
	}
	if (found != 1)
		memset(par, 0, sizeof(*par));
}
