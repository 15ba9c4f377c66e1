// SPDX-License-Identifier: GPL-2.0
/*
 * A trace of which only the end is kept answers what the whole one answers.
 *
 * One watch is made up, told to a whole trace and to one that keeps only its end, in
 * rounds as a session has them; then both are replayed and compared, with all that
 * their views tell and chunk by chunk. Whatever happens to the files of the end
 * (killed in the middle, full disk, damage), what is left is read or refused.
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/queue.h"
#include "intake/records.h"
#include "output/output.h"
#include "probe/words.h"
#include "limit.h"
#include "seed.h"
#include "session/recorder.h"
#include "session/replay.h"
#include "trace/store.h"

#define TGID 100
#define THREADS 4
#define SLOTS 512
#define HEAP 0x10000000ull
#define RECORDS 64

/* --- directories */

static char whole_dir[64], end_dir[64];

static int make_dirs(void **state)
{
	(void)state;
	strcpy(whole_dir, "/tmp/vmaheap-whole.XXXXXX");
	strcpy(end_dir, "/tmp/vmaheap-end.XXXXXX");
	return mkdtemp(whole_dir) && mkdtemp(end_dir) ? 0 : -1;
}

static void empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

static int remove_dirs(void **state)
{
	(void)state;
	empty_dir(whole_dir);
	empty_dir(end_dir);
	return rmdir(whole_dir) || rmdir(end_dir);
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t bytes_in(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	uint64_t bytes = 0;
	struct stat st;

	while ((e = readdir(d)))
		if (!fstatat(dirfd(d), e->d_name, &st, 0) &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	closedir(d);
	return bytes;
}

/* --- the watch that is made up */

struct thread {
	uint32_t tid;
	struct word_queue q;
	uint64_t ts, caller[2]; /* as told */
};

struct slot {
	bool live;
	uint64_t ts;
	uint32_t tid;
};

static struct watch {
	struct trace_writer *whole, *end;
	struct model *model;
	struct order *order;
	struct recorder recorder;
	struct thread threads[THREADS];
	struct slot slots[SLOTS];
	struct vmaheap_record *records[RECORDS]; /* that are not applied yet */
	struct event ev; /* of the first one */
	size_t nr_records;
	uint64_t now, brk, seq;
	uint64_t largest; /* bytes that the end had after a round */
	bool shared; /* several threads have events with one stamp */
	uint32_t last_tid;
} w;

static const struct event *peek_record(void *ctx, bool *sure)
{
	(void)ctx;
	*sure = true;
	if (!w.nr_records)
		return NULL;
	assert_true(record_decode(w.records[0], w.records[0]->size, &w.ev) > 0);
	return &w.ev;
}

static void pop_record(void *ctx)
{
	(void)ctx;
	trace_records(w.end, w.records[0], w.records[0]->size);
	free(w.records[0]);
	memmove(w.records, w.records + 1,
		--w.nr_records * sizeof(w.records[0]));
}

static const struct event *peek_thread(void *t, bool *sure)
{
	return queue_peek(&((struct thread *)t)->q, sure);
}

static void pop_thread(void *t)
{
	queue_pop(&((struct thread *)t)->q);
}

static size_t take_thread(void *t, struct call_brief *calls, size_t max)
{
	return queue_take(&((struct thread *)t)->q, calls, max);
}

static const struct source_ops kernel_ops = { .peek = peek_record,
					      .pop = pop_record };
static const struct source_ops thread_ops = { peek_thread, pop_thread,
					      take_thread };

/* Malloc'ed. */
static void put_record(struct vmaheap_record *r)
{
	assert_true(w.nr_records < RECORDS);
	w.records[w.nr_records++] = r;
	assert_int_equal(trace_records(w.whole, r, r->size), 0);
}

static void put_words(struct thread *t, const uint64_t *words, size_t nr)
{
	assert_true(queue_reserve(&t->q, nr));
	memcpy(t->q.buf + t->q.len, words, nr * 8);
	t->q.len += nr;
	t->q.checked = t->q.len;
	assert_int_equal(trace_words(w.whole, TGID, t->tid, words, nr), 0);
}

static void end_words(void *ctx, const uint64_t *words, size_t nr)
{
	trace_words(w.end, TGID, ((struct thread *)ctx)->tid, words, nr);
}

static void tell_end(void *ctx)
{
	static const struct queue_teller teller = { .words = end_words };

	(void)ctx;
	for (int i = 0; i < THREADS; i++)
		queue_tell(&w.threads[i].q, &teller, &w.threads[i]);
}

static void put_mm(void)
{
	struct vmaheap_rec_mm *r = calloc(1, sizeof(*r));

	r->rec = (struct vmaheap_record){ .type = VMAHEAP_REC_MM,
					  .size = sizeof(*r),
					  .ts = w.now,
					  .mm = 1,
					  .seq = w.seq++,
					  .tgid = TGID,
					  .tid = TGID };
	r->cause = VMAHEAP_MM_EXEC;
	r->owner = TGID;
	strcpy(r->comm, "made up");
	put_record(&r->rec);
}

/* The heap grows or shrinks. */
static void put_brk(uint32_t tid)
{
	struct vmaheap_rec_range *r =
		calloc(1, sizeof(*r) + sizeof(r->vmas[0]));
	uint64_t was = w.brk;

	w.brk = HEAP + 0x1000 * (1 + seed_below(1000));
	r->rec = (struct vmaheap_record){ .type = VMAHEAP_REC_RANGE,
					  .size = sizeof(*r) +
						  sizeof(r->vmas[0]),
					  .ts = ++w.now,
					  .mm = 1,
					  .seq = w.seq++,
					  .tgid = TGID,
					  .tid = tid };
	r->lo = HEAP;
	r->hi = was > w.brk ? was : w.brk;
	r->start_brk = HEAP;
	r->brk = w.brk;
	r->syscall = 12;
	r->args[0] = w.brk;
	r->map_count = r->nr_vmas = 1;
	r->vmas[0].start = HEAP;
	r->vmas[0].end = w.brk;
	r->vmas[0].flags = VMAHEAP_VMA_READ | VMAHEAP_VMA_WRITE;
	put_record(&r->rec);
	w.now++;
}

/* A body word with what has to be said before it, as the shim says it. */
static void put_call(struct thread *t, unsigned int id, uint64_t size,
		     uint64_t addr, uint64_t begin)
{
	bool freeing = id == WORD_FREE || id == WORD_REALLOC;
	uint64_t caller = 0x400000 + 16 * seed_below(3), words[4];
	bool stamp = t->ts != w.now;
	bool who = t->caller[freeing] != caller;
	size_t n = 0;

	if (begin)
		words[n++] = word_value(
			who ? WORD_HDR_WINDOW_CALLER : WORD_HDR_WINDOW, begin);
	else if (stamp && who)
		words[n++] = word_value(WORD_HDR_TS_CALLER, w.now);
	else if (stamp)
		words[n++] = word_value(WORD_HDR_TS, w.now);
	if (begin)
		words[n++] = word_value(0, w.now);
	if (who)
		words[n] = word_value(begin || stamp ? 0 : WORD_HDR_CALLER,
				      caller),
		n++;
	words[n++] = word_body(id, size, addr);
	t->ts = w.now;
	t->caller[freeing] = caller;
	put_words(t, words, n);
}

/*
 * Of what two threads did at one address at one time nobody could tell the order
 * (model/life.h), so they do not.
 */
static uint64_t touch(struct thread *t, struct slot *s)
{
	if (s->ts == w.now && s->tid != t->tid)
		w.now++;
	s->ts = w.now;
	s->tid = t->tid;
	return HEAP + 0x1000 * (uint64_t)(s - w.slots);
}

/* A slow thread: what it tells now it did some time ago, with the stamp of then. */
static void step_late(struct thread *t, struct slot *s)
{
	uint64_t now = w.now, since = t->ts > s->ts ? t->ts : s->ts + 1;

	if (s->live || since <= 1000 || since >= now)
		return;
	w.now = since;
	put_call(t, WORD_MALLOC, seed_below(4000), touch(t, s), 0);
	s->live = true;
	w.now = now;
}

static void step(void)
{
	struct thread *t = &w.threads[seed_below(THREADS)];
	struct slot *s = &w.slots[seed_below(SLOTS)];
	uint64_t addr, begin = 0;

	w.now += !seed_below(8) || (!w.shared && t->tid != w.last_tid);
	w.last_tid = t->tid;
	if (w.shared && !seed_below(50)) {
		step_late(t, s);
		return;
	}
	addr = touch(t, s);
	if (!s->live) {
		if (!seed_below(200)) {
			begin = w.now;
			put_brk(t->tid);
		}
		put_call(t, seed_below(2) ? WORD_MALLOC : WORD_CALLOC,
			 seed_below(4000), addr, begin);
		s->live = true;
	} else if (!seed_below(4)) {
		put_call(t, WORD_REALLOC, 0, addr, 0);
		put_call(t, WORD_REALLOCED, seed_below(4000), addr, 0);
	} else {
		put_call(t, WORD_FREE, 0, addr, 0);
		s->live = false;
	}
	s->ts = w.now;
}

static void put_note(uint64_t horizon)
{
	struct trace_verify n = { .rec = { .type = TRACE_NOTE_VERIFY,
					   .size = sizeof(n),
					   .ts = horizon,
					   .mm = 1,
					   .tgid = TGID },
				  .vmas = 1 };
	struct event ev = { .kind = EV_VERIFY,
			    .tgid = TGID,
			    .ts = horizon,
			    .mm = 1,
			    .verify = { 1, 0 } };

	assert_int_equal(model_apply(w.model, &ev, NULL), 0);
	assert_int_equal(trace_note(w.whole, &n.rec), 0);
	trace_note(w.end, &n.rec);
}

/* What came since the last one may not be all, so of some it is not sure. */
static void run_round(bool final, bool quiet)
{
	uint64_t horizon;

	for (int i = 0; i < THREADS; i++) {
		struct word_queue *q = &w.threads[i].q;

		q->sure = final || quiet ? q->base + q->checked : q->seen;
		queue_mark(q);
	}
	horizon = ++w.now;
	order_run_quick(w.order, horizon, final, NULL, NULL);
	tell_end(NULL);
	recorder_round(&w.recorder);
	if (!seed_below(4))
		put_note(horizon);
	w.now++;
}

static void begin_watch(const struct trace_limits *limits, bool memory)
{
	static const struct trace_env env = { .alloc = "shim" };
	int whole = open_dir(whole_dir), end = open_dir(end_dir);

	memset(&w, 0, sizeof(w));
	w.now = 1000;
	w.shared = !limits->ns && seed_below(2);
	w.brk = HEAP;
	w.whole = trace_create(whole, &env);
	w.end = trace_create_row(memory ? -1 : end, &env, limits);
	assert_non_null(w.whole);
	assert_non_null(w.end);
	close(whole);
	close(end);
	w.model = model_new();
	w.order = order_new(w.model);
	w.recorder = (struct recorder){ .trace = w.end,
					.order = w.order,
					.model = w.model,
					.tell = tell_end };
	order_add(w.order, &kernel_ops, NULL, true);
	for (int i = 0; i < THREADS; i++) {
		w.threads[i].tid = TGID + (uint32_t)i;
		w.threads[i].q.st.tgid = TGID;
		w.threads[i].q.st.tid = w.threads[i].tid;
		order_add(w.order, &thread_ops, &w.threads[i], false);
	}
	put_mm();
	put_brk(TGID);
	run_round(false, true);
}

static void run_watch(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		bool quiet = !seed_below(5);

		for (uint32_t n = quiet ? 0 : seed_below(300); n; n--)
			step();
		run_round(false, quiet);
		if (!seed_below(10)) {
			trace_flush(w.whole);
			trace_flush(w.end);
		}
		if (trace_written(w.end).bytes > w.largest)
			w.largest = trace_written(w.end).bytes;
	}
	run_round(true, false);
}

static void end_watch(bool memory)
{
	int fd = open_dir(end_dir);

	if (memory)
		assert_int_equal(trace_dump(w.end, fd), 0);
	close(fd);
	assert_int_equal(trace_close(w.whole), 0);
	trace_close(w.end);
	order_free(w.order);
	model_free(w.model);
	for (int i = 0; i < THREADS; i++)
		queue_free(&w.threads[i].q);
	assert_int_equal(w.nr_records, 0);
}

/* --- what the traces answer */

/*
 * How much was alive at most depends on the order of what happened at one stamp,
 * which nobody knows.
 */
static void forget_peak(char *text)
{
	char *peak = w.shared ? strstr(text, "\"peak\": ") : NULL;

	for (char *p = peak ? strchr(peak, ' ') : ""; *p && *p != '\n'; p++)
		*p = '?';
}

static char *views(const struct replay *r, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	struct output o = { .f = f,
			    .json = true,
			    .model = replay_model(r),
			    .now = replay_last(r),
			    .start = replay_first(r),
			    .alloc = "shim" };
	const struct space *s = model_space(replay_model(r), 1);
	struct chunk c;

	assert_int_equal(output_report(&o, NULL), 0);
	assert_int_equal(output_maps(&o, s), 0);
	for (uint64_t at = 0; !chunk_next(s->chunks, at, UINT64_MAX, &c);
	     at = c.addr + 1)
		fprintf(f,
			"%" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIx64
			" %u %d\n",
			c.addr, c.size, c.ts, c.caller, c.tid, c.op);
	fclose(f);
	forget_peak(text);
	return text;
}

/* The first line in which they differ says more than two pages. */
static void same_text(const char *x, const char *y)
{
	size_t i = 0, line = 0;

	for (; x[i] && x[i] == y[i]; i++)
		if (x[i] == '\n')
			line = i + 1;
	if (x[i] != y[i])
		fail_msg("%.*s ... is %.*s", (int)strcspn(x + line, "\n"),
			 x + line, (int)strcspn(y + line, "\n"), y + line);
}

static struct replay *open_replay(const char *dir)
{
	char *why;
	struct replay *r = replay_open(dir, &why);

	if (!r)
		fail_msg("%s", why);
	return r;
}

static void compare(uint64_t at)
{
	struct replay *whole = open_replay(whole_dir);
	struct replay *end = open_replay(end_dir);
	size_t a, b;
	char *x, *y;

	assert_int_equal(replay_until(whole, at), 0);
	assert_int_equal(replay_until(end, at), 0);
	x = views(whole, &a);
	y = views(end, &b);
	same_text(x, y);
	assert_int_equal(replay_damage(end), 0);
	assert_null(model_check(replay_model(end)));
	free(x);
	free(y);
	replay_close(whole);
	replay_close(end);
}

static void same_answers(bool memory)
{
	static const struct trace_limits limits = { .bytes = 128 * 1024 };
	struct replay *r;

	for (int i = 0; i < 5; i++) {
		begin_watch(&limits, memory);
		run_watch(200);
		end_watch(memory);
		assert_true(w.largest < limits.bytes * 5 / 4);
		assert_true(bytes_in(whole_dir) > 2 * bytes_in(end_dir));
		compare(UINT64_MAX);
		r = open_replay(end_dir);
		assert_true(replay_begins(r) > 1000);
		compare((replay_begins(r) + w.now) / 2);
		replay_close(r);
		empty_dir(whole_dir);
		empty_dir(end_dir);
	}
}

static void test_on_disk(void **state)
{
	(void)state;
	same_answers(false);
}

static void test_in_memory(void **state)
{
	(void)state;
	same_answers(true);
}

/* Nothing has to be thrown away: it is the whole. */
static void test_all_of_it(void **state)
{
	static const struct trace_limits limits = { .bytes = 1 << 30 };
	struct replay *r;

	(void)state;
	for (int memory = 0; memory < 2; memory++) {
		begin_watch(&limits, memory);
		run_watch(50);
		end_watch(memory);
		compare(UINT64_MAX);
		r = open_replay(end_dir);
		assert_int_equal(replay_begins(r), 0);
		replay_close(r);
		empty_dir(whole_dir);
		empty_dir(end_dir);
	}
}

/* What is told at once may be more than all that is to be kept. */
static void test_burst(void **state)
{
	const struct trace_limits limits = { .bytes = 16384 };
	static const char packet[12288];
	struct store *s = store_new(-1, &limits);
	uint64_t ts = 1, least = UINT64_MAX, most = 0;

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < 100; i++) {
		size_t len = i % 3 ? 1024 : sizeof(packet);

		assert_int_equal(store_put(s, STORE_ALLOC, packet, len, ts), 0);
		if (!store_cut_due(s, ++ts))
			continue;
		assert_int_equal(store_cut(s, calloc(1, 16), 16, ts), 0);
		if (store_bytes(s) > most)
			most = store_bytes(s);
		if (i >= 3 && store_bytes(s) < least)
			least = store_bytes(s);
	}
	assert_in_range(least, limits.bytes / 2, limits.bytes);
	assert_in_range(most, least, limits.bytes / 2 + sizeof(packet) + 2048);
	store_free(s);
}

/* By age, in ns of the watch's own time. */
static void test_age(void **state)
{
	static const struct trace_limits limits = { .ns = 8000 };
	struct replay *r;

	(void)state;
	begin_watch(&limits, false);
	run_watch(300);
	end_watch(false);
	compare(UINT64_MAX);
	r = open_replay(end_dir);
	assert_true(replay_begins(r) > 0);
	assert_true(w.now - replay_begins(r) > limits.ns / 2);
	assert_true(w.now - replay_begins(r) < 2 * limits.ns);
	replay_close(r);
}

/* --- what may go wrong */

/* A replay of whatever is there: sound, or refused with a sentence. */
static bool is_read(uint64_t *damage)
{
	char *why = NULL;
	struct replay *r = replay_open(end_dir, &why);

	if (!r) {
		assert_non_null(why);
		free(why);
		return false;
	}
	assert_int_equal(replay_until(r, UINT64_MAX), 0);
	assert_null(model_check(replay_model(r)));
	*damage = replay_damage(r);
	replay_close(r);
	return true;
}

static void test_killed(void **state)
{
	static const struct trace_limits limits = { .bytes = 64 * 1024 };
	uint64_t damage;
	int status;
	pid_t pid;

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		int rounds = (int)seed_below(60);

		seed_next();
		pid = fork();
		if (!pid) {
			begin_watch(&limits, false);
			run_watch(rounds);
			_exit(0); /* nothing is flushed, nothing closed */
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_true(is_read(&damage));
		assert_int_equal(damage, 0);
		empty_dir(whole_dir);
		empty_dir(end_dir);
	}
}

/* Of a segment that was being deleted only some is left, which nobody looks at. */
static void test_half_deleted(void **state)
{
	static const struct trace_limits limits = { .bytes = 128 * 1024 };
	int fd;

	(void)state;
	begin_watch(&limits, false);
	run_watch(200);
	end_watch(false);
	fd = openat(open_dir(end_dir), "alloc-1.1",
		    O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(write(fd, "left", 4) == 4);
	close(fd);
	compare(UINT64_MAX);
}

/* No state can be written: then nothing is thrown away either. */
static void test_full_disk(void **state)
{
	static const struct trace_limits limits = { .bytes = 128 * 1024 };
	uint64_t damage;

	(void)state;
	begin_watch(&limits, false);
	run_watch(100);
	limit_files(1024);
	run_watch(100);
	limit_files(RLIM_INFINITY);
	assert_int_equal(w.recorder.error, EFBIG);
	assert_true(trace_written(w.end).discarded > 0);
	trace_close(w.end);
	w.end = NULL;
	assert_true(is_read(&damage));
	assert_int_equal(damage, 0);
	trace_close(w.whole);
	order_free(w.order);
	model_free(w.model);
	for (int i = 0; i < THREADS; i++)
		queue_free(&w.threads[i].q);
}

static void test_dump_without_room(void **state)
{
	static const struct trace_limits limits = { .bytes = 256 * 1024 };
	uint64_t damage;
	rlim_t room;
	int fd, err, read = 0, refused = 0;

	(void)state;
	begin_watch(&limits, true);
	run_watch(200);
	for (room = 1024; room < 200 * 1024; room *= 2) {
		fd = open_dir(end_dir);
		limit_files(room);
		err = trace_dump(w.end, fd);
		limit_files(RLIM_INFINITY);
		close(fd);
		assert_true(err == 0 || err == -EFBIG);
		if (is_read(&damage)) {
			assert_int_equal(damage, 0);
			read++;
		} else {
			refused++;
		}
		empty_dir(end_dir);
	}
	assert_true(read && refused);
	end_watch(true); /* and with room it is whole */
	compare(UINT64_MAX);
}

static char *begin_state(void)
{
	static char path[400];
	DIR *d = opendir(end_dir);
	struct dirent *e;
	unsigned int n, least = UINT32_MAX;

	while ((e = readdir(d)))
		if (sscanf(e->d_name, ".state.%u", &n) == 1 && n < least)
			least = n;
	closedir(d);
	snprintf(path, sizeof(path), "%s/.state.%u", end_dir, least);
	return path;
}

static void test_damaged_state(void **state)
{
	static const struct trace_limits limits = { .bytes = 128 * 1024 };
	const char *path;
	uint64_t damage;
	struct stat st;
	char *why, byte;
	int fd;

	(void)state;
	begin_watch(&limits, false);
	run_watch(200);
	end_watch(false);
	path = begin_state();
	assert_int_equal(stat(path, &st), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 100; i++) {
		off_t at = (off_t)seed_below((uint32_t)st.st_size);

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 4;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_false(is_read(&damage));
		byte ^= 4;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	compare(UINT64_MAX);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	assert_null(replay_open(end_dir, &why));
	assert_non_null(strstr(why, "is damaged"));
	free(why);
	assert_int_equal(ftruncate(fd, 8), 0);
	assert_false(is_read(&damage));
	close(fd);
}

static void test_babeltrace(void **state)
{
	static const struct trace_limits limits = { .bytes = 128 * 1024 };
	char cmd[400];

	(void)state;
	for (int memory = 0; memory < 2; memory++) {
		begin_watch(&limits, memory);
		run_watch(100);
		end_watch(memory);
		snprintf(
			cmd, sizeof(cmd),
			"babeltrace2 %s 2>%s/err | grep -q malloc && test ! -s %s/err",
			end_dir, whole_dir, whole_dir);
		assert_int_equal(system(cmd), 0);
		empty_dir(whole_dir);
		empty_dir(end_dir);
	}
}

/* A watch that writes no trace has a recorder with nothing in it. */
static void test_no_trace(void **state)
{
	struct recorder r = { .trace = NULL };

	(void)state;
	recorder_round(&r);
	assert_false(r.waits);
	assert_int_equal(r.error, 0);
}

/* --- words of the command line */

static void test_triggers(void **state)
{
	static const char *const none[] = { "",	      "rss",
					    "rss>",   "rss>x",
					    "vmas<5", "rss>0",
					    "rss>5T", "rss>99999999999G" };
	struct triggers t = { .nr = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(trigger_parse(&t, none[i]));
	assert_true(trigger_parse(&t, "rss>2M"));
	assert_true(trigger_parse(&t, "vmas>100"));
	assert_null(trigger_pull(&t, TRIGGER_RSS, 2 << 20));
	assert_null(trigger_pull(&t, TRIGGER_VMAS, 100));
	assert_ptr_equal(trigger_pull(&t, TRIGGER_RSS, (2 << 20) + 1), &t.v[0]);
	assert_null(trigger_pull(&t, TRIGGER_RSS, 3 << 20)); /* once */
	assert_ptr_equal(trigger_pull(&t, TRIGGER_VMAS, 101), &t.v[1]);
	while (t.nr < TRIGGERS_MAX)
		assert_true(trigger_parse(&t, "rss>1"));
	assert_false(trigger_parse(&t, "rss>1"));
	assert_int_equal(parse_size("0"), 0);
	assert_int_equal(parse_size("7"), 7);
	assert_int_equal(parse_size("7B"), 7);
	assert_int_equal(parse_size("3K"), 3072);
	assert_int_equal(parse_size("1G"), 1 << 30);
	assert_int_equal(parse_size("-1"), 0);
	assert_int_equal(parse_size("1KK"), 0);
}

#define test(f) cmocka_unit_test_setup_teardown(f, make_dirs, remove_dirs)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_on_disk),
		test(test_in_memory),
		test(test_all_of_it),
		test(test_age),
		cmocka_unit_test(test_burst),
		test(test_killed),
		test(test_half_deleted),
		test(test_full_disk),
		test(test_dump_without_room),
		test(test_damaged_state),
		test(test_babeltrace),
		cmocka_unit_test(test_no_trace),
		cmocka_unit_test(test_triggers),
	};

	seed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
