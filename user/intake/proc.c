// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/proc.h"

#define PAGE 4096ull
#define VSYSCALL 0xffffffffff600000ull
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_PFN ((1ull << 55) - 1)
#define HUGE (2ull << 20)

/* 55d0c7a1e000-55d0c7a3f000 rw-p 00000000 fe:00 1234    /usr/bin/x */
static int parse_line(const char *line, struct proc_map *m)
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
	snprintf(m->name, sizeof(m->name), "%.*s",
		 (int)strcspn(line + name, "\n"), line + name);
	return 0;
}

static int add_line(const char *line, struct proc_map **maps, size_t *nr,
		    size_t *room)
{
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
	err = parse_line(line, m);
	if (!err && m->d.start != VSYSCALL)
		++*nr;
	return err;
}

long proc_maps(uint32_t pid, struct proc_map **maps)
{
	size_t nr = 0, room = 0, len = 0;
	char path[64], *line = NULL;
	int err = 0;
	FILE *f;

	*maps = NULL;
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	errno = 0;
	while (!err && getline(&line, &len, f) > 0)
		err = add_line(line, maps, &nr, &room);
	if (!err && ferror(f))
		err = errno ? -errno : -EIO;
	free(line);
	fclose(f);
	if (!err)
		return (long)nr;
	free(*maps);
	*maps = NULL;
	return err;
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

/* Is it in uninterruptible sleep (a vfork parent, a read from disk)? */
static bool in_kernel_sleep(uint32_t pid, pid_t tid)
{
	char path[64], line[256], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/task/%d/stat", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f) && strrchr(line, ')'))
		sscanf(strrchr(line, ')') + 1, " %c", &state);
	fclose(f);
	return state == 'D';
}

static int stop_thread(uint32_t pid, pid_t tid, uint64_t deadline)
{
	bool seized = true;
	int rc;

	/* Such a thread would stop only later: then it is not seized at all. */
	while (in_kernel_sleep(pid, tid)) {
		if (now_ms() > deadline)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
	if (ptrace(PTRACE_SEIZE, tid, 0, 0))
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0))
		rc = -errno; /* it has been killed meanwhile */
	else
		rc = wait_stop(tid, deadline, &seized);
	if (rc < 0 && seized)
		hold(tid);
	return rc;
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
 * One thread: stop it. A thread caught while a signal is being delivered is let
 * go with the signal and caught again, so that the signal is not lost and the
 * handler runs while nobody looks.
 */
static int stop_one(struct proc_stopped *s, uint32_t pid, pid_t tid,
		    uint64_t deadline)
{
	int rc, sig;

	do {
		rc = stop_thread(pid, tid, deadline);
		if (rc < 0)
			return rc;
		sig = pending_signal(rc);
		if (sig)
			let_go(tid, sig);
	} while (sig);
	rc = keep_thread(s, tid);
	if (rc)
		let_go(tid, 0);
	return rc;
}

/* Stops the threads that are listed now; *found counts those that were new. */
static int stop_listed(uint32_t pid, struct proc_stopped *s, uint64_t deadline,
		       size_t *found)
{
	char path[64];
	struct dirent *d;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	*found = 0;
	while (!err && (d = readdir(dir))) {
		pid_t tid = (pid_t)atol(d->d_name);

		if (tid <= 0 || is_stopped(s, tid))
			continue;
		err = stop_one(s, pid, tid, deadline);
		if (err == -ESRCH && (uint32_t)tid != pid)
			err = 0; /* this thread is exiting, the others count */
		else
			++*found;
	}
	closedir(dir);
	return err;
}

int proc_stop(uint32_t pid, unsigned int ms, struct proc_stopped *s)
{
	uint64_t deadline = now_ms() + ms;
	size_t found = 1;
	int err = 0;

	memset(s, 0, sizeof(*s));
	/* Until a round finds no new thread: a running one may make more. */
	while (!err && found)
		err = stop_listed(pid, s, deadline, &found);
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

int proc_open_pagemap(uint32_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/pagemap", pid);
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
	char *p = map_anon(PAGE), *q = map_anon(2 * HUGE);

	zero.looked = true;
	if (fd >= 0 && p && !madvise(p, PAGE, MADV_NOHUGEPAGE))
		zero.small = frame_of(fd, p);
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

int proc_pagemap(int fd, uint64_t start, uint64_t end, struct proc_pages *n,
		 void (*page)(void *ctx, uint64_t addr), void *ctx)
{
	static const size_t most = 64 * 1024;
	uint64_t *entries, addr = start;
	ssize_t got = 1;
	size_t want;
	ssize_t i;

	entries = malloc(most * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	if (!zero.looked)
		find_zero_frames();
	memset(n, 0, sizeof(*n));
	while (addr < end && got > 0) {
		want = (end - addr) / PAGE < most ? (end - addr) / PAGE : most;
		got = pread(fd, entries, want * 8, (off_t)(addr / PAGE * 8));
		for (i = 0; i < got / 8; i++, addr += PAGE) {
			n->swapped += entries[i] & PAGEMAP_SWAPPED ? PAGE : 0;
			if (!(entries[i] & PAGEMAP_PRESENT) ||
			    is_zero_frame(entries[i]))
				continue;
			n->resident += PAGE;
			if (page)
				page(ctx, addr);
		}
	}
	free(entries);
	if (got < 0)
		return -errno;
	return addr < end ? -ESRCH : 0; /* end of file: the mm is gone */
}
