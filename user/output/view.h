/* SPDX-License-Identifier: GPL-2.0 */
/* One VMA as people think of it: what kind it is, what is in it. */
#ifndef OUTPUT_VIEW_H
#define OUTPUT_VIEW_H

#include "model/model.h"

enum view_kind {
	VIEW_HEAP, /* brk */
	VIEW_ARENA, /* of a further thread: the committed part, */
	VIEW_RESERVE, /* and what is reserved for it (PROT_NONE) */
	VIEW_MAPPED, /* chunks that have a mapping of their own */
	VIEW_POOL, /* an allocator's that is none of glibc's or musl's kind */
	VIEW_STACK, /* of the main thread */
	VIEW_THREAD_STACK,
	VIEW_GUARD, /* of a thread's stack */
	VIEW_FILE, /* private mapping of a file */
	VIEW_BSS, /* a file's data that are not in the file */
	VIEW_SHARED, /* file or memory */
	VIEW_KERNEL, /* vdso, vvar */
	VIEW_OURS, /* the shim's */
	VIEW_ANON, /* any other memory */
};

struct view {
	const struct vma *v;
	const struct cause *made; /* what brought most of it into being, */
	unsigned int parts; /* one of so many events that did */
	enum view_kind kind;
	struct chunk_sum live;
	bool live_known; /* an allocator source has spoken, and chunks may lie in it */
	const struct vma_resident *res; /* NULL: not sampled as it is now */
};

/* The i-th VMA of the address space. */
struct view view_of(const struct space *s, size_t i);
/* Its kind alone; view_of() also counts what is alive in it, page by page. */
enum view_kind view_kind_at(const struct space *s, size_t i);
const char *view_kind_name(enum view_kind kind);
/* Bytes that have no page, by the sample, which there must be. */
uint64_t view_untouched(const struct view *w);
/* Of the events that brought a VMA into being, that of the most bytes. */
const struct cause *view_made(const struct space *s, const struct vma *v,
			      unsigned int *parts);
/* Of w->res, which is there: resident bytes under no live chunk. */
uint64_t view_held(const struct view *w);
/* Memory that the allocator got from the kernel. */
bool view_is_allocators(enum view_kind kind);

#endif
