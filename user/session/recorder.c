// SPDX-License-Identifier: GPL-2.0
#include "session/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/index.h"

#define RETRY_NS 1000000000ull

/* The model has all that is older than ts. 0, -EBUSY: at another moment; or -errno. */
static int keep_state(struct recorder *r, uint64_t ts)
{
	struct order_totals t = order_totals(r->order);
	struct index_head h = { .ts = ts,
				.applied = t.applied,
				.first = t.first,
				.last = t.last,
				.noted = r->noted };
	uint8_t uuid[16];
	void *bytes;
	size_t len;
	int err;

	trace_writer_uuid(r->trace, uuid);
	err = index_begin(uuid, &h, r->model, &bytes, &len);
	if (!err)
		err = trace_state(r->trace, bytes, len, ts);
	r->waits = err;
	if (!err || err == -EBUSY)
		return err;
	r->error = -err;
	r->retry = ts + RETRY_NS;
	return err;
}

/* Before the first event of ts is applied. */
static uint64_t on_advance(void *ctx, uint64_t ts)
{
	struct recorder *r = ctx;

	if (r->waits && ts > r->newest && ts >= r->retry)
		keep_state(r, ts);
	return r->waits ? 0 : UINT64_MAX;
}

static void begin_segment(struct recorder *r)
{
	if (trace_cut(r->trace, &r->newest))
		return;
	r->waits = true;
	order_on_advance(r->order, 0, on_advance, r);
}

/*
 * Where nothing comes any more ts does not advance, but notes go on: then what there
 * is has been applied, as the order itself takes for granted (order_run()).
 */
void recorder_round(struct recorder *r, uint64_t horizon, bool quiet)
{
	if (!r->trace)
		return;
	if (!r->waits && trace_cut_due(r->trace))
		begin_segment(r);
	else if (r->waits && quiet && order_is_drained(r->order) &&
		 horizon > r->newest && horizon >= r->retry)
		keep_state(r, horizon + 1);
	r->noted = horizon;
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
