/* SPDX-License-Identifier: GPL-2.0 */
/* The stack of a thread that is stopped, by what .eh_frame says. */
#ifndef INTAKE_UNWIND_H
#define INTAKE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "intake/proc.h"

/*
 * Is it sure that thread tid of process pid, which are stopped under our ptrace(2),
 * will not return into any of [start, end)? False as well when some frame is of code
 * that says nothing of its frames (made at run time), or whose file cannot be read
 * any more. maps: of the process as it is (proc_maps()).
 */
bool unwind_avoids(uint32_t pid, pid_t tid, const struct proc_map *maps,
		   size_t nr_maps, uint64_t start, uint64_t end);

#endif
