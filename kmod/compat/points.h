/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hook points that not every kernel has: which there are is decided by what
 * the kernel is made of. Included by hooks.c alone.
 *
 *   TREE_POINTS     mark: each place that writes the VMA tree of a process, or
 *                   changes the protection of a whole VMA
 *   MADVISE_POINTS  the entry of madvise()
 */
#ifndef _VH_COMPAT_POINTS_H
#define _VH_COMPAT_POINTS_H

#ifdef VMA_ITERATOR
/*
 * VMAs in a maple tree (since 6.1): every store in it is one of these
 * (mm/mmap.c 6.1:434, 451, 467, 2582, 3170, 3192; mm/vma.h 6.12:450, 483,
 * mm/vma.h 7.3:675, 709). lib/ is built without ftrace (lib/Makefile), so they
 * take kprobes.
 *
 * Of a tree that is no mm's the "mm" is an address that is in no table.
 */
static __always_inline void on_mas_store_prealloc(unsigned long arg,
						  unsigned long b,
						  unsigned long c,
						  unsigned long d)
{
	struct ma_state *mas = (void *)arg;
	struct mm_struct *mm = container_of(mas->tree, struct mm_struct, mm_mt);

	vh_mark(mm, mas->index,
		mas->last == ULONG_MAX ? ULONG_MAX : mas->last + 1);
}

#define on_mas_store_gfp on_mas_store_prealloc

static __always_inline bool maybe_tree(unsigned long mas)
{
	return vh_maybe_watched(container_of(((struct ma_state *)mas)->tree,
					     struct mm_struct, mm_mt));
}

/* mprotect of a whole VMA writes no tree (mm/mprotect.c 6.1:644). */
static __always_inline void on_vma_set_page_prot(unsigned long arg,
						 unsigned long b,
						 unsigned long c,
						 unsigned long d)
{
	struct vm_area_struct *vma = (void *)arg;

	vh_mark(vma->vm_mm, vma->vm_start, vma->vm_end);
}

static __always_inline bool maybe_vma(unsigned long vma)
{
	return vh_maybe_watched(((struct vm_area_struct *)vma)->vm_mm);
}

/*
 * process_madvise() comes here, too, up to 6.12; in 7.3 it does not (mm/madvise.c,
 * vector_madvise), and what it calls has arguments that only that file knows.
 */
static __always_inline void on_do_madvise(unsigned long mm, unsigned long start,
					  unsigned long len,
					  unsigned long advice)
{
	vh_on_madvise((struct mm_struct *)mm, start, len, advice);
}

ENTRIES_IF(mas_store_prealloc, maybe_tree)
ENTRIES_IF(mas_store_gfp, maybe_tree)
ENTRIES_IF(vma_set_page_prot, maybe_vma)
ENTRIES(do_madvise)

#define TREE_POINTS                                                            \
	FUNCTION(mas_store_prealloc, KPROBE), FUNCTION(mas_store_gfp, KPROBE), \
		CHEAP(vma_set_page_prot, vh_page_prot_stub)
#define MADVISE_POINTS FUNCTION(do_madvise, FTRACE)

#else
/*
 * VMAs in a list and a red-black tree (mm/mmap.c 5.10): they are linked by
 * __vma_link_list(), moved, split and merged by __vma_adjust(), and unmapped by
 * __do_munmap().
 */
static __always_inline void on___vma_link_list(unsigned long mm,
					       unsigned long arg,
					       unsigned long c, unsigned long d)
{
	struct vm_area_struct *vma = (void *)arg;

	vh_mark((struct mm_struct *)mm, vma->vm_start, vma->vm_end);
}

/* What changes beyond [start, end) lies within the VMA as it is. */
static __always_inline void on___vma_adjust(unsigned long arg,
					    unsigned long start,
					    unsigned long end, unsigned long d)
{
	struct vm_area_struct *vma = (void *)arg;

	vh_mark(vma->vm_mm, min(vma->vm_start, start), max(vma->vm_end, end));
}

static __always_inline void on___do_munmap(unsigned long mm,
					   unsigned long start,
					   unsigned long len, unsigned long d)
{
	vh_mark((struct mm_struct *)mm, start, start + PAGE_ALIGN(len));
}

/*
 * Stacks grow under the read side of mmap_lock; all that is called then, with
 * the VMA grown, is perf_event_mmap() (expand_downwards). Other callers hold the
 * write side; mprotect of a whole VMA is one of them (mm/mprotect.c 5.10,
 * mprotect_fixup()). Somebody holds at least the read side here, so the writer's
 * bit of the count is ours or nobody's (RWSEM_WRITER_LOCKED,
 * kernel/locking/rwsem.c).
 */
static __always_inline void on_perf_event_mmap(unsigned long arg,
					       unsigned long b, unsigned long c,
					       unsigned long d)
{
	struct vm_area_struct *vma = (void *)arg;
	struct mm_struct *mm = vma->vm_mm;

	if (atomic_long_read(&mm->mmap_lock.count) & 1)
		vh_mark(mm, vma->vm_start, vma->vm_end);
	else
		vh_on_growth(mm, vma->vm_start, vma->vm_end);
}

/*
 * The system call does not call do_madvise(), of which it has a copy. So what
 * io_uring and process_madvise() advise is not told.
 */
static __always_inline void on___x64_sys_madvise(unsigned long arg,
						 unsigned long b,
						 unsigned long c,
						 unsigned long d)
{
	const struct pt_regs *regs = (void *)arg;

	vh_on_madvise(current->mm, regs->di, regs->si, regs->dx);
}

static __always_inline void on___ia32_sys_madvise(unsigned long arg,
						  unsigned long b,
						  unsigned long c,
						  unsigned long d)
{
	const struct pt_regs *regs = (void *)arg;

	vh_on_madvise(current->mm, regs->bx, regs->cx, regs->dx);
}

ENTRIES(__vma_link_list)
ENTRIES(__vma_adjust)
ENTRIES(__do_munmap)
ENTRIES(perf_event_mmap)
ENTRIES(__x64_sys_madvise)
ENTRIES(__ia32_sys_madvise)

#define TREE_POINTS                                                        \
	FUNCTION(__vma_link_list, FTRACE), FUNCTION(__vma_adjust, FTRACE), \
		FUNCTION(__do_munmap, FTRACE),                             \
		FUNCTION(perf_event_mmap, KPROBE)
#define MADVISE_POINTS                       \
	FUNCTION(__x64_sys_madvise, FTRACE), \
		FUNCTION(__ia32_sys_madvise, FTRACE)
#endif

/* sched_process_exit tells since 7.0 what vh_on_exit() finds out for itself. */
#ifdef VH_HAS_EXIT_GROUP_DEAD
static void probe_exit(void *data, struct task_struct *p, bool group_dead)
#else
static void probe_exit(void *data, struct task_struct *p)
#endif
{
	vh_on_exit(p);
}

#endif
