// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "intake/allocator.h"
#include "intake/build_id.h"
#include "intake/kernel.h"
#include "intake/proc.h"
#include "intake/records.h"
#include "intake/rings.h"
#include "intake/sampled.h"
#include "intake/uprobe.h"
#include "model/hash.h"
#include "probe/words.h"
#include "session/attach.h"
#include "session/found.h"
#include "session/recorder.h"
#include "session/session.h"
#include "session/verify.h"

#define DEFAULT_RING (1024 * 1024)
#define TICK_BUSY_MS 1 /* a ring was more than half full */
#define TICK_MS 5 /* something came */
#define TICK_IDLE_MS 50 /* nothing comes: back off to this */
#define TICK_STAMP_MS 8 /* but to this where the stamps are ours */
#define LOOK_MS 200 /* for what an attached process has loaded */
#define PRICE_LOUD \
	0.1 /* of a CPU: uprobes that cost more are told of at once */
#define FIND_MS 20 /* until calls that were under way at the attach are over */
#define FIND_TRIES 5
#define FOUND_PART 4096 /* chunks in one event */
#define SAMPLE_MS 1000 /* residency, at most this often */
#define FLUSH_MS 1000 /* partial packets of the trace */
#define STOP_MS 100 /* how long a process may take to stop */
/*
 * Above this a VMA's residency is not sampled: 8 bytes a page would have to be
 * read. Address-space reservations (sanitizers, Go, Java) are like that.
 */
#define SAMPLE_VMA_MAX (64ull << 30)
/*
 * What the model keeps of processes that have ended. Where only the end of a trace
 * is kept, each of its segments begins with the model (recorder.h), so that it must
 * be small beside them.
 */
#define DEAD_BYTES (32ull << 20)
#define DEAD_PART 8
/* Names that the model has, and build ids that were looked for, before old ones go. */
#define FILES_MAX (1u << 16)

struct process {
	uint32_t tgid;
	bool alive;
	struct found_list walked; /* chunks in use, at the last walk ... */
	uint64_t walked_mm; /* ... of this address space */
	bool walk_failed; /* and it was said */
};

struct session {
	struct session_opts o;
	char *command;
	uint64_t began;

	struct kernel *kernel; /* or, where there is no module: */
	struct sampled *sampled;
	bool kernel_gone; /* the module was unloaded, or does not keep its word */
	struct rings *rings;
	struct rings_totals rings_were; /* when they have been closed */
	struct attach *attach; /* the shim is in a process that ran already */
	struct attach_cost attach_was;
	uint64_t rings_lost; /* events that had no ring: of a program until it has the shim */
	bool warned; /* of what the probes cost */
	unsigned int inside; /* processes that it could not be taken out of */
	uint64_t next_look;
	struct uprobes *uprobes;
	int stamp_fd;
	struct trace_writer *trace;
	int trace_error; /* said already */
	struct recorder recorder;
	int dump_error; /* of the flight recorder's last dump, an errno */

	struct hash build_ids; /* (dev, ino) that were looked at */

	struct model *model;
	struct order *order;
	struct order_source *kernel_source;
	uint64_t horizon; /* of the last round */

	/*
	 * Who is watched, as the module says it (before the order applies it), and
	 * who was until now: bury().
	 */
	struct process **processes;
	size_t nr_processes, room_processes;
	struct hash by_tgid;
	bool somebody; /* there was one */
	bool deaths; /* some are not alive any more */

	bool born; /* an address space is new */
	uint64_t *resync; /* mm ids that need a snapshot */
	size_t nr_resync;

	unsigned int idle_ms;
	uint64_t next_verify, next_sample, next_flush; /* ns */
	uint64_t next_walk; /* ns */
	uint64_t next_find; /* ns; 0: chunks from before are not looked for (any more) */
	unsigned int find_tries;
	uint64_t found_took; /* ns: it stood still so long for that */
	uint64_t skipped;
	uint64_t last_gaps;
	struct vmaheap_stats stats; /* as last heard */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void say(struct session *s,
						      const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->o.say)
		s->o.say(s->o.say_ctx, text);
}

/* --- who is watched ----------------------------------------------------- */

static struct process *process_find(const struct session *s, uint32_t tgid)
{
	return hash_get(&s->by_tgid, tgid, 0);
}

static struct process *process_add(struct session *s, uint32_t tgid)
{
	struct process *p;

	if (s->nr_processes == s->room_processes) {
		size_t room = s->room_processes ? 2 * s->room_processes : 8;
		void *v = realloc(s->processes, room * sizeof(p));

		if (!v)
			return NULL;
		s->processes = v;
		s->room_processes = room;
	}
	p = calloc(1, sizeof(*p));
	if (!p || hash_put(&s->by_tgid, tgid, 0, p)) {
		free(p);
		return NULL;
	}
	p->tgid = tgid;
	s->processes[s->nr_processes++] = p;
	s->somebody = true;
	return p;
}

static void process_free(struct process *p)
{
	found_free(&p->walked);
	free(p);
}

static void process_born(struct session *s, uint32_t tgid)
{
	struct process *p = process_find(s, tgid);

	if (!p)
		p = process_add(s, tgid);
	if (p) /* else its allocator events will be refused */
		p->alive = true;
}

/* A process that was to be watched from its exec on may exit without one. */
static void process_died(struct session *s, uint32_t tgid)
{
	struct process *p = process_find(s, tgid);

	if (!p && tgid == s->o.pid)
		p = process_add(s, tgid);
	if (!p)
		return;
	p->alive = false;
	s->deaths = true;
}

static void process_event(struct session *s, const struct event *ev)
{
	if (ev->kind == EV_MM)
		process_born(s, ev->mm_start.owner);
	else if (ev->kind == EV_TASK)
		process_born(s, ev->task.owner);
	else if (ev->kind == EV_TASK_EXIT)
		process_died(s, ev->tgid);
}

bool session_has(const struct session *s, uint32_t tgid)
{
	return process_find(s, tgid) || model_process(s->model, tgid);
}

bool session_alive(const struct session *s)
{
	size_t i;

	if (s->kernel_gone)
		return false; /* nobody would tell us of an exit */
	for (i = 0; i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			return true;
	return !s->somebody; /* the first record is still to come */
}

/* --- the trace ---------------------------------------------------------- */

static void trace_check(struct session *s)
{
	struct trace_written w = trace_written(s->trace);

	if (!w.error || w.error == s->trace_error)
		return;
	s->trace_error = w.error;
	say(s,
	    "the trace cannot be written: %s; what was written before is kept, what is lost is counted",
	    strerror(w.error));
}

/* --- build ids ---------------------------------------------------------- */

static void note_build_id(struct session *s, const struct vma_desc *d,
			  const uint8_t *id, int len)
{
	size_t bytes =
		sizeof(struct trace_build_id) + (((size_t)len + 7) & ~7u);
	struct trace_build_id *t;
	struct event ev = { .kind = EV_BUILD_ID,
			    .build_id = { .ino = d->ino,
					  .dev = d->dev,
					  .len = (uint32_t)len,
					  .bytes = id } };

	model_apply(s->model, &ev, NULL);
	t = s->trace ? calloc(1, bytes) : NULL;
	if (!t)
		return;
	t->rec = (struct vmaheap_record){ .type = TRACE_TABLE_BUILD_ID,
					  .size = (uint32_t)bytes,
					  .ts = s->horizon };
	t->ino = d->ino;
	t->dev = d->dev;
	t->len = (uint32_t)len;
	memcpy(t->bytes, id, (size_t)len);
	trace_table(s->trace, &t->rec);
	free(t);
}

/*
 * Of each file that code is mapped from, while it is mapped: later it may be
 * another one. What cannot be had is not known. (The trace has one for each such
 * file, some 50 bytes, which a flight recorder keeps in memory to the end: nothing
 * beside the file that the target had to make for it.)
 */
static void learn_build_ids(struct session *s, const struct event *ev)
{
	struct space *sp = model_space(s->model, ev->mm);
	uint32_t tgid = sp ? sp->owner : ev->tgid, i;
	uint8_t id[BUILD_ID_BYTES];
	int len;

	for (i = 0; i < ev->range.nr_vmas; i++) {
		const struct vma_desc *d = &ev->range.vmas[i];

		if (!(d->flags & VMA_FILE) || !(d->flags & VMA_EXEC) ||
		    hash_get(&s->build_ids, d->dev, d->ino))
			continue;
		len = build_id_of(tgid, d, id);
		if (len == -ENOENT || len == -ESRCH) /* it is gone already */
			continue;
		if (s->build_ids.nr == FILES_MAX) /* then they are read again */
			hash_destroy(&s->build_ids);
		hash_put(&s->build_ids, d->dev, d->ino, s);
		if (len >= 0)
			note_build_id(s, d, id, len);
	}
}

static void on_records(void *ctx, const void *records, size_t bytes)
{
	struct session *s = ctx;
	const char *p = records;
	struct event ev;
	long size;

	for (; bytes; p += size, bytes -= (size_t)size) {
		size = record_decode(p, bytes, &ev);
		if (size <= 0)
			return;
		process_event(s, &ev);
		if (ev.kind == EV_RANGE)
			learn_build_ids(s, &ev);
	}
}

/*
 * The trace is told of what the model has (recorder.h): of records and of words when
 * they have been taken.
 */
static void on_taken(void *ctx, const void *records, size_t bytes)
{
	struct session *s = ctx;

	if (s->trace)
		trace_records(s->trace, records, bytes);
}

static void on_words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		     size_t nr)
{
	struct session *s = ctx;

	if (s->trace)
		trace_words(s->trace, tgid, tid, w, nr);
}

static void on_lost(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct session *s = ctx;

	if (s->trace)
		trace_lost(s->trace, tgid, tid, nr);
}

static void on_ended(void *ctx, uint32_t tgid, uint32_t tid)
{
	struct session *s = ctx;

	if (s->trace)
		trace_gone(s->trace, tgid, tid);
}

/* A stack goes into the trace when it is met first. */
static void on_stack(void *ctx, const struct event *ev)
{
	struct session *s = ctx;
	size_t bytes =
		sizeof(struct trace_stack) + ev->stack.nr * sizeof(uint64_t);
	bool was_known = model_stack(s->model, ev->stack.id);
	struct trace_stack *t;

	model_apply(s->model, ev, NULL);
	/* It was known and is not any more when another one has its number. */
	if (!s->trace || was_known == !!model_stack(s->model, ev->stack.id))
		return;
	t = calloc(1, bytes);
	if (!t)
		return;
	t->rec = (struct vmaheap_record){ .type = TRACE_TABLE_STACK,
					  .size = (uint32_t)bytes,
					  .ts = s->horizon,
					  .tgid = ev->tgid };
	t->id = ev->stack.id;
	t->truncated = ev->stack.truncated;
	t->nr_frames = ev->stack.nr;
	memcpy(t->frames, ev->stack.frames, ev->stack.nr * sizeof(uint64_t));
	trace_table(s->trace, &t->rec);
	free(t);
}

/* --- one round ---------------------------------------------------------- */

static void want_snapshot(struct session *s, uint64_t mm)
{
	uint64_t *r = realloc(s->resync, (s->nr_resync + 1) * sizeof(*r));

	if (!r)
		return;
	s->resync = r;
	r[s->nr_resync++] = mm;
}

/* (Records have told of themselves.) */
static void tell_taken(void *ctx)
{
	struct session *s = ctx;

	if (s->rings)
		rings_tell(s->rings);
	if (s->uprobes)
		uprobes_tell(s->uprobes);
}

static void lose_one(struct session *s, uint64_t ts, uint32_t tgid)
{
	struct event ev = { .kind = EV_CALLS_LOST,
			    .ts = ts,
			    .tgid = tgid,
			    .tid = tgid,
			    .calls_lost = { 1 } };

	model_apply(s->model, &ev, NULL);
	tell_taken(s);
	on_lost(s, tgid, tgid, 1);
}

/*
 * By exec the shim that was put into it is gone; it is put into the new program
 * as well, but what that allocates until then is not seen.
 */
static void note_unseen(struct session *s, const struct event *exec)
{
	lose_one(s, exec->ts, exec->mm_start.owner);
	s->rings_lost++;
}

static struct space *living_space(const struct session *s, uint32_t tgid)
{
	struct space *sp = model_process(s->model, tgid);

	return sp && !sp->died ? sp : NULL;
}

/* A flight recorder's trigger: somebody else makes a place for what it has. */
static void pull(struct session *s, const struct space *sp,
		 enum trigger_what what, uint64_t value)
{
	const struct trigger *t = trigger_pull(&s->o.triggers, what, value);
	char text[160];

	if (!t)
		return;
	if (what == TRIGGER_RSS)
		snprintf(text, sizeof(text),
			 "rss>%" PRIu64 "K: process %u (%.16s) has %" PRIu64
			 "K resident",
			 t->above >> 10, sp->owner, sp->comm, value >> 10);
	else
		snprintf(text, sizeof(text),
			 "vmas>%" PRIu64 ": process %u (%.16s) has %" PRIu64
			 " VMAs",
			 t->above, sp->owner, sp->comm, value);
	s->o.fired(s->o.say_ctx, text);
}

static void pull_all(struct session *s, const struct space *sp)
{
	pull(s, sp, TRIGGER_RSS, sp->rss.file + sp->rss.anon + sp->rss.shmem);
	pull(s, sp, TRIGGER_VMAS, vma_map_count(sp->vmas));
}

/* It may touch pages for a long time without a VMA event. */
static void look_at_rss(struct session *s)
{
	size_t i;

	for (i = 0; s->o.triggers.nr && i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];
		const struct space *sp = p->alive ? living_space(s, p->tgid) :
						    NULL;

		if (sp)
			pull(s, sp, TRIGGER_RSS, proc_rss(p->tgid));
	}
}

static void told(void *ctx, const struct outcome *out)
{
	struct session *s = ctx;

	if (s->o.triggers.nr && out->ev->kind == EV_RANGE && out->space)
		pull_all(s, out->space);

	if (s->attach && out->ev->kind == EV_MM &&
	    out->ev->mm_start.cause == MM_EXEC)
		note_unseen(s, out->ev);
	s->born |= out->ev->kind == EV_MM;
	if (out->checksum_failed && out->space)
		want_snapshot(s, out->space->mm);
}

/*
 * Everything that the module knows up to this moment. Without the module (rmmod
 * in the middle) the allocator's side goes on, so that no target waits for us.
 */
static void sync_kernel(struct session *s)
{
	if (s->sampled) {
		sampled_tick(s->sampled, &s->horizon);
		return;
	}
	if (s->kernel_gone) {
		s->horizon = now_ns();
		return;
	}
	if (!kernel_sync(s->kernel, &s->horizon))
		return;
	s->kernel_gone = true;
	s->horizon = now_ns();
	say(s,
	    "the module does not answer any more (%s): VMA changes from here on are not known",
	    kernel_why(s->kernel));
}

/* What went wrong is healed by asking for the state; it stays counted. */
static void heal(struct session *s)
{
	size_t i;

	if (s->sampled)
		return;
	if (kernel_gaps(s->kernel) != s->last_gaps) {
		s->last_gaps = kernel_gaps(s->kernel);
		kernel_snapshot(s->kernel, 0);
	}
	for (i = 0; i < s->nr_resync; i++)
		kernel_snapshot(s->kernel, s->resync[i]);
	s->nr_resync = 0;
}

static bool is_dead(void *val, void *ctx)
{
	(void)ctx;
	return !((const struct process *)val)->alive;
}

/* What is left of the dead is in the model. */
static void bury(struct session *s)
{
	size_t i, nr = 0;

	if (!s->deaths)
		return;
	s->deaths = false;
	hash_filter(&s->by_tgid, is_dead, NULL);
	for (i = 0; i < s->nr_processes; i++) {
		struct process *p = s->processes[i];

		if (p->alive) {
			s->processes[nr++] = p;
			continue;
		}
		if (s->rings)
			rings_gone(s->rings, p->tgid);
		process_free(p);
	}
	s->nr_processes = nr;
}

/* Once in each address space, as soon as it can be told. */
static void note_allocator(struct session *s, const struct space *sp)
{
	struct trace_allocator n = { .rec = { .type = TRACE_NOTE_ALLOCATOR,
					      .size = sizeof(n),
					      .ts = s->horizon,
					      .mm = sp->mm,
					      .tgid = sp->owner } };
	struct event ev = { .kind = EV_ALLOCATOR,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm };
	struct allocator a;
	int err = allocator_find(sp->owner, &a);

	if (err && err != -ENOENT)
		return;
	/* Its libraries may not be there yet. */
	if (!a.is_static && !sp->has_calls &&
	    s->horizon - sp->born < SAMPLE_MS * 1000000ull)
		return;
	n.is_static = a.is_static;
	snprintf(n.kind, sizeof(n.kind), "%s", err ? "" : a.kind);
	snprintf(n.file, sizeof(n.file), "%.*s", (int)sizeof(n.file) - 1,
		 err ? "" : a.name);
	n.settings_known =
		!proc_malloc_env(sp->owner, n.settings, sizeof(n.settings));
	ev.allocator.kind = n.kind;
	ev.allocator.file = n.file;
	ev.allocator.settings = n.settings_known ? n.settings : NULL;
	ev.allocator.is_static = a.is_static;
	model_apply(s->model, &ev, NULL);
	if (s->trace)
		trace_note(s->trace, &n.rec);
}

/* A program that is done before the first sample is static or not all the same. */
static void look_at_new(struct session *s)
{
	size_t i;

	if (!s->born)
		return;
	s->born = false;
	for (i = 0; i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];
		const struct space *sp = living_space(s, p->tgid);

		if (sp && p->alive && !sp->allocator.known)
			note_allocator(s, sp);
	}
}

/* Everything up to this moment. Returns true when something came. */
static bool run_round(struct session *s, bool final)
{
	uint64_t applied;
	size_t words = 0;

	sync_kernel(s);
	if (s->rings)
		words = rings_drain(s->rings);
	if (s->uprobes)
		uprobes_drain(s->uprobes);
	applied = order_run_quick(s->order, s->horizon, final, told, s);
	tell_taken(s);
	recorder_round(&s->recorder);
	look_at_new(s);
	heal(s);
	bury(s);
	return applied || words;
}

static const struct event *peek_kernel(const struct session *s)
{
	bool sure;

	return s->sampled ? sampled_peek(s->sampled, &sure) :
			    kernel_peek(s->kernel, &sure);
}

/*
 * Everything of the module up to this moment is in the model afterwards. One
 * round may leave it waiting behind an allocator event that has only just become
 * visible, and that an older one of another thread may still precede (order.h).
 */
static void catch_up(struct session *s)
{
	const struct event *ev;
	uint64_t moment;
	int rounds = 0;

	run_round(s, false);
	moment = s->horizon;
	while ((ev = peek_kernel(s)) && ev->ts <= moment && rounds++ < 100)
		run_round(s, false);
}

/* --- residency ---------------------------------------------------------- */

struct live_pages {
	const struct chunk_table *chunks;
	uint64_t bytes;
};

static void count_live(void *ctx, uint64_t addr)
{
	struct live_pages *l = ctx;

	l->bytes += chunk_page_bytes(l->chunks, addr);
}

static int sample_vma(int fd, const struct space *sp, const struct vma *v,
		      struct vma_resident *r)
{
	struct live_pages live = { .chunks = sp->chunks };
	struct proc_pages n;
	int err;

	err = proc_pagemap(fd, &v->d, &n, count_live, &live);
	*r = (struct vma_resident){ .start = v->d.start,
				    .end = v->d.end,
				    .resident = n.resident,
				    .swapped = n.swapped,
				    .huge = n.huge,
				    .live_resident = live.bytes };
	return err;
}

_Static_assert(sizeof(struct trace_resident_vma) == sizeof(struct vma_resident),
	       "one layout");

static void note_resident(struct session *s, const struct space *sp,
			  const struct vma_resident *r, size_t nr)
{
	size_t bytes = sizeof(struct trace_resident) + nr * sizeof(*r);
	struct trace_resident *n;

	if (!s->trace)
		return;
	n = calloc(1, bytes);
	if (!n)
		return;
	n->rec = (struct vmaheap_record){ .type = TRACE_NOTE_RESIDENT,
					  .size = (uint32_t)bytes,
					  .ts = s->horizon,
					  .mm = sp->mm,
					  .tgid = sp->owner };
	n->nr_vmas = (uint32_t)nr;
	memcpy(n->vmas, r, nr * sizeof(*r));
	trace_note(s->trace, &n->rec);
	free(n);
}

/* The residency of every VMA of the space, as of the last round. */
static int sample(struct session *s, const struct space *sp)
{
	size_t count = vma_map_count(sp->vmas), i, nr = 0;
	struct vma_resident *r = calloc(count + 1, sizeof(*r));
	struct event ev = { .kind = EV_RESIDENT,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm };
	int fd = proc_open_pagemap(sp->owner);
	int err = fd < 0 ? fd : r ? 0 : -ENOMEM;

	if (!sp->allocator.known)
		note_allocator(s, sp);
	for (i = 0; !err && i < count; i++) {
		const struct vma *v = vma_map_at(sp->vmas, i);

		if (v->d.end - v->d.start <= SAMPLE_VMA_MAX)
			err = sample_vma(fd, sp, v, &r[nr++]);
	}
	if (!err) {
		ev.resident.vmas = r;
		ev.resident.nr_vmas = (uint32_t)nr;
		err = model_apply(s->model, &ev, NULL);
		note_resident(s, sp, r, nr);
	}
	if (fd >= 0)
		close(fd);
	free(r);
	return err;
}

static void walk(struct session *s, uint32_t tgid);

int session_refresh(struct session *s, uint32_t tgid)
{
	struct space *sp;

	if (s->sampled)
		sampled_look(s->sampled, tgid);
	catch_up(s);
	if (s->o.alloc == ALLOC_WALK)
		walk(s, tgid);
	sp = living_space(s, tgid);
	return sp ? sample(s, sp) : 0;
}

/* At most one fiftieth of the daemon's time goes into sampling. */
static void sample_all(struct session *s, uint64_t now)
{
	uint64_t took;
	size_t i;

	for (i = 0; s->sampled && i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			sampled_look(s->sampled, s->processes[i]->tgid);
	if (s->sampled)
		catch_up(s);
	for (i = 0; i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];
		struct space *sp = p->alive ? living_space(s, p->tgid) : NULL;

		if (sp)
			sample(s, sp);
	}
	took = now_ns() - now;
	s->next_sample = now + SAMPLE_MS * 1000000ull;
	if (took * 50 > SAMPLE_MS * 1000000ull)
		s->next_sample = now + took * 50;
}

/* --- chunks that nobody told of ----------------------------------------- */

_Static_assert(sizeof(struct trace_found_chunk) == sizeof(struct found_chunk),
	       "one layout");

static void note_found(struct session *s, const struct event *ev)
{
	size_t bytes = sizeof(struct trace_found) +
		       ev->found.nr * sizeof(struct found_chunk);
	struct trace_found *n = s->trace ? calloc(1, bytes) : NULL;

	if (!n)
		return;
	n->rec = (struct vmaheap_record){ .type = TRACE_NOTE_FOUND,
					  .size = (uint32_t)bytes,
					  .ts = ev->ts,
					  .mm = ev->mm,
					  .tgid = ev->tgid };
	n->nr_chunks = ev->found.nr;
	n->flags = ev->found.flags;
	if (ev->found.nr)
		memcpy(n->chunks, ev->found.chunks,
		       ev->found.nr * sizeof(struct found_chunk));
	trace_note(s->trace, &n->rec);
	free(n);
}

/* At least one event, so that it is known that there was a look. */
static void tell_found(struct session *s, const struct space *sp,
		       const struct found_list *l, uint32_t flags)
{
	struct event ev = { .kind = EV_FOUND,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm };
	size_t at = 0;

	do {
		size_t nr = l->nr - at < FOUND_PART ? l->nr - at : FOUND_PART;

		ev.found.chunks = l->at + at;
		ev.found.nr = (uint32_t)nr;
		at += nr;
		ev.found.flags = flags | (at < l->nr ? FOUND_MORE : 0);
		model_apply(s->model, &ev, NULL);
		note_found(s, &ev);
	} while (at < l->nr);
}

/* Not of another allocator, whose chunks are not those that glibc knows of. */
static bool has_books(struct session *s)
{
	struct allocator a;
	int err = allocator_find(s->o.pid, &a);

	if (!err && !strcmp(a.kind, "glibc"))
		return true;
	say(s,
	    "chunks from before the attach are not known: %s%s keeps no books that can be read",
	    err || !a.kind[0] ? "what allocates in it" : "its allocator, ",
	    err ? "" : a.kind);
	return false;
}

/*
 * After the calls began to be told: then everything is heard that was told until
 * the look was over (model/found.c says why).
 */
static void find_chunks(struct session *s)
{
	struct space *sp = living_space(s, s->o.pid);
	struct found_list l = { 0 };
	const char *why = NULL;
	int err;

	s->next_find = 0;
	if (!sp || sp->cause != MM_ATTACH || !has_books(s))
		return;
	err = found_walk(s->o.pid, true, &l, &why);
	s->found_took += l.took;
	if (err == -EAGAIN && ++s->find_tries < FIND_TRIES) {
		s->next_find = now_ns() + FIND_MS * 1000000ull;
		return;
	}
	catch_up(s);
	sp = living_space(s, s->o.pid);
	if (sp && sp->cause == MM_ATTACH)
		tell_found(s, sp, &l, err ? FOUND_UNREAD : 0);
	if (err && err != -ESRCH)
		say(s, "chunks from before the attach are not known: %s",
		    why ? why : strerror(-err));
	found_free(&l);
}

/* --- walks: --alloc=walk ------------------------------------------------ */

/* Said once, until a walk succeeds again. */
static void say_unwalked(struct session *s, struct process *p, const char *why)
{
	if (!p->walk_failed)
		say(s,
		    "the heap of process %u could not be read (%s): its chunks are those of the walk before, if there was one",
		    p->tgid, why);
	p->walk_failed = true;
}

static int walk_heap(struct session *s, const struct space *sp,
		     struct process *p, const char **why)
{
	struct found_list now, changes = { 0 };
	int err = found_walk(p->tgid, false, &now, why);

	if (!err)
		err = found_changes(&p->walked, &now, &changes);
	if (!err) {
		tell_found(s, sp, &changes, FOUND_WALK);
		found_free(&p->walked);
		p->walked = now;
		p->walked_mm = sp->mm;
		p->walk_failed = false;
	} else {
		found_free(&now);
	}
	found_free(&changes);
	return err;
}

static void walk(struct session *s, uint32_t tgid)
{
	struct space *sp = living_space(s, tgid);
	struct process *p = process_find(s, tgid);
	const struct found_list none = { 0 };
	const char *why = NULL;
	int err;

	if (!sp || !p || !p->alive)
		return;
	if (p->walked_mm != sp->mm)
		found_free(&p->walked);
	if (sp->allocator.known && strcmp(sp->allocator.kind, "glibc")) {
		say_unwalked(s, p, "its allocator keeps no books that can be");
		return;
	}
	err = walk_heap(s, sp, p, &why);
	if (!err || err == -ESRCH || err == -ENOENT) /* it has no heap yet */
		return;
	say_unwalked(s, p, why ? why : strerror(-err));
	tell_found(s, sp, &none, FOUND_WALK | FOUND_UNREAD);
}

/* At most one twentieth of the daemon's time goes into it. */
static void walk_all(struct session *s, uint64_t now)
{
	uint64_t took;
	size_t i;

	run_round(s, false);
	for (i = 0; i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			walk(s, s->processes[i]->tgid);
	took = now_ns() - now;
	s->next_walk = now + s->o.walk_ms * 1000000ull;
	if (took * 20 > s->o.walk_ms * 1000000ull)
		s->next_walk = now + took * 20;
}

/* --- verification ------------------------------------------------------- */

static void note_verify(struct session *s, const struct space *sp,
			uint32_t vmas, uint32_t mismatches)
{
	struct event ev = { .kind = EV_VERIFY,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm,
			    .verify = { vmas, mismatches } };
	struct trace_verify n = { .rec = { .type = TRACE_NOTE_VERIFY,
					   .size = sizeof(n),
					   .ts = s->horizon,
					   .mm = sp->mm,
					   .tgid = sp->owner },
				  .vmas = vmas,
				  .mismatches = mismatches };

	model_apply(s->model, &ev, NULL);
	if (s->trace)
		trace_note(s->trace, &n.rec);
}

/* The process stands still. */
static int compare(struct session *s, uint32_t tgid, FILE *f)
{
	struct proc_map *maps;
	struct space *sp;
	unsigned int bad;
	long nr;

	catch_up(s);
	sp = living_space(s, tgid);
	if (!sp)
		return -ESRCH;
	if (s->kernel_gone)
		return -ENOTCONN;
	nr = proc_maps(tgid, &maps);
	if (nr <= 0) /* no line at all: it is exiting */
		return nr ? (int)nr : -ESRCH;
	bad = verify_maps(s->model, sp, maps, (size_t)nr, f);
	free(maps);
	note_verify(s, sp, (uint32_t)nr, bad);
	return (int)bad;
}

int session_verify(struct session *s, uint32_t tgid, FILE *f)
{
	struct proc_stopped st;
	int rc = s->sampled ? -EOPNOTSUPP : proc_stop(tgid, STOP_MS, &st);

	if (rc)
		return rc;
	rc = compare(s, tgid, f);
	proc_go(&st);
	return rc;
}

/* Mismatches go to the person who asked, line by line. */
static void say_lines(struct session *s, char *text)
{
	char *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		say(s, "%s", line);
}

static void verify_one(struct session *s, uint32_t tgid)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return;
	rc = session_verify(s, tgid, f);
	if (rc < 0 && rc != -ESRCH && s->skipped++ == 0)
		say(s, "a verification of process %u was left out: %s", tgid,
		    rc == -ETIMEDOUT ? "a thread did not stop in time" :
		    rc == -EPERM     ? "another tracer holds it" :
				       strerror(-rc));
	fclose(f);
	say_lines(s, text);
	free(text);
}

static void verify_all(struct session *s)
{
	size_t i;

	for (i = 0; i < s->nr_processes; i++) {
		struct process p = *s->processes[i];

		if (p.alive && living_space(s, p.tgid))
			verify_one(s, p.tgid);
	}
}

/* --- the shim's side ---------------------------------------------------- */

static const struct source_ops kernel_ops = { .peek = kernel_peek,
					      .pop = kernel_pop };
static const struct source_ops sampled_source = { .peek = sampled_peek,
						  .pop = sampled_pop };
static const struct source_ops ring_ops = { ring_peek, ring_pop, ring_take };
static const struct source_ops uprobe_ops = { .peek = uprobe_peek,
					      .pop = uprobe_pop };

/* A child may knock before its fork was read: ask the module first. */
static int on_admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct session *s = ctx;
	struct process *p = process_find(s, tgid);
	uint64_t ts;

	if (s->sampled)
		return sampled_admit(s->sampled, tgid, flags & SHIM_FRESH,
				     stamp_fd);
	if (!p || !p->alive) {
		kernel_sync(s->kernel, &ts);
		p = process_find(s, tgid);
	}
	if (!p || !p->alive)
		return -ESRCH;
	if (stamp_fd)
		*stamp_fd = s->stamp_fd;
	return 0;
}

/* What it allocates is not seen: a loss of unknown size, told of as one event. */
static void on_no_ring(void *ctx, uint32_t tgid, int err)
{
	struct session *s = ctx;

	if (!s->rings_lost++)
		say(s,
		    "process %u cannot be heard (no ring: %s): allocator calls are missing",
		    tgid, strerror(-err));
	run_round(s, false); /* its address space may be new */
	lose_one(s, s->horizon, tgid);
}

static void on_ring(void *ctx, struct ring *r)
{
	struct session *s = ctx;

	ring_set_data(r, order_add(s->order, &ring_ops, r, false));
}

static void on_ring_closing(void *ctx, struct ring *r)
{
	struct session *s = ctx;

	if (ring_data(r))
		order_remove(s->order, ring_data(r));
}

/* The last moment at which its maps and its pages can be seen. */
static void on_bye(void *ctx, uint32_t tgid)
{
	struct session *s = ctx;

	if (!process_find(s, tgid) || s->kernel_gone)
		return;
	session_refresh(s, tgid);
	if (s->o.verify_ms)
		verify_one(s, tgid);
}

static void on_uprobe_thread(void *ctx, struct uprobe_thread *t)
{
	struct session *s = ctx;

	uprobe_set_data(t, order_add(s->order, &uprobe_ops, t, false));
}

static void on_uprobe_closing(void *ctx, struct uprobe_thread *t)
{
	struct session *s = ctx;

	if (uprobe_data(t))
		order_remove(s->order, uprobe_data(t));
}

/* errno EOPNOTSUPP: this process does not take it. */
static int start_inject(struct session *s, char **why)
{
	char *reason = NULL;

	if (!attach_inject(s->attach, &reason))
		return 0;
	if (asprintf(why, "the shim cannot be put into process %u: %s",
		     s->o.pid, reason ? reason : "no memory") < 0)
		*why = NULL;
	free(reason);
	errno = EOPNOTSUPP;
	return -1;
}

static int start_shim(struct session *s, char **why)
{
	static const struct rings_ops ops = {
		.admit = on_admit,
		.opened = on_ring,
		.closing = on_ring_closing,
		.taken = on_words,
		.taken_lost = on_lost,
		.ended = on_ended,
		.none = on_no_ring,
		.stack = on_stack,
		.bye = on_bye,
	};

	size_t bytes = s->o.ring_bytes ? s->o.ring_bytes : DEFAULT_RING;
	bool stamp = s->sampled;
	unsigned int i = 0;
	char path[160];

	if (!stamp) {
		s->stamp_fd = open(VMAHEAP_STAMP_PATH, O_RDWR | O_CLOEXEC);
		stamp = s->stamp_fd >= 0;
	}
	/* Who did not ask to be watched does not wait for us. */
	while (stamp && s->attach && !s->rings &&
	       attach_place(s->attach, i++, s->o.shim_sock, path, sizeof(path)))
		s->rings = rings_open(path, bytes, false, &ops, s);
	if (stamp && !s->attach)
		s->rings = rings_open(s->o.shim_sock, bytes, true, &ops, s);
	if (s->rings) {
		rings_set_stacks(s->rings, s->o.stack_bytes);
		return s->attach ? start_inject(s, why) : 0;
	}
	if (asprintf(why, "%s: %s", stamp ? s->o.shim_sock : VMAHEAP_STAMP_PATH,
		     strerror(errno)) < 0)
		*why = NULL;
	return -1;
}

/*
 * With on_exec, pid is still a copy of the command that starts it, which uses
 * the libc of the system; the probes follow the process through its exec, so
 * they are there when its first malloc is called.
 */
static int start_uprobes(struct session *s, char **why)
{
	static const struct uprobe_ops ops = {
		.opened = on_uprobe_thread,
		.closing = on_uprobe_closing,
		.words = on_words,
		.lost = on_lost,
	};

	s->uprobes = uprobes_open(s->o.pid, s->o.probe_file, !s->sampled, &ops,
				  s, why);
	return s->uprobes ? 0 : -1;
}

/* --- start and stop ----------------------------------------------------- */

int session_trace_path(struct session *s, char *path, size_t size)
{
	char link[64];
	ssize_t len;
	int err;

	if (!s->trace)
		return -ENOENT;
	err = trace_flush(s->trace);
	if (err)
		return err;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", s->o.trace_dir);
	len = readlink(link, path, size - 1);
	if (len < 0)
		return -errno;
	path[len] = 0;
	return 0;
}

const char *session_alloc_name(enum session_alloc a)
{
	static const char *const names[] = { "none", "shim", "uprobe", "auto",
					     "walk" };

	return names[a];
}

/* A flight recorder finds out now that its directory is no good. */
static struct trace_writer *create_trace(struct session *s,
					 const struct trace_env *env)
{
	if (!s->o.flight)
		return trace_create_row(s->o.trace_dir, env, &s->o.limits);
	if (!faccessat(s->o.trace_dir, "metadata", F_OK, 0)) {
		errno = EEXIST;
		return NULL;
	}
	return trace_create_row(-1, env, &s->o.limits);
}

static int start_trace(struct session *s, char **why)
{
	struct trace_env env = { .clock_offset_ns = 0 };
	struct timespec wall;
	struct utsname u;

	if (s->o.trace_dir < 0)
		return 0;
	if (!uname(&u))
		snprintf(env.release, sizeof(env.release), "%s", u.release);
	clock_gettime(CLOCK_REALTIME, &wall);
	env.clock_offset_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec -
			      (int64_t)now_ns();
	snprintf(env.command, sizeof(env.command), "%s", s->command);
	env.stack_bytes = s->o.alloc == ALLOC_SHIM ? s->o.stack_bytes : 0;
	snprintf(env.alloc, sizeof(env.alloc), "%s",
		 session_alloc_name(s->o.alloc));
	s->trace = create_trace(s, &env);
	if (s->trace) {
		s->recorder = (struct recorder){ .order = s->order,
						 .model = s->model,
						 .tell = tell_taken,
						 .ctx = s };
		if (s->o.limits.bytes || s->o.limits.ns)
			s->recorder.trace = s->trace;
		return 0;
	}
	if (asprintf(why, "the trace directory: %s",
		     errno == EEXIST ? "there is a trace in it already" :
				       strerror(errno)) < 0)
		*why = NULL;
	return -1;
}

static void on_exited(void *ctx, uint32_t tgid)
{
	process_died(ctx, tgid);
}

static void on_blind(void *ctx, uint32_t tgid, int err)
{
	say(ctx,
	    "process %u may not be looked at (%s: it runs as another user, or its file is not readable): its VMAs are not known",
	    tgid, strerror(-err));
}

static int start_sampled(struct session *s, char **why)
{
	static const struct sampled_ops ops = {
		.raw = on_records,
		.exited = on_exited,
		.blind = on_blind,
		.taken = on_taken,
	};
	int err;

	s->sampled =
		sampled_open(&ops, s, s->o.follow, s->o.alloc == ALLOC_SHIM);
	if (!s->sampled)
		return -1;
	s->kernel_source =
		order_add(s->order, &sampled_source, s->sampled, true);
	err = sampled_watch(s->sampled, s->o.pid, s->o.on_exec);
	if (!err)
		return 0;
	if (asprintf(why, "process %u: %s", s->o.pid, strerror(-err)) < 0)
		*why = NULL;
	errno = -err;
	return -1;
}

static int start_kernel(struct session *s, char **why)
{
	s->kernel = kernel_open(on_records, on_taken, s);
	if (s->kernel) {
		s->kernel_source =
			order_add(s->order, &kernel_ops, s->kernel, true);
		return 0;
	}
	if (asprintf(why, "the kernel module: %s",
		     errno == ENOENT ? "it is not loaded (see vmaheap doctor)" :
				       strerror(errno)) < 0)
		*why = NULL;
	return -1;
}

static int start_watch(struct session *s, char **why)
{
	uint32_t flags = VMAHEAP_WATCH_EXEC;
	int err;

	if (s->o.follow)
		flags |= VMAHEAP_WATCH_FORK;
	if (s->o.on_exec)
		flags |= VMAHEAP_WATCH_ON_EXEC;
	if (s->o.faults)
		flags |= VMAHEAP_WATCH_FAULTS;
	err = kernel_watch(s->kernel, s->o.pid, flags);
	if (!err)
		return 0;
	if (asprintf(why, "process %u: %s", s->o.pid, kernel_why(s->kernel)) <
	    0)
		*why = NULL;
	errno = -err;
	return -1;
}

static int start_sources(struct session *s, char **why)
{
	int err;

	/* The watch first: its refusals say more than those of the others. */
	if (s->o.no_module) {
		err = start_sampled(s, why);
	} else {
		err = start_kernel(s, why);
		if (!err)
			err = start_watch(s, why);
	}
	if (!err && s->o.alloc == ALLOC_SHIM && !s->o.on_exec) {
		s->attach = attach_new(s->o.pid);
		err = s->attach ? 0 : -1;
	}
	if (!err && s->o.alloc == ALLOC_SHIM)
		err = start_shim(s, why);
	if (!err && s->o.alloc == ALLOC_UPROBE)
		err = start_uprobes(s, why);
	return err ? err : start_trace(s, why);
}

static size_t dead_bytes(const struct trace_limits *l)
{
	return l->bytes && l->bytes / DEAD_PART < DEAD_BYTES ?
		       l->bytes / DEAD_PART :
		       DEAD_BYTES;
}

static void limit_model(struct session *s)
{
	model_limit_dead(s->model, dead_bytes(&s->o.limits));
	model_limit_files(s->model, FILES_MAX);
}

static struct session *start_session(const struct session_opts *o, char **why)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	*why = NULL;
	if (!s)
		return NULL;
	s->o = *o;
	s->stamp_fd = -1;
	s->command = strdup(o->command ? o->command : "");
	s->began = now_ns();
	s->idle_ms = TICK_MS;
	s->next_sample = s->began + SAMPLE_MS * 1000000ull;
	s->next_verify = s->began + o->verify_ms * 1000000ull;
	s->next_flush = s->began + FLUSH_MS * 1000000ull;
	s->model = model_new();
	if (s->model)
		limit_model(s);
	s->order = s->model ? order_new(s->model) : NULL;
	if (s->order && s->command && !start_sources(s, why)) {
		if (!o->on_exec &&
		    (o->alloc == ALLOC_SHIM || o->alloc == ALLOC_UPROBE))
			s->next_find = now_ns() + FIND_MS * 1000000ull;
		return s;
	}
	err = errno;
	session_stop(s);
	errno = err;
	return NULL;
}

/* What the shim cannot do here uprobes may. */
static struct session *start_any(const struct session_opts *o, char **why)
{
	struct session_opts try = *o;
	struct session *s;
	char text[512];

	try.alloc = ALLOC_SHIM;
	try.trace_dir = o->trace_dir < 0 ? -1 : dup(o->trace_dir);
	s = start_session(&try, why);
	if (s || errno != EOPNOTSUPP) {
		if (o->trace_dir >= 0)
			close(o->trace_dir);
		return s;
	}
	snprintf(text, sizeof(text),
		 "%s; by uprobes instead, which cost it microseconds a call",
		 *why ? *why : "");
	free(*why);
	if (o->say)
		o->say(o->say_ctx, text);
	try.alloc = ALLOC_UPROBE;
	try.trace_dir = o->trace_dir;
	return start_session(&try, why);
}

struct session *session_start(const struct session_opts *o, char **why)
{
	return o->alloc == ALLOC_AUTO ? start_any(o, why) :
					start_session(o, why);
}

static void close_rings(struct session *s)
{
	if (!s->rings)
		return;
	s->rings_were = rings_totals(s->rings);
	rings_close(s->rings);
	s->rings = NULL;
}

/*
 * First no new call comes to the shim, then the rest of what it told is taken,
 * then nobody listens to it, then its memory is given back.
 */
static void detach_begin(struct session *s)
{
	size_t i;

	for (i = 0; s->attach && i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			attach_silence(s->attach, s->processes[i]->tgid);
}

static void detach_end(struct session *s)
{
	if (!s->attach)
		return;
	close_rings(s);
	s->inside = attach_close(s->attach, &s->attach_was);
	s->attach = NULL;
}

void session_stop(struct session *s)
{
	detach_begin(s);
	close_rings(s);
	detach_end(s);
	if (s->uprobes)
		uprobes_close(s->uprobes);
	if (s->trace)
		trace_close(s->trace);
	if (s->kernel_source)
		order_remove(s->order, s->kernel_source);
	kernel_close(s->kernel);
	sampled_close(s->sampled);
	if (s->stamp_fd >= 0)
		close(s->stamp_fd);
	if (s->o.trace_dir >= 0)
		close(s->o.trace_dir);
	if (s->order)
		order_free(s->order);
	if (s->model)
		model_free(s->model);
	while (s->nr_processes)
		process_free(s->processes[--s->nr_processes]);
	free(s->processes);
	hash_destroy(&s->by_tgid);
	free(s->resync);
	hash_destroy(&s->build_ids);
	free(s->command);
	free(s);
}

void session_finish(struct session *s)
{
	detach_begin(s);
	run_round(s, false);
	run_round(s, true);
	detach_end(s);
	if (!s->trace)
		return;
	if (s->o.flight)
		s->dump_error = -trace_dump(s->trace, s->o.trace_dir);
	else
		trace_flush(s->trace);
	trace_check(s);
}

int session_dump(struct session *s, int dirfd)
{
	if (!s->trace || !s->o.flight)
		return -EOPNOTSUPP;
	sample_all(s, now_ns());
	catch_up(s);
	return trace_dump(s->trace, dirfd);
}

int session_fds(const struct session *s, struct pollfd *fds)
{
	int n = 0;

	fds[n++] = (struct pollfd){ .fd = s->kernel ? kernel_fd(s->kernel) : -1,
				    .events = POLLIN };
	if (s->rings)
		fds[n++] = (struct pollfd){ .fd = rings_fd(s->rings),
					    .events = POLLIN };
	return n;
}

static void warn_of_price(struct session *s);

static void do_due(struct session *s)
{
	uint64_t now = now_ns();

	if (s->o.verify_ms && now >= s->next_verify && !s->kernel_gone) {
		verify_all(s);
		s->next_verify = now_ns() + s->o.verify_ms * 1000000ull;
	}
	look_at_rss(s);
	if (s->uprobes)
		warn_of_price(s);
	if (s->attach && now >= s->next_look) {
		attach_look(s->attach);
		s->next_look = now_ns() + LOOK_MS * 1000000ull;
	}
	if (s->next_find && now >= s->next_find)
		find_chunks(s);
	if (s->o.alloc == ALLOC_WALK && now >= s->next_walk)
		walk_all(s, now);
	if (now >= s->next_sample)
		sample_all(s, now);
	if (s->trace && now >= s->next_flush) {
		trace_flush(s->trace);
		trace_check(s);
		s->next_flush = now + FLUSH_MS * 1000000ull;
	}
}

static unsigned int until(uint64_t due, uint64_t now, unsigned int ms)
{
	uint64_t left = due <= now ? 0 : (due - now) / 1000000;

	return left < ms ? (unsigned int)left : ms;
}

unsigned int session_tick(struct session *s)
{
	unsigned int ms, idle = s->sampled ? TICK_STAMP_MS : TICK_IDLE_MS;

	if (s->rings)
		rings_accept(s->rings);
	if (run_round(s, false))
		s->idle_ms = TICK_MS;
	else if (s->idle_ms < idle)
		s->idle_ms *= 2;
	do_due(s);
	proc_reap();
	ms = s->rings && rings_busy(s->rings) ? TICK_BUSY_MS : s->idle_ms;
	if (s->o.verify_ms)
		ms = until(s->next_verify, now_ns(), ms);
	return ms;
}

/* --- questions ---------------------------------------------------------- */

const struct model *session_model(const struct session *s)
{
	return s->model;
}

uint32_t session_pid(const struct session *s)
{
	return s->o.pid;
}

uint64_t session_began(const struct session *s)
{
	uint64_t first = order_totals(s->order).first;

	return first ? first : s->began;
}

uint64_t session_stack_bytes(const struct session *s)
{
	return s->o.stack_bytes;
}

enum session_alloc session_alloc(const struct session *s)
{
	return s->o.alloc;
}

struct session_totals session_totals(struct session *s)
{
	struct session_totals t = {
		.order = order_totals(s->order),
		.model = model_totals(s->model),
		.module_gaps = s->kernel ? kernel_gaps(s->kernel) : 0,
		.skipped = s->skipped
	};

	struct vmaheap_stats now;

	if (s->kernel && !s->kernel_gone && !kernel_stats(s->kernel, &now))
		s->stats = now;
	t.module = s->stats;
	if (s->trace)
		t.trace = trace_written(s->trace);
	if (!t.trace.error && (s->dump_error || s->recorder.error))
		t.trace.error = s->dump_error ? s->dump_error :
						s->recorder.error;
	if (s->rings)
		s->rings_were = rings_totals(s->rings);
	t.calls_lost += s->rings_were.lost + s->rings_lost;
	t.broken += s->rings_were.broken;
	if (s->uprobes)
		t.calls_lost += uprobes_totals(s->uprobes).lost;
	return t;
}

void session_print_checks(struct session *s, FILE *f)
{
	struct session_totals t = session_totals(s);

	if (!s->o.verify_ms && !t.model.checks)
		return;
	fprintf(f,
		"verify: %" PRIu64 " checks, %" PRIu64
		" VMAs compared, %" PRIu64 " mismatches\n",
		t.model.checks, t.model.check_vmas, t.model.check_mismatches);
	if (t.skipped)
		fprintf(f,
			"verify: %" PRIu64
			" checks were left out: a thread did not stop in time\n",
			t.skipped);
	if (!t.model.checks)
		fprintf(f,
			"verify: the target ended before it could be compared\n");
}

static void print_stops(const struct session *s, FILE *f)
{
	const struct attach_cost *c = &s->attach_was;

	if (s->found_took)
		fprintf(f,
			"attach: process %u stood still for %.1f ms while its heap was read\n",
			s->o.pid, (double)s->found_took / 1e6);
	if (!c->stops)
		return;
	fprintf(f,
		"attach: process %u was stopped %u times, %.1f ms altogether, %.1f ms at most; its pointers are put back (%u)\n",
		s->o.pid, c->stops, (double)c->stopped_ns / 1e6,
		(double)c->longest_ns / 1e6, c->pointers);
	if (s->inside)
		fprintf(f,
			"attach: in %u processes a thread may still be inside of the shim, or did not stop: what is left of it there is silent\n",
			s->inside);
}

/* Per second of the watch, as a part of a CPU; 0: not known. */
static double probe_load(const struct session *s, double *ms)
{
	struct uprobe_totals t = uprobes_totals(s->uprobes);
	double seconds = (double)(now_ns() - s->began) / 1e9;

	*ms = (double)t.hits * t.hit_ns / 1e6;
	return seconds > 0 ? *ms / 1e3 / seconds : 0;
}

static void print_probes(const struct session *s, FILE *f)
{
	struct uprobe_totals t = uprobes_totals(s->uprobes);
	double ms, load = probe_load(s, &ms);

	if (t.hit_ns > 0)
		fprintf(f,
			"attach: %" PRIu64
			" hits of %u probes, at %.0f ns each (measured) %.1f ms: %.1f %% of a CPU\n",
			t.hits, t.probes, t.hit_ns, ms, 100 * load);
	else
		fprintf(f,
			"attach: %" PRIu64
			" hits of %u probes; what they cost could not be measured\n",
			t.hits, t.probes);
}

void session_print_price(struct session *s, FILE *f)
{
	print_stops(s, f);
	if (s->uprobes)
		print_probes(s, f);
}

/* While there is time to end it. */
static void warn_of_price(struct session *s)
{
	double ms, load;

	if (s->warned || now_ns() - s->began < 1000000000)
		return;
	load = probe_load(s, &ms);
	if (load < PRICE_LOUD)
		return;
	s->warned = true;
	say(s,
	    "THE PROBES COST PROCESS %u %.0f %% OF A CPU (%.0f ms so far): it is slower by that; ^C ends it",
	    s->o.pid, 100 * load, ms);
}

void session_print_losses(struct session *s, FILE *f)
{
	struct session_totals t = session_totals(s);
	uint64_t lost = t.model.kernel_lost + t.module_gaps + t.calls_lost +
			t.trace.discarded;

	if (s->sampled)
		fprintf(f,
			"events: %" PRIu64 " (no module: VMAs as seen %" PRIu64
			" time%s), lost: %" PRIu64 "\n",
			t.model.events, sampled_looks(s->sampled),
			sampled_looks(s->sampled) == 1 ? "" : "s", lost);
	else
		fprintf(f,
			"events: %" PRIu64 " (%" PRIu64
			" from the module), lost: %" PRIu64
			", coalesced: %" PRIu64 "\n",
			t.model.events, (uint64_t)t.module.records, lost,
			(uint64_t)t.module.coalesced);
	if (s->kernel_gone)
		fprintf(f,
			"the module was gone before the end: lost and coalesced are what was known then\n");
	if (t.broken)
		fprintf(f,
			"%" PRIu64
			" allocator sources were cut off: nonsense in their rings\n",
			t.broken);
	if (t.model.no_memory)
		fprintf(f,
			"%" PRIu64
			" events are not in the model: there was no memory\n",
			t.model.no_memory);
	if (t.model.invalid)
		fprintf(f, "%" PRIu64 " events were refused\n",
			t.model.invalid);
	if (t.trace.discarded)
		fprintf(f, "%" PRIu64 " events are not in the trace: %s\n",
			t.trace.discarded, strerror(t.trace.error));
}

void session_print_kept(struct session *s, FILE *f)
{
	if (s->dump_error)
		fprintf(f, "what was recorded is not whole in the trace: %s\n",
			strerror(s->dump_error));
	if (s->recorder.error)
		fprintf(f,
			"the trace is longer than it was to be: the state that its end begins with cannot be written: %s\n",
			strerror(s->recorder.error));
}
