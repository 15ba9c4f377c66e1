/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim in a process that runs already, and in the children that it forks
 * meanwhile: where it finds the daemon's socket, and how it gets out again.
 */
#ifndef SESSION_ATTACH_H
#define SESSION_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct attach;

struct attach *attach_new(uint32_t pid); /* NULL: no memory */
/*
 * The i-th place for the socket, where listening may be tried: `path` is what we
 * bind to; the process has another name for it when it sees other files than we
 * do (a container). False: there are no more.
 */
bool attach_place(struct attach *a, unsigned int i, const char *sock,
		  char *path, size_t size);
/* Puts the shim in; it connects to the last place. 0, or -1: *why is malloc'ed. */
int attach_inject(struct attach *a, char **why);
/*
 * Something newly loaded, another program by exec? Call it a few times a second.
 * NULL; or, once, why the shim cannot be put into that program (malloc'ed).
 */
char *attach_look(struct attach *a);
/* Once true: it has an allocator that the shim does not see. */
bool attach_misses(struct attach *a);

/*
 * No new call comes to the shim from process pid, which is watched. Returns how many
 * events of it no ring tells of.
 */
uint64_t attach_silence(struct attach *a, uint32_t pid);
/* Of the process that it was put into, in all programs that it has run. */
struct attach_cost {
	unsigned int pointers; /* put back; 0: it is gone */
	unsigned int stops;
	uint64_t stopped_ns, longest_ns;
};

/*
 * Takes the shim out of all that were silenced, and frees. The socket is closed
 * already. Returns how many processes it could not be taken out of wholly.
 */
unsigned int attach_close(struct attach *a, struct attach_cost *cost);

#endif
