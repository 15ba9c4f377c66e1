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
#else
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
 * What is opened so finds its malloc without coming past us. The original looks at who
 * called it (RUNPATH, namespace: dlfcn/dlopen.c of glibc), so it must be jumped to.
 */
EXPORT void *dlopen(const char *file, int mode)
{
	FIND(dlopen);
	if (mode & RTLD_DEEPBIND)
		slot_missing(-EXDEV);
	return next_loader.dlopen(file, mode);
}

EXPORT void *dlmopen(Lmid_t space, const char *file, int mode)
{
	FIND(dlmopen);
	if (space != LM_ID_BASE || mode & RTLD_DEEPBIND)
		slot_missing(-EXDEV);
	return next_loader.dlmopen(space, file, mode);
}
