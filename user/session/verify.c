// SPDX-License-Identifier: GPL-2.0
/* The model against /proc/PID/maps, field by field. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intake/proc.h"
#include "session/inside.h"

#define STOP_MS 100 /* how long a process may take to stop */
#define MAPS_FLAGS (VMA_READ | VMA_WRITE | VMA_EXEC | VMA_SHARED)

/* [heap] and [stack] are properties of the mm; other names can change without it. */
static const char *mm_name(const char *name)
{
	if (!strcmp(name, "[heap]") || !strcmp(name, "[stack]"))
		return name;
	return "";
}

static void print_side(FILE *f, const char *side, const struct vma_desc *d,
		       const char *name)
{
	fprintf(f,
		"  %-5s %012" PRIx64 "-%012" PRIx64 " %c%c%c%c %08" PRIx64
		" %02x:%02x %" PRIu64 " %s\n",
		side, d->start, d->end, d->flags & VMA_READ ? 'r' : '-',
		d->flags & VMA_WRITE ? 'w' : '-',
		d->flags & VMA_EXEC ? 'x' : '-',
		d->flags & VMA_SHARED ? 's' : 'p', d->offset, d->dev >> 20,
		d->dev & 0xfffff, d->ino, name);
}

/*
 * What only touches the heap is called so by Linux up to 6.5 and not since
 * (vma_is_initial_heap(), include/linux/mm.h); the model has the older rule.
 */
static bool touches_heap(const struct space *s, const struct vma_desc *d)
{
	return d->end == s->start_brk || d->start == s->brk;
}

static bool same(const struct space *s, const struct vma_desc *a,
		 const char *a_name, const struct vma_desc *b,
		 const char *b_name)
{
	return a->start == b->start && a->end == b->end &&
	       (a->flags & MAPS_FLAGS) == (b->flags & MAPS_FLAGS) &&
	       a->offset == b->offset && a->dev == b->dev && a->ino == b->ino &&
	       (touches_heap(s, a) ||
		!strcmp(mm_name(a_name), mm_name(b_name)));
}

static unsigned int mismatch(const struct space *s,
			     const struct vma_desc *model,
			     const char *model_name, const struct proc_map *map,
			     FILE *f)
{
	fprintf(f, "mismatch in process %u:\n", s->owner);
	if (model)
		print_side(f, "model", model, model_name);
	else
		fprintf(f, "  model nothing\n");
	if (map)
		print_side(f, "maps", &map->d, map->name);
	else
		fprintf(f, "  maps  nothing\n");
	return 1;
}

/* Number of mismatches; each is printed in full to f. */
static unsigned int verify_maps(const struct model *m, const struct space *s,
				const struct proc_map *maps, size_t nr, FILE *f)
{
	size_t count = vma_map_count(s->vmas), i = 0, j = 0;
	unsigned int bad = 0;

	while (i < count || j < nr) {
		const struct vma *v = i < count ? vma_map_at(s->vmas, i) : NULL;
		const struct proc_map *p = j < nr ? &maps[j] : NULL;
		const char *name = v ? model_vma_name(m, s, v) : "";

		if (v && (!p || v->d.start < p->d.start)) {
			bad += mismatch(s, &v->d, name, NULL, f);
			i++;
		} else if (p && (!v || p->d.start < v->d.start)) {
			bad += mismatch(s, NULL, "", p, f);
			j++;
		} else {
			if (!same(s, &v->d, name, &p->d, p->name))
				bad += mismatch(s, &v->d, name, p, f);
			i++;
			j++;
		}
	}
	return bad;
}

static void note_verify(struct session *s, const struct space *sp,
			uint32_t vmas, uint32_t mismatches)
{
	struct event ev = { .kind = EV_VERIFY,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm,
			    .verify = { vmas, mismatches } };
	struct trace_verify n = { .rec = { .type = TRACE_NOTE_VERIFY,
					   .size = sizeof(n),
					   .ts = s->horizon,
					   .mm = sp->mm,
					   .tgid = sp->owner },
				  .vmas = vmas,
				  .mismatches = mismatches };

	model_apply(s->model, &ev, NULL);
	if (s->trace)
		trace_note(s->trace, &n.rec);
}

/* The process stands still. */
static int compare(struct session *s, uint32_t tgid, FILE *f)
{
	struct proc_map *maps;
	struct space *sp;
	unsigned int bad;
	long nr;

	session_catch_up(s);
	sp = session_living_space(s, tgid);
	if (!sp)
		return -ESRCH;
	if (s->kernel_gone)
		return -ENOTCONN;
	nr = proc_maps(tgid, &maps);
	if (nr < 0)
		return (int)nr;
	bad = verify_maps(s->model, sp, maps, (size_t)nr, f);
	free(maps);
	note_verify(s, sp, (uint32_t)nr, bad);
	return (int)bad;
}

int session_verify(struct session *s, uint32_t tgid, FILE *f)
{
	struct proc_stopped st;
	int rc = s->sampled ? -EOPNOTSUPP : proc_stop(tgid, STOP_MS, &st);

	if (rc)
		return rc;
	rc = compare(s, tgid, f);
	proc_go(&st);
	return rc;
}

const char *session_verify_why(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "a thread did not stop in time";
	case -EPERM:
		return "another tracer holds it";
	case -EOPNOTSUPP:
		return "there is no module (--kernel=none)";
	default:
		return strerror(-err);
	}
}

/* Mismatches go to the person who asked, line by line. */
static void say_lines(struct session *s, char *text)
{
	char *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		session_say(s, "%s", line);
}

void session_verify_one(struct session *s, uint32_t tgid)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return;
	rc = session_verify(s, tgid, f);
	if (rc < 0 && rc != -ESRCH && s->skipped++ == 0)
		session_say(s, "a verification of process %u was left out: %s",
			    tgid, session_verify_why(rc));
	fclose(f);
	say_lines(s, text);
	free(text);
}

void session_verify_all(struct session *s)
{
	size_t i;

	for (i = 0; i < s->nr_processes; i++) {
		struct process p = *s->processes[i];

		if (p.alive && session_living_space(s, p.tgid))
			session_verify_one(s, p.tgid);
	}
}
