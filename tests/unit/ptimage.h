/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process's memory as glibc 2.36 (or 2.43: `newer`) would have it, by hand:
 *
 *   libc's data   mp_, main_arena
 *   the brk heap  a thread's cache, used, cached, fastbin, used, unsorted, used, small, used, top
 *   an arena      heap_info, malloc_state, used, free, used, top
 *   its older     heap_info, used, free, fence, fence: in a heap of its own
 *   anonymous     TLS of thread 100, and a chunk with a mapping of its own
 */
#ifndef TESTS_UNIT_PTIMAGE_H
#define TESTS_UNIT_PTIMAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/ptmalloc.h"

#define IMAGE_PIECE 8192u
enum { LIBC, BRK, ARENA, OLDER, TLS, MAPPED, PIECES };

struct image {
	uint8_t bytes[PIECES][IMAGE_PIECE];
	struct pt_range ranges[PIECES]; /* ascending */
	struct pt_range anon[2];
	struct pt_range data;
	uint32_t tid;
	bool newer;
	unsigned long reads;
};

#define IMAGE_BRK 0x555500000000ull
#define IMAGE_OLDER 0x7e0000000000ull
#define IMAGE_ARENA 0x7e0004000000ull
#define IMAGE_TLS 0x7f0000000000ull
#define IMAGE_MAPPED 0x7f0000100000ull
#define IMAGE_LIBC 0x7f0000200000ull
#define IMAGE_MAIN (IMAGE_LIBC + 0xc60)
#define IMAGE_MP (IMAGE_LIBC + 0x340)
#define IMAGE_TCB (IMAGE_TLS + 0x1000)

static const uint64_t image_at[PIECES] = {
	[LIBC] = IMAGE_LIBC,   [BRK] = IMAGE_BRK, [ARENA] = IMAGE_ARENA,
	[OLDER] = IMAGE_OLDER, [TLS] = IMAGE_TLS, [MAPPED] = IMAGE_MAPPED,
};

static inline uint8_t *image_byte(struct image *im, uint64_t addr, size_t len)
{
	int i;

	for (i = 0; i < PIECES; i++)
		if (addr >= image_at[i] && addr - image_at[i] < IMAGE_PIECE &&
		    len <= IMAGE_PIECE - (addr - image_at[i]))
			return &im->bytes[i][addr - image_at[i]];
	return NULL;
}

static inline int image_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct image *im = ctx;
	const uint8_t *p = image_byte(im, addr, len);

	im->reads++;
	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static inline void image_set(struct image *im, uint64_t addr, uint64_t word)
{
	uint8_t *p = image_byte(im, addr, 8);

	if (p)
		memcpy(p, &word, 8);
}

/* A chunk; returns where the next one begins. */
static inline uint64_t image_chunk(struct image *im, uint64_t p, uint64_t size,
				   unsigned int flags)
{
	image_set(im, p + 8, size | flags);
	return p + size;
}

/* A free one on a list of its own: the next one says so, too. */
static inline uint64_t image_free(struct image *im, uint64_t p, uint64_t size,
				  uint64_t bin)
{
	image_chunk(im, p, size, PT_PREV_INUSE);
	image_set(im, p + 16, bin);
	image_set(im, p + 24, bin);
	image_set(im, bin + 16, p);
	image_set(im, bin + 24, p);
	image_set(im, p + size, size);
	return p + size;
}

static inline uint64_t image_bins(const struct image *im)
{
	return im->newer ? 24 : 112;
}

static inline uint64_t image_bin(const struct image *im, uint64_t arena, int i)
{
	return arena + image_bins(im) + (uint64_t)(i - 1) * 16 - 16;
}

static inline uint64_t image_state_size(const struct image *im)
{
	return im->newer ? 2112 : 2200;
}

static inline void image_state(struct image *im, uint64_t arena, uint64_t top,
			       uint64_t next, uint64_t system_mem)
{
	uint64_t tail = arena + image_state_size(im) - 40;
	int i;

	for (i = 1; i <= 127; i++) {
		image_set(im, image_bin(im, arena, i) + 16,
			  image_bin(im, arena, i));
		image_set(im, image_bin(im, arena, i) + 24,
			  image_bin(im, arena, i));
	}
	image_set(im, arena + (im->newer ? 8 : 96), top);
	image_set(im, tail, next);
	image_set(im, tail + 16, 1);
	image_set(im, tail + 24, system_mem);
	image_set(im, tail + 32, system_mem);
}

static inline void image_par(struct image *im)
{
	uint64_t mp = IMAGE_MP;
	int at = im->newer ? 8 : 0;

	image_set(im, mp, 128 << 10);
	image_set(im, mp + 8, 128 << 10);
	image_set(im, mp + 16, 128 << 10);
	image_set(im, mp + 24, 8);
	image_set(im, mp + at + 56, 1ull << 32); /* hp_flags, n_mmaps */
	image_set(im, mp + at + 64, 65536 | 1ull << 32); /* and the most */
	image_set(im, mp + at + 80, 8192);
	image_set(im, mp + at + 88, 8192);
	image_set(im, mp + at + 96, IMAGE_BRK);
	image_set(im, mp + at + 104, 64);
	image_set(im, mp + at + 112, im->newer ? 1041 : 1032);
	image_set(im, mp + at + 120, 7);
}

/* Bin 0 of the cache holds one chunk. */
static inline void image_cache(struct image *im, uint64_t mem, uint64_t entry)
{
	int bins = im->newer ? 76 : 64, i;
	uint8_t *p = image_byte(im, mem, 1);

	for (i = 0; i < bins; i++)
		p[2 * i] = im->newer ? 7 - !i : !i;
	image_set(im, mem + 2 * (uint64_t)bins, entry);
}

static inline void image_brk(struct image *im)
{
	uint64_t p = IMAGE_BRK, fast, cached;

	image_cache(im, p + 16, p + 0x10 + (im->newer ? 0x300 : 0x290) + 0x20);
	p = image_chunk(im, p, im->newer ? 0x300 : 0x290, PT_PREV_INUSE);
	p = image_chunk(im, p, 0x20, PT_PREV_INUSE);
	cached = p; /* the cache's: the last of its list */
	image_set(im, cached + 16, (cached + 16) >> 12);
	p = image_chunk(im, p, 0x20, PT_PREV_INUSE);
	fast = p;
	if (!im->newer) {
		image_set(im, fast + 16, (fast + 16) >> 12);
		image_set(im, IMAGE_MAIN + 16, fast);
	}
	p = image_chunk(im, p, 0x20, PT_PREV_INUSE);
	p = image_chunk(im, p, 0x100, PT_PREV_INUSE);
	p = image_free(im, p, 0x1200, image_bin(im, IMAGE_MAIN, 1));
	p = image_chunk(im, p, 0x30, 0);
	p = image_free(im, p, 0x90, image_bin(im, IMAGE_MAIN, 9));
	p = image_chunk(im, p, 0x40, 0);
	image_chunk(im, p, IMAGE_BRK + IMAGE_PIECE - p, PT_PREV_INUSE);
	image_set(im, IMAGE_MAIN + (im->newer ? 8 : 96), p);
}

static inline void image_arena(struct image *im)
{
	uint64_t arena = IMAGE_ARENA + 0x30, older = IMAGE_OLDER, p;
	const unsigned int non = PT_NON_MAIN | PT_PREV_INUSE;

	/* The first heap of the arena is the older one; it holds the malloc_state. */
	arena = older + 0x30;
	image_set(im, older, arena);
	image_set(im, older + 16, IMAGE_PIECE);
	image_set(im, older + 24, IMAGE_PIECE);
	image_set(im, older + 32, 4096);
	image_state(im, arena, IMAGE_ARENA + 0x30 + 0x1010, IMAGE_MAIN,
		    2 * IMAGE_PIECE);
	p = (arena + image_state_size(im) + 15) & ~15ull;
	p = image_chunk(im, p, 0x50, non);
	p = image_free(im, p, older + IMAGE_PIECE - 0x20 - p,
		       image_bin(im, arena, 1));
	p = image_chunk(im, p, 16, 0);
	image_chunk(im, p, 0, PT_PREV_INUSE);

	image_set(im, IMAGE_ARENA, arena);
	image_set(im, IMAGE_ARENA + 8, older);
	image_set(im, IMAGE_ARENA + 16, IMAGE_PIECE);
	image_set(im, IMAGE_ARENA + 24, IMAGE_PIECE);
	image_set(im, IMAGE_ARENA + 32, 4096);
	p = image_chunk(im, IMAGE_ARENA + 0x30, 0x1010, non);
	image_chunk(im, p, IMAGE_ARENA + IMAGE_PIECE - p, PT_PREV_INUSE);
}

static inline void image_tls(struct image *im)
{
	uint32_t tid = 100;

	image_set(im, IMAGE_TCB, IMAGE_TCB);
	image_set(im, IMAGE_TCB + 16, IMAGE_TCB);
	memcpy(image_byte(im, IMAGE_TCB + 0x2d0, 4), &tid, 4);
	image_set(im, IMAGE_TCB + 0x2c0, IMAGE_TCB + 0x2c0);
	image_set(im, IMAGE_TCB - 0x60, IMAGE_MAIN);
	image_set(im, IMAGE_TCB - 0x58, IMAGE_BRK + 16);
	image_chunk(im, IMAGE_MAPPED, 8192 - (im->newer ? 16 : 0),
		    PT_IS_MMAPPED);
}

static inline void image_make(struct image *im, bool newer)
{
	static const int order[PIECES] = {
		BRK, OLDER, ARENA, TLS, MAPPED, LIBC
	};
	int i;

	memset(im, 0, sizeof(*im));
	im->newer = newer;
	image_par(im);
	image_state(im, IMAGE_MAIN, 0, IMAGE_OLDER + 0x30, IMAGE_PIECE);
	image_brk(im);
	image_arena(im);
	image_tls(im);
	for (i = 0; i < PIECES; i++) {
		im->ranges[i].start = image_at[order[i]];
		im->ranges[i].end = image_at[order[i]] + IMAGE_PIECE;
	}
	im->anon[0] = (struct pt_range){ IMAGE_TCB - 512, IMAGE_TCB + 1024 };
	im->anon[1] = im->ranges[4];
	im->data = (struct pt_range){ IMAGE_MP - 64, IMAGE_MAIN + 2400 };
	im->tid = 100;
}

static inline struct pt_target image_target(struct image *im)
{
	return (struct pt_target){
		.mem = { .read = image_read, .ctx = im },
		.ranges = im->ranges,
		.nr_ranges = PIECES,
		.data = &im->data,
		.nr_data = 1,
		.anon = im->anon,
		.nr_anon = 2,
		.tids = &im->tid,
		.nr_tids = 1,
		.brk = im->ranges[0],
	};
}

#endif
