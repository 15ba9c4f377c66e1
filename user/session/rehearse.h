/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What vmaheap and the program vmaheap-rehearse agree upon: a file, shared, at
 * descriptor 3:
 *
 *   struct rehearse_head | notes[nr_notes] (model/score.h) | heard[nr_notes]
 *
 * The program makes each call in turn, each in a thread of its own that stands
 * for the recorded one, and writes what came of it.
 */
#ifndef SESSION_REHEARSE_H
#define SESSION_REHEARSE_H

#include <stdint.h>

#include "model/score.h"

#define REHEARSE_FD 3

struct rehearse_head {
	uint64_t nr_notes, nr_slots, nr_threads;
	uint64_t brk; /* written by the program: where its heap will begin */
	/* Written by the program: the thread that is inside of a call now; 0: none. */
	volatile int32_t inside;
	int32_t done; /* it has come to the end */
};

static inline struct score_note *rehearse_notes(struct rehearse_head *h)
{
	return (struct score_note *)(h + 1);
}

static inline struct score_heard *rehearse_heard(struct rehearse_head *h)
{
	return (struct score_heard *)(rehearse_notes(h) + h->nr_notes);
}

#endif
