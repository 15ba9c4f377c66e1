// SPDX-License-Identifier: GPL-2.0
/*
 * The thread stands in the stop of PTRACE_INTERRUPT. For each call it goes
 *
 *   registers set --PTRACE_SYSCALL--> entry stop --PTRACE_SYSCALL--> exit stop
 *
 * and in the end once more into a stop of PTRACE_INTERRUPT, where its registers
 * are restored, because only on the way out of that one the kernel looks whether
 * a system call is to be restarted (arch/x86/kernel/signal.c,
 * arch_do_signal_or_restart()). Signals are blocked meanwhile.
 *
 * At each of these moments the instruction pointer is in the stub below, with
 * the thread's own stack pointer. Left alone it makes the call, if it has not
 * yet, sets the signal mask, loads the registers that calls change and jumps to
 * where the thread was. It uses no stack, so that a signal handler may run at any
 * point once the mask is set, changes no flags and nothing of the FPU, and needs
 * no return that a shadow stack would mind. A system call that was interrupted
 * is begun again, as the kernel would do it. (A seccomp filter that was suspended is
 * on again then, and has its say.)
 */
#include "intake/remote.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intake/proc.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f /* Linux 5.13 */
#endif
#define GET_USER_DISPATCH \
	0x4210 /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, 6.4 */
#define USER_CS_64 0x33

/* The same values in the kernel's include/linux/errno.h, which programs never see. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

/* What the code below finds behind itself. */
struct stub_data {
	uint64_t mask;
	uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rip;
	struct remote_note note;
};

__asm__(".pushsection .rodata\n"
	".balign 8\n"
	"remote_stub:\n"
	"	syscall\n"
	"remote_stub_back:\n"
	"	mov $14, %eax\n" /* rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8) */
	"	mov $2, %edi\n"
	"	lea remote_stub_data(%rip), %rsi\n"
	"	mov $0, %edx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	mov 8+remote_stub_data(%rip), %rax\n"
	"	mov 16+remote_stub_data(%rip), %rcx\n"
	"	mov 24+remote_stub_data(%rip), %rdx\n"
	"	mov 32+remote_stub_data(%rip), %rsi\n"
	"	mov 40+remote_stub_data(%rip), %rdi\n"
	"	mov 48+remote_stub_data(%rip), %r8\n"
	"	mov 56+remote_stub_data(%rip), %r9\n"
	"	mov 64+remote_stub_data(%rip), %r10\n"
	"	mov 72+remote_stub_data(%rip), %r11\n"
	"	jmp *80+remote_stub_data(%rip)\n"
	"	.balign 8\n"
	"remote_stub_data:\n"
	".popsection\n");
extern const unsigned char remote_stub[], remote_stub_back[],
	remote_stub_data[] __attribute__((visibility("hidden")));
_Static_assert(offsetof(struct stub_data, rip) == 80, "as the code has it");

static size_t code_bytes(void)
{
	return (size_t)(remote_stub_data - remote_stub);
}

static uint64_t way_back(const struct remote *r)
{
	return r->at + (uint64_t)(remote_stub_back - remote_stub);
}

static bool all_zero(const unsigned char *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return !n;
}

/* By the last word, which is written first; the rest may not have been yet. */
static bool is_stub(const unsigned char *p)
{
	size_t i, n = code_bytes();

	for (i = 0; i < n; i++)
		if (p[i] != remote_stub[i] && (p[i] || i >= n - 8))
			return false;
	return true;
}

enum remote_gap remote_gap(int mem, uint64_t at, struct remote_note *note)
{
	unsigned char have[REMOTE_BYTES];
	struct stub_data d;

	*note = (struct remote_note){ 0 };
	if (pread(mem, have, sizeof(have), (off_t)at) != sizeof(have))
		return REMOTE_GAP_USED;
	if (all_zero(have, sizeof(have)))
		return REMOTE_GAP_FREE;
	if (!is_stub(have))
		return REMOTE_GAP_USED;
	memcpy(&d, have + code_bytes(), sizeof(d));
	*note = d.note;
	return REMOTE_GAP_LEFT;
}

/* A kernel may forbid such writes (proc_mem.force_override=), but not ptrace's. */
static int write_code(const struct remote *r, const unsigned char *p, size_t n)
{
	uint64_t w;

	if (pwrite(r->mem, p, n, (off_t)r->at) == (ssize_t)n)
		return 0;
	while (n) {
		n -= 8;
		memcpy(&w, p + n, 8);
		if (ptrace(PTRACE_POKEDATA, r->tid, r->at + n, w))
			return -EIO;
	}
	return 0;
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
	if (proc_registers(tid, &r->regs) || r->regs.cs != USER_CS_64)
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

/*
 * As arch_do_signal_or_restart() does it. A call that would go on with what is
 * left of its time goes on so: nothing that we call touches what the kernel has
 * noted of it (restart_block).
 */
static void restart(const struct user_regs_struct *regs, struct stub_data *d)
{
	if ((long)regs->orig_rax < 0)
		return;
	switch (-(long)regs->rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		d->rax = regs->orig_rax;
		d->rip -= 2;
		break;
	case ERESTART_RESTARTBLOCK:
		d->rax = SYS_restart_syscall;
		d->rip -= 2;
		break;
	}
}

static int write_stub(const struct remote *r, struct remote_note note)
{
	const struct user_regs_struct *g = &r->regs;
	struct stub_data d = { .mask = r->mask,
			       .rax = g->rax,
			       .rcx = g->rcx,
			       .rdx = g->rdx,
			       .rsi = g->rsi,
			       .rdi = g->rdi,
			       .r8 = g->r8,
			       .r9 = g->r9,
			       .r10 = g->r10,
			       .r11 = g->r11,
			       .rip = g->rip,
			       .note = note };
	unsigned char stub[REMOTE_BYTES] = { 0 };

	restart(g, &d);
	memcpy(stub, remote_stub, code_bytes());
	memcpy(stub + code_bytes(), &d, sizeof(d));
	return write_code(r, stub, sizeof(stub));
}

static void clear_stub(const struct remote *r)
{
	static const unsigned char nothing[REMOTE_BYTES];

	write_code(r, nothing, sizeof(nothing));
}

/* Into the stub; then nobody may come between. */
static int enter(struct remote *r)
{
	struct user_regs_struct regs = r->regs;
	uint64_t all = ~0ull;
	int err;

	regs.rip = way_back(r);
	regs.orig_rax = ~0ull; /* it is in no call that could be restarted */
	err = set_regs(r->tid, &regs);
	if (!err && ptrace(PTRACE_SETSIGMASK, r->tid, sizeof(all), &all)) {
		err = -errno;
		set_regs(r->tid, &r->regs);
	}
	return err;
}

int remote_begin(struct remote *r, const struct proc_stopped *st, int mem,
		 uint64_t at, struct remote_note note)
{
	pid_t tid = choose(r, st, mem);
	long options = PTRACE_O_TRACESYSGOOD;
	int err;

	r->tid = 0;
	r->mem = mem;
	r->at = at;
	if (!tid)
		return -EBUSY;
	if (dispatches_itself(tid))
		return -EPERM;
	if (proc_filters(tid))
		options |= PTRACE_O_SUSPEND_SECCOMP;
	if (ptrace(PTRACE_SETOPTIONS, tid, 0, options) ||
	    ptrace(PTRACE_GETSIGMASK, tid, sizeof(r->mask), &r->mask))
		return -errno;
	r->tid = tid;
	err = write_stub(r, note);
	if (!err)
		err = enter(r);
	if (err) {
		clear_stub(r);
		r->tid = 0;
	}
	return err;
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
		err = proc_registers(r->tid, &regs);
	return err ? err : (long)regs.rax;
}

void remote_end(struct remote *r)
{
	if (!r->tid)
		return;
	if (!ptrace(PTRACE_INTERRUPT, r->tid, 0, 0) &&
	    !run_to(r->tid, PTRACE_CONT, is_event_stop) &&
	    !ptrace(PTRACE_SETSIGMASK, r->tid, sizeof(r->mask), &r->mask) &&
	    !set_regs(r->tid, &r->regs))
		clear_stub(r);
	r->tid = 0;
}
