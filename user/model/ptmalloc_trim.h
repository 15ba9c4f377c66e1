/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What would go back to the kernel? A heap as it was read, on which free() and
 * malloc_trim(0) are carried out as glibc would (malloc.c: _int_free, mtrim,
 * systrim; arena.c: heap_trim), down to the page:
 *
 *   free()          merges with what is free below and above. From 64 KiB on the top
 *                   is cut off, when it exceeds the trim threshold, down to top_pad;
 *                   an arena's newest heap is given back when it is empty.
 *   malloc_trim(0)  gives back all whole pages inside free chunks, and cuts off the
 *                   top of the brk heap; the top of other arenas stays as it is.
 *
 * Chunks in threads' caches are in use for both. A chunk that is freed is meant to
 * go past the cache of the thread that frees it (malloc.c, tcache_put).
 */
#ifndef MODEL_PTMALLOC_TRIM_H
#define MODEL_PTMALLOC_TRIM_H

#include "model/ptmalloc.h"

struct pt_trim;

struct pt_trim *pt_trim_new(const struct pt_book *b); /* NULL: no memory */
struct pt_trim *pt_trim_clone(const struct pt_trim *t);
void pt_trim_drop(struct pt_trim *t);

/* free() of chunk i (index in book.chunks), which is PT_USED. 0 or -ENOMEM. */
int pt_trim_freed(struct pt_trim *t, size_t i);
/*
 * free() of many, ascending, in time that does not depend on how they lie. As one after
 * the other, those for fastbins first, but that the top of an arena is looked at once.
 */
int pt_trim_freed_many(struct pt_trim *t, const size_t *chunks, size_t nr);
/* malloc_trim(0); of one arena only, when `arena` is not PT_NOWHERE. 0 or -ENOMEM. */
int pt_trim_now(struct pt_trim *t, uint32_t arena);

/* What has gone back so far: ascending, none overlaps another. */
const struct pt_range *pt_trim_ranges(struct pt_trim *t, size_t *nr);

/* Of the top of an arena: the chunk that it begins with, and bytes. */
size_t pt_trim_top(const struct pt_trim *t, uint32_t arena, uint64_t *size);
/* Is chunk i free by now (fastbins included), or part of the top? */
bool pt_trim_is_free(const struct pt_trim *t, size_t i);

#endif
