// SPDX-License-Identifier: GPL-2.0
/*
 * System calls on memory that fail: they change no VMA, so no hook of the tree
 * sees them, but who gets ENOMEM wants to know why.
 *
 * The functions of the 64-bit table are probed at their return; a process that
 * is not watched pays for the probe of its entry, so the common ones have the
 * cheaper kind (direct.c) where it can be had. Those that may wait for long, for
 * a page that whoever serves a userfaultfd brings, have not. A call that could not be probed is
 * missing in the counts and nowhere else, so it is no reason to refuse a watch;
 * the status says how many are.
 *
 * ENOMEM has many reasons. Those which leave traces are told: the number of VMAs
 * and the limits are compared as the call returns, so another thread may have
 * changed them since.
 */
#include <linux/kprobes.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/unistd.h>
#include <asm/syscall.h>

#include "vh.h"

static bool failed_calls = true;
module_param(failed_calls, bool, 0444);
MODULE_PARM_DESC(failed_calls, "report system calls on memory that fail");

/* Counted since the module was loaded. */
static atomic64_t by_error[MAX_ERRNO + 1];
static atomic64_t by_reason[VMAHEAP_FAILED_REASONS];

static const char *const reasons[VMAHEAP_FAILED_REASONS] = {
	[VMAHEAP_FAILED_MAP_COUNT] = "max_map_count",
	[VMAHEAP_FAILED_RLIMIT_AS] = "RLIMIT_AS",
	[VMAHEAP_FAILED_RLIMIT_DATA] = "RLIMIT_DATA",
};

static const int *max_map_count; /* NULL: not found */

/* --- why */

/* Bytes by which the call would have enlarged the address space. */
static unsigned long wanted(long nr, const unsigned long *args,
			    const struct mm_struct *mm)
{
	switch (nr) {
	case __NR_mmap:
		return args[1];
	case __NR_mremap:
		return args[2] > args[1] ? args[2] - args[1] : 0;
	case __NR_brk:
		return args[0] > mm->brk ? args[0] - mm->brk : 0;
	default:
		return 0;
	}
}

static u32 reason_of(long nr, const unsigned long *args, int error,
		     const struct mm_struct *mm)
{
	unsigned long pages = PAGE_ALIGN(wanted(nr, args, mm)) >> PAGE_SHIFT;
	int spare = nr == __NR_mremap ? 3 : 0; /* move_vma() 6.1 */

	if (error != ENOMEM)
		return 0;
	if (max_map_count &&
	    READ_ONCE(mm->map_count) >= READ_ONCE(*max_map_count) - spare)
		return VMAHEAP_FAILED_MAP_COUNT;
	/* may_expand_vm(), mm/mmap.c 6.1 */
	if (pages &&
	    READ_ONCE(mm->total_vm) + pages > rlimit(RLIMIT_AS) >> PAGE_SHIFT)
		return VMAHEAP_FAILED_RLIMIT_AS;
	if (pages &&
	    READ_ONCE(mm->data_vm) + pages > rlimit(RLIMIT_DATA) >> PAGE_SHIFT)
		return VMAHEAP_FAILED_RLIMIT_DATA;
	return 0;
}

/* --- the probes */

static int on_entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	/* Preemption is off here, as in every kprobe. */
	return !current->mm || !vh_mm_known(current->mm);
}

/* One of the calls returns so, to a process that may be watched. */
void vh_call_returned(unsigned long ret)
{
	struct pt_regs *user = task_pt_regs(current);
	long nr = syscall_get_nr(current, user);
	/* brk() returns what the break is now. */
	bool brk_failed = nr == __NR_brk &&
			  ret < regs_get_kernel_argument(user, 0);
	unsigned long args[6];
	u32 reason;
	int error;

	if (!brk_failed && !IS_ERR_VALUE(ret))
		return;
	error = brk_failed ? ENOMEM : -(long)ret;
	if (error >= ERESTARTSYS && error <= ERESTART_RESTARTBLOCK)
		return;
	syscall_get_arguments(current, user, args);
	reason = reason_of(nr, args, error, current->mm);
	preempt_disable();
	if (vh_on_failed(current->mm, error, reason)) {
		atomic64_inc(&by_error[error]);
		atomic64_inc(&by_reason[reason]);
	}
	preempt_enable();
}

static int on_return(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	vh_call_returned(regs_return_value(regs));
	return 0;
}

static const char *const fast[] = { "__x64_sys_brk",	  "__x64_sys_mmap",
				    "__x64_sys_munmap",	  "__x64_sys_mremap",
				    "__x64_sys_mprotect", NULL };
static struct vh_direct direct = { .symbols = fast, .stub = vh_call_stub };
static bool direct_armed; /* vh_control */

#define CALL(name)                                                          \
	{                                                                   \
		.kp.symbol_name = "__x64_sys_" #name, .handler = on_return, \
		.entry_handler = on_entry, .maxactive = 64                  \
	}

static struct kretprobe calls[] = {
	CALL(brk),	CALL(mmap),	CALL(munmap), /* these as in `fast` */
	CALL(mremap),	CALL(mprotect), CALL(pkey_mprotect),
	CALL(madvise),	CALL(mlock),	CALL(mlock2),
	CALL(mlockall), CALL(mbind),	CALL(remap_file_pages),
	CALL(shmat),
};
#define NR_FAST (ARRAY_SIZE(fast) - 1)
static_assert(NR_FAST <= VH_DIRECT_MAX);
static bool probed[ARRAY_SIZE(calls)]; /* vh_control */

/*
 * A data symbol cannot be probed, but the attempt finds it (register_kprobe() in
 * kernel/kprobes.c sets addr before it looks at what lies there).
 */
static void find_max_map_count(void)
{
	struct kprobe kp = { .symbol_name = "sysctl_max_map_count",
			     .flags = KPROBE_FLAG_DISABLED };

	if (!register_kprobe(&kp)) /* text: something else of that name */
		unregister_kprobe(&kp);
	else
		max_map_count = (const int *)kp.addr;
}

/* Under vh_control. */
void vh_failed_arm(void)
{
	int i;

	if (!failed_calls)
		return;
	if (!max_map_count)
		find_max_map_count();
	direct_armed = !vh_direct_arm(&direct);
	for (i = direct_armed ? NR_FAST : 0; i < ARRAY_SIZE(calls); i++) {
		struct kprobe *kp = &calls[i].kp;

		/* From the second time on it is found without a search. */
		if (kp->addr)
			kp->symbol_name = NULL;
		/* What an earlier registration left behind is in the way. */
		kp->flags = 0;
		probed[i] = !register_kretprobe(&calls[i]);
	}
}

/* Returns when no further call is seen. Under vh_control. */
void vh_failed_disarm(void)
{
	struct kretprobe *all[ARRAY_SIZE(calls)];
	int i, n = 0;

	if (direct_armed)
		vh_direct_disarm(&direct);
	direct_armed = false;
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (probed[i])
			all[n++] = &calls[i];
	if (n) /* with one wait for all */
		unregister_kretprobes(all, n);
	memset(probed, 0, sizeof(probed));
}

/* Under vh_control. */
void vh_failed_show(struct seq_file *m)
{
	unsigned long missed = 0;
	unsigned int i, n = direct_armed ? NR_FAST : 0;
	u64 count;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		n += probed[i];
		missed += calls[i].nmissed + calls[i].kp.nmissed;
	}
	seq_printf(m, "calls probed for failure: %u of %zu\n", n,
		   ARRAY_SIZE(calls));
	if (missed)
		seq_printf(m, "calls missed: %lu\n", missed);
	for (i = 1; i < ARRAY_SIZE(by_error); i++) {
		count = atomic64_read(&by_error[i]);
		if (count)
			seq_printf(m, "failed %pe: %llu\n", ERR_PTR(-(long)i),
				   count);
	}
	for (i = 1; i < ARRAY_SIZE(by_reason); i++)
		seq_printf(m, "failed for %s: %lld\n", reasons[i],
			   atomic64_read(&by_reason[i]));
}
