// SPDX-License-Identifier: GPL-2.0
#include "output/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "output/syscall.h"
#include "output/text.h"
#include "output/total.h"

#define SLOTS 800 /* at most, over all the time */
#define FIRST_SLOT 1000ull /* ns */
#define TOP 3 /* causes kept of a slot */
#define SAMPLES 512
#define LOOKS (4u << 20) /* at VMAs; after so many slots are doubled, too */

enum deed { BRK, MMAP, MUNMAP, MPROTECT, MREMAP, OTHER, DEEDS };
static const char *const deeds[DEEDS] = { "brk",      "mmap",	"munmap",
					  "mprotect", "mremap", "other" };

/* Sizes of VMAs; those of the allocator's are under TERM_HELD. */
struct sizes {
	uint64_t term[TERMS], reserve;
};

struct slot {
	uint64_t nr; /* since `start` */
	bool has_state;
	struct sizes sizes;
	uint64_t live;
	uint64_t n[DEEDS], mapped, unmapped, changed;
	struct cause *top[TOP]; /* owned references, the largest first */
};

struct sample {
	uint64_t ts;
	uint64_t term[TERMS];
};

/* The history of one space. */
struct line {
	const struct space *s;
	struct slot *slots; /* nr rising */
	size_t nr, cap;
	struct sizes sizes; /* as of the last look, */
	bool stale; /* since when VMAs have changed */
	struct cause *last; /* owned reference: a record may come in parts */
	uint64_t last_mapped, last_unmapped, last_changed;
	uint64_t peak, peak_slot;
	struct sample *samples;
	size_t nr_samples, cap_samples;
	unsigned int skip; /* of so many samples one is kept, */
	unsigned int since; /* this many came since the last one */
};

struct history {
	const struct model *m;
	uint64_t start, slot; /* ns */
	uint64_t now; /* number of the slot that is being filled */
	uint64_t looks; /* at VMAs, since slots were doubled */
	struct line **lines;
	size_t nr, cap;
	struct hash by_mm;
	bool failed;
};

struct history *history_new(const struct model *m, uint64_t start)
{
	struct history *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->m = m;
	h->start = start;
	h->slot = FIRST_SLOT;
	return h;
}

static void free_slot(struct slot *s)
{
	for (int i = 0; i < TOP; i++)
		cause_put(s->top[i]);
}

static void free_line(struct line *l)
{
	for (size_t i = 0; i < l->nr; i++)
		free_slot(&l->slots[i]);
	cause_put(l->last);
	free(l->slots);
	free(l->samples);
	free(l);
}

void history_free(struct history *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->nr; i++)
		free_line(h->lines[i]);
	free(h->lines);
	hash_destroy(&h->by_mm);
	free(h);
}

/* Room for one more at the end of an array; NULL: no memory, it is as it was. */
static void *room(void *array, size_t nr, size_t *cap, size_t size)
{
	void *more;

	if (nr < *cap)
		return array;
	more = realloc(array, (*cap ? 2 * *cap : 16) * size);
	if (more)
		*cap = *cap ? 2 * *cap : 16;
	return more;
}

static struct line *line_of(struct history *h, const struct space *s)
{
	struct line *l = hash_get(&h->by_mm, s->mm, 0), **lines;

	if (l)
		return l;
	lines = room(h->lines, h->nr, &h->cap, sizeof(*lines));
	l = lines ? calloc(1, sizeof(*l)) : NULL;
	if (lines)
		h->lines = lines;
	if (!l || hash_put(&h->by_mm, s->mm, 0, l)) {
		free(l);
		h->failed = true;
		return NULL;
	}
	l->s = s;
	l->skip = 1;
	h->lines[h->nr++] = l;
	return l;
}

/* The slot that is being filled. */
static struct slot *slot_of(struct history *h, struct line *l)
{
	struct slot *slots;

	if (l->nr && l->slots[l->nr - 1].nr == h->now)
		return &l->slots[l->nr - 1];
	slots = room(l->slots, l->nr, &l->cap, sizeof(*slots));
	if (!slots) {
		h->failed = true;
		return NULL;
	}
	l->slots = slots;
	l->slots[l->nr] = (struct slot){ .nr = h->now };
	return &l->slots[l->nr++];
}

/* --- causes */

static uint64_t weight(const struct cause *c)
{
	return c->mapped + c->unmapped + c->changed;
}

/* Keeps it if it is one of the largest; takes the reference over. */
static void keep_top(struct slot *s, struct cause *c)
{
	for (int i = 0; i < TOP && c; i++) {
		struct cause *old = s->top[i];

		if (old && weight(old) >= weight(c))
			continue;
		s->top[i] = c;
		c = old;
	}
	cause_put(c);
}

static enum deed deed_of(const struct cause *c)
{
	char buf[32];
	const char *name;
	int d;

	if (c->kind != CAUSE_SYSCALL)
		return OTHER;
	name = syscall_name(c->syscall, c->compat, buf);
	if (!strcmp(name, "mmap2"))
		return MMAP;
	for (d = 0; d < OTHER && strcmp(name, deeds[d]); d++)
		;
	return d;
}

/* Those that report counts as events. */
static bool is_event(const struct cause *c)
{
	return c->kind == CAUSE_SYSCALL || c->kind == CAUSE_FAULT ||
	       c->kind == CAUSE_OTHER;
}

static void note_cause(struct line *l, struct slot *s, const struct cause *told)
{
	struct cause *c = (struct cause *)told;

	if (l->last != c) {
		cause_put(l->last);
		l->last = cause_get(c);
		l->last_mapped = l->last_unmapped = l->last_changed = 0;
		s->n[deed_of(c)]++;
		keep_top(s, cause_get(c));
	}
	s->mapped += c->mapped - l->last_mapped;
	s->unmapped += c->unmapped - l->last_unmapped;
	s->changed += c->changed - l->last_changed;
	l->last_mapped = c->mapped;
	l->last_unmapped = c->unmapped;
	l->last_changed = c->changed;
}

/* --- state */

/* Who made a VMA takes long to find, and matters for few. */
static enum term term_of_vma(const struct space *s, size_t i)
{
	const struct vma *v = vma_map_at(s->vmas, i);
	enum view_kind kind = view_kind_at(s, i);
	unsigned int parts;

	return term_of(kind,
		       kind == VIEW_ANON ? view_made(s, v, &parts) : v->made);
}

static struct sizes sizes_of(const struct space *s)
{
	struct sizes n = { .reserve = 0 };

	for (size_t i = 0; i < vma_map_count(s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;

		if (d->flags & (VMA_READ | VMA_WRITE | VMA_EXEC))
			n.term[term_of_vma(s, i)] += d->end - d->start;
		else
			n.reserve += d->end - d->start;
	}
	return n;
}

/* The slot ends: what is the state? */
static void end_slot(struct history *h, struct line *l)
{
	uint64_t live = chunk_total(l->s->chunks).bytes;
	struct slot *s;

	if (chunk_peak(l->s->chunks) > l->peak) {
		l->peak = chunk_peak(l->s->chunks);
		l->peak_slot = h->now;
	}
	s = l->nr ? &l->slots[l->nr - 1] : NULL;
	if (!l->stale && s && s->nr != h->now && s->has_state &&
	    s->live == live)
		return;
	s = slot_of(h, l);
	if (!s)
		return;
	if (l->stale) {
		l->sizes = sizes_of(l->s);
		h->looks += vma_map_count(l->s->vmas);
	}
	l->stale = false;
	s->has_state = true;
	s->sizes = l->sizes;
	s->live = live;
}

static void end_slots(struct history *h)
{
	for (size_t i = 0; i < h->nr; i++)
		end_slot(h, h->lines[i]);
}

/* --- slots of twice the length */

static void merge_slot(struct slot *a, struct slot *b)
{
	int i;

	if (b->has_state) {
		a->has_state = true;
		a->sizes = b->sizes;
		a->live = b->live;
	}
	for (i = 0; i < DEEDS; i++)
		a->n[i] += b->n[i];
	a->mapped += b->mapped;
	a->unmapped += b->unmapped;
	a->changed += b->changed;
	for (i = 0; i < TOP; i++)
		if (b->top[i])
			keep_top(a, b->top[i]);
}

static void coarser_line(struct line *l)
{
	size_t i, nr = 0;

	l->peak_slot /= 2;
	for (i = 0; i < l->nr; i++) {
		l->slots[i].nr /= 2;
		if (nr && l->slots[nr - 1].nr == l->slots[i].nr)
			merge_slot(&l->slots[nr - 1], &l->slots[i]);
		else
			l->slots[nr++] = l->slots[i];
	}
	l->nr = nr;
}

static void coarser(struct history *h)
{
	h->slot *= 2;
	h->now /= 2;
	h->looks = 0;
	for (size_t i = 0; i < h->nr; i++)
		coarser_line(h->lines[i]);
}

uint64_t history_advance(void *ctx, uint64_t ts)
{
	struct history *h = ctx;
	uint64_t nr = ts < h->start ? 0 : (ts - h->start) / h->slot;

	if (nr <= h->now)
		return 0;
	end_slots(h);
	if (h->looks > LOOKS)
		coarser(h);
	while ((nr = (ts - h->start) / h->slot) >= SLOTS)
		coarser(h);
	h->now = nr;
	return 0;
}

/* --- samples */

static void thin_out(struct line *l)
{
	size_t i, nr = 0;

	for (i = 1; i < l->nr_samples; i += 2)
		l->samples[nr++] = l->samples[i];
	l->nr_samples = nr;
	l->skip *= 2;
}

static void note_sample(struct history *h, struct line *l)
{
	struct totals t;
	struct sample *more;

	if (l->nr_samples >= SAMPLES)
		thin_out(l);
	if (++l->since < l->skip)
		return;
	l->since = 0;
	more = room(l->samples, l->nr_samples, &l->cap_samples, sizeof(*more));
	if (!more) {
		h->failed = true;
		return;
	}
	l->samples = more;
	t = totals_of(l->s);
	more[l->nr_samples].ts = l->s->sampled_at;
	memcpy(more[l->nr_samples++].term, t.term, sizeof(t.term));
}

void history_told(void *ctx, const struct outcome *out)
{
	struct history *h = ctx;
	struct line *l;
	struct slot *s;

	if (!out->space ||
	    (out->ev->kind != EV_RANGE && out->ev->kind != EV_RESIDENT &&
	     out->ev->kind != EV_MM))
		return;
	l = line_of(h, out->space);
	if (!l)
		return;
	if (out->ev->kind == EV_RESIDENT) {
		note_sample(h, l);
		return;
	}
	l->stale = true;
	if (out->ev->kind != EV_RANGE || !is_event(out->cause))
		return;
	s = slot_of(h, l);
	if (s)
		note_cause(l, s, out->cause);
}

int history_end(struct history *h, uint64_t ts)
{
	history_advance(h, ts);
	end_slots(h);
	return h->failed ? -ENOMEM : 0;
}

/* --- JSON */

static void push(json_t *object, const char *key, uint64_t n)
{
	json_t *list = json_object_get(object, key);

	if (!list) {
		list = json_array();
		json_object_set_new(object, key, list);
	}
	json_array_append_new(list, json_u64(n));
}

static uint64_t slot_end(const struct history *h, uint64_t nr)
{
	return (nr + 1) * h->slot;
}

static json_t *json_states(const struct history *h, const struct line *l)
{
	json_t *j = json_object(), *size = json_object(), *t = json_array();

	json_object_set_new(j, "t", t);
	json_object_set_new(j, "live", json_array());
	json_object_set_new(j, "reserve", json_array());
	json_object_set_new(j, "size", size);
	for (size_t i = 0; i < l->nr; i++) {
		const struct slot *s = &l->slots[i];

		if (!s->has_state)
			continue;
		json_array_append_new(t, json_u64(slot_end(h, s->nr)));
		push(j, "live", s->live);
		push(j, "reserve", s->sizes.reserve);
		for (int k = TERM_HELD; k < TERMS; k++)
			push(size, term_key(k), s->sizes.term[k]);
	}
	if (!space_has_chunks(l->s))
		json_object_set_new(j, "live", json_null());
	return j;
}

static json_t *json_samples(const struct history *h, const struct line *l)
{
	json_t *j = json_object();

	for (size_t i = 0; i < l->nr_samples; i++) {
		const struct sample *s = &l->samples[i];

		push(j, "t", s->ts > h->start ? s->ts - h->start : 0);
		for (int k = 0; k < TERMS; k++)
			push(j, term_key(k), s->term[k]);
	}
	return j;
}

static char *call_text(const struct cause *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (c->kind == CAUSE_SYSCALL)
		put_syscall(f, c->syscall, c->compat, c->args);
	return fclose(f) ? NULL : text;
}

static json_t *json_deed(const struct history *h, const struct output *o,
			 const struct space *s, const struct cause *c)
{
	char *what = cause_text(o, s, c), *call = call_text(c);
	json_t *j = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "t",
			      json_u64(c->ts > h->start ? c->ts - h->start : 0),
			      "tid", json_u64(c->tid), "what",
			      json_name(what ? what : "?"), "call",
			      json_name(call ? call : "?"), "mapped",
			      json_u64(c->mapped), "unmapped",
			      json_u64(c->unmapped), "changed",
			      json_u64(c->changed));

	free(what);
	free(call);
	return j;
}

static json_t *json_slot(const struct history *h, const struct output *o,
			 const struct space *s, const struct slot *e)
{
	json_t *n = json_object(), *top = json_array();
	int i;

	for (i = 0; i < DEEDS; i++)
		if (e->n[i])
			json_object_set_new(n, deeds[i], json_u64(e->n[i]));
	for (i = 0; i < TOP && e->top[i]; i++)
		json_array_append_new(top, json_deed(h, o, s, e->top[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "t",
			 json_u64(e->nr * h->slot), "n", n, "mapped",
			 json_u64(e->mapped), "unmapped", json_u64(e->unmapped),
			 "changed", json_u64(e->changed), "top", top);
}

static json_t *json_events(const struct history *h, const struct output *o,
			   const struct line *l)
{
	json_t *list;

	if (l->s->vmas_sampled)
		return json_null();
	list = json_array();
	for (size_t i = 0; i < l->nr; i++)
		if (l->slots[i].top[0])
			json_array_append_new(list, json_slot(h, o, l->s,
							      &l->slots[i]));
	return list;
}

json_t *history_json(const struct history *h, const struct output *o,
		     const struct space *s)
{
	const struct line *l = hash_get(&h->by_mm, s->mm, 0);
	json_t *j;

	if (!l)
		return json_null();
	j = json_states(h, l);
	json_object_set_new(j, "slot", json_u64(h->slot));
	json_object_set_new(
		j, "peak",
		space_has_chunks(s) && l->peak ?
			json_pack("{s:o, s:o}", "at",
				  json_u64(slot_end(h, l->peak_slot)), "bytes",
				  json_u64(l->peak)) :
			json_null());
	json_object_set_new(j, "resident", json_samples(h, l));
	json_object_set_new(j, "events", json_events(h, o, l));
	return j;
}
