// SPDX-License-Identifier: GPL-2.0
/*
 * Rings whose memory the target may scribble over: the input is a list of what
 * two hostile writers do (words, heads, any byte of the header) and when the
 * daemon reads. Whatever it is, what is passed on decodes, and a ring ends alone.
 */
#include "intake/rings.c"

#include "fuzz.h"

#define WORDS 512
#define RINGS 2

struct fuzz {
	struct rings rs;
	struct ring *ring[RINGS];
	unsigned int open;
};

static void closing(void *ctx, struct ring *r)
{
	struct fuzz *f = ctx;
	int i;

	for (i = 0; i < RINGS; i++)
		if (f->ring[i] == r)
			f->ring[i] = NULL;
	f->open--;
}

/* What the trace gets: whole events, no control words. */
static void words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		  size_t nr)
{
	struct words_state st = { 0 };
	struct event ev;
	int n;

	(void)ctx;
	MUST(tgid == 1 && tid <= 2 * WORD_TID_MAX && nr);
	for (; nr; w += n, nr -= (size_t)n) {
		n = words_decode(&st, w, nr, &ev);
		MUST(n > 0 && (size_t)n <= nr && ev.kind == EV_CALL);
		/* The two decoders of the same words agree. */
		MUST(n == word_event_words(w, nr) && n == words_length(w, nr));
	}
}

static const struct rings_ops ops = { .closing = closing, .words = words };

static struct ring *open_ring(struct fuzz *f)
{
	int fd;
	struct ring *r = ring_new(&f->rs, &fd);

	MUST(r);
	close(fd);
	r->q.st.tgid = r->told.tgid = 1;
	r->next = f->rs.first;
	f->rs.first = r;
	f->rs.totals.open++;
	f->open++;
	return r;
}

static void take(struct ring *r, unsigned int nr)
{
	const struct event *ev;
	bool sure;

	while (nr-- && (ev = ring_peek(r, &sure))) {
		MUST(ev->kind == EV_CALL || ev->kind == EV_CALLS_LOST);
		MUST(ev->tgid == 1 && ev->tid <= 2 * WORD_TID_MAX);
		ring_pop(r);
	}
}

/* Words from the head on, as an honest writer puts them, but any. */
static void write_words(struct ring *r, struct input *in, unsigned int nr)
{
	uint64_t head = r->shared->head;
	unsigned int level = r->shared->level % RING_LEVELS;
	uint64_t *data = (uint64_t *)((char *)r->shared + RING_DATA) +
			 ring_level_at(WORDS, level);

	while (nr-- && in->left)
		data[head++ & ((WORDS << 2 * level) - 1)] = input_u64(in);
	__atomic_store_n(&r->shared->head, head, __ATOMIC_RELEASE);
}

static void grow(struct ring *r)
{
	uint32_t level = r->shared->level;

	if (level >= RING_LEVELS - 1)
		return;
	r->shared->grown[level] = r->shared->head;
	r->shared->level = level + 1;
}

static void scribble(struct ring *r, struct input *in)
{
	size_t at = input_u16(in) % (RING_DATA + 8 * WORDS - 8);
	uint64_t v = input_u64(in);

	memcpy((char *)r->shared + at, &v, sizeof(v));
}

static void act(struct fuzz *f, struct input *in)
{
	uint8_t what = input_u8(in), n = input_u8(in);
	struct ring *r = f->ring[what >> 7];

	if (!r &&
	    what % 8 <
		    5) /* a thread's first call, or that of the next process */
		r = f->ring[what >> 7] = open_ring(f);
	switch (what % 8) {
	case 0:
	case 1:
		write_words(r, in, n);
		break;
	case 2:
		r->shared->head += (uint64_t)(int8_t)n;
		break;
	case 3:
		scribble(r, in);
		break;
	case 4:
		take(r, n);
		break;
	case 5:
		rings_gone(&f->rs, 1);
		break;
	case 6:
		if (r)
			grow(r);
		break;
	default:
		rings_drain(&f->rs);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .rs = { .ring_words = WORDS,
				  .levels = RING_LEVELS,
				  .ops = &ops } };
	struct input in = { data, size };
	struct ring *r;
	int i;

	f.rs.ctx = &f;
	while (in.left)
		act(&f, &in);
	/* Whatever happened: when the process is gone nothing remains. */
	rings_gone(&f.rs, 1);
	for (i = 0; i < 3 && f.rs.first; i++) {
		rings_drain(&f.rs);
		for (r = f.rs.first; r; r = r->next)
			take(r, UINT_MAX);
	}
	rings_drain(&f.rs);
	MUST(!f.rs.first && !f.open && !f.rs.totals.open);
	return 0;
}
