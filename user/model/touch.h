/* SPDX-License-Identifier: GPL-2.0 */
/*
 * First touches: when a page of an address space was first touched since it was
 * mapped or given back, by what, and which live chunk it was for. As far as page
 * faults tell: a page that came without one (MAP_POPULATE, a huge page beyond its
 * first touch, a fork, before the watch) has none.
 */
#ifndef MODEL_TOUCH_H
#define MODEL_TOUCH_H

#include "model/tally.h"

/* A fault is counted, and if it is a first touch of its page it is kept. 0 or -ENOMEM. */
int touch_fault(struct book *b, const struct event *ev, struct outcome *out);
/* VMAs have changed: what is no more has not been touched, what has moved takes it along. */
int touch_range(struct book *b, const struct event *ev,
		const struct outcome *out);
/* madvise() gives pages back. */
void touch_advice(struct book *b, const struct event *ev);
void touch_free(struct book *b);
const char *touch_check(const struct book *b);

#endif
