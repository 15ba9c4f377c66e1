/* SPDX-License-Identifier: GPL-2.0 */
/* From two numbers to a pointer. A zeroed hash is an empty one. */
#ifndef MODEL_HASH_H
#define MODEL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_slot {
	uint64_t a, b;
	void *val; /* NULL: empty */
};

struct hash {
	struct hash_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t nr;
};

/* NULL when it is not there. */
void *hash_get(const struct hash *h, uint64_t a, uint64_t b);
/* Adds or replaces; val is not NULL. 0 or -ENOMEM. */
int hash_put(struct hash *h, uint64_t a, uint64_t b, void *val);
/* Takes it out; nothing when it is not there. */
void hash_del(struct hash *h, uint64_t a, uint64_t b);
/* Takes out all for which drop() is true (it may free the value). */
void hash_filter(struct hash *h, bool (*drop)(void *val, void *ctx), void *ctx);
/* Frees the hash, not the values. */
void hash_destroy(struct hash *h);

#endif
