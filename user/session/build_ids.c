// SPDX-License-Identifier: GPL-2.0
/* Which build of a file it was that code was mapped from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intake/build_id.h"
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
	uint8_t id[BUILD_ID_BYTES];
	uint32_t i;
	int len;

	for (i = 0; i < ev->range.nr_vmas; i++) {
		const struct vma_desc *d = &ev->range.vmas[i];

		if (!(d->flags & VMA_FILE) || !(d->flags & VMA_EXEC) ||
		    hash_get(&s->build_ids, d->dev, d->ino))
			continue;
		len = build_id_of(tgid, d, id);
		if (len == -ENOENT || len == -ESRCH) /* it is gone already */
			continue;
		if (s->build_ids.nr == FILES_MAX) /* then they are read again */
			hash_destroy(&s->build_ids);
		hash_put(&s->build_ids, d->dev, d->ino, s);
		if (len >= 0)
			note_build_id(s, d, id, len);
	}
}
