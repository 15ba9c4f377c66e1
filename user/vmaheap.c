// SPDX-License-Identifier: GPL-2.0
/*
 * The command. Each subcommand parses into a plain struct and hands it on:
 * record and attach to session/client.h, questions to the daemon (-p PID) or to
 * a replayed trace (DIR).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/export.h"
#include "intake/proc.h"
#include "output/diff.h"
#include "output/enomem.h"
#include "output/heap.h"
#include "output/held.h"
#include "output/output.h"
#include "output/picture.h"
#include "output/waste.h"
#include "session/ask.h"
#include "session/client.h"
#include "session/look.h"
#include "session/module.h"
#include "session/pager.h"
#include "session/recorder.h"
#include "session/replay.h"
#include "session/threshold.h"
#include "top/top.h"
#include "trace/trace.h"

#define VERIFY_DEFAULT_MS 100

struct args {
	uint32_t pid; /* -p; 0: none */
	const char *out; /* -o */
	const char *alloc; /* --alloc */
	const char *kernel; /* --kernel */
	const char *ring; /* --ring */
	const char *stacks; /* --stacks; "": without a value */
	const char *folded; /* --folded */
	const char *waste; /* --waste; "": without a value */
	const char *symfs; /* --symfs */
	const char *format; /* --format */
	const char *html, *svg; /* --html, --svg: file names */
	bool follow; /* -f */
	bool faults; /* --faults */
	bool json; /* --json */
	bool bins; /* --bins */
	bool chunks; /* --chunks */
	bool bytes; /* --bytes */
	bool stop; /* --stop */
	bool no_symbols; /* --no-symbols */
	bool batch; /* -b */
	unsigned int count; /* -n; 0: not given */
	const char *delay; /* -d: seconds */
	const char *setting; /* --try */
	unsigned int verify_ms; /* --verify */
	const char *flight, *max_size,
		*max_age; /* --flight-recorder and so on */
	char triggers[256]; /* --trigger, with ',' between, and as understood */
	struct triggers parsed;
	const char *
		at; /* --at: seconds since the trace's first event; NULL: the end */
	char **rest; /* what is no option */
	int nr_rest;
};

struct command {
	const char *name;
	const char *synopsis;
	const char *what;
	const char *options; /* getopt letters of those below that it takes */
	int (*run)(const struct command *c, const struct args *a);
	bool pages; /* its answer may be long: through the pager */
};

enum {
	OPT_ALLOC = 256,
	OPT_KERNEL,
	OPT_VERIFY,
	OPT_FAULTS,
	OPT_JSON,
	OPT_RING,
	OPT_STACKS,
	OPT_FOLDED,
	OPT_SYMFS,
	OPT_FORMAT,
	OPT_WASTE,
	OPT_HTML,
	OPT_SVG,
	OPT_BINS,
	OPT_BYTES,
	OPT_CHUNKS,
	OPT_STOP,
	OPT_NO_SYMBOLS,
	OPT_AT,
	OPT_TRY,
	OPT_FLIGHT,
	OPT_TRIGGER,
	OPT_MAX_SIZE,
	OPT_MAX_AGE
};

static const struct option longopts[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "output", required_argument, NULL, 'o' },
	{ "follow", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "alloc", required_argument, NULL, OPT_ALLOC },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "verify", optional_argument, NULL, OPT_VERIFY },
	{ "faults", no_argument, NULL, OPT_FAULTS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "ring", required_argument, NULL, OPT_RING },
	{ "stacks", optional_argument, NULL, OPT_STACKS },
	{ "folded", required_argument, NULL, OPT_FOLDED },
	{ "symfs", required_argument, NULL, OPT_SYMFS },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "waste", optional_argument, NULL, OPT_WASTE },
	{ "html", required_argument, NULL, OPT_HTML },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "bins", no_argument, NULL, OPT_BINS },
	{ "bytes", no_argument, NULL, OPT_BYTES },
	{ "chunks", no_argument, NULL, OPT_CHUNKS },
	{ "stop", no_argument, NULL, OPT_STOP },
	{ "no-symbols", no_argument, NULL, OPT_NO_SYMBOLS },
	{ "at", required_argument, NULL, OPT_AT },
	{ "try", required_argument, NULL, OPT_TRY },
	{ "flight-recorder", required_argument, NULL, OPT_FLIGHT },
	{ "trigger", required_argument, NULL, OPT_TRIGGER },
	{ "max-size", required_argument, NULL, OPT_MAX_SIZE },
	{ "max-age", required_argument, NULL, OPT_MAX_AGE },
	{ NULL, 0, NULL, 0 },
};

static int usage_of(const struct command *c, FILE *f)
{
	fprintf(f, "usage: vmaheap %s %s\n%s\n", c->name, c->synopsis, c->what);
	return f == stdout ? 0 : STATUS_FAILED;
}

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("vmaheap: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return STATUS_FAILED;
}

/* --- record, attach ---------------------------------------------------- */

/* "walk", or "walk:MS" */
static bool is_walk(const char *name)
{
	char *end;
	unsigned long ms;

	if (strncmp(name, "walk", 4) || !name[4])
		return !strcmp(name, "walk");
	ms = strtoul(name + 5, &end, 10);
	return name[4] == ':' && name[5] >= '0' && name[5] <= '9' && !*end &&
	       ms && ms <= 3600000;
}

static int valid_alloc(const char *name)
{
	return !strcmp(name, "shim") || !strcmp(name, "uprobe") ||
	       !strcmp(name, "none") || is_walk(name);
}

/* Of --kernel=SIDE with what else was asked for: 0, or why it cannot be, said. */
static int check_kernel(const struct args *a, const char *alloc)
{
	if (a->kernel && strcmp(a->kernel, "module") &&
	    strcmp(a->kernel, "none"))
		return fail("--kernel=%s: it is module or none", a->kernel);
	if (!a->kernel || strcmp(a->kernel, "none"))
		return 0;
	if (!strcmp(alloc, "none"))
		return fail(
			"--kernel=none and --alloc=none: that leaves nothing to watch");
	if (a->verify_ms)
		return fail(
			"--verify and --kernel=none: without the module there is nothing to compare /proc/PID/maps with");
	if (a->faults)
		return fail(
			"--faults and --kernel=none: it is the module that tells of page faults");
	return 0;
}

static bool is_no_module(const struct args *a)
{
	return a->kernel && !strcmp(a->kernel, "none");
}

/* --stacks[=all|BYTES]: 0, or why it cannot be, said. */
static int parse_stacks(const struct args *a, const char *alloc,
			uint64_t *bytes)
{
	char *end;

	*bytes = 0;
	if (!a->stacks)
		return 0;
	if (strcmp(alloc, "shim"))
		return fail("--stacks and --alloc=%s: stacks need the shim",
			    alloc);
	*bytes = 1;
	if (!*a->stacks || !strcmp(a->stacks, "all"))
		return 0;
	errno = 0;
	*bytes = strtoull(a->stacks, &end, 10);
	if (errno || *end || *bytes < 2 || *bytes > INT64_MAX)
		return fail("--stacks=%s: it is all, or a number of bytes",
			    a->stacks);
	return 0;
}

/* False: it is no time; else *ns. */
static bool parse_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(text, &end);
	if (errno || end == text || *end || !(s >= 0 && s < 1e9))
		return false;
	*ns = (uint64_t)(s * 1e9 + 0.5);
	return true;
}

/* Less is not worth a row of segments. */
#define SIZE_MIN (256u << 10)

static int parse_limit(const char *option, const char *text, uint64_t *bytes)
{
	*bytes = text ? parse_size(text) : 0;
	if (text && *bytes < SIZE_MIN)
		return fail("--%s=%s: it is a size of 256K or more, like 64M",
			    option, text);
	return 0;
}

/* How much of the trace is kept: 0, or why it cannot be, said. */
static int parse_limits(const struct args *a, struct record_opts *o)
{
	if (parse_limit("flight-recorder", a->flight, &o->flight) ||
	    parse_limit("max-size", a->max_size, &o->max_size))
		return STATUS_FAILED;
	if (a->max_age && (!parse_seconds(a->max_age, &o->max_age) ||
			   o->max_age < 1000000000))
		return fail("--max-age=%s: it is 1 second or more", a->max_age);
	if (o->flight && o->max_size)
		return fail(
			"--flight-recorder and --max-size: one of them says how much is kept");
	o->triggers = a->triggers[0] ? a->triggers : NULL;
	if (o->triggers && !o->flight)
		return fail(
			"--trigger: there is no --flight-recorder whose content it could ask for");
	return 0;
}

static int run_record(const struct command *c, const struct args *a)
{
	struct record_opts o = { .dir = a->out,
				 .alloc = a->alloc ? a->alloc : "shim",
				 .alloc_given = a->alloc,
				 .no_module = is_no_module(a),
				 .follow = a->follow,
				 .faults = a->faults,
				 .verify_ms = a->verify_ms,
				 .ring = a->ring,
				 .argv = a->rest };

	if (!a->nr_rest)
		return usage_of(c, stderr);
	if (!valid_alloc(o.alloc))
		return fail(
			"--alloc=%s: it is shim, uprobe, walk, walk:MS or none",
			o.alloc);
	if (check_kernel(a, o.alloc) ||
	    parse_stacks(a, o.alloc, &o.stack_bytes) || parse_limits(a, &o))
		return STATUS_FAILED;
	return client_record(&o);
}

static int run_attach(const struct command *c, const struct args *a)
{
	struct record_opts o = { .dir = a->out,
				 .alloc = a->alloc  ? a->alloc :
					  a->stacks ? "shim" :
						      "auto",
				 .no_module = is_no_module(a),
				 .follow = a->follow,
				 .faults = a->faults,
				 .verify_ms = a->verify_ms,
				 .ring = a->ring,
				 .pid = a->pid };

	if (!a->pid || a->nr_rest)
		return usage_of(c, stderr);
	if (a->alloc && !valid_alloc(o.alloc))
		return fail(
			"--alloc=%s: it is shim, uprobe, walk, walk:MS or none",
			o.alloc);
	if (check_kernel(a, o.alloc) ||
	    parse_stacks(a, o.alloc, &o.stack_bytes) || parse_limits(a, &o))
		return STATUS_FAILED;
	return client_attach(&o);
}

/* --- questions to a trace ------------------------------------------------ */

/* Everything that a view needs, from a trace directory. */
struct view {
	struct replay *r;
	struct symbols *sy;
	struct output o;
};

/* A trace whose front was not kept begins with a model that has forgotten some. */
static void say_forgotten(const struct model *m, const char *dir)
{
	uint64_t nr = model_forgotten(m)->spaces;

	if (nr)
		fprintf(stderr,
			"vmaheap: %s: of %" PRIu64
			" address spaces that had ended before it begins there are no details, only the sums that report shows\n",
			dir, nr);
}

static int view_open(struct view *v, const struct args *a, const char *dir)
{
	char *why = NULL;

	*v = (struct view){ .r = replay_open(dir, &why) };
	if (!v->r) {
		fail("%s", why ? why : strerror(errno));
		free(why);
		return -1;
	}
	say_forgotten(replay_model(v->r), dir);
	v->sy = symbols_new(
		&(struct symbols_opts){ .symfs = a->symfs, .full = true });
	v->o = (struct output){ .f = stdout,
				.json = a->json,
				.model = replay_model(v->r),
				.symbols = v->sy,
				.stack_bytes = replay_env(v->r)->stack_bytes,
				.alloc = replay_env(v->r)->alloc,
				.begins =
					output_beginning(replay_model(v->r),
							 replay_begins(v->r)) };
	return 0;
}

/* The moment that was asked for, or the end; 0, or the exit status. */
static int view_until(struct view *v, const struct args *a, uint64_t *end)
{
	uint64_t ns;

	v->o.start = replay_first(v->r);
	*end = UINT64_MAX;
	if (!a->at)
		return 0;
	if (!parse_seconds(a->at, &ns))
		return fail("--at=%s: it is no number of seconds", a->at);
	*end = v->o.start + ns;
	if (*end >= v->o.begins.ts)
		return 0;
	return fail(
		"--at=%s: this trace begins at %.6f s, what was before was not kept",
		a->at, (double)(v->o.begins.ts - v->o.start) / 1e9);
}

/* Up to the moment that was asked for, or all of it. 0, or the exit status. */
static int view_run(struct view *v, const struct args *a)
{
	uint64_t end;

	if (view_until(v, a, &end))
		return STATUS_FAILED;
	replay_on_packet(v->r, progress_show);
	if (replay_until(v->r, end))
		return fail("there is no memory");
	progress_end();
	v->o.model = replay_model(v->r);
	v->o.now = a->at ? end : replay_last(v->r);
	return 0;
}

/* The same, from the first event on, and *h is how it came (the caller's). */
static int view_watch(struct view *v, const struct args *a, struct history **h)
{
	uint64_t end;

	*h = NULL;
	if (view_until(v, a, &end))
		return STATUS_FAILED;
	*h = history_new(v->o.model, v->o.start);
	if (!*h)
		return fail("there is no memory");
	replay_on_packet(v->r, progress_show);
	replay_watch(v->r, end, history_told, history_advance, *h);
	progress_end();
	v->o.now = a->at ? end : replay_last(v->r);
	return history_end(*h, v->o.now) ? fail("there is no memory") : 0;
}

/* The exit status. */
static int say_damage(uint64_t damage)
{
	if (!damage)
		return 0;
	fprintf(stderr,
		"vmaheap: the trace is truncated or damaged: %" PRIu64
		" bytes could not be read, the rest is shown\n",
		damage);
	return 1;
}

/* A truncated trace is told of; what could be read has been shown. */
static int view_close(struct view *v, int err)
{
	uint64_t damage = replay_damage(v->r);
	uint64_t missing = model_totals(replay_model(v->r)).no_memory;
	int status = 0;

	if (!err && fflush(stdout))
		err = -errno;
	if (err)
		status = fail("the output: %s", strerror(-err));
	else if (missing)
		status = fail("there was no memory for %" PRIu64
			      " events: these figures lack them",
			      missing);
	else
		status = say_damage(damage);
	symbols_free(v->sy);
	replay_close(v->r);
	return status;
}

/* The address spaces to show: of process -p, else the last one of each process. */
static bool wanted(const struct view *v, const struct args *a,
		   const struct space *s)
{
	if (a->pid)
		return s == model_process(v->o.model, a->pid);
	return s == model_process(v->o.model, s->owner);
}

static int not_in_trace(const struct args *a, const char *dir)
{
	return fail(a->pid ? "%s: process %u is not in this trace" :
			     "%s: no process was watched",
		    dir, a->pid);
}

static int each_space(const struct args *a, const char *dir,
		      int (*show)(struct view *v, const struct space *s,
				  const struct args *a))
{
	struct view v;
	size_t i, shown = 0;
	int err = 0;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	if (view_run(&v, a)) {
		view_close(&v, 0);
		return STATUS_FAILED;
	}
	for (i = 0; !err && i < model_spaces(v.o.model); i++) {
		const struct space *s = model_space_at(v.o.model, i);

		if (wanted(&v, a, s) && (++shown, true))
			err = show(&v, s, a);
	}
	if (shown)
		return view_close(&v, err);
	return view_close(&v, 0), not_in_trace(a, dir);
}

static int show_maps(struct view *v, const struct space *s,
		     const struct args *a)
{
	(void)a;
	return output_maps(&v->o, s);
}

static int run_maps(const struct command *c, const struct args *a)
{
	if (a->at && !a->nr_rest)
		return usage_of(c, stderr);
	if (a->pid && !a->nr_rest)
		return client_ask("maps", a->pid, a->json);
	if (a->nr_rest != 1)
		return usage_of(c, stderr);
	return each_space(a, a->rest[0], show_maps);
}

static int show_why(struct view *v, const struct space *s, const struct args *a)
{
	uint64_t addr = 0;

	address_parse(a->rest[0], a->bytes, &addr);
	return output_why(&v->o, s, addr, NULL);
}

static int show_enomem(struct view *v, const struct space *s,
		       const struct args *a)
{
	(void)a;
	return output_enomem(&v->o, s, NULL);
}

/* What malloc's own book-keeping says of the process now, as far as it may be read. */
static const struct pt_par *par_now(struct look *l, uint32_t pid)
{
	const char *why;

	if (look_open(l, pid, false, true, &why))
		return NULL;
	return l->book.par.addr ? &l->book.par : NULL;
}

static int threshold_space(struct view *v, const struct args *a,
			   const struct scores *all, const struct space *s,
			   bool live)
{
	struct look l = { 0 };
	int err = threshold_answer(all, &v->o, s, a->setting,
				   live ? par_now(&l, s->owner) : NULL);

	look_close(&l);
	return err;
}

/* `live`: the trace is still being written. */
static int why_threshold(const struct args *a, const char *dir, bool live)
{
	struct scores *all;
	struct view v;
	size_t i, shown = 0;
	int err = 0;

	if (view_open(&v, a, dir))
		return STATUS_FAILED;
	v.o.start = replay_first(v.r);
	all = scores_take(v.r);
	v.o.now = replay_last(v.r);
	for (i = 0; all && !err && i < model_spaces(v.o.model); i++) {
		const struct space *s = model_space_at(v.o.model, i);

		if (wanted(&v, a, s) && (++shown, true))
			err = threshold_space(&v, a, all, s, live);
	}
	scores_free(all);
	if (shown || !all)
		return view_close(&v, all ? err : -ENOMEM);
	return view_close(&v, 0), not_in_trace(a, dir);
}

/* The trace that whoever watches it writes knows all; else the process a little. */
static int run_threshold(const struct command *c, const struct args *a)
{
	char dir[PATH_MAX];
	int rc;

	if (a->nr_rest == 2)
		return why_threshold(a, a->rest[1], false);
	if (a->nr_rest != 1 || !a->pid)
		return usage_of(c, stderr);
	rc = client_trace(a->pid, dir);
	if (rc < 0)
		return ask_stranger(a->rest[0], 0, a->pid, a->json);
	if (rc)
		return fail("process %u: who watches it writes no trace",
			    a->pid);
	return why_threshold(a, dir, true);
}

/* Whoever watches it knows more of its chunks than we would. */
static int ask_why_of(const char *what, uint64_t addr, const struct args *a)
{
	int rc = client_why(what, addr, a->pid, a->json);

	return rc >= 0 ? rc : ask_stranger(what, addr, a->pid, a->json);
}

static int show_held(struct view *v, const struct space *s,
		     const struct args *a)
{
	int err = output_held_trace(&v->o, s);

	(void)a;
	if (err != -ENODATA)
		return err;
	fail("process %u: why held of a trace goes by allocator events, and there are none",
	     s->owner);
	return 0;
}

static int why_look(const struct command *c, const struct args *a)
{
	if (a->nr_rest == 2 && !strcmp(a->rest[0], "held"))
		return each_space(a, a->rest[1], show_held);
	if (!a->pid || a->nr_rest != 1)
		return a->nr_rest == 2 ?
			       fail("why %s: it needs the process itself, a trace does not hold malloc's book-keeping",
				    a->rest[0]) :
			       usage_of(c, stderr);
	return ask_why_of(a->rest[0], 0, a);
}

static int run_why(const struct command *c, const struct args *a)
{
	uint64_t addr;

	if (a->nr_rest && !strcmp(a->rest[0], "threshold"))
		return run_threshold(c, a);
	if (a->nr_rest == 2 && !strcmp(a->rest[0], "enomem"))
		return each_space(a, a->rest[1], show_enomem);
	if (a->nr_rest && ask_is_known(a->rest[0]))
		return why_look(c, a);
	if (a->nr_rest < 1 || a->nr_rest > 2 || (a->nr_rest == 1 && !a->pid))
		return usage_of(c, stderr);
	if (address_parse(a->rest[0], a->bytes, &addr))
		return fail(
			"%s: it is no address (hexadecimal), nor the 4 or 8 bytes of one",
			a->rest[0]);
	if (a->nr_rest == 1 && a->at)
		return usage_of(c, stderr);
	if (a->nr_rest == 1)
		return ask_why_of(NULL, addr, a);
	return each_space(a, a->rest[1], show_why);
}

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
		unlink(name);
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

static int run_report(const struct command *c, const struct args *a)
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

/* --- diff ------------------------------------------------------------------ */

/* "DIR@SECONDS"; what is a directory by its whole name has no time in it. 0, or -1. */
static int split_moment(const char *text, char **dir, const char **at)
{
	char *mark;

	*dir = strdup(text);
	mark = *dir ? strrchr(*dir, '@') : NULL;
	*at = NULL;
	if (mark && access(text, F_OK)) {
		*mark = 0;
		*at = mark + 1;
	}
	return *dir ? 0 : -1;
}

/* The process of a trace that is compared: -p, or the first that was watched. */
static const struct space *main_space(const struct view *v,
				      const struct args *a)
{
	if (a->pid)
		return model_process(v->o.model, a->pid);
	if (!model_spaces(v->o.model))
		return NULL;
	return model_process(v->o.model, model_space_at(v->o.model, 0)->owner);
}

/* 0, or the exit status; *m NULL then, or when a damaged trace has nothing. */
static int take_moment(const struct args *a, const char *text,
		       struct moment **m)
{
	struct args one = *a;
	const struct space *s;
	struct view v;
	char *dir;
	int status;

	if (split_moment(text, &dir, &one.at))
		return fail("there is no memory");
	status = view_open(&v, &one, dir) ? STATUS_FAILED : 0;
	if (!status && view_run(&v, &one)) {
		view_close(&v, 0);
		status = STATUS_FAILED;
	}
	if (!status) {
		s = main_space(&v, a);
		*m = s ? moment_take(&v.o, s, dir) : NULL;
		status = view_close(&v, s && !*m ? -ENOMEM : 0);
		if (!s)
			status = fail("%s: %s", text,
				      a->pid ?
					      "this process is not in it then" :
					      "no process was watched then");
	}
	free(dir);
	return status;
}

/* A trace that is damaged is told of, and compared as far as it goes. */
static int run_diff(const struct command *c, const struct args *a)
{
	struct moment *m[2] = { NULL, NULL };
	int status[2] = { 0, 0 }, err;

	if (a->nr_rest != 2)
		return usage_of(c, stderr);
	status[0] = take_moment(a, a->rest[0], &m[0]);
	if (m[0])
		status[1] = take_moment(a, a->rest[1], &m[1]);
	err = m[0] && m[1] ? output_diff(stdout, a->json, m[0], m[1]) : 0;
	if (!err && fflush(stdout))
		err = -errno;
	moment_free(m[0]);
	moment_free(m[1]);
	if (err)
		return fail("the output: %s", strerror(-err));
	return status[0] ? status[0] : status[1];
}

/* --- script ---------------------------------------------------------------- */

struct story {
	struct output *o;
	int err;
};

static void tell_event(void *ctx, const struct outcome *out)
{
	struct story *st = ctx;

	if (!st->o->start)
		st->o->start = out->ev->ts;
	if (!st->err)
		st->err = output_event(st->o, out);
}

static int run_script(const struct command *c, const struct args *a)
{
	struct story st = { 0 };
	struct view v;

	if (a->nr_rest != 1)
		return usage_of(c, stderr);
	if (view_open(&v, a, a->rest[0]))
		return STATUS_FAILED;
	st.o = &v.o;
	if (v.o.begins.ts) {
		v.o.start = replay_first(v.r);
		st.err = output_begin(&v.o);
	}
	replay_run(v.r, tell_event, &st);
	/* A reader that has seen enough (head) is no failure. */
	return view_close(&v, st.err == -EPIPE ? 0 : st.err);
}

/* --- export ----------------------------------------------------------------- */

/* NULL: why is said. */
static const struct export_format *parse_format(const struct args *a)
{
	const struct export_format *f = export_format(a->format), *known;

	if (f)
		return f;
	fprintf(stderr, "vmaheap: --format=%s: it is one of", a->format);
	for (size_t i = 0; (known = export_format_at(i)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", known->name);
	putc('\n', stderr);
	return NULL;
}

/* Where it goes to: standard output becomes FILE. 0, or the exit status. */
static int export_to(const struct args *a, const struct export_format *f)
{
	if (f->file && !a->out)
		return fail("--format=%s: it needs -o FILE", f->name);
	if (f->binary && !a->out && isatty(STDOUT_FILENO))
		return fail("--format=%s is nothing for a terminal: -o FILE",
			    f->name);
	if (f->file)
		return unlink(a->out) && errno != ENOENT ?
			       fail("%s: %s", a->out, strerror(errno)) :
			       0;
	if (a->out && !freopen(a->out, "we", stdout))
		return fail("%s: %s", a->out, strerror(errno));
	return 0;
}

static void export_replay(void *ctx, const struct model_watch *w,
			  void (*told)(void *ctx, const struct outcome *out),
			  void *told_ctx)
{
	replay_listen(ctx, w);
	replay_run(ctx, told, told_ctx);
	replay_listen(ctx, NULL);
}

static int export_view(struct view *v, const struct args *a,
		       const struct export_format *f)
{
	struct export x = { .o = &v->o,
			    .clock_offset = replay_env(v->r)->clock_offset_ns,
			    .replay = export_replay,
			    .replay_ctx = v->r,
			    .command = replay_env(v->r)->command,
			    .pid = a->pid,
			    .path = a->out };
	int err;

	v->o.start = replay_first(v->r);
	if (f->story) {
		if (a->out || !isatty(STDOUT_FILENO))
			replay_on_packet(v->r, progress_show);
		err = f->story(&x);
		progress_end();
		return err;
	}
	if (view_run(v, a))
		return STATUS_FAILED;
	if (a->pid) {
		x.only = model_process(v->o.model, a->pid);
		if (!x.only)
			return fail("%s: process %u is not in this trace",
				    a->rest[0], a->pid);
	}
	return f->state(&x);
}

/* Of a trace as a whole nothing can be chosen. 0, or the exit status. */
static int check_whole(const struct args *a, const struct export_format *f)
{
	if (!a->at && (!a->pid || f->one_process))
		return 0;
	return fail("--format=%s is of a whole trace: without %s", f->name,
		    a->at ? "--at" : "-p");
}

static int export_trace(const struct args *a, const struct export_format *f)
{
	struct view v;
	int err;

	if (f->story && check_whole(a, f))
		return STATUS_FAILED;
	if (view_open(&v, a, a->rest[0]))
		return STATUS_FAILED;
	err = export_view(&v, a, f);
	if (err == -ENODATA)
		err = fail(
			"%s: there are no allocator events in it, and %s tells of nothing else",
			a->rest[0], f->name);
	if (err > 0) {
		view_close(&v, 0);
		return err;
	}
	return view_close(&v, err);
}

/* A directory of files, and closes it. */
static void remove_dir(const char *name, int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0); /* not . and .. */
	if (d)
		closedir(d);
	rmdir(name);
}

/* The trace's own files, into a directory that is new. */
static int copy_trace(const char *dir, int from, const char *name)
{
	uint64_t damage = 0;
	char *why = NULL;
	int to, err;

	if (mkdir(name, 0777))
		return fail("%s: %s", name, strerror(errno));
	to = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = to < 0 ? -errno :
		       trace_ctf2(from, to, progress_show, &damage, &why);
	progress_end();
	if (err) {
		fail("%s: %s", why ? dir : name, why ? why : strerror(-err));
		free(why);
		remove_dir(name, to);
		return STATUS_FAILED;
	}
	close(to);
	return say_damage(damage);
}

static int export_copy(const struct args *a, const struct export_format *f)
{
	int from, status;

	if (!a->out)
		return fail("--format=%s: it needs -o DIR", f->name);
	if (check_whole(a, f))
		return STATUS_FAILED;
	from = open(a->rest[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return fail("%s: %s", a->rest[0], strerror(errno));
	status = copy_trace(a->rest[0], from, a->out);
	close(from);
	return status;
}

static int run_export(const struct command *c, const struct args *a)
{
	const struct export_format *f;
	int status;

	if (!a->format || a->nr_rest > 1 || (!a->nr_rest && (!a->pid || a->at)))
		return usage_of(c, stderr);
	f = parse_format(a);
	if (!f)
		return STATUS_FAILED;
	if (!a->nr_rest && !f->state)
		return fail(
			"--format=%s is of a trace: give its DIR, which may still be being written",
			f->name);
	if (f->copy)
		return export_copy(a, f);
	status = export_to(a, f);
	if (status)
		return status;
	if (a->nr_rest)
		status = export_trace(a, f);
	else
		status = client_ask_export(a->pid, f->name);
	/* Of a damaged trace the rest is there, and the status is 1. */
	if (status == STATUS_FAILED && a->out)
		unlink(a->out);
	return status;
}

/* --- heap ------------------------------------------------------------------ */

static int run_heap(const struct command *c, const struct args *a)
{
	char comm[16];
	struct look l;
	const char *why;
	int err;

	if (!a->pid || a->nr_rest)
		return usage_of(c, stderr);
	proc_comm(a->pid, comm);
	err = look_open(&l, a->pid, a->stop, !a->no_symbols, &why);
	if (err) {
		look_close(&l);
		return fail("process %u: %s", a->pid,
			    why ? why : strerror(-err));
	}
	err = output_heap(&(struct heap_view){ .f = stdout,
					       .json = a->json,
					       .bins = a->bins,
					       .chunks = a->chunks,
					       .pid = a->pid,
					       .comm = comm,
					       .book = &l.book,
					       .took = l.took,
					       .stopped = l.stopped,
					       .incomplete = why });
	look_close(&l);
	if (!err && fflush(stdout))
		err = -errno;
	return err ? fail("the output: %s", strerror(-err)) : 0;
}

/* --- verify, doctor -------------------------------------------------------- */

static int run_verify(const struct command *c, const struct args *a)
{
	if (!a->pid || a->nr_rest)
		return usage_of(c, stderr);
	return client_ask("verify", a->pid, false);
}

static int run_doctor(const struct command *c, const struct args *a)
{
	(void)c;
	(void)a;
	return doctor(stdout) ? 1 : 0;
}

/* --- top ------------------------------------------------------------------- */

static int run_top(const struct command *c, const struct args *a)
{
	struct record_opts attach = { .alloc = a->alloc ? a->alloc : "auto",
				      .no_module = is_no_module(a),
				      .pid = a->pid };
	struct top_opts o = { .pid = a->pid,
			      .batch = a->batch || a->json,
			      .json = a->json,
			      .count = a->count,
			      .ms = 1000,
			      .attach = &attach };
	uint64_t ns;

	if (a->nr_rest || (a->count && !o.batch))
		return usage_of(c, stderr);
	if (a->delay) {
		if (!parse_seconds(a->delay, &ns) || ns < 100000000 ||
		    ns > 3600000000000)
			return fail(
				"-d %s: it is no number of seconds from 0.1 to 3600",
				a->delay);
		o.ms = ns / 1000000;
	}
	if (a->alloc && !valid_alloc(a->alloc))
		return fail(
			"--alloc=%s: it is shim, uprobe, walk, walk:MS or none",
			a->alloc);
	if (check_kernel(a, attach.alloc))
		return STATUS_FAILED;
	return top_run(&o);
}

/* --- the table --------------------------------------------------------------- */

static const struct command commands[] = {
	{ "record",
	  "[-o DIR] [-f] [--alloc=shim|uprobe|walk|none] [--kernel=module|none] [--stacks[=BYTES]] [--faults] [--verify[=MS]] [--max-size=SIZE | --flight-recorder=SIZE [--trigger=COND]...] -- COMMAND [ARG]...",
	  "Runs COMMAND and writes all VMA changes and allocator calls to the trace DIR.\n"
	  "  -o DIR           the trace (default: vmaheap-COMMAND-PID)\n"
	  "  -f               follow the children that it forks; ends when all have exited\n"
	  "  --alloc=SOURCE   shim: preload libvmaheap-shim.so (default); uprobe; none;\n"
	  "                   walk[:MS]: no calls, but which chunks glibc's own books have in\n"
	  "                   use, every MS milliseconds (1000), read as it runs\n"
	  "  --kernel=none    without the module, as any user: allocator calls and live chunks;\n"
	  "                   VMAs as /proc/PID/maps lists them now and then\n"
	  "  --verify[=MS]    every MS milliseconds (100) stop it and compare the model with\n"
	  "                   /proc/PID/maps\n"
	  "  --stacks[=BYTES] the call stack of each allocation; or of one in BYTES that each\n"
	  "                   thread allocates\n"
	  "  --faults         page faults, too: when the pages of a chunk are first touched, and\n"
	  "                   by what\n"
	  "  --ring=BYTES     of each thread's ring, a power of two (default 1048576)\n"
	  "  --max-size=SIZE  keep the last SIZE of the trace only (64M, 2G); --max-age=SECONDS\n"
	  "  --flight-recorder=SIZE  keep the last SIZE in memory, and write it to DIR when the\n"
	  "                   target ends or is killed; on SIGUSR1 to DIR.1, DIR.2 ...\n"
	  "  --trigger='rss>SIZE', --trigger='vmas>N'  and once as a process has more than that\n"
	  "The exit status is COMMAND's; 128+N: killed by signal N; 123: a verification\n"
	  "failed; 125: vmaheap failed; 126, 127: COMMAND could not be run, or found.",
	  "+o:f", run_record, false },
	{ "attach",
	  "[-o DIR] [-f] [--alloc=shim|uprobe|walk|none] [--kernel=module|none] [--faults] [--verify[=MS]] -p PID",
	  "Watches a running process until ^C or its exit. Options as for record.\n"
	  "Its allocator calls are seen by the shim, which is put into it and taken out again;\n"
	  "where it cannot be (a seccomp filter, static linking ...) by uprobes, dearer by far.",
	  "p:o:f", run_attach, false },
	{ "maps", "[--json] -p PID | [-p PID] [--at SECONDS] DIR",
	  "/proc/PID/maps, annotated: what is alive and resident in each VMA, what made it.\n"
	  "  --at SECONDS     of a trace: as it was so long after its first event",
	  "p:", run_maps, true },
	{ "why",
	  "[--json] [--bytes] ADDR -p PID | ADDR [-p PID] [--at SECONDS] DIR | held|arena|rss -p PID | held [--at SECONDS] DIR |\n"
	  "                   threshold [--try=TUNABLES] -p PID | DIR | enomem -p PID | [-p PID] [--at SECONDS] DIR",
	  "ADDR: the chain from an address to its chunk, its VMA, the event that created it, and\n"
	  "of a process its page: present, swapped, its frame, who else has it. Hexadecimal, or\n"
	  "the bytes of a pointer as they lie in memory, \"d0 cf ae 30 00 00 00 00\". --at as for\n"
	  "maps. What no allocator event tells of is asked of malloc's own book-keeping.\n"
	  "  --bytes  ADDR is bytes in the order of memory, with or without blanks between them\n"
	  "  held     what keeps free memory from going back to the kernel, arena by arena: the\n"
	  "           chunks that pin it, what malloc_trim(0) would return, and what it would if\n"
	  "           they were freed; of a trace by live chunks alone, so at most\n"
	  "  arena    what the 64 MiB blocks are: threads, who made them, live, free, resident\n"
	  "  rss      what resident memory consists of, each term with its VMAs, and the rest\n"
	  "These three read malloc's own book-keeping (glibc) and stop the process for it. It need not\n"
	  "be watched; but only then is it known who allocated what, and what was asked for.\n"
	  "  threshold  glibc's mmap threshold over time: the frees that raised it, what went to the\n"
	  "           heap because of that; and what other settings would ask of the kernel, tried by\n"
	  "           making the recorded calls once more. --try=TUNABLES: one setting more, as\n"
	  "           $GLIBC_TUNABLES has it\n"
	  "  enomem   what refuses it memory, or may: the number of VMAs and whose they are, which\n"
	  "           calls split them, why neighbours did not merge; limits, overcommit; the layout,\n"
	  "           and how far the brk heap can grow in it",
	  "p:", run_why, true },
	{ "report",
	  "[--stacks[=BY] | --waste[=BY] | --folded=BY | --html FILE | --svg FILE] [--symfs=DIR] [--json] -p PID | [-p PID] [--at SECONDS] DIR",
	  "Wholesale and retail: system calls and allocator calls, and who made the kernel act.\n"
	  "  --stacks[=BY]    what was allocated by which call stack, most first: BY is live\n"
	  "                   (default), bytes or allocs\n"
	  "  --waste[=BY]     by who allocated it (stack, or caller): what is live, resident, never\n"
	  "                   touched, rounding, held hostage by pins, system calls; BY is\n"
	  "                   resident (default; of a trace live), live, untouched, spare, slack,\n"
	  "                   hostage, calls\n"
	  "  --folded=BY      either of them, one line a stack, for flame graphs\n"
	  "  --symfs=DIR      look for the files that names come from below DIR, by path and\n"
	  "                   by build id (DIR/.build-id)\n"
	  "  --html FILE      instead of text, a page to be opened in a browser: the address space\n"
	  "                   to scale, the heap page by page, and, of a trace, how they came to be\n"
	  "  --svg FILE       the address space as a picture, of the first process or of -p PID\n"
	  "  --at SECONDS     as for maps",
	  "p:", run_report, true },
	{ "export",
	  "--format=pprof|folded|openmetrics|perfetto|sqlite|heaptrack|csv|ctf2\n"
	  "                   [-o FILE] [--symfs=DIR] -p PID | [-p PID] [--at SECONDS] DIR",
	  "In the format of another program, to FILE or standard output.\n"
	  "Of a moment, from a process that is watched, or a trace (--at as for maps):\n"
	  "  pprof        for go tool pprof, Pyroscope, Parca\n"
	  "  folded       live bytes by stack, for flame graphs\n"
	  "  openmetrics  for Prometheus: all processes of the watch (vmaheapd --metrics)\n"
	  "Of a whole trace:\n"
	  "  perfetto     for ui.perfetto.dev\n"
	  "  sqlite       a database, with views\n"
	  "  heaptrack    for heaptrack_print, heaptrack_gui; of process -p, or the first\n"
	  "  csv          one line an event\n"
	  "  ctf2         the same trace in CTF 2, in a new directory\n"
	  "vmaheap-export(1) tells what is in them.",
	  "p:o:", run_export, false },
	{ "diff", "[-p PID] [--symfs=DIR] [--json] A B",
	  "Two moments of one trace, or of two: what grew, of the memory by what it is (kind,\n"
	  "name, who had it made), and of what is live by who allocated it. A and B are DIR or\n"
	  "DIR@SECONDS, that long after the trace's first event.\n"
	  "  -p PID           of this process; else of the first that was watched\n"
	  "  --symfs=DIR      as for report",
	  "p:", run_diff, true },
	{ "heap", "[--bins] [--chunks] [--stop] [--no-symbols] [--json] -p PID",
	  "The heap by malloc's own book-keeping (glibc), read from outside: arenas and their\n"
	  "threads, thresholds, what is used and what is free. PID need not be watched.\n"
	  "  --bins           the free lists that have members\n"
	  "  --chunks         each chunk: address, size, flags, state, next on its list\n"
	  "  --stop           hold it still meanwhile; else it is read as it runs\n"
	  "  --no-symbols     find malloc's data by their structure alone",
	  "p:", run_heap, true },
	{ "script", "[--json] DIR",
	  "One line an event, all sources, in time order.", "", run_script,
	  true },
	{ "verify", "-p PID",
	  "Stops a watched process, compares the model with /proc/PID/maps, lets it go on.\n"
	  "The exit status is 123 when they differ.",
	  "p:", run_verify, false },
	{ "top",
	  "[-p PID [--alloc=shim|uprobe|walk|none] [--kernel=module|none]] [-d SECONDS] [-b | --json] [-n COUNT]",
	  "What is watched, live: processes, and the VMAs, arenas, calls, callers and pins of one;\n"
	  "? tells the keys.\n"
	  "  -p PID           this process; if nobody watches it, as attach does, but no trace is\n"
	  "                   written\n"
	  "  -d SECONDS       between two looks (1)\n"
	  "  -b               lines instead of a screen, for scripts; --json: one text a look\n"
	  "  -n COUNT         of these only so many",
	  "p:d:bn:", run_top, false },
	{ "doctor", "",
	  "What is missing on this machine, and what to do about it.", "",
	  run_doctor, false },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *f)
{
	size_t i;

	fputs("usage: vmaheap [--no-pager] COMMAND [OPTION]...\n"
	      "What memory the kernel gave a process, and what its heap does with it.\n\n",
	      f);
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(f, "  %-8s %s\n", commands[i].name,
			commands[i].synopsis);
	fputs("\nvmaheap COMMAND --help tells more of each.\n", f);
	return f == stdout ? 0 : STATUS_FAILED;
}

/* 0, or -1: the option's value is no good. */
static int parse_number(const char *text, unsigned int *n)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || !v || v > UINT32_MAX)
		return -1;
	*n = (unsigned int)v;
	return 0;
}

/* 0, or, said, the exit status + 1. */
static int add_trigger(struct args *a, const char *text)
{
	size_t at = strlen(a->triggers);

	if (a->parsed.nr == TRIGGERS_MAX ||
	    at + strlen(text) + 2 > sizeof(a->triggers))
		return fail("--trigger: there are too many of them") + 1;
	if (!trigger_parse(&a->parsed, text))
		return fail("--trigger=%s: it is 'rss>SIZE' or 'vmas>N' (with the quotes, or the shell takes the >)",
			    text) +
		       1;
	sprintf(a->triggers + at, "%s%s", at ? "," : "", text);
	return 0;
}

/* 0: go on; else it was the last word: the exit status + 1. */
static int parse_option(const struct command *c, struct args *a, int opt)
{
	switch (opt) {
	case 'p':
		if (!parse_number(optarg, &a->pid))
			return 0;
		return fail("-p %s: it is no process id", optarg) + 1;
	case 'o':
		a->out = optarg;
		return 0;
	case 'f':
		a->follow = true;
		return 0;
	case 'b':
		a->batch = true;
		return 0;
	case 'd':
		a->delay = optarg;
		return 0;
	case 'n':
		if (!parse_number(optarg, &a->count))
			return 0;
		return fail("-n %s: it is no number of looks", optarg) + 1;
	case OPT_ALLOC:
		a->alloc = optarg;
		return 0;
	case OPT_KERNEL:
		a->kernel = optarg;
		return 0;
	case OPT_RING:
		a->ring = optarg;
		return 0;
	case OPT_STACKS:
		a->stacks = optarg ? optarg : "";
		return 0;
	case OPT_FOLDED:
		a->folded = optarg;
		return 0;
	case OPT_WASTE:
		a->waste = optarg ? optarg : "";
		return 0;
	case OPT_SYMFS:
		a->symfs = optarg;
		return 0;
	case OPT_FORMAT:
		a->format = optarg;
		return 0;
	case OPT_HTML:
		a->html = optarg;
		return 0;
	case OPT_SVG:
		a->svg = optarg;
		return 0;
	case OPT_AT:
		a->at = optarg;
		return 0;
	case OPT_TRY:
		a->setting = optarg;
		return 0;
	case OPT_FLIGHT:
		a->flight = optarg;
		return 0;
	case OPT_MAX_SIZE:
		a->max_size = optarg;
		return 0;
	case OPT_MAX_AGE:
		a->max_age = optarg;
		return 0;
	case OPT_TRIGGER:
		return add_trigger(a, optarg);
	case OPT_JSON:
		a->json = true;
		return 0;
	case OPT_BINS:
		a->bins = true;
		return 0;
	case OPT_BYTES:
		a->bytes = true;
		return 0;
	case OPT_CHUNKS:
		a->chunks = true;
		return 0;
	case OPT_STOP:
		a->stop = true;
		return 0;
	case OPT_NO_SYMBOLS:
		a->no_symbols = true;
		return 0;
	case OPT_FAULTS:
		a->faults = true;
		return 0;
	case OPT_VERIFY:
		a->verify_ms = VERIFY_DEFAULT_MS;
		if (!optarg || !parse_number(optarg, &a->verify_ms))
			return 0;
		return fail("--verify=%s: it is no number of milliseconds",
			    optarg) +
		       1;
	case 'h':
		return usage_of(c, stdout) + 1;
	default:
		return usage_of(c, stderr) + 1;
	}
}

static int run_command(const struct command *c, int argc, char **argv,
		       bool no_pager)
{
	struct args a = { 0 };
	char letters[16];
	int opt, status;

	snprintf(letters, sizeof(letters), "%sh", c->options);
	while ((opt = getopt_long(argc, argv, letters, longopts, NULL)) != -1) {
		status = parse_option(c, &a, opt);
		if (status)
			return status - 1;
	}
	a.rest = argv + optind;
	a.nr_rest = argc - optind;
	if (c->pages && !no_pager)
		pager_start();
	return c->run(c, &a);
}

int main(int argc, char **argv)
{
	bool no_pager = argc > 1 && !strcmp(argv[1], "--no-pager");
	size_t i;

	argc -= no_pager;
	argv += no_pager;
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help"))
		return usage(stdout);
	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return run_command(&commands[i], argc - 1, argv + 1,
					   no_pager);
	return fail("%s: no such command; vmaheap --help lists them", argv[1]);
}
