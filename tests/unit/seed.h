/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random numbers for tests: of $VMAHEAP_SEED when it is set, else other ones in
 * each run, and the seed is printed, so that a failure can be had again.
 */
#ifndef TESTS_UNIT_SEED_H
#define TESTS_UNIT_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed_state;

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014) */
static inline uint64_t seed_next(void)
{
	uint64_t z = seed_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t seed_below(uint32_t n)
{
	return (seed_next() >> 32) * n >> 32;
}

static inline void seed_start(void)
{
	const char *env = getenv("VMAHEAP_SEED");

	seed_state = env ? strtoull(env, NULL, 0) :
			   (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
	printf("# VMAHEAP_SEED=%" PRIu64 "\n", seed_state);
	fflush(stdout);
}

#endif
