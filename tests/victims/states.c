// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in one state, over and over, until standard input ends: whoever stops
 * it and makes it do something else must bring it back to just where it was.
 * Exits with 0 when everything was as it should be, else says what was not.
 * Usage: states compute | sleep | poll | read | suspend
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "alloc_wait.h"

static volatile unsigned int handled;
static sigset_t usual;

static void fail(const char *what)
{
	fprintf(stderr, "states: %s: %s\n", what, strerror(errno));
	_exit(3);
}

static void on_alarm(int sig)
{
	(void)sig;
	handled++;
}

static void alarm_every(int us)
{
	struct itimerval it = { { 0, us }, { 0, us } };

	signal(SIGALRM, on_alarm); /* with SA_RESTART */
	if (setitimer(ITIMER_REAL, &it, NULL))
		fail("setitimer");
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* In many registers of both kinds. */
static uint64_t sum(unsigned int n)
{
	uint64_t a = 1, b = 2, c = 3, d = 5, e = 7, f = 11, g = 13, h = 17;
	double x = 1, y = 2, z = 3;

	while (n--) {
		a = a * 6364136223846793005u + b;
		b ^= c >> 7;
		c += d << 3;
		d ^= a + e;
		e = (e << 9 | e >> 55) + f;
		f ^= g * 3;
		g += h ^ n;
		h -= a;
		x = x * 0.75 + y;
		y = y * 0.5 + z;
		z = z * 0.25 + (double)(n & 255);
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ (uint64_t)((x + y + z) * 1e9);
}

static void compute(void)
{
	static uint64_t first;
	uint64_t s = sum(20000);

	if (!first)
		alarm_every(1000);
	if (first && s != first)
		fail("computes wrong");
	first = s;
}

static void sleeps(void)
{
	struct timespec ts = { .tv_nsec = 5000000 };
	uint64_t began = now_ns();

	if (nanosleep(&ts, NULL))
		fail("nanosleep");
	if (now_ns() - began < 5000000)
		fail("nanosleep was short");
}

static void polls(void)
{
	uint64_t began = now_ns();

	if (poll(NULL, 0, 5))
		fail("poll");
	if (now_ns() - began < 5000000)
		fail("poll was short");
}

static int fds[2];

static void *writes(void *arg)
{
	char c = 0;

	for (;;) {
		usleep(3000);
		if (write(fds[1], &c, 1) != 1)
			fail("write");
		c++;
	}
	return arg;
}

/* Each byte comes once, and in order. */
static void reads(void)
{
	static pthread_t t;
	static char next;
	char c;

	if (!t && (pipe(fds) || pthread_create(&t, NULL, writes, NULL)))
		fail("pipe");
	if (read(fds[0], &c, 1) != 1)
		fail("read");
	if (c != next++)
		fail("read another byte");
}

static void suspends(void)
{
	unsigned int before;
	sigset_t none = usual;

	if (!handled) {
		sigaddset(&usual, SIGALRM);
		sigprocmask(SIG_SETMASK, &usual, NULL);
		alarm_every(3000);
	}
	sigdelset(&none, SIGALRM);
	before = handled;
	if (sigsuspend(&none) != -1 || errno != EINTR)
		fail("sigsuspend");
	if (handled == before)
		fail("sigsuspend without a signal");
}

/* Memory of our own where the shim has its: in the middle of places, and at a start. */
static const uint64_t neighbours[] = { 0x100000040000, 0x100050000000,
				       0x10ffffff0000 };

static void map_neighbours(void)
{
	size_t i;

	for (i = 0; i < 3; i++) {
		uint64_t *p = mmap((void *)neighbours[i], 4096,
				   PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p != (void *)neighbours[i])
			fail("mmap");
		*p = neighbours[i];
	}
}

static void check_memory(void)
{
	char *p = malloc(100);
	size_t i;

	memset(p, 1, 100);
	free(p);
	for (i = 0; i < 3; i++)
		if (*(uint64_t *)neighbours[i] != neighbours[i])
			fail("memory has changed");
}

static void check_mask(void)
{
	sigset_t now;
	int sig;

	sigprocmask(SIG_SETMASK, NULL, &now);
	for (sig = 1; sig < 65; sig++)
		if (sigismember(&now, sig) != sigismember(&usual, sig))
			fail("signals are blocked");
}

static const struct {
	const char *name;
	void (*once)(void);
} states[] = { { "compute", compute },
	       { "sleep", sleeps },
	       { "poll", polls },
	       { "read", reads },
	       { "suspend", suspends } };

int main(int argc, char **argv)
{
	struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
	unsigned long times = 0;
	size_t i;

	for (i = 0; i < 5 && argc == 2; i++)
		if (!strcmp(argv[1], states[i].name))
			break;
	if (argc != 2 || i == 5)
		return 2;
	sigprocmask(SIG_SETMASK, NULL, &usual);
	map_neighbours();
	wait_for_start();
	do {
		states[i].once();
		check_mask();
		check_memory();
		times++;
	} while (poll(&in, 1, 0) <= 0);
	printf("%s %lu\n", argv[1], times);
	return 0;
}
