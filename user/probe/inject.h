/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim as it is put into a running process (intake/inject.c): the same
 * sources, linked as an object of their own that needs no loader. It has no
 * thread variables, calls nothing but a few functions of the target's libc, and
 * is found by the symbols named here. Its originals are filled in from outside
 * before its first instruction runs.
 */
#ifndef PROBE_INJECT_H
#define PROBE_INJECT_H

#include <stddef.h>

#include "probe/words.h"

/*
 * Images lie at the end of the region that the shim's mappings have. Most often
 * there is one; another is needed where a thread may be inside of the first, or
 * that one is of another version.
 */
#define INJECT_AREA (SHIM_REGION + SHIM_REGION_BYTES - SHIM_PLACE_BYTES)
#define INJECT_PLACES 16
#define INJECT_PLACE_BYTES (SHIM_PLACE_BYTES / INJECT_PLACES)
#define INJECT_IMAGE_BYTES (1ull << 20) /* no image is larger */

/* Offsets in struct process: which places were tried; events that no ring tells of */
#define INJECT_PROCESS_PLACE 8
#define INJECT_PROCESS_LOST 48

/* inject_homes: of pages of its own, wiped by fork. */
#define INJECT_HOME_BITS 12
#define INJECT_HOME_BYTES (64u << INJECT_HOME_BITS)

/*
 * shim_functions[], shim_operators[], shim_names[], each up to one without a
 * name: what the target calls by it.
 */
struct inject_function {
	const char *name;
	void *hook; /* calls of the function are to come here */
	void **next; /* here goes the original */
};

#define INJECT_SOCK_BYTES 108

/* shim_state */
enum shim_state { SHIM_NEW, SHIM_STARTING, SHIM_ACTIVE, SHIM_SILENT };

#endif
