/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records that one source has told of and nobody has popped yet: what
 * kernel_peek() and sampled_peek() show.
 *
 *   buf   [ popped ... head  records ...  tail )  room
 */
#ifndef INTAKE_RECORD_QUEUE_H
#define INTAKE_RECORD_QUEUE_H

#include "intake/records.h"

struct record_queue {
	char *buf; /* aligned as records are */
	size_t head, tail, room;
	struct event event; /* it points into buf */
	size_t event_bytes; /* 0: `event` is not decoded */
	/* Hears of each record as it is popped, or passed over; may be NULL. */
	records_fn taken;
	void *ctx;
};

/* Puts a copy of the records behind the others, and returns it; NULL: no memory. */
const void *record_queue_add(struct record_queue *q, const void *records,
			     size_t bytes);
/*
 * The next event, NULL: none; it is valid until pop or add. Records of unknown
 * types are passed over; behind what is no record all is.
 */
const struct event *record_queue_peek(struct record_queue *q);
void record_queue_pop(struct record_queue *q);
void record_queue_free(struct record_queue *q);

#endif
