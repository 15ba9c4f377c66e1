// SPDX-License-Identifier: GPL-2.0
/* A file that a target has mapped, read for its build id. The input is the file. */
#include "intake/build_id.c"

#include <sys/mman.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	uint8_t id[BUILD_ID_BYTES];
	int len;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && !ftruncate(fd, 0));
	MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
	memset(id, 0xa5, sizeof(id));
	len = build_id_read(fd, id);
	MUST(len == -ENOEXEC || (len >= 0 && len <= BUILD_ID_BYTES));
	/* What it says is in the file, and no more was written. */
	MUST(len <= 0 || memmem(data, size, id, (size_t)len));
	for (int i = len > 0 ? len : 0; i < BUILD_ID_BYTES; i++)
		MUST(id[i] == 0xa5);
	return 0;
}
