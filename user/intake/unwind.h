/* SPDX-License-Identifier: GPL-2.0 */
/* The stack of a thread that is stopped, by what .eh_frame says. */
#ifndef INTAKE_UNWIND_H
#define INTAKE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "intake/proc.h"

struct unwind;

/*
 * Of process pid, whose threads are stopped under our ptrace(2), until
 * unwind_close(); one at a time. maps: of the process as it is (proc_maps()), they
 * stay the caller's. NULL: it cannot be read, or no memory.
 */
struct unwind *unwind_open(uint32_t pid, const struct proc_map *maps,
			   size_t nr_maps);
void unwind_close(struct unwind *u); /* may be NULL */
/*
 * Is it sure that thread tid of it will not return into any of [start, end)? False as
 * well when some frame is of code that says nothing of its frames (made at run time),
 * or whose file cannot be read any more.
 */
bool unwind_avoids(struct unwind *u, pid_t tid, uint64_t start, uint64_t end);

#endif
