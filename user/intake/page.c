// SPDX-License-Identifier: GPL-2.0
/*
 * Who shares a page: of a file, whoever maps the same part of it. Of a process's
 * own memory, its relatives by fork: they have it at the same address, and it is the
 * same when the frame is.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "intake/page.h"
#include "intake/proc.h"

#define PAGE 4096ull

static int read_entry(int pagemap, uint64_t addr, uint64_t *entry)
{
	ssize_t n = pread(pagemap, entry, 8, (off_t)(addr / PAGE * 8));

	return n == 8 ? 0 : n < 0 ? -errno : -EFAULT;
}

/*
 * Does this kernel keep soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)? Then a page that
 * has just been written to for the first time has one.
 */
static bool keeps_soft_dirty(void)
{
	int fd = proc_open_pagemap((uint32_t)getpid());
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0;

	if (p != MAP_FAILED) {
		*(volatile char *)p = 1;
		if (fd >= 0)
			read_entry(fd, (uintptr_t)p, &entry);
		munmap(p, PAGE);
	}
	if (fd >= 0)
		close(fd);
	return entry & PAGEMAP_SOFT_DIRTY;
}

/* A word of /proc/kpageflags or /proc/kpagecount; false: not permitted. */
static bool frame_word(const char *path, uint64_t frame, uint64_t *word)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, word, 8, (off_t)(frame * 8)) == 8;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void look_at_frame(struct page_look *p, uint64_t entry,
			  const struct vma_desc *d)
{
	p->frame = entry & PAGEMAP_PFN;
	p->permitted = p->frame;
	if (!p->permitted)
		return;
	p->flags_known = frame_word("/proc/kpageflags", p->frame, &p->flags);
	p->mapped_known = frame_word("/proc/kpagecount", p->frame, &p->mapped);
	if ((p->flags_known && p->flags & 1 << KPF_ZERO_PAGE) ||
	    (!(d->flags & (VMA_VVAR | VMA_SHARED)) &&
	     !proc_entry_resident(entry, d->flags)))
		p->state = PAGE_ZERO;
}

static enum page_answer answer(int yes)
{
	return yes < 0 ? PAGE_UNKNOWN : yes ? PAGE_YES : PAGE_NO;
}

static void explain(struct page_look *p, int pagemap, uint64_t entry,
		    const struct vma_desc *d, bool trusted)
{
	p->file = entry & PAGEMAP_FILE;
	if (keeps_soft_dirty())
		p->soft_dirty = answer((entry & PAGEMAP_SOFT_DIRTY) != 0);
	if (entry & PAGEMAP_PRESENT) {
		p->state = PAGE_PRESENT;
		p->alone = entry & PAGEMAP_ALONE;
		p->huge = answer(proc_is_huge(pagemap, p->addr));
		if (trusted)
			look_at_frame(p, entry, d);
		if (p->huge == PAGE_UNKNOWN && p->flags_known &&
		    !(p->flags & (1 << KPF_HUGE | 1 << KPF_THP)))
			p->huge = PAGE_NO;
	} else if (entry & PAGEMAP_SWAPPED) {
		p->state = proc_entry_swapped(entry) ? PAGE_SWAPPED :
						       PAGE_MARKED;
		p->permitted = trusted && entry & PAGEMAP_PFN;
		p->swap_type = entry & 31;
		p->swap_offset = (entry & PAGEMAP_PFN) >> 5;
	}
}

/* --- who shares it */

/* Has the process this frame at addr? */
static enum page_answer has_frame(uint32_t pid, uint64_t addr, uint64_t frame)
{
	int fd = proc_open_pagemap(pid);
	uint64_t entry;
	int err = fd < 0 ? fd : read_entry(fd, addr, &entry);

	if (fd >= 0)
		close(fd);
	if (err || !frame)
		return PAGE_UNKNOWN;
	return answer(entry & PAGEMAP_PRESENT &&
		      (entry & PAGEMAP_PFN) == frame);
}

static void add_user(struct page_look *p, uint32_t pid, uint64_t addr,
		     enum page_answer here)
{
	size_t i = p->users++;

	if (i >= PAGE_USERS)
		return;
	p->user[i] =
		(struct page_user){ .pid = pid, .addr = addr, .here = here };
	proc_comm(pid, p->user[i].comm);
}

static bool has_part(const struct vma_desc *d, const struct vma_desc *of,
		     uint64_t offset)
{
	return d->flags & VMA_FILE && d->dev == of->dev && d->ino == of->ino &&
	       offset >= d->offset && offset - d->offset < d->end - d->start;
}

/* One that maps the same part of the file, perhaps at several places: the first counts. */
static void look_for_file(struct page_look *p, const struct vma_desc *d,
			  uint32_t pid)
{
	uint64_t offset = d->offset + (p->addr - d->start), addr;
	uint64_t frame = p->state == PAGE_PRESENT ? p->frame : 0;
	struct proc_map *maps;
	long nr = proc_maps(pid, &maps), i;

	p->blind += nr == -EACCES || nr == -EPERM;
	for (i = 0; i < nr; i++) {
		if (!has_part(&maps[i].d, d, offset))
			continue;
		addr = maps[i].d.start + (offset - maps[i].d.offset);
		add_user(p, pid, addr, has_frame(pid, addr, frame));
		break;
	}
	if (nr >= 0)
		free(maps);
}

static void look_for_own(struct page_look *p, uint32_t pid)
{
	enum page_answer here = has_frame(pid, p->addr, p->frame);
	int fd = here == PAGE_UNKNOWN ? proc_open_pagemap(pid) : 0;

	if (here == PAGE_YES)
		add_user(p, pid, p->addr, here);
	p->blind += fd == -EACCES || fd == -EPERM;
	if (fd > 0)
		close(fd);
}

static void look_for_users(struct page_look *p, const struct vma_desc *d,
			   uint32_t self)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	p->looked = dir;
	while (dir && (e = readdir(dir))) {
		uint32_t pid = (uint32_t)strtoul(e->d_name, NULL, 10);

		if (!isdigit((unsigned char)e->d_name[0]) || pid == self)
			continue;
		if (p->file || p->state == PAGE_NONE)
			look_for_file(p, d, pid);
		else
			look_for_own(p, pid);
	}
	if (dir)
		closedir(dir);
}

/* A file's page, also where this process has not touched it; its own, when others have it. */
static bool can_be_shared(const struct page_look *p, const struct vma_desc *d)
{
	if (p->state == PAGE_NONE || p->file)
		return d->flags & VMA_FILE;
	return p->state == PAGE_PRESENT && !p->alone && p->permitted;
}

int page_look(uint32_t pid, const struct vma_desc *d, uint64_t addr,
	      bool trusted, struct page_look *p)
{
	int pagemap = proc_open_pagemap(pid);
	uint64_t entry;
	int err = pagemap < 0 ? pagemap : 0;

	*p = (struct page_look){ .addr = addr & ~(PAGE - 1),
				 .soft_dirty = PAGE_UNKNOWN,
				 .huge = PAGE_UNKNOWN };
	if (!err)
		err = read_entry(pagemap, p->addr, &entry);
	if (!err)
		explain(p, pagemap, entry, d, trusted);
	if (!err && trusted && can_be_shared(p, d))
		look_for_users(p, d, pid);
	if (pagemap >= 0)
		close(pagemap);
	return err;
}
