/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a program asked of its allocator, call by call, so that it can be asked
 * once more (session/rehearsal.h), and when glibc's mmap threshold rose.
 *
 * A note names its chunk by a slot, not by its address: which it gets is for the
 * next malloc to say. Slots are used again once their chunk is free. Failed calls
 * are no notes, and realloc(p, 0) is a free.
 *
 * The dynamic threshold, malloc/malloc.c of glibc 2.36, __libc_free(): a chunk
 * with a mapping of its own that is freed, and is larger than mmap_threshold, and
 * at most 32 MiB, raises it to its size, and trim_threshold to twice that; unless
 * M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD or M_MMAP_MAX has been set.
 */
#ifndef MODEL_SCORE_H
#define MODEL_SCORE_H

#include "model/model.h"

enum score_op {
	SCORE_MALLOC = 1,
	SCORE_CALLOC,
	SCORE_REALLOC, /* of what is in the slot */
	SCORE_MEMALIGN,
	SCORE_VALLOC,
	SCORE_PVALLOC,
	SCORE_FREE,
};

struct score_note {
	uint64_t size; /* bytes asked for */
	uint32_t slot;
	uint16_t thread; /* index; 0: the process's first */
	uint8_t op; /* enum score_op */
	uint8_t align; /* log2; of SCORE_MEMALIGN */
};

/* What came of it: the address (0 for a free), and the word before it. */
struct score_heard {
	uint64_t addr, head; /* chunk size | PT_* (ptmalloc.h) */
};

/* A free that could raise the threshold, and whoever has to do with it. */
struct score_free {
	size_t note; /* index */
	uint64_t ts, addr, caller;
	uint32_t tid;
	uint64_t chunk; /* size; 0: it had no mapping of its own, or it is not known */
};

struct score {
	uint64_t mm;
	struct score_note *notes;
	uint64_t *addrs; /* as recorded; 0 for a free */
	uint64_t *mapped; /* size of the chunk that got a mapping of its own; NULL: not known of any */
	size_t nr, cap;
	struct score_free *frees; /* of all chunks that are large enough */
	size_t nr_frees, cap_frees;
	size_t nr_slots, nr_threads;
	uint64_t disorder; /* events that did not fit: it cannot be played */
	bool late; /* there had been calls before the first event that was taken */
	bool no_memory; /* it is not whole */
	struct score_inside *in; /* for the taking */
};

struct score *score_new(uint64_t mm); /* NULL: no memory */
void score_free(struct score *s);
/* Takes down one event of the address space, in the model's order. */
void score_take(struct score *s, const struct outcome *out);
/* No more will come: what only the taking needs is freed. */
void score_end(struct score *s);

/* --- the threshold */

#define THRESHOLD_FIRST (128ull << 10) /* DEFAULT_MMAP_THRESHOLD */
#define THRESHOLD_MAX (32ull << 20) /* DEFAULT_MMAP_THRESHOLD_MAX, 64 bits */

struct threshold_rise {
	struct score_free by;
	uint64_t from, to; /* mmap_threshold; trim_threshold becomes 2 * to */
	/* Later allocations of [from, to) that got memory of a heap. */
	uint64_t calls, bytes;
};

struct threshold {
	struct threshold_rise *rises;
	size_t nr;
	uint64_t now;
	/*
	 * Allocations below the threshold as computed that got a mapping all the
	 * same: the program has set it itself, or no heap could grow.
	 */
	uint64_t contradictions;
};

/*
 * As a fresh process has it (`fixed` 0), or with M_MMAP_THRESHOLD set. `heard` (NULL: use s->mapped) tells which
 * chunks had mappings. 0; -ENODATA: neither does; -ENOMEM.
 */
int threshold_history(const struct score *s, const struct score_heard *heard,
		      uint64_t fixed, struct threshold *t);
void threshold_free(struct threshold *t);

#endif
