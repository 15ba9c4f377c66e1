/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For people at a terminal: long answers through $PAGER, and how far a long trace
 * has been read.
 */
#ifndef SESSION_PAGER_H
#define SESSION_PAGER_H

#include <stdint.h>

/*
 * From here on standard output goes through $PAGER (less; "" or "cat": none), if it
 * is a terminal. Ended, and waited for, at exit.
 */
void pager_start(void);

/*
 * How much of the work is done, 0 to 1: on standard error, if that is a terminal,
 * after the first second and then a few times a second. progress_end() wipes it out.
 */
void progress_show(double done);
void progress_at(uint64_t now,
		 double done); /* the same; `now` is in ms, and not 0 */
void progress_end(void);

#endif
