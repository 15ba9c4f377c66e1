/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's side where there is no module: what /proc/PID/maps lists now and
 * then, put into records as the module would send them (uapi/vmaheap.h), so that
 * traces and the model need to know one form only. What happened between two
 * looks, and who did it, is not known, and every address space is marked so:
 * the MM record bears RECORD_SAMPLED (records.h).
 *
 * It also does what the module does for the shim: it keeps the stamp page of
 * each process, by a tick, and tells one address space from the next. An open
 * /proc/PID/maps belongs to the address space that it was opened for, and reads
 * as empty once that is gone (fs/proc/task_mmu.c, m_start(): mmget_not_zero()),
 * so an exec is seen exactly; what exited says a pidfd.
 */
#ifndef INTAKE_SAMPLED_H
#define INTAKE_SAMPLED_H

#include <stdbool.h>
#include <stddef.h>

#include "intake/records.h"

struct sampled;

struct sampled_ops {
	records_fn raw; /* of each record as it is made */
	void (*exited)(void *ctx, uint32_t tgid);
	/* The process runs, and may not be looked at (-errno). Once a process. */
	void (*blind)(void *ctx, uint32_t tgid, int err);
	records_fn taken; /* of each when it is popped; may be NULL */
};

/*
 * follow: children of a watched one are watched too, from their next exec or their first
 * call on; so are processes that have the shim and descend from one, or belong to the user
 * of the first one. stamps: allocator events bear
 * stamps of our page, so what is older than an exec does (else they bear the time).
 * env: what those that have the shim have in their environment (sampled_expects()), NULL:
 * nothing. NULL: no memory.
 */
struct sampled *sampled_open(const struct sampled_ops *ops, void *ctx,
			     bool follow, bool stamps, const char *env);
/* NULL is allowed. */
void sampled_close(struct sampled *k);

/*
 * Watches process pid, from its next exec on when on_exec; the first tick tells of
 * it. 0 or -errno.
 */
int sampled_watch(struct sampled *k, uint32_t pid, bool on_exec);
/*
 * May process tgid, which has the shim, have a ring? fresh: since its exec (it
 * is no forked copy). stamp_fd NULL: only a question; else the descriptor of its
 * stamp page, which stays ours. 0 or -ESRCH, -ENOMEM.
 */
int sampled_admit(struct sampled *k, uint32_t tgid, bool fresh, int *stamp_fd);
/* Process tgid, which may be admitted, is about to exit: before that it is told of. */
void sampled_meet(struct sampled *k, uint32_t tgid);
/*
 * Is there a process that may be told of yet: a child that has not called exec, or one to
 * follow that we do not know, as a daemon's parents have exited between two ticks? That one
 * is found by its environment, and looked for when no process is known any more.
 */
bool sampled_expects(struct sampled *k);
/*
 * The tick: stamps advance, execs and exits are told of. *ts: as of
 * kernel_sync(). Call it about every 5 ms.
 */
void sampled_tick(struct sampled *k, uint64_t *ts);
/* Looks at the VMAs of the process, and tells of them when they have changed. */
void sampled_look(struct sampled *k, uint32_t tgid);
uint64_t sampled_looks(const struct sampled *k);

/* struct source_ops; ctx is the struct sampled. */
const struct event *sampled_peek(void *sampled, bool *sure);
void sampled_pop(void *sampled);

#endif
