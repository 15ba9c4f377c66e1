// SPDX-License-Identifier: GPL-2.0
/*
 *   hog FILE CGROUP   enters the cgroup (its cgroup.procs), then allocates chunks of
 *                     3000 bytes until it is killed; every fourth it frees, the others
 *                     it fills
 *
 * FILE outlives it: three numbers of 8 bytes: mallocs begun, mallocs that have
 * returned, frees begun.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK 3000

static uint64_t *open_truth(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, 4096))
		return NULL;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* Nothing is moved across it. */
static uint64_t count(uint64_t *n)
{
	return __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
}

static int enter(const char *cgroup)
{
	int fd = open(cgroup, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, "0", 1) != 1 ? -1 : 0;

	if (fd >= 0)
		close(fd);
	return ret;
}

int main(int argc, char **argv)
{
	uint64_t *truth = argc == 3 ? open_truth(argv[1]) : NULL;

	if (!truth || enter(argv[2])) {
		perror("hog");
		return 1;
	}
	for (;;) {
		char *p;

		count(&truth[0]);
		p = malloc(CHUNK);
		if (!p)
			return 2;
		if (count(&truth[1]) % 4) {
			memset(p, 1, CHUNK);
			__asm__ volatile(""
					 :
					 : "r"(p)
					 : "memory"); /* it is done */
			continue;
		}
		count(&truth[2]);
		free(p);
	}
}
