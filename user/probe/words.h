/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the shim writes and the daemon reads: a stream of 8-byte words for each
 * thread of the target, in a ring in shared memory. The same words, less the
 * control words, are the packet bodies of the trace's allocator streams, so
 * the bit fields here are those of the trace's metadata: the first field is in
 * the least significant bits (CTF 1.8, little-endian).
 *
 * An event is one *body* word, most often alone (8 bytes):
 *
 *   id:4 | size:13 | addr:47      MALLOC CALLOC REALLOCED
 *   id:4 | unused:13 | addr:47    FREE REALLOC
 *   id:4 | unused:60              LEAVE
 *   id:4 | op:6 | align:7 | addr:47, then size:64       ALLOC (any allocation
 *                                 that the short forms cannot say)
 *
 * or a body word behind a *header*, when the thread's sticky values change:
 *
 *   11:4 | caller:60                                    then the body
 *   12:4 | ts:60                                        then the body
 *   13:4 | ts:60,  0:4 | caller:60                      then the body
 *   14:4 | begin:60,  0:4 | ts:60                       then the body
 *   15:4 | begin:60,  0:4 | ts:60,  0:4 | caller:60     then the body
 *
 * ts      the stamp (uapi/vmaheap.h; CLOCK_MONOTONIC ns) as of this event; it
 *         stays valid for the thread's following events until another one
 *         comes. Where there are several threads they raise it by 1 ns now and
 *         then, so that few events of theirs have equal stamps. There is no time in the common event: a time costs ten times
 *         what the event costs (design 4).
 * caller  the return address of the call, sticky in two registers: one for
 *         the allocations, one for FREE and REALLOC. REALLOCED has the
 *         allocations' register. With WORD_STACK set it is the number of a
 *         stack, whose first frame is the return address.
 * begin   the stamp differed before and after the real function, so the kernel
 *         (or a tick, or another thread) acted inside this call: the thread's own VMA changes with
 *         begin < their ts <= ts belong to this call, and no others do.
 *
 * Order in a thread: FREE and REALLOC are written before the real function
 * runs, everything else after it has returned, so that an address is free in
 * the stream before another thread can get it. When the stamp has moved while a
 * FREE ran, a LEAVE follows whose ts closes the window (ts of FREE, ts of
 * LEAVE]. The window of a reallocation is (ts of REALLOC, ts of REALLOCED].
 * REALLOCED with addr 0 and size != 0 failed: the old chunk is alive again.
 *
 * Control words have id 0: id:4 | what:4 | value:56. They are no events.
 *
 * Stacks. The number of a stack is a hash of its frames (stack_id()), so a stack
 * is told once and then named, by whichever thread, and telling it again does no
 * harm. CTRL_STACK and its frames come in the ring of the thread that met it
 * first, before any event of any thread that names it. Frames are return
 * addresses, the innermost first; of a function that a signal has interrupted it
 * is the address of the instruction + 1, so that frame - 1 always lies in the
 * instruction that was running.
 */
#ifndef PROBE_WORDS_H
#define PROBE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word_id {
	WORD_CTRL = 0,
	WORD_MALLOC = 1,
	WORD_FREE = 2,
	WORD_CALLOC = 3, /* size is nmemb * size */
	WORD_REALLOC = 4, /* entered; addr is the old chunk, may be 0 */
	WORD_REALLOCED = 5, /* returned; addr is the new chunk */
	WORD_ALLOC = 6, /* two words */
	WORD_LEAVE = 7,
	WORD_HDR_CALLER = 11, /* the first id that is a header */
	WORD_HDR_TS = 12,
	WORD_HDR_TS_CALLER = 13,
	WORD_HDR_WINDOW = 14,
	WORD_HDR_WINDOW_CALLER = 15,
};

/* value of a control word */
enum word_ctrl {
	/*
	 * From here on the thread with this id writes (at most WORD_TID_MAX; behind
	 * that, less WORD_TID_MAX, what one of another pid namespace calls itself). Its
	 * first events carry the sticky values anew, so what follows can be read
	 * without what came before.
	 */
	CTRL_TID = 1,
	CTRL_LOST = 2, /* so many events of this thread were dropped here */
	/*
	 * value: frames:8 | truncated:1, then so many words, each a frame.
	 * Truncated: what called the last frame is not known.
	 */
	CTRL_STACK = 3,
};

/* op of WORD_ALLOC; also the names that people see */
enum alloc_op {
	OP_NONE = 0,
	OP_MALLOC,
	OP_FREE,
	OP_CALLOC,
	OP_REALLOC,
	OP_REALLOCARRAY,
	OP_MEMALIGN,
	OP_ALIGNED_ALLOC,
	OP_POSIX_MEMALIGN,
	OP_VALLOC,
	OP_PVALLOC,
	OP_MAX,
};

#define WORD_ID_BITS 4
#define WORD_SIZE_BITS 13
#define WORD_ADDR_BITS 47 /* user addresses of x86-64 without la57 */
#define WORD_SIZE_MAX ((1u << WORD_SIZE_BITS) - 1)
#define WORD_ADDR_MAX ((1ull << WORD_ADDR_BITS) - 1)
#define WORD_VALUE_MAX ((1ull << 60) - 1)
#define WORD_TID_MAX 4194304 /* PID_MAX_LIMIT of linux/threads.h */
#define WORD_EVENT_WORDS 5 /* the longest event: HDR_WINDOW_CALLER + ALLOC */
#define WORD_STACK (1ull << 59) /* in a caller: it is the number of a stack */
#define STACK_FRAMES_MAX 128
#define STACK_TRUNCATED 256u /* in the value of CTRL_STACK */

static inline uint64_t word_body(enum word_id id, uint64_t size, uint64_t addr)
{
	return (uint64_t)id | size << WORD_ID_BITS |
	       addr << (WORD_ID_BITS + WORD_SIZE_BITS);
}

/*
 * Of an alignment that is no power of two the next one, as glibc takes it
 * (malloc/malloc.c). What none follows fails, and a word can say no more.
 */
static inline unsigned int word_align_log2(uint64_t align)
{
	if (align > 1ull << 63)
		return 63;
	return align > 1 ? 64 - (unsigned int)__builtin_clzll(align - 1) : 0;
}

static inline uint64_t word_alloc(enum alloc_op op, unsigned int align_log2,
				  uint64_t addr)
{
	return word_body(WORD_ALLOC, (uint64_t)op | (uint64_t)align_log2 << 6,
			 addr);
}

/* A header word, or one of its continuations (id 0). */
static inline uint64_t word_value(unsigned int id, uint64_t value)
{
	return (uint64_t)id | value << WORD_ID_BITS;
}

static inline uint64_t word_ctrl(enum word_ctrl what, uint64_t value)
{
	return (uint64_t)WORD_CTRL | (uint64_t)what << 4 | value << 8;
}

/* The hash goes from the outermost frame in: what is called anew adds to it. */
static inline uint64_t stack_hash_begin(bool truncated)
{
	return truncated ? 0x517cc1b727220a95ull : 0x2545f4914f6cdd1dull;
}

static inline uint64_t stack_hash_add(uint64_t hash, uint64_t frame)
{
	hash = (hash ^ frame) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
}

static inline uint64_t stack_id(uint64_t hash)
{
	return hash >> 5 | WORD_STACK;
}

static inline unsigned int word_id(uint64_t w)
{
	return w & 15;
}

static inline uint64_t word_get_value(uint64_t w)
{
	return w >> WORD_ID_BITS;
}

static inline uint64_t word_get_size(uint64_t w)
{
	return w >> WORD_ID_BITS & WORD_SIZE_MAX;
}

static inline uint64_t word_get_addr(uint64_t w)
{
	return w >> (WORD_ID_BITS + WORD_SIZE_BITS);
}

/* Words before the body of an event that begins with this id. */
static inline unsigned int word_header_words(unsigned int id)
{
	switch (id) {
	case WORD_HDR_CALLER:
	case WORD_HDR_TS:
		return 1;
	case WORD_HDR_TS_CALLER:
	case WORD_HDR_WINDOW:
		return 2;
	case WORD_HDR_WINDOW_CALLER:
		return 3;
	default:
		return 0;
	}
}

/*
 * Length in words of the event (no control word) that begins at w[0], of which
 * nr words are there. 0: it is not complete; -1: no event begins like this.
 */
static inline int word_event_words(const uint64_t *w, size_t nr)
{
	size_t i, hdr, len;
	unsigned int id;

	if (!nr)
		return 0;
	hdr = word_header_words(word_id(w[0]));
	for (i = 1; i < hdr && i < nr; i++)
		if (word_id(w[i]))
			return -1;
	if (nr <= hdr)
		return 0;
	id = word_id(w[hdr]);
	if (id < WORD_MALLOC || id > WORD_LEAVE)
		return -1;
	len = hdr + (id == WORD_ALLOC ? 2 : 1);
	return len > nr ? 0 : (int)len;
}

/*
 * The ring: one a thread, one producer (the thread) and one consumer (the
 * daemon). It is a memfd that the daemon makes, seals against resizing and
 * sends over the socket, so it outlives the target. Page 0 is this header, the
 * data follow at RING_DATA. head and tail count words and never wrap; the slot
 * of word n is n mod `words`. The producer stores words, then head with
 * release; it never lets head pass tail + words. The consumer trusts nothing in
 * it but keeps its own copies.
 *
 * It begins small, for first touches are dear and most threads allocate little,
 * and the producer that finds it full makes it four times as large: level k has
 * words << 2k words, which lie behind those of level k - 1. The producer writes
 * the number of the word that is the first of level k to grown[k - 1], then k to
 * level, both before it publishes that word; what is left in the smaller levels
 * is read from there. Nothing of a level is touched before.
 */
#define RING_MAGIC 0x31504148414d5656ull /* "VVMAHAP1" */
#define RING_DATA 4096

#define RING_LEVELS 3

struct ring_header {
	uint64_t magic;
	uint32_t words; /* of level 0: a power of two */
	uint32_t flags; /* RING_BLOCK, RING_POPULATE */
	/*
	 * A stack with each allocation that takes the bytes asked for by this
	 * thread past a multiple of this: 1: with every one; 0: with none.
	 */
	uint64_t stack_bytes;
	uint32_t levels; /* that the memfd has room for, RING_LEVELS at most */
	uint64_t head __attribute__((aligned(64))); /* written by the target */
	uint32_t waiting; /* the target sleeps on `wakeups` until there is room */
	/*
	 * Events dropped since the ring exists. Each CTRL_LOST tells of some of
	 * them; a target that ends before it could write one leaves a difference.
	 */
	uint64_t lost;
	uint64_t grown[RING_LEVELS - 1]; /* written by the target */
	uint32_t level;
	uint64_t tail __attribute__((aligned(64))); /* written by the daemon */
	uint32_t wakeups; /* futex (shared); the daemon adds 1 and wakes */
	uint32_t detached; /* the daemon no longer reads: do not record, do not wait */
};

/* Words of level 0 are `words`: where the words of a level begin. */
static inline uint64_t ring_level_at(uint64_t words, unsigned int level)
{
	return words * (((1ull << 2 * level) - 1) / 3);
}

static inline uint64_t ring_bytes_of(uint64_t words, unsigned int levels)
{
	return RING_DATA + 8 * ring_level_at(words, levels);
}

#define RING_BLOCK 1u /* full: wait (bounded); else drop, and say CTRL_LOST */
/*
 * The kernel has MADV_POPULATE_WRITE (since 5.14). The target does not try: a call
 * that fails would be among those of its own.
 */
#define RING_POPULATE 2u

/*
 * The handshake: a SOCK_SEQPACKET connection to the path in $VMAHEAP_SHIM_SOCK,
 * one request, one reply, closed again, so that no descriptor stays open in the
 * target. The reply to SHIM_RING carries two descriptors (SCM_RIGHTS): the
 * ring's memfd and the stamp's file, to be mapped read-write, MAP_SHARED,
 * one page. The daemon takes the process id from the peer's credentials, not from
 * the message.
 */
#define SHIM_MAGIC 0x504d4856u /* "VHMP" */
#define SHIM_SOCK_ENV "VMAHEAP_SHIM_SOCK"

enum shim_op {
	SHIM_RING = 1, /* a ring for thread `tid`, please */
	SHIM_BYE = 2, /* the process is about to exit; answered when it may */
	/*
	 * Calls are missing. `flags` is the errno: why the ring could not be mapped, or
	 * EEXIST: the program defines malloc itself, or EXDEV: it opened a library that
	 * does not look for symbols in the shim.
	 */
	SHIM_NONE = 3,
};

struct shim_request {
	uint32_t magic;
	uint32_t op;
	uint32_t tid;
	uint32_t flags; /* of SHIM_RING: SHIM_FRESH */
};

/* The process is what exec made of it: no forked copy, and the shim was there first. */
#define SHIM_FRESH 1u

struct shim_reply {
	uint32_t magic;
	int32_t error; /* 0, or an errno: ESRCH: you are not watched, be silent */
	uint64_t ring_bytes; /* size of the memfd */
};

/*
 * Where the shim puts its own mappings: far from the brk heap and from
 * mmap_base, so that they cannot keep the target's own VMAs from merging; and where
 * others have no favourite addresses: ZGC has its heap at 4, 8 and 16 TiB (seen with
 * JDK 17), V8 draws its own below 64 TiB (GetRandomMmapAddr()), MemorySanitizer has
 * no use for what is from there to 80 TiB (msan.h).
 * The region is [SHIM_REGION, SHIM_REGION + SHIM_REGION_BYTES). The process may
 * have memory of its own there; each mapping of the shim begins a place, none is
 * larger than one, and all but images (probe/inject.h) can be read and written.
 */
#define SHIM_REGION 0x480000000000ull
#define SHIM_REGION_BYTES 0x010000000000ull
#define SHIM_PLACE_BYTES (1ull << 26) /* larger than any ring */
#define SHIM_WIPED_PLACES 16u /* by fork: the first ones */

#endif
