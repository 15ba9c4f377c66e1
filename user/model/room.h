/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The room in an address space: which layout it has, the holes, how far the brk
 * heap can grow, and why neighbours are not one VMA.
 *
 *   top down (the rule)        legacy (setarch -L, ulimit -s unlimited)
 *   program, brk heap ->       program, brk heap ->
 *   ...                        a third of all: mappings ->
 *   <- mappings                ...
 *   <- stack                   <- stack
 *
 * arch/x86/mm/mmap.c: arch_pick_mmap_layout(), mmap_base(); Linux 6.1.
 */
#ifndef MODEL_ROOM_H
#define MODEL_ROOM_H

#include "model/model.h"

enum room_layout { LAYOUT_UNKNOWN, LAYOUT_TOP_DOWN, LAYOUT_LEGACY };

/* All in bytes. The shim's own mappings count as room. */
struct room {
	bool is_32; /* no VMA lies above 4 GiB */
	enum room_layout layout; /* as the addresses show it */
	uint64_t end; /* of the address space of programs: TASK_SIZE */
	uint64_t base; /* LAYOUT_LEGACY: below it no mapping is placed (but by wish) */
	struct vma_desc hole; /* the largest: start and end */
	/* The brk heap; start 0: there is none. */
	uint64_t heap_start, heap_end;
	const struct vma *above; /* what it would run into; NULL: nothing */
	/*
	 * What the layout leaves it: up to the base, the random part of that not
	 * counted, or to the end of the address space.
	 */
	uint64_t most;
	uint64_t real; /* by which it can grow as things are; may be more */
};

struct room room_of(const struct space *s);
/* Bytes of the largest hole; *hole (may be NULL) is where. */
uint64_t room_largest(const struct space *s, struct vma_desc *hole);

/* Why two VMAs, one behind the other, are not one (mm/mmap.c, can_vma_merge_...()). */
enum apart {
	APART_GAP, /* they do not touch */
	APART_PERMS, /* read, write, execute */
	APART_SHARED, /* one is shared */
	APART_FILE, /* not both of the same file */
	APART_OFFSET, /* the file does not go on there */
	APART_FLAGS, /* locked, huge pages, stack, not inherited ... */
	APART_SPECIAL, /* [vdso], [vvar] */
	/*
	 * Alike in all that is told: their anonymous pages belong to different
	 * anon_vmas, or a name (PR_SET_VMA), a memory policy, userfaultfd ...
	 */
	APART_UNKNOWN,
	APART_REASONS,
};

enum apart vma_apart(const struct vma_desc *a, const struct vma_desc *b);

#endif
