// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/apply.h"
#include "model/touch.h"

/*
 * Threads come and go without being told. Beyond so many, those that have been
 * silent for a minute are forgotten; at worst a free that takes longer than that
 * is no longer known to be the cause of what it does.
 */
#define FIRST_THREADS_LIMIT 4096
#define IDLE_NS 60000000000ull

struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof(*m));

	if (m) {
		m->threads_limit = FIRST_THREADS_LIMIT;
		m->dead_limit = SIZE_MAX;
		m->files_limit = m->files_next = SIZE_MAX;
	}
	return m;
}

void book_free(struct book *b)
{
	vma_map_free(b->s.vmas);
	chunk_table_free(b->s.chunks);
	cause_put(b->part);
	hash_destroy(&b->sites);
	hash_destroy(&b->stacks);
	hash_destroy(&b->gone);
	touch_free(b);
	free(b->s.syscalls);
	free(b->s.sites);
	free(b->s.stacks);
	free(b->s.failed);
	free(b->s.resident);
	free(b);
}

void file_free(struct file_name *f)
{
	free(f->path);
	free(f);
}

static bool free_file(void *val, void *ctx)
{
	(void)ctx;
	file_free(val);
	return true;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nr_books; i++)
		model_forget_threads(m, m->books[i], 0);
	for (size_t i = 0; i < m->nr_books; i++)
		book_free(m->books[i]);
	hash_filter(&m->files, free_file, NULL);
	hash_destroy(&m->files);
	hash_destroy(&m->threads);
	hash_destroy(&m->by_mm);
	hash_destroy(&m->by_tgid);
	lives_destroy(&m->lives);
	stacks_destroy(&m->stacks);
	cause_put(m->told);
	free(m->books);
	free(m);
}

/* --- address spaces */

struct book *model_book(const struct model *m, uint64_t mm)
{
	return hash_get(&m->by_mm, mm, 0);
}

struct book *model_book_of(const struct model *m, uint32_t tgid)
{
	return hash_get(&m->by_tgid, tgid, 0);
}

struct space *model_space(const struct model *m, uint64_t mm)
{
	struct book *b = model_book(m, mm);

	return b ? &b->s : NULL;
}

struct space *model_process(const struct model *m, uint32_t tgid)
{
	struct book *b = model_book_of(m, tgid);

	return b ? &b->s : NULL;
}

size_t model_spaces(const struct model *m)
{
	return m->nr_books;
}

struct space *model_space_at(const struct model *m, size_t i)
{
	return &m->books[i]->s;
}

static struct book *book_new(struct chunk_table *chunks)
{
	struct book *b = calloc(1, sizeof(*b));

	if (!b || !chunks) {
		free(b);
		chunk_table_free(chunks);
		return NULL;
	}
	b->s.chunks = chunks;
	b->s.vmas = vma_map_new();
	if (b->s.vmas)
		return b;
	book_free(b);
	return NULL;
}

int model_adopt(struct model *m, struct book *b)
{
	struct book **books = m->books;

	if (m->nr_books == m->cap_books) {
		size_t cap = m->cap_books ? 2 * m->cap_books : 8;

		books = realloc(books, cap * sizeof(*books));
		if (!books)
			return -ENOMEM;
		m->books = books;
		m->cap_books = cap;
	}
	if (hash_put(&m->by_mm, b->s.mm, 0, b))
		return -ENOMEM;
	b->watch = m->watch;
	books[m->nr_books++] = b;
	if (b->s.died) /* it was loaded */
		forget_later(m, b);
	return hash_put(&m->by_tgid, b->s.owner, 0, b);
}

void model_watch(struct model *m, const struct model_watch *w)
{
	m->watch = w;
	for (size_t i = 0; i < m->nr_books; i++)
		m->books[i]->watch = w;
}

/* fork copies the heap, exec begins a new one, attach finds an unknown one. */
static struct book *book_for(const struct event *ev, const struct space *parent)
{
	struct book *b;

	if (ev->mm_start.cause == MM_FORK && parent) {
		b = book_new(chunk_table_clone(parent->chunks));
		if (!b)
			return NULL;
		b->s.chunks_known_from_start = parent->chunks_known_from_start;
		b->s.has_calls = parent->has_calls;
		return b;
	}
	b = book_new(chunk_table_new());
	if (b)
		b->s.chunks_known_from_start = ev->mm_start.cause == MM_EXEC;
	return b;
}

int apply_mm(struct model *m, const struct event *ev, struct outcome *out)
{
	const struct space *parent = model_space(m, ev->mm_start.parent_mm);
	struct book *b;
	int ret;

	if (!ev->mm || model_book(m, ev->mm) ||
	    ev->mm_start.cause < MM_ATTACH || ev->mm_start.cause > MM_EXEC)
		return -EINVAL;
	b = book_for(ev, parent);
	if (!b)
		return -ENOMEM;
	b->s.mm = ev->mm;
	b->s.parent_mm = ev->mm_start.parent_mm;
	b->s.cause = ev->mm_start.cause;
	b->s.vmas_sampled = ev->mm_start.sampled;
	b->s.owner = ev->mm_start.owner;
	b->s.born = ev->ts;
	if (ev->mm_start.comm)
		strncpy(b->s.comm, ev->mm_start.comm, sizeof(b->s.comm) - 1);
	ret = model_adopt(m, b);
	if (ret && model_book(m, ev->mm) != b)
		book_free(b);
	m->last = NULL;
	out->space = ret ? NULL : &b->s;
	return ret;
}

static int apply_mm_exit(struct model *m, const struct event *ev,
			 struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);
	int ret;

	if (!b || b->s.died)
		return -EINVAL;
	out->space = &b->s;
	b->s.died = ev->ts ? ev->ts : 1;
	b->s.rss = ev->mm_exit.rss;
	b->s.hiwater_rss = ev->mm_exit.hiwater_rss;
	model_forget_threads(m, b, 0);
	ret = chunk_table_pack(b->s.chunks);
	forget_later(m, b);
	return ret;
}

static int apply_task(struct model *m, const struct event *ev,
		      struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);

	if (!b)
		return -EINVAL;
	out->space = &b->s;
	m->last = NULL;
	return hash_put(&m->by_tgid, ev->task.owner, 0, b);
}

static int apply_task_exit(struct model *m, const struct event *ev,
			   struct outcome *out)
{
	out->space = model_process(m, ev->tgid);
	model_forget_threads(m, NULL, ev->tgid);
	/* One that only shared another's (vfork) leaves nothing behind. */
	if (out->space && out->space->owner != ev->tgid)
		hash_del(&m->by_tgid, ev->tgid, 0);
	return 0;
}

/* --- threads */

struct silence {
	struct model *m;
	const struct book *book;
	uint32_t tgid;
	uint64_t since;
};

static bool gone(void *val, void *ctx)
{
	const struct silence *s = ctx;
	struct thread *t = val;

	if (s->book ? t->book != s->book : t->tgid != s->tgid)
		return false;
	model_forget_old(s->m, t);
	join_forget(t);
	return true;
}

static bool idle(void *val, void *ctx)
{
	const struct silence *s = ctx;
	struct thread *t = val;

	if (t->seen >= s->since || t->old.addr || t->old_waits)
		return false;
	join_forget(t);
	return true;
}

void model_forget_threads(struct model *m, const struct book *b, uint32_t tgid)
{
	struct silence s = { .m = m, .book = b, .tgid = tgid };

	m->last = NULL;
	hash_filter(&m->threads, gone, &s);
}

static void forget_idle(struct model *m, uint64_t now)
{
	struct silence s = { .m = m,
			     .since = now > IDLE_NS ? now - IDLE_NS : 0 };

	m->last = NULL;
	hash_filter(&m->threads, idle, &s);
	m->threads_limit = 2 * m->threads.nr;
	if (m->threads_limit < FIRST_THREADS_LIMIT)
		m->threads_limit = FIRST_THREADS_LIMIT;
}

struct thread *model_thread(struct model *m, struct book *b,
			    const struct event *ev)
{
	struct thread *t = hash_get(&m->threads, b->s.mm, ev->tid);

	if (t)
		return t;
	if (m->threads.nr >= m->threads_limit)
		forget_idle(m, ev->ts);
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->book = b;
	t->tgid = ev->tgid;
	t->tid = ev->tid;
	t->seen = ev->ts;
	if (hash_put(&m->threads, b->s.mm, ev->tid, t) == 0)
		return t;
	free(t);
	return NULL;
}

/* --- files */

const struct file_name *model_file(const struct model *m, uint32_t dev,
				   uint64_t ino)
{
	return hash_get(&m->files, dev, ino);
}

const char *model_path(const struct model *m, uint32_t dev, uint64_t ino)
{
	const struct file_name *f = model_file(m, dev, ino);

	return f ? f->path : NULL;
}

static struct file_name *get_file(struct model *m, uint32_t dev, uint64_t ino)
{
	struct file_name *f = hash_get(&m->files, dev, ino);

	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return NULL;
		f->dev = dev;
		f->ino = ino;
		if (hash_put(&m->files, dev, ino, f)) {
			free(f);
			return NULL;
		}
	}
	f->told = ++m->files_told;
	return f;
}

static int apply_file(struct model *m, const struct event *ev)
{
	struct file_name *f = get_file(m, ev->file.dev, ev->file.ino);
	char *path = f ? strdup(ev->file.path) : NULL;

	if (!path)
		return -ENOMEM;
	free(f->path);
	f->path = path;
	return 0;
}

static int apply_build_id(struct model *m, const struct event *ev)
{
	struct file_name *f;

	if (ev->build_id.len > BUILD_ID_MAX)
		return -EINVAL;
	f = get_file(m, ev->build_id.dev, ev->build_id.ino);
	if (!f)
		return -ENOMEM;
	f->has_build_id = true;
	f->build_id_len = (uint8_t)ev->build_id.len;
	if (ev->build_id.len)
		memcpy(f->build_id, ev->build_id.bytes, ev->build_id.len);
	return 0;
}

/* --- stacks */

const struct stack *model_stack(const struct model *m, uint64_t caller)
{
	return stacks_get(&m->stacks, caller);
}

uint64_t model_caller(const struct model *m, uint64_t caller)
{
	const struct stack *st;

	if (!(caller & CALLER_STACK))
		return caller;
	st = stacks_get(&m->stacks, caller);
	return st ? st->frames[0] : 0;
}

/* --- the rest */

static int apply_resident(struct model *m, const struct event *ev,
			  struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);
	size_t nr = ev->resident.nr_vmas;
	struct vma_resident *copy;

	if (!b)
		return -EINVAL;
	copy = malloc((nr + 1) * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	if (nr)
		memcpy(copy, ev->resident.vmas, nr * sizeof(*copy));
	free(b->s.resident);
	b->s.resident = copy;
	b->s.nr_resident = nr;
	b->s.sampled_at = ev->ts;
	out->space = &b->s;
	return 0;
}

static int apply_madvise(struct model *m, const struct event *ev,
			 struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);
	const struct vma *v;

	if (!b)
		return -EINVAL;
	out->space = &b->s;
	v = vma_map_find(b->s.vmas, ev->madvise.addr);
	if (!v || !vma_is_ours(&v->d)) /* the shim's are not the program's */
		b->s.madvises++;
	touch_advice(b, ev);
	return 0;
}

static int apply_fault(struct model *m, const struct event *ev,
		       struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);

	if (!b || b->s.died)
		return -EINVAL;
	out->space = &b->s;
	return touch_fault(b, ev, out);
}

static int apply_failed(struct model *m, const struct event *ev,
			struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);

	if (!b)
		return -EINVAL;
	out->space = &b->s;
	return tally_failed(b, ev);
}

static int apply_allocator(struct model *m, const struct event *ev,
			   struct outcome *out)
{
	struct space *s = model_space(m, ev->mm);

	if (!s)
		return -EINVAL;
	out->space = s;
	s->allocator.known = true;
	s->allocator.is_static = ev->allocator.is_static;
	strncpy(s->allocator.kind, ev->allocator.kind,
		sizeof(s->allocator.kind) - 1);
	strncpy(s->allocator.file, ev->allocator.file,
		sizeof(s->allocator.file) - 1);
	s->allocator.settings_known = ev->allocator.settings;
	if (ev->allocator.settings)
		strncpy(s->allocator.settings, ev->allocator.settings,
			sizeof(s->allocator.settings) - 1);
	return 0;
}

static void apply_verify(struct model *m, const struct event *ev,
			 struct outcome *out)
{
	out->space = model_space(m, ev->mm);
	m->totals.checks++;
	m->totals.check_vmas += ev->verify.vmas;
	m->totals.check_mismatches += ev->verify.mismatches;
}

static int apply(struct model *m, const struct event *ev, struct outcome *out)
{
	switch (ev->kind) {
	case EV_CALL:
		return apply_call(m, ev, out);
	case EV_RANGE:
		return apply_range(m, ev, out);
	case EV_MM:
		return apply_mm(m, ev, out);
	case EV_MM_EXIT:
		return apply_mm_exit(m, ev, out);
	case EV_TASK:
		return apply_task(m, ev, out);
	case EV_TASK_EXIT:
		return apply_task_exit(m, ev, out);
	case EV_FILE:
		return apply_file(m, ev);
	case EV_MADVISE:
		return apply_madvise(m, ev, out);
	case EV_FAILED:
		return apply_failed(m, ev, out);
	case EV_FAULT:
		return apply_fault(m, ev, out);
	case EV_RESIDENT:
		return apply_resident(m, ev, out);
	case EV_CALLS_LOST:
		return apply_calls_lost(m, ev, out);
	case EV_LOST:
		m->totals.kernel_lost += ev->lost.count;
		return 0;
	case EV_ALLOCATOR:
		return apply_allocator(m, ev, out);
	case EV_FOUND:
		return apply_found(m, ev, out);
	case EV_VERIFY:
		apply_verify(m, ev, out);
		return 0;
	case EV_STACK:
		return stacks_add(&m->stacks, ev);
	case EV_BUILD_ID:
		return apply_build_id(m, ev);
	}
	return -EINVAL;
}

int model_apply(struct model *m, const struct event *ev, struct outcome *out)
{
	struct outcome unread;
	int ret;

	if (!out)
		out = &unread;
	*out = (struct outcome){ .ev = ev };
	ret = apply(m, ev, out);
	/* Those are no happenings, but what happenings refer to. */
	m->totals.events += ret == 0 && ev->kind != EV_STACK &&
			    ev->kind != EV_BUILD_ID;
	m->totals.invalid += ret == -EINVAL;
	m->totals.no_memory += ret == -ENOMEM;
	return ret;
}

int model_settle(struct model *m, uint64_t ts)
{
	int ret = life_settle(&m->lives, ts);

	forget_dead(m);
	forget_files(m);
	return ret;
}

struct model_totals model_totals(const struct model *m)
{
	struct model_totals t = m->totals;

	t.waited = m->lives.waited;
	t.in_vain = m->lives.in_vain;
	t.stacks = m->stacks.by_id.nr;
	t.stacks_refused = m->stacks.refused;
	return t;
}

static const char *check_book(const struct book *b)
{
	const char *why = vma_map_check(b->s.vmas);

	if (!why)
		why = chunk_table_check(b->s.chunks);
	if (!why)
		why = tally_check(b);
	if (!why)
		why = touch_check(b);
	if (!why && chunk_total(b->s.chunks).bytes > chunk_peak(b->s.chunks))
		why = "more bytes alive than ever";
	return why;
}

const char *model_check(const struct model *m)
{
	const char *why = NULL;

	for (size_t i = 0; i < m->nr_books && !why; i++) {
		why = check_book(m->books[i]);
		if (!why && model_book(m, m->books[i]->s.mm) != m->books[i])
			why = "address space not found by its id";
	}
	return why;
}
