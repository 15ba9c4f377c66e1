// SPDX-License-Identifier: GPL-2.0
/*
 * Does everything that can change an address space, at random, in several
 * processes of several threads each, and has the model compared with
 * /proc/PID/maps while all of them stand still:
 *
 *   vmaheap record -f --alloc=none -- mmfuzz [OPTIONS]
 *
 *   --seed S     the same sequence of calls in each thread (0: from the clock)
 *   --ops N      operations of the threads together; those of the short-lived
 *                children come on top
 *   --round N    operations of each thread between two checkpoints
 *   --workers N  processes; --threads N: threads of each
 *   --cgroup DIR a cgroup with a small memory.max: OOM kills
 *   --only NAME  these operations only (a prefix of the name), to narrow down
 *   --short      not everything at least once
 *   --pause F    at each checkpoint: F.1, F.2 ... appears, with the PID of the first
 *                worker, and nothing moves until it is removed
 *   --alone      nobody watches: no comparison
 *
 * A checkpoint: the threads wait for each other; each process has left a child
 * behind that waits as well (forked, sharing the address space, or exec'ed);
 * then the daemon is asked to verify every one of them.
 *
 * Threads work in one arena per process, so that they split, merge and
 * overwrite each other's VMAs. Its memory is touched by system calls only, which
 * fail where a load would kill. What the kernel has not got is said and not
 * drawn; an operation that is drawn and never succeeds is a failure.
 *
 * Prints a line "mmfuzz: key=value ..." at the end. Exit status: 0: nothing
 * wrong; 1: a mismatch, a process that the daemon does not know, a child that
 * did not end as it should, an operation that never succeeded.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)

/* Where the kernel puts nothing by itself; the same in all processes. */
#define ARENA ((char *)0x200000000000)
#define ARENA_PAGES 2048UL
#define SHARED ((void *)0x300000000000)
#define PRIVATE(t) ((char *)0x310000000000 + (t) * (256UL << 20))
#define STACK_AT 0UL /* in PRIVATE: of the thread, of its CLONE_VM child, */
#define KID_STACK_AT (64UL << 20)
#define GROW_AT (200UL << 20) /* and the end of what grows down */
#define HUGE_AT (ARENA + 3 * HUGE) /* huge pages: in a quarter of the arena */
#define STACK_BYTES (256UL << 10)

#define WORKERS 8
#define THREADS 16
#define OPS_MAX 128

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define NR_MSEAL 462
#define NR_HOME_NODE 450

/* Seen by all, exec'ed ones too (a memfd). */
static struct shared {
	_Atomic uint32_t gen; /* checkpoints that are over; a futex */
	_Atomic uint32_t here; /* threads that wait for it; a futex */
	_Atomic int32_t stand[WORKERS]; /* the children that wait as well */
	_Atomic uint32_t unexpected; /* ends of children */
	_Atomic int32_t pids[WORKERS];
	_Atomic uint64_t madvises; /* by the system call; by io_uring: */
	_Atomic uint64_t uring_madvises;
	struct {
		_Atomic uint64_t ok, failed;
		bool lacking; /* or not wanted */
	} op[OPS_MAX];
	int fd, file, exe, zero;
	int max_map_count; /* 0: too many to use them up */
	char cgroup[128];
} *sh = SHARED;

/* A thread, or a child. */
struct self {
	uint64_t rnd;
	int worker, thread;
	bool guest; /* lives in the address space of another process */
	bool first; /* runs on [stack] */
	int depth; /* of forks */
};

enum stop { LEAF_EXIT, LEAF_STAND, LEAF_THREAD };

/* --- chance */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15; /* splitmix64 */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint32_t draw(struct self *s, uint32_t n)
{
	s->rnd = mix(s->rnd);
	return (s->rnd >> 20) % n;
}

/* Mostly some pages of the arena, now and then a large part of it. */
static char *range(struct self *s, size_t *len)
{
	size_t at = draw(s, ARENA_PAGES), n = 1 + draw(s, 16);

	if (!draw(s, 32))
		n = 1 + draw(s, ARENA_PAGES / 2);
	if (at + n > ARENA_PAGES)
		n = ARENA_PAGES - at;
	*len = n * PAGE;
	return ARENA + at * PAGE;
}

static int protection(struct self *s)
{
	static const int prots[] = { PROT_NONE,
				     PROT_READ,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_EXEC,
				     PROT_EXEC };

	return prots[draw(s, 6)];
}

static bool mapped(void *p)
{
	return p != MAP_FAILED;
}

/* Writes without a signal where there is nothing to write to. */
static bool touch(char *p, size_t len)
{
	return read(sh->zero, p, len) > 0;
}

/* --- mappings */

static bool op_map(struct self *s, long flags)
{
	size_t len;
	char *p = range(s, &len);

	return mapped(mmap(p, len, protection(s),
			   flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

static bool op_map_file(struct self *s, long flags)
{
	size_t len;
	char *p = range(s, &len);
	int fd = draw(s, 2) ? sh->file : sh->exe;
	int prot = fd == sh->exe && flags == MAP_SHARED ?
			   protection(s) & ~PROT_WRITE :
			   protection(s);

	return mapped(mmap(p, len, prot, flags | MAP_FIXED, fd, p - ARENA));
}

static bool op_map_noreplace(struct self *s, long flags)
{
	size_t len;
	char *p = range(s, &len);

	(void)flags;
	return mapped(mmap(p, len, protection(s),
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			   -1, 0));
}

/* Mostly not for long: what is not a multiple of 2 MiB is refused there. */
static bool op_map_huge(struct self *s, long unused)
{
	char *p = HUGE_AT;

	(void)unused;
	if (!mapped(mmap(p, HUGE, PROT_READ | PROT_WRITE,
			 (draw(s, 2) ? MAP_PRIVATE : MAP_SHARED) |
				 MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB,
			 -1, 0)))
		return false;
	touch(p, PAGE);
	mprotect(p, HUGE, protection(s));
	if (draw(s, 4))
		munmap(p, HUGE);
	return true;
}

/* Where the kernel likes; only this thread knows it. */
static bool op_map_anywhere(struct self *s, long flags)
{
	size_t n = 2 + draw(s, 15), cut = draw(s, n);
	char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
		       flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!mapped(p))
		return false;
	touch(p + cut * PAGE, PAGE);
	mprotect(p + cut * PAGE, PAGE, protection(s));
	munmap(p + cut * PAGE, PAGE);
	/* The hole may be another thread's by now. */
	if (cut)
		munmap(p, cut * PAGE);
	return cut + 1 == n ||
	       !munmap(p + (cut + 1) * PAGE, (n - cut - 1) * PAGE);
}

static bool op_map_reserve(struct self *s, long unused)
{
	size_t len = 1UL << (24 + draw(s, 8));
	char *p = mmap(NULL, len, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)unused;
	if (!mapped(p))
		return false;
	mprotect(p + len / 2, 4 * PAGE, PROT_READ | PROT_WRITE);
	return !munmap(p, len);
}

/* A fault below it makes it grow (the gap to the next one below is large). */
static bool op_growsdown(struct self *s, long unused)
{
	char *top = PRIVATE(s->thread) + GROW_AT;
	size_t depth = (1 + draw(s, 60)) * PAGE;
	bool grown;

	(void)unused;
	if (!mapped(mmap(top - PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				 MAP_GROWSDOWN | (draw(s, 2) ? MAP_STACK : 0),
			 -1, 0)))
		return false;
	grown = touch(top - PAGE - depth, 1);
	if (draw(s, 2))
		mprotect(top - depth, PAGE, PROT_READ | PROT_GROWSDOWN);
	munmap(top - (GROW_AT - KID_STACK_AT) / 2,
	       (GROW_AT - KID_STACK_AT) / 2);
	return grown;
}

static bool op_munmap(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return !munmap(p, len);
}

static bool op_mprotect(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return !mprotect(p, len, protection(s));
}

static bool op_pkey_mprotect(struct self *s, long key)
{
	size_t len;
	char *p = range(s, &len);
	bool ok;

	if (key < 0)
		return !pkey_mprotect(p, len, protection(s), -1);
	key = pkey_alloc(0, 0);
	if (key < 0)
		return false;
	ok = !pkey_mprotect(p, len, protection(s), key);
	pkey_mprotect(p, len, PROT_READ, 0);
	pkey_free(key);
	return ok;
}

/* --- mremap */

/* glibc before 2.40 passes no new address without MREMAP_FIXED, but garbage. */
static void *remap(void *p, size_t len, size_t new, long flags, void *to)
{
	return (void *)syscall(SYS_mremap, p, len, new, flags, to);
}

/* What was moved out of the arena goes back into it, or away. */
static bool moved(struct self *s, char *q, size_t len)
{
	char *to = ARENA + draw(s, ARENA_PAGES) * PAGE;

	if (!mapped(q))
		return false;
	if (q >= ARENA && q < ARENA + ARENA_PAGES * PAGE)
		return true;
	if (to + len > ARENA + ARENA_PAGES * PAGE || draw(s, 2) ||
	    !mapped(remap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to)))
		munmap(q, len);
	return true;
}

static bool op_mremap(struct self *s, long flags)
{
	size_t len, new;
	char *p = range(s, &len);

	new = (1 + draw(s, 2 * len / PAGE + 1)) * PAGE;
	/* In place: never beyond the arena, where others' things are. */
	if (!(flags & MREMAP_MAYMOVE) && p + new > ARENA + ARENA_PAGES * PAGE)
		new = len;
	return moved(s, remap(p, len, new, flags, NULL), new);
}

static bool op_mremap_shrink(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return mapped(remap(p, len, PAGE, 0, NULL));
}

static bool op_mremap_fixed(struct self *s, long flags)
{
	size_t len, len2;
	char *p = range(s, &len), *to = range(s, &len2);

	if (to + len > ARENA + ARENA_PAGES * PAGE)
		len = PAGE;
	return mapped(
		remap(p, len, len, flags | MREMAP_MAYMOVE | MREMAP_FIXED, to));
}

static bool op_mremap_dontunmap(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return moved(
		s, remap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL),
		len);
}

/* An old size of 0 maps a shared mapping a second time. */
static bool op_mremap_double(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	if (!mapped(mmap(p, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)))
		return false;
	return moved(s, remap(p, 0, len, MREMAP_MAYMOVE, NULL), len);
}

/* --- what is said of a range */

static bool op_madvise(struct self *s, long advice)
{
	size_t len;
	char *p = range(s, &len);

	if (advice == MADV_COLLAPSE ||
	    (advice == MADV_HUGEPAGE && draw(s, 2))) {
		p = ARENA + draw(s, 3) * HUGE;
		len = HUGE;
		mmap(p, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		touch(p, PAGE);
	}
	if (advice == MADV_REMOVE)
		mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     sh->file, p - ARENA);
	sh->madvises++;
	return !madvise(p, len, advice);
}

/* The 32-bit table: madvise, mprotect and munmap of memory that it can name. */
static bool op_int80(struct self *s, long unused)
{
	size_t len = (1 + draw(s, 4)) * PAGE;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int rc[3] = { -1, -1, -1 };

	(void)unused;
	if (!mapped(p))
		return false;
#ifdef __x86_64__
	static const struct {
		int nr, arg;
	} call[] = { { 219, MADV_DONTNEED }, { 125, PROT_READ }, { 91, 0 } };

	for (int i = 0; i < 3; i++)
		asm volatile("int $0x80"
			     : "=a"(rc[i])
			     : "a"(call[i].nr), "b"((int)(uintptr_t)p),
			       "c"((int)(i ? PAGE : len)), "d"(call[i].arg)
			     : "memory", "r8", "r9", "r10", "r11");
	sh->madvises += !rc[0];
#endif
	if (rc[2])
		munmap(p, PAGE);
	if (len > PAGE) /* what is not another thread's by now */
		munmap(p + PAGE, len - PAGE);
	return !rc[0] && !rc[1] && !rc[2];
}

/* Of another process, or of one's own. */
static bool op_process_madvise(struct self *s, long advice)
{
	struct iovec iov[2];
	int pid = sh->pids[draw(s, WORKERS)], fd;
	bool ok;

	fd = syscall(SYS_pidfd_open, pid ? pid : getpid(), 0);
	if (fd < 0)
		return false;
	for (int i = 0; i < 2; i++)
		iov[i].iov_base = range(s, &iov[i].iov_len);
	ok = syscall(SYS_process_madvise, fd, iov, 2, advice, 0) > 0;
	close(fd);
	return ok;
}

static bool op_mlock(struct self *s, long flags)
{
	size_t len;
	char *p = range(s, &len);

	return !syscall(SYS_mlock2, p, len, flags);
}

static bool op_munlock(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return !munlock(p, len);
}

static bool op_mlockall(struct self *s, long flags)
{
	bool ok = !mlockall(flags);

	(void)s;
	return ok;
}

static bool op_munlockall(struct self *s, long unused)
{
	(void)s;
	(void)unused;
	return !munlockall();
}

static bool op_mbind(struct self *s, long mode)
{
	unsigned long nodes = 1;
	size_t len;
	char *p = range(s, &len);

	return !syscall(SYS_mbind, p, len, mode,
			mode == MPOL_DEFAULT ? NULL : &nodes, 8 * sizeof(nodes),
			0);
}

static bool op_home_node(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);
	unsigned long nodes = 1;

	(void)unused;
	mmap(p, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	syscall(SYS_mbind, p, len, MPOL_BIND, &nodes, 8 * sizeof(nodes), 0);
	return !syscall(NR_HOME_NODE, p, len, 0, 0);
}

static bool op_remap_file_pages(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	if (!mapped(mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 sh->file, 0)))
		return false;
	return !remap_file_pages(p + draw(s, len / PAGE) * PAGE, PAGE, 0,
				 draw(s, 64), 0);
}

static bool op_vma_name(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	mmap(p, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, len,
		      draw(s, 2) ? "fuzz" : NULL);
}

/* For good, so only where the process does not live long. */
static bool op_mseal(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	mmap(p, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return !syscall(NR_MSEAL, p, len, 0);
}

static bool op_touch(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return touch(p, len);
}

static bool op_look(struct self *s, long unused)
{
	size_t len;
	char *p = range(s, &len);

	(void)unused;
	return pwrite(sh->file, p, len < 8 * PAGE ? len : 8 * PAGE,
		      draw(s, 64) * PAGE) > 0;
}

/* --- System V memory, rings, userfaultfd */

static bool op_shm(struct self *s, long flags)
{
	int id = shmget(IPC_PRIVATE, (1 + draw(s, 8)) * PAGE, 0600);
	char *p = NULL;

	if (flags & SHM_REMAP)
		p = ARENA + draw(s, ARENA_PAGES - 8) * PAGE;
	p = shmat(id, p, flags);
	shmctl(id, IPC_RMID, NULL);
	if (!mapped(p))
		return false;
	if (!(flags & SHM_REMAP))
		return !shmdt(p);
	if (draw(s, 2))
		munmap(p + PAGE, PAGE);
	if (draw(s, 2))
		shmdt(p);
	return true;
}

static bool op_aio(struct self *s, long unused)
{
	aio_context_t ctx = 0;

	(void)unused;
	if (syscall(SYS_io_setup, 1 + draw(s, 128), &ctx))
		return false;
	return !syscall(SYS_io_destroy, ctx);
}

static bool op_perf(struct self *s, long unused)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_DUMMY };
	size_t len = (1 + (1UL << draw(s, 4))) * PAGE;
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	void *p;

	(void)unused;
	if (fd < 0)
		return false;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped(p))
		munmap(p, len);
	close(fd);
	return mapped(p);
}

/* madvise() by a worker of io_uring, which shares the address space. */
static void uring_madvise(struct self *s, int fd, struct io_uring_params *par,
			  char *rings, struct io_uring_sqe *sqe)
{
	size_t len;
	char *p = range(s, &len);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_MADVISE;
	sqe->addr = (uintptr_t)p;
	sqe->len = len;
	sqe->fadvise_advice = draw(s, 2) ? MADV_DONTNEED : MADV_RANDOM;
	*(uint32_t *)(rings + par->sq_off.array) = 0;
	atomic_store((_Atomic uint32_t *)(rings + par->sq_off.tail), 1);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL,
		    0) == 1)
		sh->uring_madvises++;
}

static bool op_io_uring(struct self *s, long unused)
{
	struct io_uring_params par = { 0 };
	int fd = syscall(SYS_io_uring_setup, 4, &par);
	size_t len = par.sq_off.array + par.sq_entries * 4;
	size_t cq =
		par.cq_off.cqes + par.cq_entries * sizeof(struct io_uring_cqe);
	char *rings, *sqes;

	(void)unused;
	if (fd < 0)
		return false;
	len = len > cq ? len : cq;
	rings = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	if (mapped(rings) && mapped(sqes))
		uring_madvise(s, fd, &par, rings, (void *)sqes);
	if (mapped(rings))
		munmap(rings, len);
	if (mapped(sqes))
		munmap(sqes, PAGE);
	close(fd);
	return mapped(rings) && mapped(sqes);
}

/*
 * Write protection only, of which none is asked for: a missing page would wait
 * for a handler. Closing it unregisters.
 */
static bool op_userfaultfd(struct self *s, long unused)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	size_t len;
	char *p = range(s, &len);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	bool ok;

	(void)unused;
	if (fd < 0)
		return false;
	reg.range.start = (uintptr_t)p;
	reg.range.len = len;
	mmap(p, len, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ok = !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg);
	mprotect(p, PAGE, PROT_READ);
	reg.range.len = PAGE;
	if (draw(s, 2))
		ioctl(fd, UFFDIO_UNREGISTER, &reg.range);
	close(fd);
	return ok;
}

/* --- the heap and the stack */

static uintptr_t heap_floor; /* below it is what malloc has */

static uintptr_t set_brk(uintptr_t to)
{
	return syscall(SYS_brk, to);
}

static bool op_brk_grow(struct self *s, long unused)
{
	uintptr_t now = set_brk(0), to = now + (1 + draw(s, 16)) * PAGE;

	(void)unused;
	if (to > heap_floor + 512 * PAGE)
		to = heap_floor + PAGE;
	return set_brk(to) == to;
}

static bool op_brk_shrink(struct self *s, long unused)
{
	uintptr_t now = set_brk(0), to = now - (1 + draw(s, 16)) * PAGE;

	(void)unused;
	if (to < heap_floor || to > now)
		to = heap_floor;
	return set_brk(to) == to;
}

/* A heap that ends in another VMA cannot just be stretched. */
static bool op_brk_protect(struct self *s, long unused)
{
	uintptr_t now = set_brk(0);

	(void)unused;
	if (now < heap_floor + PAGE)
		return false;
	if (mprotect((void *)(now - PAGE), PAGE, PROT_READ))
		return false;
	return set_brk(now + (1 + draw(s, 4)) * PAGE) > now;
}

static __attribute__((noinline)) void deeper(int depth)
{
	volatile char page[PAGE];

	page[0] = depth;
	if (depth > 0)
		deeper(depth - 1);
	page[1] = page[0];
}

/*
 * [stack] is the first thread's. It begins with 32 pages (fs/exec.c, setup_arg_pages())
 * and grows each time, as long as there is room (of 8 MiB).
 */
#define STACK_PAGES 1800
static bool op_stack(struct self *s, long unused)
{
	static uint32_t reached = 32;

	(void)unused;
	if (reached < STACK_PAGES)
		reached += 1 + draw(s, draw(s, 8) ? 8 : 256);
	deeper((int)reached);
	return true;
}

/* There and back; it moves as a whole or not at all. */
static bool op_vdso(struct self *s, long unused)
{
	void *vdso = (void *)getauxval(AT_SYSINFO_EHDR), *to = MAP_FAILED;
	size_t len;

	(void)s;
	(void)unused;
	for (len = PAGE; !mapped(to) && vdso && len <= 4 * PAGE; len += PAGE)
		to = remap(vdso, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			   ARENA);
	len -= PAGE;
	return mapped(to) &&
	       mapped(remap(to, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, vdso));
}

/* --- processes */

static void one(struct self *s);
static void each_once(struct self *s);

static void some(struct self *s, uint32_t n)
{
	while (n--)
		one(s);
}

/*
 * The last thing before a child stands still for the checkpoint: nothing comes
 * after it that could repeat what was missed.
 */
static void last_act(struct self *s)
{
	static bool (*const acts[])(struct self *, long) = {
		op_munmap,     op_mprotect,  op_map_noreplace, op_brk_grow,
		op_brk_shrink, op_growsdown, op_brk_protect,   op_stack
	};

	acts[draw(s, s->first ? 8 : 7)](s, 0);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	struct timespec ts = { .tv_sec = 1 };

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* A child waits until the checkpoint is over. */
static void stand_still(struct self *s)
{
	uint32_t gen = sh->gen;

	last_act(s);
	sh->stand[s->worker] = getpid();
	while (sh->gen == gen)
		futex_wait(&sh->gen, gen);
}

/* Becomes this program again. */
static void become(struct self *s, enum stop how)
{
	char fd[16], rnd[32], what[16], worker[16];
	char *const argv[] = { "mmfuzz", "--leaf", fd, rnd, what, worker, NULL };

	snprintf(fd, sizeof(fd), "%d", sh->fd);
	snprintf(rnd, sizeof(rnd), "%llu", (unsigned long long)s->rnd);
	snprintf(what, sizeof(what), "%d", how);
	snprintf(worker, sizeof(worker), "%d", s->worker);
	execv("/proc/self/exe", argv);
	_exit(127);
}

/* The child, with a sequence of its own. */
static struct self child_of(struct self *s)
{
	struct self c = *s;

	c.rnd = mix(c.rnd);
	c.depth++;
	c.thread = 0;
	return c;
}

static bool ended(int pid, int wanted)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	if ((status & ~0x80) == wanted) /* 0x80: dumped core */
		return true;
	fprintf(stderr, "mmfuzz: child %d ended with %#x, not %#x\n", pid,
		status, wanted);
	sh->unexpected++;
	return false;
}

/* end: 0, the signal that it ends by, or ONCE: it does everything once. */
#define ONCE -1
static bool op_fork(struct self *s, long end)
{
	struct self c = child_of(s);
	int pid = fork();

	if (!pid && end == ONCE) {
		each_once(&c);
		_exit(0);
	}
	if (end == ONCE)
		end = 0;
	if (!pid) {
		some(&c, 1 + draw(&c, 20));
		if (!end)
			_exit(0);
		kill(getpid(), end);
	}
	return pid > 0 && ended(pid, end);
}

static bool op_exec(struct self *s, long how)
{
	struct self c = child_of(s);
	int pid = fork();

	if (!pid)
		become(&c, how);
	return pid > 0 && ended(pid, 0);
}

static bool op_vfork(struct self *s, long exec)
{
	struct self c = child_of(s);
	int pid;

	c.guest = true;
	c.first = false;
	c.thread = s->thread;
	pid = vfork();
	if (!pid) {
		some(&c, 1 + draw(&c, 5));
		if (exec)
			become(&c, LEAF_EXIT);
		_exit(0);
	}
	return pid > 0 && ended(pid, 0);
}

static int guest_main(void *arg)
{
	struct self *c = arg;

	some(c, 1 + draw(c, 20));
	if (c->depth < 0)
		stand_still(c);
	_exit(0);
}

/* A process that shares the address space and runs beside us. */
static int clone_guest(struct self *c)
{
	char *stack = PRIVATE(c->thread) + KID_STACK_AT;

	c->guest = true;
	c->first = false;
	return clone(guest_main, stack + STACK_BYTES, CLONE_VM | SIGCHLD, c);
}

static bool op_clone_vm(struct self *s, long unused)
{
	struct self c = child_of(s);
	int pid;

	(void)unused;
	c.thread = s->thread;
	pid = clone_guest(&c);
	return pid > 0 && ended(pid, 0);
}

static bool op_oom(struct self *s, long unused)
{
	char path[160];
	int pid, fd;

	(void)unused;
	snprintf(path, sizeof(path), "%s/cgroup.procs", sh->cgroup);
	pid = fork();
	if (!pid) {
		fd = open(path, O_WRONLY);
		if (write(fd, "0", 1) != 1)
			_exit(1);
		munlockall();
		for (;;)
			memset(mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			       1, HUGE);
	}
	(void)s;
	return pid > 0 && ended(pid, SIGKILL);
}

/* Uses up what it may have; then the calls fail. */
static bool op_limit(struct self *s, long resource)
{
	struct self c = child_of(s);
	struct rlimit r = { 8 << 20, 8 << 20 };
	int pid = fork();

	c.depth = 2; /* no processes, and no stack that cannot grow */
	c.first = false;
	if (!pid) {
		setrlimit(resource, &r);
		some(&c, 20);
		_exit(mapped(mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	}
	return pid > 0 && ended(pid, 0);
}

static bool op_map_count(struct self *s, long unused)
{
	int pid = fork(), i;

	(void)s;
	(void)unused;
	if (!pid) {
		for (i = 0; i <= sh->max_map_count; i++)
			if (!mapped(mmap(NULL, PAGE,
					 i % 2 ? PROT_READ : PROT_NONE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
				_exit(errno != ENOMEM);
		_exit(2);
	}
	return pid > 0 && ended(pid, 0);
}

/* --- the table */

/* Who may do it. */
enum where {
	ANYBODY,
	OWNER, /* not in the address space of another process: it makes processes */
	CHILD, /* only where the address space does not live long */
	FIRST, /* the thread that has [stack] */
};

#define OP(what, n, fn, a)                                          \
	{                                                           \
		.name = what, .weight = n, .run = op_##fn, .arg = a \
	}
#define OP_OF(who, what, n, fn, a)                                   \
	{                                                            \
		.name = what, .weight = n, .run = op_##fn, .arg = a, \
		.where = who                                         \
	}
#define ADVICE(a)                                                       \
	{                                                               \
		.name = "madvise " #a, .weight = 20, .run = op_madvise, \
		.arg = MADV_##a                                         \
	}

static const struct op {
	const char *name;
	unsigned int weight;
	bool (*run)(struct self *s, long arg);
	long arg;
	enum where where;
} ops[] = {
	OP("mmap private", 300, map, MAP_PRIVATE),
	OP("mmap shared", 100, map, MAP_SHARED),
	OP("mmap noreserve", 100, map, MAP_PRIVATE | MAP_NORESERVE),
	OP("mmap populate", 100, map, MAP_PRIVATE | MAP_POPULATE),
	OP("mmap locked", 30, map, MAP_PRIVATE | MAP_LOCKED),
	OP("mmap growsdown", 50, map, MAP_PRIVATE | MAP_GROWSDOWN),
	OP("mmap fixed-noreplace", 150, map_noreplace, 0),
	OP("mmap file private", 200, map_file, MAP_PRIVATE),
	OP("mmap file shared", 200, map_file, MAP_SHARED),
	OP("mmap hugetlb", 20, map_huge, 0),
	OP("mmap 32bit", 50, map_anywhere, MAP_32BIT),
	OP("mmap anywhere", 100, map_anywhere, 0),
	OP("mmap reserve", 30, map_reserve, 0),
	OP("growsdown grows", 100, growsdown, 0),
	OP("munmap", 600, munmap, 0),
	OP("mprotect", 800, mprotect, 0),
	OP("pkey_mprotect no key", 50, pkey_mprotect, -1),
	OP("pkey_mprotect key", 50, pkey_mprotect, 0),
	OP("mremap in place", 150, mremap, 0),
	OP("mremap maymove", 150, mremap, MREMAP_MAYMOVE),
	OP("mremap shrink", 100, mremap_shrink, 0),
	OP("mremap fixed", 150, mremap_fixed, 0),
	OP("mremap fixed dontunmap", 50, mremap_fixed, MREMAP_DONTUNMAP),
	OP("mremap dontunmap", 100, mremap_dontunmap, 0),
	OP("mremap old size 0", 50, mremap_double, 0),
	ADVICE(NORMAL),
	ADVICE(RANDOM),
	ADVICE(SEQUENTIAL),
	ADVICE(WILLNEED),
	ADVICE(DONTNEED),
	ADVICE(FREE),
	ADVICE(REMOVE),
	ADVICE(DONTFORK),
	ADVICE(DOFORK),
	ADVICE(MERGEABLE),
	ADVICE(UNMERGEABLE),
	ADVICE(HUGEPAGE),
	ADVICE(NOHUGEPAGE),
	ADVICE(DONTDUMP),
	ADVICE(DODUMP),
	ADVICE(WIPEONFORK),
	ADVICE(KEEPONFORK),
	ADVICE(COLD),
	ADVICE(PAGEOUT),
	ADVICE(POPULATE_READ),
	ADVICE(POPULATE_WRITE),
	ADVICE(DONTNEED_LOCKED),
	ADVICE(COLLAPSE),
	ADVICE(GUARD_INSTALL),
	ADVICE(GUARD_REMOVE),
	OP("process_madvise COLD", 20, process_madvise, MADV_COLD),
	OP("process_madvise PAGEOUT", 20, process_madvise, MADV_PAGEOUT),
	OP("process_madvise WILLNEED", 20, process_madvise, MADV_WILLNEED),
	OP("int 0x80", 30, int80, 0),
	OP("mlock", 60, mlock, 0),
	OP("mlock onfault", 60, mlock, MLOCK_ONFAULT),
	OP("munlock", 100, munlock, 0),
	OP("mlockall current", 3, mlockall, MCL_CURRENT | MCL_ONFAULT),
	OP("mlockall future", 6, mlockall, MCL_FUTURE),
	OP("mlockall all", 3, mlockall, MCL_CURRENT | MCL_FUTURE),
	OP("munlockall", 20, munlockall, 0),
	OP("mbind preferred", 40, mbind, MPOL_PREFERRED),
	OP("mbind bind", 40, mbind, MPOL_BIND),
	OP("mbind default", 40, mbind, MPOL_DEFAULT),
	OP("set_mempolicy_home_node", 20, home_node, 0),
	OP("remap_file_pages", 50, remap_file_pages, 0),
	OP("prctl PR_SET_VMA", 50, vma_name, 0),
	OP_OF(CHILD, "mseal", 50, mseal, 0),
	OP("touch", 300, touch, 0),
	OP("look", 100, look, 0),
	OP("shmat", 50, shm, 0),
	OP("shmat read-only", 30, shm, SHM_RDONLY),
	OP("shmat remap", 50, shm, SHM_REMAP),
	OP("io_setup", 30, aio, 0),
	OP("perf ring", 20, perf, 0),
	OP("io_uring", 20, io_uring, 0),
	OP("userfaultfd", 50, userfaultfd, 0),
	OP("brk grow", 200, brk_grow, 0),
	OP("brk shrink", 150, brk_shrink, 0),
	OP("brk behind another VMA", 50, brk_protect, 0),
	OP_OF(FIRST, "stack growth", 20, stack, 0),
	OP_OF(CHILD, "mremap vdso", 100, vdso, 0),
	OP_OF(OWNER, "fork", 5, fork, 0),
	OP_OF(OWNER, "fork, killed", 3, fork, SIGKILL),
	OP_OF(OWNER, "core dump", 2, fork, SIGABRT),
	OP_OF(OWNER, "exec", 3, exec, LEAF_EXIT),
	OP_OF(OWNER, "exec by a thread", 3, exec, LEAF_THREAD),
	OP_OF(OWNER, "vfork", 5, vfork, 0),
	OP_OF(OWNER, "vfork, exec", 3, vfork, 1),
	OP_OF(OWNER, "clone CLONE_VM", 5, clone_vm, 0),
	OP_OF(OWNER, "OOM kill", 1, oom, 0),
	OP_OF(OWNER, "RLIMIT_AS", 2, limit, RLIMIT_AS),
	OP_OF(OWNER, "RLIMIT_DATA", 2, limit, RLIMIT_DATA),
	OP_OF(OWNER, "max_map_count", 1, map_count, 0),
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

static unsigned int total_weight;

static void weigh(void)
{
	for (size_t i = 0; i < OPS; i++)
		if (!sh->op[i].lacking)
			total_weight += ops[i].weight;
}

static bool allowed(const struct self *s, enum where where)
{
	switch (where) {
	case OWNER:
		return !s->guest && s->depth < 2;
	case CHILD:
		return !s->guest && s->depth;
	case FIRST:
		return s->first;
	default:
		return true;
	}
}

static void do_op(struct self *s, size_t i)
{
	if (!allowed(s, ops[i].where))
		return;
	if (ops[i].run(s, ops[i].arg))
		sh->op[i].ok++;
	else
		sh->op[i].failed++;
}

/* So that what is rare is done in a short run too. */
static void each_once(struct self *s)
{
	for (size_t i = 0; i < OPS; i++)
		if (!sh->op[i].lacking)
			do_op(s, i);
}

static void one(struct self *s)
{
	uint32_t at = draw(s, total_weight);
	size_t i;

	for (i = 0; i < OPS; i++) {
		if (sh->op[i].lacking)
			continue;
		if (at < ops[i].weight)
			break;
		at -= ops[i].weight;
	}
	do_op(s, i);
}

/* What the kernel, the machine or the options do not have. NULL: it is there. */
static const char *lack(const struct op *o)
{
	void *page = ARENA;
	long rc = 0;

	if (o->run == op_madvise && ++sh->madvises)
		rc = madvise(page, 0, o->arg);
	else if (o->run == op_pkey_mprotect)
		rc = o->arg < 0 ? pkey_mprotect(page, PAGE, PROT_NONE, -1) :
				  pkey_alloc(0, 0);
	else if (o->run == op_process_madvise)
		rc = syscall(SYS_process_madvise,
			     syscall(SYS_pidfd_open, getpid(), 0), &page, 0,
			     o->arg, 0);
	else if (o->run == op_home_node)
		rc = syscall(NR_HOME_NODE, page, 0, 0, 0);
	else if (o->run == op_vma_name)
		rc = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, PAGE, "x");
	else if (o->run == op_mseal)
		rc = syscall(NR_MSEAL, page, 0, 0);
	else if (o->run == op_userfaultfd)
		rc = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	else if (o->run == op_io_uring)
		rc = syscall(SYS_io_uring_setup, 4,
			     &(struct io_uring_params){ 0 });
	else if (o->run == op_map_huge)
		rc = mapped(mmap(NULL, HUGE, PROT_READ,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
					 MAP_POPULATE,
				 -1, 0)) ?
			     0 :
			     -1;
	else if (o->run == op_oom && !sh->cgroup[0])
		return "no --cgroup";
	else if (o->run == op_map_count && !sh->max_map_count)
		return "vm.max_map_count is too large to use it up";
	return rc < 0 ? strerror(errno) : NULL;
}

/* In a child, which takes along what the attempts leave behind. */
static void find_lacking(const char *only)
{
	int pid = fork();

	if (!pid) {
		for (size_t i = 0; i < OPS; i++) {
			const char *why = lack(&ops[i]);

			sh->op[i].lacking = why;
			if (why)
				printf("unavailable: %s: %s\n", ops[i].name,
				       why);
			if (only && strncmp(ops[i].name, only, strlen(only)))
				sh->op[i].lacking = true;
		}
		fflush(stdout);
		_exit(0);
	}
	ended(pid, 0);
	weigh();
}

/* --- workers */

static unsigned int rounds, round_ops, threads;
static uint64_t seed;
static bool brief;
static const char *pause_at;

/*
 * Its own, before there are holes into which the kernel could put something. malloc
 * has to have its heap: the C library is not told where we move the break, so it would
 * take for fresh what we have there.
 */
static void set_up(void)
{
	void *volatile p = malloc(1); /* not to be optimised away */

	free(p);
	heap_floor = ((uintptr_t)sbrk(0) + PAGE - 1) & -PAGE;
	set_brk(heap_floor + 4 * PAGE);
	mmap(ARENA, ARENA_PAGES * PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	for (unsigned int t = 0; t < threads; t++) {
		mmap(PRIVATE(t) + STACK_AT, STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		mmap(PRIVATE(t) + KID_STACK_AT, STACK_BYTES,
		     PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
}

/* A child that is there at the checkpoint; it is when this returns. */
static int leave_behind(struct self *s, struct self *c)
{
	int pid, status;

	*c = child_of(s);
	switch (draw(s, 3)) {
	case 0:
		pid = fork();
		if (!pid) {
			some(c, 1 + draw(c, 20));
			stand_still(c);
			_exit(0);
		}
		break;
	case 1:
		pid = fork();
		if (!pid)
			become(c, LEAF_STAND);
		break;
	default:
		c->depth = -1;
		pid = clone_guest(c);
	}
	while (!sh->stand[s->worker] && !waitpid(pid, &status, WNOHANG))
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	return pid;
}

static void checkpoint(void)
{
	uint32_t gen = sh->gen;

	sh->here++;
	futex_wake(&sh->here);
	while (sh->gen == gen)
		futex_wait(&sh->gen, gen);
}

static void *thread_main(void *arg)
{
	struct self s = *(struct self *)arg, c;
	int kid = 0;

	if (!s.thread && !brief) {
		each_once(&s);
		op_fork(&s, ONCE);
	}
	for (unsigned int r = 0; r < rounds; r++) {
		some(&s, round_ops);
		if (!s.thread)
			kid = leave_behind(&s, &c);
		checkpoint();
		if (!s.thread)
			ended(kid, 0);
	}
	return NULL;
}

static void worker_main(int worker)
{
	struct self s[THREADS];
	pthread_t id[THREADS];
	pthread_attr_t attr;
	unsigned int t;

	set_up();
	for (t = 0; t < threads; t++)
		s[t] = (struct self){ .worker = worker,
				      .thread = t,
				      .first = !t,
				      .rnd = mix(seed ^ mix(worker * 64 + t)) };
	for (t = 1; t < threads; t++) {
		pthread_attr_init(&attr);
		pthread_attr_setstack(&attr, PRIVATE(t) + STACK_AT,
				      STACK_BYTES);
		if (pthread_create(&id[t], &attr, thread_main, &s[t]))
			_exit(2);
	}
	thread_main(&s[0]);
	for (t = 1; t < threads; t++)
		pthread_join(id[t], NULL);
	_exit(0);
}

/* --- what exec'ed children do */

static void *exec_thread(void *arg)
{
	become(arg, LEAF_EXIT);
	return NULL;
}

static int leaf_main(char **argv)
{
	struct self s = { .depth = 2, .first = true };
	enum stop how = atoi(argv[2]);
	pthread_t id;

	if (!mapped(mmap(SHARED, sizeof(*sh), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, atoi(argv[0]), 0)))
		return 1;
	s.rnd = strtoull(argv[1], NULL, 10);
	s.worker = atoi(argv[3]);
	threads = 1;
	set_up();
	weigh();
	some(&s, 1 + draw(&s, 10));
	if (how == LEAF_STAND)
		stand_still(&s);
	if (how == LEAF_THREAD) {
		s.rnd = mix(s.rnd);
		pthread_create(&id, NULL, exec_thread, &s);
		pthread_join(id, NULL);
		return 1;
	}
	_exit(0);
}

/* --- the coordinator */

static struct {
	uint64_t checks, vmas, mismatches, missing, again;
} sum;
static int daemon_fd = -1;

/* The daemon of `vmaheap record`, our parent; user/session/wire.h. */
static int reach_daemon(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	daemon_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(to.sun_path, sizeof(to.sun_path), "/run/vmaheap/%d.sock",
		 getppid());
	if (!connect(daemon_fd, (struct sockaddr *)&to, sizeof(to)))
		return 0;
	snprintf(to.sun_path, sizeof(to.sun_path),
		 "/run/vmaheap/vmaheapd.sock");
	return connect(daemon_fd, (struct sockaddr *)&to, sizeof(to));
}

/* One question: the exit status; what was said is in text. */
static int ask(int pid, char *text, size_t size)
{
	static char buf[65537];
	int len = snprintf(buf, sizeof(buf), "verify%cpid=%d", 0, pid) + 1;
	size_t n = 0;

	if (send(daemon_fd, buf, len, MSG_NOSIGNAL) != len)
		return -EPIPE;
	do {
		len = recv(daemon_fd, buf, sizeof(buf) - 1, 0);
		if (len <= 0)
			return -EPIPE;
		buf[len] = 0;
		if (buf[0] != 'x' && n < size)
			n += snprintf(text + n, size - n, "%s", buf + 1);
	} while (buf[0] != 'x');
	return atoi(buf + 1);
}

static void verify(int pid, const char *what)
{
	char text[4096] = "", *figures;
	unsigned long vmas = 0, bad = 0;
	int status, tries = 0;

	/* A thread that does not stop in time on a busy machine is asked again. */
	do {
		text[0] = 0;
		status = ask(pid, text, sizeof(text));
	} while (
		strstr(text,
		       "could not be compared: a thread did not stop in time") &&
		++sum.again && ++tries < 100);
	figures = strstr(text, "verify: 1 check, ");
	if (figures &&
	    sscanf(figures, "verify: 1 check, %lu VMAs compared, %lu", &vmas,
		   &bad) == 2) {
		sum.checks++;
		sum.vmas += vmas;
		sum.mismatches += bad;
	} else {
		sum.missing++;
	}
	if (status && sum.mismatches + sum.missing < 50)
		printf("checkpoint %u: %s %d: status %d: %s\n", sh->gen, what,
		       pid, status, text);
}

static void verify_all(unsigned int workers)
{
	verify(getpid(), "the coordinator");
	for (unsigned int w = 0; w < workers; w++) {
		verify(sh->pids[w], "worker");
		verify(sh->stand[w], "child");
	}
}

/* False: a worker has died, so that nobody is waited for in vain. */
static bool gather(unsigned int n)
{
	int status;

	for (;;) {
		uint32_t here = sh->here;

		if (here == n)
			return true;
		futex_wait(&sh->here, here);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			printf("a worker ended with %#x\n", status);
			return false;
		}
	}
}

/* Until somebody has looked at us. */
static void wait_outside(unsigned int n)
{
	char path[256], fresh[264];
	FILE *f;

	snprintf(path, sizeof(path), "%s.%u", pause_at, n);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "w");
	if (!f || fprintf(f, "%d\n", sh->pids[0]) < 0 || fclose(f) ||
	    rename(fresh, path)) {
		perror(path);
		exit(2);
	}
	while (!access(path, F_OK))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static bool checkpoints(unsigned int workers, bool alone)
{
	for (unsigned int r = 0; r < rounds; r++) {
		if (!gather(workers * threads))
			return false;
		if (!alone)
			verify_all(workers);
		if (pause_at)
			wait_outside(r + 1);
		for (unsigned int w = 0; w < workers; w++)
			sh->stand[w] = 0;
		sh->here = 0;
		sh->gen++;
		futex_wake(&sh->gen);
	}
	return true;
}

static long status_of(const char *key)
{
	FILE *f = fopen("/proc/vmaheap/status", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			n = atol(line + strlen(key));
	if (f)
		fclose(f);
	return n;
}

/* Of what has ended nothing must stay but us; the module takes its time. */
static long left_over(void)
{
	long left = 0;

	for (int tries = 0; tries < 1000; tries++) {
		left = status_of("processes: ") + status_of("mms: ") - 2;
		if (left <= 0)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return left < 0 ? 0 : left;
}

static unsigned int print_ops(uint64_t *count)
{
	unsigned int never = 0;

	for (size_t i = 0; i < OPS; i++) {
		uint64_t ok = sh->op[i].ok, failed = sh->op[i].failed;

		*count += ok + failed;
		if (sh->op[i].lacking)
			continue;
		printf("  %-26s %8llu done %8llu refused%s\n", ops[i].name,
		       (unsigned long long)ok, (unsigned long long)failed,
		       ok ? "" : "   NEVER DONE");
		never += !ok;
	}
	return never;
}

static void open_shared(void)
{
	int fd = memfd_create("mmfuzz", 0);

	if (ftruncate(fd, sizeof(*sh)) ||
	    !mapped(mmap(SHARED, sizeof(*sh), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0))) {
		perror("mmfuzz: shared memory");
		exit(2);
	}
	sh->fd = fd;
	sh->file = memfd_create("mmfuzz-file", 0);
	sh->exe = open("/proc/self/exe", O_RDONLY);
	sh->zero = open("/dev/zero", O_RDONLY);
	if (ftruncate(sh->file, ARENA_PAGES * PAGE))
		exit(2);
}

static void read_max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	int n = 0;

	if (f && fscanf(f, "%d", &n) == 1 && n <= 5000)
		sh->max_map_count = n;
	if (f)
		fclose(f);
}

static int run(unsigned int workers, bool alone, const char *only)
{
	uint64_t count = 0;
	unsigned int never;
	bool whole;
	long left;
	int status;

	printf("seed %llu: %u workers, %u threads each, %u checkpoints\n",
	       (unsigned long long)seed, workers, threads, rounds);
	mmap(ARENA, ARENA_PAGES * PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	find_lacking(only);
	fflush(stdout);
	for (unsigned int w = 0; w < workers; w++) {
		int pid = fork();

		if (!pid)
			worker_main(w);
		sh->pids[w] = pid;
	}
	whole = checkpoints(workers, alone);
	while (whole && wait(&status) > 0)
		sh->unexpected += status != 0;
	left = alone || !whole ? 0 : left_over();
	never = print_ops(&count);
	printf("mmfuzz: seed=%llu operations=%llu checks=%llu vmas=%llu mismatches=%llu missing=%llu left=%ld unexpected=%u never=%u asked_again=%llu madvises=%llu uring_madvises=%llu\n",
	       (unsigned long long)seed, (unsigned long long)count,
	       (unsigned long long)sum.checks, (unsigned long long)sum.vmas,
	       (unsigned long long)sum.mismatches,
	       (unsigned long long)sum.missing, left, sh->unexpected, never,
	       (unsigned long long)sum.again, (unsigned long long)sh->madvises,
	       (unsigned long long)sh->uring_madvises);
	fflush(stdout);
	if (!whole)
		kill(0, SIGKILL);
	return sum.mismatches || sum.missing || left || sh->unexpected || never;
}

int main(int argc, char **argv)
{
	enum {
		SEED = 256,
		N_OPS,
		ROUND,
		NR_WORKERS,
		NR_THREADS,
		CGROUP,
		ONLY,
		ALONE,
		PAUSE,
		SHORT
	};
	static const struct option longopts[] = {
		{ "seed", required_argument, NULL, SEED },
		{ "ops", required_argument, NULL, N_OPS },
		{ "round", required_argument, NULL, ROUND },
		{ "workers", required_argument, NULL, NR_WORKERS },
		{ "threads", required_argument, NULL, NR_THREADS },
		{ "cgroup", required_argument, NULL, CGROUP },
		{ "only", required_argument, NULL, ONLY },
		{ "alone", no_argument, NULL, ALONE },
		{ "short", no_argument, NULL, SHORT },
		{ "pause", required_argument, NULL, PAUSE },
		{ 0 },
	};
	struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int workers = 2, n_ops = 10000;
	const char *only = NULL;
	bool alone = false;
	int c;

	if (argc == 6 && !strcmp(argv[1], "--leaf"))
		return leaf_main(argv + 2);
	open_shared();
	threads = 3;
	round_ops = 200;
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		if (c == SEED)
			seed = strtoull(optarg, NULL, 0);
		else if (c == N_OPS)
			n_ops = atoi(optarg);
		else if (c == ROUND)
			round_ops = atoi(optarg);
		else if (c == NR_WORKERS)
			workers = atoi(optarg);
		else if (c == NR_THREADS)
			threads = atoi(optarg);
		else if (c == CGROUP)
			snprintf(sh->cgroup, sizeof(sh->cgroup), "%s", optarg);
		else if (c == ONLY)
			only = optarg;
		else if (c == PAUSE)
			pause_at = optarg;
		else if (c == SHORT)
			brief = true;
		else if (c == ALONE)
			alone = true;
		else
			return 2;
	}
	if (!workers || workers > WORKERS || !threads || threads > THREADS ||
	    !round_ops)
		return 2;
	if (!seed)
		seed = mix(time(NULL) ^ ((uint64_t)getpid() << 32)) >> 32;
	rounds = (n_ops + workers * threads * round_ops - 1) /
		 (workers * threads * round_ops);
	if (!alone && reach_daemon()) {
		perror("mmfuzz: no daemon (see --alone)");
		return 2;
	}
	setrlimit(RLIMIT_CORE, &core);
	read_max_map_count();
	setvbuf(stdout, NULL, _IOLBF, 0);
	return run(workers, alone, only);
}
