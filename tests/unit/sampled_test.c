// SPDX-License-Identifier: GPL-2.0
/* The kernel's side without a module, on children of the test. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

struct child {
	pid_t pid;
	int go, out;
};

/* A child whose input and output are ours. */
static struct child start(void (*run)(char *const argv[]), char *const argv[])
{
	struct child c;
	int go[2], out[2];

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	c.pid = fork();
	if (!c.pid) {
		dup2(go[0], 0);
		dup2(out[1], 1);
		close(go[1]);
		close(out[0]);
		run(argv);
		_exit(7);
	}
	close(go[0]);
	close(out[1]);
	c.go = go[1];
	c.out = out[0];
	return c;
}

static void run_program(char *const argv[])
{
	char byte;

	if (read(0, &byte, 1) == 1 && argv) {
		unsetenv("ASAN_OPTIONS");
		execvp(argv[0], argv);
	}
}

/* A child that waits for a byte before it runs argv, or before it exits. */
static struct child child(char *const argv[])
{
	return start(run_program, argv);
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

/* ---- children of children ---- */

static void say(pid_t pid)
{
	if (write(1, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
}

static void wait_for_byte(void)
{
	char byte;

	if (read(0, &byte, 1) != 1)
		_exit(1);
}

static void say_and_execute(const char *program, const char *arg)
{
	say(getpid());
	wait_for_byte();
	execlp(program, program, arg, NULL);
	_exit(1);
}

/* Has a child that executes, and does not itself. */
static void be_between(void)
{
	say(getpid());
	wait_for_byte();
	if (!fork())
		say_and_execute("sleep", "10");
	sleep(10);
	_exit(0);
}

/*
 * Has one child that is there already, and at a byte each: one that uses its memory
 * until it executes; one that ends soon, and is not waited for; one between.
 */
static void be_mother(char *const argv[])
{
	pid_t pid = fork();

	(void)argv;
	if (!pid) {
		sleep(10);
		_exit(0);
	}
	say(pid);
	wait_for_byte();
	if (!vfork())
		say_and_execute("sleep", "10");
	wait_for_byte();
	pid = fork();
	if (!pid)
		say_and_execute("true", NULL);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	say(pid);
	wait_for_byte();
	if (!fork())
		be_between();
	sleep(10);
}

static pid_t hear(const struct child *c)
{
	pid_t pid;

	assert_int_equal(read(c->out, &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

/* So many that children are looked for some times. */
static void many_ticks(struct watch *w)
{
	int i;

	for (i = 0; i < 50; i++) {
		tick(w);
		poll(NULL, 0, 4);
	}
}

static struct space *space_of(struct watch *w, pid_t pid)
{
	struct space *s = NULL;
	int i;

	for (i = 0; i < 500 && !s; i++) {
		tick(w);
		s = model_process(w->m, (uint32_t)pid);
		poll(NULL, 0, 4);
	}
	assert_non_null(s);
	return s;
}

/* One that has no shim is told of when it executes, and once. */
static void test_children(void **state)
{
	struct child c = start(be_mother, NULL);
	pid_t old = hear(&c), sharing, brief, between, last;
	struct watch w;
	int fd;

	(void)state;
	begin(&w, true);
	assert_int_equal(sampled_watch(w.k, (uint32_t)c.pid, false), 0);
	many_ticks(&w);
	assert_int_equal(model_spaces(w.m), 1); /* what was there is not ours */
	let_go(&c);
	sharing = hear(&c);
	many_ticks(&w);
	assert_int_equal(model_spaces(w.m), 1);
	let_go(&c);
	assert_int_equal(space_of(&w, sharing)->cause, MM_EXEC);
	let_go(&c);
	brief = hear(&c);
	many_ticks(&w);
	assert_int_equal(model_spaces(w.m), 2);
	let_go(&c);
	assert_int_equal(hear(&c), brief);
	tick(&w);
	assert_non_null(model_process(w.m, (uint32_t)brief));
	assert_true(model_process(w.m, (uint32_t)brief)->died);
	assert_int_equal(w.exited, brief);
	many_ticks(&w); /* not again, though it is there as a zombie */
	assert_int_equal(model_spaces(w.m), 3);
	assert_int_equal(w.exits, 1);
	let_go(&c);
	between = hear(&c);
	many_ticks(&w);
	let_go(&c);
	last = hear(&c);
	let_go(&c);
	assert_int_equal(space_of(&w, last)->cause, MM_EXEC);
	assert_null(model_process(w.m, (uint32_t)between));
	assert_int_equal(model_spaces(w.m), 4);
	/* The one that was not told of is waited for, and may call malloc yet. */
	kill(old, SIGKILL);
	kill(sharing, SIGKILL);
	kill(last, SIGKILL);
	reap(&c);
	many_ticks(&w);
	assert_int_equal(w.exits, 4);
	assert_true(sampled_expects(w.k));
	assert_int_equal(sampled_admit(w.k, (uint32_t)between, false, &fd), 0);
	assert_int_equal(space_of(&w, between)->cause, MM_ATTACH);
	kill(between, SIGKILL);
	many_ticks(&w);
	assert_int_equal(w.exits, 5);
	assert_false(sampled_expects(w.k));
	assert_int_equal(model_spaces(w.m), 5);
	end(&w);
}

static void test_no_children(void **state)
{
	struct child c = start(be_mother, NULL);
	pid_t old = hear(&c), sharing;
	struct watch w;

	(void)state;
	begin(&w, false);
	assert_int_equal(sampled_watch(w.k, (uint32_t)c.pid, false), 0);
	many_ticks(&w);
	let_go(&c);
	sharing = hear(&c);
	let_go(&c);
	many_ticks(&w);
	assert_int_equal(model_spaces(w.m), 1);
	kill(old, SIGKILL);
	kill(sharing, SIGKILL);
	reap(&c);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_many_files),
		cmocka_unit_test(test_stamp),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_no_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
