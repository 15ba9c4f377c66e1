/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A trace is a directory in Common Trace Format 1.8 (little-endian), written by
 * append and read by the same code that reads the live sources:
 *
 *   metadata            TSDL text: the layout of all below, the clock, the environment
 *   kernel              packets of the module's records, byte for byte (uapi/vmaheap.h)
 *   alloc-N             packets of threads' events (probe/words.h; in the files
 *                       they are packed as format.h says)
 *   notes               packets of what the daemon itself saw (struct trace_note)
 *   tables              packets of what the others refer to: stacks, build ids; to be
 *                       read first, and whole
 *   .state.N, NAME.N    of a trace whose front was thrown away: see store.h
 *   .symbols.BUILD-ID   an ELF: symbol tables of a file that was mapped and that
 *                       could not be found afterwards
 *
 * Each packet's context has timestamp_begin, timestamp_end, content_size,
 * packet_size, packet_seq_num, events_discarded (running total of the stream,
 * the loss accounting) and, in alloc streams, tgid, tid and the two sticky
 * callers as the packet begins, so that each packet can be read alone. A packet
 * never splits an event. Whoever reads the directory with babeltrace2 wants no
 * other files in it. A crash costs the last packet at most: a file may end
 * anywhere.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/vmaheap.h"

/* Records of the notes stream: same header and rules as the module's. */
enum trace_note_type {
	TRACE_NOTE_RESIDENT = 64, /* struct trace_resident */
	TRACE_NOTE_VERIFY = 65, /* struct trace_verify */
	TRACE_NOTE_ALLOCATOR = 66, /* struct trace_allocator */
	TRACE_NOTE_FOUND = 67, /* struct trace_found */
	/* of the tables stream */
	TRACE_TABLE_STACK = 80, /* struct trace_stack */
	TRACE_TABLE_BUILD_ID = 81, /* struct trace_build_id */
};

struct trace_resident_vma {
	__u64 start, end, resident, swapped, live_resident, huge; /* bytes */
};

struct trace_resident {
	struct vmaheap_record rec; /* ts, mm, tgid */
	__u32 nr_vmas;
	__u32 unused;
	struct trace_resident_vma vmas[];
};

struct trace_verify {
	struct vmaheap_record rec;
	__u32 vmas; /* compared */
	__u32 mismatches;
};

struct trace_allocator {
	struct vmaheap_record rec;
	__u32 is_static; /* 1: there is no dynamic linker */
	__u32 settings_known;
	char kind[16], file[224]; /* NUL-terminated */
	char settings[256]; /* malloc's settings in its environment, the same */
};

struct trace_found_chunk {
	__u64 addr, size; /* as struct found_chunk (model/event.h) */
};

struct trace_found {
	struct vmaheap_record rec;
	__u32 nr_chunks;
	__u32 flags; /* enum found_flag */
	struct trace_found_chunk chunks[];
};

struct trace_stack {
	struct vmaheap_record rec; /* tgid: who told it first */
	__u64 id; /* what a caller is when it is this stack (WORD_STACK is set) */
	__u32 truncated; /* 1: who called the last frame is not known */
	__u32 nr_frames;
	__u64 frames[]; /* return addresses, the innermost first */
};

/* Of the file that FILE records name. */
struct trace_build_id {
	struct vmaheap_record rec;
	__u64 ino;
	__u32 dev;
	__u32 len; /* 0: it has none */
	__u8 bytes[];
};

/* What the metadata's env block says of the recording; any may be "". */
struct trace_env {
	char release[80]; /* kernel */
	char command[512]; /* shell-quoted argv, or "pid N" */
	char alloc[16]; /* shim, uprobe, none */
	/* Stacks: 1: of all allocations, N: of one in N bytes, 0: of none. */
	uint64_t stack_bytes;
	int64_t clock_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC at the start */
};

struct trace_writer;

/*
 * Begins a trace in the empty directory dirfd (duplicated). NULL and errno on
 * failure (EEXIST: there is a trace in it).
 */
struct trace_writer *trace_create(int dirfd, const struct trace_env *env);
/* What a trace may become; 0: as long as it likes. */
struct trace_limits {
	uint64_t bytes;
	uint64_t ns;
};
/*
 * The same, of a trace whose front is thrown away when it becomes too much (see
 * trace_cut()). dirfd -1: it is kept in memory, for trace_dump().
 */
struct trace_writer *trace_create_row(int dirfd, const struct trace_env *env,
				      const struct trace_limits *limits);
/*
 * Whole records, as the module sent them, in order. 0, -EINVAL (no record begins
 * like this: what is before it is kept), or a write error. A record that is
 * longer or shorter than this program's uapi header says is written as the
 * header says; a type that it does not know counts as discarded.
 */
int trace_records(struct trace_writer *w, const void *records, size_t bytes);
int trace_note(struct trace_writer *w, const struct vmaheap_record *note);
int trace_table(struct trace_writer *w, const struct vmaheap_record *entry);
/*
 * The symbol tables (intake/symbol_tables.h) of the file with the build id `hex`; nothing
 * when it has them. 0, -E2BIG: there are too many in it (store_keep()), or a write error.
 */
#define TRACE_SYMBOLS ".symbols."
int trace_symbols(struct trace_writer *w, const char *hex, const void *p,
		  size_t len);
/*
 * Whole events of one thread, in order, without control words. 0, or -EINVAL
 * (words that are no event: what is before them is kept), or a write error,
 * -ENOSPC for one. A stamp that runs back is written as the one before it.
 */
int trace_words(struct trace_writer *w, uint32_t tgid, uint32_t tid,
		const uint64_t *words, size_t nr);
/*
 * That many events of the thread were lost at this point; or at time ts, of a
 * process (tid 0) of which no later event says when that was.
 */
int trace_lost(struct trace_writer *w, uint32_t tgid, uint32_t tid, uint64_t nr,
	       uint64_t ts);
/*
 * After a write error (full disk) the packet that did not fit is dropped whole,
 * its events are counted in events_discarded, what was written before stays
 * readable, and every later call tries again.
 */
int trace_flush(struct trace_writer *w); /* writes all partial packets */
struct trace_written {
	uint64_t bytes; /* in the files */
	uint64_t events; /* in packets that are written, or are being filled */
	uint64_t discarded; /* by write errors */
	int error; /* the first write error, an errno; 0: none */
};
struct trace_written trace_written(const struct trace_writer *w);
void trace_writer_uuid(const struct trace_writer *w, uint8_t uuid[16]);
int trace_close(struct trace_writer *w); /* flushes, frees */
/* The thread has ended; if its number comes again, nothing is inherited. */
int trace_gone(struct trace_writer *w, uint32_t tgid, uint32_t tid);

/*
 * Segments (store.h): when it is time, somebody finds out what state all that was
 * told until now leads to, and gives it (bytes, malloc'ed, become the writer's) to
 * trace_cut(): what is told from there on is a new segment, and what is too much is
 * thrown away. ts: of the last event before. 0 or -errno: there is no new one.
 */
bool trace_cut_due(struct trace_writer *w, uint64_t ts);
int trace_cut(struct trace_writer *w, void *state, size_t bytes, uint64_t ts);
/*
 * What is kept in memory, into the empty directory dirfd (stays the caller's). 0 or
 * -errno: what could be written is a trace that ends earlier.
 */
int trace_dump(struct trace_writer *w, int dirfd);

enum trace_stream_kind {
	TRACE_KERNEL = 1,
	TRACE_NOTES,
	TRACE_ALLOC,
	TRACE_TABLES
};

/* One packet. `data` is valid until the next call for the same stream. */
struct trace_block {
	enum trace_stream_kind kind;
	uint32_t tgid, tid; /* TRACE_ALLOC */
	uint64_t ts; /* timestamp_begin: the stamp as the packet begins */
	uint64_t alloc_caller,
		free_caller; /* TRACE_ALLOC: the sticky callers */
	uint64_t lost; /* events lost between the packet before and this one */
	const void *data; /* 8-byte aligned; TRACE_ALLOC: unpacked */
	size_t bytes;
	size_t packet; /* bytes of it in the file */
};

struct trace_reader;

/* NULL, with *why saying what is wrong: malloc'ed, the caller's to free(). */
struct trace_reader *trace_open(int dirfd, char **why);
const struct trace_env *trace_env(const struct trace_reader *r);
size_t trace_streams(const struct trace_reader *r);
uint64_t
trace_bytes(const struct trace_reader *r); /* of all streams, as of now */
/*
 * The next packet of stream i: 1; 0 at the end; -EBADMSG: the rest of the stream
 * cannot be read (truncated or damaged): trace_damage() says how much, what came
 * before is good.
 */
int trace_next(struct trace_reader *r, size_t i, struct trace_block *b);
/* Where the next packet of a stream begins, and what goes before it. */
struct trace_place {
	uint32_t segment, begun; /* begun: there is a packet before it */
	uint64_t offset, seq, discarded, ts;
};
struct trace_place trace_tell(const struct trace_reader *r, size_t i);
/* A place may be any numbers: trace_next() finds out whether a packet is there. */
void trace_seek(struct trace_reader *r, size_t i, const struct trace_place *p);
/* Which stream that is; *number: of those of its kind. */
enum trace_stream_kind trace_stream(const struct trace_reader *r, size_t i,
				    uint32_t *number);
/*
 * What trace_cut() was given of the segment that the trace begins with now, and
 * NULL: it begins with the first event. Malloc'ed. *err: 0, or why it cannot be read.
 */
void *trace_begin(const struct trace_reader *r, size_t *bytes, int *err);
void trace_uuid(const struct trace_reader *r, uint8_t uuid[16]);
/*
 * Bytes at the ends of the streams that were no sound packets, of those streams
 * that trace_next() has come to the end of; 0: a sound trace.
 */
uint64_t trace_damage(const struct trace_reader *r);
void trace_reader_free(struct trace_reader *r);

/*
 * The trace in the directory `from`, in CTF 2, into the empty directory `to`: the
 * packets are the same, the metadata is other text, and a state that it may begin
 * with is left out. show: what share is done, at each packet. 0, *damage as
 * trace_damage(); -errno, of trace_open() with *why.
 */
int trace_ctf2(int from, int to, void (*show)(double done), uint64_t *damage,
	       char **why);

#endif
