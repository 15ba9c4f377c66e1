// SPDX-License-Identifier: GPL-2.0
#include "intake/libs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/proc.h"

#define LIBS_MAX 8192
#define TABLE_MAX (256u << 20) /* bytes of relocations or names of one object */
#define DYNAMIC_MAX 256
#define CHAIN_MAX 65536 /* symbols with one hash value */

/* struct r_debug and struct link_map of <link.h>, of a 64-bit process */
struct r_debug64 {
	int32_t version, pad;
	uint64_t map, brk;
	int32_t state, pad2; /* 0: RT_CONSISTENT */
	uint64_t ldbase;
};

struct link_map64 {
	uint64_t addr, name, ld, next, prev;
};

static bool get(int mem, uint64_t addr, void *to, size_t n)
{
	return pread(mem, to, n, (off_t)addr) == (ssize_t)n;
}

/* ---- the list ---- */

static int read_auxv(uint32_t pid, uint64_t *phdr, uint64_t *phnum)
{
	Elf64_auxv_t a;
	char path[32];
	ssize_t n;
	int fd;

	*phdr = *phnum = 0;
	snprintf(path, sizeof(path), "/proc/%u/auxv", proc_number(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, &a, sizeof(a))) == sizeof(a) && a.a_type) {
		if (a.a_type == AT_PHDR)
			*phdr = a.a_un.a_val;
		if (a.a_type == AT_PHNUM)
			*phnum = a.a_un.a_val;
	}
	close(fd);
	return *phdr && *phnum && *phnum < 1024 ? 0 : -ELIBBAD;
}

static int find_dynamic(int mem, uint64_t phdr, uint64_t phnum, uint64_t *dyn)
{
	uint64_t base = 0, dynamic = 0, i;
	bool interp = false;
	Elf64_Phdr ph;

	for (i = 0; i < phnum; i++) {
		if (!get(mem, phdr + i * sizeof(ph), &ph, sizeof(ph)))
			return -ESRCH;
		if (ph.p_type == PT_PHDR)
			base = phdr - ph.p_vaddr;
		if (ph.p_type == PT_DYNAMIC)
			dynamic = ph.p_vaddr;
		interp |= ph.p_type == PT_INTERP;
	}
	*dyn = base + dynamic;
	return dynamic && interp ? 0 : -ENOEXEC;
}

int libs_find(uint32_t pid, int mem, uint64_t *r_debug)
{
	uint64_t phdr, phnum, dyn;
	Elf64_Dyn d = { .d_tag = 1 };
	int i, err = read_auxv(pid, &phdr, &phnum);

	if (!err)
		err = find_dynamic(mem, phdr, phnum, &dyn);
	for (i = 0; !err && i < DYNAMIC_MAX && d.d_tag; i++) {
		if (!get(mem, dyn + (uint64_t)i * sizeof(d), &d, sizeof(d)))
			return -ESRCH;
		if (d.d_tag != DT_DEBUG)
			continue;
		*r_debug = d.d_un.d_ptr;
		return d.d_un.d_ptr ? 0 : -EAGAIN;
	}
	return err ? err : -ENOEXEC;
}

static void read_name(int mem, uint64_t addr, char *name, size_t size)
{
	ssize_t n = pread(mem, name, size - 1, (off_t)addr);

	/* It may stand at the end of the last page. */
	if (n < 0)
		n = pread(mem, name, 1, (off_t)addr) == 1 ?
			    pread(mem, name, 4096 - (addr & 4095),
				  (off_t)addr) :
			    0;
	name[n > 0 ? n : 0] = 0;
}

static void read_dynamic(int mem, struct lib *lib)
{
	Elf64_Dyn d[DYNAMIC_MAX];
	ssize_t n = pread(mem, d, sizeof(d), (off_t)lib->dynamic);
	size_t i;

	for (i = 0; n > 0 && i < (size_t)n / sizeof(*d) && d[i].d_tag; i++)
		dynamic_note(&lib->d, &d[i]);
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15ull + (sum >> 29);
}

/* Calls each() for every object; *sum: of all. */
static int walk(int mem, uint64_t at, struct r_debug64 *r, uint64_t *sum,
		int (*each)(void *ctx, const struct link_map64 *m), void *ctx)
{
	struct link_map64 m;
	uint64_t map;
	int n = 0, err = 0;

	if (!get(mem, at, r, sizeof(*r)))
		return -ESRCH;
	if (r->state)
		return -EAGAIN;
	*sum = 0;
	for (map = r->map; map && !err; map = m.next) {
		if (n++ == LIBS_MAX || !get(mem, map, &m, sizeof(m)))
			return -EBADMSG;
		*sum = mix(mix(mix(*sum, map), m.addr), m.ld);
		if (each)
			err = each(ctx, &m);
	}
	return err ? err : n ? 0 : -EAGAIN;
}

int libs_sum(int mem, uint64_t r_debug, uint64_t *sum)
{
	struct r_debug64 r;

	return walk(mem, r_debug, &r, sum, NULL, NULL);
}

struct reading {
	int mem;
	struct libs *l;
	size_t room;
};

static int add_lib(void *ctx, const struct link_map64 *m)
{
	struct reading *rd = ctx;
	struct lib *lib;

	if (rd->l->nr == rd->room) {
		rd->room = rd->room ? 2 * rd->room : 32;
		lib = realloc(rd->l->at, rd->room * sizeof(*lib));
		if (!lib)
			return -ENOMEM;
		rd->l->at = lib;
	}
	lib = &rd->l->at[rd->l->nr++];
	*lib = (struct lib){ .dynamic = m->ld, .d.base = m->addr };
	read_name(rd->mem, m->name, lib->name, sizeof(lib->name));
	read_dynamic(rd->mem, lib);
	return 0;
}

int libs_read(int mem, uint64_t r_debug, struct libs *l)
{
	struct reading rd = { .mem = mem, .l = l };
	struct r_debug64 r;
	int err;

	memset(l, 0, sizeof(*l));
	err = walk(mem, r_debug, &r, &l->sum, add_lib, &rd);
	l->linker = r.ldbase;
	if (err)
		libs_free(l);
	return err;
}

void libs_free(struct libs *l)
{
	free(l->at);
	memset(l, 0, sizeof(*l));
}

/* ---- symbols ---- */

/* What is looked for, and who is told. */
struct search {
	int mem;
	const struct lib *lib;
	const char *name;
	void (*found)(void *ctx, uint64_t addr, uint64_t at);
	void *ctx;
};

static void look_at(const struct search *s, uint32_t i)
{
	uint64_t at = s->lib->d.symtab + (uint64_t)i * sizeof(Elf64_Sym);
	size_t len = strlen(s->name) + 1;
	char have[64] = "";
	Elf64_Sym sym;
	int type;

	if (!get(s->mem, at, &sym, sizeof(sym)))
		return;
	type = ELF64_ST_TYPE(sym.st_info);
	if (sym.st_shndx == SHN_UNDEF || !sym.st_value ||
	    (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE) ||
	    ELF64_ST_BIND(sym.st_info) == STB_LOCAL || len > sizeof(have) ||
	    !get(s->mem, s->lib->d.strtab + sym.st_name, have, len) ||
	    memcmp(have, s->name, len))
		return;
	s->found(s->ctx, s->lib->d.base + sym.st_value,
		 at + offsetof(Elf64_Sym, st_value));
}

/* ELF gABI, "Hash Table" */
static void sysv_search(const struct search *s)
{
	uint64_t hash = s->lib->d.hash;
	uint32_t h = dynamic_sysv_hash(s->name), head[2], i;
	int n;

	if (!get(s->mem, hash, head, sizeof(head)) || !head[0] ||
	    !get(s->mem, hash + 8 + 4ull * (h % head[0]), &i, 4))
		return;
	for (n = 0; i && n < CHAIN_MAX; n++) {
		look_at(s, i);
		if (!get(s->mem, hash + 8 + 4ull * (head[0] + (uint64_t)i), &i,
			 4))
			return;
	}
}

/* binutils, "GNU Hash ELF Sections": buckets, offset, words of the filter, shift */
static void gnu_search(const struct search *s)
{
	uint64_t hash = s->lib->d.gnu_hash, buckets, chains;
	uint32_t h = dynamic_gnu_hash(s->name), head[4], i, have;
	int n;

	if (!get(s->mem, hash, head, sizeof(head)) || !head[0])
		return;
	buckets = hash + sizeof(head) + 8ull * head[2];
	chains = buckets + 4ull * head[0];
	if (!get(s->mem, buckets + 4ull * (h % head[0]), &i, 4) || i < head[1])
		return;
	for (n = 0; n < CHAIN_MAX; n++, i++) {
		if (!get(s->mem, chains + 4ull * (i - head[1]), &have, 4))
			return;
		if ((have | 1) == (h | 1))
			look_at(s, i);
		if (have & 1)
			return;
	}
}

void lib_definitions(int mem, const struct lib *lib, const char *name,
		     void (*found)(void *ctx, uint64_t addr, uint64_t at),
		     void *ctx)
{
	struct search s = { mem, lib, name, found, ctx };

	if (!lib->d.symtab || !lib->d.strtab)
		return;
	if (lib->d.gnu_hash)
		gnu_search(&s);
	else if (lib->d.hash)
		sysv_search(&s);
}

static void keep_first(void *ctx, uint64_t addr, uint64_t at)
{
	uint64_t *first = ctx;

	(void)at;
	if (!*first)
		*first = addr;
}

uint64_t lib_symbol(int mem, const struct lib *lib, const char *name)
{
	uint64_t first = 0;

	lib_definitions(mem, lib, name, keep_first, &first);
	return first;
}

uint64_t libs_symbol(int mem, const struct libs *l, const char *name,
		     size_t *where)
{
	uint64_t addr;
	size_t i;

	for (i = 0; i < l->nr; i++) {
		addr = lib_symbol(mem, &l->at[i], name);
		if (!addr)
			continue;
		*where = i;
		return addr;
	}
	return 0;
}

/* ---- code ---- */

static uint64_t gap_of(uint64_t base, const Elf64_Phdr *ph, size_t bytes)
{
	uint64_t end = base + ph->p_vaddr + ph->p_memsz;
	uint64_t at = (end + 15) & ~15ull, page = (end + 4095) & ~4095ull;

	return ph->p_filesz == ph->p_memsz && at + bytes <= page ? at : 0;
}

uint64_t lib_gap(int mem, uint64_t base, size_t bytes)
{
	uint64_t at = 0, i;
	Elf64_Ehdr e;
	Elf64_Phdr ph;

	if (!get(mem, base, &e, sizeof(e)) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_phentsize != sizeof(ph))
		return 0;
	for (i = 0; !at && i < e.e_phnum; i++)
		if (get(mem, base + e.e_phoff + i * sizeof(ph), &ph,
			sizeof(ph)) &&
		    ph.p_type == PT_LOAD && ph.p_flags == (PF_R | PF_X))
			at = gap_of(base, &ph, bytes);
	return at;
}

/* ---- relocations ---- */

static void *read_table(int mem, uint64_t addr, uint64_t bytes)
{
	void *p = bytes && bytes <= TABLE_MAX ? malloc(bytes) : NULL;

	if (p && get(mem, addr, p, bytes))
		return p;
	free(p);
	return NULL;
}

struct names {
	char *strings;
	uint64_t size;
	Elf64_Sym *symbols;
	uint64_t nr;
};

static const char *name_of(const struct names *n, uint64_t sym)
{
	if (sym >= n->nr || n->symbols[sym].st_name >= n->size)
		return "";
	return n->strings + n->symbols[sym].st_name;
}

static uint64_t highest_symbol(const Elf64_Rela *r, uint64_t nr)
{
	uint64_t i, max = 0;

	for (i = 0; i < nr; i++)
		if (dynamic_is_pointer(&r[i]) && ELF64_R_SYM(r[i].r_info) > max)
			max = ELF64_R_SYM(r[i].r_info);
	return max;
}

static int table_pointers(int mem, const struct lib *lib, uint64_t addr,
			  uint64_t bytes,
			  void (*found)(void *ctx, const char *name,
					uint64_t addr, bool lazy),
			  void *ctx)
{
	uint64_t nr = bytes / sizeof(Elf64_Rela), i;
	struct names n = { .size = lib->d.strsz };
	Elf64_Rela *r;

	if (!nr)
		return 0;
	r = read_table(mem, addr, nr * sizeof(*r));
	if (r)
		n.nr = highest_symbol(r, nr) + 1;
	n.symbols =
		r ? read_table(mem, lib->d.symtab, n.nr * sizeof(Elf64_Sym)) :
		    NULL;
	n.strings = n.symbols ? read_table(mem, lib->d.strtab, n.size) : NULL;
	if (n.strings)
		n.strings[n.size - 1] = 0;
	for (i = 0; n.strings && i < nr; i++)
		if (dynamic_is_pointer(&r[i]))
			found(ctx, name_of(&n, ELF64_R_SYM(r[i].r_info)),
			      lib->d.base + r[i].r_offset,
			      ELF64_R_TYPE(r[i].r_info) == R_X86_64_JUMP_SLOT);
	i = n.strings ? 0 : 1;
	free(n.strings);
	free(n.symbols);
	free(r);
	return i ? -EBADMSG : 0;
}

int lib_pointers(int mem, const struct lib *lib,
		 void (*found)(void *ctx, const char *name, uint64_t addr,
			       bool lazy),
		 void *ctx)
{
	int err = table_pointers(mem, lib, lib->d.jmprel, lib->d.jmprelsz,
				 found, ctx);

	return err ? err :
		     table_pointers(mem, lib, lib->d.rela, lib->d.relasz, found,
				    ctx);
}
