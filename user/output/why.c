// SPDX-License-Identifier: GPL-2.0
/*
 * What backs this pointer: address -> chunk -> VMA -> the event that made it,
 * the last one that changed it -> resident or not -> the page itself. Where the
 * events tell of no chunk, malloc's own books may.
 *
 * --json (bytes; times CLOCK_MONOTONIC ns; see text.h):
 *   addr, pid, comm, mm, now, start
 *   chunk: null (none live there, or not known), or { addr, size, offset, op,
 *     caller, stack, tid, ts }; op "none": found in malloc's own books at ts, by
 *     the look at a running process or the last walk; size is what can be used
 *     (musl: what was asked for)
 *   chunks_known: false when a chunk that is not known may lie there (no
 *     allocator events, or memory from before the watch)
 *   vma: null (not mapped), or { start, end, perms, name, kind, size, offset
 *     (of addr in it), made, part { start, end } (what `made` brought of it),
 *     changed (null: nothing came after `made`) }
 *   resident: null (not known), or { bytes, swapped, sampled_at } of the VMA
 *   malloc: null (the events told of a chunk, or malloc's books do not know one), or
 *     { addr, size (usable), state (used, tcache, fastbin ... as in heap), arena
 *     (null: mmapped), thread (tcache: whose; null: not known), offset }: by these
 *   page: null (a trace, not mapped, not to be read), or see output/page.h
 *   touched: of a mapped address the first touch of its page; see touch.h
 *   before, after: null, or { start, end, perms, name }: the neighbours of an
 *     address that is not mapped
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "output/page.h"
#include "output/syscall.h"
#include "output/text.h"
#include "output/touch.h"
#include "output/view.h"

struct answer {
	uint64_t addr;
	struct chunk chunk;
	bool has_chunk, chunks_known;
	bool mapped;
	struct view view; /* when mapped */
	const struct cause
		*made; /* the part [from, to) of the VMA that addr is in */
	uint64_t from, to;
	const struct vma *before, *after; /* when not; may be NULL */
	const struct page_look *page; /* may be NULL */
	const struct pt_book *book;
	const struct pt_chunk *own; /* of `book`; NULL: none */
};

/* Could a chunk be there that we do not know of? */
static bool chunks_known(const struct space *s, const struct answer *a)
{
	if (!space_has_chunks(s))
		return false;
	if (space_knows_all_chunks(s) || !a->mapped)
		return true;
	return a->made->kind != CAUSE_ATTACH;
}

static void find_part(const struct space *s, struct answer *a)
{
	const struct vma *v = a->view.v;

	a->from = v->d.start;
	a->to = v->d.end;
	a->made = vma_map_origin(s->vmas, a->addr, &a->from, &a->to);
	if (!a->made)
		a->made = v->made;
	if (a->from < v->d.start)
		a->from = v->d.start;
	if (a->to > v->d.end)
		a->to = v->d.end;
}

/* The last word of a chunk in use is where the header of the next one begins. */
static const struct pt_chunk *owner(const struct pt_book *b, uint64_t addr)
{
	const struct pt_chunk *c = pt_find(b, addr);

	if (c && c > b->chunks && addr < c->addr + 8 && c->heap != PT_NOWHERE &&
	    c[-1].heap == c->heap && pt_in_use(&c[-1]) &&
	    c[-1].addr + pt_size(&c[-1]) == c->addr)
		return c - 1;
	return c;
}

/* Not when a chunk is known by its events: they tell more of it. */
static void ask_book(struct answer *a, const struct pt_book *b)
{
	a->book = b;
	if (b && !a->has_chunk)
		a->own = owner(b, a->addr);
}

static struct answer find(const struct space *s, uint64_t addr,
			  const struct why_look *l)
{
	struct answer a = { .addr = addr, .page = l ? l->page : NULL };
	size_t i = vma_map_lower(s->vmas, addr);
	const struct vma *v =
		i < vma_map_count(s->vmas) ? vma_map_at(s->vmas, i) : NULL;

	a.has_chunk = !chunk_find(s->chunks, addr, &a.chunk);
	a.mapped = v && v->d.start <= addr;
	if (a.mapped) {
		a.view = view_of(s, i);
		find_part(s, &a);
	} else {
		a.after = v;
		a.before = i ? vma_map_at(s->vmas, i - 1) : NULL;
	}
	a.chunks_known = chunks_known(s, &a);
	ask_book(&a, l ? l->book : NULL);
	return a;
}

/* --- text */

static void put_age(const struct output *o, FILE *f, uint64_t ts)
{
	fputs("at ", f);
	put_time(o, f, ts);
	if (ts >= o->start && o->now >= ts)
		fprintf(f, " s, %" PRIu64 ".%06" PRIu64 " s ago",
			(o->now - ts) / 1000000000,
			(o->now - ts) % 1000000000 / 1000);
}

static void put_book_state(FILE *f, const struct answer *a)
{
	static const char *const texts[PT_STATES] = {
		[PT_USED] = "in use",
		[PT_META] = "in use by malloc itself: a thread's cache",
		[PT_MMAPPED] = "in use, with a mapping of its own",
		[PT_TCACHE] = "free, in the cache of thread ",
		[PT_FAST] = "free, in a fastbin",
		[PT_SMALL] = "free, in a bin of small chunks",
		[PT_LARGE] = "free, in a bin of large chunks",
		[PT_UNSORTED] = "free, not sorted into a bin yet",
		[PT_TOP] = "free, at the top of its heap",
		[PT_FENCE] = "the end of a piece of the heap",
	};
	const struct pt_chunk *c = a->own;

	fputs(texts[c->state], f);
	if (c->state != PT_TCACHE)
		return;
	if (c->thread != UINT16_MAX && a->book->threads[c->thread].tid)
		fprintf(f, "%u", a->book->threads[c->thread].tid);
	else
		fputc('?', f);
}

static void text_book(const struct output *o, const struct answer *a)
{
	const struct pt_chunk *c = a->own;
	int64_t offset = (int64_t)(a->addr - (c->addr + 16));

	fprintf(o->f,
		"  chunk     %#" PRIx64 ", %" PRIu64 " bytes usable, %+" PRIi64
		"%s\n  malloc    by its own books: ",
		c->addr + 16, pt_usable(a->book, c), offset,
		offset < 0 ? " (in its header)" : "");
	put_book_state(o->f, a);
	if (c->heap != PT_NOWHERE)
		fprintf(o->f, "; arena %u", a->book->heaps[c->heap].arena);
	if (pt_in_use(c))
		fputs("; caller unknown: no event tells of it", o->f);
	fputc('\n', o->f);
}

static void text_found(const struct output *o, const struct space *s,
		       const struct chunk *c)
{
	fputs(s->found.walked ?
		      "  by        caller unknown (walked), first seen " :
		      "  by        caller unknown: from before the watch, found ",
	      o->f);
	put_age(o, o->f, c->ts);
	fputc('\n', o->f);
	if (!s->found.walked)
		return;
	fputs("  walked    ", o->f);
	put_age(o, o->f, s->found.at);
	fputs(s->found.failed ? "; since then the heap could not be read\n" :
				"\n",
	      o->f);
}

static void text_chunk(const struct output *o, const struct space *s,
		       const struct answer *a)
{
	const struct chunk *c = &a->chunk;

	if (a->own) {
		text_book(o, a);
		return;
	}
	if (!a->has_chunk) {
		fprintf(o->f, "  chunk     %s\n",
			!a->chunks_known && !space_has_chunks(s) ?
				"not known: there are no allocator events" :
			!a->chunks_known ?
				"none known: free, never allocated, or allocated before the watch" :
			s->found.walked ?
				"none at the last walk" :
				"no live chunk: free, or never allocated");
		return;
	}
	fprintf(o->f,
		"  chunk     %#" PRIx64 ", %" PRIu64 " bytes, +%" PRIu64 "\n",
		c->addr, c->size, a->addr - c->addr);
	if (chunk_is_found(c)) {
		text_found(o, s, c);
		return;
	}
	fputs("  by        ", o->f);
	put_call(o->f, c->op, c->addr, c->size);
	fputs(" from ", o->f);
	put_caller(o, s, o->f, c->caller);
	fprintf(o->f, ", thread %u, ", c->tid);
	put_age(o, o->f, c->ts);
	fputc('\n', o->f);
	put_stack(o, s, o->f, c->caller);
}

static void put_vma(const struct output *o, const struct space *s,
		    const struct vma *v)
{
	char buf[5];

	fprintf(o->f, "%08" PRIx64 "-%08" PRIx64 " %s ", v->d.start, v->d.end,
		perms(&v->d, buf));
	put_size(o->f, v->d.end - v->d.start);
	fputs(*vma_name(o, s, v) ? " " : "", o->f);
	put_name(o->f, vma_name(o, s, v));
}

/* "brk(0x55...), thread 12, at 0.000006 s, 0.500037 s ago" */
static void put_event(const struct output *o, const struct space *s,
		      const struct cause *c)
{
	if (c->kind == CAUSE_SYSCALL) {
		put_syscall(o->f, c->syscall, c->compat, c->args);
		fprintf(o->f, ", thread %u", c->tid);
	} else {
		put_cause(o, s, o->f, c);
	}
	if (c->kind != CAUSE_ATTACH) {
		fputs(", ", o->f);
		put_age(o, o->f, c->ts);
	}
}

static void text_cause(const struct output *o, const struct space *s,
		       const char *what, const struct cause *c)
{
	fputs(what, o->f);
	put_event(o, s, c);
	fputc('\n', o->f);
	if (c->op == CALL_NONE)
		return;
	fputs("  inside    ", o->f);
	put_call(o->f, c->op, c->call_addr, c->call_size);
	fputs(" from ", o->f);
	put_caller(o, s, o->f, c->caller);
	fputc('\n', o->f);
}

static void text_resident(const struct output *o, const struct space *s,
			  const struct view *w)
{
	fputs("  resident  ", o->f);
	if (!w->res) {
		fputs(s->sampled_at ? "? (changed since the sample)\n" :
				      "? (never sampled)\n",
		      o->f);
		return;
	}
	put_size(o->f, w->res->resident);
	fputs(" of its ", o->f);
	put_size(o->f, w->v->d.end - w->v->d.start);
	if (w->res->swapped) {
		fputs(", swapped ", o->f);
		put_size(o->f, w->res->swapped);
	}
	fputs(", sampled ", o->f);
	put_age(o, o->f, s->sampled_at);
	fputc('\n', o->f);
}

static void text_mapped(const struct output *o, const struct space *s,
			const struct answer *a)
{
	const struct vma *v = a->view.v;

	fputs("  VMA       ", o->f);
	put_vma(o, s, v);
	fprintf(o->f, " (%s), +%" PRIu64 "\n", view_kind_name(a->view.kind),
		a->addr - v->d.start);
	if (a->from > v->d.start || a->to < v->d.end)
		fprintf(o->f, "  part      %08" PRIx64 "-%08" PRIx64 "\n",
			a->from, a->to);
	text_cause(o, s, "  made by   ", a->made);
	if (v->changed != a->made)
		text_cause(o, s, "  last by   ", v->changed);
	text_resident(o, s, &a->view);
	if (a->page)
		put_page(o->f, a->page);
	put_touch(o, s, a->addr, a->has_chunk ? &a->chunk : NULL);
}

static void text_neighbour(const struct output *o, const struct space *s,
			   const char *what, const struct vma *v,
			   const char *how, uint64_t distance)
{
	fputs(what, o->f);
	if (v) {
		put_vma(o, s, v);
		fprintf(o->f, ", %s %" PRIu64 " bytes\n", how, distance);
	} else {
		fputs("nothing\n", o->f);
	}
}

static void text_unmapped(const struct output *o, const struct space *s,
			  const struct answer *a)
{
	fputs("  VMA       not mapped\n", o->f);
	text_neighbour(o, s, "  below     ", a->before, "passed its end by",
		       a->before ? a->addr - a->before->d.end : 0);
	text_neighbour(o, s, "  above     ", a->after, "short of its start by",
		       a->after ? a->after->d.start - a->addr : 0);
}

static void why_text(const struct output *o, const struct space *s,
		     const struct answer *a)
{
	fprintf(o->f, "%#" PRIx64 " in ", a->addr);
	put_process(o->f, s);
	if (s->died)
		fputs(", as it was when it ended", o->f);
	fputc('\n', o->f);
	text_chunk(o, s, a);
	if (a->mapped)
		text_mapped(o, s, a);
	else
		text_unmapped(o, s, a);
}

/* --- JSON */

static json_t *json_chunk(const struct output *o, const struct space *s,
			  const struct answer *a)
{
	const struct chunk *c = &a->chunk;

	if (!a->has_chunk)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "addr",
			 json_addr(c->addr), "size", json_u64(c->size),
			 "offset", json_u64(a->addr - c->addr), "op",
			 call_op_name(c->op), "caller",
			 json_caller(o, s, c->caller), "stack",
			 json_stack(o, s, c->caller), "tid", json_u64(c->tid),
			 "ts", json_u64(c->ts));
}

static json_t *json_book(const struct answer *a)
{
	const struct pt_chunk *c = a->own;
	uint32_t tid = c && c->state == PT_TCACHE && c->thread != UINT16_MAX ?
			       a->book->threads[c->thread].tid :
			       0;

	if (!c)
		return json_null();
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "addr",
			 json_addr(c->addr + 16), "size",
			 json_u64(pt_usable(a->book, c)), "state",
			 pt_state_name(c->state), "arena",
			 c->heap == PT_NOWHERE ?
				 json_null() :
				 json_u64(a->book->heaps[c->heap].arena),
			 "thread", tid ? json_u64(tid) : json_null(), "offset",
			 json_integer((json_int_t)(a->addr - (c->addr + 16))));
}

static json_t *json_place(const struct output *o, const struct space *s,
			  const struct vma *v)
{
	char buf[5];

	if (!v)
		return json_null();
	return json_pack("{s:o, s:o, s:s, s:o}", "start", json_addr(v->d.start),
			 "end", json_addr(v->d.end), "perms", perms(&v->d, buf),
			 "name", json_name(vma_name(o, s, v)));
}

static json_t *json_vma(const struct output *o, const struct space *s,
			const struct answer *a)
{
	const struct vma *v = a->view.v;
	json_t *j;

	if (!a->mapped)
		return json_null();
	j = json_place(o, s, v);
	json_object_set_new(j, "kind",
			    json_string(view_kind_name(a->view.kind)));
	json_object_set_new(j, "size", json_u64(v->d.end - v->d.start));
	json_object_set_new(j, "offset", json_u64(a->addr - v->d.start));
	json_object_set_new(j, "made", json_cause(o, s, a->made));
	json_object_set_new(j, "part",
			    json_pack("{s:o, s:o}", "start", json_addr(a->from),
				      "end", json_addr(a->to)));
	json_object_set_new(j, "changed",
			    v->changed == a->made ?
				    json_null() :
				    json_cause(o, s, v->changed));
	return j;
}

static json_t *json_resident(const struct space *s, const struct answer *a)
{
	if (!a->mapped || !a->view.res)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "bytes",
			 json_u64(a->view.res->resident), "swapped",
			 json_u64(a->view.res->swapped), "sampled_at",
			 json_u64(s->sampled_at));
}

static int why_json(const struct output *o, const struct space *s,
		    const struct answer *a)
{
	json_t *j = json_object();

	json_object_set_new(j, "addr", json_addr(a->addr));
	json_object_set_new(j, "pid", json_u64(s->owner));
	json_object_set_new(j, "comm", json_name(s->comm));
	json_object_set_new(j, "mm", json_u64(s->mm));
	json_object_set_new(j, "now", json_u64(o->now));
	json_object_set_new(j, "start", json_u64(o->start));
	json_object_set_new(j, "chunk", json_chunk(o, s, a));
	json_object_set_new(j, "chunks_known", json_boolean(a->chunks_known));
	json_object_set_new(j, "vma", json_vma(o, s, a));
	json_object_set_new(j, "resident", json_resident(s, a));
	json_object_set_new(j, "malloc", json_book(a));
	json_object_set_new(j, "page",
			    a->page ? json_page(a->page) : json_null());
	json_object_set_new(j, "touched",
			    json_touch(o, s, a->addr,
				       a->has_chunk ? &a->chunk : NULL));
	json_object_set_new(j, "before", json_place(o, s, a->before));
	json_object_set_new(j, "after", json_place(o, s, a->after));
	return json_print(o, j, false);
}

int output_why(const struct output *o, const struct space *s, uint64_t addr,
	       const struct why_look *l)
{
	struct answer a;
	int err = 0;

	if (!s)
		return -ESRCH;
	a = find(s, addr, l);
	if (o->json)
		err = why_json(o, s, &a);
	else
		why_text(o, s, &a);
	return err ? err : output_status(o->f);
}
