/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The books of musl's malloc (mallocng, musl 1.2.1 and later; src/malloc/mallocng/
 * meta.h), read from outside. They lie apart from the chunks:
 *
 *   malloc_context           meta areas, a page each
 *   | secret                 [secret next nslots meta meta ...]
 *   | meta_area_head ------> [secret next nslots meta meta ...]
 *                                                |
 *                 mem, avail_mask, freed_mask, how many slots of which size
 *                                                v
 *                                               [group: meta | slot 0 | slot 1 | ...]
 *
 * A slot that neither mask names is in use. Its last 4 bytes are the header of the
 * next one; that of the first lies in the group's. The chunk may begin somewhat
 * further on in its slot, which then the slot's own header says; the chunk's header
 * says in which slot it lies, how far behind the group's beginning, and how many
 * bytes of the slot nobody asked for. So what is told of it is what was asked for.
 * A slot may hold another group; that is marked in its header.
 *
 * Threads may be anywhere in malloc and free. A slot whose mask says that it is in
 * use, and whose header does not, is just being taken or given back, and no chunk;
 * nor are there chunks in a group that does not know its meta: it is being made or
 * has just gone. One case cannot be told: the first slot of a new group that has
 * been taken, but has no header yet, looks like a chunk that fills it.
 *
 * Nothing is believed before it has been checked, as in ptmalloc.h.
 */
#ifndef MODEL_MALLOCNG_H
#define MODEL_MALLOCNG_H

#include "model/event.h"
#include "model/ptmalloc.h"

struct ng_book {
	uint64_t context; /* address of malloc_context */
	struct found_chunk *chunks; /* in use, in no order; sizes as asked for */
	size_t nr_chunks;
	size_t nr_groups; /* that have slots in use */
	/* Passed over: groups that do not know their meta, slots without a header. */
	size_t lost, unready;
};

/*
 * Of *t: mem, ranges, data, nr_tids and max_chunks. 0; -EBADMSG: there are no such
 * books, or two of them, or nobody has called malloc; -EAGAIN: they contradict each
 * other; -E2BIG: more than max_chunks; -ENOMEM. *why says it in words (static).
 */
int ng_read(const struct pt_target *t, struct ng_book *b, const char **why);
void ng_free(struct ng_book *b);

#endif
