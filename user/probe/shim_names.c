// SPDX-License-Identifier: GPL-2.0
/*
 * The functions that only one library has (probe/names.h): told as those of C that
 * do the same. No library must seem to have them that has not, for programs ask for
 * an allocator by them (`if (mallocx)`, of a weak reference; dlsym). So nothing here
 * is exported: the pointers by which objects call the originals are set to these
 * (shim_got.c, intake/inject.c), but for those of the library itself.
 *
 * What an original calls to do its work is silent. No exception may pass through
 * here: what is injected has no unwind tables that anybody would find, and a slot
 * would stay silent. So where an original throws, one that does not is asked first;
 * if that has no memory the other one is jumped to, which says so in its own way.
 */
#include <string.h>

#include "probe/names.h"
#include "probe/shim.h"

#define NOINLINE __attribute__((noinline))
#define CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0))
#define FRAME __builtin_frame_address(0)

/* As they come in registers: what a function does not take does no harm. */
struct arguments {
	uintptr_t a, b, c, d, e;
};

#define PARAMETERS \
	uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e
#define ARGUMENTS (&(const struct arguments){ a, b, c, d, e })

typedef uintptr_t (*function)(PARAMETERS);

/* A call, and who is to be told. */
struct call {
	function original;
	const struct arguments *x;
	struct slot_loan loan;
	struct slot *s; /* NULL: nobody */
	uint64_t caller, begin;
};

static uintptr_t product(uintptr_t a, uintptr_t b)
{
	uintptr_t p;

	return __builtin_mul_overflow(a, b, &p) ? UINTPTR_MAX : p;
}

static void begin(struct call *c, void *original, uint64_t caller,
		  const struct arguments *x)
{
	memcpy(&c->original, &original, sizeof(original));
	c->x = x;
	c->caller = caller;
	c->s = told_slot(&c->loan);
}

/* frame: of a function that this call came through */
static void begin_alloc(struct call *c, void *original, uint64_t caller,
			const struct arguments *x, size_t bytes,
			const void *frame)
{
	begin(c, original, caller, x);
	if (!c->s)
		return;
	c->caller = slot_where(c->s, caller, bytes, frame);
	c->begin = slot_stamp(c->s);
}

static uintptr_t ask(struct call *c)
{
	const struct arguments *x = c->x;
	uintptr_t result;

	if (c->s)
		told_quiet(c->s, FRAME);
	result = c->original(x->a, x->b, x->c, x->d, x->e);
	if (c->s)
		told_loud(c->s);
	return result;
}

static void end_alloc(struct call *c, enum alloc_op op, size_t size,
		      size_t align, uintptr_t p)
{
	if (c->s)
		told_alloc(c->s, op, align, c->begin, c->caller, (void *)p,
			   size);
	slot_put(&c->loan);
}

static NOINLINE uintptr_t call_alloc(void *original, uint64_t caller,
				     const struct arguments *x, bool zeroed,
				     size_t size, size_t align)
{
	struct call c;
	uintptr_t p;

	begin_alloc(&c, original, caller, x, size, FRAME);
	p = ask(&c);
	end_alloc(&c,
		  align	 ? OP_ALIGNED_ALLOC :
		  zeroed ? OP_CALLOC :
			   OP_MALLOC,
		  size, align, p);
	return p;
}

static NOINLINE uintptr_t call_posix_memalign(void *original, uint64_t caller,
					      const struct arguments *x)
{
	struct call c;
	uintptr_t err;

	begin_alloc(&c, original, caller, x, x->c, FRAME);
	err = ask(&c);
	end_alloc(&c, OP_POSIX_MEMALIGN, x->c, x->b,
		  (int)err ? 0 : *(uintptr_t *)x->a);
	return err;
}

static NOINLINE uintptr_t call_string(void *original, uint64_t caller,
				      const struct arguments *x,
				      uintptr_t buffer)
{
	struct call c;
	uintptr_t p;

	begin_alloc(&c, original, caller, x, 0, FRAME);
	p = ask(&c);
	if (!p || p == buffer)
		slot_put(&c.loan);
	else
		end_alloc(&c, OP_MALLOC, strlen((const char *)p) + 1, 0, p);
	return p;
}

static void end_realloc(struct call *c, size_t size, uintptr_t p)
{
	if (c->s)
		told_moved(c->s, c->caller, (void *)p, size);
	slot_put(&c->loan);
}

static NOINLINE uintptr_t call_realloc(void *original, uint64_t caller,
				       const struct arguments *x, uintptr_t p,
				       size_t size)
{
	struct call c;

	begin_alloc(&c, original, caller, x, size, FRAME);
	if (c.s)
		told_move(c.s, c.caller, (void *)p);
	p = ask(&c);
	end_realloc(&c, size, p);
	return p;
}

/* It has failed when the chunk is still smaller than what was asked for. */
static NOINLINE uintptr_t call_xallocx(void *original, uint64_t caller,
				       const struct arguments *x)
{
	size_t size = x->b, most = size + x->c, has;
	struct call c;

	begin_alloc(&c, original, caller, x, size, FRAME);
	if (c.s)
		told_move(c.s, c.caller, (void *)x->a);
	has = ask(&c);
	end_realloc(&c, has < size || has > most ? most : has,
		    has < size ? 0 : x->a);
	return has;
}

static NOINLINE uintptr_t call_free(void *original, uint64_t caller,
				    const struct arguments *x)
{
	uintptr_t result;
	struct call c;

	begin(&c, original, caller, x);
	if (c.s)
		told_free(c.s, caller, (void *)x->a);
	result = ask(&c);
	if (c.s)
		told_left(c.s);
	slot_put(&c.loan);
	return result;
}

static NOINLINE uintptr_t call_drop(void *original, uint64_t caller,
				    const struct arguments *x)
{
	uintptr_t result;
	struct call c;

	begin(&c, original, caller, x);
	if (c.s)
		slot_lose(c.s);
	result = ask(&c);
	slot_put(&c.loan);
	return result;
}

/* --- by name */

#define ID(name, ...) NAMED_##name,
enum { NAMES(ID) NAMED };

static void *originals[NAMED];

#define HOOK(name, call, ...)                                           \
	static uintptr_t hook_##name(PARAMETERS)                        \
	{                                                               \
		return call(originals[NAMED_##name], CALLER, ARGUMENTS, \
			    ##__VA_ARGS__);                             \
	}
/* The jump leaves no frame of ours (it passes on six registers at most). */
#define THROWING(name, other, call, ...)                                       \
	static NOINLINE uintptr_t try_##name(PARAMETERS, uint64_t caller)      \
	{                                                                      \
		return call(originals[NAMED_##other], caller, ARGUMENTS,       \
			    __VA_ARGS__);                                      \
	}                                                                      \
                                                                               \
	static uintptr_t hook_##name(PARAMETERS)                               \
	{                                                                      \
		uintptr_t p = originals[NAMED_##other] ?                       \
				      try_##name(a, b, c, d, e, CALLER) :      \
				      0;                                       \
                                                                               \
		return p ? p :                                                 \
			   ((function)originals[NAMED_##name])(a, b, c, d, e); \
	}
#define ALLOC(name, zeroed, size, align) \
	HOOK(name, call_alloc, zeroed, size, align)
#define THROWING_ALLOC(name, other, zeroed, size, align) \
	THROWING(name, other, call_alloc, zeroed, size, align)
#define THROWING_REALLOC(name, other, p, size) \
	THROWING(name, other, call_realloc, p, size)
#define POSIX_MEMALIGN(name) HOOK(name, call_posix_memalign)
#define STRING(name, buffer) HOOK(name, call_string, buffer)
#define REALLOC(name, p, size) HOOK(name, call_realloc, p, size)
#define XALLOCX(name) HOOK(name, call_xallocx)
#define FREE(name) HOOK(name, call_free)
#define DROP(name) HOOK(name, call_drop)

NAMES_ALLOC(ALLOC)
NAMES_THROWING_ALLOC(THROWING_ALLOC)
NAMES_POSIX_MEMALIGN(POSIX_MEMALIGN)
NAMES_STRING(STRING)
NAMES_REALLOC(REALLOC)
NAMES_THROWING_REALLOC(THROWING_REALLOC)
NAMES_XALLOCX(XALLOCX)
NAMES_FREE(FREE)
NAMES_DROP(DROP)

#define ENTRY(name, ...) \
	{ #name, (void *)hook_##name, &originals[NAMED_##name] },
const struct inject_function shim_names[] = { NAMES(ENTRY){ NULL, NULL,
							    NULL } };
