/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's end of the module: one session (uapi/vmaheap.h) with its two
 * sockets, and the ordered source of events that comes out of it.
 */
#ifndef INTAKE_KERNEL_H
#define INTAKE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "intake/records.h"
#include "uapi/vmaheap.h"

struct kernel;

/*
 * Opens a session. raw: hears of every batch as it arrives, before any of it is
 * decoded; taken: of each record when it is popped, or is passed over because its
 * type is not known. NULL and errno: ENOENT: the module is not loaded; EPERM ...
 * No watch is active yet.
 */
struct kernel *kernel_open(records_fn raw, records_fn taken, void *ctx);
/* The watches end with it. NULL is allowed. */
void kernel_close(struct kernel *k);

int kernel_fd(const struct kernel *k); /* POLLIN: kernel_drain() has work */

/*
 * 0 or -errno (see uapi/vmaheap.h). kernel_why() then holds the module's own
 * sentence, or strerror's.
 */
int kernel_watch(struct kernel *k, uint32_t pid, uint32_t flags);
int kernel_unwatch(struct kernel *k, uint32_t pid);
int kernel_snapshot(struct kernel *k, uint64_t mm); /* 0: all */
const char *kernel_why(const struct kernel *k);

/* Takes what is in the socket. Number of records, or -errno. */
long kernel_drain(struct kernel *k);
/*
 * Everything that happened before this call is drained when it returns; *ts is
 * the module's time of that moment. 0 or -errno.
 */
int kernel_sync(struct kernel *k, uint64_t *ts);
int kernel_stats(struct kernel *k, struct vmaheap_stats *st);
/* Records that were skipped: must be 0 (the module never drops). */
uint64_t kernel_gaps(const struct kernel *k);

/* struct source_ops; ctx is the kernel. */
const struct event *kernel_peek(void *kernel, bool *sure);
void kernel_pop(void *kernel);

#endif
