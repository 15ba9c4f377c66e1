// SPDX-License-Identifier: GPL-2.0
/*
 * A malloc that a program brings along: it cuts chunks off a block of its own and
 * takes none back. What its functions have in common they call directly.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char block[64 << 20];
static size_t used;

static size_t *size_of(void *p)
{
	return (size_t *)p - 1;
}

void *memalign(size_t align, size_t size)
{
	size_t mask = (align > 16 ? align : 16) - 1;
	uintptr_t at = ((uintptr_t)block + used + 8 + mask) & ~mask;
	size_t end = at - (uintptr_t)block + size;

	if (size > sizeof(block) || end > sizeof(block)) {
		errno = ENOMEM;
		return NULL;
	}
	used = end;
	*size_of((void *)at) = size;
	return (void *)at;
}

void *malloc(size_t size)
{
	return memalign(16, size);
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t nmemb, size_t size)
{
	return malloc(nmemb * size); /* never used before */
}

void *realloc(void *p, size_t size)
{
	void *q = malloc(size);

	if (p && q)
		memcpy(q, p, *size_of(p) < size ? *size_of(p) : size);
	return q;
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	*out = memalign(align, size);
	return *out ? 0 : ENOMEM;
}
