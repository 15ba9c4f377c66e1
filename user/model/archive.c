// SPDX-License-Identifier: GPL-2.0
#include "model/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "model/model.h"
#include "model/vma.h"

void archive_fail(struct archive *a, int err)
{
	if (!a->err)
		a->err = err;
}

static void *room(struct archive *a, size_t bytes)
{
	size_t cap = a->cap ? a->cap : 4096;
	uint8_t *buf;

	while (cap - a->len < bytes)
		cap *= 2;
	if (cap != a->cap) {
		buf = realloc(a->buf, cap);
		if (!buf) {
			archive_fail(a, -ENOMEM);
			return NULL;
		}
		a->buf = buf;
		a->cap = cap;
	}
	a->len += bytes;
	return a->buf + a->len - bytes;
}

void archive_raw(struct archive *a, void *p, size_t bytes)
{
	void *to;

	if (a->err || !bytes)
		return;
	if (!a->load) {
		to = room(a, bytes);
		if (to)
			memcpy(to, p, bytes);
		return;
	}
	if (a->len - a->at < bytes) {
		archive_fail(a, -EINVAL);
		return;
	}
	memcpy(p, a->buf + a->at, bytes);
	a->at += bytes;
}

void archive_array(struct archive *a, void **v, size_t *nr, size_t size)
{
	uint64_t n = *nr;

	if (a->load) {
		*v = NULL;
		*nr = 0;
	}
	archive_raw(a, &n, sizeof(n));
	if (a->load && !a->err) {
		if (n > (a->len - a->at) / size) {
			archive_fail(a, -EINVAL);
			return;
		}
		*v = malloc((n + 1) * size);
		if (!*v) {
			archive_fail(a, -ENOMEM);
			return;
		}
		*nr = n;
	}
	archive_raw(a, *v, n * size);
}

void archive_check_bool(struct archive *a, const bool *b)
{
	uint8_t byte;

	memcpy(&byte, b, sizeof(byte));
	if (byte > 1)
		archive_fail(a, -EINVAL);
}

/* --- causes */

static int add_cause(struct archive *a, struct cause *c)
{
	if (a->nr_causes == a->cap_causes) {
		size_t cap = a->cap_causes ? 2 * a->cap_causes : 64;
		void *v = realloc(a->causes, cap * sizeof(*a->causes));

		if (!v)
			return -ENOMEM;
		a->causes = v;
		a->cap_causes = cap;
	}
	a->causes[a->nr_causes++] = c;
	return 0;
}

static struct hash *numbers(struct archive *a)
{
	if (!a->seen)
		a->seen = calloc(1, sizeof(struct hash));
	return a->seen;
}

static void save_cause(struct archive *a, const struct cause *c)
{
	struct hash *h = numbers(a);
	uint64_t key = (uintptr_t)c, nr;
	struct cause copy;

	if (!h) {
		archive_fail(a, -ENOMEM);
		return;
	}
	nr = c ? (uintptr_t)hash_get(h, key, 0) : 0;
	if (!c || nr) {
		archive_raw(a, &nr, sizeof(nr));
		return;
	}
	nr = ++a->nr_causes;
	if (hash_put(h, key, 0, (void *)(uintptr_t)nr))
		archive_fail(a, -ENOMEM);
	copy = *c;
	copy.refs = 0;
	archive_raw(a, &nr, sizeof(nr));
	archive_raw(a, &copy, sizeof(copy));
}

static struct cause *load_new_cause(struct archive *a)
{
	struct cause *c = calloc(1, sizeof(*c));

	if (!c) {
		archive_fail(a, -ENOMEM);
		return NULL;
	}
	archive_raw(a, c, sizeof(*c));
	c->refs = 1;
	archive_check_bool(a, &c->compat);
	if (!a->err && (c->kind < CAUSE_ATTACH || c->kind > CAUSE_OTHER ||
			(unsigned int)c->op >= CALL_OP_MAX))
		archive_fail(a, -EINVAL);
	if (!a->err && add_cause(a, c))
		archive_fail(a, -ENOMEM);
	if (!a->err)
		return c;
	free(c);
	return NULL;
}

static struct cause *load_cause(struct archive *a)
{
	uint64_t nr = 0;
	struct cause *c;

	archive_raw(a, &nr, sizeof(nr));
	if (a->err || !nr)
		return NULL;
	if (nr > a->nr_causes + 1) {
		archive_fail(a, -EINVAL);
		return NULL;
	}
	c = nr <= a->nr_causes ? a->causes[nr - 1] : load_new_cause(a);
	return c ? cause_get(c) : NULL;
}

void archive_cause(struct archive *a, struct cause **c)
{
	if (a->load)
		*c = load_cause(a);
	else
		save_cause(a, *c);
}

void archive_done(struct archive *a)
{
	for (size_t i = 0; a->load && i < a->nr_causes; i++)
		cause_put(a->causes[i]);
	free(a->causes);
	if (a->seen)
		hash_destroy(a->seen);
	free(a->seen);
}
