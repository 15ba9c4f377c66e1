/* SPDX-License-Identifier: GPL-2.0 */
/* Questions that need a look at the process itself. */
#ifndef SESSION_ASK_H
#define SESSION_ASK_H

#include "export/export.h"
#include "output/output.h"
#include "output/waste.h"

/* Is it one: "held", "arena", "rss", "threshold", "enomem"? */
bool ask_is_known(const char *what);
/*
 * Answers it of a process that lives; s is its address space. 0 or -errno; what
 * is wrong is told on `err`.
 */
int ask_look(const char *what, const struct output *o, const struct space *s,
	     FILE *err);
/* Waste by who allocated. As ask_look(). */
int ask_waste(const struct output *o, const struct space *s,
	      enum waste_order by, bool folded, FILE *err);
/* A state of the process x->only, with what a look at it tells. 0 or -errno. */
int ask_export(const struct export_format *format, struct export *x);
/*
 * What backs addr: down to its page, and with malloc's own books where the events
 * know of no chunk. `trusted`: who asks may know of frames and of other processes.
 * 0 or -errno.
 */
int ask_why(const struct output *o, const struct space *s, uint64_t addr,
	    bool trusted);
/*
 * The same of a process that nobody watches; `what` NULL: of addr. The exit status.
 */
int ask_stranger(const char *what, uint64_t addr, uint32_t pid, bool json);

#endif
