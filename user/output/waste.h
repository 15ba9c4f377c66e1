/* SPDX-License-Identifier: GPL-2.0 */
/* Waste, by who allocated: what there is to count, and the views of it. */
#ifndef OUTPUT_WASTE_H
#define OUTPUT_WASTE_H

#include "model/hash.h"
#include "output/held.h"

/* What pages are, in bytes. */
struct waste_pages {
	uint64_t resident, swapped, untouched; /* together all of them */
	uint64_t spare; /* of resident: zeroes in huge pages */
};

struct waste_site {
	uint64_t where; /* as a chunk's caller; CALLER_STACK: a stack not known */
	uint64_t chunks, live;
	struct waste_pages pages;
	uint64_t slack; /* of `slack_chunks` chunks: what they have beyond their size */
	uint64_t slack_chunks;
	int64_t hostage;
	int64_t freed; /* -1: not asked for */
	uint64_t events; /* VMA events: each is a system call, or a part of one */
};

struct waste_region {
	size_t vma; /* index */
	struct waste_pages pages;
	uint64_t huge; /* of resident */
};

/* A live chunk that malloc's books know. */
struct waste_chunk {
	uint64_t where;
	size_t chunk; /* in the book */
};

struct waste {
	struct waste_site *sites;
	size_t nr_sites, room;
	struct hash index; /* where -> place in `sites` + 1 */
	struct waste_pages none; /* pages without a live byte */
	struct waste_site sum; /* of the sites and, in `pages`, of none */
	struct waste_chunk *chunks; /* by where, each ascending */
	size_t nr_chunks;
	struct waste_region *regions;
	size_t nr_regions;
	bool pages_known, slack_known, hostage_known, events_known;
};

/*
 * Each page of the memory that malloc got from the kernel, and of whatever else has a
 * live chunk in it, goes to the live chunks on it in proportion to their bytes there,
 * to the last byte. To be freed on an error, too. 0 or -errno.
 */
int waste_count(const struct look_view *v, struct waste *w);
void waste_free(struct waste *w);
/*
 * Fills in s->freed: what goes back when all of its chunks are freed and malloc_trim(0)
 * is called, beyond what that gives back now. Some ms for a heap of 100 MiB. 0 or -errno.
 */
int waste_if_freed(const struct look_view *v, const struct waste *w,
		   struct waste_site *s);

enum waste_order {
	WASTE_LIVE,
	WASTE_RESIDENT,
	WASTE_UNTOUCHED,
	WASTE_SPARE,
	WASTE_SLACK,
	WASTE_HOSTAGE,
	WASTE_EVENTS,
	WASTE_ORDERS,
};

/* "live", "resident", "untouched", "spare", "slack", "hostage", "calls": 0 or -EINVAL. */
int waste_order_parse(const char *name, enum waste_order *by);
/*
 * A table; one line a site, for flame graphs. v->page NULL: of a trace, where pages are
 * not known; v->book NULL: there are no books of glibc's malloc. 0 or -errno; -ENODATA:
 * folded by what is not known.
 */
int output_waste(const struct look_view *v, enum waste_order by);
int output_waste_folded(const struct look_view *v, enum waste_order by);
#define WASTE_UNKNOWN \
	"that is not known: of a trace only live and calls are, slack and hostage only of glibc's malloc"

#endif
