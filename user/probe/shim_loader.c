// SPDX-License-Identifier: GPL-2.0
/*
 * Libraries that come and go. (What the loader does itself, for the modules of
 * iconv(3) say, does not come through here.)
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "probe/shim.h"

struct loader_functions next_loader;

#ifdef SHIM_INJECTED
#define FIND(fn) ((void)0) /* the injector has */
#define LIBC_HOOKED libc_hooked
#else
#define LIBC_HOOKED (slot_active() && got_hook_libc())

/* pointer: to one to a function */
static void find(void *pointer, const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	memcpy(pointer, &f, sizeof(f));
}

#define FIND(fn)                                    \
	do {                                        \
		if (!next_loader.fn)                \
			find(&next_loader.fn, #fn); \
	} while (0)
#endif

EXPORT int dlclose(void *handle)
{
	int ret;

	FIND(dlclose);
	ret = next_loader.dlclose(handle);
	slot_unloaded();
	return ret;
}

/*
 * What is opened so looks for malloc in the C library before it comes to us; in
 * another namespace it has a C library of its own.
 */
static void look_at_mode(bool other_space, int mode)
{
	FIND(dlclose);
	FIND(dlopen);
	FIND(dlmopen);
	if (other_space || (mode & RTLD_DEEPBIND && !LIBC_HOOKED))
		slot_missing(-EXDEV);
}

/*
 * The originals look at who called them (RUNPATH, namespace: dlfcn/dlopen.c of glibc),
 * so they must be jumped to.
 */
EXPORT void *dlopen(const char *file, int mode)
{
	look_at_mode(false, mode);
	return next_loader.dlopen(file, mode);
}

EXPORT void *dlmopen(Lmid_t space, const char *file, int mode)
{
	look_at_mode(space != LM_ID_BASE, mode);
	return next_loader.dlmopen(space, file, mode);
}
