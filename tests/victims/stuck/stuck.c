// SPDX-License-Identifier: GPL-2.0
/* Preloaded: an allocator from which one size never comes back (inside.c). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#define STUCK 12345

void *malloc(size_t size)
{
	static void *(*next)(size_t size);

	while (size == STUCK)
		pause();
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	return next(size);
}
