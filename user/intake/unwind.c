// SPDX-License-Identifier: GPL-2.0
#include "intake/unwind.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

struct unwind {
	Dwfl *dwfl;
	uint32_t pid;
	const struct proc_map *maps;
	size_t nr_maps;
};

/* Of one thread. */
struct walk {
	uint64_t start, end;
	bool unsure;
};

/* A Dwfl_Callbacks.find_elf, which has no other context. */
static const struct unwind *current;

static int find_elf(Dwfl_Module *mod, void **unused, const char *name,
		    Dwarf_Addr base, char **file, Elf **elf)
{
	const struct proc_map *m =
		proc_map_at(current->maps, current->nr_maps, base);
	int fd = m && m->d.ino ? proc_open_mapped(current->pid, &m->d) : -1;

	(void)mod;
	(void)unused;
	(void)elf;
	*file = fd < 0 ? NULL : strdup(name);
	return fd < 0 ? -1 : fd;
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

struct unwind *unwind_open(uint32_t pid, const struct proc_map *maps,
			   size_t nr_maps)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_elf, .find_debuginfo = no_debuginfo
	};
	struct unwind *u = malloc(sizeof(*u));

	if (!u)
		return NULL;
	pid = proc_number(pid);
	*u = (struct unwind){ dwfl_begin(&callbacks), pid, maps, nr_maps };
	current = u;
	/* Its threads are stopped and ours already: true. */
	if (u->dwfl && !dwfl_linux_proc_report(u->dwfl, (pid_t)pid) &&
	    !dwfl_report_end(u->dwfl, NULL, NULL) &&
	    !dwfl_linux_proc_attach(u->dwfl, (pid_t)pid, true))
		return u;
	unwind_close(u);
	return NULL;
}

void unwind_close(struct unwind *u)
{
	if (!u)
		return;
	dwfl_end(u->dwfl);
	current = NULL;
	free(u);
}

bool unwind_avoids(struct unwind *u, pid_t tid, uint64_t start, uint64_t end)
{
	struct walk w = { start, end, true };

	return !dwfl_getthread_frames(u->dwfl, tid, visit, &w) && !w.unsure;
}
