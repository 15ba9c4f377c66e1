// SPDX-License-Identifier: GPL-2.0
/*
 * A trace as Perfetto draws it:
 *
 *   process 12 (python3)
 *     live, mapped, resident              counters
 *     thread 12    malloc(200000) [ mmap ]    a slice for each call that went to the
 *                         \                   kernel, the kernel's event in it,
 *     VMA 7f2a60000000     --> [ anon ]       an arrow to what came of it
 *       size, live, resident, held        counters of an allocator's VMA
 *
 * A VMA is known by its address space and its start: it is the same one while it
 * grows at its end, shrinks, or changes its rights.
 *
 * Live bytes change with every call, and a trace has millions of them: they are
 * shown as they are at certain moments, a millisecond apart at first, and twice
 * as far after each thousand of them. So a long trace stays as readable as a short
 * one. What happens to VMAs is shown event by event, residency sample by sample.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "export/causes.h"
#include "export/export.h"
#include "export/packet.h"
#include "output/syscall.h"
#include "output/text.h"
#include "output/view.h"

#define TICK_NS 1000000
#define TICKS 1000 /* until they are twice as far from each other */

/* What a counter shows; of a VMA, or of a process. */
enum counter { SIZE, LIVE, RESIDENT, HELD, COUNTERS };

/* The last value shown, so that only changes are written. */
struct counters {
	uint64_t track[COUNTERS]; /* 0: not shown yet */
	uint64_t value[COUNTERS];
};

/* Where a VMA begins, or several did, one after the other. */
struct vma_track {
	uint64_t start;
	uint64_t end; /* of the one that is there; 0: none is */
	uint64_t track;
	struct counters c;
};

/* What is shown of an address space. */
struct shown {
	const struct space *s;
	struct vma_track **vmas; /* as the model has them */
	size_t nr, room;
	bool ended;
};

struct process {
	uint64_t track;
	struct counters c;
};

struct perfetto {
	const struct export *x;
	struct packets out;
	struct causes causes;
	struct shown *spaces;
	size_t nr;
	struct hash processes; /* pid -> struct process */
	struct hash threads; /* pid, tid -> track */
	struct hash places; /* mm, start -> struct vma_track */
	uint64_t tracks, flows; /* given away */
	uint64_t tick, next_tick, ticks;
	uint64_t last; /* ts */
	uint64_t flow; /* of the VMA event that is told; 0: none */
	int err;
};

static void fail(struct perfetto *p, int err)
{
	if (!p->err)
		p->err = err;
}

/* --- tracks */

static struct process *process_of(struct perfetto *p, const struct space *s)
{
	struct process *pr = hash_get(&p->processes, s->owner, 0);

	if (pr)
		return pr;
	pr = calloc(1, sizeof(*pr));
	if (!pr || hash_put(&p->processes, s->owner, 0, pr)) {
		free(pr);
		fail(p, -ENOMEM);
		return NULL;
	}
	pr->track = ++p->tracks;
	packet_process(&p->out, pr->track, s->owner, s->comm);
	return pr;
}

/* tid 0: of no thread, so the process's own. */
static uint64_t thread_track(struct perfetto *p, const struct space *s,
			     uint32_t tid)
{
	uint64_t track = (uintptr_t)hash_get(&p->threads, s->owner, tid);
	struct process *pr = track ? NULL : process_of(p, s);

	if (track || !pr)
		return track;
	if (!tid)
		return pr->track;
	track = ++p->tracks;
	if (hash_put(&p->threads, s->owner, tid, (void *)(uintptr_t)track))
		fail(p, -ENOMEM);
	packet_thread(&p->out, track, pr->track, s->owner, tid);
	return track;
}

static void show_value(struct perfetto *p, struct counters *c,
		       enum counter which, uint64_t parent, uint64_t ts,
		       uint64_t value)
{
	static const char *const names[COUNTERS] = {
		[SIZE] = "size",
		[LIVE] = "live",
		[RESIDENT] = "resident",
		[HELD] = "held, not live",
	};

	if (c->track[which] && c->value[which] == value)
		return;
	if (!c->track[which]) {
		c->track[which] = ++p->tracks;
		packet_counter(&p->out, c->track[which], parent, names[which]);
	}
	c->value[which] = value;
	packet_value(&p->out, c->track[which], ts, value);
}

/* NULL: no memory. Spaces are told of in their order. */
static struct shown *shown_of(struct perfetto *p, const struct space *s)
{
	size_t nr = model_spaces(p->x->o->model);
	void *more;

	if (p->nr < nr) {
		more = realloc(p->spaces, nr * sizeof(*p->spaces));
		if (!more) {
			fail(p, -ENOMEM);
			return NULL;
		}
		p->spaces = more;
	}
	for (; p->nr < nr; p->nr++)
		p->spaces[p->nr] = (struct shown){
			.s = model_space_at(p->x->o->model, p->nr)
		};
	for (size_t i = p->nr; i-- > 0;)
		if (p->spaces[i].s == s)
			return &p->spaces[i];
	return NULL;
}

/* --- VMAs */

/* NULL: no memory. */
static struct vma_track *place_of(struct perfetto *p, const struct shown *sh,
				  uint64_t start)
{
	struct vma_track *t = hash_get(&p->places, sh->s->mm, start);
	struct process *pr = process_of(p, sh->s);
	char title[64];

	if (t || !pr)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t || hash_put(&p->places, sh->s->mm, start, t)) {
		free(t);
		fail(p, -ENOMEM);
		return NULL;
	}
	t->start = start;
	t->track = ++p->tracks;
	snprintf(title, sizeof(title), "VMA %" PRIx64, start);
	packet_track(&p->out, t->track, pr->track, title);
	return t;
}

static void vma_begins(struct perfetto *p, const struct shown *sh, uint64_t ts,
		       const struct vma_track *t, const struct vma *v)
{
	const char *name = vma_name(p->x->o, sh->s, v);
	struct mark m = { .type = MARK_BEGIN,
			  .ts = ts,
			  .track = t->track,
			  .category = "vma",
			  .name = *name ? name : "anon",
			  .flows = &p->flow,
			  .nr_flows = p->flow ? 1 : 0 };
	char buf[5];

	mark_address(&m, "start", v->d.start);
	mark_text(&m, "permissions", perms(&v->d, buf));
	packet_mark(&p->out, &m);
}

static void vma_resized(struct perfetto *p, struct vma_track *t, uint64_t ts,
			uint64_t end)
{
	bool fresh = !t->end;
	struct mark m = { .type = MARK_INSTANT,
			  .ts = ts,
			  .track = t->track,
			  .category = "vma",
			  .name = end > t->end ? "grew" : "shrank",
			  .flows = &p->flow,
			  .nr_flows = p->flow ? 1 : 0 };

	if (end == t->end)
		return;
	if (!fresh) {
		mark_number(&m, "bytes",
			    end > t->end ? end - t->end : t->end - end);
		packet_mark(&p->out, &m);
	}
	t->end = end;
	show_value(p, &t->c, SIZE, t->track, ts, end - t->start);
}

/* What it was is known best in the end; i: SIZE_MAX: it has gone. */
static void vma_ends(struct perfetto *p, const struct shown *sh, uint64_t ts,
		     struct vma_track *t, size_t i)
{
	struct mark m = { .type = MARK_END, .ts = ts, .track = t->track };
	char *by = NULL;
	struct view w;

	mark_address(&m, "end", t->end);
	if (i < vma_map_count(sh->s->vmas)) {
		w = view_of(sh->s, i);
		by = cause_text(p->x->o, sh->s, w.made);
		mark_text(&m, "kind", view_kind_name(w.kind));
		if (by)
			mark_text(&m, "made by", by);
	}
	packet_mark(&p->out, &m);
	free(by);
	for (enum counter c = 0; i == SIZE_MAX && c < COUNTERS; c++)
		if (t->c.track[c])
			show_value(p, &t->c, c, t->track, ts, 0);
	t->end = 0;
}

static size_t lower(const struct shown *sh, uint64_t start)
{
	size_t lo = 0, hi = sh->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sh->vmas[mid]->start < start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Places [from, from + old) become `new` places; what was in them is gone. */
static int make_places(struct shown *sh, size_t from, size_t old, size_t new)
{
	size_t nr = sh->nr - old + new, room = sh->room ? sh->room : 64;
	struct vma_track **more;

	while (room < nr)
		room *= 2;
	if (room > sh->room) {
		more = realloc(sh->vmas, room * sizeof(*sh->vmas));
		if (!more)
			return -ENOMEM;
		sh->vmas = more;
		sh->room = room;
	}
	memmove(sh->vmas + from + new, sh->vmas + from + old,
		(sh->nr - from - old) * sizeof(*sh->vmas));
	sh->nr = nr;
	return 0;
}

/* It goes on when there was one that began there, and is there still. */
static void follow(struct perfetto *p, struct shown *sh, uint64_t ts,
		   const struct vma *v, struct vma_track **place)
{
	*place = place_of(p, sh, v->d.start);
	if (!*place)
		return;
	if (!(*place)->end)
		vma_begins(p, sh, ts, *place, v);
	vma_resized(p, *place, ts, v->d.end);
}

/* Those of a sorted part that no VMA begins at any more. */
static void end_gone(struct perfetto *p, const struct shown *sh, uint64_t ts,
		     struct vma_track *const *old, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct vma *v = vma_map_find(sh->s->vmas, old[i]->start);

		if (!v || v->d.start != old[i]->start)
			vma_ends(p, sh, ts, old[i], SIZE_MAX);
	}
}

/* In [lo, hi) and at its borders the model has changed: the tracks follow. */
static void sync_vmas(struct perfetto *p, struct shown *sh, uint64_t ts,
		      uint64_t lo, uint64_t hi)
{
	const struct vma_map *map = sh->s->vmas;
	size_t from = lower(sh, lo), to = lower(sh, hi + 1), first, last, i;

	from -= from > 0;
	if (from < sh->nr && sh->vmas[from]->start < lo)
		lo = sh->vmas[from]->start;
	first = vma_map_lower(map, lo);
	for (last = first;
	     last < vma_map_count(map) && vma_map_at(map, last)->d.start <= hi;
	     last++)
		;
	end_gone(p, sh, ts, sh->vmas + from, to - from);
	if (make_places(sh, from, to - from, last - first)) {
		fail(p, -ENOMEM);
		return;
	}
	for (i = first; i < last && !p->err; i++)
		follow(p, sh, ts, vma_map_at(map, i),
		       &sh->vmas[from + i - first]);
}

/* --- counters at certain moments */

static void tick_vmas(struct perfetto *p, struct shown *sh, uint64_t ts,
		      uint64_t *mapped)
{
	for (size_t i = 0; i < sh->nr; i++) {
		struct vma_track *t = sh->vmas[i];
		struct view w = view_of(sh->s, i);

		*mapped += t->end - t->start;
		if (w.live_known && w.kind != VIEW_RESERVE)
			show_value(p, &t->c, LIVE, t->track, ts, w.live.bytes);
	}
}

static void tick_space(struct perfetto *p, struct shown *sh, uint64_t ts)
{
	struct process *pr = process_of(p, sh->s);
	uint64_t mapped = 0;

	if (!pr || sh->nr != vma_map_count(sh->s->vmas))
		return;
	tick_vmas(p, sh, ts, &mapped);
	show_value(p, &pr->c, SIZE, pr->track, ts, mapped);
	if (sh->s->has_calls)
		show_value(p, &pr->c, LIVE, pr->track, ts,
			   chunk_total(sh->s->chunks).bytes);
}

static void end_space(struct perfetto *p, struct shown *sh, uint64_t ts)
{
	if (sh->ended)
		return;
	tick_space(p, sh, ts);
	for (size_t i = 0; i < sh->nr; i++)
		vma_ends(p, sh, ts, sh->vmas[i], i);
	sh->ended = true;
}

/* Those that have died since. */
static void end_spaces(struct perfetto *p, uint64_t ts)
{
	for (size_t i = 0; i < p->nr; i++)
		if (p->spaces[i].s->died)
			end_space(p, &p->spaces[i], ts);
}

static void tick(struct perfetto *p, uint64_t ts)
{
	for (size_t i = 0; i < p->nr; i++)
		if (!p->spaces[i].ended)
			tick_space(p, &p->spaces[i], ts);
	if (++p->ticks % TICKS == 0)
		p->tick *= 2;
	p->next_tick = ts + p->tick;
}

/* --- events */

static void kernel_event(struct perfetto *p, const struct outcome *out)
{
	const struct cause *c = out->cause;
	struct mark m = { .type = MARK_INSTANT,
			  .ts = out->ev->ts,
			  .category = "kernel",
			  .flows = &p->flow,
			  .nr_flows = 1 };
	char buf[32], *args = NULL;
	size_t size;
	FILE *f;

	m.track = thread_track(p, out->space, c->tid);
	m.name = c->kind == CAUSE_SYSCALL ?
			 syscall_name(c->syscall, c->compat, buf) :
			 cause_name(c->kind);
	f = open_memstream(&args, &size);
	if (f && c->kind == CAUSE_SYSCALL)
		put_syscall(f, c->syscall, c->compat, c->args);
	if (!f || fclose(f))
		fail(p, -ENOMEM);
	else
		mark_text(&m, "call", args);
	mark_number(&m, "mapped", c->mapped);
	mark_number(&m, "unmapped", c->unmapped);
	mark_number(&m, "re-protected", c->changed);
	packet_mark(&p->out, &m);
	free(args);
	if (c->kind != CAUSE_OTHER && causes_event(&p->causes, out, p->flow))
		fail(p, -ENOMEM);
}

static void on_range(struct perfetto *p, const struct outcome *out)
{
	const struct event *ev = out->ev;
	struct shown *sh = shown_of(p, out->space);
	bool more = ev->range.flags & RANGE_MORE;

	if (!sh)
		return;
	/* All parts of a record are one arrow, and told of with the last. */
	if (cause_is_event(out->cause) && !p->flow)
		p->flow = ++p->flows;
	if (p->flow && !more)
		kernel_event(p, out);
	sync_vmas(p, sh, ev->ts, ev->range.lo, ev->range.hi);
	if (!more)
		p->flow = 0;
}

/* Its frames, a line each, malloc'ed; NULL: there is none. */
static char *stack_text(const struct perfetto *p, const struct space *s,
			uint64_t caller)
{
	const struct stack *st = model_stack(p->x->o->model, caller);
	char *text = NULL;
	size_t size;
	FILE *f = st ? open_memstream(&text, &size) : NULL;

	if (!f)
		return NULL;
	for (uint32_t i = 0; i < st->nr; i++) {
		fputs(i ? "\n" : "", f);
		put_caller(p->x->o, s, f, st->frames[i]);
	}
	return fclose(f) ? NULL : text;
}

/* Only calls that went to the kernel have a length that is known. */
static void on_call(struct perfetto *p, const struct outcome *out)
{
	struct ended_call call;
	struct mark m = { .type = MARK_BEGIN, .category = "malloc" };
	char *by, *stack, *name = NULL;
	size_t size;
	FILE *f;

	if (causes_call(&p->causes, out, &call))
		fail(p, -ENOMEM);
	if (!call.nr_ids)
		return;
	f = open_memstream(&name, &size);
	if (f)
		put_call(f, call.op, call.addr, call.size);
	if (!f || fclose(f)) {
		fail(p, -ENOMEM);
		return;
	}
	by = caller_text(p->x->o, out->space, call.caller);
	stack = stack_text(p, out->space, call.caller);
	m.name = name;
	m.ts = call.begin;
	m.track = thread_track(p, out->space, out->ev->tid);
	m.flows = call.ids;
	m.nr_flows = call.nr_ids;
	mark_address(&m, "address", call.addr);
	mark_text(&m, "called from", by ? by : "?");
	if (stack)
		mark_text(&m, "stack", stack);
	packet_mark(&p->out, &m);
	packet_mark(&p->out, &(struct mark){ .type = MARK_END,
					     .ts = call.end,
					     .track = m.track });
	free(by);
	free(stack);
	free(name);
}

static void on_failed(struct perfetto *p, const struct outcome *out)
{
	const struct event *ev = out->ev;
	struct mark m = { .type = MARK_INSTANT,
			  .ts = ev->ts,
			  .category = "kernel",
			  .name = "failed" };
	const char *error = strerrorname_np(ev->failed.error);
	const char *why = failed_reason_name(ev->failed.reason);
	char buf[32];

	m.track = thread_track(p, out->space, ev->tid);
	mark_text(&m, "call", syscall_name(ev->failed.syscall, false, buf));
	mark_text(&m, "error", error ? error : "?");
	if (why)
		mark_text(&m, "because of", why);
	packet_mark(&p->out, &m);
}

static void on_lost(struct perfetto *p, const struct outcome *out)
{
	struct mark m = { .type = MARK_INSTANT,
			  .ts = out->ev->ts,
			  .category = "malloc",
			  .name = "allocator events lost" };

	m.track = thread_track(p, out->space, out->ev->tid);
	mark_number(&m, "events", out->ev->calls_lost.count);
	packet_mark(&p->out, &m);
}

/* A sample of all VMAs; held: of the allocator's what is not live. */
static void on_resident(struct perfetto *p, const struct outcome *out)
{
	const struct event *ev = out->ev;
	struct shown *sh = shown_of(p, out->space);
	struct process *pr = sh ? process_of(p, sh->s) : NULL;
	uint64_t resident = 0, held = 0;

	if (!pr || sh->nr != vma_map_count(sh->s->vmas))
		return;
	for (size_t i = 0; i < sh->nr; i++) {
		struct vma_track *t = sh->vmas[i];
		struct view w = view_of(sh->s, i);

		if (!w.res)
			continue;
		resident += w.res->resident;
		show_value(p, &t->c, RESIDENT, t->track, ev->ts,
			   w.res->resident);
		if (!w.live_known || !view_is_allocators(w.kind))
			continue;
		held += view_held(&w);
		show_value(p, &t->c, HELD, t->track, ev->ts, view_held(&w));
	}
	show_value(p, &pr->c, RESIDENT, pr->track, ev->ts, resident);
	if (sh->s->has_calls)
		show_value(p, &pr->c, HELD, pr->track, ev->ts, held);
}

static void tell(void *ctx, const struct outcome *out)
{
	struct perfetto *p = ctx;
	uint64_t ts = out->ev->ts;

	if (p->err || p->out.err)
		return;
	if (ts > p->last)
		p->last = ts;
	if (out->ev->kind != EV_CALL)
		end_spaces(p, ts);
	switch (out->space ? out->ev->kind : 0) {
	case EV_RANGE:
		on_range(p, out);
		break;
	case EV_CALL:
		on_call(p, out);
		break;
	case EV_FAILED:
		on_failed(p, out);
		break;
	case EV_CALLS_LOST:
		on_lost(p, out);
		break;
	case EV_RESIDENT:
		on_resident(p, out);
		break;
	default:
		break;
	}
	if (ts >= p->next_tick)
		tick(p, ts);
}

static bool drop_value(void *val, void *ctx)
{
	(void)ctx;
	free(val);
	return true;
}

int export_perfetto(const struct export *x)
{
	struct perfetto p = { .x = x,
			      .out = { .f = x->o->f },
			      .tick = TICK_NS };

	packet_clocks(&p.out, x->o->start, x->clock_offset);
	x->replay(x->replay_ctx, NULL, tell, &p);
	for (size_t i = 0; i < p.nr; i++) {
		end_space(&p, &p.spaces[i], p.last);
		free(p.spaces[i].vmas);
	}
	free(p.spaces);
	causes_free(&p.causes);
	hash_filter(&p.processes, drop_value, NULL);
	hash_destroy(&p.processes);
	hash_filter(&p.places, drop_value, NULL);
	hash_destroy(&p.places);
	hash_destroy(&p.threads);
	return p.err ? p.err : p.out.err ? p.out.err : output_status(x->o->f);
}
