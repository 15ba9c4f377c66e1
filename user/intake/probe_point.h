/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where in a function a uprobe is cheapest. The kernel emulates push, jmp, jcc,
 * call and nop (arch/x86/kernel/uprobes.c); any other instruction under the
 * breakpoint is run from a copy, single-stepped, by a second trap, which makes a
 * hit three to four times dearer.
 */
#ifndef INTAKE_PROBE_POINT_H
#define INTAKE_PROBE_POINT_H

#include <stdbool.h>
#include <stddef.h>

#define PROBE_POINT_BYTES 32 /* of code that are of interest */

/*
 * The offset of the first emulated instruction that every call reaches with its
 * arguments and its return address where they were at entry; 0 when none is
 * known. code: the function's first `nr` bytes. null_returns: a call with the
 * first argument 0 is of no interest, so a branch that sends it away may be passed.
 */
size_t probe_point(const unsigned char *code, size_t nr, bool null_returns);

#endif
