/* SPDX-License-Identifier: GPL-2.0 */
/* The inside of a session, shared by the files that are its parts. */
#ifndef SESSION_INSIDE_H
#define SESSION_INSIDE_H

#include <time.h>

#include "intake/rings.h"
#include "model/hash.h"
#include "session/attach.h"
#include "session/found.h"
#include "session/session.h"

#define FIND_MS 20 /* until calls that were under way at the attach are over */
#define SAMPLE_MS 1000 /* residency, at most this often */
/* Names that the model has, and files that are known here, before old ones go. */
#define FILES_MAX (1u << 16)

struct allocator;

/* What a process has mapped. */
struct mapped_file {
	uint64_t ino;
	uint32_t dev; /* as VMAs have them */
	char *path; /* as told last; NULL: not told */
	bool looked; /* for its build id */
	bool minded; /* it has one, and was under its path at the last look */
	uint64_t st_dev, st_ino; /* then: as stat(2) has them */
};

struct process {
	uint32_t tgid;
	bool alive;
	struct found_list walked; /* chunks in use, at the last walk ... */
	uint64_t walked_mm; /* ... of this address space */
	bool walk_failed; /* and it was said */
	uint64_t find_at; /* ns: chunks from before its calls are looked for; 0: not (any more) */
	unsigned int find_tries;
	uint64_t heard; /* ns: when a program asked for its first ring; or 0 */
	unsigned int execs;
	uint64_t looked_beside; /* this address space, for what C's functions are not */
};

struct session {
	struct session_opts o;
	char *command;
	uint64_t began;

	struct kernel *kernel; /* or, where there is no module: */
	struct sampled *sampled;
	bool kernel_gone; /* the module was unloaded, or does not keep its word */
	struct rings *rings;
	struct rings_totals rings_were; /* when they have been closed */
	struct attach *attach; /* the shim, put into what runs already */
	struct attach_cost attach_was;
	char refused[80]; /* why the last one is not heard that was told */
	uint64_t rings_lost; /* by session_lose(): of a program until it has the shim, say */
	bool warned; /* of what the probes cost */
	uint64_t headless; /* ns: since when the probes' main thread is gone; or 0 */
	bool deaf; /* and that is said */
	unsigned int inside; /* processes that it could not be taken out of */
	uint64_t next_look;
	struct uprobes *uprobes;
	bool probed_told; /* what they probe, of a program that they waited for */
	int stamp_fd;
	struct trace_writer *trace;
	int trace_error; /* said already */
	struct recorder recorder;
	int dump_error; /* of the flight recorder's last dump, an errno */

	struct hash files; /* (dev, ino) -> struct mapped_file */
	uint64_t new_mm; /* the last, which the model may not know yet */
	uint32_t new_owner;

	struct model *model;
	struct order *order;
	struct order_source *kernel_source;
	uint64_t horizon; /* of the last round */

	/*
	 * Who is watched, as the module says it (before the order applies it), and
	 * who was until now: session_bury().
	 */
	struct process **processes;
	size_t nr_processes, room_processes;
	struct hash by_tgid;
	bool somebody; /* there was one */
	bool deaths; /* some are not alive any more */

	bool born; /* an address space is new */
	uint64_t *resync; /* mm ids that need a snapshot */
	size_t nr_resync;

	unsigned int tick_ms;
	uint64_t next_verify, next_sample, next_flush; /* ns */
	uint64_t next_walk; /* ns */
	uint64_t next_find; /* ns: when struct process of o.pid is told its find_at; or 0 */
	uint64_t found_took; /* ns: they stood still so long for that */
	unsigned int found_in; /* processes */
	uint64_t skipped;
	uint64_t last_gaps;
	struct vmaheap_stats stats; /* as last heard */
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* To the person who asked: a sentence without a newline, 511 bytes at most. */
__attribute__((format(printf, 2, 3))) void session_say(struct session *s,
						       const char *fmt, ...);
/* Is it not what was said last? There may be hundreds of processes of one kind. */
bool session_is_news(struct session *s, const char *why);

/* watched.c; NULL: it is not watched, or was and is buried. */
struct process *session_process_find(const struct session *s, uint32_t tgid);
/* Who is born or has died by this event. */
void session_process_event(struct session *s, const struct event *ev);
void session_process_died(struct session *s, uint32_t tgid);
/* Frees the struct process of each that has died. */
void session_bury(struct session *s);
void session_process_free(struct process *p);
/* The model's; NULL: it has died, or is not known yet. */
struct space *session_living_space(const struct session *s, uint32_t tgid);

/* trace.c; 0 (none is asked for, too), or -1: errno, and *why is malloc'ed or NULL. */
int session_start_trace(struct session *s, char **why);
/* Says it once when it cannot be written. */
void session_trace_check(struct session *s);

/* build_ids.c: of the files in an EV_RANGE, to the model and the trace. */
void session_learn_build_ids(struct session *s, const struct event *ev);

/* mapped.c; NULL: no memory. Valid until the next one that is new. */
struct mapped_file *session_file(struct session *s, uint32_t dev, uint64_t ino);
/* An EV_FILE. */
void session_note_path(struct session *s, const struct event *ev);
/*
 * The trace keeps the symbols of the file (open as fd, it has a build id) if it is not
 * what its path leads to here; else it is minded.
 */
void session_mind_file(struct session *s, struct mapped_file *f, int fd);
/* The same of those that are minded, while somebody has them mapped. */
void session_look_for_files(struct session *s);
void session_free_files(struct session *s);

/* sources.c: what session_opts ask for, and at last the trace. As session_start_trace(). */
int session_start_sources(struct session *s, char **why);
/* ctx: the session. The trace is told of the words that the model has taken. */
void session_tell_taken(void *ctx);
/* A loss of nr events in process tgid (of unknown size: of one), for model and trace. */
void session_lose(struct session *s, uint64_t ts, uint32_t tgid, uint64_t nr);
/*
 * What process tgid allocates is not seen, for -errno (SHIM_NONE): a loss of unknown size,
 * told of as one event, and once to whom we serve. ctx: the session.
 */
void session_miss(void *ctx, uint32_t tgid, int err);

/*
 * round.c: takes everything up to this moment, which is s->horizon then; `final`: what
 * is not sure (order.h), too. True when something came. A struct process or space
 * from before it may be gone.
 */
bool session_run_round(struct session *s, bool final);
/* Rounds until everything of the module up to this moment is in the model. */
void session_catch_up(struct session *s);
/* What process tgid calls, as far as it is heard: of uprobes what it has beside C's. */
int session_allocator(const struct session *s, uint32_t tgid,
		      struct allocator *a);
/* Tells model and trace what allocates in it; nothing as long as it cannot be known. */
void session_note_allocator(struct session *s, const struct space *sp);
/* A flight recorder's triggers, by /proc. */
void session_look_at_rss(struct session *s);

/* residency.c, walk.c: of all, and sets when the next is due. now: now_ns(). */
void session_sample_all(struct session *s, uint64_t now);
void session_walk_all(struct session *s, uint64_t now);
/* What malloc's books have in use in a watched process; what fails is said. */
void session_walk(struct session *s, uint32_t tgid);
/* Chunks from before calls were told, where they are due (struct process). now: now_ns(). */
void session_find_chunks(struct session *s, uint64_t now);

/* verify.c: session_verify(), mismatches to session_say(); of all that live. */
void session_verify_one(struct session *s, uint32_t tgid);
void session_verify_all(struct session *s);

/* totals.c: says it once when the uprobes are dear. */
void session_warn_of_price(struct session *s);

#endif
