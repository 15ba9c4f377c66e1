// SPDX-License-Identifier: GPL-2.0
/*
 * What a target leaves behind must not add up: a make has tens of thousands of
 * processes. Who asks for the dead asks for the last ones, so the model keeps those
 * whole, as much of them as fits into a limit, and of the older ones their sums.
 *
 *   | forgotten: sums | dead ones, whole, at most so many bytes | those that live |
 *     the oldest dead one goes first  -->
 *
 * The one that died last is kept however large it is: it was no smaller alive.
 *
 * A target can map as many files as it likes, one after the other, and each has a
 * name. Those that are mapped somewhere are kept, and those that were told of last:
 * the module does not tell again what it remembers to have told, and that is one
 * file for each of 1024 hashes (VH_FILES of kmod/vh.h), the last one.
 */
#include <errno.h>
#include <stdlib.h>

#include "model/apply.h"

void model_limit_dead(struct model *m, size_t bytes)
{
	m->dead_limit = bytes;
}

const struct forgotten *model_forgotten(const struct model *m)
{
	return &m->forgotten;
}

static size_t bytes_of(const struct book *b)
{
	const struct space *s = &b->s;

	return sizeof(*b) + vma_map_bytes(s->vmas) +
	       chunk_total(s->chunks).chunks * sizeof(struct chunk) +
	       s->nr_syscalls * sizeof(*s->syscalls) +
	       s->nr_failed * sizeof(*s->failed) +
	       s->nr_sites * sizeof(*s->sites) +
	       s->nr_stacks * sizeof(*s->stacks) +
	       s->nr_resident * sizeof(*s->resident) +
	       s->nr_touch_sites * sizeof(*s->touch_sites) +
	       s->nr_touches * sizeof(*s->touches) +
	       (b->sites.cap + b->stacks.cap + b->gone.cap + b->touched.cap +
		b->touch_sites.cap) *
		       sizeof(struct hash_slot);
}

void forget_later(struct model *m, struct book *b)
{
	b->dead_bytes = bytes_of(b);
	m->dead_bytes += b->dead_bytes;
	m->nr_dead++;
}

/* --- the sums */

static void add_op(struct op_tally *to, const struct op_tally *t)
{
	to->calls += t->calls;
	to->failed += t->failed;
	to->bytes += t->bytes;
	to->to_kernel += t->to_kernel;
}

static void add_syscall(struct forgotten *f, const struct syscall_tally *t)
{
	f->events += t->calls;
	f->in_calls += t->in_calls;
	f->mapped += t->mapped;
	f->unmapped += t->unmapped;
	f->changed += t->changed;
}

static void add_space(struct forgotten *f, const struct space *s)
{
	struct chunk_sum live = chunk_total(s->chunks);

	f->spaces++;
	if (s->died > f->until)
		f->until = s->died;
	for (int op = 0; op < CALL_OP_MAX; op++)
		add_op(&f->ops[op], &s->ops[op]);
	for (size_t i = 0; i < s->nr_syscalls; i++)
		add_syscall(f, &s->syscalls[i]);
	f->chunks += live.chunks;
	f->bytes += live.bytes;
	if (chunk_peak(s->chunks) > f->peak)
		f->peak = chunk_peak(s->chunks);
	f->calls_lost += s->calls_lost;
	f->unknown_frees += s->unknown_frees;
	f->double_allocs += s->double_allocs;
	f->clipped += s->clipped;
	f->coalesced += s->coalesced;
	f->late += s->late;
	f->map_count_mismatches += s->map_count_mismatches;
}

/* --- out of the model */

/* It is in the sums, and going. */
static bool is_forgotten(const struct book *b)
{
	return b->s.died && !b->dead_bytes;
}

static bool book_goes(void *val, void *ctx)
{
	(void)ctx;
	return is_forgotten(val);
}

/* An event that came after the exit may have made it. */
static bool thread_goes(void *val, void *ctx)
{
	struct thread *t = val;

	(void)ctx;
	if (!is_forgotten(t->book))
		return false;
	join_forget(t);
	return true;
}

static void take_out(struct model *m)
{
	size_t nr = 0;

	m->last = NULL;
	hash_filter(&m->threads, thread_goes, NULL);
	hash_filter(&m->by_tgid, book_goes, NULL);
	hash_filter(&m->by_mm, book_goes, NULL);
	for (size_t i = 0; i < m->nr_books; i++) {
		if (is_forgotten(m->books[i]))
			book_free(m->books[i]);
		else
			m->books[nr++] = m->books[i];
	}
	m->nr_books = nr;
}

static int by_death(const void *va, const void *vb)
{
	const struct space *a = &(*(struct book *const *)va)->s;
	const struct space *b = &(*(struct book *const *)vb)->s;

	if (a->died != b->died)
		return a->died < b->died ? -1 : 1;
	return a->mm < b->mm ? -1 : a->mm > b->mm;
}

/* All that are dead, the first one first. NULL: no memory. */
static struct book **the_dead(const struct model *m)
{
	struct book **dead = malloc(m->nr_dead * sizeof(struct book *));
	size_t nr = 0;

	if (!dead)
		return NULL;
	for (size_t i = 0; i < m->nr_books; i++)
		if (m->books[i]->s.died)
			dead[nr++] = m->books[i];
	qsort(dead, nr, sizeof(struct book *), by_death);
	return dead;
}

/*
 * Not while an event waits in one of them (life.h), which is hardly ever so when a
 * stamp has been settled. A quarter of them goes at once, or each death would look
 * through all.
 */
void forget_dead(struct model *m)
{
	size_t enough = m->dead_limit / 4 * 3;
	struct book **dead;

	if (m->dead_bytes <= m->dead_limit || m->nr_dead < 2 ||
	    m->lives.knots.nr)
		return;
	dead = the_dead(m);
	if (!dead)
		return;
	for (size_t i = 0; m->dead_bytes > enough && m->nr_dead > 1; i++) {
		add_space(&m->forgotten, &dead[i]->s);
		m->dead_bytes -= dead[i]->dead_bytes;
		m->nr_dead--;
		dead[i]->dead_bytes = 0;
	}
	free(dead);
	take_out(m);
}

/* --- files */

void model_limit_files(struct model *m, size_t nr)
{
	m->files_limit = m->files_next = nr;
}

static int add_mapped(struct hash *mapped, const struct vma_map *vmas)
{
	int ret = 0;

	for (size_t i = 0; i < vma_map_count(vmas) && !ret; i++) {
		const struct vma_desc *d = &vma_map_at(vmas, i)->d;

		if (d->flags & VMA_FILE)
			ret = hash_put(mapped, d->dev, d->ino, mapped);
	}
	return ret;
}

static int by_number(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return a < b ? -1 : a > b;
}

/* Of the `keep` files that were told of last, the first one's number. */
static int last_told(const struct model *m, size_t keep, uint64_t *since)
{
	uint64_t *told = malloc(m->files.nr * sizeof(*told));
	size_t nr = 0;

	if (!told)
		return -ENOMEM;
	for (size_t i = 0; i < m->files.cap; i++) {
		const struct file_name *f = m->files.slots[i].val;

		if (f)
			told[nr++] = f->told;
	}
	qsort(told, nr, sizeof(*told), by_number);
	*since = told[nr - keep];
	free(told);
	return 0;
}

struct unused {
	struct hash mapped; /* dev, ino -> anything */
	uint64_t since;
};

static bool file_goes(void *val, void *ctx)
{
	const struct unused *u = ctx;
	struct file_name *f = val;

	if (f->told >= u->since || hash_get(&u->mapped, f->dev, f->ino))
		return false;
	file_free(f);
	return true;
}

void forget_files(struct model *m)
{
	struct unused u = { .since = 0 };
	int ret = 0;

	if (m->files.nr <= m->files_next)
		return;
	for (size_t i = 0; i < m->nr_books && !ret; i++)
		ret = add_mapped(&u.mapped, m->books[i]->s.vmas);
	if (!ret)
		ret = last_told(m, m->files_limit / 2 + 1, &u.since);
	if (!ret)
		hash_filter(&m->files, file_goes, &u);
	hash_destroy(&u.mapped);
	m->files_next = 2 * m->files.nr;
	if (m->files_next < m->files_limit)
		m->files_next = m->files_limit;
}
