// SPDX-License-Identifier: GPL-2.0
/*
 * To whom does a page belong? A resident page costs 4096 bytes, whatever lies on it:
 *
 *   page 1  [AAAA....BB......]   A 4 bytes, B 2:  A pays for two thirds of it
 *   page 2  [......CCCCCCCCCC]   C pays for all of it
 *   page 3  [CCCCCCCCCCCCCCCC]
 *   page 4  [................]   nobody: free, or malloc's own
 *
 * The shares are rounded so that those of a page add up to it: of the chunks on it in
 * address order, the n-th has what is below its end less what is below its start. So
 * resident, swapped and untouched of all sites and of nobody are those of the VMAs.
 */
#include <errno.h>
#include <stdlib.h>

#include "output/view.h"
#include "output/waste.h"

#define PAGE 4096ull

static struct waste_site *site(struct waste *w, uint64_t where)
{
	uintptr_t nr = (uintptr_t)hash_get(&w->index, where, 0);

	if (nr)
		return &w->sites[nr - 1];
	if (w->nr_sites == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		void *p = realloc(w->sites, room * sizeof(*w->sites));

		if (!p)
			return NULL;
		w->sites = p;
		w->room = room;
	}
	if (hash_put(&w->index, where, 0, (void *)(uintptr_t)(w->nr_sites + 1)))
		return NULL;
	w->sites[w->nr_sites] =
		(struct waste_site){ .where = where, .freed = -1 };
	return &w->sites[w->nr_sites++];
}

/* All stacks that are not known are one. */
static struct waste_site *site_of(const struct look_view *v, struct waste *w,
				  uint64_t caller)
{
	bool known = !(caller & CALLER_STACK) ||
		     model_stack(v->o->model, caller);

	return site(w, known ? caller : CALLER_STACK);
}

/* --- live bytes, slack */

/* The chunk as malloc's books have it; NULL: they do not. */
static const struct pt_chunk *in_book(const struct pt_book *b,
				      const struct chunk *c)
{
	const struct pt_chunk *p = b ? pt_find(b, c->addr) : NULL;

	return p && p->addr + 16 == c->addr && pt_in_use(p) ? p : NULL;
}

/* What a chunk may use. */
static uint64_t usable(const struct pt_book *b, const struct pt_chunk *p)
{
	return p->state == PT_MMAPPED ? pt_mapping(b, p) - p->link - 16 :
					pt_size(p) - 8;
}

static void count_known(const struct look_view *v, struct waste *w,
			const struct chunk *c, struct waste_site *s)
{
	const struct pt_chunk *p = in_book(v->book, c);

	if (!p || usable(v->book, p) < c->size)
		return;
	s->slack += usable(v->book, p) - c->size;
	s->slack_chunks++;
	w->chunks[w->nr_chunks++] =
		(struct waste_chunk){ s->where, (size_t)(p - v->book->chunks) };
}

static int compare_chunks(const void *va, const void *vb)
{
	const struct waste_chunk *a = va, *b = vb;

	if (a->where != b->where)
		return a->where < b->where ? -1 : 1;
	return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

static int count_chunks(const struct look_view *v, struct waste *w)
{
	struct chunk c;
	uint64_t at = 0;

	w->chunks = calloc(chunk_total(v->s->chunks).chunks + 1,
			   sizeof(*w->chunks));
	if (!w->chunks)
		return -ENOMEM;
	for (; !chunk_next(v->s->chunks, at, UINT64_MAX, &c); at = c.addr + 1) {
		struct waste_site *s = site_of(v, w, c.caller);

		if (!s)
			return -ENOMEM;
		s->chunks++;
		s->live += c.size;
		count_known(v, w, &c, s);
	}
	qsort(w->chunks, w->nr_chunks, sizeof(*w->chunks), compare_chunks);
	return 0;
}

/* --- what if */

/* The index of its first chunk. */
static size_t first_chunk(const struct waste *w, uint64_t where)
{
	size_t lo = 0, hi = w->nr_chunks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->chunks[mid].where < where)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int waste_if_freed(const struct look_view *v, const struct waste *w,
		   struct waste_site *s)
{
	size_t *list = calloc(s->chunks + 1, sizeof(*list)), nr = 0, i;
	uint64_t back = 0, now = 0;
	int err = list ? 0 : -ENOMEM;

	for (i = first_chunk(w, s->where);
	     list && i < w->nr_chunks && w->chunks[i].where == s->where; i++)
		list[nr++] = w->chunks[i].chunk;
	if (!err)
		err = held_if_freed(v, list, 0, &now);
	if (!err)
		err = held_if_freed(v, list, nr, &back);
	s->freed = back > now ? (int64_t)(back - now) : 0;
	free(list);
	return err;
}

/* --- pages */

static void add_page(struct waste_pages *p, int is, uint64_t bytes)
{
	if (is & PAGE_IS_RESIDENT)
		p->resident += bytes;
	else if (is & PAGE_IS_SWAPPED)
		p->swapped += bytes;
	else
		p->untouched += bytes;
	if (is & PAGE_IS_SPARE)
		p->spare += bytes;
}

/* A walk over the chunks in step with one over pages. */
struct steps {
	const struct look_view *v;
	struct waste *w;
	struct chunk c;
	bool has; /* c is the first chunk that ends above the page before */
};

static uint64_t end_of(const struct chunk *c)
{
	return c->addr + c->size;
}

static void next_chunk(struct steps *st, uint64_t from)
{
	st->has = !chunk_next(st->v->s->chunks, from, UINT64_MAX, &st->c);
}

/* The live chunks on a page share it; nobody's is what has none. */
static int share_page(struct steps *st, uint64_t page, int is)
{
	uint64_t live = chunk_page_bytes(st->v->s->chunks, page), below = 0;

	if (!live)
		add_page(&st->w->none, is, PAGE);
	while (st->has && st->c.addr < page + PAGE) {
		uint64_t lo = st->c.addr < page ? page : st->c.addr;
		uint64_t hi = end_of(&st->c) > page + PAGE ? page + PAGE :
							     end_of(&st->c);

		if (hi > lo) {
			struct waste_site *s =
				site_of(st->v, st->w, st->c.caller);
			uint64_t share = PAGE * (below + hi - lo) / live -
					 PAGE * below / live;

			if (!s)
				return -ENOMEM;
			add_page(&s->pages, is, share);
			below += hi - lo;
		}
		if (end_of(&st->c) > page + PAGE)
			break;
		next_chunk(st, st->c.addr + 1);
	}
	return 0;
}

static int count_region(const struct look_view *v, struct waste *w, size_t i)
{
	const struct vma_desc *d = &vma_map_at(v->s->vmas, i)->d;
	struct waste_region *r = &w->regions[w->nr_regions++];
	struct steps st = { .v = v, .w = w };
	uint64_t page;
	int is, err = 0;

	*r = (struct waste_region){ .vma = i };
	st.has = !chunk_find(v->s->chunks, d->start, &st.c);
	if (!st.has)
		next_chunk(&st, d->start);
	for (page = d->start; !err && page < d->end; page += PAGE) {
		is = v->page(v->ctx, page);
		if (is < 0)
			return is;
		add_page(&r->pages, is, PAGE);
		r->huge += is & PAGE_IS_HUGE ? PAGE : 0;
		err = share_page(&st, page, is);
	}
	return err;
}

static bool is_counted(const struct view *w)
{
	return w->live.chunks || w->live.bytes ||
	       (view_is_allocators(w->kind) && w->kind != VIEW_RESERVE);
}

static int count_pages(const struct look_view *v, struct waste *w)
{
	size_t nr = vma_map_count(v->s->vmas), i;
	int err = 0;

	w->regions = calloc(nr + 1, sizeof(*w->regions));
	if (!w->regions)
		return -ENOMEM;
	for (i = 0; !err && i < nr; i++) {
		struct view one = view_of(v->s, i);

		if (is_counted(&one))
			err = count_region(v, w, i);
	}
	w->pages_known = !err;
	return err;
}

/* --- hostages, system calls */

struct pins {
	const struct look_view *v;
	struct waste *w;
	int err;
};

static void count_pin(void *ctx, uint64_t addr, int64_t bytes)
{
	struct pins *p = ctx;
	struct chunk c = { 0 };
	struct waste_site *s;

	chunk_get(p->v->s->chunks, addr, &c);
	s = site_of(p->v, p->w, c.caller);
	if (s)
		s->hostage += bytes;
	else
		p->err = -ENOMEM;
}

static int count_hostages(const struct look_view *v, struct waste *w)
{
	struct pins p = { v, w, 0 };
	int err = held_pins(v, count_pin, &p);

	w->hostage_known = !err;
	return err ? err : p.err;
}

static int count_events(const struct look_view *v, struct waste *w)
{
	size_t i;

	for (i = 0; i < v->s->nr_sites; i++) {
		struct waste_site *s = site_of(v, w, v->s->sites[i].caller);

		if (!s)
			return -ENOMEM;
		s->events += v->s->sites[i].vma_events;
	}
	w->events_known = true;
	return 0;
}

static void add_pages(struct waste_pages *to, const struct waste_pages *p)
{
	to->resident += p->resident;
	to->swapped += p->swapped;
	to->untouched += p->untouched;
	to->spare += p->spare;
}

static void sum_up(struct waste *w)
{
	size_t i;

	for (i = 0; i < w->nr_sites; i++) {
		const struct waste_site *s = &w->sites[i];

		w->sum.chunks += s->chunks;
		w->sum.live += s->live;
		w->sum.slack += s->slack;
		w->sum.slack_chunks += s->slack_chunks;
		w->sum.hostage += s->hostage;
		w->sum.events += s->events;
		add_pages(&w->sum.pages, &s->pages);
	}
	add_pages(&w->sum.pages, &w->none);
}

int waste_count(const struct look_view *v, struct waste *w)
{
	int err;

	*w = (struct waste){ 0 };
	err = count_chunks(v, w);
	if (!err && v->page)
		err = count_pages(v, w);
	if (!err && v->book)
		err = count_hostages(v, w);
	if (!err && !v->s->vmas_sampled)
		err = count_events(v, w);
	w->slack_known = v->book;
	sum_up(w);
	return err;
}

void waste_free(struct waste *w)
{
	free(w->sites);
	free(w->chunks);
	free(w->regions);
	hash_destroy(&w->index);
}
