// SPDX-License-Identifier: GPL-2.0
/* How far a trace has been read, on a terminal and elsewhere. */
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "session/pager.h"

static int standard_error; /* as it was */

static void redirect(int fd)
{
	fflush(stderr);
	standard_error = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
}

static void restore(void)
{
	fflush(stderr);
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
}

static void work(void)
{
	progress_at(5000, 0.01);
	progress_at(5999, 0.10);
	progress_at(6000, 0.42);
	progress_at(6100, 0.43); /* so soon is too often */
	progress_at(6200, 0.44);
	progress_end();
}

/* All that was written until the other end was closed: a terminal's comes late. */
static void check(int from, const char *wanted)
{
	char got[256];
	size_t have = 0;
	ssize_t len;

	while (have < sizeof(got) - 1 &&
	       (len = read(from, got + have, sizeof(got) - 1 - have)) > 0)
		have += (size_t)len;
	got[have] = 0;
	close(from);
	assert_string_equal(got, wanted);
}

static int terminal(void)
{
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	redirect(slave);
	close(slave);
	return master;
}

static void test_terminal(void **state)
{
	int master = terminal();

	(void)state;
	work();
	restore();
	check(master, "\rvmaheap: the trace is read: 42 %"
		      "\rvmaheap: the trace is read: 44 %\r\033[K");
	/* What is done within a second says nothing. */
	master = terminal();
	progress_at(7000, 0.5);
	progress_at(7900, 0.9);
	progress_end();
	restore();
	check(master, "");
}

static void test_pipe(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	redirect(p[1]);
	close(p[1]);
	work();
	restore();
	check(p[0], "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests_name("pager", tests, NULL, NULL);
}
