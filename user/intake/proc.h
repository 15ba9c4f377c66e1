/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What /proc says of a process: the second opinion that the model is compared
 * with, the page table bits, and the means to hold a process still meanwhile.
 */
#ifndef INTAKE_PROC_H
#define INTAKE_PROC_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/user.h>

#include "model/event.h"

/* One line of /proc/PID/maps. */
struct proc_map {
	struct vma_desc d; /* flags: READ WRITE EXEC SHARED FILE only */
	char name[64]; /* "[heap]", "[stack]" or the tail of another name */
};

/*
 * Reads one line of it; *name: the whole name, in the line, with the newline. 0 or
 * -EBADMSG.
 */
int proc_map_line(const char *line, struct proc_map *m, const char **name);

/*
 * What /proc is to be asked by about the memory of process pid: its own number, or,
 * where the main thread has ended before the others (pthread_exit(3)), that of one of
 * them. A thread that has ended has no memory (fs/proc/base.c, get_task_mm()): its
 * maps are empty, its exe and root are not there. The functions below see to it
 * themselves.
 */
uint32_t proc_number(uint32_t pid);

/*
 * The threads of process pid, in the order of /proc/PID/task: new ones come last. *tids
 * is malloc'ed. Their number, or -errno (ENOENT: no such process; ENOMEM), and NULL.
 */
long proc_tids(uint32_t pid, uint32_t **tids);
/*
 * The children of process pid, of each of its threads, those that have exited and were
 * not waited for as well. As proc_tids(). One that exits meanwhile may hide another one
 * (proc(5)); none is found by a kernel without CONFIG_PROC_CHILDREN.
 */
long proc_children(uint32_t pid, uint32_t **children);

/*
 * All lines of /proc/PID/maps, in order, without [vsyscall], which is no VMA of
 * the process (arch/x86/entry/vsyscall: a gate VMA). *maps is malloc'ed. The
 * number of lines, or -errno (ENOENT, ESRCH: no such process, or it has no memory
 * any more: the file ends in the middle then, fs/proc/task_mmu.c m_start(); EACCES).
 */
long proc_maps(uint32_t pid, struct proc_map **maps);

/* That of them which contains addr; NULL: none. */
const struct proc_map *proc_map_at(const struct proc_map *maps, size_t nr,
				   uint64_t addr);
/*
 * A descriptor of the file that pid has mapped as `vma`, and of no other one of its
 * name. -errno; -ENOEXEC: it is no regular file.
 */
int proc_open_mapped(uint32_t pid, const struct vma_desc *vma);

/* A process whose threads are all stopped (PTRACE_SEIZE, PTRACE_INTERRUPT). */
struct proc_stopped {
	pid_t *tids;
	size_t nr, room;
};

/*
 * Stops all threads of pid, invisibly to its parent. 0; -EPERM: somebody else
 * traces it; -ESRCH: it is gone or going; -ETIMEDOUT: a thread did not stop
 * within `ms` (it waits in the kernel, a vfork parent for one). On failure
 * nothing is left stopped, if proc_reap() is called now and then.
 */
int proc_stop(uint32_t pid, unsigned int ms, struct proc_stopped *s);
void proc_go(struct proc_stopped *s);
/*
 * Of a thread that is stopped under ptrace(2), by proc_stop() or otherwise. 0 or
 * -errno; -ENOEXEC: a 32-bit one; -ENODATA: one that the kernel has made for itself
 * (io_uring, vhost), which never comes to user mode and says so by having neither
 * stack nor instruction pointer (arch/x86/kernel/process.c, copy_thread()). No call
 * must be made in such a thread: it would not begin.
 */
int proc_registers(pid_t tid, struct user_regs_struct *regs);
/* Lets go of threads that stopped too late or were killed meanwhile. Call it often. */
void proc_reap(void);

/* How many seccomp filters watch the system calls of a thread; 1: its strict mode, too. */
unsigned int proc_filters(pid_t tid);
/* The effective user of a process, as it is now; UINT32_MAX: it is gone. */
uint32_t proc_user(uint32_t pid);

/*
 * Bytes of one VMA by /proc/PID/pagemap, counted as smaps does: frames of zeroes
 * that the kernel lends where memory is only read are not resident. What is
 * neither resident nor swapped has no page: never touched, only read, or given
 * back. (smaps adds to the swap of shared memory what of the whole object is
 * swapped, whoever used it; page tables do not know that.)
 */
struct proc_pages {
	uint64_t resident, swapped;
	uint64_t huge; /* of resident: mapped in huge pages, hugetlb included */
};

/*
 * Calls page(ctx, addr) for each resident page of the VMA and counts. `fd` is an
 * open /proc/PID/pagemap. 0 or -errno. Reads 8 bytes a page, 512 KiB of them at
 * once (Documentation/admin-guide/mm/pagemap.rst). Without CAP_SYS_ADMIN frames of
 * zeroes count as resident, and before Linux 6.7 no page as huge.
 */
int proc_pagemap(int fd, const struct vma_desc *d, struct proc_pages *n,
		 void (*page)(void *ctx, uint64_t addr), void *ctx);
/*
 * Bits of an entry of pagemap (fs/proc/task_mmu.c, pagemap_read). The frame reads as
 * 0 without CAP_SYS_ADMIN; of a page that is swapped it is type and offset.
 */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61) /* of a file, or shared anonymous */
#define PAGEMAP_ALONE (1ull << 56) /* mapped by nobody else */
#define PAGEMAP_SOFT_DIRTY (1ull << 55)
#define PAGEMAP_PFN ((1ull << 55) - 1)

/* The process's name, "" when it cannot be read. */
void proc_comm(uint32_t pid, char comm[16]);
/* Resident bytes of a process, a moment old at most; 0: not known. */
uint64_t proc_rss(uint32_t pid);
int proc_open_pagemap(uint32_t pid); /* descriptor or -errno */
/*
 * What of process pid's environment glibc's malloc reads (GLIBC_TUNABLES and
 * MALLOC_..., malloc/malloc.c): "NAME=VALUE NAME=VALUE", "" when there is nothing.
 * As it was when the program was started. 0; -E2BIG: it does not fit; -errno.
 */
int proc_malloc_env(uint32_t pid, char *buf, size_t size);
/* Was its program started with "NAME=VALUE" in the environment? False: or not known. */
bool proc_has_env(uint32_t pid, const char *var);
/* Does an entry of it stand for a page that counts as resident, as above? */
bool proc_entry_resident(uint64_t entry, uint32_t vma_flags);
/* Of one that is not present: is the page in a swap file? */
bool proc_entry_swapped(uint64_t entry);
/* Is the page at addr mapped by a huge page (1, 0)? -errno: it cannot be told. */
int proc_is_huge(int pagemap, uint64_t addr);

#endif
