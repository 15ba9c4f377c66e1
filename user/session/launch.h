/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a command is before it runs. Can the shim be preloaded into it? The dynamic
 * linker does that (ld.so(8), LD_PRELOAD), so not where there is none, nor where it
 * must not: in programs that run with other rights than their caller's. And where
 * is the malloc that uprobes are for?
 */
#ifndef SESSION_LAUNCH_H
#define SESSION_LAUNCH_H

#include <limits.h>
#include <stdbool.h>

enum launch_kind {
	LAUNCH_DYNAMIC, /* it can, or what it is is not known */
	LAUNCH_STATIC, /* no dynamic linker; it defines malloc: uprobes can */
	LAUNCH_OWN, /* it defines malloc, for itself and its libraries */
	LAUNCH_BESIDE, /* it has another allocator beside (allocator_read_beside()) */
	LAUNCH_OPAQUE, /* no dynamic linker, and no malloc that has kept its name */
	LAUNCH_SECURE, /* set-user-ID and the like */
	LAUNCH_FOREIGN, /* code for another machine, 32-bit code */
};

struct launch {
	enum launch_kind kind;
	char path[PATH_MAX]; /* of the program, or of the interpreter of a script */
	char linker[PATH_MAX]; /* its dynamic linker; "": none, or not known */
	char allocator[PATH_MAX]; /* launch_find_allocator() */
};

/* Looks for argv0 as execvp(3) does. */
void launch_look(const char *argv0, struct launch *l);
/*
 * Looks for the file whose malloc the program will call: its own, or the first of
 * those that its dynamic linker says it would load (ld.so(8), --list; musl's knows
 * that, too). It does not run the program. False: there is none. l->allocator is ""
 * then, and where it is not known what the program is.
 */
bool launch_find_allocator(struct launch *l);
/* "is statically linked"; NULL for LAUNCH_DYNAMIC. */
const char *launch_what(enum launch_kind kind);

#endif
