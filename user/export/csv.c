// SPDX-License-Identifier: GPL-2.0
/*
 * One line an event, in time order (RFC 4180, but for the ends of lines): what is
 * not known, or makes no sense for an event, is empty. VMA events come before the
 * call that caused them ends, so which one that was is not in their lines
 * (--format=sqlite has it).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "export/export.h"
#include "output/syscall.h"
#include "output/text.h"

struct csv {
	const struct export *x;
	FILE *f;
};

/* Spreadsheets ask for quotes; what is one is doubled. */
static void put_text(FILE *f, const char *text)
{
	fputs(",\"", f);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', f);
		fputc(*text, f);
	}
	fputc('"', f);
}

static void put_head(const struct csv *c, const struct outcome *out,
		     const char *event, const char *what)
{
	const struct event *ev = out->ev;

	fprintf(c->f, "%" PRIu64 ",%u,%u,%" PRIu64 ",%s",
		ev->ts - c->x->o->start, out->space->owner, ev->tid,
		out->space->mm, event);
	put_text(c->f, what);
}

static void put_call_line(const struct csv *c, const struct outcome *out)
{
	static const char *const events[] = {
		[CALL_ALLOC] = "alloc",
		[CALL_FREED] = "free",
		[CALL_REALLOC_ENTER] = "realloc_enter",
		[CALL_REALLOC_RETURN] = "realloc_return",
	};
	const struct event *ev = out->ev;
	uint64_t caller = model_caller(c->x->o->model, ev->call.caller);
	char *who;

	if (ev->call.phase == CALL_LEAVE)
		return;
	put_head(c, out, events[ev->call.phase], call_op_name(ev->call.op));
	fprintf(c->f, ",0x%" PRIx64 ",", ev->call.addr);
	if (ev->call.phase == CALL_ALLOC ||
	    ev->call.phase == CALL_REALLOC_RETURN)
		fprintf(c->f, "%" PRIu64, ev->call.size);
	else if (out->known)
		fprintf(c->f, "%" PRIu64, out->chunk.size);
	who = caller ? caller_text(c->x->o, out->space, caller) : NULL;
	put_text(c->f, who ? who : "");
	fputs(",,,\n", c->f);
	free(who);
}

static void put_vma_line(const struct csv *c, const struct outcome *out)
{
	const struct cause *why = out->cause;
	char buf[32];

	if (!cause_is_event(why) || out->ev->range.flags & RANGE_MORE)
		return;
	put_head(c, out, "vma",
		 why->kind == CAUSE_SYSCALL ?
			 syscall_name(why->syscall, why->compat, buf) :
			 cause_name(why->kind));
	fprintf(c->f,
		",0x%" PRIx64 ",%" PRIu64 ",,%" PRIu64 ",%" PRIu64 ",%" PRIu64
		"\n",
		out->ev->range.lo, out->ev->range.hi - out->ev->range.lo,
		why->mapped, why->unmapped, why->changed);
}

static void tell(void *ctx, const struct outcome *out)
{
	if (!out->space)
		return;
	if (out->ev->kind == EV_CALL)
		put_call_line(ctx, out);
	else if (out->ev->kind == EV_RANGE)
		put_vma_line(ctx, out);
}

int export_csv(const struct export *x)
{
	struct csv c = { .x = x, .f = x->o->f };

	fputs("time_ns,pid,tid,mm,event,what,address,size,caller,mapped,unmapped,protected\n",
	      c.f);
	x->replay(x->replay_ctx, NULL, tell, &c);
	return output_status(c.f);
}
