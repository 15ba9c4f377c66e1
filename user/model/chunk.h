/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The live chunks of one address space: what malloc has handed out and free has
 * not taken back. Keeps address order, so that "what lies on this page" and
 * "how much is alive in this VMA" are scans of a small array (design 5).
 *
 * Addresses are what malloc returned (multiples of 8, below 2^47); sizes are
 * what was asked for, in bytes. A chunk of size 0 is a chunk (and one byte long
 * where overlap is asked for). Bytes are counted on the pages that [addr, addr +
 * size) covers; pages are 4096 bytes. Chunks in a table never overlap.
 */
#ifndef MODEL_CHUNK_H
#define MODEL_CHUNK_H

#include <stddef.h>

#include "model/event.h"

struct chunk {
	uint64_t addr, size;
	uint64_t ts; /* stamp of the allocation */
	uint64_t caller;
	uint32_t tid;
	enum call_op op;
};

/* Nobody told of its allocation: `ts` is when it was found, the rest is unknown. */
static inline bool chunk_is_found(const struct chunk *c)
{
	return c->op == CALL_NONE;
}

struct chunk_table;

struct chunk_table *chunk_table_new(void); /* NULL: no memory */
struct chunk_table *chunk_table_clone(const struct chunk_table *t);
void chunk_table_free(struct chunk_table *t);

/*
 * The table is not going to change: give back what only changes need. Any
 * change is still possible, the first one is dear. A clone is born so, and a
 * packed table's chunk_range is O(log n + chunks in it). 0 or -ENOMEM.
 */
int chunk_table_pack(struct chunk_table *t);

/*
 * 0; -EEXIST when it would overlap a chunk (chunk_overlap tells which); -EINVAL:
 * the address is 0, no multiple of 8, or ends above 2^47; -ENOMEM.
 */
int chunk_insert(struct chunk_table *t, const struct chunk *c);
struct op_tally;
struct stack_tally;

/* What chunk_run() needs beside the chunks, of the thread that has made the calls. */
struct chunk_run {
	struct op_tally *ops; /* by op */
	/*
	 * The chunk that the last realloc to be entered took out, until it returns
	 * (addr 0: none). NULL: reallocations are for others.
	 */
	struct chunk *old;
	/* Allocations that name this stack (0: none) are counted here, ... */
	uint64_t stack;
	struct stack_tally *tally;
	/* ... and those that name another one where this says; NULL: no memory. */
	struct stack_tally *(*tally_of)(void *ctx, uint64_t stack);
	void *ctx;
	bool crossed; /* somebody may ask chunk_crossed() */
};

/*
 * Nearly all calls are about chunks on few pages, among others. This does those among
 * calls[i..), in order, up to the first other one (which may be the first), and
 * counts them. Frees that name a stack are for others. Returns the index of that
 * one.
 */
size_t chunk_run(struct chunk_table *t, const struct call_run *calls, size_t i,
		 struct chunk_run *run);
/*
 * Takes the chunk that starts at addr out, into *old when not NULL. 0 or -ENOENT
 * (-ENOMEM: the table was packed).
 */
int chunk_remove(struct chunk_table *t, uint64_t addr, struct chunk *old);
/* The same, and the table remembers (until it is packed) that one died there at ts, by tid. */
int chunk_die(struct chunk_table *t, uint64_t addr, uint64_t ts, uint32_t tid,
	      struct chunk *old);
/* As if one had lived there, and had died at ts; nothing when one is alive there. */
void chunk_mark_died(struct chunk_table *t, uint64_t addr, uint64_t ts,
		     bool crossed);
/*
 * Did the last chunk that started at addr, now dead, die at a ts of [from, to]?
 * To a microsecond, and it may have been a multiple of 18 minutes before.
 */
bool chunk_died(const struct chunk_table *t, uint64_t addr, uint64_t from,
		uint64_t to);
/*
 * And was it born at that very ts, in another thread? Then the death may as well have been
 * that of a chunk from before, and the birth the last that happened there.
 */
bool chunk_crossed(const struct chunk_table *t, uint64_t addr);
/* In all of these *c may be left out (NULL). The chunk that starts at addr. 0 or -ENOENT. */
int chunk_get(const struct chunk_table *t, uint64_t addr, struct chunk *c);
/* The chunk whose [addr, addr + max(size, 1)) contains addr. 0 or -ENOENT. */
int chunk_find(const struct chunk_table *t, uint64_t addr, struct chunk *c);
/* The first chunk that starts at or above addr and below end. 0 or -ENOENT. */
int chunk_next(const struct chunk_table *t, uint64_t addr, uint64_t end,
	       struct chunk *c);

/* A chunk that [addr, addr + max(size, 1)) would overlap. 0 or -ENOENT. */
int chunk_overlap(const struct chunk_table *t, uint64_t addr, uint64_t size,
		  struct chunk *c);

struct chunk_sum {
	uint64_t chunks; /* that start in the range */
	uint64_t bytes; /* live bytes that lie in the range */
};

/* The whole table. O(1). */
struct chunk_sum chunk_total(const struct chunk_table *t);
/* The most bytes that were ever live in it, or, of a clone, since it is one. */
uint64_t chunk_peak(const struct chunk_table *t);
/* [lo, hi), page-aligned. O(pages that were ever used in it). */
struct chunk_sum chunk_range(const struct chunk_table *t, uint64_t lo,
			     uint64_t hi);
/* Live bytes on the page that contains addr: 0..4096. O(1). */
unsigned int chunk_page_bytes(const struct chunk_table *t, uint64_t addr);
/* NULL when the structure is sound, else what is wrong with it. O(everything). */
const char *chunk_table_check(const struct chunk_table *t);

#endif
