// SPDX-License-Identifier: GPL-2.0
/*
 * The command: the table of subcommands, their options, and those that only hand
 * them on. What can be asked of a trace, too, has files of its own (command/).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "intake/proc.h"
#include "intake/rings.h"
#include "output/heap.h"
#include "session/client.h"
#include "session/look.h"
#include "session/module.h"
#include "session/pager.h"
#include "session/recorder.h"
#include "top/top.h"

#define VERIFY_DEFAULT_MS 100

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
	err = look_open(&l, a->pid, a->stop ? LOOK_TRY_STOP : LOOK_RUNNING,
			a->no_symbols ? 0 : LOOK_SYMBOLS, &why);
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
	  "  -f               follow the children that it forks; ends when all have exited, or by ^C\n"
	  "  --alloc=SOURCE   shim: preload libvmaheap-shim.so (default); uprobe; none;\n"
	  "                   walk[:MS]: no calls, but which chunks malloc's own books have in\n"
	  "                   use, every MS milliseconds (1000), read as it runs\n"
	  "  --kernel=none    without the module, as any user: allocator calls and live chunks;\n"
	  "                   VMAs as /proc/PID/maps lists them now and then\n"
	  "  --verify[=MS]    every MS milliseconds (100) stop it and compare the model with\n"
	  "                   /proc/PID/maps\n"
	  "  --stacks[=BYTES] the call stack of each allocation; or of one in BYTES that each\n"
	  "                   thread allocates\n"
	  "  --faults         page faults, too: when the pages of a chunk are first touched, and\n"
	  "                   by what\n"
	  "  --ring=BYTES     of each thread's ring, a power of two (default 1048576), at most 32 MiB\n"
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
	  "where it cannot be (a strict seccomp filter, static linking ...) by uprobes, dearer by far.",
	  "p:o:f", run_attach, false },
	{ "maps", "[--symfs=DIR] [--json] -p PID | [-p PID] [--at SECONDS] DIR",
	  "/proc/PID/maps, annotated: what is alive and resident in each VMA, what made it.\n"
	  "  --at SECONDS     of a trace: as it was so long after its first event",
	  "p:", run_maps, true },
	{ "why",
	  "[--symfs=DIR] [--json] [--bytes] ADDR -p PID | ADDR [-p PID] [--at SECONDS] DIR | held|arena|rss -p PID | held [--at SECONDS] DIR |\n"
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
	{ "script", "[--symfs=DIR] [--json] DIR",
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
	      "       vmaheap --version\n"
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

static bool is_ring_size(const char *text)
{
	unsigned int n;

	return !parse_number(text, &n) && ring_bytes_valid(n);
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
		if (!is_ring_size(optarg))
			return fail("--ring=%s: it is a power of two from 4096 to 33554432 (32 MiB)",
				    optarg) +
			       1;
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

static bool tells_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	while ((text = strstr(text, "--"))) {
		text += 2;
		if (!strncmp(text, name, len) && text[len] != '-' &&
		    !(text[len] >= 'a' && text[len] <= 'z'))
			return true;
	}
	return false;
}

/* An option that would say nothing to this command is refused: what its help tells of it takes. */
static bool takes(const struct command *c, const char *letters,
		  const struct option *o)
{
	if (o->val < OPT_ALLOC)
		return strchr(letters, o->val);
	return tells_of(c->synopsis, o->name) || tells_of(c->what, o->name) ||
	       (c->run == run_attach && takes(&commands[0], letters, o));
}

static int run_command(const struct command *c, int argc, char **argv,
		       bool no_pager)
{
	struct args a = { 0 };
	char letters[16], name[32];
	int opt, status, at = -1;

	snprintf(name, sizeof(name), "vmaheap %s", c->name);
	argv[0] = name; /* getopt_long() begins its complaints with it */
	snprintf(letters, sizeof(letters), "%sh", c->options);
	while ((opt = getopt_long(argc, argv, letters, longopts, &at)) != -1) {
		if (at >= 0 && opt != '?' &&
		    !takes(c, letters, &longopts[at])) {
			fail("%s takes no --%s", c->name, longopts[at].name);
			return usage_of(c, stderr);
		}
		at = -1;
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

	client_begin();
	argc -= no_pager;
	argv += no_pager;
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version"))
		return puts("vmaheap " VERSION), 0;
	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return run_command(&commands[i], argc - 1, argv + 1,
					   no_pager);
	return fail("%s: no such command; vmaheap --help lists them", argv[1]);
}
