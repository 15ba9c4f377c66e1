// SPDX-License-Identifier: GPL-2.0
/* A trace as the questions to it see it: replayed up to a moment. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "session/client.h"
#include "session/pager.h"
#include "trace/trace.h"

/* A trace whose front was not kept begins with a model that has forgotten some. */
static void say_forgotten(const struct model *m, const char *dir)
{
	uint64_t nr = model_forgotten(m)->spaces;

	if (nr)
		fprintf(stderr,
			"vmaheap: %s: of %" PRIu64
			" address spaces that had ended before it begins there are no details, only the sums that report shows\n",
			dir, nr);
}

int view_open(struct view *v, const struct args *a, const char *dir)
{
	char *why = NULL, *kept = NULL;

	*v = (struct view){ .r = replay_open(dir, &why) };
	if (!v->r) {
		fail("%s: %s", dir, why ? why : strerror(errno));
		free(why);
		return -1;
	}
	say_forgotten(replay_model(v->r), dir);
	if (asprintf(&kept, "%s/" TRACE_SYMBOLS, dir) < 0)
		kept = NULL;
	v->sy = symbols_new(&(struct symbols_opts){
		.symfs = a->symfs, .kept = kept, .full = true });
	free(kept);
	v->o = (struct output){ .f = stdout,
				.json = a->json,
				.model = replay_model(v->r),
				.symbols = v->sy,
				.stack_bytes = replay_env(v->r)->stack_bytes,
				.alloc = replay_env(v->r)->alloc,
				.begins =
					output_beginning(replay_model(v->r),
							 replay_begins(v->r)) };
	return 0;
}

/* The moment that was asked for, or the end; 0, or the exit status. */
static int view_until(struct view *v, const struct args *a, uint64_t *end)
{
	uint64_t ns;

	v->o.start = replay_first(v->r);
	*end = UINT64_MAX;
	if (!a->at)
		return 0;
	if (!parse_seconds(a->at, &ns))
		return fail("--at=%s: it is no number of seconds", a->at);
	*end = v->o.start + ns;
	if (*end >= v->o.begins.ts)
		return 0;
	return fail(
		"--at=%s: this trace begins at %.6f s, what was before was not kept",
		a->at, (double)(v->o.begins.ts - v->o.start) / 1e9);
}

int view_run(struct view *v, const struct args *a)
{
	uint64_t end;

	if (view_until(v, a, &end))
		return STATUS_FAILED;
	replay_on_packet(v->r, progress_show);
	if (replay_until(v->r, end))
		return fail("there is no memory");
	progress_end();
	v->o.model = replay_model(v->r);
	v->o.now = a->at ? end : replay_last(v->r);
	return 0;
}

int view_watch(struct view *v, const struct args *a, struct history **h)
{
	uint64_t end;

	*h = NULL;
	if (view_until(v, a, &end))
		return STATUS_FAILED;
	*h = history_new(v->o.model, v->o.start);
	if (!*h)
		return fail("there is no memory");
	replay_on_packet(v->r, progress_show);
	replay_watch(v->r, end, history_told, history_advance, *h);
	progress_end();
	v->o.now = a->at ? end : replay_last(v->r);
	return history_end(*h, v->o.now) ? fail("there is no memory") : 0;
}

int view_damage(uint64_t damage)
{
	if (!damage)
		return 0;
	fprintf(stderr,
		"vmaheap: the trace is truncated or damaged: %" PRIu64
		" bytes could not be read, the rest is shown\n",
		damage);
	return 1;
}

int view_close(struct view *v, int err)
{
	uint64_t damage = replay_damage(v->r);
	uint64_t missing = model_totals(replay_model(v->r)).no_memory;
	int status = 0;

	if (!err && fflush(stdout))
		err = -errno;
	if (err)
		status = fail("the output: %s", strerror(-err));
	else if (missing)
		status = fail("there was no memory for %" PRIu64
			      " events: these figures lack them",
			      missing);
	else
		status = view_damage(damage);
	symbols_free(v->sy);
	replay_close(v->r);
	return status;
}

bool view_wanted(const struct view *v, const struct args *a,
		 const struct space *s)
{
	if (a->pid)
		return s == model_process(v->o.model, a->pid);
	return s == model_process(v->o.model, s->owner);
}

int view_not_there(const struct args *a, const char *dir)
{
	return fail(a->pid ? "%s: process %u is not in this trace" :
			     "%s: no process was watched",
		    dir, a->pid);
}

int view_each(const struct args *a, const char *dir,
	      int (*show)(struct view *v, const struct space *s,
			  const struct args *a))
{
	struct view v;
	size_t i, shown = 0;
	int err = 0;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	if (view_run(&v, a)) {
		view_close(&v, 0);
		return STATUS_FAILED;
	}
	for (i = 0; !err && i < model_spaces(v.o.model); i++) {
		const struct space *s = model_space_at(v.o.model, i);

		if (view_wanted(&v, a, s) && (++shown, true))
			err = show(&v, s, a);
	}
	if (shown)
		return view_close(&v, err);
	return view_close(&v, 0), view_not_there(a, dir);
}
