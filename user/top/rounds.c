// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "session/wire.h"
#include "top/pages.h"
#include "top/rounds.h"

uint64_t rounds_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool note_path(void *ctx, const char *path)
{
	struct rounds *r = ctx;

	r->paths[r->nr] = strdup(path);
	r->nr += r->paths[r->nr] != NULL;
	return r->nr == ROUNDS_DAEMONS;
}

static void drop(struct rounds *r)
{
	answer_drop(&r->asking);
	while (r->nr)
		free(r->paths[--r->nr]);
	json_decref(r->coming);
	r->coming = NULL;
	r->busy = r->on_question = r->unwanted = false;
}

/* --- the list */

/*
 * Rates are of two lists that lie apart: one that follows too soon takes the
 * place of the last one alone.
 */
static void take_list(struct rounds *r, uint64_t fresh)
{
	uint64_t now = rounds_ms();

	if (r->list && now - r->listed >= fresh) {
		json_decref(r->old_list);
		r->old_list = r->list;
	} else {
		json_decref(r->list);
	}
	if (!r->listed || now - r->listed >= fresh)
		r->listed = now;
	r->list = r->coming;
	r->coming = NULL;
	r->daemons = r->answered;
	r->denied = r->refused;
	r->busy = false;
}

/* Who watches it is noted in each entry, for the questions of later. */
static void add_to_list(struct rounds *r)
{
	const char *path = r->paths[r->next - 1];
	json_t *p;
	size_t i;

	json_array_foreach(r->asking.json, i, p)
		json_object_set_new(p, "socket", json_string(path));
	json_array_extend(r->coming, r->asking.json);
	r->answered++;
}

static void ask_next(struct rounds *r, uint64_t fresh)
{
	static const char *const list[] = { "list", NULL };
	int err;

	for (; r->next < r->nr; r->next++) {
		err = answer_ask(&r->asking, r->paths[r->next], list);
		r->refused |= err == -EACCES;
		if (err)
			continue;
		r->next++;
		return;
	}
	take_list(r, fresh);
}

/* --- the question */

static const char *socket_of(const struct rounds *r, uint32_t pid)
{
	const json_t *p = page_process(r->list, pid);

	return json_string_value(json_object_get(p, "socket"));
}

static bool ask_question(struct rounds *r, const char *const *question,
			 uint32_t pid)
{
	const char *path = socket_of(r, pid), *args[WIRE_ARGS];
	char pid_arg[32];
	size_t n = 0;

	if (!path)
		return false;
	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	while (question[n]) {
		args[n] = question[n];
		n++;
	}
	args[n++] = pid_arg;
	args[n++] = "json=1";
	args[n] = NULL;
	r->on_question = !answer_ask(&r->asking, path, args);
	return r->on_question;
}

static void take_answer(struct rounds *r)
{
	r->on_question = false;
	if (r->unwanted) {
		r->unwanted = false;
		return;
	}
	free(r->why);
	r->why = r->asking.why;
	r->asking.why = NULL;
	if (!r->asking.json)
		return;
	json_decref(r->answer);
	r->answer = json_incref(r->asking.json);
	r->answer_at = rounds_ms();
}

/* --- rounds */

void rounds_begin(struct rounds *r, const char *const *question, uint32_t pid,
		  uint64_t fresh)
{
	drop(r);
	r->busy = true;
	r->began = rounds_ms();
	r->next = 0;
	r->answered = 0;
	r->refused = false;
	r->coming = json_array();
	wire_each(note_path, r);
	if (!question || !ask_question(r, question, pid))
		ask_next(r, fresh);
}

void rounds_step(struct rounds *r, uint64_t fresh)
{
	if (!answer_read(&r->asking))
		return;
	if (r->on_question)
		take_answer(r);
	else if (r->asking.json)
		add_to_list(r);
	ask_next(r, fresh);
}

bool rounds_run(struct rounds *r, const char *const *question, uint32_t pid,
		uint64_t fresh, const volatile int *stop)
{
	struct pollfd p = { .events = POLLIN };

	rounds_begin(r, question, pid, fresh);
	while (r->busy && !*stop) {
		p.fd = r->asking.fd;
		if (poll(&p, 1, -1) > 0)
			rounds_step(r, fresh);
	}
	return !r->busy;
}

void rounds_forget(struct rounds *r)
{
	json_decref(r->answer);
	r->answer = NULL;
	free(r->why);
	r->why = NULL;
	r->unwanted = r->on_question;
}

void rounds_free(struct rounds *r)
{
	drop(r);
	rounds_forget(r);
	json_decref(r->list);
	json_decref(r->old_list);
	*r = (struct rounds){ .asking = ANSWER_NONE };
}
