/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The build id of a file: what names its contents, wherever it lies (the ELF note
 * NT_GNU_BUILD_ID). The file is the target's: every number in it is suspected.
 */
#ifndef INTAKE_BUILD_ID_H
#define INTAKE_BUILD_ID_H

#include <stdint.h>

#define BUILD_ID_BYTES 64

/* Its length; 0: the file has none, -ENOEXEC: it is no 64-bit ELF, or -errno. */
int build_id_read(int fd, uint8_t id[BUILD_ID_BYTES]);

#endif
