// SPDX-License-Identifier: GPL-2.0
/*
 * Calls every allocator function once or more and prints what the shim must
 * have told of it: "op phase addr size align", one line an event, in order.
 * Only what is called from this file counts; `text` gives its address range.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_wait.h"

extern char __executable_start, etext;

#define LINES 256
static char lines[LINES][96];
static int nr;

#define TELL(op, phase, addr, size, align)                                \
	snprintf(lines[nr++], sizeof(lines[0]), "%s %s %#lx %lu %lu", op, \
		 phase, (unsigned long)(uintptr_t)(addr),                 \
		 (unsigned long)(size), (unsigned long)(align))

static void give(void *p)
{
	TELL("free", "enter", p, 0, 0);
	free(p);
}

static void *early;

/* Before main, and before the other libraries' constructors. */
__attribute__((constructor)) static void before_main(void)
{
	early = calloc(3, 5);
	TELL("calloc", "return", early, 15, 0);
}

static void *renew(void *p, size_t size)
{
	void *q;

	TELL("realloc", "enter", p, 0, 0);
	q = realloc(p, size);
	TELL("realloc", "return", q, size, 0);
	return q;
}

static void plain(void)
{
	static const size_t sizes[] = { 0,    1,      24,      8191,
					8192, 100000, 1 << 20, 40 << 20 };
	volatile size_t many = SIZE_MAX / 2;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		void *p = malloc(sizes[i]);

		TELL("malloc", "return", p, sizes[i], 0);
		give(p);
	}
	give(NULL);
	TELL("malloc", "return", malloc(many), many, 0);
	TELL("calloc", "return", calloc(many, 4), UINT64_MAX, 0);
}

static void again(void)
{
	volatile size_t many = SIZE_MAX / 2;
	void *volatile p =
		renew(NULL, 10); /* volatile: gcc cannot see use after free */
	void *q;

	p = renew(p, 8191);
	p = renew(p, 8192);
	p = renew(p, 300000);
	q = renew(p, many); /* fails: p stays */
	if (q)
		abort();
	p = renew(p, 16);
	TELL("realloc", "enter", p, 0, 0);
	p = reallocarray(p, 6, 7);
	TELL("reallocarray", "return", p, 42, 0);
	TELL("realloc", "enter", p, 0, 0);
	q = reallocarray(p, many, 7);
	TELL("reallocarray", "return", q, UINT64_MAX, 0);
	renew(p, 0); /* glibc: frees */
}

static void aligned(void)
{
	volatile size_t most = SIZE_MAX; /* no power of two follows it */
	void *p, *keep = NULL;

	p = memalign(64, 100);
	TELL("memalign", "return", p, 100, 64);
	give(p);
	p = memalign(8, 100);
	TELL("memalign", "return", p, 100, 8);
	give(p);
	p = aligned_alloc(4096, 8192);
	TELL("aligned_alloc", "return", p, 8192, 4096);
	give(p);
	p = aligned_alloc(most, 5);
	TELL("aligned_alloc", "return", p, 5, 1ul << 63);
	if (posix_memalign(&keep, 256, 1000))
		abort();
	TELL("posix_memalign", "return", keep, 1000, 256);
	if (posix_memalign(&p, 256, SIZE_MAX / 2) != 12)
		abort();
	TELL("posix_memalign", "return", NULL, SIZE_MAX / 2, 256);
	give(keep);
	p = valloc(5);
	TELL("valloc", "return", p, 5, 4096);
	give(p);
	p = pvalloc(5);
	TELL("pvalloc", "return", p, 5, 4096);
	give(p);
}

int main(void)
{
	int i;

	if (wait_for_start())
		nr = 0; /* whoever comes now has not seen before_main() */
	if (malloc_usable_size(early) < 15)
		return 1;
	give(early);
	plain();
	again();
	aligned();
	printf("text %#lx %#lx\n", (unsigned long)&__executable_start,
	       (unsigned long)&etext);
	for (i = 0; i < nr; i++)
		printf("%s\n", lines[i]);
	return 7;
}
