// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/records.h"
#include "intake/words.h"
#include "session/index.h"
#include "session/replay.h"

/*
 * From one checkpoint to the next: so that what lies between two is replayed in
 * well under a second, and all of them are smaller than the trace.
 */
#define CHECKPOINT_EVENTS (16u << 20)
#define CHECKPOINT_PER_CHUNK 16 /* events for each live chunk that it holds */

/* One stream of the trace as a source. */
struct stream {
	struct replay *r;
	size_t index;
	struct trace_block block;
	size_t at; /* bytes of the block that are decoded */
	struct trace_place place; /* of the block */
	bool ended;
	struct words_state words;
	struct event ev;
	bool have; /* `ev` is the next event */
};

struct replay {
	struct trace_reader *trace;
	struct model *model;
	struct order *order;
	struct stream *streams;
	int dirfd;
	uint64_t nonsense; /* bytes */
	uint64_t first; /* ts of the trace's first event */
	void (*show)(double done); /* may be NULL */
	uint64_t bytes; /* of all streams */
	struct index_head begin; /* ts 0: with the first event */
};

static int decode_resident(const struct trace_resident *n, struct event *ev)
{
	if (n->rec.size < sizeof(*n) ||
	    (n->rec.size - sizeof(*n)) / sizeof(n->vmas[0]) < n->nr_vmas)
		return -EINVAL;
	ev->kind = EV_RESIDENT;
	ev->resident.vmas = (const struct vma_resident *)n->vmas;
	ev->resident.nr_vmas = n->nr_vmas;
	return 0;
}

static int decode_verify(const struct trace_verify *n, struct event *ev)
{
	if (n->rec.size < sizeof(*n))
		return -EINVAL;
	ev->kind = EV_VERIFY;
	ev->verify.vmas = n->vmas;
	ev->verify.mismatches = n->mismatches;
	return 0;
}

static int decode_stack(const struct trace_stack *t, struct event *ev)
{
	if (t->rec.size < sizeof(*t) ||
	    (t->rec.size - sizeof(*t)) / sizeof(t->frames[0]) < t->nr_frames)
		return -EINVAL;
	ev->kind = EV_STACK;
	ev->stack.id = t->id;
	ev->stack.nr = t->nr_frames;
	ev->stack.truncated = t->truncated;
	ev->stack.frames = (const uint64_t *)t->frames;
	return 0;
}

static int decode_build_id(const struct trace_build_id *t, struct event *ev)
{
	if (t->rec.size < sizeof(*t) || t->rec.size - sizeof(*t) < t->len)
		return -EINVAL;
	ev->kind = EV_BUILD_ID;
	ev->build_id.ino = t->ino;
	ev->build_id.dev = t->dev;
	ev->build_id.len = t->len;
	ev->build_id.bytes = t->bytes;
	return 0;
}

static int decode_allocator(const struct trace_allocator *n, struct event *ev)
{
	if (n->rec.size < sizeof(*n) || !memchr(n->kind, 0, sizeof(n->kind)) ||
	    !memchr(n->file, 0, sizeof(n->file)) ||
	    !memchr(n->settings, 0, sizeof(n->settings)))
		return -EINVAL;
	ev->kind = EV_ALLOCATOR;
	ev->allocator.kind = n->kind;
	ev->allocator.file = n->file;
	ev->allocator.settings = n->settings_known ? n->settings : NULL;
	ev->allocator.is_static = n->is_static;
	return 0;
}

_Static_assert(sizeof(struct trace_found_chunk) == sizeof(struct found_chunk),
	       "one layout");

static int decode_found(const struct trace_found *n, struct event *ev)
{
	if (n->rec.size < sizeof(*n) ||
	    (n->rec.size - sizeof(*n)) / sizeof(n->chunks[0]) < n->nr_chunks)
		return -EINVAL;
	ev->kind = EV_FOUND;
	ev->found.chunks = (const struct found_chunk *)n->chunks;
	ev->found.nr = n->nr_chunks;
	ev->found.flags = n->flags;
	return 0;
}

/* A note has the header of a record and a type that the module does not use. */
static long decode_note(const void *p, size_t bytes, struct event *ev)
{
	const struct vmaheap_record *rec = p;
	long size = record_decode(p, bytes, ev);
	int err = 0;

	if (size < 0)
		return size;
	if (rec->type == TRACE_NOTE_RESIDENT)
		err = decode_resident(p, ev);
	else if (rec->type == TRACE_NOTE_VERIFY)
		err = decode_verify(p, ev);
	else if (rec->type == TRACE_NOTE_ALLOCATOR)
		err = decode_allocator(p, ev);
	else if (rec->type == TRACE_NOTE_FOUND)
		err = decode_found(p, ev);
	else if (rec->type == TRACE_TABLE_STACK)
		err = decode_stack(p, ev);
	else if (rec->type == TRACE_TABLE_BUILD_ID)
		err = decode_build_id(p, ev);
	return err ? err : size;
}

static long decode_words(struct stream *s, const char *p, size_t bytes)
{
	int n = words_decode(&s->words, (const uint64_t *)p, bytes / 8, &s->ev);

	return n > 0 ? (long)n * 8 : -EINVAL;
}

static long decode(struct stream *s)
{
	const char *p = (const char *)s->block.data + s->at;
	size_t bytes = s->block.bytes - s->at;

	if (s->block.kind == TRACE_ALLOC)
		return decode_words(s, p, bytes);
	if (s->block.kind == TRACE_NOTES || s->block.kind == TRACE_TABLES)
		return decode_note(p, bytes, &s->ev);
	return record_decode(p, bytes, &s->ev);
}

static void show_place(struct replay *r)
{
	uint64_t done = 0;
	size_t i;

	for (i = 0; i < trace_streams(r->trace); i++)
		done += trace_tell(r->trace, i).offset;
	r->show(r->bytes ? (double)done / (double)r->bytes : 0);
}

/* The next packet; events lost before it become one event. */
static void next_block(struct stream *s)
{
	s->place = trace_tell(s->r->trace, s->index);
	if (trace_next(s->r->trace, s->index, &s->block) != 1) {
		s->ended = true;
		return;
	}
	if (s->r->show)
		show_place(s->r);
	s->at = 0;
	if (s->block.kind != TRACE_ALLOC)
		return;
	s->words = (struct words_state){ .tgid = s->block.tgid,
					 .tid = s->block.tid,
					 .ts = s->block.ts,
					 .alloc_caller = s->block.alloc_caller,
					 .free_caller = s->block.free_caller };
	if (!s->block.lost)
		return;
	s->ev = (struct event){ .kind = EV_CALLS_LOST,
				.tgid = s->block.tgid,
				.tid = s->block.tid,
				.ts = s->block.ts,
				.calls_lost = { s->block.lost } };
	s->have = true;
}

static void next_event(struct stream *s)
{
	long size = decode(s);

	if (size <= 0) {
		s->r->nonsense += s->block.bytes - s->at;
		s->at = s->block.bytes;
		return;
	}
	s->at += (size_t)size;
	s->have = s->ev.kind;
}

static const struct event *stream_peek(void *ctx, bool *sure)
{
	struct stream *s = ctx;

	*sure = true;
	while (!s->have && !s->ended) {
		if (s->at == s->block.bytes)
			next_block(s);
		else
			next_event(s);
	}
	return s->have ? &s->ev : NULL;
}

static void stream_pop(void *ctx)
{
	((struct stream *)ctx)->have = false;
}

/* As queue_take(): the event that was shown, and the calls behind it. */
static size_t stream_take(void *ctx, struct call_brief *calls, size_t max)
{
	struct stream *s = ctx;
	size_t words, n;

	if (!max || !s->have || !words_brief(&s->ev, &calls[0]))
		return 0;
	s->have = false;
	n = words_take(&s->words,
		       (const uint64_t *)((const char *)s->block.data + s->at),
		       (s->block.bytes - s->at) / 8, calls + 1, max - 1,
		       &words);
	s->at += words * 8;
	return n + 1;
}

static const struct source_ops stream_ops = { stream_peek, stream_pop,
					      stream_take };

/* What the other streams refer to has to be known before. */
static void read_table(struct stream *s)
{
	bool sure;

	while (stream_peek(s, &sure)) {
		model_apply(s->r->model, &s->ev, NULL);
		stream_pop(s);
	}
}

/* What the model has already. */
static void skip_old(struct stream *s, uint64_t ts)
{
	const struct event *ev;
	bool sure;

	while ((ev = stream_peek(s, &sure)) && ev->ts < ts)
		stream_pop(s);
}

/* The kernel's stream goes first among equal times, so look what each one is. */
static int add_streams(struct replay *r)
{
	size_t nr = trace_streams(r->trace), i;
	struct stream *s;

	r->streams = calloc(nr + 1, sizeof(*r->streams));
	if (!r->streams)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		s = &r->streams[i];
		*s = (struct stream){ .r = r, .index = i };
		next_block(s);
		if (!s->ended && s->block.kind == TRACE_TABLES) {
			read_table(s);
			continue;
		}
		if (!order_add(r->order, &stream_ops, s,
			       !s->ended && s->block.kind == TRACE_KERNEL))
			return -ENOMEM;
	}
	return 0;
}

static struct trace_reader *open_trace(struct replay *r, const char *dir,
				       char **why)
{
	r->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dirfd >= 0)
		return trace_open(r->dirfd, why);
	*why = strdup(strerror(errno));
	return NULL;
}

static uint64_t first_event(const struct replay *r)
{
	uint64_t first = UINT64_MAX;
	const struct event *ev;
	bool sure;

	for (size_t i = 0; i < trace_streams(r->trace); i++) {
		ev = stream_peek(&r->streams[i], &sure);
		if (ev && ev->ts < first)
			first = ev->ts;
	}
	return first == UINT64_MAX ? 0 : first;
}

/* The state that the trace begins with becomes the model. 0, or -1 and *why. */
static int begin_model(struct replay *r, char **why)
{
	size_t len;
	int err;
	void *bytes = trace_begin(r->trace, &len, &err);

	if (err && asprintf(why, "the state that this trace begins with: %s",
			    strerror(-err)) < 0)
		*why = NULL;
	if (err)
		return -1;
	r->model = bytes ? index_begun(r->trace, bytes, len, &r->begin, why) :
			   model_new();
	free(bytes);
	return r->model ? 0 : -1;
}

struct replay *replay_open(const char *dir, char **why)
{
	struct replay *r = calloc(1, sizeof(*r));

	*why = NULL;
	if (!r)
		return NULL;
	r->dirfd = -1;
	r->trace = open_trace(r, dir, why);
	if (r->trace && !begin_model(r, why))
		r->order = order_new(r->model);
	if (r->order && !add_streams(r)) {
		order_resume(r->order, r->begin.applied, r->begin.first,
			     r->begin.last);
		r->first = r->begin.ts ? r->begin.first : first_event(r);
		return r;
	}
	replay_close(r);
	return NULL;
}

void replay_close(struct replay *r)
{
	if (r->order)
		order_free(r->order);
	if (r->model)
		model_free(r->model);
	if (r->trace)
		trace_reader_free(r->trace);
	if (r->dirfd >= 0)
		close(r->dirfd);
	free(r->streams);
	free(r);
}

/* --- checkpoints */

/* Where the stream goes on: at the block with its next event. */
static struct index_stream where(const struct replay *r, const struct stream *s)
{
	struct index_stream x = { .ended = s->ended };

	x.kind = trace_stream(r->trace, s->index, &x.number);
	if (s->have || s->at < s->block.bytes)
		x.place = s->place;
	else
		x.place = trace_tell(r->trace, s->index);
	return x;
}

/* In how many events the next one is due. */
static uint64_t next_checkpoint(const struct model *m)
{
	uint64_t chunks = 0;

	for (size_t i = 0; i < model_spaces(m); i++)
		chunks += chunk_total(model_space_at(m, i)->chunks).chunks;
	chunks *= CHECKPOINT_PER_CHUNK;
	return chunks > CHECKPOINT_EVENTS ? chunks : CHECKPOINT_EVENTS;
}

/* All events before ts have been applied. A trace that we may not write in has none. */
static uint64_t checkpoint(void *ctx, uint64_t ts)
{
	struct replay *r = ctx;
	struct order_totals t = order_totals(r->order);
	struct index_head h = { .ts = ts,
				.applied = t.applied,
				.first = t.first,
				.last = t.last,
				.nonsense = replay_damage(r) };
	size_t nr = trace_streams(r->trace), i;
	struct index_stream *streams = calloc(nr + 1, sizeof(*streams));
	int err = streams ? 0 : -ENOMEM;

	for (i = 0; streams && i < nr; i++)
		streams[i] = where(r, &r->streams[i]);
	if (!err)
		err = index_write(r->dirfd, r->trace, &h, streams, r->model);
	free(streams);
	if (err == -EBUSY)
		return t.applied; /* at the next ts, then */
	return err ? UINT64_MAX : t.applied + next_checkpoint(r->model);
}

/* The stream goes on at its first event of ts or later. */
static void resume_stream(struct stream *s, const struct index_stream *x,
			  uint64_t ts)
{
	s->have = false;
	s->at = s->block.bytes = 0;
	s->ended = x->ended;
	trace_seek(s->r->trace, s->index, &x->place);
	skip_old(s, ts);
}

static int resume(struct replay *r, struct model *m, const struct index_head *h,
		  const struct index_stream *streams)
{
	struct order *o = order_new(m);

	if (!o)
		return -ENOMEM;
	order_free(r->order);
	model_free(r->model);
	r->model = m;
	r->order = o;
	order_resume(o, h->applied, h->first, h->last);
	r->nonsense = h->nonsense;
	for (size_t i = 0; i < trace_streams(r->trace); i++) {
		struct stream *s = &r->streams[i];

		resume_stream(s, &streams[i], h->ts);
		if (!order_add(o, &stream_ops, s,
			       streams[i].kind == TRACE_KERNEL))
			return -ENOMEM;
	}
	return 0;
}

int replay_until(struct replay *r, uint64_t ts)
{
	struct index_stream *streams;
	struct index_head h;
	struct model *m = index_read(r->dirfd, r->trace, ts, &h, &streams);
	uint64_t from = r->begin.applied;
	int err = 0;

	if (m &&
	    h.ts < r->begin.ts) { /* what follows it is not there any more */
		model_free(m);
		free(streams);
		m = NULL;
	}
	if (m) {
		err = resume(r, m, &h, streams);
		free(streams);
		from = h.applied;
	}
	if (err)
		return err;
	order_on_advance(r->order, from + CHECKPOINT_EVENTS, checkpoint, r);
	order_run(r->order, ts, true, NULL, NULL);
	order_on_advance(r->order, UINT64_MAX, NULL, NULL);
	return 0;
}

void replay_on_packet(struct replay *r, void (*show)(double done))
{
	r->show = show;
	r->bytes = trace_bytes(r->trace);
}

void replay_run(struct replay *r,
		void (*told)(void *ctx, const struct outcome *out), void *ctx)
{
	order_run(r->order, UINT64_MAX, true, told, ctx);
}

void replay_watch(struct replay *r, uint64_t ts,
		  void (*told)(void *ctx, const struct outcome *out),
		  uint64_t (*advance)(void *ctx, uint64_t ts), void *ctx)
{
	order_on_advance(r->order, 0, advance, ctx);
	order_run_quick(r->order, ts, true, told, ctx);
	order_on_advance(r->order, UINT64_MAX, NULL, NULL);
}

void replay_listen(struct replay *r, const struct model_watch *w)
{
	model_watch(r->model, w);
}

const struct model *replay_model(const struct replay *r)
{
	return r->model;
}

const struct trace_env *replay_env(const struct replay *r)
{
	return trace_env(r->trace);
}

struct order_totals replay_order(const struct replay *r)
{
	return order_totals(r->order);
}

uint64_t replay_damage(const struct replay *r)
{
	return r->nonsense + trace_damage(r->trace);
}

uint64_t replay_first(const struct replay *r)
{
	return r->first;
}

uint64_t replay_begins(const struct replay *r)
{
	return r->begin.ts;
}

uint64_t replay_last(const struct replay *r)
{
	return order_totals(r->order).last;
}
