/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How to get from a function to its caller: the rule that .eh_frame gives for one
 * address, packed into one number. Only what leads on is kept: where the frame
 * of the caller begins (the CFA: the value of rsp before the call; the return
 * address lies 8 bytes below it on x86-64) and where rbp was saved.
 *
 *   kind:4 | bp:2 | 0:10 | slot:16 | off:32        (slot in 8 bytes)
 *
 * The tables: LSB 5.0 "Exception Frames", DWARF 5 section 6.4; the encodings are
 * those that GNU ld, gold, lld and mold write, any other counts as no table.
 */
#ifndef PROBE_SHIM_CFI_H
#define PROBE_SHIM_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rule_kind {
	RULE_SP = 1, /* CFA = sp + off */
	RULE_BP, /* CFA = bp + off */
	RULE_BP_DEREF, /* CFA = *(bp + off): the stack was realigned */
	RULE_END, /* nobody has called it */
	RULE_SIGNAL, /* the kernel has, with a signal */
	RULE_NONE, /* not known, or nothing that we understand */
};

/* What the caller's rbp is. */
enum rule_bp {
	BP_SAME,
	BP_AT_CFA, /* *(CFA + 8 * slot) */
	BP_AT_BP, /* *(bp + 8 * slot) */
	BP_LOST,
};

static inline uint64_t rule_make(enum rule_kind kind, int32_t off,
				 enum rule_bp bp, int16_t slot)
{
	return (uint64_t)kind | (uint64_t)bp << 4 |
	       (uint64_t)(uint16_t)slot << 16 | (uint64_t)(uint32_t)off << 32;
}

static inline enum rule_kind rule_kind(uint64_t rule)
{
	return (enum rule_kind)(rule & 15);
}

static inline enum rule_bp rule_bp(uint64_t rule)
{
	return (enum rule_bp)(rule >> 4 & 3);
}

static inline int64_t rule_slot(uint64_t rule)
{
	return 8 * (int64_t)(int16_t)(rule >> 16);
}

static inline int64_t rule_off(uint64_t rule)
{
	return (int32_t)(rule >> 32);
}

/* A mapped object: hdr is its .eh_frame_hdr. All in [start, end). */
struct cfi_object {
	uint64_t start, end;
	const uint8_t *hdr;
};

/*
 * The rule for the instruction at `at`. readable(): may [p, p + n) be read? It is
 * asked before each piece of the tables. Never 0.
 */
uint64_t cfi_rule(const struct cfi_object *o, uint64_t at,
		  bool (*readable)(const void *p, size_t n));

#endif
