// SPDX-License-Identifier: GPL-2.0
/*
 * Where the note is: the program headers name the segments of notes; in such a
 * segment notes follow one another.
 *
 *   | name size | description size | type | "GNU\0" | the id ... |
 */
#include "intake/build_id.h"

#include <errno.h>

#include "intake/elf64.h"

#define NOTES_MAX 4096 /* bytes of a segment that are looked at */

static size_t round4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* The id among the notes; 0: it is not. */
static int find_note(const uint8_t *p, size_t len, uint8_t id[BUILD_ID_BYTES])
{
	Elf64_Nhdr n;

	while (len >= sizeof(n)) {
		size_t name, desc;

		memcpy(&n, p, sizeof(n));
		name = round4(n.n_namesz);
		desc = round4(n.n_descsz);
		p += sizeof(n);
		len -= sizeof(n);
		if (name > len || desc > len - name)
			return 0;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
		    !memcmp(p, "GNU", 4) && n.n_descsz &&
		    n.n_descsz <= BUILD_ID_BYTES) {
			memcpy(id, p + name, n.n_descsz);
			return (int)n.n_descsz;
		}
		p += name + desc;
		len -= name + desc;
	}
	return 0;
}

static int read_notes(int fd, const Elf64_Phdr *ph, uint8_t id[BUILD_ID_BYTES])
{
	uint8_t notes[NOTES_MAX];
	size_t len = ph->p_filesz < NOTES_MAX ? ph->p_filesz : NOTES_MAX;

	return elf64_read(fd, notes, len, ph->p_offset) ?
		       find_note(notes, len, id) :
		       0;
}

int build_id_read(int fd, uint8_t id[BUILD_ID_BYTES])
{
	Elf64_Ehdr e;
	Elf64_Phdr ph;
	unsigned int i;
	int len = 0;

	if (!elf64_header(fd, &e))
		return -ENOEXEC;
	for (i = 0; i < e.e_phnum && i < ELF64_SEGMENTS_MAX && !len; i++) {
		if (!elf64_segment(fd, &e, i, &ph))
			return -ENOEXEC;
		if (ph.p_type == PT_NOTE)
			len = read_notes(fd, &ph, id);
	}
	return len;
}
