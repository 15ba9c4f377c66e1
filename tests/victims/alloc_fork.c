// SPDX-License-Identifier: GPL-2.0
/*
 * The ways to get a process: fork, clone without libc's knowledge, vfork and
 * exec, posix_spawn, fork in a thread. Each process prints its pid and the
 * counts of allocations and frees that it made in this file.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc_wait.h"

extern char __executable_start, etext;
extern char **environ;

static unsigned long allocs, frees;

static void *get(size_t size)
{
	allocs++;
	return malloc(size);
}

static void put(void *p)
{
	frees++;
	free(p);
}

/* One write, so that lines of several processes do not mix. */
static void tell(const char *what)
{
	char line[160];
	int n = snprintf(line, sizeof(line),
			 "%s pid %ld allocs %lu frees %lu\n", what,
			 syscall(SYS_getpid), allocs, frees);

	if (write(1, line, (size_t)n) != n)
		_exit(9);
}

static void some(int nr)
{
	void *p[100];
	int i;

	for (i = 0; i < nr; i++)
		p[i] = get(100);
	for (i = 0; i < nr; i++)
		put(p[i]);
}

static void child(const char *what, void *inherited)
{
	allocs = frees = 0;
	put(inherited);
	some(30);
	tell(what);
	_exit(0);
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, __WALL) != pid || status)
		exit(8);
}

static void *fork_in_thread(void *p)
{
	pid_t pid;

	some(5);
	pid = fork();
	if (!pid)
		child("thread-fork", p);
	reap(pid);
	return NULL;
}

/* The child of vfork runs in this address space: its calls are ours. */
static void vfork_exec(char *self)
{
	char *argv[] = { self, "exec", NULL };
	pid_t pid = vfork();

	if (!pid) {
		some(3);
		execv(self, argv);
		_exit(7);
	}
	reap(pid);
}

static void spawn(char *self)
{
	char *argv[] = { self, "exec", NULL };
	pid_t pid = -1;

	posix_spawn(&pid, self, NULL, NULL, argv, environ);
	reap(pid);
}

/* The first who allocates is a vfork child. */
static int vfork_first(void)
{
	pid_t pid = vfork();

	if (!pid) {
		some(3);
		_exit(0);
	}
	reap(pid);
	some(30);
	tell("main");
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t t;
	pid_t pid;
	void *p;

	if (argc > 1 && !strcmp(argv[1], "vfork-first"))
		return vfork_first();
	wait_for_start();
	p = get(1000);
	if (argc > 1) {
		some(11);
		put(p);
		tell(argv[1]);
		return 0;
	}
	printf("text %#lx %#lx\n", (unsigned long)&__executable_start,
	       (unsigned long)&etext);
	fflush(stdout);
	some(10);
	pid = fork();
	if (!pid)
		child("fork", p);
	reap(pid);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		child("clone", p);
	reap(pid);
	vfork_exec(argv[0]);
	spawn(argv[0]);
	pthread_create(&t, NULL, fork_in_thread, p);
	pthread_join(t, NULL);
	put(p);
	tell("main");
	return 0;
}
