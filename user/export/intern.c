// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "export/intern.h"

struct text {
	uint64_t nr;
	char *s;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct text *)a)->s, ((const struct text *)b)->s);
}

static void drop(void *p)
{
	struct text *t = p;

	if (t)
		free(t->s);
	free(t);
}

static struct text *make(const char *s)
{
	struct text *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->s = utf8_of(s);
	if (t->s)
		return t;
	free(t);
	return NULL;
}

uint64_t intern(struct intern *t, const char *s, const char **fresh)
{
	struct text *key = make(s), **found;
	uint64_t nr;

	*fresh = NULL;
	found = key ? tsearch(key, &t->tree, compare) : NULL;
	if (found && *found == key) {
		key->nr = ++t->nr;
		*fresh = key->s;
		return key->nr;
	}
	nr = found ? (*found)->nr : 0;
	drop(key);
	t->no_memory |= !nr;
	return nr;
}

void intern_free(struct intern *t)
{
	tdestroy(t->tree, drop);
	t->tree = NULL;
}

/* A name of a file or of a function is bytes; jansson knows what UTF-8 is. */
char *utf8_of(const char *text)
{
	json_t *valid = json_string(text);
	char *copy = strdup(text), *p;

	for (p = copy; !valid && p && *p; p++)
		if (!isascii((unsigned char)*p))
			*p = '?';
	json_decref(valid);
	return copy;
}
