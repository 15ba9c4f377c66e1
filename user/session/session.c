// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/allocator.h"
#include "intake/kernel.h"
#include "intake/proc.h"
#include "intake/rings.h"
#include "intake/sampled.h"
#include "intake/uprobe.h"
#include "session/attach.h"
#include "session/inside.h"

#define TICK_MS 5 /* something came; or less: next_tick() */
#define TICK_IDLE_MS 50 /* nothing comes: back off to this */
#define TICK_STAMP_MS 8 /* but to this where the stamps are ours */
#define HEADLESS_MS 200 /* longer than the threads of a process take to end */
#define FLUSH_MS 1000 /* partial packets of the trace */
/*
 * What the model keeps of processes that have ended. Where only the end of a trace
 * is kept, each of its segments begins with the model (recorder.h), so that it must
 * be small beside them.
 */
#define DEAD_BYTES (32ull << 20)
#define DEAD_PART 8

void session_say(struct session *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->o.say)
		s->o.say(s->o.say_ctx, text);
}

const char *session_alloc_name(enum session_alloc a)
{
	static const char *const names[] = { "none", "shim", "uprobe", "auto",
					     "walk" };

	return names[a];
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
	s->tick_ms = TICK_MS;
	s->next_sample = s->began + SAMPLE_MS * 1000000ull;
	s->next_verify = s->began + o->verify_ms * 1000000ull;
	s->next_flush = s->began + FLUSH_MS * 1000000ull;
	s->model = model_new();
	if (s->model)
		limit_model(s);
	s->order = s->model ? order_new(s->model) : NULL;
	if (s->order && s->command && !session_start_sources(s, why)) {
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

/* As start_session() does, but trace_dir stays the caller's where the shim is refused. */
static struct session *start_shimmed(const struct session_opts *o, char **why)
{
	struct session_opts try = *o;
	struct allocator beside;
	struct session *s;

	/* It would hear a part of it only; who is not root has nothing better. */
	if (!geteuid() && !allocator_find_beside(o->pid, &beside)) {
		if (asprintf(
			    why,
			    "process %u calls %s by names of its own (%smalloc), past the shim",
			    o->pid, beside.kind, beside.prefix) < 0)
			*why = NULL;
		errno = EOPNOTSUPP;
		return NULL;
	}
	try.alloc = ALLOC_SHIM;
	try.trace_dir = o->trace_dir < 0 ? -1 : dup(o->trace_dir);
	s = start_session(&try, why);
	if ((s || errno != EOPNOTSUPP) && o->trace_dir >= 0)
		close(o->trace_dir);
	return s;
}

/* No symbol says where its malloc is, but it keeps books that can be read. */
static bool has_books_alone(uint32_t pid)
{
	struct allocator a;

	return !found_allocator(pid, &a) && !a.nr;
}

/* What the shim cannot do here uprobes may; and where they cannot, malloc's books. */
static struct session *start_any(const struct session_opts *o, char **why)
{
	struct session *s = start_shimmed(o, why);
	struct session_opts try = *o;
	char text[512];
	bool books;

	if (s || errno != EOPNOTSUPP)
		return s;
	books = has_books_alone(o->pid);
	snprintf(
		text, sizeof(text), "%s; %s", *why ? *why : "",
		books ? "no symbol says where its malloc is, so no call is seen: malloc's own books are read instead, now and then, as by --alloc=walk" :
			"by uprobes instead, which cost it microseconds a call");
	free(*why);
	if (o->say)
		o->say(o->say_ctx, text);
	try.alloc = books ? ALLOC_WALK : ALLOC_UPROBE;
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
	uint64_t unheard;
	size_t i;

	for (i = 0; s->attach && i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];

		unheard = p->alive ? attach_silence(s->attach, p->tgid) : 0;
		if (unheard)
			session_lose(s, s->horizon, p->tgid, unheard);
	}
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
		session_process_free(s->processes[--s->nr_processes]);
	free(s->processes);
	hash_destroy(&s->by_tgid);
	free(s->resync);
	session_free_files(s);
	free(s->command);
	free(s);
}

void session_finish(struct session *s)
{
	session_look_for_files(s);
	detach_begin(s);
	session_run_round(s, false);
	session_run_round(s, true);
	detach_end(s);
	if (!s->trace)
		return;
	if (s->o.flight)
		s->dump_error = -trace_dump(s->trace, s->o.trace_dir);
	else
		trace_flush(s->trace);
	session_trace_check(s);
}

int session_dump(struct session *s, int dirfd)
{
	if (!s->trace || !s->o.flight)
		return -EOPNOTSUPP;
	session_sample_all(s, now_ns());
	session_catch_up(s);
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

bool session_is_news(struct session *s, const char *why)
{
	if (!strncmp(s->refused, why, sizeof(s->refused) - 1))
		return false;
	snprintf(s->refused, sizeof(s->refused), "%s", why);
	return true;
}

static void take_news(struct session *s, const struct attach_news *n)
{
	struct process *p = session_process_find(s, n->pid);
	/* launch.c has seen what is the matter, and has told. */
	bool said = p && s->o.on_exec && n->pid == s->o.pid && p->execs == 1;

	/* (Of an attach that is told already: round.c, note_exec().) */
	if (s->o.on_exec && (n->entered || (n->why && !said)))
		session_lose(s, s->horizon, n->pid, 1);
	if (n->entered && p)
		p->find_at = now_ns() + FIND_MS * 1000000ull;
	if (n->why && !said && session_is_news(s, n->why))
		session_say(
			s,
			"process %u executes a program that the shim cannot be put into: %s",
			n->pid, n->why);
	if (n->misses)
		session_miss(s, n->pid, -EXDEV);
}

static void look_at_targets(struct session *s, uint64_t now)
{
	struct attach_news news;

	s->next_look = attach_look(s->attach, now);
	while (attach_next(s->attach, &news)) {
		take_news(s, &news);
		free(news.why);
	}
}

/*
 * Perf events know an address space by the task that they were made for. Where the
 * whole process ends, the main thread may do so a moment before the others.
 */
static void look_for_main_thread(struct session *s, uint64_t now)
{
	if (s->deaf)
		return;
	if (proc_number(s->o.pid) == s->o.pid)
		s->headless = 0;
	else if (!s->headless)
		s->headless = now;
	if (!s->headless || now - s->headless < HEADLESS_MS * 1000000ull)
		return;
	s->deaf = true;
	session_miss(s, s->o.pid, -EOWNERDEAD);
}

static void do_due(struct session *s)
{
	uint64_t now = now_ns();

	if (s->o.verify_ms && now >= s->next_verify && !s->kernel_gone) {
		session_verify_all(s);
		s->next_verify = now_ns() + s->o.verify_ms * 1000000ull;
	}
	session_look_at_rss(s);
	if (s->uprobes) {
		session_warn_of_price(s);
		look_for_main_thread(s, now);
	}
	if (s->attach && now >= s->next_look)
		look_at_targets(s, now);
	session_find_chunks(s, now);
	if (s->o.alloc == ALLOC_WALK && now >= s->next_walk)
		session_walk_all(s, now);
	if (now >= s->next_sample)
		session_sample_all(s, now);
	if (s->trace && now >= s->next_flush) {
		trace_flush(s->trace);
		session_trace_check(s);
		s->next_flush = now + FLUSH_MS * 1000000ull;
	}
}

static unsigned int until(uint64_t due, uint64_t now, unsigned int ms)
{
	uint64_t left = due <= now ? 0 : (due - now) / 1000000;

	return left < ms ? (unsigned int)left : ms;
}

static uint64_t next_due(const struct session *s)
{
	uint64_t due = s->o.verify_ms ? s->next_verify : UINT64_MAX;

	return s->attach && s->next_look < due ? s->next_look : due;
}

/* What fills half a ring in the time that we sleep would soon have its writer wait. */
static unsigned int next_tick(const struct session *s, bool came)
{
	unsigned int ms = s->tick_ms;
	unsigned int idle = s->sampled ? TICK_STAMP_MS : TICK_IDLE_MS;

	if (!came)
		return ms * 2 < idle ? ms * 2 : idle;
	if (s->rings && rings_busy(s->rings))
		return ms > 1 ? ms / 2 : 1;
	return ms < TICK_MS ? ms + 1 : TICK_MS;
}

unsigned int session_tick(struct session *s)
{
	bool came;

	if (s->rings)
		rings_accept(s->rings);
	came = session_run_round(s, false);
	s->tick_ms = next_tick(s, came);
	do_due(s);
	proc_reap();
	return until(next_due(s), now_ns(), s->tick_ms);
}

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
