// SPDX-License-Identifier: GPL-2.0
/* A file that a target has mapped, of which the symbols are kept. The input is the file. */
#include "intake/symbol_tables.c"

#include <sys/mman.h>

#include "fuzz.h"

/* What is kept is kept of it again, whole. */
static void keep_again(int fd, const void *kept, size_t bytes)
{
	size_t again;
	void *p;

	MUST(!ftruncate(fd, 0));
	MUST(pwrite(fd, kept, bytes, 0) == (ssize_t)bytes);
	MUST(!symbol_tables_read(fd, &p, &again));
	MUST(again == bytes && !memcmp(p, kept, bytes));
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	size_t bytes;
	void *p;
	int err;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && !ftruncate(fd, 0));
	MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
	err = symbol_tables_read(fd, &p, &bytes);
	if (err) {
		MUST(err == -ENOEXEC || err == -ENODATA || err == -E2BIG);
		MUST(!p);
		return 0;
	}
	keep_again(fd, p, bytes);
	free(p);
	return 0;
}
