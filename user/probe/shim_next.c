// SPDX-License-Identifier: GPL-2.0
/*
 * The original functions: RTLD_NEXT, looked up once.
 *
 * dlsym may allocate (glibc before 2.34 callocs its error buffer, and a failed
 * look-up formats a message), so until all are known the table points to a bump
 * allocator over a static array. Its chunks carry the size word of an mmapped
 * chunk of glibc (malloc/malloc.c: size | IS_MMAPPED at p - 8, 16 bytes more
 * than usable), so that malloc_usable_size() of one is right.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "probe/shim.h"
#include "probe/shim_sys.h"

#define BOOT_ALIGN 16
#define BOOT_MMAPPED 2u

char boot_arena[BOOT_BYTES] __attribute__((aligned(4096)));
size_t boot_used;

static uint64_t *boot_size_word(const void *p)
{
	return (uint64_t *)(uintptr_t)p - 1;
}

static size_t boot_size(const void *p)
{
	return (*boot_size_word(p) & ~(uint64_t)7) - BOOT_ALIGN;
}

static void *boot_memalign(size_t align, size_t size)
{
	size_t want, at;
	char *p;

	if (align < BOOT_ALIGN)
		align = BOOT_ALIGN;
	if (align > BOOT_BYTES / 2 || size > BOOT_BYTES / 2)
		return NULL;
	size = (size + BOOT_ALIGN - 1) & ~(size_t)(BOOT_ALIGN - 1);
	want = size + align + BOOT_ALIGN;
	at = __atomic_fetch_add(&boot_used, want, __ATOMIC_RELAXED);
	if (at + want > BOOT_BYTES) {
		__atomic_fetch_sub(&boot_used, want, __ATOMIC_RELAXED);
		return NULL;
	}
	p = boot_arena + ((at + BOOT_ALIGN + align - 1) & ~(align - 1));
	*boot_size_word(p) = (size + BOOT_ALIGN) | BOOT_MMAPPED;
	return p;
}

static void *boot_malloc(size_t size)
{
	return boot_memalign(BOOT_ALIGN, size);
}

static void boot_free(void *p)
{
	(void)p; /* never given back */
}

/* The arena is never reused, so its memory is zero. */
static void *boot_calloc(size_t nmemb, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nmemb, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return boot_malloc(bytes);
}

void *boot_move(const void *p, void *q, size_t size)
{
	size_t old = boot_size(p);

	return q ? memcpy(q, p, old < size ? old : size) : NULL;
}

static void *boot_realloc(void *p, size_t size)
{
	void *q = boot_malloc(size);

	return p ? boot_move(p, q, size) : q;
}

static void *boot_reallocarray(void *p, size_t nmemb, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nmemb, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return boot_realloc(p, bytes);
}

static void *boot_aligned_alloc(size_t align, size_t size)
{
	return boot_memalign(align, size);
}

static int boot_posix_memalign(void **out, size_t align, size_t size)
{
	void *p = boot_memalign(align, size);

	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

static void *boot_valloc(size_t size)
{
	return boot_memalign(4096, size);
}

static void *boot_pvalloc(size_t size)
{
	return boot_memalign(4096, size);
}

struct next_functions next = {
#define X(ret, name, params) .name = boot_##name,
	SHIM_FUNCTIONS(X)
#undef X
};

/* A function that the libc lacks keeps its stand-in, and nobody calls it. */
static void next_resolve(void)
{
	struct next_functions found = next;
	void *f;

#define X(ret, name, params)         \
	f = dlsym(RTLD_NEXT, #name); \
	if (f)                       \
		memcpy(&found.name, &f, sizeof(f));
	SHIM_FUNCTIONS(X)
#undef X
	next = found;
}

const uint32_t next_flags = SHIM_FRESH;

const char *next_start(void)
{
	next_resolve();
	got_set();
	return getenv(SHIM_SOCK_ENV);
}

/* function: the address of a pointer to the one that comes after ours. */
static void find_next(void *function, const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	memcpy(function, &f, sizeof(f));
}

/* The loader's own, of the modules of iconv(3), does not come through here. */
EXPORT int dlclose(void *handle)
{
	static int (*original)(void *handle);
	int ret;

	if (!original)
		find_next(&original, "dlclose");
	ret = original(handle);
	slot_unloaded();
	return ret;
}

/* What libc's wrappers make of what the kernel returns; called by syscall(). */
long libc_result(long ret);
long libc_result(long ret)
{
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = (int)-ret;
	return -1;
}

/*
 * A program that shuts itself in: from then on a system call of ours may kill it. (One
 * that is started by such a program has a filter that we do not hear of, as every
 * program in a container has.)
 */
static long guard(long nr, long a, long b, long c, long d, long e, long f)
{
	bool was = shim_guarded;
	long ret;

	slot_guard();
	ret = sys6(nr, a, b, c, d, e, f);
	if (ret < 0)
		shim_guarded = was;
	return ret;
}

EXPORT int prctl(int option, long a, long b, long c, long d);
EXPORT int prctl(int option, long a, long b, long c, long d)
{
	return (int)libc_result(
		option == PR_SET_SECCOMP ?
			guard(SYS_prctl, option, a, b, c, d, 0) :
			sys6(SYS_prctl, option, a, b, c, d, 0));
}

/* seccomp(), which libc has no wrapper for, and prctl(PR_SET_SECCOMP) by their numbers */
long syscall_guard(long nr, long a, long b, long c, long d, long e, long f);
long syscall_guard(long nr, long a, long b, long c, long d, long e, long f)
{
	bool asks = nr == SYS_seccomp && a != SECCOMP_SET_MODE_STRICT &&
		    a != SECCOMP_SET_MODE_FILTER;

	return libc_result(asks ? sys6(nr, a, b, c, d, e, f) :
				  guard(nr, a, b, c, d, e, f));
}

/* As libc's, without a stack frame, on which clone() may depend. */
__asm__(".pushsection .text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n"
	"	cmp	$317, %rdi\n" /* SYS_seccomp */
	"	je	syscall_guard\n"
	"	cmp	$157, %rdi\n" /* SYS_prctl */
	"	jne	1f\n"
	"	cmp	$22, %rsi\n" /* PR_SET_SECCOMP */
	"	je	syscall_guard\n"
	"1:	mov	%rdi, %rax\n"
	"	mov	%rsi, %rdi\n"
	"	mov	%rdx, %rsi\n"
	"	mov	%rcx, %rdx\n"
	"	mov	%r8, %r10\n"
	"	mov	%r9, %r8\n"
	"	mov	8(%rsp), %r9\n"
	"	syscall\n"
	"	cmp	$-4095, %rax\n"
	"	jae	2f\n"
	"	ret\n"
	"2:	mov	%rax, %rdi\n"
	"	jmp	libc_result\n"
	".size syscall, . - syscall\n"
	".popsection\n");

/*
 * What is opened so finds its malloc without coming past us. The original looks at who
 * called it (RUNPATH, namespace: dlfcn/dlopen.c of glibc), so it must be jumped to.
 */
EXPORT void *dlopen(const char *file, int mode)
{
	static void *(*original)(const char *file, int mode);

	if (!original)
		find_next(&original, "dlopen");
	if (mode & RTLD_DEEPBIND)
		slot_missing(-EXDEV);
	return original(file, mode);
}

EXPORT void *dlmopen(Lmid_t space, const char *file, int mode)
{
	static void *(*original)(Lmid_t space, const char *file, int mode);

	if (!original)
		find_next(&original, "dlmopen");
	if (space != LM_ID_BASE || mode & RTLD_DEEPBIND)
		slot_missing(-EXDEV);
	return original(space, file, mode);
}
