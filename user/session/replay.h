/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A trace, read through the same order and model as the live sources: reports
 * are computed from a trace exactly as live.
 */
#ifndef SESSION_REPLAY_H
#define SESSION_REPLAY_H

#include "model/model.h"
#include "model/order.h"
#include "trace/trace.h"

struct replay;

/* NULL: *why is a malloc'ed sentence. */
struct replay *replay_open(const char *dir, char **why);
void replay_close(struct replay *r);
/* show() hears, each time a packet has been read, of how much that was of the trace: 0 to 1. */
void replay_on_packet(struct replay *r, void (*show)(double done));
/* Applies everything; told() (may be NULL) hears each event. */
void replay_run(struct replay *r,
		void (*told)(void *ctx, const struct outcome *out), void *ctx);
/* Before it: chunks are told, too (model_watch). NULL: no more. */
void replay_listen(struct replay *r, const struct model_watch *w);
/*
 * Applies everything up to ts, from the nearest checkpoint of the trace's index
 * on, and leaves checkpoints behind where it can. UINT64_MAX: everything. 0 or
 * -ENOMEM. Not after replay_run(), and not twice. The model may be another one
 * afterwards.
 */
int replay_until(struct replay *r, uint64_t ts);
/*
 * The same from the first event on, without index: told() hears of all but
 * allocator calls, and advance() is as order_on_advance() says. The model stays
 * the same one.
 */
void replay_watch(struct replay *r, uint64_t ts,
		  void (*told)(void *ctx, const struct outcome *out),
		  uint64_t (*advance)(void *ctx, uint64_t ts), void *ctx);
const struct model *replay_model(const struct replay *r);
const struct trace_env *replay_env(const struct replay *r);
struct order_totals replay_order(const struct replay *r);
/* Bytes that could not be read (a truncated trace), records that made no sense. */
uint64_t replay_damage(const struct replay *r);
/*
 * ts of the first event that was ever seen, and of the last one that was applied.
 * The events before replay_begins() were not kept, but what they led to is in the
 * model from the start; 0: all were kept.
 */
uint64_t replay_first(const struct replay *r);
uint64_t replay_begins(const struct replay *r);
uint64_t replay_last(const struct replay *r);

#endif
