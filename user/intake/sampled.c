// SPDX-License-Identifier: GPL-2.0
#include "intake/sampled.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "intake/proc.h"
#include "intake/record_queue.h"
#include "uapi/vmaheap.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define PAGE 4096
#define TASK_END (1ull << 47)
#define ANCESTORS 64 /* how far to look for a watched one */
#define GAP_NS 4000000
#define EXPECT_NS 100000000 /* between two searches for who is unknown yet */
#define FORKNOEXEC 0x40 /* PF_FORKNOEXEC, include/linux/sched.h */
#define WALK_REST 20 /* from one search for children on, times what it took */
#define TRIES 3 /* to read maps that change under the hand */
#define FILES_MAX \
	4096 /* known as told; a look compares each with all of them */

/* What one look found. */
struct look {
	struct vmaheap_vma *vmas;
	size_t nr, room;
	uint64_t start_brk, brk, start_stack;
	uint64_t rss_file, rss_anon, rss_shmem, swap; /* bytes */
};

struct target {
	uint32_t tgid;
	int pid_fd, maps_fd; /* maps_fd -1: it may not be looked at */
	int stamp_fd; /* -1: nobody has asked for it */
	uint64_t *stamp;
	uint64_t mm; /* 0: it has not called exec yet, or: */
	bool attached; /* to be told of at the next tick, as of `checked` */
	bool followed; /* not the first one: its first call may tell of it, too */
	uint64_t since; /* clock ticks: children that are not younger are no concern */
	uint64_t checked; /* when the address space was there still */
	uint64_t look_at, look_gap; /* ns: soon after exec often, then seldom */
	bool blind_told;
	bool has_ring; /* in this address space: its libraries are all there */
	struct look last;
};

struct file {
	uint64_t ino;
	uint32_t dev;
};

struct sampled {
	const struct sampled_ops *ops;
	void *ctx;
	bool follow, stamps;
	char *env; /* see sampled_open() */
	int expected_fd; /* pidfd of one that may be unknown yet; -1 */
	uint64_t expect_at; /* ns: not before this the next is looked for */
	uint64_t walk_at; /* ns: nor children */
	uint32_t uid; /* of the first process */
	struct target **targets;
	size_t nr;
	uint64_t mms, seq, ts, looks;
	struct file *files; /* whose paths have been told */
	size_t nr_files;

	struct record_queue queue;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* ---- records ---- */

static uint64_t next_ts(struct sampled *k)
{
	uint64_t now = now_ns();

	k->ts = now > k->ts ? now : k->ts + 1;
	return k->ts;
}

static struct vmaheap_record record(const struct target *t,
				    enum vmaheap_record_type type, size_t size,
				    uint64_t ts)
{
	return (struct vmaheap_record){ .ts = ts,
					.type = (uint16_t)type,
					.size = (uint32_t)size,
					.mm = t->mm,
					.tgid = t->tgid };
}

static void tell(struct sampled *k, struct vmaheap_record *r)
{
	r->seq = ++k->seq;
	record_queue_add(&k->queue, r, r->size);
	k->ops->raw(k->ctx, r, r->size);
}

const struct event *sampled_peek(void *sampled, bool *sure)
{
	*sure = true;
	return record_queue_peek(&((struct sampled *)sampled)->queue);
}

void sampled_pop(void *sampled)
{
	record_queue_pop(&((struct sampled *)sampled)->queue);
}

/* ---- one look ---- */

/* A whole file of /proc as a string; NULL and errno. */
static char *read_all(int fd)
{
	size_t len = 0, room = 16 * PAGE;
	char *text = malloc(room), *more;
	ssize_t n = 1;

	if (lseek(fd, 0, SEEK_SET))
		n = -1;
	while (text && n > 0) {
		if (room - len < 2 * PAGE) {
			more = realloc(text, room *= 2);
			if (!more)
				break;
			text = more;
		}
		n = read(fd, text + len, room - len - 1);
		len += n > 0 ? (size_t)n : 0;
	}
	if (!text || n) {
		free(text);
		return NULL;
	}
	text[len] = 0;
	return text;
}

static bool knows_file(const struct sampled *k, const struct vma_desc *d)
{
	size_t i;

	for (i = k->nr_files; i-- > 0;)
		if (k->files[i].ino == d->ino && k->files[i].dev == d->dev)
			return true;
	return false;
}

static void tell_file(struct sampled *k, const struct target *t,
		      const struct vma_desc *d, const char *name)
{
	size_t len = strcspn(name, "\n");
	size_t size = (sizeof(struct vmaheap_rec_file) + len + 8) & ~(size_t)7;
	struct file *files;
	struct vmaheap_rec_file *r;

	if (!(d->flags & VMA_FILE) || !len || knows_file(k, d))
		return;
	if (k->nr_files == FILES_MAX) /* then they are told of again */
		k->nr_files = 0;
	files = realloc(k->files, (k->nr_files + 1) * sizeof(*files));
	if (files)
		k->files = files;
	r = files ? calloc(1, size) : NULL;
	if (!r)
		return;
	files[k->nr_files++] = (struct file){ d->ino, d->dev };
	r->rec = record(t, VMAHEAP_REC_FILE, size, next_ts(k));
	r->ino = d->ino;
	r->dev = d->dev;
	r->len = (uint32_t)len;
	memcpy(r->path, name, len);
	tell(k, &r->rec);
	free(r);
}

/* What the name of a line says beyond its other fields. */
static void note_name(struct look *l, struct proc_map *m)
{
	if (!strcmp(m->name, "[stack]"))
		m->d.flags |= VMA_GROWSDOWN;
	else if (!strcmp(m->name, "[vdso]"))
		m->d.flags |= VMA_VDSO;
	else if (!strncmp(m->name, "[vvar", 5))
		m->d.flags |= VMA_VVAR;
	else if (!strcmp(m->name, "[heap]"))
		l->brk = m->d.end;
}

/* False: no memory, or the lines do not fit together. */
static bool add_vma(struct look *l, const struct vma_desc *d)
{
	struct vmaheap_vma *v;

	if (l->nr && d->start < l->vmas[l->nr - 1].end)
		return false;
	if (d->end > TASK_END) /* [vsyscall] */
		return true;
	if (l->nr == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		v = realloc(l->vmas, l->room * sizeof(*v));
		if (!v)
			return false;
		l->vmas = v;
	}
	l->vmas[l->nr++] = (struct vmaheap_vma){ .start = d->start,
						 .end = d->end,
						 .offset = d->offset,
						 .ino = d->ino,
						 .dev = d->dev,
						 .flags = d->flags };
	return true;
}

/* Lines are read piece by piece, so while they change they may contradict each other. */
static bool read_vmas(struct sampled *k, const struct target *t, struct look *l)
{
	char *text = read_all(t->maps_fd), *line, *save = NULL;
	const char *name;
	struct proc_map m;
	bool good = text;

	l->nr = 0;
	for (line = text ? strtok_r(text, "\n", &save) : NULL; good && line;
	     line = strtok_r(NULL, "\n", &save)) {
		good = !proc_map_line(line, &m, &name);
		if (!good)
			break;
		note_name(l, &m);
		good = add_vma(l, &m.d);
		tell_file(k, t, &m.d, name);
	}
	free(text);
	return good && l->nr;
}

/* number: see proc_number() about what is not of the process as a whole. */
static char *read_proc(uint32_t number, const char *file)
{
	char path[48], *text;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", number, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	text = read_all(fd);
	close(fd);
	return text;
}

/* The first number behind "KEY:" in /proc/PID/status, the second when `nth` is 1. */
static uint64_t status_number(const char *status, const char *key, int nth)
{
	const char *p = status ? strstr(status, key) : NULL;
	char *end;
	uint64_t n;

	if (!p)
		return 0;
	n = strtoull(p + strlen(key), &end, 10);
	return nth ? strtoull(end, NULL, 10) : n;
}

/* Field `nr` of /proc/PID/stat, as proc(5) counts them. */
static uint64_t stat_number(const char *stat, int nr)
{
	const char *p = stat ? strrchr(stat, ')') :
			       NULL; /* the end of field 2 */

	for (nr -= 2; p && nr > 0; nr--)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

static void read_numbers(uint32_t tgid, struct look *l)
{
	uint32_t number = proc_number(tgid);
	char *status = read_proc(number, "status"),
	     *stat = read_proc(number, "stat");

	l->rss_file = status_number(status, "\nRssFile:", 0) << 10;
	l->rss_anon = status_number(status, "\nRssAnon:", 0) << 10;
	l->rss_shmem = status_number(status, "\nRssShmem:", 0) << 10;
	l->swap = status_number(status, "\nVmSwap:", 0) << 10;
	l->start_stack = stat_number(stat, 28);
	l->start_brk = stat_number(stat, 47);
	if (l->brk < l->start_brk)
		l->brk = l->start_brk;
	free(status);
	free(stat);
}

static bool same_vmas(const struct look *a, const struct look *b)
{
	return a->nr == b->nr && a->start_brk == b->start_brk &&
	       a->brk == b->brk &&
	       (!a->nr ||
		!memcmp(a->vmas, b->vmas, a->nr * sizeof(a->vmas[0])));
}

/* The VMAs [from, from + nr) of the look, which are all in [lo, hi). */
static void tell_part(struct sampled *k, const struct target *t, uint64_t ts,
		      uint64_t lo, uint64_t hi, size_t from, size_t nr)
{
	const struct look *l = &t->last;
	union {
		struct vmaheap_rec_range r;
		char room[sizeof(struct vmaheap_rec_range) +
			  VMAHEAP_RANGE_VMAS * sizeof(struct vmaheap_vma)];
	} u = { .r = { .lo = lo,
		       .hi = hi,
		       .start_brk = l->start_brk,
		       .brk = l->brk,
		       .start_stack = l->start_stack,
		       .rss_file = l->rss_file,
		       .rss_anon = l->rss_anon,
		       .rss_shmem = l->rss_shmem,
		       .swap = l->swap,
		       .syscall = -1,
		       .map_count = (uint32_t)l->nr,
		       .nr_vmas = (uint32_t)nr } };

	u.r.rec = record(t, VMAHEAP_REC_RANGE,
			 sizeof(u.r) + nr * sizeof(l->vmas[0]), ts);
	u.r.rec.flags = VMAHEAP_F_SNAPSHOT;
	if (from + nr < l->nr)
		u.r.rec.flags |= VMAHEAP_F_MORE;
	memcpy(u.room + sizeof(u.r), l->vmas + from, nr * sizeof(l->vmas[0]));
	tell(k, &u.r.rec);
}

static void tell_vmas(struct sampled *k, const struct target *t)
{
	const struct look *l = &t->last;
	uint64_t ts = next_ts(k), lo = 0, hi;
	size_t at, nr;

	for (at = 0; at < l->nr; at += nr, lo = hi) {
		nr = l->nr - at;
		if (nr > VMAHEAP_RANGE_VMAS)
			nr = VMAHEAP_RANGE_VMAS;
		hi = at + nr == l->nr ? TASK_END : l->vmas[at + nr - 1].end;
		tell_part(k, t, ts, lo, hi, at, nr);
	}
}

/* Is the address space gone that fd was opened for? */
static bool is_over(int fd)
{
	char byte;

	return pread(fd, &byte, 1, 0) == 0;
}

/* If the address space ended meanwhile they are of none, or of the next one. */
static void read_numbers_of(const struct target *t, struct look *now)
{
	struct look was = t->last;

	read_numbers(t->tgid, now);
	if (!is_over(t->maps_fd))
		return;
	was.vmas = now->vmas;
	was.nr = now->nr;
	was.room = now->room;
	was.brk = was.brk ? was.brk : now->brk;
	*now = was;
}

static void look(struct sampled *k, struct target *t)
{
	struct look now = { 0 };
	bool good = false;
	int i;

	for (i = 0; i < TRIES && !good && t->maps_fd >= 0; i++)
		good = read_vmas(k, t, &now);
	if (good)
		read_numbers_of(t, &now);
	if (!good || same_vmas(&now, &t->last)) {
		k->looks += good;
		free(now.vmas);
		return;
	}
	k->looks++;
	free(t->last.vmas);
	t->last = now;
	tell_vmas(k, t);
}

/* ---- processes ---- */

static struct target *find(const struct sampled *k, uint32_t tgid)
{
	size_t i;

	for (i = 0; i < k->nr; i++)
		if (k->targets[i]->tgid == tgid)
			return k->targets[i];
	return NULL;
}

static void target_free(struct target *t)
{
	if (t->pid_fd >= 0)
		close(t->pid_fd);
	if (t->maps_fd >= 0)
		close(t->maps_fd);
	if (t->stamp_fd >= 0)
		close(t->stamp_fd);
	if (t->stamp)
		munmap(t->stamp, PAGE);
	free(t->last.vmas);
	free(t);
}

static int open_maps(uint32_t tgid)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/maps", proc_number(tgid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Since it was forked; of a zombie as well. False: or it is gone. */
static bool has_executed(uint32_t tgid)
{
	char *stat = read_proc(tgid, "stat");
	bool yes = stat && !(stat_number(stat, 9) & FORKNOEXEC);

	free(stat);
	return yes;
}

/* *err: -ESRCH, -ENOMEM, -EACCES. */
static struct target *target_new(struct sampled *k, uint32_t tgid, int *err)
{
	struct target **all, *t = calloc(1, sizeof(*t));

	*err = -ENOMEM;
	all = realloc(k->targets, (k->nr + 1) * sizeof(*all));
	if (all)
		k->targets = all;
	if (!t || !all) {
		free(t);
		return NULL;
	}
	t->tgid = tgid;
	t->stamp_fd = -1;
	t->pid_fd = (int)syscall(SYS_pidfd_open, tgid, 0);
	*err = t->pid_fd < 0 ? -errno : 0;
	t->maps_fd = *err ? -1 : open_maps(tgid);
	if (t->maps_fd < 0 && !*err)
		*err = t->maps_fd;
	if (*err && (*err != -EACCES || t->pid_fd < 0)) {
		t->maps_fd = -1;
		target_free(t);
		return NULL;
	}
	if (t->maps_fd < 0)
		t->maps_fd = -1;
	t->checked = now_ns();
	k->targets[k->nr++] = t;
	return t;
}

static void tell_end(struct sampled *k, struct target *t)
{
	struct vmaheap_rec_mm_exit r = { .rss_file = t->last.rss_file,
					 .rss_anon = t->last.rss_anon,
					 .rss_shmem = t->last.rss_shmem,
					 .swap = t->last.swap };

	if (!t->mm)
		return;
	r.rec = record(t, VMAHEAP_REC_MM_EXIT, sizeof(r), next_ts(k));
	tell(k, &r.rec);
	t->mm = 0;
	free(t->last.vmas);
	t->last = (struct look){ 0 };
}

/* Its address space begins, for us, at ts. */
static void tell_begin(struct sampled *k, struct target *t,
		       enum vmaheap_mm_cause cause, uint64_t ts)
{
	struct vmaheap_rec_mm r = { .cause = cause, .owner = t->tgid };

	t->mm = ++k->mms;
	t->has_ring = false;
	t->look_gap = GAP_NS;
	t->look_at = now_ns() + GAP_NS;
	r.rec = record(t, VMAHEAP_REC_MM, sizeof(r), ts);
	r.rec.flags = RECORD_SAMPLED;
	proc_comm(t->tgid, r.comm);
	tell(k, &r.rec);
	look(k, t);
}

/*
 * The process has called exec since t->checked. What its old program still told
 * bears an older stamp than now; without stamps nothing divides it from what the
 * new one tells, unless the old one told nothing: our own child on its way to its
 * exec, or one that was found before its exec.
 */
static void tell_exec(struct sampled *k, struct target *t)
{
	bool first = !t->mm;

	tell_end(k, t);
	if (first && !t->followed && !k->stamps)
		tell_begin(k, t, VMAHEAP_MM_EXEC, t->checked + 1);
	else
		tell_begin(k, t,
			   first || k->stamps ? VMAHEAP_MM_EXEC :
						VMAHEAP_MM_ATTACH,
			   next_ts(k));
}

/* The address space is another one, or the process is on its way out. */
static void renew(struct sampled *k, struct target *t)
{
	int fd = open_maps(t->tgid);

	if (fd >= 0 && is_over(fd)) {
		close(fd);
		return;
	}
	if (fd < 0 && fd != -EACCES)
		return;
	if (fd < 0 && t->maps_fd < 0 && t->mm)
		return; /* as before */
	if (t->maps_fd >= 0)
		close(t->maps_fd);
	t->maps_fd = fd < 0 ? -1 : fd;
	if (fd < 0 && !t->blind_told) {
		t->blind_told = true;
		k->ops->blind(k->ctx, t->tgid, fd);
	}
	tell_exec(k, t);
}

/*
 * It has exited, and we never saw it after its exec, which may have been shorter
 * than a tick: events of its calls may be there all the same.
 */
static void tell_unseen(struct sampled *k, struct target *t)
{
	if (!t->mm && !t->attached && has_executed(t->tgid))
		tell_exec(k, t);
}

static bool has_exited(int pid_fd)
{
	struct pollfd p = { .fd = pid_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void advance(const struct target *t, uint64_t ts)
{
	if (t->stamp && __atomic_load_n(t->stamp, __ATOMIC_RELAXED) < ts)
		__atomic_store_n(t->stamp, ts, __ATOMIC_RELEASE);
}

/* An exec is seen before its loader has done its work, if there is one. */
static void look_again(struct sampled *k, struct target *t, uint64_t now)
{
	look(k, t);
	t->look_gap *= 2;
	t->look_at = now + t->look_gap;
}

static void drop(struct sampled *k, struct target *t)
{
	size_t i;

	for (i = 0; k->targets[i] != t; i++)
		;
	k->targets[i] = k->targets[--k->nr];
	target_free(t);
}

/*
 * Does it have another address space than the last that was told of? Before the first
 * one it may use that of its parent (vfork), whose maps say nothing.
 */
static bool is_another(const struct target *t)
{
	if (!t->mm)
		return has_executed(t->tgid);
	return t->maps_fd < 0 || is_over(t->maps_fd);
}

/* False: the process has exited, and the target is no more. */
static bool check(struct sampled *k, struct target *t)
{
	uint64_t now = now_ns();
	uint32_t tgid = t->tgid;

	if (!has_exited(t->pid_fd)) {
		if (t->attached)
			tell_begin(k, t, VMAHEAP_MM_ATTACH, t->checked);
		t->attached = false;
		if (is_another(t))
			renew(k, t);
		else if (t->mm && now >= t->look_at)
			look_again(k, t, now);
		t->checked = now;
		return true;
	}
	tell_unseen(k, t);
	tell_end(k, t);
	drop(k, t);
	k->ops->exited(k->ctx, tgid);
	return false;
}

/* ---- children ---- */

static bool is_older(uint32_t tgid, uint64_t since)
{
	char *stat = since ? read_proc(tgid, "stat") : NULL;
	bool older = stat && stat_number(stat, 22) <= since;

	free(stat);
	return older;
}

/* Without an exec nothing is told of it: it may use its parent's memory. */
static void find_child(struct sampled *k, uint32_t pid, uint64_t since)
{
	struct target *t;
	int err;

	if (find(k, pid) || is_older(pid, since))
		return;
	t = target_new(k, pid, &err);
	if (!t)
		return;
	t->followed = true;
	if (has_exited(t->pid_fd)) /* a zombie, of which all was told */
		drop(k, t);
	else if (is_another(t))
		renew(k, t);
}

/* Of the first one only when it is not our own child any more. */
static void find_children(struct sampled *k, const struct target *t)
{
	uint64_t since = t->since;
	uint32_t *pids;
	long i, nr;

	if (!t->mm && !t->followed)
		return;
	nr = proc_children(t->tgid, &pids);
	for (i = 0; i < nr; i++)
		find_child(k, pids[i], since);
	free(pids);
}

/* What is found comes last, so its children are looked for at once. */
static void walk(struct sampled *k)
{
	uint64_t now, before;
	size_t i;

	if (!k->follow)
		return;
	now = now_ns();
	if (now < k->walk_at)
		return;
	before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (i = 0; i < k->nr; i++)
		find_children(k, k->targets[i]);
	k->walk_at =
		now + WALK_REST * (clock_ns(CLOCK_THREAD_CPUTIME_ID) - before);
}

/* ---- the stamp page ---- */

static int make_stamp(struct target *t)
{
	int fd = memfd_create("vmaheap-stamp", MFD_CLOEXEC | MFD_ALLOW_SEALING |
						       MFD_NOEXEC_SEAL);
	void *page;

	if (fd < 0)
		fd = memfd_create("vmaheap-stamp",
				  MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, PAGE) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		close(fd);
		return -ENOMEM;
	}
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	t->stamp_fd = fd;
	t->stamp = page;
	return 0;
}

/* ---- what others call ---- */

struct sampled *sampled_open(const struct sampled_ops *ops, void *ctx,
			     bool follow, bool stamps, const char *env)
{
	struct sampled *k = calloc(1, sizeof(*k));

	if (k && env)
		k->env = strdup(env);
	if (!k || (env && !k->env)) {
		free(k);
		return NULL;
	}
	k->expected_fd = -1;
	k->ops = ops;
	k->ctx = k->queue.ctx = ctx;
	k->queue.taken = ops->taken;
	k->follow = follow;
	k->stamps = stamps;
	return k;
}

void sampled_close(struct sampled *k)
{
	if (!k)
		return;
	while (k->nr)
		target_free(k->targets[--k->nr]);
	if (k->expected_fd >= 0)
		close(k->expected_fd);
	free(k->targets);
	free(k->files);
	free(k->env);
	record_queue_free(&k->queue);
	free(k);
}

/* The effective user of a process; -1: it is gone. */
int sampled_watch(struct sampled *k, uint32_t pid, bool on_exec)
{
	struct target *t;
	int err;

	k->uid = proc_user(pid);
	t = target_new(k, pid, &err);
	if (err)
		return err;
	t->attached = !on_exec;
	if (!on_exec)
		t->since = clock_ns(CLOCK_BOOTTIME) /
			   (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	return 0;
}

static uint32_t parent_of(uint32_t tgid)
{
	char *status = read_proc(tgid, "status");
	uint32_t parent = (uint32_t)status_number(status, "\nPPid:", 0);

	free(status);
	return parent;
}

static bool belongs(const struct sampled *k, uint32_t tgid)
{
	uint32_t pid = tgid;
	int i;

	if (!k->follow)
		return false;
	for (i = 0; i < ANCESTORS && pid > 1; i++) {
		pid = parent_of(pid);
		if (find(k, pid))
			return true;
	}
	return k->uid != UINT32_MAX && proc_user(tgid) == k->uid;
}

int sampled_admit(struct sampled *k, uint32_t tgid, bool fresh, int *stamp_fd)
{
	struct target *t = find(k, tgid);
	uint64_t mm = t ? t->mm : 0;
	int err = 0;

	if (!stamp_fd)
		return t || belongs(k, tgid) ? 0 : -ESRCH;
	if (t && !check(k, t))
		t = NULL;
	if (!t && !belongs(k, tgid))
		return -ESRCH;
	if (!t) {
		t = target_new(k, tgid, &err);
		if (!t)
			return err == -ENOMEM ? err : -ESRCH;
		t->followed = true;
	}
	if (!t->mm && t->followed)
		tell_begin(k, t, fresh ? VMAHEAP_MM_EXEC : VMAHEAP_MM_ATTACH,
			   next_ts(k));
	if (!t->mm)
		return -ESRCH;
	/* A look before may have come in the middle of the loader's work. */
	if (!t->has_ring && t->mm == mm)
		look(k, t);
	t->has_ring = true;
	if (!t->stamp)
		err = make_stamp(t);
	advance(t, next_ts(k));
	*stamp_fd = t->stamp_fd;
	return err;
}

void sampled_meet(struct sampled *k, uint32_t tgid)
{
	struct target *t = find(k, tgid);

	if (t)
		check(k, t);
	else
		find_child(k, tgid, 0);
}

/* A pidfd of the first that has our environment; -1. */
static int find_expected(const struct sampled *k)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		uint32_t pid = (uint32_t)strtoul(d->d_name, NULL, 10);

		if (pid && proc_user(pid) == k->uid &&
		    proc_has_env(pid, k->env))
			fd = (int)syscall(SYS_pidfd_open, pid, 0);
	}
	if (dir)
		closedir(dir);
	return fd;
}

bool sampled_expects(struct sampled *k)
{
	uint64_t now = now_ns();

	if (k->nr)
		return true;
	if (k->expected_fd >= 0) {
		if (!has_exited(k->expected_fd))
			return true;
		close(k->expected_fd);
		k->expected_fd = -1;
	} else if (now < k->expect_at) {
		return false;
	}
	if (k->follow && k->env)
		k->expected_fd = find_expected(k);
	k->expect_at = now + EXPECT_NS;
	return k->expected_fd >= 0;
}

void sampled_tick(struct sampled *k, uint64_t *ts)
{
	size_t i;

	/* An exited one's place is taken by the last one, which was looked at. */
	for (i = k->nr; i-- > 0;)
		check(k, k->targets[i]);
	walk(k);
	*ts = next_ts(k);
	for (i = 0; i < k->nr; i++)
		advance(k->targets[i], *ts);
}

void sampled_look(struct sampled *k, uint32_t tgid)
{
	struct target *t = find(k, tgid);

	if (t && t->mm && check(k, t))
		look(k, t);
}

uint64_t sampled_looks(const struct sampled *k)
{
	return k->looks;
}
