/* SPDX-License-Identifier: GPL-2.0 */
/* One question to a daemon at a time, that nobody waits for: ask, poll, read. */
#ifndef TOP_ANSWER_H
#define TOP_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct answer {
	int fd; /* to poll for reading; -1: nothing is under way */
	FILE *out, *err; /* what came so far, in */
	char *text, *said;
	size_t text_len, said_len;
	json_t *json; /* the answer; NULL: there is none, but perhaps ... */
	char *why; /* ... a sentence, malloc'ed */
};
#define ANSWER_NONE ((struct answer){ .fd = -1 })

/* args as wire_request(). 0 or -errno. What was under way is dropped. */
int answer_ask(struct answer *a, const char *path, const char *const *args);
/* When there is something to read. True: that was all, and json or why are set. */
bool answer_read(struct answer *a);
void answer_drop(struct answer *a);

#endif
