// SPDX-License-Identifier: GPL-2.0
/*
 * A saved model (the time index of a trace) with bytes changed: the input is a
 * list of offset and byte, the rest of it is put at the end. Layouts change with
 * the program, so what is changed is made here.
 */
#include <errno.h>

#include "model/save.h"

#include "fuzz.h"
#include "process.h"

static uint8_t *base;
static size_t base_len;

static void make_base(void)
{
	static const struct vma_desc vmas[] = {
		{ .start = 0x10000, .end = 0x20000, .flags = VMA_READ },
		{ .start = 0x20000, .end = 0x30000, .flags = VMA_WRITE },
	};
	static const uint64_t frames[] = { 0x400000, 0x400100 };
	static const struct vma_resident pages = { .start = 0x10000,
						   .end = 0x20000 };
	struct model *m = model_new();
	struct event range = range_event(5, 2, vmas, 2);
	struct event call = malloc_event(5, 5, 0x20010, 100, CALLER_STACK | 7);

	call.call.begin = 3;
	apply(m, exec_event(5));
	apply(m, (struct event){ .kind = EV_STACK,
				 .stack = { .id = CALLER_STACK | 7,
					    .frames = frames,
					    .nr = 2 } });
	apply(m, (struct event){ .kind = EV_FILE,
				 .file = { .ino = 1, .path = "/a" } });
	apply(m, range);
	range.ts = 4;
	apply(m, range);
	apply(m, call);
	range.ts = 6;
	apply(m, range); /* waits for its call */
	apply(m, (struct event){ .kind = EV_FAILED,
				 .ts = 6,
				 .mm = 1,
				 .failed = { .error = 12 } });
	for (uint64_t page = 0; page < 3; page++)
		apply(m,
		      (struct event){ .kind = EV_FAULT,
				      .ts = 6,
				      .mm = 1,
				      .fault = { .addr = 0x20010 + page * 4096,
						 .syscall = -1 } });
	apply(m, (struct event){ .kind = EV_RESIDENT,
				 .ts = 6,
				 .mm = 1,
				 .resident = { &pages, 1 } });
	call.call.phase = CALL_FREED;
	call.call.op = CALL_FREE;
	call.call.begin = 0;
	call.ts = 7;
	call.call.addr = 0;
	apply(m, call);
	MUST(model_save(m, &base, &base_len) == 0);
	model_free(m);
}

/* Whatever it says, everything in it can be asked for. */
static void use(struct model *m)
{
	struct event call =
		malloc_event(5, 1000, 0x28000, 16, CALLER_STACK | 7);
	uint8_t *again;
	size_t len;

	for (size_t i = 0; i < model_spaces(m); i++) {
		const struct space *s = model_space_at(m, i);

		chunk_range(s->chunks, 0, 1ull << 47);
		for (size_t j = 0; j < vma_map_count(s->vmas); j++)
			model_vma_name(m, s, vma_map_at(s->vmas, j));
	}
	model_apply(m, &call, NULL);
	model_check(m);
	MUST(model_save(m, &again, &len) == 0);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int changes = input_u8(&in);
	size_t cut = input_u16(&in), rest, len;
	struct model *m;
	uint8_t *buf;
	int err;

	if (!base)
		make_base();
	len = cut && cut < base_len ? cut : base_len;
	buf = malloc(len + size);
	memcpy(buf, base, len);
	while (changes--) {
		size_t at = input_u16(&in) % len;

		buf[at] = input_u8(&in);
	}
	rest = in.left;
	input_bytes(&in, buf + len, rest);
	m = model_load(buf, len + rest, &err);
	MUST(m || err == -EINVAL || err == -ENOMEM);
	if (m)
		use(m);
	model_free(m);
	free(buf);
	return 0;
}
