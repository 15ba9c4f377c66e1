/* SPDX-License-Identifier: GPL-2.0 */
#include_next <linux/ftrace.h>
#ifndef _VH_COMPAT_LINUX_FTRACE_H
#define _VH_COMPAT_LINUX_FTRACE_H

#include <linux/ptrace.h>

/*
 * Before 5.11 a callback gets a whole pt_regs, which it has to ask for, and
 * ftrace shuts out recursion and preemption itself, unless it is told that the
 * callback does (kernel/trace/ftrace.c 5.10, ftrace_ops_assist_func).
 */
#ifdef VH_HAS_FTRACE_REGS
#define VH_FTRACE_FLAGS FTRACE_OPS_FL_PERMANENT
#else
#define VH_FTRACE_FLAGS (FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_SAVE_REGS)
#define ftrace_regs pt_regs
#define ftrace_regs_get_argument(regs, n) regs_get_kernel_argument(regs, n)
#define ftrace_test_recursion_trylock(ip, parent) 0
#define ftrace_test_recursion_unlock(bit) ((void)(bit))
/* Not exported. An empty filter is not allocated (ftrace_hash_move). */
#define ftrace_free_filter(ops) ftrace_set_filter(ops, NULL, 0, 1)
#endif

/*
 * Since 6.2, wherever the arguments are saved (DYNAMIC_FTRACE_WITH_ARGS).
 * Before, on x86, the same registers lie in fregs->regs, complete or not
 * (arch/x86/kernel/ftrace_64.S 6.1, save_mcount_regs).
 */
#ifndef ftrace_regs_get_argument
#define ftrace_regs_get_argument(fregs, n) \
	regs_get_kernel_argument(&(fregs)->regs, n)
#endif

/*
 * Calls from the function itself, of one or several functions at once: since 6.3
 * under this name, from 5.15 on under another. (The older register_ftrace_direct()
 * takes addresses.) direct.c speaks the x86-64 that it needs.
 */
#if defined(CONFIG_X86_64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)
#ifdef VH_HAS_DIRECT_OPS
#define VH_HAS_DIRECT
#elif defined(VH_HAS_DIRECT_MULTI)
#define VH_HAS_DIRECT
#define register_ftrace_direct(ops, addr) \
	register_ftrace_direct_multi(ops, addr)
#define unregister_ftrace_direct(ops, addr, free_filters)  \
	do {                                               \
		unregister_ftrace_direct_multi(ops, addr); \
		if (free_filters)                          \
			ftrace_free_filter(ops);           \
	} while (0)
#endif
#endif

#endif
