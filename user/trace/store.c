// SPDX-License-Identifier: GPL-2.0
#include "trace/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process has 1024 descriptors by default; threads may be more. */
#define OPEN_FILES 256
/*
 * A segment is this part of the whole: what is thrown away at once. But it is
 * not much smaller than the state that it begins with.
 */
#define SEGMENTS 8

/* A stream's file in the newest segment. */
struct file {
	int fd; /* -1: not open (yet, or not any more) */
	uint64_t used; /* when it was written last, in packets */
	uint64_t offset; /* of the next packet; 0: nothing is in it */
};

struct packet {
	struct packet *next;
	uint32_t stream;
	size_t len;
	char bytes[];
};

struct kept {
	struct kept *next;
	char *name;
	size_t len;
	char bytes[];
};

struct segment {
	struct segment *next; /* the one after it */
	uint32_t number;
	uint64_t bytes;
	uint64_t ts; /* of the state; of the first segment: the first that was seen */
	void *state; /* in memory */
	size_t state_len;
	/* In memory: its packets. In a directory: the streams that are in it. */
	struct packet *packets, **end;
	uint32_t *streams;
	size_t nr_streams;
};

struct store {
	int dirfd; /* -1: in memory */
	struct trace_limits limits;
	struct file *files;
	size_t nr_files;
	unsigned int open;
	uint64_t packets;
	uint64_t bytes, newest;
	size_t last_state; /* bytes */
	struct segment *oldest, *current;
	struct segment *tables; /* in memory: what is in no segment ... */
	struct kept *kept; /* ... and files */
	uint64_t kept_bytes; /* of files that are kept, wherever they are */
};

void store_name(char name[STORE_NAME], uint32_t stream, uint32_t segment)
{
	static const char *const names[] = { "kernel", "notes", "tables" };
	int n;

	if (stream >= STORE_ALLOC)
		n = snprintf(name, STORE_NAME, "alloc-%u",
			     stream - STORE_ALLOC);
	else
		n = snprintf(name, STORE_NAME, "%s", names[stream]);
	if (segment)
		snprintf(name + n, STORE_NAME - (size_t)n, ".%u", segment);
}

void store_state_name(char name[STORE_NAME], uint32_t segment)
{
	snprintf(name, STORE_NAME, ".state.%u", segment);
}

/* --- segments */

static struct segment *segment_new(uint32_t number)
{
	struct segment *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->number = number;
	g->end = &g->packets;
	return g;
}

static void segment_free(struct segment *g)
{
	struct packet *p;

	if (!g)
		return;
	while ((p = g->packets)) {
		g->packets = p->next;
		free(p);
	}
	free(g->state);
	free(g->streams);
	free(g);
}

struct store *store_new(int dirfd, const struct trace_limits *limits)
{
	struct store *s = calloc(1, sizeof(*s));

	if (s) {
		s->dirfd = dirfd;
		s->oldest = s->current = segment_new(0);
		s->tables = segment_new(0);
		if (limits)
			s->limits = *limits;
	}
	if (s && s->oldest && s->tables)
		return s;
	if (dirfd >= 0)
		close(dirfd);
	if (s)
		s->dirfd = -1;
	store_free(s);
	return NULL;
}

static void close_files(struct store *s)
{
	for (size_t i = 0; i < s->nr_files; i++)
		if (s->files[i].fd >= 0)
			close(s->files[i].fd);
	s->open = 0;
}

void store_free(struct store *s)
{
	struct segment *g;
	struct kept *k;

	if (!s)
		return;
	close_files(s);
	free(s->files);
	while ((g = s->oldest)) {
		s->oldest = g->next;
		segment_free(g);
	}
	segment_free(s->tables);
	while ((k = s->kept)) {
		s->kept = k->next;
		free(k->name);
		free(k);
	}
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s);
}

uint64_t store_bytes(const struct store *s)
{
	return s->bytes;
}

/* --- files */

static struct file *get_file(struct store *s, uint32_t stream)
{
	size_t nr = s->nr_files ? s->nr_files : 16;
	struct file *f;

	if (stream < s->nr_files)
		return &s->files[stream];
	while (nr <= stream)
		nr *= 2;
	f = realloc(s->files, nr * sizeof(*f));
	if (!f)
		return NULL;
	s->files = f;
	for (; s->nr_files < nr; s->nr_files++)
		f[s->nr_files] = (struct file){ .fd = -1 };
	return &f[stream];
}

static void close_oldest(struct store *s)
{
	struct file *oldest = NULL;

	for (size_t i = 0; i < s->nr_files; i++) {
		struct file *f = &s->files[i];

		if (f->fd >= 0 && (!oldest || f->used < oldest->used))
			oldest = f;
	}
	if (oldest) {
		close(oldest->fd);
		oldest->fd = -1;
		s->open--;
	}
}

static int open_file(struct store *s, struct file *f, const char *name)
{
	if (f->fd >= 0)
		return 0;
	if (s->open >= OPEN_FILES)
		close_oldest(s);
	f->fd = openat(s->dirfd, name,
		       O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (f->fd < 0)
		return -errno;
	s->open++;
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

int store_text(struct store *s, const char *name, const void *p, size_t len)
{
	int fd = openat(s->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			0644);
	int err;

	if (fd < 0)
		return -errno;
	err = write_at(fd, p, len, 0);
	if (close(fd) && !err)
		err = -errno;
	if (err)
		unlinkat(s->dirfd, name, 0);
	else
		s->bytes += len;
	return err;
}

static int keep_memory(struct store *s, const char *name, const void *p,
		       size_t len)
{
	struct kept *k;

	for (k = s->kept; k; k = k->next)
		if (!strcmp(k->name, name))
			return -EEXIST;
	k = malloc(sizeof(*k) + len);
	if (!k)
		return -ENOMEM;
	k->name = strdup(name);
	if (!k->name) {
		free(k);
		return -ENOMEM;
	}
	k->len = len;
	memcpy(k->bytes, p, len);
	k->next = s->kept;
	s->kept = k;
	s->bytes += len;
	return 0;
}

int store_keep(struct store *s, const char *name, const void *p, size_t len)
{
	uint64_t most = s->limits.bytes ? s->limits.bytes / 4 : UINT64_MAX;
	int err;

	if (most > STORE_KEPT_MAX)
		most = STORE_KEPT_MAX;
	if (s->kept_bytes + len > most)
		return -E2BIG;
	err = s->dirfd < 0 ? keep_memory(s, name, p, len) :
			     store_text(s, name, p, len);
	if (!err)
		s->kept_bytes += len;
	return err == -EEXIST ? 0 : err;
}

/* The segment has a file of this stream, so that it can be deleted. */
static int note_stream(struct segment *g, uint32_t stream)
{
	uint32_t *v;

	if (g->nr_streams & (g->nr_streams - 1)) {
		g->streams[g->nr_streams++] = stream;
		return 0;
	}
	v = realloc(g->streams,
		    (g->nr_streams ? 2 * g->nr_streams : 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	g->streams = v;
	v[g->nr_streams++] = stream;
	return 0;
}

/*
 * When the packet does not fit, the file is cut back to where it began: what is
 * in the files is always whole packets.
 */
static int put_file(struct store *s, uint32_t stream, const void *p, size_t len)
{
	struct segment *g = s->current;
	bool tables = stream == STORE_TABLES;
	struct file *f = get_file(s, stream);
	char name[STORE_NAME];
	int err;

	if (!f)
		return -ENOMEM;
	store_name(name, stream, tables ? 0 : g->number);
	err = open_file(s, f, name);
	if (!err && !f->offset && !tables)
		err = note_stream(g, stream);
	if (err)
		return err;
	f->used = ++s->packets;
	err = write_at(f->fd, p, len, f->offset);
	if (err) {
		if (ftruncate(f->fd, (off_t)f->offset))
			err = -errno; /* the next packet is written over it */
		return err;
	}
	f->offset += len;
	return 0;
}

static int put_memory(struct segment *g, uint32_t stream, const void *p,
		      size_t len)
{
	struct packet *n = malloc(sizeof(*n) + len);

	if (!n)
		return -ENOMEM;
	n->next = NULL;
	n->stream = stream;
	n->len = len;
	memcpy(n->bytes, p, len);
	*g->end = n;
	g->end = &n->next;
	return 0;
}

/* The trace has come to ts. */
static void see(struct store *s, uint64_t ts)
{
	if (!s->current->ts)
		s->current->ts = ts;
	if (ts > s->newest)
		s->newest = ts;
}

int store_put(struct store *s, uint32_t stream, const void *p, size_t len,
	      uint64_t ts)
{
	struct segment *g = stream == STORE_TABLES ? s->tables : s->current;
	int err = s->dirfd < 0 ? put_memory(g, stream, p, len) :
				 put_file(s, stream, p, len);

	if (err)
		return err;
	s->bytes += len;
	g->bytes += len;
	see(s, ts);
	return 0;
}

/* --- the row of segments */

/* How many bytes a segment has, more or less. */
static uint64_t segment_bytes(const struct store *s)
{
	uint64_t part = s->limits.bytes / SEGMENTS;
	uint64_t most = s->limits.bytes / 3;
	uint64_t want = s->last_state > part ? s->last_state : part;

	return want < most ? want : most;
}

bool store_cut_due(struct store *s, uint64_t ts)
{
	const struct segment *g = s->current;

	see(s, ts);
	if (s->limits.bytes && (g->packets || g->nr_streams) &&
	    g->bytes >= segment_bytes(s))
		return true;
	return s->limits.ns && s->newest - g->ts >= s->limits.ns / SEGMENTS;
}

/* The state first: what is left of a segment without one is not read. */
static void delete_files(struct store *s, const struct segment *g)
{
	char name[STORE_NAME];

	store_state_name(name, g->number);
	unlinkat(s->dirfd, name, 0);
	for (size_t i = 0; i < g->nr_streams; i++) {
		store_name(name, g->streams[i], g->number);
		unlinkat(s->dirfd, name, 0);
	}
}

static void drop_oldest(struct store *s)
{
	struct segment *g = s->oldest;

	if (s->dirfd >= 0)
		delete_files(s, g);
	s->bytes -= g->bytes;
	s->oldest = g->next;
	segment_free(g);
}

/*
 * A segment may be larger than it should: what all rings had is told at once. So
 * half of the limit is kept, rather than next to nothing.
 */
static bool too_much(const struct store *s, const struct segment *next)
{
	if (s->limits.bytes && s->bytes + segment_bytes(s) > s->limits.bytes &&
	    s->bytes - s->oldest->bytes >= s->limits.bytes / 2)
		return true;
	return s->limits.ns && next->ts + s->limits.ns < s->newest;
}

static void keep_limits(struct store *s)
{
	struct segment *next;

	while ((next = s->oldest->next) && too_much(s, next))
		drop_oldest(s);
}

/* Whole or not at all, whenever we are killed. */
static int write_state(struct store *s, uint32_t number, const void *state,
		       size_t len)
{
	static const char tmp[] = ".state.tmp";
	char name[STORE_NAME];
	uint64_t bytes = s->bytes;
	int err;

	store_state_name(name, number);
	unlinkat(s->dirfd, tmp, 0);
	err = store_text(s, tmp, state, len);
	s->bytes = bytes;
	if (!err && renameat(s->dirfd, tmp, s->dirfd, name)) {
		err = -errno;
		unlinkat(s->dirfd, tmp, 0);
	}
	return err;
}

/* The files of the segment before are not written any more. */
static void leave_files(struct store *s)
{
	for (size_t i = 0; i < s->nr_files; i++) {
		if (i == STORE_TABLES)
			continue;
		if (s->files[i].fd >= 0) {
			close(s->files[i].fd);
			s->open--;
		}
		s->files[i] = (struct file){ .fd = -1 };
	}
}

int store_cut(struct store *s, void *state, size_t len, uint64_t ts)
{
	struct segment *g = segment_new(s->current->number + 1);
	int err = g ? 0 : -ENOMEM;

	if (!err && s->dirfd >= 0)
		err = write_state(s, g->number, state, len);
	if (err) {
		segment_free(g);
		free(state);
		return err;
	}
	if (s->dirfd >= 0) {
		free(state);
		leave_files(s);
	} else {
		g->state = state;
		g->state_len = len;
	}
	g->ts = ts;
	g->bytes = len;
	s->bytes += len;
	s->last_state = len;
	s->current->next = g;
	s->current = g;
	see(s, ts);
	keep_limits(s);
	return 0;
}

static int copy_packets(const struct segment *g, struct store *to)
{
	int err = 0;

	for (const struct packet *p = g->packets; p && !err; p = p->next)
		err = store_put(to, p->stream, p->bytes, p->len, 0);
	return err;
}

int store_copy(const struct store *s, struct store *to)
{
	const struct segment *g = s->oldest;
	int err = write_state(to, 0, g->state, g->state_len);

	if (!err)
		err = copy_packets(s->tables, to);
	for (; g && !err; g = g->next)
		err = copy_packets(g, to);
	for (const struct kept *k = s->kept; k && !err; k = k->next)
		err = store_keep(to, k->name, k->bytes, k->len);
	return err;
}
