// SPDX-License-Identifier: GPL-2.0
/*
 * One buffer for each thread, and for each of the other streams, holds the packet
 * that is being filled, head included, so that it goes out in one piece (store.h).
 *
 * The packets of a thread say whose they are, so threads that are active one after
 * the other share a stream: as one is silent for a while, another one's packets may
 * follow in its stream, later ones. So there are as many streams as there are
 * threads at a time, however many come and go.
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
#include "trace/store.h"

#define PACKET_BYTES (64 * 1024) /* of a packet, unless one event is longer */
#define PACKET_PART 64 /* but no more than this part of what is kept in all */
#define BUFFER_BYTES \
	(4 * 1024) /* to begin with: many threads allocate little */

struct stream {
	uint64_t seq, discarded; /* of its packets so far */
	uint64_t ts; /* of the last event */
	bool begun; /* there is a packet of it in this segment */
	uint32_t next_free;
};

/* A thread, or one of the other streams. */
struct source {
	enum trace_stream_kind kind;
	uint32_t tgid, tid;
	uint32_t stream; /* NONE: as yet, or for now */
	uint64_t lost; /* events that no packet has told of yet */

	/* The packet that is being filled. */
	char *buf;
	size_t len, room; /* 0: not begun */
	size_t padding; /* behind the last event, within len */
	uint64_t events;
	uint64_t ts_begin;
	uint64_t begin_alloc_caller, begin_free_caller;
	struct callers *callers; /* TRACE_ALLOC: where there is a buf */
	bool fresh; /* something came since the last flush */

	/* As of the last event. */
	uint64_t ts, alloc_caller, free_caller;
};

#define NONE UINT32_MAX

struct trace_writer {
	struct store *store;
	size_t packet_bytes;
	uint8_t uuid[16];
	struct trace_env env;
	struct source **sources; /* by kind, tgid, tid */
	size_t nr, room;
	struct stream *streams; /* by their number in the store */
	uint32_t nr_streams, room_streams;
	uint32_t first_free, last_free; /* those of allocator events; NONE */
	struct trace_written total;
};

/* --- streams */

static const uint32_t fixed_streams[] = {
	[TRACE_KERNEL] = STORE_KERNEL,
	[TRACE_NOTES] = STORE_NOTES,
	[TRACE_TABLES] = STORE_TABLES,
};

static uint32_t new_stream(struct trace_writer *w)
{
	if (w->nr_streams == w->room_streams) {
		uint32_t room = w->room_streams ? 2 * w->room_streams : 16;
		void *p = realloc(w->streams, room * sizeof(*w->streams));

		if (!p)
			return NONE;
		w->streams = p;
		w->room_streams = room;
	}
	w->streams[w->nr_streams] = (struct stream){ .next_free = NONE };
	return w->nr_streams++;
}

/* The one that has been free for longest, if time does not run back in it. */
static uint32_t take_stream(struct trace_writer *w, uint64_t ts)
{
	uint32_t i = w->first_free;

	if (i == NONE || w->streams[i].ts > ts)
		return new_stream(w);
	w->first_free = w->streams[i].next_free;
	return i;
}

static void give_back(struct trace_writer *w, struct source *s)
{
	uint32_t i = s->stream;

	s->stream = NONE;
	w->streams[i].next_free = NONE;
	if (w->first_free == NONE)
		w->first_free = i;
	else
		w->streams[w->last_free].next_free = i;
	w->last_free = i;
}

static struct stream *stream_of(struct trace_writer *w, struct source *s)
{
	if (s->kind != TRACE_ALLOC)
		s->stream = fixed_streams[s->kind];
	else if (s->stream == NONE)
		s->stream = take_stream(w, s->ts_begin);
	return s->stream == NONE ? NULL : &w->streams[s->stream];
}

/* --- packets */

static void begin_packet(struct source *s, uint64_t ts)
{
	s->len = head_bytes(s->kind);
	s->padding = 0;
	s->events = 0;
	s->ts_begin = ts;
	s->begin_alloc_caller = s->alloc_caller;
	s->begin_free_caller = s->free_caller;
	if (s->callers)
		s->callers->nr = 0;
}

static void fill_head(const struct trace_writer *w, const struct source *s,
		      const struct stream *to, struct alloc_head *h)
{
	*h = (struct alloc_head){
		.p.magic = CTF_MAGIC,
		.p.stream_id = s->kind,
		.p.ts_begin = s->ts_begin,
		.p.ts_end = s->ts > s->ts_begin ? s->ts : s->ts_begin,
		.p.content_bits = (s->len - s->padding) * 8,
		.p.packet_bits = s->len * 8,
		.p.seq = to->seq,
		.p.discarded = to->discarded + s->lost,
		.tgid = s->tgid,
		.tid = s->tid,
		.alloc_caller = s->begin_alloc_caller,
		.free_caller = s->begin_free_caller,
	};
	memcpy(h->p.uuid, w->uuid, sizeof(w->uuid));
}

/* 0 or -errno. */
static int put_packet(struct trace_writer *w, struct source *s,
		      struct stream *to, const void *p, size_t len, uint64_t ts)
{
	int err = store_put(w->store, s->stream, p, len, ts);

	if (err)
		return err;
	to->seq++;
	to->ts = ts;
	to->begun = true;
	return 0;
}

/*
 * Losses are what events_discarded rises by from one packet to the next, so
 * where a stream, or what may be left of it, begins with a loss, an empty packet
 * goes before.
 */
static int put_first(struct trace_writer *w, struct source *s,
		     struct stream *to)
{
	struct alloc_head h;

	fill_head(w, s, to, &h);
	h.p.ts_end = s->ts_begin;
	h.p.content_bits = h.p.packet_bits = head_bytes(s->kind) * 8;
	h.p.discarded = to->discarded;
	return put_packet(w, s, to, &h, head_bytes(s->kind), s->ts_begin);
}

static int discard(struct trace_writer *w, struct source *s, uint64_t events,
		   int err)
{
	if (!w->total.error)
		w->total.error = -err;
	w->total.discarded += events;
	w->total.events -= events;
	s->lost += events;
	return err;
}

/* Packed events end at any byte. */
static void pad(struct source *s)
{
	s->padding = round8(s->len) - s->len;
	memset(s->buf + s->len, 0, s->padding);
	s->len += s->padding;
}

static int write_packet(struct trace_writer *w, struct source *s)
{
	struct stream *to = stream_of(w, s);
	struct alloc_head h;
	int err = to ? 0 : -ENOMEM;

	if (s->kind == TRACE_ALLOC)
		pad(s);
	if (!err && !to->begun && s->lost)
		err = put_first(w, s, to);
	if (err)
		return err;
	fill_head(w, s, to, &h);
	memcpy(s->buf, &h, head_bytes(s->kind));
	err = put_packet(w, s, to, s->buf, s->len, h.p.ts_end);
	if (err)
		return err;
	to->discarded += s->lost;
	s->lost = 0;
	return 0;
}

/* Writes the packet out; it is gone afterwards, whether that went well or not. */
static int end_packet(struct trace_writer *w, struct source *s)
{
	int err = s->len ? write_packet(w, s) : 0;

	if (err)
		discard(w, s, s->events, err);
	s->len = 0;
	return err;
}

static int reserve(const struct trace_writer *w, struct source *s, size_t bytes)
{
	size_t room = s->room ? s->room : BUFFER_BYTES;
	char *buf;

	if (bytes <= s->room)
		return 0;
	if (s->kind == TRACE_ALLOC && !s->callers) {
		s->callers = calloc(1, sizeof(*s->callers));
		if (!s->callers)
			return -ENOMEM;
	}
	while (room < bytes && room < w->packet_bytes)
		room *= 2;
	if (room < bytes)
		room = round8(bytes);
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
static char *next_event(struct trace_writer *w, struct source *s, size_t bytes,
			uint64_t ts, int *err)
{
	size_t head = head_bytes(s->kind);
	int e = 0;

	if (s->len && s->len + bytes > w->packet_bytes)
		e = end_packet(w, s);
	w->total.events++;
	if (reserve(w, s, (s->len ? s->len : head) + bytes)) {
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

/* --- sources */

static int source_cmp(const struct source *s, enum trace_stream_kind kind,
		      uint32_t tgid, uint32_t tid)
{
	if (s->kind != kind)
		return s->kind < kind ? -1 : 1;
	if (s->tgid != tgid)
		return s->tgid < tgid ? -1 : 1;
	return s->tid < tid ? -1 : s->tid > tid;
}

static struct source *insert_source(struct trace_writer *w, size_t at,
				    enum trace_stream_kind kind, uint32_t tgid,
				    uint32_t tid)
{
	struct source *s;

	if (w->nr == w->room) {
		size_t room = w->room ? w->room * 2 : 16;
		void *p = realloc(w->sources, room * sizeof(*w->sources));

		if (!p)
			return NULL;
		w->sources = p;
		w->room = room;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->kind = kind;
	s->tgid = tgid;
	s->tid = tid;
	s->stream = NONE;
	memmove(w->sources + at + 1, w->sources + at,
		(w->nr - at) * sizeof(*w->sources));
	w->sources[at] = s;
	w->nr++;
	return s;
}

/* Where it is, or would be. */
static size_t source_at(const struct trace_writer *w,
			enum trace_stream_kind kind, uint32_t tgid,
			uint32_t tid)
{
	size_t lo = 0, hi = w->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (source_cmp(w->sources[mid], kind, tgid, tid) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct source *get_source(struct trace_writer *w,
				 enum trace_stream_kind kind, uint32_t tgid,
				 uint32_t tid)
{
	size_t i = source_at(w, kind, tgid, tid);

	if (i < w->nr && !source_cmp(w->sources[i], kind, tgid, tid))
		return w->sources[i];
	return insert_source(w, i, kind, tgid, tid);
}

/* --- the kernel's records, and the notes */

static int write_record(struct trace_writer *w, struct source *s,
			const struct vmaheap_record *r)
{
	size_t bytes = fitted_bytes(r);
	struct vmaheap_record *to;
	uint64_t ts;
	int err = 0;

	if (!bytes) { /* a type from the future: no metadata describes it */
		s->lost++;
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
	struct source *s = get_source(w, TRACE_KERNEL, 0, 0);
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
	struct source *s = get_source(w, TRACE_NOTES, 0, 0);

	return s ? write_record(w, s, note) : -ENOMEM;
}

int trace_table(struct trace_writer *w, const struct vmaheap_record *entry)
{
	struct source *s = get_source(w, TRACE_TABLES, 0, 0);

	return s ? write_record(w, s, entry) : -ENOMEM;
}

int trace_symbols(struct trace_writer *w, const char *hex, const void *p,
		  size_t len)
{
	char name[256];
	int err;

	snprintf(name, sizeof(name), TRACE_SYMBOLS "%s", hex);
	err = store_keep(w->store, name, p, len);
	if (err && err != -E2BIG && !w->total.error)
		w->total.error = -err;
	return err;
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

/* Which of the two sticky callers the body has. */
static bool frees(uint64_t body)
{
	unsigned int id = word_id(body);

	return id == WORD_FREE || id == WORD_REALLOC || id == WORD_LEAVE;
}

/* Events that come without a stamp or a caller have those of this one. */
static void keep_sticky(struct source *s, const struct header *h, uint64_t ts,
			uint64_t body)
{
	s->ts = ts;
	if (!h->has_caller)
		return;
	if (frees(body))
		s->free_caller = h->caller;
	else
		s->alloc_caller = h->caller;
}

static int write_event(struct trace_writer *w, struct source *s,
		       const uint64_t *ev, unsigned int nr)
{
	uint64_t body = ev[word_header_words(word_id(ev[0]))];
	struct header h = read_header(ev);
	/* One that runs back comes out of a hostile ring. */
	uint64_t ts = h.ts > s->ts ? h.ts : s->ts, begin;
	int err = 0;
	char *to;

	/*
	 * A packet begins with the stamp that its events without one inherit;
	 * the first of a thread has inherited none. Its own one serves as well
	 * when no event, and no loss, goes before it.
	 */
	begin = s->ts && (!h.has_ts || s->lost) ? s->ts : ts;
	to = next_event(w, s, PACKED_BYTES(nr), begin, &err);
	if (to)
		s->len = (size_t)(pack_event(s->callers, ev, ts, to) - s->buf);
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
static size_t write_plain(struct trace_writer *w, struct source *s,
			  const uint64_t *words, size_t nr)
{
	size_t end = s->room < w->packet_bytes ? s->room : w->packet_bytes;
	size_t room = s->len && s->len < end ? end - s->len : 0;
	char *to = s->buf + s->len;
	size_t at = 0, events;

	/* A plain event of two words has less than twice the bytes of one. */
	if (nr > room / PACKED_BYTES(1))
		nr = room / PACKED_BYTES(1);
	for (events = 0; at < nr; events++) {
		uint64_t body = words[at], caller;

		if (is_plain(body)) {
			to = pack_word(body, to);
			at++;
			continue;
		}
		if (word_id(body) != WORD_HDR_CALLER || at + 1 == nr ||
		    !is_plain(words[at + 1]))
			break;
		caller = word_get_value(body);
		to = pack_word(words[at + 1] | PACKED_MORE, to);
		to = pack_caller(s->callers, caller, to);
		if (frees(words[at + 1]))
			s->free_caller = caller;
		else
			s->alloc_caller = caller;
		at += 2;
	}
	s->len = (size_t)(to - s->buf);
	s->events += events;
	w->total.events += events;
	s->fresh |= events != 0;
	return at;
}

int trace_words(struct trace_writer *w, uint32_t tgid, uint32_t tid,
		const uint64_t *words, size_t nr)
{
	struct source *s = get_source(w, TRACE_ALLOC, tgid, tid);
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

/* --- the whole */

/* When the module told something last: all that is known of a silent thread. */
static uint64_t kernel_ts(const struct trace_writer *w)
{
	return w->nr && w->sources[0]->kind == TRACE_KERNEL ?
		       w->sources[0]->ts :
		       0;
}

/* A packet without events tells of losses that no packet has told yet. */
static int tell_losses(struct trace_writer *w, struct source *s, uint64_t ts)
{
	int err;

	if (!s->lost)
		return 0;
	if (reserve(w, s, head_bytes(s->kind)))
		return -ENOMEM;
	begin_packet(s, s->ts > ts ? s->ts : ts);
	err = end_packet(w, s);
	if (!s->ts && s->stream != NONE)
		give_back(w, s); /* its events may be older */
	return err;
}

int trace_lost(struct trace_writer *w, uint32_t tgid, uint32_t tid, uint64_t nr,
	       uint64_t ts)
{
	struct source *s = get_source(w, TRACE_ALLOC, tgid, tid);
	int err;

	if (!s)
		return -ENOMEM;
	err = end_packet(w, s);
	s->lost += nr;
	s->fresh = true;
	if (ts && !err)
		err = tell_losses(w, s, ts);
	return err;
}

/* Who is silent from one flush to the next may have nothing more to say. */
static void rest(struct trace_writer *w, struct source *s)
{
	free(s->buf);
	free(s->callers);
	s->buf = NULL;
	s->callers = NULL;
	s->room = 0;
	if (s->kind == TRACE_ALLOC && s->stream != NONE)
		give_back(w, s);
}

static int flush_source(struct trace_writer *w, struct source *s)
{
	int err = end_packet(w, s);

	if (!err)
		err = tell_losses(w, s, s->ts ? s->ts : kernel_ts(w));
	if (!s->fresh)
		rest(w, s);
	s->fresh = false;
	return err;
}

int trace_flush(struct trace_writer *w)
{
	int err = 0;
	size_t i;

	for (i = 0; i < w->nr; i++) {
		int e = flush_source(w, w->sources[i]);

		if (!err)
			err = e;
	}
	return err;
}

static void source_free(struct source *s)
{
	free(s->buf);
	free(s->callers);
	free(s);
}

int trace_gone(struct trace_writer *w, uint32_t tgid, uint32_t tid)
{
	size_t i = source_at(w, TRACE_ALLOC, tgid, tid);
	struct source *s = i < w->nr ? w->sources[i] : NULL;
	int err;

	if (!s || source_cmp(s, TRACE_ALLOC, tgid, tid))
		return 0;
	err = flush_source(w, s);
	if (s->lost)
		return err; /* to be told by a later flush */
	if (s->stream != NONE)
		give_back(w, s);
	source_free(s);
	w->nr--;
	memmove(w->sources + i, w->sources + i + 1,
		(w->nr - i) * sizeof(*w->sources));
	return err;
}

struct trace_written trace_written(const struct trace_writer *w)
{
	struct trace_written t = w->total;

	t.bytes = store_bytes(w->store);
	return t;
}

void trace_writer_uuid(const struct trace_writer *w, uint8_t uuid[16])
{
	memcpy(uuid, w->uuid, sizeof(w->uuid));
}

static void free_writer(struct trace_writer *w)
{
	size_t i;

	for (i = 0; i < w->nr; i++)
		source_free(w->sources[i]);
	free(w->sources);
	free(w->streams);
	store_free(w->store);
	free(w);
}

int trace_close(struct trace_writer *w)
{
	int err = trace_flush(w);

	free_writer(w);
	return err;
}

/* --- a row of segments */

bool trace_cut_due(struct trace_writer *w, uint64_t ts)
{
	return store_cut_due(w->store, ts);
}

int trace_cut(struct trace_writer *w, void *state, size_t bytes, uint64_t ts)
{
	int err;

	for (size_t i = 0; i < w->nr; i++)
		end_packet(w, w->sources[i]); /* what fails is counted */
	err = store_cut(w->store, state, bytes, ts);
	for (uint32_t i = 0; !err && i < w->nr_streams; i++)
		w->streams[i].begun &= i == STORE_TABLES;
	return err;
}

static int write_metadata(const struct trace_writer *w, struct store *to)
{
	char *text = metadata_text(w->uuid, &w->env);
	int err = text ? store_text(to, "metadata", text, strlen(text)) :
			 -ENOMEM;

	free(text);
	return err;
}

int trace_dump(struct trace_writer *w, int dirfd)
{
	int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0), err;
	struct store *to;

	if (fd < 0)
		return -errno;
	to = store_new(fd, NULL);
	if (!to)
		return -ENOMEM;
	err = write_metadata(w, to);
	if (!err) {
		trace_flush(w);
		err = store_copy(w->store, to);
	}
	store_free(to);
	return err;
}

/* --- creating */

static int begin_files(struct trace_writer *w, const struct trace_limits *l)
{
	char name[STORE_NAME];
	int err = write_metadata(w, w->store);

	store_state_name(name, 0);
	if (!err && (l->bytes || l->ns))
		err = store_text(w->store, name, "", 0);
	return err;
}

static int make_streams(struct trace_writer *w)
{
	for (uint32_t i = 0; i < STORE_ALLOC; i++)
		if (new_stream(w) == NONE)
			return -ENOMEM;
	return 0;
}

static size_t packet_bytes(const struct trace_limits *l)
{
	uint64_t part = l->bytes / PACKET_PART;

	if (!part || part > PACKET_BYTES)
		return PACKET_BYTES;
	return part < BUFFER_BYTES ? BUFFER_BYTES : part & ~(uint64_t)7;
}

struct trace_writer *trace_create_row(int dirfd, const struct trace_env *env,
				      const struct trace_limits *limits)
{
	struct trace_writer *w = calloc(1, sizeof(*w));
	int err = 0, fd = -1;

	if (!w)
		return NULL;
	w->env = *env;
	w->packet_bytes = packet_bytes(limits);
	w->first_free = w->last_free = NONE;
	if (dirfd >= 0)
		fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if ((dirfd >= 0 && fd < 0) ||
	    getrandom(w->uuid, sizeof(w->uuid), 0) < 0)
		err = -errno;
	w->store = err ? NULL : store_new(fd, limits);
	if (!err && !w->store)
		err = -ENOMEM;
	if (!err)
		err = make_streams(w);
	if (!err && dirfd >= 0)
		err = begin_files(w, limits);
	if (!err)
		return w;
	free_writer(w);
	errno = -err;
	return NULL;
}

struct trace_writer *trace_create(int dirfd, const struct trace_env *env)
{
	static const struct trace_limits none = { .bytes = 0 };

	return trace_create_row(dirfd, env, &none);
}
