/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The allocator calls of a running process by uprobes (libbpf). Presents each
 * thread of it as an ordered source, like a ring. Calls of free(NULL) are not
 * seen where that makes the others cheaper (probe_point.h).
 */
#ifndef INTAKE_UPROBE_H
#define INTAKE_UPROBE_H

#include "intake/rings.h"

struct allocator;
struct uprobes;
struct uprobe_thread;

struct uprobe_ops {
	void (*opened)(void *ctx, struct uprobe_thread *t);
	void (*closing)(void *ctx, struct uprobe_thread *t);
	/* What was popped, and what was lost between; told by uprobes_tell(). */
	void (*words)(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		      size_t nr);
	void (*lost)(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr);
};

/*
 * Probes the allocator functions in the object of process pid that defines
 * malloc (found through /proc/PID/maps; its own executable when static), and what
 * its executable has beside that (allocator_find_beside()). Of a `program` that pid
 * is about to run, `file` is the one that defines malloc; both, or NULL. windows:
 * somebody wants to know what happened inside of a free, so its return is probed,
 * too. NULL, with *why an allocated sentence: no malloc found ("allocator
 * opaque"), no BPF, no permission ...
 */
struct uprobes *uprobes_open(uint32_t pid, const char *file,
			     const char *program, bool windows,
			     const struct uprobe_ops *ops, void *ctx,
			     char **why);
/* The probes go a moment later: a thread of its own takes them away. */
void uprobes_close(struct uprobes *u);
/* Takes what is in the BPF ring; call it about every 5 ms. */
void uprobes_drain(struct uprobes *u);
/* Tells what was popped since the last call; before the next uprobes_drain(). */
void uprobes_tell(struct uprobes *u);
/* As ring_peek() and ring_pop(); a thread's record is sure after the next drain. */
const struct event *uprobe_peek(void *thread, bool *sure);
void uprobe_pop(void *thread);
void uprobe_set_data(struct uprobe_thread *t, void *data);
void *uprobe_data(const struct uprobe_thread *t);

/* What the process calls: beside C's functions, or these. Lives as long as u. */
const struct allocator *uprobes_allocator(const struct uprobes *u);

struct uprobe_totals {
	uint64_t hits, lost;
	double hit_ns; /* what one costs on this machine, measured; 0: not known */
	unsigned int probes; /* attached */
};
struct uprobe_totals uprobes_totals(const struct uprobes *u);

#endif
