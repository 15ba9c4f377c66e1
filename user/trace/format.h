/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What writer and reader share: the packets as they lie in the files.
 *
 *   | head | event event event ... | padding to 8 bytes |
 *   <------- content_bits ------->
 *   <----------------- packet_bits -------------------->
 *
 * The head is packet.header and packet.context of the metadata in one. Content
 * ends with the last event's last byte (CTF 1.8, 5.2: a reader takes everything
 * before content_size for an event), so the padding behind the string of a FILE
 * record that closes a packet is no content.
 */
#ifndef TRACE_FORMAT_H
#define TRACE_FORMAT_H

#include <stdbool.h>
#include <string.h>

#include "trace/trace.h"

#define CTF_MAGIC 0xC1FC1FC1u

struct packet_head {
	uint32_t magic;
	uint8_t uuid[16];
	uint32_t stream_id; /* enum trace_stream_kind */
	uint64_t ts_begin, ts_end;
	uint64_t content_bits, packet_bits;
	uint64_t seq;
	uint64_t discarded; /* events, since the stream began */
};

struct alloc_head {
	struct packet_head p;
	uint32_t tgid, tid;
	uint64_t alloc_caller, free_caller;
};

_Static_assert(offsetof(struct vmaheap_record, type) == 8, "behind ts");
_Static_assert(sizeof(struct packet_head) == 72, "as the metadata says");
_Static_assert(sizeof(struct alloc_head) == 96, "as the metadata says");

static inline size_t head_bytes(enum trace_stream_kind kind)
{
	return kind == TRACE_ALLOC ? sizeof(struct alloc_head) :
				     sizeof(struct packet_head);
}

static inline size_t round8(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/*
 * Allocator events in a file. A CTF event header has room for the time and the id and
 * nothing else (babeltrace2 complains of other fields there, and does not show
 * them), so what a ring's event has in its header stands behind the body:
 *
 *   stamp:4 | ts:60           when the event has a ts: in front, and nothing
 *                             else before the body; stamp is PACKED_STAMP
 *   id:4 | ...                the body; PACKED_MORE is added to its id when
 *                             it is followed by one of
 *   register:8                0 to 239: the caller is what this register holds
 *   240:8 | caller:64         which is put into the next register, from 0 on in each
 *                             packet, and round
 *   241:8 | begin:64
 *   242:8 | begin:64 | caller:64      likewise
 *
 * Half of a program's events may have another caller than the one before, but few
 * a caller that the packet has not named (tests/bench/README.md).
 */
#define PACKED_STAMP 8u
#define PACKED_MORE 8u
#define PACKED_CALLERS 240u
#define PACKED_BYTES(words) (8 * (words) + 1) /* of an event, at most */
#define UNPACKED_WORDS(bytes) ((bytes) / 4) /* of a packet's events, at most */

#define CALLER_HASH_BITS 12

/* The registers of a packet. All zero: it begins. */
struct callers {
	uint64_t of[PACKED_CALLERS];
	uint32_t nr; /* put into them since the packet began */
	/*
	 * For the writer: where a caller may be, by its hash. Where two of them meet they
	 * are named anew each time: git's 155 took 2.3 bytes of 512 places, 1.1 of these.
	 */
	uint8_t at[1 << CALLER_HASH_BITS];
};

/* Each returns the byte behind what it wrote. */
static inline char *pack_word(uint64_t word, char *to)
{
	memcpy(to, &word, sizeof(word));
	return to + sizeof(word);
}

/* What follows a body that names its caller, and nothing else. */
char *pack_caller(struct callers *c, uint64_t caller, char *to);
/* A ring's event; ts: what its stamp is, where it has one. */
char *pack_event(struct callers *c, const uint64_t *from, uint64_t ts,
		 char *to);
/* The events of a packet, as in a ring. False: they are none. */
bool unpack_events(const void *from, size_t bytes, uint64_t *to, size_t *words);

/*
 * The layouts of the metadata are fixed; a module that is newer or older than
 * this program may send more or less in a record. fitted_bytes() is the size
 * that the record (whole, r->size bytes long) has in a trace; 0: no such record
 * is described, or it is damaged. fit_record() writes it so to `out`, and
 * returns how many of its bytes are event (the rest is padding).
 */
size_t fitted_bytes(const struct vmaheap_record *r);
size_t fit_record(const struct vmaheap_record *r, void *out);

/* The metadata text: malloc'ed, NULL: no memory. */
char *metadata_text(const uint8_t uuid[16], const struct trace_env *env);
/* NULL, or a malloc'ed sentence: why this is no metadata of ours. */
char *metadata_parse(const char *text, uint8_t uuid[16], struct trace_env *env);
/* What the string says whose first quote is at p, cut to `size`; its last quote. */
const char *metadata_string(const char *p, char *out, size_t size);
/* The same in CTF 2. */
char *metadata_ctf2(const uint8_t uuid[16], const struct trace_env *env);

#endif
