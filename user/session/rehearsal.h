/* SPDX-License-Identifier: GPL-2.0 */
/*
 * "What if": recorded calls are made once more, by a program of their own with the
 * C library of this machine, under other settings of malloc; and what it then
 * asks of the kernel is counted (ptrace, of a child; no privilege is needed).
 */
#ifndef SESSION_REHEARSAL_H
#define SESSION_REHEARSAL_H

#include <stdbool.h>

#include "model/score.h"
#include "output/threshold.h"

struct rehearsal;

/* NULL: *why is a malloc'ed sentence. `s` must live as long. */
struct rehearsal *rehearsal_new(const struct score *s, char **why);
void rehearsal_free(struct rehearsal *r);
/*
 * Plays it all, with `env` ("NAME=VALUE", separated by blanks) in the environment.
 * 0 or -errno, and *why as above.
 */
int rehearsal_run(struct rehearsal *r, const char *env,
		  struct rehearsed *result, char **why);
/* What came of each note in the last run. */
const struct score_heard *rehearsal_heard(const struct rehearsal *r);

#endif
