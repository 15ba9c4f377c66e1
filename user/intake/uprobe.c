// SPDX-License-Identifier: GPL-2.0
/*
 * Uprobes: attaches probe/alloc.bpf.c to a process and turns its records into
 * the words that the shim would have written.
 *
 * One BPF ring carries the records of all threads. A place in it is reserved
 * while the call is entered or has returned, so the ring's order is the order of
 * cause and effect between threads.
 */
#include "intake/uprobe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/allocator.h"
#include "intake/proc.h"
#include "intake/queue.h"
#include "probe/alloc.h"
#include "probe/alloc.skel.h"
#include "probe/words.h"

#define BUCKETS 256
#define BACKLOG_WORDS \
	(64u << 20 >> 3) /* of all threads; then the ring fills up */
#define REAP_NS 1000000000ull
#define LINKS (2 * 2 * ALLOCATOR_FUNCTIONS) /* of C's names, and beside */

struct uprobe_thread {
	struct uprobe_thread *next;
	uint32_t tid;
	void *data;
	uint64_t alloc_caller, free_caller; /* what the words said last */
	struct word_queue q;
};

struct uprobes {
	uint32_t pid;
	const struct uprobe_ops *ops;
	void *ctx;
	struct allocator called;
	struct alloc_bpf *bpf;
	struct ring_buffer *ring;
	struct bpf_link *links[LINKS];
	unsigned int nr_links, probes;
	bool windows;
	double hit_ns;
	struct uprobe_thread *threads[BUCKETS];
	uint64_t reaped; /* when, ns */
	bool knows_trampoline;
	bool no_memory; /* a record could not be kept */
};

/* ---- words ---- */

static bool is_realloc(const struct alloc_record *r)
{
	return r->op == OP_REALLOC || r->op == OP_REALLOCARRAY;
}

static size_t put_body(const struct alloc_record *r, uint64_t *w)
{
	enum word_id id = r->op == OP_MALLOC  ? WORD_MALLOC :
			  r->op == OP_CALLOC  ? WORD_CALLOC :
			  r->op == OP_REALLOC ? WORD_REALLOCED :
						WORD_ALLOC;

	if (r->what == ALLOC_RECORD_ENTER) {
		w[0] = word_body(is_realloc(r) ? WORD_REALLOC : WORD_FREE, 0,
				 r->addr);
		return 1;
	}
	if (r->op == OP_FREE) {
		w[0] = word_body(WORD_LEAVE, 0, 0);
		return 1;
	}
	if (id != WORD_ALLOC && r->size <= WORD_SIZE_MAX) {
		w[0] = word_body(id, r->size, r->addr);
		return 1;
	}
	w[0] = word_alloc((enum alloc_op)r->op, word_align_log2(r->align),
			  r->addr);
	w[1] = r->size;
	return 2;
}

/* Here every event has a time, and every allocation its window. */
static size_t put_header(struct uprobe_thread *t, const struct alloc_record *r,
			 uint64_t *w)
{
	bool window = r->what == ALLOC_RECORD_RETURN && r->op != OP_FREE &&
		      !is_realloc(r);
	uint64_t *was = r->what == ALLOC_RECORD_ENTER || r->op == OP_FREE ?
				&t->free_caller :
				&t->alloc_caller;
	bool called = r->caller != *was;
	size_t n = 0;

	*was = r->caller;
	if (window) {
		w[n++] = word_value(called ? WORD_HDR_WINDOW_CALLER :
					     WORD_HDR_WINDOW,
				    r->begin);
		w[n++] = word_value(0, r->ts);
	} else {
		w[n++] = word_value(called ? WORD_HDR_TS_CALLER : WORD_HDR_TS,
				    r->ts);
	}
	if (called)
		w[n++] = word_value(0, r->caller);
	return n;
}

/* ---- threads ---- */

static struct uprobe_thread **bucket(struct uprobes *u, uint32_t tid)
{
	return &u->threads[tid % BUCKETS];
}

static struct uprobe_thread *thread_of(struct uprobes *u, uint32_t tid)
{
	struct uprobe_thread *t = *bucket(u, tid);

	for (; t; t = t->next)
		if (t->tid == tid)
			return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->tid = tid;
	t->q.st.tgid = u->pid;
	t->q.st.tid = tid;
	t->next = *bucket(u, tid);
	*bucket(u, tid) = t;
	if (u->ops->opened)
		u->ops->opened(u->ctx, t);
	return t;
}

static void thread_close(struct uprobes *u, struct uprobe_thread *t)
{
	if (u->ops->closing)
		u->ops->closing(u->ctx, t);
	bpf_map__delete_elem(u->bpf->maps.calls, &t->tid, sizeof(t->tid), 0);
	queue_free(&t->q);
	free(t);
}

struct telling {
	const struct uprobes *u;
	const struct uprobe_thread *t;
};

static void tell_words(void *ctx, const uint64_t *w, size_t nr)
{
	const struct telling *t = ctx;

	t->u->ops->words(t->u->ctx, t->u->pid, t->t->tid, w, nr);
}

static bool tell_ctrl(void *ctx, const uint64_t *w, size_t nr)
{
	const struct telling *t = ctx;
	struct words_state st = { .tid = t->t->tid };
	struct event ev;

	words_decode(&st, w, nr, &ev);
	if (ev.kind == EV_CALLS_LOST)
		t->u->ops->lost(t->u->ctx, t->u->pid, t->t->tid,
				ev.calls_lost.count);
	return true;
}

void uprobes_tell(struct uprobes *u)
{
	static const struct queue_teller teller = { tell_words, tell_ctrl };
	struct uprobe_thread *t;

	for (size_t i = 0; i < BUCKETS && u->ops->words; i++)
		for (t = u->threads[i]; t; t = t->next)
			queue_tell(&t->q, &teller, &(struct telling){ u, t });
}

static int take_record(void *ctx, void *data, size_t size)
{
	const struct alloc_record *r = data;
	struct uprobes *u = ctx;
	struct uprobe_thread *t;
	size_t n;

	if (size < sizeof(*r))
		return 0;
	t = thread_of(u, r->tid);
	if (!t || !queue_reserve(&t->q, WORD_EVENT_WORDS + 1)) {
		u->no_memory = true;
		return -ENOMEM;
	}
	if (r->lost)
		queue_lost(&t->q, r->lost);
	n = put_header(t, r, t->q.buf + t->q.len);
	n += put_body(r, t->q.buf + t->q.len + n);
	t->q.len += n;
	t->q.checked = t->q.len;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool thread_is_alive(uint32_t tid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u", tid);
	return !access(path, F_OK);
}

/* Forgets threads that have ended and whose events have all been taken. */
static void reap(struct uprobes *u)
{
	struct uprobe_thread **at, *t;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		at = &u->threads[i];
		while ((t = *at)) {
			queue_relax(&t->q);
			if (!queue_empty(&t->q) || thread_is_alive(t->tid)) {
				at = &t->next;
				continue;
			}
			*at = t->next;
			thread_close(u, t);
		}
	}
}

/* ---- attaching ---- */

__attribute__((format(printf, 2, 3))) static bool fail(char **why,
						       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = NULL;
	va_end(ap);
	return false;
}

static struct bpf_program *enter_program(struct alloc_bpf *bpf, const char *as)
{
	char name[32];

	snprintf(name, sizeof(name), "enter_%s", as);
	return bpf_object__find_program_by_name(bpf->obj, name);
}

static bool needs_return(const struct uprobes *u, const struct allocator *a,
			 size_t i)
{
	return u->windows || strcmp(a->functions[i].as, "free");
}

static bool attach_one(struct uprobes *u, const struct allocator *a, size_t i,
		       bool retprobe, char **why)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = retprobe);
	struct bpf_program *prog =
		retprobe ? u->bpf->progs.leave :
			   enter_program(u->bpf, a->functions[i].as);
	struct bpf_link *link = bpf_program__attach_uprobe_opts(
		prog, (pid_t)u->pid, a->path, a->functions[i].probe, &opts);

	if (!link)
		return fail(why, "cannot probe %s%s in %s: %s", a->prefix,
			    a->functions[i].name, a->name, strerror(errno));
	u->links[u->nr_links++] = link;
	u->probes++;
	return true;
}

/*
 * Returns first: an entry whose return cannot be seen would be an event that
 * never ends. Detached in the reverse order. Both at one address: a return is
 * found by what the stack pointer points to, which there is as at entry.
 *
 * By perf events: uprobe.multi and .session links (Linux 6.6, 6.13) are 4 % cheaper
 * here, but they filter by thread group, and a vfork child that allocates does it
 * in this very heap; perf events filter by address space.
 */
static bool attach(struct uprobes *u, const struct allocator *a, char **why)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		if (needs_return(u, a, i) && !attach_one(u, a, i, true, why))
			return false;
	for (i = 0; i < a->nr; i++)
		if (!attach_one(u, a, i, false, why))
			return false;
	return true;
}

/* ---- what a hit costs ---- */

#define PRICE_CALLS 500

/* Probed in a child of ours; it begins with an instruction that is emulated. */
__asm__(".pushsection .text\n"
	"uprobe_priced: nop\n"
	"	ret\n"
	".popsection\n");
extern void uprobe_priced(void) __attribute__((visibility("hidden")));

static uint64_t file_offset_of(uint64_t addr)
{
	uint64_t start, end, offset, found = 0;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start,
			   &end, &offset) == 3 &&
		    addr >= start && addr < end)
			found = addr - start + offset;
	if (f)
		fclose(f);
	return found;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* In the child: waits until the probes are there, calls, tells how long it took. */
static void price_child(int go, int told)
{
	uint64_t ns;
	char c;
	int i;

	if (read(go, &c, 1) != 1)
		_exit(1);
	ns = cpu_ns();
	for (i = 0; i < PRICE_CALLS; i++)
		uprobe_priced();
	ns = cpu_ns() - ns;
	_exit(write(told, &ns, sizeof(ns)) != sizeof(ns));
}

static double price_probed(struct uprobes *u, pid_t child, int go, int told)
{
	LIBBPF_OPTS(bpf_uprobe_opts, ret, .retprobe = true);
	LIBBPF_OPTS(bpf_uprobe_opts, enter);
	uint64_t offset = file_offset_of((uintptr_t)uprobe_priced), ns = 0;
	struct bpf_program *prog = u->bpf->progs.nothing;
	struct bpf_link *a, *b;

	a = bpf_program__attach_uprobe_opts(prog, child, "/proc/self/exe",
					    offset, &ret);
	b = bpf_program__attach_uprobe_opts(prog, child, "/proc/self/exe",
					    offset, &enter);
	if (a && b && write(go, "g", 1) == 1 &&
	    read(told, &ns, sizeof(ns)) != sizeof(ns))
		ns = 0;
	if (b)
		bpf_link__destroy(b);
	if (a)
		bpf_link__destroy(a);
	return (double)ns / (2.0 * PRICE_CALLS); /* entries and returns */
}

/* The trap is what costs; what is done in it is little beside it. */
static double price(struct uprobes *u)
{
	int go[2] = { -1, -1 }, told[2] = { -1, -1 };
	double ns = 0;
	pid_t child;

	if (pipe2(go, O_CLOEXEC) || pipe2(told, O_CLOEXEC))
		goto out;
	child = fork();
	if (!child) {
		close(go[1]);
		price_child(go[0], told[1]);
	}
	close(told[1]);
	told[1] = -1;
	if (child > 0)
		ns = price_probed(u, child, go[1], told[0]);
	close(go[1]);
	go[1] = -1;
	if (child > 0)
		waitpid(child, NULL, 0);
out:
	if (go[0] >= 0)
		close(go[0]);
	if (go[1] >= 0)
		close(go[1]);
	if (told[0] >= 0)
		close(told[0]);
	if (told[1] >= 0)
		close(told[1]);
	return ns;
}

static int be_silent(enum libbpf_print_level level, const char *fmt,
		     va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

static bool load(struct uprobes *u, char **why)
{
	int err;

	libbpf_set_print(be_silent);
	u->bpf = alloc_bpf__open();
	if (!u->bpf)
		return fail(why, "cannot open the BPF programs: %s",
			    strerror(errno));
	u->bpf->data->free_returns = u->windows;
	err = alloc_bpf__load(u->bpf);
	if (err)
		return fail(why, "cannot load the BPF programs: %s%s",
			    strerror(-err),
			    err == -EPERM ? " (CAP_BPF, CAP_PERFMON)" : "");
	u->ring = ring_buffer__new(bpf_map__fd(u->bpf->maps.records),
				   take_record, u, NULL);
	if (!u->ring)
		return fail(why, "cannot map the BPF ring: %s",
			    strerror(errno));
	return true;
}

static bool start(struct uprobes *u, const char *file, const char *program,
		  char **why)
{
	struct allocator a, beside;
	int err = file ? allocator_read(file, &a) : allocator_find(u->pid, &a);
	bool more = program ? !allocator_read_beside(program, &beside) :
			      !allocator_find_beside(u->pid, &beside);

	if (program) /* and a library has no linker, either */
		a.is_static = beside.is_static;
	if (err == -ENOENT && more) {
		a.nr = 0;
		err = 0;
	}
	u->called = more ? beside : a;
	if (err == -ENOENT)
		return fail(why,
			    "process %u: no malloc found (allocator opaque)",
			    u->pid);
	if (err)
		return fail(why, "process %u: %s", u->pid, strerror(-err));
	if (proc_number(u->pid) != u->pid)
		return fail(
			why,
			"process %u: its main thread has ended, by which uprobes would know it",
			u->pid);
	if (!load(u, why))
		return false;
	/* First: to take its probes away again may take seconds, unread by us. */
	u->hit_ns = price(u);
	if (!attach(u, &a, why) || (more && !attach(u, &beside, why)))
		return false;
	__atomic_store_n(&u->bpf->bss->listening, 1, __ATOMIC_RELEASE);
	return true;
}

struct uprobes *uprobes_open(uint32_t pid, const char *file,
			     const char *program, bool windows,
			     const struct uprobe_ops *ops, void *ctx,
			     char **why)
{
	struct uprobes *u = calloc(1, sizeof(*u));

	*why = NULL;
	if (!u)
		return NULL;
	u->pid = pid;
	u->ops = ops;
	u->ctx = ctx;
	u->windows = windows;
	if (start(u, file, program, why))
		return u;
	uprobes_close(u);
	return NULL;
}

static void *take_away(void *arg)
{
	struct uprobes *u = arg;

	while (u->nr_links)
		bpf_link__destroy(u->links[--u->nr_links]);
	alloc_bpf__destroy(u->bpf);
	free(u);
	return NULL;
}

/*
 * To take a probe away waits for all that may run under it (perf_trace_event_unreg(),
 * kernel/trace/trace_event_perf.c): 50 to 100 ms each, one after the other, seconds
 * where it is busy. Others' rings would fill up meanwhile. A process is not gone
 * before its threads, so after ours there are no probes either.
 */
static void take_away_elsewhere(struct uprobes *u)
{
	sigset_t all, was;
	pthread_t id;
	int err;

	sigfillset(&all); /* they are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&id, NULL, take_away, u);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (err)
		take_away(u);
	else
		pthread_detach(id);
}

void uprobes_close(struct uprobes *u)
{
	struct uprobe_thread *t;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		while ((t = u->threads[i])) {
			u->threads[i] = t->next;
			thread_close(u, t);
		}
	}
	ring_buffer__free(u->ring);
	take_away_elsewhere(u);
}

/* ---- reading ---- */

/*
 * The page with the return trampoline exists from the first return probe on.
 * alloc.bpf.c guesses its usual place.
 */
static void find_trampoline(struct uprobes *u)
{
	char path[32], line[4352];
	uint64_t start;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/maps", proc_number(u->pid));
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "[uprobes]") ||
		    sscanf(line, "%" SCNx64, &start) != 1)
			continue;
		u->bpf->data->trampoline = start;
		u->knows_trampoline = true;
	}
	fclose(f);
}

static size_t backlog(const struct uprobes *u)
{
	const struct uprobe_thread *t;
	size_t i, nr = 0;

	for (i = 0; i < BUCKETS; i++)
		for (t = u->threads[i]; t; t = t->next)
			nr += queue_backlog(&t->q);
	return nr;
}

/*
 * What was visible before this pass is sure after it: an event that belongs
 * before it was in the ring earlier.
 */
void uprobes_drain(struct uprobes *u)
{
	struct uprobe_thread *t;
	size_t i;

	if (backlog(u) > BACKLOG_WORDS)
		return;
	for (i = 0; i < BUCKETS; i++)
		for (t = u->threads[i]; t; t = t->next)
			queue_mark(&t->q);
	u->no_memory = false;
	if (ring_buffer__consume(u->ring) > 0 && !u->knows_trampoline)
		find_trampoline(u);
	for (i = 0; i < BUCKETS; i++) {
		for (t = u->threads[i]; t; t = t->next) {
			if (!u->no_memory)
				t->q.sure = t->q.seen;
		}
	}
	if (now_ns() - u->reaped > REAP_NS) {
		reap(u);
		u->reaped = now_ns();
	}
}

const struct event *uprobe_peek(void *thread, bool *sure)
{
	return queue_peek(&((struct uprobe_thread *)thread)->q, sure);
}

void uprobe_pop(void *thread)
{
	queue_pop(&((struct uprobe_thread *)thread)->q);
}

void uprobe_set_data(struct uprobe_thread *t, void *data)
{
	t->data = data;
}

void *uprobe_data(const struct uprobe_thread *t)
{
	return t->data;
}

const struct allocator *uprobes_allocator(const struct uprobes *u)
{
	return &u->called;
}

struct uprobe_totals uprobes_totals(const struct uprobes *u)
{
	struct uprobe_totals totals = { .probes = u->probes,
					.hit_ns = u->hit_ns };

	totals.hits = __atomic_load_n(&u->bpf->bss->hits, __ATOMIC_RELAXED);
	totals.lost = __atomic_load_n(&u->bpf->bss->lost, __ATOMIC_RELAXED);
	return totals;
}
