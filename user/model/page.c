// SPDX-License-Identifier: GPL-2.0
#include <linux/kernel-page-flags.h>

#include "model/page.h"

const char *page_state_name(enum page_state s)
{
	static const char *const names[] = {
		[PAGE_NONE] = "none",	  [PAGE_PRESENT] = "present",
		[PAGE_ZERO] = "zero",	  [PAGE_SWAPPED] = "swapped",
		[PAGE_MARKED] = "marked",
	};

	return names[s];
}

const char *page_flag_name(unsigned int bit)
{
	static const char *const names[] = {
		[KPF_LOCKED] = "LOCKED",
		[KPF_ERROR] = "ERROR",
		[KPF_REFERENCED] = "REFERENCED",
		[KPF_UPTODATE] = "UPTODATE",
		[KPF_DIRTY] = "DIRTY",
		[KPF_LRU] = "LRU",
		[KPF_ACTIVE] = "ACTIVE",
		[KPF_SLAB] = "SLAB",
		[KPF_WRITEBACK] = "WRITEBACK",
		[KPF_RECLAIM] = "RECLAIM",
		[KPF_BUDDY] = "BUDDY",
		[KPF_MMAP] = "MMAP",
		[KPF_ANON] = "ANON",
		[KPF_SWAPCACHE] = "SWAPCACHE",
		[KPF_SWAPBACKED] = "SWAPBACKED",
		[KPF_COMPOUND_HEAD] = "COMPOUND_HEAD",
		[KPF_COMPOUND_TAIL] = "COMPOUND_TAIL",
		[KPF_HUGE] = "HUGE",
		[KPF_UNEVICTABLE] = "UNEVICTABLE",
		[KPF_HWPOISON] = "HWPOISON",
		[KPF_NOPAGE] = "NOPAGE",
		[KPF_KSM] = "KSM",
		[KPF_THP] = "THP",
		[KPF_OFFLINE] = "OFFLINE",
		[KPF_ZERO_PAGE] = "ZERO_PAGE",
		[KPF_IDLE] = "IDLE",
		[KPF_PGTABLE] = "PGTABLE",
	};

	return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}
