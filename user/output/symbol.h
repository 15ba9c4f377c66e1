/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names for code addresses: the VMA gives the file, the file (read with
 * elfutils, also its separate debug file when installed) gives the function.
 */
#ifndef OUTPUT_SYMBOL_H
#define OUTPUT_SYMBOL_H

#include <stddef.h>

#include "model/model.h"

struct symbols;

struct symbols *symbols_new(void);
void symbols_free(struct symbols *sy);

/*
 * "function+0x12 (libc.so.6)", "libfoo.so+0x1234" when the file has no symbol
 * there, "0x7f..." when nothing is known of the address. `addr` is an
 * instruction pointer; for a return address pass addr - 1 and 1 as `back` (the
 * offset is printed for addr). Always NUL-terminates buf; returns buf.
 */
const char *symbols_name(struct symbols *sy, const struct model *m,
			 const struct space *s, uint64_t addr,
			 unsigned int back, char *buf, size_t size);

#endif
