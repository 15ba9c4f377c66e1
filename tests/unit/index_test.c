// SPDX-License-Identifier: GPL-2.0
/* The time index: what is written comes back, and damage is no index. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/words.h"
#include "session/index.h"

#define CHECKPOINT ".index/00000000000000001000"

struct fixture {
	char dir[64];
	int fd;
	struct trace_reader *t;
	struct model *m;
};

static void make_trace(struct fixture *f)
{
	static const struct trace_env env = { .command = "index_test" };
	uint64_t words[2];
	struct trace_writer *w;
	char *why;

	strcpy(f->dir, "/tmp/index_test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	w = trace_create(f->fd, &env);
	assert_non_null(w);
	words[0] = word_value(WORD_HDR_TS, 900);
	words[1] = word_body(WORD_MALLOC, 8, 0x10000);
	assert_int_equal(trace_words(w, 5, 5, words, 2), 0);
	assert_int_equal(trace_words(w, 5, 6, words, 2), 0);
	assert_int_equal(trace_close(w), 0);
	f->t = trace_open(f->fd, &why);
	assert_non_null(f->t);
	assert_int_equal(trace_streams(f->t), 2);
}

static void make_model(struct fixture *f)
{
	struct event mm = { .kind = EV_MM,
			    .mm = 1,
			    .ts = 1,
			    .mm_start = { .cause = MM_EXEC, .owner = 5 } };
	struct event call = { .kind = EV_CALL,
			      .tgid = 5,
			      .tid = 5,
			      .ts = 900,
			      .call = { .op = CALL_MALLOC,
					.phase = CALL_ALLOC,
					.addr = 0x10000,
					.size = 8 } };

	f->m = model_new();
	assert_int_equal(model_apply(f->m, &mm, NULL), 0);
	assert_int_equal(model_apply(f->m, &call, NULL), 0);
}

static void start(struct fixture *f)
{
	struct index_head h = {
		.ts = 1000, .applied = 2, .first = 1, .last = 900
	};
	struct index_stream s[2] = { 0 };

	make_trace(f);
	make_model(f);
	for (size_t i = 0; i < 2; i++) {
		s[i].kind = trace_stream(f->t, i, &s[i].number);
		s[i].place = trace_tell(f->t, i);
		s[i].place.offset = 4711 + i;
	}
	assert_int_equal(index_write(f->fd, f->t, &h, s, f->m), 0);
}

static void end(struct fixture *f)
{
	char cmd[128];

	model_free(f->m);
	trace_reader_free(f->t);
	close(f->fd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", f->dir);
	assert_int_equal(system(cmd), 0);
}

static struct model *read_at(const struct fixture *f, uint64_t ts)
{
	struct index_stream *s;
	struct index_head h;
	struct model *m = index_read(f->fd, f->t, ts, &h, &s);

	if (!m)
		return NULL;
	assert_int_equal(h.ts, 1000);
	assert_int_equal(h.applied, 2);
	assert_int_equal(s[0].place.offset, 4711);
	assert_int_equal(s[1].place.offset, 4712);
	assert_int_equal(s[1].number, s[0].number + 1);
	free(s);
	return m;
}

static bool usable(const struct fixture *f, uint64_t ts)
{
	struct model *m = read_at(f, ts);

	model_free(m);
	return m;
}

static void test_round_trip(void **state)
{
	struct fixture f;
	struct model *m;

	(void)state;
	start(&f);
	assert_false(usable(&f, 999));
	m = read_at(&f, 1000);
	assert_non_null(m);
	assert_null(model_check(m));
	assert_int_equal(chunk_total(model_process(m, 5)->chunks).bytes, 8);
	model_free(m);
	assert_true(usable(&f, UINT64_MAX));
	end(&f);
}

static void test_damage(void **state)
{
	struct fixture f;
	uint8_t byte;
	struct stat st;
	int fd;

	(void)state;
	start(&f);
	fd = openat(f.fd, CHECKPOINT, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 13) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_false(usable(&f, UINT64_MAX));
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_true(usable(&f, UINT64_MAX));
	for (off_t len = st.st_size - 1; len > 0; len -= 101) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_false(usable(&f, UINT64_MAX));
	}
	close(fd);
	end(&f);
}

/* A stream that the index knows is gone; one that it does not know has come. */
static void test_other_streams(void **state)
{
	struct fixture f;
	struct trace_reader *t;
	char *why;

	(void)state;
	start(&f);
	assert_int_equal(renameat(f.fd, "alloc-1", f.fd, "alloc-2"), 0);
	t = f.t;
	f.t = trace_open(f.fd, &why);
	assert_false(usable(&f, UINT64_MAX));
	trace_reader_free(f.t);
	f.t = t;
	end(&f);
}

static void test_other_trace(void **state)
{
	struct fixture f, g;
	int saved;

	(void)state;
	start(&f);
	start(&g);
	saved = f.fd;
	f.fd = g.fd; /* the other one's index, of equal streams */
	assert_false(usable(&f, UINT64_MAX));
	f.fd = saved;
	end(&f);
	end(&g);
}

/* Where nothing may be written there is no index, and no harm. */
static void test_no_room(void **state)
{
	struct index_stream s[2] = { 0 };
	struct index_head h = { .ts = 5 };
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(unlinkat(f.fd, CHECKPOINT, 0), 0);
	assert_int_equal(unlinkat(f.fd, ".index", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/tmp", f.fd, ".index"), 0);
	assert_true(index_write(f.fd, f.t, &h, s, f.m) < 0);
	assert_false(usable(&f, UINT64_MAX));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_other_streams),
		cmocka_unit_test(test_other_trace),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
