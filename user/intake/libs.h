/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The loaded objects of another process as its dynamic linker lists them
 * (struct r_debug of <link.h>), their symbols, and the pointers that it has
 * bound. All of it is read from the process's memory, which may hold anything:
 * nothing is trusted, everything is bounded.
 */
#ifndef INTAKE_LIBS_H
#define INTAKE_LIBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/dynamic.h"

struct lib {
	uint64_t dynamic; /* where this is said: */
	struct dynamic d;
	char name[256]; /* as the linker has it, cut to fit; "": the program */
};

struct libs {
	struct lib *at;
	size_t nr;
	uint64_t linker; /* base of the dynamic linker */
	uint64_t sum; /* differs when the list does */
};

/*
 * Where the process keeps its struct r_debug. 0, or -errno: -ENOEXEC: no dynamic
 * linker is at work (static); -EAGAIN: it has not begun; -ELIBBAD: 32-bit code.
 */
int libs_find(uint32_t pid, int mem, uint64_t *r_debug);
/*
 * 0; -EAGAIN: the linker is changing the list; -EBADMSG: it makes no sense, which
 * that of a running process may not for a moment.
 */
int libs_read(int mem, uint64_t r_debug, struct libs *l);
/* The same without the objects: the sum alone. */
int libs_sum(int mem, uint64_t r_debug, uint64_t *sum);
void libs_free(struct libs *l);

/*
 * Calls found() for each symbol (there may be one a version) by which the object
 * defines a function of that name: its address, and where the symbol's value stands,
 * which is that less the object's base.
 */
void lib_definitions(int mem, const struct lib *lib, const char *name,
		     void (*found)(void *ctx, uint64_t addr, uint64_t at),
		     void *ctx);
/* Address of a function that the object defines, by the first; 0: it does not. */
uint64_t lib_symbol(int mem, const struct lib *lib, const char *name);
/* The first of the list that defines it; *where: its index. 0: none. */
uint64_t libs_symbol(int mem, const struct libs *l, const char *name,
		     size_t *where);

/*
 * The first of `bytes` bytes between the end of the object's code and the end of
 * that page, which is mapped with it; aligned to 16. 0: so much is not there.
 */
uint64_t lib_gap(int mem, uint64_t base, size_t bytes);

/*
 * Calls found() for each pointer to a function that the linker binds or has
 * bound: R_X86_64_JUMP_SLOT (`lazy`), GLOB_DAT, 64 without addend. 0 or -errno.
 */
int lib_pointers(int mem, const struct lib *lib,
		 void (*found)(void *ctx, const char *name, uint64_t addr,
			       bool lazy),
		 void *ctx);

#endif
