/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Would a seccomp filter let the system calls of the shim through? Containers and
 * services have one that forbids what hardly anybody needs. It is read out of the
 * kernel and run here, as the kernel would run it.
 */
#ifndef INTAKE_SECCOMP_H
#define INTAKE_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Of a thread that is stopped under ptrace(2): do all of its filters allow all of these
 * calls, whatever their arguments may be? False when it cannot be known: only
 * CAP_SYS_ADMIN may read filters, and only if no filter is set for ourselves.
 */
bool seccomp_allows(pid_t tid);
/* The same of one filter: classic BPF (seccomp(2)). */
bool seccomp_filter_allows(const struct sock_filter *f, size_t nr);

#endif
