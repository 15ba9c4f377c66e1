// SPDX-License-Identifier: GPL-2.0
/*
 * A count of live chunks that shares nothing with vmaheap: preloaded behind the
 * shim, it counts what the shim calls. The count lies in the file
 * $COUNTER_FILE, so that it is right however the process ends.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static long none;
static long *live = &none;

static struct {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
} next;

static void resolve(void)
{
	next.malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	next.free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next.calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	next.realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	next.reallocarray = (void *(*)(void *, size_t,
				       size_t))dlsym(RTLD_NEXT, "reallocarray");
	next.memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
	next.aligned_alloc =
		(void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
	next.posix_memalign = (int (*)(void **, size_t, size_t))dlsym(
		RTLD_NEXT, "posix_memalign");
	next.valloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "valloc");
	next.pvalloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "pvalloc");
}

static void forget(void)
{
	live = &none;
}

/* Of one process: what it forks counts elsewhere, and what it starts finds the file. */
static void open_file(void)
{
	const char *name = getenv("COUNTER_FILE");
	int fd =
		name ? open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666) :
		       -1;
	void *at = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, 4096))
		at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED)
		return;
	live = at;
	pthread_atfork(NULL, NULL, forget);
}

/* The shim is first: nothing else calls before it, and it in one thread. */
static void start(void)
{
	static int started;
	int saved = errno;

	if (!started) {
		started = 1;
		resolve();
		open_file();
	}
	errno = saved;
}

static void *got(void *p)
{
	if (p)
		__atomic_fetch_add(live, 1, __ATOMIC_RELAXED);
	return p;
}

static void *moved(int had, size_t size, void *q)
{
	if (q && !had)
		got(q);
	else if (!q && had && !size) /* glibc: realloc(p, 0) frees */
		__atomic_fetch_sub(live, 1, __ATOMIC_RELAXED);
	return q;
}

EXPORT void *malloc(size_t size)
{
	start();
	return got(next.malloc(size));
}

EXPORT void free(void *p)
{
	start();
	if (p)
		__atomic_fetch_sub(live, 1, __ATOMIC_RELAXED);
	next.free(p);
}

EXPORT void *calloc(size_t nmemb, size_t size)
{
	start();
	return got(next.calloc(nmemb, size));
}

EXPORT void *realloc(void *p, size_t size)
{
	int had = p != NULL;

	start();
	return moved(had, size, next.realloc(p, size));
}

EXPORT void *reallocarray(void *p, size_t nmemb, size_t size)
{
	int had = p != NULL;

	start();
	return moved(had, nmemb && size, next.reallocarray(p, nmemb, size));
}

EXPORT void *memalign(size_t align, size_t size)
{
	start();
	return got(next.memalign(align, size));
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	start();
	return got(next.aligned_alloc(align, size));
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int err;

	start();
	err = next.posix_memalign(out, align, size);
	if (!err)
		got(*out);
	return err;
}

EXPORT void *valloc(size_t size)
{
	start();
	return got(next.valloc(size));
}

EXPORT void *pvalloc(size_t size)
{
	start();
	return got(next.pvalloc(size));
}
