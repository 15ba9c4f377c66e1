/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Words of one thread (probe/words.h) to events. The words come from a target's
 * memory or from a file: hostile until decoded.
 */
#ifndef INTAKE_WORDS_H
#define INTAKE_WORDS_H

#include <stddef.h>

#include "model/event.h"

/* The thread's sticky values; zero it, set tgid and tid, and begin. */
struct words_state {
	uint32_t tgid, tid;
	uint64_t ts; /* the stamp */
	uint64_t alloc_caller, free_caller;
};

/*
 * Length in words of the event, or control word, that w[0..nr) begins with; 0
 * and -EINVAL as below. It depends on the words alone: a stream that it accepts
 * piece by piece decodes.
 */
int words_length(const uint64_t *w, size_t nr);

/*
 * Words of the longest run of whole events that w[0..nr) begins with. *stop says
 * why it ends: 0: an event is not complete yet, or nothing is left; > 0: a control
 * word of so many words follows; -EINVAL: no event begins like this, or its stamp is later than
 * `latest`.
 */
size_t words_run(const uint64_t *w, size_t nr, uint64_t latest, int *stop);

/*
 * Decodes the calls that w[0..nr) begins with, as words_decode() would, as far as
 * each is told without a ts or a window of its own (struct call_run), up to max.
 * Returns how many, and in *words what they took.
 */
size_t words_take(struct words_state *st, const uint64_t *w, size_t nr,
		  struct call_brief *calls, size_t max, size_t *words);

/*
 * The event that words_decode() gave in that form. False: it has a window, an
 * alignment, or no such form.
 */
bool words_brief(const struct event *ev, struct call_brief *call);

/*
 * Decodes one event, or one control word, from w[0..nr). Returns how many words
 * it took; 0: the event is not complete yet; -EINVAL: no event begins like this
 * (the stream is broken from here on). A control word gives no event: *ev has
 * kind 0, or EV_CALLS_LOST for CTRL_LOST, or EV_STACK for CTRL_STACK (its frames
 * lie in w); CTRL_TID changes st->tid. Of ev's union only the member of its kind
 * is written.
 */
int words_decode(struct words_state *st, const uint64_t *w, size_t nr,
		 struct event *ev);

#endif
