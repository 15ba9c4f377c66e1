// SPDX-License-Identifier: GPL-2.0
/* Which build of a file it was that code was mapped from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/build_id.h"
#include "intake/proc.h"
#include "session/inside.h"

static void note_build_id(struct session *s, const struct vma_desc *d,
			  const uint8_t *id, int len)
{
	size_t bytes =
		sizeof(struct trace_build_id) + (((size_t)len + 7) & ~7u);
	struct trace_build_id *t;
	struct event ev = { .kind = EV_BUILD_ID,
			    .build_id = { .ino = d->ino,
					  .dev = d->dev,
					  .len = (uint32_t)len,
					  .bytes = id } };

	model_apply(s->model, &ev, NULL);
	t = s->trace ? calloc(1, bytes) : NULL;
	if (!t)
		return;
	t->rec = (struct vmaheap_record){ .type = TRACE_TABLE_BUILD_ID,
					  .size = (uint32_t)bytes,
					  .ts = s->horizon };
	t->ino = d->ino;
	t->dev = d->dev;
	t->len = (uint32_t)len;
	memcpy(t->bytes, id, (size_t)len);
	trace_table(s->trace, &t->rec);
	free(t);
}

static void learn_build_id(struct session *s, uint32_t tgid,
			   const struct vma_desc *d)
{
	struct mapped_file *f = session_file(s, d->dev, d->ino);
	uint8_t id[BUILD_ID_BYTES];
	int fd, len;

	if (!f || f->looked)
		return;
	fd = proc_open_mapped(tgid, d);
	if (fd == -ENOENT || fd == -ESRCH) /* it is gone already */
		return;
	f->looked = true;
	if (fd < 0)
		return;
	len = build_id_read(fd, id);
	if (len >= 0)
		note_build_id(s, d, id, len);
	if (len > 0)
		session_mind_file(s, f, fd);
	close(fd);
}

/*
 * Of each file that code is mapped from, while it is mapped: later it may be
 * another one. What cannot be had is not known. (The trace has one for each such
 * file, some 50 bytes, which a flight recorder keeps in memory to the end: nothing
 * beside the file that the target had to make for it.)
 */
void session_learn_build_ids(struct session *s, const struct event *ev)
{
	struct space *sp = model_space(s->model, ev->mm);
	uint32_t tgid = sp		    ? sp->owner :
			ev->mm == s->new_mm ? s->new_owner :
					      ev->tgid;
	uint32_t i;

	for (i = 0; i < ev->range.nr_vmas; i++) {
		const struct vma_desc *d = &ev->range.vmas[i];

		if (d->flags & VMA_FILE && d->flags & VMA_EXEC)
			learn_build_id(s, tgid, d);
	}
}
