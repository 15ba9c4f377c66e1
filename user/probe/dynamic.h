/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the dynamic section of a loaded object says, in the process itself
 * (shim_got.c) or looked at from outside (intake/libs.c): so these are addresses in
 * the target, and 0 where there is no such table.
 */
#ifndef PROBE_DYNAMIC_H
#define PROBE_DYNAMIC_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

struct dynamic {
	uint64_t base; /* what has to be added to the file's addresses */
	uint64_t symtab, strtab, strsz;
	uint64_t jmprel, jmprelsz, rela, relasz;
	uint64_t hash, gnu_hash;
};

/* The linker has made addresses of most of them (glibc), or not (musl). */
static inline uint64_t dynamic_address(const struct dynamic *d, uint64_t value)
{
	return value < d->base ? value + d->base : value;
}

static inline void dynamic_note(struct dynamic *d, const Elf64_Dyn *e)
{
	uint64_t v = e->d_un.d_val, at = dynamic_address(d, v);

	switch (e->d_tag) {
	case DT_SYMTAB:
		d->symtab = at;
		break;
	case DT_STRTAB:
		d->strtab = at;
		break;
	case DT_STRSZ:
		d->strsz = v;
		break;
	case DT_JMPREL:
		d->jmprel = at;
		break;
	case DT_PLTRELSZ:
		d->jmprelsz = v;
		break;
	case DT_RELA:
		d->rela = at;
		break;
	case DT_RELASZ:
		d->relasz = v;
		break;
	case DT_HASH:
		d->hash = at;
		break;
	case DT_GNU_HASH:
		d->gnu_hash = at;
		break;
	}
}

/* Of DT_HASH (ELF gABI, "Hash Table"). */
static inline uint32_t dynamic_sysv_hash(const char *name)
{
	uint32_t h = 0;

	for (; *name; name++) {
		h = (h << 4) + (unsigned char)*name;
		h = (h ^ (h & 0xf0000000) >> 24) & 0x0fffffff;
	}
	return h;
}

/* Of DT_GNU_HASH (binutils, "GNU Hash ELF Sections"). */
static inline uint32_t dynamic_gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

/* The linker puts there the address of a symbol, and nothing more. */
static inline bool dynamic_is_pointer(const Elf64_Rela *r)
{
	switch (ELF64_R_TYPE(r->r_info)) {
	case R_X86_64_JUMP_SLOT:
		return true;
	case R_X86_64_GLOB_DAT:
	case R_X86_64_64:
		return !r->r_addend;
	default:
		return false;
	}
}

#endif
