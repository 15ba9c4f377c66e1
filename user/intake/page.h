/* SPDX-License-Identifier: GPL-2.0 */
/* One page of a process, from pagemap, kpageflags, kpagecount, and who shares it. */
#ifndef INTAKE_PAGE_H
#define INTAKE_PAGE_H

#include "model/event.h"
#include "model/page.h"

/*
 * The page at addr, which lies in the VMA `d`. 0 or -errno (of pagemap: EACCES,
 * ENOENT). `trusted` false: as if we had no more privilege than to see this process,
 * so frames, and who else has them, stay unknown. Otherwise all processes are looked
 * at, where the page can be shared at all; that takes milliseconds for each hundred.
 */
int page_look(uint32_t pid, const struct vma_desc *d, uint64_t addr,
	      bool trusted, struct page_look *p);

#endif
