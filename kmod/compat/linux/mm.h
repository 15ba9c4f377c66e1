/* SPDX-License-Identifier: GPL-2.0 */
#include_next <linux/mm.h>
#ifndef _VH_COMPAT_LINUX_MM_H
#define _VH_COMPAT_LINUX_MM_H

/*
 * Of a page that is going to be mapped. Before 5.11 one that is charged to a memory
 * cgroup is of a type of its own (PageKmemcg), and vm_insert_page() takes no typed
 * page (mm/memory.c 5.10, validate_page_before_insert).
 */
#ifdef PG_kmemcg
#define VH_GFP_MAPPED GFP_KERNEL
#else
#define VH_GFP_MAPPED GFP_KERNEL_ACCOUNT
#endif

/* Since 6.3; what a VMA that is not in its tree yet needs no lock for. */
#ifndef VH_HAS_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set,
				vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* Since 6.1, which keeps VMAs in a maple tree; before, in a list. */
#ifndef VMA_ITERATOR
struct vma_iterator {
	struct vm_area_struct *next;
};

static inline void vma_iter_init(struct vma_iterator *vmi, struct mm_struct *mm,
				 unsigned long addr)
{
	vmi->next = find_vma(mm, addr);
}

static inline struct vm_area_struct *vma_find(struct vma_iterator *vmi,
					      unsigned long max)
{
	struct vm_area_struct *vma =
		vmi->next && vmi->next->vm_start < max ? vmi->next : NULL;

	if (vma)
		vmi->next = vma->vm_next;
	return vma;
}
#endif

#endif
