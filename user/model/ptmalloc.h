/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ptmalloc's own book-keeping, read from outside: what glibc's malloc wrote
 * beside and into the chunks that it manages (malloc/malloc.c, malloc/arena.c).
 *
 *   main_arena ---next---> arena 1 ---next---> arena 2 ---> main_arena
 *   | top                  | lies in the first of its heaps, behind a heap_info,
 *   | fastbins, bins       | which begins at a multiple of 64 MiB:
 *   v                      v
 *   [brk heap: chunk chunk ... top]      [heap_info arena chunk ... fence]
 *                                        [heap_info chunk ... top] prev ^
 *
 * Each chunk begins with the size of the one below it (when that is free) and
 * its own size, whose low bits are flags; the bytes that malloc returned begin
 * 16 further on. A free chunk is marked so in the one above it, unless it lies
 * in a fastbin or in a thread's cache (tcache): those look as if in use, and
 * only the lists tell.
 *
 * Nothing is believed before it has been checked: the memory is somebody
 * else's, and changes while it is read. Nothing is written, and no address is
 * asked for that does not lie in a range that the caller has named.
 */
#ifndef MODEL_PTMALLOC_H
#define MODEL_PTMALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The memory to read. 0 or -errno: all of it, or nothing. */
struct pt_memory {
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
	/* 16 bytes at each of the addresses; zeroes for what cannot be read. NULL: by read(). */
	void (*read_each)(void *ctx, const uint64_t *addrs, size_t nr,
			  uint64_t (*words)[2]);
	/* The first page in [addr, end) that there is; end: none. NULL: not known. */
	uint64_t (*next)(void *ctx, uint64_t addr, uint64_t end);
	void *ctx;
};

struct pt_range {
	uint64_t start, end;
};

/* Where a thread stands. */
struct pt_thread_at {
	uint32_t tid;
	uint64_t tcb, sp; /* control block, stack pointer */
};

/* What the caller knows of the process beforehand. */
struct pt_target {
	struct pt_memory mem;
	/* Private, readable and writable, with its end beyond what is in use: sorted. */
	const struct pt_range *ranges;
	size_t nr_ranges;
	/* The writable data of libc (of the program, when it is static). */
	const struct pt_range *data;
	size_t nr_data;
	/* Where threads' control blocks and anonymous chunks may lie: no file, no heap. */
	const struct pt_range *anon;
	size_t nr_anon;
	const uint32_t *tids;
	size_t nr_tids;
	/* Control blocks that are known; the others are looked for. */
	const struct pt_thread_at *at;
	size_t nr_at;
	struct pt_range brk; /* the brk heap; 0, 0: none */
	uint64_t main_arena, mp; /* by symbols; 0: to be found */
	size_t max_chunks; /* more are refused; 0: 32 million (1 GiB) */
};

/* Where the fields are; see ptmalloc_find.c for which glibc has which. */
struct pt_state_layout {
	const char *glibc;
	uint16_t fastbins; /* 0: it has none */
	uint16_t top, bins, next, attached, system_mem, max_system_mem, size;
};

struct pt_par_layout {
	const char *glibc;
	uint16_t thp_pagesize, hp_pagesize; /* 0: it has none */
	uint16_t n_mmaps, n_mmaps_max, no_dyn, mmapped_mem, sbrk_base;
	uint16_t tcache_bins, tcache_bytes, tcache_count, size;
	bool drifts; /* mmapped_mem may be more than there is */
};

/* malloc_par. All in bytes. */
struct pt_par {
	uint64_t addr; /* 0: not found, nothing below is known */
	const struct pt_par_layout *layout;
	uint64_t trim_threshold, top_pad, mmap_threshold;
	uint64_t arena_test, arena_max;
	uint64_t thp_pagesize, hp_pagesize;
	uint32_t n_mmaps, n_mmaps_max;
	bool no_dyn_threshold;
	uint64_t mmapped_mem;
	uint64_t sbrk_base;
	uint64_t tcache_bins, tcache_bytes, tcache_count;
};

enum pt_chunk_state {
	PT_USED,
	PT_META, /* in use by malloc itself: a thread's cache */
	PT_MMAPPED, /* in use, with a mapping of its own */
	PT_TCACHE, /* free, in a thread's cache */
	PT_FAST, /* free, in a fastbin */
	PT_SMALL,
	PT_LARGE,
	PT_UNSORTED,
	PT_TOP,
	PT_FENCE, /* marks the end of a piece */
	PT_STATES,
};

#define PT_PREV_INUSE 1u
#define PT_IS_MMAPPED 2u
#define PT_NON_MAIN 4u
#define PT_NOWHERE UINT32_MAX

struct pt_chunk {
	uint64_t addr; /* of the header; malloc returned addr + 16 */
	uint64_t head; /* size | PT_* */
	uint64_t link; /* the word behind the header: `fd` when it is free; PT_MMAPPED: bytes of its mapping before it */
	uint32_t heap; /* index; PT_NOWHERE: mmapped */
	uint16_t thread; /* PT_TCACHE, PT_META: index; UINT16_MAX: not known whose */
	uint8_t state; /* enum pt_chunk_state */
};

static inline uint64_t pt_size(const struct pt_chunk *c)
{
	return c->head & ~7ull;
}

static inline bool pt_in_use(const struct pt_chunk *c)
{
	return c->state == PT_USED || c->state == PT_MMAPPED;
}

/* A contiguous piece of an arena: the brk heap, or one heap of another arena. */
struct pt_heap {
	uint32_t arena;
	uint64_t start; /* of the heap_info; of the first chunk in the main arena */
	uint64_t first; /* chunk */
	uint64_t end; /* of what is in use: heap_info.size, or the top's end */
	uint64_t committed; /* end of what is accessible (heap_info.mprotect_size) */
	uint64_t reserved; /* end of the reservation; `end` in the main arena */
	uint64_t pagesize; /* granularity of growth */
	size_t chunk, nr_chunks; /* in pt_book.chunks */
	uint64_t foreign; /* bytes in the middle that are somebody else's (sbrk) */
	uint64_t broken; /* where the chain of chunks ended in nonsense; 0: nowhere */
};

struct pt_sum {
	uint64_t chunks, bytes;
};

struct pt_arena {
	uint64_t addr;
	uint64_t top; /* chunk; 0: none yet */
	uint64_t top_size;
	uint64_t attached; /* threads that use it, as it counts them */
	uint64_t system_mem, max_system_mem; /* its own figures, bytes */
	bool noncontiguous;
	uint32_t heap, nr_heaps; /* in pt_book.heaps, in order of age */
	struct pt_sum sum[PT_STATES];
	uint64_t unlisted; /* free chunks that are on no list */
	uint64_t lost; /* list entries that are no chunks of it */
};

struct pt_thread {
	uint32_t tid; /* 0: not known (or it has ended) */
	uint32_t arena; /* index; PT_NOWHERE: none, or not known */
	uint64_t tcache; /* of its cache; 0: none known */
	struct pt_sum cached;
};

struct pt_book {
	const struct pt_state_layout *layout;
	bool by_symbol; /* main_arena was where its symbol said */
	bool safe_linking; /* glibc 2.32: lists' pointers are XORed */
	uint16_t heap_info; /* size of it */
	uint64_t heap_max; /* size and alignment of a heap */
	struct pt_par par;
	struct pt_arena *arenas;
	size_t nr_arenas;
	struct pt_heap *heaps;
	size_t nr_heaps;
	struct pt_chunk
		*chunks; /* by heap, ascending in each; then the mmapped ones */
	size_t nr_chunks;
	size_t mmapped; /* index of the first mmapped one */
	uint32_t *by_address; /* indices of heaps, ascending by start */
	struct pt_thread *threads;
	size_t nr_threads;
	/* Threads' caches that changed as they were read: their chunks look as if in use. */
	size_t torn;
};

/*
 * Reads it all. 0; -ENOENT: glibc's malloc is not there, or was not called yet;
 * -EBADMSG: it is not like any that we know, or changes too fast; -E2BIG: more
 * than max_chunks; -ENOMEM. *why says it in words (static), also what is
 * incomplete although 0 was returned (NULL: nothing is).
 */
int pt_read(const struct pt_target *t, struct pt_book *b, const char **why);
void pt_free(struct pt_book *b);

/* The chunk that contains addr (its header included); NULL: none. */
const struct pt_chunk *pt_find(const struct pt_book *b, uint64_t addr);
/* Of a PT_MMAPPED chunk: the size of its mapping. */
uint64_t pt_mapping(const struct pt_book *b, const struct pt_chunk *c);
/* What the program may use of a chunk: its last word is the next one's, but of mapped ones. */
uint64_t pt_usable(const struct pt_book *b, const struct pt_chunk *c);
const char *pt_state_name(enum pt_chunk_state s);
/* Free chunks in bins, fastbins not included, and the top. */
struct pt_sum pt_arena_rest(const struct pt_arena *a);
/* NULL when the tables are sound, else what is wrong with them. */
const char *pt_check(const struct pt_book *b);

#endif
