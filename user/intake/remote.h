/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls in a stopped process, made by one of its threads for us. Its
 * registers, signal mask and a system call that the stop interrupted are as
 * before afterwards; no memory of the process is touched, no instruction of its
 * own is run.
 */
#ifndef INTAKE_REMOTE_H
#define INTAKE_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "intake/proc.h"

struct remote {
	pid_t tid; /* 0: none */
	struct user_regs_struct regs; /* as they were */
	uint64_t mask;
	uint64_t at; /* a syscall instruction of the process */
};

/*
 * Chooses a thread of `st` that may be used: a 64-bit one that is in no
 * restartable sequence. `mem` is /proc/PID/mem, `at` a syscall instruction in the
 * process. 0; -EBUSY: there is none at the moment; -EPERM: system calls of the
 * process are dispatched to itself (prctl(PR_SET_SYSCALL_USER_DISPATCH)).
 */
int remote_begin(struct remote *r, const struct proc_stopped *st, int mem,
		 uint64_t at);
/* The kernel's return value; -ESRCH: the thread has been killed. */
long remote_call(struct remote *r, long nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d, uint64_t e, uint64_t f);
void remote_end(struct remote *r);

#endif
