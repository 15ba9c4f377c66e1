// SPDX-License-Identifier: GPL-2.0
/*
 * What the injected shim has of its own (probe/inject.h).
 */
#include <stdlib.h>
#include <string.h>

#include "probe/shim.h"

struct home_line inject_homes[1 << INJECT_HOME_BITS]
	__attribute__((aligned(4096)));

char inject_sock[INJECT_SOCK_BYTES];

struct next_functions next;

bool libc_hooked;

const uint32_t next_flags; /* it was there before us */

const char *next_start(void)
{
	return inject_sock;
}

void *boot_move(const void *p, void *q, size_t size)
{
	(void)p;
	(void)size;
	return q; /* boot_owns() is never true */
}

/* ---- homes ---- */

static bool home_take(struct home_line *l, int i, uint64_t was, uint64_t tp)
{
	return __atomic_compare_exchange_n(&l->tp[i], &was, tp, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* The entry of the calling thread; -1: it has none and gets none. */
static int home_find(struct home_line *l, uint64_t tp, bool make)
{
	int i;

	for (i = 0; i < HOME_WAYS; i++)
		if (l->tp[i] == tp)
			return i;
	for (i = 0; make && i < HOME_WAYS; i++)
		if (!l->tp[i] && home_take(l, i, 0, tp))
			return i;
	for (i = 0; make && i < HOME_WAYS; i++)
		if (l->ended[i] && home_take(l, i, l->tp[i], tp))
			return i;
	return -1;
}

/* No system call may be made: that it has ended is all that is known. */
#define SOME_THREAD UINT32_MAX

static uint32_t thread_id(void)
{
	return shim_guarded ? SOME_THREAD : sys_gettid();
}

bool slot_keep(struct slot *s)
{
	uint64_t tp = thread_pointer();
	struct home_line *l = home_line(tp);
	int i = home_find(l, tp, true);

	if (i < 0 || (l->ended[i] && l->ended[i] == thread_id()))
		return false;
	l->ended[i] = 0;
	l->slot[i] = s;
	return true;
}

void slot_end_thread(void)
{
	uint64_t tp = thread_pointer();
	struct home_line *l = home_line(tp);
	int i = home_find(l, tp, false);

	if (i < 0)
		return;
	l->slot[i] = NULL;
	l->ended[i] = thread_id();
}

/* ---- what the compiler and the other files call ---- */

#define PLAIN __attribute__((optimize("no-tree-loop-distribute-patterns")))

PLAIN void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	char *t = to;
	const char *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

PLAIN void *memset(void *to, int byte, size_t n)
{
	char *t = to;

	while (n--)
		*t++ = (char)byte;
	return to;
}

PLAIN size_t strlen(const char *s)
{
	const char *e = s;

	while (*e)
		e++;
	return (size_t)(e - s);
}

PLAIN char *strcpy(char *restrict to, const char *restrict from)
{
	return memcpy(to, from, strlen(from) + 1);
}
