/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process's memory as musl's malloc would have it, by hand:
 *
 *   libc's data   malloc_context
 *   two areas     metas of five groups, others free
 *   SMALL         slots of 48 bytes: used, moved, freed, never used, being freed
 *   OUTER         slots of 496 bytes: the first one holds a group of 16 bytes each
 *   MAPPED        a chunk with a mapping of its own
 *   FAR           one that is aligned to 2 MiB; of its 3 MiB three pages are there
 */
#ifndef TESTS_UNIT_NGIMAGE_H
#define TESTS_UNIT_NGIMAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/mallocng.h"

#define NG_PIECE 8192u
enum {
	NG_DATA,
	NG_AREAS,
	NG_SMALL,
	NG_OUTER,
	NG_MAPPED,
	NG_FAR,
	NG_PIECES = 8
};

#define NG_AT_AREAS 0x555500000000ull
#define NG_AT_FAR 0x7e0000000000ull
#define NG_AT_SMALL 0x7f0000000000ull
#define NG_AT_OUTER 0x7f0000010000ull
#define NG_AT_MAPPED 0x7f0000020000ull
#define NG_AT_DATA 0x7f0000200000ull
#define NG_CONTEXT (NG_AT_DATA + 0x128)
#define NG_SECRET 0x1234567890abcdefull
#define NG_FAR_SIZE 0x300000ull
#define NG_MOVED 0x200000ull

struct ng_image {
	uint8_t bytes[NG_PIECES][NG_PIECE];
	struct pt_range ranges[6]; /* ascending */
	struct pt_range data;
	unsigned long reads;
};

static const uint64_t ng_at[NG_PIECES] = {
	[NG_DATA] = NG_AT_DATA,
	[NG_AREAS] = NG_AT_AREAS,
	[NG_SMALL] = NG_AT_SMALL,
	[NG_OUTER] = NG_AT_OUTER,
	[NG_MAPPED] = NG_AT_MAPPED,
	[NG_FAR] = NG_AT_FAR,
	[NG_FAR + 1] = NG_AT_FAR + NG_MOVED - NG_PIECE / 2,
	[NG_FAR + 2] = NG_AT_FAR + NG_FAR_SIZE - NG_PIECE,
};

static inline uint8_t *ng_byte(struct ng_image *im, uint64_t addr, size_t len)
{
	int i;

	for (i = 0; i < NG_PIECES; i++)
		if (addr >= ng_at[i] && addr - ng_at[i] < NG_PIECE &&
		    len <= NG_PIECE - (addr - ng_at[i]))
			return &im->bytes[i][addr - ng_at[i]];
	return NULL;
}

static inline int ng_image_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct ng_image *im = ctx;
	const uint8_t *p = ng_byte(im, addr, len);

	im->reads++;
	if (p)
		memcpy(buf, p, len);
	else if (addr >= NG_AT_FAR && addr < NG_AT_FAR + NG_FAR_SIZE)
		memset(buf, 0, len);
	else
		return -EFAULT;
	return 0;
}

static inline void ng_put(struct ng_image *im, uint64_t addr, uint64_t value,
			  size_t len)
{
	uint8_t *p = ng_byte(im, addr, len);

	if (p)
		memcpy(p, &value, len);
}

static inline uint64_t ng_meta(int area, int i)
{
	return NG_AT_AREAS + (uint64_t)area * 4096 + 24 + (uint64_t)i * 40;
}

/* pages 0: it lies in a slot. */
static inline void ng_group(struct ng_image *im, uint64_t meta, uint64_t mem,
			    unsigned int last, unsigned int class,
			    uint64_t pages, uint32_t avail, uint32_t freed)
{
	ng_put(im, meta + 16, mem, 8);
	ng_put(im, meta + 24, avail, 4);
	ng_put(im, meta + 28, freed, 4);
	ng_put(im, meta + 32, last | 1 << 5 | class << 6 | pages << 12, 8);
	ng_put(im, mem, meta, 8);
}

/* A chunk of n bytes at p, whose slot is [start, start + stride). */
static inline void ng_chunk(struct ng_image *im, uint64_t mem,
			    unsigned int slot, uint64_t stride, uint64_t moved,
			    uint64_t n)
{
	uint64_t start = mem + 16 + slot * stride, p = start + moved;
	uint64_t end = start + stride - 4, rest = end - p - n;
	uint64_t units = (p - mem - 16) / 16;

	if (moved) {
		ng_put(im, start - 3, 7 << 5, 1);
		ng_put(im, start - 2, moved / 16, 2);
	}
	if (rest >= 5)
		ng_put(im, end - 4, rest, 4);
	ng_put(im, p - 3, slot | (rest < 5 ? rest : 5) << 5, 1);
	ng_put(im, p - 2, units > 0xffff ? 0 : units, 2);
	if (units > 0xffff) {
		ng_put(im, p - 4, 1, 1);
		ng_put(im, p - 8, units, 4);
	}
}

static inline void ng_groups(struct ng_image *im)
{
	const uint64_t small = NG_AT_SMALL, outer = NG_AT_OUTER;
	const uint64_t inner = outer + 16;

	/* Slot 3 is free, so is 4, and 5 is about to be; 8 to 19 were never in use. */
	ng_group(im, ng_meta(0, 0), small, 19, 2, 1, 1 << 4, 0xfff08);
	ng_chunk(im, small, 0, 48, 0, 40);
	ng_chunk(im, small, 1, 48, 0, 3);
	ng_chunk(im, small, 2, 48, 16, 20);
	ng_put(im, small + 16 + 3 * 48 - 3, 255, 1);
	ng_put(im, small + 16 + 5 * 48 - 3, 255, 1);
	ng_chunk(im, small, 6, 48, 0, 44);
	ng_chunk(im, small, 7, 48, 0, 0);

	ng_group(im, ng_meta(0, 2), outer, 6, 15, 1, 0, 0x7c);
	ng_put(im, outer + 16 - 3, 6 << 5, 1);
	ng_chunk(im, outer, 1, 496, 0, 400);
	ng_group(im, ng_meta(1, 0), inner, 29, 0, 0, 0, 0x1ffffffe);
	ng_chunk(im, inner, 0, 16, 0, 12);
	ng_chunk(im, inner, 29, 16, 0, 1);

	ng_group(im, ng_meta(1, 1), NG_AT_MAPPED, 0, 63, 2, 0, 0);
	ng_chunk(im, NG_AT_MAPPED, 0, 8192 - 16, 0, 8000);
	ng_group(im, ng_meta(1, 2), NG_AT_FAR, 0, 63, NG_FAR_SIZE / 4096, 0, 0);
	ng_chunk(im, NG_AT_FAR, 0, NG_FAR_SIZE - 16, NG_MOVED - 16, 100);
}

static inline void ng_make(struct ng_image *im)
{
	static const int order[] = { NG_AREAS, NG_FAR,	  NG_SMALL,
				     NG_OUTER, NG_MAPPED, NG_DATA };
	const uint64_t area = NG_AT_AREAS, c = NG_CONTEXT;
	size_t i;

	memset(im, 0, sizeof(*im));
	for (i = 0; i < 6; i++)
		im->ranges[i] = (struct pt_range){
			ng_at[order[i]],
			ng_at[order[i]] +
				(order[i] == NG_FAR ? NG_FAR_SIZE : NG_PIECE)
		};
	im->data = (struct pt_range){ NG_CONTEXT - 60, NG_CONTEXT + 1000 };
	ng_put(im, c, NG_SECRET, 8);
	ng_put(im, c + 8, 1, 4);
	ng_put(im, c + 32, 98, 8); /* metas of the last area that nobody had */
	ng_put(im, c + 56, area, 8);
	ng_put(im, c + 64, area + 4096, 8);
	ng_put(im, c + 80 + 2 * 8, ng_meta(0, 0), 8);
	ng_put(im, area, NG_SECRET, 8);
	ng_put(im, area + 8, area + 4096, 8);
	ng_put(im, area + 16, 101, 4);
	ng_put(im, area + 4096, NG_SECRET, 8);
	ng_put(im, area + 4096 + 16, 101, 4);
	ng_groups(im);
}

static inline struct pt_target ng_target(struct ng_image *im)
{
	return (struct pt_target){
		.mem = { .read = ng_image_read, .ctx = im },
		.ranges = im->ranges,
		.nr_ranges = 6,
		.data = &im->data,
		.nr_data = 1,
		.nr_tids = 1,
	};
}

#endif
