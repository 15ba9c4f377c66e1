// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "command/command.h"
#include "session/client.h"

struct story {
	struct output *o;
	int err;
};

static void tell_event(void *ctx, const struct outcome *out)
{
	struct story *st = ctx;

	if (!st->o->start)
		st->o->start = out->ev->ts;
	if (!st->err)
		st->err = output_event(st->o, out);
}

int run_script(const struct command *c, const struct args *a)
{
	struct story st = { 0 };
	struct view v;

	if (a->nr_rest != 1)
		return usage_of(c, stderr);
	if (view_open(&v, a, a->rest[0]))
		return STATUS_FAILED;
	st.o = &v.o;
	if (v.o.begins.ts) {
		v.o.start = replay_first(v.r);
		st.err = output_begin(&v.o);
	}
	replay_run(v.r, tell_event, &st);
	return view_close(&v, st.err);
}
