/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls of the shim, made directly: libc's wrappers are cancellation
 * points (connect, sendmsg, recvmsg), set errno, and may be interposed too.
 * Each returns the kernel's value: -errno on failure.
 */
#ifndef PROBE_SHIM_SYS_H
#define PROBE_SHIM_SYS_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long sys3(long nr, long a, long b, long c)
{
	return sys6(nr, a, b, c, 0, 0, 0);
}

static inline uint32_t sys_getpid(void)
{
	return (uint32_t)sys3(SYS_getpid, 0, 0, 0);
}

static inline uint32_t sys_gettid(void)
{
	return (uint32_t)sys3(SYS_gettid, 0, 0, 0);
}

static inline void sys_close(int fd)
{
	sys3(SYS_close, fd, 0, 0);
}

static inline long sys_mmap(uint64_t addr, size_t len, int prot, int flags,
			    int fd)
{
	return sys6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, 0);
}

static inline void sys_munmap(uint64_t addr, size_t len)
{
	sys3(SYS_munmap, (long)addr, (long)len, 0);
}

static inline long sys_madvise(uint64_t addr, size_t len, int advice)
{
	return sys3(SYS_madvise, (long)addr, (long)len, advice);
}

/* Blocks every signal; the old mask (the kernel's 64 bits) goes to *old. */
static inline void sys_block_signals(uint64_t *old)
{
	uint64_t all = ~0ull;

	sys6(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&all, (long)old, 8, 0,
	     0);
}

static inline void sys_restore_signals(const uint64_t *old)
{
	sys6(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)old, 0, 8, 0, 0);
}

static inline void sys_futex_wait(uint32_t *word, uint32_t value, long ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000,
			       .tv_nsec = ns % 1000000000 };

	sys6(SYS_futex, (long)word, FUTEX_WAIT, value, (long)&ts, 0, 0);
}

static inline void sys_futex_wake(uint32_t *word)
{
	sys3(SYS_futex, (long)word, FUTEX_WAKE, 1);
}

static inline uint64_t sys_now(void)
{
	struct timespec ts;

	sys3(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
