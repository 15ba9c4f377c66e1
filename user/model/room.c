// SPDX-License-Identifier: GPL-2.0
#include "model/room.h"

#define PAGE 4096ull
#define END_64 \
	0x7ffffffff000ull /* TASK_SIZE_MAX with four levels of page tables */
#define END_32 0xffffe000ull /* IA32_PAGE_OFFSET */
#define FIRST 0x10000ull /* vm.mmap_min_addr, as distributions have it */
/* How far mmap's base is moved at random, at most: 28 and 16 bits of pages. */
#define RANDOM_64 (1ull << 40)
#define RANDOM_32 (1ull << 28)
#define STACK_GUARD (256 * PAGE) /* stack_guard_gap, mm/mmap.c */

#define SPECIAL (VMA_VDSO | VMA_VVAR)
#define PERMS (VMA_READ | VMA_WRITE | VMA_EXEC)

/* --- holes */

static uint64_t space_end(const struct space *s)
{
	size_t nr = vma_map_count(s->vmas);

	return nr && vma_map_at(s->vmas, nr - 1)->d.end <= 1ull << 32 ? END_32 :
									END_64;
}

static void larger(struct vma_desc *best, uint64_t start, uint64_t end)
{
	if (start < end && end - start > best->end - best->start)
		*best = (struct vma_desc){ .start = start, .end = end };
}

uint64_t room_largest(const struct space *s, struct vma_desc *hole)
{
	struct vma_desc best = { 0 };
	uint64_t from = FIRST;
	size_t i;

	for (i = 0; i < vma_map_count(s->vmas); i++) {
		const struct vma *v = vma_map_at(s->vmas, i);

		if (vma_is_ours(&v->d))
			continue;
		larger(&best, from, v->d.start);
		from = v->d.end > from ? v->d.end : from;
	}
	larger(&best, from, space_end(s));
	if (hole)
		*hole = best;
	return best.end - best.start;
}

/* --- the layout */

/* Where the kernel chose the place: not the stack, the program's heap, the vdso. */
static bool is_placed(const struct space *s, const struct vma_desc *d)
{
	return !(d->flags & (SPECIAL | VMA_GROWSDOWN)) && !vma_is_ours(d) &&
	       !(d->start >= s->start_brk && d->end <= s->brk) &&
	       !(d->start <= s->start_stack && s->start_stack < d->end);
}

/*
 * Top down, mappings begin 128 MiB (or what the stack may have) below the stack, and
 * nothing else lies so high; legacy ones begin at a third, where else nothing lies.
 */
static enum room_layout layout_of(const struct space *s, const struct room *r)
{
	uint64_t base_end = r->base + (r->is_32 ? RANDOM_32 : RANDOM_64);
	bool low = false;
	size_t i;

	for (i = 0; i < vma_map_count(s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;

		if (!is_placed(s, d))
			continue;
		if (d->start >= r->end / 6 * 5)
			return LAYOUT_TOP_DOWN;
		low |= d->start >= r->base && d->start < base_end;
	}
	return low ? LAYOUT_LEGACY : LAYOUT_UNKNOWN;
}

/* --- the heap */

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* A page must stay free above it, and below a stack its guard (brk(), mm/mmap.c). */
static uint64_t limit_of(const struct vma *above, uint64_t end)
{
	uint64_t at = above ? above->d.start : end;

	if (above && above->d.flags & VMA_GROWSDOWN)
		at = minus(at, STACK_GUARD);
	return minus(at, PAGE);
}

static const struct vma *next_above(const struct space *s, uint64_t addr)
{
	size_t i = vma_map_lower(s->vmas, addr);

	while (i < vma_map_count(s->vmas) &&
	       (vma_is_ours(&vma_map_at(s->vmas, i)->d) ||
		vma_map_at(s->vmas, i)->d.start < addr))
		i++;
	return i < vma_map_count(s->vmas) ? vma_map_at(s->vmas, i) : NULL;
}

static void heap_room(const struct space *s, struct room *r)
{
	uint64_t end = (s->brk + PAGE - 1) & ~(PAGE - 1);
	bool below = r->layout == LAYOUT_LEGACY && end < r->base;

	if (!s->start_brk)
		return;
	r->heap_start = s->start_brk;
	r->heap_end = end;
	r->above = next_above(s, end);
	r->most = minus((below ? r->base : r->end) - PAGE, end);
	r->real = minus(limit_of(r->above, r->end), end);
}

struct room room_of(const struct space *s)
{
	struct room r = { .end = space_end(s) };

	r.is_32 = r.end == END_32;
	r.base = (r.end / 3 + PAGE - 1) & ~(PAGE - 1); /* TASK_UNMAPPED_BASE */
	r.layout = layout_of(s, &r);
	room_largest(s, &r.hole);
	heap_room(s, &r);
	return r;
}

/* --- neighbours */

static bool same_file(const struct vma_desc *a, const struct vma_desc *b)
{
	return !((a->flags ^ b->flags) & VMA_FILE) &&
	       (!(a->flags & VMA_FILE) ||
		(a->dev == b->dev && a->ino == b->ino));
}

enum apart vma_apart(const struct vma_desc *a, const struct vma_desc *b)
{
	uint32_t differ = a->flags ^ b->flags;

	if (a->end != b->start)
		return APART_GAP;
	if ((a->flags | b->flags) & SPECIAL)
		return APART_SPECIAL;
	if (!same_file(a, b))
		return APART_FILE;
	if (differ & PERMS)
		return APART_PERMS;
	if (differ & VMA_SHARED)
		return APART_SHARED;
	if (differ)
		return APART_FLAGS;
	if (a->flags & VMA_FILE && a->offset + (a->end - a->start) != b->offset)
		return APART_OFFSET;
	return APART_UNKNOWN;
}
