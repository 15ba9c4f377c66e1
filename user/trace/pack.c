// SPDX-License-Identifier: GPL-2.0
#include <stdbool.h>
#include <string.h>

#include "probe/words.h"
#include "trace/format.h"

/* An event taken apart. */
struct parts {
	bool has_ts, has_begin, has_caller;
	uint64_t ts, begin, caller;
	const uint64_t *body;
	unsigned int id, nr; /* the body's */
};

static unsigned int body_words(unsigned int id)
{
	return id == WORD_ALLOC ? 2 : 1;
}

static bool says_begin(unsigned int id)
{
	return id == WORD_HDR_WINDOW || id == WORD_HDR_WINDOW_CALLER;
}

static bool says_caller(unsigned int id)
{
	return id == WORD_HDR_CALLER || id == WORD_HDR_TS_CALLER ||
	       id == WORD_HDR_WINDOW_CALLER;
}

static struct parts from_ring(const uint64_t *w)
{
	unsigned int id = word_id(w[0]);
	struct parts p = {
		.has_ts = id >= WORD_HDR_TS,
		.has_begin = says_begin(id),
		.has_caller = says_caller(id),
	};

	if (p.has_begin)
		p.begin = word_get_value(*w++);
	if (p.has_ts)
		p.ts = word_get_value(*w++);
	if (p.has_caller)
		p.caller = word_get_value(*w++);
	p.body = w;
	p.id = word_id(w[0]);
	p.nr = body_words(p.id);
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

void pack_event(const uint64_t *from, unsigned int nr, uint64_t *to)
{
	struct parts p = from_ring(from);
	uint64_t *end = to + nr;

	if (p.has_ts)
		*to++ = word_value(PACKED_STAMP, p.ts);
	memcpy(to, p.body, p.nr * sizeof(*to));
	if (p.has_begin || p.has_caller)
		to[0] |= PACKED_MORE;
	to += p.nr;
	if (p.has_begin) {
		*to++ = word_value(p.has_caller ? WORD_HDR_WINDOW_CALLER :
						  WORD_HDR_WINDOW,
				   p.begin);
	}
	if (to < end)
		*to = word_value(p.has_begin ? 0 : WORD_HDR_CALLER, p.caller);
}

static struct parts from_file(const uint64_t *w)
{
	struct parts p = { .has_ts = word_id(w[0]) == PACKED_STAMP };
	bool more;

	if (p.has_ts)
		p.ts = word_get_value(*w++);
	p.body = w;
	p.id = word_id(w[0]) & ~PACKED_MORE;
	p.nr = body_words(p.id);
	more = word_id(w[0]) & PACKED_MORE;
	w += p.nr;
	if (!more)
		return p;
	p.has_begin = says_begin(word_id(w[0]));
	p.has_caller = says_caller(word_id(w[0]));
	if (p.has_begin)
		p.begin = word_get_value(*w++);
	if (p.has_caller)
		p.caller = word_get_value(*w);
	return p;
}

void unpack_event(const uint64_t *from, unsigned int nr, uint64_t *to)
{
	struct parts p = from_file(from);
	unsigned int id = nr > p.nr ? header_id(&p) : 0;

	if (p.has_begin) {
		*to++ = word_value(id, p.begin);
		id = 0;
	}
	if (p.has_ts) {
		*to++ = word_value(id, p.ts);
		id = 0;
	}
	if (p.has_caller)
		*to++ = word_value(id, p.caller);
	memcpy(to, p.body, p.nr * sizeof(*to));
	to[0] &= ~(uint64_t)PACKED_MORE;
}

/* Words behind the body: 0, if that is none of them. */
static unsigned int more_words(const uint64_t *w, size_t nr, bool stamped)
{
	switch (word_id(w[0])) {
	case WORD_HDR_CALLER:
		return 1;
	case WORD_HDR_WINDOW:
		return stamped ? 1 : 0;
	case WORD_HDR_WINDOW_CALLER:
		return stamped && (nr < 2 || !word_id(w[1])) ? 2 : 0;
	default:
		return 0;
	}
}

int packed_words(const uint64_t *w, size_t nr)
{
	size_t stamp = nr && word_id(w[0]) == PACKED_STAMP;
	size_t len = stamp + 1;
	unsigned int id, more;

	if (len > nr)
		return 0;
	id = word_id(w[stamp]);
	if ((id & ~PACKED_MORE) < WORD_MALLOC)
		return -1;
	len = stamp + body_words(id & ~PACKED_MORE);
	if (id & PACKED_MORE) {
		if (len >= nr)
			return 0;
		more = more_words(w + len, nr - len, stamp);
		if (!more)
			return -1;
		len += more;
	}
	return len > nr ? 0 : (int)len;
}
