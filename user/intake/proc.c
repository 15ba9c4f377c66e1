// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/proc.h"

#define PAGE 4096ull
#define VSYSCALL 0xffffffffff600000ull
#define HUGE (2ull << 20)
#define HUGE_PAGES (HUGE / PAGE)

/* 55d0c7a1e000-55d0c7a3f000 rw-p 00000000 fe:00 1234    /usr/bin/x */
int proc_map_line(const char *line, struct proc_map *m, const char **name_at)
{
	unsigned long long start, end, offset, ino;
	unsigned int major, minor;
	char perms[5];
	int name = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end,
		   perms, &offset, &major, &minor, &ino, &name) < 7)
		return -EBADMSG;
	memset(m, 0, sizeof(*m));
	m->d = (struct vma_desc){
		.start = start,
		.end = end,
		.offset = offset,
		.ino = ino,
		.dev = major << 20 | minor,
		.flags = (perms[0] == 'r' ? VMA_READ : 0) |
			 (perms[1] == 'w' ? VMA_WRITE : 0) |
			 (perms[2] == 'x' ? VMA_EXEC : 0) |
			 (perms[3] == 's' ? VMA_SHARED : 0) |
			 (ino || major || minor ? VMA_FILE : 0),
	};
	*name_at = line + name;
	snprintf(m->name, sizeof(m->name), "%.*s", (int)strcspn(*name_at, "\n"),
		 *name_at);
	return 0;
}

static int add_line(const char *line, struct proc_map **maps, size_t *nr,
		    size_t *room)
{
	const char *name;
	struct proc_map *m;
	int err;

	if (*nr == *room) {
		*room = *room ? *room * 2 : 64;
		m = realloc(*maps, *room * sizeof(*m));
		if (!m)
			return -ENOMEM;
		*maps = m;
	}
	m = &(*maps)[*nr];
	err = proc_map_line(line, m, &name);
	if (!err && m->d.start != VSYSCALL)
		++*nr;
	return err;
}

struct numbers {
	uint32_t *at;
	size_t nr, room;
};

static bool add_number(struct numbers *n, uint32_t number)
{
	uint32_t *more;

	if (n->nr == n->room) {
		n->room = n->room ? 2 * n->room : 16;
		more = realloc(n->at, n->room * sizeof(*more));
		if (!more)
			return false;
		n->at = more;
	}
	n->at[n->nr++] = number;
	return true;
}

/* What a list of ours returns, with the numbers in *at. */
static long end_numbers(struct numbers *n, bool good, uint32_t **at)
{
	*at = n->at;
	if (good)
		return (long)n->nr;
	free(n->at);
	*at = NULL;
	return -ENOMEM;
}

long proc_tids(uint32_t pid, uint32_t **tids)
{
	struct numbers n = { 0 };
	struct dirent *d;
	char path[32];
	uint32_t tid;
	DIR *dir;

	*tids = NULL;
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		tid = (uint32_t)atol(d->d_name);
		if (tid && !add_number(&n, tid)) /* not . and .. */
			break;
	}
	closedir(dir);
	return end_numbers(&n, !d, tids);
}

/* False: no memory. A thread that has ended has left its children to another one. */
static bool add_children(struct numbers *n, uint32_t pid, uint32_t tid)
{
	uint32_t child;
	bool good = true;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/children", pid, tid);
	f = fopen(path, "re");
	while (f && good && fscanf(f, "%u", &child) == 1)
		good = add_number(n, child);
	if (f)
		fclose(f);
	return good;
}

long proc_children(uint32_t pid, uint32_t **children)
{
	struct numbers n = { 0 };
	uint32_t *tids;
	long i, nr = proc_tids(pid, &tids);
	bool good = true;

	*children = NULL;
	if (nr < 0)
		return nr;
	for (i = 0; good && i < nr; i++)
		good = add_children(&n, pid, tids[i]);
	free(tids);
	return end_numbers(&n, good, children);
}

static bool has_program(uint32_t tid)
{
	char path[32], byte;

	snprintf(path, sizeof(path), "/proc/%u/exe", tid);
	return readlink(path, &byte, 1) > 0 || errno != ENOENT;
}

uint32_t proc_number(uint32_t pid)
{
	uint32_t *tids, number = pid;
	long i, nr;

	if (has_program(pid))
		return pid;
	nr = proc_tids(pid, &tids);
	for (i = 0; i < nr && number == pid; i++)
		if (tids[i] != pid && has_program(tids[i]))
			number = tids[i];
	free(tids);
	return number;
}

long proc_maps(uint32_t pid, struct proc_map **maps)
{
	size_t nr = 0, room = 0, len = 0;
	char path[64], *line = NULL, byte;
	int err = 0;
	FILE *f;

	*maps = NULL;
	snprintf(path, sizeof(path), "/proc/%u/maps", proc_number(pid));
	f = fopen(path, "re");
	if (!f)
		return -errno;
	errno = 0;
	while (!err && getline(&line, &len, f) > 0)
		err = add_line(line, maps, &nr, &room);
	if (!err && ferror(f))
		err = errno ? -errno : -EIO;
	/* Of one that exits meanwhile the rest is missing; it has no first byte then. */
	if (!err && pread(fileno(f), &byte, 1, 0) != 1)
		err = -ESRCH;
	free(line);
	fclose(f);
	if (!err)
		return (long)nr;
	free(*maps);
	*maps = NULL;
	return err;
}

/* Only if it is that inode. (The device says nothing: it differs in overlays.) */
static int open_inode(const char *path, uint64_t ino)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && st.st_ino == ino)
		return fd;
	close(fd);
	return -ENOENT;
}

/* As its path leads to it. */
static int open_by_path(uint32_t pid, const char *link, uint64_t ino)
{
	char path[4200], target[4096];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	if (len < 0)
		return -errno;
	target[len] = 0;
	snprintf(path, sizeof(path), "/proc/%u/root%s", pid, target);
	return open_inode(path, ino);
}

/* The program itself, which leads to its file although that is deleted. */
static int open_program(uint32_t pid, uint64_t ino)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return open_inode(path, ino);
}

int proc_open_mapped(uint32_t pid, const struct vma_desc *vma)
{
	struct stat st;
	char link[80];
	int fd;

	pid = proc_number(pid);
	snprintf(link, sizeof(link), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64,
		 pid, vma->start, vma->end);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = open_program(pid, vma->ino);
	if (fd < 0)
		fd = open_by_path(pid, link, vma->ino);
	if (fd < 0 || (!fstat(fd, &st) && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	return -ENOEXEC;
}

const struct proc_map *proc_map_at(const struct proc_map *maps, size_t nr,
				   uint64_t addr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (addr >= maps[i].d.start && addr < maps[i].d.end)
			return &maps[i];
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/*
 * Waits for the stop of a seized thread. It may report another stop first (a
 * signal that is being delivered): that one counts as well, the signal is
 * handed on when the thread is let go. *seized becomes false when it is dead.
 */
static int wait_stop(pid_t tid, uint64_t deadline, bool *seized)
{
	struct timespec nap = { .tv_nsec = 200000 };
	int status;
	pid_t got;

	for (;;) {
		got = waitpid(tid, &status, __WALL | WNOHANG);
		if (got == tid && WIFSTOPPED(status))
			return status >> 8;
		if (got == tid || (got < 0 && errno != EINTR)) {
			*seized = false; /* its end has been collected */
			return -ESRCH;
		}
		if (now_ms() > deadline)
			return -ETIMEDOUT;
		nanosleep(&nap, NULL);
	}
}

/* The signal to hand on: of a signal-delivery-stop, not of a group or event stop. */
static int pending_signal(int stop)
{
	return stop >> 8 ? 0 : stop & 0x7f;
}

/*
 * Threads that we still trace and could not let go: those that did not stop in
 * time (only a stopped thread can be let go, and one that stops unattended would
 * stand still for ever), and those that were killed meanwhile, whose end only
 * their tracer can collect: until then their process is not over for its parent.
 */
static struct {
	pid_t *tid;
	size_t nr, room;
} held;

static void hold(pid_t tid)
{
	pid_t *t;

	if (held.nr == held.room) {
		held.room = held.room ? held.room * 2 : 64;
		t = realloc(held.tid, held.room * sizeof(*t));
		if (!t)
			return; /* our own end lets it go */
		held.tid = t;
	}
	held.tid[held.nr++] = tid;
}

static void let_go(pid_t tid, int sig)
{
	if (ptrace(PTRACE_DETACH, tid, 0, (long)sig))
		hold(tid);
}

void proc_reap(void)
{
	size_t i = 0;
	int status;
	pid_t got;

	while (i < held.nr) {
		got = waitpid(held.tid[i], &status, __WALL | WNOHANG);
		if (!got || (got > 0 && WIFSTOPPED(status) &&
			     ptrace(PTRACE_DETACH, held.tid[i], 0,
				    (long)pending_signal(status >> 8)))) {
			i++;
			continue;
		}
		held.tid[i] = held.tid[--held.nr];
	}
}

static bool is_held(pid_t tid)
{
	size_t i;

	for (i = 0; i < held.nr; i++)
		if (held.tid[i] == tid)
			return true;
	return false;
}

/* As /proc/PID/stat has it; 'X': there is none (any more). */
static char state_of(uint32_t pid, pid_t tid)
{
	char path[64], line[256], state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/task/%d/stat", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return 'X';
	if (fgets(line, sizeof(line), f) && strrchr(line, ')'))
		sscanf(strrchr(line, ')') + 1, " %c", &state);
	fclose(f);
	return state;
}

/* In uninterruptible sleep: a vfork parent, a read from disk? */
static bool in_kernel_sleep(uint32_t pid, pid_t tid)
{
	return state_of(pid, tid) == 'D';
}

/* EPERM means as well that it has exited (kernel/ptrace.c, ptrace_attach()). */
static int seize_error(uint32_t pid, pid_t tid, int err)
{
	char state = err == EPERM ? state_of(pid, tid) : 0;

	return state == 'X' || state == 'Z' ? -ESRCH : -err;
}

/*
 * Asks a thread to stop. -EAGAIN: not now: one that would stop only later is not
 * seized at all, and one that we still trace from an earlier attempt is to be let
 * go first.
 */
static int begin_stop(uint32_t pid, pid_t tid)
{
	if (is_held(tid) || in_kernel_sleep(pid, tid))
		return -EAGAIN;
	if (ptrace(PTRACE_SEIZE, tid, 0, 0))
		return seize_error(pid, tid, errno);
	if (!ptrace(PTRACE_INTERRUPT, tid, 0, 0))
		return 0;
	hold(tid);
	return -ESRCH; /* it has been killed meanwhile */
}

static bool is_stopped(const struct proc_stopped *s, pid_t tid)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->tids[i] == tid)
			return true;
	return false;
}

static int keep_thread(struct proc_stopped *s, pid_t tid)
{
	pid_t *t;

	if (s->nr == s->room) {
		s->room = s->room ? s->room * 2 : 16;
		t = realloc(s->tids, s->room * sizeof(*t));
		if (!t)
			return -ENOMEM;
		s->tids = t;
	}
	s->tids[s->nr++] = tid;
	return 0;
}

/*
 * A thread caught while a signal is being delivered is let go with the signal, to
 * be caught again, so that the signal is not lost and the handler runs while nobody
 * looks.
 */
static int end_stop(struct proc_stopped *s, pid_t tid, uint64_t deadline)
{
	bool seized = true;
	int rc = wait_stop(tid, deadline, &seized), sig;

	if (rc < 0) {
		if (seized)
			hold(tid);
		return rc;
	}
	sig = pending_signal(rc);
	if (!sig && !keep_thread(s, tid))
		return 0;
	let_go(tid, sig);
	return sig ? 0 : -ENOMEM;
}

/* Asks all that are listed now and not stopped yet; *wait: some can only later. */
static int begin_all(uint32_t pid, const struct proc_stopped *s,
		     struct proc_stopped *begun, bool *wait)
{
	uint32_t *tids;
	long i, nr = proc_tids(pid, &tids);
	int err = 0;

	if (nr < 0)
		return nr == -ENOMEM ? -ENOMEM : -ESRCH;
	for (i = 0; i < nr && !err; i++) {
		pid_t tid = (pid_t)tids[i];

		if (is_stopped(s, tid))
			continue;
		err = begin_stop(pid, tid);
		if (!err) {
			err = keep_thread(begun, tid);
			if (err)
				hold(tid);
			continue;
		}
		*wait |= err == -EAGAIN;
		if (err == -EAGAIN || err == -ESRCH)
			err = 0; /* it is exiting, the others count */
	}
	free(tids);
	return err;
}

/*
 * Stops the threads that are listed now, all at once: one by one, of a thousand
 * each would have to be waited for. *more: there were some.
 */
static int stop_listed(uint32_t pid, struct proc_stopped *s, uint64_t deadline,
		       bool *more)
{
	struct proc_stopped begun = { 0 };
	bool wait = false;
	int err = begin_all(pid, s, &begun, &wait), rc;
	size_t i;

	for (i = 0; i < begun.nr; i++) {
		rc = end_stop(s, begun.tids[i], err ? 0 : deadline);
		if (rc && rc != -ESRCH && !err)
			err = rc;
	}
	*more = begun.nr || wait;
	free(begun.tids);
	if (!err && wait && now_ms() > deadline)
		return -ETIMEDOUT;
	if (!err && wait) {
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
		proc_reap();
	}
	return err;
}

int proc_stop(uint32_t pid, unsigned int ms, struct proc_stopped *s)
{
	uint64_t deadline = now_ms() + ms;
	bool more = true;
	int err = 0;

	memset(s, 0, sizeof(*s));
	/* Until a round finds no new thread: a running one may make more. */
	while (!err && more)
		err = stop_listed(pid, s, deadline, &more);
	if (!err && !s->nr)
		err = -ESRCH;
	if (err)
		proc_go(s);
	return err;
}

void proc_go(struct proc_stopped *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		let_go(s->tids[i], 0);
	free(s->tids);
	memset(s, 0, sizeof(*s));
	proc_reap();
}

int proc_registers(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	if (iov.iov_len != sizeof(*regs))
		return -ENOEXEC;
	return regs->rip || regs->rsp ? 0 : -ENODATA;
}

/* format: of a line of /proc/PID/status. False: there is no such line, or process. */
static bool status_value(uint32_t pid, const char *format, unsigned int *value)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, format, value) == 1;
	if (f)
		fclose(f);
	return found;
}

unsigned int proc_filters(pid_t tid)
{
	unsigned int mode, nr = 0;

	if (!status_value((uint32_t)tid, "Seccomp: %u", &mode) || !mode)
		return 0;
	status_value((uint32_t)tid, "Seccomp_filters: %u", &nr);
	return nr ? nr : 1;
}

uint32_t proc_user(uint32_t pid)
{
	unsigned int uid;

	return status_value(pid, "Uid: %*u %u", &uid) ? uid : UINT32_MAX;
}

int proc_open_pagemap(uint32_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/pagemap", proc_number(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Frames of zeroes that the kernel maps where memory is only read. They cost
 * nothing and count as nothing (smaps leaves them out: fs/proc/task_mmu.c,
 * vm_normal_page()), but pagemap calls them present. We know them by mapping
 * them ourselves; the mappings stay, so that the huge one stays where it is.
 * Without CAP_SYS_ADMIN all frame numbers read as 0 and nothing is known.
 */
static struct {
	bool looked;
	uint64_t small, huge; /* frame numbers; 0: not known */
} zero;

static uint64_t frame_of(int fd, const volatile char *p)
{
	uint64_t entry = 0;
	char byte = *p; /* a read fault */

	(void)byte;
	if (pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) != 8 ||
	    !(entry & PAGEMAP_PRESENT))
		return 0;
	return entry & PAGEMAP_PFN;
}

static char *map_anon(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void find_zero_frames(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	char *p = map_anon(2 * PAGE), *q = map_anon(2 * HUGE);

	zero.looked = true;
	if (fd >= 0 && p) {
		/* EINVAL: a kernel without huge pages (PREEMPT_RT). */
		madvise(p, 2 * PAGE, MADV_NOHUGEPAGE);
		zero.small = frame_of(fd, p);
	}
	/* Not every kernel has one: these are two frames then. */
	if (zero.small && frame_of(fd, p + PAGE) != zero.small)
		zero.small = 0;
	if (fd >= 0 && q && !madvise(q, 2 * HUGE, MADV_HUGEPAGE)) {
		q = (char *)(((uintptr_t)q + HUGE - 1) & ~(HUGE - 1));
		zero.huge = frame_of(fd, q);
		/* Frames in a row: only then it is a huge page. */
		if (zero.huge % 512 || frame_of(fd, q + PAGE) != zero.huge + 1)
			zero.huge = 0;
	}
	if (fd >= 0)
		close(fd);
}

static bool is_zero_frame(uint64_t entry)
{
	uint64_t frame = entry & PAGEMAP_PFN;

	return frame &&
	       (frame == zero.small || (zero.huge && frame - zero.huge < 512));
}

/*
 * As smaps counts (fs/proc/task_mmu.c, smaps_pte_entry): only what has a struct
 * page. pagemap does not say so, but such a page in a shared mapping is a file's,
 * or as one, and what the kernel puts into the rings of io_uring is not; nor what it
 * puts into [vvar], but for the pages that are mapped as others are since 7
 * (lib/vdso/datastore.c).
 */
static bool is_resident(uint64_t entry, uint32_t flags)
{
	if (!(entry & PAGEMAP_PRESENT) || is_zero_frame(entry))
		return false;
	return !(flags & (VMA_SHARED | VMA_VVAR)) || entry & PAGEMAP_FILE;
}

bool proc_entry_resident(uint64_t entry, uint32_t flags)
{
	if (!zero.looked)
		find_zero_frames();
	return is_resident(entry, flags);
}

/*
 * An entry that is not present names a type of swap in its low bits. The last
 * ones of the 32 are no swap files: migration, poison, markers of userfaultfd and
 * of guard regions (include/linux/swap.h, MAX_SWAPFILES: at least 23).
 */
bool proc_entry_swapped(uint64_t entry)
{
	return entry & PAGEMAP_SWAPPED && (entry & 31) < 23;
}

/* --- huge pages */

/* linux/fs.h since 6.7 */
struct page_region_6_7 {
	uint64_t start, end, categories;
};
struct pm_scan_arg_6_7 {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};
#define PAGEMAP_SCAN_6_7 _IOWR('f', 16, struct pm_scan_arg_6_7)
#define SCAN_PRESENT (1 << 3)
#define SCAN_PFNZERO (1 << 5)
#define SCAN_HUGE (1 << 6)

/* What is mapped in huge pages, from the kernel itself. -errno: it cannot say. */
static int scan_huge(int fd, uint64_t start, uint64_t end, uint64_t *huge)
{
	struct page_region_6_7 r[64];
	struct pm_scan_arg_6_7 arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)r,
		.vec_len = 64,
		.category_mask = SCAN_PRESENT | SCAN_HUGE | SCAN_PFNZERO,
		.category_inverted = SCAN_PFNZERO,
		.return_mask = SCAN_HUGE,
	};
	int i, n;

	*huge = 0;
	while (arg.start < end) {
		n = ioctl(fd, PAGEMAP_SCAN_6_7, &arg);
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++)
			*huge += r[i].end - r[i].start;
		arg.start = arg.walk_end;
	}
	return 0;
}

/*
 * Before: 512 frames in a row, well aligned, that belong to a huge page. One that
 * was split up in the page table and not in memory looks the same and is counted.
 */
struct frames {
	uint64_t first;
	bool whole; /* up to now */
};

static bool is_huge_frame(uint64_t frame)
{
	static int fd = -1; /* /proc/kpageflags: 8 bytes a frame */
	uint64_t flags = 0;

	if (fd < 0)
		fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &flags, 8, (off_t)(frame * 8)) != 8)
		return false;
	return flags & (1 << KPF_HUGE | 1 << KPF_THP);
}

/* The next page of a range: the bytes of the huge page that it completes. */
static uint64_t next_frame(struct frames *f, uint64_t addr, uint64_t entry,
			   bool resident)
{
	uint64_t at = addr / PAGE % HUGE_PAGES, frame = entry & PAGEMAP_PFN;

	if (!at)
		*f = (struct frames){ frame, frame && !(frame % HUGE_PAGES) };
	f->whole = f->whole && resident && frame == f->first + at;
	if (!f->whole || at != HUGE_PAGES - 1 || !is_huge_frame(f->first))
		return 0;
	return HUGE;
}

/* Before 6.7, by the frames of the 2 MiB around addr. -EPERM: they cannot be seen. */
static int frames_are_huge(int pagemap, uint64_t addr)
{
	uint64_t entries[HUGE_PAGES], huge = 0, i;
	struct frames f = { 0 };

	addr &= ~(HUGE - 1);
	if (pread(pagemap, entries, sizeof(entries),
		  (off_t)(addr / PAGE * 8)) != sizeof(entries))
		return -EFAULT;
	for (i = 0; i < HUGE_PAGES; i++) {
		if (entries[i] & PAGEMAP_PRESENT && !(entries[i] & PAGEMAP_PFN))
			return -EPERM;
		huge += next_frame(&f, addr + i * PAGE, entries[i],
				   entries[i] & PAGEMAP_PRESENT);
	}
	return huge > 0;
}

int proc_is_huge(int pagemap, uint64_t addr)
{
	uint64_t huge;
	int err;

	addr &= ~(PAGE - 1);
	err = scan_huge(pagemap, addr, addr + PAGE, &huge);
	return err == -ENOTTY ? frames_are_huge(pagemap, addr) :
	       err	      ? err :
				huge > 0;
}

int proc_pagemap(int fd, const struct vma_desc *d, struct proc_pages *n,
		 void (*page)(void *ctx, uint64_t addr), void *ctx)
{
	static const size_t most = 64 * 1024;
	struct frames f = { 0 };
	uint64_t *entries, addr = d->start, huge;
	ssize_t got = 1;
	size_t want;
	ssize_t i;

	entries = malloc(most * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	if (!zero.looked)
		find_zero_frames();
	memset(n, 0, sizeof(*n));
	while (addr < d->end && got > 0) {
		want = (d->end - addr) / PAGE < most ? (d->end - addr) / PAGE :
						       most;
		got = pread(fd, entries, want * 8, (off_t)(addr / PAGE * 8));
		for (i = 0; i < got / 8; i++, addr += PAGE) {
			bool resident = is_resident(entries[i], d->flags);

			n->swapped += proc_entry_swapped(entries[i]) ? PAGE : 0;
			n->huge += next_frame(&f, addr, entries[i], resident);
			if (!resident)
				continue;
			n->resident += PAGE;
			if (page)
				page(ctx, addr);
		}
	}
	free(entries);
	if (got < 0)
		return -errno;
	if (d->flags & VMA_HUGETLB) /* pages of another size, perhaps */
		n->huge = n->resident;
	else if (d->end - d->start >= HUGE &&
		 !scan_huge(fd, d->start, d->end, &huge))
		n->huge = huge;
	return addr < d->end ? -ESRCH : 0; /* end of file: the mm is gone */
}

/* --- the environment */

/* Values with blanks in them are none that malloc understands. */
static bool is_mallocs(const char *var)
{
	return (!strncmp(var, "GLIBC_TUNABLES=", 15) ||
		!strncmp(var, "MALLOC_", 7)) &&
	       !strchr(var, ' ');
}

/*
 * glibc cuts GLIBC_TUNABLES into its parts where it lies (parse_tunables(),
 * elf/dl-tunables.c 2.36): then each is a string of its own there.
 */
static bool is_tunable(const char *var)
{
	return !strncmp(var, "glibc.", 6) && !strchr(var, ' ');
}

static int read_malloc_env(FILE *f, char *buf, size_t size)
{
	bool ours = false; /* the variable before this one */
	char *var = NULL;
	size_t room = 0, used = 0;
	int err = 0;

	buf[0] = 0;
	while (!err && getdelim(&var, &room, 0, f) > 0) {
		bool part = ours && is_tunable(var);

		ours = part || is_mallocs(var);
		if (!ours)
			continue;
		if (used + strlen(var) + 2 > size)
			err = -E2BIG;
		else
			used += (size_t)sprintf(buf + used, "%s%s",
						part ? ":" :
						used ? " " :
						       "",
						var);
	}
	if (ferror(f))
		err = -EIO;
	free(var);
	return err;
}

static FILE *open_environ(uint32_t pid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%u/environ", proc_number(pid));
	return fopen(path, "re");
}

bool proc_has_env(uint32_t pid, const char *var)
{
	FILE *f = open_environ(pid);
	char *have = NULL;
	bool found = false;
	size_t room = 0;

	while (f && !found && getdelim(&have, &room, 0, f) > 0)
		found = !strcmp(have, var);
	free(have);
	if (f)
		fclose(f);
	return found;
}

int proc_malloc_env(uint32_t pid, char *buf, size_t size)
{
	FILE *f = open_environ(pid);
	int err;

	if (!f)
		return -errno;
	err = read_malloc_env(f, buf, size);
	fclose(f);
	return err;
}

void proc_comm(uint32_t pid, char comm[16])
{
	char path[40];
	FILE *f;

	comm[0] = 0;
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(comm, 16, f))
		comm[strcspn(comm, "\n")] = 0;
	fclose(f);
}

uint64_t proc_rss(uint32_t pid)
{
	unsigned long long pages = 0;
	char path[40];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/statm", proc_number(pid));
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
