// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a hostile process: sound books in which the input overwrites bytes,
 * and which may change while they are read. Whatever is made of them is within
 * the address space, and is made within a bounded number of reads.
 */
#include "../unit/ngimage.h"

#include "fuzz.h"

#define READS_MAX 100000

struct hostile {
	struct ng_image im;
	struct input in;
};

/* PIECE OFFSET VALUE: 1 to 8 bytes; VALUE may be an address in some piece. */
static void patch(struct hostile *h)
{
	uint8_t piece = input_u8(&h->in);
	uint64_t at = ng_at[piece % NG_PIECES] + input_u16(&h->in) % NG_PIECE;
	uint64_t value;

	if (piece & 0x80)
		value = ng_at[piece >> 4 & 7] + input_u16(&h->in);
	else if (piece & 0x40)
		value = input_u16(&h->in);
	else
		value = input_u64(&h->in);
	ng_put(&h->im, at, value, 1u << (piece >> 3 & 3));
}

static int read_hostile(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct hostile *h = ctx;

	/* Now and then it changes under our hands. */
	if (h->in.left && h->im.reads % 7 == 6)
		patch(h);
	MUST(h->im.reads < READS_MAX);
	return ng_image_read(&h->im, addr, buf, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hostile h;
	struct pt_target t;
	struct ng_book b;
	const char *why;
	unsigned int n;
	uint8_t options;
	size_t i;

	h.in = (struct input){ data, size };
	options = input_u8(&h.in);
	ng_make(&h.im);
	t = ng_target(&h.im);
	t.mem = (struct pt_memory){ .read = read_hostile, .ctx = &h };
	if (options & 1)
		t.max_chunks = 8;
	for (n = options >> 2 & 31; n; n--)
		patch(&h);
	if (!ng_read(&t, &b, &why)) {
		MUST(!t.max_chunks || b.nr_chunks <= t.max_chunks);
		for (i = 0; i < b.nr_chunks; i++)
			MUST(b.chunks[i].addr + b.chunks[i].size < 1ull << 47);
	} else {
		MUST(!b.chunks && why);
	}
	ng_free(&b);
	return 0;
}
