// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "intake/libc.h"

#define DEBUG_DIR "/usr/lib/debug/.build-id"

static void take_symbols(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh,
			 struct libc_symbols *s)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0, i;
	GElf_Sym sym;

	for (i = 0; data && i < nr && gelf_getsym(data, (int)i, &sym); i++) {
		const char *name = elf_strptr(elf, sh->sh_link, sym.st_name);

		if (!name || GELF_ST_TYPE(sym.st_info) != STT_OBJECT)
			continue;
		if (!strcmp(name, "main_arena"))
			s->main_arena = sym.st_value;
		else if (!strcmp(name, "mp_"))
			s->mp = sym.st_value;
	}
}

static void take_base(Elf *elf, struct libc_symbols *s)
{
	GElf_Phdr ph;
	size_t nr, i;

	if (elf_getphdrnum(elf, &nr))
		return;
	for (i = 0; i < nr; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		s->base = ph.p_vaddr & ~4095ull;
		return;
	}
}

/* The build id as a path below DEBUG_DIR. */
static void take_id(Elf_Scn *scn, char *path, size_t size)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t at = 0, name, desc, i, n;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name, &desc))) {
		const unsigned char *id =
			(const unsigned char *)data->d_buf + desc;

		if (note.n_type != NT_GNU_BUILD_ID || note.n_descsz < 2 ||
		    note.n_descsz > 64)
			continue;
		n = (size_t)snprintf(path, size, DEBUG_DIR "/%02x/", id[0]);
		for (i = 1; i < note.n_descsz; i++)
			n += (size_t)snprintf(path + n, size - n, "%02x",
					      id[i]);
		snprintf(path + n, size - n, ".debug");
	}
}

/* Fills what the file has; `debug` (may be NULL) becomes where more may be. */
static int read_elf(const char *path, struct libc_symbols *s, char *debug,
		    size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf *elf;

	if (fd < 0)
		return -errno;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF) {
		if (debug)
			take_base(elf, s);
		while ((scn = elf_nextscn(elf, scn)) &&
		       gelf_getshdr(scn, &sh)) {
			if (sh.sh_type == SHT_SYMTAB)
				take_symbols(elf, scn, &sh, s);
			else if (sh.sh_type == SHT_NOTE && debug)
				take_id(scn, debug, size);
		}
	}
	if (elf)
		elf_end(elf);
	close(fd);
	return 0;
}

int libc_symbols(const char *path, struct libc_symbols *s)
{
	char debug[256] = "";
	int err;

	*s = (struct libc_symbols){ 0 };
	err = read_elf(path, s, debug, sizeof(debug));
	if (!err && !s->main_arena && *debug)
		read_elf(debug, s, NULL, 0);
	return err ? err : s->main_arena ? 0 : -ENOENT;
}
