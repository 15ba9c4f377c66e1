// SPDX-License-Identifier: GPL-2.0
/*
 * The shim in real programs, against the real rings. This process is the
 * daemon: it admits whoever asks, moves the stamp, and checks that the
 * events add up. Needs $VMAHEAP_SHIM or
 * build/libvmaheap-shim.so, and the victims in $VMAHEAP_VICTIMS or
 * build/tests/victims.
 */
#include <errno.h>
#include <fcntl.h>
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/rings.h"
#include "probe/words.h"
#include "../victims/moving/moving.h"
#include "tapes.h"

/* ---- a daemon of a hundred lines ---- */

struct setup {
	size_t ring_bytes; /* 0: 64 KiB */
	bool drop;
	int pause_ms; /* do not read for so long, when all threads have rings */
	int leave_ms; /* close the rings after so long */
	int drain_ms; /* between two drains; 0: 1 */
	bool refuse; /* admit nobody */
	bool stops; /* stop the target now and then */
	bool no_socket;
	bool still; /* nobody but the target moves the stamp */
	bool moving; /* and moving.so is its allocator */
	bool no_stamp; /* what is given as the stamp cannot be mapped */
	bool unlink; /* nobody finds the socket after the first ring */
	bool stacks; /* with every allocation */
};

struct run {
	int status;
	char *out;
	size_t out_len;
	uint64_t lost, word_events, byes, nones;
	int none; /* the last one's error */
	struct rings_totals totals;
	struct tapes tapes;
	int stamp_fd, given_fd; /* what targets get for it */
	volatile uint64_t *stamp;
	uint64_t began, ended; /* what the stamp was */
	volatile bool stop;
	unsigned int fresh, copied; /* requests for a ring, by SHIM_FRESH */
	bool refuse;
	uint32_t pid;
	const char *unlink; /* when a ring is opened; or NULL */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct run *run = ctx;

	assert_true(tgid > 1);
	if (stamp_fd) { /* a ring is wanted */
		*stamp_fd = run->given_fd;
		run->fresh += flags & SHIM_FRESH ? 1 : 0;
		run->copied += flags & SHIM_FRESH ? 0 : 1;
	}
	return run->refuse ? -ESRCH : 0;
}

static void opened(void *ctx, struct ring *r)
{
	struct run *run = ctx;

	tapes_add(&run->tapes, r, ring_tgid(r));
	if (run->unlink)
		unlink(run->unlink);
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

static void words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		  size_t nr)
{
	struct run *run = ctx;

	(void)tgid;
	(void)tid;
	assert_true(nr > 0);
	for (; nr; nr--, w++)
		assert_true(word_id(*w) != WORD_CTRL || word_get_value(*w));
	run->word_events++;
}

static void lost(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct run *run = ctx;

	(void)tgid;
	(void)tid;
	run->lost += nr;
}

static void bye(void *ctx, uint32_t tgid)
{
	struct run *run = ctx;

	(void)tgid;
	run->byes++;
}

static void none(void *ctx, uint32_t tgid, int err)
{
	struct run *run = ctx;

	assert_int_equal(tgid, run->pid);
	run->nones++;
	run->none = err;
}

static const struct rings_ops ops = { .admit = admit,
				      .opened = opened,
				      .closing = closing,
				      .words = words,
				      .lost = lost,
				      .none = none,
				      .bye = bye };

static void *tick(void *arg)
{
	struct run *run = arg;

	while (!run->stop) {
		*run->stamp = now_ns();
		usleep(100);
	}
	return NULL;
}

/*
 * Stops and continues the target all the time, while its threads ask for rings:
 * ptrace and SIGSTOP interrupt system calls that blocked signals do not.
 */
static void *stop_and_go(void *arg)
{
	struct run *run = arg;
	int fd = (int)syscall(SYS_pidfd_open, run->pid, 0);

	while (!run->stop) {
		usleep(300);
		syscall(SYS_pidfd_send_signal, fd, SIGSTOP, NULL, 0);
		usleep(300);
		syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
	}
	close(fd);
	return NULL;
}

static void drain(struct run *run, struct rings *rs)
{
	size_t i;

	rings_drain(rs);
	for (i = 0; i < run->tapes.nr; i++)
		read_tape(&run->tapes.at[i]);
}

static const char *shim_path(void)
{
	static char path[4096];
	const char *env = getenv("VMAHEAP_SHIM");

	return realpath(env ? env : "build/libvmaheap-shim.so", path);
}

/* The shim's original functions are those of moving.so. */
static void preload_moving(int stamp_fd)
{
	char *libs, *moving = victim("moving.so");

	if (asprintf(&libs, "%s:%s", shim_path(), moving) < 0)
		abort();
	setenv("LD_PRELOAD", libs, 1);
	dup2(stamp_fd, MOVING_FD);
}

static void child(char *const argv[], int out, const char *sock, int moving_fd)
{
	dup2(out, 1);
	unsetenv("ASAN_OPTIONS");
	if (sock) {
		setenv("LD_PRELOAD", shim_path(), 1);
		setenv(SHIM_SOCK_ENV, sock, 1);
	}
	if (moving_fd >= 0)
		preload_moving(moving_fd);
	execvp(argv[0], argv);
	_exit(127);
}

static void append(struct run *run, int fd)
{
	ssize_t n;

	do {
		run->out = realloc(run->out, run->out_len + 4097);
		n = read(fd, run->out + run->out_len, 4096);
		if (n > 0)
			run->out_len += (size_t)n;
	} while (n > 0);
	run->out[run->out_len] = 0;
}

static void serve(struct run *run, const struct setup *how, struct rings *rs,
		  int out)
{
	struct pollfd fds[2] = { { out, POLLIN, 0 }, { -1, POLLIN, 0 } };
	uint64_t begin = now_ns();
	bool paused = false;

	for (;;) {
		if (rs && how->leave_ms &&
		    now_ns() - begin > how->leave_ms * 1000000ull) {
			drain(run, rs);
			rings_close(rs);
			rs = NULL;
		}
		fds[1].fd = rs ? rings_fd(rs) : -1;
		poll(fds, 2, how->drain_ms ? how->drain_ms : 1);
		if (how->stops)
			usleep(3000); /* meanwhile a thread waits for its ring */
		if (rs && (fds[1].revents & POLLIN))
			rings_accept(rs);
		if (how->pause_ms && !paused && run->tapes.nr == 9) {
			paused = true;
			usleep((unsigned int)how->pause_ms * 1000);
		}
		if (rs)
			drain(run, rs);
		if (fds[0].revents)
			append(run, out);
		if ((fds[0].revents & POLLHUP) &&
		    waitpid((pid_t)run->pid, &run->status, WNOHANG) ==
			    (pid_t)run->pid)
			break;
	}
	if (rs) {
		drain(run, rs);
		run->totals = rings_totals(rs);
		rings_gone(rs, run->pid);
		drain(run, rs);
		rings_close(rs);
	}
}

static void record(struct run *run, const struct setup *how, char *const argv[])
{
	char dir[] = "/tmp/vmaheap-shim-XXXXXX", sock[64];
	struct rings *rs = NULL;
	pthread_t ticker, stopper;
	int out[2];

	assert_non_null(mkdtemp(dir));
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	run->refuse = how->refuse;
	run->unlink = how->unlink ? sock : NULL;
	run->stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	assert_int_equal(ftruncate(run->stamp_fd, 4096), 0);
	run->stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			  run->stamp_fd, 0);
	run->given_fd = how->no_stamp ?
				open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) :
				run->stamp_fd;
	if (!how->no_socket) {
		rs = rings_open(sock, how->ring_bytes ? how->ring_bytes : 65536,
				!how->drop, &ops, run);
		assert_non_null(rs);
		rings_set_stacks(rs, how->stacks);
	}
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	fcntl(out[1], F_SETFL, 0);
	run->pid = (uint32_t)fork();
	if (!run->pid)
		child(argv, out[1], sock, how->moving ? run->stamp_fd : -1);
	close(out[1]);
	*run->stamp = run->began = now_ns();
	if (!how->still)
		pthread_create(&ticker, NULL, tick, run);
	if (how->stops)
		pthread_create(&stopper, NULL, stop_and_go, run);
	serve(run, how, rs, out[0]);
	run->stop = true;
	if (!how->still)
		pthread_join(ticker, NULL);
	if (how->stops)
		pthread_join(stopper, NULL);
	close(out[0]);
	run->ended = *run->stamp;
	munmap((void *)run->stamp, 4096);
	close(run->stamp_fd);
	if (how->no_stamp)
		close(run->given_fd);
	rmdir(dir);
}

static void run_plain(struct run *run, char *const argv[])
{
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run->pid = (uint32_t)fork();
	if (!run->pid)
		child(argv, out[1], NULL, -1);
	close(out[1]);
	append(run, out[0]);
	close(out[0]);
	waitpid((pid_t)run->pid, &run->status, 0);
}

static void run_free(struct run *run)
{
	tapes_free(&run->tapes);
	free(run->out);
}

/* What must hold for a process that neither forked off us nor exec'ed. */
static struct verdict judge_sound(struct run *run, uint64_t lo, uint64_t hi)
{
	struct verdict v = judge(&run->tapes, run->pid, lo, hi);

	assert_int_equal(v.twice, 0);
	assert_int_equal(v.unknown, 0);
	assert_int_equal(v.backwards, 0);
	assert_int_equal(run->lost, 0);
	assert_int_equal(run->totals.broken, 0);
	assert_int_equal(run->totals.refused, 0);
	return v;
}

/* ---- the tests ---- */

static void victim_run(struct run *run, const struct setup *how,
		       const char *name, const char *arg)
{
	char *argv[] = { victim(name), (char *)(uintptr_t)arg, NULL };

	record(run, how, argv);
	free(argv[0]);
}

static void test_calls(void **state)
{
	struct setup how = { 0 };
	struct run run = { 0 };
	uint64_t lo, hi;
	char *told;
	size_t len, i;
	FILE *f;

	(void)state;
	victim_run(&run, &how, "alloc_calls", NULL);
	assert_true(WIFEXITED(run.status));
	assert_int_equal(WEXITSTATUS(run.status), 7);
	text_range(run.out, &lo, &hi);
	assert_int_equal(run.tapes.nr, 1);
	f = open_memstream(&told, &len);
	for (i = 0; i < run.tapes.at[0].nr; i++)
		put_line(f, &run.tapes.at[0].evs[i], lo, hi);
	fclose(f);
	assert_string_equal(told, strchr(run.out, '\n') + 1);
	assert_int_equal(run.byes, 1);
	judge_sound(&run, lo, hi);
	free(told);
	run_free(&run);
}

/* Where the stamp moved inside of a call the event says so, and nowhere else. */
static void test_windows(void **state)
{
	struct setup how = { .still = true, .moving = true };
	struct run run = { 0 };
	uint64_t was;
	size_t i;

	(void)state;
	victim_run(&run, &how, "alloc_calls", NULL);
	assert_int_equal(WEXITSTATUS(run.status), 7);
	assert_int_equal(run.tapes.nr, 1);
	was = run.began;
	for (i = 0; i < run.tapes.at[0].nr; i++) {
		const struct event *ev = &run.tapes.at[0].evs[i];
		bool window = ev->call.op == CALL_MALLOC;

		assert_int_equal(ev->kind, EV_CALL);
		assert_int_equal(ev->call.begin, window ? was : 0);
		was += window || ev->call.phase == CALL_LEAVE;
		assert_int_equal(ev->ts, was);
	}
	assert_int_equal(was, run.ended);
	assert_true(was > run.began);
	run_free(&run);
}

/*
 * Of every allocator what it has, by whatever name; and no program finds names that
 * its allocator has not, for then the victim would call them.
 */
static void test_allocators(void **state)
{
	static const char *const victims[] = {
		"alloc_ops", "alloc_ops-jemalloc", "alloc_ops-tcmalloc",
		"alloc_ops-mimalloc", "alloc_ops-musl"
	};
	struct setup how = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(victims) / sizeof(*victims); i++) {
		struct run run = { 0 };

		victim_run(&run, &how, victims[i], NULL);
		assert_int_equal(run.status, 0);
		check_ops(&run.tapes, run.out);
		judge_sound(&run, 0, 0);
		run_free(&run);
	}
}

static void check_counts(struct run *run)
{
	uint64_t lo, hi, allocs, frees, live;
	struct verdict v;

	assert_int_equal(run->status, 0);
	text_range(run->out, &lo, &hi);
	assert_int_equal(sscanf(strstr(run->out, "allocs"),
				"allocs %lu frees %lu live %lu", &allocs,
				&frees, &live),
			 3);
	v = judge_sound(run, lo, hi);
	assert_int_equal(v.allocs, allocs);
	assert_int_equal(v.frees, frees);
	assert_true(v.live >= live && v.live < live + 50);
}

/* A library that is opened later, and one that looks in the C library first. */
static void test_late(void **state)
{
	static const char *const hows[] = { NULL, "deepbind" };
	struct setup how = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct run run = { 0 };

		victim_run(&run, &how, "late", hows[i]);
		check_counts(&run);
		assert_int_equal(run.nones, 0);
		run_free(&run);
	}
}

static void test_threads(void **state)
{
	struct setup how = { 0 };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", NULL);
	check_counts(&run);
	run_free(&run);
}

/* Without a module or after it: several threads raise the stamp themselves. */
static void test_still(void **state)
{
	struct setup how = { .still = true };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "20000");
	check_counts(&run);
	assert_in_range(run.ended - run.began, 1, 1000000);
	run_free(&run);
}

/* Rings so small that everybody waits all the time. */
static void test_back_pressure(void **state)
{
	struct setup how = { .ring_bytes = 4096, .drain_ms = 2 };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "5000");
	check_counts(&run);
	run_free(&run);
}

static size_t count_tids(const struct run *run)
{
	static bool seen[WORD_TID_MAX + 1];
	size_t i, j, nr = 0;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < run->tapes.nr; i++) {
		const struct tape *t = &run->tapes.at[i];

		for (j = 0; j < t->nr; j++) {
			nr += !seen[t->evs[j].tid];
			seen[t->evs[j].tid] = true;
		}
	}
	return nr;
}

static void test_churn(void **state)
{
	struct setup how = { 0 };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_churn", NULL);
	check_counts(&run);
	/* Ten threads at a time, and the main one; a ring may lie idle meanwhile. */
	assert_true(run.totals.rings <= 40);
	assert_int_equal(count_tids(&run), 2001);
	run_free(&run);
}

static uint64_t counted(struct run *run)
{
	uint64_t lo, hi;
	struct verdict v;

	text_range(run->out, &lo, &hi);
	v = judge(&run->tapes, run->pid, lo, hi);
	return v.allocs + v.frees;
}

/* What is told and what is said to be lost is everything. */
static void check_nothing_silent(struct run *run)
{
	uint64_t allocs, frees, told = counted(run) + run->lost;

	assert_int_equal(run->status, 0);
	assert_int_equal(sscanf(strstr(run->out, "allocs"),
				"allocs %lu frees %lu", &allocs, &frees),
			 2);
	assert_true(run->lost > 0);
	assert_true(told >= allocs + frees);
	assert_true(told < allocs + frees + 200);
}

/* A loss stands where it happened: before other events of the thread. */
static bool lost_in_the_middle(const struct run *run)
{
	size_t i, j;

	for (i = 0; i < run->tapes.nr; i++) {
		const struct tape *t = &run->tapes.at[i];

		for (j = 1; j < t->nr; j++)
			if (t->evs[j - 1].kind == EV_CALLS_LOST &&
			    t->evs[j].kind == EV_CALL)
				return true;
	}
	return false;
}

static void test_drop(void **state)
{
	struct setup how = { .ring_bytes = 4096, .drain_ms = 5, .drop = true };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "50000");
	check_nothing_silent(&run);
	assert_true(lost_in_the_middle(&run));
	run_free(&run);
	run = (struct run){ 0 };
	victim_run(&run, &how, "alloc_churn", "500");
	assert_int_equal(run.status, 0);
	run_free(&run);
}

/* The daemon sleeps: the target waits 2 s, goes on, and tells what it lost. */
static void test_stall(void **state)
{
	struct setup how = { .ring_bytes = 4096, .pause_ms = 3000 };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "20000");
	check_nothing_silent(&run);
	run_free(&run);
}

/*
 * From the moment on at which a program shuts itself in no system call of ours may kill
 * it: rings grow, and are waited for, without one. A thread that comes later gets no
 * ring, and each of its events is counted as lost.
 */
static void test_guarded(void **state)
{
	struct setup how = { .drain_ms = 5 };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_guarded", "prctl");
	check_counts(&run);
	assert_int_equal(run.byes, 0);
	run_free(&run);
	run = (struct run){ 0 };
	how.stacks = true;
	victim_run(&run, &how, "alloc_guarded", "syscall");
	check_counts(&run);
	run_free(&run);
}

static void guarded_thread(struct run *run, const char *how)
{
	char *argv[] = { victim("alloc_guarded"), (char *)(uintptr_t)how,
			 (char[]){ "thread" }, NULL };
	struct setup none = { 0 };

	record(run, &none, argv);
	free(argv[0]);
}

static void test_guarded_thread(void **state)
{
	struct run run = { 0 };

	(void)state;
	guarded_thread(&run, "prctl");
	check_nothing_silent(&run);
	assert_in_range(run.lost, 2000, 2010);
	run_free(&run);
	run = (struct run){ 0 };
	guarded_thread(&run, "probe"); /* it has no filter */
	check_counts(&run);
	assert_int_equal(run.byes, 1);
	run_free(&run);
}

/* As after chroot(): who comes now finds nobody, and is counted. */
static void test_out_of_sight(void **state)
{
	struct setup how = { .unlink = true };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "5000");
	check_nothing_silent(&run);
	assert_int_equal(run.tapes.nr, 1);
	run_free(&run);
}

static void test_daemon_leaves(void **state)
{
	struct setup how = { .ring_bytes = 4096, .leave_ms = 30 };
	struct run run = { 0 };
	uint64_t begin = now_ns();

	(void)state;
	victim_run(&run, &how, "alloc_threads", "20000");
	assert_int_equal(run.status, 0);
	assert_true(now_ns() - begin < 3000000000ull);
	run_free(&run);
}

static void test_stops(void **state)
{
	struct setup how = { .stops = true };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &how, "alloc_threads", "2000");
	check_counts(&run);
	run_free(&run);
}

static void test_not_wanted(void **state)
{
	struct setup refused = { .refuse = true },
		     alone = { .no_socket = true };
	struct run run = { 0 };

	(void)state;
	victim_run(&run, &refused, "alloc_threads", "1000");
	assert_int_equal(run.status, 0);
	assert_int_equal(run.totals.refused, 1);
	assert_int_equal(run.byes, 0);
	run_free(&run);
	run = (struct run){ 0 };
	victim_run(&run, &alone, "alloc_fork", NULL);
	assert_int_equal(run.status, 0);
	run_free(&run);
}

/* Nobody hears it, and that is told. */
static void check_unheard(struct run *run, int error)
{
	assert_int_equal(WEXITSTATUS(run->status), 7);
	assert_int_equal(run->nones, 1);
	assert_int_equal(run->none, error);
	assert_int_equal(run->totals.broken, 0);
}

static void test_not_mapped(void **state)
{
	struct setup how = { .no_stamp = true }, plain = { 0 };
	struct run run = { 0 };
	char *argv[] = { (char *)(uintptr_t) "prlimit",
			 (char *)(uintptr_t) "--as=16777216",
			 victim("alloc_calls"), NULL };

	(void)state;
	victim_run(&run, &how, "alloc_calls", NULL);
	check_unheard(&run, -EBADF);
	assert_int_equal(run.word_events, 0);
	run_free(&run);
	run = (struct run){ 0 };
	record(&run, &plain, argv);
	check_unheard(&run, -ENOMEM);
	run_free(&run);
	run = (struct run){ 0 };
	/* One descriptor is to be had, and a ring has two. */
	argv[1] = (char *)(uintptr_t) "--nofile=4";
	record(&run, &plain, argv);
	check_unheard(&run, -EMFILE);
	run_free(&run);
	free(argv[2]);
}

static void test_fork(void **state)
{
	struct setup how = { 0 };
	struct run run = { 0 };
	uint64_t lo, hi, allocs, frees;
	const char *line;
	char what[20];
	uint32_t pid;
	int n, lines = 0;

	(void)state;
	victim_run(&run, &how, "alloc_fork", NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(run.lost, 0);
	assert_int_equal(run.totals.broken, 0);
	text_range(run.out, &lo, &hi);
	line = strchr(run.out, '\n') + 1;
	while (sscanf(line, "%19s pid %u allocs %lu frees %lu%n", what, &pid,
		      &allocs, &frees, &n) == 4) {
		bool main_one = pid == run.pid;
		struct verdict v = judge(&run.tapes, pid, main_one ? lo : 0,
					 main_one ? hi : UINT64_MAX);

		lines++;
		line += n + 1;
		if (main_one || !strstr(what, "exec")) {
			assert_int_equal(v.allocs, allocs);
			assert_int_equal(v.frees, frees);
			assert_int_equal(v.unknown, main_one ? 0 : 1);
		} else { /* another place in memory; libc's own calls count too */
			assert_true(v.allocs >= allocs &&
				    v.allocs < allocs + 10);
			assert_true(v.frees >= frees && v.frees < frees + 10);
			assert_int_equal(v.unknown, 0);
		}
		assert_int_equal(v.twice, 0);
	}
	assert_int_equal(lines, 6);
	/* Two threads of the victim and the two that it execs; the others are copies. */
	assert_int_equal(run.fresh, 4);
	assert_int_equal(run.copied, 3);
	run_free(&run);
}

/* What the child calls is not known, but that is; and its parent is heard. */
static void test_vfork_first(void **state)
{
	struct setup how = { 0 };
	struct run run = { 0 };
	struct verdict v;

	(void)state;
	victim_run(&run, &how, "alloc_fork", "vfork-first");
	assert_int_equal(run.status, 0);
	v = judge(&run.tapes, run.pid, 0, UINT64_MAX);
	assert_int_equal(v.allocs, 30);
	assert_int_equal(v.frees, 30);
	assert_int_equal(run.lost, 6);
	assert_int_equal(run.totals.rings, 1);
	run_free(&run);
}

/* A program behaves the same under the shim, and its events add up. */
static void same(char *const argv[], bool judge_it)
{
	struct setup how = { .ring_bytes = 262144, .drain_ms = 2 };
	struct run plain = { 0 }, run = { 0 };

	run_plain(&plain, argv);
	record(&run, &how, argv);
	assert_string_equal(run.out, plain.out);
	assert_int_equal(run.status, plain.status);
	assert_true(run.totals.words > 0);
	assert_int_equal(run.lost, 0);
	assert_int_equal(run.totals.broken, 0);
	if (judge_it)
		judge_sound(&run, 0, 0);
	run_free(&plain);
	run_free(&run);
}

static void test_programs(void **state)
{
	char *python[] = {
		"python3", "-c",
		"import os, json, sys, threading\n"
		"print(sorted(os.listdir('/proc/self/fd')))\n"
		"d = {str(i): list(range(i % 50)) for i in range(3000)}\n"
		"t = threading.Thread(target=lambda: json.dumps(d)); t.start()\n"
		"print(len(json.dumps(d)), os.environ.get('HOME'))\n"
		"t.join()\nsys.exit(3)",
		NULL
	};
	char *py_malloc[] = { "env",
			      "PYTHONMALLOC=malloc",
			      "python3",
			      "-c",
			      "print(sum(len(str(i)) for i in range(20000)))",
			      NULL };
	char *perl[] = {
		"perl", "-e",
		"my %h; $h{$_ % 999} .= $_ for 1..40000;"
		"print length(join ',', map { $h{$_} } sort keys %h); kill 9, $$",
		NULL
	};
	char *sqlite[] = {
		"sqlite3", ":memory:",
		"create table t(a, b); with recursive c(x) as (select 1 union "
		"all select x + 1 from c limit 5000) insert into t select x, "
		"hex(x * 7) from c; create index i on t(b); "
		"select count(*), sum(length(b)) from t group by a % 3;",
		NULL
	};
	char *shell[] = { "sh", "-c",
			  "for i in 1 2 3; do ls / | sort -r | head -n 2; done; "
			  "echo $(seq 1000 | md5sum); (exit 5)",
			  NULL };
	char *git[] = {
		"sh", "-c",
		"d=$(mktemp -d) && cd $d && git init -q . 2>&1 && seq 3000 >f && "
		"git add f && git -c user.name=a -c user.email=b commit -qm x && "
		"git log -p --format=%s | md5sum; rm -rf $d",
		NULL
	};
	char *cxx[] = { "apt-config", "dump", NULL };

	(void)state;
	same(python, true);
	same(py_malloc, false);
	same(perl, true);
	same(sqlite, true);
	same(shell, false);
	same(git, false);
	same(cxx, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_allocators),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_still),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_guarded),
		cmocka_unit_test(test_guarded_thread),
		cmocka_unit_test(test_out_of_sight),
		cmocka_unit_test(test_daemon_leaves),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_not_mapped),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_vfork_first),
		cmocka_unit_test(test_programs),
	};

	if (!shim_path()) {
		fprintf(stderr, "no shim: build it first (make user)\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
