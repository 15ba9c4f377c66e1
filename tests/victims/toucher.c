// SPDX-License-Identifier: GPL-2.0
/*
 * toucher FILE PAGES: maps FILE (private), then writes to one page for each
 * line that it reads from standard input; nothing but the residency changes.
 * toucher -s FILE PAGES: shared and writable.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "truth.h"

#define PAGE 4096ul

int main(int argc, char **argv)
{
	int shared = argc == 4;
	size_t pages = strtoul(argv[argc - 1], NULL, 10), i;
	int fd = open(argv[argc - 2], shared ? O_RDWR : O_RDONLY);
	volatile char *p;
	char c;

	p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		 shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	if (fd < 0 || p == MAP_FAILED)
		return 1;
	truth("mapped %#lx %#lx\n", (unsigned long)p, pages * PAGE);
	for (i = 0; i < pages && read(STDIN_FILENO, &c, 1) == 1; i++) {
		/* a write: a read fault maps the pages around as well */
		p[i * PAGE] = 1;
		truth("touched %zu\n", i + 1);
	}
	return 0;
}
