// SPDX-License-Identifier: GPL-2.0
/*
 * A whole trace directory out of one input, read as `vmaheap report` and
 * `vmaheap script` read it: metadata, packets, the packed words, notes, and what
 * the model and the views make of such events. The input is a list of chunks:
 *
 *   file:u8 | how:u8 | bytes:u16 | the bytes
 *
 * They are appended to the file as they are, or (`how`) as the body of a packet
 * whose head is sound, or of one whose head is sound but for one field. To the state
 * of a segment they are done as changes to a sound one: offset:u16 | byte, each.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/diff.h"
#include "output/output.h"
#include "output/waste.h"
#include "probe/words.h"
#define read_all index_read_all /* fuzz.h has another */
#include "session/index.c"
#undef read_all
#include "session/replay.h"
#include "trace/format.h"

#include "fuzz.h"
#include "process.h"

#define FILES 13
#define STATE 7 /* the first of those that begin a segment */

static const struct {
	const char *name;
	enum trace_stream_kind kind;
	uint32_t tid;
} files[FILES] = {
	{ "metadata", 0, 0 },
	{ "kernel", TRACE_KERNEL, 0 },
	{ "notes", TRACE_NOTES, 0 },
	{ "alloc-0", TRACE_ALLOC, 1 },
	{ "alloc-1", TRACE_ALLOC, 2 },
	{ "alloc-2", TRACE_ALLOC, 3 },
	{ "tables", TRACE_TABLES, 0 },
	{ ".state.1", 0, 0 },
	{ ".state.2", 0, 0 },
	{ "kernel.1", TRACE_KERNEL, 0 },
	{ "kernel.2", TRACE_KERNEL, 0 },
	{ "alloc-0.2", TRACE_ALLOC, 1 },
	{ "notes.2", TRACE_NOTES, 0 },
};

static const uint8_t uuid[16] = "vmaheap fuzzing";
static char dir[64];
static bool state_changed; /* counters that are loaded need not add up */

struct stream {
	int fd;
	uint64_t seq, ts;
};

static void remove_dir(void)
{
	size_t i;
	char path[96];

	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		unlink(path);
	}
	rmdir(dir);
}

static void make_dir(void)
{
	if (dir[0])
		return;
	/* Files in memory: each input writes some. */
	snprintf(dir, sizeof(dir), "%s/vmaheap-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	MUST(mkdtemp(dir));
	atexit(remove_dir);
}

static void put(struct stream *s, size_t file, const void *p, size_t n)
{
	char path[96];

	if (s->fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[file].name);
		s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			     0600);
		MUST(s->fd >= 0);
	}
	MUST(write(s->fd, p, n) == (ssize_t)n);
}

/* The head of a packet with `n` bytes of body; `how` says what is wrong with it. */
static void put_packet(struct stream *s, size_t file, uint8_t how,
		       const void *body, size_t n)
{
	static const char zeros[8];
	size_t head = head_bytes(files[file].kind);
	struct alloc_head h = {
		.p = { .magic = CTF_MAGIC,
		       .stream_id = files[file].kind,
		       .ts_begin = s->ts,
		       .ts_end = s->ts + 1000,
		       .content_bits = 8 * (head + n),
		       .packet_bits = 8 * round8(head + n),
		       .seq = s->seq++,
		       .discarded = s->seq / 4 },
		.tgid = file == 5 ? 2 : 1,
		.tid = files[file].tid,
	};

	memcpy(h.p.uuid, uuid, sizeof(uuid));
	s->ts += 1000;
	if (how & 0x80)
		((uint8_t *)&h)[how % sizeof(h)] ^= how;
	put(s, file, &h, head);
	put(s, file, body, n);
	put(s, file, zeros, round8(n) - n);
}

static void put_metadata(struct stream *s)
{
	static const struct trace_env env = { .command = "fuzz \"\\\n",
					      .release = "6.1",
					      .alloc = "shim" };
	char *text = metadata_text(uuid, &env);

	MUST(text);
	put(s, 0, text, strlen(text));
	free(text);
}

/* What a process with a VMA and a chunk leads to, as bytes. */
static uint8_t *sound_state(size_t *len)
{
	static const struct vma_desc heap = { .start = 0x10000,
					      .end = 0x20000,
					      .flags = VMA_READ | VMA_WRITE };
	struct model *m = model_new();
	struct index_head h = {
		.ts = 900, .applied = 3, .first = 1, .last = 900
	};
	void *bytes;

	MUST(m);
	apply(m, exec_event(1));
	apply(m, range_event(1, 2, &heap, 1));
	apply(m, malloc_event(1, 900, 0x10010, 100, 0x400000));
	MUST(!index_begin(uuid, &h, m, &bytes, len));
	model_free(m);
	return bytes;
}

/* The sum is made anew, unless it is what is changed last. */
static void put_state(struct stream *s, size_t file, const char *changes,
		      size_t n)
{
	size_t len, at = 0;
	uint8_t *state = sound_state(&len);
	struct index_file f;

	state_changed |= n != 0;

	for (size_t i = 0; i + 3 <= n; i += 3) {
		uint16_t offset;

		memcpy(&offset, changes + i, 2);
		at = offset % len;
		state[at] = (uint8_t)changes[i + 2];
	}
	memcpy(&f, state, sizeof(f));
	if (!f.nr_streams && f.model_bytes == len - sizeof(f) &&
	    at / 8 != offsetof(struct index_file, sum) / 8) {
		f.sum = sum_of(&f, NULL, state + sizeof(f));
		memcpy(state, &f, sizeof(f));
	}
	put(s, file, state, len);
	free(state);
}

static void write_trace(struct input *in)
{
	struct stream streams[FILES];
	static char body[65536];
	char path[96];
	size_t i;

	for (i = 0; i < FILES; i++)
		streams[i] = (struct stream){ .fd = -1, .ts = 1000 };
	while (in->left) {
		size_t file = input_u8(in) % FILES, n;
		uint8_t how = input_u8(in);

		n = input_u16(in);
		n = input_bytes(in, body, n < in->left ? n : in->left);
		if ((file == STATE || file == STATE + 1) && how % 8)
			put_state(&streams[file], file, body, n);
		else if (file && how % 8)
			put_packet(&streams[file], file, how, body, n);
		else
			put(&streams[file], file, body, n);
	}
	if (streams[0].fd < 0)
		put_metadata(&streams[0]);
	for (i = 0; i < FILES; i++) {
		if (streams[i].fd >= 0) {
			close(streams[i].fd);
			continue;
		}
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		unlink(path);
	}
}

static void script(void *ctx, const struct outcome *out)
{
	struct output *o = ctx;

	output_event(o, out);
}

static void show_diff(const struct output *o, const struct space *s)
{
	struct moment *a = moment_take(o, s, "a"), *b = moment_take(o, s, "b");

	MUST(a && b);
	output_diff(o->f, o->json, a, b);
	moment_free(a);
	moment_free(b);
}

static void show(struct replay *r, bool json)
{
	static FILE *null;
	struct output o = { .json = json,
			    .model = replay_model(r),
			    .alloc = replay_env(r)->alloc };
	const char *bad;
	size_t i;

	if (!null)
		null = fopen("/dev/null", "we");
	o.f = null;
	replay_run(r, script, &o);
	o.start = replay_first(r);
	o.now = replay_last(r);
	bad = model_check(o.model);
	MUST(!bad || state_changed);
	output_report(&o, NULL);
	output_stacks(&o, NULL, STACKS_LIVE);
	output_folded(&o, NULL, STACKS_BYTES);
	for (i = 0; i < model_spaces(o.model); i++) {
		const struct space *s = model_space_at(o.model, i);

		output_maps(&o, s);
		output_why(&o, s, 0x10000, NULL);
		output_held_trace(&o, s);
		output_waste(&(struct look_view){ .o = &o, .s = s },
			     WASTE_LIVE);
		show_diff(&o, s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct replay *r;
	uint8_t json;
	char *why;

	make_dir();
	state_changed = false;
	json = input_u8(&in);
	write_trace(&in);
	r = replay_open(dir, &why);
	if (!r) {
		MUST(why);
		free(why);
		return 0;
	}
	show(r, json % 2);
	replay_close(r);
	return 0;
}
