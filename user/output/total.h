/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What resident memory consists of: each resident byte of each VMA is in exactly
 * one term (maps.c has the identity).
 */
#ifndef OUTPUT_TOTAL_H
#define OUTPUT_TOTAL_H

#include "output/view.h"

enum term {
	TERM_LIVE,
	TERM_HELD,
	TERM_STACK,
	TERM_FILE,
	TERM_SHARED,
	TERM_KERNEL,
	TERM_OURS,
	TERM_OTHER,
	TERM_UNKNOWN,
	TERMS,
};

/* In bytes. */
struct totals {
	uint64_t vmas, size;
	uint64_t unsampled, unsampled_size;
	uint64_t resident, swapped, huge, untouched;
	uint64_t term[TERMS]; /* of resident */
};

struct totals totals_of(const struct space *s);
/* Where bytes belong that are not under a live chunk, by what the VMA is and who made it. */
enum term term_of(enum view_kind kind, const struct cause *made);
/* "live", as JSON has it. */
const char *term_key(enum term term);

#endif
