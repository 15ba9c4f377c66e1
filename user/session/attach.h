/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim in a process that runs already, in the children that it forks meanwhile
 * and in the programs that all these execute: where it finds the daemon's socket,
 * and how it gets out again.
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
/* Puts the shim into pid; it connects to the last place. 0, or -1: *why is malloc'ed. */
int attach_inject(struct attach *a, char **why);
/* Process pid, which is watched, executes another program: it is put in there, too. */
void attach_exec(struct attach *a, uint32_t pid);
void attach_gone(struct attach *a, uint32_t pid); /* it has exited */
/*
 * Something newly loaded, another program by exec? now, and what it returns: ns of
 * CLOCK_MONOTONIC; by then it is to be called again, and after attach_exec() at once.
 */
uint64_t attach_look(struct attach *a, uint64_t now);
/* What the looks have found in process pid; not told twice of a program. */
struct attach_news {
	uint32_t pid;
	bool entered; /* the shim is in the program that it executes */
	bool misses; /* it has an allocator that the shim does not see */
	char *why; /* malloc'ed: the shim cannot be put into that program */
};
/* False: there are no (more) news. */
bool attach_next(struct attach *a, struct attach_news *news);

/*
 * No new call comes to the shim from process pid, which is watched. Returns how many
 * events of it no ring tells of.
 */
uint64_t attach_silence(struct attach *a, uint32_t pid);
/* Of all that it was put into, in all programs that they have run. */
struct attach_cost {
	unsigned int others; /* processes, beside the one that was attached to */
	unsigned int pointers; /* put back; 0: all are gone */
	unsigned int stops;
	uint64_t stopped_ns, longest_ns;
};

/*
 * Takes the shim out of all that were silenced, and frees. The socket is closed
 * already. Returns how many processes it could not be taken out of wholly.
 */
unsigned int attach_close(struct attach *a, struct attach_cost *cost);

#endif
