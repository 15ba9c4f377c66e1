/* SPDX-License-Identifier: GPL-2.0 */
/* With $VICTIM_WAIT a victim begins when a byte comes on its standard input. */
#ifndef VICTIMS_ALLOC_WAIT_H
#define VICTIMS_ALLOC_WAIT_H

#include <stdlib.h>
#include <unistd.h>

static inline int wait_for_start(void)
{
	char c;

	if (!getenv("VICTIM_WAIT"))
		return 0;
	unsetenv("VICTIM_WAIT"); /* what we exec does not wait */
	if (read(STDIN_FILENO, &c, 1) != 1)
		_exit(9);
	return 1;
}

#endif
