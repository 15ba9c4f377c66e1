// SPDX-License-Identifier: GPL-2.0
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session/pager.h"

#define FIRST_MS 1000
#define NEXT_MS 200

/* --- pager */

static pid_t pager;

/* The pager sees the end of its input, and the shell gets the terminal back after it. */
static void end_pager(void)
{
	fflush(stdout);
	close(STDOUT_FILENO);
	waitpid(pager, NULL, 0);
}

static void on_interrupt(int sig)
{
	close(STDOUT_FILENO);
	waitpid(pager, NULL, 0);
	_exit(128 + sig);
}

static void run_pager(const char *command, const int in[2])
{
	dup2(in[0], STDIN_FILENO);
	close(in[0]);
	close(in[1]);
	/* As git does: quit if it fits the screen, leave it there, cut long lines. */
	setenv("LESS", "FRSX", 0);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

void pager_start(void)
{
	const char *command = getenv("PAGER");
	int in[2];

	if (!command)
		command =
			"{ command -v less >/dev/null && exec less; } || exec cat";
	if (!*command || !strcmp(command, "cat") || !isatty(STDOUT_FILENO) ||
	    pipe(in))
		return;
	pager = fork();
	if (!pager)
		run_pager(command, in);
	if (pager > 0) {
		dup2(in[1], STDOUT_FILENO);
		signal(SIGINT, on_interrupt);
		atexit(end_pager);
	}
	close(in[0]);
	close(in[1]);
}

/* --- progress */

static uint64_t began, due;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void progress_at(uint64_t now, double done)
{
	if (!began) {
		began = now;
		due = now + FIRST_MS;
	}
	if (now < due || !isatty(STDERR_FILENO))
		return;
	due = now + NEXT_MS;
	fprintf(stderr, "\rvmaheap: the trace is read: %.0f %%", 100 * done);
	fflush(stderr);
}

void progress_show(double done)
{
	progress_at(now_ms(), done);
}

void progress_end(void)
{
	if (began && due > began + FIRST_MS)
		fputs("\r\033[K", stderr);
	began = due = 0;
}
