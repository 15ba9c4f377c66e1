// SPDX-License-Identifier: GPL-2.0
/* Chunks that nobody told of: from before the shim came, and those of --alloc=walk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intake/allocator.h"
#include "session/found.h"
#include "session/inside.h"

#define FIND_TRIES 5
#define FOUND_PART 4096 /* chunks in one event */

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

static void tell_part(struct session *s, const struct space *sp,
		      const struct found_chunk *chunks, size_t nr,
		      uint32_t flags)
{
	struct event ev = { .kind = EV_FOUND,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm,
			    .found = { chunks, (uint32_t)nr, flags } };

	model_apply(s->model, &ev, NULL);
	note_found(s, &ev);
}

/* At least one event, so that it is known that there was a look. */
static void tell_found(struct session *s, const struct space *sp,
		       const struct found_list *l, uint32_t flags)
{
	size_t at = 0, nr;

	do {
		nr = l->nr - at < FOUND_PART ? l->nr - at : FOUND_PART;
		tell_part(s, sp, l->at + at, nr,
			  flags | (at + nr < l->nr ? FOUND_MORE : 0));
		at += nr;
	} while (at < l->nr);
}

/* Said of the process that was attached to: of others there may be many. */
static void say_unfound(struct session *s, uint32_t tgid, const char *who,
			const char *why)
{
	if (tgid == s->o.pid)
		session_say(s,
			    "chunks from before the attach are not known: %s%s",
			    who, why);
}

/* Those of the allocator that is heard: a libc's chunks may be others. */
static enum found_books books_of(struct session *s, uint32_t tgid)
{
	struct allocator a;
	int err = session_allocator(s, tgid, &a);
	enum found_books books = err ? FOUND_NO_BOOKS : found_books(a.kind);
	char who[64];

	if (books != FOUND_NO_BOOKS || err == -ESRCH)
		return books;
	snprintf(who, sizeof(who), "its allocator, %s,", err ? "" : a.kind);
	say_unfound(s, tgid, err || !a.kind[0] ? "what allocates in it" : who,
		    " keeps no books that can be read");
	return books;
}

/*
 * After the calls began to be told: then everything is heard that was told until
 * the look was over (model/found.c says why).
 */
static void find_chunks(struct session *s, uint32_t tgid)
{
	enum found_books books = books_of(s, tgid);
	struct found_list l = { 0 };
	const char *why = NULL;
	struct process *p;
	struct space *sp;
	uint64_t mm;
	int err;

	session_run_round(s, false); /* a new stamp; some may be buried */
	p = session_process_find(s, tgid);
	sp = p ? session_living_space(s, tgid) : NULL;
	if (!sp || books == FOUND_NO_BOOKS)
		return;
	mm = sp->mm;
	tell_part(s, sp, NULL, 0, FOUND_BEGIN);
	err = found_walk(tgid, books, true, &l, &why);
	s->found_took += l.took;
	s->found_in += !p->find_tries;
	if (err == -EAGAIN && ++p->find_tries < FIND_TRIES) {
		p->find_at = now_ns() + FIND_MS * 1000000ull;
		return;
	}
	p->find_tries = 0;
	session_catch_up(s); /* the process may be buried */
	sp = session_living_space(s, tgid);
	if (sp && sp->mm == mm)
		tell_found(s, sp, &l, err ? FOUND_UNREAD : 0);
	if (err && err != -ESRCH)
		say_unfound(s, tgid, "", why ? why : strerror(-err));
	found_free(&l);
}

static struct process *next_to_find(struct session *s, uint64_t now)
{
	size_t i;

	for (i = 0; i < s->nr_processes; i++)
		if (s->processes[i]->find_at && now >= s->processes[i]->find_at)
			return s->processes[i];
	return NULL;
}

void session_find_chunks(struct session *s, uint64_t now)
{
	struct process *p = session_process_find(s, s->o.pid);

	if (p && s->next_find && now >= s->next_find) {
		p->find_at = now;
		s->next_find = 0;
	}
	while ((p = next_to_find(s, now))) {
		p->find_at = 0;
		find_chunks(s, p->tgid);
	}
}

/* Said once, until a walk succeeds again. */
static void say_unwalked(struct session *s, struct process *p, const char *why)
{
	if (!p->walk_failed)
		session_say(
			s,
			"the heap of process %u could not be read (%s): its chunks are those of the walk before, if there was one",
			p->tgid, why);
	p->walk_failed = true;
}

/* It may not have called malloc. */
static bool is_young(const struct session *s, const struct space *sp)
{
	return sp->cause == MM_EXEC &&
	       s->horizon - sp->born < SAMPLE_MS * 1000000ull;
}

static int walk_heap(struct session *s, const struct space *sp,
		     struct process *p, enum found_books books,
		     const char **why)
{
	struct found_list now, changes = { 0 };
	int err = found_walk(p->tgid, books, false, &now, why);

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

/* Its symbols do not tell who allocates; its books may, from its first malloc on. */
static bool is_opaque(const struct space *sp)
{
	return sp->allocator.known && sp->allocator.is_static &&
	       !sp->allocator.kind[0] && !sp->allocator.file[0];
}

/* False: who allocates is not to be seen yet. */
static bool know_books(struct session *s, const struct space *sp,
		       enum found_books *books)
{
	struct allocator a;
	int err;

	if (sp->allocator.known && !is_opaque(sp)) {
		*books = found_books(sp->allocator.kind);
		return true;
	}
	err = found_allocator(sp->owner, &a);
	*books = err ? FOUND_NO_BOOKS : found_books(a.kind);
	if (!err && sp->allocator.known)
		session_note_allocator(s, sp);
	return !err || (sp->allocator.known && !is_young(s, sp));
}

void session_walk(struct session *s, uint32_t tgid)
{
	struct space *sp = session_living_space(s, tgid);
	struct process *p = session_process_find(s, tgid);
	const struct found_list none = { 0 };
	enum found_books books;
	const char *why = NULL;
	int err;

	if (!sp || !p || !p->alive || !know_books(s, sp, &books))
		return;
	if (p->walked_mm != sp->mm)
		found_free(&p->walked);
	if (books == FOUND_NO_BOOKS) {
		say_unwalked(s, p, "its allocator keeps no books that can be");
		return;
	}
	err = walk_heap(s, sp, p, books, &why);
	if (!err || err == -ESRCH || err == -ENOENT) /* it has no heap yet */
		return;
	say_unwalked(s, p, why ? why : strerror(-err));
	tell_found(s, sp, &none, FOUND_WALK | FOUND_UNREAD);
}

/* At most one twentieth of the daemon's time goes into it. */
void session_walk_all(struct session *s, uint64_t now)
{
	uint64_t took;
	size_t i;

	session_run_round(s, false);
	for (i = 0; i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			session_walk(s, s->processes[i]->tgid);
	took = now_ns() - now;
	s->next_walk = now + s->o.walk_ms * 1000000ull;
	if (took * 20 > s->o.walk_ms * 1000000ull)
		s->next_walk = now + took * 20;
}
