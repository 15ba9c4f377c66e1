// SPDX-License-Identifier: GPL-2.0
/*
 * pairs NR: prints "pid PID", waits for a line on its standard input, then makes
 * NR pairs of malloc and free of mixed sizes, some hundred of them alive, and
 * prints the CPU time of a pair in ns. Between bursts it sleeps, so that whoever
 * reads a ring can empty it: what a full one costs is another question.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LIVE 256
#define BURST 20000

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void pairs(unsigned long nr)
{
	static void *p[LIVE];
	unsigned int x = 2463534242u;

	while (nr--) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		free(p[x % LIVE]);
		p[x % LIVE] = malloc((x >> 10 & 255) + 8);
	}
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
	uint64_t begin, took = 0;
	unsigned long done;
	char c;

	pairs(2 * LIVE);
	printf("pid %d\n", getpid());
	fflush(stdout);
	if (read(STDIN_FILENO, &c, 1) != 1)
		return 1;
	pairs(BURST); /* the first calls, of which one asks for a ring */
	for (done = 0; done < nr; done += BURST) {
		usleep(20000);
		begin = cpu_ns();
		pairs(BURST);
		took += cpu_ns() - begin;
	}
	printf("%.1f\n", (double)took / (double)done);
	return 0;
}
