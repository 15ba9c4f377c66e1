/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of an address space that need more than a ++. */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include "model/hash.h"
#include "model/model.h"

/* An address space, and what only the model needs to know of it. */
struct book {
	struct space s;
	const struct model_watch *watch; /* NULL: nobody listens */
	bool told; /* its first snapshot is complete */
	size_t dead_bytes; /* what it takes, since it died (forget.c) */
	struct cause *part; /* of the record whose further parts follow */
	struct hash sites; /* op, caller -> index in s.sites + 1 */
	struct hash stacks; /* id -> index in s.stacks + 1 */
	struct hash touched; /* page -> index in s.touches + 1 */
	struct hash touch_sites; /* caller -> index in s.touch_sites + 1 */
	struct hash
		gone; /* addresses of unknown frees, until the heap was looked at */
};

struct bytes {
	uint64_t mapped, unmapped, changed;
	int64_t vmas;
};

/* Room for one more in an array of nr that grows at powers of two. */
void *tally_room(void *array, size_t nr, size_t size);

/* A VMA event begins to be told (outside of any call, as far as is known) ... */
int tally_event(struct book *b, const struct cause *c);
/* ... so many bytes of it ... */
void tally_bytes(struct book *b, const struct cause *c, const struct bytes *n);
/* ... and it was inside of an allocator call. */
void tally_inside(struct book *b, const struct cause *c);
/* A call that was the cause of nr VMA events, which together did this. */
int tally_site(struct book *b, enum call_op op, uint64_t caller,
	       unsigned int nr, const struct bytes *n);
/*
 * The index in s.stacks of a stack (which the model knows, or CALLER_STACK alone);
 * -ENOMEM.
 */
long tally_stack(struct book *b, uint64_t stack);
/* A system call has failed. */
int tally_failed(struct book *b, const struct event *ev);
/* found.c: is a look at the heap of the process still to come? */
bool found_expected(const struct space *s);
/* A free found no chunk (found.c). */
void found_gone(struct book *b, uint64_t addr);
const char *tally_check(const struct book *b);

#endif
