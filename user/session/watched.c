// SPDX-License-Identifier: GPL-2.0
/* Who is watched, as the module says it. */
#include <stdlib.h>

#include "intake/rings.h"
#include "intake/sampled.h"
#include "session/inside.h"

struct process *session_process_find(const struct session *s, uint32_t tgid)
{
	return hash_get(&s->by_tgid, tgid, 0);
}

static struct process *process_add(struct session *s, uint32_t tgid)
{
	struct process *p;

	if (s->nr_processes == s->room_processes) {
		size_t room = s->room_processes ? 2 * s->room_processes : 8;
		void *v = realloc(s->processes, room * sizeof(p));

		if (!v)
			return NULL;
		s->processes = v;
		s->room_processes = room;
	}
	p = calloc(1, sizeof(*p));
	if (!p || hash_put(&s->by_tgid, tgid, 0, p)) {
		free(p);
		return NULL;
	}
	p->tgid = tgid;
	s->processes[s->nr_processes++] = p;
	s->somebody = true;
	return p;
}

void session_process_free(struct process *p)
{
	found_free(&p->walked);
	free(p);
}

static void process_born(struct session *s, uint32_t tgid)
{
	struct process *p = session_process_find(s, tgid);

	if (!p)
		p = process_add(s, tgid);
	if (p) /* else its allocator events will be refused */
		p->alive = true;
}

/* A process that was to be watched from its exec on may exit without one. */
void session_process_died(struct session *s, uint32_t tgid)
{
	struct process *p = session_process_find(s, tgid);

	if (!p && tgid == s->o.pid)
		p = process_add(s, tgid);
	if (!p)
		return;
	p->alive = false;
	s->deaths = true;
}

void session_process_event(struct session *s, const struct event *ev)
{
	if (ev->kind == EV_MM)
		process_born(s, ev->mm_start.owner);
	else if (ev->kind == EV_TASK)
		process_born(s, ev->task.owner);
	else if (ev->kind == EV_TASK_EXIT)
		session_process_died(s, ev->tgid);
}

bool session_has(const struct session *s, uint32_t tgid)
{
	return session_process_find(s, tgid) || model_process(s->model, tgid);
}

bool session_alive(const struct session *s)
{
	size_t i;

	if (s->kernel_gone)
		return false; /* nobody would tell us of an exit */
	for (i = 0; i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			return true;
	if (!s->somebody)
		return true; /* the first record is still to come */
	return s->sampled && sampled_expects(s->sampled);
}

struct space *session_living_space(const struct session *s, uint32_t tgid)
{
	struct space *sp = model_process(s->model, tgid);

	return sp && !sp->died ? sp : NULL;
}

static bool is_dead(void *val, void *ctx)
{
	(void)ctx;
	return !((const struct process *)val)->alive;
}

/* What is left of the dead is in the model. */
void session_bury(struct session *s)
{
	size_t i, nr = 0;

	if (!s->deaths)
		return;
	s->deaths = false;
	hash_filter(&s->by_tgid, is_dead, NULL);
	for (i = 0; i < s->nr_processes; i++) {
		struct process *p = s->processes[i];

		if (p->alive) {
			s->processes[nr++] = p;
			continue;
		}
		if (s->rings)
			rings_gone(s->rings, p->tgid);
		if (s->attach)
			attach_gone(s->attach, p->tgid);
		session_process_free(p);
	}
	s->nr_processes = nr;
}
