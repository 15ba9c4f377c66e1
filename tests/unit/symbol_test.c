// SPDX-License-Identifier: GPL-2.0
/*
 * symbols_name() of this very program, whose addresses the linker and dladdr()
 * know as well, and of files that are damaged in every way.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/build_id.h"
#include "intake/symbol_tables.h"
#include "output/symbol.h"
#include "seed.h"

#define DEV (8u << 20 | 1)

__attribute__((noinline)) static int local_function(int x)
{
	return x * 3 + (int)getpid();
}

/* A model of one space that maps one file at `base`. */
struct world {
	struct model *m;
	struct symbols *sy;
	const struct space *s;
	char buf[256];
};

static void apply(struct model *m, struct event *ev)
{
	static uint64_t ts;

	ev->ts = ++ts;
	ev->mm = 1;
	ev->tgid = ev->tid = 10;
	assert_int_equal(model_apply(m, ev, NULL), 0);
}

static void name_file(struct world *w, uint64_t ino, const char *path)
{
	struct event ev = { .kind = EV_FILE };

	ev.file.dev = DEV;
	ev.file.ino = ino;
	ev.file.path = path;
	apply(w->m, &ev);
}

static const struct symbols_opts *options; /* of the next world */

static struct world world_of(const struct vma_desc *vmas, uint32_t nr)
{
	struct world w = { .m = model_new(), .sy = symbols_new(options) };
	struct event mm = { .kind = EV_MM }, range = { .kind = EV_RANGE };

	assert_non_null(w.m);
	assert_non_null(w.sy);
	mm.mm_start.cause = MM_ATTACH;
	mm.mm_start.owner = 10;
	mm.mm_start.comm = "me";
	apply(w.m, &mm);
	range.range.hi = 0x7ffffffff000;
	range.range.syscall = -1;
	range.range.map_count = range.range.nr_vmas = nr;
	range.range.vmas = vmas;
	apply(w.m, &range);
	w.s = model_space(w.m, 1);
	assert_non_null(w.s);
	return w;
}

static void end_world(struct world *w)
{
	symbols_free(w->sy);
	model_free(w->m);
}

static const char *name(struct world *w, uint64_t addr, unsigned int back)
{
	return symbols_name(w->sy, w->m, w->s, addr, back, w->buf,
			    sizeof(w->buf));
}

/* Ourselves, as /proc/self/maps says it: executable files, by their place in it. */
static struct world myself(void)
{
	struct vma_desc vmas[64];
	char paths[64][256], line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	struct world w;
	uint32_t nr = 0;

	assert_non_null(f);
	while (nr < 64 && fgets(line, sizeof(line), f)) {
		struct vma_desc *d = &vmas[nr];

		if (sscanf(line,
			   "%" SCNx64 "-%" SCNx64 " r-xp %" SCNx64
			   " %*s %*s %255[^\n]",
			   &d->start, &d->end, &d->offset, paths[nr]) != 4 ||
		    paths[nr][0] != '/')
			continue;
		d->flags = VMA_FILE | VMA_READ | VMA_EXEC;
		d->dev = DEV;
		d->ino = ++nr;
	}
	fclose(f);
	w = world_of(vmas, nr);
	for (uint32_t i = 0; i < nr; i++)
		name_file(&w, i + 1, paths[i]);
	return w;
}

/* The build ids of all files, the first byte of each changed by `wrong`. */
static void tell_build_ids(struct world *w, uint8_t wrong)
{
	uint8_t id[BUILD_ID_BYTES];
	uint64_t ino;

	for (ino = 1; model_path(w->m, DEV, ino); ino++) {
		struct event ev = { .kind = EV_BUILD_ID };
		int fd = open(model_path(w->m, DEV, ino), O_RDONLY);
		int len = build_id_read(fd, id);

		close(fd);
		assert_true(len >= 0);
		if (!len)
			continue;
		id[0] ^= wrong;
		ev.build_id.dev = DEV;
		ev.build_id.ino = ino;
		ev.build_id.len = (uint32_t)len;
		ev.build_id.bytes = id;
		apply(w->m, &ev);
	}
}

static void test_own_function(void **state)
{
	uint64_t at = (uint64_t)(uintptr_t)local_function;
	struct world w = myself();

	(void)state;
	assert_true(local_function(0) != 0);
	assert_string_equal(name(&w, at, 0),
			    "local_function+0x0 (symbol_test)");
	assert_string_equal(name(&w, at + 3, 1),
			    "local_function+0x4 (symbol_test)");
	end_world(&w);
}

/* --- inlined functions, names of C++ */

__attribute__((noinline)) static uint64_t who_calls(void)
{
	return (uint64_t)(uintptr_t)__builtin_return_address(0);
}

static inline __attribute__((always_inline)) uint64_t inner(void)
{
	return who_calls() + 1;
}

static inline __attribute__((always_inline)) uint64_t middle(void)
{
	return inner() + 1;
}

__attribute__((noinline)) static uint64_t
holder(void) __asm__("_ZN3foo6holderEi");
__attribute__((noinline)) static uint64_t holder(void)
{
	return middle() + 1;
}

static void test_inlined(void **state)
{
	static const struct symbols_opts full = { .full = true };
	uint64_t at = holder() - 3;
	struct world w;
	struct symbol sym;

	(void)state;
	w = myself();
	sym = symbols_find(w.sy, w.m, w.s, at - 1);
	assert_string_equal(sym.function, "_ZN3foo6holderEi");
	assert_int_equal(sym.nr_inlined, 0);
	end_world(&w);
	options = &full;
	w = myself();
	options = NULL;
	/* Without a build id the inode must be that of the file: learn it. */
	sym = symbols_find(w.sy, w.m, w.s, at - 1);
	assert_null(sym.function);
	assert_string_equal(sym.object, "symbol_test");
	tell_build_ids(&w, 0);
	sym = symbols_find(w.sy, w.m, w.s, at - 1);
	assert_string_equal(sym.function, "foo::holder");
	assert_int_equal(sym.nr_inlined, 2);
	assert_string_equal(sym.inlined[0], "inner");
	assert_string_equal(sym.inlined[1], "middle");
	end_world(&w);
}

/* Names of another build are no names. */
static void test_other_build(void **state)
{
	uint64_t at = (uint64_t)(uintptr_t)local_function;
	struct world w = myself();

	(void)state;
	tell_build_ids(&w, 1);
	assert_non_null(strstr(name(&w, at, 0), "symbol_test+0x"));
	assert_null(strstr(name(&w, at, 0), "local_function"));
	end_world(&w);
	w = myself();
	tell_build_ids(&w, 0);
	assert_string_equal(name(&w, at, 0),
			    "local_function+0x0 (symbol_test)");
	end_world(&w);
}

static void test_library(void **state)
{
	uint64_t at = (uint64_t)(uintptr_t)dlsym(RTLD_NEXT, "lfind");
	struct world w = myself();
	Dl_info info;

	(void)state;
	assert_true(dladdr((void *)(uintptr_t)at, &info) != 0);
	assert_string_equal(name(&w, at + 2, 0), "lfind+0x2 (libc.so.6)");
	/* Again, from the cache. */
	assert_string_equal(name(&w, at + 2, 0), "lfind+0x2 (libc.so.6)");
	end_world(&w);
}

static void test_nothing_known(void **state)
{
	struct vma_desc vmas[] = {
		{ .start = 0x1000, .end = 0x3000, .flags = VMA_READ },
		{ .start = 0x4000,
		  .end = 0x5000,
		  .offset = 0x2000,
		  .ino = 1,
		  .dev = DEV,
		  .flags = VMA_FILE | VMA_EXEC },
		{ .start = 0x6000,
		  .end = 0x7000,
		  .ino = 2,
		  .dev = DEV,
		  .flags = VMA_FILE | VMA_EXEC },
		{ .start = 0x8000, .end = 0x9000, .flags = VMA_VDSO | VMA_EXEC },
	};
	struct world w = world_of(vmas, 4);

	(void)state;
	name_file(&w, 1, "/nowhere/libgone.so.1 (deleted)");
	assert_string_equal(name(&w, 0x10, 0), "0x10"); /* not mapped */
	assert_string_equal(name(&w, 0x1010, 1), "0x1011"); /* anonymous */
	assert_string_equal(name(&w, 0x4010, 0),
			    "libgone.so.1 (deleted)+0x2010");
	assert_string_equal(name(&w, 0x6010, 0),
			    "0x6010"); /* file of no name */
	assert_string_equal(name(&w, 0x8010, 0), "0x8010"); /* vdso */
	assert_string_equal(symbols_name(NULL, w.m, w.s, 0x4010, 0, w.buf, 8),
			    "0x4010");
	assert_string_equal(symbols_name(w.sy, w.m, NULL, 0x4010, 0, w.buf, 64),
			    "0x4010");
	assert_string_equal(symbols_name(w.sy, w.m, w.s, 0x4010, 0, w.buf, 8),
			    "libgone");
	end_world(&w);
}

/* --- a file that has no build id */

/* Ourselves, but for that. */
static void copy_without_id(const char *path, struct stat *st)
{
	char *name, buf[65536];
	int in = open("/proc/self/exe", O_RDONLY);
	int out = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	uint8_t id[BUILD_ID_BYTES];
	bool first = true;
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0) {
		/* The note lies among the first pages: 20 bytes, of type 3. */
		name = first ? memmem(buf, (size_t)n, "\x14\0\0\0\x03\0\0\0GNU",
				      12) :
			       NULL;
		if (name)
			name[8] = 'X';
		first = false;
		assert_int_equal(write(out, buf, (size_t)n), n);
	}
	close(in);
	close(out);
	out = open(path, O_RDONLY);
	assert_int_equal(build_id_read(out, id), 0);
	assert_int_equal(fstat(out, st), 0);
	close(out);
}

static void tell_no_build_id(struct world *w, uint64_t ino)
{
	struct event ev = { .kind = EV_BUILD_ID };

	ev.build_id.dev = DEV;
	ev.build_id.ino = ino;
	ev.build_id.bytes = (const uint8_t *)"";
	apply(w->m, &ev);
}

/* One was at this path when it was mapped, another is there now. */
static void test_no_build_id(void **state)
{
	static const struct symbols_opts all = { .full = true };
	char path[64], dir[32] = "/tmp/vmaheap-noid.XXXXXX";
	uint64_t at = (uint64_t)(uintptr_t)local_function, size;
	struct world w = myself();
	struct vma_desc vmas[2];
	struct stat st;
	int i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/symbol_test", dir);
	copy_without_id(path, &st);
	vmas[0] = vmas[1] = vma_map_find(w.s->vmas, at)->d;
	size = vmas[0].end - vmas[0].start;
	at -= vmas[0].start;
	end_world(&w);
	for (i = 0; i < 2; i++) {
		vmas[i].start = (uint64_t)(i + 1) << 32;
		vmas[i].end = vmas[i].start + size;
		vmas[i].ino = st.st_ino + !i;
	}
	for (i = 0; i < 2; i++) {
		options = i ? &all : NULL;
		w = world_of(vmas, 2);
		name_file(&w, st.st_ino + 1, path);
		name_file(&w, st.st_ino, path);
		tell_no_build_id(&w, st.st_ino + 1);
		tell_no_build_id(&w, st.st_ino);
		assert_null(symbols_find(w.sy, w.m, w.s, vmas[0].start + at)
				    .function);
		assert_string_equal(name(&w, vmas[1].start + at, 0),
				    "local_function+0x0 (symbol_test)");
		end_world(&w);
	}
	options = NULL;
	unlink(path);
	rmdir(dir);
}

/* Its table of symbols has 400 MB now, nearly all of it a hole. */
static void inflate(const char *path)
{
	const uint64_t bytes = 24 << 24;
	int fd = open(path, O_RDWR);
	Elf64_Ehdr e;
	Elf64_Shdr sh = { .sh_type = SHT_NULL };
	off_t at = 0;

	assert_int_equal(pread(fd, &e, sizeof(e), 0), sizeof(e));
	for (int i = 0; i < e.e_shnum && sh.sh_type != SHT_SYMTAB; i++) {
		at = (off_t)e.e_shoff + i * (off_t)sizeof(sh);
		assert_int_equal(pread(fd, &sh, sizeof(sh), at), sizeof(sh));
	}
	assert_int_equal(sh.sh_type, SHT_SYMTAB);
	sh.sh_size = bytes;
	assert_int_equal(pwrite(fd, &sh, sizeof(sh), at), sizeof(sh));
	assert_int_equal(ftruncate(fd, (off_t)(sh.sh_offset + bytes)), 0);
	close(fd);
}

/* A daemon, which others wait for, does not read it. */
static void test_hole(void **state)
{
	char path[64], dir[32] = "/tmp/vmaheap-hole.XXXXXX";
	uint64_t at = (uint64_t)(uintptr_t)local_function;
	struct world w = myself();
	struct stat st;
	uint64_t ino = 1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/symbol_test", dir);
	copy_without_id(path, &st);
	while (!strstr(model_path(w.m, DEV, ino), "/symbol_test"))
		ino++;
	name_file(&w, ino, path);
	assert_non_null(symbols_find(w.sy, w.m, w.s, at).function);
	end_world(&w);
	inflate(path);
	w = myself();
	name_file(&w, ino, path);
	assert_null(symbols_find(w.sy, w.m, w.s, at).function);
	end_world(&w);
	unlink(path);
	rmdir(dir);
}

/* --- what a trace has kept of a file */

/* DIR/.symbols. and our own build id. */
static void kept_path(const char *prefix, char path[256])
{
	int fd = open("/proc/self/exe", O_RDONLY);
	uint8_t id[BUILD_ID_BYTES];
	int len = build_id_read(fd, id);
	int n = snprintf(path, 256, "%s", prefix);

	assert_true(len > 0);
	for (int i = 0; i < len; i++)
		n += snprintf(path + n, 256 - (size_t)n, "%02x", id[i]);
	close(fd);
}

static void keep(const char *file, const char *path)
{
	int fd = open(file, O_RDONLY);
	struct stat whole;
	size_t bytes;
	void *p;
	FILE *f;

	assert_int_equal(symbol_tables_read(fd, &p, &bytes), 0);
	assert_int_equal(fstat(fd, &whole), 0);
	assert_true(bytes < (size_t)whole.st_size / 2);
	close(fd);
	f = fopen(path, "w");
	assert_int_equal(fwrite(p, 1, bytes, f), bytes);
	fclose(f);
	free(p);
}

/* Ourselves, of a known build, deleted. */
static struct world myself_gone(void)
{
	struct world w = myself();
	uint64_t ino = 1;

	tell_build_ids(&w, 0);
	while (!strstr(model_path(w.m, DEV, ino), "/symbol_test"))
		ino++;
	name_file(&w, ino, "/nowhere/symbol_test (deleted)");
	return w;
}

static void test_kept(void **state)
{
	char prefix[64], path[256], dir[32] = "/tmp/vmaheap-kept.XXXXXX";
	struct symbols_opts kept = { .kept = prefix, .full = true };
	uint64_t at = (uint64_t)(uintptr_t)local_function;
	uint64_t inlined = holder() - 4;
	struct world w;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(prefix, sizeof(prefix), "%s/.symbols.", dir);
	kept_path(prefix, path);
	keep("/proc/self/exe", path);
	w = myself_gone();
	assert_null(symbols_find(w.sy, w.m, w.s, at).function);
	end_world(&w);
	options = &kept;
	w = myself_gone();
	assert_string_equal(name(&w, at + 3, 1),
			    "local_function+0x4 (symbol_test (deleted))");
	assert_string_equal(symbols_find(w.sy, w.m, w.s, inlined).function,
			    "foo::holder");
	end_world(&w);
	kept.symfs = dir; /* has nothing */
	w = myself_gone();
	assert_string_equal(name(&w, at, 0),
			    "local_function+0x0 (symbol_test (deleted))");
	end_world(&w);
	kept.symfs = NULL;
	/* The whole file goes before it. */
	w = myself();
	tell_build_ids(&w, 0);
	assert_int_equal(symbols_find(w.sy, w.m, w.s, inlined).nr_inlined, 2);
	end_world(&w);
	/* A part has no names, nor has another build. */
	assert_int_equal(truncate(path, 5000), 0);
	w = myself_gone();
	assert_null(symbols_find(w.sy, w.m, w.s, at).function);
	end_world(&w);
	keep("/bin/true", path);
	w = myself_gone();
	assert_null(symbols_find(w.sy, w.m, w.s, at).function);
	end_world(&w);
	options = NULL;
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

/* What has no symbols, or is none of ours. */
static void test_nothing_to_keep(void **state)
{
	Elf64_Ehdr e = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
				      ELFCLASS64, ELFDATA2LSB },
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_shentsize = sizeof(Elf64_Shdr) };
	Elf64_Shdr sh = { .sh_type = SHT_DYNSYM };
	int fd = memfd_create("elf", MFD_CLOEXEC);
	size_t bytes;
	void *p;

	(void)state;
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), -ENOEXEC);
	assert_int_equal(pwrite(fd, &e, sizeof(e), 0), sizeof(e));
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), -ENODATA);
	e.e_shnum = 1;
	e.e_shoff = sizeof(e);
	pwrite(fd, &e, sizeof(e), 0);
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), -ENOEXEC);
	pwrite(fd, &sh, sizeof(sh), sizeof(e));
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), 0);
	assert_int_equal(bytes, sizeof(e) + sizeof(sh));
	free(p);
	sh.sh_size = SYMBOL_TABLES_MAX + 1;
	pwrite(fd, &sh, sizeof(sh), sizeof(e));
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), -E2BIG);
	sh.sh_size = SYMBOL_TABLES_MAX / 2; /* which the file does not have */
	pwrite(fd, &sh, sizeof(sh), sizeof(e));
	assert_int_equal(symbol_tables_read(fd, &p, &bytes), -ENOEXEC);
	assert_null(p);
	close(fd);
}

/* Files that are none, or that must not be waited for. */
static void test_odd_files(void **state)
{
	struct vma_desc d = { .start = 0x1000,
			      .end = 0x2000,
			      .ino = 1,
			      .dev = DEV,
			      .flags = VMA_FILE | VMA_EXEC };
	char fifo[64], path[128];
	struct world w;

	(void)state;
	snprintf(fifo, sizeof(fifo), "/tmp/vmaheap-fifo.%d", (int)getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	w = world_of(&d, 1);
	name_file(&w, 1, fifo);
	snprintf(path, sizeof(path), "%s+0x10", fifo + 5);
	assert_string_equal(name(&w, 0x1010, 0), path);
	end_world(&w);
	unlink(fifo);
	w = world_of(&d, 1);
	name_file(&w, 1, "/dev/zero");
	assert_string_equal(name(&w, 0x1010, 0), "zero+0x10");
	end_world(&w);
	w = world_of(&d, 1);
	name_file(&w, 1, "/");
	assert_string_equal(name(&w, 0x1010, 0), "+0x10");
	end_world(&w);
}

static char *read_self(size_t *size)
{
	FILE *f = fopen("/bin/true", "r");
	char *p = malloc(1 << 20);

	assert_non_null(f);
	*size = fread(p, 1, 1 << 20, f);
	fclose(f);
	return p;
}

/* Any answer will do, as long as there is one. */
static void test_damaged_elf(void **state)
{
	struct vma_desc d = { .start = 0x1000,
			      .end = 0x9000,
			      .ino = 1,
			      .dev = DEV,
			      .flags = VMA_FILE | VMA_EXEC };
	char path[64], *file, *copy;
	size_t size;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/vmaheap-elf.%d", (int)getpid());
	file = read_self(&size);
	copy = malloc(size);
	for (int round = 0; round < 400; round++) {
		struct world w = world_of(&d, 1);
		size_t len = round % 2 ? size : seed_below((uint32_t)size);
		FILE *f = fopen(path, "w");

		memcpy(copy, file, size);
		for (int i = 0; i < 20; i++) /* its headers, above all */
			copy[seed_below(i % 2 ? (uint32_t)size : 1024)] ^=
				(char)(1 << seed_below(8));
		fwrite(copy, 1, len, f);
		fclose(f);
		name_file(&w, 1, path);
		for (uint64_t a = 0x1000; a < 0x9000; a += 0x333)
			assert_true(strlen(name(&w, a, 0)) > 0);
		end_world(&w);
	}
	unlink(path);
	free(file);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_function),
		cmocka_unit_test(test_inlined),
		cmocka_unit_test(test_other_build),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_no_build_id),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_nothing_to_keep),
		cmocka_unit_test(test_odd_files),
		cmocka_unit_test(test_damaged_elf),
	};

	seed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
