/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A round asks every daemon what it watches, and the one that watches a certain
 * process one question more. Nothing here waits: begin, poll, step.
 */
#ifndef TOP_ROUNDS_H
#define TOP_ROUNDS_H

#include <stdint.h>

#include "top/answer.h"

#define ROUNDS_DAEMONS 64

struct rounds {
	/* what is known after the last one */
	json_t *list, *old_list; /* of processes; NULL: never asked */
	json_t *answer; /* to the question; NULL: none yet */
	uint64_t answer_at; /* when it came; ms */
	unsigned int daemons; /* that answered */
	bool denied; /* one is there, but not for us */
	char *why; /* the question was not answered; malloc'ed; NULL: it was */

	/* the one under way */
	struct answer asking; /* poll its fd for reading */
	bool busy, on_question;
	bool unwanted; /* the answer that is under way */
	unsigned int answered; /* daemons, so far */
	bool refused;
	json_t *coming;
	char *paths[ROUNDS_DAEMONS];
	size_t nr, next;
	uint64_t began, listed; /* ms; when `list` was */
};

/*
 * `question` (NULL: none) ends with NULL and is asked about process pid. What was
 * under way is dropped. `fresh`: rates are to begin anew only after so many ms.
 */
void rounds_begin(struct rounds *r, const char *const *question, uint32_t pid,
		  uint64_t fresh);
/* When the descriptor is readable. */
void rounds_step(struct rounds *r, uint64_t fresh);
/* A round that is waited for, as for scripts. False: interrupted (*stop). */
bool rounds_run(struct rounds *r, const char *const *question, uint32_t pid,
		uint64_t fresh, const volatile int *stop);
/* The answer, there or under way: it is to another question. */
void rounds_forget(struct rounds *r);
void rounds_free(struct rounds *r);

uint64_t rounds_ms(void); /* a clock */

#endif
