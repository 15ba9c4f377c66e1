// SPDX-License-Identifier: GPL-2.0
/*
 * The uprobe source on running victims. Where BPF is not allowed the tests say
 * so and pass; the live tests run them as root.
 */
#include <elf.h>
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
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/allocator.h"
#include "intake/uprobe.h"
#include "tapes.h"

struct run {
	struct uprobes *u;
	uint32_t pid;
	int in, out; /* the victim's */
	int status;
	char text[65536];
	size_t len;
	struct tapes tapes;
	uint64_t words, lost;
	struct uprobe_totals totals;
};

static void opened(void *ctx, struct uprobe_thread *t)
{
	struct run *run = ctx;

	tapes_add(&run->tapes, t, run->pid);
}

static void read_tape(struct tape *t)
{
	const struct event *ev;
	bool sure;

	while (t->source && (ev = uprobe_peek(t->source, &sure))) {
		tape_append(t, ev);
		uprobe_pop(t->source);
	}
}

static void closing(void *ctx, struct uprobe_thread *t)
{
	struct run *run = ctx;
	struct tape *tape = tapes_find(&run->tapes, t);

	read_tape(tape);
	tape->source = NULL;
}

static void words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		  size_t nr)
{
	struct run *run = ctx;

	assert_int_equal(tgid, run->pid);
	assert_true(tid && w && nr);
	run->words += nr;
}

static void lost(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct run *run = ctx;

	assert_true(tgid && tid);
	run->lost += nr;
}

static const struct uprobe_ops ops = { opened, closing, words, lost };

static void start(struct run *run, const char *name, const char *arg)
{
	int in[2], out[2];
	char *path = victim(name);

	memset(run, 0, sizeof(*run));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run->pid = (uint32_t)fork();
	if (!run->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		setenv("VICTIM_WAIT", "1", 1);
		execl(path, path, arg, NULL);
		_exit(127);
	}
	free(path);
	close(in[0]);
	close(out[1]);
	run->in = in[1];
	run->out = out[0];
}

static void drain(struct run *run)
{
	size_t i;

	uprobes_drain(run->u);
	for (i = 0; i < run->tapes.nr; i++)
		read_tape(&run->tapes.at[i]);
}

static void finish(struct run *run)
{
	struct pollfd p = { run->out, POLLIN, 0 };
	ssize_t n = 1;

	assert_int_equal(write(run->in, "g", 1), 1);
	while (n > 0) {
		if (poll(&p, 1, 5) == 1) {
			n = read(run->out, run->text + run->len,
				 sizeof(run->text) - 1 - run->len);
			run->len += n > 0 ? (size_t)n : 0;
		}
		if (run->u)
			drain(run);
	}
	run->text[run->len] = 0;
	assert_int_equal(waitpid((pid_t)run->pid, &run->status, 0), run->pid);
	close(run->in);
	close(run->out);
	if (!run->u)
		return;
	drain(run);
	run->totals = uprobes_totals(run->u);
	uprobes_close(run->u);
}

/* Runs a victim under uprobes. False: not possible here. */
static bool probe(struct run *run, const char *name, const char *arg)
{
	char *why;

	start(run, name, arg);
	await_read(run->pid);
	run->u = uprobes_open(run->pid, NULL, NULL, true, &ops, run, &why);
	if (!run->u) {
		print_message("not tested here: %s\n", why);
		free(why);
	}
	finish(run);
	assert_true(WIFEXITED(run->status));
	return run->u;
}

static struct verdict judge_sound(struct run *run)
{
	uint64_t lo, hi;
	struct verdict v;

	text_range(run->text, &lo, &hi);
	v = judge(&run->tapes, run->pid, lo, hi);
	assert_int_equal(v.twice, 0);
	assert_int_equal(v.backwards, 0);
	assert_int_equal(run->lost, 0);
	assert_int_equal(run->totals.lost, 0);
	return v;
}

/* glibc's memalign is its aligned_alloc: one probe, one name. */
static void unify(char *s)
{
	char *at;

	while ((at = strstr(s, "memalign return")) &&
	       (at == s || at[-1] == '\n')) {
		memmove(at + 13, at + 8, strlen(at + 8) + 1);
		memcpy(at, "aligned_alloc", 13);
	}
}

/* The probe of free() stands behind its test for NULL. */
static void leave_out_null(char *s)
{
	static const char line[] = "free enter 0 0 0\n";
	char *at;

	while ((at = strstr(s, line)))
		memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
}

static void test_calls(void **state)
{
	struct run run;
	char *told, *printed;
	uint64_t lo, hi;
	size_t len, i;
	FILE *f;

	(void)state;
	if (!probe(&run, "alloc_calls", NULL))
		return;
	assert_int_equal(WEXITSTATUS(run.status), 7);
	assert_int_equal(run.tapes.nr, 1);
	text_range(run.text, &lo, &hi);
	f = open_memstream(&told, &len);
	for (i = 0; i < run.tapes.at[0].nr; i++)
		put_line(f, &run.tapes.at[0].evs[i], lo, hi);
	fclose(f);
	printed = malloc(2 * sizeof(run.text));
	strcpy(printed, strchr(run.text, '\n') + 1);
	unify(printed);
	leave_out_null(printed);
	leave_out_null(told);
	assert_string_equal(told, printed);
	assert_true(run.totals.probes >= 18);
	assert_true(judge_sound(&run).windows > 10);
	free(told);
	free(printed);
	tapes_free(&run.tapes);
}

static void check_counts(struct run *run)
{
	uint64_t allocs, frees;
	struct verdict v;

	assert_int_equal(run->status, 0);
	assert_int_equal(sscanf(strstr(run->text, "allocs"),
				"allocs %lu frees %lu", &allocs, &frees),
			 2);
	v = judge_sound(run);
	assert_int_equal(v.allocs, allocs);
	assert_int_equal(v.frees, frees);
}

static void test_threads(void **state)
{
	struct run run;

	(void)state;
	if (!probe(&run, "alloc_threads", "500"))
		return;
	check_counts(&run);
	assert_true(run.tapes.nr >= 8);
	tapes_free(&run.tapes);
}

static void test_churn(void **state)
{
	struct run run;

	(void)state;
	if (!probe(&run, "alloc_churn", "50"))
		return;
	check_counts(&run);
	tapes_free(&run.tapes);
}

/* Children are not followed; a vfork child is this address space. */
static void test_fork(void **state)
{
	uint64_t allocs, frees, lo, hi;
	struct verdict v;
	struct run run;
	char *line;

	(void)state;
	if (!probe(&run, "alloc_fork", NULL))
		return;
	assert_int_equal(run.status, 0);
	line = strstr(run.text, "main pid");
	assert_int_equal(sscanf(line, "main pid %*u allocs %lu frees %lu",
				&allocs, &frees),
			 2);
	text_range(run.text, &lo, &hi);
	v = judge(&run.tapes, run.pid, lo, hi);
	assert_int_equal(v.allocs, allocs);
	assert_int_equal(v.frees, frees);
	assert_int_equal(v.twice, 0);
	tapes_free(&run.tapes);
}

static void test_nobody(void **state)
{
	char *why = NULL;

	(void)state;
	assert_null(uprobes_open(4194303, NULL, NULL, true, &ops, NULL, &why));
	assert_non_null(strstr(why, "No such"));
	free(why);
}

static void test_find(void **state)
{
	struct allocator a;
	struct run run;
	size_t i;

	(void)state;
	start(&run, "alloc_calls", NULL);
	await_read(run.pid);
	assert_int_equal(allocator_find(run.pid, &a), 0);
	assert_non_null(strstr(a.name, "libc"));
	assert_string_equal(a.kind, "glibc");
	assert_false(a.is_static);
	assert_true(a.nr >= 8);
	assert_string_equal(a.functions[0].name, "malloc");
	assert_string_equal(a.functions[1].name, "free");
	for (i = 0; i < a.nr; i++)
		assert_true(a.functions[i].offset > 0);
	finish(&run);
	/* ourselves, under the sanitizer: it brings its own malloc */
	assert_int_equal(allocator_find((uint32_t)getpid(), &a), 0);
	assert_null(strstr(a.name, "libc."));
	assert_string_equal(a.kind, "AddressSanitizer");
}

/* Files that do not run, by what they are. */
static void test_read(void **state)
{
	static const struct {
		const char *file;
		int err;
		bool is_static;
		const char *kind;
	} files[] = {
		{ "alloc_ops", -ENOENT, false, "" },
		{ "alloc_ops-jemalloc", -ENOENT, false, "" },
		{ "alloc_ops-static", 0, true, "glibc" },
		{ "alloc_ops-stripped", -ENOENT, true, "" },
		{ "alloc_ops-musl", -ENOENT, false, "" },
		{ "alloc_ops-musl-static", 0, true, "musl" },
		{ "alloc_ops.d", -EINVAL, false, "" },
		{ "no such file", -ENOENT, false, "" },
	};
	struct allocator a;
	char path[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "build/tests/victims/%s",
			 files[i].file);
		assert_int_equal(allocator_read(path, &a), files[i].err);
		assert_int_equal(a.is_static, files[i].is_static);
		assert_string_equal(a.kind, files[i].kind);
	}
}

/* As cp does: the file stays the same one. */
static void copy(const char *victim, const char *to)
{
	char path[128], buf[65536];
	int in, out;
	ssize_t n;

	snprintf(path, sizeof(path), "build/tests/victims/%s", victim);
	in = open(path, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

/* Its first table of symbols has a terabyte now, which it need not have on disk. */
static void inflate(const char *path)
{
	const uint64_t bytes = 24ull << 36;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf64_Ehdr e;
	Elf64_Shdr sh;
	size_t i, at = 0;

	assert_int_equal(pread(fd, &e, sizeof(e), 0), sizeof(e));
	for (i = 0, sh.sh_type = 0; i < e.e_shnum && sh.sh_type != SHT_SYMTAB;
	     i++) {
		at = e.e_shoff + i * sizeof(sh);
		assert_int_equal(pread(fd, &sh, sizeof(sh), (off_t)at),
				 sizeof(sh));
	}
	assert_int_equal(sh.sh_type, SHT_SYMTAB);
	sh.sh_size = bytes;
	assert_int_equal(pwrite(fd, &sh, sizeof(sh), (off_t)at), sizeof(sh));
	assert_int_equal(ftruncate(fd, (off_t)(sh.sh_offset + bytes)), 0);
	close(fd);
}

/* Others are watched meanwhile. */
static void test_endless(void **state)
{
	int fd = memfd_create("endless", MFD_CLOEXEC);
	struct allocator a;
	char path[32];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy("alloc_ops-static", path);
	assert_int_equal(allocator_read(path, &a), 0);
	inflate(path);
	assert_int_equal(allocator_read(path, &a), -ENOENT);
	assert_true(a.is_static);
	close(fd);
}

/* Of the program as it starts. */
static struct allocator allocator_in(const char *path)
{
	struct allocator a;
	pid_t pid = fork();
	int status;

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execl(path, path, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(allocator_find((uint32_t)pid, &a), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return a;
}

/* What is known of a file is of no use when it has become another one. */
static void test_changed(void **state)
{
	char dir[] = "/tmp/uprobe_test.XXXXXX", path[64];
	struct allocator a, b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/program", dir);
	copy("alloc_ops-static", path);
	a = allocator_in(path);
	assert_string_equal(a.kind, "glibc");
	b = allocator_in(path);
	assert_string_equal(b.kind, "glibc");
	assert_true(b.is_static);
	assert_int_equal(b.nr, a.nr);
	assert_memory_equal(b.functions, a.functions,
			    a.nr * sizeof(a.functions[0]));
	copy("alloc_ops-musl-static", path);
	assert_string_equal(allocator_in(path).kind, "musl");
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	cmocka_unit_test(test_read),
		cmocka_unit_test(test_endless), cmocka_unit_test(test_changed),
		cmocka_unit_test(test_nobody),	cmocka_unit_test(test_calls),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_churn),
		cmocka_unit_test(test_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
