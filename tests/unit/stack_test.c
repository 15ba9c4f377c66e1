// SPDX-License-Identifier: GPL-2.0
/*
 * The shim's stacks against those of libgcc's unwinder, in programs whose call
 * chains are as odd as can be. Needs the shim and the victims, as shim_test.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/rings.h"
#include "model/stack.h"
#include "probe/words.h"
#include "seed.h"
#include "tapes.h"

#define SIZES 40000 /* events of sizes below it are looked for */

struct run {
	struct stacks stacks;
	unsigned int told;
	struct tapes tapes;
	int stamp_fd;
	uint64_t *stamp;
	uint32_t pid;
	int status;
	char *out;
	size_t out_len;
	uint64_t where[SIZES]; /* the caller of the allocation of that size */
	uint64_t callers,
		named; /* allocations: with a return address, a stack */
	uint64_t named_bytes, bytes;
};

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct run *run = ctx;

	(void)tgid;
	(void)flags;
	if (stamp_fd)
		*stamp_fd = run->stamp_fd;
	return 0;
}

static void opened(void *ctx, struct ring *r)
{
	struct run *run = ctx;

	tapes_add(&run->tapes, r, ring_tgid(r));
}

static void read_tape(struct run *run, struct tape *t)
{
	const struct event *ev;
	bool sure;

	while (t->source && (ev = ring_peek(t->source, &sure))) {
		if (ev->kind == EV_CALL && ev->call.phase == CALL_ALLOC) {
			bool named = ev->call.caller & CALLER_STACK;

			/* Whoever names a stack, it was told before. */
			if (named)
				assert_non_null(stacks_get(&run->stacks,
							   ev->call.caller));
			if (ev->call.size < SIZES)
				run->where[ev->call.size] = ev->call.caller;
			run->named += named;
			run->callers += !named;
			run->bytes += ev->call.size;
			run->named_bytes += named ? ev->call.size : 0;
		}
		assert_int_not_equal(ev->kind, EV_CALLS_LOST);
		ring_pop(t->source);
	}
}

static void closing(void *ctx, struct ring *r)
{
	struct run *run = ctx;
	struct tape *t = tapes_find(&run->tapes, r);

	read_tape(run, t);
	t->source = NULL;
}

static void stack(void *ctx, const struct event *ev)
{
	struct run *run = ctx;

	run->told++;
	assert_int_equal(stacks_add(&run->stacks, ev), 0);
}

static const struct rings_ops ops = { .admit = admit,
				      .opened = opened,
				      .closing = closing,
				      .stack = stack };

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void child(char *const argv[], int out, const char *sock)
{
	static char path[4096];
	const char *env = getenv("VMAHEAP_SHIM");

	dup2(out, 1);
	unsetenv("ASAN_OPTIONS");
	setenv("LD_PRELOAD",
	       realpath(env ? env : "build/libvmaheap-shim.so", path), 1);
	setenv(SHIM_SOCK_ENV, sock, 1);
	execvp(argv[0], argv);
	_exit(127);
}

static void drain(struct run *run, struct rings *rs)
{
	*run->stamp = now_ns();
	rings_drain(rs);
	for (size_t i = 0; i < run->tapes.nr; i++)
		read_tape(run, &run->tapes.at[i]);
}

static bool append(struct run *run, int fd)
{
	ssize_t n;

	run->out = realloc(run->out, run->out_len + 65537);
	n = read(fd, run->out + run->out_len, 65536);
	run->out_len += n > 0 ? (size_t)n : 0;
	run->out[run->out_len] = 0;
	return n > 0;
}

static struct run *record(uint64_t stack_bytes, char *const argv[])
{
	char dir[] = "/tmp/vmaheap-stack-XXXXXX", sock[64];
	struct run *run = calloc(1, sizeof(*run));
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct rings *rs;
	int out[2];

	assert_non_null(mkdtemp(dir));
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	run->stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	assert_int_equal(ftruncate(run->stamp_fd, 4096), 0);
	run->stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			  run->stamp_fd, 0);
	rs = rings_open(sock, 65536, true, &ops, run);
	assert_non_null(rs);
	rings_set_stacks(rs, stack_bytes);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run->pid = (uint32_t)fork();
	if (!run->pid)
		child(argv, out[1], sock);
	close(out[1]);
	fds[0].fd = out[0];
	fds[1].fd = rings_fd(rs);
	do {
		fds[0].revents = 0;
		poll(fds, 2, 1);
		rings_accept(rs);
		drain(run, rs);
	} while (!fds[0].revents || append(run, out[0]));
	waitpid((pid_t)run->pid, &run->status, 0);
	assert_int_equal(rings_totals(rs).broken, 0);
	rings_gone(rs, run->pid);
	drain(run, rs);
	rings_close(rs);
	close(out[0]);
	munmap(run->stamp, 4096);
	close(run->stamp_fd);
	rmdir(dir);
	assert_int_equal(run->status, 0);
	return run;
}

static void run_free(struct run *run)
{
	stacks_destroy(&run->stacks);
	tapes_free(&run->tapes);
	free(run->out);
	free(run);
}

/* --- the comparison */

struct score {
	unsigned int same, cut, wrong;
};

static void print_stack(const struct stack *st)
{
	for (uint32_t i = 0; i < st->nr; i++)
		print_message(" %lx", st->frames[i]);
	print_message(st->truncated ? " ...\n" : "\n");
}

/*
 * A line of the victim's: the true frames behind the first. Ours are the same,
 * all of them, or truncated where they are the innermost of them. Of what a
 * signal has interrupted libgcc tells the address, we the one behind it.
 */
static void compare(const struct run *run, char *line, struct score *sc)
{
	size_t size = strtoul(line, &line, 10);
	const struct stack *st = stacks_get(&run->stacks, run->where[size]);
	uint32_t i = 1;
	char *end = line + 1;
	bool same;

	assert_true(size < SIZES);
	assert_non_null(st);
	for (;; i++, end = line) {
		uint64_t truth = strtoul(end, &line, 16);

		if (line == end || i >= st->nr)
			break;
		if (st->frames[i] != truth && st->frames[i] != truth + 1)
			break;
	}
	same = i == st->nr;
	if (same && !st->truncated)
		same = line == end;
	sc->same += same && !st->truncated;
	sc->cut += same && st->truncated;
	sc->wrong += !same;
	if (!same) {
		print_message("# %zu: differs at %u of %u:", size, i, st->nr);
		print_stack(st);
	}
}

static struct score compare_all(struct run *run)
{
	struct score sc = { 0 };
	char *line, *save = NULL;

	for (line = strtok_r(run->out, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		compare(run, line, &sc);
	print_message("# %u stacks the same, %u cut, %u told\n", sc.same,
		      sc.cut, run->told);
	return sc;
}

static void check_chains(unsigned int seed)
{
	char *argv[] = { victim("stacks"), NULL, (char[]){ "300" }, NULL };
	char text[24];
	struct score sc;
	struct run *run;

	snprintf(text, sizeof(text), "%u", seed);
	argv[1] = text;
	run = record(1, argv);
	sc = compare_all(run);
	assert_int_equal(sc.wrong, 0);
	assert_true(sc.same > 300);
	/* deep() alone goes deeper than a stack is told */
	assert_in_range(sc.cut, 10, 60);
	assert_int_equal(run->callers, 0);
	free(argv[0]);
	run_free(run);
}

static void test_chains(void **state)
{
	(void)state;
	check_chains((unsigned int)seed_next() & 0xffff);
}

/*
 * With these chains, and some addresses of the stack, aligned() is called from two
 * frames further in than before, and its own frame lies where it lay.
 */
static void test_realigned(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		check_chains(31688);
}

/* No rule outlives the library that it was for. */
static void test_reload(void **state)
{
	char *argv[] = { victim("reload"), NULL };
	struct run *run = record(1, argv);
	struct score sc = compare_all(run);

	(void)state;
	assert_int_equal(sc.wrong, 0);
	assert_int_equal(sc.same, 200);
	free(argv[0]);
	run_free(run);
}

/* One stack in N bytes of each thread; the others have their return address. */
static void test_sampled(void **state)
{
	char *argv[] = { victim("stacks"), (char[]){ "7" }, (char[]){ "300" },
			 NULL };
	struct run *run = record(100000, argv);
	uint64_t expect;

	(void)state;
	expect = run->bytes / 100000;
	print_message("# %lu bytes: %lu sampled, %lu not\n", run->bytes,
		      run->named, run->callers);
	assert_in_range(run->named, expect - 4, expect);
	free(argv[0]);
	run_free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_realigned),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_sampled),
	};

	seed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
