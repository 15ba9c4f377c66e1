// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a hostile process: a sound heap in which the input overwrites
 * words, and which may change while it is read. Whatever is made of it is sound,
 * and is made within a bounded number of reads.
 */
#include "model/ptmalloc_trim.h"

#include "../unit/ptimage.h"

#include "fuzz.h"

#define READS_MAX 3000000

struct hostile {
	struct image im;
	struct input in;
};

/* PIECE OFFSET VALUE: a word; VALUE may be an address in some piece. */
static void patch(struct hostile *h)
{
	uint8_t piece = input_u8(&h->in);
	uint64_t at = image_at[piece % PIECES] + input_u16(&h->in) * 8ull;
	uint64_t word;

	if (piece & 0x80)
		word = image_at[(piece >> 4 & 7) % PIECES] + input_u16(&h->in);
	else if (piece & 0x40)
		word = input_u16(&h->in);
	else
		word = input_u64(&h->in);
	image_set(&h->im, at, word);
}

static int read_hostile(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct hostile *h = ctx;

	/* Now and then it changes under our hands. */
	if (h->in.left && h->im.reads % 61 == 60)
		patch(h);
	MUST(h->im.reads < READS_MAX);
	return image_read(&h->im, addr, buf, len);
}

/* What goes back lies in heaps, whatever they look like. */
static void try_trim(const struct pt_book *b)
{
	struct pt_trim *t = pt_trim_new(b);
	const struct pt_range *r;
	size_t i, nr;

	MUST(t);
	for (i = 0; i < b->mmapped; i += 1 + i / 3)
		if (b->chunks[i].state == PT_USED)
			MUST(!pt_trim_freed(t, i));
	MUST(!pt_trim_now(t, PT_NOWHERE));
	r = pt_trim_ranges(t, &nr);
	for (i = 0; i < nr; i++)
		MUST(r[i].start < r[i].end &&
		     (!i || r[i - 1].end < r[i].start));
	pt_trim_drop(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hostile h;
	struct pt_target t;
	struct pt_book b;
	const char *why, *bad;
	uint8_t options;
	unsigned int n;

	h.in = (struct input){ data, size };
	options = input_u8(&h.in);
	image_make(&h.im, options & 1);
	t = image_target(&h.im);
	t.mem = (struct pt_memory){ .read = read_hostile, .ctx = &h };
	if (options & 2) {
		t.main_arena = IMAGE_MAIN;
		t.mp = IMAGE_MP;
	}
	for (n = options >> 2 & 31; n; n--)
		patch(&h);
	if (!pt_read(&t, &b, &why)) {
		bad = pt_check(&b);
		if (bad)
			fprintf(stderr, "%s\n", bad);
		MUST(!bad);
		try_trim(&b);
	}
	pt_free(&b);
	return 0;
}
