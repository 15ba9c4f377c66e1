/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Merges the sources into one sequence of events and applies it to a model.
 *
 * Each source (the module, one thread's ring ...) is in order by itself. Events
 * of different sources are ordered by ts. Allocator events have no time of
 * their own, only the stamp that their thread saw last, so events of several
 * threads often carry an equal ts. Those are applied one source after the other,
 * and the model finds out from the alternation of each address which belongs
 * before which (life.h). What an event waits for there cannot have a later ts:
 * whoever freed the address loaded its stamp before whoever got it next did. So
 * when every source has passed that ts, the wait was in vain, and the event is
 * taken as it is (model.h counts it).
 *
 * A kernel event goes before the allocator events of equal ts.
 */
#ifndef MODEL_ORDER_H
#define MODEL_ORDER_H

#include "model/model.h"

struct order;
struct order_source;

struct source_ops {
	/*
	 * The next event, NULL: none now. It stays valid until pop. *sure is set
	 * to false when the event became visible only in the latest round of
	 * reading, so that an event which belongs before it may still be unread.
	 */
	const struct event *(*peek)(void *ctx, bool *sure);
	void (*pop)(void *ctx);
	/*
	 * May be NULL. After a peek() that gave an EV_CALL: takes (as pop() does)
	 * that event and those right behind it which are equally sure, as far as
	 * they go into one struct call_run, at most `max`. Returns how many; 0: the
	 * first one does not fit, nothing was taken.
	 */
	size_t (*take)(void *ctx, struct call_brief *calls, size_t max);
};

struct order *order_new(struct model *m);
void order_free(struct order *o);

/* `ctx` is the caller's. `kernel` sources go first among equal ts. */
struct order_source *order_add(struct order *o, const struct source_ops *ops,
			       void *ctx, bool kernel);
void order_remove(struct order *o, struct order_source *s);

/*
 * Applies all events with ts <= horizon, in order, up to the first that is not
 * sure; calls told() after each (NULL: nobody asks). So what is applied is a
 * state that the target was in: it lacks nothing that came before something that
 * is in it. Returns the number of events applied. With `final`, what is not sure
 * is applied, too. `horizon` never falls. No source may be added or removed from
 * within.
 */
uint64_t order_run(struct order *o, uint64_t horizon, bool final,
		   void (*told)(void *ctx, const struct outcome *out),
		   void *ctx);

/* The same, but told() hears of no EV_CALL, which is several times faster. */
uint64_t order_run_quick(struct order *o, uint64_t horizon, bool final,
			 void (*told)(void *ctx, const struct outcome *out),
			 void *ctx);

/*
 * Calls fn(ctx, ts) before the first event of a new ts, ts, is applied, once so
 * many have been: what is applied then is all that is older than ts, and nothing
 * waits. It returns at how many applied ones it wants to be called again.
 */
void order_on_advance(struct order *o, uint64_t applied,
		      uint64_t (*fn)(void *ctx, uint64_t ts), void *ctx);
/* The model has so many events already, of ts first to last. */
void order_resume(struct order *o, uint64_t applied, uint64_t first,
		  uint64_t last);

struct order_totals {
	uint64_t applied;
	uint64_t first, last; /* ts of what was applied */
	uint64_t held; /* events that had to wait for another source */
	uint64_t forced; /* that waited in vain */
	uint64_t late; /* older than what had been applied when they became visible */
};
struct order_totals order_totals(const struct order *o);

#endif
