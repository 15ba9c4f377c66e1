// SPDX-License-Identifier: GPL-2.0
/*
 * operator new and delete (probe/operators.h), for allocators that bring
 * their own: jemalloc, mimalloc and tcmalloc do, and theirs do not call malloc.
 * Those of libstdc++ and libc++ call malloc and free by their names, where they
 * are told of already. Which it is shows the first call of each: did it come back
 * to us? Before that is known, and where it does not, the call is told of here: new
 * as malloc, aligned new as aligned_alloc, delete as free. An exception that the
 * original throws passes through, so nothing may wait to be undone (but for the
 * very first call, and its thread is then heard again from the next shallow one).
 *
 * The originals may be out of the sight of RTLD_NEXT: in a library that dlopen()
 * has brought in with the one that calls us. Then they are looked for from there, all
 * at once, so that new and delete are of one kind. The injected shim is told them,
 * when they are of the object that has malloc (intake/inject.c).
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "probe/operators.h"
#include "probe/shim.h"

#define NOINLINE __attribute__((noinline))
#define CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0))
#define FRAME __builtin_frame_address(0)

enum how {
	UNKNOWN, /* not called yet */
	PLAIN, /* it is not ours to tell */
	TOLD,
};

struct original {
	const char *name;
	void *function;
	enum how how;
};

#define ID(name, id) id,
enum { NEWS(ID) ALIGNED_NEWS(ID) DELETES(ID) OPERATORS };

#define ENTRY(name, id) [id] = { #name, NULL, UNKNOWN },
static struct original originals[OPERATORS] = { NEWS(ENTRY) ALIGNED_NEWS(ENTRY)
							DELETES(ENTRY) };

typedef void *(*new_function)(size_t size, uintptr_t a, uintptr_t b);
typedef void (*delete_function)(void *p, uintptr_t a, uintptr_t b);

#ifndef SHIM_INJECTED
static int resolved; /* all of them are */

/* --- where nobody has any, which no linked program gets to */

static void *no_new(size_t size, uintptr_t a, uintptr_t b)
{
	void *p = malloc(size ? size : 1);

	(void)a;
	(void)b;
	if (!p)
		abort();
	return p;
}

static void *no_aligned_new(size_t size, uintptr_t align, uintptr_t b)
{
	void *p;

	(void)b;
	if (posix_memalign(&p, align, size ? size : 1))
		abort();
	return p;
}

static void no_delete(void *p, uintptr_t a, uintptr_t b)
{
	(void)a;
	(void)b;
	free(p);
}

static void *none(int id)
{
	new_function new = id < NEW_ALIGNED ? no_new : no_aligned_new;
	delete_function delete = no_delete;
	void *f;

	if (id < DELETE)
		memcpy(&f, &new, sizeof(f));
	else
		memcpy(&f, &delete, sizeof(f));
	return f;
}

/* The libraries of whoever called us; NULL: not to be had. */
static void *scope_of(uint64_t caller)
{
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)caller, &info) || !info.dli_fname)
		return NULL;
	return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

static void look_up(void *found[OPERATORS], void *scope)
{
	int i;

	for (i = 0; i < OPERATORS; i++)
		found[i] = dlsym(scope, originals[i].name);
}

/* Two threads may do so at a time, and find the same. */
static __attribute__((noinline, cold)) void resolve(uint64_t caller)
{
	void *found[OPERATORS], *scope;
	int i;

	look_up(found, RTLD_NEXT);
	if (!found[NEW] && !found[DELETE]) {
		scope = scope_of(caller);
		if (scope)
			look_up(found, scope);
	}
	for (i = 0; i < OPERATORS; i++)
		originals[i].function = found[i] ? found[i] : none(i);
	__atomic_store_n(&resolved, 1, __ATOMIC_RELEASE);
}

static void find_originals(uint64_t caller)
{
	if (!__atomic_load_n(&resolved, __ATOMIC_ACQUIRE))
		resolve(caller);
}
#else
static void find_originals(uint64_t caller)
{
	(void)caller; /* they are known from the start */
}
#endif

/* --- the calls that are told */

/* Silent until it is known whether the original calls malloc or free. */
static bool hush(struct slot *s, const struct original *o, const void *frame)
{
	if (likely(o->how == TOLD))
		return false;
	told_quiet(s, frame);
	return true;
}

static void heard(struct slot *s, struct original *o)
{
	o->how = told_loud(s) ? PLAIN : TOLD;
}

/* Where nobody ever listens there is no need to ask. */
static void never(struct original *o)
{
	if (shim_silent)
		o->how = PLAIN;
}

static NOINLINE void *slow_new(struct original *o, uint64_t caller, size_t size,
			       size_t align, uintptr_t a, uintptr_t b)
{
	struct slot_loan loan;
	struct slot *s = told_slot(&loan);
	uint64_t begin;
	bool quiet;
	void *p;

	find_originals(caller);
	if (!s) {
		never(o);
		slot_put(&loan);
		return ((new_function)o->function)(size, a, b);
	}
	caller = slot_where(s, caller, size, FRAME);
	begin = slot_stamp(s);
	quiet = hush(s, o, FRAME);
	p = ((new_function)o->function)(size, a, b);
	if (quiet)
		heard(s, o);
	told_alloc(s, align ? OP_ALIGNED_ALLOC : OP_MALLOC, align, begin,
		   caller, p, size);
	slot_put(&loan);
	return p;
}

static NOINLINE void slow_delete(struct original *o, uint64_t caller, void *p,
				 uintptr_t a, uintptr_t b)
{
	struct slot_loan loan;
	struct slot *s = told_slot(&loan);
	bool quiet;

	find_originals(caller);
	if (!s || !p) { /* of NULL nothing would be heard */
		never(o);
		((delete_function)o->function)(p, a, b);
	} else {
		told_free(s, caller, p);
		quiet = hush(s, o, FRAME);
		((delete_function)o->function)(p, a, b);
		if (quiet)
			heard(s, o);
		told_left(s);
	}
	slot_put(&loan);
}

/* The common case written out, as that of malloc and free in shim.c. */
static NOINLINE void *told_new(struct original *o, uint64_t caller, size_t size,
			       size_t align, uintptr_t a, uintptr_t b)
{
	struct slot *s = slot_mine();
	uint64_t begin;
	void *p;

	if (unlikely(o->how != TOLD || !s || s->head >= s->limit))
		return slow_new(o, caller, size, align, a, b);
	begin = slot_stamp(s);
	p = ((new_function)o->function)(size, a, b);
	if (unlikely(begin != s->ts || slot_stamp(s) != begin ||
		     caller != s->alloc_caller || size > WORD_SIZE_MAX ||
		     align))
		told_alloc(s, align ? OP_ALIGNED_ALLOC : OP_MALLOC, align,
			   begin, caller, p, size);
	else
		slot_last_word(s, word_body(WORD_MALLOC, size, (uintptr_t)p));
	return p;
}

static NOINLINE void told_delete(struct original *o, uint64_t caller, void *p,
				 uintptr_t a, uintptr_t b)
{
	struct slot *s = slot_mine();

	if (unlikely(o->how != TOLD || !s || s->head >= s->limit || !p)) {
		slow_delete(o, caller, p, a, b);
		return;
	}
	if (unlikely(slot_stamp(s) != s->ts || caller != s->free_caller))
		told_free(s, caller, p);
	else
		slot_last_word(s, word_body(WORD_FREE, 0, (uintptr_t)p));
	((delete_function)o->function)(p, a, b);
	if (unlikely(slot_stamp(s) != s->ts))
		told_left(s);
}

#ifndef SHIM_INJECTED
#define NEW_OPERATOR(name, id)                                          \
	EXPORT void *name(size_t size, uintptr_t a);                    \
	EXPORT void *name(size_t size, uintptr_t a)                     \
	{                                                               \
		struct original *o = &originals[id];                    \
                                                                        \
		if (likely(o->how == PLAIN))                            \
			return ((new_function)o->function)(size, a, 0); \
		return told_new(o, CALLER, size, 0, a, 0);              \
	}

#define ALIGNED_NEW_OPERATOR(name, id)                                      \
	EXPORT void *name(size_t size, uintptr_t align, uintptr_t b);       \
	EXPORT void *name(size_t size, uintptr_t align, uintptr_t b)        \
	{                                                                   \
		struct original *o = &originals[id];                        \
                                                                            \
		if (likely(o->how == PLAIN))                                \
			return ((new_function)o->function)(size, align, b); \
		return told_new(o, CALLER, size, align, align, b);          \
	}
#else
/*
 * No exception may pass through what has no unwind tables that anybody would find.
 * So what throws is only jumped to, when the form that does not has no memory.
 */
#define THROWS(id)                                            \
	(id == NEW || id == NEW_ARRAY || id == NEW_ALIGNED || \
	 id == NEW_ARRAY_ALIGNED)
_Static_assert(NEW_NOTHROW == NEW + 2 && NEW_ARRAY_NOTHROW == NEW_ARRAY + 2 &&
		       NEW_ALIGNED_NOTHROW == NEW_ALIGNED + 2 &&
		       NEW_ARRAY_ALIGNED_NOTHROW == NEW_ARRAY_ALIGNED + 2,
	       "as mild() has it");

static struct original *mild(int id)
{
	return &originals[THROWS(id) ? id + 2 : id];
}

#define ANY_NEW_OPERATOR(name, id, align)                                  \
	void *name(size_t size, uintptr_t a, uintptr_t b);                 \
	void *name(size_t size, uintptr_t a, uintptr_t b)                  \
	{                                                                  \
		struct original *o = mild(id);                             \
		void *p;                                                   \
                                                                           \
		if (likely(o->function && o->how != PLAIN)) {              \
			p = told_new(o, CALLER, size, align, a, b);        \
			if (likely(p || !THROWS(id)))                      \
				return p;                                  \
		}                                                          \
		return ((new_function)originals[id].function)(size, a, b); \
	}
#define NEW_OPERATOR(name, id) ANY_NEW_OPERATOR(name, id, 0)
#define ALIGNED_NEW_OPERATOR(name, id) ANY_NEW_OPERATOR(name, id, a)
#endif

#define DELETE_OPERATOR(name, id)                                \
	EXPORT void name(void *p, uintptr_t a, uintptr_t b);     \
	EXPORT void name(void *p, uintptr_t a, uintptr_t b)      \
	{                                                        \
		struct original *o = &originals[id];             \
                                                                 \
		if (likely(o->how == PLAIN))                     \
			((delete_function)o->function)(p, a, b); \
		else                                             \
			told_delete(o, CALLER, p, a, b);         \
	}

NEWS(NEW_OPERATOR)
ALIGNED_NEWS(ALIGNED_NEW_OPERATOR)
DELETES(DELETE_OPERATOR)

#ifdef SHIM_INJECTED
#define HOOK(name, id) { #name, (void *)name, &originals[id].function },
const struct inject_function shim_operators[] = { NEWS(HOOK) ALIGNED_NEWS(
	HOOK) DELETES(HOOK){ NULL, NULL, NULL } };
#endif
