/* SPDX-License-Identifier: GPL-2.0 */
/* Who called: the stack of the calling thread, walked in the target itself. */
#ifndef PROBE_SHIM_STACK_H
#define PROBE_SHIM_STACK_H

#include "probe/words.h"

#pragma GCC visibility push(hidden)

struct rules; /* of the process: what is known of its code addresses */

/* A function's frame: where it goes on, and its registers then. */
struct frame {
	uint64_t pc, sp, bp;
	const uint64_t *
		bp_slot; /* where its caller's rbp is saved; NULL: it is bp (shim_stack.c) */
};

/*
 * What a thread knows of its stack, and the walk before, the outermost frame
 * first, so that what has not changed stays where it is.
 */
struct walker {
	struct rules *rules;
	uint64_t stamp; /* as of the last look at what is loaded */
	uint64_t era; /* of the rules, as of then */
	uint64_t lo,
		top; /* [lo, top) is this thread's stack, all of it mapped */
	uintptr_t busy; /* frame pointer of the walk under way */
	int64_t left; /* bytes until the next stack, see ring_header.stack_bytes */

	uint64_t id; /* of the walk before */
	uint32_t nr;
	bool truncated;
	bool foreign; /* it left the thread's own stack: do not build on it */
	struct frame frames[STACK_FRAMES_MAX];
	uint64_t hash[STACK_FRAMES_MAX];
	struct frame fresh[STACK_FRAMES_MAX]; /* being walked, innermost first */
};

/* Room of all that a process shares; zeroed memory is right. */
size_t rules_bytes(void);
/* A library may have been unloaded: what is known of its addresses is void. */
void rules_expire(struct rules *r);
/* Once, before the first walk; looks symbols up. */
void walk_init(void);
/* Another thread has it now. */
void walker_reset(struct walker *w, struct rules *r);

/*
 * The stack of the function that returns to `caller`, from a function of the
 * shim whose frame pointer is fp: fp[0] is its caller's rbp, fp[1] its return
 * address. `stamp`: the process's. Fills w->frames and returns the stack's
 * number; 0: there is none.
 */
uint64_t walk(struct walker *w, uint64_t caller, const uint64_t *fp,
	      uint64_t stamp);

/*
 * Has the stack been told already in this process? Where there is no more room
 * for all, one is forgotten, and told again.
 */
bool stack_told(struct rules *r, uint64_t id);
void stack_set_told(struct rules *r, uint64_t id);

#pragma GCC visibility pop

#endif
