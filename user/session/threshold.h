/* SPDX-License-Identifier: GPL-2.0 */
/* `why threshold`: from a trace to the answer. */
#ifndef SESSION_THRESHOLD_H
#define SESSION_THRESHOLD_H

#include "model/ptmalloc.h"
#include "output/output.h"
#include "session/replay.h"

struct scores; /* the recorded calls of each address space */

/* Applies the whole trace (replay_run()). NULL: no memory. */
struct scores *scores_take(struct replay *r);
void scores_free(struct scores *s);

/*
 * Answers of one address space. `setting` (may be NULL) is one more to try, as
 * GLIBC_TUNABLES has it; `now` as in output/threshold.h. 0 or -errno.
 */
int threshold_answer(const struct scores *all, const struct output *o,
		     const struct space *s, const char *setting,
		     const struct pt_par *now);

#endif
