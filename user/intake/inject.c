// SPDX-License-Identifier: GPL-2.0
#include "intake/inject.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/inject_image.h"
#include "intake/libs.h"
#include "intake/proc.h"
#include "intake/remote.h"
#include "intake/seccomp.h"
#include "intake/unwind.h"
#include "probe/inject.h"
#include "probe/names.h"

#define PAGE 4096ull
/* How long threads may take to stop: at first, and at last; on a busy machine some do. */
#define STOP_MS 100
#define STOP_MAX_MS 1600
#define TRIES 30 /* stops, for what another moment may allow: 1.6 s in all */
#define LOADING_TRIES 500 /* looks at a program that is being started ... */
#define BRIEF_TRIES 1 /* ... and at one that may be looked at another time */
#define PRELOADED "libvmaheap-shim"
#define TRY_NS 2000000
#define TRY_MAX_NS (32 * TRY_NS)
#define FUNCTIONS_MAX 256
#define OTHERS_MAX 16
#define STACK_MAX \
	(8u << 20) /* of a thread, looked through for return addresses */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/*
 * A pointer that calls a function of the allocator, or the value of the symbol by
 * which the dynamic linker will find it for what is loaded later.
 */
struct pointer {
	uint64_t addr;
	uint64_t base; /* of the symbol's object, which its value is less; or 0 */
	uint64_t was; /* what is to be put back; 0: it is not set yet */
	uint64_t own; /* where its object defines the function itself; or 0 */
	uint16_t fn; /* index of functions[] */
	bool lazy; /* it may hold the way to the linker instead of the function */
};

struct code {
	uint64_t at, size;
};

static const struct code images = { INJECT_AREA,
				    INJECT_PLACES *INJECT_PLACE_BYTES };

static bool in_code(const struct code *c, uint64_t addr)
{
	return addr - c->at < c->size;
}

struct function {
	struct image_function f;
	uint64_t original; /* 0: the process has none */
};

struct inject {
	uint32_t pid;
	int mem; /* /proc/PID/mem: of this image, not of what exec makes of it */
	unsigned int filters; /* of the main thread; they let us through */
	bool filtered; /* some thread has one */
	bool brief; /* do not wait for the dynamic linker */
	uint64_t r_debug;
	uint64_t sum; /* of the objects that were looked through */
	uint64_t gap; /* where system calls are made from (intake/remote.h) */
	struct remote_note left; /* what one that was killed was mapping */
	struct libs libs; /* only while they are looked through */
	const struct lib *reading; /* the one that is */
	struct proc_map *maps; /* as well */
	size_t nr_maps;
	struct image image;
	bool mapped; /* the image is in the process */
	struct function functions[FUNCTIONS_MAX];
	size_t nr_functions;
	/* Mallocs of other objects than the one that has ours. */
	uint64_t others[OTHERS_MAX];
	size_t nr_others;
	struct pointer *pointers;
	size_t nr, room;
	bool no_memory;
	bool foreign; /* symbols lead to the shim of another version */
	struct inject_totals totals;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* ---- memory of the process ---- */

static bool get(const struct inject *in, uint64_t addr, void *to, size_t n)
{
	return pread(in->mem, to, n, (off_t)addr) == (ssize_t)n;
}

static bool put(const struct inject *in, uint64_t addr, const void *from,
		size_t n)
{
	return pwrite(in->mem, from, n, (off_t)addr) == (ssize_t)n;
}

static uint64_t get_word(const struct inject *in, uint64_t addr)
{
	uint64_t w = 0;

	return get(in, addr, &w, 8) ? w : 0;
}

/* A kernel may forbid such writes (proc_mem.force_override=), but not ptrace's. */
static bool put_word(const struct inject *in, const struct proc_stopped *st,
		     uint64_t addr, uint64_t w)
{
	return put(in, addr, &w, 8) ||
	       (st->nr && !ptrace(PTRACE_POKEDATA, st->tids[0], addr, w));
}

/* ---- may it be done? ---- */

__attribute__((format(printf, 2, 3))) static int refuse(char **why,
							const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = NULL;
	va_end(ap);
	return -EPERM;
}

static bool any_filtered(uint32_t pid)
{
	uint32_t *tids;
	long i, nr = proc_tids(pid, &tids);
	bool any = false;

	for (i = 0; i < nr && !any; i++)
		any = proc_filters((pid_t)tids[i]);
	free(tids);
	return any;
}

/* What /proc/PID/status has against it. */
static int check_status(uint32_t pid, char **why)
{
	unsigned int tracer = 0, kthread = 0;
	char path[64], line[256], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", proc_number(pid));
	f = fopen(path, "re");
	if (!f)
		return refuse(why, "there is no such process");
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "State: %c", &state);
		sscanf(line, "TracerPid: %u", &tracer);
		sscanf(line, "Kthread: %u", &kthread);
	}
	fclose(f);
	if (state == 'Z' || state == 'X')
		return refuse(why, "it has ended");
	if (kthread)
		return refuse(why, "it is a kernel thread");
	if (tracer)
		return refuse(why, "process %u traces it", tracer);
	return 0;
}

static int check_program(uint32_t pid, char **why)
{
	unsigned char id[20] = { 0 };
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/exe", proc_number(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(why, "%s",
			      errno == ENOENT ?
				      "it has no program (a kernel thread)" :
				      "its program cannot be read");
	n = read(fd, id, sizeof(id));
	close(fd);
	if (n != sizeof(id) || id[EI_CLASS] != ELFCLASS64 ||
	    id[18] != EM_X86_64)
		return refuse(why, "it is no 64-bit program");
	return 0;
}

/* ---- what it has loaded ---- */

static const struct proc_map *map_of(const struct inject *in, uint64_t addr)
{
	return proc_map_at(in->maps, in->nr_maps, addr);
}

static bool same_file(const struct proc_map *a, const struct proc_map *b)
{
	return a && b && a->d.ino && a->d.ino == b->d.ino &&
	       a->d.dev == b->d.dev;
}

static int read_maps(struct inject *in)
{
	long nr;

	free(in->maps);
	in->maps = NULL;
	in->nr_maps = 0;
	nr = proc_maps(in->pid, &in->maps);
	if (nr < 0)
		return (int)nr;
	in->nr_maps = (size_t)nr;
	return 0;
}

static struct pointer *pointer_at(const struct inject *in, uint64_t addr)
{
	size_t i;

	for (i = 0; i < in->nr; i++)
		if (in->pointers[i].addr == addr)
			return &in->pointers[i];
	return NULL;
}

/* NULL: it is known already. */
static struct pointer *add_pointer(struct inject *in, uint64_t addr, size_t fn,
				   bool lazy)
{
	struct pointer *p;

	if (pointer_at(in, addr))
		return NULL;
	if (in->nr == in->room) {
		in->room = in->room ? 2 * in->room : 256;
		p = realloc(in->pointers, in->room * sizeof(*p));
		if (!p) {
			in->no_memory = true;
			in->room = in->nr;
			return NULL;
		}
		in->pointers = p;
	}
	p = &in->pointers[in->nr++];
	*p = (struct pointer){ .addr = addr, .fn = (uint16_t)fn, .lazy = lazy };
	return p;
}

/* A call from where the function is itself, which is not to be seen. */
static bool is_own_affair(const struct inject *in, const struct function *fn)
{
	return fn->f.is_own &&
	       lib_symbol(in->mem, in->reading, fn->f.name) == fn->original;
}

static void found_pointer(void *ctx, const char *name, uint64_t addr, bool lazy)
{
	struct inject *in = ctx;
	struct pointer *p;
	size_t i;

	for (i = 0; i < in->nr_functions; i++) {
		if (!in->functions[i].original ||
		    strcmp(name, in->functions[i].f.name) ||
		    is_own_affair(in, &in->functions[i]))
			continue;
		p = add_pointer(in, addr, i, lazy);
		if (p)
			p->own = lib_symbol(in->mem, in->reading, name);
	}
}

struct definition {
	struct inject *in;
	size_t fn;
};

static void found_definition(void *ctx, uint64_t addr, uint64_t at)
{
	const struct definition *d = ctx;
	const struct function *fn = &d->in->functions[d->fn];
	struct pointer *p = NULL;

	if (addr == fn->original || addr == fn->f.hook)
		p = add_pointer(d->in, at, d->fn, false);
	if (p)
		p->base = d->in->reading->d.base;
}

/*
 * Where the dynamic linker will find the functions, and dlsym(). Not those whose own
 * object may call them for its own purposes.
 */
static void scan_symbols(struct inject *in)
{
	size_t i, where;

	for (i = 0; i < in->nr_functions; i++) {
		const struct function *fn = &in->functions[i];

		if (!fn->original || fn->f.is_own ||
		    !libs_symbol(in->mem, &in->libs, fn->f.name, &where))
			continue;
		in->reading = &in->libs.at[where];
		lib_definitions(in->mem, in->reading, fn->f.name,
				found_definition,
				&(struct definition){ in, i });
	}
}

static void scan_others(struct inject *in)
{
	size_t i;

	in->nr_others = 0;
	for (i = 0; i < in->libs.nr && in->nr_others < OTHERS_MAX; i++) {
		uint64_t at = lib_symbol(in->mem, &in->libs.at[i], "malloc");

		if (at && at != in->functions->original &&
		    at != in->functions->f.hook)
			in->others[in->nr_others++] = at;
	}
}

static bool is_rtld_function(const char *name)
{
	return !strcmp(name, "malloc") || !strcmp(name, "free") ||
	       !strcmp(name, "calloc") || !strcmp(name, "realloc");
}

static void scan_words(struct inject *in, const uint64_t *w, size_t nr,
		       uint64_t at)
{
	size_t i, j;

	for (i = 0; i < nr; i++)
		for (j = 0; w[i] && j < in->nr_functions; j++)
			if ((w[i] == in->functions[j].original ||
			     w[i] == in->functions[j].f.hook) &&
			    is_rtld_function(in->functions[j].f.name))
				add_pointer(in, at + 8 * i, j, false);
}

/*
 * glibc's dynamic linker calls the program's malloc by four variables of its own
 * (elf/dl-minimal.c, __rtld_malloc) for which there is no relocation.
 */
static void scan_linker(struct inject *in)
{
	const struct proc_map *linker = map_of(in, in->libs.linker), *m;
	static uint64_t words[1 << 15];
	size_t i;

	for (i = 0; linker && i < in->nr_maps; i++) {
		m = &in->maps[i];
		if (same_file(m, linker) && !(m->d.flags & VMA_EXEC) &&
		    m->d.end - m->d.start <= sizeof(words) &&
		    get(in, m->d.start, words, m->d.end - m->d.start))
			scan_words(in, words, (m->d.end - m->d.start) / 8,
				   m->d.start);
	}
}

static int read_objects(struct inject *in)
{
	int err;

	libs_free(&in->libs);
	err = libs_read(in->mem, in->r_debug, &in->libs);
	return err ? err : read_maps(in);
}

/* Looks through all objects: the pointers that are not known yet are added. */
static int gather(struct inject *in)
{
	int err = read_objects(in);
	size_t i;

	if (err)
		return err;
	/* Nonsense in one object is that object's affair. */
	for (i = 0; i < in->libs.nr; i++) {
		in->reading = &in->libs.at[i];
		lib_pointers(in->mem, in->reading, found_pointer, in);
	}
	scan_symbols(in);
	scan_others(in);
	scan_linker(in);
	in->sum = in->libs.sum;
	libs_free(&in->libs);
	return in->no_memory ? -ENOMEM : 0;
}

static uint64_t resolve(void *ctx, const char *name)
{
	struct inject *in = ctx;
	size_t where;

	return libs_symbol(in->mem, &in->libs, name, &where);
}

/* Is there a library that has functions of its own (probe/names.h)? */
static bool has_names(const struct inject *in)
{
	static const char *const marks[] = NAMES_MARKS;
	size_t i, where;

	for (i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (libs_symbol(in->mem, &in->libs, marks[i], &where))
			return true;
	return false;
}

static bool has_text(const struct inject *in, const struct image *im)
{
	unsigned char *text = malloc(im->text_size);
	bool same = text && get(in, im->at + im->text, text, im->text_size) &&
		    !memcmp(text, im->bytes + im->text, im->text_size);

	free(text);
	return same;
}

/* The image that symbols lead to. */
struct left {
	struct image im; /* as it would be; at 0: none was made yet */
	bool same; /* it is so */
};

/*
 * What the i-th function's symbol led to before an earlier injector, which was killed,
 * or that of the process that this one is a fork of: its image knows.
 */
static uint64_t unhooked(struct inject *in, size_t i, uint64_t at,
			 struct left *l)
{
	uint64_t place = at - (at - INJECT_AREA) % INJECT_PLACE_BYTES, was = 0;
	struct image_function f;

	if (!in_code(&images, at))
		return at;
	if (l->im.at != place) {
		image_free(&l->im);
		l->same = !image_make(&l->im, place, resolve, in) &&
			  has_text(in, &l->im);
	}
	if (l->same && image_function(&l->im, i, &f) && f.hook == at)
		was = get_word(in, place + f.next);
	in->foreign |= !was;
	return was;
}

/*
 * Operators of C++ that are not of the allocator's own object call malloc, by a
 * pointer that we know.
 */
static uint64_t find_original(const struct inject *in, const char *name,
			      bool is_own, size_t home, bool names)
{
	bool cxx = !strncmp(name, "_Z", 2);
	size_t where;
	uint64_t at;

	if (is_own && !cxx && !names)
		return 0;
	at = libs_symbol(in->mem, &in->libs, name, &where);
	return cxx && where != home ? 0 : at;
}

static void find_originals(struct inject *in)
{
	size_t i, home = SIZE_MAX, libc = SIZE_MAX;
	bool names = has_names(in);
	struct left left = { 0 };

	libs_symbol(in->mem, &in->libs, "malloc", &home);
	libs_symbol(in->mem, &in->libs, "mprotect", &libc);
	in->image.bytes[image_symbol(&in->image, "libc_hooked")] = home == libc;
	in->foreign = false;
	for (i = 0; i < FUNCTIONS_MAX; i++) {
		struct function *fn = &in->functions[i];

		if (!image_function(&in->image, i, &fn->f))
			break;
		fn->original =
			unhooked(in, i,
				 find_original(in, fn->f.name, fn->f.is_own,
					       home, names),
				 &left);
		if (fn->original)
			memcpy(in->image.bytes + fn->f.next, &fn->original, 8);
	}
	in->nr_functions = i;
	image_free(&left.im);
}

static bool is_code(const struct proc_map *m)
{
	const uint32_t has = VMA_FILE | VMA_READ | VMA_EXEC;

	return m && (m->d.flags & (has | VMA_WRITE | VMA_SHARED)) == has;
}

/* A gap behind the code of one object. */
static bool try_gap(struct inject *in, uint64_t base)
{
	uint64_t at = lib_gap(in->mem, base, REMOTE_BYTES);

	if (!at || !is_code(map_of(in, at)) ||
	    remote_gap(in->mem, at, &in->left) == REMOTE_GAP_USED)
		return false;
	in->gap = at;
	return true;
}

/* Of an object that is never unloaded: libc, the linker, the program. */
static bool find_gap(struct inject *in)
{
	size_t where;

	if (read_maps(in))
		return false;
	if (libs_symbol(in->mem, &in->libs, "mprotect", &where) &&
	    try_gap(in, in->libs.at[where].d.base))
		return true;
	return try_gap(in, in->libs.linker) ||
	       (in->libs.nr && try_gap(in, in->libs.at[0].d.base));
}

static bool has_lib(const struct inject *in, const char *part)
{
	size_t i;

	for (i = 0; i < in->libs.nr; i++)
		if (strstr(in->libs.at[i].name, part))
			return true;
	return false;
}

/*
 * The linker's list, when it is not at work on it. The process runs, and may change
 * it under us: it must be the same twice.
 */
static int read_libs(struct inject *in)
{
	int err, tries = 0;
	uint64_t sum;

	do {
		if (tries)
			nap(TRY_NS);
		libs_free(&in->libs);
		err = libs_find(in->pid, in->mem, &in->r_debug);
		if (!err)
			err = libs_read(in->mem, in->r_debug, &in->libs);
		if (!err)
			err = libs_sum(in->mem, in->r_debug, &sum);
		if (!err && sum != in->libs.sum)
			err = -EAGAIN;
	} while ((err == -EAGAIN || err == -EBADMSG) &&
		 tries++ < (in->brief ? BRIEF_TRIES : LOADING_TRIES));
	return err;
}

/* dlmopen() gives libraries a C library of their own, which is in no list that we read. */
static bool has_second_libc(const struct inject *in)
{
	const struct proc_map *libc, *m;
	size_t where;

	libc = map_of(in, libs_symbol(in->mem, &in->libs, "mprotect", &where));
	for (m = in->maps; libc && m < in->maps + in->nr_maps; m++)
		if (m != libc && same_file(m, libc) &&
		    m->d.offset == libc->d.offset && m->d.flags & VMA_EXEC)
			return true;
	return false;
}

/* The first look: everything that needs no stop. */
static int study(struct inject *in, char **why)
{
	int err = read_libs(in);

	if (err == -ENOEXEC)
		return refuse(why, "it is statically linked");
	if (err == -EAGAIN)
		refuse(why, "its dynamic linker is at work all the time");
	else if (err)
		refuse(why, "its list of libraries cannot be read: %s",
		       strerror(-err));
	if (err)
		return err;
	/* It calls its own functions directly, by no pointer that could be set. */
	if (in->libs.nr && lib_symbol(in->mem, &in->libs.at[0], "malloc"))
		return refuse(why, "it defines malloc itself");
	if (has_lib(in, PRELOADED))
		return refuse(why, "it has the shim already, preloaded");
	if (!find_gap(in))
		return refuse(
			why,
			"no room behind the code of its libc, linker or program");
	in->totals.apart = has_second_libc(in);
	return 0;
}

/* Makes the image for the i-th place. */
static int prepare(struct inject *in, unsigned int i, char **why)
{
	int err = read_libs(in);

	if (err)
		return refuse(why, "its list of libraries cannot be read: %s",
			      strerror(-err));
	image_free(&in->image);
	err = image_make(&in->image, INJECT_AREA + i * INJECT_PLACE_BYTES,
			 resolve, in);
	if (!err)
		find_originals(in);
	libs_free(&in->libs);
	in->nr = 0;
	in->mapped = false;
	if (err == -ENOEXEC)
		return refuse(why, "its libc lacks what the shim needs");
	if (err)
		return refuse(why, "%s", strerror(-err));
	if (in->foreign)
		return refuse(
			why,
			"the shim of another version of vmaheap is still in it");
	if (!in->functions[0].original || !in->functions[1].original)
		return refuse(why, "no malloc found (allocator opaque)");
	return 0;
}

/* ---- setting pointers; the process stands still ---- */

static bool is_set(const struct inject *in, const struct pointer *p)
{
	return p->was &&
	       get_word(in, p->addr) + p->base == in->functions[p->fn].f.hook;
}

/*
 * What a pointer is to be put back to; 0: leave it alone. A slot that has not
 * been bound yet holds an address in the object's own procedure linkage table.
 */
static uint64_t worth_setting(const struct inject *in, const struct pointer *p,
			      uint64_t value)
{
	const struct function *fn = &in->functions[p->fn];

	if (value == fn->original)
		return value;
	if (value == fn->f.hook) /* left by one that was killed; or inherited */
		return fn->original;
	if (p->lazy && map_of(in, value) &&
	    map_of(in, value)->d.flags & VMA_EXEC &&
	    same_file(map_of(in, value), map_of(in, p->addr)) &&
	    value != p->own)
		return value;
	return 0;
}

/*
 * A library looked in the C library first (RTLD_DEEPBIND), and before that there is
 * a library that has a malloc.
 */
static bool calls_another(const struct inject *in, const struct pointer *p,
			  uint64_t value)
{
	size_t i;

	for (i = 0; i < in->nr_others; i++)
		if (value == in->others[i])
			return !p->fn && value != p->own;
	return false;
}

static int set_pointers(struct inject *in, const struct proc_stopped *st)
{
	size_t i;

	for (i = 0; i < in->nr; i++) {
		struct pointer *p = &in->pointers[i];
		uint64_t hook = in->functions[p->fn].f.hook, value;

		if (is_set(in, p) || !get(in, p->addr, &value, 8))
			continue;
		p->was = worth_setting(in, p, value + p->base);
		if (!p->was && calls_another(in, p, value))
			in->totals.apart = true;
		if (p->was && !put_word(in, st, p->addr, hook - p->base))
			return -errno;
	}
	return 0;
}

static int put_back(struct inject *in, const struct proc_stopped *st)
{
	int err = 0;
	size_t i;

	for (i = 0; i < in->nr; i++) {
		const struct pointer *p = &in->pointers[i];

		if (is_set(in, p) &&
		    !put_word(in, st, p->addr, p->was - p->base))
			err = -EIO;
	}
	return err;
}

/* Pointers that are not ours to set are looked at again when something is new. */
static void forget_unset(struct inject *in)
{
	size_t i, n = 0;

	for (i = 0; i < in->nr; i++)
		if (is_set(in, &in->pointers[i]))
			in->pointers[n++] = in->pointers[i];
	in->nr = n;
	in->totals.pointers = (unsigned int)n;
}

/* What leads to the image was set by one that was killed, or before a fork. */
static void take_over(struct inject *in)
{
	size_t i;

	for (i = 0; i < in->nr; i++)
		in->pointers[i].was =
			in->functions[in->pointers[i].fn].original;
	forget_unset(in);
}

/* ---- the image ---- */

/*
 * The image's data as they are before its first instruction; the key stays, of
 * which a process has few, and a thread may have it set.
 */
static bool write_data(const struct inject *in, bool silent)
{
	const struct image *im = &in->image;
	size_t key, state, quiet;
	size_t homes = image_symbol(im, "inject_homes");
	size_t rest = homes + INJECT_HOME_BYTES;
	unsigned char *data = calloc(1, im->data_size);
	uint32_t now = silent ? SHIM_SILENT : 0;
	bool ok;

	if (!data)
		return false;
	memcpy(data, im->bytes + im->data, im->data_size);
	key = image_symbol(im, "exit_key") - im->data;
	state = image_symbol(im, "shim_state") - im->data;
	quiet = image_symbol(im, "shim_silent") - im->data;
	memcpy(data + state, &now, 4);
	data[quiet] = silent;
	ok = get(in, im->at + im->data + key, data + key, 8);
	/* Around the homes, which are pages of their own. */
	ok = ok && put(in, im->at + im->data, data, homes - im->data);
	ok = ok && put(in, im->at + rest, data + (rest - im->data),
		       im->data_size - (rest - im->data));
	free(data);
	return ok;
}

/* No thread has a slot any more. Only lines that were used are written. */
static bool clear_homes(const struct inject *in)
{
	static const unsigned char none[64];
	unsigned char *homes = malloc(INJECT_HOME_BYTES);
	uint64_t at = in->image.at + image_symbol(&in->image, "inject_homes");
	bool ok = homes && get(in, at, homes, INJECT_HOME_BYTES);
	size_t i;

	for (i = 0; ok && i < INJECT_HOME_BYTES; i += 64)
		if (memcmp(homes + i, none, 64))
			ok = put(in, at + i, none, 64);
	free(homes);
	return ok;
}

static long call(struct remote *r, long nr, uint64_t a, uint64_t b, uint64_t c,
		 uint64_t d)
{
	return remote_call(r, nr, a, b, c, d, ~0ull, 0);
}

/*
 * Is there what one that was killed had begun to map for an image? No pointer was
 * set to it yet, so no thread is in it. Its limits and that none of it is code
 * tell it from what the process may have put there since.
 */
static bool is_half(const struct inject *in)
{
	uint64_t at = in->left.at, end = at + in->left.size;
	const struct proc_map *m = map_of(in, at);

	if (!m || at != in->image.at || m->d.start != at)
		return false;
	for (; m < in->maps + in->nr_maps && m->d.start < end; m++)
		if (m->d.flags & (VMA_FILE | VMA_SHARED | VMA_EXEC) ||
		    m->d.end > end)
			return false;
	return m[-1].d.end == end;
}

/*
 * Maps the image writable and fills it; then each part gets its protection, the
 * code last: what is executable is complete.
 */
static int map_image(struct inject *in, struct remote *r)
{
	const struct image *im = &in->image;
	uint64_t homes = im->at + image_symbol(im, "inject_homes");
	long got = 0;

	if (is_half(in))
		got = call(r, SYS_munmap, in->left.at, in->left.size, 0, 0);
	if (!got)
		got = call(r, SYS_mmap, im->at, im->size,
			   PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				   MAP_FIXED_NOREPLACE);
	if (got < 0)
		return (int)got;
	if ((uint64_t)got != im->at) { /* before Linux 4.17 only a hint */
		call(r, SYS_munmap, (uint64_t)got, im->size, 0, 0);
		return -EEXIST;
	}
	if (put(in, im->at, im->bytes, im->data) && write_data(in, false))
		got = call(r, SYS_mprotect, im->at, im->data, PROT_READ, 0);
	else
		got = -EIO;
	if (!got)
		got = call(r, SYS_madvise, homes, INJECT_HOME_BYTES,
			   MADV_WIPEONFORK, 0);
	if (!got)
		got = call(r, SYS_mprotect, im->at + im->text, im->text_size,
			   PROT_READ | PROT_EXEC, 0);
	if (got)
		call(r, SYS_munmap, im->at, im->size, 0, 0);
	else
		in->mapped = true;
	return (int)got;
}

/* Is our image there? 0: no; 1: yes; -EEXIST: something else is. */
static int find_image(struct inject *in)
{
	if (read_maps(in))
		return -ESRCH;
	if (!map_of(in, in->image.at) || is_half(in))
		return 0;
	in->mapped = has_text(in, &in->image);
	return in->mapped ? 1 : -EEXIST;
}

/* ---- is a thread inside? ---- */

/*
 * From the stack pointer to the end of its mapping, every word that could be a
 * return address into that code counts, so "no" is sure and "yes" is not: there
 * may be words that nobody has written since, most of all where a thread waits. Then
 * it takes an unwinder to tell.
 */
static bool stack_enters(const struct inject *in, const struct code *c,
			 uint64_t sp)
{
	const struct proc_map *m = map_of(in, sp);
	uint64_t words[1024], end;
	size_t i, n;

	if (!m)
		return true;
	end = m->d.end - sp > STACK_MAX ? sp + STACK_MAX : m->d.end;
	for (sp &= ~7ull; sp < end; sp += 8 * n) {
		n = (end - sp) / 8 < 1024 ? (end - sp) / 8 : 1024;
		if (!n)
			break;
		if (!get(in, sp, words, 8 * n))
			return true;
		for (i = 0; i < n; i++)
			if (in_code(c, words[i]))
				return true;
	}
	return false;
}

/* *u: opened when it is needed first. */
static bool is_inside(const struct inject *in, const struct code *c, pid_t tid,
		      struct unwind **u)
{
	struct user_regs_struct regs;
	int err = proc_registers(tid, &regs);

	if (err)
		return err != -ENODATA;
	if (in_code(c, regs.rip))
		return true;
	if (!stack_enters(in, c, regs.rsp))
		return false;
	if (!*u)
		*u = unwind_open(in->pid, in->maps, in->nr_maps);
	return !*u || !unwind_avoids(*u, tid, c->at, c->at + c->size);
}

/* May any of them be? */
static bool any_inside(const struct inject *in, const struct code *c,
		       const struct proc_stopped *st)
{
	struct unwind *u = NULL;
	bool inside = false;
	size_t i;

	for (i = 0; i < st->nr && !inside; i++)
		inside = is_inside(in, c, st->tids[i], &u);
	unwind_close(u);
	return inside;
}

/* ---- stops ---- */

static void count_stop(struct inject *in, uint64_t since)
{
	uint64_t ns = now_ns() - since;

	in->totals.stops++;
	in->totals.stopped_ns += ns;
	if (ns > in->totals.longest_ns)
		in->totals.longest_ns = ns;
}

/*
 * Runs act() while the process stands still; again, some times, when it says
 * -EAGAIN or -EBUSY, or a thread did not stop.
 */
static int while_stopped(struct inject *in,
			 int (*act)(struct inject *in, struct proc_stopped *st))
{
	unsigned int ms = STOP_MS, tries = 0;
	struct proc_stopped st;
	long ns = TRY_NS;
	uint64_t since;
	int err;

	for (;;) {
		since = now_ns();
		err = proc_stop(in->pid, ms, &st);
		if (!err) {
			err = act(in, &st);
			proc_go(&st);
		}
		count_stop(in, since);
		if (err == -ETIMEDOUT && ms < STOP_MAX_MS)
			ms *= 2;
		else if ((err != -EAGAIN && err != -EBUSY) || ++tries == TRIES)
			break;
		nap(ns);
		ns = ns < TRY_MAX_NS ? 2 * ns : ns;
	}
	return err;
}

/* Were the objects that we have looked through all that there are? */
static int check_libs(struct inject *in)
{
	uint64_t sum;
	int err = libs_sum(in->mem, in->r_debug, &sum);

	return err || sum == in->sum ? err : gather(in);
}

/*
 * Where one was killed a thread may still be on its way out of what it left, or
 * in a signal handler that began there. -EAGAIN: so it is; -EBUSY: at work.
 */
static int check_gap(struct inject *in, const struct proc_stopped *st)
{
	struct code gap = { in->gap, REMOTE_BYTES };
	struct remote_note note;

	switch (remote_gap(in->mem, in->gap, &note)) {
	case REMOTE_GAP_FREE:
		return 0;
	case REMOTE_GAP_LEFT:
		return read_maps(in)		? -ESRCH :
		       any_inside(in, &gap, st) ? -EAGAIN :
						  0;
	default:
		return -EBUSY;
	}
}

static int with_remote(struct inject *in, struct proc_stopped *st,
		       int (*act)(struct inject *in, struct remote *r))
{
	struct remote_note note = { 0 };
	struct remote r;
	int err = check_gap(in, st);

	if (!err && !in->mapped)
		note = (struct remote_note){ in->image.at, in->image.size };
	if (!err)
		err = remote_begin(&r, st, in->mem, in->gap, note);
	if (err)
		return err;
	err = act(in, &r);
	remote_end(&r);
	return err;
}

/* -EACCES: what the shim asks for may not be allowed. (Filters are a thread's.) */
static int check_filters(struct inject *in, const struct proc_stopped *st)
{
	size_t i;

	for (i = 0; in->filtered && i < st->nr; i++)
		if (!seccomp_allows(st->tids[i]))
			return -EACCES;
	return 0;
}

static int act_attach(struct inject *in, struct proc_stopped *st)
{
	int err = check_filters(in, st);

	if (!err)
		err = check_libs(in);
	if (!err && !in->mapped)
		err = with_remote(in, st, map_image);
	if (!err)
		err = set_pointers(in, st);
	if (err)
		put_back(in, st);
	return err;
}

static int act_look(struct inject *in, struct proc_stopped *st)
{
	int err = check_libs(in);

	return err ? err : set_pointers(in, st);
}

bool inject_alive(const struct inject *in)
{
	char byte;

	return get(in, in->image.at, &byte, 1);
}

static bool write_silence(const struct inject *in)
{
	uint32_t silent = SHIM_SILENT;
	const struct image *im = &in->image;

	return put(in, im->at + image_symbol(im, "shim_state"), &silent, 4) &&
	       put(in, im->at + image_symbol(im, "shim_silent"), &silent, 1);
}

static uint64_t process_of(const struct inject *in)
{
	return get_word(in, in->image.at + image_symbol(&in->image, "process"));
}

/* What the shim does with them at exit (shim_slot.c, tell_unheard()) is our affair here. */
static void take_unheard(struct inject *in)
{
	uint64_t process = process_of(in), none = 0;
	uint64_t at = process + INJECT_PROCESS_LOST;
	uint64_t lost = process ? get_word(in, at) : 0;

	if (lost && put(in, at, &none, 8))
		in->totals.unheard += lost;
}

static int act_silence(struct inject *in, struct proc_stopped *st)
{
	int err;

	if (!inject_alive(in))
		return -ESRCH;
	err = put_back(in, st);
	take_unheard(in);
	return write_silence(in) && clear_homes(in) ? err : -EIO;
}

/* ---- taking it out ---- */

/*
 * What the shim has mapped and nobody else: rings and stamp, by their names;
 * anonymous memory, where struct process says.
 */
static bool is_shared_by_shim(const struct proc_map *m)
{
	return m->d.flags & VMA_SHARED &&
	       (!strncmp(m->name, "/memfd:vmaheap-", 15) ||
		!strcmp(m->name, "/proc/vmaheap/stamp"));
}

static bool is_of_shim(const struct inject *in, const struct proc_map *m)
{
	uint64_t process = process_of(in);
	uint64_t place = (m->d.start - SHIM_REGION) / SHIM_PLACE_BYTES;
	uint32_t tried = 0;

	if (m->d.start < SHIM_REGION || m->d.end > INJECT_AREA ||
	    m->d.start % SHIM_PLACE_BYTES ||
	    m->d.end - m->d.start > SHIM_PLACE_BYTES)
		return false;
	if (m->d.flags & (VMA_FILE | VMA_SHARED))
		return is_shared_by_shim(m);
	if (!process)
		return false;
	get(in, process + INJECT_PROCESS_PLACE, &tried, 4);
	return m->d.start == process || (place >= SHIM_WIPED_PLACES &&
					 place < SHIM_WIPED_PLACES + tried);
}

/* From the last on: struct process, which the others are known by, is the first. */
static int unmap_all(struct inject *in, struct remote *r)
{
	long err = 0;
	size_t i;

	for (i = in->nr_maps; !err && i--;)
		if (is_of_shim(in, &in->maps[i]))
			err = call(r, SYS_munmap, in->maps[i].d.start,
				   in->maps[i].d.end - in->maps[i].d.start, 0,
				   0);
	return (int)err;
}

/* Rings and stamp: a thread that is inside writes into nothing instead. */
static int empty_all(struct inject *in, struct remote *r)
{
	long got = 0;
	size_t i;

	for (i = 0; got >= 0 && i < in->nr_maps; i++)
		if (in->maps[i].d.flags & VMA_SHARED &&
		    is_of_shim(in, &in->maps[i]))
			got = call(r, SYS_mmap, in->maps[i].d.start,
				   in->maps[i].d.end - in->maps[i].d.start,
				   PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
					   MAP_FIXED);
	return got < 0 ? (int)got : 0;
}

static int act_leave(struct inject *in, struct proc_stopped *st)
{
	int err = inject_alive(in) ? read_maps(in) : -ESRCH;

	if (!err)
		err = put_back(in, st); /* if it did not stop before */
	if (!err && any_inside(in, &images, st))
		err = -EAGAIN;
	if (!err)
		err = with_remote(in, st, unmap_all);
	if (!err && !(clear_homes(in) && write_data(in, true)))
		err = -EIO;
	return err;
}

static int act_empty(struct inject *in, struct proc_stopped *st)
{
	int err = inject_alive(in) ? read_maps(in) : -ESRCH;

	return err ? err : with_remote(in, st, empty_all);
}

/* ---- in and out ---- */

void inject_free(struct inject *in)
{
	if (in->mem >= 0)
		close(in->mem);
	libs_free(&in->libs);
	image_free(&in->image);
	free(in->maps);
	free(in->pointers);
	free(in);
}

static struct inject *inject_new(uint32_t pid)
{
	struct inject *in = calloc(1, sizeof(*in));
	char path[32];

	if (!in)
		return NULL;
	in->pid = pid;
	snprintf(path, sizeof(path), "/proc/%u/mem", proc_number(pid));
	in->mem = open(path, O_RDWR | O_CLOEXEC);
	if (in->mem >= 0)
		return in;
	free(in);
	return NULL;
}

/* Does somebody listen where the shim in this process connects to? */
static bool is_served(const struct inject *in)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	if (!get(in, in->image.at + image_symbol(&in->image, "inject_sock"),
		 addr.sun_path, sizeof(addr.sun_path)))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	addr.sun_path[sizeof(addr.sun_path) - 1] = 0;
	err = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? errno : 0;
	close(fd);
	return !err || err == EAGAIN;
}

static bool has_leftovers(const struct inject *in)
{
	size_t i;

	for (i = 0; i < in->nr_maps; i++)
		if (is_of_shim(in, &in->maps[i]))
			return true;
	return false;
}

static uint32_t image_state(const struct inject *in)
{
	uint32_t state = SHIM_SILENT;

	get(in, in->image.at + image_symbol(&in->image, "shim_state"), &state,
	    4);
	return state;
}

/*
 * An image that is there: of an earlier watch that has ended well, or of one
 * whose daemon was killed, then it is taken out first. -EBUSY: a thread may be
 * inside; -EPERM: refused.
 */
static int reuse_image(struct inject *in, char **why)
{
	int err = 0;

	if (image_state(in) == SHIM_SILENT && !has_leftovers(in))
		return 0;
	if (image_state(in) != SHIM_SILENT && is_served(in))
		return refuse(why, "another vmaheap has injected into it");
	gather(in);
	take_over(in);
	if (image_state(in) != SHIM_SILENT)
		err = while_stopped(in, act_silence);
	if (!err)
		err = while_stopped(in, act_leave);
	forget_unset(in);
	return err ? -EBUSY : 0;
}

/* A place where the image can go, or is already and at rest. */
static int find_place(struct inject *in, char **why)
{
	unsigned int i;
	int err;

	for (i = 0; i < INJECT_PLACES; i++) {
		err = prepare(in, i, why);
		if (err)
			return err;
		err = find_image(in);
		if (!err)
			return 0;
		if (err == -ESRCH)
			return refuse(why, "it has ended");
		err = err == 1 ? reuse_image(in, why) : -EBUSY;
		if (err != -EBUSY)
			return err;
	}
	return refuse(
		why,
		"threads of it may still be inside of the shims of earlier watches");
}

static int put_in(struct inject *in, const char *sock, char **why)
{
	int err = find_place(in, why);

	if (err)
		return err;
	memcpy(in->image.bytes + image_symbol(&in->image, "inject_sock"), sock,
	       strlen(sock) + 1);
	if (in->mapped && !write_data(in, false))
		return refuse(why, "its memory cannot be written");
	gather(in); /* what can be done before the stop */
	err = while_stopped(in, act_attach);
	if (err && in->mapped)
		write_silence(in); /* it is at rest again */
	return err;
}

static int start(struct inject *in, const char *sock, char **why)
{
	int tries = 0, err = study(in, why);

	if (err)
		return err;
	/* The process may still be mapping for one that was killed. */
	do
		err = put_in(in, sock, why);
	while (err == -EEXIST && ++tries < TRIES);
	if (err == -EACCES)
		err = refuse(
			why,
			"a seccomp filter guards it, which may kill it for a system call of the shim");
	if (err && !*why)
		refuse(why, "%s",
		       err == -ETIMEDOUT ?
			       "a thread of it does not stop: it waits in the kernel (for a vfork child?)" :
		       err == -EAGAIN ?
			       "its dynamic linker is at work all the time" :
		       err == -EBUSY ?
			       "none of its threads can be used (restartable sequences)" :
			       strerror(-err));
	forget_unset(in);
	return err;
}

struct inject *inject_open(uint32_t pid, const char *sock, bool brief,
			   char **why)
{
	struct inject *in = NULL;
	int err = -EPERM;

	*why = NULL;
	if (strlen(sock) >= INJECT_SOCK_BYTES || check_status(pid, why) ||
	    check_program(pid, why))
		goto out;
	in = inject_new(pid);
	if (!in) {
		refuse(why, "its memory cannot be opened: %s", strerror(errno));
		goto out;
	}
	in->brief = brief;
	in->filters = proc_filters((pid_t)pid);
	in->filtered = any_filtered(pid);
	err = start(in, sock, why);
	if (!err)
		return in;
	inject_free(in);
out:
	errno = -err;
	return NULL;
}

int inject_preloaded(uint32_t pid)
{
	struct inject *in = inject_new(pid);
	int err;

	if (!in)
		return -errno;
	in->brief = true;
	err = read_libs(in);
	if (!err)
		err = has_lib(in, PRELOADED);
	inject_free(in);
	return err;
}

/* The image that is at work. */
static bool find_active(struct inject *in, char **why)
{
	unsigned int i;

	for (i = 0; i < INJECT_PLACES && !prepare(in, i, why); i++) {
		int rc = find_image(in);

		if (rc == 1 && image_state(in) != SHIM_SILENT)
			return true;
		if (!rc)
			break;
	}
	return false;
}

struct inject *inject_adopt(uint32_t pid)
{
	struct inject *in = inject_new(pid);
	char *why = NULL;

	if (!in)
		return NULL;
	if (!study(in, &why) && find_active(in, &why) && !gather(in)) {
		in->filters = proc_filters((pid_t)pid);
		take_over(in);
		return in;
	}
	free(why);
	inject_free(in);
	return NULL;
}

/* Something that we have set does not hold any more what it did. */
static bool pointers_moved(const struct inject *in)
{
	size_t i;

	for (i = 0; i < in->nr; i++)
		if (!is_set(in, &in->pointers[i]))
			return true;
	return false;
}

/* It hears of a new filter itself, but for one that is asked for past libc. */
static void look_for_filter(const struct inject *in)
{
	uint64_t at = in->image.at + image_symbol(&in->image, "shim_guarded");
	const unsigned char yes = 1;

	if (proc_filters((pid_t)in->pid) > in->filters)
		put(in, at, &yes, 1);
}

void inject_look(struct inject *in)
{
	uint64_t sum;

	look_for_filter(in);
	if (libs_sum(in->mem, in->r_debug, &sum) ||
	    (sum == in->sum && !pointers_moved(in)))
		return;
	forget_unset(in);
	gather(in);
	while_stopped(in, act_look);
	forget_unset(in);
}

/*
 * Pointers are not written while threads may be reading them: what does not stop
 * keeps them for now, and the shim passes its calls on.
 */
int inject_silence(struct inject *in)
{
	int err;

	/* What was loaded last has pointers to put back, too. */
	inject_look(in);
	err = while_stopped(in, act_silence);
	if (err == -ETIMEDOUT)
		write_silence(in);
	return err;
}

bool inject_leave(struct inject *in)
{
	int err = while_stopped(in, act_leave);

	if (err && err != -ESRCH)
		while_stopped(in, act_empty);
	return !err || err == -ESRCH;
}

bool inject_close(struct inject *in)
{
	bool left = inject_leave(in);

	inject_free(in);
	return left;
}

struct inject_totals inject_totals(const struct inject *in)
{
	return in->totals;
}
