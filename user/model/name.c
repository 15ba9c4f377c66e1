// SPDX-License-Identifier: GPL-2.0
/* What things are called. */
#include "model/model.h"

const char *call_op_name(enum call_op op)
{
	static const char *const names[CALL_OP_MAX] = {
		[CALL_NONE] = "none",
		[CALL_MALLOC] = "malloc",
		[CALL_FREE] = "free",
		[CALL_CALLOC] = "calloc",
		[CALL_REALLOC] = "realloc",
		[CALL_REALLOCARRAY] = "reallocarray",
		[CALL_MEMALIGN] = "memalign",
		[CALL_ALIGNED_ALLOC] = "aligned_alloc",
		[CALL_POSIX_MEMALIGN] = "posix_memalign",
		[CALL_VALLOC] = "valloc",
		[CALL_PVALLOC] = "pvalloc",
	};

	return (unsigned int)op < CALL_OP_MAX ? names[op] : "?";
}

bool vma_is_ours(const struct vma_desc *d)
{
	const uint32_t rw = VMA_READ | VMA_WRITE;
	uint64_t at = d->start % OURS_IMAGE_PLACE;

	if (d->start < OURS_START || d->end > OURS_END)
		return false;
	if (d->start >= OURS_END - OURS_PLACE)
		return at + (d->end - d->start) <= OURS_IMAGE;
	return d->start % OURS_PLACE == 0 && d->end - d->start <= OURS_PLACE &&
	       (d->flags & (rw | VMA_EXEC)) == rw &&
	       !(d->flags & VMA_FILE) == !(d->flags & VMA_SHARED);
}

/*
 * In the order of show_map_vma() (fs/proc/task_mmu.c): a
 * file, then the architecture's own, then heap and stack, whose rules are those
 * of Linux 6.1: from 6.6 on the heap's are < and >, which differs only for a
 * VMA that ends where the heap begins.
 */
const char *model_vma_name(const struct model *m, const struct space *s,
			   const struct vma *v)
{
	const struct vma_desc *d = &v->d;

	if (d->flags & VMA_FILE) {
		const char *path = model_path(m, d->dev, d->ino);

		return path ? path : "";
	}
	if (d->flags & VMA_VDSO)
		return "[vdso]";
	if (d->flags & VMA_VVAR)
		return "[vvar]";
	if (d->start <= s->brk && d->end >= s->start_brk)
		return "[heap]";
	if (d->start <= s->start_stack && d->end >= s->start_stack)
		return "[stack]";
	return "";
}
