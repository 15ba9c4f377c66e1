// SPDX-License-Identifier: GPL-2.0
/*
 * Who defines malloc. The lines of interest in /proc/PID/maps:
 *
 *   7f1ad6426000-7f1ad657c000 r-xp 00026000 fe:01 2621 /usr/lib/.../libc.so.6
 *
 * Each is opened through /proc/PID/map_files/START-END, which leads to the very
 * file that is mapped, whatever its path means to us.
 */
#include "intake/allocator.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/probe_point.h"
#include "intake/proc.h"
#include "probe/operators.h"

struct function {
	const char *name, *as;
};

/*
 * In glibc 2.36 free is cfree and aligned_alloc is memalign: the name that comes
 * first counts. Those of C++ are of interest where the allocator itself defines
 * them (jemalloc's new calls nobody); libstdc++'s call malloc. "delete" is a free
 * that may call another one to do its work.
 */
#define AS_MALLOC(name, id) { #name, "malloc" },
#define AS_ALIGNED_NEW(name, id) { #name, "aligned_new" },
#define AS_DELETE(name, id) { #name, "delete" },
static const struct function c_functions[] = {
	{ "malloc", "malloc" },
	{ "free", "free" },
	{ "calloc", "calloc" },
	{ "realloc", "realloc" },
	{ "reallocarray", "reallocarray" },
	{ "posix_memalign", "posix_memalign" },
	{ "aligned_alloc", "aligned_alloc" },
	{ "memalign", "memalign" },
	{ "valloc", "valloc" },
	{ "pvalloc", "pvalloc" },
	{ "cfree", "free" },
	{ "free_sized", "delete" },
	{ "free_aligned_sized", "delete" },
	NEWS(AS_MALLOC) ALIGNED_NEWS(AS_ALIGNED_NEW) DELETES(AS_DELETE)
};

static const struct function jemalloc_functions[] = {
	{ "malloc", "malloc" },
	{ "free", "free" },
	{ "calloc", "calloc" },
	{ "realloc", "realloc" },
	{ "posix_memalign", "posix_memalign" },
	{ "aligned_alloc", "aligned_alloc" },
	{ "memalign", "memalign" },
	{ "valloc", "valloc" },
	{ "mallocx", "mallocx" },
	{ "rallocx", "realloc" },
	{ "xallocx", "xallocx" },
	{ "dallocx", "free" },
	{ "sdallocx", "free" },
};

/* Those that take no heap and no offset, and return no string. */
static const struct function mimalloc_functions[] = {
	{ "malloc", "malloc" },
	{ "free", "free" },
	{ "malloc_small", "malloc" },
	{ "zalloc", "zalloc" },
	{ "zalloc_small", "zalloc" },
	{ "calloc", "calloc" },
	{ "mallocn", "mallocn" },
	{ "malloc_aligned", "aligned_new" },
	{ "zalloc_aligned", "aligned_new" },
	{ "calloc_aligned", "calloc_aligned" },
	{ "memalign", "aligned_alloc" },
	{ "aligned_alloc", "aligned_alloc" },
	{ "posix_memalign", "posix_memalign" },
	{ "valloc", "valloc" },
	{ "pvalloc", "pvalloc" },
	{ "new", "malloc" },
	{ "new_n", "mallocn" },
	{ "new_nothrow", "malloc" },
	{ "new_aligned", "aligned_new" },
	{ "new_aligned_nothrow", "aligned_new" },
	{ "realloc", "realloc" },
	{ "reallocf", "realloc" },
	{ "rezalloc", "realloc" },
	{ "expand", "realloc" },
	{ "realloc_aligned", "realloc" },
	{ "rezalloc_aligned", "realloc" },
	{ "new_realloc", "realloc" },
	{ "reallocn", "reallocarray" },
	{ "reallocarray", "reallocarray" },
	{ "recalloc", "reallocarray" },
	{ "recalloc_aligned", "reallocarray" },
	{ "new_reallocn", "reallocarray" },
	{ "cfree", "delete" },
	{ "free_size", "delete" },
	{ "free_aligned", "delete" },
	{ "free_size_aligned", "delete" },
};

#define FAMILY(prefix, kind, functions)                            \
	{                                                          \
		prefix, kind, functions,                           \
			sizeof(functions) / sizeof((functions)[0]) \
	}
/* The first is C's; of the others a program has one. */
static const struct family {
	const char *prefix, *kind;
	const struct function *functions;
	size_t nr;
} families[] = {
	FAMILY("", "", c_functions),
	FAMILY("je_", "jemalloc", jemalloc_functions),
	FAMILY("_rjem_", "jemalloc", jemalloc_functions),
	FAMILY("mi_", "mimalloc", mimalloc_functions),
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))
_Static_assert(sizeof(c_functions) / sizeof(c_functions[0]) <=
			       ALLOCATOR_FUNCTIONS &&
		       sizeof(mimalloc_functions) /
				       sizeof(mimalloc_functions[0]) <=
			       ALLOCATOR_FUNCTIONS,
	       "there is room for the larger ones");

/* A name that is in this library alone, or in a program linked with it. */
static const struct {
	const char *symbol, *kind;
} marks[] = {
	{ "mallctl", "jemalloc" },
	{ "je_mallctl", "jemalloc" },
	{ "_rjem_mallctl", "jemalloc" }, /* of Rust's tikv-jemallocator */
	{ "tc_malloc", "tcmalloc" },
	{ "mi_malloc", "mimalloc" },
	{ "__asan_init", "AddressSanitizer" },
	{ "__scudo_print_stats", "scudo" },
	{ "__libc_mallopt", "glibc" },
	{ "__dls3", "musl" }, /* its libc.so, which is its linker, too */
	{ "__libc_malloc_impl", "musl" }, /* static */
};
#define MARKS (sizeof(marks) / sizeof(marks[0]))

/*
 * Bytes of symbols and their names that are read of a file; of what has more nothing
 * is. A browser's, with all of its symbols, has a quarter of it. The file is the
 * target's: it may be sparse, so that terabytes cost it nothing, and it may become
 * shorter as we read, so it is not mapped.
 */
#define TABLES_MAX (512u << 20)

/* What was found in one file. */
struct symbols {
	struct {
		uint64_t offset, probe; /* 0: it is not there */
	} at[FAMILIES][ALLOCATOR_FUNCTIONS];
	size_t mark; /* the first of marks[] that is there */
	bool is_static;
	int err; /* 0, -ENOEXEC: foreign code, -EINVAL: no code */
};

/*
 * Programs that start by the hundred have the same few libraries, and to look through
 * the symbols of one takes longer than many of them run. No file changes without its
 * ctime.
 */
#define KNOWN_FILES 64

static struct known_file {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
	bool is_exe; /* whose .symtab counts, too */
	struct symbols found;
} known_files[KNOWN_FILES];
static size_t next_known; /* the place that the next one takes */

enum rank { RANK_EXE, RANK_LIBRARY, RANK_LIBC, RANK_NONE };

struct mapping {
	uint64_t start, end, offset, ino;
	char perms[5];
	const char *path;
};

/* Reads one line of /proc/PID/maps (kept: path points into it). */
static bool read_mapping(char *line, struct mapping *m)
{
	int at = 0;

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64
		   " %n",
		   &m->start, &m->end, m->perms, &m->offset, &m->ino, &at) < 5)
		return false;
	m->path = line + at;
	return m->perms[2] == 'x' && m->ino && *m->path == '/';
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static enum rank rank_of(const char *path, bool is_exe)
{
	const char *name = base_name(path);

	if (is_exe)
		return RANK_EXE;
	/* Old glibc's own malloc for before the libc is there; and our shim. */
	if (begins(name, "ld-linux") || begins(name, "ld-2.") ||
	    begins(name, "libvmaheap-shim"))
		return RANK_NONE;
	if (begins(name, "libc.so") || begins(name, "libc-2.") ||
	    begins(name, "ld-musl") || begins(name, "libc.musl"))
		return RANK_LIBC;
	return RANK_LIBRARY;
}

/* File offset of a virtual address; 0: it is in no segment of the file. */
static uint64_t file_offset(Elf *elf, uint64_t addr)
{
	size_t nr = 0, i;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &nr);
	for (i = 0; i < nr; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD &&
		    addr >= ph.p_vaddr && addr - ph.p_vaddr < ph.p_filesz)
			return addr - ph.p_vaddr + ph.p_offset;
	return 0;
}

static bool is_function(const GElf_Sym *sym)
{
	unsigned int bind = GELF_ST_BIND(sym->st_info);

	return GELF_ST_TYPE(sym->st_info) == STT_FUNC &&
	       (bind == STB_GLOBAL || bind == STB_WEAK) &&
	       sym->st_shndx != SHN_UNDEF && sym->st_value;
}

static void note_function(Elf *elf, const GElf_Sym *sym, const char *name,
			  size_t family, struct symbols *found)
{
	const struct family *f = &families[family];
	size_t i;

	if (!begins(name, f->prefix))
		return;
	name += strlen(f->prefix);
	for (i = 0; i < f->nr; i++)
		if (!strcmp(name, f->functions[i].name) &&
		    !found->at[family][i].offset && is_function(sym))
			found->at[family][i].offset =
				file_offset(elf, sym->st_value);
}

/* Notes a symbol when it is one of those that we look for. */
static void note_symbol(Elf *elf, const GElf_Sym *sym, const char *name,
			struct symbols *found)
{
	size_t i;

	if (!name || sym->st_shndx == SHN_UNDEF ||
	    !strchr("_mfcrpavjtgT", name[0]))
		return;
	for (i = 0; i < FAMILIES; i++)
		note_function(elf, sym, name, i, found);
	for (i = 0; i < found->mark; i++)
		if (!strcmp(name, marks[i].symbol))
			found->mark = i;
}

static void read_symbols(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh,
			 struct symbols *found)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t i, nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	GElf_Sym sym;

	for (i = 0; data && i < nr; i++)
		if (gelf_getsym(data, (int)i, &sym))
			note_symbol(elf, &sym,
				    elf_strptr(elf, sh->sh_link, sym.st_name),
				    found);
}

/* Of a table and its strings; more than TABLES_MAX: too many. */
static uint64_t table_bytes(Elf *elf, const GElf_Shdr *sh)
{
	GElf_Shdr strings;

	if (sh->sh_size > TABLES_MAX ||
	    !gelf_getshdr(elf_getscn(elf, sh->sh_link), &strings) ||
	    strings.sh_size > TABLES_MAX)
		return UINT64_MAX;
	return sh->sh_size + strings.sh_size;
}

/* A library's functions are found by others only if they are in its .dynsym. */
static void read_tables(Elf *elf, bool is_exe, struct symbols *found)
{
	uint64_t left = TABLES_MAX, bytes;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) ||
		    (sh.sh_type != SHT_DYNSYM &&
		     !(is_exe && sh.sh_type == SHT_SYMTAB)))
			continue;
		bytes = table_bytes(elf, &sh);
		if (bytes > left)
			continue;
		left -= bytes;
		read_symbols(elf, scn, &sh, found);
	}
}

/* A free of NULL is no event. */
static uint64_t find_probe(int fd, const char *as, uint64_t offset)
{
	unsigned char code[PROBE_POINT_BYTES];
	ssize_t n = pread(fd, code, sizeof(code), (off_t)offset);

	return offset +
	       (n > 0 ? probe_point(code, (size_t)n, !strcmp(as, "free")) : 0);
}

/* False: it has none. Its path (NULL: of no interest) stays "" when it is no string. */
static bool read_linker(Elf *elf, char *path)
{
	size_t nr = 0, i;
	Elf_Data *data;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &nr);
	for (i = 0; i < nr; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_INTERP)
			continue;
		if (!path || ph.p_filesz > PATH_MAX)
			return true;
		data = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset,
					    ph.p_filesz, ELF_T_BYTE);
		if (data && memchr(data->d_buf, 0, data->d_size))
			snprintf(path, PATH_MAX, "%s", (char *)data->d_buf);
		return true;
	}
	return false;
}

/* (No program has so many sections or segments that the header cannot say it.) */
static bool is_for_us(Elf *elf)
{
	GElf_Ehdr eh;

	return elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &eh) &&
	       eh.e_machine == EM_X86_64 &&
	       eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       (eh.e_shnum || !eh.e_shoff) && eh.e_phnum != PN_XNUM;
}

static void find_probes(int fd, struct symbols *found)
{
	size_t f, i;

	for (f = 0; f < FAMILIES; f++)
		for (i = 0; i < families[f].nr; i++)
			if (found->at[f][i].offset)
				found->at[f][i].probe = find_probe(
					fd, families[f].functions[i].as,
					found->at[f][i].offset);
}

/* linker: PATH_MAX bytes, or NULL */
static void read_file(int fd, bool is_exe, struct symbols *found, char *linker)
{
	Elf *elf;

	*found = (struct symbols){ .mark = MARKS, .err = -EINVAL };
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		found->err = -ENOEXEC;
	if (is_for_us(elf)) {
		found->err = 0;
		found->is_static = is_exe && !read_linker(elf, linker);
		read_tables(elf, is_exe, found);
		find_probes(fd, found);
	}
	elf_end(elf);
}

/* Has this place a name that comes before it, of the family or of C? */
static bool is_taken(const struct symbols *found, size_t family, size_t i)
{
	uint64_t offset = found->at[family][i].offset;
	size_t j;

	for (j = 0; j < i; j++)
		if (found->at[family][j].offset == offset)
			return true;
	for (j = 0; family && j < families[0].nr; j++)
		if (found->at[0][j].offset == offset)
			return true;
	return false;
}

/* Each address once. */
static void take_family(const struct symbols *found, size_t family,
			struct allocator *a)
{
	const struct family *f = &families[family];
	size_t i;

	a->nr = 0;
	a->prefix = f->prefix;
	for (i = 0; i < f->nr; i++) {
		uint64_t offset = found->at[family][i].offset;

		if (!offset || is_taken(found, family, i))
			continue;
		a->functions[a->nr].name = f->functions[i].name;
		a->functions[a->nr].as = f->functions[i].as;
		a->functions[a->nr].probe = found->at[family][i].probe;
		a->functions[a->nr++].offset = offset;
	}
}

/* 0; -ENOENT: no malloc, or no free; or what kept it from being read. */
static int take_functions(const struct symbols *found, struct allocator *a)
{
	a->is_static = found->is_static;
	if (found->err)
		return found->err;
	if (!found->at[0][0].offset || !found->at[0][1].offset)
		return -ENOENT;
	a->kind = found->mark < MARKS ? marks[found->mark].kind : "";
	take_family(found, 0, a);
	return 0;
}

/* A linker may have left out what the program does not call, but not all that frees. */
static int take_beside(const struct symbols *found, struct allocator *a)
{
	size_t f;

	a->is_static = found->is_static;
	if (found->err)
		return found->err;
	for (f = 1; f < FAMILIES; f++) {
		if (!found->at[f][1].offset)
			continue;
		a->kind = families[f].kind;
		take_family(found, f, a);
		return a->nr ? 0 : -ENOENT;
	}
	return -ENOENT;
}

static int read_executable(const char *path, struct allocator *a,
			   struct symbols *found)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*a = (struct allocator){ .kind = "", .prefix = "" };
	snprintf(a->path, sizeof(a->path), "%s", path);
	snprintf(a->name, sizeof(a->name), "%s", path);
	if (fd < 0)
		return -errno;
	read_file(fd, true, found, a->linker);
	close(fd);
	return 0;
}

int allocator_read(const char *path, struct allocator *a)
{
	struct symbols found;
	int err = read_executable(path, a, &found);

	return err ? err : take_functions(&found, a);
}

int allocator_read_beside(const char *path, struct allocator *a)
{
	struct symbols found;
	int err = read_executable(path, a, &found);

	return err ? err : take_beside(&found, a);
}

static bool is_known(const struct known_file *k, const struct stat *st,
		     bool is_exe)
{
	return k->ino == st->st_ino && k->dev == st->st_dev &&
	       k->size == st->st_size && k->is_exe == is_exe &&
	       k->changed.tv_sec == st->st_ctim.tv_sec &&
	       k->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* st: of the file at path. NULL: it cannot be opened. Valid until the next call. */
static const struct symbols *symbols_of(const char *path, const struct stat *st,
					bool is_exe)
{
	struct known_file *k;
	struct stat opened;
	int fd;

	for (k = known_files; k < known_files + KNOWN_FILES; k++)
		if (is_known(k, st, is_exe))
			return &k->found;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &opened)) {
		close(fd);
		return NULL;
	}
	k = &known_files[next_known++ % KNOWN_FILES];
	*k = (struct known_file){ .dev = opened.st_dev,
				  .ino = opened.st_ino,
				  .size = opened.st_size,
				  .changed = opened.st_ctim,
				  .is_exe = is_exe };
	read_file(fd, is_exe, &k->found, NULL);
	close(fd);
	if (k->found.err == -EINVAL) /* or there was no memory to read it */
		k->ino = 0; /* no file's */
	return &k->found;
}

/*
 * map_files is for those with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (proc(5));
 * others look where the path leads in the process's own root, if it is that file
 * still.
 */
static bool open_way(uint32_t pid, const struct mapping *m, char *path,
		     size_t size, struct stat *st)
{
	snprintf(path, size, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid,
		 m->start, m->end);
	if (!stat(path, st))
		return true;
	return (size_t)snprintf(path, size, "/proc/%u/root%s", pid, m->path) <
		       size &&
	       !stat(path, st) && st->st_ino == m->ino;
}

/* Looks at one mapping; true when it is better than the best so far. */
static bool consider(uint32_t pid, const struct mapping *m,
		     const struct stat *exe, enum rank *best,
		     struct allocator *a)
{
	struct allocator found = { .kind = "", .prefix = "" };
	const struct symbols *symbols;
	struct stat st;
	bool is_exe;
	enum rank rank;
	int err;

	if (!open_way(pid, m, found.path, sizeof(found.path), &st))
		return false;
	is_exe = st.st_dev == exe->st_dev && st.st_ino == exe->st_ino;
	rank = rank_of(m->path, is_exe);
	if (rank == RANK_NONE || rank > *best ||
	    (rank == *best && rank != RANK_LIBRARY))
		return false;
	symbols = symbols_of(found.path, &st, is_exe);
	if (!symbols)
		return false;
	err = take_functions(symbols, &found);
	if (is_exe)
		a->is_static = found.is_static;
	if (err)
		return false;
	found.is_static = a->is_static;
	snprintf(found.name, sizeof(found.name), "%s", m->path);
	*a = found;
	*best = rank;
	return true;
}

int allocator_find(uint32_t pid, struct allocator *a)
{
	enum rank best = RANK_NONE;
	uint64_t last_ino = 0;
	struct mapping m;
	struct stat exe;
	char line[4352], path[64];
	FILE *f;

	*a = (struct allocator){ .kind = "", .prefix = "" };
	pid = proc_number(pid);
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (stat(path, &exe)) /* ENOENT: no process, or a kernel thread */
		return errno == ENOENT ? -ESRCH : -errno;
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (!read_mapping(line, &m) || m.ino == last_ino)
			continue;
		last_ino = m.ino;
		consider(pid, &m, &exe, &best, a);
	}
	fclose(f);
	if (!last_ino) /* it is on its way out */
		return -ESRCH;
	return best == RANK_NONE ? -ENOENT : 0;
}

int allocator_find_beside(uint32_t pid, struct allocator *a)
{
	const struct symbols *found;
	struct stat st;
	ssize_t n;

	*a = (struct allocator){ .kind = "", .prefix = "" };
	snprintf(a->path, sizeof(a->path), "/proc/%u/exe", proc_number(pid));
	if (stat(a->path, &st))
		return errno == ENOENT ? -ESRCH : -errno;
	n = readlink(a->path, a->name, sizeof(a->name) - 1);
	a->name[n > 0 ? n : 0] = 0;
	found = symbols_of(a->path, &st, true);
	return found ? take_beside(found, a) : -errno;
}
