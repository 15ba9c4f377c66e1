// SPDX-License-Identifier: GPL-2.0
#include "intake/unwind.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct walk {
	uint32_t pid;
	const struct proc_map *maps;
	size_t nr_maps;
	uint64_t start, end;
	bool unsure;
};

static const struct proc_map *map_at(const struct walk *w, uint64_t addr)
{
	size_t i;

	for (i = 0; i < w->nr_maps; i++)
		if (addr >= w->maps[i].d.start && addr < w->maps[i].d.end)
			return &w->maps[i];
	return NULL;
}

/* The file that is mapped, and not another one of its name. */
static int open_mapped(const struct walk *w, const char *name, uint64_t base)
{
	const struct proc_map *m = map_at(w, base);
	char path[4096];
	struct stat st;
	int fd;

	if (!m || snprintf(path, sizeof(path), "/proc/%u/root%s", w->pid,
			   name) >= (int)sizeof(path))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_ino == m->d.ino)
		return fd;
	close(fd);
	return -1;
}

/* A Dwfl_Callbacks.find_elf, which has no other context: one thread walks at a time. */
static struct walk *current;

static int find_elf(Dwfl_Module *mod, void **unused, const char *name,
		    Dwarf_Addr base, char **file, Elf **elf)
{
	int fd = name[0] == '/' ? open_mapped(current, name, base) : -1;

	(void)mod;
	(void)unused;
	(void)elf;
	*file = fd < 0 ? NULL : strdup(name);
	return fd;
}

static int no_debuginfo(Dwfl_Module *mod, void **unused, const char *name,
			Dwarf_Addr base, const char *file, const char *link,
			GElf_Word crc, char **found)
{
	(void)mod;
	(void)unused;
	(void)name;
	(void)base;
	(void)file;
	(void)link;
	(void)crc;
	(void)found;
	return -1;
}

/* Else libdwfl would guess by frame pointers. */
static bool says(Dwfl *dwfl, Dwarf_Addr pc)
{
	Dwfl_Module *mod = dwfl_addrmodule(dwfl, pc);
	Dwarf_Addr bias = 0;
	Dwarf_CFI *cfi = mod ? dwfl_module_eh_cfi(mod, &bias) : NULL;
	Dwarf_Frame *frame = NULL;
	bool found = cfi && !dwarf_cfi_addrframe(cfi, pc - bias, &frame);

	free(frame);
	return found;
}

static int visit(Dwfl_Frame *frame, void *arg)
{
	Dwfl *dwfl = dwfl_thread_dwfl(dwfl_frame_thread(frame));
	struct walk *w = arg;
	bool activation;
	Dwarf_Addr pc;

	w->unsure = true;
	if (!dwfl_frame_pc(frame, &pc, &activation))
		return DWARF_CB_ABORT;
	pc -= !activation; /* it is where a call returns to */
	if ((pc >= w->start && pc < w->end) || !says(dwfl, pc))
		return DWARF_CB_ABORT;
	w->unsure = false;
	return DWARF_CB_OK;
}

bool unwind_avoids(uint32_t pid, pid_t tid, const struct proc_map *maps,
		   size_t nr_maps, uint64_t start, uint64_t end)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_elf, .find_debuginfo = no_debuginfo
	};
	struct walk w = { pid, maps, nr_maps, start, end, true };
	Dwfl *dwfl = dwfl_begin(&callbacks);
	bool ended = false;

	if (!dwfl)
		return false;
	current = &w;
	/* Its threads are stopped and ours already: true. */
	if (!dwfl_linux_proc_report(dwfl, (pid_t)pid) &&
	    !dwfl_report_end(dwfl, NULL, NULL) &&
	    !dwfl_linux_proc_attach(dwfl, (pid_t)pid, true))
		ended = !dwfl_getthread_frames(dwfl, tid, visit, &w);
	dwfl_end(dwfl);
	current = NULL;
	return ended && !w.unsure;
}
