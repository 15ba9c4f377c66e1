// SPDX-License-Identifier: GPL-2.0
/*
 * Opens a library whose allocator is another one than the program's: in a namespace
 * of its own, before or after it has waited (alloc_wait.h).
 * Usage: apart before|after
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_wait.h"

#define LIBRARY "libm.so.6"

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	void *so = NULL;

	if (!strcmp(how, "before"))
		so = dlmopen(LM_ID_NEWLM, LIBRARY, RTLD_NOW);
	wait_for_start();
	if (!strcmp(how, "after"))
		so = dlmopen(LM_ID_NEWLM, LIBRARY, RTLD_NOW);
	free(malloc(1));
	return !so;
}
