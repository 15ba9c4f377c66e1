/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another process's memory, read without leaving a trace in it: pages that it
 * does not have are not made by the reading (process_vm_readv(2) would fault
 * them in); they read as zeroes, which is what they would hold.
 */
#ifndef INTAKE_MEMORY_H
#define INTAKE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct memory;

/* NULL: no memory; whether it may be read shows at the first read. */
struct memory *memory_open(uint32_t pid);
void memory_close(struct memory *m);
/* What has been read is forgotten: the process may have changed it. */
void memory_forget(struct memory *m);

/*
 * memory_read(m, ...): all of it, private anonymous memory or a file's data. 0 or
 * -errno (EFAULT: not mapped, but what page tables say is not there may read as
 * zeroes all the same; EPERM, ESRCH). What lies near is read along, and is as old as
 * the last memory_forget().
 */
int memory_read(void *m, uint64_t addr, void *buf, size_t len);
/* 16 bytes at each of nr addresses that lie within a page; zeroes for what cannot be read. */
void memory_read_each(void *m, const uint64_t *addrs, size_t nr,
		      uint64_t (*words)[2]);
/* The first page of [addr, end) that is resident or swapped; end: none. */
uint64_t memory_next(void *m, uint64_t addr, uint64_t end);
/* Bytes of [lo, hi) on resident pages, rounded to whole pages; -errno. */
int64_t memory_resident(void *m, uint64_t lo, uint64_t hi);
/*
 * PAGE_IS_* of the page at addr (model/page.h); -errno. Pages of huge pages are read.
 * As old as the last memory_forget().
 */
int memory_page(void *m, uint64_t addr);

#endif
