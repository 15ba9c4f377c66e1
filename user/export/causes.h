/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which VMA events lay in which allocator call, while a trace is told: a VMA event
 * comes before the end of the call that caused it (model/join.h), so it waits here
 * under a number until the call's window is known.
 */
#ifndef EXPORT_CAUSES_H
#define EXPORT_CAUSES_H

#include "model/hash.h"
#include "model/model.h"

struct causes {
	struct hash threads; /* mm, tid */
};

/* A call that has ended. */
struct ended_call {
	enum call_op op; /* CALL_NONE: none has */
	uint64_t addr, size, caller;
	uint64_t begin, end; /* stamps; equal: it did not go to the kernel */
	const uint64_t
		*ids; /* the VMA events inside; valid until the next call */
	size_t nr_ids;
};

/* The thread of `out` (an EV_RANGE) did what is known as `id`. 0 or -ENOMEM. */
int causes_event(struct causes *c, const struct outcome *out, uint64_t id);
/* To be told of every EV_CALL; fills *call. 0 or -ENOMEM. */
int causes_call(struct causes *c, const struct outcome *out,
		struct ended_call *call);
void causes_free(struct causes *c);

#endif
