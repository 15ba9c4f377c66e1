// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/command.h"
#include "output/picture.h"
#include "output/waste.h"
#include "session/client.h"
#include "session/pager.h"

/* What report --stacks, --waste and --folded show, and in which order. */
struct sites {
	bool waste;
	enum stack_order by;
	enum waste_order waste_by;
	const char *name; /* of the order */
};

/* 0, or why it cannot be, said. --folded takes the orders of both. */
static int parse_sites(const struct args *a, struct sites *n)
{
	n->name = a->folded ? a->folded : a->stacks ? a->stacks : a->waste;
	if (!n->name || !*n->name)
		n->name = a->waste && !a->nr_rest ? "resident" : "live";
	n->waste = a->waste || stack_order_parse(n->name, &n->by);
	if (!n->waste || !waste_order_parse(n->name, &n->waste_by))
		return 0;
	return fail(
		"%s: it is live, bytes or allocs (stacks), or live, resident, untouched, spare, slack, hostage or calls (waste)",
		n->name);
}

static int waste_view(struct view *v, const struct args *a,
		      const struct space *only, enum waste_order by)
{
	struct look_view l = { .o = &v->o };
	size_t i, nr = only ? 1 : model_spaces(v->o.model);
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		l.s = only ? only : model_space_at(v->o.model, i);
		if (i && !a->folded && !a->json)
			putchar('\n');
		err = (a->folded ? output_waste_folded : output_waste)(&l, by);
	}
	return err;
}

static int report_view(struct view *v, const struct args *a,
		       const struct space *only)
{
	struct sites n;

	parse_sites(a, &n);
	if (n.waste)
		return waste_view(v, a, only, n.waste_by);
	if (a->folded)
		return output_folded(&v->o, only, n.by);
	if (a->stacks)
		return output_stacks(&v->o, only, n.by);
	return output_report(&v->o, only);
}

static int write_file(const char *name, const char *text, size_t size)
{
	FILE *f = fopen(name, "we");
	int err;

	if (!f)
		return -errno;
	err = fwrite(text, 1, size, f) == size ? 0 : -errno;
	if (fclose(f) && !err)
		err = -errno;
	return err;
}

/* With history a page, else the strip. 0, or the exit status. */
static int draw(struct output *o, const char *name, const struct history *h,
		const struct space *s)
{
	char *text = NULL;
	size_t size;
	int err;

	o->f = open_memstream(&text, &size);
	if (!o->f)
		return fail("there is no memory");
	err = h ? output_page(o, h, s) : output_svg(o, s);
	if (fclose(o->f) && !err)
		err = -ENOMEM;
	o->f = stdout;
	if (!err)
		err = write_file(name, text, size);
	free(text);
	return err ? fail("%s: %s", name, strerror(-err)) : 0;
}

/* --html, --svg: the strip is of one process, by default the first. */
static int draw_all(const struct args *a, struct view *v,
		    const struct history *h, const struct space *only)
{
	const struct space *first = model_space_at(v->o.model, 0);
	int status = a->html ? draw(&v->o, a->html, h, only) : 0;

	if (a->svg && !status)
		status = draw(&v->o, a->svg, NULL,
			      only ? only :
				     model_process(v->o.model, first->owner));
	return status;
}

static int ask_picture(const char *question, uint32_t pid, const char *name)
{
	int status;

	if (!freopen(name, "we", stdout))
		return fail("%s: %s", name, strerror(errno));
	status = client_ask(question, pid, false);
	if (fflush(stdout) && !status)
		status = fail("%s: %s", name, strerror(errno));
	if (status)
		remove_file(name);
	return status;
}

/* Of a running process, as it is. */
static int draw_live(const struct args *a)
{
	int status = a->html ? ask_picture("html", a->pid, a->html) : 0;

	if (a->svg && !status)
		status = ask_picture("svg", a->pid, a->svg);
	return status;
}

static int draw_trace(const struct args *a, const char *dir)
{
	const struct space *only = NULL;
	struct history *h;
	struct view v;
	int status;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	status = view_watch(&v, a, &h);
	if (a->pid)
		only = model_process(v.o.model, a->pid);
	if (!status && a->pid && !only)
		status = fail("%s: process %u is not in this trace", dir,
			      a->pid);
	if (!status && !model_spaces(v.o.model))
		status = fail("%s: no process was watched", dir);
	if (!status)
		status = draw_all(a, &v, h, only);
	history_free(h);
	return view_close(&v, 0) ? STATUS_FAILED : status;
}

static int report_trace(const struct args *a, const char *dir)
{
	struct view v;
	const struct space *only = NULL;
	int err;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	if (view_run(&v, a)) {
		view_close(&v, 0);
		return STATUS_FAILED;
	}
	if (a->pid) {
		only = model_process(v.o.model, a->pid);
		if (!only) {
			view_close(&v, 0);
			return fail("%s: process %u is not in this trace", dir,
				    a->pid);
		}
	}
	err = report_view(&v, a, only);
	if (err != -ENODATA)
		return view_close(&v, err);
	view_close(&v, 0);
	return fail("%s: " WASTE_UNKNOWN, a->folded);
}

int run_report(const struct command *c, const struct args *a)
{
	struct sites n;

	if ((a->at && !a->nr_rest) || (a->waste && a->stacks))
		return usage_of(c, stderr);
	if (parse_sites(a, &n))
		return STATUS_FAILED;
	if (a->pid && !a->nr_rest && (a->stacks || a->folded || a->waste))
		return client_ask_sites(n.waste ? "waste" : "stacks", a->pid,
					n.name, a->folded, a->json);
	if (a->pid && !a->nr_rest && (a->html || a->svg))
		return draw_live(a);
	if (a->pid && !a->nr_rest)
		return client_ask("report", a->pid, a->json);
	if (a->nr_rest != 1)
		return usage_of(c, stderr);
	if (a->html || a->svg)
		return draw_trace(a, a->rest[0]);
	return report_trace(a, a->rest[0]);
}
