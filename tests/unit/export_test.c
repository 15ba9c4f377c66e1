// SPDX-License-Identifier: GPL-2.0
/*
 * The formats of a small life with the module, under the sanitizers: an exec, a heap
 * that grows in malloc, a mapped chunk that is moved by realloc and given back by free,
 * two threads that free each other's chunks within one stamp, a fork. What readers
 * that are not ours say of real traces is in tests/live/85-exports.t.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <zlib.h>

#include "export/export.h"
#include "export/perfetto.pb-c.h"
#include "export/profile.pb-c.h"

#define PID 12
#define THREAD 13
#define CHILD 20
#define MM 1
#define CHILD_MM 2
#define HEAP 0x555555590000ull
#define CHUNK 0x7f2a60000000ull
#define MOVED 0x7f2a70000000ull
#define CODE 0x555555554000ull
#define RW (VMA_READ | VMA_WRITE)
#define STEP 2000000 /* ns: counters are shown at each */

enum { NR_MMAP = 9, NR_MUNMAP = 11, NR_BRK = 12, NR_MREMAP = 25 };

struct story {
	struct model *m;
	const struct model_watch *w;
	void (*told)(void *ctx, const struct outcome *out);
	void *ctx;
	uint64_t ts;
	uint32_t tid;
};

static void tell(struct story *st, struct event *ev)
{
	struct outcome out;

	ev->ts = st->ts;
	if (!ev->tgid)
		ev->tgid = PID;
	ev->tid = st->tid;
	if (!ev->mm && ev->kind != EV_CALL)
		ev->mm = MM;
	assert_int_equal(model_apply(st->m, ev, &out), 0);
	if (st->told)
		st->told(st->ctx, &out);
}

static void step(struct story *st)
{
	st->ts += STEP;
	model_settle(st->m, st->ts);
}

static void range(struct story *st, int32_t nr, uint64_t lo, uint64_t hi,
		  const struct vma_desc *vmas, uint32_t nr_vmas, uint32_t flags,
		  uint32_t count)
{
	struct event ev = { .kind = EV_RANGE };

	step(st);
	ev.range.lo = lo;
	ev.range.hi = hi;
	ev.range.syscall = nr;
	ev.range.start_brk = HEAP;
	ev.range.brk = HEAP + 0x42000;
	ev.range.flags = flags;
	ev.range.map_count = count;
	ev.range.vmas = vmas;
	ev.range.nr_vmas = nr_vmas;
	tell(st, &ev);
}

static void call(struct story *st, enum call_op op, enum call_phase phase,
		 uint64_t addr, uint64_t size, uint64_t begin)
{
	struct event ev = { .kind = EV_CALL };

	ev.call.op = op;
	ev.call.phase = phase;
	ev.call.addr = addr;
	ev.call.size = size;
	ev.call.begin = begin;
	ev.call.caller = CODE + 0x100;
	tell(st, &ev);
}

static void mm(struct story *st, enum mm_cause cause, uint64_t id, uint32_t pid,
	       uint64_t parent)
{
	struct event ev = { .kind = EV_MM, .mm = id, .tgid = pid };

	step(st);
	ev.mm_start.cause = cause;
	ev.mm_start.owner = pid;
	ev.mm_start.parent_mm = parent;
	ev.mm_start.comm = "odd\"\xff";
	tell(st, &ev);
}

static const struct vma_desc heap[] = {
	{ .start = HEAP, .end = HEAP + 0x21000, .flags = RW }
};
static const struct vma_desc grown[] = {
	{ .start = HEAP, .end = HEAP + 0x42000, .flags = RW }
};
static const struct vma_desc chunk[] = {
	{ .start = CHUNK, .end = CHUNK + 0x101000, .flags = RW }
};
static const struct vma_desc moved[] = {
	{ .start = MOVED, .end = MOVED + 0x201000, .flags = RW }
};

static void heap_and_chunk(struct story *st)
{
	uint64_t begin = st->ts;

	range(st, NR_BRK, HEAP, HEAP + 0x21000, heap, 1, 0, 1);
	call(st, CALL_MALLOC, CALL_ALLOC, HEAP + 0x2a0, 24, begin);
	begin = st->ts;
	range(st, NR_BRK, HEAP, HEAP + 0x42000, grown, 1, 0, 1);
	call(st, CALL_CALLOC, CALL_ALLOC, HEAP + 0x20000, 120000, begin);
	call(st, CALL_MALLOC, CALL_ALLOC, 0, 1ull << 46, 0);
	begin = st->ts;
	range(st, NR_MMAP, CHUNK, CHUNK + 0x101000, chunk, 1, 0, 2);
	call(st, CALL_MALLOC, CALL_ALLOC, CHUNK + 16, 1 << 20, begin);
	/* A record in two parts is one event. */
	step(st);
	call(st, CALL_REALLOC, CALL_REALLOC_ENTER, CHUNK + 16, 0, 0);
	range(st, NR_MREMAP, CHUNK, CHUNK + 0x101000, NULL, 0, RANGE_MORE, 0);
	st->ts -= STEP;
	range(st, NR_MREMAP, MOVED, MOVED + 0x201000, moved, 1, 0, 2);
	call(st, CALL_REALLOC, CALL_REALLOC_RETURN, MOVED + 16, 2 << 20, 0);
}

/* The one thread's free of the other's chunk is read first. */
static void threads(struct story *st)
{
	step(st);
	st->tid = THREAD;
	call(st, CALL_FREE, CALL_FREED, HEAP + 0x400, 0, 0);
	call(st, CALL_FREE, CALL_FREED, HEAP + 0x2a0, 0, 0);
	call(st, CALL_MALLOC, CALL_ALLOC, HEAP + 0x400, 70, 0);
	st->tid = PID;
	call(st, CALL_MALLOC, CALL_ALLOC, HEAP + 0x400, 50, 0);
	step(st);
}

static void child(struct story *st)
{
	struct event gone = { .kind = EV_MM_EXIT,
			      .mm = CHILD_MM,
			      .tgid = CHILD };

	mm(st, MM_FORK, CHILD_MM, CHILD, MM);
	st->tid = CHILD;
	step(st);
	tell(st, &gone);
	st->tid = PID;
}

/* The chunk and its VMA go between two moments at which counters are shown. */
static void end(struct story *st)
{
	struct event advice = { .kind = EV_MADVISE };

	step(st);
	tell(st, &advice);
	st->ts += 1000;
	call(st, CALL_FREE, CALL_FREED, MOVED + 16, 0, 0);
	st->ts += 1000 - STEP;
	range(st, NR_MUNMAP, MOVED, MOVED + 0x201000, NULL, 0, 0, 1);
	call(st, CALL_FREE, CALL_LEAVE, 0, 0, 0);
	/* Outside of any call. */
	range(st, NR_MMAP, CHUNK, CHUNK + 0x101000, chunk, 1, 0, 2);
	step(st);
}

static void replay(void *ctx, const struct model_watch *w,
		   void (*told)(void *ctx, const struct outcome *out),
		   void *told_ctx)
{
	struct story st = {
		.m = ctx, .told = told, .ctx = told_ctx, .ts = 1000, .tid = PID
	};

	model_watch(st.m, w);
	mm(&st, MM_EXEC, MM, PID, 0);
	range(&st, -1, 0, 1ull << 47, NULL, 0, RANGE_SNAPSHOT, 0);
	heap_and_chunk(&st);
	threads(&st);
	child(&st);
	end(&st);
	model_watch(st.m, NULL);
}

/* What is left: 120000, and 70 in the thread's chunk. */
#define LIVE 120070
#define ALLOCS 6
#define ASKED (24 + 120000 + (1 << 20) + (2 << 20) + 70 + 50)

static char *run(const char *name, size_t *size)
{
	const struct export_format *f = export_format(name);
	struct model *m = model_new();
	struct output o = { .model = m, .alloc = "shim", .stack_bytes = 1 };
	struct export x = { .o = &o,
			    .replay = replay,
			    .replay_ctx = m,
			    .command = "a command" };
	char *text = NULL;

	assert_non_null(f);
	o.f = open_memstream(&text, size);
	assert_non_null(o.f);
	if (f->story) {
		assert_int_equal(f->story(&x), 0);
	} else {
		replay(m, NULL, NULL, NULL);
		assert_int_equal(f->state(&x), 0);
	}
	assert_int_equal(chunk_total(model_process(m, PID)->chunks).bytes,
			 LIVE);
	assert_int_equal(fclose(o.f), 0);
	model_free(m);
	return text;
}

/* --- Perfetto */

#define TRACKS 64

struct seen {
	const Perfetto__Protos__TrackDescriptor *tracks[TRACKS];
	int64_t last[TRACKS]; /* of counters */
	unsigned int calls, flows, kernel, vmas, open;
	uint64_t mapped;
};

static void look(struct seen *s, const Perfetto__Protos__TrackEvent *e)
{
	const char *category = e->n_categories ? e->categories[0] : "";
	bool begin = e->type ==
		     PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_SLICE_BEGIN;

	if (e->type == PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_COUNTER)
		s->last[e->track_uuid] = e->counter_value;
	s->open += begin;
	s->open -= e->type ==
		   PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_SLICE_END;
	s->vmas += begin && !strcmp(category, "vma");
	if (!strcmp(category, "malloc")) {
		s->calls++;
		s->flows += e->n_flow_ids;
	}
	if (strcmp(category, "kernel"))
		return;
	s->kernel++;
	for (size_t i = 0; i < e->n_debug_annotations; i++)
		if (!strcmp(e->debug_annotations[i]->name, "mapped"))
			s->mapped += e->debug_annotations[i]->uint_value;
}

static void know(struct seen *s, const Perfetto__Protos__TrackDescriptor *t)
{
	assert_in_range(t->uuid, 1, TRACKS - 1);
	assert_null(s->tracks[t->uuid]);
	s->tracks[t->uuid] = t;
}

/* The last values of the counters of that name that VMAs have, summed up. */
static int64_t of_vmas(const struct seen *s, const char *name)
{
	int64_t n = 0;

	for (int i = 1; i < TRACKS; i++) {
		const Perfetto__Protos__TrackDescriptor *t = s->tracks[i];

		if (t && t->counter && !strcmp(t->name, name) &&
		    s->tracks[t->parent_uuid]->name &&
		    !strncmp(s->tracks[t->parent_uuid]->name, "VMA ", 4))
			n += s->last[i];
	}
	return n;
}

static void test_perfetto(void **state)
{
	size_t size;
	uint8_t *bytes = (uint8_t *)run("perfetto", &size);
	Perfetto__Protos__Trace *t =
		perfetto__protos__trace__unpack(NULL, size, bytes);
	struct seen s = { 0 };

	(void)state;
	assert_non_null(t);
	for (size_t i = 0; i < t->n_packet; i++)
		if (t->packet[i]->track_event)
			look(&s, t->packet[i]->track_event);
		else if (t->packet[i]->track_descriptor)
			know(&s, t->packet[i]->track_descriptor);
	assert_int_equal(s.calls,
			 5); /* malloc, calloc, malloc, realloc, free */
	assert_int_equal(s.flows, 5);
	assert_int_equal(s.kernel, 6);
	assert_int_equal(s.open, 0);
	assert_int_equal(of_vmas(&s, "live"), LIVE);
	assert_int_equal(of_vmas(&s, "size"), 0x42000 + 0x101000);
	/* heap, chunk, moved, chunk again */
	assert_int_equal(s.vmas, 4);
	assert_int_equal(s.mapped,
			 0x21000 + 0x21000 + 0x101000 + 0x201000 + 0x101000);
	perfetto__protos__trace__free_unpacked(t, NULL);
	free(bytes);
}

/* --- pprof */

static void test_pprof(void **state)
{
	size_t size;
	unsigned char *zipped = (unsigned char *)run("pprof", &size);
	static unsigned char bytes[1 << 16];
	z_stream z = { .next_in = zipped,
		       .avail_in = (unsigned int)size,
		       .next_out = bytes,
		       .avail_out = sizeof(bytes) };
	Perftools__Profiles__Profile *p;
	int64_t sums[4] = { 0 };

	(void)state;
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	p = perftools__profiles__profile__unpack(NULL, z.total_out, bytes);
	inflateEnd(&z);
	assert_non_null(p);
	assert_int_equal(p->n_sample_type, 4);
	assert_string_equal(p->string_table[0], "");
	for (size_t i = 0; i < p->n_sample; i++)
		for (size_t v = 0; v < 4; v++)
			sums[v] += p->sample[i]->value[v];
	/* The child has its copy of what lived then. */
	assert_int_equal(sums[1], LIVE + LIVE + (2 << 20));
	assert_int_equal(sums[2], ALLOCS);
	assert_int_equal(sums[3], ASKED);
	perftools__profiles__profile__free_unpacked(p, NULL);
	free(zipped);
}

/* --- SQLite */

static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

static void test_sqlite(void **state)
{
	char path[] = "/tmp/vmaheap-export-XXXXXX";
	struct model *m = model_new();
	struct output o = { .model = m, .alloc = "shim" };
	struct export x = {
		.o = &o, .replay = replay, .replay_ctx = m, .path = path
	};
	int fd = mkstemp(path);
	sqlite3 *db;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(export_sqlite(&x), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(ask(db, "SELECT sum(size) FROM live WHERE mm = 1"),
			 LIVE);
	assert_int_equal(ask(db, "SELECT count(*) FROM chunks WHERE mm = 1"),
			 ALLOCS);
	assert_int_equal(ask(db, "SELECT sum(size) FROM chunks WHERE mm = 1"),
			 ASKED);
	assert_int_equal(ask(db, "SELECT count(*) FROM vma_events"), 6);
	assert_int_equal(
		ask(db, "SELECT count(allocator_call) FROM vma_events"), 5);
	assert_int_equal(
		ask(db, "SELECT mapped FROM causes WHERE function = 'realloc'"),
		0x201000);
	assert_int_equal(
		ask(db, "SELECT unmapped FROM causes WHERE function = 'free'"),
		0x201000);
	assert_int_equal(ask(db, "SELECT count(*) FROM spaces"), 2);
	sqlite3_close(db);
	unlink(path);
	model_free(m);
}

/* --- lines */

static unsigned int lines(const char *text, const char *begin)
{
	unsigned int n = 0;

	for (const char *l = text; *l; l = strchr(l, '\n') + 1)
		n += !strncmp(l, begin, strlen(begin));
	return n;
}

static void test_heaptrack(void **state)
{
	size_t size;
	char *text = run("heaptrack", &size);

	(void)state;
	assert_int_equal(lines(text, "v 10400 3"), 1);
	assert_int_equal(lines(text, "X a command"), 1);
	assert_int_equal(lines(text, "+ "), ALLOCS);
	assert_int_equal(lines(text, "- "), ALLOCS - 2);
	free(text);
}

static void test_csv(void **state)
{
	size_t size;
	char *text = run("csv", &size);

	(void)state;
	assert_int_equal(lines(text, "time_ns,pid,tid,mm,event"), 1);
	/* 7 allocations (one failed), realloc and 4 frees of three; 6 of VMAs */
	assert_int_equal(lines(text, ""), 1 + 7 + 1 + 3 + 6);
	assert_non_null(strstr(text, ",vma,\"mremap\",0x7f2a70000000,"));
	free(text);
}

static void test_openmetrics(void **state)
{
	size_t size;
	char *text = run("openmetrics", &size);

	(void)state;
	assert_non_null(
		strstr(text, "vmaheap_live_bytes{pid=\"12\",comm=\"odd"));
	assert_int_equal(lines(text, "# EOF"), 1);
	free(text);
}

static void test_formats(void **state)
{
	(void)state;
	assert_null(export_format("word"));
	for (size_t i = 0; export_format_at(i); i++) {
		const struct export_format *f = export_format_at(i);

		assert_ptr_equal(export_format(f->name), f);
		/* It is one of the three. */
		assert_int_equal(!!f->state + !!f->story + f->copy, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_perfetto),
		cmocka_unit_test(test_pprof),
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_heaptrack),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
