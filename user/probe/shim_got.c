// SPDX-License-Identifier: GPL-2.0
/*
 * The preloaded shim's way to the calls of shim_names[]: once, as early as it is
 * called, it sets the pointers to those functions in the GOTs and tables of what is
 * loaded then, if a library that has them is. What dlopen() brings later has its own,
 * and calls past us.
 *
 * The linker has made most of them read-only (RELRO). They are written through
 * /proc/self/mem, which does not mind, so that no VMA of the target is split for it.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "probe/shim.h"
#include "probe/shim_sys.h"

/* What the dynamic section of an object says. */
struct object {
	uint64_t base, lo, hi; /* [lo, hi) is mapped */
	const Elf64_Sym *symtab;
	const char *strtab;
	uint64_t rela, relasz, jmprel, jmprelsz;
	const uint32_t *hash; /* DT_GNU_HASH */
};

/* The linker has made addresses of them (glibc), or not (musl). */
static uint64_t rebase(const struct object *o, uint64_t value)
{
	return value < o->base ? value + o->base : value;
}

static void read_dynamic(struct object *o, const Elf64_Dyn *d)
{
	for (; d->d_tag != DT_NULL; d++) {
		uint64_t v = d->d_un.d_val;

		switch (d->d_tag) {
		case DT_SYMTAB:
			o->symtab = (const Elf64_Sym *)rebase(o, v);
			break;
		case DT_STRTAB:
			o->strtab = (const char *)rebase(o, v);
			break;
		case DT_GNU_HASH:
			o->hash = (const uint32_t *)rebase(o, v);
			break;
		case DT_RELA:
			o->rela = rebase(o, v);
			break;
		case DT_RELASZ:
			o->relasz = v;
			break;
		case DT_JMPREL:
			o->jmprel = rebase(o, v);
			break;
		case DT_PLTRELSZ:
			o->jmprelsz = v;
			break;
		}
	}
}

static void read_object(struct object *o, const struct dl_phdr_info *info)
{
	const Elf64_Dyn *dynamic = NULL;
	int i;

	*o = (struct object){ .base = info->dlpi_addr, .lo = ~0ull };
	for (i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uint64_t at = o->base + ph->p_vaddr;

		if (ph->p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)at;
		if (ph->p_type != PT_LOAD)
			continue;
		if (at < o->lo)
			o->lo = at;
		if (at + ph->p_memsz > o->hi)
			o->hi = at + ph->p_memsz;
	}
	if (dynamic)
		read_dynamic(o, dynamic);
}

/* binutils, "GNU Hash ELF Sections": buckets, offset, words of the filter, shift */
static uint64_t symbol_of(const struct object *o, const char *name)
{
	const uint32_t *head = o->hash, *buckets, *chains;
	uint32_t h = 5381, i;
	const char *c;

	if (!head || !head[0])
		return 0;
	for (c = name; *c; c++)
		h = h * 33 + (unsigned char)*c;
	buckets = head + 4 + 2 * head[2];
	chains = buckets + head[0];
	i = buckets[h % head[0]];
	if (i < head[1])
		return 0;
	for (;; i++) {
		uint32_t have = chains[i - head[1]];
		const Elf64_Sym *sym = &o->symtab[i];

		if ((have | 1) == (h | 1) && sym->st_shndx != SHN_UNDEF &&
		    !strcmp(o->strtab + sym->st_name, name))
			return o->base + sym->st_value;
		if (have & 1)
			return 0;
	}
}

static const struct inject_function *find(const char *name)
{
	const struct inject_function *f;

	if (!strchr("dmrstx", *name))
		return NULL;
	for (f = shim_names; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

static void write_pointer(uint64_t at, const void *value)
{
	long fd = sys6(SYS_openat, AT_FDCWD, (long)"/proc/self/mem",
		       O_RDWR | O_CLOEXEC, 0, 0, 0);

	if (fd < 0)
		return;
	sys6(SYS_pwrite64, fd, (long)&value, sizeof(value), (long)at, 0, 0);
	sys_close((int)fd);
}

/*
 * A pointer may hold an entry of the program's PLT, too, which leads here in the
 * end. A slot that has not been bound yet holds an address of its own object's PLT.
 * A weak reference to what nobody has is NULL.
 */
static void look_at(const struct object *o, const Elf64_Rela *r,
		    const Elf64_Sym *sym)
{
	const struct inject_function *f = find(o->strtab + sym->st_name);
	uint64_t at = o->base + r->r_offset, value;
	bool lazy;

	if (!f || !*f->next)
		return;
	memcpy(&value, (void *)at, sizeof(value));
	lazy = ELF64_R_TYPE(r->r_info) == R_X86_64_JUMP_SLOT &&
	       value - o->lo < o->hi - o->lo;
	if (lazy || value == (uint64_t)*f->next)
		write_pointer(at, f->hook);
}

static bool is_pointer(const Elf64_Rela *r)
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

/* What an object defines itself it calls for its own purposes. */
static void look_through(const struct object *o, uint64_t table, uint64_t bytes)
{
	const Elf64_Rela *r = (const Elf64_Rela *)table,
			 *end = r + bytes / sizeof(*r);
	const Elf64_Sym *sym;

	for (; r < end; r++) {
		if (!is_pointer(r))
			continue;
		sym = &o->symtab[ELF64_R_SYM(r->r_info)];
		if (sym->st_shndx == SHN_UNDEF)
			look_at(o, r, sym);
	}
}

static int set_pointers(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object o;

	(void)size;
	(void)arg;
	read_object(&o, info);
	if (o.symtab && o.strtab) {
		look_through(&o, o.rela, o.relasz);
		look_through(&o, o.jmprel, o.jmprelsz);
	}
	return 0;
}

/* Most programs have no such library, and some have half a million relocations. */
static int find_originals(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct inject_function *f;
	bool *found = arg;
	struct object o;

	(void)size;
	read_object(&o, info);
	if (!o.symtab || !o.strtab ||
	    !(symbol_of(&o, "mallocx") || symbol_of(&o, "tc_malloc") ||
	      symbol_of(&o, "mi_malloc")))
		return 0;
	*found = true;
	for (f = shim_names; f->name; f++)
		if (!*f->next)
			*f->next = (void *)symbol_of(&o, f->name);
	return 0;
}

/* A program may never call malloc, by which we are called first else. */
__attribute__((constructor)) void got_set(void)
{
	const char *sock = getenv(SHIM_SOCK_ENV);
	static int done;
	bool found = false;

	if (!sock || !*sock || __atomic_exchange_n(&done, 1, __ATOMIC_RELAXED))
		return;
	dl_iterate_phdr(find_originals, &found);
	if (found)
		dl_iterate_phdr(set_pointers, NULL);
}
