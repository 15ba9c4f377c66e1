// SPDX-License-Identifier: GPL-2.0
/*
 * lazy: memory that was asked for and hardly used, each kind by a function of its own.
 * It prints what it made, "NAME ADDR BYTES TOUCHED", then "ready", and stands still until
 * its standard input ends. On an "f" it frees what holes() has kept, calls malloc_trim(0)
 * and prints "freed".
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MIB (1ul << 20)

static void tell(const char *name, const void *p, size_t bytes, size_t touched)
{
	printf("%s %p %zu %zu\n", name, p, bytes, touched);
}

/* Mapped by itself; only its beginning is written to, the header's page included. */
__attribute__((noinline)) static void mostly_untouched(void)
{
	char *p = malloc(64 * MIB);

	memset(p, 1, MIB);
	tell("untouched", p, 64 * MIB, MIB);
}

static char *kept[100];

/* Of many chunks on the brk heap few are kept; so what lies between stays. */
__attribute__((noinline)) static void holes(void)
{
	static char *all[5000];
	size_t i;

	for (i = 0; i < 5000; i++) {
		all[i] = malloc(1500);
		memset(all[i], 1, 1500);
	}
	for (i = 0; i < 5000; i++) {
		if (i % 50 == 49)
			kept[i / 50] = all[i];
		else
			free(all[i]);
	}
	tell("holes", kept[99], 1500, 1500);
}

/* What is asked for is 1 more than what fits without slack. */
__attribute__((noinline)) static void rounded(void)
{
	static void *p[1000];
	size_t i;

	for (i = 0; i < 1000; i++)
		p[i] = malloc(25);
	tell("rounded", p[999], 25, 25);
}

/* One byte of each huge page, where the kernel gives any; the others must not have one. */
__attribute__((noinline)) static void one_byte_each(void)
{
	char *p = memalign(2 * MIB, 8 * MIB);
	size_t i;

	madvise(p, 8 * MIB, MADV_HUGEPAGE);
	for (i = 0; i < 4; i++)
		p[i * 2 * MIB + 5000] = 1;
	tell("huge", p, 8 * MIB, 4);
}

static void free_kept(void)
{
	size_t i;

	for (i = 0; i < 100; i++)
		free(kept[i]);
	malloc_trim(0);
	puts("freed");
	fflush(stdout);
}

int main(void)
{
	char byte;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	mostly_untouched();
	holes();
	rounded();
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	one_byte_each();
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) == 1)
		if (byte == 'f')
			free_kept();
	return 0;
}
