// SPDX-License-Identifier: GPL-2.0
#include "intake/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/proc.h"

struct thread {
	uint32_t ours, theirs;
};

/* One process. */
struct threads {
	struct threads *next;
	uint32_t tgid;
	struct thread *at; /* in the order of /proc/PID/task */
	size_t nr;
};

uint32_t threads_own(uint32_t tid, bool *foreign)
{
	char path[32], line[256], *number = NULL, *save;
	uint32_t own = 0;
	int levels = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", tid);
	f = fopen(path, "re");
	while (f && !number && fgets(line, sizeof(line), f))
		if (!strncmp(line, "NSpid:", 6))
			number = strtok_r(line + 6, "\t\n", &save);
	for (; number; number = strtok_r(NULL, "\t\n", &save), levels++)
		own = (uint32_t)strtoul(number, NULL, 10);
	if (f)
		fclose(f);
	*foreign = levels > 1;
	return own;
}

static bool is_thread_of(uint32_t tgid, uint32_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/task/%u", tgid, tid);
	return !access(path, F_OK);
}

static struct threads *process_of(struct threads *t, uint32_t tgid)
{
	while (t && t->tgid != tgid)
		t = t->next;
	return t;
}

static struct threads *process_add(struct threads **t, uint32_t tgid)
{
	struct threads *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tgid = tgid;
	p->next = *t;
	return *t = p;
}

/* *from: where the search begins; new ones come last. */
static uint32_t known(const struct threads *p, uint32_t ours, size_t *from)
{
	size_t i;

	for (i = *from; i < p->nr; i++)
		if (p->at[i].ours == ours) {
			*from = i + 1;
			return p->at[i].theirs;
		}
	return 0;
}

/* Those that are there now; only who was not known yet is looked at. */
static void look(struct threads *p)
{
	uint32_t *tids;
	long i, nr = proc_tids(p->tgid, &tids);
	struct thread *now = nr > 0 ? calloc((size_t)nr, sizeof(*now)) : NULL;
	size_t from = 0;
	bool nested;

	for (i = 0; now && i < nr; i++) {
		now[i] = (struct thread){ tids[i], known(p, tids[i], &from) };
		if (!now[i].theirs)
			now[i].theirs = threads_own(tids[i], &nested);
	}
	free(tids);
	free(p->at);
	p->at = now;
	p->nr = now ? (size_t)nr : 0;
}

static uint32_t find(const struct threads *p, uint32_t theirs)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (p->at[i].theirs == theirs)
			return p->at[i].ours;
	return 0;
}

uint32_t threads_find(struct threads **t, uint32_t tgid, uint32_t tid,
		      bool *foreign)
{
	struct threads *p = process_of(*t, tgid);
	uint32_t before, now;
	bool nested;

	*foreign = p;
	if (!p) {
		threads_own(tgid, foreign);
		if (!*foreign)
			return is_thread_of(tgid, tid) ? tid : 0;
		p = process_add(t, tgid);
		if (!p)
			return 0;
	}
	before = find(p, tid);
	if (before && threads_own(before, &nested) == tid &&
	    is_thread_of(tgid, before))
		return before;
	look(p);
	now = find(p, tid);
	return now ? now : before;
}

void threads_forget(struct threads **t, uint32_t tgid)
{
	struct threads *p;

	for (; (p = *t); t = &p->next) {
		if (p->tgid != tgid)
			continue;
		*t = p->next;
		free(p->at);
		free(p);
		return;
	}
}

void threads_free(struct threads **t)
{
	while (*t)
		threads_forget(t, (*t)->tgid);
}
