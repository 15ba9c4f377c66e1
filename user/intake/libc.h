/* SPDX-License-Identifier: GPL-2.0 */
/* What a libc.so says of itself, or its debug package does. */
#ifndef INTAKE_LIBC_H
#define INTAKE_LIBC_H

#include <stdint.h>

/* Addresses in the file's own address space; 0: the tables do not have it. */
struct libc_symbols {
	uint64_t main_arena, mp;
	uint64_t base; /* of the first loadable segment, rounded down to a page */
};

/*
 * Of the ELF file at `path`, by its own symbol table or by that of
 * /usr/lib/debug/.build-id/NN/NNNN.debug. 0, -ENOENT: neither has one; -errno.
 */
int libc_symbols(const char *path, struct libc_symbols *s);

#endif
