/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One look at the heap of a process, from outside: what proc and memory say,
 * handed to model/ptmalloc or model/mallocng. The process need not be watched.
 */
#ifndef SESSION_LOOK_H
#define SESSION_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "intake/memory.h"
#include "model/event.h"
#include "model/mallocng.h"
#include "model/ptmalloc.h"

struct look {
	uint32_t pid;
	struct memory *memory; /* for what lies where (memory_resident) */
	struct pt_book book;
	struct vma_desc *vmas; /* as they were before the look */
	size_t nr_vmas;
	uint64_t ts; /* CLOCK_MONOTONIC ns, when it began */
	uint64_t took; /* ns */
	uint64_t rss; /* by smaps_rollup; bytes; 0: it was not asked for */
	int64_t page_tables; /* VmPTE; bytes, -1: not known */
	bool opaque; /* there is no malloc of glibc in use: the book is empty */
	bool stopped; /* the process stood still meanwhile */
	struct pt_thread_at *at; /* and so its threads were here; else none */
	size_t nr_at;
};

/* Does the process stand still meanwhile? */
enum look_stop {
	LOOK_RUNNING,
	LOOK_TRY_STOP, /* where that cannot be, it is read as it runs */
	LOOK_STOP, /* where that cannot be, it is not read: -EAGAIN */
};

enum look_for {
	LOOK_SYMBOLS = 1, /* else no symbol table is asked */
	/* For that the kernel goes through all page tables: 18 ms a GiB. */
	LOOK_RSS = 2,
};

/*
 * 0 or -errno; *why is a sentence that says so, or what is incomplete (static;
 * NULL: nothing is). Where the allocator is another (-ENOENT, -EBADMSG: `opaque`)
 * all but the book is there, and to be closed. what: LOOK_*.
 */
int look_open(struct look *l, uint32_t pid, enum look_stop stop,
	      unsigned int what, const char **why);
void look_close(struct look *l);

/*
 * The chunks of musl's malloc alone. 0 or what ng_read() returns, with *why, and as
 * look_open() does: -EAGAIN: it does not stop; *took in ns.
 */
int look_musl(uint32_t pid, enum look_stop stop, struct ng_book *b,
	      uint64_t *took, const char **why);

/*
 * Does khugepaged make huge pages, unasked, of pages of the process among which some
 * are missing? (Documentation/admin-guide/mm/transhuge.rst; it may have forbidden it,
 * PR_SET_THP_DISABLE: fs/proc/array.c task_thp_status().)
 */
bool look_khugepaged(uint32_t pid);

#endif
