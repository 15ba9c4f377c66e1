// SPDX-License-Identifier: GPL-2.0
/*
 * The dynamic mmap threshold: large chunks get mappings of their own until one of
 * them is freed; then smaller ones come from the heap, which grows and is trimmed.
 * It prints the frees that raise it ("raise ADDR FROM TO"), and what each
 * allocation and free took, as truth.h has it.
 */
#include "truth.h"

static size_t threshold = 128 << 10;

/* free(), malloc/malloc.c: a larger chunk with a mapping raises it to its size, up to 32 MiB. */
__attribute__((noinline)) static void freed(void *p)
{
	size_t size = ((size_t *)p)[-1] & ~7ul;

	if (is_mmapped(p) && size > threshold && size <= 32 << 20) {
		truth("raise %p %zu %zu\n", p, threshold, size);
		threshold = size;
	}
	told_free(p);
}

/* Several of one size, freed first to last. */
static void round_of(size_t size, int nr)
{
	void *p[16];
	int i;

	for (i = 0; i < nr; i++)
		p[i] = told_malloc(size);
	for (i = 0; i < nr; i++)
		freed(p[i]);
}

/* What a program does all day, so that bins, caches and the top are all in use. */
static void small_ones(unsigned int seed, int nr)
{
	static void *p[64];
	int i;

	for (i = 0; i < nr; i++) {
		unsigned int k = (seed = seed * 1103515245 + 12345) >> 16;
		void **at = &p[k % 64];

		free(*at);
		*at = k % 3 ? malloc(k % 5000) : calloc(1, k % 40000);
		if (k % 7 == 0)
			*at = realloc(*at, k % 90000);
		if (k % 11 == 0) {
			free(*at);
			*at = memalign(256, k % 3000);
		}
	}
}

int main(void)
{
	int i;

	truth("started\n");
	small_ones(1, 500);
	round_of(200000, 4); /* four mappings; the first free raises it */
	round_of(200000, 4); /* the heap; and its trimming */
	small_ones(2, 500);
	round_of(1 << 20, 2);
	for (i = 0; i < 6; i++)
		round_of((size_t)(i + 1) * 150000, 3);
	round_of(40 << 20, 1); /* too large to raise anything */
	round_of(3 << 20, 2);
	small_ones(3, 500);
	round_of(2 << 20, 5);
	truth("threshold %zu\n", threshold);
	return 0;
}
