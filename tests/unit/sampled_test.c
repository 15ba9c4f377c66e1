// SPDX-License-Identifier: GPL-2.0
/* The kernel's side without a module, on children of the test. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/proc.h"
#include "intake/sampled.h"
#include "model/model.h"
#include "uapi/vmaheap.h"

struct watch {
	struct sampled *k;
	struct model *m;
	uint64_t ts; /* of the last event */
	size_t records, bytes;
	uint32_t exited, blind;
	unsigned int exits;
};

static void raw(void *ctx, const void *records, size_t bytes)
{
	struct watch *w = ctx;
	const struct vmaheap_record *r = records;

	assert_int_equal(r->size, bytes);
	assert_int_equal(bytes % 8, 0);
	assert_int_equal(r->seq, ++w->records);
	w->bytes += bytes;
}

static void exited(void *ctx, uint32_t tgid)
{
	struct watch *w = ctx;

	w->exited = tgid;
	w->exits++;
}

static void blind(void *ctx, uint32_t tgid, int err)
{
	struct watch *w = ctx;

	assert_true(err < 0);
	w->blind = tgid;
}

static const struct sampled_ops ops = { raw, exited, blind, NULL };

static void take(struct watch *w)
{
	const struct event *ev;
	bool sure;

	while ((ev = sampled_peek(w->k, &sure))) {
		assert_true(sure);
		assert_true(ev->ts >= w->ts);
		w->ts = ev->ts;
		assert_int_equal(model_apply(w->m, ev, NULL), 0);
		sampled_pop(w->k);
	}
	assert_null(model_check(w->m));
}

static uint64_t tick(struct watch *w)
{
	uint64_t ts;

	sampled_tick(w->k, &ts);
	take(w);
	assert_true(ts > w->ts);
	return ts;
}

static void begin(struct watch *w, bool follow)
{
	*w = (struct watch){ .m = model_new() };
	w->k = sampled_open(&ops, w, follow, true, NULL);
	assert_non_null(w->m);
	assert_non_null(w->k);
}

static void end(struct watch *w)
{
	sampled_close(w->k);
	model_free(w->m);
}

/* A child that waits for a byte before it runs argv, or before it exits. */
struct child {
	pid_t pid;
	int go, out;
};

static struct child child(char *const argv[])
{
	struct child c;
	int go[2], out[2];
	char byte;

	assert_int_equal(pipe2(go, 0), 0);
	assert_int_equal(pipe2(out, 0), 0);
	c.pid = fork();
	if (!c.pid) {
		dup2(out[1], 1);
		close(go[1]);
		close(out[0]);
		if (read(go[0], &byte, 1) == 1 && argv) {
			dup2(go[0], 0);
			close(go[0]);
			close(out[1]);
			unsetenv("ASAN_OPTIONS");
			execvp(argv[0], argv);
		}
		_exit(7);
	}
	close(go[0]);
	close(out[1]);
	c.go = go[1];
	c.out = out[0];
	return c;
}

static void let_go(const struct child *c)
{
	assert_int_equal(write(c->go, "x", 1), 1);
}

/* Until the program prints something: it has called exec. */
static void await(const struct child *c)
{
	char byte;

	assert_int_equal(read(c->out, &byte, 1), 1);
}

static void reap(const struct child *c)
{
	close(c->go);
	close(c->out);
	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
}

static void same_as_maps(struct watch *w, const struct space *s)
{
	struct proc_map *maps;
	long nr = proc_maps(s->owner, &maps), i;
	const uint32_t flags = VMA_READ | VMA_WRITE | VMA_EXEC | VMA_SHARED |
			       VMA_FILE;

	assert_int_equal(nr, vma_map_count(s->vmas));
	for (i = 0; i < nr; i++) {
		const struct vma *v = vma_map_at(s->vmas, (size_t)i);
		const char *name = model_vma_name(w->m, s, v);

		assert_int_equal(v->d.start, maps[i].d.start);
		assert_int_equal(v->d.end, maps[i].d.end);
		assert_int_equal(v->d.offset, maps[i].d.offset);
		assert_int_equal(v->d.ino, maps[i].d.ino);
		assert_int_equal(v->d.flags & flags, maps[i].d.flags);
		assert_int_equal(v->made->kind, CAUSE_SAMPLED);
		/* "[vvar_vclock]" is "[vvar]" here; the other name is cut. */
		if (strncmp(maps[i].name, "[vvar", 5))
			assert_memory_equal(name, maps[i].name,
					    strlen(maps[i].name));
	}
	free(maps);
	assert_int_equal(s->map_count_mismatches, 0);
	assert_true(s->start_brk && s->start_brk <= s->brk);
}

static void test_exec(void **state)
{
	char *const argv[] = { "sh", "-c", "echo; read x; exec cat", NULL };
	struct child c = child(argv);
	struct watch w;
	struct space *s, *old;
	uint64_t before;
	int fd;

	(void)state;
	begin(&w, false);
	assert_int_equal(sampled_watch(w.k, (uint32_t)c.pid, true), 0);
	before = tick(&w);
	assert_int_equal(model_spaces(w.m), 0); /* it has not called exec */
	assert_int_equal(sampled_admit(w.k, (uint32_t)c.pid, true, &fd),
			 -ESRCH);
	let_go(&c);
	await(&c);
	tick(&w);
	s = model_process(w.m, (uint32_t)c.pid);
	assert_non_null(s);
	assert_true(s->vmas_sampled && s->chunks_known_from_start);
	assert_int_equal(s->cause, MM_EXEC);
	assert_true(s->born > before);
	assert_int_equal(write(c.go, "\n", 1), 1);
	/* It is cat sooner or later, and then an address space of its own. */
	old = s;
	do {
		tick(&w);
		sampled_look(w.k, (uint32_t)c.pid);
		take(&w);
		s = model_process(w.m, (uint32_t)c.pid);
	} while (strcmp(s->comm, "cat"));
	assert_true(old->died && old->died < s->born && !s->died);
	reap(&c);
	tick(&w);
	assert_true(s->died);
	assert_int_equal(w.exited, c.pid);
	assert_int_equal(w.exits, 1);
	tick(&w);
	assert_int_equal(w.exits, 1);
	assert_int_equal(sampled_admit(w.k, (uint32_t)c.pid, true, NULL),
			 -ESRCH);
	end(&w);
}

static void test_maps(void **state)
{
	struct child c = child(NULL);
	struct watch w;
	size_t records;
	struct space *s;

	(void)state;
	begin(&w, false);
	assert_int_equal(sampled_watch(w.k, (uint32_t)c.pid, false), 0);
	tick(&w);
	s = model_process(w.m, (uint32_t)c.pid);
	assert_non_null(s);
	assert_int_equal(s->cause, MM_ATTACH);
	assert_false(s->chunks_known_from_start);
	/* The test under its sanitizers has more VMAs than one record. */
	assert_true(vma_map_count(s->vmas) > VMAHEAP_RANGE_VMAS);
	same_as_maps(&w, s);
	records = w.records;
	sampled_look(w.k, (uint32_t)c.pid);
	assert_int_equal(w.records, records); /* nothing has changed */
	assert_true(sampled_looks(w.k) >= 2);
	reap(&c);
	end(&w);
}

#define FILES 4200 /* more than are remembered as told of */

/* All of them have their names, and some are told of again. */
static void test_many_files(void **state)
{
	static void *at[FILES];
	struct child a, b;
	struct watch w;
	size_t records;
	int i, fd;

	(void)state;
	for (i = 0; i < FILES; i++) {
		fd = memfd_create("many", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, 4096), 0);
		at[i] = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(at[i], MAP_FAILED);
		close(fd);
	}
	a = child(NULL);
	b = child(NULL);
	for (i = 0; i < FILES; i++)
		munmap(at[i], 4096);
	begin(&w, true);
	assert_int_equal(sampled_watch(w.k, (uint32_t)a.pid, false), 0);
	tick(&w);
	same_as_maps(&w, model_process(w.m, (uint32_t)a.pid));
	reap(&a);
	/* One with the same files, the first of which are not remembered any more. */
	assert_int_equal(sampled_watch(w.k, (uint32_t)b.pid, false), 0);
	records = w.records;
	tick(&w);
	same_as_maps(&w, model_process(w.m, (uint32_t)b.pid));
	assert_true(w.records - records > FILES);
	reap(&b);
	end(&w);
}

/* An event that was peeked and not popped is whole when more has come since. */
static void test_held(void **state)
{
	struct child c[6];
	const struct event *ev;
	struct watch w;
	uint64_t ts;
	bool sure;
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		c[i] = child(NULL);
	begin(&w, false);
	assert_int_equal(sampled_watch(w.k, (uint32_t)c[0].pid, false), 0);
	sampled_tick(w.k, &ts);
	while ((ev = sampled_peek(w.k, &sure)) && ev->kind != EV_RANGE) {
		assert_int_equal(model_apply(w.m, ev, NULL), 0);
		sampled_pop(w.k);
	}
	assert_non_null(ev);
	assert_true(ev->range.nr_vmas > 0);
	for (i = 1; i < 6; i++) {
		assert_int_equal(sampled_watch(w.k, (uint32_t)c[i].pid, false),
				 0);
		sampled_tick(w.k, &ts);
	}
	tick(&w);
	for (i = 0; i < 6; i++) {
		same_as_maps(&w, model_process(w.m, (uint32_t)c[i].pid));
		reap(&c[i]);
	}
	end(&w);
}

/* The stamp of each process rises by our ticks, and never falls. */
static void test_stamp(void **state)
{
	struct child a = child(NULL), b = child(NULL);
	struct watch w;
	uint64_t *stamp, ts;
	int fd, fd2;

	(void)state;
	begin(&w, true);
	assert_int_equal(sampled_watch(w.k, (uint32_t)a.pid, false), 0);
	assert_int_equal(sampled_admit(w.k, (uint32_t)a.pid, true, &fd), 0);
	take(&w);
	stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(stamp, MAP_FAILED);
	/* Not older than what was told of the process. */
	assert_true(*stamp >= w.ts);
	ts = tick(&w);
	assert_int_equal(*stamp, ts);
	*stamp = UINT64_MAX / 2; /* a target may do so */
	tick(&w);
	assert_int_equal(*stamp, UINT64_MAX / 2);
	/* It cannot be made shorter, which would kill the daemon. */
	assert_int_equal(ftruncate(fd, 0), -1);
	/* One that belongs, by its user, and was forked. */
	assert_int_equal(sampled_admit(w.k, (uint32_t)b.pid, false, NULL), 0);
	assert_null(model_process(w.m, (uint32_t)b.pid));
	assert_int_equal(sampled_admit(w.k, (uint32_t)b.pid, false, &fd2), 0);
	take(&w);
	assert_true(fd2 != fd);
	assert_int_equal(model_process(w.m, (uint32_t)b.pid)->cause, MM_ATTACH);
	munmap(stamp, 4096);
	reap(&a);
	reap(&b);
	tick(&w);
	assert_int_equal(w.exits, 2);
	end(&w);
}

static void test_strangers(void **state)
{
	struct child a = child(NULL), b = child(NULL);
	struct watch w;
	int fd;

	(void)state;
	begin(&w, false);
	assert_int_equal(sampled_watch(w.k, (uint32_t)a.pid, false), 0);
	assert_int_equal(sampled_admit(w.k, (uint32_t)b.pid, true, &fd),
			 -ESRCH); /* children are not followed */
	assert_int_equal(sampled_watch(w.k, 0x3fffffff, false), -ESRCH);
	sampled_look(w.k, (uint32_t)b.pid);
	reap(&a);
	reap(&b);
	end(&w);
}

/* The number that the program prints in a line. */
static uint32_t told(const struct child *c)
{
	char text[16] = "";
	size_t n = 0;

	do
		assert_int_equal(read(c->out, text + n, 1), 1);
	while (text[n++] != '\n' && n < sizeof(text) - 1);
	return (uint32_t)atoi(text);
}

/* Its space, as soon as there is one; NULL: there is none within a second. */
static const struct space *find(struct watch *w, uint32_t pid)
{
	const struct space *s;
	int i;

	for (i = 0; i < 500 && !(s = model_process(w->m, pid)); i++) {
		usleep(2000);
		tick(w);
	}
	return s;
}

/* Who asks for no ring is found all the same, when it has executed a program. */
static void test_children(void **state)
{
	char *const argv[] = { "sh", "-c",
			       "sleep 60 & echo $!; read x; sleep 61 & echo $!;"
			       "(read y) & echo $!; read z",
			       NULL };
	struct child c = child(argv);
	const struct space *s;
	uint32_t first, second, copy;
	struct watch recorded, attached;

	(void)state;
	begin(&recorded, true);
	assert_int_equal(sampled_watch(recorded.k, (uint32_t)c.pid, true), 0);
	tick(&recorded);
	assert_null(model_process(recorded.m, (uint32_t)c.pid));
	let_go(&c);
	first = told(&c);
	s = find(&recorded, first);
	assert_non_null(s);
	assert_int_equal(s->cause, MM_EXEC);
	assert_string_equal(s->comm, "sleep");
	same_as_maps(&recorded, s);

	/* One that was there before it was attached to is not its business. */
	begin(&attached, true);
	assert_int_equal(sampled_watch(attached.k, (uint32_t)c.pid, false), 0);
	usleep(20000); /* two clock ticks */
	assert_int_equal(write(c.go, "\n", 1), 1);
	second = told(&c);
	copy = told(&c);
	assert_non_null(find(&attached, second));
	assert_string_equal(model_process(attached.m, second)->comm, "sleep");
	assert_null(model_process(attached.m, first));
	assert_non_null(find(&recorded, second));
	/* One that is a copy of its parent does nothing that there is to tell. */
	usleep(20000);
	tick(&recorded);
	assert_null(model_process(recorded.m, copy));
	assert_true(sampled_expects(recorded.k));

	kill((pid_t)first, SIGKILL);
	kill((pid_t)second, SIGKILL);
	reap(&c);
	kill((pid_t)copy, SIGKILL);
	for (int i = 0; i < 500 && sampled_expects(recorded.k); i++) {
		usleep(2000);
		tick(&recorded);
	}
	assert_false(sampled_expects(recorded.k));
	/* (The copy may not have been found, on a busy machine.) */
	assert_in_range(recorded.exits, 3, 4);
	end(&recorded);
	end(&attached);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec),	   cmocka_unit_test(test_maps),
		cmocka_unit_test(test_many_files), cmocka_unit_test(test_stamp),
		cmocka_unit_test(test_strangers),  cmocka_unit_test(test_held),
		cmocka_unit_test(test_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
