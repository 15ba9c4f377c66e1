/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the allocator of a running process is: the file that defines malloc, the
 * offsets in it at which its functions begin, and whose allocator that is, told by
 * names that only its own library has. And the one that a program has beside that,
 * under names with a prefix.
 */
#ifndef INTAKE_ALLOCATOR_H
#define INTAKE_ALLOCATOR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOCATOR_FUNCTIONS 36

struct allocator {
	/* The file as /proc shows it: right in a container and when deleted. */
	char path[PATH_MAX];
	char name[256]; /* as the process calls it, cut to fit */
	const char *
		kind; /* "glibc", "jemalloc" ...; "": one that is not known here */
	bool is_static; /* the executable has no dynamic linker */
	char linker[PATH_MAX]; /* by allocator_read(): its path, "": none */
	const char *prefix; /* of the functions' names: "" or "je_" ... */
	size_t nr; /* functions, each address once */
	struct {
		const char *name; /* "malloc" ..., without the prefix */
		const char *as; /* its arguments and result: of which function */
		uint64_t offset; /* in the file, bytes */
		uint64_t probe; /* where a uprobe is cheapest (probe_point.h) */
	} functions[ALLOCATOR_FUNCTIONS];
};

/*
 * Looks through the executable mappings of process pid. The executable goes
 * before the libraries and another library before the libc, as the dynamic
 * linker would find them; of two libraries that of the higher address, for it was
 * mapped first. 0; -ENOENT: nobody defines malloc and free, or nobody that has kept
 * his symbols (is_static is set all the same); -ESRCH: there is no such process; or
 * another -errno.
 */
int allocator_find(uint32_t pid, struct allocator *a);

/*
 * The same of a file that is not running: an executable, or a library, of which
 * others find only what it exports. 0; -ENOENT: it does not define them itself
 * (is_static and linker are set); -ENOEXEC: it is code for another machine; -EINVAL:
 * it is no code; -errno.
 */
int allocator_read(const char *path, struct allocator *a);

/*
 * What the executable has beside the functions of C, under names with a prefix:
 * jemalloc with je_ (redis's) or _rjem_ (Rust's tikv-jemallocator), mimalloc with
 * mi_. The program calls it directly, by no pointer. What is one of C's by another
 * name is left out. 0; -ENOENT: no such thing, or it has not kept its symbols;
 * -errno.
 */
int allocator_find_beside(uint32_t pid, struct allocator *a);
int allocator_read_beside(const char *path, struct allocator *a);

#endif
