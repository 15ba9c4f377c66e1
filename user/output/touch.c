// SPDX-License-Identifier: GPL-2.0
#include "output/touch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "output/syscall.h"
#include "output/table.h"

#define TOP 10 /* sites in the text */

static const char *access_name(uint32_t flags)
{
	return flags & FAULT_EXEC  ? "execute" :
	       flags & FAULT_WRITE ? "write" :
				     "read";
}

/* ns as ms, with what is below. */
static const char *ms(uint64_t ns, char buf[32])
{
	snprintf(buf, 32, "%" PRIu64 ".%03" PRIu64, ns / 1000000,
		 ns % 1000000 / 1000);
	return buf;
}

/* " at memset+0x12 (libc.so.6)", " in read() at ..." */
static void put_where(const struct output *o, const struct space *s, int32_t nr,
		      bool compat, uint64_t ip)
{
	char buf[32];

	if (nr >= 0)
		fprintf(o->f, " in %s()", syscall_name(nr, compat, buf));
	fputs(" at ", o->f);
	put_code(o, s, o->f, ip);
}

/* --- an event */

static const char *kind_of_fault(const struct outcome *out)
{
	if (out->first)
		return "first touch of its page";
	if (out->ev->fault.flags & FAULT_PRESENT)
		return "there is a page (copied on write, or protected)";
	if (out->space && !vma_map_find(out->space->vmas, out->ev->fault.addr))
		return "nothing is mapped there";
	return "its page has gone meanwhile";
}

void put_fault(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;
	const struct chunk *c = &out->chunk;

	fprintf(o->f, "fault: %s of %#" PRIx64, access_name(ev->fault.flags),
		ev->fault.addr);
	put_where(o, out->space, ev->fault.syscall,
		  ev->fault.flags & FAULT_COMPAT, ev->fault.ip);
	fprintf(o->f, ": %s", kind_of_fault(out));
	if (!out->known)
		return;
	fprintf(o->f, ", +%" PRIu64 " in ", ev->fault.addr - c->addr);
	if (chunk_is_found(c)) {
		fprintf(o->f, "a chunk of %" PRIu64, c->size);
		return;
	}
	put_call(o->f, c->op, c->addr, c->size);
	fputs(" from ", o->f);
	put_caller(o, out->space, o->f, c->caller);
}

static json_t *json_syscall_name(int32_t nr, bool compat)
{
	char buf[32];

	return nr < 0 ? json_null() :
			json_string(syscall_name(nr, compat, buf));
}

void json_fault(const struct output *o, const struct outcome *out, json_t *j)
{
	const struct event *ev = out->ev;
	uint32_t flags = ev->fault.flags;

	json_object_set_new(j, "kind", json_string("fault"));
	json_object_set_new(j, "addr", json_addr(ev->fault.addr));
	json_object_set_new(j, "access", json_string(access_name(flags)));
	json_object_set_new(j, "present", json_boolean(flags & FAULT_PRESENT));
	json_object_set_new(j, "first", json_boolean(out->first));
	json_object_set_new(j, "syscall",
			    json_syscall_name(ev->fault.syscall,
					      flags & FAULT_COMPAT));
	json_object_set_new(j, "by", json_code(o, out->space, ev->fault.ip));
	json_object_set_new(
		j, "chunk",
		out->known ? json_pack("{s:o, s:o, s:s, s:o}", "addr",
				       json_addr(out->chunk.addr), "size",
				       json_u64(out->chunk.size), "op",
				       call_op_name(out->chunk.op), "caller",
				       json_caller(o, out->space,
						   out->chunk.caller)) :
			     json_null());
}

/* --- one page */

/*
 * Was it touched in the life of the chunk, and when that began is known? With the
 * ts of the allocation it was touched before malloc returned.
 */
static bool is_of(const struct touch *t, const struct chunk *c)
{
	return c && !chunk_is_found(c) && t->ts > c->ts;
}

void put_touch(const struct output *o, const struct space *s, uint64_t addr,
	       const struct chunk *c)
{
	const struct touch *t = space_touch(o->model, s, addr);
	char buf[32];

	if (!s->faults.all)
		return;
	if (!t) {
		fputs("  touched   not known: no page fault tells of it\n",
		      o->f);
		return;
	}
	fputs("  touched   first at ", o->f);
	put_time(o, o->f, t->ts);
	fputs(" s, ", o->f);
	if (is_of(t, c)) {
		fprintf(o->f, "%s ms after the chunk was allocated, ",
			ms(t->ts - c->ts, buf));
	} else if (c && !chunk_is_found(c)) {
		fputs("before the chunk was allocated, ", o->f);
	}
	fprintf(o->f, "a %s", access_name(t->flags));
	put_where(o, s, t->syscall, t->flags & FAULT_COMPAT, t->ip);
	fprintf(o->f, ", thread %u\n", t->tid);
}

json_t *json_touch(const struct output *o, const struct space *s, uint64_t addr,
		   const struct chunk *c)
{
	const struct touch *t = space_touch(o->model, s, addr);

	if (!t)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "ts",
			 json_u64(t->ts), "tid", json_u64(t->tid), "by",
			 json_code(o, s, t->ip), "access",
			 access_name(t->flags), "syscall",
			 json_syscall_name(t->syscall, t->flags & FAULT_COMPAT),
			 "after",
			 is_of(t, c) ? json_u64(t->ts - c->ts) : json_null());
}

/* --- all of them, by site */

static int by_touches(const void *va, const void *vb)
{
	const struct touch_tally *a = va, *b = vb;

	if (a->touches != b->touches)
		return a->touches > b->touches ? -1 : 1;
	return a->caller < b->caller ? -1 : a->caller > b->caller;
}

static void cell_ms(struct table *t, bool known, uint64_t ns)
{
	char buf[32];

	table_cell(t, "%s", known ? ms(ns, buf) : "?");
}

static void site_row(const struct output *o, const struct space *s,
		     struct table *t, const struct touch_tally *c)
{
	char *who = caller_text(o, s, c->caller);

	table_cell(t, "%" PRIu64, c->touches);
	table_cell(t, "%" PRIu64, c->in_kernel);
	cell_ms(t, c->timed, c->timed ? c->delay / c->timed : 0);
	cell_ms(t, c->timed, c->longest);
	table_cell(t, "%s", who ? who : "?");
	free(who);
}

static int print_sites(const struct output *o, const struct space *s)
{
	static const char *const names[] = { "touches",	       "in syscalls",
					     "ms later",       "at most",
					     "allocated from", NULL };
	struct touch_tally *sites = sorted_copy(
		s->touch_sites, s->nr_touch_sites, sizeof(*sites), by_touches);
	struct table *t = table_new("rrrrl");
	int err = sites && t ? 0 : -ENOMEM;
	size_t i;

	if (!err) {
		table_names(t, names);
		for (i = 0; i < s->nr_touch_sites && i < TOP; i++)
			site_row(o, s, t, &sites[i]);
		err = table_print(t, o->f);
	}
	table_free(t);
	free(sites);
	return err;
}

int print_touches(const struct output *o, const struct space *s)
{
	const struct fault_tally *n = &s->faults;

	if (!n->all)
		return 0;
	fprintf(o->f,
		"\nPage faults: %" PRIu64 ", of these %" PRIu64
		" first touches of a page (%" PRIu64 " in system calls),\n"
		"%" PRIu64 " of pages that were there, %" PRIu64
		" of what is not mapped\n",
		n->all, n->first, n->in_kernel, n->present, n->unmapped);
	if (!n->in_chunks)
		return 0;
	fprintf(o->f,
		"\n%" PRIu64
		" first touches were of a live chunk (%zu of %zu place%s)\n\n",
		n->in_chunks, s->nr_touch_sites < TOP ? s->nr_touch_sites : TOP,
		s->nr_touch_sites, plural(s->nr_touch_sites));
	return print_sites(o, s);
}

static json_t *json_sites(const struct output *o, const struct space *s)
{
	struct touch_tally *sites = sorted_copy(
		s->touch_sites, s->nr_touch_sites, sizeof(*sites), by_touches);
	json_t *list = json_array();
	size_t i;

	for (i = 0; sites && i < s->nr_touch_sites; i++) {
		const struct touch_tally *c = &sites[i];

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "caller",
				  json_caller(o, s, c->caller), "stack",
				  json_stack(o, s, c->caller), "touches",
				  json_u64(c->touches), "in_kernel",
				  json_u64(c->in_kernel), "delay",
				  c->timed ? json_u64(c->delay / c->timed) :
					     json_null(),
				  "longest",
				  c->timed ? json_u64(c->longest) :
					     json_null()));
	}
	free(sites);
	return list;
}

json_t *json_touches(const struct output *o, const struct space *s,
		     bool callers)
{
	const struct fault_tally *n = &s->faults;
	json_t *j;

	if (!n->all)
		return json_null();
	j = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "faults",
		      json_u64(n->all), "present", json_u64(n->present),
		      "unmapped", json_u64(n->unmapped), "first",
		      json_u64(n->first), "in_chunks", json_u64(n->in_chunks),
		      "in_kernel", json_u64(n->in_kernel));
	if (callers)
		json_object_set_new(j, "sites", json_sites(o, s));
	return j;
}
