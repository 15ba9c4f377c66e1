// SPDX-License-Identifier: GPL-2.0
/*
 * More processes or threads than anybody wants:
 *
 *   bomb fork DEPTH WIDTH    each process forks WIDTH children, DEPTH deep, all
 *                            of them alive at once
 *   bomb threads N AT_ONCE   N threads, which map, protect and unmap a page
 *
 * Prints how many there were.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX 256

static void page(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	p[0] = 1;
	mprotect(p, 4096, PROT_READ);
	munmap(p, 8192);
}

static void *thread(void *arg)
{
	page();
	return arg;
}

/* The sum of what the children count, each through a pipe, and this one. */
static unsigned int forks(int depth, int width)
{
	unsigned int sum = 1, one;
	int pipes[2], i, started = 0;

	page();
	if (!depth || pipe(pipes))
		return sum;
	fflush(stdout);
	for (i = 0; i < width; i++) {
		pid_t pid = fork();

		if (!pid) {
			close(pipes[0]);
			one = forks(depth - 1, width);
			_exit(write(pipes[1], &one, sizeof(one)) < 0);
		}
		started += pid > 0;
	}
	close(pipes[1]);
	while (read(pipes[0], &one, sizeof(one)) == sizeof(one))
		sum += one;
	while (started--)
		wait(NULL);
	close(pipes[0]);
	return sum;
}

static unsigned int threads(int n, int at_once)
{
	pthread_t all[MAX];
	unsigned int sum = 0;
	int i;

	while (n > 0) {
		int started = 0;

		for (i = 0; i < at_once && n > 0; i++, n--)
			started += !pthread_create(&all[started], NULL, thread,
						   NULL);
		sum += started;
		for (i = 0; i < started; i++)
			pthread_join(all[i], NULL);
		if (!started)
			break;
	}
	return sum;
}

int main(int argc, char **argv)
{
	int a = argc > 3 ? atoi(argv[2]) : 0, b = argc > 3 ? atoi(argv[3]) : 0;

	if (a < 1 || b < 1 || b > MAX)
		return 2;
	printf("%u\n", strcmp(argv[1], "fork") ? threads(a, b) : forks(a, b));
	return 0;
}
