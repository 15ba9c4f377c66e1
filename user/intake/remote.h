/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls in a stopped process, made by one of its threads for us. Its
 * registers, signal mask and a system call that the stop interrupted are as
 * before afterwards; no data of the process are touched, no instruction of its
 * own is run.
 *
 * We may be killed at any moment; then the kernel lets the thread go as it
 * stands (kernel/ptrace.c, exit_ptrace()). So it stands in a stub the whole
 * time, some instructions and its own registers, that makes the call and brings
 * the thread back by itself. The stub lies where nothing is: between the end of
 * an object's code and the end of that page, which is zeroes, and is zeroes
 * again when we are done.
 */
#ifndef INTAKE_REMOTE_H
#define INTAKE_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "intake/proc.h"

#define REMOTE_BYTES 256 /* a stub takes no more */

/* What a stub is there for: where something is being mapped; 0: nothing. */
struct remote_note {
	uint64_t at, size;
};

struct remote {
	pid_t tid; /* 0: none */
	int mem;
	struct user_regs_struct regs; /* as they were */
	uint64_t mask;
	uint64_t at; /* of the stub */
};

enum remote_gap {
	REMOTE_GAP_USED, /* there is something */
	REMOTE_GAP_FREE,
	REMOTE_GAP_LEFT, /* a stub of one that was killed; a thread may be in it */
};

/* What is at an address in the process; *note: of a stub that was left. */
enum remote_gap remote_gap(int mem, uint64_t at, struct remote_note *note);

/*
 * Chooses a thread of `st` that may be used: a 64-bit one that is in no
 * restartable sequence. `mem` is /proc/PID/mem, `at` a gap that is free, or left
 * with no thread in it. 0; -EBUSY: there is none at the moment; -EPERM: system
 * calls of the process are dispatched to itself
 * (prctl(PR_SET_SYSCALL_USER_DISPATCH)), or a seccomp filter watches them, which
 * only CAP_SYS_ADMIN may suspend; -EIO: nothing can be written there.
 */
int remote_begin(struct remote *r, const struct proc_stopped *st, int mem,
		 uint64_t at, struct remote_note note);
/* The kernel's return value; -ESRCH: the thread has been killed. */
long remote_call(struct remote *r, long nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d, uint64_t e, uint64_t f);
void remote_end(struct remote *r);

#endif
