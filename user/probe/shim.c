// SPDX-License-Identifier: GPL-2.0
/*
 * libvmaheap-shim.so, preloaded into the target: tells of every call of the
 * allocator's functions by a word or two in the thread's ring (probe/words.h),
 * without a lock, a system call or a clock.
 *
 *	free(p)      told, then done: in the stream the address is free before
 *	             another thread can get it
 *	malloc(n)    done, then told: the address is known then
 *	realloc(p)   both
 *
 * One comparison (head < limit) stands for every reason not to go on: no ring,
 * a forked child, a full ring, a detached ring, a call inside another call.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "probe/shim.h"

#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))
#define CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0))
#define ARGS(...) __VA_ARGS__
#define FRAME ((const uint64_t *)__builtin_frame_address(0))

/* Writes what precedes the last word of an event. */
static void slot_word(struct slot *s, uint64_t word)
{
	s->data[s->head & s->mask] = word;
	s->head++;
}

/*
 * The header of an event that has another caller than the last one, and nothing
 * else that is new. In programs that allocate from many places, and free
 * from many, that is every other event.
 */
INLINE void slot_caller(struct slot *s, uint64_t caller, uint64_t *caller_was)
{
	slot_word(s, word_value(WORD_HDR_CALLER, caller));
	*caller_was = caller;
}

/*
 * The header for what has changed. `begin` differs from `ts` only when the
 * event has a window.
 */
static COLD void slot_header(struct slot *s, uint64_t begin, uint64_t ts,
			     uint64_t caller, uint64_t *caller_was)
{
	bool moved = ts != s->ts, called = caller != *caller_was;

	if (begin != ts) {
		slot_word(s, word_value(called ? WORD_HDR_WINDOW_CALLER :
						 WORD_HDR_WINDOW,
					begin));
		slot_word(s, word_value(0, ts));
	} else if (moved) {
		slot_word(s,
			  word_value(called ? WORD_HDR_TS_CALLER : WORD_HDR_TS,
				     ts));
	}
	if (called)
		slot_word(s,
			  word_value(begin != ts || moved ? 0 : WORD_HDR_CALLER,
				     caller));
	s->ts = ts;
	*caller_was = caller;
}

/*
 * ts == s->ts implies begin == ts: stamps only rise, and s->ts is not younger
 * than begin.
 */
INLINE void slot_sticky(struct slot *s, uint64_t begin, uint64_t ts,
			uint64_t caller, uint64_t *caller_was)
{
	if (unlikely(ts != s->ts))
		slot_header(s, begin, ts, caller, caller_was);
	else if (caller != *caller_was)
		slot_caller(s, caller, caller_was);
}

/* A call that returned p; begin: the stamp as it was entered. */
INLINE void tell_alloc(struct slot *s, enum word_id id, enum alloc_op op,
		       uint64_t begin, uint64_t caller, const void *p,
		       uint64_t size)
{
	slot_sticky(s, begin, slot_stamp(s), caller, &s->alloc_caller);
	if (likely(size <= WORD_SIZE_MAX)) {
		slot_last_word(s, word_body(id, size, (uintptr_t)p));
	} else {
		slot_word(s, word_alloc(op, 0, (uintptr_t)p));
		slot_last_word(s, size);
	}
}

/* The same with all that the short words cannot say. */
static void tell_long(struct slot *s, enum alloc_op op, unsigned int align_log2,
		      uint64_t begin, uint64_t caller, const void *p,
		      uint64_t size)
{
	slot_sticky(s, begin, slot_stamp(s), caller, &s->alloc_caller);
	slot_word(s, word_alloc(op, align_log2, (uintptr_t)p));
	slot_last_word(s, size);
}

/* A call that is about to give p up. */
INLINE void tell_give(struct slot *s, enum word_id id, uint64_t caller,
		      const void *p)
{
	uint64_t ts = slot_stamp(s);

	slot_sticky(s, ts, ts, caller, &s->free_caller);
	slot_last_word(s, word_body(id, 0, (uintptr_t)p));
}

static COLD void tell_leave(struct slot *s, uint64_t ts)
{
	slot_word(s, word_value(WORD_HDR_TS, ts));
	slot_last_word(s, word_body(WORD_LEAVE, 0, 0));
	s->ts = ts;
}

/*
 * Some allocators make one function out of others through the PLT (musl's
 * posix_memalign, glibc's reallocarray): only the outer call is told of. With
 * limit 0 every call inside takes the slow path, which looks at `quiet`.
 */
INLINE void quiet_begin(struct slot *s)
{
	s->quiet = (uintptr_t)__builtin_frame_address(0);
	s->limit = 0;
}

INLINE void quiet_end(struct slot *s)
{
	s->quiet = 0;
	s->limit = s->gate;
}

/* The slot can take an event, and its allocations have stacks. */
INLINE bool slot_walks(const struct slot *s)
{
	return s->head < s->walk_limit && !s->quiet;
}

INLINE uint64_t total(size_t nmemb, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(nmemb, size, &bytes) ? UINT64_MAX : bytes;
}

INLINE void *tell_malloc(struct slot *s, uint64_t caller, size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p = next.malloc(size);

	tell_alloc(s, WORD_MALLOC, OP_MALLOC, begin, caller, p, size);
	return p;
}

INLINE void tell_free(struct slot *s, uint64_t caller, void *p)
{
	uint64_t ts;

	tell_give(s, WORD_FREE, caller, p);
	next.free(p);
	ts = slot_stamp(s);
	if (unlikely(ts != s->ts))
		tell_leave(s, ts);
}

INLINE void *tell_calloc(struct slot *s, uint64_t caller, size_t nmemb,
			 size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p;

	quiet_begin(s);
	p = next.calloc(nmemb, size);
	quiet_end(s);
	tell_alloc(s, WORD_CALLOC, OP_CALLOC, begin, caller, p,
		   total(nmemb, size));
	return p;
}

/* The window of a reallocation is (REALLOC's ts, REALLOCED's ts]: no begin. */
INLINE void *tell_realloc(struct slot *s, uint64_t caller, void *p, size_t size)
{
	void *q;

	tell_give(s, WORD_REALLOC, caller, p);
	quiet_begin(s);
	q = next.realloc(p, size);
	quiet_end(s);
	tell_alloc(s, WORD_REALLOCED, OP_REALLOC, slot_stamp(s), caller, q,
		   size);
	return q;
}

INLINE void *tell_reallocarray(struct slot *s, uint64_t caller, void *p,
			       size_t nmemb, size_t size)
{
	void *q;

	tell_give(s, WORD_REALLOC, caller, p);
	quiet_begin(s);
	q = next.reallocarray(p, nmemb, size);
	quiet_end(s);
	tell_long(s, OP_REALLOCARRAY, 0, slot_stamp(s), caller, q,
		  total(nmemb, size));
	return q;
}

INLINE void *tell_memalign(struct slot *s, uint64_t caller, size_t align,
			   size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p;

	quiet_begin(s);
	p = next.memalign(align, size);
	quiet_end(s);
	tell_long(s, OP_MEMALIGN, word_align_log2(align), begin, caller, p,
		  size);
	return p;
}

INLINE void *tell_aligned_alloc(struct slot *s, uint64_t caller, size_t align,
				size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p;

	quiet_begin(s);
	p = next.aligned_alloc(align, size);
	quiet_end(s);
	tell_long(s, OP_ALIGNED_ALLOC, word_align_log2(align), begin, caller, p,
		  size);
	return p;
}

INLINE int tell_posix_memalign(struct slot *s, uint64_t caller, void **out,
			       size_t align, size_t size)
{
	uint64_t begin = slot_stamp(s);
	int err;

	quiet_begin(s);
	err = next.posix_memalign(out, align, size);
	quiet_end(s);
	tell_long(s, OP_POSIX_MEMALIGN, word_align_log2(align), begin, caller,
		  err ? NULL : *out, size);
	return err;
}

INLINE void *tell_valloc(struct slot *s, uint64_t caller, size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p;

	quiet_begin(s);
	p = next.valloc(size);
	quiet_end(s);
	tell_long(s, OP_VALLOC, 12, begin, caller, p, size);
	return p;
}

INLINE void *tell_pvalloc(struct slot *s, uint64_t caller, size_t size)
{
	uint64_t begin = slot_stamp(s);
	void *p;

	quiet_begin(s);
	p = next.pvalloc(size);
	quiet_end(s);
	tell_long(s, OP_PVALLOC, 12, begin, caller, p, size);
	return p;
}

/*
 * A function of the target, in three parts: the choice (which needs no stack
 * frame, so it costs next to nothing where nobody listens), the fast path when
 * the thread's slot can take an event, and the slow one. The slow path ends
 * before the stamp is loaded, so nothing that it maps falls into the window of
 * the call. Where stacks are asked for the fast path is closed (slot_walks()).
 */
#define SHIM(ret, name, params, args, bytes)                          \
	static COLD ret name##_slow(ARGS params, uint64_t caller)     \
	{                                                             \
		struct slot_loan loan;                                \
		struct slot *s = slot_get(&loan);                     \
		ret result;                                           \
                                                                      \
		if (s)                                                \
			caller = slot_where(s, caller, bytes, FRAME); \
		result = s ? tell_##name(s, caller, ARGS args) :      \
			     next.name(ARGS args);                    \
		slot_put(&loan);                                      \
		return result;                                        \
	}                                                             \
                                                                      \
	static NOINLINE ret name##_walk(ARGS params, struct slot *s,  \
					uint64_t caller)              \
	{                                                             \
		caller = slot_where(s, caller, bytes, FRAME);         \
		return tell_##name(s, caller, ARGS args);             \
	}                                                             \
                                                                      \
	static NOINLINE ret name##_fast(ARGS params, struct slot *s,  \
					uint64_t caller)              \
	{                                                             \
		return tell_##name(s, caller, ARGS args);             \
	}                                                             \
                                                                      \
	INLINE ret name##_call(uint64_t caller, ARGS params)          \
	{                                                             \
		struct slot *s = slot_mine();                         \
                                                                      \
		if (likely(s && s->head < s->limit))                  \
			return name##_fast(ARGS args, s, caller);     \
		if (s && slot_walks(s))                               \
			return name##_walk(ARGS args, s, caller);     \
		return shim_silent ? next.name(ARGS args) :           \
				     name##_slow(ARGS args, caller);  \
	}

SHIM(void *, malloc, (size_t size), (size), size)
SHIM(void *, calloc, (size_t nmemb, size_t size), (nmemb, size),
     total(nmemb, size))
SHIM(void *, realloc, (void *p, size_t size), (p, size), size)
SHIM(void *, reallocarray, (void *p, size_t nmemb, size_t size),
     (p, nmemb, size), total(nmemb, size))
SHIM(void *, memalign, (size_t align, size_t size), (align, size), size)
SHIM(void *, aligned_alloc, (size_t align, size_t size), (align, size), size)
SHIM(int, posix_memalign, (void **out, size_t align, size_t size),
     (out, align, size), size)
SHIM(void *, valloc, (size_t size), (size), size)
SHIM(void *, pvalloc, (size_t size), (size), size)

static COLD void free_slow(void *p, uint64_t caller)
{
	struct slot_loan loan;
	struct slot *s = slot_get(&loan);

	if (s)
		tell_free(s, caller, p);
	else
		next.free(p);
	slot_put(&loan);
}

static NOINLINE void free_fast(void *p, struct slot *s, uint64_t caller)
{
	tell_free(s, caller, p);
}

static COLD void free_changed(struct slot *s)
{
	tell_leave(s, slot_stamp(s));
}

static COLD void *malloc_changed(void *p, size_t size, struct slot *s,
				 uint64_t begin, uint64_t caller)
{
	tell_alloc(s, WORD_MALLOC, OP_MALLOC, begin, caller, p, size);
	return p;
}

INLINE void free_call(uint64_t caller, void *p)
{
	struct slot *s = slot_mine();

	if (unlikely(boot_owns(p)))
		return;
	if (likely(s && s->head < s->limit) || (s && slot_walks(s)))
		free_fast(p, s, caller);
	else if (shim_silent)
		next.free(p);
	else
		free_slow(p, caller);
}

/*
 * These two are nearly all calls, and their stamp is nearly always that of the
 * call before. So the common case is written out here, a third shorter than the
 * way that fits all functions; whatever is different takes that way. As the stamp
 * was s->ts before, one comparison after says both that the event has no window
 * and that the reader knows its ts.
 */
EXPORT void *malloc(size_t size)
{
	struct slot *s = slot_mine();
	uint64_t begin;
	void *p;

	if (unlikely(!s || s->head >= s->limit))
		return malloc_call(CALLER, size);
	begin = slot_stamp(s);
	if (unlikely(begin != s->ts))
		return malloc_fast(size, s, CALLER);
	p = next.malloc(size);
	if (unlikely(slot_stamp(s) != begin || size > WORD_SIZE_MAX))
		return malloc_changed(p, size, s, begin, CALLER);
	if (CALLER != s->alloc_caller)
		slot_caller(s, CALLER, &s->alloc_caller);
	slot_last_word(s, word_body(WORD_MALLOC, size, (uintptr_t)p));
	return p;
}

EXPORT void free(void *p)
{
	struct slot *s = slot_mine();

	if (unlikely(boot_used || !s || s->head >= s->limit))
		return free_call(CALLER, p);
	if (unlikely(slot_stamp(s) != s->ts))
		return free_fast(p, s, CALLER);
	if (CALLER != s->free_caller)
		slot_caller(s, CALLER, &s->free_caller);
	slot_last_word(s, word_body(WORD_FREE, 0, (uintptr_t)p));
	next.free(p);
	if (unlikely(slot_stamp(s) != s->ts))
		free_changed(s);
}

/* glibc keeps it for programs linked before 2.26. */
EXPORT void cfree(void *p);
EXPORT void cfree(void *p)
{
	free_call(CALLER, p);
}

/* C23, 7.24.3: the same as free(); not every libc has them. */
EXPORT void free_sized(void *p, size_t size);
EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	free_call(CALLER, p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size);
EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	(void)size;
	free_call(CALLER, p);
}

EXPORT void *calloc(size_t nmemb, size_t size)
{
	return calloc_call(CALLER, nmemb, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	if (unlikely(boot_owns(p)))
		return boot_move(p, malloc_call(CALLER, size), size);
	return realloc_call(CALLER, p, size);
}

EXPORT void *reallocarray(void *p, size_t nmemb, size_t size)
{
	uint64_t bytes = total(nmemb, size);

	if (unlikely(boot_owns(p)))
		return boot_move(p, malloc_call(CALLER, bytes), bytes);
	return reallocarray_call(CALLER, p, nmemb, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	return memalign_call(CALLER, align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return aligned_alloc_call(CALLER, align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	return posix_memalign_call(CALLER, out, align, size);
}

EXPORT void *valloc(size_t size)
{
	return valloc_call(CALLER, size);
}

EXPORT void *pvalloc(size_t size)
{
	return pvalloc_call(CALLER, size);
}

/* --- for functions of other names (shim_cxx.c) */

struct slot *told_slot(struct slot_loan *loan)
{
	struct slot *s = slot_mine();

	loan->borrowed = false;
	if (s && (s->head < s->limit || slot_walks(s)))
		return s;
	return shim_silent ? NULL : slot_get(loan);
}

void told_alloc(struct slot *s, enum alloc_op op, size_t align, uint64_t begin,
		uint64_t caller, const void *p, size_t size)
{
	if (op == OP_MALLOC)
		tell_alloc(s, WORD_MALLOC, op, begin, caller, p, size);
	else if (op == OP_CALLOC)
		tell_alloc(s, WORD_CALLOC, op, begin, caller, p, size);
	else
		tell_long(s, op, word_align_log2(align), begin, caller, p,
			  size);
}

void told_move(struct slot *s, uint64_t caller, const void *p)
{
	tell_give(s, WORD_REALLOC, caller, p);
}

void told_moved(struct slot *s, uint64_t caller, const void *p, size_t size)
{
	tell_alloc(s, WORD_REALLOCED, OP_REALLOC, slot_stamp(s), caller, p,
		   size);
}

void told_free(struct slot *s, uint64_t caller, const void *p)
{
	tell_give(s, WORD_FREE, caller, p);
}

void told_left(struct slot *s)
{
	uint64_t ts = slot_stamp(s);

	if (unlikely(ts != s->ts))
		tell_leave(s, ts);
}

void told_quiet(struct slot *s, const void *frame)
{
	s->quiet = (uintptr_t)frame;
	s->limit = 0;
	s->called_us = false;
}

bool told_loud(struct slot *s)
{
	quiet_end(s);
	return s->called_us;
}

static void *next_cfree; /* free() does its work */

const struct inject_function shim_functions[] = {
#define X(ret, fn, params) { #fn, (void *)fn, (void **)&next.fn },
	SHIM_FUNCTIONS(X)
#undef X
		{ "cfree", (void *)cfree, &next_cfree },
	{ "prctl", (void *)prctl, &next_prctl },
	{ "syscall", (void *)syscall, &next_syscall },
	{ "dlclose", (void *)dlclose, (void **)&next_loader.dlclose },
	{ "dlopen", (void *)dlopen, (void **)&next_loader.dlopen },
	{ "dlmopen", (void *)dlmopen, (void **)&next_loader.dlmopen },
	{ NULL, NULL, NULL },
};
