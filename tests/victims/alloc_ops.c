// SPDX-License-Identifier: GPL-2.0
/*
 * alloc_ops: calls every function of an allocator, and those of C++ by their
 * names, and prints each call as "OP SIZE ADDR" or "free ADDR" (a realloc as the
 * end of one chunk and the beginning of another): new is a malloc, aligned new an
 * aligned_alloc, delete a free. So are the functions that only one library has, which
 * it asks for as programs do: by weak references. Then "live NR BYTES": what it has
 * left alive.
 * Every call is made in a function whose name begins with victim_. Built for
 * several libraries; NO_CXX: there is no C++ library.
 */
#include "alloc_wait.h"
#include "truth.h"

#define LIVE 20 /* chunks of each function */

static void *live[65536];
static size_t live_size[65536];
static size_t nr_live, live_bytes;

static void *got(const char *op, size_t size, void *p)
{
	if (!p)
		_exit(98);
	truth("%s %zu %p\n", op, size, p);
	memset(p, 0x5a, size);
	return p;
}

static void keep(void *p, size_t size)
{
	live[nr_live] = p;
	live_size[nr_live++] = size;
	live_bytes += size;
}

static void gone(void *p)
{
	truth("free %p\n", p);
}

/* The call and its frame must be this function's: nothing behind it. */
#define TAIL __asm__ volatile("" ::: "memory")
#define VICTIM static __attribute__((noinline))

VICTIM void *victim_malloc(size_t size)
{
	void *p = got("malloc", size, malloc(size));

	TAIL;
	return p;
}

VICTIM void victim_free(void *p)
{
	gone(p);
	free(p);
	TAIL;
}

VICTIM void *victim_calloc(size_t size)
{
	return got("calloc", size, calloc(1, size));
}

VICTIM void *victim_realloc(void *old, size_t size)
{
	uintptr_t was = (uintptr_t)old;
	void *p = realloc(old, size);

	if (was)
		truth("free %#lx\n", (unsigned long)was);
	return got("realloc", size, p);
}

VICTIM void *victim_aligned(const char *op, size_t align, size_t size)
{
	void *p = NULL;

	if (!strcmp(op, "memalign"))
		p = memalign(align, size);
	else if (!strcmp(op, "aligned_alloc"))
		p = aligned_alloc(align, size);
	else if (posix_memalign(&p, align, size))
		p = NULL;
	return got(op, size, p);
}

#ifndef NO_CXX
typedef void *nothrow; /* a reference, to anything */

void *new (size_t) __asm__("_Znwm");
void *new_array(size_t) __asm__("_Znam");
void *new_nothrow(size_t, nothrow) __asm__("_ZnwmRKSt9nothrow_t");
void *new_array_nothrow(size_t, nothrow) __asm__("_ZnamRKSt9nothrow_t");
void *new_aligned(size_t, size_t) __asm__("_ZnwmSt11align_val_t");
void *new_array_aligned(size_t, size_t) __asm__("_ZnamSt11align_val_t");
void *new_aligned_nothrow(size_t, size_t, nothrow) __asm__(
	"_ZnwmSt11align_val_tRKSt9nothrow_t");
void *new_array_aligned_nothrow(size_t, size_t, nothrow) __asm__(
	"_ZnamSt11align_val_tRKSt9nothrow_t");
void delete (void *)__asm__("_ZdlPv");
void delete_array(void *) __asm__("_ZdaPv");
void delete_sized(void *, size_t) __asm__("_ZdlPvm");
void delete_array_sized(void *, size_t) __asm__("_ZdaPvm");
void delete_nothrow(void *, nothrow) __asm__("_ZdlPvRKSt9nothrow_t");
void delete_array_nothrow(void *, nothrow) __asm__("_ZdaPvRKSt9nothrow_t");
void delete_aligned(void *, size_t) __asm__("_ZdlPvSt11align_val_t");
void delete_array_aligned(void *, size_t) __asm__("_ZdaPvSt11align_val_t");
void delete_sized_aligned(void *, size_t,
			  size_t) __asm__("_ZdlPvmSt11align_val_t");
void delete_array_sized_aligned(void *, size_t,
				size_t) __asm__("_ZdaPvmSt11align_val_t");

static char no_throw;

#define FORMS 8

static size_t align_of(int form)
{
	return form < 4 ? 0 : 64;
}

VICTIM void *victim_new(int form, size_t size)
{
	void *p = form == 0 ? new (size) :
		  form == 1 ? new_array(size) :
		  form == 2 ? new_nothrow(size, &no_throw) :
		  form == 3 ? new_array_nothrow(size, &no_throw) :
		  form == 4 ? new_aligned(size, 64) :
		  form == 5 ? new_array_aligned(size, 64) :
		  form == 6 ? new_aligned_nothrow(size, 64, &no_throw) :
			      new_array_aligned_nothrow(size, 64, &no_throw);

	return got(align_of(form) ? "aligned_alloc" : "malloc", size, p);
}

VICTIM void victim_delete(int form, void *p, size_t size)
{
	gone(p);
	switch (form) {
	case 0:
		delete (p);
		break;
	case 1:
		delete_array_sized(p, size);
		break;
	case 2:
		delete_nothrow(p, &no_throw);
		break;
	case 3:
		delete_array_nothrow(p, &no_throw);
		break;
	case 4:
		delete_aligned(p, 64);
		break;
	case 5:
		delete_array_aligned(p, 64);
		break;
	case 6:
		delete_sized_aligned(p, size, 64);
		break;
	case 7:
		delete_array_sized_aligned(p, size, 64);
		break;
	}
	TAIL;
}

/* The two forms that the table above has no place for. */
VICTIM void victim_delete_more(void *p, void *q, size_t size)
{
	gone(p);
	delete_sized(p, size);
	gone(q);
	delete_array(q);
	TAIL;
}

static void cxx(void)
{
	size_t size;
	int form, i;
	void *p;

	delete (NULL); /* no chunk, and it shows nothing of the library */
	for (form = 0; form < FORMS; form++) {
		for (i = 1; i <= LIVE; i++) {
			size = align_of(form) ? 64u * (size_t)i :
						8u * (size_t)i;
			p = victim_new(form, size);
			if (i % 2)
				victim_delete(form, p, size);
			else
				keep(p, size);
		}
	}
	victim_delete_more(victim_new(0, 40), victim_new(1, 50), 40);
}
#endif

/* ---- what only one library has; of its chunks any function may be told */

#define WEAK(ret, name, ...) extern ret name(__VA_ARGS__) __attribute__((weak))

#define OWN(op, size, p) keep(got(op, size, p), size)
/* The call moves p, and makes it of that size. */
#define MOVED(size, p, call)                  \
	do {                                  \
		uintptr_t was = (uintptr_t)p; \
                                              \
		p = call;                     \
		gone((void *)was);            \
		got("realloc", size, p);      \
	} while (0)

#define LG_ALIGN_256 8 /* flags of mallocx() */
#define ZEROED 64

WEAK(void *, mallocx, size_t, int);
WEAK(void *, rallocx, void *, size_t, int);
WEAK(size_t, xallocx, void *, size_t, size_t, int);
WEAK(void, dallocx, void *, int);
WEAK(void, sdallocx, void *, size_t, int);

/* In place: the chunk has 112 bytes. */
VICTIM void victim_xallocx(void *p)
{
	if (xallocx(p, 105, 0, 0) != 112)
		_exit(95);
	gone(p);
	got("realloc", 105, p);
	if (xallocx(p, 100, 10, 0) != 112)
		_exit(95);
	gone(p);
	got("realloc", 110, p);
	if (xallocx(p, 100, 1, 0) != 112)
		_exit(95);
	gone(p);
	got("realloc", 101, p);
	if (xallocx(p, 1000, 2000, 0) != 112)
		_exit(95);
	gone(p);
	truth("realloc 3000 0x0\n"); /* it has failed */
}

VICTIM void victim_jemalloc(size_t size)
{
	void *p;

	OWN("malloc", size, mallocx(size, 0));
	OWN("calloc", size, mallocx(size, ZEROED));
	OWN("aligned_alloc", size, mallocx(size, LG_ALIGN_256));
	p = got("malloc", size, mallocx(size, 0));
	MOVED(3 * size, p, rallocx(p, 3 * size, 0));
	keep(p, 3 * size);
	p = got("malloc", 100, mallocx(100, 0));
	victim_xallocx(p);
	gone(p);
	free(p);
	p = got("malloc", size, malloc(size));
	gone(p);
	dallocx(p, 0);
	p = got("malloc", size, mallocx(size, 0));
	gone(p);
	sdallocx(p, size, 0);
	TAIL;
}

WEAK(void *, tc_malloc, size_t);
WEAK(void *, tc_malloc_skip_new_handler, size_t);
WEAK(void *, tc_calloc, size_t, size_t);
WEAK(void *, tc_realloc, void *, size_t);
WEAK(void *, tc_memalign, size_t, size_t);
WEAK(int, tc_posix_memalign, void **, size_t, size_t);
WEAK(void *, tc_valloc, size_t);
WEAK(void *, tc_new, size_t);
WEAK(void *, tc_newarray_aligned, size_t, size_t);
WEAK(void, tc_free, void *);
WEAK(void, tc_free_sized, void *, size_t);
WEAK(void, tc_delete, void *);
WEAK(void, tc_deletearray_aligned, void *, size_t);

VICTIM void victim_tcmalloc(size_t size)
{
	void *p;

	OWN("malloc", size, tc_malloc(size));
	OWN("malloc", size, tc_malloc_skip_new_handler(size));
	OWN("calloc", 3 * size, tc_calloc(3, size));
	OWN("aligned_alloc", size, tc_memalign(64, size));
	OWN("aligned_alloc", size, tc_valloc(size));
	if (tc_posix_memalign(&p, 512, size))
		_exit(95);
	OWN("posix_memalign", size, p);
	p = got("malloc", size, malloc(size));
	MOVED(9 * size, p, tc_realloc(p, 9 * size));
	gone(p);
	tc_free(p);
	p = got("malloc", size, tc_new(size));
	gone(p);
	tc_delete(p);
	p = got("aligned_alloc", size, tc_newarray_aligned(size, 128));
	gone(p);
	tc_deletearray_aligned(p, 128);
	p = got("malloc", size, tc_malloc(size));
	gone(p);
	free(p);
	p = got("malloc", size, malloc(size));
	gone(p);
	tc_free_sized(p, size);
	TAIL;
}

WEAK(void *, mi_malloc, size_t);
WEAK(void *, mi_zalloc, size_t);
WEAK(void *, mi_calloc, size_t, size_t);
WEAK(void *, mi_mallocn, size_t, size_t);
WEAK(void *, mi_realloc, void *, size_t);
WEAK(void *, mi_recalloc, void *, size_t, size_t);
WEAK(void *, mi_expand, void *, size_t);
WEAK(void *, mi_memalign, size_t, size_t);
WEAK(int, mi_posix_memalign, void **, size_t, size_t);
WEAK(void *, mi_malloc_aligned, size_t, size_t);
WEAK(void *, mi_calloc_aligned_at, size_t, size_t, size_t, size_t);
WEAK(void *, mi_new, size_t);
WEAK(void *, mi_new_n, size_t, size_t);
WEAK(void *, mi_heap_get_default, void);
WEAK(void *, mi_heap_new, void);
WEAK(void, mi_heap_destroy, void *);
WEAK(void *, mi_heap_malloc, void *, size_t);
WEAK(void *, mi_heap_calloc_aligned_at, void *, size_t, size_t, size_t, size_t);
WEAK(void *, mi_heap_reallocn, void *, void *, size_t, size_t);
WEAK(char *, mi_strdup, const char *);
WEAK(char *, mi_realpath, const char *, char *);
WEAK(void, mi_free, void *);
WEAK(void, mi_free_size, void *, size_t);
WEAK(void, mi_free_aligned, void *, size_t);

VICTIM void victim_mimalloc(size_t size)
{
	char buffer[4096];
	void *p;

	OWN("malloc", size, mi_malloc(size));
	OWN("calloc", size, mi_zalloc(size));
	OWN("calloc", 3 * size, mi_calloc(3, size));
	OWN("malloc", 3 * size, mi_mallocn(3, size));
	OWN("aligned_alloc", size, mi_memalign(64, size));
	OWN("aligned_alloc", size, mi_malloc_aligned(size, 64));
	OWN("aligned_alloc", 2 * size, mi_calloc_aligned_at(2, size, 64, 8));
	OWN("malloc", size, mi_new(size));
	OWN("malloc", 5 * size, mi_new_n(5, size));
	OWN("malloc", size, mi_heap_malloc(mi_heap_get_default(), size));
	OWN("aligned_alloc", 2 * size,
	    mi_heap_calloc_aligned_at(mi_heap_get_default(), 2, size, 64, 8));
	OWN("malloc", 6, mi_strdup("short"));
	if (mi_realpath("/proc", buffer) != buffer) /* no chunk */
		_exit(95);
	if (mi_posix_memalign(&p, 512, size))
		_exit(95);
	OWN("posix_memalign", size, p);
	p = got("malloc", size, malloc(size));
	MOVED(9 * size, p, mi_realloc(p, 9 * size));
	MOVED(20 * size, p, mi_recalloc(p, 20, size));
	MOVED(2 * size, p, mi_heap_reallocn(mi_heap_get_default(), p, 2, size));
	if (mi_expand(p, 1 << 20))
		_exit(95);
	gone(p);
	truth("realloc %d 0x0\n", 1 << 20); /* it has failed */
	gone(p);
	mi_free(p);
	p = got("malloc", size, mi_malloc(size));
	gone(p);
	free(p);
	p = got("malloc", size, malloc(size));
	gone(p);
	mi_free_size(p, size);
	p = got("aligned_alloc", size, mi_malloc_aligned(size, 32));
	gone(p);
	mi_free_aligned(p, 32);
	TAIL;
}

static void own(void)
{
	size_t i;

	for (i = 1; i <= LIVE; i++) {
		if (mallocx)
			victim_jemalloc(64 * i);
		if (tc_malloc)
			victim_tcmalloc(64 * i);
		if (mi_heap_new) /* mi_malloc alone may be one of our own */
			victim_mimalloc(64 * i);
	}
}

/* Small ones lie at multiples of 8 in some allocators. */
static void plain(void)
{
	int i;

	for (i = 1; i <= LIVE; i++) {
		void *p = victim_malloc(8);
		void *q = victim_malloc((size_t)i * i * i);

		keep(p, 8);
		if (i % 2)
			victim_free(q);
		else
			keep(q, (size_t)i * i * i);
	}
	for (i = 1; i <= LIVE; i++)
		keep(victim_calloc((size_t)i * 8), (size_t)i * 8);
}

static void others(void)
{
	static const char *const ops[] = { "memalign", "aligned_alloc",
					   "posix_memalign" };
	void *p;
	int i;

	p = victim_realloc(NULL, 10);
	for (i = 1; i <= LIVE; i++)
		p = victim_realloc(p, (size_t)(i % 2 ? 5000 * i : 24));
	keep(p, 24);
	for (i = 0; i < 3 * LIVE; i++) {
		p = victim_aligned(ops[i % 3], 256, 256u * (size_t)(1 + i % 5));
		if (i % 2)
			victim_free(p);
		else
			keep(p, 256u * (size_t)(1 + i % 5));
	}
	p = victim_malloc(3 << 20); /* large enough for a mapping of its own */
	keep(p, 3 << 20);
	victim_free(victim_malloc(5 << 20));
}

/* Chunks that nobody frees one by one. */
static int destroy(void)
{
	void *heap = mi_heap_new();

	if (!mi_heap_malloc(heap, 100) || !mi_heap_malloc(heap, 200))
		return 95;
	mi_heap_destroy(heap);
	return 0;
}

int main(int argc, char **argv)
{
	size_t i, j;

	wait_for_start();
	if (argc > 1 && !strcmp(argv[1], "destroy"))
		return destroy();
	plain();
	others();
#ifndef NO_CXX
	cxx();
#endif
	own();
	for (i = 0; i < nr_live; i++) /* nobody has written into another's */
		for (j = 0; j < live_size[i]; j++)
			if (((unsigned char *)live[i])[j] != 0x5a)
				_exit(96);
	truth("live %zu %zu\n", nr_live, live_bytes);
	return 0;
}
