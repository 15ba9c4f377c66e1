// SPDX-License-Identifier: GPL-2.0
/*
 * A program that shuts itself in by seccomp: from then on a system call of ours may kill
 * it. It is heard of by the functions through which it asks for that. (What such a
 * program starts has a filter that we do not hear of, as every program in a container
 * has.)
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "probe/shim.h"
#include "probe/shim_sys.h"

void *next_prctl, *next_syscall;

/* What libc's wrappers make of what the kernel returns; called by syscall(). */
long libc_result(long ret);
long libc_result(long ret)
{
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = (int)-ret;
	return -1;
}

static long guard(long nr, long a, long b, long c, long d, long e, long f)
{
	bool was = shim_guarded;
	long ret;

	slot_guard();
	ret = sys6(nr, a, b, c, d, e, f);
	if (ret < 0)
		shim_guarded = was;
	return ret;
}

EXPORT int prctl(int option, long a, long b, long c, long d)
{
	return (int)libc_result(
		option == PR_SET_SECCOMP ?
			guard(SYS_prctl, option, a, b, c, d, 0) :
			sys6(SYS_prctl, option, a, b, c, d, 0));
}

/* seccomp(), which libc has no wrapper for, and prctl(PR_SET_SECCOMP) by their numbers */
long syscall_guard(long nr, long a, long b, long c, long d, long e, long f);
long syscall_guard(long nr, long a, long b, long c, long d, long e, long f)
{
	bool asks = nr == SYS_seccomp && a != SECCOMP_SET_MODE_STRICT &&
		    a != SECCOMP_SET_MODE_FILTER;

	return libc_result(asks ? sys6(nr, a, b, c, d, e, f) :
				  guard(nr, a, b, c, d, e, f));
}

#ifdef SHIM_INJECTED
/* Threads may stay in a system call for as long as they like, but not in the image. */
#define PASS_ON "	jmp	*next_syscall(%rip)\n"
#else
/* As libc's, without a stack frame, on which clone() may depend. */
#define PASS_ON               \
	"	mov	%rdi, %rax\n"   \
	"	mov	%rsi, %rdi\n"   \
	"	mov	%rdx, %rsi\n"   \
	"	mov	%rcx, %rdx\n"   \
	"	mov	%r8, %r10\n"    \
	"	mov	%r9, %r8\n"     \
	"	mov	8(%rsp), %r9\n" \
	"	syscall\n"          \
	"	cmp	$-4095, %rax\n" \
	"	jae	2f\n"           \
	"	ret\n"              \
	"2:	mov	%rax, %rdi\n" \
	"	jmp	libc_result\n"
#endif

__asm__(".pushsection .text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n"
	"	cmp	$317, %rdi\n" /* SYS_seccomp */
	"	je	syscall_guard\n"
	"	cmp	$157, %rdi\n" /* SYS_prctl */
	"	jne	1f\n"
	"	cmp	$22, %rsi\n" /* PR_SET_SECCOMP */
	"	je	syscall_guard\n"
	"1:\n" PASS_ON ".size syscall, . - syscall\n"
	".popsection\n");
