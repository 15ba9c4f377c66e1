// SPDX-License-Identifier: GPL-2.0
/*
 * The classroom sequence: which blocks lie on the brk heap, which are mapped,
 * which are used again, when the break moves back.
 */
#include "truth.h"

int main(void)
{
	void *a = told_malloc(32 << 10);
	void *b = told_malloc(64 << 10);
	void *c = told_malloc(120 << 10);
	void *d = told_malloc(
		132 << 10); /* at the threshold of 128 KiB and above */
	void *e, *f;

	told_free(a);
	e = told_malloc(12 << 10); /* fits where a was */
	told_free(b);
	f = told_malloc(80 << 10);
	told_free(c);
	told_free(d);
	told_free(e);
	told_free(f);
	return 0;
}
