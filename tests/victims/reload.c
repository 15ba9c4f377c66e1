// SPDX-License-Identifier: GPL-2.0
/*
 * Loads, calls and unloads two libraries in turn, which lie at the same place, and
 * tells the true stacks as stacks.c does. The libraries stand beside it, where its
 * RUNPATH leads. Exit status 3: they never lay at the same place.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 20000
#define TIMES 200
#define FRAMES 64

static struct {
	int nr;
	void *frames[FRAMES];
} truths[TIMES];
static int nr_truths;

static __attribute__((noinline)) void take(void)
{
	int n = nr_truths++;

	truths[n].nr = backtrace(truths[n].frames, FRAMES);
	free(malloc((size_t)FIRST_SIZE + (size_t)n));
	__asm__ volatile("" : : : "memory");
}

static void call(const char *name)
{
	void (*plug)(void (*)(void));
	void *so = dlopen(name, RTLD_NOW);

	if (!so) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	*(void **)&plug = dlsym(so, "plug");
	plug(take);
	dlclose(so);
}

int main(void)
{
	int i, k, again = 0;
	void *prime[4];

	backtrace(prime, 4);
	for (i = 0; i < TIMES; i++)
		call(i & 1 ? "plug_b.so" : "plug_a.so");
	for (i = 0; i < TIMES; i++) {
		again += i && truths[i].frames[1] == truths[i - 1].frames[1];
		printf("%d:", FIRST_SIZE + i);
		for (k = 1; k < truths[i].nr; k++)
			printf(" %lx",
			       (unsigned long)(uintptr_t)truths[i].frames[k]);
		printf("\n");
	}
	return again ? 0 : 3;
}
