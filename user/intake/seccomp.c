// SPDX-License-Identifier: GPL-2.0
#include "intake/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "intake/proc.h"

/* An argument that may be anything: an address, a length, a descriptor, a thread. */
#define ANY UINT64_MAX

struct call {
	uint32_t nr;
	uint64_t args[6];
};

/* What the shim asks for (probe/shim_link.c, shim_slot.c, shim_stack.c). */
static const struct call calls[] = {
	{ SYS_getpid, { 0 } },
	{ SYS_gettid, { 0 } },
	{ SYS_socket, { AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC } },
	{ SYS_setsockopt, { ANY, SOL_SOCKET, SO_RCVTIMEO, ANY, ANY } },
	{ SYS_setsockopt, { ANY, SOL_SOCKET, SO_SNDTIMEO, ANY, ANY } },
	{ SYS_connect, { ANY, ANY, ANY } },
	{ SYS_sendto, { ANY, ANY, ANY, MSG_NOSIGNAL } },
	{ SYS_recvmsg, { ANY, ANY, MSG_CMSG_CLOEXEC } },
	{ SYS_close, { ANY } },
	{ SYS_mmap,
	  { ANY, ANY, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ANY, ANY } },
	{ SYS_mmap,
	  { ANY, ANY, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
	    ANY, ANY } },
	{ SYS_mmap,
	  { ANY, ANY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
	    ANY, ANY } },
	{ SYS_munmap, { ANY, ANY } },
	{ SYS_madvise, { ANY, ANY, MADV_DONTFORK } },
	{ SYS_madvise, { ANY, ANY, MADV_WIPEONFORK } },
	{ SYS_madvise, { ANY, ANY, MADV_POPULATE_WRITE } },
	{ SYS_rt_sigprocmask, { SIG_BLOCK, ANY, ANY, 8 } },
	{ SYS_rt_sigprocmask, { SIG_SETMASK, ANY, ANY, 8 } },
	{ SYS_rt_sigprocmask, { ~0u, ANY, ANY, 8 } },
	{ SYS_futex, { ANY, FUTEX_WAIT, ANY, ANY } },
	{ SYS_futex, { ANY, FUTEX_WAKE, ANY } },
	{ SYS_clock_gettime, { CLOCK_MONOTONIC, ANY } },
};

struct machine {
	const struct call *call;
	uint32_t a, x, mem[BPF_MEMWORDS];
};

/* A word of struct seccomp_data. False: it may be anything. */
static bool load(struct machine *m, uint32_t at)
{
	size_t i = (at - offsetof(struct seccomp_data, args)) / 8;

	if (at == offsetof(struct seccomp_data, nr))
		m->a = m->call->nr;
	else if (at == offsetof(struct seccomp_data, arch))
		m->a = AUDIT_ARCH_X86_64;
	else if (i < 6 && m->call->args[i] != ANY)
		m->a = (uint32_t)(m->call->args[i] >> (at & 4 ? 32 : 0));
	else
		return false;
	return true;
}

static bool alu(struct machine *m, uint16_t code, uint32_t v)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		m->a += v;
		break;
	case BPF_SUB:
		m->a -= v;
		break;
	case BPF_AND:
		m->a &= v;
		break;
	case BPF_OR:
		m->a |= v;
		break;
	case BPF_XOR:
		m->a ^= v;
		break;
	case BPF_LSH:
		m->a <<= v & 31;
		break;
	case BPF_RSH:
		m->a >>= v & 31;
		break;
	case BPF_NEG:
		m->a = -m->a;
		break;
	default: /* multiplies and divides: no filter does */
		return false;
	}
	return true;
}

static bool is_true(const struct machine *m, uint16_t code, uint32_t v)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return m->a == v;
	case BPF_JGT:
		return m->a > v;
	case BPF_JGE:
		return m->a >= v;
	default:
		return m->a & v;
	}
}

static bool move(struct machine *m, const struct sock_filter *i)
{
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return load(m, i->k);
	case BPF_LD | BPF_IMM:
		m->a = i->k;
		break;
	case BPF_LDX | BPF_IMM:
		m->x = i->k;
		break;
	case BPF_LD | BPF_MEM:
		m->a = m->mem[i->k % BPF_MEMWORDS];
		break;
	case BPF_LDX | BPF_MEM:
		m->x = m->mem[i->k % BPF_MEMWORDS];
		break;
	case BPF_ST:
		m->mem[i->k % BPF_MEMWORDS] = m->a;
		break;
	case BPF_STX:
		m->mem[i->k % BPF_MEMWORDS] = m->x;
		break;
	case BPF_MISC | BPF_TAX:
		m->x = m->a;
		break;
	case BPF_MISC | BPF_TXA:
		m->a = m->x;
		break;
	default:
		return false;
	}
	return true;
}

static bool is_allowed(uint32_t action)
{
	action &= SECCOMP_RET_ACTION_FULL;
	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

/* (Jumps go forward only, by as much as a byte, or k, says.) */
static bool allows(const struct sock_filter *f, size_t nr,
		   const struct call *call)
{
	struct machine m = { .call = call };
	size_t at;

	for (at = 0; at < nr; at++) {
		const struct sock_filter *i = &f[at];
		uint32_t v = BPF_SRC(i->code) == BPF_X ? m.x : i->k;

		if (BPF_CLASS(i->code) == BPF_RET)
			return is_allowed(BPF_RVAL(i->code) == BPF_A ? m.a :
								       i->k);
		if (i->code == (BPF_JMP | BPF_JA))
			at += i->k;
		else if (BPF_CLASS(i->code) == BPF_JMP)
			at += is_true(&m, i->code, v) ? i->jt : i->jf;
		else if (BPF_CLASS(i->code) == BPF_ALU ? !alu(&m, i->code, v) :
							 !move(&m, i))
			return false;
	}
	return false;
}

bool seccomp_filter_allows(const struct sock_filter *f, size_t nr)
{
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!allows(f, nr, &calls[i]))
			return false;
	return true;
}

/* The n-th filter of a thread. 1: allows; 0: does not; -errno: there is none. */
static int nth_allows(pid_t tid, unsigned long n)
{
	struct sock_filter f[BPF_MAXINSNS];
	long nr = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, n, NULL);

	if (nr > 0 && nr <= BPF_MAXINSNS)
		nr = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, n, f);
	if (nr < 0)
		return -errno;
	return nr <= BPF_MAXINSNS && seccomp_filter_allows(f, (size_t)nr);
}

bool seccomp_allows(pid_t tid)
{
	unsigned long n = 0;
	int err;

	if (!proc_filters(tid))
		return true;
	while ((err = nth_allows(tid, n)) == 1)
		n++;
	return n && err == -ENOENT;
}
