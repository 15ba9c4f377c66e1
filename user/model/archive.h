/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model as bytes and back, in one description for both directions: each part
 * has one function that visits its fields, and the archive writes them or reads
 * them. Bytes that come from outside are hostile: every count is checked against
 * what is left, and whoever visits a number that is used as an index checks it.
 *
 * It is a cache of this very program: structs lie in it as they lie in memory.
 */
#ifndef MODEL_ARCHIVE_H
#define MODEL_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cause;

struct archive {
	bool load;
	int err; /* 0, -ENOMEM, -EINVAL: nothing more is done */
	uint8_t *buf; /* save: grows, owned by who made the archive */
	size_t len, cap; /* bytes in buf; load: len is all of them */
	size_t at; /* load: the next one */
	/* Causes by number, which begin with 1; owned references when loading. */
	struct cause **causes;
	size_t nr_causes, cap_causes;
	void *seen; /* save: from a cause to its number */
};

void archive_fail(struct archive *a, int err);
/* Bytes as they are. */
void archive_raw(struct archive *a, void *p, size_t bytes);
/*
 * An array of *nr elements of `size` bytes: *v is malloc'ed when loading (one
 * element more is allocated, so that it is never NULL).
 */
void archive_array(struct archive *a, void **v, size_t *nr, size_t size);
/* A counted reference, shared as it was; NULL too. */
void archive_cause(struct archive *a, struct cause **c);
/* A loaded byte that is to be a bool is one. */
void archive_check_bool(struct archive *a, const bool *b);
/* Frees what loading or saving needed, not buf. */
void archive_done(struct archive *a);

struct vma_map;
struct chunk_table;

/* Loading: *m and *t are made; NULL after a failure. */
void vma_map_archive(struct archive *a, struct vma_map **m);
void chunk_table_archive(struct archive *a, struct chunk_table **t);

#endif
