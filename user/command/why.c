// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "output/enomem.h"
#include "output/held.h"
#include "session/ask.h"
#include "session/client.h"
#include "session/look.h"
#include "session/threshold.h"

static int show_why(struct view *v, const struct space *s, const struct args *a)
{
	uint64_t addr = 0;

	address_parse(a->rest[0], a->bytes, &addr);
	return output_why(&v->o, s, addr, NULL);
}

static int show_enomem(struct view *v, const struct space *s,
		       const struct args *a)
{
	(void)a;
	return output_enomem(&v->o, s, NULL);
}

/* What malloc's own book-keeping says of the process now, as far as it may be read. */
static const struct pt_par *par_now(struct look *l, uint32_t pid)
{
	const char *why;

	if (look_open(l, pid, LOOK_RUNNING, LOOK_SYMBOLS, &why))
		return NULL;
	return l->book.par.addr ? &l->book.par : NULL;
}

static int threshold_space(struct view *v, const struct args *a,
			   const struct scores *all, const struct space *s,
			   bool live)
{
	struct look l = { 0 };
	int err = threshold_answer(all, &v->o, s, a->setting,
				   live ? par_now(&l, s->owner) : NULL);

	look_close(&l);
	return err;
}

/* `live`: the trace is still being written. */
static int why_threshold(const struct args *a, const char *dir, bool live)
{
	struct scores *all;
	struct view v;
	size_t i, shown = 0;
	int err = 0;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	v.o.start = replay_first(v.r);
	all = scores_take(v.r);
	v.o.now = replay_last(v.r);
	for (i = 0; all && !err && i < model_spaces(v.o.model); i++) {
		const struct space *s = model_space_at(v.o.model, i);

		if (view_wanted(&v, a, s) && (++shown, true))
			err = threshold_space(&v, a, all, s, live);
	}
	scores_free(all);
	if (shown || !all)
		return view_close(&v, all ? err : -ENOMEM);
	return view_close(&v, 0), view_not_there(a, dir);
}

/* What is no setting of malloc glibc would pass over in silence. */
static bool is_setting(const char *text)
{
	static const char prefix[] = "glibc.malloc.";
	static const char *const names[] = { "arena_max",
					     "arena_test",
					     "check",
					     "hugetlb",
					     "mmap_max",
					     "mmap_threshold",
					     "mxfast",
					     "perturb",
					     "tcache_count",
					     "tcache_max",
					     "tcache_unsorted_limit",
					     "top_pad",
					     "trim_threshold" };
	size_t i = 0, len;
	char *end;

	if (strncmp(text, prefix, sizeof(prefix) - 1))
		return false;
	text += sizeof(prefix) - 1;
	len = strcspn(text, "=");
	while (i < sizeof(names) / sizeof(names[0]) &&
	       (strlen(names[i]) != len || strncmp(names[i], text, len)))
		i++;
	if (i == sizeof(names) / sizeof(names[0]) || text[len] != '=' ||
	    !isdigit((unsigned char)text[len + 1]))
		return false;
	strtoull(text + len + 1, &end, 0);
	return !*end || (*end == ':' && is_setting(end + 1));
}

/* The trace that whoever watches it writes knows all; else the process a little. */
static int run_threshold(const struct command *c, const struct args *a)
{
	char dir[PATH_MAX];
	int rc;

	if (a->setting && !is_setting(a->setting))
		return fail(
			"--try=%s: it is glibc.malloc.NAME=NUMBER, or several with : between them",
			a->setting);
	if (a->nr_rest == 2)
		return why_threshold(a, a->rest[1], false);
	if (a->nr_rest != 1 || !a->pid)
		return usage_of(c, stderr);
	rc = client_trace(a->pid, dir);
	if (rc < 0)
		return ask_stranger(a->rest[0], 0, a->pid, a->json);
	if (rc)
		return fail("process %u: who watches it writes no trace",
			    a->pid);
	return why_threshold(a, dir, true);
}

/* Whoever watches it knows more of its chunks than we would. */
static int ask_why_of(const char *what, uint64_t addr, const struct args *a)
{
	int rc = client_why(what, addr, a->pid, a->json);

	return rc >= 0 ? rc : ask_stranger(what, addr, a->pid, a->json);
}

static int show_held(struct view *v, const struct space *s,
		     const struct args *a)
{
	int err = output_held_trace(&v->o, s);

	(void)a;
	if (err != -ENODATA)
		return err;
	fail("process %u: why held of a trace goes by allocator events, and there are none",
	     s->owner);
	return 0;
}

static int why_look(const struct command *c, const struct args *a)
{
	if (a->nr_rest == 2 && !strcmp(a->rest[0], "held"))
		return view_each(a, a->rest[1], show_held);
	if (!a->pid || a->nr_rest != 1)
		return a->nr_rest == 2 ?
			       fail("why %s: it needs the process itself, a trace does not hold malloc's book-keeping",
				    a->rest[0]) :
			       usage_of(c, stderr);
	return ask_why_of(a->rest[0], 0, a);
}

int run_why(const struct command *c, const struct args *a)
{
	bool threshold = a->nr_rest && !strcmp(a->rest[0], "threshold");
	uint64_t addr;

	if (a->at && (threshold || a->nr_rest < 2))
		return usage_of(c, stderr);
	if (threshold)
		return run_threshold(c, a);
	if (a->nr_rest == 2 && !strcmp(a->rest[0], "enomem"))
		return view_each(a, a->rest[1], show_enomem);
	if (a->nr_rest && ask_is_known(a->rest[0]))
		return why_look(c, a);
	if (a->nr_rest < 1 || a->nr_rest > 2 || (a->nr_rest == 1 && !a->pid))
		return usage_of(c, stderr);
	if (address_parse(a->rest[0], a->bytes, &addr))
		return fail(
			"%s: it is no address (hexadecimal), nor the 4 or 8 bytes of one",
			a->rest[0]);
	if (a->nr_rest == 1)
		return ask_why_of(NULL, addr, a);
	return view_each(a, a->rest[1], show_why);
}
