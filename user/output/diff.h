/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two moments, of one trace or of two, compared. The addresses of two runs differ, and
 * so may those of one process at two times (mappings merge). So memory is compared by
 * what it is: kind, name, protection, and who had it made; the further arenas in the
 * order in which they were made. Sites are compared by the names of their frames.
 */
#ifndef OUTPUT_DIFF_H
#define OUTPUT_DIFF_H

#include "output/output.h"

/* Memory of one sort. */
struct moment_vmas {
	char *kind, *name, *perms,
		*maker; /* maker: "" where the name says it */
	uint64_t start, end; /* of the largest one */
	uint64_t vmas, size, live, chunks;
	uint64_t resident;
	uint64_t unsampled; /* VMAs of which `resident` does not know */
};

/* What was allocated by one stack or caller, and lives. */
struct moment_site {
	char *frames; /* the innermost first, a line each */
	uint64_t chunks, live;
};

struct moment_file {
	char *object; /* the base name */
	char build_id[2 * BUILD_ID_MAX + 1];
};

/* What of an address space is compared. Sorted by what it is; nothing twice. */
struct moment {
	char *trace;
	uint64_t at; /* ns since the trace's first event */
	uint32_t pid;
	char comm[16];
	bool has_calls, from_start;
	struct moment_vmas *vmas;
	struct moment_site *sites;
	struct moment_file *files;
	size_t nr_vmas, nr_sites, nr_files;
	struct moment_vmas total; /* live: of all chunks, wherever they lie */
};

/* NULL: no memory. `trace` is a name for people. */
struct moment *moment_take(const struct output *o, const struct space *s,
			   const char *trace);
void moment_free(struct moment *m); /* NULL is allowed */
/*
 * Of frames in these objects the offset into the function goes, and what becomes the
 * same becomes one: for a program that was built anew.
 */
void moment_forget_offsets(struct moment *m, const struct moment_file *files,
			   size_t nr);
/* The order in which they are in a moment, by what they are. */
int moment_vmas_compare(const void *va, const void *vb);

/* May change both, as above. 0 or -errno. */
int output_diff(FILE *f, bool json, struct moment *a, struct moment *b);

#endif
