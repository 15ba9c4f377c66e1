// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded behind the shim: an allocator in whose malloc() and free(), and in nothing
 * else, the stamp moves, as it does when the kernel maps memory for one. The page
 * is behind descriptor MOVING_FD.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "moving.h"

/* glibc's own, whoever takes their names */
extern void *__libc_malloc(size_t size);
extern void __libc_free(void *p);

static void move(void)
{
	static uint64_t *stamp;

	if (!stamp)
		stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			     MOVING_FD, 0);
	if (stamp == MAP_FAILED)
		abort();
	__atomic_fetch_add(stamp, 1, __ATOMIC_ACQ_REL);
}

void *malloc(size_t size)
{
	move();
	return __libc_malloc(size);
}

void free(void *p)
{
	__libc_free(p);
	move();
}
