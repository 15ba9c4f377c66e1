// SPDX-License-Identifier: GPL-2.0
/*
 * What a stack costs: ns of CPU time for a malloc and its free, alone, recorded,
 * and recorded with its stack (this process drains the rings). Rounds are
 * interleaved; the median and the least are printed. No test: figures depend on
 * the machine.
 *
 *	stacks SHIM.so [ROUNDS]
 *
 *	shallow   under seven frames
 *	below32   under 32 more, which stay: they are those of the walk before
 *	anew32    the same, entered anew for each pair, by one of 256 ways
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/rings.h"
#include "probe/words.h"

#define MAX_ROUNDS 101

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the loops, run in the child ---- */

static unsigned int next_random(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static __attribute__((noinline)) void pair(unsigned int x)
{
	void *volatile p = malloc(x % 64 + 8);

	free(p);
}

#define WAY(name)                                                            \
	static __attribute__((noinline)) void name(                          \
		unsigned int depth, unsigned int x, unsigned int pairs)      \
	{                                                                    \
		unsigned int i;                                              \
                                                                             \
		for (i = 0; !depth && i < pairs; i++)                        \
			pair(x + i);                                         \
		if (depth)                                                   \
			(x & 1 ? way_a : way_b)(depth - 1, x >> 1 | x << 31, \
						pairs);                      \
		__asm__ volatile("");                                        \
	}
static void way_a(unsigned int depth, unsigned int x, unsigned int pairs);
static void way_b(unsigned int depth, unsigned int x, unsigned int pairs);
WAY(way_a)
WAY(way_b)

static uint64_t shallow(void)
{
	way_a(0, 1, 3000000);
	return 3000000;
}

static uint64_t below32(void)
{
	way_a(32, 0x5eed5eed, 3000000);
	return 3000000;
}

static uint64_t anew(void)
{
	unsigned int x = 2463534242u, i;

	for (i = 0; i < 300000; i++)
		way_a(32, next_random(&x) & 255, 1);
	return i;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} loops[] = { { "shallow", shallow },
	      { "below32", below32 },
	      { "anew32", anew } };

#define LOOPS (sizeof(loops) / sizeof(*loops))

static int run_loops(void)
{
	size_t i;

	for (i = 0; i < LOOPS; i++) {
		uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		uint64_t wall = clock_ns(CLOCK_MONOTONIC);
		uint64_t pairs = loops[i].run();

		cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		wall = clock_ns(CLOCK_MONOTONIC) - wall;
		printf("%f %f\n", (double)cpu / (double)pairs,
		       (double)wall / (double)pairs);
	}
	return 0;
}

/* ---- the daemon ---- */

static int stamp_fd;
static uint64_t *stamp;
static uint64_t taken;

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *fd)
{
	(void)ctx;
	(void)tgid;
	(void)flags;
	if (fd)
		*fd = stamp_fd;
	return 0;
}

static struct ring *first_ring;

static void opened(void *ctx, struct ring *r)
{
	(void)ctx;
	first_ring = r;
}

static const struct rings_ops ops = { .admit = admit, .opened = opened };

static void drain(struct rings *rs)
{
	bool sure;

	*stamp = clock_ns(CLOCK_MONOTONIC);
	rings_drain(rs);
	for (; first_ring && ring_peek(first_ring, &sure); taken++)
		ring_pop(first_ring);
}

static void serve(struct rings *rs, int out)
{
	struct pollfd fds[2] = { { out, POLLIN, 0 },
				 { rings_fd(rs), POLLIN, 0 } };

	first_ring = NULL;
	while (!(fds[0].revents & POLLHUP)) {
		poll(fds, 2, rings_busy(rs) ? 1 : 5);
		rings_accept(rs);
		drain(rs);
	}
}

enum way { ALONE, RECORDED, STACKS, WAYS };

static const char *const way_names[WAYS] = { "alone", "recorded", "stacks" };

struct figures {
	double cpu[MAX_ROUNDS], wall[MAX_ROUNDS];
};

static void once(enum way way, char *self, const char *shim, int round,
		 struct figures f[LOOPS])
{
	char path[] = "/tmp/vmaheap-bench.sock";
	struct rings *rs = NULL;
	int out[2];
	pid_t pid;
	FILE *in;
	size_t i;

	if (way >= RECORDED)
		rs = rings_open(path, 1 << 20, true, &ops, NULL);
	if ((way >= RECORDED && !rs) || pipe(out))
		exit(2);
	if (way == STACKS)
		rings_set_stacks(rs, 1);
	pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		if (way != ALONE)
			setenv("LD_PRELOAD", shim, 1);
		if (way >= RECORDED)
			setenv(SHIM_SOCK_ENV, path, 1);
		execl(self, self, "--loops", NULL);
		_exit(127);
	}
	close(out[1]);
	if (rs)
		serve(rs, out[0]);
	in = fdopen(out[0], "r");
	for (i = 0; i < LOOPS; i++)
		if (fscanf(in, "%lf %lf", &f[i].cpu[round],
			   &f[i].wall[round]) != 2)
			exit(2);
	fclose(in);
	waitpid(pid, NULL, 0);
	if (rs)
		rings_close(rs);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_figures(const char *way, const char *loop, struct figures *f,
			  int rounds)
{
	qsort(f->cpu, (size_t)rounds, sizeof(double), by_value);
	qsort(f->wall, (size_t)rounds, sizeof(double), by_value);
	printf("%-7s %-15s cpu %6.1f (%6.1f)  wall %6.1f (%6.1f)\n", loop, way,
	       f->cpu[rounds / 2], f->cpu[0], f->wall[rounds / 2], f->wall[0]);
}

int main(int argc, char **argv)
{
	static struct figures f[WAYS][LOOPS];
	int rounds = argc > 2 ? atoi(argv[2]) : 11, round;
	size_t way, i;

	if (argc > 1 && !strcmp(argv[1], "--loops"))
		return run_loops();
	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: stacks SHIM.so [ROUNDS]\n");
		return 1;
	}
	stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	if (ftruncate(stamp_fd, 4096))
		return 2;
	stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, stamp_fd,
		     0);
	for (round = 0; round < rounds; round++)
		for (way = 0; way < WAYS; way++)
			once((enum way)way, argv[0], argv[1], round, f[way]);
	printf("ns a pair, median (least) of %d rounds; %lu events taken\n",
	       rounds, taken);
	for (i = 0; i < LOOPS; i++)
		for (way = 0; way < WAYS; way++)
			print_figures(way_names[way], loops[i].name, &f[way][i],
				      rounds);
	return 0;
}
