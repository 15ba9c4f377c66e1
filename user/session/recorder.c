// SPDX-License-Identifier: GPL-2.0
#include "session/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/index.h"

#define RETRY_NS 1000000000ull

/* The trace has been told of what the model has. */
static void begin_segment(struct recorder *r)
{
	struct order_totals t = order_totals(r->order);
	struct index_head h = { .ts = t.last,
				.applied = t.applied,
				.first = t.first,
				.last = t.last };
	uint8_t uuid[16];
	void *bytes;
	size_t len;
	int err;

	trace_writer_uuid(r->trace, uuid);
	err = index_begin(uuid, &h, r->model, &bytes, &len);
	r->waits = err == -EBUSY;
	if (!err)
		err = trace_cut(r->trace, bytes, len, t.last);
	if (!err || err == -EBUSY)
		return;
	r->error = -err;
	r->failed = t.last;
}

/* All older events have been applied, so nothing waits; the next one has not. */
static uint64_t on_advance(void *ctx, uint64_t ts)
{
	struct recorder *r = ctx;

	(void)ts;
	r->tell(r->ctx);
	if (r->waits)
		begin_segment(r);
	return r->waits ? 0 : UINT64_MAX;
}

void recorder_round(struct recorder *r)
{
	uint64_t now;

	if (!r->trace)
		return;
	now = order_totals(r->order).last;
	if (!trace_cut_due(r->trace, now) ||
	    (r->failed && now < r->failed + RETRY_NS))
		return;
	begin_segment(r);
	if (r->waits)
		order_on_advance(r->order, 0, on_advance, r);
}

/* --- triggers */

uint64_t parse_size(const char *text)
{
	static const char units[] = "BKMG";
	const char *unit;
	unsigned long long n;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : units;
	if (errno || !unit || (*end && end[1]))
		return 0;
	shift = 10 * (unsigned int)(unit - units);
	return n > UINT64_MAX >> shift ? 0 : n << shift;
}

bool trigger_parse(struct triggers *t, const char *text)
{
	struct trigger g = { .what = TRIGGER_RSS };

	if (t->nr == TRIGGERS_MAX)
		return false;
	if (!strncmp(text, "vmas>", 5))
		g.what = TRIGGER_VMAS;
	else if (strncmp(text, "rss>", 4) != 0)
		return false;
	g.above = parse_size(strchr(text, '>') + 1);
	if (!g.above)
		return false;
	t->v[t->nr++] = g;
	return true;
}

const struct trigger *trigger_pull(struct triggers *t, enum trigger_what what,
				   uint64_t value)
{
	for (size_t i = 0; i < t->nr; i++) {
		struct trigger *g = &t->v[i];

		if (g->what != what || g->fired || value <= g->above)
			continue;
		g->fired = true;
		return g;
	}
	return NULL;
}
