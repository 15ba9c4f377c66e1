// SPDX-License-Identifier: GPL-2.0
/*
 * Knows just those instructions that compilers put before the first push of a
 * function, such as those of free() in glibc 2.36:
 *
 *   48 85 ff            test %rdi,%rdi
 *   0f 84 b9 00 00 00   je   ...
 *   55                  push %rbp          <- here
 *
 * Encodings: Intel SDM vol. 2. Whatever is not known ends the search.
 */
#include "intake/probe_point.h"

#include <string.h>

enum { RDX = 2, RSP = 4, RSI = 6, RDI = 7 };

static bool is_push(const unsigned char *c, size_t nr)
{
	if (nr > 1 && c[0] == 0x41)
		c++;
	return (c[0] & 0xf8) == 0x50;
}

static bool is_jcc(const unsigned char *c, size_t nr, size_t *len)
{
	*len = (c[0] & 0xf0) == 0x70 ? 2 : 6;
	return *len == 2 || (nr > 1 && c[0] == 0x0f && (c[1] & 0xf0) == 0x80);
}

/* jmp, call, nop */
static bool is_plain(const unsigned char *c)
{
	return c[0] == 0xe9 || c[0] == 0xeb || c[0] == 0xe8 || c[0] == 0x90;
}

static bool is_argument(unsigned int reg)
{
	return reg == RDI || reg == RSI || reg == RDX || reg == RSP;
}

/*
 * Length of an instruction that changes neither arguments nor stack; 0: it is
 * none that we know. *tests_null: it is test %rdi,%rdi.
 */
static size_t harmless(const unsigned char *c, size_t nr, bool *tests_null)
{
	bool rex = (c[0] & 0xf0) == 0x40;
	unsigned int mod, reg, rm;

	*tests_null = false;
	if (nr >= 4 && !memcmp(c, "\xf3\x0f\x1e\xfa", 4)) /* endbr64 */
		return 4;
	if (nr >= 7 && c[0] == 0x80 && c[1] == 0x3d) /* cmpb $i,d(%rip) */
		return 7;
	if (nr < 3)
		return 0;
	if (!rex && c[0] == 0x31 && c[1] == 0xc0) /* xor %eax,%eax */
		return 2;
	if (!rex)
		return 0;
	mod = c[2] >> 6;
	reg = (c[2] >> 3 & 7) | (c[0] & 4) << 1;
	rm = (c[2] & 7) | (c[0] & 1) << 3;
	if (mod != 3)
		return 0;
	if (c[1] == 0x85) { /* test */
		*tests_null = c[0] == 0x48 && reg == RDI && rm == RDI;
		return 3;
	}
	if (c[1] == 0x89) /* mov reg,rm */
		return is_argument(rm) ? 0 : 3;
	if (c[1] == 0x8b) /* mov rm,reg */
		return is_argument(reg) ? 0 : 3;
	return 0;
}

static bool is_je(const unsigned char *c)
{
	return c[0] == 0x74 || (c[0] == 0x0f && c[1] == 0x84);
}

size_t probe_point(const unsigned char *code, size_t nr, bool null_returns)
{
	bool tested = false, tests;
	size_t at = 0, branch = 0, len;

	while (at + 8 <= nr) {
		const unsigned char *c = code + at;

		if (is_push(c, nr - at) || is_plain(c))
			return at;
		if (is_jcc(c, nr - at, &len)) {
			if (branch || !(null_returns && tested && is_je(c)))
				return branch ? branch : at;
			branch = at; /* good enough if nothing better follows */
		} else {
			len = harmless(c, nr - at, &tests);
			tested = tests;
		}
		if (!len)
			break;
		at += len;
	}
	return branch;
}
