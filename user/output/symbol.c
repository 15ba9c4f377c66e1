// SPDX-License-Identifier: GPL-2.0
/*
 * Each file is read once: its loadable segments, which say where in the file's
 * own address space a byte of the file lies, and the functions of its symbol
 * table, sorted. A stripped file's table may lie in
 * /usr/lib/debug/.build-id/NN/NNNN.debug, where distributions' debug packages
 * put it. A file that is missing, or no ELF, has no segments and no functions,
 * and is not asked again. Inlined functions are libdw's to find.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/hash.h"
#include "output/symbol.h"

#define NESTED_MAX 16
#define INLINED_MAX 32
#define HEX (2 * BUILD_ID_MAX + 1)
/*
 * So many bytes of notes, and of symbols and their names where others wait for us (not
 * `full`), are read of a file: it is the target's, and gigabytes of it may be a hole.
 */
#define NOTES_MAX (1u << 20)
#define TABLES_MAX (256u << 20)

struct function {
	uint64_t start, size; /* size 0: up to the next one (assembly) */
	char *name;
	char *plain; /* demangled; NULL: not tried */
};

struct segment {
	uint64_t offset, vaddr, size;
};

/* What was inlined at one address. */
struct chain {
	size_t nr;
	char *names[];
};

struct object {
	char *key;
	char *path;
	const struct file_name *file; /* what is known of it; NULL: nothing */
	uint64_t ino;
	uint32_t pid; /* of a process that mapped it */
	char hex[HEX]; /* build id; "": none, or not known */
	bool found; /* the file itself, with its own segments */
	Dwfl *dwfl;
	Dwfl_Module *module;
	GElf_Addr bias; /* what libdw adds to the file's addresses */
	struct hash chains; /* address -> chain */
	struct segment *segments;
	size_t nr_segments;
	struct function *functions;
	size_t nr, room;
};

struct symbols {
	char *symfs, *kept;
	bool full;
	struct object **objects; /* by key */
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
	ob->functions[ob->nr] =
		(struct function){ start, size, strdup(name), NULL };
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

/* Of a table and its names; more than TABLES_MAX: too many. */
static uint64_t table_bytes(Elf *elf, const GElf_Shdr *sh)
{
	GElf_Shdr names;

	if (sh->sh_size > TABLES_MAX ||
	    !gelf_getshdr(elf_getscn(elf, sh->sh_link), &names) ||
	    names.sh_size > TABLES_MAX)
		return UINT64_MAX;
	return sh->sh_size + names.sh_size;
}

static void read_tables(const struct symbols *sy, struct object *ob, Elf *elf)
{
	uint64_t left = TABLES_MAX, bytes;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) ||
		    (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM))
			continue;
		bytes = sy->full ? 0 : table_bytes(elf, &sh);
		if (bytes > left)
			continue;
		left -= bytes;
		read_table(ob, elf, scn, &sh);
	}
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

static bool build_id(Elf *elf, char hex[HEX])
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf_Data *data;

	hex[0] = 0;
	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE ||
		    sh.sh_size > NOTES_MAX)
			continue;
		data = elf_getdata(scn, NULL);
		if (data && note_build_id(data, hex))
			return true;
	}
	return false;
}

/* Only regular files: a path of the target may name a device or a fifo here. */
static Elf *open_elf(const char *path, int *fd, struct stat *st)
{
	Elf *elf = NULL;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return NULL;
	if (!fstat(*fd, st) && S_ISREG(st->st_mode))
		elf = elf_begin(*fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		return elf;
	elf_end(elf);
	close(*fd);
	return NULL;
}

static bool knows_build_id(const struct object *ob)
{
	return ob->file && ob->file->has_build_id;
}

/* Is this the file that was mapped? */
static bool is_same(const struct symbols *sy, const struct object *ob, Elf *elf,
		    const struct stat *st)
{
	char hex[HEX];

	build_id(elf, hex);
	if (knows_build_id(ob) && (*hex || *ob->hex))
		return !strcmp(hex, ob->hex);
	/* It has none. Below symfs no inode is what it was. */
	if (knows_build_id(ob) && sy->symfs)
		return true;
	return !(knows_build_id(ob) || sy->full) || st->st_ino == ob->ino;
}

/* DWARF and, with it, debuginfod: what libdw finds of the file at `path`. */
static void open_dwarf(struct object *ob, const char *path)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};

	if (ob->dwfl)
		return;
	ob->dwfl = dwfl_begin(&callbacks);
	if (!ob->dwfl)
		return;
	ob->module = dwfl_report_offline(ob->dwfl, "", path, -1);
	dwfl_report_end(ob->dwfl, NULL, NULL);
	if (ob->module && !dwfl_module_getelf(ob->module, &ob->bias))
		ob->module = NULL;
}

/* The symbols of whatever libdw has found: a debug file, .gnu_debugdata. */
static void read_dwfl_symbols(struct object *ob)
{
	int i, nr = ob->module ? dwfl_module_getsymtab(ob->module) : 0;
	GElf_Addr addr;
	GElf_Sym sym;
	const char *name;

	for (i = 0; i < nr; i++) {
		name = dwfl_module_getsym_info(ob->module, i, &sym, &addr, NULL,
					       NULL, NULL);
		if (name && *name && is_function(&sym))
			add_function(ob, addr - ob->bias, sym.st_size, name);
	}
}

static bool read_file(const struct symbols *sy, struct object *ob,
		      const char *path)
{
	struct stat st;
	int fd;
	Elf *elf = open_elf(path, &fd, &st);
	bool same = elf && is_same(sy, ob, elf, &st);

	if (same) {
		if (!ob->nr_segments)
			read_segments(ob, elf);
		read_tables(sy, ob, elf);
		if (!ob->hex[0])
			build_id(elf, ob->hex);
		if (sy->full)
			open_dwarf(ob, path);
	}
	if (elf) {
		elf_end(elf);
		close(fd);
	}
	return same;
}

/* DIR/.build-id/NN/NNNN with `suffix`, below the folder of symfs. */
static bool read_by_id(const struct symbols *sy, struct object *ob,
		       const char *dir, const char *suffix)
{
	char *path = NULL;
	bool ok = asprintf(&path, "%s%s/.build-id/%.2s/%s%s",
			   sy->symfs ? sy->symfs : "", dir, ob->hex,
			   ob->hex + 2, suffix) > 0 &&
		  read_file(sy, ob, path);

	free(path);
	return ok;
}

/* Among the files of a process, as long as it runs: the path may be a container's. */
static bool read_theirs(const struct symbols *sy, struct object *ob)
{
	char *path = NULL;
	bool ok = asprintf(&path, "/proc/%u/root%s", ob->pid, ob->path) > 0 &&
		  read_file(sy, ob, path);

	free(path);
	return ok;
}

/* What the trace has kept of it: segments and symbols. */
static bool read_kept(const struct symbols *sy, struct object *ob)
{
	char *path = NULL;
	bool ok = sy->kept && asprintf(&path, "%s%s", sy->kept, ob->hex) > 0 &&
		  read_file(sy, ob, path);

	free(path);
	return ok;
}

static bool read_own(const struct symbols *sy, struct object *ob)
{
	char *path = NULL;
	bool ok = asprintf(&path, "%s%s", sy->symfs ? sy->symfs : "",
			   ob->path) > 0 &&
		  read_file(sy, ob, path);

	free(path);
	if (ok || !ob->hex[0])
		return ok;
	ok = sy->symfs ? read_by_id(sy, ob, "", "") : read_theirs(sy, ob);
	return ok || read_kept(sy, ob);
}

/* From a server: libdw asks it only for what belongs to a file that is there. */
static void read_from_server(const struct symbols *sy, struct object *ob)
{
	void *lib = getenv("DEBUGINFOD_URLS") ?
			    dlopen("libdebuginfod.so.1", RTLD_LAZY) :
			    NULL;
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find)(void *client, const unsigned char *id, int len,
		    char **path);
	char *path = NULL;
	void *client;
	int fd;

	if (!lib)
		return;
	*(void **)&begin = dlsym(lib, "debuginfod_begin");
	*(void **)&end = dlsym(lib, "debuginfod_end");
	*(void **)&find = dlsym(lib, "debuginfod_find_debuginfo");
	client = begin && end && find ? begin() : NULL;
	if (client) { /* a length of 0: the id is text */
		fd = find(client, (const unsigned char *)ob->hex, 0, &path);
		if (fd >= 0) {
			read_file(sy, ob, path);
			close(fd);
		}
		free(path);
		end(client);
	}
	dlclose(lib);
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

static void read_object(const struct symbols *sy, struct object *ob)
{
	bool has_debug, want_debug;

	elf_version(EV_CURRENT);
	ob->found = read_own(sy, ob);
	/* In the usual places libdw looks itself. */
	want_debug = ob->hex[0] && (!ob->module || sy->symfs);
	has_debug = want_debug &&
		    (read_by_id(sy, ob, "/usr/lib/debug", ".debug") ||
		     (sy->symfs && read_by_id(sy, ob, "", ".debug")));
	if (!ob->found && !has_debug && ob->hex[0] && sy->full)
		read_from_server(sy, ob);
	read_dwfl_symbols(ob);
	if (ob->nr)
		qsort(ob->functions, ob->nr, sizeof(*ob->functions), by_start);
}

/* --- the cache */

static struct object *insert_object(struct symbols *sy, size_t at,
				    const struct object *like)
{
	struct object *ob;

	if (sy->nr == sy->room) {
		size_t room = sy->room ? sy->room * 2 : 16;
		void *p = realloc(sy->objects, room * sizeof(*sy->objects));

		if (!p)
			return NULL;
		sy->objects = p;
		sy->room = room;
	}
	ob = malloc(sizeof(*ob));
	if (!ob)
		return NULL;
	*ob = *like;
	ob->key = strdup(like->key);
	ob->path = strdup(like->path);
	if (!ob->key || !ob->path) {
		free(ob->key);
		free(ob->path);
		free(ob);
		return NULL;
	}
	memmove(sy->objects + at + 1, sy->objects + at,
		(sy->nr - at) * sizeof(*sy->objects));
	sy->objects[at] = ob;
	sy->nr++;
	read_object(sy, ob);
	ob->file = NULL; /* it is the model's */
	return ob;
}

static struct object *find_object(struct symbols *sy, const struct object *like)
{
	size_t lo = 0, hi = sy->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(sy->objects[mid]->key, like->key);

		if (!c)
			return sy->objects[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return insert_object(sy, lo, like);
}

/* The file of a VMA: one path may have stood for several files. */
static struct object *get_object(struct symbols *sy, const struct model *m,
				 const struct space *s,
				 const struct vma_desc *d)
{
	const struct file_name *f = model_file(m, d->dev, d->ino);
	char key[HEX + 4240];
	struct object like = {
		.key = key, .file = f, .ino = d->ino, .pid = s->owner
	};
	size_t i;

	if (!f || !f->path || !sy)
		return NULL;
	for (i = 0; i < f->build_id_len; i++)
		sprintf(like.hex + 2 * i, "%02x", f->build_id[i]);
	snprintf(key, sizeof(key), "%d%s %" PRIu64 " %s", f->has_build_id,
		 like.hex, *like.hex ? 0 : d->ino, f->path);
	like.path = f->path;
	return find_object(sy, &like);
}

struct symbols *symbols_new(const struct symbols_opts *opts)
{
	struct symbols *sy = calloc(1, sizeof(*sy));

	if (!sy || !opts)
		return sy;
	sy->full = opts->full;
	sy->symfs = opts->symfs ? strdup(opts->symfs) : NULL;
	sy->kept = opts->kept ? strdup(opts->kept) : NULL;
	if (!sy->symfs == !opts->symfs && !sy->kept == !opts->kept)
		return sy;
	symbols_free(sy);
	return NULL;
}

static bool free_chain(void *val, void *ctx)
{
	struct chain *c = val;
	size_t i;

	(void)ctx;
	for (i = 0; i < c->nr; i++)
		free(c->names[i]);
	free(c);
	return true;
}

static void free_object(struct object *ob)
{
	size_t i;

	for (i = 0; i < ob->nr; i++) {
		free(ob->functions[i].name);
		free(ob->functions[i].plain);
	}
	hash_filter(&ob->chains, free_chain, NULL);
	hash_destroy(&ob->chains);
	if (ob->dwfl)
		dwfl_end(ob->dwfl);
	free(ob->functions);
	free(ob->segments);
	free(ob->path);
	free(ob->key);
	free(ob);
}

void symbols_free(struct symbols *sy)
{
	size_t i;

	if (!sy)
		return;
	for (i = 0; i < sy->nr; i++)
		free_object(sy->objects[i]);
	free(sy->objects);
	free(sy->symfs);
	free(sy->kept);
	free(sy);
}

/* --- looking up */

/* File offset to the file's own address; the offset itself when no segment has it. */
static uint64_t offset_to_vaddr(const struct object *ob, uint64_t offset)
{
	size_t i;

	for (i = 0; i < ob->nr_segments; i++) {
		const struct segment *sg = &ob->segments[i];

		if (offset >= sg->offset && offset - sg->offset < sg->size)
			return offset - sg->offset + sg->vaddr;
	}
	return offset;
}

/*
 * The segments of a debug file have the right addresses and wrong offsets, for it
 * lacks their bytes. They lie as far from each other as when they are mapped, and
 * the first one is mapped from offset 0.
 */
static uint64_t distance_to_vaddr(const struct object *ob,
				  const struct space *s, const struct vma *v,
				  uint64_t addr)
{
	size_t i = vma_map_lower(s->vmas, addr);
	const struct vma *first = v;

	while (i-- > 0 && first->d.offset) {
		const struct vma *w = vma_map_at(s->vmas, i);

		if (w->d.flags & VMA_FILE && w->d.ino == v->d.ino &&
		    w->d.dev == v->d.dev)
			first = w;
	}
	if (first->d.offset || !ob->nr_segments)
		return addr - v->d.start + v->d.offset;
	return addr - first->d.start + (ob->segments[0].vaddr & ~4095ull);
}

static uint64_t to_vaddr(const struct object *ob, const struct space *s,
			 const struct vma *v, uint64_t addr)
{
	if (ob->found || !ob->nr_segments)
		return offset_to_vaddr(ob, addr - v->d.start + v->d.offset);
	return distance_to_vaddr(ob, s, v, addr);
}

static struct function *find_function(const struct object *ob, uint64_t vaddr)
{
	size_t lo = 0, hi = ob->nr, n;
	struct function *f;

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

/* C++, Rust, D; without parameters. malloc'ed. */
static char *demangled(const char *name)
{
	char *plain = cplus_demangle(name, DMGL_ANSI | DMGL_AUTO);

	return plain ? plain : strdup(name);
}

static const char *plain_name(const struct symbols *sy, struct function *f)
{
	if (sy->full && !f->plain)
		f->plain = demangled(f->name);
	return f->plain ? f->plain : f->name;
}

static char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(
		dwarf_attr_integrate(die, DW_AT_linkage_name, &attr));

	if (!name)
		name = dwarf_diename(die);
	return demangled(name ? name : "?");
}

/*
 * The scopes of an address, from the inside out. (dwarf_getscopes() goes on from
 * an inlined function to where that was written, not to what it was inlined in.)
 */
static int get_scopes(struct object *ob, uint64_t vaddr, Dwarf_Die **scopes)
{
	Dwarf_Addr bias = 0;
	Dwarf_Die *innermost = NULL, *cu;
	int nr = 0;

	*scopes = NULL;
	cu = dwfl_module_addrdie(ob->module, vaddr + ob->bias, &bias);
	if (cu && dwarf_getscopes(cu, vaddr + ob->bias - bias, &innermost) > 0)
		nr = dwarf_getscopes_die(innermost, scopes);
	free(innermost);
	return nr;
}

/* Up to the function that was compiled. */
static struct chain *read_chain(struct object *ob, uint64_t vaddr)
{
	struct chain *c = calloc(1, sizeof(*c) + INLINED_MAX * sizeof(char *));
	Dwarf_Die *scopes;
	int i, nr;

	if (!c)
		return NULL;
	nr = get_scopes(ob, vaddr, &scopes);
	for (i = 0; i < nr && c->nr < INLINED_MAX; i++) {
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			break;
		if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
			continue;
		c->names[c->nr] = die_name(&scopes[i]);
		c->nr += c->names[c->nr] != NULL;
	}
	free(scopes);
	if (!hash_put(&ob->chains, vaddr, 0, c))
		return c;
	free_chain(c, NULL);
	return NULL;
}

static void find_inlined(struct object *ob, uint64_t vaddr, struct symbol *sym)
{
	const struct chain *c = hash_get(&ob->chains, vaddr, 0);

	if (!c)
		c = read_chain(ob, vaddr);
	if (!c)
		return;
	sym->inlined = (const char *const *)c->names;
	sym->nr_inlined = c->nr;
}

struct symbol symbols_find(struct symbols *sy, const struct model *m,
			   const struct space *s, uint64_t addr)
{
	const struct vma *v = s ? vma_map_find(s->vmas, addr) : NULL;
	struct object *ob =
		v && v->d.flags & VMA_FILE ? get_object(sy, m, s, &v->d) : NULL;
	struct symbol sym = { .offset = addr };
	struct function *f;
	uint64_t at;

	if (!ob)
		return sym;
	at = to_vaddr(ob, s, v, addr);
	f = find_function(ob, at);
	sym.object = base_name(ob->path);
	sym.offset = f ? at - f->start : at;
	if (f)
		sym.function = plain_name(sy, f);
	if (f && ob->module)
		find_inlined(ob, at, &sym);
	return sym;
}

const char *symbols_name(struct symbols *sy, const struct model *m,
			 const struct space *s, uint64_t addr,
			 unsigned int back, char *buf, size_t size)
{
	struct symbol sym = symbols_find(sy, m, s, addr);

	if (sym.function)
		snprintf(buf, size, "%s+0x%" PRIx64 " (%s)", sym.function,
			 sym.offset + back, sym.object);
	else
		snprintf(buf, size, "%s%s0x%" PRIx64,
			 sym.object ? sym.object : "", sym.object ? "+" : "",
			 sym.offset + back);
	return buf;
}
