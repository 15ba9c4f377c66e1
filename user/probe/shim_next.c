// SPDX-License-Identifier: GPL-2.0
/*
 * The original functions: RTLD_NEXT, looked up once.
 *
 * dlsym may allocate (glibc before 2.34 callocs its error buffer, and a failed
 * look-up formats a message), so until all are known the table points to a bump
 * allocator over a static array. Its chunks carry the size word of an mmapped
 * chunk of glibc (malloc/malloc.c: size | IS_MMAPPED at p - 8, 16 bytes more
 * than usable), so that malloc_usable_size() of one is right.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/shim.h"
#include "probe/shim_sys.h"

#define BOOT_ALIGN 16
#define BOOT_MMAPPED 2u

char boot_arena[BOOT_BYTES] __attribute__((aligned(4096)));
size_t boot_used;

static uint64_t *boot_size_word(const void *p)
{
	return (uint64_t *)(uintptr_t)p - 1;
}

static size_t boot_size(const void *p)
{
	return (*boot_size_word(p) & ~(uint64_t)7) - BOOT_ALIGN;
}

static void *boot_memalign(size_t align, size_t size)
{
	size_t want, at;
	char *p;

	if (align < BOOT_ALIGN)
		align = BOOT_ALIGN;
	if (align > BOOT_BYTES / 2 || size > BOOT_BYTES / 2)
		return NULL;
	size = (size + BOOT_ALIGN - 1) & ~(size_t)(BOOT_ALIGN - 1);
	want = size + align + BOOT_ALIGN;
	at = __atomic_fetch_add(&boot_used, want, __ATOMIC_RELAXED);
	if (at + want > BOOT_BYTES) {
		__atomic_fetch_sub(&boot_used, want, __ATOMIC_RELAXED);
		return NULL;
	}
	p = boot_arena + ((at + BOOT_ALIGN + align - 1) & ~(align - 1));
	*boot_size_word(p) = (size + BOOT_ALIGN) | BOOT_MMAPPED;
	return p;
}

static void *boot_malloc(size_t size)
{
	return boot_memalign(BOOT_ALIGN, size);
}

static void boot_free(void *p)
{
	(void)p; /* never given back */
}

/* The arena is never reused, so its memory is zero. */
static void *boot_calloc(size_t nmemb, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nmemb, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return boot_malloc(bytes);
}

void *boot_move(const void *p, void *q, size_t size)
{
	size_t old = boot_size(p);

	return q ? memcpy(q, p, old < size ? old : size) : NULL;
}

static void *boot_realloc(void *p, size_t size)
{
	void *q = boot_malloc(size);

	return p ? boot_move(p, q, size) : q;
}

static void *boot_reallocarray(void *p, size_t nmemb, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nmemb, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return boot_realloc(p, bytes);
}

static void *boot_aligned_alloc(size_t align, size_t size)
{
	return boot_memalign(align, size);
}

static int boot_posix_memalign(void **out, size_t align, size_t size)
{
	void *p = boot_memalign(align, size);

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

static void *boot_valloc(size_t size)
{
	return boot_memalign(4096, size);
}

static void *boot_pvalloc(size_t size)
{
	return boot_memalign(4096, size);
}

struct next_functions next = {
#define X(ret, name, params) .name = boot_##name,
	SHIM_FUNCTIONS(X)
#undef X
};

/* A function that the libc lacks keeps its stand-in, and nobody calls it. */
static void next_resolve(void)
{
	struct next_functions found = next;
	void *f;

#define X(ret, name, params)         \
	f = dlsym(RTLD_NEXT, #name); \
	if (f)                       \
		memcpy(&found.name, &f, sizeof(f));
	SHIM_FUNCTIONS(X)
#undef X
	next = found;
}

const uint32_t next_flags = SHIM_FRESH;

const char *next_start(void)
{
	next_resolve();
	got_set();
	return getenv(SHIM_SOCK_ENV);
}
