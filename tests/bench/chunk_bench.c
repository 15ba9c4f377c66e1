// SPDX-License-Identifier: GPL-2.0
/*
 * chunk_bench [LIVE...]: what an allocator event costs, in ns, for so many live
 * chunks: in the chunk table alone, in the whole model, and through the order.
 * Each row is a malloc/free mix of sizes 16 to 527; "local" frees what was
 * allocated lately, as programs do, "random" anything.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/order.h"

#define EVENTS 4000000u
#define BATCH 4096u

static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 32) * n >> 32;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* A heap of slots of 544 bytes; slot[i] of the live ones. */
struct mix {
	uint32_t *slot, *free;
	uint32_t live, nr_free;
	bool local;
	struct event ev[BATCH];
	uint32_t nr, taken;
	uint64_t ts;
};

static void mix_start(struct mix *x, uint32_t live, bool local)
{
	*x = (struct mix){ .local = local, .ts = 10 };
	x->slot = malloc((live + BATCH) * sizeof(*x->slot));
	x->free = malloc((live + BATCH) * sizeof(*x->free));
	while (x->nr_free < live + BATCH) {
		x->free[x->nr_free] = live + BATCH - 1 - x->nr_free;
		x->nr_free++;
	}
}

static void mix_add(struct mix *x, bool alloc, uint32_t slot)
{
	x->ev[x->nr++] = (struct event){
		.kind = EV_CALL,
		.tgid = 1,
		.tid = 1,
		.ts = x->ts,
		.call = { .op = alloc ? CALL_MALLOC : CALL_FREE,
			  .phase = alloc ? CALL_ALLOC : CALL_FREED,
			  .addr = 0x555500000000ull + slot * 544ull,
			  .size = alloc ? 16 + below(512) : 0,
			  .caller = 0x400000 },
	};
}

static void mix_batch(struct mix *x, uint32_t live)
{
	x->nr = x->taken = 0;
	x->ts++;
	while (x->nr < BATCH) {
		bool more = !x->live || x->live + BATCH < live || below(2);

		if (x->live < live && more) {
			uint32_t slot = x->free[--x->nr_free];

			x->slot[x->live++] = slot;
			mix_add(x, true, slot);
		} else {
			uint32_t near = x->local && x->live > 64 ? 64 : x->live;
			uint32_t i = x->live - 1 - below(near);

			mix_add(x, false, x->slot[i]);
			x->free[x->nr_free++] = x->slot[i];
			x->slot[i] = x->slot[--x->live];
		}
	}
}

static const struct event *peek(void *ctx, bool *sure)
{
	struct mix *x = ctx;

	*sure = true;
	return x->taken < x->nr ? &x->ev[x->taken] : NULL;
}

static void pop(void *ctx)
{
	((struct mix *)ctx)->taken++;
}

struct target {
	struct chunk_table *chunks;
	struct model *m;
	struct order *o;
};

static void by_table(struct target *t, const struct mix *x)
{
	for (uint32_t i = 0; i < x->nr; i++) {
		const struct event *ev = &x->ev[i];
		struct chunk c = { .addr = ev->call.addr,
				   .size = ev->call.size };

		if (ev->call.phase == CALL_ALLOC)
			chunk_insert(t->chunks, &c);
		else
			chunk_remove(t->chunks, c.addr, NULL);
	}
}

static void by_model(struct target *t, const struct mix *x)
{
	for (uint32_t i = 0; i < x->nr; i++)
		model_apply(t->m, &x->ev[i], NULL);
}

static void by_order(struct target *t, const struct mix *x)
{
	(void)x;
	order_run(t->o, UINT64_MAX, false, NULL, NULL);
}

static double measure(struct target *t, struct mix *x, uint32_t live,
		      void (*run)(struct target *t, const struct mix *x))
{
	double ns = 0;
	uint32_t n = 0;

	for (uint32_t fill = 0; fill < live; fill += BATCH) {
		mix_batch(x, live);
		run(t, x);
	}
	while (n < EVENTS) {
		double begin;

		mix_batch(x, live);
		begin = now();
		run(t, x);
		ns += now() - begin;
		n += BATCH;
	}
	return ns / n;
}

static double one(uint32_t live, bool local,
		  void (*run)(struct target *t, const struct mix *x))
{
	static struct mix x;
	static const struct source_ops ops = { .peek = peek, .pop = pop };
	struct event mm = { .kind = EV_MM,
			    .mm = 1,
			    .ts = 1,
			    .mm_start = { .cause = MM_EXEC, .owner = 1 } };
	struct target t = { chunk_table_new(), model_new(), NULL };
	double ns;

	t.o = order_new(t.m);
	order_add(t.o, &ops, &x, false);
	model_apply(t.m, &mm, NULL);
	mix_start(&x, live, local);
	ns = measure(&t, &x, live, run);
	free(x.slot);
	free(x.free);
	order_free(t.o);
	model_free(t.m);
	chunk_table_free(t.chunks);
	return ns;
}

static void row(uint32_t live)
{
	printf("%9u", live);
	for (int random = 0; random < 2; random++)
		printf("  %7.1f %7.1f %7.1f", one(live, !random, by_table),
		       one(live, !random, by_model),
		       one(live, !random, by_order));
	printf("\n");
}

int main(int argc, char **argv)
{
	printf("ns/event      local: table, model, order  random: table, model, order\n");
	for (int i = 1; i < argc; i++)
		row(strtoul(argv[i], NULL, 0));
	if (argc > 1)
		return 0;
	row(1000);
	row(100000);
	row(1000000);
	return 0;
}
