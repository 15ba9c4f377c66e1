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

#define METADATA_MAX (1024 * 1024)
#define PACKET_MAX (64 * 1024 * 1024)

struct stream {
	enum trace_stream_kind kind;
	uint32_t tgid, tid;
	char *name;
	uint64_t offset; /* of the next packet */
	uint64_t seq, discarded, ts; /* of the packet before */
	bool broken;
	char *buf;
	size_t room;
};

struct trace_reader {
	int dirfd;
	uint8_t uuid[16];
	struct trace_env env;
	struct stream *streams;
	size_t nr, room;
	uint64_t damage;
};

/* --- opening */

/* False: the file is none of ours (an editor's backup, say). */
static bool parse_name(const char *name, struct stream *s)
{
	char back[40];

	if (!strcmp(name, "kernel") || !strcmp(name, "notes") ||
	    !strcmp(name, "tables")) {
		s->kind = name[0] == 'k' ? TRACE_KERNEL :
			  name[0] == 'n' ? TRACE_NOTES :
					   TRACE_TABLES;
		return true;
	}
	if (sscanf(name, "alloc-%u-%u", &s->tgid, &s->tid) != 2)
		return false;
	s->kind = TRACE_ALLOC;
	snprintf(back, sizeof(back), "alloc-%u-%u", s->tgid, s->tid);
	return !strcmp(name, back);
}

static int add_stream(struct trace_reader *r, const char *name)
{
	struct stream s = { .name = NULL };

	if (!parse_name(name, &s))
		return 0;
	if (r->nr == r->room) {
		size_t room = r->room ? r->room * 2 : 16;
		void *p = realloc(r->streams, room * sizeof(s));

		if (!p)
			return -ENOMEM;
		r->streams = p;
		r->room = room;
	}
	s.name = strdup(name);
	if (!s.name)
		return -ENOMEM;
	r->streams[r->nr++] = s;
	return 0;
}

static int by_kind_and_thread(const void *va, const void *vb)
{
	const struct stream *a = va, *b = vb;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	return a->tid < b->tid ? -1 : a->tid > b->tid;
}

static int list_streams(struct trace_reader *r)
{
	int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int err = 0;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (e = readdir(d)))
		err = add_stream(r, e->d_name);
	closedir(d);
	if (r->nr)
		qsort(r->streams, r->nr, sizeof(*r->streams),
		      by_kind_and_thread);
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
		free(r->streams[i].name);
		free(r->streams[i].buf);
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

uint64_t trace_bytes(const struct trace_reader *r)
{
	uint64_t bytes = 0;
	struct stat st;
	size_t i;

	for (i = 0; i < r->nr; i++)
		if (!fstatat(r->dirfd, r->streams[i].name, &st, 0))
			bytes += (uint64_t)st.st_size;
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
	       h->seq == s->seq && h->discarded >= s->discarded;
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

/* Words of the event at w, unpacked in place; 0 or less: it is none. */
static int unpack_one(uint64_t *w, size_t nr)
{
	uint64_t event[WORD_EVENT_WORDS];
	int n = packed_words(w, nr);

	if (n > 1) {
		unpack_event(w, (unsigned int)n, event);
		memcpy(w, event, (size_t)n * sizeof(*w));
	}
	return n;
}

/* The common events: a body alone, or before its caller. Words, or 0. */
static size_t unpack_plain(uint64_t *w, size_t nr)
{
	unsigned int id = word_id(w[0]);
	uint64_t caller;

	if (id >= WORD_MALLOC && id <= WORD_REALLOCED)
		return 1;
	id ^= PACKED_MORE;
	if (id < WORD_MALLOC || id > WORD_REALLOCED || nr < 2 ||
	    word_id(w[1]) != WORD_HDR_CALLER)
		return 0;
	caller = w[1];
	w[1] = w[0] ^ PACKED_MORE;
	w[0] = caller;
	return 2;
}

/* Unpacks the events in place; false: they are none. */
static bool unpack_words(uint64_t *w, size_t nr)
{
	while (nr) {
		size_t n = unpack_plain(w, nr);

		if (!n) {
			int len = unpack_one(w, nr);

			if (len <= 0)
				return false;
			n = (size_t)len;
		}
		w += n;
		nr -= n;
	}
	return true;
}

static bool body_sound(struct stream *s, size_t packet)
{
	const struct alloc_head *h = (const void *)s->buf;
	size_t head = head_bytes(s->kind);

	if (s->kind != TRACE_ALLOC)
		return records_sound(s->buf + head, packet - head);
	return h->tgid == s->tgid && h->tid == s->tid &&
	       unpack_words((uint64_t *)(s->buf + head), (packet - head) / 8);
}

static bool reserve(struct stream *s, size_t bytes)
{
	char *buf;

	if (bytes <= s->room)
		return true;
	buf = realloc(s->buf, bytes);
	if (!buf)
		return false;
	s->buf = buf;
	s->room = bytes;
	return true;
}

/* The next packet into s->buf. Its bytes, 0: no sound packet is there. */
static size_t load_packet(const struct trace_reader *r, struct stream *s,
			  int fd, uint64_t left)
{
	struct packet_head h;
	size_t packet;

	if (left < head_bytes(s->kind) ||
	    !read_at(fd, &h, sizeof(h), s->offset) ||
	    !head_sound(r, s, &h, left))
		return 0;
	packet = h.packet_bits / 8;
	if (!reserve(s, packet) || !read_at(fd, s->buf, packet, s->offset))
		return 0;
	/* The file may have changed between the two reads. */
	if (memcmp(&h, s->buf, sizeof(h)) || !body_sound(s, packet))
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
		.tgid = s->tgid,
		.tid = s->tid,
		.ts = h->ts_begin,
		.lost = h->discarded - s->discarded,
		.data = s->buf + head,
		.bytes = packet - head,
	};
	if (s->kind == TRACE_ALLOC) {
		b->alloc_caller = a->alloc_caller;
		b->free_caller = a->free_caller;
	}
	s->offset += packet;
	s->seq++;
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

int trace_next(struct trace_reader *r, size_t i, struct trace_block *b)
{
	struct stream *s;
	int fd, ret;

	if (i >= r->nr)
		return 0;
	s = &r->streams[i];
	if (s->broken)
		return -EBADMSG;
	/* O_NONBLOCK: a fifo of that name must not hold us up. */
	fd = openat(r->dirfd, s->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return give_up(r, s, 0);
	ret = next_packet(r, s, fd, b);
	close(fd);
	return ret;
}

/* --- places */

struct trace_place trace_tell(const struct trace_reader *r, size_t i)
{
	const struct stream *s = &r->streams[i];

	return (struct trace_place){ s->offset, s->seq, s->discarded, s->ts };
}

void trace_seek(struct trace_reader *r, size_t i, const struct trace_place *p)
{
	struct stream *s = &r->streams[i];

	s->offset = p->offset;
	s->seq = p->seq;
	s->discarded = p->discarded;
	s->ts = p->ts;
	s->broken = false;
}

enum trace_stream_kind trace_stream(const struct trace_reader *r, size_t i,
				    uint32_t *tgid, uint32_t *tid)
{
	*tgid = r->streams[i].tgid;
	*tid = r->streams[i].tid;
	return r->streams[i].kind;
}

void trace_uuid(const struct trace_reader *r, uint8_t uuid[16])
{
	memcpy(uuid, r->uuid, sizeof(r->uuid));
}
