// SPDX-License-Identifier: GPL-2.0
/*
 * The thread stands in the stop of PTRACE_INTERRUPT. For each call it goes
 *
 *   registers set --PTRACE_SYSCALL--> entry stop --PTRACE_SYSCALL--> exit stop
 *
 * and in the end, its registers restored, once more into a stop of
 * PTRACE_INTERRUPT, because only on the way out of that one the kernel looks
 * whether a system call is to be restarted (arch/x86/kernel/signal.c,
 * arch_do_signal_or_restart()). Signals are blocked meanwhile.
 */
#include "intake/remote.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f /* Linux 5.13 */
#endif
#define GET_USER_DISPATCH \
	0x4210 /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, 6.4 */
#define USER_CS_64 0x33

static int get_regs(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	return iov.iov_len == sizeof(*regs) ? 0 : -ENOEXEC; /* a 32-bit one */
}

static int set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	struct iovec iov = { (void *)(uintptr_t)regs, sizeof(*regs) };

	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov) ? -errno : 0;
}

/*
 * A thread in a restartable sequence would come back into it with the kernel
 * believing that it has left it (kernel/rseq.c, clear_rseq_cs()).
 */
static bool in_rseq(pid_t tid, int mem)
{
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} conf = { 0 };
	uint64_t cs = 0;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(conf), &conf) <=
		    0 ||
	    !conf.address)
		return false;
	/* struct rseq: cpu_id_start, cpu_id, rseq_cs */
	return pread(mem, &cs, 8, (off_t)conf.address + 8) != 8 || cs;
}

static bool dispatches_itself(pid_t tid)
{
	uint64_t conf[4] = { 0 }; /* mode, selector, offset, len */

	return ptrace(GET_USER_DISPATCH, tid, sizeof(conf), &conf) >= 0 &&
	       conf[0];
}

/* In a system call it is in no sequence and in no hurry: those come first. */
static bool may_use(struct remote *r, pid_t tid, int mem, bool in_call)
{
	if (get_regs(tid, &r->regs) || r->regs.cs != USER_CS_64)
		return false;
	if (((long)r->regs.orig_rax >= 0) != in_call)
		return false;
	return in_call || !in_rseq(tid, mem);
}

static pid_t choose(struct remote *r, const struct proc_stopped *st, int mem)
{
	size_t i, n;

	for (n = 0; n < 2; n++)
		for (i = 0; i < st->nr; i++)
			if (may_use(r, st->tids[i], mem, !n))
				return st->tids[i];
	return 0;
}

int remote_begin(struct remote *r, const struct proc_stopped *st, int mem,
		 uint64_t at)
{
	uint64_t all = ~0ull;
	pid_t tid = choose(r, st, mem);

	r->tid = 0;
	r->at = at;
	if (!tid)
		return -EBUSY;
	if (dispatches_itself(tid))
		return -EPERM;
	if (ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_TRACESYSGOOD) ||
	    ptrace(PTRACE_GETSIGMASK, tid, sizeof(r->mask), &r->mask) ||
	    ptrace(PTRACE_SETSIGMASK, tid, sizeof(all), &all))
		return -errno;
	r->tid = tid;
	return 0;
}

#define CALL_STOP (SIGTRAP | 0x80)

static bool is_event_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

static bool is_call_stop(int status)
{
	return status >> 8 == CALL_STOP;
}

/*
 * Until the thread stands in the wanted stop; others are passed over. There is no
 * limit of time: a thread that is left here would never be itself again.
 */
static int run_to(pid_t tid, int request, bool (*wanted)(int status))
{
	int status = 0;

	do {
		int sig = status >> 16 || is_call_stop(status) ?
				  0 :
				  WSTOPSIG(status);

		if (ptrace(request, tid, 0, (long)sig))
			return -errno;
		while (waitpid(tid, &status, __WALL) < 0)
			if (errno != EINTR)
				return -errno;
		if (!WIFSTOPPED(status))
			return -ESRCH;
	} while (!wanted(status));
	return 0;
}

long remote_call(struct remote *r, long nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d, uint64_t e, uint64_t f)
{
	struct user_regs_struct regs = r->regs;
	int err;

	regs.rip = r->at;
	regs.rax = (uint64_t)nr;
	regs.orig_rax = ~0ull; /* it is in no call that could be restarted */
	regs.rdi = a;
	regs.rsi = b;
	regs.rdx = c;
	regs.r10 = d;
	regs.r8 = e;
	regs.r9 = f;
	err = set_regs(r->tid, &regs);
	if (!err)
		err = run_to(r->tid, PTRACE_SYSCALL, is_call_stop);
	if (!err)
		err = run_to(r->tid, PTRACE_SYSCALL, is_call_stop);
	if (!err)
		err = get_regs(r->tid, &regs);
	return err ? err : (long)regs.rax;
}

void remote_end(struct remote *r)
{
	if (!r->tid)
		return;
	set_regs(r->tid, &r->regs);
	ptrace(PTRACE_SETSIGMASK, r->tid, sizeof(r->mask), &r->mask);
	if (!ptrace(PTRACE_INTERRUPT, r->tid, 0, 0))
		run_to(r->tid, PTRACE_CONT, is_event_stop);
	r->tid = 0;
}
