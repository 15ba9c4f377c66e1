// SPDX-License-Identifier: GPL-2.0
/*
 * What was allocated by whom, by whole call stacks.
 *
 * --json (bytes; see text.h), one array of all stacks, those of most first:
 *   spaces: [ pid, comm, mm,
 *     stacks: [ stack (null: not known), caller (where there is no stack), live: {
 *       chunks, bytes }, allocs, asked ] ],
 *   stack_bytes: 0: stacks were not recorded; 1: of all allocations; N: of one in
 *     N bytes of each thread, and then allocs, asked, live are of those alone
 *   not_kept: stacks that were too many
 *
 * Folded, for flame graphs: "COMM;OUTERMOST;...;INNERMOST NUMBER" a line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/rows.h"
#include "output/text.h"

#define TOP 10 /* stacks in the text */

/* --- text */

static void text_row(const struct output *o, const struct space *s,
		     const struct stack_row *r)
{
	char live[32], asked[32];

	fprintf(o->f,
		"\n%s KiB live in %" PRIu64 " chunk%s; %" PRIu64
		" allocation%s of %s KiB\n",
		kib(r->live_bytes, live), r->live_chunks,
		plural(r->live_chunks), r->allocs, plural(r->allocs),
		kib(r->asked, asked));
	if (r->where & CALLER_STACK) {
		put_stack(o, s, o->f, r->where);
		return;
	}
	fputs("        ", o->f);
	put_caller(o, s, o->f, r->where);
	fputs("\n        ? (no stack)\n", o->f);
}

static void text_head(const struct output *o, const struct space *s,
		      const struct stack_rows *r, enum stack_order by)
{
	static const char *const names[] = { "live bytes", "bytes asked for",
					     "allocations" };

	put_process(o->f, s);
	fprintf(o->f, "\n%zu of %zu stack%s, most %s first",
		r->nr < TOP ? r->nr : TOP, r->nr, plural(r->nr), names[by]);
	if (o->stack_bytes > 1)
		fprintf(o->f,
			".\nSampled: of one allocation in %" PRIu64
			" bytes of each thread, and all numbers are of those alone",
			o->stack_bytes);
	fputs(".\n", o->f);
}

static size_t with_stack(const struct output *o, struct stack_rows *r)
{
	size_t i, nr = 0;

	for (i = 0; i < r->nr; i++)
		if (o->stack_bytes <= 1 || r->at[i].where & CALLER_STACK)
			r->at[nr++] = r->at[i];
	return nr;
}

/* What is shown of a space, in its order. To be freed, on an error too. */
static int chosen_rows(const struct output *o, const struct space *s,
		       enum stack_order by, struct stack_rows *r)
{
	int err = stack_rows_add(o, s, r);

	r->nr = with_stack(o, r);
	stack_rows_sort(r, by);
	return err;
}

static int space_text(const struct output *o, const struct space *s,
		      enum stack_order by)
{
	struct stack_rows r = { 0 };
	int err = chosen_rows(o, s, by, &r);
	size_t i;

	if (!err)
		text_head(o, s, &r, by);
	for (i = 0; !err && i < r.nr && i < TOP; i++)
		text_row(o, s, &r.at[i]);
	stack_rows_free(&r);
	return err;
}

/* --- folded */

/* ';' and blanks mean something there. */
static void put_folded_name(FILE *f, const char *name)
{
	for (; *name; name++)
		fputc(*name == ';'  ? ':' :
		      *name == ' '  ? '_' :
		      *name == '\n' ? '_' :
				      *name,
		      f);
}

static void put_folded_frame(const struct output *o, const struct space *s,
			     uint64_t frame)
{
	struct symbol sym = symbols_find(o->symbols, o->model, s, frame - 1);
	char buf[512];

	fputc(';', o->f);
	if (sym.function)
		put_folded_name(o->f, sym.function);
	else
		put_folded_name(o->f,
				symbols_name(o->symbols, o->model, s, frame - 1,
					     1, buf, sizeof(buf)));
	while (sym.nr_inlined--) {
		fputc(';', o->f);
		put_folded_name(o->f, sym.inlined[sym.nr_inlined]);
	}
}

void put_folded(const struct output *o, const struct space *s, uint64_t caller,
		uint64_t number)
{
	const struct stack *st = model_stack(o->model, caller);
	uint32_t i;

	put_folded_name(o->f, s->comm);
	if (!st || st->truncated)
		fputs(";[not known]", o->f);
	if (st)
		for (i = st->nr; i-- > 0;)
			put_folded_frame(o, s, st->frames[i]);
	else if (caller && caller != CALLER_STACK)
		put_folded_frame(o, s, caller);
	fprintf(o->f, " %" PRIu64 "\n", number);
}

static int space_folded(const struct output *o, const struct space *s,
			enum stack_order by)
{
	struct stack_rows r = { 0 };
	int err = chosen_rows(o, s, by, &r);
	size_t i;

	for (i = 0; !err && i < r.nr; i++)
		if (stack_row_value(&r.at[i], by))
			put_folded(o, s, r.at[i].where,
				   stack_row_value(&r.at[i], by));
	stack_rows_free(&r);
	return err;
}

/* --- JSON */

static json_t *json_row(const struct output *o, const struct space *s,
			const struct stack_row *r)
{
	return json_pack("{s:o, s:o, s:{s:o, s:o}, s:o, s:o}", "stack",
			 json_stack(o, s, r->where), "caller",
			 json_caller(o, s, r->where), "live", "chunks",
			 json_u64(r->live_chunks), "bytes",
			 json_u64(r->live_bytes), "allocs", json_u64(r->allocs),
			 "asked", json_u64(r->asked));
}

static json_t *json_space(const struct output *o, const struct space *s,
			  enum stack_order by)
{
	struct stack_rows r = { 0 };
	json_t *rows = json_array();
	size_t i;

	if (chosen_rows(o, s, by, &r)) {
		stack_rows_free(&r);
		json_decref(rows);
		return NULL;
	}
	for (i = 0; i < r.nr; i++)
		json_array_append_new(rows, json_row(o, s, &r.at[i]));
	stack_rows_free(&r);
	return json_pack("{s:o, s:o, s:o, s:o}", "pid", json_u64(s->owner),
			 "comm", json_name(s->comm), "mm", json_u64(s->mm),
			 "stacks", rows);
}

static int stacks_json(const struct output *o, const struct space *only,
		       enum stack_order by)
{
	size_t i, nr = only ? 1 : model_spaces(o->model);
	json_t *spaces = json_array(), *sp;

	for (i = 0; i < nr; i++) {
		sp = json_space(o, only ? only : model_space_at(o->model, i),
				by);
		if (json_array_append_new(spaces, sp)) {
			json_decref(spaces);
			return -ENOMEM;
		}
	}
	return json_print(
		o,
		json_pack("{s:o, s:o, s:o}", "spaces", spaces, "stack_bytes",
			  json_u64(o->stack_bytes), "not_kept",
			  json_u64(model_totals(o->model).stacks_refused)),
		false);
}

/* --- the views */

int stack_order_parse(const char *name, enum stack_order *by)
{
	static const char *const names[] = { "live", "bytes", "allocs" };
	size_t i;

	for (i = 0; i < 3; i++) {
		if (strcmp(name, names[i]))
			continue;
		*by = (enum stack_order)i;
		return 0;
	}
	return -EINVAL;
}

static int each_space(const struct output *o, const struct space *only,
		      enum stack_order by,
		      int (*show)(const struct output *o, const struct space *s,
				  enum stack_order by),
		      const char *between)
{
	size_t i, nr = only ? 1 : model_spaces(o->model);
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		if (i)
			fputs(between, o->f);
		err = show(o, only ? only : model_space_at(o->model, i), by);
	}
	return err ? err : output_status(o->f);
}

static void put_not_kept(const struct output *o)
{
	uint64_t n = model_totals(o->model).stacks_refused;

	if (n)
		fprintf(o->f,
			"\nStacks that were too many to be kept: %" PRIu64 "\n",
			n);
}

int output_stacks(const struct output *o, const struct space *only,
		  enum stack_order by)
{
	int err;

	if (o->json)
		return stacks_json(o, only, by);
	if (!o->stack_bytes)
		fputs("No stacks were recorded (vmaheap record --stacks): these are the direct callers, of what is alive.\n\n",
		      o->f);
	err = each_space(o, only, by, space_text, "\n");
	if (!err)
		put_not_kept(o);
	return err;
}

int output_folded(const struct output *o, const struct space *only,
		  enum stack_order by)
{
	return each_space(o, only, by, space_folded, "");
}
