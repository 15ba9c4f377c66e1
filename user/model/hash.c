// SPDX-License-Identifier: GPL-2.0
/* Open addressing, linear probing, at most three quarters full. */
#include <errno.h>
#include <stdlib.h>

#include "model/hash.h"

#define FIRST_CAP 16

static size_t home(const struct hash *h, uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xbf58476d1ce4e5b9ull;

	return (x ^ x >> 32) & (h->cap - 1);
}

/* Where the key is, or the empty slot where it belongs. */
static size_t probe(const struct hash *h, uint64_t a, uint64_t b)
{
	size_t i = home(h, a, b);

	while (h->slots[i].val && (h->slots[i].a != a || h->slots[i].b != b))
		i = (i + 1) & (h->cap - 1);
	return i;
}

static int grow(struct hash *h)
{
	struct hash to = { .cap = h->cap ? 2 * h->cap : FIRST_CAP,
			   .nr = h->nr };

	to.slots = calloc(to.cap, sizeof(*to.slots));
	if (!to.slots)
		return -ENOMEM;
	for (size_t i = 0; i < h->cap; i++) {
		const struct hash_slot *s = &h->slots[i];

		if (s->val)
			to.slots[probe(&to, s->a, s->b)] = *s;
	}
	free(h->slots);
	*h = to;
	return 0;
}

void *hash_get(const struct hash *h, uint64_t a, uint64_t b)
{
	return h->cap ? h->slots[probe(h, a, b)].val : NULL;
}

int hash_put(struct hash *h, uint64_t a, uint64_t b, void *val)
{
	struct hash_slot *s;

	if (h->nr + 1 > h->cap / 4 * 3 && grow(h))
		return -ENOMEM;
	s = &h->slots[probe(h, a, b)];
	h->nr += !s->val;
	*s = (struct hash_slot){ a, b, val };
	return 0;
}

/* Empties slot i and closes the gap in its run. */
static void del_at(struct hash *h, size_t i)
{
	size_t mask = h->cap - 1, j = i;

	for (;;) {
		j = (j + 1) & mask;
		if (!h->slots[j].val)
			break;
		/* j may move to i unless its home lies cyclically in (i, j]. */
		if (((j - home(h, h->slots[j].a, h->slots[j].b)) & mask) <
		    ((j - i) & mask))
			continue;
		h->slots[i] = h->slots[j];
		i = j;
	}
	h->slots[i].val = NULL;
	h->nr--;
}

void hash_del(struct hash *h, uint64_t a, uint64_t b)
{
	size_t i = h->cap ? probe(h, a, b) : 0;

	if (h->cap && h->slots[i].val)
		del_at(h, i);
}

void hash_filter(struct hash *h, bool (*drop)(void *val, void *ctx), void *ctx)
{
	/* What closes the gap at i comes next; a kept one may be asked twice. */
	for (size_t i = 0; i < h->cap;) {
		if (h->slots[i].val && drop(h->slots[i].val, ctx))
			del_at(h, i);
		else
			i++;
	}
}

void hash_destroy(struct hash *h)
{
	free(h->slots);
	*h = (struct hash){ 0 };
}
