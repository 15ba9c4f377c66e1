/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls as strace writes them, for x86-64 and its 32-bit table: all that
 * can change an address space.
 */
#ifndef OUTPUT_SYSCALL_H
#define OUTPUT_SYSCALL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "model/event.h"

/* "mmap"; "syscall_N" in buf when the table does not have it. Returns a string. */
const char *syscall_name(int32_t nr, bool compat, char buf[32]);
/* "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)" */
void put_syscall(FILE *f, int32_t nr, bool compat, const uint64_t args[6]);
/* "MADV_DONTNEED" */
void put_advice(FILE *f, int32_t advice);

/* "ENOMEM, vm.max_map_count": the error and why, as far as that is known. */
void put_failure(FILE *f, int32_t error, enum failed_reason reason);
const char *failed_reason_name(enum failed_reason reason); /* NULL: unknown */

/* The call maps memory (mmap, mmap2) for use as a stack. */
bool syscall_maps_stack(int32_t nr, bool compat, const uint64_t args[6]);

#endif
