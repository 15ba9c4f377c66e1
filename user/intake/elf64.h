/* SPDX-License-Identifier: GPL-2.0 */
/* To read a file that may be an ELF: the target's, so every number in it is suspected. */
#ifndef INTAKE_ELF64_H
#define INTAKE_ELF64_H

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* So many of its program headers are looked at. */
#define ELF64_SEGMENTS_MAX 64

/* All of it, or false. */
static inline bool elf64_read(int fd, void *buf, size_t len, uint64_t offset)
{
	return offset <= INT64_MAX &&
	       pread(fd, buf, len, (off_t)offset) == (ssize_t)len;
}

/* False: it is no ELF of 64 bits, little-endian. */
static inline bool elf64_header(int fd, Elf64_Ehdr *e)
{
	return elf64_read(fd, e, sizeof(*e), 0) &&
	       !memcmp(e->e_ident, ELFMAG, SELFMAG) &&
	       e->e_ident[EI_CLASS] == ELFCLASS64 &&
	       e->e_ident[EI_DATA] == ELFDATA2LSB &&
	       e->e_phentsize == sizeof(Elf64_Phdr);
}

/* i < e_phnum */
static inline bool elf64_segment(int fd, const Elf64_Ehdr *e, unsigned int i,
				 Elf64_Phdr *ph)
{
	return elf64_read(fd, ph, sizeof(*ph),
			  e->e_phoff + (uint64_t)i * sizeof(*ph));
}

#endif
