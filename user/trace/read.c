// SPDX-License-Identifier: GPL-2.0
/*
 * Packets are read one at a time and their file is closed again at once: all
 * streams are read side by side, and there may be thousands. Nothing in a file
 * is believed: a packet is delivered when its head is consistent, lies in the
 * file, follows the one before, and whole events fill it. What comes after the
 * first that does not is damage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/words.h"
#include "trace/format.h"
#include "trace/store.h"

#define METADATA_MAX (1024 * 1024)
#define PACKET_MAX (64 * 1024 * 1024)

/* One file of each segment that has packets of it (store.h). */
struct stream {
	enum trace_stream_kind kind;
	uint32_t number; /* in the store */
	uint32_t *segments; /* rising */
	size_t nr_segments;
	size_t at; /* the segment that is being read */
	uint64_t offset; /* of the next packet */
	bool begun; /* a packet was read, and this is its: */
	uint64_t seq, discarded, ts;
	bool broken;
	char *buf;
	size_t room;
	uint64_t *words; /* of the packet's events, unpacked */
	size_t words_room, nr_words;
};

struct trace_reader {
	int dirfd;
	uint8_t uuid[16];
	struct trace_env env;
	bool has_state;
	uint32_t begin; /* the segment that it begins with */
	struct stream *streams;
	size_t nr, room;
	uint64_t damage;
};

/* --- opening */

/* A stream's file in a segment. */
struct part {
	uint32_t stream, segment;
};

/* False: the file is none of ours (an editor's backup, say). */
static bool parse_name(const char *name, struct part *p)
{
	static const char *const names[] = { "kernel", "notes", "tables" };
	char back[STORE_NAME];
	const char *dot = strchr(name, '.');
	size_t len = dot ? (size_t)(dot - name) : strlen(name);

	*p = (struct part){ .segment = 0 };
	if (dot && sscanf(dot, ".%u", &p->segment) != 1)
		return false;
	while (p->stream < STORE_ALLOC &&
	       (strlen(names[p->stream]) != len ||
		strncmp(name, names[p->stream], len) != 0))
		p->stream++;
	if (p->stream == STORE_ALLOC) {
		if (sscanf(name, "alloc-%u", &p->stream) != 1 ||
		    p->stream > UINT32_MAX - STORE_ALLOC)
			return false;
		p->stream += STORE_ALLOC;
	}
	store_name(back, p->stream, p->segment);
	return !strcmp(name, back);
}

static enum trace_stream_kind kind_of(uint32_t stream)
{
	return stream == STORE_KERNEL ? TRACE_KERNEL :
	       stream == STORE_NOTES  ? TRACE_NOTES :
	       stream == STORE_TABLES ? TRACE_TABLES :
					TRACE_ALLOC;
}

struct parts {
	struct part *v;
	size_t nr, room;
};

static int add_part(struct parts *parts, const struct part *p)
{
	if (parts->nr == parts->room) {
		size_t room = parts->room ? parts->room * 2 : 16;
		void *v = realloc(parts->v, room * sizeof(*p));

		if (!v)
			return -ENOMEM;
		parts->v = v;
		parts->room = room;
	}
	parts->v[parts->nr++] = *p;
	return 0;
}

static int add_name(struct trace_reader *r, struct parts *parts,
		    const char *name)
{
	char back[STORE_NAME];
	struct part p;
	uint32_t n;

	if (sscanf(name, ".state.%u", &n) == 1) {
		store_state_name(back, n);
		if (strcmp(name, back) != 0)
			return 0;
		if (!r->has_state || n < r->begin)
			r->begin = n;
		r->has_state = true;
		return 0;
	}
	return parse_name(name, &p) ? add_part(parts, &p) : 0;
}

/* By kind, as trace_stream() tells it, then by number, then by segment. */
static int in_order(const void *va, const void *vb)
{
	const struct part *a = va, *b = vb;
	enum trace_stream_kind ka = kind_of(a->stream), kb = kind_of(b->stream);

	if (ka != kb)
		return ka < kb ? -1 : 1;
	if (a->stream != b->stream)
		return a->stream < b->stream ? -1 : 1;
	return a->segment < b->segment ? -1 : a->segment > b->segment;
}

static struct stream *get_stream(struct trace_reader *r, uint32_t number)
{
	struct stream *s = r->nr ? &r->streams[r->nr - 1] : NULL;

	if (s && s->number == number)
		return s;
	if (r->nr == r->room) {
		size_t room = r->room ? r->room * 2 : 16;
		void *p = realloc(r->streams, room * sizeof(*s));

		if (!p)
			return NULL;
		r->streams = p;
		r->room = room;
	}
	s = &r->streams[r->nr++];
	*s = (struct stream){ .kind = kind_of(number), .number = number };
	return s;
}

/* The parts are in order; those before the beginning are being deleted. */
static int add_streams(struct trace_reader *r, const struct parts *parts)
{
	for (size_t i = 0; i < parts->nr; i++) {
		const struct part *p = &parts->v[i];
		struct stream *s;
		uint32_t *v;

		if (p->segment < r->begin && p->stream != STORE_TABLES)
			continue;
		s = get_stream(r, p->stream);
		if (!s)
			return -ENOMEM;
		v = realloc(s->segments, (s->nr_segments + 1) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->segments = v;
		v[s->nr_segments++] = p->segment;
	}
	return 0;
}

static int list_streams(struct trace_reader *r)
{
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct parts parts = { .nr = 0 };
	struct dirent *e;
	int err = 0;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (e = readdir(d)))
		err = add_name(r, &parts, e->d_name);
	closedir(d);
	if (parts.nr)
		qsort(parts.v, parts.nr, sizeof(*parts.v), in_order);
	if (!err)
		err = add_streams(r, &parts);
	free(parts.v);
	return err;
}

static char *sentence(const char *before, const char *after)
{
	char *s = NULL;

	if (asprintf(&s, "%s%s", before, after) < 0)
		return NULL;
	return s;
}

static char *why_not_open(int err)
{
	if (err == ENOENT)
		return sentence(
			"not a trace: there is no file 'metadata' in it", "");
	if (err == ENOTDIR)
		return sentence("not a trace: it is not a directory", "");
	return sentence("cannot open its metadata: ", strerror(err));
}

/* malloc'ed text, or NULL and errno. */
static char *read_text(int fd)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st))
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > METADATA_MAX) {
		errno = EFBIG;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = 0;
	return text;
}

/* The whole text, or NULL and *why. */
static char *read_metadata(int dirfd, char **why)
{
	int fd = openat(dirfd, "metadata", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;

	if (fd < 0) {
		*why = why_not_open(errno);
		return NULL;
	}
	text = read_text(fd);
	if (!text)
		*why = sentence("cannot read its metadata: ", strerror(errno));
	close(fd);
	return text;
}

struct trace_reader *trace_open(int dirfd, char **why)
{
	struct trace_reader *r = calloc(1, sizeof(*r));
	char *text = NULL;
	int err;

	*why = NULL;
	if (!r) {
		*why = sentence("no memory", "");
		return NULL;
	}
	r->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (r->dirfd < 0)
		*why = sentence("cannot open it: ", strerror(errno));
	else
		text = read_metadata(r->dirfd, why);
	if (text)
		*why = metadata_parse(text, r->uuid, &r->env);
	if (text && !*why) {
		err = list_streams(r);
		if (err)
			*why = sentence("cannot list it: ", strerror(-err));
	}
	free(text);
	if (*why) {
		trace_reader_free(r);
		return NULL;
	}
	return r;
}

void trace_reader_free(struct trace_reader *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->nr; i++) {
		free(r->streams[i].segments);
		free(r->streams[i].buf);
		free(r->streams[i].words);
	}
	free(r->streams);
	if (r->dirfd >= 0)
		close(r->dirfd);
	free(r);
}

const struct trace_env *trace_env(const struct trace_reader *r)
{
	return &r->env;
}

size_t trace_streams(const struct trace_reader *r)
{
	return r->nr;
}

static uint64_t stream_bytes(const struct trace_reader *r,
			     const struct stream *s)
{
	char name[STORE_NAME];
	uint64_t bytes = 0;
	struct stat st;

	for (size_t i = 0; i < s->nr_segments; i++) {
		store_name(name, s->number, s->segments[i]);
		if (!fstatat(r->dirfd, name, &st, 0))
			bytes += (uint64_t)st.st_size;
	}
	return bytes;
}

uint64_t trace_bytes(const struct trace_reader *r)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->nr; i++)
		bytes += stream_bytes(r, &r->streams[i]);
	return bytes;
}

uint64_t trace_damage(const struct trace_reader *r)
{
	return r->damage;
}

/* --- packets */

static bool read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return true;
}

static bool head_sound(const struct trace_reader *r, const struct stream *s,
		       const struct packet_head *h, uint64_t left)
{
	return h->magic == CTF_MAGIC && h->stream_id == s->kind &&
	       !memcmp(h->uuid, r->uuid, sizeof(r->uuid)) &&
	       h->packet_bits % 64 == 0 && h->packet_bits / 8 <= left &&
	       h->packet_bits / 8 <= PACKET_MAX && h->content_bits % 8 == 0 &&
	       h->content_bits / 8 >= head_bytes(s->kind) &&
	       round8(h->content_bits / 8) == h->packet_bits / 8 &&
	       h->ts_begin <= h->ts_end && h->ts_begin >= s->ts &&
	       (!s->begun || h->seq == s->seq) && h->discarded >= s->discarded;
}

static bool records_sound(const char *p, size_t bytes)
{
	while (bytes) {
		const struct vmaheap_record *r = (const void *)p;

		if (bytes < sizeof(*r) || r->size < sizeof(*r) ||
		    r->size > bytes || r->size % 8)
			return false;
		if (fitted_bytes(r) != r->size)
			return false;
		p += r->size;
		bytes -= r->size;
	}
	return true;
}

/* realloc(p, bytes) where *room is less; NULL: there is no memory, p is as it was. */
static void *reserve(void *p, size_t *room, size_t bytes)
{
	void *larger = bytes <= *room ? p : realloc(p, bytes);

	if (larger && bytes > *room)
		*room = bytes;
	return larger;
}

static bool unpack(struct stream *s, const char *from, size_t bytes)
{
	void *words = reserve(s->words, &s->words_room,
			      (UNPACKED_WORDS(bytes) + 1) * sizeof(*s->words));

	if (!words)
		return false;
	s->words = words;
	return unpack_events(from, bytes, s->words, &s->nr_words);
}

/* Allocator events are unpacked, too. */
static bool body_sound(struct stream *s, size_t content, size_t packet)
{
	size_t head = head_bytes(s->kind);

	return s->kind == TRACE_ALLOC ?
		       unpack(s, s->buf + head, content - head) :
		       records_sound(s->buf + head, packet - head);
}

/* The next packet into s->buf. Its bytes, 0: no sound packet is there. */
static size_t load_packet(const struct trace_reader *r, struct stream *s,
			  int fd, uint64_t left)
{
	struct packet_head h;
	size_t packet;
	char *buf;

	if (left < head_bytes(s->kind) ||
	    !read_at(fd, &h, sizeof(h), s->offset) ||
	    !head_sound(r, s, &h, left))
		return 0;
	packet = h.packet_bits / 8;
	buf = reserve(s->buf, &s->room, packet);
	if (!buf)
		return 0;
	s->buf = buf;
	if (!read_at(fd, s->buf, packet, s->offset))
		return 0;
	/* The file may have changed between the two reads. */
	if (memcmp(&h, s->buf, sizeof(h)) ||
	    !body_sound(s, h.content_bits / 8, packet))
		return 0;
	return packet;
}

static void fill_block(struct stream *s, size_t packet, struct trace_block *b)
{
	const struct packet_head *h = (const void *)s->buf;
	const struct alloc_head *a = (const void *)s->buf;
	size_t head = head_bytes(s->kind);

	*b = (struct trace_block){
		.kind = s->kind,
		.ts = h->ts_begin,
		/* What was lost before the first that is left is not known here. */
		.lost = s->begun || !h->seq ? h->discarded - s->discarded : 0,
		.data = s->buf + head,
		.bytes = packet - head,
		.packet = packet,
	};
	if (s->kind == TRACE_ALLOC) {
		b->tgid = a->tgid;
		b->tid = a->tid;
		b->alloc_caller = a->alloc_caller;
		b->free_caller = a->free_caller;
		b->data = s->words;
		b->bytes = s->nr_words * sizeof(*s->words);
	}
	s->offset += packet;
	s->begun = true;
	s->seq = h->seq + 1;
	s->discarded = h->discarded;
	s->ts = h->ts_end;
}

/* So many bytes, but at least one, are the end of this stream. */
static int give_up(struct trace_reader *r, struct stream *s, uint64_t left)
{
	s->broken = true;
	r->damage += left ? left : 1;
	return -EBADMSG;
}

static int next_packet(struct trace_reader *r, struct stream *s, int fd,
		       struct trace_block *b)
{
	struct stat st;
	uint64_t left;
	size_t packet;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return give_up(r, s, 0);
	if ((uint64_t)st.st_size == s->offset)
		return 0;
	left = (uint64_t)st.st_size > s->offset ?
		       (uint64_t)st.st_size - s->offset :
		       0;
	packet = load_packet(r, s, fd, left);
	if (!packet)
		return give_up(r, s, left);
	fill_block(s, packet, b);
	return 1;
}

/* In the segment that is being read. */
static int next_here(struct trace_reader *r, struct stream *s,
		     struct trace_block *b)
{
	char name[STORE_NAME];
	int fd, ret;

	store_name(name, s->number, s->segments[s->at]);
	/* O_NONBLOCK: a fifo of that name must not hold us up. */
	fd = openat(r->dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return give_up(r, s, 0);
	ret = next_packet(r, s, fd, b);
	close(fd);
	return ret;
}

int trace_next(struct trace_reader *r, size_t i, struct trace_block *b)
{
	struct stream *s;
	int ret;

	if (i >= r->nr)
		return 0;
	s = &r->streams[i];
	if (s->broken)
		return -EBADMSG;
	while (!(ret = next_here(r, s, b)) && s->at + 1 < s->nr_segments) {
		s->at++;
		s->offset = 0;
	}
	return ret;
}

/* --- places */

struct trace_place trace_tell(const struct trace_reader *r, size_t i)
{
	const struct stream *s = &r->streams[i];

	return (struct trace_place){ .segment = s->segments[s->at],
				     .begun = s->begun,
				     .offset = s->offset,
				     .seq = s->seq,
				     .discarded = s->discarded,
				     .ts = s->ts };
}

void trace_seek(struct trace_reader *r, size_t i, const struct trace_place *p)
{
	struct stream *s = &r->streams[i];

	s->broken = false;
	s->at = 0;
	while (s->at + 1 < s->nr_segments && s->segments[s->at] < p->segment)
		s->at++;
	s->offset = p->offset;
	s->begun = p->begun;
	s->seq = p->seq;
	s->discarded = p->discarded;
	s->ts = p->ts;
	if (s->segments[s->at] != p->segment) { /* it was thrown away since */
		s->offset = 0;
		s->begun = false;
	}
}

enum trace_stream_kind trace_stream(const struct trace_reader *r, size_t i,
				    uint32_t *number)
{
	*number = r->streams[i].number;
	return r->streams[i].kind;
}

void trace_uuid(const struct trace_reader *r, uint8_t uuid[16])
{
	memcpy(uuid, r->uuid, sizeof(r->uuid));
}

/* --- the beginning */

/* malloc'ed, or NULL and *err. */
static void *read_whole(int fd, size_t *bytes, int *err)
{
	struct stat st;
	char *p;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		*err = -EINVAL;
		return NULL;
	}
	*bytes = (size_t)st.st_size;
	p = malloc(*bytes + 1);
	*err = !p ? -ENOMEM : read_at(fd, p, *bytes, 0) ? 0 : -EIO;
	if (!*err && *bytes)
		return p;
	free(p);
	return NULL;
}

void *trace_begin(const struct trace_reader *r, size_t *bytes, int *err)
{
	char name[STORE_NAME];
	void *p;
	int fd;

	*err = 0;
	if (!r->has_state)
		return NULL;
	store_state_name(name, r->begin);
	fd = openat(r->dirfd, name,
		    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0) {
		*err = -errno;
		return NULL;
	}
	p = read_whole(fd, bytes, err);
	close(fd);
	return p;
}
