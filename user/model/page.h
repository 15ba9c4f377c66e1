/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One page of a process, as its page table and the kernel's books of frames show it
 * (Documentation/admin-guide/mm/pagemap.rst). What the reader was not permitted to
 * know, or the kernel does not keep, is marked so.
 */
#ifndef MODEL_PAGE_H
#define MODEL_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_state {
	PAGE_NONE, /* never touched, or given back; of a file: not mapped here */
	PAGE_PRESENT,
	PAGE_ZERO, /* only read: the kernel lends its frame of zeroes */
	PAGE_SWAPPED,
	PAGE_MARKED, /* migrating, poisoned, a guard or a marker of userfaultfd */
};

enum page_answer { PAGE_NO, PAGE_YES, PAGE_UNKNOWN };

/* What one of many pages is, as bits. */
#define PAGE_IS_RESIDENT 1
#define PAGE_IS_SWAPPED 2
#define PAGE_IS_HUGE 4 /* resident, mapped by a huge page, */
#define PAGE_IS_SPARE \
	8 /* and nothing but zeroes: resident through that alone, it seems */

/* Another process that maps the same part of a file, or has the same frame. */
struct page_user {
	uint32_t pid;
	char comm[16];
	uint64_t addr; /* of the page there */
	enum page_answer here; /* has it this frame there now? */
};
#define PAGE_USERS 16

struct page_look {
	uint64_t addr; /* a multiple of 4096 */
	enum page_state state;
	bool file; /* of a file or shared memory; else the process's own */
	bool alone; /* nobody else maps it (PRESENT) */
	enum page_answer
		soft_dirty; /* written to since clear_refs, or since it was mapped */
	enum page_answer huge; /* mapped by a huge page */
	bool permitted; /* frame, and swap, are known: CAP_SYS_ADMIN */
	uint64_t frame; /* PRESENT, ZERO */
	unsigned int swap_type; /* SWAPPED */
	uint64_t swap_offset;
	bool flags_known;
	uint64_t flags; /* of the frame: /proc/kpageflags */
	bool mapped_known;
	uint64_t mapped; /* how often the frame is mapped: /proc/kpagecount */
	bool looked; /* for those who share it */
	size_t users; /* how many there are; the first PAGE_USERS are in `user` */
	struct page_user user[PAGE_USERS];
	size_t blind; /* processes that could not be looked at */
};

const char *page_state_name(enum page_state s);
/* Of a bit of `flags`, as linux/kernel-page-flags.h has it; NULL: it has no name. */
const char *page_flag_name(unsigned int bit);

#endif
