// SPDX-License-Identifier: GPL-2.0
#include "session/found.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "session/look.h"

#define TRIES 8
#define TRY_NS 3000000

enum found_books found_books(const char *kind)
{
	return !strcmp(kind, "glibc") ? FOUND_GLIBC :
	       !strcmp(kind, "musl")  ? FOUND_MUSL :
					FOUND_NO_BOOKS;
}

static int by_address(const void *va, const void *vb)
{
	const struct found_chunk *a = va, *b = vb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static int list_of(const struct pt_book *b, struct found_list *l)
{
	size_t i;

	l->at = calloc(b->nr_chunks + 1, sizeof(*l->at));
	if (!l->at)
		return -ENOMEM;
	for (i = 0; i < b->nr_chunks; i++)
		if (pt_in_use(&b->chunks[i]))
			l->at[l->nr++] = (struct found_chunk){
				b->chunks[i].addr + 16,
				pt_usable(b, &b->chunks[i])
			};
	return 0;
}

/* Nonsense anywhere means that something was changing as it was read. */
static bool is_consistent(const struct pt_book *b)
{
	size_t i;

	if (b->torn)
		return false;
	for (i = 0; i < b->nr_heaps; i++)
		if (b->heaps[i].broken)
			return false;
	for (i = 0; i < b->nr_arenas; i++)
		if (b->arenas[i].lost)
			return false;
	return true;
}

static int walk_glibc(uint32_t pid, enum look_stop stop, struct found_list *l,
		      const char **why)
{
	struct look look;
	int err = look_open(&look, pid, stop, LOOK_SYMBOLS, why);

	if (err && !look.opaque)
		return err;
	if (!err && !is_consistent(&look.book)) {
		*why = "it changes too fast";
		err = -EAGAIN;
	}
	if (!err)
		err = list_of(&look.book, l);
	l->took = look.took;
	look_close(&look);
	return err;
}

static int walk_musl(uint32_t pid, enum look_stop stop, struct found_list *l,
		     const char **why)
{
	struct ng_book b;
	int err = look_musl(pid, stop, &b, &l->took, why);

	l->at = b.chunks;
	l->nr = b.nr_chunks;
	return err;
}

/* A group that has gone while its chunks were read, and what has come in its place. */
static bool overlap(const struct found_list *l)
{
	size_t i;

	for (i = 1; i < l->nr; i++)
		if (l->at[i].addr - l->at[i - 1].addr < l->at[i - 1].size ||
		    l->at[i].addr == l->at[i - 1].addr)
			return true;
	return false;
}

static int walk_once(uint32_t pid, enum found_books books, bool stop,
		     struct found_list *l, const char **why)
{
	enum look_stop how = stop ? LOOK_STOP : LOOK_RUNNING;
	int err = books == FOUND_MUSL ? walk_musl(pid, how, l, why) :
					walk_glibc(pid, how, l, why);

	if (err)
		return err;
	if (l->nr)
		qsort(l->at, l->nr, sizeof(*l->at), by_address);
	if (books != FOUND_MUSL || !overlap(l))
		return 0;
	*why = "it changes too fast";
	found_free(l);
	return -EAGAIN;
}

/* Once more after -EAGAIN, or the other error. */
static int walk(uint32_t pid, enum found_books books, bool stop, int other,
		struct found_list *l, const char **why)
{
	int tries = 0, err;

	*l = (struct found_list){ 0 };
	while ((err = walk_once(pid, books, stop, l, why)) &&
	       (err == -EAGAIN || err == other) && ++tries < TRIES)
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
	return err;
}

int found_walk(uint32_t pid, enum found_books books, bool stop,
	       struct found_list *l, const char **why)
{
	return walk(pid, books, stop, -EBADMSG, l, why);
}

int found_allocator(uint32_t pid, struct allocator *a)
{
	int err = allocator_find(pid, a);
	struct found_list l;
	const char *why;

	if (err != -ENOENT || !a->is_static ||
	    walk(pid, FOUND_MUSL, false, -EAGAIN, &l, &why))
		return err;
	found_free(&l);
	a->kind = "musl";
	return 0;
}

static bool same(const struct found_chunk *a, const struct found_chunk *b)
{
	return a->addr == b->addr && a->size == b->size;
}

int found_changes(const struct found_list *a, const struct found_list *b,
		  struct found_list *l)
{
	size_t i = 0, j = 0;

	l->nr = 0;
	l->at = calloc(a->nr + b->nr + 1, sizeof(*l->at));
	if (!l->at)
		return -ENOMEM;
	while (i < a->nr || j < b->nr) {
		if (i < a->nr && j < b->nr && same(&a->at[i], &b->at[j])) {
			i++, j++;
		} else if (j == b->nr ||
			   (i < a->nr && a->at[i].addr <= b->at[j].addr)) {
			l->at[l->nr] = a->at[i++];
			l->at[l->nr++].size |= FOUND_NOT;
		} else {
			l->at[l->nr++] = b->at[j++];
		}
	}
	return 0;
}

void found_free(struct found_list *l)
{
	free(l->at);
	*l = (struct found_list){ 0 };
}
