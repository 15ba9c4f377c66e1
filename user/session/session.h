/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One watch: its sources, the order, the model and the trace.
 *
 *   module ---- intake/kernel --+   (or intake/sampled)
 *   shim ------ intake/rings  --+--> order --> model --> output
 *     ^-------- intake/inject   |    (into a process that runs already)
 *   uprobes --- intake/uprobe --+
 *                  | raw bytes
 *                  +--> trace
 *
 * A round takes everything up to one moment: it asks the module for that moment
 * (SYNC), drains all sources, and lets the order apply what is not later. After
 * a round on a stopped process the model is the process.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>

#include "model/model.h"
#include "model/order.h"
#include "session/recorder.h"
#include "trace/trace.h"
#include "uapi/vmaheap.h"

/* AUTO: the shim where it can be had, else uprobes; it becomes what it is. */
enum session_alloc {
	ALLOC_NONE,
	ALLOC_SHIM,
	ALLOC_UPROBE,
	ALLOC_AUTO,
	ALLOC_WALK, /* no calls: what malloc's own books have in use, now and then */
};

struct session_opts {
	uint32_t pid;
	bool follow; /* the children as well */
	bool on_exec; /* begin when pid calls exec (it is our own child) */
	bool faults; /* page faults, too; of the module */
	bool no_module; /* VMAs are sampled (intake/sampled.h) */
	enum session_alloc alloc;
	const char *
		probe_file; /* uprobes go there (uprobe.h); NULL: look for it */
	const char *program; /* with probe_file: what pid is about to run */
	int trace_dir; /* descriptor of an empty directory, or -1; becomes the session's */
	const char *command; /* what is watched, for the trace and for people */
	unsigned int verify_ms; /* 0: no periodic verification */
	unsigned int walk_ms; /* ALLOC_WALK: between two walks */
	const char *shim_sock; /* where to listen for the shim */
	uint64_t stack_bytes; /* probe/words.h, struct ring_header; 0: no stacks */
	size_t ring_bytes; /* 0: the default, 1 MiB */
	/* All 0: the whole trace; else its end, see recorder.h. */
	struct trace_limits limits;
	bool flight; /* it is kept in memory, and put into trace_dir at the end */
	struct triggers triggers; /* of a flight recorder: they call fired() */
	void (*fired)(void *ctx, const char *sentence);
	/* A sentence for the person who asked; without a newline. */
	void (*say)(void *ctx, const char *sentence);
	void *say_ctx; /* of fired(), too */
};

struct session;

/* NULL: *why is a malloc'ed sentence, errno the reason. */
struct session *session_start(const struct session_opts *o, char **why);
/* Takes what is left, closes the trace and frees. */
void session_stop(struct session *s);

/* Descriptors to poll for: at most 3, returns how many. */
int session_fds(const struct session *s, struct pollfd *fds);
/* One round and what is due. Returns in how many ms the next one is due. */
unsigned int session_tick(struct session *s);
/* False when every watched process has exited. */
bool session_alive(const struct session *s);
/*
 * Takes the shim out of running processes, and then the rest that it told. After
 * it the model is final.
 */
void session_finish(struct session *s);

/*
 * What the flight recorder has, up to this moment, as a trace in the empty directory
 * dirfd (stays the caller's). 0, -EOPNOTSUPP (it is none), or -errno: it is not whole.
 */
int session_dump(struct session *s, int dirfd);

const struct model *session_model(const struct session *s);
uint32_t session_pid(const struct session *s);
/* When the first event was, as in the trace; CLOCK_MONOTONIC ns. */
uint64_t session_began(const struct session *s);
enum session_alloc session_alloc(const struct session *s);
/* As session_opts. */
uint64_t session_stack_bytes(const struct session *s);
const char *session_alloc_name(enum session_alloc a);
/* Is process tgid one of those that this session watches or watched? */
bool session_has(const struct session *s, uint32_t tgid);

/*
 * The trace as it is at this moment: all that was seen is in its files. 0; -ENOENT:
 * there is none; -errno.
 */
int session_trace_path(struct session *s, char *path, size_t size);

/* Brings model and residency of process tgid up to this moment. 0 or -errno. */
int session_refresh(struct session *s, uint32_t tgid);

/*
 * Stops process tgid, compares model and /proc/PID/maps, lets it go; mismatches
 * are printed in full to `f`. Returns the number of mismatches, or -errno when
 * it could not be compared (-ESRCH: gone; -EPERM: traced by somebody else;
 * -ETIMEDOUT: does not stop).
 */
int session_verify(struct session *s, uint32_t tgid, FILE *f);
/* Why it could not be: of what session_verify() returned. */
const char *session_verify_why(int err);

struct session_totals {
	struct order_totals order;
	struct model_totals model;
	struct trace_written trace;
	struct vmaheap_stats module;
	uint64_t module_gaps;
	uint64_t calls_lost; /* allocator events that the source dropped */
	uint64_t broken; /* allocator sources cut off because of nonsense */
	uint64_t skipped; /* verifications that could not be made */
};
struct session_totals session_totals(struct session *s);
/* What the verifications found, and if none could be made; nothing where none was asked for. */
void session_print_checks(struct session *s, FILE *f);
/* What the watch of a running process has cost it. */
void session_print_price(struct session *s, FILE *f);
/* One or more lines on lost, coalesced, refused; nothing is left out. */
void session_print_losses(struct session *s, FILE *f);
/* Where the end of the trace alone was to be kept: what could not be. */
void session_print_kept(struct session *s, FILE *f);

#endif
