// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "output/diff.h"
#include "output/text.h"
#include "output/view.h"

/* --- who had memory made */

static void put_maker(const struct output *o, const struct space *s, FILE *f,
		      const struct cause *c)
{
	if (c->op != CALL_NONE) {
		fprintf(f, "%s from ", call_op_name(c->op));
		put_caller(o, s, f, c->caller);
	} else if (c->kind == CAUSE_SYSCALL && c->ip) {
		put_code(o, s, f, c->ip);
	}
}

/* Where the kind and the name leave it open. */
static bool needs_maker(const struct view *w)
{
	return w->kind == VIEW_MAPPED || w->kind == VIEW_POOL ||
	       w->kind == VIEW_ANON;
}

static char *maker_text(const struct output *o, const struct space *s,
			const struct view *w)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (needs_maker(w))
		put_maker(o, s, f, w->made);
	return fclose(f) ? NULL : text;
}

/* bss belongs to the file before it, arenas are numbered as they came. */
static char *name_text(const struct output *o, const struct space *s, size_t i,
		       const struct view *w, size_t arena)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (w->kind == VIEW_ARENA)
		fprintf(f, "%zu", arena);
	else if (w->kind == VIEW_BSS && i)
		put_name(f, vma_name(o, s, vma_map_at(s->vmas, i - 1)));
	else if (!view_is_allocators(w->kind) || w->kind == VIEW_HEAP)
		put_name(f, vma_name(o, s, w->v));
	return fclose(f) ? NULL : text;
}

/* Further arenas, in the order in which they were made: their number is their place. */
struct arena {
	uint64_t made, start;
};

static int compare_arenas(const void *va, const void *vb)
{
	const struct arena *a = va, *b = vb;

	if (a->made != b->made)
		return a->made < b->made ? -1 : 1;
	return a->start < b->start ? -1 : a->start > b->start;
}

/* NULL: no memory. */
static struct arena *find_arenas(const struct space *s, size_t *nr)
{
	struct arena *list = calloc(vma_map_count(s->vmas) + 1, sizeof(*list));
	size_t i;

	*nr = 0;
	for (i = 0; list && i < vma_map_count(s->vmas); i++) {
		struct view w = view_of(s, i);

		if (w.kind == VIEW_ARENA)
			list[(*nr)++] =
				(struct arena){ w.made->ts, w.v->d.start };
	}
	if (list && *nr)
		qsort(list, *nr, sizeof(*list), compare_arenas);
	return list;
}

static size_t arena_number(const struct arena *list, size_t nr,
			   const struct view *w)
{
	const struct arena key = { w->made->ts, w->v->d.start };
	const struct arena *a =
		bsearch(&key, list, nr, sizeof(key), compare_arenas);

	return a ? (size_t)(a - list) + 1 : 0;
}

/* --- VMAs */

int moment_vmas_compare(const void *va, const void *vb)
{
	const struct moment_vmas *a = va, *b = vb;
	int c = strcmp(a->kind, b->kind);

	if (!c)
		c = strcmp(a->name, b->name);
	if (!c)
		c = strcmp(a->perms, b->perms);
	return c ? c : strcmp(a->maker, b->maker);
}

static void free_vmas(struct moment_vmas *v)
{
	free(v->kind);
	free(v->name);
	free(v->perms);
	free(v->maker);
}

static void add_vmas(struct moment_vmas *to, const struct moment_vmas *v)
{
	if (v->end - v->start > to->end - to->start) {
		to->start = v->start;
		to->end = v->end;
	}
	to->vmas += v->vmas;
	to->size += v->size;
	to->live += v->live;
	to->chunks += v->chunks;
	to->resident += v->resident;
	to->unsampled += v->unsampled;
}

static int take_vma(const struct output *o, const struct space *s, size_t i,
		    const struct arena *arenas, size_t nr_arenas,
		    struct moment_vmas *v)
{
	struct view w = view_of(s, i);
	const struct vma_desc *d = &w.v->d;
	size_t arena =
		w.kind == VIEW_ARENA ? arena_number(arenas, nr_arenas, &w) : 0;
	char buf[5];

	*v = (struct moment_vmas){
		.kind = strdup(view_kind_name(w.kind)),
		.name = name_text(o, s, i, &w, arena),
		.perms = strdup(perms(d, buf)),
		.maker = maker_text(o, s, &w),
		.start = d->start,
		.end = d->end,
		.vmas = 1,
		.size = d->end - d->start,
		.live = w.live.bytes,
		.chunks = w.live.chunks,
		.resident = w.res ? w.res->resident : 0,
		.unsampled = !w.res,
	};
	return v->kind && v->name && v->perms && v->maker ? 0 : -ENOMEM;
}

static int take_vmas(const struct output *o, const struct space *s,
		     struct moment *m)
{
	size_t nr = vma_map_count(s->vmas), i, n = 0, nr_arenas;
	struct arena *arenas = find_arenas(s, &nr_arenas);
	int err = arenas ? 0 : -ENOMEM;

	m->vmas = calloc(nr + 1, sizeof(*m->vmas));
	if (!m->vmas)
		err = -ENOMEM;
	for (i = 0; !err && i < nr; i++, m->nr_vmas++) {
		err = take_vma(o, s, i, arenas, nr_arenas, &m->vmas[i]);
		add_vmas(&m->total, &m->vmas[i]);
	}
	free(arenas);
	if (err)
		return err;
	qsort(m->vmas, nr, sizeof(*m->vmas), moment_vmas_compare);
	for (i = 0; i < nr; i++) {
		if (n && !moment_vmas_compare(&m->vmas[n - 1], &m->vmas[i])) {
			add_vmas(&m->vmas[n - 1], &m->vmas[i]);
			free_vmas(&m->vmas[i]);
		} else {
			m->vmas[n++] = m->vmas[i];
		}
	}
	m->nr_vmas = n;
	return 0;
}

/* --- sites */

/* One that has more than its address: what was inlined is not told apart. */
static void put_frames(const struct output *o, const struct space *s, FILE *f,
		       uint64_t where)
{
	const struct stack *st = model_stack(o->model, where);
	uint32_t i;

	if (!(where & CALLER_STACK)) {
		put_caller(o, s, f, where);
		return;
	}
	for (i = 0; st && i < st->nr; i++) {
		fputs(i ? "\n" : "", f);
		put_caller(o, s, f, st->frames[i]);
	}
	if (!st || st->truncated)
		fputs(st && st->nr ? "\n?" : "?", f);
}

static char *frames_text(const struct output *o, const struct space *s,
			 uint64_t where)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_frames(o, s, f, where);
	return fclose(f) ? NULL : text;
}

static int compare_sites(const void *va, const void *vb)
{
	const struct moment_site *a = va, *b = vb;

	return strcmp(a->frames, b->frames);
}

static void fold_sites(struct moment *m)
{
	size_t i, n = 0;

	if (m->nr_sites)
		qsort(m->sites, m->nr_sites, sizeof(*m->sites), compare_sites);
	for (i = 0; i < m->nr_sites; i++) {
		if (n && !compare_sites(&m->sites[n - 1], &m->sites[i])) {
			m->sites[n - 1].chunks += m->sites[i].chunks;
			m->sites[n - 1].live += m->sites[i].live;
			free(m->sites[i].frames);
		} else {
			m->sites[n++] = m->sites[i];
		}
	}
	m->nr_sites = n;
}

static struct moment_site *site_of(const struct output *o,
				   const struct space *s, struct moment *m,
				   struct hash *index, uint64_t where)
{
	uintptr_t nr = (uintptr_t)hash_get(index, where, 0);
	struct moment_site *p;

	if (nr)
		return &m->sites[nr - 1];
	p = realloc(m->sites, (m->nr_sites + 1) * sizeof(*p));
	if (!p)
		return NULL;
	m->sites = p;
	p = &m->sites[m->nr_sites];
	*p = (struct moment_site){ .frames = frames_text(o, s, where) };
	if (!p->frames)
		return NULL;
	m->nr_sites++;
	return hash_put(index, where, 0, (void *)(uintptr_t)m->nr_sites) ?
		       NULL :
		       p;
}

static int take_sites(const struct output *o, const struct space *s,
		      struct moment *m)
{
	struct hash index = { 0 };
	struct chunk c;
	uint64_t at = 0;
	int err = 0;

	for (; !err && !chunk_next(s->chunks, at, UINT64_MAX, &c);
	     at = c.addr + 1) {
		struct moment_site *site = site_of(o, s, m, &index, c.caller);

		if (!site) {
			err = -ENOMEM;
			break;
		}
		site->chunks++;
		site->live += c.size;
	}
	hash_destroy(&index);
	fold_sites(m);
	return err;
}

/* --- what files there were */

static int take_file(struct moment *m, const struct file_name *n)
{
	const char *base = strrchr(n->path, '/');
	struct moment_file *f;
	size_t i;

	base = base ? base + 1 : n->path;
	for (i = 0; i < m->nr_files; i++)
		if (!strcmp(m->files[i].object, base))
			return 0;
	f = realloc(m->files, (m->nr_files + 1) * sizeof(*f));
	if (!f)
		return -ENOMEM;
	m->files = f;
	f += m->nr_files;
	*f = (struct moment_file){ .object = strdup(base) };
	if (!f->object)
		return -ENOMEM;
	m->nr_files++;
	for (i = 0; i < n->build_id_len; i++)
		snprintf(f->build_id + 2 * i, 3, "%02x", n->build_id[i]);
	return 0;
}

static int take_files(const struct output *o, const struct space *s,
		      struct moment *m)
{
	size_t nr = vma_map_count(s->vmas), i;
	int err = 0;

	for (i = 0; !err && i < nr; i++) {
		const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;
		const struct file_name *n =
			d->flags & VMA_FILE ?
				model_file(o->model, d->dev, d->ino) :
				NULL;

		if (n && n->path && n->has_build_id && n->build_id_len)
			err = take_file(m, n);
	}
	return err;
}

static bool is_in(const char *object, size_t len,
		  const struct moment_file *files, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (strlen(files[i].object) == len &&
		    !strncmp(files[i].object, object, len))
			return true;
	return false;
}

/* "main+0x12 (a.out)" becomes "main (a.out)", in place. */
static void forget_offset(char *line, size_t *len,
			  const struct moment_file *files, size_t nr)
{
	char *end = line + *len, *open = memrchr(line, '(', *len), *plus;

	if (!open || open == line || end[-1] != ')' || open[-1] != ' ' ||
	    !is_in(open + 1, (size_t)(end - open) - 2, files, nr))
		return;
	plus = memrchr(line, '+', (size_t)(open - line));
	if (!plus || strncmp(plus, "+0x", 3))
		return;
	memmove(plus, open - 1, (size_t)(end - open) + 1);
	*len -= (size_t)(open - 1 - plus);
}

static void forget_offsets(char *frames, const struct moment_file *files,
			   size_t nr)
{
	char *from = frames, *to = frames;

	for (;;) {
		size_t len = strcspn(from, "\n");
		char last = from[len], *next = from + len + 1;

		forget_offset(from, &len, files, nr);
		memmove(to, from, len);
		to += len;
		*to++ = last;
		if (!last)
			return;
		from = next;
	}
}

void moment_forget_offsets(struct moment *m, const struct moment_file *files,
			   size_t nr)
{
	size_t i;

	for (i = 0; nr && i < m->nr_sites; i++)
		forget_offsets(m->sites[i].frames, files, nr);
	fold_sites(m);
}

/* --- all */

struct moment *moment_take(const struct output *o, const struct space *s,
			   const char *trace)
{
	struct moment *m = calloc(1, sizeof(*m));
	struct chunk_sum live = chunk_total(s->chunks);
	int err;

	if (!m)
		return NULL;
	m->trace = strdup(trace);
	m->at = o->now - o->start;
	m->pid = s->owner;
	snprintf(m->comm, sizeof(m->comm), "%s", s->comm);
	m->has_calls = space_has_chunks(s);
	m->from_start = s->chunks_known_from_start;
	err = m->trace ? take_vmas(o, s, m) : -ENOMEM;
	if (!err)
		err = take_sites(o, s, m);
	if (!err)
		err = take_files(o, s, m);
	m->total.live = live.bytes;
	m->total.chunks = live.chunks;
	if (!err)
		return m;
	moment_free(m);
	return NULL;
}

void moment_free(struct moment *m)
{
	size_t i;

	if (!m)
		return;
	for (i = 0; i < m->nr_vmas; i++)
		free_vmas(&m->vmas[i]);
	for (i = 0; i < m->nr_sites; i++)
		free(m->sites[i].frames);
	for (i = 0; i < m->nr_files; i++)
		free(m->files[i].object);
	free(m->vmas);
	free(m->sites);
	free(m->files);
	free(m->trace);
	free(m);
}
