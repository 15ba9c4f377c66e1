// SPDX-License-Identifier: GPL-2.0
/* model: processes and address spaces, and which call made the kernel act. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "model/save.h"

#define PAGE 4096ull
#define MM 7
#define TGID 100
#define NR_MMAP 9
#define NR_MUNMAP 11
#define NR_BRK 12
#define NR_MREMAP 25
#define HEAP 1000 /* page */

struct fixture {
	struct model *m;
	struct space *s;
	struct outcome out;
};

static int apply(struct fixture *f, struct event ev)
{
	int ret = model_apply(f->m, &ev, &f->out);

	assert_null(model_check(f->m));
	/* the event itself is gone when we look */
	f->out.ev = NULL;
	return ret;
}

static struct event mm(uint64_t id, enum mm_cause cause, uint32_t owner,
		       uint64_t parent)
{
	return (struct event){ .kind = EV_MM,
			       .ts = 1,
			       .mm = id,
			       .tgid = owner,
			       .tid = owner,
			       .mm_start = {
				       .parent_mm = parent,
				       .cause = cause,
				       .owner = owner,
				       .comm = "a-name-that-is-too-long" } };
}

static void start(struct fixture *f, enum mm_cause cause)
{
	f->m = model_new();
	assert_int_equal(apply(f, mm(MM, cause, TGID, 0)), 0);
	f->s = model_space(f->m, MM);
	assert_non_null(f->s);
}

/* A record: VMAs (pages, read-write) in the whole space, by `nr`, thread `tid`, at ts. */
struct vmas {
	struct vma_desc d[8];
	uint32_t nr;
};

static struct vmas vmas(int nr, ...)
{
	struct vmas v = { .nr = nr };
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < nr; i++) {
		v.d[i].start = va_arg(ap, int) * PAGE;
		v.d[i].end = va_arg(ap, int) * PAGE;
		v.d[i].flags = VMA_READ | VMA_WRITE;
	}
	va_end(ap);
	return v;
}

static struct event range(uint64_t ts, uint32_t tid, int32_t nr,
			  const struct vmas *v)
{
	return (struct event){ .kind = EV_RANGE,
			       .ts = ts,
			       .mm = MM,
			       .tgid = TGID,
			       .tid = tid,
			       .range = { .lo = 0,
					  .hi = 10000 * PAGE,
					  .syscall = nr,
					  .map_count = v->nr,
					  .nr_vmas = v->nr,
					  .vmas = v->d,
					  .start_brk = HEAP * PAGE,
					  .brk = (HEAP + 33) * PAGE,
					  .start_stack = 9000 * PAGE + 123 } };
}

static void first_snapshot(struct fixture *f)
{
	struct vmas v = vmas(2, HEAP, HEAP + 33, 8990, 9001);
	struct event ev = range(2, TGID, -1, &v);

	ev.range.flags = RANGE_SNAPSHOT;
	assert_int_equal(apply(f, ev), 0);
}

static struct event call(uint64_t ts, enum call_phase phase, enum call_op op,
			 uint64_t addr, uint64_t size)
{
	return (struct event){ .kind = EV_CALL,
			       .tgid = TGID,
			       .tid = TGID,
			       .ts = ts,
			       .call = { .op = op,
					 .phase = phase,
					 .addr = addr,
					 .size = size,
					 .caller = 0x400000 + op } };
}

static struct event in_window(struct event ev, uint64_t begin)
{
	ev.call.begin = begin;
	return ev;
}

#define OK(ev) assert_int_equal(apply(&f, ev), 0)

static const struct syscall_tally *tally(const struct space *s, int32_t nr)
{
	for (size_t i = 0; i < s->nr_syscalls; i++) {
		if (s->syscalls[i].nr == nr)
			return &s->syscalls[i];
	}
	return NULL;
}

/* --- the join */

static void test_malloc_window(void **state)
{
	struct fixture f;
	struct vmas v = vmas(3, HEAP, HEAP + 33, 5000, 5100, 8990, 9001);
	const struct vma *vma;
	struct event brk;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	assert_int_equal(f.s->nr_syscalls, 0);
	OK(range(20, TGID, NR_MMAP, &v));
	assert_int_equal(f.out.nr_changes, 1);
	assert_false(f.out.changes[0].heap);
	assert_int_equal(f.s->vma_events_outside, 1);
	v.d[0].end += PAGE;
	brk = range(30, TGID + 1, NR_BRK, &v); /* another thread's */
	brk.range.brk += PAGE;
	OK(brk);
	assert_true(f.out.changes[0].heap);
	/* (20, 40] does not have what happened at 20; (19, 40] does. */
	OK(in_window(call(40, CALL_ALLOC, CALL_MALLOC, 5000 * PAGE + 16,
			  300000),
		     20));
	assert_int_equal(f.out.vma_events, 0);
	assert_int_equal(f.s->window_no_event, 1);
	v.d[1].end += PAGE;
	OK(range(50, TGID, NR_MMAP, &v));
	OK(range(51, TGID, NR_MMAP, &v));
	OK(in_window(call(51, CALL_ALLOC, CALL_CALLOC, 5050 * PAGE, 16), 49));
	assert_int_equal(f.out.vma_events, 2);
	assert_int_equal(f.s->vma_events_in_calls, 2);
	assert_int_equal(f.s->vma_events_outside, 2);
	assert_int_equal(f.s->ops[CALL_CALLOC].to_kernel, 1);
	assert_int_equal(f.s->ops[CALL_MALLOC].to_kernel, 0);
	vma = vma_map_find(f.s->vmas, 5050 * PAGE);
	assert_int_equal(vma->made->op, CALL_NONE);
	assert_int_equal(vma->changed->op, CALL_CALLOC);
	assert_int_equal(vma->changed->call_addr, 5050 * PAGE);
	assert_int_equal(vma->changed->call_size, 16);
	assert_int_equal(vma->changed->caller, 0x400000 + CALL_CALLOC);
	assert_int_equal(f.s->nr_sites, 1);
	assert_int_equal(f.s->sites[0].vma_events, 2);
	assert_int_equal(f.s->sites[0].mapped, PAGE);
	assert_int_equal(tally(f.s, NR_MMAP)->calls, 3);
	assert_int_equal(tally(f.s, NR_MMAP)->in_calls, 2);
	assert_int_equal(tally(f.s, NR_MMAP)->mapped, 101 * PAGE);
	assert_int_equal(tally(f.s, NR_MMAP)->mapped_in_calls, PAGE);
	assert_int_equal(tally(f.s, NR_BRK)->in_calls, 0);
	model_free(f.m);
}

/* free's window is from its own stamp to that of LEAVE. */
static void test_free_window(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, HEAP, HEAP + 20, 8990, 9001);

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(call(5, CALL_ALLOC, CALL_MALLOC, HEAP * PAGE + 16, 100));
	OK(call(10, CALL_FREED, CALL_FREE, HEAP * PAGE + 16, 0));
	assert_true(f.out.known);
	assert_int_equal(f.out.chunk.size, 100);
	OK(range(11, TGID, NR_BRK, &v));
	assert_int_equal(f.out.changes[0].kind, VMA_SHRANK);
	OK(call(11, CALL_LEAVE, CALL_FREE, 0, 0));
	assert_int_equal(f.out.vma_events, 1);
	assert_int_equal(tally(f.s, NR_BRK)->unmapped_in_calls, 13 * PAGE);
	assert_int_equal(vma_map_at(f.s->vmas, 0)->changed->op, CALL_FREE);
	assert_int_equal(vma_map_at(f.s->vmas, 0)->changed->call_addr,
			 HEAP * PAGE + 16);
	assert_int_equal(f.s->ops[CALL_FREE].calls, 1);
	assert_int_equal(f.s->ops[CALL_FREE].bytes, 100);
	assert_int_equal(f.s->ops[CALL_FREE].to_kernel, 1);
	/* A free without LEAVE has no window; a LEAVE too many labels nothing. */
	OK(call(20, CALL_FREED, CALL_FREE, 0, 0));
	OK(range(21, TGID, NR_BRK, &v));
	OK(call(22, CALL_ALLOC, CALL_MALLOC, HEAP * PAGE + 16, 1));
	OK(call(23, CALL_LEAVE, CALL_FREE, 0, 0));
	assert_int_equal(f.s->vma_events_in_calls, 1);
	assert_int_equal(f.s->ops[CALL_FREE].calls, 2);
	assert_int_equal(f.s->unknown_frees, 0);
	model_free(f.m);
}

static void test_realloc_ends(void **state)
{
	struct fixture f;
	struct vmas v = vmas(3, HEAP, HEAP + 33, 5000, 5100, 8990, 9001);
	uint64_t a = HEAP * PAGE + 16, b = 5000 * PAGE + 16;
	struct chunk c;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(call(5, CALL_ALLOC, CALL_MALLOC, a, 100));
	OK(call(10, CALL_REALLOC_ENTER, CALL_REALLOC, a, 0));
	assert_true(f.out.known);
	assert_int_equal(f.out.chunk.size, 100);
	assert_int_equal(chunk_total(f.s->chunks).chunks, 0);
	OK(range(12, TGID, NR_MMAP, &v));
	OK(call(12, CALL_REALLOC_RETURN, CALL_REALLOC, b, 400000));
	assert_int_equal(f.out.vma_events, 1);
	assert_int_equal(vma_map_find(f.s->vmas, b)->made->op, CALL_REALLOC);
	assert_int_equal(vma_map_find(f.s->vmas, b)->made->call_addr, b);
	assert_int_equal(f.s->ops[CALL_REALLOC].calls, 1);
	assert_int_equal(f.s->ops[CALL_REALLOC].bytes, 400000);
	/* It fails: the old one is alive again, as it was. */
	OK(call(13, CALL_REALLOC_ENTER, CALL_REALLOC, b, 0));
	OK(call(13, CALL_REALLOC_RETURN, CALL_REALLOCARRAY, 0, 1ull << 50));
	assert_int_equal(f.s->ops[CALL_REALLOCARRAY].failed, 1);
	assert_int_equal(chunk_get(f.s->chunks, b, &c), 0);
	assert_int_equal(c.size, 400000);
	assert_int_equal(c.ts, 12);
	assert_int_equal(c.op, CALL_REALLOC);
	/* realloc(p, 0) frees, realloc(NULL, n) allocates. */
	OK(call(14, CALL_REALLOC_ENTER, CALL_REALLOC, b, 0));
	OK(call(14, CALL_REALLOC_RETURN, CALL_REALLOC, 0, 0));
	assert_int_equal(chunk_total(f.s->chunks).chunks, 0);
	OK(call(14, CALL_REALLOC_ENTER, CALL_REALLOC, 0, 0));
	OK(call(14, CALL_REALLOC_RETURN, CALL_REALLOC, a, 7));
	assert_int_equal(chunk_total(f.s->chunks).bytes, 7);
	assert_int_equal(f.s->ops[CALL_REALLOC].calls, 3);
	assert_int_equal(f.s->ops[CALL_REALLOC].failed, 0);
	assert_int_equal(f.s->unknown_frees + f.s->double_allocs, 0);
	assert_int_equal(chunk_peak(f.s->chunks), 400000);
	model_free(f.m);
}

/* What a realloc took in vain from a thread that has not been read yet. */
static void test_realloc_of_unread(void **state)
{
	struct fixture f;
	struct event other = call(10, CALL_ALLOC, CALL_MALLOC, 0x10000, 55);
	struct chunk c;

	(void)state;
	other.tid = TGID + 1;
	start(&f, MM_EXEC);
	OK(call(10, CALL_REALLOC_ENTER, CALL_REALLOC, 0x10000, 0));
	assert_true(f.out.waits);
	OK(call(10, CALL_REALLOC_RETURN, CALL_REALLOC, 0, 99));
	OK(other);
	assert_int_equal(chunk_get(f.s->chunks, 0x10000, &c), 0);
	/* The same, but it is read in between. */
	other.call.addr = 0x20000;
	OK(call(10, CALL_REALLOC_ENTER, CALL_REALLOC, 0x20000, 0));
	OK(other);
	assert_int_equal(chunk_get(f.s->chunks, 0x20000, &c), -ENOENT);
	OK(call(10, CALL_REALLOC_RETURN, CALL_REALLOC, 0, 99));
	assert_int_equal(chunk_get(f.s->chunks, 0x20000, &c), 0);
	assert_int_equal(c.size, 55);
	assert_int_equal(c.tid, TGID + 1);
	/* The process ends while one waits. */
	OK(call(10, CALL_REALLOC_ENTER, CALL_REALLOC, 0x30000, 0));
	OK(((struct event){
		.kind = EV_TASK_EXIT, .tgid = TGID, .tid = TGID, .ts = 11 }));
	other.call.addr = 0x30000;
	OK(other);
	assert_int_equal(model_settle(f.m, 20), 0);
	assert_int_equal(f.s->unknown_frees, 0);
	assert_int_equal(f.s->ops[CALL_REALLOC].failed, 2);
	model_free(f.m);
}

static void test_waiting_is_bounded(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, HEAP, HEAP + 33, 8990, 9001);

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	for (int i = 0; i < 2000; i++)
		OK(range(10 + i, TGID, NR_MMAP, &v));
	/* The newest are those that a call can still claim. */
	OK(in_window(call(3000, CALL_ALLOC, CALL_MALLOC, 0x10000, 1),
		     10 + 1990));
	assert_int_equal(f.out.vma_events, 9);
	assert_int_equal(f.s->vma_events_in_calls, 9);
	assert_int_equal(f.s->vma_events_outside, 1991);
	/* Threads that have been silent for a minute are forgotten. */
	for (int i = 0; i < 10000; i++) {
		struct event ev =
			range(5000 + i * 100000000ull, 1000 + i, NR_MMAP, &v);

		assert_int_equal(model_apply(f.m, &ev, NULL), 0);
	}
	assert_null(model_check(f.m));
	model_free(f.m);
}

/* --- causes */

static void expect_kind(struct fixture *f, struct event ev,
			enum cause_kind kind)
{
	assert_int_equal(apply(f, ev), 0);
	assert_int_equal(f->out.cause->kind, kind);
}

static void test_cause_kinds(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, HEAP, HEAP + 33, 8990, 9001);
	struct event ev = range(2, TGID, NR_MMAP, &v);

	(void)state;
	start(&f, MM_ATTACH);
	ev.range.flags = RANGE_SNAPSHOT;
	expect_kind(&f, ev, CAUSE_ATTACH);
	assert_int_equal(vma_map_at(f.s->vmas, 0)->made->kind, CAUSE_ATTACH);
	expect_kind(&f, range(3, TGID, NR_MMAP, &v), CAUSE_SYSCALL);
	expect_kind(&f, range(3, TGID, -1, &v), CAUSE_FAULT);
	ev = range(4, 0, -1, &v);
	expect_kind(&f, ev, CAUSE_OTHER);
	ev = range(4, 555, 440, &v);
	ev.tgid = 555;
	expect_kind(&f, ev, CAUSE_OTHER);
	assert_int_equal(tally(f.s, 440)->calls, 1);
	ev = range(4, TGID, NR_MMAP, &v);
	ev.range.flags = RANGE_LATE;
	ev.range.coalesced = 5;
	expect_kind(&f, ev, CAUSE_LATE);
	assert_int_equal(f.s->late, 1);
	assert_int_equal(f.s->coalesced, 5);
	ev.range.flags = RANGE_SNAPSHOT;
	expect_kind(&f, ev, CAUSE_LATE);
	assert_int_equal(f.s->late, 1);
	assert_int_equal(f.s->ranges, 7);
	ev = range(5, TGID, 5, &v);
	ev.range.flags = RANGE_COMPAT;
	expect_kind(&f, ev, CAUSE_SYSCALL);
	assert_true(f.out.cause->compat);
	assert_true(tally(f.s, 5)->compat);
	assert_int_equal(tally(f.s, -1)->calls, 2);
	assert_int_equal(f.s->vma_events_outside, 5);
	model_free(f.m);
}

static void test_checksum(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, HEAP, HEAP + 33, 8990, 9001);
	struct event ev = range(3, TGID, NR_MMAP, &v);

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	assert_false(f.out.checksum_failed);
	ev.range.map_count = 3;
	OK(ev);
	assert_true(f.out.checksum_failed);
	assert_int_equal(f.s->map_count_mismatches, 1);
	/* In parts it counts with the last one. */
	ev.range.flags = RANGE_MORE;
	ev.range.hi = 8000 * PAGE;
	ev.range.nr_vmas = 1;
	ev.range.map_count = 2;
	OK(ev);
	assert_false(f.out.checksum_failed);
	ev.range.flags = 0;
	ev.range.lo = 8000 * PAGE;
	ev.range.hi = 10000 * PAGE;
	ev.range.vmas = &v.d[1];
	OK(ev);
	assert_false(f.out.checksum_failed);
	assert_int_equal(f.s->map_count_mismatches, 1);
	model_free(f.m);
}

/* The parts of one record are one event of one system call. */
static void test_parts_share_a_cause(void **state)
{
	struct fixture f;
	struct vmas v =
		vmas(4, HEAP, HEAP + 33, 2000, 2010, 3000, 3010, 8990, 9001);
	struct event ev = range(10, TGID, NR_MMAP, &v);
	const struct cause *first;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	ev.range.flags = RANGE_MORE;
	ev.range.hi = 2500 * PAGE;
	ev.range.nr_vmas = 2;
	OK(ev);
	first = f.out.cause;
	ev.ts = 11;
	ev.range.flags = 0;
	ev.range.lo = 2500 * PAGE;
	ev.range.hi = 10000 * PAGE;
	ev.range.vmas = &v.d[2];
	OK(ev);
	assert_ptr_equal(f.out.cause, first);
	assert_int_equal(first->mapped, 20 * PAGE);
	assert_int_equal(tally(f.s, NR_MMAP)->calls, 1);
	assert_int_equal(tally(f.s, NR_MMAP)->mapped, 20 * PAGE);
	OK(in_window(call(12, CALL_ALLOC, CALL_MALLOC, 0x10000, 1), 9));
	assert_int_equal(f.out.vma_events, 1);
	assert_int_equal(tally(f.s, NR_MMAP)->mapped_in_calls, 20 * PAGE);
	assert_int_equal(vma_map_find(f.s->vmas, 3000 * PAGE)->made->op,
			 CALL_MALLOC);
	/* The next one is another event, though it is alike. */
	ev.ts = 13;
	OK(ev);
	assert_ptr_not_equal(f.out.cause, first);
	model_free(f.m);
}

static void test_mremap_keeps_the_creator(void **state)
{
	struct fixture f;
	struct vmas v = vmas(3, HEAP, HEAP + 33, 5000, 5100, 8990, 9001);
	struct vmas w = vmas(3, HEAP, HEAP + 33, 6000, 6200, 8990, 9001);
	struct event ev = range(20, TGID, NR_MREMAP, &w);
	const struct vma *vma;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(range(10, TGID, NR_MMAP, &v));
	OK(in_window(call(11, CALL_ALLOC, CALL_MALLOC, 5000 * PAGE + 16,
			  400000),
		     9));
	ev.range.args[0] = 5000 * PAGE;
	ev.range.args[1] = 100 * PAGE;
	ev.range.args[2] = 200 * PAGE;
	ev.range.args[3] = 1;
	OK(call(19, CALL_REALLOC_ENTER, CALL_REALLOC, 5000 * PAGE + 16, 0));
	OK(ev);
	assert_int_equal(f.out.nr_changes, 2);
	assert_int_equal(f.out.changes[1].kind, VMA_MOVED);
	assert_int_equal(f.out.changes[1].from, 5000 * PAGE);
	OK(call(20, CALL_REALLOC_RETURN, CALL_REALLOC, 6000 * PAGE + 16,
		800000));
	vma = vma_map_find(f.s->vmas, 6000 * PAGE);
	assert_int_equal(vma->made->op, CALL_MALLOC);
	assert_int_equal(vma->made->ts, 10);
	assert_int_equal(vma->changed->op, CALL_REALLOC);
	assert_int_equal(
		chunk_range(f.s->chunks, 6000 * PAGE, 6200 * PAGE).bytes,
		800000);
	model_free(f.m);
}

/* --- processes */

static void test_fork_and_exec(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, HEAP, HEAP + 33, 8990, 9001);
	struct event ev = range(30, TGID, 57, &v), exit = {
		.kind = EV_MM_EXIT, .mm = 8, .ts = 50, .tgid = 200
	};
	struct event child_call = call(31, CALL_FREED, CALL_FREE, 0x10000, 0);
	struct space *child, *image;

	(void)state;
	start(&f, MM_EXEC);
	assert_string_equal(f.s->comm, "a-name-that-is-");
	assert_true(f.s->chunks_known_from_start);
	first_snapshot(&f);
	OK(call(10, CALL_ALLOC, CALL_MALLOC, 0x10000, 100));
	OK(call(10, CALL_ALLOC, CALL_MALLOC, 0x20000, 10));
	OK(mm(8, MM_FORK, 200, MM));
	child = model_space(f.m, 8);
	assert_ptr_equal(model_process(f.m, 200), child);
	assert_ptr_equal(model_process(f.m, TGID), f.s);
	assert_true(child->chunks_known_from_start);
	assert_int_equal(chunk_peak(child->chunks), 110);
	ev.mm = 8;
	OK(ev);
	assert_int_equal(vma_map_at(child->vmas, 0)->made->kind, CAUSE_FORK);
	assert_int_equal(vma_map_at(f.s->vmas, 0)->made->kind, CAUSE_EXEC);
	child_call.tgid = child_call.tid = 200;
	OK(child_call);
	assert_int_equal(chunk_total(child->chunks).bytes, 10);
	assert_int_equal(chunk_total(f.s->chunks).bytes, 110);
	/* exec: another space, nothing in it; the old one stays as it was. */
	OK(mm(9, MM_EXEC, 200, 8));
	exit.mm_exit.rss.anon = 12345;
	exit.mm_exit.hiwater_rss = 23456;
	OK(exit);
	image = model_process(f.m, 200);
	assert_int_equal(image->mm, 9);
	assert_int_equal(chunk_total(image->chunks).chunks, 0);
	assert_true(image->chunks_known_from_start);
	assert_false(image->has_calls);
	assert_int_equal(child->died, 50);
	assert_int_equal(child->rss.anon, 12345);
	assert_int_equal(child->hiwater_rss, 23456);
	assert_int_equal(chunk_total(child->chunks).bytes, 10);
	assert_int_equal(vma_map_count(child->vmas), 2);
	assert_int_equal(apply(&f, ev), -EINVAL);
	assert_int_equal(apply(&f, exit), -EINVAL);
	assert_int_equal(model_spaces(f.m), 3);
	assert_ptr_equal(model_space_at(f.m, 1), child);
	model_free(f.m);
}

static void test_vfork_shares(void **state)
{
	struct fixture f;
	struct event task = {
		.kind = EV_TASK, .mm = MM, .ts = 20, .task = { 200, TGID }
	};
	struct event ev = call(21, CALL_FREED, CALL_FREE, 0x10000, 0);
	struct vmas v = vmas(2, HEAP, HEAP + 34, 8990, 9001);
	struct event brk = range(22, 200, NR_BRK, &v);

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(call(10, CALL_ALLOC, CALL_MALLOC, 0x10000, 100));
	ev.tgid = ev.tid = brk.tgid = 200;
	OK(ev);
	assert_null(f.out.space);
	assert_int_equal(model_totals(f.m).orphan_calls, 1);
	OK(task);
	OK(ev);
	assert_ptr_equal(f.out.space, f.s);
	assert_int_equal(chunk_total(f.s->chunks).bytes, 0);
	OK(brk);
	assert_int_equal(f.out.cause->kind, CAUSE_SYSCALL);
	OK(((struct event){
		.kind = EV_TASK_EXIT, .tgid = 200, .tid = 200, .ts = 30 }));
	assert_ptr_equal(f.out.space, f.s);
	assert_int_equal(f.s->died, 0);
	OK(call(31, CALL_ALLOC, CALL_MALLOC, 0x10000, 100));
	model_free(f.m);
}

static struct event found(uint64_t ts, uint32_t flags, uint32_t nr,
			  const struct found_chunk *c)
{
	return (struct event){ .kind = EV_FOUND,
			       .ts = ts,
			       .mm = MM,
			       .tgid = TGID,
			       .found = { c, nr, flags } };
}

static void is_alive(const struct fixture *f, uint64_t addr, uint64_t size,
		     bool by_look)
{
	struct chunk c;

	assert_int_equal(chunk_get(f->s->chunks, addr, &c), 0);
	assert_int_equal(c.size, size);
	assert_int_equal(chunk_is_found(&c), by_look);
}

/* What was there before the attach, by malloc's own books; events know better. */
static void test_found(void **state)
{
	const struct found_chunk c[] = {
		{ 0x10000, 24 }, /* freed before the look, long ago */
		{ 0x20000, 24 }, /* allocated by a call that was told */
		{ 0x30000, 40 }, /* was there before, and stays */
		{ 0x40000, 56 | FOUND_NOT }, /* in doubt */
		{ 0x50000, 24 }, /* lived and died since the attach */
		{ 0x60000, 24 }, /* freed: nobody knows yet of what */
		{ 0x70000, 24 }, /* was not alive: see below */
	};
	struct chunk_sum sum;
	struct fixture f;

	(void)state;
	start(&f, MM_ATTACH);
	OK(call(10, CALL_FREED, CALL_FREE, 0x10000, 0));
	assert_int_equal(model_settle(f.m, 11), 0);
	assert_int_equal(f.s->unknown_frees, 1);
	OK(call(11, CALL_ALLOC, CALL_MALLOC, 0x20000, 20));
	OK(call(11, CALL_ALLOC, CALL_MALLOC, 0x50000, 20));
	OK(call(12, CALL_FREED, CALL_FREE, 0x50000, 0));
	assert_int_equal(model_settle(f.m, 13), 0);
	OK(call(13, CALL_FREED, CALL_FREE, 0x60000, 0));
	assert_false(space_knows_all_chunks(f.s));
	OK(found(13, FOUND_MORE, 3, c));
	OK(found(13, 0, 4, c + 3));
	assert_int_equal(f.s->found.at, 13);
	assert_int_equal(f.s->found.undecided, 1);
	assert_int_equal(f.s->found.chunks, 3);
	assert_int_equal(f.s->found.bytes, 88);
	is_alive(&f, 0x20000, 20, false);
	is_alive(&f, 0x30000, 40, true);
	is_alive(&f, 0x70000, 24, true);
	sum = chunk_total(f.s->chunks);
	assert_int_equal(sum.chunks, 3);
	/* The free of a found chunk is one of a known chunk ... */
	OK(call(14, CALL_FREED, CALL_FREE, 0x30000, 0));
	assert_true(f.out.known);
	assert_int_equal(f.out.chunk.size, 40);
	/* ... and where another one is born it was none. */
	OK(call(14, CALL_ALLOC, CALL_MALLOC, 0x70000, 10));
	assert_int_equal(model_settle(f.m, 15), 0);
	is_alive(&f, 0x70000, 10, false);
	assert_int_equal(f.s->found.wrong, 1);
	assert_int_equal(f.s->double_allocs, 0);
	assert_int_equal(f.s->unknown_frees, 1);
	model_free(f.m);
}

static void test_found_nothing(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, MM_ATTACH);
	OK(found(10, FOUND_UNREAD, 0, NULL));
	assert_int_equal(f.s->found.at, 0);
	assert_int_equal(f.s->found.looks, 1);
	assert_true(f.s->found.failed);
	assert_false(space_has_chunks(f.s));
	model_free(f.m);
}

/* Walks alone: each says what came and what went. */
static void test_walked(void **state)
{
	const struct found_chunk first[] = { { 0x10000, 24 }, { 0x10020, 40 } };
	const struct found_chunk then[] = { { 0x10000, 24 | FOUND_NOT },
					    { 0x10010, 24 },
					    { 0x10030, 8 } };
	struct chunk_sum sum;
	struct fixture f;

	(void)state;
	start(&f, MM_ATTACH);
	OK(found(10, FOUND_WALK, 2, first));
	assert_true(space_has_chunks(f.s));
	OK(found(20, FOUND_WALK, 3, then));
	is_alive(&f, 0x10010, 24, true);
	is_alive(&f, 0x10030, 8, true);
	sum = chunk_total(f.s->chunks);
	assert_int_equal(sum.chunks, 2);
	OK(found(30, FOUND_WALK | FOUND_UNREAD, 0, NULL));
	assert_int_equal(f.s->found.at, 20);
	assert_true(f.s->found.failed);
	model_free(f.m);
}

static void test_attach_knows_not_all(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, MM_ATTACH);
	assert_false(f.s->chunks_known_from_start);
	OK(call(10, CALL_FREED, CALL_FREE, 0x10000, 0));
	assert_true(f.out.waits);
	assert_int_equal(f.s->unknown_frees, 0);
	assert_int_equal(model_settle(f.m, 10), 0);
	assert_int_equal(f.s->unknown_frees, 0);
	assert_int_equal(model_settle(f.m, 11), 0);
	assert_int_equal(f.s->unknown_frees, 1);
	assert_int_equal(model_totals(f.m).in_vain, 1);
	/* A fork of it knows no more. */
	OK(mm(8, MM_FORK, 200, MM));
	assert_false(model_space(f.m, 8)->chunks_known_from_start);
	OK(mm(9, MM_FORK, 300, 4711));
	assert_false(model_space(f.m, 9)->chunks_known_from_start);
	model_free(f.m);
}

/* --- the small ones */

static void test_names(void **state)
{
	struct fixture f;
	struct vmas v = vmas(6, 10, 20, HEAP, HEAP + 33, 5000, 5001, 8990, 9001,
			     9100, 9101, 9200, 9201);
	struct event file = {
		.kind = EV_FILE,
		.file = { .ino = 5, .dev = 8 << 20 | 1, .path = "/bin/true" }
	};
	static const char *const names[] = { "/bin/true", "[heap]", "",
					     "[stack]",	  "[vdso]", "[vvar]" };

	(void)state;
	start(&f, MM_EXEC);
	v.d[0].flags |= VMA_FILE;
	v.d[0].ino = 5;
	v.d[0].dev = 8 << 20 | 1;
	v.d[4].flags |= VMA_VDSO;
	v.d[5].flags |= VMA_VVAR;
	OK(range(2, TGID, -1, &v));
	assert_string_equal(model_vma_name(f.m, f.s, vma_map_at(f.s->vmas, 0)),
			    "");
	assert_null(model_path(f.m, 8 << 20 | 1, 5));
	OK(file);
	for (int i = 0; i < 6; i++)
		assert_string_equal(model_vma_name(f.m, f.s,
						   vma_map_at(f.s->vmas, i)),
				    names[i]);
	file.file.path = "/bin/true (deleted)";
	OK(file);
	assert_string_equal(model_path(f.m, 8 << 20 | 1, 5),
			    "/bin/true (deleted)");
	assert_string_equal(call_op_name(CALL_POSIX_MEMALIGN),
			    "posix_memalign");
	assert_string_equal(call_op_name(4711), "?");
	model_free(f.m);
}

/* The process itself may have memory in the region. */
static void test_ours(void **state)
{
	const uint32_t rw = VMA_READ | VMA_WRITE;
	const uint32_t ring = rw | VMA_FILE | VMA_SHARED;
	const uint64_t image = OURS_END - OURS_PLACE + OURS_IMAGE_PLACE;
	const struct {
		uint64_t start, size;
		uint32_t flags;
		bool ours;
	} vmas[] = {
		{ OURS_START, 8 << 20, rw, true },
		{ OURS_START + 17 * OURS_PLACE, 1 << 20, ring, true },
		{ image, 4096, VMA_READ, true },
		{ image + 4096, 4096, VMA_READ | VMA_EXEC, true },
		{ OURS_START - OURS_PLACE, 4096, ring, false },
		{ OURS_END, 4096, ring, false },
		{ OURS_START + (256 << 10), 256 << 10, rw, false },
		{ OURS_START, 2 * OURS_PLACE, rw, false },
		{ OURS_START, OURS_PLACE, 0, false },
		{ OURS_START, 4096, rw | VMA_EXEC, false },
		{ OURS_START, 4096, rw | VMA_FILE, false },
		{ image + OURS_IMAGE, 4096, rw, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(vmas) / sizeof(*vmas); i++) {
		struct vma_desc d = { .start = vmas[i].start,
				      .end = vmas[i].start + vmas[i].size,
				      .flags = vmas[i].flags };

		assert_int_equal(vma_is_ours(&d), vmas[i].ours);
	}
}

static void test_samples_and_losses(void **state)
{
	struct fixture f;
	struct vma_resident r = { .start = PAGE,
				  .end = 2 * PAGE,
				  .resident = 5 };
	struct event ev = { .kind = EV_RESIDENT,
			    .mm = MM,
			    .ts = 9,
			    .resident = { .vmas = &r, .nr_vmas = 1 } };
	struct vma_desc ours = { .start = OURS_START,
				 .end = OURS_START + PAGE,
				 .flags = VMA_READ | VMA_WRITE };

	(void)state;
	start(&f, MM_EXEC);
	OK(ev);
	OK(ev);
	assert_int_equal(f.s->sampled_at, 9);
	assert_int_equal(f.s->nr_resident, 1);
	assert_ptr_not_equal(f.s->resident, &r);
	assert_int_equal(f.s->resident[0].resident, 5);
	OK(((struct event){ .kind = EV_VERIFY, .mm = MM, .verify = { 20, 1 } }));
	OK(((struct event){ .kind = EV_VERIFY, .mm = MM, .verify = { 21, 0 } }));
	OK(((struct event){ .kind = EV_LOST, .lost = { 1, 3 } }));
	OK(((struct event){ .kind = EV_MADVISE, .mm = MM }));
	OK(((struct event){ .kind = EV_RANGE,
			    .mm = MM,
			    .range = { .lo = ours.start,
				       .hi = ours.end,
				       .map_count = 1,
				       .nr_vmas = 1,
				       .vmas = &ours } }));
	OK(((struct event){ .kind = EV_MADVISE,
			    .mm = MM,
			    .madvise = { ours.start, PAGE, 18 } }));
	for (int i = 0; i < 5; i++)
		OK(((struct event){ .kind = EV_FAILED,
				    .mm = MM,
				    .failed = { .syscall = 9 + i % 2,
						.error = 12,
						.reason = i == 4 } }));
	assert_int_equal(f.s->nr_failed, 3);
	assert_int_equal(f.s->failed[0].calls, 2);
	assert_int_equal(f.s->failed[2].calls, 1);
	OK(((struct event){
		.kind = EV_CALLS_LOST, .tgid = TGID, .calls_lost = { 6 } }));
	OK(((struct event){
		.kind = EV_CALLS_LOST, .tgid = 4711, .calls_lost = { 2 } }));
	assert_int_equal(model_totals(f.m).checks, 2);
	assert_int_equal(model_totals(f.m).check_vmas, 41);
	assert_int_equal(model_totals(f.m).check_mismatches, 1);
	assert_int_equal(model_totals(f.m).kernel_lost, 3);
	assert_int_equal(model_totals(f.m).orphan_calls, 2);
	assert_int_equal(f.s->madvises, 1);
	assert_int_equal(f.s->calls_lost, 6);
	assert_false(f.s->has_calls);
	OK(((struct event){ .kind = EV_CALLS_LOST,
			    .tgid = TGID,
			    .tid = TGID,
			    .calls_lost = { 1 } }));
	assert_int_equal(f.s->calls_lost, 7);
	assert_true(f.s->has_calls);
	model_free(f.m);
}

static struct event stack(uint64_t id, uint32_t nr, const uint64_t *frames)
{
	return (struct event){
		.kind = EV_STACK,
		.tgid = TGID,
		.stack = { .id = id | CALLER_STACK, .nr = nr, .frames = frames }
	};
}

static const struct stack_tally *stack_tally(const struct fixture *f,
					     uint64_t id)
{
	for (size_t i = 0; i < f->s->nr_stacks; i++)
		if (f->s->stacks[i].stack == (id | CALLER_STACK))
			return &f->s->stacks[i];
	fail_msg("no such stack");
	return NULL;
}

static void test_stacks(void **state)
{
	const uint64_t one[] = { 0x401000, 0x402000 }, other[] = { 0x401001 };
	struct vmas grown = vmas(2, HEAP, HEAP + 66, 8990, 9001);
	struct fixture f;
	struct event ev;
	struct chunk c;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(stack(1, 2, one));
	OK(stack(1, 2, one));
	assert_int_equal(model_totals(f.m).stacks, 1);
	assert_int_equal(model_stack(f.m, CALLER_STACK | 1)->nr, 2);
	assert_null(model_stack(f.m, CALLER_STACK | 2));
	assert_null(model_stack(f.m, 0x401000));
	assert_int_equal(model_caller(f.m, CALLER_STACK | 1), 0x401000);
	assert_int_equal(model_caller(f.m, CALLER_STACK | 2), 0);
	assert_int_equal(model_caller(f.m, 0x401000), 0x401000);
	/* What the stack is for: who made the heap grow, and what is alive. */
	OK(range(20, TGID, NR_BRK, &grown));
	ev = in_window(call(25, CALL_ALLOC, CALL_MALLOC, HEAP * PAGE + 16, 100),
		       10);
	ev.call.caller = CALLER_STACK | 1;
	OK(ev);
	assert_int_equal(f.out.vma_events, 1);
	assert_int_equal(f.s->nr_sites, 1);
	assert_int_equal(f.s->sites[0].caller, 0x401000);
	assert_int_equal(chunk_get(f.s->chunks, HEAP * PAGE + 16, &c), 0);
	assert_int_equal(c.caller, CALLER_STACK | 1);
	ev = call(30, CALL_ALLOC, CALL_MALLOC, HEAP * PAGE + 320, 11);
	ev.call.caller = CALLER_STACK | 1;
	OK(ev);
	ev.call.addr = 0; /* failed */
	OK(ev);
	assert_int_equal(stack_tally(&f, 1)->allocs, 2);
	assert_int_equal(stack_tally(&f, 1)->bytes, 111);
	/* One that was never told is one of the unknown. */
	ev.call.addr = HEAP * PAGE + 640;
	ev.call.caller = CALLER_STACK | 2;
	OK(ev);
	assert_int_equal(stack_tally(&f, 0)->allocs, 1);
	assert_int_equal(f.s->nr_stacks, 2);
	/* Two stacks with one number are none. */
	OK(stack(1, 1, other));
	assert_null(model_stack(f.m, CALLER_STACK | 1));
	assert_int_equal(apply(&f, stack(3, 0, NULL)), -EINVAL);
	model_free(f.m);
}

static void test_build_id(void **state)
{
	const uint8_t id[] = { 1, 2, 3 };
	struct event ev = { .kind = EV_BUILD_ID, .build_id = { 5, 6, 3, id } };
	struct fixture f;

	(void)state;
	start(&f, MM_EXEC);
	assert_null(model_file(f.m, 6, 5));
	OK(ev);
	assert_null(model_path(f.m, 6, 5));
	assert_true(model_file(f.m, 6, 5)->has_build_id);
	assert_int_equal(model_file(f.m, 6, 5)->build_id_len, 3);
	assert_memory_equal(model_file(f.m, 6, 5)->build_id, id, 3);
	ev = (struct event){ .kind = EV_FILE, .file = { 5, 6, "/a" } };
	OK(ev);
	assert_string_equal(model_path(f.m, 6, 5), "/a");
	assert_true(model_file(f.m, 6, 5)->has_build_id);
	ev = (struct event){ .kind = EV_BUILD_ID,
			     .build_id = { 5, 6, BUILD_ID_MAX + 1, id } };
	assert_int_equal(apply(&f, ev), -EINVAL);
	model_free(f.m);
}

static struct event fault(uint64_t ts, uint64_t addr, uint32_t flags,
			  int32_t nr)
{
	return (struct event){ .kind = EV_FAULT,
			       .ts = ts,
			       .mm = MM,
			       .tgid = TGID,
			       .tid = TGID,
			       .fault = { .addr = addr,
					  .ip = 0x401000,
					  .flags = flags,
					  .syscall = nr } };
}

static const struct touch *touched(const struct fixture *f, uint64_t page)
{
	return space_touch(f->m, f->s, page * PAGE + 5);
}

static struct event advice(uint64_t page, uint64_t bytes, int32_t how)
{
	return (struct event){ .kind = EV_MADVISE,
			       .mm = MM,
			       .madvise = { page * PAGE, bytes, how } };
}

static void test_faults(void **state)
{
	struct fixture f;
	uint8_t *buf;
	size_t len;
	int err;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(call(10, CALL_ALLOC, CALL_MALLOC, HEAP * PAGE + 16, 3 * PAGE));
	/* Of the chunk, of what lies behind it, of nothing, and where there is a page. */
	OK(fault(15, HEAP * PAGE + 16, FAULT_WRITE, -1));
	assert_true(f.out.first && f.out.known);
	assert_int_equal(f.out.chunk.size, 3 * PAGE);
	OK(fault(30, (HEAP + 1) * PAGE, FAULT_WRITE, 0));
	OK(fault(31, (HEAP + 9) * PAGE, 0, -1));
	assert_true(f.out.first && !f.out.known);
	OK(fault(32, 5 * PAGE, 0, -1));
	assert_false(f.out.first || f.out.known);
	OK(fault(33, (HEAP + 2) * PAGE, FAULT_PRESENT, -1));
	assert_false(f.out.first);
	assert_true(f.out.known);
	OK(fault(34, (HEAP + 1) * PAGE, 0, -1)); /* it was swapped, say */
	assert_false(f.out.first);
	assert_int_equal(f.s->faults.all, 6);
	assert_int_equal(f.s->faults.first, 3);
	assert_int_equal(f.s->faults.in_chunks, 2);
	assert_int_equal(f.s->faults.in_kernel, 1);
	assert_int_equal(f.s->faults.present, 1);
	assert_int_equal(f.s->faults.unmapped, 1);
	assert_int_equal(f.s->nr_touch_sites, 1);
	assert_int_equal(f.s->touch_sites[0].caller, 0x400000 + CALL_MALLOC);
	assert_int_equal(f.s->touch_sites[0].touches, 2);
	assert_int_equal(f.s->touch_sites[0].in_kernel, 1);
	assert_int_equal(f.s->touch_sites[0].timed, 2);
	assert_int_equal(f.s->touch_sites[0].delay, 5 + 20);
	assert_int_equal(f.s->touch_sites[0].longest, 20);
	assert_int_equal(touched(&f, HEAP + 1)->ts, 30);
	assert_int_equal(touched(&f, HEAP + 1)->ip, 0x401000);
	assert_null(touched(&f, HEAP + 2));

	/* Given back: the last page that is touched in part, too. Other advice is none. */
	OK(advice(HEAP + 1, PAGE, 3));
	OK(advice(HEAP + 1, UINT64_MAX, 4));
	assert_non_null(touched(&f, HEAP + 1));
	OK(advice(HEAP + 1, 7 * PAGE + 1, 4));
	assert_null(touched(&f, HEAP + 1));
	assert_non_null(touched(&f, HEAP + 9));
	OK(fault(40, (HEAP + 1) * PAGE, 0, -1));
	assert_true(f.out.first);
	assert_int_equal(touched(&f, HEAP + 1)->ts, 40);

	/* Saved and loaded: what was counted goes on. */
	assert_int_equal(model_save(f.m, &buf, &len), 0);
	model_free(f.m);
	f.m = model_load(buf, len, &err);
	free(buf);
	assert_non_null(f.m);
	f.s = model_space(f.m, MM);
	assert_int_equal(touched(&f, HEAP + 1)->ts, 40);
	OK(fault(50, (HEAP + 1) * PAGE, 0, -1));
	assert_false(f.out.first);
	OK(fault(51, (HEAP + 2) * PAGE, 0, -1));
	assert_true(f.out.first);
	assert_int_equal(f.s->nr_touch_sites, 1);
	assert_int_equal(f.s->touch_sites[0].touches, 4);
	model_free(f.m);
}

/* What is unmapped, mapped anew or moved. */
static void test_faults_and_vmas(void **state)
{
	struct fixture f;
	struct vmas v = vmas(3, HEAP, HEAP + 33, 2000, 2010, 8990, 9001);
	struct vmas less = vmas(3, HEAP, HEAP + 20, 2000, 2010, 8990, 9001);
	struct vmas moved = vmas(3, HEAP, HEAP + 20, 3000, 3020, 8990, 9001);
	struct event ev;

	(void)state;
	start(&f, MM_EXEC);
	first_snapshot(&f);
	OK(range(5, TGID, NR_MMAP, &v));
	OK(fault(6, (HEAP + 25) * PAGE, 0, -1));
	OK(fault(7, (HEAP + 2) * PAGE, 0, -1));
	for (uint64_t i = 0; i < 10; i += 3)
		OK(fault(10 + i, (2000 + i) * PAGE, 0, -1));
	assert_int_equal(f.s->nr_touches, 6);
	OK(range(20, TGID, NR_BRK, &less));
	assert_null(touched(&f, HEAP + 25));
	assert_non_null(touched(&f, HEAP + 2));
	assert_int_equal(f.s->nr_touches, 5);

	ev = range(21, TGID, NR_MREMAP, &moved);
	ev.range.args[0] = 2000 * PAGE;
	ev.range.args[1] = 10 * PAGE;
	ev.range.args[2] = 20 * PAGE;
	OK(ev);
	for (uint64_t i = 0; i < 10; i++) {
		assert_null(touched(&f, 2000 + i));
		if (i % 3) {
			assert_null(touched(&f, 3000 + i));
			continue;
		}
		assert_int_equal(touched(&f, 3000 + i)->ts, 10 + i);
	}
	assert_int_equal(f.s->nr_touches, 5);
	assert_int_equal(f.s->faults.first, 6);

	/* A child begins without: its pages are there. */
	OK(mm(8, MM_FORK, TGID + 1, MM));
	assert_int_equal(model_space(f.m, 8)->nr_touches, 0);
	OK(((struct event){ .kind = EV_MM_EXIT, .ts = 30, .mm = MM }));
	assert_non_null(touched(&f, 3000));
	assert_int_equal(apply(&f, fault(31, 3001 * PAGE, 0, -1)), -EINVAL);
	model_free(f.m);
}

static void test_refused(void **state)
{
	struct fixture f;
	struct vmas v = vmas(2, 20, 30, 10, 15);
	struct event ev = range(5, TGID, NR_MMAP, &v);

	(void)state;
	start(&f, MM_EXEC);
#define REFUSED(ev) assert_int_equal(apply(&f, ev), -EINVAL)
	REFUSED(mm(MM, MM_EXEC, TGID, 0));
	REFUSED(mm(0, MM_EXEC, TGID, 0));
	REFUSED(mm(8, 99, TGID, 0));
	REFUSED(ev); /* unsorted */
	ev.mm = 4711;
	REFUSED(ev);
	REFUSED(((struct event){ .kind = 99 }));
	REFUSED(((struct event){ .kind = EV_MADVISE, .mm = 4711 }));
	REFUSED(((struct event){ .kind = EV_FAILED, .mm = 4711 }));
	REFUSED(((struct event){ .kind = EV_FAULT, .mm = 4711 }));
	REFUSED(((struct event){ .kind = EV_RESIDENT, .mm = 4711 }));
	REFUSED(((struct event){ .kind = EV_TASK, .mm = 4711 }));
	REFUSED(((struct event){ .kind = EV_MM_EXIT, .mm = 4711 }));
	REFUSED(call(5, CALL_ALLOC, CALL_OP_MAX, 0x10000, 1));
	REFUSED(call(5, CALL_ALLOC, CALL_NONE, 0x10000, 1));
	REFUSED(call(5, 99, CALL_MALLOC, 0x10000, 1));
	REFUSED(call(5, CALL_ALLOC, CALL_MALLOC, 0x10001, 1));
	REFUSED(call(5, CALL_ALLOC, CALL_MALLOC, 0x10000, UINT64_MAX));
	REFUSED(call(5, CALL_REALLOC_RETURN, CALL_REALLOC, 1ull << 47, 1));
	assert_int_equal(model_totals(f.m).invalid, 18);
	assert_int_equal(f.s->vma_events_outside, 0);
	assert_int_equal(f.s->ops[CALL_MALLOC].calls, 0);
	/* Failing is allowed. */
	OK(call(5, CALL_ALLOC, CALL_MALLOC, 0, UINT64_MAX));
	assert_int_equal(f.s->ops[CALL_MALLOC].failed, 1);
	assert_int_equal(f.s->ops[CALL_MALLOC].bytes, 0);
	model_free(f.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malloc_window),
		cmocka_unit_test(test_free_window),
		cmocka_unit_test(test_realloc_ends),
		cmocka_unit_test(test_realloc_of_unread),
		cmocka_unit_test(test_waiting_is_bounded),
		cmocka_unit_test(test_cause_kinds),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_parts_share_a_cause),
		cmocka_unit_test(test_mremap_keeps_the_creator),
		cmocka_unit_test(test_fork_and_exec),
		cmocka_unit_test(test_vfork_shares),
		cmocka_unit_test(test_attach_knows_not_all),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_found_nothing),
		cmocka_unit_test(test_walked),
		cmocka_unit_test(test_samples_and_losses),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_build_id),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_and_vmas),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
