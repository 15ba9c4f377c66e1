// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/command.h"
#include "output/diff.h"
#include "session/client.h"

/* "DIR@SECONDS"; what is a directory by its whole name has no time in it. 0, or -1. */
static int split_moment(const char *text, char **dir, const char **at)
{
	char *mark;

	*dir = strdup(text);
	mark = *dir ? strrchr(*dir, '@') : NULL;
	*at = NULL;
	if (mark && access(text, F_OK)) {
		*mark = 0;
		*at = mark + 1;
	}
	return *dir ? 0 : -1;
}

/* The process of a trace that is compared: -p, or the first that was watched. */
static const struct space *main_space(const struct view *v,
				      const struct args *a)
{
	if (a->pid)
		return model_process(v->o.model, a->pid);
	if (!model_spaces(v->o.model))
		return NULL;
	return model_process(v->o.model, model_space_at(v->o.model, 0)->owner);
}

/* 0, or the exit status; *m NULL then, or when a damaged trace has nothing. */
static int take_moment(const struct args *a, const char *text,
		       struct moment **m)
{
	struct args one = *a;
	const struct space *s;
	struct view v;
	char *dir;
	int status;

	if (split_moment(text, &dir, &one.at))
		return fail("there is no memory");
	status = view_open(&v, &one, dir) ? STATUS_FAILED : 0;
	if (!status && view_run(&v, &one)) {
		view_close(&v, 0);
		status = STATUS_FAILED;
	}
	if (!status) {
		s = main_space(&v, a);
		*m = s ? moment_take(&v.o, s, dir) : NULL;
		status = view_close(&v, s && !*m ? -ENOMEM : 0);
		if (!s)
			status = fail("%s: %s", text,
				      a->pid ?
					      "this process is not in it then" :
					      "no process was watched then");
	}
	free(dir);
	return status;
}

/* A trace that is damaged is told of, and compared as far as it goes. */
int run_diff(const struct command *c, const struct args *a)
{
	struct moment *m[2] = { NULL, NULL };
	int status[2] = { 0, 0 }, err;

	if (a->nr_rest != 2)
		return usage_of(c, stderr);
	status[0] = take_moment(a, a->rest[0], &m[0]);
	if (m[0])
		status[1] = take_moment(a, a->rest[1], &m[1]);
	err = m[0] && m[1] ? output_diff(stdout, a->json, m[0], m[1]) : 0;
	if (!err && fflush(stdout))
		err = -errno;
	moment_free(m[0]);
	moment_free(m[1]);
	if (err)
		return fail("the output: %s", strerror(-err));
	return status[0] ? status[0] : status[1];
}
