/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Argument n of a function that ftrace has just entered, for n < 4.
 *
 * ftrace_regs_get_argument() came with Linux 6.2 and works wherever the
 * arguments are saved (DYNAMIC_FTRACE_WITH_ARGS). Before, on x86, the same
 * registers lie in fregs->regs, complete or not (arch/x86/kernel/ftrace_64.S
 * 6.1, save_mcount_regs).
 */
#ifndef _VH_COMPAT_FTRACE_ARG_H
#define _VH_COMPAT_FTRACE_ARG_H

#include <linux/ftrace.h>
#include <linux/ptrace.h>

#ifdef ftrace_regs_get_argument
#define vh_ftrace_arg(fregs, n) ftrace_regs_get_argument(fregs, n)
#else
#define vh_ftrace_arg(fregs, n) regs_get_kernel_argument(&(fregs)->regs, n)
#endif

#endif
