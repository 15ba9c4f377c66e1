// SPDX-License-Identifier: GPL-2.0
/*
 * At SIGUSR1 a thread of it calls malloc and stays there (stuck/stuck.c). The first one
 * allocates, and prints its counts.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc_wait.h"

extern char __executable_start, etext;

#define STUCK 12345
#define PAIRS 1000

static sigset_t usr1;

static void *stay(void *arg)
{
	void *volatile p;
	int sig;

	sigwait(&usr1, &sig);
	p = malloc(STUCK);
	(void)p;
	return arg;
}

int main(void)
{
	void *volatile p;
	pthread_t t;
	int i;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	if (pthread_create(&t, NULL, stay, NULL))
		return 2;
	wait_for_start();
	for (i = 0; i < PAIRS; i++) {
		p = malloc(100);
		free(p);
	}
	printf("text %#lx %#lx\n",
	       (unsigned long)(uintptr_t)&__executable_start,
	       (unsigned long)(uintptr_t)&etext);
	printf("allocs %d frees %d live 0\n", PAIRS, PAIRS);
	return 0;
}
