// SPDX-License-Identifier: GPL-2.0
/*
 * One buffer for each stream holds the packet that is being filled, head
 * included, so that it goes out in one pwrite() at an offset that we know. When
 * that fails, the file is cut back to where the packet began: what is in the
 * files is always whole packets.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "probe/words.h"
#include "trace/format.h"

#define PACKET_BYTES (64 * 1024) /* of a packet, unless one event is longer */
#define BUFFER_BYTES \
	(4 * 1024) /* to begin with: many threads allocate little */
/* A process has 1024 descriptors by default; threads may be more. */
#define OPEN_FILES 256

struct stream {
	enum trace_stream_kind kind;
	uint32_t tgid, tid;
	int fd; /* -1: not open (yet, or not any more) */
	uint64_t used; /* when it was written last, in packets */
	uint64_t offset; /* of the next packet */
	uint64_t seq, discarded, discarded_written;

	/* The packet that is being filled. */
	char *buf;
	size_t len, room; /* 0: not begun */
	size_t padding; /* of the last event, within len */
	uint64_t events;
	uint64_t ts_begin;
	uint64_t begin_alloc_caller, begin_free_caller;
	bool fresh; /* something came since the last flush */

	/* As of the last event. */
	uint64_t ts, alloc_caller, free_caller;
};

struct trace_writer {
	int dirfd;
	uint8_t uuid[16];
	struct stream **streams; /* by kind, tgid, tid */
	size_t nr, room;
	unsigned int open;
	uint64_t packets;
	struct trace_written total;
};

/* --- files */

static void stream_name(const struct stream *s, char name[40])
{
	if (s->kind == TRACE_ALLOC)
		snprintf(name, 40, "alloc-%u-%u", s->tgid, s->tid);
	else
		snprintf(name, 40, "%s",
			 s->kind == TRACE_KERNEL ? "kernel" :
			 s->kind == TRACE_NOTES	 ? "notes" :
						   "tables");
}

static void close_oldest(struct trace_writer *w)
{
	struct stream *oldest = NULL;
	size_t i;

	for (i = 0; i < w->nr; i++) {
		struct stream *s = w->streams[i];

		if (s->fd >= 0 && (!oldest || s->used < oldest->used))
			oldest = s;
	}
	if (oldest) {
		close(oldest->fd);
		oldest->fd = -1;
		w->open--;
	}
}

static int open_stream(struct trace_writer *w, struct stream *s)
{
	char name[40];

	if (s->fd >= 0)
		return 0;
	if (w->open >= OPEN_FILES)
		close_oldest(w);
	stream_name(s, name);
	s->fd = openat(w->dirfd, name,
		       O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (s->fd < 0)
		return -errno;
	w->open++;
	return 0;
}

/* 0 or -errno; after an error some of it may be in the file. */
static int write_at(int fd, const char *p, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* --- packets */

static void begin_packet(struct stream *s, uint64_t ts)
{
	s->len = head_bytes(s->kind);
	s->padding = 0;
	s->events = 0;
	s->ts_begin = ts;
	s->begin_alloc_caller = s->alloc_caller;
	s->begin_free_caller = s->free_caller;
}

static void fill_head(const struct trace_writer *w, const struct stream *s,
		      struct alloc_head *h)
{
	*h = (struct alloc_head){
		.p.magic = CTF_MAGIC,
		.p.stream_id = s->kind,
		.p.ts_begin = s->ts_begin,
		.p.ts_end = s->ts,
		.p.content_bits = (s->len - s->padding) * 8,
		.p.packet_bits = s->len * 8,
		.p.seq = s->seq,
		.p.discarded = s->discarded,
		.tgid = s->tgid,
		.tid = s->tid,
		.alloc_caller = s->begin_alloc_caller,
		.free_caller = s->begin_free_caller,
	};
	memcpy(h->p.uuid, w->uuid, sizeof(w->uuid));
}

/* One packet to the end of the file, whole or not at all. 0 or -errno. */
static int put_packet(struct trace_writer *w, struct stream *s, const void *p,
		      size_t len)
{
	int err = open_stream(w, s);

	if (err)
		return err;
	s->used = ++w->packets;
	err = write_at(s->fd, p, len, s->offset);
	if (err) {
		if (ftruncate(s->fd, (off_t)s->offset))
			err = -errno; /* the next packet is written over it */
		return err;
	}
	s->offset += len;
	s->seq++;
	w->total.bytes += len;
	return 0;
}

/*
 * Losses are what events_discarded rises by from one packet to the next, so a
 * stream that begins with a loss has to begin with an empty packet.
 */
static int put_first(struct trace_writer *w, struct stream *s)
{
	struct alloc_head h;

	fill_head(w, s, &h);
	h.p.ts_end = s->ts_begin;
	h.p.content_bits = h.p.packet_bits = head_bytes(s->kind) * 8;
	h.p.discarded = 0;
	return put_packet(w, s, &h, head_bytes(s->kind));
}

static int discard(struct trace_writer *w, struct stream *s, uint64_t events,
		   int err)
{
	if (!w->total.error)
		w->total.error = -err;
	w->total.discarded += events;
	w->total.events -= events;
	s->discarded += events;
	return err;
}

/* Writes the packet out; it is gone afterwards, whether that went well or not. */
static int end_packet(struct trace_writer *w, struct stream *s)
{
	struct alloc_head h;
	int err = 0;

	if (!s->len)
		return 0;
	if (!s->seq && s->discarded)
		err = put_first(w, s);
	if (!err) {
		fill_head(w, s, &h);
		memcpy(s->buf, &h, head_bytes(s->kind));
		err = put_packet(w, s, s->buf, s->len);
	}
	if (err)
		discard(w, s, s->events, err);
	else
		s->discarded_written = s->discarded;
	s->len = 0;
	return err;
}

static int reserve(struct stream *s, size_t bytes)
{
	size_t room = s->room ? s->room : BUFFER_BYTES;
	char *buf;

	if (bytes <= s->room)
		return 0;
	while (room < bytes && room < PACKET_BYTES)
		room *= 2;
	if (room < bytes)
		room = bytes;
	buf = realloc(s->buf, room);
	if (!buf)
		return -ENOMEM;
	s->buf = buf;
	s->room = room;
	return 0;
}

/*
 * Room for an event of so many bytes that happened at ts, in the packet as it
 * is, or in a new one. A failure to write the full packet is no failure of this
 * event; *err keeps it.
 */
static char *next_event(struct trace_writer *w, struct stream *s, size_t bytes,
			uint64_t ts, int *err)
{
	size_t head = head_bytes(s->kind);
	int e = 0;

	if (s->len && s->len + bytes > PACKET_BYTES)
		e = end_packet(w, s);
	w->total.events++;
	if (reserve(s, (s->len ? s->len : head) + bytes)) {
		*err = discard(w, s, 1, -ENOMEM);
		return NULL;
	}
	if (e)
		*err = e;
	if (!s->len)
		begin_packet(s, ts);
	s->len += bytes;
	s->events++;
	s->fresh = true;
	return s->buf + s->len - bytes;
}

/* --- streams */

static int stream_cmp(const struct stream *s, enum trace_stream_kind kind,
		      uint32_t tgid, uint32_t tid)
{
	if (s->kind != kind)
		return s->kind < kind ? -1 : 1;
	if (s->tgid != tgid)
		return s->tgid < tgid ? -1 : 1;
	return s->tid < tid ? -1 : s->tid > tid;
}

static struct stream *insert_stream(struct trace_writer *w, size_t at,
				    enum trace_stream_kind kind, uint32_t tgid,
				    uint32_t tid)
{
	struct stream *s;

	if (w->nr == w->room) {
		size_t room = w->room ? w->room * 2 : 16;
		void *p = realloc(w->streams, room * sizeof(*w->streams));

		if (!p)
			return NULL;
		w->streams = p;
		w->room = room;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->kind = kind;
	s->tgid = tgid;
	s->tid = tid;
	s->fd = -1;
	memmove(w->streams + at + 1, w->streams + at,
		(w->nr - at) * sizeof(*w->streams));
	w->streams[at] = s;
	w->nr++;
	return s;
}

static struct stream *get_stream(struct trace_writer *w,
				 enum trace_stream_kind kind, uint32_t tgid,
				 uint32_t tid)
{
	size_t lo = 0, hi = w->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = stream_cmp(w->streams[mid], kind, tgid, tid);

		if (!c)
			return w->streams[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return insert_stream(w, lo, kind, tgid, tid);
}

/* --- the kernel's records, and the notes */

static int write_record(struct trace_writer *w, struct stream *s,
			const struct vmaheap_record *r)
{
	size_t bytes = fitted_bytes(r);
	struct vmaheap_record *to;
	uint64_t ts;
	int err = 0;

	if (!bytes) { /* a type from the future: no metadata describes it */
		s->discarded++;
		return 0;
	}
	/* Time never runs back in a stream; the sources keep to it. */
	ts = r->ts > s->ts ? r->ts : s->ts;
	to = (void *)next_event(w, s, bytes, ts, &err);
	if (to) {
		s->padding = bytes - fit_record(r, to);
		to->ts = ts;
	}
	s->ts = ts;
	return err;
}

int trace_records(struct trace_writer *w, const void *records, size_t bytes)
{
	struct stream *s = get_stream(w, TRACE_KERNEL, 0, 0);
	const char *p = records;
	int err = 0;

	if (!s)
		return -ENOMEM;
	while (bytes) {
		const struct vmaheap_record *r = (const void *)p;
		int e;

		if (bytes < sizeof(*r) || r->size < sizeof(*r) ||
		    r->size > bytes || r->size % 8)
			return -EINVAL;
		e = write_record(w, s, r);
		if (!err)
			err = e;
		p += r->size;
		bytes -= r->size;
	}
	return err;
}

int trace_note(struct trace_writer *w, const struct vmaheap_record *note)
{
	struct stream *s = get_stream(w, TRACE_NOTES, 0, 0);

	return s ? write_record(w, s, note) : -ENOMEM;
}

int trace_table(struct trace_writer *w, const struct vmaheap_record *entry)
{
	struct stream *s = get_stream(w, TRACE_TABLES, 0, 0);

	return s ? write_record(w, s, entry) : -ENOMEM;
}

/* --- allocator events */

struct header {
	bool has_ts, has_caller;
	uint64_t ts, caller;
};

static struct header read_header(const uint64_t *ev)
{
	struct header h = { false, false, 0, 0 };
	unsigned int id = word_id(ev[0]);

	if (id < WORD_HDR_CALLER)
		return h;
	if (id == WORD_HDR_WINDOW || id == WORD_HDR_WINDOW_CALLER)
		ev++;
	h.has_ts = id != WORD_HDR_CALLER;
	if (h.has_ts)
		h.ts = word_get_value(*ev++);
	h.has_caller = id != WORD_HDR_TS && id != WORD_HDR_WINDOW;
	if (h.has_caller)
		h.caller = word_get_value(*ev);
	return h;
}

/* Events that come without a stamp or a caller have those of this one. */
static void keep_sticky(struct stream *s, const struct header *h, uint64_t ts,
			unsigned int body)
{
	s->ts = ts;
	if (!h->has_caller)
		return;
	if (body == WORD_FREE || body == WORD_REALLOC || body == WORD_LEAVE)
		s->free_caller = h->caller;
	else
		s->alloc_caller = h->caller;
}

static int write_event(struct trace_writer *w, struct stream *s,
		       const uint64_t *ev, unsigned int nr)
{
	unsigned int body = word_id(ev[word_header_words(word_id(ev[0]))]);
	struct header h = read_header(ev);
	uint64_t ts = h.ts > s->ts ? h.ts : s->ts;
	uint64_t *to;
	int err = 0;

	/*
	 * A packet begins with the stamp that its events without one inherit;
	 * the first of a thread has inherited none.
	 */
	to = (void *)next_event(w, s, nr * sizeof(*ev), s->ts ? s->ts : ts,
				&err);
	if (to && nr == 1)
		*to = *ev;
	else if (to)
		pack_event(ev, nr, to);
	if (to && h.has_ts && h.ts < ts) /* it runs back: a hostile ring */
		to[0] = word_value(PACKED_STAMP, ts);
	keep_sticky(s, &h, ts, body);
	return err;
}

/* A body of one word that nothing has to be said of but the caller, perhaps. */
static bool is_plain(uint64_t w)
{
	unsigned int id = word_id(w);

	return id >= WORD_MALLOC && id <= WORD_REALLOCED;
}

/*
 * What write_event() does with plain events, of which a stream nearly consists,
 * as far as they fit into the packet as it is. Returns the words that it took.
 */
static size_t write_plain(struct trace_writer *w, struct stream *s,
			  const uint64_t *words, size_t nr)
{
	uint64_t *to = (void *)(s->buf + s->len), *begin = to;
	size_t end = s->room < PACKET_BYTES ? s->room : PACKET_BYTES;
	size_t room = s->len && s->len < end ? (end - s->len) / 8 : 0;
	size_t at = 0, events;

	if (nr > room)
		nr = room;
	for (events = 0; at < nr; events++) {
		if (is_plain(words[at])) {
			*to++ = words[at++];
			continue;
		}
		if (word_id(words[at]) != WORD_HDR_CALLER || at + 1 == nr ||
		    !is_plain(words[at + 1]))
			break;
		*to++ = words[at + 1] | PACKED_MORE;
		*to++ = words[at];
		if (word_id(words[at + 1]) == WORD_FREE ||
		    word_id(words[at + 1]) == WORD_REALLOC)
			s->free_caller = word_get_value(words[at]);
		else
			s->alloc_caller = word_get_value(words[at]);
		at += 2;
	}
	s->len += (size_t)(to - begin) * 8;
	s->events += events;
	w->total.events += events;
	s->fresh |= events != 0;
	return at;
}

int trace_words(struct trace_writer *w, uint32_t tgid, uint32_t tid,
		const uint64_t *words, size_t nr)
{
	struct stream *s = get_stream(w, TRACE_ALLOC, tgid, tid);
	int err = 0;

	if (!s)
		return -ENOMEM;
	while (nr) {
		size_t plain = write_plain(w, s, words, nr);
		int e, n;

		words += plain;
		nr -= plain;
		if (!nr)
			break;
		n = word_event_words(words, nr);
		if (n <= 0)
			return -EINVAL;
		e = write_event(w, s, words, (unsigned int)n);
		if (!err)
			err = e;
		words += n;
		nr -= (size_t)n;
	}
	return err;
}

int trace_lost(struct trace_writer *w, uint32_t tgid, uint32_t tid, uint64_t nr)
{
	struct stream *s = get_stream(w, TRACE_ALLOC, tgid, tid);
	int err;

	if (!s)
		return -ENOMEM;
	err = end_packet(w, s);
	s->discarded += nr;
	s->fresh = true;
	return err;
}

/* --- the whole */

/* A packet without events tells of losses that no packet has told yet. */
static int tell_losses(struct trace_writer *w, struct stream *s)
{
	if (s->discarded == s->discarded_written)
		return 0;
	if (reserve(s, head_bytes(s->kind)))
		return -ENOMEM;
	begin_packet(s, s->ts);
	return end_packet(w, s);
}

static int flush_stream(struct trace_writer *w, struct stream *s)
{
	int err = end_packet(w, s);

	if (!err)
		err = tell_losses(w, s);
	if (!s->fresh) { /* a thread that is silent, or gone */
		free(s->buf);
		s->buf = NULL;
		s->room = 0;
	}
	s->fresh = false;
	return err;
}

int trace_flush(struct trace_writer *w)
{
	int err = 0;
	size_t i;

	for (i = 0; i < w->nr; i++) {
		int e = flush_stream(w, w->streams[i]);

		if (!err)
			err = e;
	}
	return err;
}

struct trace_written trace_written(const struct trace_writer *w)
{
	return w->total;
}

static void free_writer(struct trace_writer *w)
{
	size_t i;

	for (i = 0; i < w->nr; i++) {
		if (w->streams[i]->fd >= 0)
			close(w->streams[i]->fd);
		free(w->streams[i]->buf);
		free(w->streams[i]);
	}
	free(w->streams);
	if (w->dirfd >= 0)
		close(w->dirfd);
	free(w);
}

int trace_close(struct trace_writer *w)
{
	int err = trace_flush(w);

	free_writer(w);
	return err;
}

static int write_metadata(struct trace_writer *w, const struct trace_env *env)
{
	char *text = metadata_text(w->uuid, env);
	int fd, err;

	if (!text)
		return -ENOMEM;
	fd = openat(w->dirfd, "metadata",
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		err = -errno;
		free(text);
		return err;
	}
	err = write_at(fd, text, strlen(text), 0);
	w->total.bytes = strlen(text);
	free(text);
	if (close(fd) && !err)
		err = -errno;
	if (err)
		unlinkat(w->dirfd, "metadata", 0);
	return err;
}

struct trace_writer *trace_create(int dirfd, const struct trace_env *env)
{
	struct trace_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return NULL;
	w->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (w->dirfd < 0 || getrandom(w->uuid, sizeof(w->uuid), 0) < 0)
		err = -errno;
	else
		err = write_metadata(w, env);
	if (err) {
		free_writer(w);
		errno = -err;
		return NULL;
	}
	return w;
}
