// SPDX-License-Identifier: GPL-2.0
#include "session/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/save.h"

#define MAGIC 0x3158444950414856ull /* "VHAPIDX1" */
#define DIR_NAME ".index"

/* The file: this, index_streams, the model's bytes. */
struct index_file {
	uint64_t magic, format;
	uint8_t uuid[16];
	uint64_t sum; /* of all that follows */
	struct index_head head;
	uint64_t nr_streams, model_bytes;
};

/* Damage, not malice: the loader believes nothing anyway. */
static uint64_t checksum(uint64_t sum, const void *p, size_t bytes)
{
	const uint8_t *b = p;
	uint64_t w;

	for (; bytes >= 8; b += 8, bytes -= 8) {
		memcpy(&w, b, 8);
		sum = (sum ^ w) * 0x9e3779b97f4a7c15ull;
		sum ^= sum >> 29;
	}
	for (; bytes; b++, bytes--)
		sum = (sum ^ *b) * 0x9e3779b97f4a7c15ull;
	return sum;
}

static uint64_t sum_of(const struct index_file *f,
		       const struct index_stream *streams, const void *model)
{
	size_t head = sizeof(*f) - offsetof(struct index_file, head);
	uint64_t sum = checksum(0, &f->head, head);

	sum = checksum(sum, streams, f->nr_streams * sizeof(*streams));
	return checksum(sum, model, f->model_bytes);
}

static uint64_t format(void)
{
	return save_format() ^ sizeof(struct index_stream) << 32 ^
	       sizeof(struct index_file);
}

static int open_dir(int dirfd, bool make)
{
	if (make && mkdirat(dirfd, DIR_NAME, 0777) && errno != EEXIST)
		return -1;
	return openat(dirfd, DIR_NAME,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* --- writing */

static int write_all(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_file(int dir, const struct index_file *f,
		      const struct index_stream *streams, const void *model)
{
	char tmp[32], name[32];
	int fd, err;

	snprintf(tmp, sizeof(tmp), "tmp-%d", (int)getpid());
	snprintf(name, sizeof(name), "%020" PRIu64, f->head.ts);
	unlinkat(dir, tmp, 0);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	err = write_all(fd, f, sizeof(*f));
	if (!err)
		err = write_all(fd, streams, f->nr_streams * sizeof(*streams));
	if (!err)
		err = write_all(fd, model, f->model_bytes);
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(dir, tmp, dir, name))
		err = -errno;
	if (err)
		unlinkat(dir, tmp, 0);
	return err;
}

int index_write(int dirfd, const struct trace_reader *t,
		const struct index_head *h, const struct index_stream *streams,
		const struct model *m)
{
	struct index_file f = { .magic = MAGIC,
				.format = format(),
				.head = *h,
				.nr_streams = trace_streams(t) };
	int dir = open_dir(dirfd, true), err;
	uint8_t *model;
	size_t len;

	if (dir < 0)
		return -errno;
	err = model_save(m, &model, &len);
	if (!err) {
		f.model_bytes = len;
		trace_uuid(t, f.uuid);
		f.sum = sum_of(&f, streams, model);
		err = write_file(dir, &f, streams, model);
		free(model);
	}
	close(dir);
	return err;
}

/* --- reading */

struct bytes {
	uint8_t *p; /* NULL: none */
	size_t len;
};

/* read() gives 2 GiB at most. */
static bool read_all(int fd, uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = pread(fd, p + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static struct bytes read_file(int dir, const char *name)
{
	int fd = openat(dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct bytes b = { .p = NULL };
	struct stat st;

	if (fd < 0)
		return b;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0) {
		b.len = (size_t)st.st_size;
		b.p = malloc(b.len);
	}
	if (b.p && !read_all(fd, b.p, b.len)) {
		free(b.p);
		b.p = NULL;
	}
	close(fd);
	return b;
}

/* One for each stream of the trace: one that the file does not know is new. */
static struct index_stream *match_streams(const struct trace_reader *t,
					  const struct index_stream *of,
					  size_t nr)
{
	size_t all = trace_streams(t), j = 0;
	struct index_stream *s = calloc(all + 1, sizeof(*s));

	for (size_t i = 0; s && i < all; i++) {
		s[i].kind = trace_stream(t, i, &s[i].number);
		if (j < nr && of[j].kind == s[i].kind &&
		    of[j].number == s[i].number)
			s[i] = of[j++];
	}
	if (s && j == nr)
		return s;
	free(s); /* a stream is gone */
	return NULL;
}

/* The head, if the bytes are ours, whole, and of this trace; else what they are. */
static const char *check_bytes(const struct trace_reader *t,
			       const struct bytes *in, struct index_file *f)
{
	const struct index_stream *of = (const void *)(in->p + sizeof(*f));
	uint8_t uuid[16];

	if (in->len < sizeof(*f))
		return "damaged";
	memcpy(f, in->p, sizeof(*f));
	trace_uuid(t, uuid);
	if (f->magic != MAGIC)
		return "damaged";
	if (f->format != format())
		return "of another version of vmaheap";
	if (memcmp(f->uuid, uuid, sizeof(uuid)) != 0)
		return "of another trace";
	if (f->nr_streams > (in->len - sizeof(*f)) / sizeof(*of) ||
	    f->model_bytes !=
		    in->len - sizeof(*f) - f->nr_streams * sizeof(*of) ||
	    f->sum != sum_of(f, of, of + f->nr_streams))
		return "damaged";
	return NULL;
}

static struct model *load(const struct trace_reader *t, const struct bytes *in,
			  struct index_head *h, struct index_stream **streams)
{
	const struct index_stream *of;
	struct index_file f;
	struct model *m;
	int err;

	if (check_bytes(t, in, &f))
		return NULL;
	of = (const void *)(in->p + sizeof(f));
	*streams = match_streams(t, of, f.nr_streams);
	if (!*streams)
		return NULL;
	m = model_load((const uint8_t *)(of + f.nr_streams), f.model_bytes,
		       &err);
	if (!m) {
		free(*streams);
		return NULL;
	}
	*h = f.head;
	return m;
}

static struct model *load_name(int dir, const struct trace_reader *t,
			       const char *name, struct index_head *h,
			       struct index_stream **streams)
{
	struct bytes in = read_file(dir, name);
	struct model *m = in.p ? load(t, &in, h, streams) : NULL;

	free(in.p);
	return m;
}

/* The greatest number below `below` that a file has for its name; 0: none. */
static uint64_t last_before(DIR *d, uint64_t below)
{
	uint64_t best = 0, n;
	struct dirent *e;
	char *end;

	rewinddir(d);
	while ((e = readdir(d))) {
		n = strtoull(e->d_name, &end, 10);
		if (end - e->d_name == 20 && !*end && n < below && n > best)
			best = n;
	}
	return best;
}

struct model *index_read(int dirfd, const struct trace_reader *t, uint64_t ts,
			 struct index_head *h, struct index_stream **streams)
{
	int dir = open_dir(dirfd, false);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	uint64_t at = ts == UINT64_MAX ? ts : ts + 1;
	struct model *m = NULL;
	char name[32];

	if (!d) {
		if (dir >= 0)
			close(dir);
		return NULL;
	}
	while (!m && (at = last_before(d, at))) {
		snprintf(name, sizeof(name), "%020" PRIu64, at);
		m = load_name(dir, t, name, h, streams);
	}
	closedir(d);
	return m;
}

/* --- the beginning of a trace */

int index_begin(const uint8_t uuid[16], const struct index_head *h,
		const struct model *m, void **bytes, size_t *len)
{
	struct index_file f = { .magic = MAGIC,
				.format = format(),
				.head = *h };
	uint8_t *model, *all;
	int err = model_save(m, &model, &f.model_bytes);

	if (err)
		return err;
	memcpy(f.uuid, uuid, sizeof(f.uuid));
	f.sum = sum_of(&f, NULL, model);
	all = malloc(sizeof(f) + f.model_bytes);
	if (all) {
		memcpy(all, &f, sizeof(f));
		memcpy(all + sizeof(f), model, f.model_bytes);
	}
	free(model);
	*bytes = all;
	*len = sizeof(f) + f.model_bytes;
	return all ? 0 : -ENOMEM;
}

struct model *index_begun(const struct trace_reader *t, const void *bytes,
			  size_t len, struct index_head *h, char **why)
{
	struct bytes in = { .p = (uint8_t *)bytes, .len = len };
	struct index_file f;
	struct model *m = NULL;
	const char *what = check_bytes(t, &in, &f);
	int err = 0;

	if (!what)
		m = model_load(in.p + sizeof(f), f.model_bytes, &err);
	if (m) {
		*h = f.head;
		return m;
	}
	if (!what)
		what = err == -ENOMEM ? "too large for the memory there is" :
					"damaged";
	if (asprintf(
		    why,
		    "the front of this trace was not kept, and the state that it begins with is %s",
		    what) < 0)
		*why = NULL;
	return NULL;
}
