// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, until standard input ends: THREADS threads allocate, write
 * and check what they wrote; one begins threads that end at once, one loads and
 * unloads a library, one forks children that allocate and exit. Exits with 0 when
 * nothing went wrong. Usage: alloc_storm [THREADS [MS]]; MS between two libraries,
 * two children, and so on
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc_wait.h"

#define HELD 64
#define BURST 50

static volatile int stop;
static unsigned int pause_us = 2000;
static unsigned long threads_made, loads, forks, pairs;

static void fail(const char *what)
{
	fprintf(stderr, "alloc_storm: %s\n", what);
	_exit(3);
}

static void check(const unsigned char *p, size_t size, unsigned char byte)
{
	if (p[0] != byte || p[size - 1] != byte)
		fail("memory has changed");
}

static void burst(void *p[HELD], size_t size[HELD], unsigned int *x, int n)
{
	while (n--) {
		unsigned int r, at;

		*x ^= *x << 13;
		*x ^= *x >> 17;
		*x ^= *x << 5;
		r = *x;
		at = r % HELD;
		if (p[at])
			check(p[at], size[at], (unsigned char)at);
		if (p[at] && r & 0x100) {
			size_t more = size[at] + (r >> 10 & 255);

			p[at] = realloc(p[at], more);
			size[at] = more;
		} else {
			free(p[at]);
			size[at] = (r >> 10 & 0x1fff ? r >> 10 & 511 :
						       r >> 10 & 0x3ffff) +
				   1;
			p[at] = r & 0x200 ? malloc(size[at]) :
					    calloc(1, size[at]);
		}
		if (!p[at])
			fail("no memory");
		memset(p[at], (int)at, size[at]);
	}
}

static void *allocate(void *arg)
{
	unsigned int x = 2463534242u + (unsigned int)(uintptr_t)arg;
	size_t size[HELD];
	void *p[HELD] = { NULL };
	int i;

	do {
		burst(p, size, &x, BURST);
		__atomic_fetch_add(&pairs, BURST, __ATOMIC_RELAXED);
		usleep(x & 16383);
	} while (!stop && arg);
	for (i = 0; i < HELD; i++)
		free(p[i]);
	return NULL;
}

static void *make_threads(void *arg)
{
	pthread_t t[4];
	int i;

	while (!stop) {
		for (i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, allocate, NULL))
				fail("pthread_create");
		for (i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		threads_made += 4;
		usleep(pause_us / 2);
	}
	return arg;
}

static void *load(void *arg)
{
	static const char *const names[] = { "libsqlite3.so.0",
					     "libstdc++.so.6", "libz.so.1",
					     "libm.so.6" };
	unsigned int i;

	for (i = 0; !stop; i++) {
		void *lib = dlopen(names[i % 4], RTLD_NOW | RTLD_LOCAL);

		loads += !!lib;
		usleep(pause_us);
		if (lib)
			dlclose(lib);
	}
	return arg;
}

static void *make_children(void *arg)
{
	int status;
	pid_t pid;

	while (!stop) {
		pid = fork();
		if (!pid) {
			allocate(NULL);
			_exit(7);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid ||
		    !WIFEXITED(status) || WEXITSTATUS(status) != 7)
			fail("a child did not end well");
		forks++;
		usleep(pause_us);
	}
	return arg;
}

int main(int argc, char **argv)
{
	unsigned long i, nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 64;
	pthread_t t[256], u[3];
	char c;

	if (nr > 256)
		return 2;
	if (argc > 2)
		pause_us = 1000 * (unsigned int)strtoul(argv[2], NULL, 0);
	wait_for_start();
	for (i = 0; i < nr; i++)
		pthread_create(&t[i], NULL, allocate, (void *)(i * 7919 + 1));
	pthread_create(&u[0], NULL, make_threads, NULL);
	pthread_create(&u[1], NULL, load, NULL);
	pthread_create(&u[2], NULL, make_children, NULL);
	printf("running %d\n", getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	stop = 1;
	for (i = 0; i < nr; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < 3; i++)
		pthread_join(u[i], NULL);
	printf("pairs %lu threads %lu loads %lu forks %lu\n", pairs,
	       threads_made, loads, forks);
	return 0;
}
