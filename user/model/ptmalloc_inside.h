/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the files that read ptmalloc's book-keeping. */
#ifndef MODEL_PTMALLOC_INSIDE_H
#define MODEL_PTMALLOC_INSIDE_H

#include "model/ptmalloc.h"

#define PT_BINS 127 /* NBINS - 1: bin 0 does not exist */
#define PT_FASTBINS 10
#define PT_HEAP_MAX \
	(64ull << 20) /* HEAP_MAX_SIZE without the hugetlb tunable */
#define PT_PAGE 4096ull
#define PT_MINSIZE 32ull
#define PT_HEAPS_MAX \
	65536 /* arenas in the ring, heaps of one arena: more is a loop */

/* Is [addr, addr + len) in one of these sorted ranges? */
const struct pt_range *pt_in(const struct pt_range *r, size_t nr, uint64_t addr,
			     uint64_t len);
/* Reads where the caller has said that memory is. 0 or -errno. */
int pt_peek(const struct pt_target *t, uint64_t addr, void *buf, size_t len);
int pt_word(const struct pt_target *t, uint64_t addr, uint64_t *word);

static inline uint64_t pt_u64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

static inline uint32_t pt_u32(const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

/* The largest malloc_state; of each layout. */
#define PT_STATE_MAX 2200
/* One malloc_state as it was read. */
struct pt_state {
	uint64_t addr;
	const struct pt_state_layout *layout;
	uint8_t raw[PT_STATE_MAX];
};

/* The address of bin i's head as a chunk: bins are pairs of fd and bk. */
static inline uint64_t pt_bin(const struct pt_state *s, unsigned int i)
{
	return s->addr + s->layout->bins + (i - 1) * 16ull - 16;
}

static inline uint64_t pt_field(const struct pt_state *s, uint16_t offset)
{
	return pt_u64(s->raw + offset);
}

int pt_read_state(const struct pt_target *t, uint64_t addr,
		  const struct pt_state_layout *l, struct pt_state *s);
/* *s: main_arena. 0, -ENOENT, -EBADMSG. */
int pt_find_main(const struct pt_target *t, struct pt_state *s, bool *by_symbol,
		 uint16_t *heap_info, const char **why);
/* 0: malloc_par is not found. */
void pt_find_par(const struct pt_target *t, const struct pt_state *main_arena,
		 struct pt_par *par);

/* Who holds what: the threads' caches and arenas (ptmalloc_thread.c). 0 or -ENOMEM. */
int pt_read_threads(const struct pt_target *t, struct pt_book *b);
/* The chunk that begins at addr; NULL: none does. */
struct pt_chunk *pt_at(const struct pt_book *b, uint64_t addr);

#endif
