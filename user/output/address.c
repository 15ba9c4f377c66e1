// SPDX-License-Identifier: GPL-2.0
/*
 * An address as people have it: a hexadecimal number, or the bytes of a pointer in
 * the order in which they lie in memory (the lowest first), as xxd, hexdump -C and
 * gdb's x/8xb show them.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/output.h"

#define BETWEEN " \t,"

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' :
					   tolower((unsigned char)c) - 'a' + 10;
}

/*
 * Words of whole bytes. Between blanks each has to be one byte: of words of two, as
 * hexdump and od show them, nobody could tell in which order their bytes are, unless
 * `bytes` says that it is that of memory.
 */
static int parse_bytes(const char *p, bool bytes, uint64_t *addr)
{
	unsigned int nr = 0;

	*addr = 0;
	while (*(p += strspn(p, BETWEEN))) {
		size_t len, i;

		if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
			p += 2;
		len = strcspn(p, BETWEEN);
		if (!len || len % 2 || (!bytes && len != 2) || nr + len / 2 > 8)
			return -EINVAL;
		for (i = 0; i < len; i += 2, nr++) {
			if (!isxdigit((unsigned char)p[i]) ||
			    !isxdigit((unsigned char)p[i + 1]))
				return -EINVAL;
			*addr |= (uint64_t)(digit(p[i]) << 4 | digit(p[i + 1]))
				 << 8 * nr;
		}
		p += len;
	}
	return nr == 4 || nr == 8 ? 0 : -EINVAL;
}

int address_parse(const char *text, bool bytes, uint64_t *addr)
{
	char *end;

	if (bytes || strpbrk(text, BETWEEN))
		return parse_bytes(text, bytes, addr);
	if (!isxdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*addr = strtoull(text, &end, 16);
	return errno || *end ? -EINVAL : 0;
}
