/* SPDX-License-Identifier: GPL-2.0 */
/* Questions that need a look at the process itself. */
#ifndef SESSION_ASK_H
#define SESSION_ASK_H

#include "output/output.h"

/* Is it one: "held", "arena", "rss"? */
bool ask_is_known(const char *what);
/*
 * Answers it of a process that lives; s is its address space. 0 or -errno; what
 * is wrong is told on `err`.
 */
int ask_look(const char *what, const struct output *o, const struct space *s,
	     FILE *err);
/* The same of a process that nobody watches. The exit status. */
int ask_stranger(const char *what, uint32_t pid, bool json);

#endif
