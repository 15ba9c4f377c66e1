/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which allocator call made the kernel act. A call has a window of stamps
 * (begin, end]; the VMA events of the same thread whose ts lies in it were
 * caused inside the call, and no others were (probe/words.h, uapi/vmaheap.h).
 *
 * A VMA event comes before the end of its call, so it waits with its thread
 * until one of the thread's calls shows that it is in a window, or past all.
 */
#ifndef MODEL_JOIN_H
#define MODEL_JOIN_H

#include "model/chunk.h"
#include "model/tally.h"
#include "model/vma.h"

struct call {
	enum call_op op; /* CALL_NONE: none */
	uint64_t addr, size, caller;
};

/* A thread of the target, as far as something of it is not finished. */
struct thread {
	struct book *book;
	uint32_t tgid, tid;
	uint64_t seen; /* ts of its last event */
	struct call open; /* a free or realloc that was entered at `entered` */
	uint64_t entered;
	struct chunk old; /* of that realloc; addr 0: none */
	bool old_waits; /* its death waited (life.h) at old_addr: `old` is its fate */
	uint64_t old_addr;
	uint64_t where; /* the stack that its last allocation named; 0: none */
	size_t where_tally; /* its index in book->s.stacks */
	uint64_t where_caller; /* its first frame */
	struct cause **waiting; /* VMA events, ts rising; owned references */
	unsigned int nr_waiting, cap_waiting;
};

/* A VMA event of the thread. It is counted as outside until a call claims it. */
int join_cause(struct thread *t, struct cause *c);
/*
 * The thread's call had the window (begin, end]; begin == end: it had none.
 * Returns how many VMA events it was the cause of, all labelled and counted, or
 * -ENOMEM. What came before the window was outside of any call.
 */
int join_call(struct thread *t, const struct call *call, uint64_t begin,
	      uint64_t end);
void join_forget(struct thread *t); /* frees the thread */

#endif
