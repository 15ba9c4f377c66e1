// SPDX-License-Identifier: GPL-2.0
/*
 * Opens a library that allocates as soon as it is there, as plug-ins do, and closes it
 * again. Prints the library's counts. With deepbind the library looks in the C library
 * first, with early it is opened before the wait.
 * Usage: late [deepbind [early]]
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc_wait.h"

int main(int argc, char **argv)
{
	void (*late)(unsigned long *counts, uint64_t *range);
	unsigned long counts[2] = { 0 };
	uint64_t range[2];
	void *so;

	(void)argv;
	if (argc < 3)
		wait_for_start();
	so = dlopen("late.so", RTLD_NOW | (argc > 1 ? RTLD_DEEPBIND : 0));
	if (!so) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	if (argc > 2)
		wait_for_start();
	*(void **)&late = dlsym(so, "late");
	late(counts, range);
	dlclose(so);
	printf("text %#lx %#lx\n", range[0], range[1]);
	printf("allocs %lu frees %lu live %lu\n", counts[0], counts[1],
	       counts[0] - counts[1]);
	return 0;
}
