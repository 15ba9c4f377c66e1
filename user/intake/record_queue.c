// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "intake/record_queue.h"

#define FIRST_BYTES 4096

/* Makes room for `bytes` more; what was popped gives its place back. */
static bool make_room(struct record_queue *q, size_t bytes)
{
	size_t room = q->room ? q->room : FIRST_BYTES;
	char *buf;

	if (q->head && (q->head == q->tail ||
			(q->head > q->room / 2 && !q->event_bytes))) {
		memmove(q->buf, q->buf + q->head, q->tail - q->head);
		q->tail -= q->head;
		q->head = 0;
	}
	while (room - q->tail < bytes)
		room *= 2;
	if (room == q->room)
		return true;
	buf = realloc(q->buf, room);
	if (!buf)
		return false;
	q->buf = buf;
	q->room = room;
	q->event_bytes = 0; /* the decoded event points into the old place */
	return true;
}

const void *record_queue_add(struct record_queue *q, const void *records,
			     size_t bytes)
{
	char *to;

	if (!make_room(q, bytes))
		return NULL;
	to = q->buf + q->tail;
	memcpy(to, records, bytes);
	q->tail += bytes;
	return to;
}

static void take(struct record_queue *q, size_t bytes)
{
	if (q->taken)
		q->taken(q->ctx, q->buf + q->head, bytes);
	q->head += bytes;
}

const struct event *record_queue_peek(struct record_queue *q)
{
	long size;

	while (!q->event_bytes && q->head < q->tail) {
		size = record_decode(q->buf + q->head, q->tail - q->head,
				     &q->event);
		if (size < 0) {
			q->head = q->tail;
			return NULL;
		}
		if (q->event.kind)
			q->event_bytes = (size_t)size;
		else
			take(q, (size_t)size);
	}
	return q->event_bytes ? &q->event : NULL;
}

void record_queue_pop(struct record_queue *q)
{
	take(q, q->event_bytes);
	q->event_bytes = 0;
}

void record_queue_free(struct record_queue *q)
{
	free(q->buf);
}
