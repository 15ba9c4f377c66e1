// SPDX-License-Identifier: GPL-2.0
/*
 * The tables are documented in schema.sql, which is in the program as it is. A
 * chunk is written as it dies, when all is known of it, or in the end.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "export/causes.h"
#include "export/export.h"
#include "export/intern.h"
#include "export/schema.sql.h"
#include "output/syscall.h"
#include "output/text.h"
#include "output/view.h"

#define NONE INT64_MIN /* a number that is NULL */

enum table {
	ABOUT,
	SPACES,
	CHUNKS,
	PLACES,
	FRAMES,
	VMA_EVENTS,
	CHANGES,
	ALLOCATOR_CALLS,
	FUNCTIONS,
	VMAS,
	RESIDENT,
	CAUSED, /* the call of an event is known now */
	TABLES,
};

static const char *const statements[TABLES] = {
	[ABOUT] = "INSERT INTO about VALUES (?, ?)",
	[SPACES] = "INSERT INTO spaces VALUES (?, ?, ?, ?, ?, ?, ?)",
	[CHUNKS] = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PLACES] = "INSERT INTO places VALUES (?, ?, ?)",
	[FRAMES] = "INSERT INTO frames VALUES (?, ?, ?, ?)",
	[VMA_EVENTS] =
		"INSERT INTO vma_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
	[CHANGES] = "INSERT INTO changes VALUES (?, ?, ?, ?)",
	[ALLOCATOR_CALLS] =
		"INSERT INTO allocator_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[FUNCTIONS] = "INSERT INTO functions VALUES (?, ?, ?, ?, ?, ?)",
	[VMAS] = "INSERT INTO vmas VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[RESIDENT] = "INSERT INTO resident VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	[CAUSED] = "UPDATE vma_events SET allocator_call = ? WHERE id = ?",
};

struct db {
	const struct export *x;
	sqlite3 *db;
	sqlite3_stmt *to[TABLES];
	struct causes causes;
	struct hash places, stacks; /* that are written */
	int64_t events, calls; /* ids given */
	int err;
};

/* --- rows */

static void fail(struct db *d, int err)
{
	if (!d->err)
		d->err = err;
}

static void check(struct db *d, int rc)
{
	int sys = d->db ? sqlite3_system_errno(d->db) : 0;

	if (rc == SQLITE_OK || rc == SQLITE_DONE)
		return;
	fail(d, rc == SQLITE_FULL  ? -ENOSPC :
		rc == SQLITE_NOMEM ? -ENOMEM :
		sys		   ? -sys :
				     -EIO);
}

static void bind_text(struct db *d, enum table t, int i, const char *text)
{
	char *s = text ? utf8_of(text) : NULL;

	if (text && !s)
		fail(d, -ENOMEM);
	if (s)
		check(d, sqlite3_bind_text(d->to[t], i, s, -1, free));
	else
		check(d, sqlite3_bind_null(d->to[t], i));
}

/* A row: in `what` stands i for int64_t (NONE: NULL), t for text (NULL: NULL). */
static void row(struct db *d, enum table t, const char *what, ...)
{
	va_list ap;
	int64_t n;

	if (d->err)
		return;
	va_start(ap, what);
	for (int i = 0; what[i]; i++) {
		if (what[i] == 't') {
			bind_text(d, t, i + 1, va_arg(ap, const char *));
			continue;
		}
		n = va_arg(ap, int64_t);
		check(d, n == NONE ? sqlite3_bind_null(d->to[t], i + 1) :
				     sqlite3_bind_int64(d->to[t], i + 1, n));
	}
	va_end(ap);
	check(d, sqlite3_step(d->to[t]));
	sqlite3_reset(d->to[t]);
}

static int64_t since(const struct db *d, uint64_t ts)
{
	return (int64_t)(ts - d->x->o->start);
}

/* True the first time. */
static bool is_new(struct db *d, struct hash *h, uint64_t a, uint64_t b)
{
	if (hash_get(h, a, b))
		return false;
	if (hash_put(h, a, b, h))
		fail(d, -ENOMEM);
	return true;
}

static int64_t place(struct db *d, const struct space *s, uint64_t addr)
{
	char *name;

	if (!addr)
		return NONE;
	if (!is_new(d, &d->places, addr, s->mm))
		return (int64_t)addr;
	name = caller_text(d->x->o, s, addr);
	row(d, PLACES, "iit", (int64_t)s->mm, (int64_t)addr, name);
	free(name);
	return (int64_t)addr;
}

/* NONE: it is no stack, or one that is not known. */
static int64_t stack(struct db *d, const struct space *s, uint64_t caller)
{
	const struct stack *st = model_stack(d->x->o->model, caller);

	if (!st)
		return NONE;
	if (is_new(d, &d->stacks, st->id, s->mm))
		for (uint32_t i = 0; i < st->nr; i++)
			row(d, FRAMES, "iiii", (int64_t)s->mm, (int64_t)st->id,
			    (int64_t)i, place(d, s, st->frames[i]));
	return (int64_t)st->id;
}

/* --- events */

static void put_chunk(struct db *d, const struct space *s,
		      const struct chunk *c, int64_t died, int64_t died_tid)
{
	int64_t caller = place(d, s, model_caller(d->x->o->model, c->caller));
	int64_t st = stack(d, s, c->caller);

	row(d, CHUNKS, "iiitiiiiii", (int64_t)s->mm, (int64_t)c->addr,
	    (int64_t)c->size, call_op_name(c->op), since(d, c->ts),
	    (int64_t)c->tid, caller, st, died, died_tid);
}

static void born(void *ctx, const struct space *s, const struct chunk *c)
{
	(void)ctx;
	(void)s;
	(void)c;
}

static void died(void *ctx, const struct space *s, const struct chunk *c,
		 uint64_t ts, uint32_t tid)
{
	struct db *d = ctx;

	put_chunk(d, s, c, since(d, ts), tid);
}

static void put_vma_event(struct db *d, const struct outcome *out)
{
	const struct cause *c = out->cause;
	char buf[32], *call = NULL;
	const char *what = c->kind == CAUSE_SYSCALL ?
				   syscall_name(c->syscall, c->compat, buf) :
				   cause_name(c->kind);
	size_t size;
	FILE *f = open_memstream(&call, &size);

	if (f && c->kind == CAUSE_SYSCALL)
		put_syscall(f, c->syscall, c->compat, c->args);
	if (!f || fclose(f))
		fail(d, -ENOMEM);
	row(d, VMA_EVENTS, "iiiittiii", ++d->events, (int64_t)out->space->mm,
	    since(d, out->ev->ts), (int64_t)c->tid, what,
	    c->kind == CAUSE_SYSCALL ? call : NULL, (int64_t)c->mapped,
	    (int64_t)c->unmapped, (int64_t)c->changed);
	free(call);
	if (c->kind != CAUSE_OTHER &&
	    causes_event(&d->causes, out, (uint64_t)d->events))
		fail(d, -ENOMEM);
}

static void on_range(struct db *d, const struct outcome *out)
{
	const struct cause *c = out->cause;
	size_t nr = out->nr_changes < OUTCOME_CHANGES ? out->nr_changes :
							OUTCOME_CHANGES;

	if (!cause_is_event(c))
		return;
	for (size_t i = 0; i < nr; i++)
		row(d, CHANGES, "itii", d->events + 1,
		    vma_change_name(out->changes[i].kind),
		    (int64_t)out->changes[i].start,
		    (int64_t)out->changes[i].end);
	if (!(out->ev->range.flags & RANGE_MORE))
		put_vma_event(d, out);
}

static void on_call(struct db *d, const struct outcome *out)
{
	const struct space *s = out->space;
	struct ended_call c;

	if (causes_call(&d->causes, out, &c))
		fail(d, -ENOMEM);
	if (!c.nr_ids)
		return;
	row(d, ALLOCATOR_CALLS, "iiitiiiiii", ++d->calls, (int64_t)s->mm,
	    (int64_t)out->ev->tid, call_op_name(c.op), (int64_t)c.addr,
	    c.op == CALL_FREE ? NONE : (int64_t)c.size,
	    place(d, s, model_caller(d->x->o->model, c.caller)),
	    stack(d, s, c.caller), since(d, c.begin), since(d, c.end));
	for (size_t i = 0; i < c.nr_ids; i++)
		row(d, CAUSED, "ii", d->calls, (int64_t)c.ids[i]);
}

static void on_resident(struct db *d, const struct outcome *out)
{
	for (uint32_t i = 0; i < out->ev->resident.nr_vmas; i++) {
		const struct vma_resident *r = &out->ev->resident.vmas[i];

		row(d, RESIDENT, "iiiiiiii", (int64_t)out->space->mm,
		    since(d, out->ev->ts), (int64_t)r->start, (int64_t)r->end,
		    (int64_t)r->resident, (int64_t)r->swapped,
		    out->space->has_calls ? (int64_t)r->live_resident : NONE,
		    (int64_t)r->huge);
	}
}

static void tell(void *ctx, const struct outcome *out)
{
	struct db *d = ctx;

	if (d->err || !out->space)
		return;
	if (out->ev->kind == EV_RANGE)
		on_range(d, out);
	else if (out->ev->kind == EV_CALL)
		on_call(d, out);
	else if (out->ev->kind == EV_RESIDENT)
		on_resident(d, out);
}

/* --- what there is in the end */

static void put_live(struct db *d, const struct space *s)
{
	struct chunk c;
	uint64_t at = 0;

	for (; !d->err && !chunk_next(s->chunks, at, UINT64_MAX, &c);
	     at = c.addr + 1)
		put_chunk(d, s, &c, NONE, NONE);
}

static void put_functions(struct db *d, const struct space *s)
{
	for (enum call_op op = CALL_NONE; op < CALL_OP_MAX; op++) {
		const struct op_tally *t = &s->ops[op];

		if (t->calls)
			row(d, FUNCTIONS, "itiiii", (int64_t)s->mm,
			    call_op_name(op), (int64_t)t->calls,
			    (int64_t)t->failed,
			    op == CALL_FREE ? 0 : (int64_t)t->bytes,
			    op == CALL_FREE ? (int64_t)t->bytes : 0);
	}
}

static void put_vma(struct db *d, const struct space *s, size_t i)
{
	struct view w = view_of(s, i);
	char buf[5], *made = cause_text(d->x->o, s, w.made);

	row(d, VMAS, "iiitttiiit", (int64_t)s->mm, (int64_t)w.v->d.start,
	    (int64_t)w.v->d.end, perms(&w.v->d, buf), vma_name(d->x->o, s, w.v),
	    view_kind_name(w.kind), w.res ? (int64_t)w.res->resident : NONE,
	    s->has_calls ? (int64_t)w.live.bytes : NONE,
	    s->has_calls ? (int64_t)w.live.chunks : NONE, made);
	free(made);
}

static void put_space(struct db *d, const struct space *s)
{
	row(d, SPACES, "iitiiii", (int64_t)s->mm, (int64_t)s->owner, s->comm,
	    s->parent_mm ? (int64_t)s->parent_mm : NONE, since(d, s->born),
	    s->died ? since(d, s->died) : NONE, (int64_t)s->vmas_sampled);
	put_live(d, s);
	put_functions(d, s);
	for (size_t i = 0; i < vma_map_count(s->vmas); i++)
		put_vma(d, s, i);
}

static void put_about(struct db *d)
{
	const struct output *o = d->x->o;

	row(d, ABOUT, "ti", "start_monotonic", (int64_t)o->start);
	row(d, ABOUT, "ti", "start_realtime",
	    (int64_t)o->start + d->x->clock_offset);
	row(d, ABOUT, "tt", "command", d->x->command);
	row(d, ABOUT, "tt", "allocator_source", o->alloc);
	row(d, ABOUT, "ti", "stack_bytes", (int64_t)o->stack_bytes);
}

/* --- the database */

static void run(struct db *d, const char *sql)
{
	if (!d->err)
		check(d, sqlite3_exec(d->db, sql, NULL, NULL, NULL));
}

static void begin(struct db *d)
{
	check(d, sqlite3_open(d->x->path, &d->db));
	/* Whoever is interrupted begins again. */
	run(d, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
	run(d, "BEGIN");
	run(d, schema_sql);
	for (int i = 0; i < TABLES && !d->err; i++)
		check(d, sqlite3_prepare_v2(d->db, statements[i], -1, &d->to[i],
					    NULL));
}

static void end(struct db *d)
{
	run(d, "COMMIT");
	for (int i = 0; i < TABLES; i++)
		sqlite3_finalize(d->to[i]);
	sqlite3_close(d->db);
	causes_free(&d->causes);
	hash_destroy(&d->places);
	hash_destroy(&d->stacks);
}

int export_sqlite(const struct export *x)
{
	struct db d = { .x = x };
	const struct model_watch watch = { born, died, &d };

	begin(&d);
	if (!d.err)
		x->replay(x->replay_ctx, &watch, tell, &d);
	for (size_t i = 0; i < model_spaces(x->o->model) && !d.err; i++)
		put_space(&d, model_space_at(x->o->model, i));
	put_about(&d);
	end(&d);
	return d.err;
}
