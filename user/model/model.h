/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two books, joined: processes, their address spaces, the VMAs and live
 * chunks of each, and which allocator call made the kernel do what. Events go
 * in, in order (order.h); everything else is questions. No I/O, no clock, no
 * global state.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "model/chunk.h"
#include "model/event.h"
#include "model/vma.h"

/* The kernel's side in numbers, for one kind of system call. */
struct syscall_tally {
	int32_t nr; /* -1: page fault (stack growth) */
	bool compat;
	uint64_t calls; /* VMA events of it (a RANGE told in parts is one) */
	uint64_t in_calls; /* of these: inside an allocator call */
	uint64_t mapped, unmapped, changed; /* bytes */
	uint64_t mapped_in_calls, unmapped_in_calls, changed_in_calls;
	int64_t vmas, vmas_in_calls; /* by so many there are more now */
};

/* System calls that failed with the same error, for the same reason. */
struct failed_tally {
	int32_t nr, error;
	enum failed_reason reason;
	uint64_t calls;
};

/* The allocator's side in numbers, for one function. */
struct op_tally {
	uint64_t calls, failed;
	uint64_t bytes; /* asked for (for free: given back) */
	uint64_t to_kernel; /* calls inside of which a VMA changed */
};

/* One place in the program that made the kernel act through the allocator. */
struct site_tally {
	enum call_op op;
	uint64_t caller; /* return address in the space `mm`; 0: unknown */
	uint64_t calls; /* that went to the kernel */
	uint64_t vma_events;
	uint64_t mapped, unmapped, changed;
	int64_t vmas; /* by so many there are more now */
};

/* A call stack: return addresses, the innermost first (probe/words.h). */
struct stack {
	uint64_t id; /* what a caller says that means it */
	uint32_t nr;
	bool truncated; /* who called the last one is not known */
	bool ambiguous; /* another one has the same id: neither is shown */
	uint64_t frames[];
};

/* What was allocated by calls of one stack. */
struct stack_tally {
	uint64_t stack; /* its id; CALLER_STACK alone: those that are not known */
	uint64_t allocs, bytes;
};

/* Page faults; see touch.h. */
struct fault_tally {
	uint64_t all; /* 0: they were not recorded */
	uint64_t present; /* there was a page, which might not be used so */
	uint64_t unmapped; /* nothing is mapped there */
	uint64_t first; /* first touches of a page, */
	uint64_t in_chunks; /* of these: of a live chunk's bytes */
	uint64_t in_kernel; /* of these: in a system call */
};

/* First touches of pages by what one call site had allocated. */
struct touch_tally {
	uint64_t caller; /* of the chunk; 0: not known */
	uint64_t touches; /* pages, but a huge one is touched first once */
	uint64_t in_kernel; /* of these: in a system call */
	/* Of `timed` of them: ns after the chunk was allocated, sum and most. */
	uint64_t timed, delay, longest;
};

/* The first touch of a page since it was mapped or given back. */
struct touch {
	uint64_t page, ts, ip;
	uint32_t tid;
	int32_t syscall; /* -1: the program itself touched it */
	uint32_t flags; /* enum fault_flag */
};

/* An address space, kept after its end as it was then, for a while at least. */
struct space {
	uint64_t mm;
	uint64_t parent_mm; /* 0: none known */
	enum mm_cause cause;
	uint32_t owner; /* tgid */
	char comm[16];
	uint64_t born, died; /* ts; died 0: alive */

	struct vma_map *vmas;
	struct chunk_table *chunks; /* never NULL */
	bool chunks_known_from_start; /* false: heap may hold chunks from before the watch */
	/*
	 * There is no module: the VMAs are those of /proc/PID/maps at vmas_at, and
	 * what happened in between, and by whom, is not known.
	 */
	bool vmas_sampled;
	uint64_t vmas_at; /* ts; 0: never */
	bool has_calls; /* an allocator source has spoken for it */

	/* As EV_ALLOCATOR told, the last; file "": nobody defines malloc (event.h). */
	struct {
		bool known;
		bool is_static;
		bool settings_known;
		char kind[16], file[224];
		/* "GLIBC_TUNABLES=... MALLOC_ARENA_MAX_=1": what glibc's malloc reads. */
		char settings[256];
	} allocator;

	/* As EV_FOUND told; such a chunk has the op CALL_NONE (chunk_is_found()). */
	struct {
		uint64_t at; /* ts; 0: never */
		bool walked; /* chunks are those of the walk at that time */
		bool failed; /* the last look: the heap could not be read */
		bool too_many; /* frees of unknown chunks to tell which are alive */
		uint64_t looks, chunks, bytes;
		uint64_t before; /* the newest stamp that was seen as the look began */
		uint64_t undecided; /* in use or not: not known, left out */
		uint64_t wrong; /* another one was born in its place */
	} found;

	uint64_t start_brk, brk, start_stack;
	struct rss rss; /* as of the last RANGE, or of the exit */
	uint64_t hiwater_rss; /* 0 until the exit */

	/* counters */
	uint64_t ranges; /* RANGE events */
	uint64_t coalesced; /* write sections without an event of their own */
	uint64_t map_count_mismatches; /* the checksum failed: must be 0 */
	uint64_t madvises;
	uint64_t late; /* VMA events whose doer is not known */
	/* Sums of `syscalls`. An event counts as outside until a call claims it. */
	uint64_t vma_events_in_calls, vma_events_outside;
	uint64_t window_no_event; /* not an error: calls with a window in which only others acted */
	uint64_t unknown_frees; /* of addresses that we never saw allocated */
	/*
	 * Chunks at whose address another one was born: a free was missed. The new
	 * one is right, for it has just been seen; the old one is dropped. (Once
	 * events were lost, also chunks that a new one overlaps.)
	 */
	uint64_t double_allocs;
	/*
	 * Not an error: chunks cut off where the next one begins, because their
	 * size must be wrong: of several lives at one address within one stamp,
	 * the wrong one was taken for the last (life.h).
	 */
	uint64_t clipped;
	uint64_t calls_lost; /* events dropped by the source */

	struct op_tally ops[CALL_OP_MAX];
	struct syscall_tally
		*syscalls; /* owned; nr_syscalls of them, any order */
	size_t nr_syscalls;
	struct failed_tally *failed; /* owned; any order */
	size_t nr_failed;
	struct site_tally *sites; /* owned; any order */
	size_t nr_sites;
	struct stack_tally *stacks; /* owned; any order */
	size_t nr_stacks;

	struct fault_tally faults;
	struct touch_tally *touch_sites; /* owned; any order */
	size_t nr_touch_sites;
	struct touch *touches; /* owned; of pages that are there, any order */
	size_t nr_touches;

	/* the last EV_RESIDENT sample, owned copy; sampled_at 0: never */
	struct vma_resident *resident;
	size_t nr_resident;
	uint64_t sampled_at;
};

/* Is anything known of its chunks? */
static inline bool space_has_chunks(const struct space *s)
{
	return s->has_calls || s->found.at;
}

/* And are they all that there are, but for what was lost? */
static inline bool space_knows_all_chunks(const struct space *s)
{
	return s->chunks_known_from_start ||
	       (s->found.at && !s->found.undecided);
}

/* Of address spaces that have died and are not kept (model_limit_dead()): their sums. */
struct forgotten {
	uint64_t spaces;
	uint64_t until; /* ts: when the last of them died; 0: there are none */
	struct op_tally ops[CALL_OP_MAX];
	uint64_t events, in_calls; /* VMA events */
	uint64_t mapped, unmapped, changed; /* bytes, by those */
	uint64_t chunks, bytes; /* alive when the space died */
	uint64_t peak; /* bytes alive at once, in the one where it was most */
	/* as of a space */
	uint64_t calls_lost, unknown_frees, double_allocs, clipped;
	uint64_t coalesced, late, map_count_mismatches;
};

#define BUILD_ID_MAX 64

struct file_name {
	uint32_t dev;
	uint64_t ino;
	uint64_t told; /* in which order, as heard last */
	char *path; /* NULL: not told */
	bool has_build_id; /* what build_id says is known: */
	uint8_t build_id_len; /* 0: the file has none */
	uint8_t build_id[BUILD_ID_MAX];
};

/* What one event did, for those who tell the story (script). */
struct outcome {
	const struct event *ev;
	struct space *space; /* NULL: of no known address space */
	/* EV_RANGE */
	const struct cause *cause;
	const struct vma_change *
		changes; /* nr_changes may exceed what is stored: min with OUTCOME_CHANGES */
	size_t nr_changes;
	bool checksum_failed; /* ask for a snapshot of this mm */
	/* EV_CALL, EV_FAULT */
	struct chunk
		chunk; /* the one born, or gone (FREED, REALLOC_ENTER), or touched */
	bool known; /* FREED, FAULT: the chunk was live; ALLOC: the address was not */
	bool first; /* FAULT: of this page, as far as is known */
	/* EV_CALL */
	/*
	 * ... or that is not known yet: another thread's event with the same ts
	 * belongs before this one and has not been applied (life.h).
	 */
	bool waits;
	unsigned int vma_events; /* that this call is the cause of, now known */
};
#define OUTCOME_CHANGES 64

struct model;

struct model *model_new(void);
void model_free(struct model *m);

/*
 * Applies one event; *out (may be NULL) is valid until the next call.
 * 0, or -EINVAL: the event contradicts the protocol (RANGE of an unknown mm,
 * VMAs unsorted ...), counted and otherwise ignored; -ENOMEM.
 */
int model_apply(struct model *m, const struct event *ev, struct outcome *out);

/*
 * Hears of chunks as soon as it is certain that they lived, which may be some
 * events later (life.h): `ts` and `tid` say when and by whom the chunk ended. Of
 * forked address spaces what they began with is not told. Not where events come
 * by model_apply_run().
 */
struct model_watch {
	void (*born)(void *ctx, const struct space *s, const struct chunk *c);
	void (*died)(void *ctx, const struct space *s, const struct chunk *c,
		     uint64_t ts, uint32_t tid);
	void *ctx;
};
/* *w stays the caller's, and there; NULL: nobody does. */
void model_watch(struct model *m, const struct model_watch *w);

/* Exactly as model_apply() of each of them in turn. */
void model_apply_run(struct model *m, const struct call_run *r);

/*
 * All events with a smaller ts have been applied: what still waits for one of
 * them waits in vain, and is counted as unknown free or double allocation. To
 * be called when ts advances (order_run does). 0 or -ENOMEM.
 */
int model_settle(struct model *m, uint64_t ts);

/*
 * From here on the spaces that have died, the one that did so last aside, take at
 * most so many bytes: older ones are forgotten, when model_settle() is called, and
 * pointers to them are no more. Without a limit all are kept.
 */
void model_limit_dead(struct model *m, size_t bytes);
const struct forgotten *model_forgotten(const struct model *m);
/*
 * From here on of more than so many files those that no space has mapped are
 * forgotten, when model_settle() is called, and pointers to them are no more; half
 * as many that were told of last are kept.
 */
void model_limit_files(struct model *m, size_t nr);

/* NULL when not known. */
struct space *model_space(const struct model *m, uint64_t mm);
/* The address space that process tgid uses now, or used last. */
struct space *model_process(const struct model *m, uint32_t tgid);
/* All address spaces in order of birth: i < model_spaces(). */
size_t model_spaces(const struct model *m);
struct space *model_space_at(const struct model *m, size_t i);
/* What is known of a file, NULL: nothing. */
const struct file_name *model_file(const struct model *m, uint32_t dev,
				   uint64_t ino);
/* The path of a file, NULL when it was never told. */
const char *model_path(const struct model *m, uint32_t dev, uint64_t ino);
/* As /proc/PID/maps names it: path, [heap], [stack], [vdso], [vvar], or "" */
const char *model_vma_name(const struct model *m, const struct space *s,
			   const struct vma *v);

/* The first touch of the page of addr, NULL: no page fault told of it. */
const struct touch *space_touch(const struct model *m, const struct space *s,
				uint64_t addr);

/* NULL when `caller` is an address, or a stack that is not known. */
const struct stack *model_stack(const struct model *m, uint64_t caller);
/* The return address that a caller stands for; 0: not known. */
uint64_t model_caller(const struct model *m, uint64_t caller);

struct model_totals {
	uint64_t kernel_lost; /* sum of EV_LOST counts */
	uint64_t invalid; /* events refused */
	uint64_t no_memory; /* events not applied (whole) for lack of memory */
	uint64_t orphan_calls; /* of processes that are not watched */
	uint64_t checks, check_vmas, check_mismatches; /* EV_VERIFY */
	uint64_t events; /* applied */
	uint64_t waited, in_vain; /* of these: for another thread's (life.h) */
	uint64_t stacks, stacks_refused; /* known; too many to be kept */
};
struct model_totals model_totals(const struct model *m);

const char *call_op_name(enum call_op op);
/* Is it one of the shim's own mappings (OURS_START)? By where it lies, and how. */
bool vma_is_ours(const struct vma_desc *d);

/* NULL when everything is sound, else what is wrong. */
const char *model_check(const struct model *m);

#endif
