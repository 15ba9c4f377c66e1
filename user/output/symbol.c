// SPDX-License-Identifier: GPL-2.0
/*
 * Each file is read once: its loadable segments, which say where in the file's
 * own address space a byte of the file lies, and the functions of its symbol
 * table, sorted. A stripped file's table may lie in
 * /usr/lib/debug/.build-id/NN/NNNN.debug, where distributions' debug packages
 * put it. A file that is missing, or no ELF, has no segments and no functions,
 * and is not asked again.
 */
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/symbol.h"

#define DEBUG_DIR "/usr/lib/debug/.build-id"
#define BUILD_ID_MAX 64
#define NESTED_MAX 16

struct function {
	uint64_t start, size; /* size 0: up to the next one (assembly) */
	char *name;
};

struct segment {
	uint64_t offset, vaddr, size;
};

struct object {
	char *path;
	struct segment *segments;
	size_t nr_segments;
	struct function *functions;
	size_t nr, room;
};

struct symbols {
	struct object *objects; /* by path */
	size_t nr, room;
};

/* --- reading a file */

static void add_function(struct object *ob, uint64_t start, uint64_t size,
			 const char *name)
{
	if (ob->nr == ob->room) {
		size_t room = ob->room ? ob->room * 2 : 256;
		void *p = realloc(ob->functions, room * sizeof(*ob->functions));

		if (!p)
			return;
		ob->functions = p;
		ob->room = room;
	}
	ob->functions[ob->nr] = (struct function){ start, size, strdup(name) };
	if (ob->functions[ob->nr].name)
		ob->nr++;
}

static bool is_function(const GElf_Sym *sym)
{
	int type = GELF_ST_TYPE(sym->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_value &&
	       sym->st_shndx != SHN_UNDEF;
}

static void read_table(struct object *ob, Elf *elf, Elf_Scn *scn,
		       const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t i, nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	GElf_Sym sym;
	const char *name;

	for (i = 0; data && i < nr && i <= INT32_MAX; i++) {
		if (!gelf_getsym(data, (int)i, &sym))
			return;
		if (!is_function(&sym))
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		if (name && *name)
			add_function(ob, sym.st_value, sym.st_size, name);
	}
}

static void read_tables(struct object *ob, Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) &&
		    (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
			read_table(ob, elf, scn, &sh);
}

static void read_segments(struct object *ob, Elf *elf)
{
	GElf_Phdr ph;
	size_t i, nr;

	if (elf_getphdrnum(elf, &nr) || !nr)
		return;
	ob->segments = calloc(nr, sizeof(*ob->segments));
	for (i = 0; ob->segments && i < nr && i <= INT32_MAX; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD)
			ob->segments[ob->nr_segments++] =
				(struct segment){ ph.p_offset, ph.p_vaddr,
						  ph.p_filesz };
}

/* The bytes of the build id in hex; false: it has none. */
static bool note_build_id(Elf_Data *data, char *hex)
{
	size_t at = 0, next, name, desc, i;
	GElf_Nhdr nh;

	while ((next = gelf_getnote(data, at, &nh, &name, &desc))) {
		const unsigned char *id = (unsigned char *)data->d_buf + desc;

		at = next;
		if (nh.n_type != NT_GNU_BUILD_ID || nh.n_namesz != 4 ||
		    memcmp((char *)data->d_buf + name, "GNU", 4) ||
		    nh.n_descsz < 2 || nh.n_descsz > BUILD_ID_MAX)
			continue;
		for (i = 0; i < nh.n_descsz; i++)
			sprintf(hex + 2 * i, "%02x", id[i]);
		return true;
	}
	return false;
}

static bool build_id(Elf *elf, char hex[2 * BUILD_ID_MAX + 1])
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf_Data *data;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE)
			continue;
		data = elf_getdata(scn, NULL);
		if (data && note_build_id(data, hex))
			return true;
	}
	return false;
}

/* Only regular files: a path of the target may name a device or a fifo here. */
static Elf *open_elf(const char *path, int *fd)
{
	struct stat st;
	Elf *elf = NULL;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return NULL;
	if (!fstat(*fd, &st) && S_ISREG(st.st_mode))
		elf = elf_begin(*fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		return elf;
	elf_end(elf);
	close(*fd);
	return NULL;
}

static void read_debug_file(struct object *ob, Elf *of)
{
	char hex[2 * BUILD_ID_MAX + 1],
		path[sizeof(DEBUG_DIR) + sizeof(hex) + 16];
	Elf *elf;
	int fd;

	if (!build_id(of, hex))
		return;
	snprintf(path, sizeof(path), "%s/%.2s/%s.debug", DEBUG_DIR, hex,
		 hex + 2);
	elf = open_elf(path, &fd);
	if (!elf)
		return;
	read_tables(ob, elf);
	elf_end(elf);
	close(fd);
}

/*
 * Of several names for one place the last is taken: the one with the longest
 * extent, and malloc rather than __libc_malloc.
 */
static int by_start(const void *va, const void *vb)
{
	const struct function *a = va, *b = vb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void read_object(struct object *ob)
{
	Elf *elf;
	int fd;

	elf_version(EV_CURRENT);
	elf = open_elf(ob->path, &fd);
	if (!elf)
		return;
	read_segments(ob, elf);
	read_tables(ob, elf);
	read_debug_file(ob, elf);
	elf_end(elf);
	close(fd);
	if (ob->nr)
		qsort(ob->functions, ob->nr, sizeof(*ob->functions), by_start);
}

/* --- the cache */

static struct object *insert_object(struct symbols *sy, size_t at,
				    const char *path)
{
	struct object *ob;
	char *copy;

	if (sy->nr == sy->room) {
		size_t room = sy->room ? sy->room * 2 : 16;
		void *p = realloc(sy->objects, room * sizeof(*sy->objects));

		if (!p)
			return NULL;
		sy->objects = p;
		sy->room = room;
	}
	copy = strdup(path);
	if (!copy)
		return NULL;
	ob = sy->objects + at;
	memmove(ob + 1, ob, (sy->nr - at) * sizeof(*ob));
	sy->nr++;
	*ob = (struct object){ .path = copy };
	read_object(ob);
	return ob;
}

static struct object *get_object(struct symbols *sy, const char *path)
{
	size_t lo = 0, hi = sy->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(sy->objects[mid].path, path);

		if (!c)
			return &sy->objects[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return insert_object(sy, lo, path);
}

struct symbols *symbols_new(void)
{
	return calloc(1, sizeof(struct symbols));
}

void symbols_free(struct symbols *sy)
{
	size_t i, j;

	if (!sy)
		return;
	for (i = 0; i < sy->nr; i++) {
		struct object *ob = &sy->objects[i];

		for (j = 0; j < ob->nr; j++)
			free(ob->functions[j].name);
		free(ob->functions);
		free(ob->segments);
		free(ob->path);
	}
	free(sy->objects);
	free(sy);
}

/* --- looking up */

/* File offset to the file's own address; the offset itself when no segment has it. */
static uint64_t to_vaddr(const struct object *ob, uint64_t offset)
{
	size_t i;

	for (i = 0; i < ob->nr_segments; i++) {
		const struct segment *sg = &ob->segments[i];

		if (offset >= sg->offset && offset - sg->offset < sg->size)
			return offset - sg->offset + sg->vaddr;
	}
	return offset;
}

static const struct function *find_function(const struct object *ob,
					    uint64_t vaddr)
{
	size_t lo = 0, hi = ob->nr, n;
	const struct function *f;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ob->functions[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* A function may lie within another one: cold parts, hand-written code. */
	for (n = 0; n < NESTED_MAX && lo--; n++) {
		f = &ob->functions[lo];
		if (!f->size ? !n : vaddr - f->start < f->size)
			return f;
	}
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *symbols_name(struct symbols *sy, const struct model *m,
			 const struct space *s, uint64_t addr,
			 unsigned int back, char *buf, size_t size)
{
	const struct vma *v = s ? vma_map_find(s->vmas, addr) : NULL;
	const char *path = NULL;
	const struct function *f;
	struct object *ob;
	uint64_t at;

	if (v && v->d.flags & VMA_FILE)
		path = model_path(m, v->d.dev, v->d.ino);
	ob = path && sy ? get_object(sy, path) : NULL;
	if (!ob) {
		snprintf(buf, size, "0x%" PRIx64, addr + back);
		return buf;
	}
	at = to_vaddr(ob, addr - v->d.start + v->d.offset);
	f = find_function(ob, at);
	if (f)
		snprintf(buf, size, "%s+0x%" PRIx64 " (%s)", f->name,
			 at + back - f->start, base_name(path));
	else
		snprintf(buf, size, "%s+0x%" PRIx64, base_name(path),
			 at + back);
	return buf;
}
