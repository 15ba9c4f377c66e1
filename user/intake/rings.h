/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's end of the shim: hands out rings, drains them, and presents each
 * as an ordered source of events. Everything that comes from a target is
 * hostile: a ring that breaks the rules (head that jumps or runs back, words
 * that are no event, a stamp of the future) is detached and counted, and nothing
 * else suffers.
 */
#ifndef INTAKE_RINGS_H
#define INTAKE_RINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/event.h"

struct rings;
struct ring;

struct rings_ops {
	/*
	 * May process tgid have a ring? Returns 0 and the descriptor to map the
	 * stamp from (stays the caller's), or -errno (-ESRCH: it is not watched).
	 * flags: SHIM_FRESH of words.h. stamp_fd NULL: it is only a question.
	 */
	int (*admit)(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd);
	/* A ring exists (add it to the order), is about to be freed (remove it). */
	void (*opened)(void *ctx, struct ring *r);
	void (*closing)(void *ctx, struct ring *r);
	/* New whole events of a ring, raw, without control words (for the trace). */
	void (*words)(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		      size_t nr);
	/* The source dropped so many events of the thread here. */
	void (*lost)(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr);
	/* The same two, may be NULL, of what was popped: told by rings_tell(). */
	void (*taken)(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		      size_t nr);
	void (*taken_lost)(void *ctx, uint32_t tgid, uint32_t tid, uint64_t nr);
	/* May be NULL. A watched process could have no ring, or not map it (-errno). */
	void (*none)(void *ctx, uint32_t tgid, int err);
	/* The process is about to exit; it waits (1 s at most) until this returns. */
	void (*bye)(void *ctx, uint32_t tgid);
	/*
	 * May be NULL. The thread has ended, or writes nowhere any more, and all of
	 * its events were told of as taken.
	 */
	void (*ended)(void *ctx, uint32_t tgid, uint32_t tid);
	/* EV_STACK, before any event that names it can be peeked. */
	void (*stack)(void *ctx, const struct event *ev);
};

/* May rings have so many bytes of data? A power of two from 4096 to 2^25. */
bool ring_bytes_valid(uint64_t bytes);

/*
 * path: as rings_listen(); NULL: nowhere yet. ring_bytes: data of each ring
 * when it has grown as far as it may (ring_bytes_valid()); of very many rings the later
 * ones may grow less (RINGS_BYTES).
 * `block`: a full ring makes the target wait, else drop and count.
 * NULL and errno on failure.
 */
struct rings *rings_open(const char *path, size_t ring_bytes, bool block,
			 const struct rings_ops *ops, void *ctx);
/*
 * Listens at `path`, too (a UNIX socket, made mode 0666, removed at the end; a peer
 * must be a process that admit() knows, see peer_tgid() in rings.c). 0 or -errno.
 */
int rings_listen(struct rings *rs, const char *path);
/* struct ring_header's stack_bytes of each ring from here on. */
void rings_set_stacks(struct rings *rs, uint64_t bytes);
/* Detaches all rings (no target waits any more), unmaps, removes the sockets. */
void rings_close(struct rings *rs);

int rings_fd(const struct rings *rs); /* poll it for POLLIN, then: */
void rings_accept(struct rings *rs); /* never blocks longer than 100 ms */

/*
 * Copies out what all rings hold, in two passes (what the second pass adds is
 * not `sure`, see model/order.h), frees their space, and wakes waiting targets.
 * Returns words copied.
 */
size_t rings_drain(struct rings *rs);
/*
 * Nothing is taken out of any ring after this. What its writer has dropped and not told of
 * becomes a loss at its end.
 */
void rings_end(struct rings *rs);
/* Tells what was popped since the last call; before the next rings_drain(). */
void rings_tell(struct rings *rs);
/* True when some ring was more than half full at the last drain: come back soon. */
bool rings_busy(const struct rings *rs);
/*
 * The process is gone: what is left in its rings is drained, and each is freed
 * once its events have been taken.
 */
void rings_gone(struct rings *rs, uint32_t tgid);

/* For order_add(): struct source_ops of a ring, ctx is the ring. */
extern const struct event *ring_peek(void *ring, bool *sure);
extern void ring_pop(void *ring);
extern size_t ring_take(void *ring, struct call_brief *calls, size_t max);
uint32_t ring_tgid(const struct ring *r);
/* The caller may keep one pointer with a ring. */
void ring_set_data(struct ring *r, void *data);
void *ring_data(const struct ring *r);

struct rings_totals {
	uint64_t rings; /* ever opened */
	uint64_t open; /* now */
	uint64_t words; /* drained */
	uint64_t lost; /* events that targets dropped and told of */
	uint64_t broken; /* rings cut off because of nonsense in them */
	uint64_t refused; /* handshakes */
};
struct rings_totals rings_totals(const struct rings *rs);

#endif
