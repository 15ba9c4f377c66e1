// SPDX-License-Identifier: GPL-2.0
/* Where events come from: the module or looks at /proc, the shim or uprobes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intake/kernel.h"
#include "intake/records.h"
#include "intake/rings.h"
#include "intake/sampled.h"
#include "intake/uprobe.h"
#include "probe/words.h"
#include "session/attach.h"
#include "session/inside.h"

#define DEFAULT_RING (1024 * 1024)

static const struct source_ops kernel_ops = { .peek = kernel_peek,
					      .pop = kernel_pop };
static const struct source_ops sampled_source = { .peek = sampled_peek,
						  .pop = sampled_pop };
static const struct source_ops ring_ops = { ring_peek, ring_pop, ring_take };
static const struct source_ops uprobe_ops = { .peek = uprobe_peek,
					      .pop = uprobe_pop };

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
		session_process_event(s, &ev);
		if (ev.kind == EV_MM) {
			s->new_mm = ev.mm;
			s->new_owner = ev.mm_start.owner;
		}
		if (ev.kind == EV_FILE)
			session_note_path(s, &ev);
		if (ev.kind == EV_RANGE)
			session_learn_build_ids(s, &ev);
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
		trace_lost(s->trace, tgid, tid, nr, 0);
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

/* (Records have told of themselves.) */
void session_tell_taken(void *ctx)
{
	struct session *s = ctx;

	if (s->rings)
		rings_tell(s->rings);
	if (s->uprobes)
		uprobes_tell(s->uprobes);
}

void session_lose(struct session *s, uint64_t ts, uint32_t tgid, uint64_t nr)
{
	struct event ev = { .kind = EV_CALLS_LOST,
			    .ts = ts,
			    .tgid = tgid, /* of no thread */
			    .calls_lost = { nr } };

	model_apply(s->model, &ev, NULL);
	if (s->trace)
		trace_lost(s->trace, tgid, 0, nr, ts);
	s->rings_lost += nr;
}

/* A program that has preloaded the shim asks for its first ring. */
static void note_heard(struct session *s, uint32_t tgid)
{
	struct process *p = session_process_find(s, tgid);

	if (p)
		p->heard = now_ns();
	attach_heard(s->attach, tgid);
}

/* A child may knock before its fork was read: ask the module first. */
static int on_admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct session *s = ctx;
	struct process *p = session_process_find(s, tgid);
	uint64_t ts;
	int err;

	if (s->sampled) {
		err = sampled_admit(s->sampled, tgid, flags & SHIM_FRESH,
				    stamp_fd);
		if (!err && flags & SHIM_FRESH)
			note_heard(s, tgid);
		return err;
	}
	if (!p || !p->alive) {
		kernel_sync(s->kernel, &ts);
		p = session_process_find(s, tgid);
	}
	if (!p || !p->alive)
		return -ESRCH;
	if (stamp_fd)
		*stamp_fd = s->stamp_fd;
	if (flags & SHIM_FRESH)
		note_heard(s, tgid);
	return 0;
}

static void say_missing(struct session *s, uint32_t tgid, int err)
{
	if (err == -EEXIST)
		session_say(
			s,
			"process %u defines malloc itself, before the preloaded shim: allocator calls may be missing",
			tgid);
	else if (err == -EXDEV)
		session_say(
			s,
			"process %u opens a library past the shim (RTLD_DEEPBIND or dlmopen): allocator calls may be missing",
			tgid);
	else if (err == -EOWNERDEAD)
		session_say(
			s,
			"the main thread of process %u has ended, by which uprobes know it: allocator calls are missing",
			tgid);
	else
		session_say(
			s,
			"process %u cannot be heard (no ring: %s): allocator calls are missing",
			tgid, strerror(-err));
}

void session_miss(void *ctx, uint32_t tgid, int err)
{
	struct session *s = ctx;
	int stamp_fd;

	if (!s->rings_lost)
		say_missing(s, tgid, err);
	/* Its VMAs are seen all the same. One with a malloc of its own says so at once. */
	if (s->sampled)
		sampled_admit(s->sampled, tgid, err == -EEXIST, &stamp_fd);
	session_catch_up(s); /* its address space may be new */
	session_lose(s, s->horizon, tgid, 1);
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

	/* It has allocated nothing, and is gone before the next look for children. */
	if (s->sampled)
		sampled_meet(s->sampled, tgid);
	if (!session_process_find(s, tgid) || s->kernel_gone)
		return;
	session_refresh(s, tgid);
	if (s->o.verify_ms)
		session_verify_one(s, tgid);
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
static int refuse_shim(struct session *s, char **why, const char *reason)
{
	if (asprintf(why, "the shim cannot be put into process %u: %s",
		     s->o.pid, reason) < 0)
		*why = NULL;
	errno = EOPNOTSUPP;
	return -1;
}

static int start_inject(struct session *s, char **why)
{
	char *reason = NULL;

	if (!attach_inject(s->attach, &reason))
		return 0;
	refuse_shim(s, why, reason ? reason : "no memory");
	free(reason);
	errno = EOPNOTSUPP;
	return -1;
}

/* What errno says of it. */
static int say_path(char **why, const char *path)
{
	if (asprintf(why, "%s: %s", path, strerror(errno)) < 0)
		*why = NULL;
	return -1;
}

static int on_listen(void *ctx, const char *path)
{
	struct session *s = ctx;

	return rings_listen(s->rings, path);
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
		.none = session_miss,
		.stack = on_stack,
		.bye = on_bye,
	};
	size_t bytes = s->o.ring_bytes ? s->o.ring_bytes : DEFAULT_RING;

	/* Who did not ask to be watched does not wait for us. */
	s->rings = rings_open(NULL, bytes, s->o.on_exec, &ops, s);
	s->attach = attach_new(s->o.on_exec ? 0 : s->o.pid, s->o.shim_sock,
			       on_listen, s);
	if (!s->rings || !s->attach)
		return -1;
	rings_set_stacks(s->rings, s->o.stack_bytes);
	if (!s->sampled) {
		s->stamp_fd = open(VMAHEAP_STAMP_PATH, O_RDWR | O_CLOEXEC);
		if (s->stamp_fd < 0)
			return say_path(why, VMAHEAP_STAMP_PATH);
	}
	if (!s->o.on_exec)
		return start_inject(s, why);
	errno = -attach_listen(s->attach);
	return errno ? say_path(why, s->o.shim_sock) : 0;
}

/*
 * With on_exec, pid is still a copy of the command that starts it, which has said
 * where the program's malloc will be (launch.h); else it is looked for in that copy.
 * The probes follow the process through its exec, so they are there when its first
 * malloc is called.
 */
static int start_uprobes(struct session *s, char **why)
{
	static const struct uprobe_ops ops = {
		.opened = on_uprobe_thread,
		.closing = on_uprobe_closing,
		.words = on_words,
		.lost = on_lost,
	};

	s->uprobes = uprobes_open(s->o.pid, s->o.probe_file, s->o.program,
				  !s->sampled, &ops, s, why);
	return s->uprobes ? 0 : -1;
}

static void on_exited(void *ctx, uint32_t tgid)
{
	session_process_died(ctx, tgid);
}

static void on_blind(void *ctx, uint32_t tgid, int err)
{
	session_say(
		ctx,
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
	bool shim = s->o.alloc == ALLOC_SHIM;
	char *env = NULL;
	int err;

	if (shim && s->o.on_exec &&
	    asprintf(&env, SHIM_SOCK_ENV "=%s", s->o.shim_sock) < 0)
		return -1;
	s->sampled = sampled_open(&ops, s, s->o.follow, shim, env);
	free(env);
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

int session_start_sources(struct session *s, char **why)
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
	if (!err && s->o.alloc == ALLOC_SHIM)
		err = start_shim(s, why);
	if (!err && s->o.alloc == ALLOC_UPROBE)
		err = start_uprobes(s, why);
	return err ? err : session_start_trace(s, why);
}
