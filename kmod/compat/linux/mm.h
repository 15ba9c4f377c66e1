/* SPDX-License-Identifier: GPL-2.0 */
#include_next <linux/mm.h>
#ifndef _VH_COMPAT_LINUX_MM_H
#define _VH_COMPAT_LINUX_MM_H

/* Since 6.3; what a VMA that is not in its tree yet needs no lock for. */
#ifndef VH_HAS_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set,
				vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#endif
