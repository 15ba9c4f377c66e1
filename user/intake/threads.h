/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a thread calls itself (gettid(2)) and what its number is with us: not the same
 * where its process is in another pid namespace, as in a container. /proc says both
 * ("NSpid:" of proc(5)).
 */
#ifndef INTAKE_THREADS_H
#define INTAKE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

/* What a thread of ours calls itself; 0: it is gone. *foreign: not as we do. */
uint32_t threads_own(uint32_t tid, bool *foreign);

/* Of the processes of other namespaces; NULL: none yet. */
struct threads;

/*
 * The number of the thread of process tgid that calls itself tid, or the last one
 * that did, as far as we have seen it; 0: there is none. *foreign: the process is in
 * another namespace. Who is asked for first costs a look at each thread that is new.
 */
uint32_t threads_find(struct threads **t, uint32_t tgid, uint32_t tid,
		      bool *foreign);
/* The process is gone. */
void threads_forget(struct threads **t, uint32_t tgid);
void threads_free(struct threads **t);

#endif
