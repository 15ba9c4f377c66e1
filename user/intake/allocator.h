/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the allocator of a running process is: the file that defines malloc, and
 * the offsets in it at which its functions begin.
 */
#ifndef INTAKE_ALLOCATOR_H
#define INTAKE_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

#define ALLOCATOR_FUNCTIONS 11

struct allocator {
	/* The file as /proc shows it: right in a container and when deleted. */
	char path[64];
	char name[256]; /* as the process calls it, cut to fit */
	size_t nr; /* functions, each address once */
	struct {
		const char *name; /* "malloc" ... */
		uint64_t offset; /* in the file, bytes */
		uint64_t probe; /* where a uprobe is cheapest (probe_point.h) */
	} functions[ALLOCATOR_FUNCTIONS];
};

/*
 * Looks through the executable mappings of process pid. The executable goes
 * before the libraries and another library before the libc, as the dynamic
 * linker would find them. 0; -ENOENT: nobody defines malloc and free;
 * -ESRCH: there is no such process; or another -errno.
 */
int allocator_find(uint32_t pid, struct allocator *a);

#endif
