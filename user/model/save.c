// SPDX-License-Identifier: GPL-2.0
#include "model/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/apply.h"
#include "model/archive.h"

#define FORMAT 10 /* to be raised when what is visited changes */

/* Whoever adds to these adds it here, too: a pointer above all. */
_Static_assert(sizeof(struct book) == 1488, "visit_book() knows every field");
_Static_assert(sizeof(struct thread) == 160, "save_thread() does");
_Static_assert(sizeof(struct file_name) == 104, "save_file() does");

static void number(struct archive *a, uint64_t *n)
{
	archive_raw(a, n, sizeof(*n));
}

/* --- one address space */

/* What only loading makes: from keys to the places in the arrays. */
static void index_tallies(struct archive *a, struct book *b)
{
	struct space *s = &b->s;
	int ret = 0;

	for (size_t i = 0; i < s->nr_sites && !ret; i++) {
		if ((unsigned int)s->sites[i].op >= CALL_OP_MAX)
			ret = -EINVAL;
		else
			ret = hash_put(&b->sites, s->sites[i].op,
				       s->sites[i].caller,
				       (void *)(uintptr_t)(i + 1));
	}
	for (size_t i = 0; i < s->nr_stacks && !ret; i++)
		ret = hash_put(&b->stacks, s->stacks[i].stack, 0,
			       (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < s->nr_touch_sites && !ret; i++)
		ret = hash_put(&b->touch_sites, s->touch_sites[i].caller, 0,
			       (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < s->nr_touches && !ret; i++)
		ret = hash_put(&b->touched, s->touches[i].page, 0,
			       (void *)(uintptr_t)(i + 1));
	if (!ret && b->touched.nr != s->nr_touches)
		ret = -EINVAL; /* a page twice */
	if (ret)
		archive_fail(a, ret);
}

/* Arrays that grow at powers of two (tally.c) must have the room for it. */
static void tally_array(struct archive *a, void **v, size_t *nr, size_t size)
{
	size_t cap = 1;
	void *more;

	archive_array(a, v, nr, size);
	if (!a->load || a->err)
		return;
	while (cap < *nr)
		cap *= 2;
	more = realloc(*v, cap * size);
	if (more)
		*v = more;
	else
		archive_fail(a, -ENOMEM);
}

static void check_space(struct archive *a, const struct book *b)
{
	const struct space *s = &b->s;

	archive_check_bool(a, &s->chunks_known_from_start);
	archive_check_bool(a, &s->vmas_sampled);
	archive_check_bool(a, &s->has_calls);
	archive_check_bool(a, &s->allocator.known);
	archive_check_bool(a, &s->allocator.is_static);
	archive_check_bool(a, &s->allocator.settings_known);
	archive_check_bool(a, &s->found.walked);
	archive_check_bool(a, &s->found.failed);
	archive_check_bool(a, &s->found.too_many);
	archive_check_bool(a, &b->told);
	if (s->cause < MM_ATTACH || s->cause > MM_EXEC ||
	    !memchr(s->comm, 0, sizeof(s->comm)) ||
	    !memchr(s->allocator.kind, 0, sizeof(s->allocator.kind)) ||
	    !memchr(s->allocator.file, 0, sizeof(s->allocator.file)) ||
	    !memchr(s->allocator.settings, 0, sizeof(s->allocator.settings)))
		archive_fail(a, -EINVAL);
	for (size_t i = 0; i < s->nr_syscalls; i++)
		archive_check_bool(a, &s->syscalls[i].compat);
	for (size_t i = 0; i < s->nr_failed; i++)
		if ((unsigned int)s->failed[i].reason >= FAILED_REASONS)
			archive_fail(a, -EINVAL);
}

/* Pointers of the file are nobody's. */
static void forget_pointers(struct book *b)
{
	struct space *s = &b->s;

	s->vmas = NULL;
	s->chunks = NULL;
	s->syscalls = NULL;
	s->failed = NULL;
	s->sites = NULL;
	s->stacks = NULL;
	s->resident = NULL;
	s->touch_sites = NULL;
	s->touches = NULL;
	s->nr_syscalls = s->nr_failed = s->nr_sites = 0;
	s->nr_stacks = s->nr_resident = 0;
	s->nr_touch_sites = s->nr_touches = 0;
	b->watch = NULL;
	b->part = NULL;
	b->dead_bytes = 0;
	b->sites = b->stacks = b->gone = (struct hash){ 0 };
	b->touched = b->touch_sites = (struct hash){ 0 };
}

static void visit_gone(struct archive *a, struct book *b)
{
	uint64_t nr = b->gone.nr, addr = 0;
	size_t i = 0;

	number(a, &nr);
	while (nr-- && !a->err) {
		if (!a->load) {
			while (!b->gone.slots[i].val)
				i++;
			addr = b->gone.slots[i++].a;
		}
		number(a, &addr);
		if (a->load && hash_put(&b->gone, addr, 0, b))
			archive_fail(a, -ENOMEM);
	}
}

static void visit_book(struct archive *a, struct book *b)
{
	struct space *s = &b->s;
	struct book copy = *b;

	if (!a->load)
		forget_pointers(&copy);
	archive_raw(a, &copy, sizeof(copy));
	if (a->load) {
		*b = copy;
		forget_pointers(b);
	}
	vma_map_archive(a, &s->vmas);
	chunk_table_archive(a, &s->chunks);
	tally_array(a, (void **)&s->syscalls, &s->nr_syscalls,
		    sizeof(*s->syscalls));
	tally_array(a, (void **)&s->failed, &s->nr_failed, sizeof(*s->failed));
	tally_array(a, (void **)&s->sites, &s->nr_sites, sizeof(*s->sites));
	tally_array(a, (void **)&s->stacks, &s->nr_stacks, sizeof(*s->stacks));
	archive_array(a, (void **)&s->resident, &s->nr_resident,
		      sizeof(*s->resident));
	tally_array(a, (void **)&s->touch_sites, &s->nr_touch_sites,
		    sizeof(*s->touch_sites));
	tally_array(a, (void **)&s->touches, &s->nr_touches,
		    sizeof(*s->touches));
	archive_cause(a, &b->part);
	visit_gone(a, b);
	if (!a->load || a->err)
		return;
	check_space(a, b);
	index_tallies(a, b);
}

static void visit_books(struct archive *a, struct model *m)
{
	uint64_t nr = m->nr_books;

	number(a, &nr);
	for (uint64_t i = 0; i < nr && !a->err; i++) {
		struct book *b = a->load ? calloc(1, sizeof(*b)) : m->books[i];
		int ret = b ? 0 : -ENOMEM;

		if (b)
			visit_book(a, b);
		if (!a->load)
			continue;
		if (!ret && !a->err)
			ret = model_book(m, b->s.mm) ? -EINVAL :
						       model_adopt(m, b);
		if (ret)
			archive_fail(a, ret);
		if (a->err && b && model_book(m, b->s.mm) != b)
			book_free(b);
	}
}

/* --- who uses which */

static uint64_t index_of(const struct model *m, const struct book *b)
{
	uint64_t i = 0;

	while (m->books[i] != b)
		i++;
	return i;
}

static struct book *book_at(struct archive *a, const struct model *m,
			    uint64_t i)
{
	if (i < m->nr_books)
		return m->books[i];
	archive_fail(a, -EINVAL);
	return NULL;
}

static void visit_processes(struct archive *a, struct model *m)
{
	uint64_t nr = m->by_tgid.nr, key[2];
	size_t slot = 0;

	number(a, &nr);
	for (uint64_t i = 0; i < nr && !a->err; i++) {
		struct book *b;

		if (!a->load) {
			while (!m->by_tgid.slots[slot].val)
				slot++;
			key[0] = m->by_tgid.slots[slot].a;
			key[1] = index_of(m, m->by_tgid.slots[slot++].val);
		}
		archive_raw(a, key, sizeof(key));
		if (!a->load || a->err)
			continue;
		b = book_at(a, m, key[1]);
		if (b && hash_put(&m->by_tgid, key[0], 0, b))
			archive_fail(a, -ENOMEM);
	}
}

static void visit_waiting(struct archive *a, struct thread *t)
{
	size_t nr = t->nr_waiting;

	archive_array(a, (void **)&t->waiting, &nr, sizeof(*t->waiting));
	if (a->load) {
		t->nr_waiting = 0;
		t->cap_waiting = (unsigned int)nr + 1;
	}
	for (size_t i = 0; i < nr && !a->err; i++) {
		archive_cause(a, &t->waiting[i]);
		t->nr_waiting = (unsigned int)i + 1;
		if (!t->waiting[i]) {
			t->nr_waiting--;
			archive_fail(a, -EINVAL);
		}
	}
}

static void check_thread(struct archive *a, const struct thread *t)
{
	archive_check_bool(a, &t->old_waits);
	if ((unsigned int)t->open.op >= CALL_OP_MAX ||
	    (unsigned int)t->old.op >= CALL_OP_MAX ||
	    (t->where && t->where_tally >= t->book->s.nr_stacks))
		archive_fail(a, -EINVAL);
}

static void load_thread(struct archive *a, struct model *m)
{
	struct thread *t = calloc(1, sizeof(*t));
	uint64_t book = 0;

	if (!t) {
		archive_fail(a, -ENOMEM);
		return;
	}
	number(a, &book);
	archive_raw(a, t, sizeof(*t));
	t->waiting = NULL;
	t->nr_waiting = 0;
	t->book = a->err ? NULL : book_at(a, m, book);
	if (!a->err)
		check_thread(a, t);
	if (!a->err)
		visit_waiting(a, t);
	if (!a->err && hash_get(&m->threads, t->book->s.mm, t->tid))
		archive_fail(a, -EINVAL);
	if (!a->err && hash_put(&m->threads, t->book->s.mm, t->tid, t))
		archive_fail(a, -ENOMEM);
	if (a->err)
		join_forget(t);
}

static void save_thread(struct archive *a, const struct model *m,
			const struct thread *t)
{
	uint64_t book = index_of(m, t->book);
	struct thread copy = *t, kept = *t;

	copy.book = NULL;
	copy.waiting = NULL;
	number(a, &book);
	archive_raw(a, &copy, sizeof(copy));
	visit_waiting(a, &kept);
}

static void visit_threads(struct archive *a, struct model *m)
{
	uint64_t nr = m->threads.nr;

	number(a, &nr);
	for (size_t i = 0; !a->load && i < m->threads.cap; i++)
		if (m->threads.slots[i].val)
			save_thread(a, m, m->threads.slots[i].val);
	for (uint64_t i = 0; a->load && i < nr && !a->err; i++)
		load_thread(a, m);
}

/* --- files and stacks: as events, so that they are kept as they came */

static void save_file(struct archive *a, const struct file_name *f)
{
	struct file_name copy = *f;
	size_t len = f->path ? strlen(f->path) + 1 : 0;
	char *path = f->path;

	copy.path = NULL;
	archive_raw(a, &copy, sizeof(copy));
	archive_array(a, (void **)&path, &len, 1);
}

static void load_file(struct archive *a, struct model *m)
{
	struct file_name *f = calloc(1, sizeof(*f));
	size_t len = 0;
	char *path = NULL;

	if (!f) {
		archive_fail(a, -ENOMEM);
		return;
	}
	archive_raw(a, f, sizeof(*f));
	archive_array(a, (void **)&path, &len, 1);
	f->path = path;
	archive_check_bool(a, &f->has_build_id);
	if (!a->err &&
	    ((len && path[len - 1]) || f->build_id_len > BUILD_ID_MAX ||
	     hash_get(&m->files, f->dev, f->ino)))
		archive_fail(a, -EINVAL);
	if (!len) { /* not told */
		free(path);
		f->path = path = NULL;
	}
	if (!a->err && hash_put(&m->files, f->dev, f->ino, f))
		archive_fail(a, -ENOMEM);
	if (a->err) {
		free(path);
		free(f);
	}
}

static void visit_files(struct archive *a, struct model *m)
{
	uint64_t nr = m->files.nr;

	number(a, &nr);
	for (size_t i = 0; !a->load && i < m->files.cap; i++)
		if (m->files.slots[i].val)
			save_file(a, m->files.slots[i].val);
	for (uint64_t i = 0; a->load && i < nr && !a->err; i++)
		load_file(a, m);
}

static void save_stack(struct archive *a, const struct stack *st)
{
	struct stack copy = *st;
	size_t nr = st->nr;
	void *frames = (void *)st->frames;

	archive_raw(a, &copy, sizeof(copy));
	archive_array(a, &frames, &nr, sizeof(uint64_t));
}

static void load_stack(struct archive *a, struct model *m)
{
	struct stack head = { 0 };
	struct event ev = { .kind = EV_STACK };
	uint64_t *frames = NULL;
	size_t nr = 0;
	struct stack *st;

	archive_raw(a, &head, sizeof(head));
	archive_check_bool(a, &head.truncated);
	archive_check_bool(a, &head.ambiguous);
	archive_array(a, (void **)&frames, &nr, sizeof(*frames));
	if (!a->err) {
		ev.stack.id = head.id;
		ev.stack.frames = frames;
		ev.stack.nr = (uint32_t)nr;
		ev.stack.truncated = head.truncated;
		archive_fail(a, stacks_add(&m->stacks, &ev));
	}
	st = a->err ? NULL : hash_get(&m->stacks.by_id, head.id, 0);
	if (st)
		st->ambiguous = head.ambiguous;
	free(frames);
}

static void visit_stacks(struct archive *a, struct model *m)
{
	const struct hash *h = &m->stacks.by_id;
	uint64_t nr = h->nr;

	number(a, &nr);
	for (size_t i = 0; !a->load && i < h->cap; i++)
		if (h->slots[i].val)
			save_stack(a, h->slots[i].val);
	for (uint64_t i = 0; a->load && i < nr && !a->err; i++)
		load_stack(a, m);
	number(a, &m->stacks.refused);
}

/* --- all of it */

static void visit(struct archive *a, struct model *m)
{
	struct lives *l = &m->lives;
	uint64_t limit = m->threads_limit;

	visit_books(a, m);
	visit_processes(a, m);
	visit_threads(a, m);
	visit_files(a, m);
	visit_stacks(a, m);
	number(a, &limit);
	m->threads_limit = limit;
	number(a, &m->files_told);
	number(a, &l->last_stamp);
	number(a, &l->last_waited);
	number(a, &l->newest);
	number(a, &l->waited);
	number(a, &l->in_vain);
	archive_raw(a, &m->totals, sizeof(m->totals));
	archive_raw(a, &m->forgotten, sizeof(m->forgotten));
	if (a->load && a->at != a->len)
		archive_fail(a, -EINVAL);
}

int model_save(const struct model *m, uint8_t **buf, size_t *len)
{
	struct archive a = { .load = false };

	if (m->lives.knots.nr)
		return -EBUSY;
	/* Saving changes nothing; the visitors serve both directions. */
	visit(&a, (struct model *)m);
	archive_done(&a);
	*buf = a.buf;
	*len = a.len;
	if (a.err) {
		free(a.buf);
		*buf = NULL;
	}
	return a.err;
}

struct model *model_load(const uint8_t *buf, size_t len, int *err)
{
	struct archive a = { .load = true, .buf = (uint8_t *)buf, .len = len };
	struct model *m = model_new();

	if (!m) {
		*err = -ENOMEM;
		return NULL;
	}
	visit(&a, m);
	archive_done(&a);
	*err = a.err;
	if (!a.err)
		return m;
	model_free(m);
	return NULL;
}

/* The sizes of what lies in it as it lies in memory. */
uint64_t save_format(void)
{
	static const size_t sizes[] = {
		FORMAT,
		sizeof(struct book),
		sizeof(struct thread),
		sizeof(struct cause),
		sizeof(struct chunk),
		sizeof(struct vma),
		sizeof(struct file_name),
		sizeof(struct stack),
		sizeof(struct vma_resident),
		sizeof(struct syscall_tally),
		sizeof(struct failed_tally),
		sizeof(struct site_tally),
		sizeof(struct stack_tally),
		sizeof(struct touch_tally),
		sizeof(struct touch),
		sizeof(struct model_totals),
		sizeof(struct forgotten),
	};
	uint64_t hash = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		hash = (hash ^ sizes[i]) * 0x9e3779b97f4a7c15ull;
	return hash;
}
