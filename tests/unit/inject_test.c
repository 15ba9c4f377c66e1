// SPDX-License-Identifier: GPL-2.0
/*
 * The shim injected into running victims and taken out again. This process is
 * the daemon. A victim waits in read() until it is told to begin (alloc_wait.h),
 * so that all it allocates itself is seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cap-ng.h>
#include <cmocka.h>

#include "intake/inject.h"
#include "intake/proc.h"
#include "intake/rings.h"
#include "probe/inject.h"
#include "child.h"
#include "tapes.h"

struct run {
	uint32_t pid;
	int in, out; /* the victim's */
	int status;
	char *text;
	size_t len;
	char dir[32], sock[64];
	struct rings *rings;
	struct inject *inject;
	struct tapes tapes;
	int stamp_fd;
	volatile uint64_t *stamp;
	uint64_t lost;
	unsigned int nones;
	struct rings_totals totals;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the daemon ---- */

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct run *run = ctx;

	(void)flags;
	if (stamp_fd)
		*stamp_fd = run->stamp_fd;
	return tgid == run->pid ? 0 : -ESRCH;
}

static void opened(void *ctx, struct ring *r)
{
	struct run *run = ctx;

	tapes_add(&run->tapes, r, ring_tgid(r));
}

static void read_tape(struct tape *t)
{
	const struct event *ev;
	bool sure;

	while (t->source && (ev = ring_peek(t->source, &sure))) {
		tape_append(t, ev);
		ring_pop(t->source);
	}
}

static void closing(void *ctx, struct ring *r)
{
	struct run *run = ctx;
	struct tape *t = tapes_find(&run->tapes, r);

	read_tape(t);
	t->source = NULL;
}

static void lost(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct run *run = ctx;

	(void)tgid;
	(void)tid;
	run->lost += nr;
}

static void none(void *ctx, uint32_t tgid, int err)
{
	struct run *run = ctx;

	(void)tgid;
	assert_int_equal(err, -EXDEV);
	run->nones++;
}

static const struct rings_ops ops = { .admit = admit,
				      .none = none,
				      .opened = opened,
				      .closing = closing,
				      .lost = lost };

static void drain(struct run *run)
{
	size_t i;

	rings_accept(run->rings);
	*run->stamp = now_ns();
	rings_drain(run->rings);
	for (i = 0; i < run->tapes.nr; i++)
		read_tape(&run->tapes.at[i]);
}

static void open_daemon(struct run *run)
{
	strcpy(run->dir, "/tmp/vmaheap-inject-XXXXXX");
	assert_non_null(mkdtemp(run->dir));
	snprintf(run->sock, sizeof(run->sock), "%s/sock", run->dir);
	run->stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	assert_int_equal(ftruncate(run->stamp_fd, 4096), 0);
	run->stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			  run->stamp_fd, 0);
	*run->stamp = now_ns();
	run->rings = rings_open(run->sock, 1 << 20, true, &ops, run);
	assert_non_null(run->rings);
}

static void close_rings(struct run *run)
{
	drain(run);
	run->totals = rings_totals(run->rings);
	rings_close(run->rings);
	run->rings = NULL;
}

static void close_daemon(struct run *run)
{
	if (run->rings)
		close_rings(run);
	munmap((void *)(uintptr_t)run->stamp, 4096);
	close(run->stamp_fd);
	rmdir(run->dir);
}

/* ---- the victim ---- */

static void start(struct run *run, char *const argv[])
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run->pid = (uint32_t)fork();
	if (!run->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		setenv("VICTIM_WAIT", "1", 1);
		unsetenv("ASAN_OPTIONS");
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	run->in = in[1];
	run->out = out[0];
}

/* What it says within a millisecond, and what is in the rings. False: it has closed its output. */
static bool hear(struct run *run)
{
	struct pollfd p = { run->out, POLLIN, 0 };
	ssize_t n = 1;

	if (poll(&p, 1, 1) == 1) {
		run->text = realloc(run->text, run->len + 4097);
		n = read(run->out, run->text + run->len, 4096);
		run->len += n > 0 ? (size_t)n : 0;
		run->text[run->len] = 0;
	}
	if (run->rings)
		drain(run);
	return n > 0;
}

static void finish(struct run *run)
{
	close(run->in);
	while (hear(run))
		;
	close(run->out);
	waitpid((pid_t)run->pid, &run->status, 0);
}

static void begin(struct run *run, char *const argv[])
{
	char *why = NULL;

	memset(run, 0, sizeof(*run));
	open_daemon(run);
	start(run, argv);
	await_read(run->pid);
	run->inject = inject_open(run->pid, run->sock, false, &why);
	if (!run->inject)
		print_error("%s\n", why);
	assert_non_null(run->inject);
	assert_int_equal(write(run->in, "g", 1), 1);
}

static void end(struct run *run)
{
	if (run->inject)
		inject_close(run->inject);
	close_daemon(run);
	tapes_free(&run->tapes);
	free(run->text);
}

static void run_victim(struct run *run, const char *name, const char *arg)
{
	char *argv[] = { victim(name), (char *)(uintptr_t)arg, NULL };

	begin(run, argv);
	finish(run);
	close_rings(run);
	free(argv[0]);
}

/* ---- the tests ---- */

static void test_calls(void **state)
{
	struct run run;
	uint64_t lo, hi;
	char *told;
	size_t len, i;
	FILE *f;

	(void)state;
	run_victim(&run, "alloc_calls", NULL);
	assert_true(WIFEXITED(run.status));
	assert_int_equal(WEXITSTATUS(run.status), 7);
	text_range(run.text, &lo, &hi);
	assert_int_equal(run.tapes.nr, 1);
	f = open_memstream(&told, &len);
	for (i = 0; i < run.tapes.at[0].nr; i++)
		put_line(f, &run.tapes.at[0].evs[i], lo, hi);
	fclose(f);
	assert_string_equal(told, strchr(run.text, '\n') + 1);
	free(told);
	end(&run);
}

/* Of every allocator what it has, by whatever name. */
static void test_allocators(void **state)
{
	static const char *const victims[] = {
		"alloc_ops", "alloc_ops-jemalloc", "alloc_ops-tcmalloc",
		"alloc_ops-mimalloc", "alloc_ops-musl"
	};
	struct run run;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(victims) / sizeof(*victims); i++) {
		run_victim(&run, victims[i], NULL);
		assert_int_equal(run.status, 0);
		check_ops(&run.tapes, run.text);
		end(&run);
	}
}

/*
 * The counts that the victim made are ours. What it frees but had before we came
 * is unknown to us, which is no error.
 */
static void check_counts(struct run *run)
{
	uint64_t lo, hi, allocs, frees, live;
	struct verdict v;

	assert_int_equal(run->status, 0);
	text_range(run->text, &lo, &hi);
	assert_int_equal(sscanf(strstr(run->text, "allocs"),
				"allocs %lu frees %lu live %lu", &allocs,
				&frees, &live),
			 3);
	v = judge(&run->tapes, run->pid, lo, hi);
	assert_int_equal(v.twice, 0);
	assert_int_equal(v.backwards, 0);
	assert_true(v.unknown < 10);
	assert_int_equal(run->lost, 0);
	assert_int_equal(run->totals.broken, 0);
	assert_int_equal(v.allocs, allocs);
	assert_int_equal(v.frees, frees);
}

static void test_threads(void **state)
{
	struct run run;

	(void)state;
	run_victim(&run, "alloc_threads", "20000");
	check_counts(&run);
	assert_in_range(run.tapes.nr, 8, 9);
	end(&run);
}

/* Threads that end and begin where others ended, and free while they end. */
static void test_churn(void **state)
{
	struct run run;

	(void)state;
	run_victim(&run, "alloc_churn", "2000");
	check_counts(&run);
	assert_in_range(run.tapes.nr, 2, 30);
	end(&run);
}

/* Of an allocator that the shim does not see it knows that it is there. */
static void apart(const char *how, bool before)
{
	struct run run;

	run_victim(&run, "apart", how);
	assert_int_equal(run.status, 0);
	assert_int_equal(inject_totals(run.inject).apart, before);
	assert_int_equal(run.nones, !before);
	end(&run);
}

static void test_apart(void **state)
{
	(void)state;
	apart("before", true);
	apart("after", false);
}

/* What is loaded later is seen from its first call on, and nothing else looks for it here. */
static void test_late(void **state)
{
	static const char *const hows[] = { NULL, "deepbind" };
	struct run run;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		run_victim(&run, "late", hows[i]);
		check_counts(&run);
		assert_int_equal(run.nones, 0);
		end(&run);
	}
}

/* With another malloc before the C library's, what was opened past it is known of. */
static void test_past(void **state)
{
	char *argv[] = { victim("late"), "deepbind", "early", NULL };
	char *preload[] = { NULL, victim("stuck.so") };
	struct run run;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		if (preload[i])
			setenv("LD_PRELOAD", preload[i], 1);
		begin(&run, argv);
		unsetenv("LD_PRELOAD");
		finish(&run);
		assert_int_equal(run.status, 0);
		assert_int_equal(inject_totals(run.inject).apart, i);
		end(&run);
	}
	free(preload[1]);
	free(argv[0]);
}

/* ---- taking it out ---- */

/* All that the process has mapped privately from files: code, and every GOT. */
struct memory {
	struct proc_map *maps;
	long nr;
	unsigned char **bytes;
};

static bool is_of_file(const struct proc_map *m)
{
	return m->d.flags & VMA_FILE && !(m->d.flags & VMA_SHARED) &&
	       m->d.flags & VMA_READ;
}

static void take_memory(uint32_t pid, struct memory *m)
{
	char path[32];
	int fd;
	long i;

	m->nr = proc_maps(pid, &m->maps);
	assert_true(m->nr > 0);
	m->bytes = calloc((size_t)m->nr, sizeof(*m->bytes));
	snprintf(path, sizeof(path), "/proc/%u/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (i = 0; i < m->nr; i++) {
		size_t size = m->maps[i].d.end - m->maps[i].d.start;

		if (!is_of_file(&m->maps[i]))
			continue;
		m->bytes[i] = malloc(size);
		if (pread(fd, m->bytes[i], size, (off_t)m->maps[i].d.start) !=
		    (ssize_t)size)
			memset(m->bytes[i], 0, size);
	}
	close(fd);
}

static void free_memory(struct memory *m)
{
	long i;

	for (i = 0; i < m->nr; i++)
		free(m->bytes[i]);
	free(m->bytes);
	free(m->maps);
}

/* Words that differ; maps that are there in one of both only, but the image. */
static unsigned int differences(const struct memory *a, const struct memory *b)
{
	unsigned int bad = 0;
	long i, j = 0;

	for (i = 0; i < a->nr; i++, j++) {
		const struct vma_desc *d = &a->maps[i].d;

		while (j < b->nr && b->maps[j].d.start >= SHIM_REGION &&
		       b->maps[j].d.end <= SHIM_REGION + SHIM_REGION_BYTES)
			j++;
		if (j >= b->nr || d->start != b->maps[j].d.start ||
		    d->end != b->maps[j].d.end ||
		    d->flags != b->maps[j].d.flags)
			return bad + 1;
		bad += a->bytes[i] &&
		       memcmp(a->bytes[i], b->bytes[j], d->end - d->start);
	}
	return bad;
}

static size_t mapped_by_shim(const struct memory *m)
{
	size_t bytes = 0;
	long i;

	for (i = 0; i < m->nr; i++)
		if (m->maps[i].d.start >= SHIM_REGION &&
		    m->maps[i].d.end <= SHIM_REGION + SHIM_REGION_BYTES)
			bytes += m->maps[i].d.end - m->maps[i].d.start;
	return bytes;
}

/* Puts it into a victim that waits: all that the victim does then is seen. */
static void see_all(struct run *run)
{
	char *why = NULL;

	run->inject = inject_open(run->pid, run->sock, false, &why);
	assert_non_null(run->inject);
	assert_int_equal(write(run->in, "g", 1), 1);
	finish(run);
	close_rings(run);
	check_counts(run);
}

/* Out again, everything is as it was; in again, it works as the first time. */
static void test_out(void **state)
{
	char *argv[] = { victim("alloc_threads"), "5000", NULL };
	struct memory before, during, after;
	struct run run = { 0 };
	char *why = NULL;
	int i;

	(void)state;
	open_daemon(&run);
	start(&run, argv);
	await_read(run.pid);
	take_memory(run.pid, &before);
	for (i = 0; i < 3; i++) {
		run.inject = inject_open(run.pid, run.sock, false, &why);
		assert_non_null(run.inject);
		assert_true(inject_totals(run.inject).pointers > 5);
		take_memory(run.pid, &during);
		assert_true(differences(&before, &during) > 0);
		assert_int_equal(inject_silence(run.inject), 0);
		assert_true(inject_close(run.inject));
		take_memory(run.pid, &after);
		assert_int_equal(differences(&before, &after), 0);
		assert_true(mapped_by_shim(&after) <= 512 * 1024);
		free_memory(&during);
		free_memory(&after);
	}
	see_all(&run);
	free_memory(&before);
	free(argv[0]);
	end(&run);
}

/* A daemon that is killed while it is in there. */
static void orphan(uint32_t pid)
{
	char *why = NULL;
	int status;
	pid_t child;

	child = fork();
	if (!child)
		_exit(!inject_open(pid, "/nowhere/sock", false, &why));
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

/*
 * One whose daemon was killed is in the way of nobody. (What had not been bound
 * yet is bound then, so that here everything is from the start.)
 */
static void test_orphan(void **state)
{
	char *argv[] = { victim("alloc_threads"), "5000", NULL };
	struct memory before, after;
	struct run run = { 0 };
	char *why = NULL;

	(void)state;
	open_daemon(&run);
	setenv("LD_BIND_NOW", "1", 1);
	start(&run, argv);
	unsetenv("LD_BIND_NOW");
	await_read(run.pid);
	take_memory(run.pid, &before);
	orphan(run.pid);
	run.inject = inject_open(run.pid, run.sock, false, &why);
	assert_non_null(run.inject);
	/* A second one keeps away while the first is served. */
	assert_null(inject_open(run.pid, run.sock, false, &why));
	assert_non_null(strstr(why, "another vmaheap"));
	free(why);
	assert_int_equal(inject_silence(run.inject), 0);
	assert_true(inject_close(run.inject));
	take_memory(run.pid, &after);
	assert_int_equal(differences(&before, &after), 0);
	free_memory(&before);
	free_memory(&after);
	see_all(&run);
	free(argv[0]);
	end(&run);
}

static bool any_pauses(uint32_t pid)
{
	char cmd[80];

	snprintf(cmd, sizeof(cmd), "grep -q '^34 ' /proc/%u/task/*/syscall",
		 pid);
	return !system(cmd);
}

/*
 * A thread that is in the image of one that was killed stays there; what the others
 * call is seen by another image.
 */
static void test_inside(void **state)
{
	char *argv[] = { victim("inside"), NULL };
	char *stuck = victim("stuck.so");
	struct run run = { 0 };
	int tries = 0;

	(void)state;
	open_daemon(&run);
	setenv("LD_PRELOAD", stuck, 1);
	start(&run, argv);
	unsetenv("LD_PRELOAD");
	await_read(run.pid);
	orphan(run.pid);
	assert_int_equal(kill((pid_t)run.pid, SIGUSR1), 0);
	while (!any_pauses(run.pid)) {
		assert_true(tries++ < 1000);
		usleep(10000);
	}
	see_all(&run);
	free(stuck);
	free(argv[0]);
	end(&run);
}

/*
 * In and out, while 64 threads allocate, others begin and end, libraries come and
 * go and children are forked. $VMAHEAP_CYCLES: how often; $VMAHEAP_PAUSE_MS: of the
 * storm (2; it takes all CPU time then, and is in the dynamic linker for most of it,
 * where an attach lets go and tries again).
 */
static void test_cycles(void **state)
{
	const char *env = getenv("VMAHEAP_CYCLES");
	unsigned long cycles = env ? strtoul(env, NULL, 0) : 10, i, inside = 0;
	unsigned long refusals = 0, late = 0;
	char *ms = getenv("VMAHEAP_PAUSE_MS");
	char *argv[] = { victim("alloc_storm"), "64", ms, NULL };
	uint64_t until, words = 0, longest = 0;
	struct run run = { 0 };
	char *why = NULL;

	(void)state;
	alarm(300 + 10 * (unsigned int)cycles);
	open_daemon(&run);
	close_rings(&run);
	start(&run, argv);
	await_read(run.pid);
	assert_int_equal(write(run.in, "g", 1), 1);
	for (i = 0; i < cycles; i++) {
		run.rings = rings_open(run.sock, 65536, false, &ops, &run);
		assert_non_null(run.rings);
		run.inject = inject_open(run.pid, run.sock, false, &why);
		if (!run.inject) {
			if (!strstr(why, "does not stop") &&
			    !strstr(why, "at work all the time"))
				fail_msg("%s", why);
			free(why);
			refusals++;
			close_rings(&run);
			continue;
		}
		until = now_ns() + 3000000 * (i % 8);
		do {
			usleep(500);
			drain(&run);
			inject_look(run.inject);
		} while (now_ns() < until);
		late += inject_silence(run.inject) != 0;
		close_rings(&run);
		words += run.totals.words;
		assert_int_equal(run.totals.broken, 0);
		if (inject_totals(run.inject).longest_ns > longest)
			longest = inject_totals(run.inject).longest_ns;
		inside += !inject_close(run.inject);
		run.inject = NULL;
		tapes_free(&run.tapes);
		run.tapes = (struct tapes){ 0 };
	}
	assert_true(words > cycles * 10);
	assert_true(4 * (refusals + late) <= cycles);
	assert_int_equal(kill((pid_t)run.pid, 0), 0);
	finish(&run);
	assert_int_equal(run.status, 0);
	print_message(
		"%lu cycles, %lu words, longest stop %lu us, "
		"%lu times a thread was inside, %lu refusals, %lu times it did not stop\n%s",
		cycles, words, longest / 1000, inside, refusals, late,
		run.text);
	free(argv[0]);
	end(&run);
}

/* ---- the victim shuts itself in ---- */

/* Until it has told its counts; then it waits. */
static void await_counts(struct run *run, bool look)
{
	while (!run->text || !strstr(run->text, "live")) {
		assert_true(hear(run)); /* it was not killed */
		if (look)
			inject_look(run->inject);
	}
}

static void begin_guarded(struct run *run, const char *how)
{
	char *argv[] = { victim("alloc_guarded"), (char *)(uintptr_t)how,
			 (char[]){ "thread" }, NULL };

	begin(run, argv);
	await_counts(run, !strcmp(how, "raw"));
	free(argv[0]);
}

/* All that it did was told, but that of a thread that had no ring, which was lost. */
static void check_lost(struct run *run, uint64_t told)
{
	uint64_t lo, hi, allocs, frees;
	struct verdict v;

	assert_int_equal(run->status, 0);
	text_range(run->text, &lo, &hi);
	assert_int_equal(sscanf(strstr(run->text, "allocs"),
				"allocs %lu frees %lu", &allocs, &frees),
			 2);
	v = judge(&run->tapes, run->pid, lo, hi);
	assert_int_equal(v.allocs + v.frees, told);
	assert_in_range(run->lost, allocs + frees - told,
			allocs + frees - told + 10);
}

static void may_suspend(bool may)
{
	capng_get_caps_process();
	capng_update(may ? CAPNG_ADD : CAPNG_DROP, CAPNG_EFFECTIVE,
		     CAP_SYS_ADMIN);
	assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
}

static size_t bytes_of_shim(const struct run *run)
{
	struct memory m;
	size_t bytes;

	take_memory(run->pid, &m);
	bytes = mapped_by_shim(&m);
	free_memory(&m);
	return bytes;
}

/*
 * No system call of the shim, and none for it, kills a process that has a filter by
 * then. Who may suspend the filter takes the shim out; else it stays, silent.
 */
static void guarded(const char *how, bool may, uint64_t told)
{
	struct run run;
	bool root = !geteuid(), left;

	begin_guarded(&run, how);
	if (root && !may)
		may_suspend(false);
	assert_int_equal(inject_silence(run.inject), 0);
	run.lost += inject_totals(run.inject).unheard;
	drain(&run);
	rings_end(run.rings);
	close_rings(&run);
	left = inject_close(run.inject);
	run.inject = NULL;
	assert_int_equal(left, root && may);
	assert_true((bytes_of_shim(&run) <= 512 * 1024) == left);
	if (root && !may)
		may_suspend(true);
	finish(&run);
	check_lost(&run, told);
	end(&run);
}

static void test_guarded(void **state)
{
	(void)state;
	guarded("prctl", true, 800000);
	guarded("syscall", false, 800000);
	guarded("raw", true, 0);
}

/* ---- the injector is killed ---- */

static long calls_left = -1; /* until it is killed; below 0: it is not */

static void may_end(void)
{
	if (!calls_left--)
		kill(getpid(), SIGKILL);
}

/* These stand before the C library's own in all that is linked into the test. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	long a, b, c, rc;

	may_end();
	va_start(ap, request);
	a = va_arg(ap, int);
	b = va_arg(ap, long);
	c = va_arg(ap, long);
	va_end(ap);
	rc = syscall(SYS_ptrace, (long)request, a, b, c);
	may_end();
	return rc;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	may_end();
	return syscall(SYS_pwrite64, fd, buf, n, at);
}

/* In and out; its socket is not served. */
static int in_and_out(uint32_t pid)
{
	char *why = NULL;
	struct inject *in = inject_open(pid, "/nowhere/sock", false, &why);

	if (!in) {
		print_error("%s\n", why);
		return 1;
	}
	return inject_silence(in) || !inject_close(in);
}

/* A child that does it and is killed after so many calls: how it ended. */
static int killed_after(uint32_t pid, long calls)
{
	pid_t child = fork();
	int status;

	if (!child) {
		calls_left = calls;
		_exit(in_and_out(pid));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void start_state(struct run *run, const char *name)
{
	char *argv[] = { victim("states"), (char *)(uintptr_t)name, NULL };

	memset(run, 0, sizeof(*run));
	start(run, argv);
	await_read(run->pid);
	assert_int_equal(write(run->in, "g", 1), 1);
	free(argv[0]);
}

static void end_state(struct run *run)
{
	assert_int_equal(killed_after(run->pid, -1), 0);
	finish(run);
	assert_int_equal(run->status, 0);
	free(run->text);
}

/*
 * Every step-th moment from the first on, of one victim, or of its own each: how
 * many moments there are.
 */
static long each_moment(const char *name, bool fresh, long first, long step)
{
	int status = SIGKILL;
	struct run run;
	long n;

	for (n = first; status == SIGKILL; n += step) {
		assert_true(n < 5000);
		if (n == first || fresh)
			start_state(&run, name);
		status = killed_after(run.pid, n);
		if (status != SIGKILL || fresh)
			end_state(&run);
	}
	assert_int_equal(status, 0);
	return n - step;
}

/*
 * Killed at each of the moments that an injection has, the victim goes on as if
 * nothing had been, and the next injector finds its way. With $VMAHEAP_CYCLES in
 * each state at all of them, else they are dealt out.
 */
static void test_killed(void **state)
{
	static const char *const states[] = { "compute", "sleep", "poll",
					      "read", "suspend" };
	bool all = getenv("VMAHEAP_CYCLES");
	long i;

	(void)state;
	alarm(all ? 3600 : 300);
	for (i = 0; i < 5; i++)
		assert_true(each_moment(states[i], true, all ? 0 : i,
					all ? 1 : 5) > 100);
	for (i = 0; i < (all ? 5 : 1); i++)
		each_moment(states[i], false, 0, 1);
}

/* Kills it when so much time has passed since it began. */
static void kill_within(uint32_t pid, unsigned int us)
{
	pid_t child = fork();
	int status;

	if (!child)
		for (;;)
			if (in_and_out(pid))
				_exit(1);
	usleep(us);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, SIGKILL);
}

/* At any time, while all kinds of things go on; $VMAHEAP_CYCLES: how often. */
static void test_killed_at_random(void **state)
{
	const char *env = getenv("VMAHEAP_CYCLES");
	unsigned long n = env ? strtoul(env, NULL, 0) : 30;
	char *argv[] = { victim("alloc_storm"), "8", NULL };
	struct run run = { 0 };

	(void)state;
	alarm(300 + (unsigned int)n);
	start(&run, argv);
	await_read(run.pid);
	assert_int_equal(write(run.in, "g", 1), 1);
	while (n--)
		kill_within(run.pid, (unsigned int)(random() % 40000));
	end_state(&run);
	free(argv[0]);
}

static void refused(uint32_t pid, const char *sentence)
{
	char *why = NULL;

	assert_null(inject_open(pid, "/nowhere/sock", false, &why));
	assert_non_null(why);
	if (!strstr(why, sentence))
		print_error("it says: %s\n", why);
	assert_non_null(strstr(why, sentence));
	free(why);
}

/* By a filter that forbids what the shim will ask for. */
static void in_seccomp(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void *thread_in_seccomp(void *ready)
{
	in_seccomp();
	assert_int_equal(write(*(int *)ready, "g", 1), 1);
	pause();
	return NULL;
}

/* The first thread has no filter. */
static void other_in_seccomp(void)
{
	int ready[2];
	pthread_t t;
	char c;

	if (pipe(ready) ||
	    pthread_create(&t, NULL, thread_in_seccomp, &ready[1]) ||
	    read(ready[0], &c, 1) != 1)
		_exit(1);
}

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
}

static void test_refused(void **state)
{
	pid_t pid;

	(void)state;
	refused(4194304, "no such process");
	refused(2, "kernel thread");
	pid = child_that(in_seccomp);
	refused((uint32_t)pid, "seccomp");
	end_child(pid);
	pid = child_that(other_in_seccomp);
	refused((uint32_t)pid, "seccomp");
	end_child(pid);
	pid = child_that(traced);
	refused((uint32_t)pid, "traces it");
	end_child(pid);
	pid = fork();
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	refused((uint32_t)pid, "has ended");
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_allocators),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_past),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_guarded),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_at_random),
		cmocka_unit_test(test_refused),
	};

	alarm(300);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
