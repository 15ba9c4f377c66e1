// SPDX-License-Identifier: GPL-2.0
/* malloc(400) lies on the brk heap, malloc(1 MiB) is a mapping of its own. */
#include "truth.h"

int main(void)
{
	char *p = told_malloc(400);
	char *q = told_malloc(1 << 20);

	memset(p, 1, 400);
	memset(q, 1, 3 * 4096 - 16); /* exactly three of its 257 pages */
	truth("live %p %d [heap]\n", (void *)p, 400);
	truth("live %p %d -\n", (void *)q, 1 << 20);
	return 0;
}
