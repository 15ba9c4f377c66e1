// SPDX-License-Identifier: GPL-2.0
/* The trace of a session: its beginning, and whether it can be written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "session/inside.h"

void session_trace_check(struct session *s)
{
	struct trace_written w = trace_written(s->trace);

	if (!w.error || w.error == s->trace_error)
		return;
	s->trace_error = w.error;
	session_say(
		s,
		"the trace cannot be written: %s; what was written before is kept, what is lost is counted",
		strerror(w.error));
}

int session_trace_path(struct session *s, char *path, size_t size)
{
	char link[64];
	ssize_t len;
	int err;

	if (!s->trace)
		return -ENOENT;
	err = trace_flush(s->trace);
	if (err)
		return err;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", s->o.trace_dir);
	len = readlink(link, path, size - 1);
	if (len < 0)
		return -errno;
	path[len] = 0;
	return 0;
}

/* A flight recorder finds out now that its directory is no good. */
static struct trace_writer *create_trace(struct session *s,
					 const struct trace_env *env)
{
	if (!s->o.flight)
		return trace_create_row(s->o.trace_dir, env, &s->o.limits);
	if (!faccessat(s->o.trace_dir, "metadata", F_OK, 0)) {
		errno = EEXIST;
		return NULL;
	}
	return trace_create_row(-1, env, &s->o.limits);
}

int session_start_trace(struct session *s, char **why)
{
	struct trace_env env = { .clock_offset_ns = 0 };
	struct timespec wall;
	struct utsname u;

	if (s->o.trace_dir < 0)
		return 0;
	if (!uname(&u))
		snprintf(env.release, sizeof(env.release), "%s", u.release);
	clock_gettime(CLOCK_REALTIME, &wall);
	env.clock_offset_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec -
			      (int64_t)now_ns();
	snprintf(env.command, sizeof(env.command), "%s", s->command);
	env.stack_bytes = s->o.alloc == ALLOC_SHIM ? s->o.stack_bytes : 0;
	snprintf(env.alloc, sizeof(env.alloc), "%s",
		 session_alloc_name(s->o.alloc));
	s->trace = create_trace(s, &env);
	if (s->trace) {
		s->recorder = (struct recorder){ .order = s->order,
						 .model = s->model,
						 .tell = session_tell_taken,
						 .ctx = s };
		if (s->o.limits.bytes || s->o.limits.ns)
			s->recorder.trace = s->trace;
		return 0;
	}
	if (asprintf(why, "the trace directory: %s",
		     errno == EEXIST ? "there is a trace in it already" :
				       strerror(errno)) < 0)
		*why = NULL;
	return -1;
}
