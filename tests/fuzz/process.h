/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process of one thread, mm 1, with some VMAs and a chunk, as events: what a
 * target begins with whose input changes a saved model.
 */
#ifndef TESTS_FUZZ_PROCESS_H
#define TESTS_FUZZ_PROCESS_H

#include "model/model.h"

#include "fuzz.h"

static inline void apply(struct model *m, struct event ev)
{
	MUST(model_apply(m, &ev, NULL) == 0);
}

static inline struct event exec_event(uint32_t pid)
{
	return (struct event){
		.kind = EV_MM,
		.ts = 1,
		.mm = 1,
		.mm_start = { .cause = MM_EXEC, .owner = pid },
	};
}

/* brk, after which these are all VMAs */
static inline struct event range_event(uint32_t pid, uint64_t ts,
				       const struct vma_desc *vmas, uint32_t nr)
{
	return (struct event){
		.kind = EV_RANGE,
		.ts = ts,
		.mm = 1,
		.tgid = pid,
		.tid = pid,
		.range = { .hi = 0x40000,
			   .syscall = 12,
			   .map_count = nr,
			   .nr_vmas = nr,
			   .vmas = vmas },
	};
}

static inline struct event malloc_event(uint32_t pid, uint64_t ts,
					uint64_t addr, uint64_t size,
					uint64_t caller)
{
	return (struct event){
		.kind = EV_CALL,
		.ts = ts,
		.tgid = pid,
		.tid = pid,
		.call = { .op = CALL_MALLOC,
			  .phase = CALL_ALLOC,
			  .addr = addr,
			  .size = size,
			  .caller = caller },
	};
}

#endif
