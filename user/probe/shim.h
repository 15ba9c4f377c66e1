/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside of libvmaheap-shim.so.
 *
 *   shim.c       the functions that the target calls, and the fast path
 *   shim_cxx.c   those of C++
 *   shim_names.c those that only one library has (probe/names.h)
 *   shim_guard.c programs that shut themselves in by seccomp
 *   shim_loader.c  libraries that come and go
 *   shim_got.c   how calls of these come here, when it is preloaded
 *   shim_slot.c  slots: who writes into which ring; waiting, fork, thread exit
 *   shim_link.c  the handshake with the daemon, and the shim's mappings
 *   shim_next.c  the original functions, and memory while they are looked up
 *   shim_inject.c  instead of shim_next.c, when it is injected (probe/inject.h)
 *   shim_stack.c the stack of the calling thread, when stacks are asked for
 *   shim_cfi.c   what .eh_frame says, for shim_stack.c
 *
 * The shim calls no allocator function itself and takes no lock in the common
 * case. What must not survive a fork (slots, the list of free ones, its lock)
 * lies in one anonymous MADV_WIPEONFORK mapping: a child, however it was made,
 * finds zeros there, fails the one comparison of the fast path and starts
 * anew. A vfork child shares everything, rightly, for it runs in its parent's
 * address space while the parent's thread waits.
 */
#ifndef PROBE_SHIM_H
#define PROBE_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/inject.h"
#include "probe/words.h"

#pragma GCC visibility push(hidden) /* what the target calls says EXPORT */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))

/* What is injected is found through its own tables, not by its names. */
#ifdef SHIM_INJECTED
#define EXPORT
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* One producer: a ring and what its writer knows of it. All zero: no ring. */
struct slot {
	/* The fast path: it may write an event while head < limit. */
	uint64_t head;
	uint64_t limit;
	uint64_t *data;
	uint64_t mask;
	uint64_t *stamp;
	uint64_t ts, alloc_caller, free_caller; /* as the reader has them */
	uint64_t walk_limit; /* what limit is not, where there are stacks */

	struct ring_header *ring __attribute__((aligned(64)));
	uint64_t room; /* head may go so far */
	uint64_t from; /* the first word of the ring's level */
	uint64_t gate; /* what limit is when nothing else keeps it at 0 */
	uint64_t lost; /* events dropped and not told of */
	uintptr_t quiet; /* see quiet_begin() */
	struct slot *next; /* in the list of free ones */
	uint32_t tid; /* of the thread that writes */
	uint32_t told_tid; /* of the thread that the reader believes it is */
	struct walker *walker; /* NULL: no stacks */
	uint64_t stack_bytes; /* as in ring_header */
	bool called_us; /* while it was quiet */
	bool gave_up; /* the daemon does not read: do not wait again until it does */
};

/*
 * Words that an event can count on when the fast path lets it in. One call
 * writes 7 at most (REALLOC and a long REALLOCED, each with a header). Calls
 * that an allocator makes to itself come through the same gate, so only what
 * they write when they return adds up: room for eight of them. A stack is told
 * when a call is entered.
 */
#define SLOT_RESERVE (64 + 1 + STACK_FRAMES_MAX)

extern enum shim_state shim_state;

INLINE uint64_t slot_stamp(const struct slot *s)
{
	return __atomic_load_n(s->stamp, __ATOMIC_ACQUIRE);
}

/*
 * The reader's CPU has had each line that is written to anew, and to get it back takes
 * 600 ns where the two are far apart, while stores wait in order: so it is asked for
 * as many words before as are written in that time (tests/bench/README.md). A CPU that
 * has no PREFETCHW takes it for a NOP.
 */
#define AHEAD 128 /* words */

INLINE void slot_ask_ahead(const struct slot *s)
{
	__asm__ volatile("prefetchw %0"
			 :
			 : "m"(s->data[(s->head + AHEAD) & s->mask]));
}

/*
 * Writes the last word, or the only one: from here on the reader may see the
 * event.
 */
INLINE void slot_last_word(struct slot *s, uint64_t word)
{
	uint64_t head = s->head;

	slot_ask_ahead(s);
	s->data[head & s->mask] = word;
	s->head = ++head;
	__atomic_store_n(&s->ring->head, head, __ATOMIC_RELEASE);
}

/* Nothing is recorded in this process, and nothing will be. */
extern bool shim_silent;

/* By it the end of a thread is known. */
extern struct exit_key {
	unsigned int key; /* pthread_key_t */
	bool made;
} exit_key;

/*
 * Whose slot is whose: a thread's own is slot_mine(), NULL: none yet. The
 * preloaded shim has a thread variable for it. The injected one has no loader
 * that would give it thread variables (shim_inject.c).
 */
#ifndef SHIM_INJECTED
extern __thread struct slot *my_slot __attribute__((tls_model("initial-exec")));
/* The key destructor has run: this thread only borrows. */
extern __thread bool thread_ended __attribute__((tls_model("initial-exec")));

static inline struct slot *slot_mine(void)
{
	return my_slot;
}

/* False: there is no place to keep it, so the slot is to be borrowed. */
static inline bool slot_keep(struct slot *s)
{
	if (thread_ended)
		return false;
	my_slot = s;
	return true;
}

static inline void slot_end_thread(void)
{
	thread_ended = true;
	my_slot = NULL;
}
#else
#include "probe/shim_home.h"
#endif

/* What slot_get() found; slot_put() gives a borrowed slot back. */
struct slot_loan {
	struct slot *slot;
	bool borrowed;
};

/*
 * The slow way to a slot that can take an event: makes one, waits for room ...
 * NULL: this call is not recorded. Preserves errno.
 */
struct slot *slot_get(struct slot_loan *loan);
void slot_put(struct slot_loan *loan);
/* An event of the thread is not told of; this is, before its next one. */
void slot_lose(struct slot *s);

/*
 * The stack of the call that returns to `caller`, as a caller (probe/words.h), told
 * if need be; or `caller`, when this call has none. fp: of a function of ours that
 * the call came through.
 */
uint64_t slot_where(struct slot *s, uint64_t caller, uint64_t bytes,
		    const uint64_t *fp);

/* shim.c: for functions of other names that mean the same */

/* A slot that can take an event, NULL: the call is not recorded. slot_put() ends it. */
struct slot *told_slot(struct slot_loan *loan);
/* op: OP_MALLOC, OP_CALLOC, or one that has an alignment */
void told_alloc(struct slot *s, enum alloc_op op, size_t align, uint64_t begin,
		uint64_t caller, const void *p, size_t size);
/* As realloc, before and after. */
void told_move(struct slot *s, uint64_t caller, const void *p);
void told_moved(struct slot *s, uint64_t caller, const void *p, size_t size);
/* As free, before and after. */
void told_free(struct slot *s, uint64_t caller, const void *p);
void told_left(struct slot *s);
/*
 * Between these two nothing is recorded of what functions below `frame` call. True:
 * one of ours was called.
 */
void told_quiet(struct slot *s, const void *frame);
bool told_loud(struct slot *s);

/* A library may have been unloaded. */
void slot_unloaded(void);
/* Before a system call of ours may kill the process (seccomp): none after it. */
void slot_guard(void);
extern bool shim_guarded;
/* The originals, injected; of prctl() it is only to be put back. */
extern void *next_prctl, *next_syscall;
EXPORT extern int prctl(int option, long a, long b, long c, long d);

/* The originals of shim_loader.c; preloaded, each is looked up when it is called first. */
extern struct loader_functions {
	int (*dlclose)(void *handle);
	void *(*dlopen)(const char *file, int mode);
	void *(*dlmopen)(long space, const char *file, int mode);
} next_loader;
/* From here on calls of this process, and of its forked copies, go past us: SHIM_NONE. */
void slot_missing(int err);
/* Is anything recorded? The originals are known from then on. */
bool slot_active(void);

/* shim.c, shim_cxx.c, shim_names.c: see probe/inject.h */
extern const struct inject_function shim_functions[], shim_operators[],
	shim_names[];

/* shim_got.c: sets the pointers to shim_names[] in what is loaded. */
void got_set(void);
/*
 * What looks up shim_functions[] in the C library alone (RTLD_DEEPBIND) finds ours
 * from here on. The originals are known, next_loader as well. False: it does not.
 */
bool got_hook_libc(void);
/* Injected: the injector has done so. */
extern bool libc_hooked;

/* shim_link.c */

/*
 * A ring for the calling thread: fills ring, data, mask, head. 0 or -errno; where it
 * was given one and cannot map it, the daemon is told.
 */
int link_ring(const char *path, uint32_t flags, struct slot *s,
	      uint64_t **stamp, uint32_t *next_place);
/* Memory that a forked child does not have. NULL: none. */
void *link_memory(size_t bytes, uint32_t *next_place);
void link_unmap(void *p, size_t bytes);
/* Tells that calls of this process are missing, for -errno (SHIM_NONE); 1 s at most. */
void link_none(const char *path, int err);
/* Tells that the process exits; returns when the daemon has answered, 1 s at most. */
void link_bye(const char *path);
/* Takes the level that the ring's header names into use. */
void link_level(struct slot *s);
/* Wakes the daemon, which looks at all rings then. Signals are not blocked. */
void link_knock(const char *path);
/* Memory that a forked child finds zeroed. NULL: none. */
void *link_wiped_memory(size_t bytes);

/* shim_next.c */

#define SHIM_FUNCTIONS(X)                                               \
	X(void *, malloc, (size_t size))                                \
	X(void, free, (void *p))                                        \
	X(void *, calloc, (size_t nmemb, size_t size))                  \
	X(void *, realloc, (void *p, size_t size))                      \
	X(void *, reallocarray, (void *p, size_t nmemb, size_t size))   \
	X(void *, memalign, (size_t align, size_t size))                \
	X(void *, aligned_alloc, (size_t align, size_t size))           \
	X(int, posix_memalign, (void **out, size_t align, size_t size)) \
	X(void *, valloc, (size_t size))                                \
	X(void *, pvalloc, (size_t size))

struct next_functions {
#define X(ret, name, params) ret(*name) params;
	SHIM_FUNCTIONS(X)
#undef X
};

/*
 * The originals. Until next_resolve() has found them these are functions that
 * take from a small static arena: looking up a symbol may itself allocate.
 */
extern struct next_functions next;
/* Finds them, and where the daemon listens. NULL: nowhere. */
const char *next_start(void);
extern const uint32_t next_flags; /* of the first program's requests */

/* Memory of that arena is never freed, and was never told of. */
#define BOOT_BYTES 65536
extern char boot_arena[BOOT_BYTES];
#ifndef SHIM_INJECTED
extern size_t boot_used; /* 0: no call of ours ever needed it */
#else
enum { boot_used = 0 }; /* the originals are known from the start */
#endif

static inline bool boot_owns(const void *p)
{
	return boot_used && (uintptr_t)p - (uintptr_t)boot_arena < BOOT_BYTES;
}

/* Copies what the chunk p of the arena holds to q, of `size` bytes, unless NULL. */
void *boot_move(const void *p, void *q, size_t size);

#pragma GCC visibility pop

#endif
