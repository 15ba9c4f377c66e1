/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command's end of the wire: starts what it needs, launches the target,
 * asks, and prints the answers.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of our own; 126 and 127 as the shell has them. */
enum {
	STATUS_MISMATCH = 123, /* --verify found one */
	STATUS_FAILED = 125, /* vmaheap itself could not do it */
};

struct record_opts {
	const char *dir; /* NULL: a new name in the current directory */
	const char *alloc; /* "shim", "uprobe", "walk", "walk:MS", "none" */
	bool alloc_given; /* it was asked for: choose no other */
	bool no_module; /* --kernel=none */
	bool no_trace; /* to be asked only */
	bool follow;
	bool faults; /* page faults, too */
	unsigned int verify_ms; /* 0: no verification */
	uint32_t pid; /* attach; 0: launch argv */
	char **argv;
	const char *ring; /* bytes, NULL: default */
	uint64_t stack_bytes; /* 0: no stacks, 1: all, N: one in N bytes */
	uint64_t flight; /* bytes of the flight recorder; 0: there is none */
	uint64_t max_size, max_age; /* bytes, ns; 0: no limit */
	const char *
		triggers; /* as trigger_parse() knows them, with ',' between; NULL: none */
};

/* Before anything else: what we have inherited may be odd. */
void client_begin(void);

/* Both return the exit status of the command. */
int client_record(const struct record_opts *o);
int client_attach(const struct record_opts *o);

/*
 * As attach, but it comes back when process o->pid is watched, and no trace is
 * written. NULL: it could not be, and it has been said why.
 */
struct watch;
struct watch *client_watch(const struct record_opts *o);
/* Lets the process go, tells what was lost, and frees. The exit status. */
int client_watch_end(struct watch *w);

/*
 * Asks the daemon that watches process pid: maps, report, verify. Prints the answer;
 * the exit status.
 */
int client_ask(const char *question, uint32_t pid, bool json);
/*
 * Who allocated it, of process pid: "stacks", `by` what stack_order_parse() knows, or
 * "waste", waste_order_parse().
 */
int client_ask_sites(const char *question, uint32_t pid, const char *by,
		     bool folded, bool json);

/* Process pid in a format that export_format() knows, of a state. */
int client_ask_export(uint32_t pid, const char *format);

/*
 * `why WHAT`, or with NULL `why ADDR`, of a process that a daemon watches. As
 * client_ask(); but -errno, and nothing printed, when none does.
 */
int client_why(const char *what, uint64_t addr, uint32_t pid, bool json);

/*
 * Where the daemon that watches process pid writes its trace, which is whole up to
 * this moment. As client_look().
 */
int client_trace(uint32_t pid, char path[PATH_MAX]);

/* The path of a file of ours: beside the program or in ../lib/vmaheap. 0 or -ENOENT */
int client_beside(const char *name, char *path, size_t size);
/* The same of libvmaheap-shim.so. */
int client_shim_path(char *path, size_t size); /* 0 or -ENOENT */

#endif
