/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is needed to name an address in a file when the file itself is not there any
 * more: its symbol tables, and where its segments and its build id say they belong.
 */
#ifndef INTAKE_SYMBOL_TABLES_H
#define INTAKE_SYMBOL_TABLES_H

#include <stddef.h>

/*
 * So many bytes a file: python3 and libc have 0.1 MiB, read in 0.1 ms, libLLVM 4. The
 * watched processes may wait for us meanwhile.
 */
#define SYMBOL_TABLES_MAX (32u << 20)

/*
 * Of the file fd, as an ELF of its own. *p is malloc'ed, *len bytes. 0; -ENODATA: it has
 * none; -E2BIG; -ENOEXEC: it is no 64-bit ELF, or a damaged one; -ENOMEM.
 */
int symbol_tables_read(int fd, void **p, size_t *len);

#endif
