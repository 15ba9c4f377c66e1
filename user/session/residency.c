// SPDX-License-Identifier: GPL-2.0
/* Which pages of its VMAs a process has, and what of them its chunks use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/proc.h"
#include "intake/sampled.h"
#include "session/inside.h"

/*
 * Above this a VMA's residency is not sampled: 8 bytes a page would have to be
 * read. Address-space reservations (sanitizers, Go, Java) are like that.
 */
#define SAMPLE_VMA_MAX (64ull << 30)

struct live_pages {
	const struct chunk_table *chunks;
	uint64_t bytes;
};

static void count_live(void *ctx, uint64_t addr)
{
	struct live_pages *l = ctx;

	l->bytes += chunk_page_bytes(l->chunks, addr);
}

static int sample_vma(int fd, const struct space *sp, const struct vma *v,
		      struct vma_resident *r)
{
	struct live_pages live = { .chunks = sp->chunks };
	struct proc_pages n;
	int err;

	err = proc_pagemap(fd, &v->d, &n, count_live, &live);
	*r = (struct vma_resident){ .start = v->d.start,
				    .end = v->d.end,
				    .resident = n.resident,
				    .swapped = n.swapped,
				    .huge = n.huge,
				    .live_resident = live.bytes };
	return err;
}

_Static_assert(sizeof(struct trace_resident_vma) == sizeof(struct vma_resident),
	       "one layout");

static void note_resident(struct session *s, const struct space *sp,
			  const struct vma_resident *r, size_t nr)
{
	size_t bytes = sizeof(struct trace_resident) + nr * sizeof(*r);
	struct trace_resident *n;

	if (!s->trace)
		return;
	n = calloc(1, bytes);
	if (!n)
		return;
	n->rec = (struct vmaheap_record){ .type = TRACE_NOTE_RESIDENT,
					  .size = (uint32_t)bytes,
					  .ts = s->horizon,
					  .mm = sp->mm,
					  .tgid = sp->owner };
	n->nr_vmas = (uint32_t)nr;
	memcpy(n->vmas, r, nr * sizeof(*r));
	trace_note(s->trace, &n->rec);
	free(n);
}

/* The residency of every VMA of the space, as of the last round. */
static int sample(struct session *s, const struct space *sp)
{
	size_t count = vma_map_count(sp->vmas), i, nr = 0;
	struct vma_resident *r = calloc(count + 1, sizeof(*r));
	struct event ev = { .kind = EV_RESIDENT,
			    .tgid = sp->owner,
			    .ts = s->horizon,
			    .mm = sp->mm };
	int fd = proc_open_pagemap(sp->owner);
	int err = fd < 0 ? fd : r ? 0 : -ENOMEM;

	if (!sp->allocator.known)
		session_note_allocator(s, sp);
	for (i = 0; !err && i < count; i++) {
		const struct vma *v = vma_map_at(sp->vmas, i);

		if (v->d.end - v->d.start <= SAMPLE_VMA_MAX)
			err = sample_vma(fd, sp, v, &r[nr++]);
	}
	if (!err) {
		ev.resident.vmas = r;
		ev.resident.nr_vmas = (uint32_t)nr;
		err = model_apply(s->model, &ev, NULL);
		note_resident(s, sp, r, nr);
	}
	if (fd >= 0)
		close(fd);
	free(r);
	return err;
}

int session_refresh(struct session *s, uint32_t tgid)
{
	struct space *sp;

	if (s->sampled)
		sampled_look(s->sampled, tgid);
	session_catch_up(s);
	if (s->o.alloc == ALLOC_WALK)
		session_walk(s, tgid);
	sp = session_living_space(s, tgid);
	return sp ? sample(s, sp) : 0;
}

/* At most one fiftieth of the daemon's time goes into sampling. */
void session_sample_all(struct session *s, uint64_t now)
{
	uint64_t took;
	size_t i;

	for (i = 0; s->sampled && i < s->nr_processes; i++)
		if (s->processes[i]->alive)
			sampled_look(s->sampled, s->processes[i]->tgid);
	if (s->sampled)
		session_catch_up(s);
	for (i = 0; i < s->nr_processes; i++) {
		const struct process *p = s->processes[i];
		struct space *sp = p->alive ? session_living_space(s, p->tgid) :
					      NULL;

		if (sp)
			sample(s, sp);
	}
	session_look_for_files(s);
	took = now_ns() - now;
	s->next_sample = now + SAMPLE_MS * 1000000ull;
	if (took * 50 > SAMPLE_MS * 1000000ull)
		s->next_sample = now + took * 50;
}
