/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VMAs of one address space, as /proc/PID/maps lists them:
 *
 *   55d0c7a1e000-55d0c7a3f000 rw-p 00000000 00:00 0       [heap]
 *   start        end          flags offset   dev   ino
 *
 * sorted by start, never overlapping. The only change is "in [lo, hi) there are
 * now exactly these"; what that means (grown, split, moved ...) is derived by
 * comparing with what was there.
 *
 * Every VMA remembers two causes: the one that created it and the one that
 * changed it last. Causes are shared and counted: a part split off keeps its
 * creator, a merge keeps the creator of its largest part (of what was not
 * mprotect'ed to fit, if there is such), and mremap carries the creator to the
 * new place.
 */
#ifndef MODEL_VMA_H
#define MODEL_VMA_H

#include <stddef.h>

#include "model/event.h"

enum cause_kind {
	CAUSE_ATTACH = 1, /* it was there when the watch began */
	CAUSE_SYSCALL,
	CAUSE_FAULT, /* no system call: stack growth */
	CAUSE_EXEC,
	CAUSE_FORK,
	CAUSE_LATE, /* after back-pressure: not known any more */
	CAUSE_SAMPLED, /* not known: it was there when /proc/PID/maps was read */
	CAUSE_OTHER, /* another process, or the kernel, did it (process_madvise, khugepaged) */
};

/* Why VMAs changed: one RANGE event, with the allocator call that it belongs to. */
struct cause {
	unsigned int refs;
	enum cause_kind kind;
	uint64_t ts;
	uint32_t tgid, tid;
	int32_t syscall; /* CAUSE_SYSCALL */
	bool compat; /* of the 32-bit table */
	uint64_t args[6], ip, sp;
	uint64_t mapped,
		unmapped; /* bytes that came into and went out of being */
	uint64_t changed; /* bytes whose flags changed (mprotect) */
	int64_t vmas; /* by so many there were more (or less) afterwards */
	uint32_t coalesced;
	/* Filled in when the call is known (join.h); op CALL_NONE: none. */
	enum call_op op;
	uint64_t call_addr, call_size, caller;
};

/* Something happened, and it was not merely told. */
bool cause_is_event(const struct cause *c);
struct cause *cause_get(struct cause *c);
void cause_put(struct cause *c); /* NULL is allowed */

struct vma {
	struct vma_desc d;
	struct cause *made; /* owned references; never NULL */
	struct cause *changed; /* the same as `made` when nothing came after */
};

enum vma_change_kind {
	VMA_CREATED = 1,
	VMA_REMOVED,
	VMA_GREW, /* at the end or the start: [start, end) is what came */
	VMA_SHRANK, /* [start, end) is what went */
	VMA_SPLIT, /* [start, end) is the part that is now a VMA of its own */
	VMA_MERGED, /* [start, end) is the part that was one */
	VMA_PROTECTED, /* flags changed in [start, end) */
	VMA_MOVED, /* mremap: [start, end) is the new place, `from` the old start; that the old place went is told, too */
};

struct vma_change {
	enum vma_change_kind kind;
	uint64_t start, end;
	uint64_t from;
	uint32_t old_flags, new_flags;
	bool heap; /* touches [start_brk, brk) */
};

struct vma_map;

struct vma_map *vma_map_new(void);
struct vma_map *vma_map_clone(const struct vma_map *m, struct cause *made);
void vma_map_free(struct vma_map *m);

/*
 * In [lo, hi) there are now exactly the nr VMAs of `now` (sorted, within
 * [lo, hi)); whatever was there before, VMAs that stick out included, is
 * replaced (what sticks out of [lo, hi) remains, cut). The bytes are added to
 * `mapped`, `unmapped` and `changed` of `cause`; memory that is SHARED now and
 * was not, or of another file or offset, or in the way of MAP_FIXED, was
 * unmapped and mapped. With `changes` not NULL, up to `max` derived changes are
 * stored, in address order, `heap` left to the caller; returns how many there
 * were (it may exceed max). Or, with the map as before: -EINVAL when `now` is
 * unsorted, overlapping, outside [lo, hi) or not page-aligned; -ENOMEM.
 */
int vma_map_replace(struct vma_map *m, uint64_t lo, uint64_t hi,
		    const struct vma_desc *now, size_t nr, struct cause *cause,
		    struct vma_change *changes, size_t max);

/* False when vma_map_replace() would say -EINVAL. */
bool vma_range_valid(uint64_t lo, uint64_t hi, const struct vma_desc *now,
		     size_t nr);

/* Bytes that it takes, its part of causes that others share included. */
size_t vma_map_bytes(const struct vma_map *m);
size_t vma_map_count(const struct vma_map *m);
/* The i-th VMA in address order, i < count. Valid until the next replace. */
const struct vma *vma_map_at(const struct vma_map *m, size_t i);
/* The VMA that contains addr, or NULL. */
const struct vma *vma_map_find(const struct vma_map *m, uint64_t addr);
/* The index of the first VMA that ends above addr; count when there is none. */
size_t vma_map_lower(const struct vma_map *m, uint64_t addr);
/*
 * The event that brought the byte at addr into being, and with start and end not
 * NULL the bounds of what it brought (they may exceed those of the VMA when
 * neighbours came by the same event). A VMA that grew has several. NULL when
 * addr is not mapped.
 */
const struct cause *vma_map_origin(const struct vma_map *m, uint64_t addr,
				   uint64_t *start, uint64_t *end);
/*
 * Of [lo, hi), in address order: so many bytes have the protection that the event
 * gave them. What came as it is, or before the watch or a fork, is left out.
 */
void vma_map_protects(const struct vma_map *m, uint64_t lo, uint64_t hi,
		      void (*fn)(void *ctx, uint64_t bytes,
				 const struct cause *c),
		      void *ctx);
/* NULL when the structure is sound, else what is wrong with it. */
const char *vma_map_check(const struct vma_map *m);

#endif
