// SPDX-License-Identifier: GPL-2.0
/*
 * family: forks a child that allocates and exits, vforks one that calls exec of
 * this program with "leaf", and waits for both. Each prints what is its own:
 * "child PID ADDR SIZE", "leaf PID ADDR SIZE". "after": what the parent allocates
 * right after the fork, which is not the child's.
 */
#include <sys/wait.h>

#include "truth.h"

static void *before; /* a chunk that the parent has and the child inherits */

static void say(const char *who, void *p, size_t size)
{
	truth("%s %d %p %zu\n", who, getpid(), p, size);
}

int main(int argc, char **argv)
{
	void *own, *after;
	pid_t pid;

	if (argc > 1) {
		say("leaf", malloc(300), 300);
		return 0;
	}
	before = malloc(100);
	pid = fork();
	if (!pid) {
		say("inherited", before, 100);
		say("child", malloc(200), 200);
		_exit(0);
	}
	own = malloc(400); /* where the child has its 200 */
	after = malloc(2000);
	waitpid(pid, NULL, 0);
	say("after", after, 2000);
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", argv[0], "leaf", NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	say("parent", own, 400);
	return 0;
}
