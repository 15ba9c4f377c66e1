/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim put into a running process, and taken out of it again.
 *
 *   while it runs    its loaded objects are read, and the pointers by which they
 *                    call the allocator are looked up: slots of the GOT, tables
 *   stopped, once,   the shim's image is mapped and written, the pointers are set
 *   for milliseconds to it, and the symbols by which what is loaded later finds
 *                    the functions; all threads go on
 *
 * No code of the process is run for this but system calls (intake/remote.h), so
 * it does not matter where its threads are: in malloc, in the dynamic linker, in
 * a signal handler. Writes go through /proc/PID/mem, which does not mind that the
 * dynamic linker has made pages read-only (RELRO). We may be killed at any moment:
 * the process goes on, and the next injection finds its way.
 *
 * What it cannot see: functions whose address the program itself had put
 * elsewhere before (dlsym, tables filled at run time); in a library loaded later,
 * until inject_look() has found it, calls by names of one allocator alone
 * (probe/names.h, operator new where it is the allocator's); allocators in other
 * namespaces (dlmopen), of which it tells.
 *
 * When it is taken out each of them holds what it held before. The shim's code,
 * some pages, stays in the process, silent: the program may keep a pointer to a
 * function of it that it read meanwhile. The next injection uses it again.
 */
#ifndef INTAKE_INJECT_H
#define INTAKE_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inject;

/*
 * Puts it in. It will connect to the UNIX socket `sock` (a path as the process
 * sees it), which must be listening. A program that is being started is waited for,
 * for a second; not when `brief`. NULL, with *why a malloc'ed sentence that says
 * what is in the way, and errno: EPERM: it will always be; else it may not be, another
 * time. The process is then as before.
 */
struct inject *inject_open(uint32_t pid, const char *sock, bool brief,
			   char **why);

/* Has the program loaded it itself? 1, 0, or -errno; -EAGAIN: it is being started. */
int inject_preloaded(uint32_t pid);

/*
 * The same for a process that has it already, by fork of one that has: to take
 * it out. NULL: it has none.
 */
struct inject *inject_adopt(uint32_t pid);

/*
 * Has the process loaded something new? Call it now and then; it costs some
 * reads, and a stop when it has.
 */
void inject_look(struct inject *in);

/* False: the program that it was put into is gone, by exec or exit. */
bool inject_alive(const struct inject *in);

/*
 * Puts all pointers back: no new call comes to the shim. What is in the rings may
 * be read then, before inject_leave() takes their memory away. 0 or -errno.
 */
int inject_silence(struct inject *in);

/*
 * Takes away what the shim has mapped but its image. Call it when nobody listens
 * at the socket any more. False: a thread may still be inside of the shim, so that
 * some address space stays mapped, without contents; or one did not stop, or has a
 * seccomp filter (remote_begin()), and nothing is taken away.
 */
bool inject_leave(struct inject *in);
void inject_free(struct inject *in);
/* Both. */
bool inject_close(struct inject *in);

struct inject_totals {
	unsigned int pointers; /* set now */
	unsigned int stops; /* of the process */
	uint64_t stopped_ns; /* altogether */
	uint64_t longest_ns;
	bool apart; /* it had an allocator before that the shim does not see */
	uint64_t unheard; /* events of threads that had no ring, found by inject_silence() */
};
struct inject_totals inject_totals(const struct inject *in);

#endif
