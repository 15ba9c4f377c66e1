// SPDX-License-Identifier: GPL-2.0
/*
 * shortlived N: N children, one after the other, each of which allocates some
 * thousand chunks, frees most of them and exits, as those of a shell script or a
 * make do. Then it tells what one child did, and waits for the end of its input, so
 * that somebody can look at who watches it.
 */
#include <sys/wait.h>

#include "truth.h"

#define CHUNKS 4000
#define KEPT 1500 /* alive as the child exits */

static size_t size_of(int i)
{
	return 16 + (size_t)i % 64 * 8;
}

static void child(void)
{
	static void *volatile chunks[CHUNKS];
	int i;

	for (i = 0; i < CHUNKS; i++)
		chunks[i] = malloc(size_of(i));
	for (i = KEPT; i < CHUNKS; i++)
		free(chunks[i]);
	_exit(0);
}

static size_t bytes(int nr)
{
	size_t sum = 0;
	int i;

	for (i = 0; i < nr; i++)
		sum += size_of(i);
	return sum;
}

int main(int argc, char **argv)
{
	int i, status, nr = argc > 1 ? atoi(argv[1]) : 100;
	char c;

	for (i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (!pid)
			child();
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	truth("child allocs %d frees %d asked %zu kept %d bytes %zu\n", CHUNKS,
	      CHUNKS - KEPT, bytes(CHUNKS), KEPT, bytes(KEPT));
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
