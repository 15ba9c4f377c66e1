// SPDX-License-Identifier: GPL-2.0
/*
 * The views of a small life, told event by event, against tests/golden/. To
 * accept what has changed on purpose: VMAHEAP_GOLDEN=update make check, then
 * read the diff. JSON is compared with the text's numbers besides, and every
 * view is tried on a stream that is full.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "output/output.h"
#include "output/picture.h"

#define GOLDEN "tests/golden/"
#define START 1000000000ull
#define PID 1234
#define CHILD 1240
#define THREAD 1235
#define MM 7
#define KIB 1024ull

#define R VMA_READ
#define RW (VMA_READ | VMA_WRITE)
#define RX (VMA_READ | VMA_EXEC)

#define EXE 0x555555554000ull
#define HEAP 0x555555590000ull
#define ARENA 0x7f2a54000000ull
#define CHUNK 0x7f2a60000000ull
#define LIBC 0x7f2a70000000ull
#define TSTACK 0x7f2a6f000000ull
#define SHM 0x7f2a78000000ull
#define STACK 0x7ffffffde000ull
#define VDSO 0x7ffffffff000ull

enum {
	NR_MMAP = 9,
	NR_MPROTECT = 10,
	NR_MUNMAP = 11,
	NR_BRK = 12,
	NR_MREMAP = 25
};

/* --- telling the story */

struct story {
	struct model *model;
	struct output o;
	uint64_t ts;
	uint64_t mm, brk;
	uint32_t tgid, tid;
	struct history *history; /* that listens, NULL: none */
};

static void tell(struct story *st, struct event *ev)
{
	struct outcome out;

	ev->ts = st->ts += 1000;
	ev->tgid = st->tgid;
	ev->tid = st->tid;
	if (ev->kind != EV_CALL && ev->kind != EV_CALLS_LOST)
		ev->mm = st->mm;
	if (st->history)
		history_advance(st->history, ev->ts);
	assert_int_equal(model_apply(st->model, ev, &out), 0);
	if (st->history)
		history_told(st->history, &out);
	if (st->o.f)
		assert_int_equal(output_event(&st->o, &out), 0);
}

static void tell_mm(struct story *st, enum mm_cause cause, uint64_t mm,
		    uint64_t parent_mm, uint32_t owner, const char *comm)
{
	struct event ev = { .kind = EV_MM };

	st->mm = mm;
	ev.mm_start.cause = cause;
	ev.mm_start.parent_mm = parent_mm;
	ev.mm_start.owner = owner;
	ev.mm_start.parent = cause == MM_FORK ? st->tgid : 0;
	ev.mm_start.comm = comm;
	tell(st, &ev);
}

static void tell_file(struct story *st, uint64_t ino, const char *path)
{
	struct event ev = { .kind = EV_FILE };

	ev.file.dev = 8 << 20 | 1;
	ev.file.ino = ino;
	ev.file.path = path;
	tell(st, &ev);
}

/* VMAs of the space outside [lo, hi); the ranges here never cut one. */
static uint32_t count_outside(const struct story *st, uint64_t lo, uint64_t hi)
{
	const struct space *s = model_space(st->model, st->mm);
	uint32_t n = 0;

	for (size_t i = 0; s && i < vma_map_count(s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;

		n += d->end <= lo || d->start >= hi;
	}
	return n;
}

static void tell_range(struct story *st, int32_t nr, const uint64_t args[6],
		       uint64_t lo, uint64_t hi, const struct vma_desc *vmas,
		       uint32_t nr_vmas)
{
	struct event ev = { .kind = EV_RANGE };

	ev.range.lo = lo;
	ev.range.hi = hi;
	if (args)
		memcpy(ev.range.args, args, sizeof(ev.range.args));
	ev.range.ip = nr < 0 ? 0 : LIBC + 0x10a000;
	ev.range.syscall = nr;
	ev.range.start_brk = HEAP;
	ev.range.brk = st->brk;
	ev.range.start_stack = STACK + 0x20000;
	ev.range.rss = (struct rss){ 4000 * KIB, 2000 * KIB, 4 * KIB, 0 };
	ev.range.map_count = count_outside(st, lo, hi) + nr_vmas;
	ev.range.nr_vmas = nr_vmas;
	ev.range.vmas = vmas;
	tell(st, &ev);
}

static struct event call(enum call_op op, enum call_phase phase, uint64_t addr,
			 uint64_t size, uint64_t caller)
{
	struct event ev = { .kind = EV_CALL };

	ev.call.op = op;
	ev.call.phase = phase;
	ev.call.addr = addr;
	ev.call.size = size;
	ev.call.caller = caller;
	return ev;
}

static void tell_alloc(struct story *st, enum call_op op, uint64_t addr,
		       uint64_t size, uint64_t caller, uint64_t begin)
{
	struct event ev = call(op, CALL_ALLOC, addr, size, caller);

	ev.call.begin = begin;
	if (op == CALL_MEMALIGN)
		ev.call.align = 64;
	tell(st, &ev);
}

static void tell_call(struct story *st, enum call_op op, enum call_phase phase,
		      uint64_t addr, uint64_t size, uint64_t caller,
		      uint64_t begin)
{
	struct event ev = call(op, phase, addr, size, caller);

	ev.call.begin = begin;
	tell(st, &ev);
}

static struct vma_desc file_vma(uint64_t start, uint64_t end, uint64_t offset,
				uint64_t ino, uint32_t flags)
{
	return (struct vma_desc){ start, end,	      offset,
				  ino,	 8 << 20 | 1, flags | VMA_FILE };
}

static struct vma_desc anon_vma(uint64_t start, uint64_t end, uint32_t flags)
{
	return (struct vma_desc){ .start = start, .end = end, .flags = flags };
}

/* What exec leaves, and what the loader adds. */
static void begin_life(struct story *st)
{
	struct vma_desc exec[] = {
		file_vma(EXE, EXE + 0x20000, 0, 1, RX),
		file_vma(EXE + 0x20000, EXE + 0x21000, 0x20000, 1, RW),
		anon_vma(EXE + 0x21000, EXE + 0x22000, RW),
		anon_vma(STACK, STACK + 0x21000, RW | VMA_GROWSDOWN),
		anon_vma(VDSO, VDSO + 0x1000, RX | VMA_VDSO),
	};
	struct vma_desc libc[] = { file_vma(LIBC, LIBC + 0x1e0000, 0, 2, RX) };

	tell_mm(st, MM_EXEC, MM, 0, PID, "python3");
	tell_file(st, 1, "/usr/bin/python3.11");
	tell_range(st, 59, (uint64_t[6]){ 0x1000, 0x2000, 0x3000 }, 0,
		   VDSO + 0x1000, exec, 5);
	tell_file(st, 2, "/usr/lib/libc\nodd.so");
	tell_range(st, NR_MMAP, (uint64_t[6]){ 0, 0x1e0000, 5, 2, 3, 0 }, LIBC,
		   LIBC + 0x1e0000, libc, 1);
}

/* malloc makes the heap and grows it; the second growth is by another caller. */
static void heap(struct story *st)
{
	struct vma_desc small[] = { anon_vma(HEAP, HEAP + 0x21000, RW) };
	struct vma_desc large[] = { anon_vma(HEAP, HEAP + 0x42000, RW) };
	uint64_t begin = st->ts;

	st->brk = HEAP + 0x21000;
	tell_range(st, NR_BRK, (uint64_t[6]){ st->brk }, HEAP, HEAP + 0x21000,
		   small, 1);
	tell_alloc(st, CALL_MALLOC, HEAP + 0x2a0, 24, EXE + 0x1234, begin);
	tell_alloc(st, CALL_CALLOC, HEAP + 0x2c0, 100000, EXE + 0x1250, 0);
	begin = st->ts;
	st->brk = HEAP + 0x42000;
	tell_range(st, NR_BRK, (uint64_t[6]){ st->brk }, HEAP, HEAP + 0x42000,
		   large, 1);
	tell_alloc(st, CALL_MEMALIGN, HEAP + 0x20000, 120000, EXE + 0x1400,
		   begin);
	tell_alloc(st, CALL_MALLOC, 0, 1ull << 46, EXE + 0x1500, 0);
}

static void mapped_chunk(struct story *st)
{
	struct vma_desc one[] = { anon_vma(CHUNK, CHUNK + 0x101000, RW) };
	struct vma_desc two[] = { anon_vma(CHUNK, CHUNK + 0x201000, RW) };
	struct vma_desc gone[] = { anon_vma(CHUNK, CHUNK + 0x201000, RW),
				   anon_vma(CHUNK + 0x400000, CHUNK + 0x501000,
					    RW) };
	uint64_t begin = st->ts;

	tell_range(st, NR_MMAP, (uint64_t[6]){ 0, 0x101000, 3, 0x22, -1ull, 0 },
		   CHUNK, CHUNK + 0x101000, one, 1);
	tell_alloc(st, CALL_MALLOC, CHUNK + 16, 1 << 20, EXE + 0x1600, begin);
	begin = st->ts;
	tell_call(st, CALL_REALLOC, CALL_REALLOC_ENTER, CHUNK + 16, 0,
		  EXE + 0x1610, 0);
	tell_range(st, NR_MREMAP, (uint64_t[6]){ CHUNK, 0x101000, 0x201000, 1 },
		   CHUNK, CHUNK + 0x201000, two, 1);
	tell_call(st, CALL_REALLOC, CALL_REALLOC_RETURN, CHUNK + 16, 2 << 20,
		  EXE + 0x1610, begin);
	/* A second one, that is given back. */
	begin = st->ts;
	tell_range(st, NR_MMAP, (uint64_t[6]){ 0, 0x101000, 3, 0x22, -1ull, 0 },
		   CHUNK + 0x400000, CHUNK + 0x501000, gone + 1, 1);
	tell_alloc(st, CALL_MALLOC, CHUNK + 0x400010, 1 << 20, EXE + 0x1600,
		   begin);
	tell_call(st, CALL_FREE, CALL_FREED, CHUNK + 0x400010, 0, EXE + 0x1700,
		  0);
	tell_range(st, NR_MUNMAP, (uint64_t[6]){ CHUNK + 0x400000, 0x101000 },
		   CHUNK + 0x400000, CHUNK + 0x501000, NULL, 0);
	tell_call(st, CALL_FREE, CALL_LEAVE, 0, 0, 0, 0);
}

/* A thread: its stack, its arena, and the shim's ring for it. */
static void thread(struct story *st)
{
	const uint64_t ours = 0x480000000000ull;
	struct vma_desc stack[] = { anon_vma(TSTACK, TSTACK + 0x801000, 0) };
	struct vma_desc guarded[] = { anon_vma(TSTACK, TSTACK + 0x1000, 0),
				      anon_vma(TSTACK + 0x1000,
					       TSTACK + 0x801000, RW) };
	struct vma_desc reserve[] = { anon_vma(ARENA, ARENA + (64 << 20), 0) };
	struct vma_desc arena[] = { anon_vma(ARENA, ARENA + 0x21000, RW),
				    anon_vma(ARENA + 0x21000,
					     ARENA + (64 << 20), 0) };
	struct vma_desc ring[] = { file_vma(ours, ours + 0x11000, 0, 9,
					    RW | VMA_SHARED) };
	uint64_t begin;

	tell_range(st, NR_MMAP,
		   (uint64_t[6]){ 0, 0x801000, 0, 0x20022, -1ull, 0 }, TSTACK,
		   TSTACK + 0x801000, stack, 1);
	tell_range(st, NR_MPROTECT,
		   (uint64_t[6]){ TSTACK + 0x1000, 0x800000, 3 }, TSTACK,
		   TSTACK + 0x801000, guarded, 2);
	st->tid = THREAD;
	tell_range(st, NR_MMAP,
		   (uint64_t[6]){ ours, 0x11000, 3, 0x100001, 3, 0 }, ours,
		   ours + 0x11000, ring, 1);
	begin = st->ts;
	tell_range(st, NR_MMAP,
		   (uint64_t[6]){ 0, 64 << 20, 0, 0x4022, -1ull, 0 }, ARENA,
		   ARENA + (64 << 20), reserve, 1);
	tell_range(st, NR_MPROTECT, (uint64_t[6]){ ARENA, 0x21000, 3 }, ARENA,
		   ARENA + (64 << 20), arena, 2);
	tell_alloc(st, CALL_MALLOC, ARENA + 0xb70, 500, EXE + 0x1234, begin);
	st->tid = PID;
}

/* What is not the allocator's, and what nobody can explain. */
static void others(struct story *st)
{
	struct vma_desc shm[] = { file_vma(SHM, SHM + 0x4000, 0, 77,
					   RW | VMA_SHARED) };
	struct vma_desc own[] = { anon_vma(SHM + 0x10000, SHM + 0x14000, RW) };
	struct vma_desc late[] = { anon_vma(SHM + 0x20000, SHM + 0x24000, RW) };
	struct vma_desc grown[] = { anon_vma(STACK - 0x10000, STACK + 0x21000,
					     RW | VMA_GROWSDOWN) };
	struct event ev = { .kind = EV_RANGE };
	struct event advice = { .kind = EV_MADVISE };
	struct event failed = {
		.kind = EV_FAILED,
		.failed = { .args = { 0, 0x1000, 3, 0x22, -1ull, 0 },
			    .syscall = NR_MMAP,
			    .error = 12,
			    .reason = FAILED_MAP_COUNT,
			    .map_count = 65531 },
	};

	tell_range(st, 30, (uint64_t[6]){ 5, 0, 010000 }, SHM, SHM + 0x4000,
		   shm, 1);
	tell_range(st, NR_MMAP, (uint64_t[6]){ 0, 0x4000, 3, 0x8022, -1ull, 0 },
		   own->start, own->end, own, 1);
	ev.range.lo = late->start;
	ev.range.hi = late->end;
	ev.range.syscall = -1;
	ev.range.start_brk = HEAP;
	ev.range.brk = st->brk;
	ev.range.start_stack = STACK + 0x20000;
	ev.range.rss = (struct rss){ 4000 * KIB, 2000 * KIB, 4 * KIB, 0 };
	ev.range.flags = RANGE_LATE;
	ev.range.map_count = count_outside(st, late->start, late->end) + 1;
	ev.range.coalesced = 3;
	ev.range.nr_vmas = 1;
	ev.range.vmas = late;
	tell(st, &ev);
	tell_range(st, -1, NULL, STACK - 0x10000, STACK + 0x21000, grown, 1);
	advice.madvise.addr = own->start;
	advice.madvise.len = 0x1000;
	advice.madvise.advice = 4;
	tell(st, &advice);
	tell(st, &failed);
	failed.failed.reason = FAILED_UNKNOWN;
	failed.failed.error = 22;
	tell(st, &failed);
	tell(st, &failed);
}

/* Of a chunk by the program and by the kernel, of the stack, and where there is a page. */
static void faults(struct story *st)
{
	struct event ev = { .kind = EV_FAULT };

	ev.fault.addr = CHUNK + 0x100000;
	ev.fault.ip = EXE + 0x1234;
	ev.fault.syscall = -1;
	ev.fault.flags = FAULT_WRITE;
	tell(st, &ev);
	ev.fault.addr += 0x1000;
	ev.fault.syscall = 0;
	tell(st, &ev);
	ev.fault.addr = STACK;
	ev.fault.syscall = -1;
	ev.fault.flags = 0;
	tell(st, &ev);
	ev.fault.flags = FAULT_WRITE | FAULT_PRESENT;
	tell(st, &ev);
	ev.fault.addr = 0x10;
	ev.fault.flags = FAULT_EXEC;
	tell(st, &ev);
}

static void sample(struct story *st)
{
	struct space *s = model_space(st->model, MM);
	struct vma_resident res[32];
	struct event ev = { .kind = EV_RESIDENT };
	struct event verify = { .kind = EV_VERIFY };
	size_t i;

	for (i = 0; i < vma_map_count(s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;
		struct chunk_sum live =
			chunk_range(s->chunks, d->start, d->end);
		uint64_t size = d->end - d->start;

		/* All of it, but never more than 160 KiB; nothing of PROT_NONE. */
		res[i] = (struct vma_resident){ .start = d->start,
						.end = d->end };
		if (d->flags & (R | VMA_WRITE | VMA_EXEC))
			res[i].resident = size < 160 * KIB ? size : 160 * KIB;
		res[i].live_resident = live.bytes < res[i].resident ?
					       live.bytes :
					       res[i].resident - 100;
	}
	ev.resident.vmas = res;
	ev.resident.nr_vmas = (uint32_t)i;
	tell(st, &ev);
	verify.verify.vmas = (uint32_t)i;
	tell(st, &verify);
}

/* A child that asks for one chunk, gets a signal, and leaves doubts behind. */
static void child(struct story *st)
{
	struct event lost = { .kind = EV_LOST };
	struct event calls_lost = { .kind = EV_CALLS_LOST };
	struct event task = { .kind = EV_TASK };
	struct event end = { .kind = EV_MM_EXIT };
	struct event exit = { .kind = EV_TASK_EXIT };

	tell_mm(st, MM_FORK, MM + 1, MM, CHILD, "python3");
	st->tgid = st->tid = CHILD;
	tell_alloc(st, CALL_MALLOC, HEAP + 0x1d000, 64, EXE + 0x1234, 0);
	tell_call(st, CALL_FREE, CALL_FREED, HEAP + 0x1f000, 0, EXE + 0x1700,
		  0);
	tell_call(st, CALL_FREE, CALL_FREED, 0, 0, EXE + 0x1700, 0);
	calls_lost.calls_lost.count = 5;
	tell(st, &calls_lost);
	lost.lost.what = 1;
	lost.lost.count = 2;
	tell(st, &lost);
	task.task.owner = CHILD + 1;
	task.task.parent = CHILD;
	tell(st, &task);
	end.mm_exit.rss = (struct rss){ 100 * KIB, 200 * KIB, 0, 0 };
	end.mm_exit.hiwater_rss = 400 * KIB;
	tell(st, &end);
	exit.task_exit.status = 11;
	tell(st, &exit);
	st->mm = MM;
	st->tgid = st->tid = PID;
}

static struct story new_story(void)
{
	struct story st = { .ts = START, .tgid = PID, .tid = PID, .mm = MM };

	st.model = model_new();
	assert_non_null(st.model);
	return st;
}

/* The whole life; with a stream, each event is printed as it is applied. */
static struct story live_on(struct story st, FILE *f, bool json)
{
	st.o = (struct output){ .f = f,
				.json = json,
				.model = st.model,
				.start = START,
				.alloc = "shim" };
	begin_life(&st);
	heap(&st);
	mapped_chunk(&st);
	thread(&st);
	others(&st);
	faults(&st);
	sample(&st);
	child(&st);
	assert_null(model_check(st.model));
	st.o.now = st.ts + 500000000;
	return st;
}

static struct story live(FILE *f, bool json)
{
	return live_on(new_story(), f, json);
}

/* The kernel's side alone, of a process that was there before. */
static struct story attached(bool calls)
{
	struct story st = { .ts = START, .tgid = PID, .tid = PID, .mm = MM };
	struct vma_desc all[] = { anon_vma(HEAP, HEAP + 0x21000, RW),
				  anon_vma(ARENA, ARENA + 0x21000, RW),
				  anon_vma(ARENA + 0x21000, ARENA + (64 << 20),
					   0),
				  anon_vma(CHUNK, CHUNK + 0x4000, RW) };

	st.model = model_new();
	st.brk = HEAP + 0x21000;
	st.o = (struct output){ .model = st.model,
				.start = START,
				.alloc = calls ? "uprobe" : "none" };
	tell_mm(&st, MM_ATTACH, MM, 0, PID, "redis\x1b");
	tell_range(&st, -1, NULL, 0, 0x7ffffffff000, all, 4);
	if (calls)
		tell_alloc(&st, CALL_MALLOC, HEAP + 0x5000, 100, 0, 0);
	if (calls)
		sample(&st);
	st.o.now = st.ts;
	return st;
}

/* --- comparing */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &room, 0, f) < 0)
		text[0] = 0;
	fclose(f);
	return text;
}

static void spill(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void golden(const char *name, const char *is)
{
	const char *mode = getenv("VMAHEAP_GOLDEN");
	char path[128], got[128], command[512];
	char *want;

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	if (mode && !strcmp(mode, "update"))
		spill(path, is);
	want = slurp(path);
	if (want && !strcmp(want, is)) {
		free(want);
		return;
	}
	free(want);
	snprintf(got, sizeof(got), "/tmp/vmaheap-%s", name);
	spill(got, is);
	snprintf(command, sizeof(command), "diff -u %s %s >&2", path, got);
	if (system(command))
		fail_msg("%s is not as it was, see above", name);
}

struct page {
	char *text;
	size_t size;
};

static FILE *open_page(struct page *p)
{
	FILE *f = open_memstream(&p->text, &p->size);

	assert_non_null(f);
	return f;
}

/* One view into a string. */
static char *view(struct story *st, bool json,
		  int (*print)(const struct output *o, const struct space *s),
		  const struct space *s)
{
	struct page p;

	st->o.f = open_page(&p);
	st->o.json = json;
	assert_int_equal(print(&st->o, s), 0);
	fclose(st->o.f);
	st->o.f = NULL;
	return p.text;
}

static json_t *parse(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		fail_msg("line %d: %s", e.line, e.text);
	return j;
}

static void check_view(struct story *st, const char *name,
		       int (*print)(const struct output *o,
				    const struct space *s),
		       const struct space *s)
{
	char file[64], *text = view(st, false, print, s);

	snprintf(file, sizeof(file), "%s.txt", name);
	golden(file, text);
	free(text);
	text = view(st, true, print, s);
	json_decref(parse(text));
	snprintf(file, sizeof(file), "%s.json", name);
	golden(file, text);
	free(text);
}

/* --- tests */

static void test_script(void **state)
{
	struct page p;
	FILE *f = open_page(&p);
	struct story st = live(f, false);
	uint64_t lines = 0;

	(void)state;
	fclose(f);
	for (const char *c = p.text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, model_totals(st.model).events);
	golden("script.txt", p.text);
	free(p.text);
	model_free(st.model);
}

static void test_script_json(void **state)
{
	struct page p;
	FILE *f = open_page(&p);
	struct story st = live(f, true);
	uint64_t lines = 0;
	char *line, *rest;

	(void)state;
	fclose(f);
	golden("script.json", p.text);
	rest = p.text;
	while ((line = strsep(&rest, "\n")) && *line) {
		json_decref(parse(line));
		lines++;
	}
	assert_int_equal(lines, model_totals(st.model).events);
	free(p.text);
	model_free(st.model);
}

static void test_maps(void **state)
{
	struct story st = live(NULL, false);

	(void)state;
	check_view(&st, "maps", output_maps, model_space(st.model, MM));
	check_view(&st, "maps-ended", output_maps,
		   model_space(st.model, MM + 1));
	model_free(st.model);
}

static void test_maps_attached(void **state)
{
	struct story st = attached(true);

	(void)state;
	check_view(&st, "maps-attached", output_maps,
		   model_space(st.model, MM));
	model_free(st.model);
	st = attached(false);
	check_view(&st, "maps-kernel-only", output_maps,
		   model_space(st.model, MM));
	model_free(st.model);
}

static void test_report(void **state)
{
	struct story st = live(NULL, false);

	(void)state;
	check_view(&st, "report", output_report, NULL);
	check_view(&st, "report-one", output_report, model_space(st.model, MM));
	model_free(st.model);
	st = attached(false);
	check_view(&st, "report-kernel-only", output_report, NULL);
	model_free(st.model);
}

/* Of the child, which ended first, there are only sums. */
static void test_report_forgotten(void **state)
{
	struct story st = live(NULL, false);
	struct event end = { .kind = EV_MM_EXIT };

	(void)state;
	model_limit_dead(st.model, 1);
	tell(&st, &end);
	assert_int_equal(model_settle(st.model, st.ts + 1), 0);
	assert_int_equal(model_spaces(st.model), 1);
	check_view(&st, "report-forgotten", output_report, NULL);
	model_free(st.model);
}

static void test_why(void **state)
{
	static const uint64_t addrs[] = {
		HEAP + 0x2a8, /* in a small chunk */
		HEAP + 0x1e000, /* free */
		CHUNK + 0x100000, /* a mapped chunk, grown by mremap */
		ARENA + 0xb70, /* of an arena */
		EXE + 0x21010, /* bss */
		0x1000, /* before everything */
		CHUNK + 0x400010, /* mapped once */
		UINT64_MAX, /* behind everything */
		SHM + 0x20000, /* who knows */
	};
	struct story st = live(NULL, false);
	struct page text, json;
	FILE *f = open_page(&text), *j = open_page(&json);
	const struct space *s = model_space(st.model, MM);

	(void)state;
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		st.o.f = f;
		st.o.json = false;
		assert_int_equal(output_why(&st.o, s, addrs[i], NULL), 0);
		st.o.f = j;
		st.o.json = true;
		assert_int_equal(output_why(&st.o, s, addrs[i], NULL), 0);
	}
	model_free(st.model);
	st = attached(true);
	st.o.f = f;
	s = model_space(st.model, MM);
	assert_int_equal(output_why(&st.o, s, HEAP + 0x10, NULL), 0);
	assert_int_equal(output_why(&st.o, s, HEAP + 0x5000, NULL), 0);
	model_free(st.model);
	fclose(f);
	fclose(j);
	golden("why.txt", text.text);
	golden("why.json", json.text);
	free(text.text);
	free(json.text);
}

static uint64_t number(const json_t *j, const char *key)
{
	const json_t *n = json_object_get(j, key);

	assert_true(json_is_integer(n));
	return (uint64_t)json_integer_value(n);
}

/* Each resident byte is in one term, and the VMAs add up to the totals. */
static void test_identity(void **state)
{
	static const char *const terms[] = { "live",	"held",	  "stack",
					     "file",	"shared", "kernel",
					     "vmaheap", "other",  "unknown" };
	struct story st = live(NULL, false);
	char *text = view(&st, true, output_maps, model_space(st.model, MM));
	json_t *j = parse(text), *totals = json_object_get(j, "totals"), *v;
	uint64_t sum = 0, size = 0, resident = 0, live_size = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
		sum += number(totals, terms[i]);
	assert_int_equal(sum, number(totals, "resident"));
	assert_int_equal(number(totals, "allocator"),
			 number(totals, "live") + number(totals, "held"));
	json_array_foreach(json_object_get(j, "vmas"), i, v) {
		size += number(v, "size");
		resident += number(v, "resident");
		live_size += number(v, "live");
	}
	assert_int_equal(size, number(totals, "size"));
	assert_int_equal(resident, number(totals, "resident"));
	assert_int_equal(live_size, number(totals, "live_size"));
	assert_int_equal(number(totals, "unknown"), 16 * KIB);
	json_decref(j);
	free(text);
	model_free(st.model);
}

static uint64_t column_sum(const json_t *array, const char *key)
{
	uint64_t sum = 0;
	size_t i;
	json_t *v;

	json_array_foreach(array, i, v)
		sum += number(v, key);
	return sum;
}

static void test_report_sums(void **state)
{
	struct story st = live(NULL, false);
	char *text = view(&st, true, output_report, NULL);
	json_t *j = parse(text), *spaces = json_object_get(j, "spaces"), *s;
	json_t *sum = json_object_get(j, "sum");
	uint64_t calls = 0, events = 0, mapped = 0;
	size_t i;

	(void)state;
	json_array_foreach(spaces, i, s) {
		json_t *functions = json_object_get(s, "functions");
		json_t *syscalls = json_object_get(s, "syscalls");
		json_t *kernel = json_object_get(s, "kernel");

		assert_int_equal(column_sum(functions, "calls"),
				 number(json_object_get(s, "calls"), "calls"));
		assert_int_equal(column_sum(syscalls, "events"),
				 number(kernel, "events"));
		assert_int_equal(column_sum(json_object_get(s, "callers"),
					    "events"),
				 number(kernel, "in_calls"));
		calls += column_sum(functions, "calls");
		events += column_sum(syscalls, "events");
		mapped += column_sum(syscalls, "mapped");
	}
	assert_int_equal(json_array_size(spaces), 2);
	assert_int_equal(number(sum, "calls"), calls);
	assert_int_equal(number(sum, "events"), events);
	assert_int_equal(number(sum, "mapped"), mapped);
	json_decref(j);
	free(text);
	model_free(st.model);
}

static void test_full_stream(void **state)
{
	struct story st = live(NULL, false);
	const struct space *s = model_space(st.model, MM);
	int err;

	(void)state;
	for (int json = 0; json < 2; json++) {
		st.o.json = json;
		st.o.f = fopen("/dev/full", "w");
		assert_int_equal(output_maps(&st.o, s), -ENOSPC);
		fclose(st.o.f);
		st.o.f = fopen("/dev/full", "w");
		/* Longer than stdio's buffer: the errno of what overflowed may be lost. */
		err = output_report(&st.o, NULL);
		assert_true(err == -ENOSPC || (!json && err == -EIO));
		fclose(st.o.f);
		st.o.f = fopen("/dev/full", "w");
		assert_int_equal(output_why(&st.o, s, HEAP, NULL), -ENOSPC);
		fclose(st.o.f);
	}
	model_free(st.model);
}

static void test_no_space(void **state)
{
	struct story st = live(NULL, false);

	(void)state;
	assert_int_equal(output_maps(&st.o, NULL), -ESRCH);
	assert_int_equal(output_why(&st.o, NULL, 1, NULL), -ESRCH);
	model_free(st.model);
}

/* --- the page */

#define EVIL "/dev/shm/</script><b onload=hack()>&\"'\xff<!--<script>"
#define PAGE "build/tests/page.html"
#define HUGE_CHUNK ((1ull << 46) + 1)
#define HUGE_TIMES 130

/* With a file that would like to be markup, and a sum that is no double. */
static struct story life_for_page(void)
{
	struct story st = new_story();

	st.history = history_new(st.model, START);
	assert_non_null(st.history);
	st = live_on(st, NULL, false);
	tell_file(&st, 77, EVIL);
	for (int i = 0; i < HUGE_TIMES; i++) {
		tell_alloc(&st, CALL_MALLOC, 0x100000010, HUGE_CHUNK,
			   EXE + 0x1500, 0);
		tell_call(&st, CALL_FREE, CALL_FREED, 0x100000010, 0,
			  EXE + 0x1700, 0);
	}
	assert_int_equal(history_end(st.history, st.ts), 0);
	return st;
}

static char *page_of(struct story *st, const struct space *only)
{
	struct page p;

	st->o.f = open_page(&p);
	assert_int_equal(output_page(&st->o, st->history, only), 0);
	fclose(st->o.f);
	st->o.f = NULL;
	return p.text;
}

/* What the scripts are given. */
static json_t *data_of(char *page)
{
	static const char before[] = "id=\"data\">";
	char *from = strstr(page, before), *to;
	json_t *j;

	assert_non_null(from);
	from += strlen(before);
	to = strstr(from, "</script>");
	assert_non_null(to);
	*to = 0;
	j = parse(from);
	*to = '<';
	return j;
}

static uint64_t sum_of(json_t *list)
{
	uint64_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		n += (uint64_t)json_integer_value(json_array_get(list, i));
	return n;
}

static uint64_t get(json_t *j, const char *key)
{
	assert_true(json_is_integer(json_object_get(j, key)));
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static uint64_t last(json_t *list)
{
	return (uint64_t)json_integer_value(
		json_array_get(list, json_array_size(list) - 1));
}

/* What the kernel did, over all slots, is what report says. */
static void check_events(json_t *process)
{
	json_t *kernel =
		json_object_get(json_object_get(process, "report"), "kernel");
	json_t *events =
		json_object_get(json_object_get(process, "time"), "events");
	uint64_t n = 0, mapped = 0, unmapped = 0, changed = 0;
	json_t *e, *count;
	const char *key;
	size_t i;

	json_array_foreach(events, i, e) {
		json_object_foreach(json_object_get(e, "n"), key, count)
			n += (uint64_t)json_integer_value(count);
		mapped += get(e, "mapped");
		unmapped += get(e, "unmapped");
		changed += get(e, "changed");
	}
	assert_int_equal(n, get(kernel, "events"));
	assert_int_equal(mapped, get(kernel, "mapped"));
	assert_int_equal(unmapped, get(kernel, "unmapped"));
	assert_int_equal(changed, get(kernel, "changed"));
}

/* The last point in time is the state that maps shows. */
static void check_last_state(json_t *process)
{
	json_t *time = json_object_get(process, "time"), *list;
	json_t *live =
		json_object_get(json_object_get(process, "report"), "live");
	json_t *totals = json_object_get(process, "totals");
	json_t *resident = json_object_get(time, "resident");
	uint64_t size = last(json_object_get(time, "reserve"));
	const char *key;

	json_object_foreach(json_object_get(time, "size"), key, list)
		size += last(list);
	assert_int_equal(size, get(totals, "size"));
	assert_int_equal(last(json_object_get(time, "live")),
			 get(live, "bytes"));
	assert_int_equal(get(json_object_get(time, "peak"), "bytes"),
			 get(live, "peak"));
	json_object_foreach(resident, key, list) if (strcmp(key, "t"))
		assert_int_equal(last(list), get(totals, key));
}

/* Each live byte is in a cell, or in what is told to be left out; each chunk is told of. */
static void check_cells(json_t *process)
{
	json_t *heap = json_object_get(process, "heap"), *r;
	json_t *live =
		json_object_get(json_object_get(process, "report"), "live");
	json_t *mapped = json_object_get(heap, "mapped");
	uint64_t bytes = get(mapped, "live");
	uint64_t chunks = get(mapped, "chunks");
	size_t i;

	json_array_foreach(json_object_get(heap, "regions"), i, r) {
		bytes += sum_of(json_object_get(r, "cells"));
		chunks += json_array_size(json_object_get(r, "told")) / 4;
		assert_int_equal(json_array_size(json_object_get(r, "told")),
				 4 * get(r, "chunks"));
	}
	assert_int_equal(bytes, get(live, "bytes"));
	assert_int_equal(chunks, get(live, "chunks"));
}

/* Key by key as the command's own JSON has it. */
static void check_same(json_t *ours, json_t *theirs)
{
	const char *key;
	json_t *value;

	assert_true(json_object_size(theirs) > 5);
	json_object_foreach(theirs, key,
			    value) if (!json_equal(value,
						   json_object_get(ours, key)))
		fail_msg("%s is another one in the page", key);
}

static void check_process(struct story *st, json_t *process)
{
	const struct space *s =
		model_process(st->model, (uint32_t)get(process, "pid"));
	char *text = view(st, true, output_maps, s);
	json_t *j = parse(text);

	check_same(json_object_get(process, "totals"),
		   json_object_get(j, "totals"));
	json_decref(j);
	free(text);
	check_events(process);
	if (get(process, "pid") != PID)
		return; /* nothing was told of the child's VMAs */
	check_last_state(process);
	check_cells(process);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* A view into a file beside the page, with which tests/page compares it. */
static void spill_view(struct story *st, const char *path,
		       int (*print)(const struct output *o,
				    const struct space *s),
		       const struct space *s)
{
	char *text = view(st, true, print, s);

	spill(path, text);
	free(text);
}

/* tests/page opens the file in a browser. */
static void test_page(void **state)
{
	struct story st = life_for_page();
	char *page = page_of(&st, NULL);
	json_t *data = data_of(page), *list, *first, *sums;
	char asked[32];
	size_t i;

	(void)state;
	list = json_object_get(data, "processes");
	assert_int_equal(json_array_size(list), 2);
	for (i = 0; i < 2; i++)
		check_process(&st, json_array_get(list, i));
	first = json_array_get(list, 0);
	sums = json_object_get(json_object_get(first, "report"), "calls");
	/* 24, 100000, 120000, 1 MiB twice, 2 MiB, 500, and what is huge */
	snprintf(asked, sizeof(asked), "%llu",
		 24 + 100000 + 120000 + (4ull << 20) + 500 +
			 HUGE_TIMES * HUGE_CHUNK);
	assert_string_equal(json_string_value(json_object_get(sums, "asked")),
			    asked);
	/* No string of the target's ends a script or begins an element. */
	assert_int_equal(count_of(page, "</script>"), 3);
	assert_int_equal(count_of(page, "<b onload"), 0);
	assert_int_equal(count_of(page, "<!--"), 0);
	assert_true(count_of(page, "&#60;/script&#62;") > 0);
	spill(PAGE, page);
	spill_view(&st, "build/tests/page-report.json", output_report, NULL);
	spill_view(&st, "build/tests/page-maps.json", output_maps,
		   model_space(st.model, MM));
	json_decref(data);
	free(page);
	history_free(st.history);
	model_free(st.model);
}

/* One process alone; no past, of one that was there before and whose chunks nobody knows. */
static void test_page_of_one(void **state)
{
	struct story st = life_for_page();
	char *page = page_of(&st, model_space(st.model, MM + 1));
	json_t *data = data_of(page), *p;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(data, "processes")),
			 1);
	json_decref(data);
	free(page);
	history_free(st.history);
	model_free(st.model);
	st = attached(false);
	page = page_of(&st, NULL);
	data = data_of(page);
	p = json_array_get(json_object_get(data, "processes"), 0);
	assert_true(json_is_null(json_object_get(p, "time")));
	assert_true(json_is_null(json_object_get(p, "heap")));
	json_decref(data);
	free(page);
	model_free(st.model);
}

/* Well formed, and nothing of it is far away. */
static void test_svg(void **state)
{
	struct story st = life_for_page();
	char *svg = view(&st, false, output_svg, model_space(st.model, MM));
	size_t open = count_of(svg, "<g "), close = count_of(svg, "</g>");

	(void)state;
	assert_int_equal(open, close);
	assert_true(open > 10);
	assert_int_equal(count_of(svg, "<b onload"), 0);
	assert_int_equal(count_of(svg, "http"), 1);
	spill("build/tests/page.svg", svg);
	free(svg);
	history_free(st.history);
	model_free(st.model);
}

/* However long it takes: few points, and nothing of the sums is lost. */
static void test_history_is_bounded(void **state)
{
	struct story st = new_story();
	struct vma_desc one[] = { anon_vma(CHUNK, CHUNK + 0x1000, RW) };
	char *page;
	json_t *data, *p;

	(void)state;
	st.history = history_new(st.model, START);
	st.o = (struct output){ .model = st.model,
				.start = START,
				.alloc = "none" };
	begin_life(&st);
	for (int i = 0; i < 5000; i++) {
		tell_range(&st, NR_MMAP, (uint64_t[6]){ 0, 0x1000, 3, 0x22 },
			   CHUNK, CHUNK + 0x1000, one, 1);
		tell_range(&st, NR_MUNMAP, (uint64_t[6]){ CHUNK, 0x1000 },
			   CHUNK, CHUNK + 0x1000, NULL, 0);
		st.ts += i < 2500 ? 100000 : 7000000;
	}
	assert_int_equal(history_end(st.history, st.ts), 0);
	page = page_of(&st, NULL);
	data = data_of(page);
	p = json_array_get(json_object_get(data, "processes"), 0);
	check_events(p);
	p = json_object_get(p, "time");
	assert_in_range(json_array_size(json_object_get(p, "events")), 200,
			800);
	assert_true(json_array_size(json_object_get(p, "t")) <= 800);
	json_decref(data);
	free(page);
	history_free(st.history);
	model_free(st.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_script_json),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_maps_attached),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_report_forgotten),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_report_sums),
		cmocka_unit_test(test_full_stream),
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_page_of_one),
		cmocka_unit_test(test_svg),
		cmocka_unit_test(test_history_is_bounded),
		cmocka_unit_test(test_no_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
