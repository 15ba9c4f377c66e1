// SPDX-License-Identifier: GPL-2.0
/*
 * What is written is read, by us and by babeltrace2; what could not be written
 * is counted; and no file, however damaged, does any harm.
 *
 * The twin of a trace is the list of what was put in: each stream's records or
 * decoded events, with the losses in between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/words.h"
#include "model/model.h"
#include "probe/words.h"
#include "limit.h"
#include "seed.h"
#include "trace/format.h"
#include "trace/store.h"

#define TGID 100
#define FIRST_TID 100

/* --- a directory for a trace */

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/vmaheap-trace.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static void empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0) && e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
}

static int teardown(void **state)
{
	(void)state;
	empty_dir(dir);
	return rmdir(dir);
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct trace_writer *create(const struct trace_env *env)
{
	static const struct trace_env none = { .alloc = "shim" };
	int fd = open_dir(dir);
	struct trace_writer *w = trace_create(fd, env ? env : &none);

	close(fd);
	return w;
}

static struct trace_reader *open_trace(void)
{
	int fd = open_dir(dir);
	char *why;
	struct trace_reader *r = trace_open(fd, &why);

	close(fd);
	if (!r)
		fail_msg("%s", why);
	return r;
}

/* --- the twin */

struct item {
	struct event ev; /* ALLOC */
	uint64_t lost; /* before this item */
	size_t at, bytes; /* KERNEL, NOTES: in `bytes` */
};

struct twin {
	enum trace_stream_kind kind;
	uint32_t tid;
	struct item *items;
	size_t nr, room;
	char *bytes;
	size_t nr_bytes;
	uint64_t lost; /* since the last item */
	struct words_state words;
};

#define TWINS 8
static struct twin twins[TWINS];
static size_t nr_twins;
static uint64_t now;

static void forget_twins(void)
{
	for (size_t i = 0; i < nr_twins; i++) {
		free(twins[i].items);
		free(twins[i].bytes);
	}
	memset(twins, 0, sizeof(twins));
	nr_twins = 0;
	now = 1000;
}

static struct twin *twin_of(enum trace_stream_kind kind, uint32_t tid)
{
	for (size_t i = 0; i < nr_twins; i++)
		if (twins[i].kind == kind && twins[i].tid == tid)
			return &twins[i];
	assert_true(nr_twins < TWINS);
	twins[nr_twins] = (struct twin){
		.kind = kind, .tid = tid, .words = { .tgid = TGID, .tid = tid }
	};
	return &twins[nr_twins++];
}

static struct item *add_item(struct twin *t)
{
	if (t->nr == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->items = realloc(t->items, t->room * sizeof(*t->items));
		assert_non_null(t->items);
	}
	t->items[t->nr] = (struct item){ .lost = t->lost };
	t->lost = 0;
	return &t->items[t->nr++];
}

static uint64_t all_events(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < nr_twins; i++)
		n += twins[i].nr;
	return n;
}

static uint64_t all_losses(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < nr_twins; i++) {
		n += twins[i].lost;
		for (size_t j = 0; j < twins[i].nr; j++)
			n += twins[i].items[j].lost;
	}
	return n;
}

/* --- putting in */

static void put_record(struct trace_writer *w, struct vmaheap_record *r)
{
	struct twin *t = twin_of(r->type < TRACE_NOTE_RESIDENT ? TRACE_KERNEL :
				 r->type < TRACE_TABLE_STACK   ? TRACE_NOTES :
								 TRACE_TABLES,
				 0);
	struct item *it = add_item(t);

	r->ts = now += 1 + seed_below(1000);
	it->at = t->nr_bytes;
	it->bytes = r->size;
	t->bytes = realloc(t->bytes, t->nr_bytes + r->size);
	assert_non_null(t->bytes);
	memcpy(t->bytes + t->nr_bytes, r, r->size);
	t->nr_bytes += r->size;
	if (t->kind == TRACE_KERNEL)
		assert_int_equal(trace_records(w, r, r->size), 0);
	else if (t->kind == TRACE_TABLES)
		assert_int_equal(trace_table(w, r), 0);
	else
		assert_int_equal(trace_note(w, r), 0);
}

union any_record {
	struct vmaheap_record rec;
	struct vmaheap_rec_mm mm;
	struct vmaheap_rec_range range;
	struct vmaheap_rec_file file;
	struct vmaheap_rec_mm_exit mm_exit;
	struct vmaheap_rec_task task;
	struct vmaheap_rec_task_exit task_exit;
	struct vmaheap_rec_madvise madvise;
	struct vmaheap_rec_lost lost;
	struct vmaheap_rec_failed failed;
	struct vmaheap_rec_fault fault;
	struct trace_resident resident;
	struct trace_verify verify;
	struct trace_stack stack;
	struct trace_build_id build_id;
	char bytes[8192];
};

static void begin_record(union any_record *r, unsigned int type, size_t size)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = sizeof(r->rec); i < size; i++)
		r->bytes[i] = (char)seed_next();
	r->rec.type = (uint16_t)type;
	r->rec.size = (uint32_t)size;
	r->rec.seq = seed_next();
	r->rec.mm = 1 + seed_below(3);
	r->rec.tgid = TGID;
	r->rec.tid = TGID + seed_below(5);
}

static void put_file(struct trace_writer *w, uint32_t len)
{
	union any_record r;

	begin_record(&r, VMAHEAP_REC_FILE,
		     sizeof(r.file) + ((len + 8) & ~(size_t)7));
	memset(r.file.path, 0, r.rec.size - sizeof(r.file));
	for (uint32_t i = 0; i < len; i++)
		r.file.path[i] = (char)('!' + seed_below(90));
	r.file.len = len;
	put_record(w, &r.rec);
}

static void put_range(struct trace_writer *w, uint32_t nr)
{
	union any_record r;

	begin_record(&r, VMAHEAP_REC_RANGE,
		     sizeof(r.range) + nr * sizeof(struct vmaheap_vma));
	r.range.nr_vmas = nr;
	put_record(w, &r.rec);
}

static void put_any_record(struct trace_writer *w)
{
	static const size_t fixed[] = {
		[VMAHEAP_REC_MM] = sizeof(struct vmaheap_rec_mm),
		[VMAHEAP_REC_MM_EXIT] = sizeof(struct vmaheap_rec_mm_exit),
		[VMAHEAP_REC_TASK] = sizeof(struct vmaheap_rec_task),
		[VMAHEAP_REC_TASK_EXIT] = sizeof(struct vmaheap_rec_task_exit),
		[VMAHEAP_REC_MADVISE] = sizeof(struct vmaheap_rec_madvise),
		[VMAHEAP_REC_LOST] = sizeof(struct vmaheap_rec_lost),
		[VMAHEAP_REC_FAILED] = sizeof(struct vmaheap_rec_failed),
		[VMAHEAP_REC_FAULT] = sizeof(struct vmaheap_rec_fault),
	};
	unsigned int type = 1 + seed_below(VMAHEAP_REC_FAULT);
	union any_record r;

	if (type == VMAHEAP_REC_RANGE) {
		put_range(w, seed_below(65));
	} else if (type == VMAHEAP_REC_FILE) {
		put_file(w, 1 + seed_below(100));
	} else {
		begin_record(&r, type, fixed[type]);
		if (type == VMAHEAP_REC_MM) /* text, for babeltrace2 */
			memcpy(r.mm.comm, "a program\0\0\0\0\0\0", 16);
		put_record(w, &r.rec);
	}
}

static void put_resident(struct trace_writer *w, uint32_t nr)
{
	size_t size = sizeof(struct trace_resident) +
		      nr * sizeof(struct trace_resident_vma);
	struct trace_resident *r = calloc(1, size);

	assert_non_null(r);
	r->rec.type = TRACE_NOTE_RESIDENT;
	r->rec.size = (uint32_t)size;
	r->rec.mm = 1;
	r->nr_vmas = nr;
	for (uint32_t i = 0; i < nr; i++)
		r->vmas[i].resident = i;
	put_record(w, &r->rec);
	free(r);
}

static void put_found(struct trace_writer *w, uint32_t nr)
{
	size_t size = sizeof(struct trace_found) +
		      nr * sizeof(struct trace_found_chunk);
	struct trace_found *r = calloc(1, size);

	assert_non_null(r);
	r->rec.type = TRACE_NOTE_FOUND;
	r->rec.size = (uint32_t)size;
	r->rec.mm = 1;
	r->nr_chunks = nr;
	for (uint32_t i = 0; i < nr; i++)
		r->chunks[i] = (struct trace_found_chunk){ 16 * i, i };
	put_record(w, &r->rec);
	free(r);
}

static void put_verify(struct trace_writer *w)
{
	struct trace_verify r = { .rec = { .type = TRACE_NOTE_VERIFY,
					   .size = sizeof(r) } };

	put_record(w, &r.rec);
}

static void put_stack(struct trace_writer *w, uint32_t nr)
{
	union any_record r;

	begin_record(&r, TRACE_TABLE_STACK, sizeof(r.stack) + nr * 8);
	r.stack.nr_frames = nr;
	put_record(w, &r.rec);
}

static void put_build_id(struct trace_writer *w, uint32_t len)
{
	size_t size = sizeof(struct trace_build_id) + len;
	union any_record r;

	begin_record(&r, TRACE_TABLE_BUILD_ID, (size + 7) & ~(size_t)7);
	memset(r.bytes + size, 0, r.rec.size - size);
	r.build_id.len = len;
	put_record(w, &r.rec);
}

/* One of a few, of more than there are registers, or one that comes once. */
static uint64_t any_caller(void)
{
	switch (seed_below(4)) {
	case 0:
		return 0x1000 + seed_below(8);
	case 1:
		return 0x2000 + seed_below(2 * PACKED_CALLERS);
	case 2:
		return seed_next() & WORD_ADDR_MAX;
	default:
		return seed_below(2) ? 0 : WORD_VALUE_MAX;
	}
}

/* A random event that a ring may hold; returns its words. */
static size_t any_event(uint64_t *w, const struct words_state *st)
{
	unsigned int id = WORD_MALLOC + seed_below(WORD_LEAVE);
	unsigned int hdr = seed_below(4) ? 0 : WORD_HDR_CALLER + seed_below(5);
	uint64_t caller = any_caller();
	size_t n = 0;

	if (hdr > WORD_HDR_CALLER)
		now += 1 + seed_below(1000);
	switch (hdr) {
	case WORD_HDR_CALLER:
		w[n++] = word_value(hdr, caller);
		break;
	case WORD_HDR_TS:
		w[n++] = word_value(hdr, now);
		break;
	case WORD_HDR_TS_CALLER:
		w[n++] = word_value(hdr, now);
		w[n++] = word_value(0, caller);
		break;
	case WORD_HDR_WINDOW:
		w[n++] = word_value(hdr, st->ts);
		w[n++] = word_value(0, now);
		break;
	case WORD_HDR_WINDOW_CALLER:
		w[n++] = word_value(hdr, st->ts);
		w[n++] = word_value(0, now);
		w[n++] = word_value(0, caller);
		break;
	}
	if (id == WORD_ALLOC) {
		w[n++] = word_alloc(OP_MEMALIGN, seed_below(64),
				    seed_next() & WORD_ADDR_MAX);
		w[n++] = seed_next();
	} else {
		w[n++] = word_body(
			id,
			id == WORD_FREE || id == WORD_REALLOC ||
					id == WORD_LEAVE ?
				0 :
				seed_below(WORD_SIZE_MAX + 1),
			id == WORD_LEAVE ? 0 : seed_next() & WORD_ADDR_MAX);
	}
	return n;
}

static void put_words(struct trace_writer *w, uint32_t tid, size_t events)
{
	struct twin *t = twin_of(TRACE_ALLOC, tid);
	uint64_t *words = calloc(events, WORD_EVENT_WORDS * sizeof(*words));
	size_t nr = 0;

	assert_non_null(words);
	for (size_t i = 0; i < events; i++) {
		size_t n = any_event(words + nr, &t->words);
		struct item *it = add_item(t);

		assert_int_equal(
			words_decode(&t->words, words + nr, n, &it->ev), n);
		nr += n;
	}
	assert_int_equal(trace_words(w, TGID, tid, words, nr), 0);
	free(words);
}

static void put_lost(struct trace_writer *w, uint32_t tid, uint64_t nr)
{
	struct twin *t = twin_of(TRACE_ALLOC, tid);

	if (t->nr && !t->words.ts)
		return; /* without a stamp its events are older than the loss */
	t->lost += nr;
	assert_int_equal(trace_lost(w, TGID, tid, nr, 0), 0);
}

static void put_anything(struct trace_writer *w, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		uint32_t tid = FIRST_TID + seed_below(3);

		switch (seed_below(18)) {
		case 16:
			put_stack(w, 1 + seed_below(STACK_FRAMES_MAX));
			break;
		case 17:
			put_build_id(w, seed_below(65));
			break;
		case 0 ... 5:
			put_any_record(w);
			break;
		case 6:
			put_resident(w, seed_below(200));
			put_found(w, seed_below(200));
			break;
		case 7:
			put_verify(w);
			break;
		case 8:
			if (!seed_below(4))
				put_lost(w, tid, 1 + seed_below(9));
			break;
		case 9:
			if (seed_below(8))
				break;
			/* None is silent, or its stream would be another one's. */
			for (tid = FIRST_TID; tid < FIRST_TID + 3; tid++)
				put_words(w, tid, 1);
			assert_int_equal(trace_flush(w), 0);
			break;
		default:
			put_words(w, tid, 1 + seed_below(400));
			break;
		}
	}
}

/* --- reading back */

static void same_event(const struct event *a, const struct event *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->tgid, b->tgid);
	assert_int_equal(a->tid, b->tid);
	assert_int_equal(a->ts, b->ts);
	assert_int_equal(a->call.op, b->call.op);
	assert_int_equal(a->call.phase, b->call.phase);
	assert_int_equal(a->call.addr, b->call.addr);
	assert_int_equal(a->call.size, b->call.size);
	assert_int_equal(a->call.align, b->call.align);
	assert_int_equal(a->call.caller, b->call.caller);
	assert_int_equal(a->call.begin, b->call.begin);
}

/* A packet is decoded from what its head says alone. */
static size_t compare_words(const struct twin *t, size_t i,
			    const struct trace_block *b, uint64_t *lost)
{
	struct words_state st = { .tgid = b->tgid,
				  .tid = b->tid,
				  .ts = b->ts,
				  .alloc_caller = b->alloc_caller,
				  .free_caller = b->free_caller };
	const uint64_t *w = b->data;
	size_t nr = b->bytes / 8;

	while (nr) {
		struct event ev;
		int n = words_decode(&st, w, nr, &ev);

		assert_true(n > 0);
		assert_true(i < t->nr);
		assert_int_equal(*lost, t->items[i].lost);
		*lost = 0;
		same_event(&ev, &t->items[i++].ev);
		w += n;
		nr -= (size_t)n;
	}
	return i;
}

static size_t compare_records(const struct twin *t, size_t i,
			      const struct trace_block *b)
{
	const char *p = b->data;
	size_t left = b->bytes;

	while (left) {
		assert_true(i < t->nr);
		assert_true(t->items[i].bytes <= left);
		assert_memory_equal(p, t->bytes + t->items[i].at,
				    t->items[i].bytes);
		p += t->items[i].bytes;
		left -= t->items[i++].bytes;
	}
	return i;
}

/* The items of stream s that are there, all compared; *lost: after the last. */
static size_t compare_stream(struct trace_reader *r, size_t s, uint64_t *lost,
			     bool cut)
{
	const struct twin *t = NULL;
	struct trace_block b;
	size_t i = 0;
	int ret;

	*lost = 0;
	while ((ret = trace_next(r, s, &b)) > 0) {
		t = twin_of(b.kind, b.tid);
		*lost += b.lost;
		if (b.kind == TRACE_ALLOC)
			i = compare_words(t, i, &b, lost);
		else
			i = compare_records(t, i, &b);
	}
	assert_true(ret == 0 || (cut && ret == -EBADMSG));
	if (t && !cut) {
		assert_int_equal(i, t->nr);
		assert_int_equal(*lost, t->lost);
	}
	return i;
}

static void compare(void)
{
	struct trace_reader *r = open_trace();
	uint64_t events = 0, lost;

	assert_int_equal(trace_streams(r), nr_twins);
	for (size_t s = 0; s < trace_streams(r); s++)
		events += compare_stream(r, s, &lost, false);
	assert_int_equal(events, all_events());
	assert_int_equal(trace_damage(r), 0);
	trace_reader_free(r);
}

/* --- tests */

static void test_round_trip(void **state)
{
	struct trace_writer *w;
	struct trace_written t;

	(void)state;
	forget_twins();
	w = create(NULL);
	assert_non_null(w);
	put_anything(w, 1500);
	t = trace_written(w);
	assert_int_equal(t.events, all_events());
	assert_int_equal(t.discarded, 0);
	assert_int_equal(t.error, 0);
	assert_int_equal(trace_close(w), 0);
	compare();
	assert_null(create(NULL));
	assert_int_equal(errno, EEXIST);
}

static void test_nothing(void **state)
{
	struct trace_reader *r;
	struct trace_writer *w;

	(void)state;
	w = create(NULL);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	assert_int_equal(trace_streams(r), 0);
	trace_reader_free(r);
}

static void test_env(void **state)
{
	struct trace_env env = { "6.1.0-13-cloud-amd64",
				 "sh -c 'echo \"\\$x\"\n\t' \x01 \xc3\xa9 \xff",
				 "uprobe", 4711, 1700000000123456789 };
	struct trace_writer *w;
	struct trace_reader *r;

	(void)state;
	w = create(&env);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	assert_string_equal(trace_env(r)->release, env.release);
	assert_string_equal(trace_env(r)->command, env.command);
	assert_string_equal(trace_env(r)->alloc, env.alloc);
	assert_int_equal(trace_env(r)->stack_bytes, env.stack_bytes);
	assert_true(trace_env(r)->clock_offset_ns == env.clock_offset_ns);
	trace_reader_free(r);
}

static void test_env_limits(void **state)
{
	struct trace_env env = { .clock_offset_ns = -1 };
	struct trace_writer *w;
	struct trace_reader *r;

	(void)state;
	memset(env.command, '"', sizeof(env.command) - 1);
	w = create(&env);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	assert_string_equal(trace_env(r)->command, env.command);
	assert_true(trace_env(r)->clock_offset_ns == -1);
	trace_reader_free(r);
}

static void test_long_record(void **state)
{
	struct trace_writer *w;

	(void)state;
	forget_twins();
	w = create(NULL);
	put_resident(w, 3);
	put_resident(w, 65530);
	put_resident(w, 0);
	put_found(w, 4096);
	put_verify(w);
	assert_int_equal(trace_close(w), 0);
	compare();
}

/* Reads the only record of the kernel's stream. */
static size_t read_one(union any_record *r, uint64_t *lost)
{
	struct trace_reader *rd = open_trace();
	struct trace_block b;
	size_t bytes = 0;

	*lost = 0;
	while (trace_next(rd, 0, &b) > 0) {
		*lost += b.lost;
		assert_true(b.bytes <= sizeof(*r));
		if (b.bytes)
			memcpy(r, b.data, b.bytes);
		bytes += b.bytes;
	}
	assert_int_equal(trace_damage(rd), 0);
	trace_reader_free(rd);
	return bytes;
}

static void fitted(union any_record *r, size_t size, size_t expect)
{
	struct trace_writer *w = create(NULL);
	union any_record back;
	uint64_t lost;

	r->rec.ts = 5;
	r->rec.size = (uint32_t)size;
	assert_int_equal(trace_records(w, r, size), 0);
	assert_int_equal(trace_close(w), 0);
	assert_int_equal(read_one(&back, &lost), expect);
	assert_int_equal(lost, expect == 0);
	if (expect)
		assert_int_equal(back.rec.size, expect);
	*r = back;
	empty_dir(dir);
}

static void test_other_modules(void **state)
{
	union any_record r;

	(void)state;
	begin_record(&r, VMAHEAP_REC_TASK, 200);
	r.task.owner = 7;
	fitted(&r, 200, sizeof(r.task));
	assert_int_equal(r.task.owner, 7);

	begin_record(&r, VMAHEAP_REC_MM_EXIT, 48); /* of an older one */
	r.mm_exit.rss_file = 9;
	fitted(&r, 48, sizeof(r.mm_exit));
	assert_int_equal(r.mm_exit.rss_file, 9);
	assert_int_equal(r.mm_exit.hiwater_rss, 0);

	begin_record(&r, VMAHEAP_REC_RANGE,
		     sizeof(r.range) + 3 * sizeof(struct vmaheap_vma));
	r.range.nr_vmas = 4; /* says more than it has */
	fitted(&r, r.rec.size,
	       sizeof(r.range) + 3 * sizeof(struct vmaheap_vma));
	assert_int_equal(r.range.nr_vmas, 3);

	begin_record(&r, VMAHEAP_REC_FILE, sizeof(r.file) + 32);
	strcpy(r.file.path, "/bin/sh"); /* rubbish behind its NUL */
	r.file.len = 1000;
	fitted(&r, r.rec.size, sizeof(r.file) + 8);
	assert_string_equal(r.file.path, "/bin/sh");
	assert_int_equal(r.file.len, 7);

	begin_record(&r, VMAHEAP_REC_FILE, sizeof(r.file) + 8);
	memset(r.file.path, 'x', 8); /* no NUL at all */
	fitted(&r, r.rec.size, sizeof(r.file) + 16);
	assert_string_equal(r.file.path, "xxxxxxxx");

	begin_record(&r, 63, 64); /* a type from the future */
	fitted(&r, 64, 0);
}

static void test_nonsense_is_refused(void **state)
{
	uint64_t bad[] = { word_body(WORD_MALLOC, 1, 16), word_body(9, 1, 16) };
	uint64_t half[] = { word_value(WORD_HDR_TS, 5) };
	struct vmaheap_record r = { .type = VMAHEAP_REC_MM, .size = 20 };
	struct trace_writer *w;

	(void)state;
	w = create(NULL);
	assert_int_equal(trace_words(w, 1, 1, bad, 2), -EINVAL);
	assert_int_equal(trace_words(w, 1, 1, half, 1), -EINVAL);
	assert_int_equal(trace_records(w, &r, sizeof(r)), -EINVAL);
	r.size = 64;
	assert_int_equal(trace_records(w, &r, sizeof(r)), -EINVAL);
	assert_int_equal(trace_written(w).events, 1);
	assert_int_equal(trace_close(w), 0);
}

/* A call that has another caller than the one before costs a byte more. */
static void test_known_callers(void **state)
{
	enum { CALLERS = 200, EVENTS = 100000 };
	uint64_t *words = calloc(EVENTS, 2 * sizeof(*words));
	struct trace_writer *w = create(NULL);
	struct trace_reader *r;
	uint64_t bytes;

	(void)state;
	assert_non_null(words);
	for (size_t i = 0; i < EVENTS; i++) {
		words[2 * i] = word_value(WORD_HDR_CALLER,
					  0x400000 + 16 * (i % CALLERS));
		words[2 * i + 1] = word_body(WORD_MALLOC, 24, 0x1000 + 32 * i);
	}
	assert_int_equal(trace_words(w, 1, 1, words, (size_t)2 * EVENTS), 0);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	bytes = trace_bytes(r);
	trace_reader_free(r);
	free(words);
	assert_in_range(bytes, 9 * EVENTS, 10 * EVENTS);
}

static bool unpacks(const void *bytes, size_t nr)
{
	uint64_t words[32];
	char *exact = malloc(nr); /* so that a byte too many is noticed */
	size_t n;
	bool ok;

	assert_non_null(exact);
	assert_true(UNPACKED_WORDS(nr) <= 32);
	memcpy(exact, bytes, nr);
	ok = unpack_events(exact, nr, words, &n);
	free(exact);
	return ok;
}

/* A body that more follows, that, and a stamp in front of it. */
static bool unpacks_more(uint64_t stamp, uint8_t more, uint64_t value,
			 size_t bytes)
{
	struct {
		uint64_t stamp, body;
		uint8_t more;
		uint64_t value;
	} __attribute__((packed)) event = {
		.stamp = stamp ? word_value(PACKED_STAMP, stamp) :
				 word_body(WORD_FREE, 0, 32),
		.body = word_body(WORD_MALLOC, 8, 16) | PACKED_MORE,
		.more = more,
		.value = value,
	};

	return unpacks(&event, 17 + bytes);
}

static void test_packed_nonsense(void **state)
{
	uint64_t body = word_body(WORD_MALLOC, 8, 16);
	uint64_t alloc = word_alloc(OP_MEMALIGN, 4, 16);
	uint64_t stamp = word_value(PACKED_STAMP, 5), none = 0;

	(void)state;
	assert_true(unpacks(&body, 8));
	assert_false(unpacks(&body, 7));
	assert_false(unpacks(&alloc, 8));
	assert_false(unpacks(&stamp, 8));
	assert_false(unpacks(&none, 8));
	assert_false(unpacks_more(0, 0, 0, 0)); /* nothing is in the register */
	assert_true(unpacks_more(0, 240, 4, 8));
	assert_false(unpacks_more(0, 240, 4, 7));
	assert_false(unpacks_more(0, 240, ~0ull, 8));
	assert_true(unpacks_more(7, 241, 4, 8));
	assert_false(unpacks_more(0, 241, 4, 8)); /* a window, and no end */
	assert_false(unpacks_more(7, 242, 4, 8));
	assert_false(unpacks_more(7, 243, 4, 8));
}

/* A target may write any stamp into its ring. */
static void test_stamps_never_run_back(void **state)
{
	uint64_t words[] = {
		word_value(WORD_HDR_TS, 500),	word_body(WORD_MALLOC, 1, 16),
		word_value(WORD_HDR_TS, 3),	word_body(WORD_FREE, 0, 16),
		word_value(WORD_HDR_WINDOW, 2), word_value(0, 4),
		word_body(WORD_MALLOC, 1, 16),	word_value(WORD_HDR_TS, 0),
		word_body(WORD_MALLOC, 1, 48)
	};
	struct words_state st = { .tgid = 0 };
	struct trace_writer *w;
	struct trace_reader *r;
	struct trace_block b;
	const uint64_t *p;
	struct event ev;

	(void)state;
	w = create(NULL);
	assert_int_equal(trace_words(w, 1, 1, words, 9), 0);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	assert_int_equal(trace_next(r, 0, &b), 1);
	assert_int_equal(b.bytes, sizeof(words));
	assert_int_equal(b.ts, 500);
	for (p = b.data; p < (const uint64_t *)b.data + 9;) {
		int n = words_decode(&st, p, 9, &ev);

		assert_true(n > 0);
		assert_int_equal(ev.ts, 500);
		p += n;
	}
	trace_reader_free(r);
}

static unsigned int open_files(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_many_threads(void **state)
{
	enum { THREADS = 700 };
	uint64_t word = word_body(WORD_MALLOC, 8, 4096);
	unsigned int before = open_files();
	struct trace_writer *w;
	struct trace_reader *r;
	struct trace_block b;

	(void)state;
	w = create(NULL);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < THREADS; i++)
			assert_int_equal(trace_words(w, 1, i, &word, 1), 0);
		assert_int_equal(trace_flush(w), 0);
		assert_true(open_files() <= before + 260);
	}
	assert_int_equal(trace_close(w), 0);
	assert_int_equal(open_files(), before);
	r = open_trace();
	assert_int_equal(trace_streams(r), THREADS);
	for (uint32_t i = 0; i < THREADS; i++) {
		for (int round = 0; round < 3; round++) {
			assert_int_equal(trace_next(r, i, &b), 1);
			assert_int_equal(b.tid, i);
			assert_int_equal(b.bytes, 8);
		}
		assert_int_equal(trace_next(r, i, &b), 0);
	}
	trace_reader_free(r);
}

/*
 * Threads that live one after the other, some told of as gone and some just silent:
 * few files, and each thread's events are there, once, with its number and caller.
 */
static void test_threads_come_and_go(void **state)
{
	enum { THREADS = 3000, AT_ONCE = 20 };
	uint8_t seen[THREADS] = { 0 };
	uint64_t words[3], lost = 0;
	struct trace_writer *w;
	struct trace_reader *r;
	struct trace_block b;

	(void)state;
	w = create(NULL);
	for (uint32_t i = 0; i < THREADS; i++) {
		words[0] = word_value(WORD_HDR_TS_CALLER, 1000 + i);
		words[1] = word_value(0, 0x1000 + i);
		words[2] = word_body(WORD_MALLOC, 8, 4096 + 16 * (uint64_t)i);
		assert_int_equal(trace_words(w, 1, i, words, 3), 0);
		assert_int_equal(trace_words(w, 1, i, words + 2, 1), 0);
		if (i % 100 == 50)
			assert_int_equal(trace_lost(w, 1, i, 3, 0), 0);
		if (i >= AT_ONCE && i % 2)
			assert_int_equal(trace_gone(w, 1, i - AT_ONCE), 0);
		if (!(i % AT_ONCE))
			assert_int_equal(trace_flush(w), 0);
	}
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	assert_true(trace_streams(r) <= 3 * AT_ONCE);
	for (size_t i = 0; i < trace_streams(r); i++) {
		while (trace_next(r, i, &b) == 1) {
			const uint64_t *at = b.data;

			lost += b.lost;
			assert_true(!b.lost || b.tid % 100 == 50);
			if (!b.bytes)
				continue;
			assert_int_equal(b.bytes, 32);
			assert_int_equal(word_get_value(at[1]), 0x1000 + b.tid);
			assert_int_equal(word_get_addr(at[3]),
					 4096 + 16 * (uint64_t)b.tid);
			assert_true(b.tid < THREADS && !seen[b.tid]++);
		}
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(lost, 3 * (THREADS / 100));
	assert_int_equal(trace_damage(r), 0);
	trace_reader_free(r);
}

/* No event of the process says when its losses were: each is told at its time. */
static void test_losses_of_a_process(void **state)
{
	static const uint64_t at[] = { 5000, 9000, 9000, 12000 };
	struct trace_writer *w;
	struct trace_reader *r;
	struct trace_block b;
	unsigned int n = 0;

	(void)state;
	w = create(NULL);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(trace_lost(w, 7, 0, i + 1, at[i]), 0);
		if (i == 2)
			assert_int_equal(trace_flush(w), 0);
	}
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	for (size_t i = 0; i < trace_streams(r); i++) {
		while (trace_next(r, i, &b) == 1) {
			if (!b.lost)
				continue;
			assert_int_equal(b.tgid, 7);
			assert_int_equal(b.tid, 0);
			assert_int_equal(b.lost, n + 1);
			assert_int_equal(b.ts, at[n++]);
		}
	}
	assert_int_equal(n, 4);
	assert_int_equal(trace_damage(r), 0);
	trace_reader_free(r);
}

/* Puts words in without believing that they arrive. */
static void put_plain(struct trace_writer *w, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		uint64_t word = word_body(WORD_MALLOC, 1, i * 16);

		trace_words(w, TGID, TGID, &word, 1);
	}
}

/*
 * The file may not grow beyond the limit for a while, as on a full disk: the
 * first part and the last are there, and the middle is counted.
 */
static void test_full_disk(void **state)
{
	uint64_t events = 0, lost = 0, next = 0;
	struct trace_writer *w;
	struct trace_written t;
	struct trace_reader *r;
	struct trace_block b;

	(void)state;
	w = create(NULL);
	limit_files(100 * 1024);
	put_plain(w, 0, 50000);
	trace_flush(w); /* what is left may well be short enough */
	limit_files(RLIM_INFINITY);
	t = trace_written(w);
	assert_int_equal(t.error, EFBIG);
	assert_int_equal(t.events + t.discarded, 50000);
	assert_true(t.discarded > 30000 && t.discarded < 50000);
	put_plain(w, 50000, 60000);
	assert_int_equal(trace_close(w), 0);

	r = open_trace();
	while (trace_next(r, 0, &b) > 0) {
		lost += b.lost;
		next += b.lost;
		for (size_t i = 0; i < b.bytes / 8; i++)
			assert_int_equal(word_get_addr(((uint64_t *)b.data)[i]),
					 16 * next++);
		events += b.bytes / 8;
	}
	assert_int_equal(lost, t.discarded);
	assert_int_equal(events, 60000 - lost);
	assert_int_equal(next, 60000);
	assert_int_equal(trace_damage(r), 0);
	trace_reader_free(r);
}

/* No file can be made at all, then it can. */
static void test_full_from_the_start(void **state)
{
	uint64_t lost = 0, events = 0;
	struct trace_writer *w;
	struct trace_reader *r;
	struct trace_block b;

	(void)state;
	w = create(NULL);
	limit_files(0);
	put_plain(w, 0, 3);
	assert_true(trace_flush(w) < 0);
	limit_files(RLIM_INFINITY);
	put_plain(w, 3, 5);
	assert_int_equal(trace_close(w), 0);
	r = open_trace();
	while (trace_next(r, 0, &b) > 0) {
		lost += b.lost;
		events += b.bytes / 8;
	}
	assert_int_equal(lost, 3);
	assert_int_equal(events, 2);
	trace_reader_free(r);
}

static bool is_kept(const char *name, const char *p, size_t len)
{
	char path[512];
	struct stat st;
	FILE *f;
	bool same;
	char *q;

	snprintf(path, sizeof(path), "%s/.symbols.%s", dir, name);
	if (stat(path, &st) || (size_t)st.st_size != len)
		return false;
	f = fopen(path, "r");
	q = malloc(len);
	same = fread(q, 1, len, f) == len && !memcmp(p, q, len);
	fclose(f);
	free(q);
	return same;
}

/* What is kept of other files: once each, up to a limit, and not in parts. */
static void test_symbols(void **state)
{
	struct trace_writer *w = create(NULL);
	char *p = calloc(1, STORE_KEPT_MAX);
	uint64_t bytes;

	(void)state;
	memset(p, 'x', STORE_KEPT_MAX);
	assert_int_equal(trace_symbols(w, "0123", p, 1000), 0);
	assert_true(is_kept("0123", p, 1000));
	bytes = trace_written(w).bytes;
	assert_int_equal(trace_symbols(w, "0123", p, 1000), 0);
	assert_int_equal(trace_written(w).bytes, bytes);
	assert_int_equal(trace_symbols(w, "45", p, STORE_KEPT_MAX - 999),
			 -E2BIG);
	assert_int_equal(trace_written(w).error, 0);
	limit_files(100);
	assert_int_equal(trace_symbols(w, "67", p, 1000), -EFBIG);
	limit_files(RLIM_INFINITY);
	assert_int_equal(trace_written(w).error, EFBIG);
	assert_false(is_kept("67", p, 1000));
	assert_int_equal(trace_symbols(w, "67", p, 500), 0);
	assert_true(is_kept("67", p, 500));
	assert_int_equal(trace_close(w), 0);
	trace_reader_free(open_trace());
	free(p);
}

static void test_symbols_in_memory(void **state)
{
	static const struct trace_limits limits = { .bytes = 400000 };
	static const struct trace_env env = { .alloc = "shim" };
	struct trace_writer *w = trace_create_row(-1, &env, &limits);
	char *p = calloc(1, 100000);
	int fd = open_dir(dir);

	(void)state;
	assert_int_equal(trace_symbols(w, "01", p, 60000), 0);
	assert_int_equal(trace_symbols(w, "01", p, 10000), 0);
	assert_int_equal(trace_symbols(w, "02", p, 40001), -E2BIG);
	assert_int_equal(trace_symbols(w, "03", p, 40000), 0);
	assert_int_equal(trace_written(w).bytes, 100000);
	assert_int_equal(trace_dump(w, fd), 0);
	assert_true(is_kept("01", p, 60000));
	assert_false(is_kept("02", p, 40001));
	assert_true(is_kept("03", p, 40000));
	close(fd);
	trace_close(w);
	trace_reader_free(open_trace());
	free(p);
}

/* --- damage */

static char *slurp(const char *name, size_t *size)
{
	char path[512];
	struct stat st;
	char *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	p = malloc(*size + 1);
	assert_int_equal(read(fd, p, *size), *size);
	close(fd);
	return p;
}

static void spill(const char *name, const char *p, size_t size)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, size), size);
	close(fd);
}

/* Every stream to its end; whatever is delivered is decoded. Blocks delivered. */
static size_t drain(struct trace_reader *r)
{
	struct trace_block b;
	size_t blocks = 0;
	uint64_t sum = 0;

	for (size_t s = 0; s < trace_streams(r); s++)
		while (trace_next(r, s, &b) > 0) {
			blocks++;
			for (size_t i = 0; i < b.bytes; i++)
				sum += ((const unsigned char *)b.data)[i];
		}
	assert_true(sum != 1); /* it was read */
	return blocks;
}

static void small_trace(void)
{
	struct trace_writer *w;

	forget_twins();
	w = create(NULL);
	for (int i = 0; i < 4; i++) {
		put_file(w, 3 + (uint32_t)i);
		put_range(w, 2);
		put_verify(w);
		put_words(w, FIRST_TID, 6);
		put_lost(w, FIRST_TID, 1);
		assert_int_equal(trace_flush(w), 0);
	}
	assert_int_equal(trace_close(w), 0);
}

/* Where the packets of a file end, from their heads. */
static bool is_border(const char *file, size_t size, size_t at)
{
	size_t off = 0;
	uint64_t bits;

	while (off < at && off < size) {
		memcpy(&bits, file + off + 48, sizeof(bits));
		off += bits / 8;
	}
	return off == at;
}

/* What is there is what was put in, in order, from the start. */
static size_t read_truncated(bool border)
{
	struct trace_reader *r = open_trace();
	size_t events = 0;
	uint64_t lost;

	for (size_t s = 0; s < trace_streams(r); s++)
		events += compare_stream(r, s, &lost, true);
	assert_int_equal(trace_damage(r) == 0, border);
	trace_reader_free(r);
	return events;
}

static void truncate_everywhere(const char *name)
{
	size_t size, events, before = 0;
	char *file = slurp(name, &size);

	for (size_t at = 0; at <= size; at++) {
		spill(name, file, at);
		events = read_truncated(is_border(file, size, at));
		assert_true(events >= before);
		before = events;
	}
	assert_int_equal(before, all_events());
	free(file);
}

static void test_truncated(void **state)
{
	(void)state;
	small_trace();
	truncate_everywhere("kernel");
	truncate_everywhere("notes");
	truncate_everywhere("alloc-0");
	compare();
}

static void test_truncated_metadata(void **state)
{
	size_t size;
	char *file;

	(void)state;
	small_trace();
	file = slurp("metadata", &size);
	/* Of its text we read the first part only; the rest is for others. */
	for (size_t at = 0; at <= size; at += at < 1000 ? 1 : 41) {
		int fd = open_dir(dir);
		struct trace_reader *r;
		char *why;

		spill("metadata", file, at);
		r = trace_open(fd, &why);
		assert_true(r || why);
		if (r)
			drain(r);
		trace_reader_free(r);
		free(why);
		close(fd);
	}
	free(file);
}

static void test_corrupted(void **state)
{
	static const char *const names[] = { "kernel", "notes", "alloc-0",
					     "metadata" };
	size_t size;

	(void)state;
	small_trace();
	for (int round = 0; round < 1500; round++) {
		const char *name = names[seed_below(4)];
		char *file = slurp(name, &size), *copy = malloc(size);
		struct trace_reader *r;
		char *why = NULL;
		int fd = open_dir(dir);

		memcpy(copy, file, size);
		for (uint32_t n = 1 + seed_below(4); n; n--)
			copy[seed_below((uint32_t)size)] ^=
				(char)(1 << seed_below(8));
		spill(name, copy, size);
		r = trace_open(fd, &why);
		if (r)
			drain(r);
		trace_reader_free(r);
		free(why);
		spill(name, file, size);
		free(file);
		free(copy);
		close(fd);
	}
	compare();
}

/* --- what is no trace */

static void refused(int fd, const char *expect)
{
	char *why;
	struct trace_reader *r = trace_open(fd, &why);

	assert_null(r);
	assert_non_null(why);
	if (!strstr(why, expect))
		fail_msg("'%s' does not say '%s'", why, expect);
	free(why);
}

static void spill_text(const char *name, const char *text)
{
	spill(name, text, strlen(text));
}

static void test_no_trace(void **state)
{
	char path[128];
	int fd = open_dir(dir), file;

	(void)state;
	refused(fd, "no file 'metadata'");
	refused(-1, "cannot open");
	spill_text("metadata", "");
	refused(fd, "not CTF");
	file = openat(fd, "metadata", O_RDONLY);
	refused(file, "not a directory");
	close(file);
	spill_text("metadata",
		   "/* CTF 1.8 */\nenv {\n\ttracer_name = \"lttng\";\n};\n");
	refused(fd, "a trace of 'lttng'");
	spill_text("metadata",
		   "/* CTF 1.8 */\nenv {\n\ttracer_name = \"vmaheap\";\n"
		   "\ttracer_major = 9;\n\ttracer_minor = 0;\n};\n");
	refused(fd, "format 9.0");
	snprintf(path, sizeof(path), "%s/metadata", dir);
	chmod(path, 0);
	if (geteuid() == 0) { /* root may read anything */
		assert_int_equal(seteuid(65534), 0);
		refused(fd, "");
		assert_int_equal(seteuid(0), 0);
	} else {
		refused(fd, "Permission denied");
	}
	close(fd);
}

/* A stream that is no file, or may not be read, harms only itself. */
static void test_odd_files(void **state)
{
	struct trace_reader *r;
	struct trace_block b;
	char path[128];

	(void)state;
	small_trace();
	snprintf(path, sizeof(path), "%s/alloc-11", dir);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/alloc-12", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	spill_text("alloc-013", "not one of ours by its name");
	spill_text("alloc-14", "");
	r = open_trace();
	assert_int_equal(trace_streams(r), 6);
	assert_int_equal(trace_next(r, 3, &b), -EBADMSG);
	assert_int_equal(trace_next(r, 3, &b), -EBADMSG);
	assert_int_equal(trace_next(r, 4, &b), -EBADMSG);
	assert_int_equal(trace_next(r, 5, &b), 0);
	assert_int_equal(trace_next(r, 2, &b), 1);
	assert_true(trace_damage(r) > 0);
	trace_reader_free(r);
}

/* --- babeltrace2 */

struct heard {
	uint64_t events, lost;
};

/* Anything that it says besides losses is a complaint. */
static uint64_t heard_losses(const char *path)
{
	uint64_t n, sum = 0;
	size_t room = 0;
	char *text = NULL;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (getline(&text, &room, f) > 0) {
		if (sscanf(text, "WARNING: Tracer discarded %" SCNu64, &n) == 1)
			sum += n;
		else if (text[0] != '\n')
			fail_msg("babeltrace2: %s", text);
	}
	free(text);
	fclose(f);
	return sum;
}

/* Its output, event by event. */
static struct heard ask_babeltrace(void (*line)(const char *text, size_t i))
{
	char command[256], said[128], *text = NULL;
	struct heard h = { 0 };
	size_t room = 0;
	FILE *f;

	snprintf(said, sizeof(said), "%s.stderr", dir);
	snprintf(command, sizeof(command), "babeltrace2 --clock-cycles %s 2>%s",
		 dir, said);
	f = popen(command, "r");
	assert_non_null(f);
	while (getline(&text, &room, f) > 0) {
		if (line)
			line(text, h.events);
		h.events++;
	}
	free(text);
	assert_int_equal(pclose(f), 0);
	h.lost = heard_losses(said);
	unlink(said);
	return h;
}

static void test_babeltrace_counts(void **state)
{
	struct trace_writer *w;
	struct heard h;

	(void)state;
	forget_twins();
	w = create(NULL);
	put_lost(w, FIRST_TID, 3); /* before any event */
	put_anything(w, 300);
	put_lost(w, FIRST_TID + 1, 4); /* after the last one */
	assert_int_equal(trace_close(w), 0);
	compare();
	h = ask_babeltrace(NULL);
	assert_int_equal(h.events, all_events());
	assert_int_equal(h.lost, all_losses());
}

/* --- CTF 2 */

/* What babeltrace2 of a version that knows CTF 2 says of both. */
static void same_in_ctf2(const char *other, const char *options)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "for dir in %s %s; do tests/babeltrace2 %s $dir 2>&1 | "
		 "sed \"s,$dir,,; /Precision (cycles)/d\" >$dir.said || exit; "
		 "test $(wc -l <$dir.said) -gt 300 || exit; done; "
		 "diff %s.said %s.said && rm %s.said %s.said",
		 dir, other, options, dir, other, dir, other);
	assert_int_equal(system(command), 0);
}

static double all_shown;

static void shown(double done)
{
	assert_true(done > all_shown && done <= 1);
	all_shown = done;
}

/* Each event of every kind with its fields, and each class of them. */
static void test_ctf2(void **state)
{
	char other[96], command[128], *why = NULL;
	uint64_t damage = 1;
	struct trace_writer *w;
	int from, to;

	(void)state;
	forget_twins();
	w = create(NULL);
	put_anything(w, 300);
	put_lost(w, FIRST_TID + 1, 4);
	assert_int_equal(trace_close(w), 0);
	snprintf(other, sizeof(other), "%s.ctf2", dir);
	assert_int_equal(mkdir(other, 0755), 0);
	from = open(dir, O_RDONLY | O_DIRECTORY);
	to = open(other, O_RDONLY | O_DIRECTORY);
	assert_int_equal(trace_ctf2(from, to, shown, &damage, &why), 0);
	assert_int_equal(damage, 0);
	assert_true(all_shown == 1);
	assert_int_equal(trace_ctf2(from, to, shown, &damage, &why), -EEXIST);
	close(from);
	close(to);
	same_in_ctf2(other, "");
	same_in_ctf2(other, "-c sink.text.details");
	snprintf(command, sizeof(command), "rm -r %s", other);
	assert_int_equal(system(command), 0);
}

static uint64_t hex_of(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	assert_non_null(p);
	return strtoull(p + strlen(key), NULL, 16);
}

/* One thread's events have one order, so each line is known. */
static void same_call(const char *text, size_t i)
{
	static const char *const names[] = {
		[CALL_ALLOC] = "alloc",
		[CALL_FREED] = "free",
		[CALL_REALLOC_ENTER] = "realloc",
		[CALL_REALLOC_RETURN] = "realloced",
		[CALL_LEAVE] = "leave",
	};
	const struct event *ev = &twins[0].items[i].ev;
	char name[32];
	uint64_t ts;
	const char *fields = strstr(text, "}, {");

	assert_true(i < twins[0].nr);
	assert_int_equal(
		sscanf(text, "[%" SCNu64 "] (%*[^)]) %31[^:]", &ts, name), 2);
	assert_int_equal(ts, ev->ts);
	if (strcmp(name, "malloc") && strcmp(name, "calloc"))
		assert_string_equal(name, names[ev->call.phase]);
	else
		assert_string_equal(name, call_op_name(ev->call.op));
	if (ev->call.phase == CALL_LEAVE)
		return;
	assert_int_equal(hex_of(fields, "addr = 0x"), ev->call.addr);
	if (ev->call.phase == CALL_ALLOC ||
	    ev->call.phase == CALL_REALLOC_RETURN)
		assert_int_equal(strtoull(strstr(fields, "size = ") + 7, NULL,
					  10),
				 ev->call.size);
	if (ev->call.begin)
		assert_int_equal(strtoull(strstr(fields, "begin = ") + 8, NULL,
					  10),
				 ev->call.begin);
	if (strstr(fields, "{ caller = ") || strstr(fields, ", caller = "))
		assert_int_equal(hex_of(fields, "caller = 0x"),
				 ev->call.caller);
}

static void test_babeltrace_values(void **state)
{
	struct trace_writer *w;
	struct heard h;

	(void)state;
	forget_twins();
	w = create(NULL);
	for (int i = 0; i < 40; i++) {
		put_words(w, FIRST_TID, 1 + seed_below(300));
		if (!seed_below(4))
			assert_int_equal(trace_flush(w), 0);
	}
	assert_int_equal(trace_close(w), 0);
	h = ask_babeltrace(same_call);
	assert_int_equal(h.events, all_events());
}

static char range_line[4096];

static void keep_line(const char *text, size_t i)
{
	if (!i)
		snprintf(range_line, sizeof(range_line), "%s",
			 strchr(text, ')') + 2);
}

static void test_babeltrace_record(void **state)
{
	struct {
		struct vmaheap_rec_range r;
		struct vmaheap_vma v[2];
	} rec = { .r = { .rec = { .type = VMAHEAP_REC_RANGE,
				  .size = sizeof(rec),
				  .ts = 1234,
				  .seq = 7,
				  .mm = 3,
				  .tgid = 10,
				  .tid = 11,
				  .flags = VMAHEAP_F_MORE },
			 .lo = 0x1000,
			 .hi = 0x9000,
			 .args = { 1, 2, 3, 4, 5, 6 },
			 .syscall = -1,
			 .map_count = 30,
			 .nr_vmas = 2 },
		  .v = { { .start = 0x1000, .end = 0x2000, .flags = 3 },
			 { .start = 0x8000, .end = 0x9000, .ino = 77 } } };
	struct trace_writer *w;

	(void)state;
	w = create(NULL);
	assert_int_equal(trace_records(w, &rec, sizeof(rec)), 0);
	assert_int_equal(trace_close(w), 0);
	ask_babeltrace(keep_line);
	assert_string_equal(
		range_line,
		"range: { flags = 0x1, size = 272, "
		"seq = 7, mm = 3, tgid = 10, tid = 11 }, { lo = 0x1000, hi = 0x9000, "
		"args = [ [0] = 0x1, [1] = 0x2, [2] = 0x3, [3] = 0x4, [4] = 0x5, "
		"[5] = 0x6 ], ip = 0x0, sp = 0x0, start_brk = 0x0, brk = 0x0, "
		"start_stack = 0x0, rss_file = 0, rss_anon = 0, rss_shmem = 0, swap = 0, "
		"syscall = -1, map_count = 30, coalesced = 0, nr_vmas = 2, vmas = [ "
		"[0] = { start = 0x1000, end = 0x2000, offset = 0x0, ino = 0, dev = 0x0, "
		"flags = 0x3 }, [1] = { start = 0x8000, end = 0x9000, offset = 0x0, "
		"ino = 77, dev = 0x0, flags = 0x0 } ] }\n");
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_round_trip),
		test(test_nothing),
		test(test_env),
		test(test_env_limits),
		test(test_long_record),
		test(test_other_modules),
		test(test_nonsense_is_refused),
		test(test_known_callers),
		test(test_packed_nonsense),
		test(test_stamps_never_run_back),
		test(test_many_threads),
		test(test_losses_of_a_process),
		test(test_threads_come_and_go),
		test(test_full_disk),
		test(test_full_from_the_start),
		test(test_symbols),
		test(test_symbols_in_memory),
		test(test_truncated),
		test(test_truncated_metadata),
		test(test_corrupted),
		test(test_no_trace),
		test(test_odd_files),
		test(test_babeltrace_counts),
		test(test_ctf2),
		test(test_babeltrace_values),
		test(test_babeltrace_record),
	};
	int failed;

	seed_start();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	forget_twins();
	return failed;
}
