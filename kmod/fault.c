// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults of those who are watched with VMAHEAP_WATCH_FAULTS: which page is
 * touched, when, and by what.
 *
 * The tracepoints are hit as the exception begins (arch/x86/mm/fault.c 6.1,
 * handle_page_fault), with interrupts off and no lock held, whatever becomes of
 * the fault. They are armed when the first such watch begins and stay until
 * nobody is watched. What the kernel maps without a fault (MAP_POPULATE,
 * get_user_pages, the rest of a huge page) is not seen.
 */
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <asm/trap_pf.h>

#include "vh.h"

static struct tracepoint *user_point, *kernel_point; /* NULL: there is none */
static bool armed; /* vh_control */

/*
 * Where a fault is not served, a copy to the user just ends early: it happens
 * under locks, maybe ours (a probe that reads user memory), and touches nothing.
 */
static bool is_served(void)
{
	return current->mm && !in_interrupt() && !pagefault_disabled();
}

static void probe_fault(void *data, unsigned long addr, struct pt_regs *regs,
			unsigned long error)
{
	u16 flags = 0;

	if (addr >= VH_HI || !is_served())
		return;
	if (error & X86_PF_PROT)
		flags |= VMAHEAP_F_PRESENT;
	if (error & X86_PF_WRITE)
		flags |= VMAHEAP_F_WRITE;
	if (error & X86_PF_INSTR)
		flags |= VMAHEAP_F_EXEC;
	rcu_read_lock();
	vh_on_fault(current->mm, addr, flags);
	rcu_read_unlock();
}

static void find_point(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "page_fault_user"))
		user_point = tp;
	else if (!strcmp(tp->name, "page_fault_kernel"))
		kernel_point = tp;
}

/* Under vh_control. 0, or an errno. */
int vh_fault_arm(void)
{
	int err;

	if (armed)
		return 0;
	if (!user_point)
		for_each_kernel_tracepoint(find_point, NULL);
	if (!user_point || !kernel_point)
		return -EOPNOTSUPP;
	err = tracepoint_probe_register(user_point, probe_fault, NULL);
	if (err)
		return err;
	err = tracepoint_probe_register(kernel_point, probe_fault, NULL);
	if (err)
		tracepoint_probe_unregister(user_point, probe_fault, NULL);
	armed = !err;
	return err;
}

/* Under vh_control; the caller waits for probes that still run. */
void vh_fault_disarm(void)
{
	if (!armed)
		return;
	tracepoint_probe_unregister(kernel_point, probe_fault, NULL);
	tracepoint_probe_unregister(user_point, probe_fault, NULL);
	armed = false;
}

/* Under vh_control. */
void vh_fault_show(struct seq_file *m)
{
	seq_printf(m, "page faults traced: %s\n", armed ? "yes" : "no");
}
