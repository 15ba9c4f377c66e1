// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of an object that the target has mapped, as the shim reads them while
 * the program runs: it must not touch what it has not asked for, and must end.
 *
 *   at:i32 | .eh_frame_hdr, and what follows it in the object
 *
 * The address that is asked for is at, relative to .eh_frame_hdr.
 */
#include "probe/shim_cfi.c"

#include "fuzz.h"

#define BEFORE \
	4096 /* bytes of the object before .eh_frame_hdr: nobody may read them */

static const uint8_t *begin, *end;

static bool readable(const void *p, size_t n)
{
	const uint8_t *b = p;

	return b >= begin && b <= end && n <= (size_t)(end - b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct cfi_object o;
	int32_t at;
	uint64_t rule;
	uint8_t *copy;

	input_bytes(&in, &at, sizeof(at));
	/* Of its own, so that the sanitizer knows where it ends. */
	copy = malloc(in.left + 1);
	MUST(copy);
	memcpy(copy, in.p, in.left);
	begin = copy;
	end = copy + in.left;
	o = (struct cfi_object){ .start = (uintptr_t)begin - BEFORE,
				 .end = (uintptr_t)end,
				 .hdr = copy };
	rule = cfi_rule(&o, (uintptr_t)copy + (uint64_t)(int64_t)at, readable);
	MUST(rule_kind(rule) >= RULE_SP && rule_kind(rule) <= RULE_NONE);
	free(copy);
	return 0;
}
