// SPDX-License-Identifier: GPL-2.0
#include <stdbool.h>
#include <string.h>

#include "probe/words.h"
#include "trace/format.h"

/* What follows a body; less than MORE_CALLER: a register. */
enum more {
	MORE_CALLER = PACKED_CALLERS,
	MORE_BEGIN,
	MORE_BEGIN_CALLER,
};

/* An event taken apart. */
struct parts {
	bool has_ts, has_begin, has_caller;
	uint64_t ts, begin, caller;
	uint64_t body[2];
	unsigned int nr; /* words of body */
};

static unsigned int body_words(uint64_t body)
{
	return (word_id(body) & ~PACKED_MORE) == WORD_ALLOC ? 2 : 1;
}

static struct parts from_ring(const uint64_t *w)
{
	unsigned int id = word_id(w[0]);
	struct parts p = {
		.has_ts = id >= WORD_HDR_TS,
		.has_begin = id == WORD_HDR_WINDOW ||
			     id == WORD_HDR_WINDOW_CALLER,
		.has_caller = id == WORD_HDR_CALLER ||
			      id == WORD_HDR_TS_CALLER ||
			      id == WORD_HDR_WINDOW_CALLER,
	};

	if (p.has_begin)
		p.begin = word_get_value(*w++);
	if (p.has_ts)
		p.ts = word_get_value(*w++);
	if (p.has_caller)
		p.caller = word_get_value(*w++);
	p.nr = body_words(w[0]);
	memcpy(p.body, w, p.nr * sizeof(*w));
	return p;
}

static unsigned int header_id(const struct parts *p)
{
	if (p->has_begin)
		return p->has_caller ? WORD_HDR_WINDOW_CALLER : WORD_HDR_WINDOW;
	if (p->has_ts)
		return p->has_caller ? WORD_HDR_TS_CALLER : WORD_HDR_TS;
	return WORD_HDR_CALLER;
}

static unsigned int to_ring(const struct parts *p, uint64_t *to)
{
	unsigned int n = 0;

	if (p->has_begin)
		to[n++] = word_value(0, p->begin);
	if (p->has_ts)
		to[n++] = word_value(0, p->ts);
	if (p->has_caller)
		to[n++] = word_value(0, p->caller);
	if (n)
		to[0] |= header_id(p);
	memcpy(to + n, p->body, p->nr * sizeof(*to));
	return n + p->nr;
}

/* --- callers */

static void add_caller(struct callers *c, uint64_t caller)
{
	c->of[c->nr++ % PACKED_CALLERS] = caller;
}

char *pack_caller(struct callers *c, uint64_t caller, char *to)
{
	uint64_t hash = caller * 0x9e3779b97f4a7c15ull;
	uint8_t *at = &c->at[hash >> (64 - CALLER_HASH_BITS)], more = *at;

	if (more < c->nr && c->of[more] == caller) {
		*to = (char)more;
		return to + 1;
	}
	*at = (uint8_t)(c->nr % PACKED_CALLERS);
	add_caller(c, caller);
	*to = (char)MORE_CALLER;
	return pack_word(caller, to + 1);
}

/* --- from the ring to the file */

static char *pack_begin(struct callers *c, const struct parts *p, char *to)
{
	*to++ = (char)(p->has_caller ? MORE_BEGIN_CALLER : MORE_BEGIN);
	to = pack_word(p->begin, to);
	if (!p->has_caller)
		return to;
	add_caller(c, p->caller);
	return pack_word(p->caller, to);
}

char *pack_event(struct callers *c, const uint64_t *from, uint64_t ts, char *to)
{
	struct parts p = from_ring(from);

	if (p.has_ts)
		to = pack_word(word_value(PACKED_STAMP, ts), to);
	if (p.has_begin || p.has_caller)
		p.body[0] |= PACKED_MORE;
	to = pack_word(p.body[0], to);
	if (p.nr > 1)
		to = pack_word(p.body[1], to);
	if (p.has_begin)
		return pack_begin(c, &p, to);
	return p.has_caller ? pack_caller(c, p.caller, to) : to;
}

/* --- from the file to the ring */

struct rest {
	const char *at, *end;
};

static bool take(struct rest *r, void *to, size_t bytes)
{
	if ((size_t)(r->end - r->at) < bytes)
		return false;
	memcpy(to, r->at, bytes);
	r->at += bytes;
	return true;
}

static bool take_value(struct rest *r, uint64_t *value)
{
	return take(r, value, sizeof(*value)) && *value <= WORD_VALUE_MAX;
}

static bool take_more(struct callers *c, struct rest *r, struct parts *p)
{
	uint8_t more;

	if (!take(r, &more, 1) || more > MORE_BEGIN_CALLER)
		return false;
	p->has_begin = more > MORE_CALLER;
	p->has_caller = more != MORE_BEGIN;
	if (p->has_begin && !(p->has_ts && take_value(r, &p->begin)))
		return false;
	if (more < MORE_CALLER) {
		p->caller = c->of[more];
		return more < c->nr;
	}
	if (!p->has_caller)
		return true;
	if (!take_value(r, &p->caller))
		return false;
	add_caller(c, p->caller);
	return true;
}

/* 0: it is none. */
static unsigned int unpack_event(struct callers *c, struct rest *r,
				 uint64_t *to)
{
	struct parts p = { .has_ts = false };
	unsigned int id;

	if (!take(r, &p.body[0], sizeof(p.body[0])))
		return 0;
	p.has_ts = word_id(p.body[0]) == PACKED_STAMP;
	p.ts = word_get_value(p.body[0]);
	if (p.has_ts && !take(r, &p.body[0], sizeof(p.body[0])))
		return 0;
	p.nr = body_words(p.body[0]);
	if (p.nr > 1 && !take(r, &p.body[1], sizeof(p.body[1])))
		return 0;
	id = word_id(p.body[0]);
	p.body[0] &= ~(uint64_t)PACKED_MORE;
	if (!word_id(p.body[0]) || (id & PACKED_MORE && !take_more(c, r, &p)))
		return 0;
	return to_ring(&p, to);
}

/* The common event: a body of one word, alone or before a register. Words, or 0. */
static unsigned int unpack_plain(const struct callers *c, struct rest *r,
				 uint64_t *to)
{
	unsigned int id;
	uint64_t body;
	uint8_t more;

	if (r->end - r->at <= (ptrdiff_t)sizeof(body))
		return 0;
	memcpy(&body, r->at, sizeof(body));
	id = word_id(body);
	if (id >= WORD_MALLOC && id <= WORD_REALLOCED) {
		to[0] = body;
		r->at += sizeof(body);
		return 1;
	}
	id ^= PACKED_MORE;
	more = (uint8_t)r->at[sizeof(body)];
	if (id < WORD_MALLOC || id > WORD_REALLOCED || more >= MORE_CALLER ||
	    more >= c->nr)
		return 0;
	to[0] = word_value(WORD_HDR_CALLER, c->of[more]);
	to[1] = body ^ PACKED_MORE;
	r->at += sizeof(body) + 1;
	return 2;
}

bool unpack_events(const void *from, size_t bytes, uint64_t *to, size_t *words)
{
	struct rest r = { from, (const char *)from + bytes };
	struct callers c = { .nr = 0 };

	*words = 0;
	while (r.at < r.end) {
		unsigned int n = unpack_plain(&c, &r, to + *words);

		if (!n)
			n = unpack_event(&c, &r, to + *words);
		if (!n)
			return false;
		*words += n;
	}
	return true;
}
