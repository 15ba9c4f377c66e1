// SPDX-License-Identifier: GPL-2.0
/*
 * The cheapest way in, for what every process of the system runs through:
 *
 *   up_write, downgrade_write   each release of each rwsem
 *   vma_set_page_prot           each new VMA, each change of protection
 *   brk, mmap, munmap ...       to see whether they fail (failed.c)
 *
 * ftrace can have a function call us directly from its first instruction, which
 * is a nop else, in place of ftrace's own trampoline (register_ftrace_direct(),
 * as BPF's fentry does). Who is not watched then pays for the few instructions
 * below, 10 in place of 36 at a release. There can be one such user of a function,
 * so where somebody was faster, or the kernel has no such thing, it is ftrace or
 * a kretprobe after all: the callers see to that.
 *
 * On entry of a stub the stack is
 *
 *   0(%rsp)  the function, behind its call of us
 *   8(%rsp)  the function's caller
 *
 * and what the function finds in its arguments and in the registers that it must
 * preserve, it must find untouched. The others (%rax, %r10, %r11, and those of
 * arguments that it has not got) are free, as at the entry of every function.
 *
 * Tasks may sleep or be preempted in all of it, on their way through a stub or in
 * the function that a stub has called. rcu_tasks waits for the former, the count
 * of calls in flight for the latter.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>

#include "vh.h"

#ifdef VH_HAS_DIRECT

/* What the assembler has to know. */
static void __used constants(void)
{
	asm volatile(".set vm_mm, %c0\n"
		     ".set mmap_lock, %c1\n"
		     ".set mm_shift, %c2\n"
		     ".set mm_mask, %c3\n"
		     :
		     : "i"(offsetof(struct vm_area_struct, vm_mm)),
		       "i"(offsetof(struct mm_struct, mmap_lock)),
		       "i"(VH_MM_SHIFT), "i"(VH_MM_MASK));
}

/*
 * A stub of a function with one argument. `load` puts the address of an mmap_lock
 * in %rax; the handler is called when vh_maybe_watched() its mm.
 */
#define STUB(name, load, handler)                                       \
	asm(".pushsection .text, \"ax\"\n"                              \
	    ".p2align 4\n"                                              \
	    ".globl " #name "\n"                                        \
	    ".type " #name ", @function\n" #name ":	endbr64\n" load \
	    "	shr	$mm_shift, %eax\n"                                    \
	    "	and	$mm_mask, %eax\n"                                     \
	    "	cmpq	$0, vh_mms(, %rax, 8)\n"                             \
	    "	jne	1f\n"                                                 \
	    "	" ASM_RET "\n"                                          \
	    "1:	push	%rdi\n"                                            \
	    "	call	" #handler "\n"                                 \
	    "	pop	%rdi\n"                                               \
	    "	" ASM_RET "\n"                                          \
	    ".size " #name ", . - " #name "\n"                          \
	    ".popsection\n")

STUB(vh_release_stub, "	mov	%rdi, %rax\n", vh_release_direct);
STUB(vh_page_prot_stub,
     "	mov	vm_mm(%rdi), %rax\n"
     "	add	$mmap_lock, %rax\n",
     vh_page_prot_direct);

/*
 * The call of a process that may be watched is made from here, so that its result
 * passes by.
 * The function is entered by a return: behind its first instruction there is no
 * endbr64, which an indirect jump would need (CONFIG_X86_KERNEL_IBT).
 */
asm(".pushsection .text, \"ax\"\n"
    ".p2align 4\n"
    ".globl vh_call_stub\n"
    ".type vh_call_stub, @function\n"
    "vh_call_stub:\n"
    "	endbr64\n"
    "	push	%rdi\n"
    "	call	vh_call_enter\n"
    "	pop	%rdi\n"
    "	test	%al, %al\n"
    "	jnz	1f\n"
    "	" ASM_RET "\n"
    "1:	mov	(%rsp), %rax\n"
    "	call	vh_call_function\n"
    "	mov	%rax, (%rsp)\n"
    "	mov	%rax, %rdi\n"
    "	call	vh_call_leave\n"
    "	pop	%rax\n"
    "	" ASM_RET "\n"
    ".size vh_call_stub, . - vh_call_stub\n"
    ".type vh_call_function, @function\n"
    "vh_call_function:\n"
    "	push	%rax\n"
    "	" ASM_RET "\n"
    ".size vh_call_function, . - vh_call_function\n"
    ".popsection\n");
asmlinkage void vh_call_function(void);
STACK_FRAME_NON_STANDARD(vh_call_stub);
STACK_FRAME_NON_STANDARD(vh_call_function);

static DEFINE_PER_CPU(long, in_flight);
static bool ever_armed; /* vh_control */

/* Called by the stubs alone. */
asmlinkage void vh_release_direct(struct rw_semaphore *sem);
asmlinkage void vh_page_prot_direct(struct vm_area_struct *vma);
asmlinkage bool vh_call_enter(void);
asmlinkage void vh_call_leave(unsigned long ret);

asmlinkage void vh_release_direct(struct rw_semaphore *sem)
{
	preempt_disable_notrace();
	vh_on_release(container_of(sem, struct mm_struct, mmap_lock));
	preempt_enable_notrace();
}

asmlinkage void vh_page_prot_direct(struct vm_area_struct *vma)
{
	preempt_disable_notrace();
	vh_mark(vma->vm_mm, vma->vm_start, vma->vm_end);
	preempt_enable_notrace();
}

asmlinkage bool vh_call_enter(void)
{
	struct mm_struct *mm = current->mm;

	if (!mm || !vh_maybe_watched(mm))
		return false;
	this_cpu_inc(in_flight);
	return true;
}

asmlinkage void vh_call_leave(unsigned long ret)
{
	vh_call_returned(ret);
	this_cpu_dec(in_flight);
}

static unsigned long nr_in_flight(void)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(in_flight, cpu);
	return sum;
}

static int filter(struct vh_direct *d)
{
	int i, err = 0;

	/* What an earlier registration left behind is in the way. */
	memset(&d->ops, 0, sizeof(d->ops));
	for (i = 0; d->symbols[i] && !err; i++) {
		if (!d->addrs[i])
			d->addrs[i] = vh_function(d->symbols[i]);
		err = d->addrs[i] ? ftrace_set_filter_ip(&d->ops, d->addrs[i],
							 0, i == 0) :
				    -ENOENT;
	}
	return err;
}

/* 0, or -EBUSY: somebody else is there; another errno: it cannot be. */
int vh_direct_arm(struct vh_direct *d)
{
	int err = filter(d);

	if (!err)
		err = register_ftrace_direct(&d->ops, (unsigned long)d->stub);
	if (err)
		ftrace_free_filter(&d->ops);
	else
		ever_armed = true;
	return err;
}

/*
 * Returns when no task is on its way through the stub any more, but for those who
 * come back from the function: ftrace_shutdown() in kernel/trace/ftrace.c 6.1
 * waits for rcu_tasks.
 */
void vh_direct_disarm(struct vh_direct *d)
{
	unregister_ftrace_direct(&d->ops, (unsigned long)d->stub, true);
}

/*
 * After the last disarm, which has waited for those who were on their way in:
 * first those who are inside, then those on their way out. Mostly those sleep for
 * memory, files and the mmap_lock. But whoever has a userfaultfd told of what is
 * unmapped or moved waits there until it is read (fs/userfaultfd.c 6.1,
 * userfaultfd_unmap_complete), and must be killed if it never is: what it would
 * return to is here, so there is nothing to do but to say so. A module that never
 * watched anything need not wait.
 */
void vh_direct_exit(void)
{
	unsigned int tries = 0;

	if (!ever_armed)
		return;
	while (nr_in_flight()) {
		msleep(20);
		if (++tries == 250)
			pr_notice(
				"unloading waits for a system call of a process that was watched: /proc/PID/stack of it has vh_call_stub\n");
	}
	synchronize_rcu_tasks();
}

#else

void vh_release_stub(void)
{
}

void vh_page_prot_stub(void)
{
}

void vh_call_stub(void)
{
}

int vh_direct_arm(struct vh_direct *d)
{
	return -EOPNOTSUPP;
}

void vh_direct_disarm(struct vh_direct *d)
{
}

void vh_direct_exit(void)
{
}

#endif
