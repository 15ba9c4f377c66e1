// SPDX-License-Identifier: GPL-2.0
/*
 * The strip stands upright, 0 at its foot. Its parts are VMAs and the gaps
 * between them:
 *
 *   kernel  +--------+   Heights are to scale, but what is small has a least
 *           |  gap   |   height, what is huge is cut (a zigzag says so), and
 *   stack   +--------+   gaps are folded. The width of a part stands for its
 *           |  gap   |   bytes, and it is filled from the left by what they are:
 *   libc    +--------+   live | held or otherwise resident | asked for, but
 *           ~        ~   without a page yet | committed | (reserved: hatched)
 *   heap    +--------+
 *   text    +--------+
 *         0 |  gap   |
 *
 * Beside it stand the addresses to the left, names and sizes to the right, one
 * line for what belongs together (the VMAs of a library).
 */
#include "output/strip_inside.h"

#include <stdlib.h>

#include "output/text.h"

#define USER_TOP 0x7ffffffff000ull /* 47 bits, but the last page */
#define MAX_PARTS 160 /* more VMAs than these are folded */

/* --- parts */

static bool is_none(const struct vma_desc *d)
{
	return !(d->flags & (VMA_READ | VMA_WRITE | VMA_EXEC));
}

static void add_vma(struct part *p, const struct space *s, size_t i)
{
	struct view w = view_of(s, i);
	uint64_t size = w.v->d.end - w.v->d.start;

	if (!p->nr++ || size > p->w.v->d.end - p->w.v->d.start)
		p->w = w;
	p->end = w.v->d.end;
	p->size += size;
	p->is_none = p->is_none && is_none(&w.v->d);
	p->has_live = p->has_live || w.live_known;
	p->live += w.live.bytes;
	if (!w.res) {
		p->sampled = false;
		return;
	}
	p->resident += w.res->resident;
	p->live_resident += w.res->live_resident < w.res->resident ?
				    w.res->live_resident :
				    w.res->resident;
}

static void add_gap(struct strip *st, uint64_t start, uint64_t end)
{
	if (start < end)
		st->parts[st->nr++] = (struct part){ .what = PART_GAP,
						     .start = start,
						     .end = end,
						     .size = end - start };
}

/* What stands in rows of many: VMAs of one such kind are folded with each other first. */
static enum view_kind fold_kind(const struct space *s, size_t i)
{
	enum view_kind kind = view_kind_at(s, i);

	return kind == VIEW_GUARD   ? VIEW_THREAD_STACK :
	       kind == VIEW_RESERVE ? VIEW_ARENA :
				      kind;
}

/* The end of the row of VMAs of one kind that begins with the i-th. */
static size_t end_of_row(const struct space *s, size_t i)
{
	enum view_kind kind = fold_kind(s, i);
	size_t nr = vma_map_count(s->vmas);

	while (++i < nr && fold_kind(s, i) == kind)
		;
	return i;
}

/* How many parts there are when no row has more than `most`. */
static size_t parts_of_rows(const struct space *s, size_t most)
{
	size_t nr = vma_map_count(s->vmas), n = 0, i, end;

	for (i = 0; i < nr; i = end) {
		end = end_of_row(s, i);
		n += end - i < most ? end - i : most;
	}
	return n;
}

static void add_part(struct strip *st, size_t first, size_t end, uint64_t at)
{
	uint64_t start = vma_map_at(st->s->vmas, first)->d.start;
	struct part *p;

	add_gap(st, at, start);
	p = &st->parts[st->nr++];
	*p = (struct part){ .what = PART_VMAS,
			    .start = start,
			    .first = first,
			    .sampled = true,
			    .is_none = true };
	for (; first < end; first++)
		add_vma(p, st->s, first);
}

/* In parts of n VMAs each. Returns where they end. */
static uint64_t add_row(struct strip *st, size_t first, size_t end, size_t n,
			uint64_t at)
{
	for (; first < end; first += n) {
		add_part(st, first, end - first < n ? end : first + n, at);
		at = st->parts[st->nr - 1].end;
	}
	return at;
}

/*
 * Too many are folded in the longest rows of one kind; when there are too many
 * rows, regardless of these.
 */
static int add_parts(struct strip *st)
{
	size_t nr = vma_map_count(st->s->vmas), most = MAX_PARTS, i, end;
	uint64_t at = 0;

	st->parts = calloc(2 * nr + 2, sizeof(*st->parts));
	if (!st->parts)
		return -1;
	while (most > 1 && parts_of_rows(st->s, most) > MAX_PARTS)
		most = most * 3 / 4;
	if (most == 1 && parts_of_rows(st->s, 1) > MAX_PARTS)
		at = add_row(st, 0, nr, (nr + MAX_PARTS - 1) / MAX_PARTS, 0);
	else
		for (i = 0; i < nr; i = end) {
			end = end_of_row(st->s, i);
			at = add_row(st, i, end, (end - i + most - 1) / most,
				     at);
		}
	add_gap(st, at, USER_TOP);
	st->parts[st->nr++] = (struct part){ .what = PART_KERNEL,
					     .start = 0xffff800000000000ull,
					     .end = UINT64_MAX };
	return 0;
}

/* The program is the file that is mapped below the heap. */
static void find_program(struct strip *st)
{
	for (size_t i = 0; i < vma_map_count(st->s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(st->s->vmas, i)->d;

		if (d->start >= st->s->start_brk)
			break;
		if (d->flags & VMA_FILE && !(d->flags & VMA_SHARED)) {
			st->exe_dev = d->dev;
			st->exe_ino = d->ino;
		}
	}
}

bool strip_is_program(const struct strip *st, const struct part *p)
{
	const struct vma_desc *d = &p->w.v->d;

	return st->exe_ino && d->flags & VMA_FILE && d->ino == st->exe_ino &&
	       d->dev == st->exe_dev;
}

struct strip *strip_new(const struct output *o, const struct space *s)
{
	struct strip *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->o = o;
	st->s = s;
	find_program(st);
	if (!add_parts(st) && !strip_lay_out(st))
		return st;
	strip_free(st);
	return NULL;
}

void strip_free(struct strip *st)
{
	if (!st)
		return;
	free(st->parts);
	free(st->labels);
	free(st);
}

/* --- JSON */

static json_t *json_folded(const struct part *p)
{
	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "start",
			 json_addr(p->start), "end", json_addr(p->end), "vmas",
			 json_u64(p->nr), "kind", view_kind_name(p->w.kind),
			 "size", json_u64(p->size), "resident",
			 p->sampled ? json_u64(p->resident) : json_null(),
			 "live", p->has_live ? json_u64(p->live) : json_null());
}

json_t *strip_json(const struct strip *st)
{
	json_t *list = json_array();

	for (size_t i = 0; i < st->nr; i++) {
		const struct part *p = &st->parts[i];
		json_t *j;

		if (p->what == PART_VMAS && p->nr == 1)
			j = json_maps_vma(st->o, st->s, p->first);
		else if (p->what == PART_VMAS)
			j = json_folded(p);
		else
			j = json_pack("{s:o, s:o, s:s}", "start",
				      json_addr(p->start), "end",
				      json_addr(p->end), "kind",
				      p->what == PART_GAP ? "free" : "kernel");
		json_array_append_new(list, j);
	}
	return list;
}
