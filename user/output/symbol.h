/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names for code addresses: the VMA gives the file, the file (read with
 * elfutils, also its separate debug file when installed) gives the function.
 *
 * A file whose build id is known is read only where it has that build id: under
 * its path, here or, as long as it runs, among the files of the process that mapped it
 * (a container's); or what a trace has kept of it (its symbols); or in a .build-id
 * folder, or from a debuginfod server. Else the names would be those of another program.
 */
#ifndef OUTPUT_SYMBOL_H
#define OUTPUT_SYMBOL_H

#include <stddef.h>

#include "model/model.h"

struct symbols;

struct symbols_opts {
	/* Files are looked for below this folder, by path and by build id; NULL: / */
	const char *symfs;
	/*
	 * Where a trace has the symbols of files that could not be found afterwards: this,
	 * and the build id in hex (TRACE_SYMBOLS, trace/trace.h). NULL: nowhere.
	 */
	const char *kept;
	/*
	 * With what only the person who asks may risk, for the files are the target's:
	 * inlined functions (DWARF), names demangled, debuginfod when
	 * $DEBUGINFOD_URLS says so. And a file whose build id is not known must have
	 * the inode that was mapped, as one that is known to have none must in any case,
	 * but below symfs.
	 */
	bool full;
};

/* NULL options: nothing of that. */
struct symbols *symbols_new(const struct symbols_opts *opts);
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

/* The same in parts. Strings are valid as long as `sy`. */
struct symbol {
	const char *function; /* NULL: not known */
	const char *object; /* base name of the file; NULL: of none */
	uint64_t offset; /* of addr in the function, else in the object, else addr */
	/*
	 * The functions that were inlined where addr is, the innermost first: it
	 * was `function` that was compiled, and these are what ran.
	 */
	const char *const *inlined;
	size_t nr_inlined;
};

struct symbol symbols_find(struct symbols *sy, const struct model *m,
			   const struct space *s, uint64_t addr);

#endif
