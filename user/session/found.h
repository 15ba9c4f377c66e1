/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which chunks a process has in use, by its malloc's own books (session/look.h).
 */
#ifndef SESSION_FOUND_H
#define SESSION_FOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/allocator.h"
#include "model/event.h"

struct found_list {
	struct found_chunk *at; /* malloc'ed, by address */
	size_t nr;
	uint64_t took; /* ns */
};

/* Whose books can be read. */
enum found_books { FOUND_NO_BOOKS, FOUND_GLIBC, FOUND_MUSL };
/* By the kind that intake/allocator.h tells. */
enum found_books found_books(const char *kind);

/*
 * allocator_find(); and where no symbol of a static program tells who allocates,
 * whose books lie in its memory (musl's are known by what they are): then the kind
 * is all that is known, a->name is "" and a->nr 0. They come with the first malloc.
 */
int found_allocator(uint32_t pid, struct allocator *a);

/*
 * One walk through the heap; another, some times, when it was not consistent.
 * `stop`: the process stands still meanwhile, else what threads' caches hold may
 * be told to be in use. 0 or -errno, with *why a sentence (static): -EAGAIN: it
 * changes too fast, or does not stop.
 */
int found_walk(uint32_t pid, enum found_books books, bool stop,
	       struct found_list *l, const char **why);

/* What came from `a` to `b`, and what went (FOUND_NOT). 0 or -ENOMEM. */
int found_changes(const struct found_list *a, const struct found_list *b,
		  struct found_list *l);
void found_free(struct found_list *l);

#endif
