// SPDX-License-Identifier: GPL-2.0
/*
 * CPU and wall time of one process, without its children and without what
 * traces it:
 *
 *	measure FILE COMMAND [ARG...]	appends "CPU WALL" (ns) to FILE
 *
 * $MEASURE_PRELOAD is preloaded into the command, behind what the tracer preloads.
 *
 * The command keeps the process id that measure had, so a tracer that starts
 * measure traces the command. A grandchild that nobody knows of waits for the
 * moment at which it exits (PTRACE_O_TRACEEXIT) and reads its clock. Linked
 * statically, so that nothing can be preloaded into it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int observe(pid_t pid, const char *file, int ready)
{
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu;
	clockid_t clock;
	int status;
	FILE *f;

	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT) ||
	    clock_getcpuclockid(pid, &clock))
		return 1;
	cpu = clock_ns(clock);
	if (write(ready, "", 1) != 1)
		return 1;
	close(ready);
	for (;;) {
		if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
			return 1;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			break;
		/* A signal on its way goes on; a stop of all threads stays one. */
		if (status >> 16 == PTRACE_EVENT_STOP)
			ptrace(PTRACE_LISTEN, pid, 0, 0);
		else
			ptrace(PTRACE_CONT, pid, 0, (long)WSTOPSIG(status));
	}
	cpu = clock_ns(clock) - cpu;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	f = fopen(file, "a");
	if (!f)
		return 1;
	fprintf(f, "%lu %lu\n", cpu, wall);
	fclose(f);
	return 0;
}

static void preload_behind(void)
{
	const char *first = getenv("LD_PRELOAD");
	const char *then = getenv("MEASURE_PRELOAD");
	char both[4096];

	if (!then)
		return;
	snprintf(both, sizeof(both), "%s%s%s", first ? first : "",
		 first ? ":" : "", then);
	setenv("LD_PRELOAD", both, 1);
}

int main(int argc, char **argv)
{
	pid_t me = getpid(), child;
	int ready[2];
	char c;

	if (argc < 3 || pipe(ready))
		return 125;
	child = fork();
	if (!child) {
		if (fork())
			_exit(0);
		close(ready[0]);
		close(1); /* whoever reads to its end must not wait for us */
		_exit(observe(me, argv[1], ready[1]));
	}
	waitpid(child, NULL, 0);
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1) {
		fprintf(stderr, "measure: cannot be traced: %s\n",
			strerror(errno));
		return 125;
	}
	close(ready[0]);
	preload_behind();
	execvp(argv[2], argv + 2);
	return 127;
}
