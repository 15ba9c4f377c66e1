// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "model/ptmalloc.h"
#include "model/score.h"

#define PAGE 4096ull
#define NR_MMAP 9
#define NR_MREMAP 25
#define PROT_RW 3
#define MAX_ACTS 8

/* Memory that a thread got from the kernel, perhaps inside of the call that is to come. */
struct act {
	struct cause *cause; /* owned reference */
	uint64_t start, end; /* what came */
};

struct acts {
	struct act v[MAX_ACTS];
	unsigned int nr;
	uint16_t thread; /* its index */
	/* That its realloc was called with, while that lasts; 0: NULL. */
	uint64_t old;
	uint32_t slot; /* what is there */
};

/*
 * What an address stands for, as the value of a hash: never NULL. OWED: instead of
 * a slot, the number of frees whose births are still to come from other threads.
 */
enum place_state { PLACE_EMPTY = 1, PLACE_LIVE, PLACE_OWED };

struct score_inside {
	struct hash
		places; /* address, 0 -> slot and state; address, 1 -> a second chunk */
	struct hash threads; /* tid -> struct acts */
	uint32_t *unused; /* slots, a stack */
	size_t nr_unused, cap_unused;
	uint64_t *chunks; /* by slot: size of a chunk with a mapping of its own, or 0 */
	uint64_t *sizes; /* by slot: what was asked for */
	size_t cap_slots;
	bool exact; /* the VMAs' events are those of the module */
	bool begun;
};

struct score *score_new(uint64_t mm)
{
	struct score *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->mm = mm;
	s->in = calloc(1, sizeof(*s->in));
	if (s->in)
		return s;
	free(s);
	return NULL;
}

static void clear_acts(struct acts *a)
{
	while (a->nr)
		cause_put(a->v[--a->nr].cause);
}

static bool free_acts(void *val, void *ctx)
{
	(void)ctx;
	clear_acts(val);
	free(val);
	return true;
}

void score_end(struct score *s)
{
	struct score_inside *in = s->in;

	if (!in)
		return;
	if (!in->exact) {
		free(s->mapped);
		s->mapped = NULL;
	}
	hash_filter(&in->threads, free_acts, NULL);
	hash_destroy(&in->threads);
	hash_destroy(&in->places);
	free(in->unused);
	free(in->chunks);
	free(in->sizes);
	free(in);
	s->in = NULL;
}

void score_free(struct score *s)
{
	if (!s)
		return;
	score_end(s);
	free(s->notes);
	free(s->addrs);
	free(s->mapped);
	free(s->frees);
	free(s);
}

/* --- memory */

/* Room for one more in *v; false: there is none. */
static bool room(void **v, size_t size, size_t nr, size_t *cap)
{
	size_t more = *cap ? 2 * *cap : 256;
	void *p;

	if (nr < *cap)
		return true;
	p = realloc(*v, more * size);
	if (!p)
		return false;
	*v = p;
	*cap = more;
	return true;
}

/* Arrays side by side have one capacity. */
static bool room_notes(struct score *s)
{
	size_t caps[3] = { s->cap, s->cap, s->cap };

	if (s->nr < s->cap)
		return true;
	if (!room((void **)&s->notes, sizeof(*s->notes), s->nr, &caps[0]) ||
	    !room((void **)&s->addrs, sizeof(*s->addrs), s->nr, &caps[1]) ||
	    !room((void **)&s->mapped, sizeof(*s->mapped), s->nr, &caps[2]))
		return false;
	s->cap = caps[0];
	return true;
}

static bool room_slots(struct score *s)
{
	size_t caps[2] = { s->in->cap_slots, s->in->cap_slots };

	if (!room((void **)&s->in->chunks, 8, s->nr_slots, &caps[0]) ||
	    !room((void **)&s->in->sizes, 8, s->nr_slots, &caps[1]))
		return false;
	s->in->cap_slots = caps[0];
	return true;
}

static bool add_note(struct score *s, const struct score_note *n, uint64_t addr,
		     uint64_t mapped)
{
	if (!room_notes(s))
		return false;
	s->notes[s->nr] = *n;
	s->addrs[s->nr] = addr;
	s->mapped[s->nr++] = mapped;
	return true;
}

/* --- slots */

static bool new_slot(struct score *s, uint32_t *slot)
{
	if (s->in->nr_unused) {
		*slot = s->in->unused[--s->in->nr_unused];
		return true;
	}
	if (s->nr_slots > UINT32_MAX / 8 || !room_slots(s))
		return false;
	*slot = (uint32_t)s->nr_slots++;
	return true;
}

static bool give_back(struct score *s, uint32_t slot)
{
	struct score_inside *in = s->in;

	if (!room((void **)&in->unused, sizeof(*in->unused), in->nr_unused,
		  &in->cap_unused))
		return false;
	in->unused[in->nr_unused++] = slot;
	return true;
}

static enum place_state place(const struct score *s, uint64_t addr,
			      uint64_t which, uint32_t *slot)
{
	uintptr_t v = (uintptr_t)hash_get(&s->in->places, addr, which);

	*slot = (uint32_t)(v >> 2);
	return v ? (enum place_state)(v & 3) : PLACE_EMPTY;
}

static bool set_place(struct score *s, uint64_t addr, uint64_t which,
		      enum place_state state, uint32_t slot)
{
	return !hash_put(&s->in->places, addr, which,
			 (void *)((uintptr_t)slot << 2 | state));
}

/* --- threads and what the kernel gave them */

static struct acts *acts_of(struct score *s, const struct event *ev)
{
	struct acts *a = hash_get(&s->in->threads, ev->tid, 0);

	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	if (!s->nr_threads)
		s->nr_threads = 1; /* the first one's place is kept */
	a->thread = ev->tid == ev->tgid ? 0 : (uint16_t)s->nr_threads++;
	if (s->nr_threads > UINT16_MAX ||
	    hash_put(&s->in->threads, ev->tid, 0, a)) {
		free(a);
		return NULL;
	}
	return a;
}

static bool is_news(const struct vma_change *c)
{
	return c->kind == VMA_CREATED || c->kind == VMA_GREW ||
	       c->kind == VMA_MOVED;
}

static bool gives_memory(const struct cause *c)
{
	return c->kind == CAUSE_SYSCALL && !c->compat &&
	       ((c->syscall == NR_MMAP && c->args[2] == PROT_RW) ||
		c->syscall == NR_MREMAP);
}

static bool take_range(struct score *s, const struct outcome *out)
{
	struct acts *a;
	size_t i;

	s->in->exact |= !out->space->vmas_sampled;
	if (!out->cause || !gives_memory(out->cause))
		return true;
	a = acts_of(s, out->ev);
	if (!a)
		return false;
	for (i = 0; i < out->nr_changes && i < OUTCOME_CHANGES; i++) {
		if (!is_news(&out->changes[i]))
			continue;
		if (a->nr == MAX_ACTS)
			clear_acts(a);
		a->v[a->nr++] = (struct act){
			/* The model lends it as const; a reference is no change. */
			.cause = cause_get((struct cause *)out->cause),
			.start = out->changes[i].start,
			.end = out->changes[i].end,
		};
	}
	return true;
}

/*
 * The size of the chunk at addr, if this very call got a mapping for it alone: no
 * longer than that takes (sysmalloc_mmap(), _int_memalign()). Else 0.
 */
static uint64_t own_mapping(const struct acts *a, const struct event *ev)
{
	uint64_t addr = ev->call.addr, most;
	unsigned int i;

	most = ev->call.size + ev->call.align + 3 * PAGE;
	for (i = 0; i < a->nr; i++) {
		const struct act *t = &a->v[i];

		if (t->cause->op == CALL_NONE || t->start > addr ||
		    addr + ev->call.size > t->end || t->end - t->start > most ||
		    addr - t->start > PAGE + ev->call.align)
			continue;
		return t->end - (addr - 16);
	}
	return 0;
}

/* --- calls */

static uint8_t op_of(enum call_op op, uint64_t align)
{
	switch (op) {
	case CALL_CALLOC:
		return SCORE_CALLOC;
	case CALL_VALLOC:
		return SCORE_VALLOC;
	case CALL_PVALLOC:
		return SCORE_PVALLOC;
	default:
		return align ? SCORE_MEMALIGN : SCORE_MALLOC;
	}
}

static uint8_t log2_of(uint64_t align)
{
	return align ? (uint8_t)(63 - __builtin_clzll(align)) : 0;
}

/* Could its free raise the threshold? (The size of a chunk is a bit more.) */
static bool is_large(uint64_t size)
{
	return size > THRESHOLD_FIRST - PAGE;
}

static bool take_large_free(struct score *s, const struct event *ev,
			    uint64_t caller, uint64_t addr, uint32_t slot)
{
	if (!is_large(s->in->sizes[slot]))
		return true;
	if (!room((void **)&s->frees, sizeof(*s->frees), s->nr_frees,
		  &s->cap_frees))
		return false;
	s->frees[s->nr_frees++] =
		(struct score_free){ .note = s->nr,
				     .ts = ev->ts,
				     .addr = addr,
				     .caller = caller,
				     .tid = ev->tid,
				     .chunk = s->in->chunks[slot] };
	return true;
}

static bool play_free(struct score *s, const struct event *ev, uint16_t thread,
		      uint64_t addr, uint32_t slot)
{
	struct score_note n = { .op = SCORE_FREE,
				.slot = slot,
				.thread = thread };

	return take_large_free(s, ev, ev->call.caller, addr, slot) &&
	       add_note(s, &n, 0, 0) && give_back(s, slot);
}

/*
 * The slot of the chunk that dies at addr, and the place is empty. False: the
 * birth is still to come, from another thread.
 */
static bool leave_place(struct score *s, uint64_t addr, uint32_t *slot,
			bool *ok)
{
	uint32_t second;

	if (place(s, addr, 0, slot) != PLACE_LIVE)
		return false;
	if (place(s, addr, 1, &second) == PLACE_LIVE)
		*ok = set_place(s, addr, 0, PLACE_LIVE, second) &&
		      set_place(s, addr, 1, PLACE_EMPTY, 0);
	else
		*ok = set_place(s, addr, 0, PLACE_EMPTY, 0);
	return true;
}

static bool take_free(struct score *s, const struct event *ev, uint16_t thread)
{
	uint64_t addr = ev->call.addr;
	uint32_t slot, owed;
	bool ok = true;

	if (!addr)
		return true;
	if (leave_place(s, addr, &slot, &ok))
		return ok && play_free(s, ev, thread, addr, slot);
	if (place(s, addr, 0, &owed) != PLACE_OWED)
		owed = 0;
	return set_place(s, addr, 0, PLACE_OWED, owed + 1);
}

/* A chunk is at addr now. */
static bool enter_place(struct score *s, const struct event *ev, uint64_t addr,
			uint16_t thread, uint32_t slot)
{
	uint32_t other;

	switch (place(s, addr, 0, &other)) {
	case PLACE_LIVE: /* whose free is still to come */
		s->disorder += place(s, addr, 1, &other) == PLACE_LIVE;
		return set_place(s, addr, 1, PLACE_LIVE, slot);
	case PLACE_OWED: /* it has been freed, too */
		return set_place(s, addr, 0,
				 other > 1 ? PLACE_OWED : PLACE_EMPTY,
				 other - 1) &&
		       play_free(s, ev, thread, addr, slot);
	default:
		return set_place(s, addr, 0, PLACE_LIVE, slot);
	}
}

static bool take_alloc(struct score *s, const struct event *ev,
		       const struct acts *a)
{
	struct score_note n = { .op = op_of(ev->call.op, ev->call.align),
				.align = log2_of(ev->call.align),
				.size = ev->call.size,
				.thread = a->thread };

	if (!ev->call.addr)
		return true;
	if (!new_slot(s, &n.slot))
		return false;
	s->in->chunks[n.slot] = own_mapping(a, ev);
	s->in->sizes[n.slot] = ev->call.size;
	return add_note(s, &n, ev->call.addr, s->in->chunks[n.slot]) &&
	       enter_place(s, ev, ev->call.addr, a->thread, n.slot);
}

/* The chunk is at no address until it returns: another thread may get the old one. */
static bool take_realloc_enter(struct score *s, const struct event *ev,
			       struct acts *a)
{
	bool ok = true;

	a->old = ev->call.addr;
	if (!a->old || leave_place(s, a->old, &a->slot, &ok))
		return ok;
	s->disorder++;
	a->old = 0;
	return true;
}

static bool place_again(struct score *s, const struct event *ev, struct acts *a,
			uint64_t addr)
{
	struct score_note n = { .op = SCORE_REALLOC,
				.size = ev->call.size,
				.thread = a->thread,
				.slot = a->slot };
	uint64_t chunk = own_mapping(a, ev);

	if (chunk || addr != a->old)
		s->in->chunks[n.slot] = chunk;
	s->in->sizes[n.slot] = ev->call.size;
	return add_note(s, &n, addr, s->in->chunks[n.slot]) &&
	       enter_place(s, ev, addr, a->thread, n.slot);
}

static bool take_realloc(struct score *s, const struct event *ev,
			 struct acts *a)
{
	if (!a->old)
		return take_alloc(s, ev, a);
	if (ev->call.addr)
		return place_again(s, ev, a, ev->call.addr);
	if (ev->call.size) /* failed: it is where it was */
		return enter_place(s, ev, a->old, a->thread, a->slot);
	return play_free(s, ev, a->thread, a->old, a->slot);
}

static bool take_call(struct score *s, const struct outcome *out)
{
	const struct event *ev = out->ev;
	struct acts *a = acts_of(s, ev);
	bool ok = true;

	if (!a)
		return false;
	switch (ev->call.phase) {
	case CALL_ALLOC:
		ok = take_alloc(s, ev, a);
		break;
	case CALL_FREED:
		ok = take_free(s, ev, a->thread);
		break;
	case CALL_REALLOC_ENTER:
		return take_realloc_enter(s, ev, a);
	case CALL_REALLOC_RETURN:
		ok = take_realloc(s, ev, a);
		a->old = 0;
		break;
	case CALL_LEAVE:
		break;
	}
	clear_acts(a);
	return ok;
}

/* A trace may have lost its beginning: then the model begins with what it had. */
static void begin(struct score *s, const struct outcome *out)
{
	uint64_t calls = 0;
	size_t i;

	for (i = 0; i < CALL_OP_MAX; i++)
		calls += out->space->ops[i].calls;
	s->late = calls > (out->ev->kind == EV_CALL);
	s->in->begun = true;
}

void score_take(struct score *s, const struct outcome *out)
{
	bool ok = true;

	if (s->no_memory)
		return;
	if (!s->in->begun)
		begin(s, out);
	if (out->ev->kind == EV_RANGE)
		ok = take_range(s, out);
	else if (out->ev->kind == EV_CALL)
		ok = take_call(s, out);
	s->no_memory = !ok;
}

/* --- the threshold */

/* Of the i-th note: the size of its chunk if it got a mapping of its own, or 0. */
static uint64_t mapped(const struct score *s, const struct score_heard *heard,
		       size_t i)
{
	if (!heard)
		return s->mapped[i];
	return heard[i].head & PT_IS_MMAPPED ? heard[i].head & ~7ull : 0;
}

/* request2size(), malloc/malloc.c */
static uint64_t chunk_size(uint64_t size)
{
	uint64_t n = (size + 8 + 15) & ~15ull;

	return n < 32 ? 32 : n;
}

static void count_alloc(struct threshold *t, const struct score_note *n,
			uint64_t own)
{
	uint64_t size = chunk_size(n->size);
	size_t i;

	if (own) {
		t->contradictions += n->op != SCORE_MEMALIGN &&
				     n->op != SCORE_REALLOC && size < t->now;
		return;
	}
	for (i = 0; i < t->nr; i++) {
		struct threshold_rise *r = &t->rises[i];

		if (size < r->from || size >= r->to)
			continue;
		r->calls++;
		r->bytes += n->size;
	}
}

static int rise(struct threshold *t, const struct score_free *f, uint64_t to)
{
	struct threshold_rise *v;

	v = realloc(t->rises, (t->nr + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	v[t->nr++] =
		(struct threshold_rise){ .by = *f, .from = t->now, .to = to };
	t->rises = v;
	t->now = to;
	return 0;
}

/* The mapping's chunk that the slot of a free holds is the last one that got in. */
static int go_through(const struct score *s, const struct score_heard *heard,
		      bool fixed, uint64_t *chunks, struct threshold *t)
{
	size_t i, k = 0;
	int err = 0;

	for (i = 0; i < s->nr && !err; i++) {
		const struct score_note *n = &s->notes[i];
		uint64_t own = chunks[n->slot];

		if (n->op != SCORE_FREE) {
			chunks[n->slot] = mapped(s, heard, i);
			count_alloc(t, n, chunks[n->slot]);
			continue;
		}
		while (k < s->nr_frees && s->frees[k].note < i)
			k++;
		if (!fixed && own > t->now && own <= THRESHOLD_MAX &&
		    k < s->nr_frees && s->frees[k].note == i)
			err = rise(t, &s->frees[k], own);
	}
	return err;
}

int threshold_history(const struct score *s, const struct score_heard *heard,
		      uint64_t fixed, struct threshold *t)
{
	uint64_t *chunks;
	int err;

	*t = (struct threshold){ .now = fixed ? fixed : THRESHOLD_FIRST };
	if (!heard && !s->mapped)
		return -ENODATA;
	chunks = calloc(s->nr_slots + 1, sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	err = go_through(s, heard, fixed, chunks, t);
	free(chunks);
	return err;
}

void threshold_free(struct threshold *t)
{
	free(t->rises);
	t->rises = NULL;
	t->nr = 0;
}
