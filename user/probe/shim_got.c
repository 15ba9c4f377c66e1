// SPDX-License-Identifier: GPL-2.0
/*
 * The preloaded shim's way to the calls that do not come to it by themselves.
 *
 * Those of shim_names[]: once, as early as it is called, it sets the pointers to those
 * functions in the GOTs and tables of what is loaded then, if a library that has them
 * is. What dlopen() brings later has its own, and calls past us.
 *
 * Those of libraries that look in the C library first (RTLD_DEEPBIND; PHP opens all its
 * extensions so): the C library's symbols get our addresses as values.
 *
 * Most of this is read-only (RELRO, the symbols). It is written through
 * /proc/self/mem, which does not mind, so that no VMA of the target is split for it.
 * Where the kernel lets only a debugger write so (fs/proc/base.c 6.12,
 * proc_mem_foll_force(); Debian's since 7), or where there is no /proc, it is
 * writable for a moment, all of it, so that its VMA is the same again then.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "probe/dynamic.h"
#include "probe/names.h"
#include "probe/shim.h"
#include "probe/shim_sys.h"

struct object {
	struct dynamic d;
	uint64_t lo, hi; /* [lo, hi) is mapped */
	uint64_t data, data_end; /* what can be written, and RELRO */
	/* What is read-only, in whole pages: RELRO, as the linker protects it. */
	uint64_t closed, closed_end;
	bool open; /* it is writable now */
};

static const Elf64_Sym *symbol_at(const struct object *o, uint64_t i)
{
	return (const Elf64_Sym *)o->d.symtab + i;
}

static const char *name_of(const struct object *o, const Elf64_Sym *sym)
{
	return (const char *)o->d.strtab + sym->st_name;
}

static bool has_symbols(const struct object *o)
{
	return o->d.symtab && o->d.strtab;
}

static void read_object(struct object *o, const struct dl_phdr_info *info)
{
	const Elf64_Dyn *dynamic = NULL;
	int i;

	*o = (struct object){ .d.base = info->dlpi_addr, .lo = ~0ull };
	for (i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uint64_t at = o->d.base + ph->p_vaddr;

		if (ph->p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)at;
		if (ph->p_type == PT_GNU_RELRO) {
			o->closed = at & ~4095ull;
			o->closed_end = (at + ph->p_memsz) & ~4095ull;
		}
		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_flags & PF_W) {
			o->data = at;
			o->data_end = at + ph->p_memsz;
		}
		if (at < o->lo)
			o->lo = at;
		if (at + ph->p_memsz > o->hi)
			o->hi = at + ph->p_memsz;
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		dynamic_note(&o->d, dynamic);
}

static bool defines(const struct object *o, uint32_t i, const char *name)
{
	const Elf64_Sym *sym = symbol_at(o, i);

	return sym->st_shndx != SHN_UNDEF && !strcmp(name_of(o, sym), name);
}

/* ELF gABI, "Hash Table": buckets, symbols */
static uint32_t sysv_index(const struct object *o, const char *name)
{
	const uint32_t *head = (const uint32_t *)o->d.hash, *chains;
	uint32_t i = 0;

	if (!head[0])
		return 0;
	chains = head + 2 + head[0];
	for (i = head[2 + dynamic_sysv_hash(name) % head[0]]; i; i = chains[i])
		if (defines(o, i, name))
			break;
	return i;
}

/* binutils, "GNU Hash ELF Sections": buckets, offset, words of the filter, shift */
static uint32_t gnu_index(const struct object *o, const char *name)
{
	const uint32_t *head = (const uint32_t *)o->d.gnu_hash, *buckets,
		       *chains;
	uint32_t h = dynamic_gnu_hash(name), i;

	if (!head[0])
		return 0;
	buckets = head + 4 + 2 * head[2];
	chains = buckets + head[0];
	i = buckets[h % head[0]];
	if (i < head[1])
		return 0;
	for (;; i++) {
		uint32_t have = chains[i - head[1]];

		if ((have | 1) == (h | 1) && defines(o, i, name))
			return i;
		if (have & 1)
			return 0;
	}
}

/* 0: it defines no such function. */
static uint32_t index_of(const struct object *o, const char *name)
{
	return o->d.gnu_hash ? gnu_index(o, name) :
	       o->d.hash     ? sysv_index(o, name) :
			       0;
}

static uint64_t symbol_of(const struct object *o, const char *name)
{
	uint32_t i = index_of(o, name);

	return i ? o->d.base + symbol_at(o, i)->st_value : 0;
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

static bool protect(const struct object *o, int prot)
{
	return !sys3(SYS_mprotect, (long)o->closed,
		     (long)(o->closed_end - o->closed), prot);
}

static bool is_in(uint64_t at, uint64_t lo, uint64_t hi)
{
	return at >= lo && at < hi && hi - at >= sizeof(void *);
}

/* mem: < 0: it could not be opened */
static void set_pointer(int mem, struct object *o, uint64_t at,
			const void *value)
{
	bool writable = is_in(at, o->data, o->data_end);

	if (sys6(SYS_pwrite64, mem, (long)value, sizeof(void *), (long)at, 0,
		 0) == sizeof(void *))
		return;
	if (is_in(at, o->closed, o->closed_end)) {
		if (!o->open)
			o->open = protect(o, PROT_READ | PROT_WRITE);
		writable = o->open;
	}
	if (writable)
		memcpy((void *)at, value, sizeof(void *));
}

/*
 * A pointer may hold an entry of the program's PLT, too, which leads here in the
 * end. A slot that has not been bound yet holds an address of its own object's PLT.
 * A weak reference to what nobody has is NULL.
 */
static void look_at(int mem, struct object *o, const Elf64_Rela *r,
		    const Elf64_Sym *sym)
{
	const struct inject_function *f = find(name_of(o, sym));
	uint64_t at = o->d.base + r->r_offset, value;
	bool lazy;

	if (!f || !*f->next)
		return;
	memcpy(&value, (void *)at, sizeof(value));
	lazy = ELF64_R_TYPE(r->r_info) == R_X86_64_JUMP_SLOT &&
	       value - o->lo < o->hi - o->lo;
	if (lazy || value == (uint64_t)*f->next)
		set_pointer(mem, o, at, &f->hook);
}

/* What an object defines itself it calls for its own purposes. */
static void look_through(int mem, struct object *o, uint64_t table,
			 uint64_t bytes)
{
	const Elf64_Rela *r = (const Elf64_Rela *)table,
			 *end = r + bytes / sizeof(*r);
	const Elf64_Sym *sym;

	for (; r < end; r++) {
		if (!dynamic_is_pointer(r))
			continue;
		sym = symbol_at(o, ELF64_R_SYM(r->r_info));
		if (sym->st_shndx == SHN_UNDEF)
			look_at(mem, o, r, sym);
	}
}

static int set_pointers(struct dl_phdr_info *info, size_t size, void *arg)
{
	const int *mem = arg;
	struct object o;

	(void)size;
	read_object(&o, info);
	if (has_symbols(&o)) {
		look_through(*mem, &o, o.d.rela, o.d.relasz);
		look_through(*mem, &o, o.d.jmprel, o.d.jmprelsz);
	}
	if (o.open)
		protect(&o, PROT_READ);
	return 0;
}

static bool has_names(const struct object *o)
{
	static const char *const marks[] = NAMES_MARKS;
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (symbol_of(o, marks[i]))
			return true;
	return false;
}

/* Most programs have no such library, and some have half a million relocations. */
static int find_originals(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct inject_function *f;
	bool *found = arg;
	struct object o;

	(void)size;
	read_object(&o, info);
	if (!has_symbols(&o) || !has_names(&o))
		return 0;
	*found = true;
	for (f = shim_names; f->name; f++)
		if (!*f->next)
			*f->next = (void *)symbol_of(&o, f->name);
	return 0;
}

/* The first object is the program: its own malloc goes before ours. */
static int find_own(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool *own = arg;
	struct object o;

	(void)size;
	read_object(&o, info);
	*own = has_symbols(&o) && symbol_of(&o, "malloc");
	return 1;
}

static int open_memory(void)
{
	return (int)sys6(SYS_openat, AT_FDCWD, (long)"/proc/self/mem",
			 O_RDWR | O_CLOEXEC, 0, 0, 0);
}

/* A program may never call malloc, by which we are called first else. */
__attribute__((constructor)) void got_set(void)
{
	const char *sock = getenv(SHIM_SOCK_ENV);
	static int done;
	bool own = false, found = false;
	int mem;

	if (!sock || !*sock || __atomic_exchange_n(&done, 1, __ATOMIC_RELAXED))
		return;
	dl_iterate_phdr(find_own, &own);
	if (own)
		link_none(sock, -EEXIST);
	dl_iterate_phdr(find_originals, &found);
	if (!found)
		return;
	mem = open_memory();
	dl_iterate_phdr(set_pointers, &mem);
	if (mem >= 0)
		sys_close(mem);
}

/* ---- the C library's symbols ---- */

/* What holds them, if nothing but data does. */
static void close_symbols(struct object *o, const struct dl_phdr_info *info)
{
	int i;

	o->closed = o->closed_end = 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];
		uint64_t at = o->d.base + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || ph->p_flags != PF_R ||
		    !is_in(o->d.symtab, at, at + ph->p_memsz))
			continue;
		o->closed = at & ~4095ull;
		o->closed_end = (at + ph->p_memsz + 4095) & ~4095ull;
	}
}

/* One that is not the original (another library's was before it) stays. */
static void hook_symbol(int mem, struct object *o,
			const struct inject_function *f)
{
	uint64_t value = (uint64_t)f->hook - o->d.base;
	uint32_t i = index_of(o, f->name);
	const Elf64_Sym *sym = symbol_at(o, i);

	if (i && (!*f->next || o->d.base + sym->st_value == (uint64_t)*f->next))
		set_pointer(mem, o, (uint64_t)&sym->st_value, &value);
}

struct hooking {
	int mem;
	bool done;
};

static int hook_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct inject_function *f;
	struct hooking *h = arg;
	struct object o;

	(void)size;
	read_object(&o, info);
	if (!has_symbols(&o) || !symbol_of(&o, "__libc_start_main"))
		return 0;
	close_symbols(&o, info);
	for (f = shim_functions; f->name; f++)
		hook_symbol(h->mem, &o, f);
	if (o.open)
		protect(&o, PROT_READ);
	h->done = symbol_of(&o, "malloc") == (uint64_t)shim_functions->hook;
	return 1;
}

bool got_hook_libc(void)
{
	static bool done;
	struct hooking h = { .done = __atomic_load_n(&done, __ATOMIC_ACQUIRE) };

	if (h.done || shim_guarded)
		return h.done;
	h.mem = open_memory();
	dl_iterate_phdr(hook_libc, &h);
	if (h.mem >= 0)
		sys_close(h.mem);
	__atomic_store_n(&done, h.done, __ATOMIC_RELEASE);
	return h.done;
}
