// SPDX-License-Identifier: GPL-2.0
/*
 * First all metas, which are few, then the headers of their slots in order of
 * address, for that is how memory is read quickest.
 */
#include "model/mallocng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ptmalloc_inside.h"

#define MAX_CHUNKS (32u << 20)
#define UNIT 16ull
#define HEADER 4ull /* bytes, before a chunk */
#define END_OF_ALL (1ull << 47)

/*
 * struct malloc_context of x86-64, where the size of a page is a constant; meta.h is
 * the same from 1.2.1 to 1.2.5.
 */
#define CONTEXT_SIZE 928
enum {
	SECRET = 0,
	INIT_DONE = 8,
	AVAIL_META_COUNT = 32,
	AREA_HEAD = 56,
	AREA_TAIL = 64,
	ACTIVE = 80
};

#define AREA 4096u
#define AREA_HEADER 24u /* secret, next, nslots */
#define META 40u
#define METAS ((AREA - AREA_HEADER) / META)

#define NR_CLASSES 48
#define MAPPED 63 /* the class of what has a mapping of its own */

/* Of a chunk's header: the three upper bits of the byte with the slot's number. */
enum { RESERVED_FAR = 5, RESERVED_GROUP = 6, RESERVED_MOVED = 7 };

/* Sizes of slots, in units. */
static const uint16_t classes[NR_CLASSES] = {
	1,    2,    3,	  4,	5,    6,    7,	  8,	9,    10,   12,	  15,
	18,   20,   25,	  31,	36,   42,   50,	  63,	72,   84,   102,  127,
	146,  170,  204,  255,	292,  340,  409,  511,	584,  682,  818,  1023,
	1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191,
};

struct group {
	uint64_t mem, meta;
	uint64_t stride; /* bytes from slot to slot */
	uint32_t used; /* a bit for each slot in use */
	uint8_t last; /* slot */
	bool mapped; /* it may be larger than any class */
};

struct walk {
	const struct pt_target *t;
	struct ng_book *b;
	size_t max;
	struct group *groups;
	size_t nr, room;
	size_t slots; /* in use, of all groups */
	size_t nr_near; /* bytes of the group that is at hand; 0: it is not small */
	uint8_t bytes[8192];
};

/* A malloc_context as it was read. */
struct context {
	uint64_t addr; /* 0: there is none */
	bool another; /* and nothing says which of the two is in use */
	uint8_t raw[CONTEXT_SIZE];
};

static uint32_t u16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

/* --- where it is */

static bool is_page(uint64_t addr)
{
	return addr && !(addr & (AREA - 1));
}

static unsigned int nr_slots(const uint8_t *area)
{
	uint32_t nr = pt_u32(area + 16);

	return nr <= METAS ? nr : 0;
}

/* *next: the area behind it. */
static bool is_area(const struct pt_target *t, uint64_t addr, uint64_t secret,
		    uint64_t *next)
{
	uint8_t raw[AREA_HEADER];

	if (!is_page(addr) || pt_peek(t, addr, raw, sizeof(raw)))
		return false;
	*next = pt_u64(raw + 8);
	return pt_u64(raw) == secret && nr_slots(raw);
}

static bool is_meta(const struct pt_target *t, uint64_t addr, uint64_t secret)
{
	uint64_t at = addr & (AREA - 1), next;

	return at >= AREA_HEADER && !((at - AREA_HEADER) % META) &&
	       is_area(t, addr - at, secret, &next);
}

static unsigned int class_of(uint64_t bits)
{
	return bits >> 6 & 63;
}

/* Is it of that class? One that has just been given back is of none. */
static bool has_class(const struct pt_target *t, uint64_t meta,
		      unsigned int class)
{
	uint64_t bits;

	return !pt_word(t, meta + 32, &bits) && class_of(bits) == class;
}

/* Worth a closer look? */
static bool may_be_context(const uint8_t *raw)
{
	return pt_u32(raw + INIT_DONE) == 1 && pt_u64(raw + SECRET) &&
	       is_page(pt_u64(raw + AREA_HEAD)) &&
	       is_page(pt_u64(raw + AREA_TAIL)) &&
	       pt_u64(raw + AVAIL_META_COUNT) <= METAS;
}

/*
 * Of what may be it. The areas have the secret, 64 bits of AT_RANDOM, as their first
 * word (meta_area.check), so this is no coincidence; and they are never given back,
 * so it holds whatever the threads are at. A group may have been given back since.
 */
static bool is_context(const struct pt_target *t, const uint8_t *raw)
{
	uint64_t secret = pt_u64(raw + SECRET), next, meta;
	size_t nr = 0, gone = 0;
	unsigned int i;

	if (!is_area(t, pt_u64(raw + AREA_HEAD), secret, &next) ||
	    !is_area(t, pt_u64(raw + AREA_TAIL), secret, &next) || next)
		return false;
	for (i = 0; i < NR_CLASSES; i++) {
		meta = pt_u64(raw + ACTIVE + i * 8ul);
		if (meta && !is_meta(t, meta, secret))
			return false;
		nr += meta != 0;
		gone += meta && !has_class(t, meta, i);
	}
	return gone <= t->nr_tids + nr / 4;
}

static void search_range(const struct pt_target *t, const struct pt_range *r,
			 struct context *c)
{
	uint8_t part[PT_PAGE + CONTEXT_SIZE];
	uint64_t at = (r->start + 7) & ~7ull, i;

	while (!c->another && at < r->end && r->end - at >= CONTEXT_SIZE) {
		uint64_t len = sizeof(part);
		uint64_t page =
			t->mem.next ? t->mem.next(t->mem.ctx, at, r->end) : at;

		if (page > at) {
			at = page;
			continue;
		}
		if (len > r->end - at)
			len = r->end - at;
		if (pt_peek(t, at, part, len))
			len = 0;
		for (i = 0; i + CONTEXT_SIZE <= len; i += 8)
			if (may_be_context(part + i) &&
			    is_context(t, part + i)) {
				/* Parts overlap, and so may ranges. */
				c->another |= c->addr && c->addr != at + i;
				c->addr = at + i;
				memcpy(c->raw, part + i, CONTEXT_SIZE);
			}
		at += PT_PAGE - at % PT_PAGE;
	}
}

/*
 * No symbol is asked for it: static programs have mostly lost theirs.
 *
 * A bss that ends where the heap begins is "[heap]" to some kernels (6.1), so all
 * that follows without a gap may be data. (musl's own heap is small, and begins with
 * a page without rights.)
 */
static int find_context(const struct pt_target *t, struct context *c,
			const char **why)
{
	size_t i;

	for (i = 0; i < t->nr_data; i++) {
		struct pt_range r = t->data[i];
		const struct pt_range *all =
			pt_in(t->ranges, t->nr_ranges, r.start, 1);

		if (all)
			r.end = all->end;
		search_range(t, &r, c);
	}
	if (c->addr && !c->another)
		return 0;
	*why = c->another ?
		       "two places in its data look like the books of musl's malloc" :
		       "no books of musl's malloc in its data: a musl before 1.2.1, one that changes too fast, or malloc has not been called";
	return -EBADMSG;
}

/* --- metas */

static int add_group(struct walk *w, const struct group *g)
{
	size_t more = w->room ? w->room * 2 : 256;
	struct group *p = w->groups;

	w->slots += (unsigned int)__builtin_popcount(g->used);
	if (w->slots > w->max)
		return -E2BIG;
	if (w->nr == w->room) {
		p = realloc(p, more * sizeof(*p));
		if (!p)
			return -ENOMEM;
		w->groups = p;
		w->room = more;
	}
	p[w->nr++] = *g;
	return 0;
}

/* False: it is no meta of a group, or not yet. */
static bool read_meta(const uint8_t *raw, uint64_t addr, struct group *g)
{
	uint32_t avail = pt_u32(raw + 24), freed = pt_u32(raw + 28);
	uint64_t bits = pt_u64(raw + 32), pages = bits >> 12, size;
	unsigned int class = class_of(bits), last = bits & 31;
	uint32_t all = (2u << last) - 1;

	*g = (struct group){ .mem = pt_u64(raw + 16),
			     .meta = addr,
			     .last = (uint8_t)last,
			     .mapped = pages && !last,
			     .used = all & ~(avail | freed) };
	if (class >= NR_CLASSES && (class != MAPPED || !g->mapped))
		return false;
	if (pages > END_OF_ALL / PT_PAGE)
		return false;
	g->stride = g->mapped ? pages * PT_PAGE - UNIT : classes[class] * UNIT;
	size = UNIT + g->stride * (last + 1);
	return !(g->mem & (UNIT - 1)) && g->mem < END_OF_ALL &&
	       size <= END_OF_ALL - g->mem &&
	       (!pages || size <= pages * PT_PAGE) &&
	       !((avail | freed) & ~all) && !(avail & freed);
}

static int read_area(struct walk *w, uint64_t addr, const uint8_t *raw)
{
	struct group g;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < nr_slots(raw); i++) {
		uint32_t at = AREA_HEADER + i * META;

		if (!pt_u64(raw + at + 16)) /* no group */
			continue;
		if (!read_meta(raw + at, addr + at, &g))
			w->b->lost++;
		else if (g.used)
			err = add_group(w, &g);
	}
	return err;
}

/* An area that is met again is where a loop began: then the chain has no end. */
static int read_areas(struct walk *w, uint64_t secret, uint64_t addr)
{
	uint8_t raw[AREA];
	uint64_t met = 0;
	size_t n;
	int err;

	for (n = 1; addr; n++) {
		if (!is_page(addr) || addr == met ||
		    pt_peek(w->t, addr, raw, sizeof(raw)) ||
		    pt_u64(raw) != secret || !nr_slots(raw))
			return -EAGAIN;
		err = read_area(w, addr, raw);
		if (err)
			return err;
		if (!(n & (n - 1)))
			met = addr;
		addr = pt_u64(raw + 8);
	}
	return 0;
}

/* --- slots */

static int see(struct walk *w, const struct group *g, uint64_t addr, void *buf,
	       size_t len)
{
	if (!w->nr_near)
		return pt_peek(w->t, addr, buf, len);
	memcpy(buf, w->bytes + (addr - g->mem), len);
	return 0;
}

/* Is this, the 8 bytes before p, the header of a chunk in that slot? */
static bool is_header(const struct group *g, unsigned int slot, uint64_t p,
		      const uint8_t *h)
{
	uint64_t units = (p - g->mem - UNIT) / UNIT;

	if ((h[5] & 31) != slot || h[5] >> 5 > RESERVED_GROUP)
		return false;
	if (h[4])
		return !u16(h + 6) && units > 0xffff && pt_u32(h) == units;
	return u16(h + 6) == units;
}

/*
 * What aligned_alloc() has moved by 2^16 units or more stands at a multiple of what
 * was asked for, a power of two; the header at the slot's beginning has the lower
 * 16 bits.
 */
static bool find_far(struct walk *w, const struct group *g, uint64_t start,
		     uint64_t end, uint64_t *p, uint8_t *h)
{
	uint32_t low = u16(h + 6);
	uint64_t align;

	for (align = UNIT << 16; g->mapped && align < END_OF_ALL; align *= 2) {
		*p = (start + align - 1) & ~(align - 1);
		if (*p >= end)
			return false;
		if (((*p - start) / UNIT & 0xffff) == low &&
		    !see(w, g, *p - 8, h, 8) && is_header(g, 0, *p, h))
			return true;
	}
	return false;
}

/* *p: where the chunk begins, *h: the 8 bytes before. False: the slot has none (yet). */
static bool find_chunk(struct walk *w, const struct group *g, unsigned int slot,
		       uint64_t start, uint64_t end, uint64_t *p, uint8_t *h)
{
	uint8_t first[8];

	*p = start;
	if (see(w, g, start - 8, h, 8))
		return false;
	if (h[5] != RESERVED_MOVED << 5)
		return is_header(g, slot, start, h);
	memcpy(first, h, 8);
	*p += u16(h + 6) * UNIT;
	if (*p < end && !see(w, g, *p - 8, h, 8) && is_header(g, slot, *p, h))
		return true;
	memcpy(h, first, 8);
	return find_far(w, g, start, end, p, h);
}

/* Bytes at the slot's end that nobody asked for. */
static uint64_t spare(struct walk *w, const struct group *g, uint64_t p,
		      uint64_t end, const uint8_t *h)
{
	uint32_t n = h[5] >> 5;

	/* The program may have written there, or a thread is about to. */
	if (n == RESERVED_FAR &&
	    (see(w, g, end - 4, &n, 4) || n < RESERVED_FAR || n > end - p))
		n = 0;
	return n;
}

static void read_slot(struct walk *w, const struct group *g, unsigned int slot)
{
	uint64_t start = g->mem + UNIT + g->stride * slot, p;
	uint64_t end = start + g->stride - HEADER;
	struct ng_book *b = w->b;
	uint8_t h[8];

	if (!find_chunk(w, g, slot, start, end, &p, h))
		b->unready++;
	else if (h[5] >> 5 != RESERVED_GROUP)
		b->chunks[b->nr_chunks++] = (struct found_chunk){
			p, end - p - spare(w, g, p, end, h)
		};
}

static void read_group(struct walk *w, const struct group *g)
{
	uint64_t size = UNIT + g->stride * (g->last + 1), back;
	unsigned int slot;

	w->nr_near = 0;
	if (size <= sizeof(w->bytes) && !pt_peek(w->t, g->mem, w->bytes, size))
		w->nr_near = size;
	if (see(w, g, g->mem, &back, 8) || back != g->meta) {
		w->b->lost++;
		return;
	}
	w->b->nr_groups++;
	for (slot = 0; slot <= g->last; slot++)
		if (g->used >> slot & 1)
			read_slot(w, g, slot);
}

static int by_address(const void *va, const void *vb)
{
	const struct group *a = va, *b = vb;

	return a->mem < b->mem ? -1 : a->mem > b->mem;
}

static int read_groups(struct walk *w)
{
	size_t i;

	w->b->chunks = calloc(w->slots + 1, sizeof(*w->b->chunks));
	if (!w->b->chunks)
		return -ENOMEM;
	if (w->nr)
		qsort(w->groups, w->nr, sizeof(*w->groups), by_address);
	for (i = 0; i < w->nr; i++)
		read_group(w, &w->groups[i]);
	return 0;
}

/*
 * A thread leaves one group or slot, or all slots of a group, in between; a process
 * that runs on while it is read many more. Beyond that these are not the books.
 */
static bool is_plausible(const struct walk *w)
{
	size_t threads = w->t->nr_tids;

	return (w->b->nr_groups || !w->nr) &&
	       w->b->lost <= 1 + threads + w->nr / 4 &&
	       w->b->unready <= 32 + threads + w->slots / 4;
}

int ng_read(const struct pt_target *t, struct ng_book *b, const char **why)
{
	struct walk w = { .t = t,
			  .b = b,
			  .max = t->max_chunks ? t->max_chunks : MAX_CHUNKS };
	struct context c = { 0 };
	int err;

	*b = (struct ng_book){ 0 };
	*why = NULL;
	err = find_context(t, &c, why);
	if (err)
		return err;
	b->context = c.addr;
	err = read_areas(&w, pt_u64(c.raw + SECRET), pt_u64(c.raw + AREA_HEAD));
	if (!err)
		err = read_groups(&w);
	if (!err && !is_plausible(&w))
		err = -EAGAIN;
	free(w.groups);
	if (!err)
		return 0;
	ng_free(b);
	*why = err == -E2BIG  ? "it has more chunks than may be read" :
	       err == -ENOMEM ? "no memory" :
				"the books of its malloc contradict each other";
	return err;
}

void ng_free(struct ng_book *b)
{
	free(b->chunks);
	*b = (struct ng_book){ 0 };
}
