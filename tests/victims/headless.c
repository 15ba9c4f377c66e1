// SPDX-License-Identifier: GPL-2.0
/*
 * Its main thread ends, the other one goes on: it holds HELD chunks, each of them
 * replaced at each byte on standard input, until that ends. Usage: headless [MS]; the
 * main thread lives so long (0)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HELD 1000

static void *work(void *arg)
{
	static void *held[HELD];
	char byte;

	(void)arg;
	do {
		for (int i = 0; i < HELD; i++) {
			free(held[i]);
			held[i] = malloc(10 + (size_t)i % 500);
		}
		printf("round\n");
		fflush(stdout);
	} while (read(STDIN_FILENO, &byte, 1) == 1);
	exit(0);
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (pthread_create(&t, NULL, work, NULL))
		return 1;
	if (argc > 1)
		usleep(1000u * (unsigned int)atoi(argv[1]));
	pthread_exit(NULL);
}
