// SPDX-License-Identifier: GPL-2.0
/* One round: what came up to a moment is put in order, and told to the model. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "intake/allocator.h"
#include "intake/kernel.h"
#include "intake/proc.h"
#include "intake/rings.h"
#include "intake/sampled.h"
#include "intake/uprobe.h"
#include "session/inside.h"

static void want_snapshot(struct session *s, uint64_t mm)
{
	uint64_t *r = realloc(s->resync, (s->nr_resync + 1) * sizeof(*r));

	if (!r)
		return;
	s->resync = r;
	r[s->nr_resync++] = mm;
}

/*
 * By exec the shim that was put into it is gone; it is put into the new program
 * as well, but what that allocates until then is not seen. One that is recorded from
 * its beginning has preloaded it, unless it has another environment, root or user.
 */
static void note_exec(struct session *s, const struct event *exec)
{
	struct process *p = session_process_find(s, exec->mm_start.owner);

	if (p)
		p->execs++;
	if (!s->o.on_exec)
		session_lose(s, exec->ts, exec->mm_start.owner, 1);
	else if (!p || p->heard >= exec->ts)
		return;
	attach_exec(s->attach, exec->mm_start.owner, s->o.on_exec);
	s->next_look = 0;
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
void session_look_at_rss(struct session *s)
{
	size_t i;

	for (i = 0; s->o.triggers.nr && i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];
		const struct space *sp =
			p->alive ? session_living_space(s, p->tgid) : NULL;

		if (sp)
			pull(s, sp, TRIGGER_RSS, proc_rss(p->tgid));
	}
}

/*
 * Without the module the chunks that a forked copy has of its parent are not known,
 * but malloc's books of the copy name them. One that is about to call exec or to end
 * does not live until then.
 */
static void note_copy(struct session *s, const struct event *ev)
{
	struct process *p = session_process_find(s, ev->mm_start.owner);

	if (p && p->tgid != s->o.pid)
		p->find_at = now_ns() + FIND_MS * 1000000ull;
}

/* a->name "": nobody defines malloc. */
static void put_allocator(struct session *s, const struct space *sp,
			  const struct allocator *a)
{
	struct trace_allocator n = { .rec = { .type = TRACE_NOTE_ALLOCATOR,
					      .size = sizeof(n),
					      .ts = s->horizon,
					      .mm = sp->mm,
					      .tgid = sp->owner },
				     .is_static = a->is_static };
	struct event ev = { .kind = EV_ALLOCATOR,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm };

	snprintf(n.kind, sizeof(n.kind), "%s", a->kind);
	snprintf(n.file, sizeof(n.file), "%.*s", (int)sizeof(n.file) - 1,
		 a->name);
	n.settings_known =
		!proc_malloc_env(sp->owner, n.settings, sizeof(n.settings));
	ev.allocator.kind = n.kind;
	ev.allocator.file = n.file;
	ev.allocator.settings = n.settings_known ? n.settings : NULL;
	ev.allocator.is_static = a->is_static;
	model_apply(s->model, &ev, NULL);
	if (s->trace)
		trace_note(s->trace, &n.rec);
}

static void told(void *ctx, const struct outcome *out)
{
	struct session *s = ctx;

	if (s->o.triggers.nr && out->ev->kind == EV_RANGE && out->space)
		pull_all(s, out->space);

	if (s->attach && out->ev->kind == EV_MM &&
	    out->ev->mm_start.cause == MM_EXEC)
		note_exec(s, out->ev);
	if (s->sampled && s->rings && out->ev->kind == EV_MM &&
	    out->ev->mm_start.cause == MM_ATTACH)
		note_copy(s, out->ev);
	if (s->uprobes && s->o.on_exec && !s->probed_told &&
	    out->ev->kind == EV_MM && out->space) {
		/* Known before the program ran; it may have ended by now. */
		s->probed_told = true;
		put_allocator(s, out->space, uprobes_allocator(s->uprobes));
	}
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
	session_say(
		s,
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

int session_allocator(const struct session *s, uint32_t tgid,
		      struct allocator *a)
{
	if (s->o.alloc == ALLOC_UPROBE && !allocator_find_beside(tgid, a))
		return 0;
	return found_allocator(tgid, a);
}

/* Neither the shim nor a libc's books tell of what is called by names of its own. */
static void look_beside(struct session *s, struct process *p, uint64_t mm)
{
	bool said = s->o.on_exec && p->tgid == s->o.pid && p->execs == 1;
	struct allocator a;

	if (p->looked_beside == mm ||
	    (s->o.alloc != ALLOC_SHIM && s->o.alloc != ALLOC_WALK))
		return;
	p->looked_beside = mm;
	if (allocator_find_beside(p->tgid, &a))
		return;
	session_lose(s, s->horizon, p->tgid, 1);
	if (!said && session_is_news(s, a.prefix)) /* client.c says it, too */
		session_say(
			s,
			"process %u calls %s by names of its own (%smalloc): these calls are not heard (by --alloc=uprobe they are)",
			p->tgid, a.kind, a.prefix);
}

/* Once in each address space, as soon as it can be told. */
void session_note_allocator(struct session *s, const struct space *sp)
{
	struct allocator a;
	int err = session_allocator(s, sp->owner, &a);

	if (err && err != -ENOENT)
		return;
	/* It calls one: what was looked at is what it executes next. */
	if (err && sp->has_calls)
		return;
	/* Its libraries may not be there yet. */
	if (!a.is_static && !sp->has_calls &&
	    s->horizon - sp->born < SAMPLE_MS * 1000000ull)
		return;
	put_allocator(s, sp, &a);
}

/*
 * A program that is done before the first sample is static or not all the same; and
 * one that is probed does not wait for us as it ends, as one with the shim does, so
 * it is looked at when it calls.
 */
static void look_at_new(struct session *s)
{
	bool born = s->born;
	size_t i;

	if (!born && !s->uprobes)
		return;
	s->born = false;
	for (i = 0; i < s->nr_processes; i++) {
		struct process *p = s->processes[i];
		const struct space *sp = session_living_space(s, p->tgid);

		if (!sp || !p->alive)
			continue;
		look_beside(s, p, sp->mm);
		if (!sp->allocator.known && (born || sp->has_calls))
			session_note_allocator(s, sp);
	}
}

bool session_run_round(struct session *s, bool final)
{
	uint64_t applied;
	size_t words = 0;

	sync_kernel(s);
	if (s->rings) {
		words = rings_drain(s->rings);
		if (final)
			rings_end(s->rings);
	}
	if (s->uprobes)
		uprobes_drain(s->uprobes);
	applied = order_run_quick(s->order, s->horizon, final, told, s);
	session_tell_taken(s);
	recorder_round(&s->recorder);
	look_at_new(s);
	heal(s);
	session_bury(s);
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
void session_catch_up(struct session *s)
{
	const struct event *ev;
	uint64_t moment;
	int rounds = 0;

	session_run_round(s, false);
	moment = s->horizon;
	while ((ev = peek_kernel(s)) && ev->ts <= moment && rounds++ < 100)
		session_run_round(s, false);
}
