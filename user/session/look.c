// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "intake/libc.h"
#include "intake/proc.h"
#include "intake/threads.h"
#include "session/look.h"

#define STOP_MS 100
/*
 * Ranges larger than this are not searched for chunks and threads: reservations
 * of sanitizers and virtual machines, of which every page would be asked for.
 */
#define SEARCH_MAX (64ull << 30)

/* What pt_read() is told, gathered. */
struct sight {
	struct proc_map *maps;
	size_t nr;
	struct pt_range *ranges, *data, *anon;
	size_t nr_ranges, nr_data, nr_anon;
	uint32_t *tids,
		*theirs; /* what they call themselves, and so does libc */
	size_t nr_tids;
	struct pt_range brk;
	struct libc_symbols symbols;
	uint64_t bias;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- which memory is what */

static bool is_private_data(const struct proc_map *m)
{
	const uint32_t rw = VMA_READ | VMA_WRITE;

	return (m->d.flags & (rw | VMA_SHARED)) == rw;
}

static bool is_brk(const struct proc_map *m)
{
	return !strcmp(m->name, "[heap]");
}

static bool is_anon(const struct proc_map *m)
{
	return is_private_data(m) && !(m->d.flags & VMA_FILE) &&
	       (!m->name[0] || !strncmp(m->name, "[anon", 5)) &&
	       m->d.end - m->d.start <= SEARCH_MAX;
}

/* "/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc-2.31.so" */
static bool is_libc(const struct proc_map *m)
{
	const char *slash = strrchr(m->name, '/');

	return slash && (!strncmp(slash, "/libc.so", 8) ||
			 !strncmp(slash, "/libc-2.", 8));
}

static void add_range(struct pt_range *to, size_t *nr, const struct proc_map *m)
{
	to[(*nr)++] = (struct pt_range){ m->d.start, m->d.end };
}

/* A file's data, and what of its bss lies in whole pages behind it. */
static void add_data(struct sight *s, size_t i)
{
	const struct proc_map *m = &s->maps[i], *next = m + 1;
	struct pt_range *r = &s->data[s->nr_data];

	add_range(s->data, &s->nr_data, m);
	if (i + 1 < s->nr && next->d.start == m->d.end && is_anon(next))
		r->end = next->d.end;
}

/* libc's first: where it is there, nothing else will be asked. */
static void sort_out(struct sight *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++) {
		const struct proc_map *m = &s->maps[i];

		if (!is_private_data(m))
			continue;
		/* Adjacent ones are one memory: bss may be read across the border. */
		if (s->nr_ranges &&
		    s->ranges[s->nr_ranges - 1].end == m->d.start)
			s->ranges[s->nr_ranges - 1].end = m->d.end;
		else
			add_range(s->ranges, &s->nr_ranges, m);
		if (is_anon(m))
			add_range(s->anon, &s->nr_anon, m);
		if (m->d.flags & VMA_FILE && is_libc(m))
			add_data(s, i);
		if (is_brk(m)) {
			if (!s->brk.start)
				s->brk.start = m->d.start;
			s->brk.end = m->d.end;
		}
	}
	for (i = 0; i < s->nr; i++)
		if (is_private_data(&s->maps[i]) &&
		    s->maps[i].d.flags & VMA_FILE && !is_libc(&s->maps[i]))
			add_data(s, i);
}

/* --- libc's file */

/* The mapping of its beginning: what its address space is shifted by. */
static const struct proc_map *libc_head(const struct sight *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (is_libc(&s->maps[i]) && !s->maps[i].d.offset)
			return &s->maps[i];
	return NULL;
}

static void read_symbols(struct sight *s, uint32_t pid)
{
	const struct proc_map *m = libc_head(s);
	char path[128];

	if (!m)
		return;
	pid = proc_number(pid);
	snprintf(path, sizeof(path), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64,
		 pid, m->d.start, m->d.end);
	if (libc_symbols(path, &s->symbols) == -EPERM) {
		snprintf(path, sizeof(path), "/proc/%u/root%s", pid, m->name);
		libc_symbols(path, &s->symbols);
	}
	s->bias = m->d.start - s->symbols.base;
}

/* --- threads */

static int read_tids(struct sight *s, uint32_t pid)
{
	long nr = proc_tids(pid, &s->tids);
	bool foreign;
	size_t i;

	if (nr < 0)
		return (int)nr;
	s->nr_tids = (size_t)nr;
	s->theirs = calloc(s->nr_tids + 1, sizeof(*s->theirs));
	if (!s->theirs)
		return -ENOMEM;
	threads_own(pid, &foreign);
	for (i = 0; i < s->nr_tids; i++)
		s->theirs[i] = foreign ? threads_own(s->tids[i], &foreign) :
					 s->tids[i];
	return 0;
}

static uint32_t ours(const struct sight *s, uint32_t theirs)
{
	size_t i;

	for (i = 0; theirs && i < s->nr_tids; i++)
		if (s->theirs[i] == theirs)
			return s->tids[i];
	return 0;
}

/* Of a process that stands still: those with a control block, which points at itself. */
static int read_threads(struct look *l, const struct proc_stopped *st)
{
	size_t i;

	l->at = calloc(st->nr + 1, sizeof(*l->at));
	if (!l->at)
		return -ENOMEM;
	for (i = 0; i < st->nr; i++) {
		struct user_regs_struct regs;
		uint64_t self;

		if (!proc_registers(st->tids[i], &regs) &&
		    !memory_read(l->memory, regs.fs_base, &self, 8) &&
		    self == regs.fs_base)
			l->at[l->nr_at++] = (struct pt_thread_at){
				.tid = (uint32_t)st->tids[i],
				.tcb = regs.fs_base,
				.sp = regs.rsp,
			};
	}
	return 0;
}

/* --- all */

static int gather(struct sight *s, uint32_t pid, bool by_symbol,
		  const char **why)
{
	long nr = proc_maps(pid, &s->maps);
	int err = nr < 0 ? (int)nr : 0;

	s->nr = err ? 0 : (size_t)nr;
	s->ranges = calloc(s->nr + 1, sizeof(*s->ranges));
	s->data = calloc(s->nr + 1, sizeof(*s->data));
	s->anon = calloc(s->nr + 1, sizeof(*s->anon));
	if (!err && (!s->ranges || !s->data || !s->anon))
		err = -ENOMEM;
	if (!err)
		err = read_tids(s, pid);
	if (err) {
		*why = err == -EACCES || err == -EPERM ?
			       "it may not be read by you: run as root (sudo)" :
		       err == -ENOMEM ?
			       "no memory" :
			       "no such process, or it has no memory (it has ended, or is a kernel thread)";
		return err;
	}
	sort_out(s);
	if (by_symbol)
		read_symbols(s, pid);
	return 0;
}

static void drop(struct sight *s)
{
	free(s->maps);
	free(s->ranges);
	free(s->data);
	free(s->anon);
	free(s->tids);
	free(s->theirs);
}

static int keep_vmas(struct look *l, const struct sight *s)
{
	size_t i;

	l->vmas = calloc(s->nr + 1, sizeof(*l->vmas));
	if (!l->vmas)
		return -ENOMEM;
	for (i = 0; i < s->nr; i++)
		l->vmas[i] = s->maps[i].d;
	l->nr_vmas = s->nr;
	return 0;
}

static int may_read(struct memory *m, const struct sight *s, const char **why)
{
	uint8_t byte;

	if (!s->nr_data || memory_read(m, s->data[0].start, &byte, 1) != -EPERM)
		return 0;
	*why = "it may not be read by you: run as root (sudo)";
	return -EPERM;
}

static int read_book(struct look *l, const struct sight *s, const char **why)
{
	struct pt_target t = {
		.mem = { memory_read, memory_read_each, memory_next,
			 l->memory },
		.ranges = s->ranges,
		.nr_ranges = s->nr_ranges,
		.data = s->data,
		.nr_data = s->nr_data,
		.anon = s->anon,
		.nr_anon = s->nr_anon,
		.tids = s->theirs,
		.nr_tids = s->nr_tids,
		.at = l->at,
		.nr_at = l->nr_at,
		.brk = s->brk,
		.main_arena = s->symbols.main_arena ?
				      s->bias + s->symbols.main_arena :
				      0,
		.mp = s->symbols.mp ? s->bias + s->symbols.mp : 0,
	};
	size_t i;
	int err = may_read(l->memory, s, why);

	if (!err)
		err = pt_read(&t, &l->book, why);
	for (i = 0; !err && i < l->book.nr_threads; i++)
		l->book.threads[i].tid = ours(s, l->book.threads[i].tid);
	return err;
}

/* The number behind key in /proc/PID/FILE; -1: there is none. */
static int64_t read_number(uint32_t pid, const char *file, const char *key)
{
	char path[64], line[128];
	int64_t n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/%s", proc_number(pid), file);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (n < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			n = atoll(line + strlen(key));
	fclose(f);
	return n;
}

/* "Rss:       1234 kB" of a file in /proc/PID, in bytes; -1: there is none. */
static int64_t read_kib(uint32_t pid, const char *file, const char *key)
{
	int64_t n = read_number(pid, file, key);

	return n < 0 ? n : n * 1024;
}

/* A setting of transparent huge pages, as it stands in sysfs; "": it cannot be read. */
static void read_thp(const char *name, char *buf, int size)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	buf[0] = 0;
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(buf, size, f))
		buf[0] = 0;
	fclose(f);
}

bool look_khugepaged(uint32_t pid)
{
	char enabled[64], none[32];

	read_thp("enabled", enabled, sizeof(enabled));
	read_thp("khugepaged/max_ptes_none", none, sizeof(none));
	return strstr(enabled, "[always]") && atoi(none) > 0 &&
	       read_number(pid, "status", "THP_enabled:") == 1;
}

static bool is_32(const struct look *l)
{
	return l->vmas[l->nr_vmas - 1].end <= 1ull << 32;
}

/* 0: it stands still, or need not. */
static int halt(uint32_t pid, enum look_stop stop, struct proc_stopped *st,
		bool *stopped, const char **why)
{
	int err = stop == LOOK_RUNNING ? 0 : proc_stop(pid, STOP_MS, st);

	*stopped = stop != LOOK_RUNNING && !err;
	if (stop != LOOK_STOP || !err)
		return 0;
	*why = err == -ESRCH ? "no such process" :
			       "a thread of it does not stop";
	return err == -ESRCH ? err : -EAGAIN;
}

int look_open(struct look *l, uint32_t pid, enum look_stop stop,
	      unsigned int what, const char **why)
{
	struct proc_stopped st = { 0 };
	struct sight s = { 0 };
	int err;

	*why = NULL;
	*l = (struct look){ .pid = pid, .ts = now_ns() };
	l->memory = memory_open(pid);
	if (!l->memory)
		return -ENOMEM;
	err = halt(pid, stop, &st, &l->stopped, why);
	if (err) {
		look_close(l);
		return err;
	}
	err = gather(&s, pid, what & LOOK_SYMBOLS, why);
	if (!err)
		err = keep_vmas(l, &s);
	if (!err)
		err = read_threads(l, &st);
	if (!err)
		err = read_book(l, &s, why);
	l->opaque = l->nr_vmas && (err == -ENOENT || err == -EBADMSG);
	l->page_tables = read_kib(pid, "status", "VmPTE:");
	if (what & LOOK_RSS)
		l->rss = (uint64_t)read_kib(pid, "smaps_rollup", "Rss:");
	if ((!err || l->opaque) &&
	    (l->page_tables < 0 || l->rss == UINT64_MAX)) {
		l->opaque = false;
		*why = "no such process";
		err = -ESRCH;
	}
	if (l->opaque && is_32(l))
		*why = "it is a 32-bit program, whose malloc is not read";
	if (l->stopped)
		proc_go(&st);
	l->took = now_ns() - l->ts;
	drop(&s);
	if (err && !l->opaque)
		look_close(l);
	return err;
}

void look_close(struct look *l)
{
	memory_close(l->memory);
	pt_free(&l->book);
	free(l->vmas);
	free(l->at);
	l->memory = NULL;
	l->vmas = NULL;
	l->at = NULL;
}

static int read_musl(struct memory *m, uint32_t pid, struct ng_book *b,
		     const char **why)
{
	struct sight s = { 0 };
	int err = gather(&s, pid, false, why);

	if (!err)
		err = may_read(m, &s, why);
	if (!err)
		err = ng_read(
			&(struct pt_target){
				.mem = { .read = memory_read,
					 .next = memory_next,
					 .ctx = m },
				.ranges = s.ranges,
				.nr_ranges = s.nr_ranges,
				.data = s.data,
				.nr_data = s.nr_data,
				.nr_tids = s.nr_tids,
			},
			b, why);
	drop(&s);
	return err;
}

int look_musl(uint32_t pid, enum look_stop stop, struct ng_book *b,
	      uint64_t *took, const char **why)
{
	uint64_t begun = now_ns();
	struct proc_stopped st = { 0 };
	struct memory *m = memory_open(pid);
	bool stopped;
	int err;

	*why = NULL;
	*took = 0;
	*b = (struct ng_book){ 0 };
	if (!m)
		return -ENOMEM;
	err = halt(pid, stop, &st, &stopped, why);
	if (!err)
		err = read_musl(m, pid, b, why);
	if (stopped)
		proc_go(&st);
	*took = now_ns() - begun;
	memory_close(m);
	return err;
}
