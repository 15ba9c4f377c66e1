/* SPDX-License-Identifier: GPL-2.0 */
/* A disk that is full, for the tests of what is written to it. */
#ifndef TESTS_UNIT_LIMIT_H
#define TESTS_UNIT_LIMIT_H

#include <signal.h>
#include <sys/resource.h>

/* Files of this process cannot grow beyond so many bytes: EFBIG. RLIM_INFINITY: they can again. */
static inline void limit_files(rlim_t bytes)
{
	struct rlimit l;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &l);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

#endif
