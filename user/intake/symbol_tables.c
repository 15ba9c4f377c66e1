// SPDX-License-Identifier: GPL-2.0
/*
 * The file without its contents, as `objcopy --only-keep-debug` makes one: all sections
 * keep their places in the table, so that one names another, or a symbol its own,
 * as before, but only these have bytes:
 *
 *   .symtab .dynsym           and the sections with their names
 *   .note.*                   one of them has the build id
 *   .gnu_debugdata            the .symtab that a distribution has taken out, packed
 *   .shstrtab                 names of sections
 *
 * The segments that are mapped say, as in the whole file, which address a byte of
 * the whole file has. The headers of others, which would lead to contents, are left out.
 *
 *   | header | program headers | bytes ... | section headers |
 *
 * What is cut off in the middle has no sections.
 */
#include "intake/symbol_tables.h"

#include <errno.h>
#include <stdlib.h>

#include "intake/elf64.h"

/* What a linker has put together has a few dozen. */
#define SECTIONS_MAX 4096

struct tables {
	int fd;
	Elf64_Ehdr e;
	Elf64_Shdr *sections; /* e.e_shnum */
	bool kept[SECTIONS_MAX];
	Elf64_Phdr segments[ELF64_SEGMENTS_MAX];
	unsigned int nr_segments;
};

static int read_segments(struct tables *t)
{
	Elf64_Phdr ph;
	unsigned int i;

	for (i = 0; i < t->e.e_phnum && i < ELF64_SEGMENTS_MAX; i++) {
		if (!elf64_segment(t->fd, &t->e, i, &ph))
			return -ENOEXEC;
		if (ph.p_type == PT_LOAD)
			t->segments[t->nr_segments++] = ph;
	}
	return 0;
}

static int read_sections(struct tables *t)
{
	size_t nr = t->e.e_shnum;

	if (!nr)
		return -ENODATA;
	if (nr > SECTIONS_MAX || t->e.e_shentsize != sizeof(Elf64_Shdr) ||
	    t->e.e_shstrndx >= nr)
		return -ENOEXEC;
	t->sections = calloc(nr, sizeof(*t->sections));
	if (!t->sections)
		return -ENOMEM;
	return elf64_read(t->fd, t->sections, nr * sizeof(*t->sections),
			  t->e.e_shoff) ?
		       0 :
		       -ENOEXEC;
}

static bool is_packed_symtab(const struct tables *t, const Elf64_Shdr *sh)
{
	static const char wanted[] = ".gnu_debugdata";
	const Elf64_Shdr *names = &t->sections[t->e.e_shstrndx];
	char name[sizeof(wanted)];

	return sh->sh_type == SHT_PROGBITS && !(sh->sh_flags & SHF_ALLOC) &&
	       names->sh_type == SHT_STRTAB && names->sh_size >= sizeof(name) &&
	       sh->sh_name <= names->sh_size - sizeof(name) &&
	       elf64_read(t->fd, name, sizeof(name),
			  names->sh_offset + sh->sh_name) &&
	       !memcmp(name, wanted, sizeof(name));
}

/* -ENODATA: there are no symbols. */
static int choose_sections(struct tables *t)
{
	unsigned int i, found = 0;

	for (i = 0; i < t->e.e_shnum; i++) {
		const Elf64_Shdr *sh = &t->sections[i];
		bool symbols = sh->sh_type == SHT_SYMTAB ||
			       sh->sh_type == SHT_DYNSYM;

		if (symbols && sh->sh_link >= t->e.e_shnum)
			return -ENOEXEC;
		if (symbols)
			t->kept[sh->sh_link] = true;
		symbols |= is_packed_symtab(t, sh);
		if (symbols || sh->sh_type == SHT_NOTE)
			t->kept[i] = true;
		found += symbols;
	}
	t->kept[t->e.e_shstrndx] = true;
	return found ? 0 : -ENODATA;
}

/* So many bytes of section i are kept, rounded up to 8; more than the limit: too many. */
static size_t kept_bytes(const struct tables *t, unsigned int i)
{
	const Elf64_Shdr *sh = &t->sections[i];

	if (!t->kept[i] || sh->sh_type == SHT_NOBITS)
		return 0;
	return sh->sh_size > SYMBOL_TABLES_MAX ? SYMBOL_TABLES_MAX + 1 :
						 (sh->sh_size + 7) & ~(size_t)7;
}

/* Where the section headers will be: at the end. -E2BIG */
static int lay_out(struct tables *t)
{
	size_t at = sizeof(t->e) + t->nr_segments * sizeof(*t->segments);
	unsigned int i;

	for (i = 0; i < t->e.e_shnum; i++) {
		at += kept_bytes(t, i);
		if (at > SYMBOL_TABLES_MAX)
			return -E2BIG;
	}
	t->e.e_phoff = t->nr_segments ? sizeof(t->e) : 0;
	t->e.e_phnum = (uint16_t)t->nr_segments;
	t->e.e_shoff = at;
	return 0;
}

/* -ENOEXEC: the file does not have what it says. */
static int copy_section(const struct tables *t, unsigned int i, char *p,
			size_t at)
{
	Elf64_Shdr *to = (Elf64_Shdr *)(p + t->e.e_shoff) + i;
	const Elf64_Shdr *from = &t->sections[i];

	*to = *from;
	to->sh_offset = at;
	if (!t->kept[i] && from->sh_type != SHT_NULL)
		to->sh_type = SHT_NOBITS;
	if (!kept_bytes(t, i) ||
	    elf64_read(t->fd, p + at, from->sh_size, from->sh_offset))
		return 0;
	return -ENOEXEC;
}

static int copy(const struct tables *t, char *p)
{
	size_t at = sizeof(t->e) + t->nr_segments * sizeof(*t->segments);
	unsigned int i;
	int err = 0;

	memcpy(p, &t->e, sizeof(t->e));
	memcpy(p + sizeof(t->e), t->segments,
	       t->nr_segments * sizeof(*t->segments));
	for (i = 0; !err && i < t->e.e_shnum; i++) {
		err = copy_section(t, i, p, at);
		at += kept_bytes(t, i);
	}
	return err;
}

static int make(struct tables *t, void **p, size_t *len)
{
	int err = lay_out(t);

	if (err)
		return err;
	*len = t->e.e_shoff + t->e.e_shnum * sizeof(*t->sections);
	*p = calloc(1, *len);
	err = *p ? copy(t, *p) : -ENOMEM;
	if (!err)
		return 0;
	free(*p);
	*p = NULL;
	return err;
}

int symbol_tables_read(int fd, void **p, size_t *len)
{
	struct tables *t = calloc(1, sizeof(*t));
	int err = t ? 0 : -ENOMEM;

	*p = NULL;
	if (!err) {
		t->fd = fd;
		err = elf64_header(fd, &t->e) ? read_segments(t) : -ENOEXEC;
	}
	if (!err)
		err = read_sections(t);
	if (!err)
		err = choose_sections(t);
	if (!err)
		err = make(t, p, len);
	if (t)
		free(t->sections);
	free(t);
	return err;
}
