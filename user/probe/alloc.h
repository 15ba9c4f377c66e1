/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the uprobe programs (alloc.bpf.c) write into their BPF ring: one record
 * for a call of malloc and its like when it has returned, one as free or a
 * reallocation is entered, one as it returns. intake/uprobe.c makes words of it.
 */
#ifndef PROBE_ALLOC_H
#define PROBE_ALLOC_H

enum alloc_record_what {
	ALLOC_RECORD_ENTER = 1, /* addr is the chunk that is given up */
	ALLOC_RECORD_RETURN = 2, /* addr is the new chunk, 0 when it failed */
};

struct alloc_record {
	unsigned int tid;
	unsigned char what;
	unsigned char op; /* enum alloc_op */
	unsigned short unused;
	unsigned long long ts; /* CLOCK_MONOTONIC ns */
	unsigned long long begin; /* RETURN: ts of the entry */
	unsigned long long addr, size, align;
	unsigned long long caller; /* where the call returns to */
	unsigned long long lost; /* events of this thread before this one */
};

#endif
