// SPDX-License-Identifier: GPL-2.0
/* For the victim late: allocates from its constructor on, to its destructor. */
#include <stdint.h>
#include <stdlib.h>

#define CHUNKS 500

extern char __ehdr_start __attribute__((visibility("hidden")));
extern char etext __attribute__((visibility("hidden")));

static void *chunks[CHUNKS];
static unsigned long *sum;
static unsigned long allocs;

__attribute__((constructor)) static void begin(void)
{
	int i;

	for (i = 0; i < CHUNKS; i++, allocs++)
		chunks[i] = malloc(100 + (size_t)i);
}

__attribute__((destructor)) static void end(void)
{
	int i;

	for (i = 0; i < CHUNKS; i++)
		free(chunks[i]);
	sum[0] += allocs;
	sum[1] += allocs;
}

/* counts: allocations, frees; range: where this code lies */
void late(unsigned long *counts, uint64_t *range);
void late(unsigned long *counts, uint64_t *range)
{
	int i;

	for (i = 0; i < CHUNKS; i++, allocs++) {
		free(chunks[i]);
		chunks[i] = calloc(1, 50);
	}
	sum = counts;
	range[0] = (uintptr_t)&__ehdr_start;
	range[1] = (uintptr_t)&etext;
}
