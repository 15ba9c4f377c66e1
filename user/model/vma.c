// SPDX-License-Identifier: GPL-2.0
/*
 * The VMAs lie in one sorted array: at most 65530 of them (max_map_count), so a
 * memmove beats a tree, and "the i-th" is free.
 *
 * What happened is derived from the pieces into which the borders of the old
 * and of the new VMAs cut the range:
 *
 *   old    |----A----|          |--B--|
 *   now        |------------C-------------|
 *   piece  |-1-|--2--|----3-----|--4--|-5-|
 *
 * 1 went (A shrank), 2 and 4 were kept, 3 and 5 came (C grew). C continues the
 * VMA that it kept most of, A; B is nobody's any more, so it was merged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/archive.h"
#include "model/origin.h"
#include "model/vma.h"

#define PAGE 4096ull
#define NONE UINT32_MAX

/* What makes a page of memory another one; the other flags can be changed. */
#define KIND_FLAGS (VMA_SHARED | VMA_HUGETLB | VMA_FILE | VMA_VDSO | VMA_VVAR)
#define PROT_FLAGS (VMA_READ | VMA_WRITE | VMA_EXEC)

/* System calls whose arguments tell more than the VMAs do: x86-64 and i386. */
#define NR_MMAP 9
#define NR_MREMAP 25
#define NR_MMAP2_32 192
#define NR_MREMAP_32 163
#define FLAG_MAP_FIXED 0x10
#define FLAG_MREMAP_FIXED 2

struct piece {
	uint64_t start, end;
	uint32_t old, now; /* index of the VMA that it is part of, or NONE */
	bool kept; /* the same memory before and after */
};

/* How much of an old VMA is in a new one, bytes. */
struct link {
	uint32_t other;
	uint64_t same, kept; /* with unchanged flags; at all */
};

struct vma_map {
	struct vma *v;
	size_t nr, cap;
	struct origins origins;
	struct origins
		protects; /* who last changed the protection, where anyone did */
	/* Where the last mremap took its VMA from, if that is told before the new place. */
	uint64_t gone_from;
	uint32_t gone_tid;
	struct cause *gone_made;
};

/* One replacement under way. */
struct diff {
	struct vma *old; /* in the map */
	uint32_t nr_old, nr_now, nr_pieces;
	struct vma *now; /* what replaces them, cut ends included */
	struct piece *pieces;
	struct link *ancestor; /* of each new VMA: whom it continues */
	struct link *heir; /* of each old VMA: who continues it */
	bool *left; /* of each old VMA: something of it was kept */
	struct cause *cause;
	struct vma_change *changes;
	size_t nr_changes, max;
};

bool cause_is_event(const struct cause *c)
{
	return c->kind == CAUSE_SYSCALL || c->kind == CAUSE_FAULT ||
	       c->kind == CAUSE_OTHER;
}

struct cause *cause_get(struct cause *c)
{
	c->refs++;
	return c;
}

void cause_put(struct cause *c)
{
	if (c && --c->refs == 0)
		free(c);
}

struct vma_map *vma_map_new(void)
{
	return calloc(1, sizeof(struct vma_map));
}

static void put_vmas(struct vma *v, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		cause_put(v[i].made);
		cause_put(v[i].changed);
	}
}

void vma_map_free(struct vma_map *m)
{
	if (!m)
		return;
	put_vmas(m->v, m->nr);
	origins_free(&m->origins);
	origins_free(&m->protects);
	cause_put(m->gone_made);
	free(m->v);
	free(m);
}

struct vma_map *vma_map_clone(const struct vma_map *m, struct cause *made)
{
	struct vma_map *c = vma_map_new();

	if (!c)
		return NULL;
	c->v = malloc((m->nr + 1) * sizeof(*c->v));
	if (!c->v) {
		free(c);
		return NULL;
	}
	c->cap = m->nr + 1;
	for (size_t i = 0; i < m->nr; i++) {
		c->v[i].d = m->v[i].d;
		c->v[i].made = cause_get(made);
		c->v[i].changed = cause_get(made);
		c->nr++;
		if (origins_set(&c->origins, c->v[i].d.start, c->v[i].d.end,
				made)) {
			vma_map_free(c);
			return NULL;
		}
	}
	return c;
}

/* Each reference to a cause stands for its part of it. */
static size_t part_of(const struct cause *c)
{
	return sizeof(*c) / c->refs;
}

static size_t origins_bytes(const struct origins *o)
{
	size_t sum = o->cap * sizeof(*o->v);

	for (size_t i = 0; i < o->nr; i++)
		sum += part_of(o->v[i].cause);
	return sum;
}

size_t vma_map_bytes(const struct vma_map *m)
{
	size_t sum = sizeof(*m) + m->cap * sizeof(*m->v);

	for (size_t i = 0; i < m->nr; i++)
		sum += part_of(m->v[i].made) + part_of(m->v[i].changed);
	return sum + origins_bytes(&m->origins) + origins_bytes(&m->protects);
}

size_t vma_map_count(const struct vma_map *m)
{
	return m->nr;
}

const struct vma *vma_map_at(const struct vma_map *m, size_t i)
{
	return &m->v[i];
}

size_t vma_map_lower(const struct vma_map *m, uint64_t addr)
{
	size_t lo = 0, hi = m->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->v[mid].d.end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const struct vma *vma_map_find(const struct vma_map *m, uint64_t addr)
{
	size_t i = vma_map_lower(m, addr);

	return i < m->nr && m->v[i].d.start <= addr ? &m->v[i] : NULL;
}

const struct cause *vma_map_origin(const struct vma_map *m, uint64_t addr,
				   uint64_t *start, uint64_t *end)
{
	size_t i = origins_lower(&m->origins, addr);
	const struct origin *o = &m->origins.v[i];

	if (i == m->origins.nr || o->start > addr)
		return NULL;
	if (start)
		*start = o->start;
	if (end)
		*end = o->end;
	return o->cause;
}

void vma_map_protects(const struct vma_map *m, uint64_t lo, uint64_t hi,
		      void (*fn)(void *ctx, uint64_t bytes,
				 const struct cause *c),
		      void *ctx)
{
	const struct origins *p = &m->protects;
	size_t i = origins_lower(p, lo);

	for (; i < p->nr && p->v[i].start < hi; i++) {
		uint64_t start = p->v[i].start > lo ? p->v[i].start : lo;
		uint64_t end = p->v[i].end < hi ? p->v[i].end : hi;

		fn(ctx, end - start, p->v[i].cause);
	}
}

/* --- what the system call says */

static bool is_mremap(const struct cause *c)
{
	return c->kind == CAUSE_SYSCALL &&
	       c->syscall == (c->compat ? NR_MREMAP_32 : NR_MREMAP);
}

static bool is_mmap(const struct cause *c)
{
	return c->kind == CAUSE_SYSCALL &&
	       c->syscall == (c->compat ? NR_MMAP2_32 : NR_MMAP);
}

static uint64_t page_up(uint64_t n)
{
	return (n + PAGE - 1) & ~(PAGE - 1);
}

/*
 * Where the call certainly put something new in place of what was there, even
 * if the VMAs look as before (MAP_FIXED of anonymous memory over such memory).
 */
static void replaced_zone(const struct cause *c, uint64_t *lo, uint64_t *hi)
{
	*lo = *hi = 0;
	if (is_mmap(c) && c->args[3] & FLAG_MAP_FIXED) {
		*lo = c->args[0];
		*hi = c->args[0] + page_up(c->args[1]);
	} else if (is_mremap(c) && c->args[3] & FLAG_MREMAP_FIXED) {
		*lo = c->args[4];
		*hi = c->args[4] + page_up(c->args[2]);
	}
	if (*hi < *lo || (*lo | *hi) & (PAGE - 1))
		*lo = *hi = 0;
}

/* --- cutting into pieces */

static bool same_memory(const struct vma_desc *a, const struct vma_desc *b)
{
	if ((a->flags ^ b->flags) & KIND_FLAGS)
		return false;
	if (!(a->flags & VMA_FILE))
		return true;
	return a->dev == b->dev && a->ino == b->ino &&
	       a->offset - a->start == b->offset - b->start;
}

static uint64_t min_above(uint64_t pos, uint64_t border, uint64_t end)
{
	return border > pos && border < end ? border : end;
}

static void cut_pieces(struct diff *d)
{
	uint64_t lo, hi, pos = 0;
	uint32_t o = 0, n = 0;

	replaced_zone(d->cause, &lo, &hi);
	while (o < d->nr_old || n < d->nr_now) {
		const struct vma_desc *a = o < d->nr_old ? &d->old[o].d : NULL;
		const struct vma_desc *b = n < d->nr_now ? &d->now[n].d : NULL;
		struct piece *p = &d->pieces[d->nr_pieces];
		uint64_t first = a && (!b || a->start < b->start) ? a->start :
								    b->start;
		uint64_t end = UINT64_MAX;

		if (pos < first)
			pos = first;
		if (a)
			end = min_above(pos, a->start,
					min_above(pos, a->end, end));
		if (b)
			end = min_above(pos, b->start,
					min_above(pos, b->end, end));
		end = min_above(pos, lo, min_above(pos, hi, end));
		p->start = pos;
		p->end = end;
		p->old = a && a->start <= pos ? o : NONE;
		p->now = b && b->start <= pos ? n : NONE;
		p->kept = p->old != NONE && p->now != NONE &&
			  !(pos >= lo && pos < hi) && same_memory(a, b);
		if (p->old != NONE || p->now != NONE)
			d->nr_pieces++;
		o += a && a->end == end;
		n += b && b->end == end;
		pos = end;
	}
}

/* --- who continues whom */

/* One more candidate; the more unchanged bytes the better, the first among equals. */
static void link_best(struct link *best, uint32_t other, const struct link *l)
{
	if (l->same < best->same ||
	    (l->same == best->same && l->kept <= best->kept))
		return;
	*best = *l;
	best->other = other;
}

static struct link piece_link(const struct diff *d, uint32_t *i)
{
	const struct piece *p = &d->pieces[*i];
	struct link l = { NONE, 0, 0 };

	/* A replaced zone may cut what two VMAs share into several pieces. */
	for (uint32_t old = p->old, now = p->now; *i < d->nr_pieces;
	     ++*i, p++) {
		if (p->old != old || p->now != now)
			break;
		if (!p->kept)
			continue;
		l.kept += p->end - p->start;
		if (d->old[old].d.flags == d->now[now].d.flags)
			l.same += p->end - p->start;
	}
	return l;
}

static void find_ancestors(struct diff *d)
{
	for (uint32_t i = 0; i < d->nr_pieces;) {
		uint32_t old = d->pieces[i].old, now = d->pieces[i].now;
		struct link l = piece_link(d, &i);

		if (!l.kept)
			continue;
		d->left[old] = true;
		link_best(&d->ancestor[now], old, &l);
	}
	for (uint32_t n = 0; n < d->nr_now; n++) {
		if (d->ancestor[n].other != NONE)
			link_best(&d->heir[d->ancestor[n].other], n,
				  &d->ancestor[n]);
	}
}

/* --- bytes */

static uint32_t prot_of(const struct vma_desc *d)
{
	return d->flags & PROT_FLAGS;
}

static void count_bytes(const struct diff *d)
{
	for (uint32_t i = 0; i < d->nr_pieces; i++) {
		const struct piece *p = &d->pieces[i];
		uint64_t bytes = p->end - p->start;

		if (!p->kept) {
			d->cause->unmapped += p->old != NONE ? bytes : 0;
			d->cause->mapped += p->now != NONE ? bytes : 0;
		} else if (prot_of(&d->old[p->old].d) !=
			   prot_of(&d->now[p->now].d)) {
			d->cause->changed += bytes;
		}
	}
}

/* --- telling */

static void tell(struct diff *d, enum vma_change_kind kind, uint64_t start,
		 uint64_t end, const struct piece *p)
{
	struct vma_change *c = &d->changes[d->nr_changes];

	if (d->nr_changes++ >= d->max)
		return;
	*c = (struct vma_change){ .kind = kind, .start = start, .end = end };
	if (p->old != NONE && kind != VMA_CREATED && kind != VMA_GREW &&
	    kind != VMA_MOVED)
		c->old_flags = d->old[p->old].d.flags;
	if (p->now != NONE && kind != VMA_REMOVED && kind != VMA_SHRANK)
		c->new_flags = d->now[p->now].d.flags;
	if (kind == VMA_MOVED)
		c->from = d->cause->args[0];
}

typedef bool (*piece_like)(const struct diff *d, const struct piece *a,
			   const struct piece *b);

static bool both_went(const struct diff *d, const struct piece *a,
		      const struct piece *b)
{
	(void)d;
	return !a->kept && !b->kept && a->old == b->old;
}

static bool both_came(const struct diff *d, const struct piece *a,
		      const struct piece *b)
{
	(void)d;
	return !a->kept && !b->kept && a->now == b->now;
}

static bool both_protected(const struct diff *d, const struct piece *a,
			   const struct piece *b)
{
	return a->kept && b->kept &&
	       d->old[a->old].d.flags == d->old[b->old].d.flags &&
	       d->now[a->now].d.flags == d->now[b->now].d.flags;
}

/*
 * Where the run of pieces alike that begins with piece i ends; 0 when i only
 * continues one.
 */
static uint64_t run_end(const struct diff *d, uint32_t i, piece_like alike)
{
	const struct piece *p = &d->pieces[i];

	if (i && p[-1].end == p->start && alike(d, &p[-1], p))
		return 0;
	while (i + 1 < d->nr_pieces && p->end == p[1].start &&
	       alike(d, p, &p[1])) {
		i++;
		p++;
	}
	return p->end;
}

/*
 * The end of what the old and the new VMA of piece i share; 0 when i is not the
 * first piece of it. A replaced zone may leave a hole in it.
 */
static uint64_t shared_end(const struct diff *d, uint32_t i)
{
	const struct piece *p = &d->pieces[i];
	uint64_t end = p->end;

	for (uint32_t k = i; k-- > 0;) {
		if (d->pieces[k].old != p->old || d->pieces[k].now != p->now)
			break;
		if (d->pieces[k].kept)
			return 0;
	}
	for (uint32_t k = i; k < d->nr_pieces; k++) {
		if (d->pieces[k].old != p->old || d->pieces[k].now != p->now)
			break;
		if (d->pieces[k].kept)
			end = d->pieces[k].end;
	}
	return end;
}

/* In place, mremap grows a VMA at its end; anything else that came was moved. */
static bool moved(const struct diff *d, uint64_t start)
{
	const struct cause *c = d->cause;

	return is_mremap(c) && start != c->args[0] + page_up(c->args[1]);
}

static void tell_went(struct diff *d, uint32_t i)
{
	const struct piece *p = &d->pieces[i];
	const struct vma_desc *o = &d->old[p->old].d;

	if (d->left[p->old]) {
		uint64_t end = run_end(d, i, both_went);

		if (end)
			tell(d, VMA_SHRANK, p->start, end, p);
	} else if (p->start == o->start) {
		tell(d, VMA_REMOVED, o->start, o->end, p);
	}
}

static void tell_came(struct diff *d, uint32_t i)
{
	const struct piece *p = &d->pieces[i];
	const struct vma_desc *n = &d->now[p->now].d;
	bool away = moved(d, p->start);

	if (d->ancestor[p->now].other != NONE) {
		uint64_t end = run_end(d, i, both_came);

		if (end)
			tell(d, away ? VMA_MOVED : VMA_GREW, p->start, end, p);
	} else if (p->start == n->start) {
		tell(d, away ? VMA_MOVED : VMA_CREATED, n->start, n->end, p);
	}
}

static void tell_kept(struct diff *d, uint32_t i)
{
	const struct piece *p = &d->pieces[i];
	uint64_t end;

	if (d->old[p->old].d.flags != d->now[p->now].d.flags) {
		end = run_end(d, i, both_protected);
		if (end)
			tell(d, VMA_PROTECTED, p->start, end, p);
	}
	end = shared_end(d, i);
	if (!end)
		return;
	if (d->heir[p->old].other == NONE)
		tell(d, VMA_MERGED, p->start, end, p);
	else if (d->ancestor[p->now].other == p->old &&
		 d->heir[p->old].other != p->now)
		tell(d, VMA_SPLIT, p->start, end, p);
}

static void tell_all(struct diff *d)
{
	for (uint32_t i = 0; i < d->nr_pieces; i++) {
		const struct piece *p = &d->pieces[i];

		if (p->kept) {
			tell_kept(d, i);
			continue;
		}
		if (p->old != NONE)
			tell_went(d, i);
		if (p->now != NONE)
			tell_came(d, i);
	}
}

/* --- ancestry */

/* The creator of what mremap carried away, or NULL. */
static struct cause *origin(struct vma_map *m, const struct cause *c)
{
	const struct vma *from = vma_map_find(m, c->args[0]);

	if (from)
		return from->made;
	if (m->gone_made && m->gone_tid == c->tid && m->gone_from == c->args[0])
		return m->gone_made;
	return NULL;
}

/*
 * A large record comes in parts, so the old place of a mremap may be told, and
 * forgotten, before the new one.
 */
static void remember_origin(struct vma_map *m, const struct diff *d)
{
	const struct vma *from;

	if (!is_mremap(d->cause))
		return;
	from = vma_map_find(m, d->cause->args[0]);
	if (!from || from < d->old || from >= d->old + d->nr_old)
		return;
	cause_put(m->gone_made);
	m->gone_made = cause_get(from->made);
	m->gone_tid = d->cause->tid;
	m->gone_from = d->cause->args[0];
}

static bool same_desc(const struct vma_desc *a, const struct vma_desc *b)
{
	return a->start == b->start && a->end == b->end &&
	       a->offset == b->offset && a->ino == b->ino && a->dev == b->dev &&
	       a->flags == b->flags;
}

static void inherit(struct vma_map *m, const struct diff *d, uint32_t n)
{
	struct vma *v = &d->now[n];
	const struct link *l = &d->ancestor[n];
	struct cause *made = NULL;

	if (l->other != NONE) {
		const struct vma *o = &d->old[l->other];
		bool as_before = same_desc(&o->d, &v->d) &&
				 l->kept == v->d.end - v->d.start;

		v->made = cause_get(o->made);
		v->changed = cause_get(as_before ? o->changed : d->cause);
		return;
	}
	if (moved(d, v->d.start))
		made = origin(m, d->cause);
	v->made = cause_get(made ? made : d->cause);
	v->changed = cause_get(d->cause);
}

/*
 * Where memory moved to, its origins come along, piece by piece; what is longer
 * than before is new. The copy is taken while the old place still has them.
 */
static int copy_moved(struct vma_map *m, const struct cause *c, uint64_t start,
		      uint64_t end)
{
	uint64_t from = c->args[0], to = from + page_up(c->args[1]);
	struct cause *whole = origin(m, c);
	int ret;

	if (!vma_map_origin(m, from, NULL, NULL))
		return whole ? origins_set(&m->origins, start, end, whole) : 0;
	while (from < to && start < end) {
		uint64_t lo, hi;
		struct cause *made =
			(struct cause *)vma_map_origin(m, from, &lo, &hi);
		uint64_t len = made ? (hi < to ? hi : to) - from : PAGE;

		if (len > end - start)
			len = end - start;
		ret = made ? origins_set(&m->origins, start, start + len,
					 made) :
			     0;
		if (ret)
			return ret;
		from += len;
		start += len;
	}
	return 0;
}

static int origin_of_piece(struct vma_map *m, const struct diff *d,
			   const struct piece *p)
{
	bool away = p->now != NONE && moved(d, d->now[p->now].d.start);
	int ret;

	if (p->kept)
		return 0;
	ret = origins_set(&m->origins, p->start, p->end,
			  p->now == NONE ? NULL : d->cause);
	if (!ret && away && p->start == d->now[p->now].d.start)
		ret = copy_moved(m, d->cause, p->start, p->end);
	return ret;
}

/* What came first: it may have to be copied from what goes. */
static int set_origins(struct vma_map *m, const struct diff *d)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < d->nr_pieces; i++)
		if (d->pieces[i].now != NONE)
			ret = origin_of_piece(m, d, &d->pieces[i]);
	for (uint32_t i = 0; !ret && i < d->nr_pieces; i++)
		if (d->pieces[i].now == NONE)
			ret = origin_of_piece(m, d, &d->pieces[i]);
	return ret;
}

/* What is new, or gone, has been protected by nobody. */
static int set_protects(struct vma_map *m, const struct diff *d)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < d->nr_pieces; i++) {
		const struct piece *p = &d->pieces[i];

		if (!p->kept && m->protects.nr)
			ret = origins_set(&m->protects, p->start, p->end, NULL);
		else if (p->kept && prot_of(&d->old[p->old].d) !=
					    prot_of(&d->now[p->now].d))
			ret = origins_set(&m->protects, p->start, p->end,
					  d->cause);
	}
	return ret;
}

/* --- the replacement */

/* The old VMAs that overlap [lo, hi). */
static void find_old(const struct vma_map *m, uint64_t lo, uint64_t hi,
		     struct diff *d)
{
	size_t i = vma_map_lower(m, lo), j = i;

	while (j < m->nr && m->v[j].d.start < hi)
		j++;
	d->old = m->v + i;
	d->nr_old = j - i;
}

static void add_now(struct diff *d, struct vma_desc v, uint64_t start,
		    uint64_t end)
{
	if (v.flags & VMA_FILE)
		v.offset += start - v.start;
	v.start = start;
	v.end = end;
	d->now[d->nr_now++].d = v;
}

/* What sticks out of [lo, hi) stays, cut. */
static void collect_now(struct diff *d, uint64_t lo, uint64_t hi,
			const struct vma_desc *now, size_t nr)
{
	const struct vma_desc *first = d->nr_old ? &d->old[0].d : NULL;
	const struct vma_desc *last = d->nr_old ? &d->old[d->nr_old - 1].d :
						  NULL;

	if (first && first->start < lo)
		add_now(d, *first, first->start, lo);
	for (size_t i = 0; i < nr; i++)
		add_now(d, now[i], now[i].start, now[i].end);
	if (last && last->end > hi)
		add_now(d, *last, hi, last->end);
}

bool vma_range_valid(uint64_t lo, uint64_t hi, const struct vma_desc *now,
		     size_t nr)
{
	uint64_t end = lo;

	if (lo > hi || (lo | hi) & (PAGE - 1))
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (now[i].start < end || now[i].end <= now[i].start ||
		    now[i].end > hi || (now[i].start | now[i].end) & (PAGE - 1))
			return false;
		end = now[i].end;
	}
	return true;
}

static int reserve(struct vma_map *m, size_t nr)
{
	struct vma *v;
	size_t cap = m->cap ? m->cap : 32;

	while (cap < nr)
		cap *= 2;
	if (cap == m->cap)
		return 0;
	v = realloc(m->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	m->v = v;
	m->cap = cap;
	return 0;
}

static struct link *new_links(size_t nr)
{
	struct link *l = calloc(nr + 1, sizeof(*l));

	for (size_t i = 0; l && i < nr; i++)
		l[i].other = NONE;
	return l;
}

static int diff_init(struct diff *d, size_t nr)
{
	size_t now = nr + 2;

	d->now = calloc(now, sizeof(*d->now));
	d->pieces = calloc(2 * (d->nr_old + now) + 4, sizeof(*d->pieces));
	d->ancestor = new_links(now);
	d->heir = new_links(d->nr_old);
	d->left = calloc(d->nr_old + 1, sizeof(*d->left));
	if (!d->now || !d->pieces || !d->ancestor || !d->heir || !d->left)
		return -ENOMEM;
	return 0;
}

static void diff_free(struct diff *d)
{
	free(d->now);
	free(d->pieces);
	free(d->ancestor);
	free(d->heir);
	free(d->left);
}

/* The old ones out, the new ones in. The array has room. */
static void splice(struct vma_map *m, struct diff *d)
{
	size_t at = d->old - m->v, tail = m->nr - at - d->nr_old;

	for (uint32_t n = 0; n < d->nr_now; n++)
		inherit(m, d, n);
	remember_origin(m, d);
	put_vmas(d->old, d->nr_old);
	memmove(d->old + d->nr_now, d->old + d->nr_old, tail * sizeof(*m->v));
	memcpy(d->old, d->now, d->nr_now * sizeof(*m->v));
	m->nr = at + d->nr_now + tail;
}

int vma_map_replace(struct vma_map *m, uint64_t lo, uint64_t hi,
		    const struct vma_desc *now, size_t nr, struct cause *cause,
		    struct vma_change *changes, size_t max)
{
	struct diff d = { .cause = cause,
			  .changes = changes,
			  .max = changes ? max : 0 };
	int ret = -ENOMEM;

	if (!vma_range_valid(lo, hi, now, nr))
		return -EINVAL;
	if (reserve(m, m->nr + nr + 2))
		return -ENOMEM;
	find_old(m, lo, hi, &d);
	if (diff_init(&d, nr) == 0) {
		collect_now(&d, lo, hi, now, nr);
		cut_pieces(&d);
		find_ancestors(&d);
		count_bytes(&d);
		tell_all(&d);
		ret = set_origins(m, &d);
		if (!ret)
			ret = set_protects(m, &d);
		splice(m, &d);
		ret = ret ? ret : (int)d.nr_changes;
	}
	diff_free(&d);
	return ret;
}

/* Every byte of every VMA has an origin, and nothing else has. */
static const char *origins_cover(const struct vma_map *m)
{
	const char *wrong = origins_check(&m->origins);
	size_t i = 0;

	for (size_t k = 0; !wrong && k < m->nr; k++) {
		uint64_t at = m->v[k].d.start;

		while (at < m->v[k].d.end) {
			const struct origin *o = &m->origins.v[i];

			if (i == m->origins.nr || o->start > at)
				return "a part of a VMA has no origin";
			at = o->end < m->v[k].d.end ? o->end : m->v[k].d.end;
			i += o->end == at;
		}
		if (i < m->origins.nr && m->origins.v[i].start < at &&
		    (k + 1 == m->nr || m->v[k + 1].d.start > at))
			return "an origin without a VMA";
	}
	return wrong;
}

const char *vma_map_check(const struct vma_map *m)
{
	uint64_t end = 0;

	if (m->nr > m->cap)
		return "more VMAs than room";
	for (size_t i = 0; i < m->nr; i++) {
		const struct vma *v = &m->v[i];

		if (v->d.start < end)
			return "VMAs unsorted or overlapping";
		if (v->d.end <= v->d.start ||
		    (v->d.start | v->d.end) & (PAGE - 1))
			return "empty or unaligned VMA";
		if (!v->made || !v->changed || !v->made->refs ||
		    !v->changed->refs)
			return "VMA without a cause";
		end = v->d.end;
	}
	if (origins_check(&m->protects))
		return "protections are unsorted or overlap";
	return origins_cover(m);
}

/* --- as bytes */

/* As far as loading has come, everything counted is whole. */
static void archive_vmas(struct archive *a, struct vma_map *m)
{
	size_t nr = m->nr;

	archive_array(a, (void **)&m->v, &nr, sizeof(*m->v));
	if (a->load) {
		m->nr = 0;
		m->cap = nr + 1;
	}
	for (size_t i = 0; i < nr && !a->err; i++) {
		struct vma *v = &m->v[i];

		archive_cause(a, &v->made);
		archive_cause(a, &v->changed);
		m->nr = i + 1;
		if (!v->made || !v->changed)
			archive_fail(a, -EINVAL);
	}
}

static void archive_origins(struct archive *a, struct origins *o)
{
	size_t nr = o->nr;

	archive_array(a, (void **)&o->v, &nr, sizeof(*o->v));
	if (a->load) {
		o->nr = 0;
		o->cap = nr + 1;
	}
	for (size_t i = 0; i < nr && !a->err; i++) {
		archive_cause(a, &o->v[i].cause);
		o->nr = i + 1;
		if (!o->v[i].cause)
			archive_fail(a, -EINVAL);
	}
}

void vma_map_archive(struct archive *a, struct vma_map **m)
{
	if (a->load)
		*m = vma_map_new();
	if (!*m) {
		archive_fail(a, -ENOMEM);
		return;
	}
	archive_vmas(a, *m);
	archive_origins(a, &(*m)->origins);
	archive_origins(a, &(*m)->protects);
	archive_raw(a, &(*m)->gone_from, sizeof((*m)->gone_from));
	archive_raw(a, &(*m)->gone_tid, sizeof((*m)->gone_tid));
	archive_cause(a, &(*m)->gone_made);
	if (a->load && !a->err && vma_map_check(*m))
		archive_fail(a, -EINVAL);
	if (a->load && a->err) {
		vma_map_free(*m);
		*m = NULL;
	}
}
