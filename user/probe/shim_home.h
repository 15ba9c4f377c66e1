/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a thread of the injected shim finds its slot: a table by thread pointer
 * (%fs:0, which the x86-64 ABI makes the thread's own address: "ELF Handling For
 * Thread-Local Storage", 3.4.6). A line is looked through as a whole; a thread
 * that finds no place in its own borrows a slot for each call. Only the thread
 * itself has its pointer, so only it writes its entry; a thread that has ended
 * leaves its number there, for the next one may get the same pointer, and its
 * own last destructors still call free.
 */
#ifndef PROBE_SHIM_HOME_H
#define PROBE_SHIM_HOME_H

#include "probe/shim_sys.h"

#define HOME_WAYS 3

struct home_line {
	uint64_t tp[HOME_WAYS]; /* 0: free */
	struct slot *slot[HOME_WAYS];
	uint32_t ended[HOME_WAYS]; /* the thread that has ended; 0: none */
	uint32_t unused;
};

_Static_assert(sizeof(struct home_line) == 64, "one cache line");
_Static_assert(sizeof(struct home_line) << INJECT_HOME_BITS ==
		       INJECT_HOME_BYTES,
	       "as the injector clears it");

/* Wiped by fork. */
extern struct home_line inject_homes[1 << INJECT_HOME_BITS];

static inline uint64_t thread_pointer(void)
{
	uint64_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp));
	return tp;
}

/* Thread pointers differ by the size of a stack: its low bits say little. */
static inline struct home_line *home_line(uint64_t tp)
{
	return &inject_homes[tp * 0x9e3779b97f4a7c15ull >>
			     (64 - INJECT_HOME_BITS)];
}

static inline struct slot *slot_mine(void)
{
	uint64_t tp = thread_pointer();
	struct home_line *l = home_line(tp);

	if (likely(l->tp[0] == tp))
		return l->slot[0];
	if (l->tp[1] == tp)
		return l->slot[1];
	return l->tp[2] == tp ? l->slot[2] : NULL;
}

bool slot_keep(struct slot *s);
void slot_end_thread(void);

#endif
