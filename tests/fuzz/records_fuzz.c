// SPDX-License-Identifier: GPL-2.0
/*
 * The module's side: netlink messages, the records in them, and the queue of
 * events. The first byte says what the rest is: a datagram of the event socket,
 * one of the control socket, or records, in messages of the lengths that the
 * input says.
 */
#include "intake/kernel.c"

#include "fuzz.h"

#define FAMILY 30

/* One record, with nothing behind it that could be read by mistake. */
static void decode_alone(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1), *end;
	struct event ev;
	long n;

	memcpy(copy, data, size);
	end = realloc(copy, size ? size : 1);
	n = record_decode(end, size, &ev);
	MUST(n == -EINVAL ||
	     (n >= (long)sizeof(struct vmaheap_record) && (size_t)n <= size));
	if (n > 0)
		read_event(&ev);
	free(end);
}

static void take_events(struct kernel *k)
{
	const struct record_queue *q = &k->queue;
	const struct event *ev;
	bool sure;

	while ((ev = kernel_peek(k, &sure))) {
		MUST(sure && ev->kind && q->head + q->event_bytes <= q->tail);
		read_event(ev);
		kernel_pop(k);
	}
	MUST(q->head == q->tail);
}

static void datagram(struct kernel *k, const void *buf, int len, bool answer)
{
	const struct nlmsghdr *nlh = buf;
	struct answer a = { 0 };

	for (; message_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (answer) {
			answer_message(k, nlh, &a);
			MUST(memchr(k->why, 0, sizeof(k->why)));
		} else {
			MUST(take_message(k, nlh) >= 0);
		}
	}
}

static void message(struct kernel *k, struct input *in)
{
	static char buf[2 * MESSAGE_BYTES] __attribute__((aligned(8)));
	static char records[MESSAGE_BYTES / 2] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	size_t n = input_u16(in) % sizeof(records);

	n = input_bytes(in, records, n < in->left ? n : in->left);
	decode_alone((uint8_t *)records, n);
	nlh->nlmsg_type = k->family;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct genlmsghdr));
	mnl_attr_put(nlh, VMAHEAP_A_RECORDS, n, records);
	datagram(k, buf, (int)nlh->nlmsg_len, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel k = { .family = FAMILY, .request = 1 };
	struct input in = { data, size };
	uint8_t what = input_u8(&in);
	void *copy;

	if (what % 4 < 2) {
		copy = malloc(in.left + 1);
		memcpy(copy, in.p, in.left);
		copy = realloc(copy, in.left ? in.left : 1);
		datagram(&k, copy, (int)in.left, what % 4);
		free(copy);
		take_events(&k);
	}
	while (what % 4 >= 2 && in.left) {
		message(&k, &in);
		if (input_u8(&in) % 2)
			take_events(&k);
	}
	take_events(&k);
	record_queue_free(&k.queue);
	return 0;
}
