/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of `vmaheap` share. vmaheap.c parses the options into a plain
 * struct; each subcommand hands it on: record and attach to session/client.h,
 * questions to the daemon (-p PID) or to a replayed trace (DIR).
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "output/output.h"
#include "output/picture.h"
#include "session/recorder.h"
#include "session/replay.h"

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
	const char *options; /* getopt letters of those that it takes */
	int (*run)(const struct command *c, const struct args *a);
	bool pages; /* its answer may be long: through the pager */
};

/* What they return is the exit status. */
int run_maps(const struct command *c, const struct args *a);
int run_why(const struct command *c, const struct args *a);
int run_report(const struct command *c, const struct args *a);
int run_diff(const struct command *c, const struct args *a);
int run_script(const struct command *c, const struct args *a);
int run_export(const struct command *c, const struct args *a);

/* Tells how it is used; 0 on stdout, else STATUS_FAILED. */
int usage_of(const struct command *c, FILE *f);
/* Says why, on stderr; STATUS_FAILED. */
__attribute__((format(printf, 1, 2))) int fail(const char *fmt, ...);
/* What was written to it, if it is a file: a device is not ours to remove. 0, or -1 and errno. */
int remove_file(const char *name);
/* False: it is no time; else *ns. */
bool parse_seconds(const char *text, uint64_t *ns);

/* --- questions to a trace: view.c ---------------------------------------- */

/* Everything that a view needs, from a trace directory. */
struct view {
	struct replay *r;
	struct symbols *sy;
	struct output o;
};

/* 0, or -1, said. */
int view_open(struct view *v, const struct args *a, const char *dir);
/* Up to the moment that was asked for, or all of it. 0, or the exit status. */
int view_run(struct view *v, const struct args *a);
/* The same, from the first event on, and *h is how it came (the caller's). */
int view_watch(struct view *v, const struct args *a, struct history **h);
/*
 * err: of the output, -errno. A truncated trace is told of; what could be read has
 * been shown. The exit status.
 */
int view_close(struct view *v, int err);

/* So many bytes of the trace could not be read: says so, if any. The exit status. */
int view_damage(uint64_t damage);
/* The address spaces to show: of process -p, else the last one of each process. */
bool view_wanted(const struct view *v, const struct args *a,
		 const struct space *s);
/* Says that there is none such. The exit status. */
int view_not_there(const struct args *a, const char *dir);
/* Shows each that is wanted, at the moment that was asked for. The exit status. */
int view_each(const struct args *a, const char *dir,
	      int (*show)(struct view *v, const struct space *s,
			  const struct args *a));

#endif
