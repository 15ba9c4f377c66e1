/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events as they came from each thread of a traced program, and what must be
 * true of them whatever the threads did. For the tests of the allocator sources.
 */
#ifndef UNIT_TAPES_H
#define UNIT_TAPES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/event.h"

/* One source's events. */
struct tape {
	void *source; /* NULL once it was closed */
	uint32_t tgid;
	struct event *evs;
	size_t nr, cap;
};

struct tapes {
	struct tape *at;
	size_t nr;
};

static inline void tapes_add(struct tapes *tapes, void *source, uint32_t tgid)
{
	tapes->at = realloc(tapes->at, (tapes->nr + 1) * sizeof(*tapes->at));
	tapes->at[tapes->nr++] =
		(struct tape){ .source = source, .tgid = tgid };
}

static inline struct tape *tapes_find(struct tapes *tapes, const void *source)
{
	size_t i;

	for (i = 0; i < tapes->nr; i++)
		if (tapes->at[i].source == source)
			return &tapes->at[i];
	return NULL;
}

static inline void tape_append(struct tape *t, const struct event *ev)
{
	if (t->nr == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 256;
		t->evs = realloc(t->evs, t->cap * sizeof(*ev));
	}
	t->evs[t->nr++] = *ev;
}

static inline void tapes_free(struct tapes *tapes)
{
	size_t i;

	for (i = 0; i < tapes->nr; i++)
		free(tapes->at[i].evs);
	free(tapes->at);
}

/* Path of a victim; the caller frees it. */
static inline char *victim(const char *name)
{
	const char *dir = getenv("VMAHEAP_VICTIMS");
	char *path;

	if (asprintf(&path, "%s/%s", dir ? dir : "build/tests/victims", name) <
	    0)
		abort();
	return path;
}

/* Until it sleeps in read(0, ...): its constructors have run, and libc is mapped. */
static inline void await_read(pid_t pid)
{
	char path[64], line[64] = "";
	int tries = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	while (strncmp(line, "0 0x0 ", 6)) {
		assert_true(tries++ < 10000);
		usleep(1000);
		f = fopen(path, "re");
		assert_non_null(f);
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
	}
}

/* ---- the truth of a set of tapes ---- */

/*
 * Within one stamp the order of several threads' events is not known, but of
 * every address's events those with ts <= T are a prefix, for any T: a free
 * loads its stamp before the address can go to somebody else, and so on. So at
 * each T every address must be net alive once or not at all.
 */
struct count {
	uint64_t addr;
	int net;
};

struct table {
	struct count *at;
	size_t cap, used, live;
};

struct verdict {
	uint64_t twice, unknown; /* net 2 or more, net below 0 */
	uint64_t backwards; /* stamps */
	uint64_t live; /* at the end */
	uint64_t allocs, frees; /* with a caller in [lo, hi) */
	uint64_t windows;
};

static inline struct count *table_find(const struct table *t, uint64_t addr)
{
	size_t i = (addr * 0x9e3779b97f4a7c15ull) >> 20;

	while (t->at[i & (t->cap - 1)].addr &&
	       t->at[i & (t->cap - 1)].addr != addr)
		i++;
	return &t->at[i & (t->cap - 1)];
}

static inline void table_grow(struct table *t)
{
	struct table old = *t;
	size_t i;

	t->cap = old.cap ? old.cap * 2 : 1024;
	t->at = calloc(t->cap, sizeof(*t->at));
	for (i = 0; i < old.cap; i++)
		if (old.at[i].addr)
			*table_find(t, old.at[i].addr) = old.at[i];
	free(old.at);
}

static inline void table_add(struct table *t, uint64_t addr, int n)
{
	struct count *c;

	if (!addr)
		return;
	if (t->used * 2 >= t->cap)
		table_grow(t);
	c = table_find(t, addr);
	t->used += !c->addr;
	c->addr = addr;
	c->net += n;
	t->live += (size_t)n;
}

static inline bool gives(const struct event *ev)
{
	return ev->call.phase == CALL_FREED ||
	       ev->call.phase == CALL_REALLOC_ENTER;
}

/* An event with its tape, to be sorted. */
struct frame {
	const struct event *ev;
	uint64_t old; /* of a realloc that failed */
};

static inline int older(const void *a, const void *b)
{
	const struct event *x = ((const struct frame *)a)->ev;
	const struct event *y = ((const struct frame *)b)->ev;

	return x->ts < y->ts ? -1 : x->ts > y->ts;
}

static inline size_t gather(struct tapes *tapes, uint32_t tgid,
			    struct frame **frames, struct verdict *v)
{
	size_t i, j, nr = 0, all = 0;

	for (i = 0; i < tapes->nr; i++)
		all += tapes->at[i].nr;
	*frames = calloc(all + 1, sizeof(**frames));
	for (i = 0; i < tapes->nr; i++) {
		struct tape *t = &tapes->at[i];
		uint64_t old = 0;

		for (j = 0; j < t->nr && t->tgid == tgid; j++) {
			v->backwards += j && t->evs[j].ts < t->evs[j - 1].ts;
			if (t->evs[j].kind != EV_CALL)
				continue;
			if (t->evs[j].call.phase == CALL_REALLOC_ENTER)
				old = t->evs[j].call.addr;
			(*frames)[nr++] = (struct frame){ &t->evs[j], old };
		}
	}
	qsort(*frames, nr, sizeof(**frames), older);
	return nr;
}

static inline void apply(struct table *t, const struct frame *f)
{
	const struct event *ev = f->ev;

	if (ev->call.phase == CALL_LEAVE)
		return;
	if (ev->call.phase == CALL_REALLOC_RETURN && !ev->call.addr &&
	    ev->call.size)
		table_add(t, f->old, 1);
	else
		table_add(t, ev->call.addr, gives(ev) ? -1 : 1);
}

/* The addresses of the events that carry one stamp. */
static inline void check_stamp(struct table *t, const struct frame *f,
			       size_t nr, struct verdict *v)
{
	struct count *c;

	for (; nr; nr--, f++) {
		if (!f->ev->call.addr)
			continue;
		c = table_find(t, f->ev->call.addr);
		v->twice += c->net > 1;
		v->unknown += c->net < 0;
		if (c->net < 0 || c->net > 1) {
			t->live += (size_t)((c->net > 1) - c->net);
			c->net = c->net > 1; /* counted once */
		}
	}
}

static inline struct verdict judge(struct tapes *tapes, uint32_t tgid,
				   uint64_t lo, uint64_t hi)
{
	struct verdict v = { 0 };
	struct table t = { 0 };
	struct frame *f;
	size_t i, first = 0, nr = gather(tapes, tgid, &f, &v);

	for (i = 0; i < nr; i++) {
		const struct event *ev = f[i].ev;
		bool ours = ev->call.caller >= lo && ev->call.caller < hi;

		v.windows += ev->call.begin != 0;
		v.allocs += ours && ev->call.phase == CALL_ALLOC;
		v.frees += ours && ev->call.phase == CALL_FREED;
		apply(&t, &f[i]);
		if (i + 1 == nr || f[i + 1].ev->ts != ev->ts) {
			check_stamp(&t, f + first, i + 1 - first, &v);
			first = i + 1;
		}
	}
	v.live = t.live;
	free(t.at);
	free(f);
	return v;
}

static inline const char *op_name(enum call_op op)
{
	static const char *const names[] = {
		"none",		  "malloc",	  "free",     "calloc",
		"realloc",	  "reallocarray", "memalign", "aligned_alloc",
		"posix_memalign", "valloc",	  "pvalloc",
	};

	return names[op];
}

/* What alloc_calls would have printed for the event. */
static inline void put_line(FILE *f, const struct event *ev, uint64_t lo,
			    uint64_t hi)
{
	if (ev->kind != EV_CALL || ev->call.caller < lo ||
	    ev->call.caller >= hi || ev->call.phase == CALL_LEAVE)
		return;
	fprintf(f, "%s %s %#lx %lu %lu\n", op_name(ev->call.op),
		gives(ev) ? "enter" : "return", ev->call.addr, ev->call.size,
		ev->call.align);
}

/*
 * alloc_ops calls from one thread, and nobody else does from its first call on: all
 * of it is what it printed.
 */
static inline void check_ops(const struct tapes *tapes, const char *text)
{
	const struct event *ev = tapes->at[0].evs, *end = ev + tapes->at[0].nr;
	char *told, *at, *first = strndup(text, strcspn(text, "\n"));
	size_t len;
	FILE *f = open_memstream(&told, &len);

	assert_int_equal(tapes->nr, 1);
	for (; ev < end; ev++) {
		if (ev->kind != EV_CALL || ev->call.phase == CALL_LEAVE)
			continue;
		if (!gives(ev))
			fprintf(f, "%s %lu 0x%lx\n", op_name(ev->call.op),
				ev->call.size, ev->call.addr);
		else if (ev->call.addr)
			fprintf(f, "free %#lx\n", ev->call.addr);
	}
	fprintf(f, "%s", strstr(text, "live "));
	fclose(f);
	at = strstr(told, first);
	assert_non_null(at);
	for (len = 0; at[len] && at[len] == text[len];)
		len++;
	while (len && at[len - 1] != '\n')
		len--;
	if (strcmp(at + len, text + len))
		fail_msg("told: %.60s\nmade: %.60s", at + len, text + len);
	free(first);
	free(told);
}

/* Where the victim's own code lies, as it printed it. */
static inline void text_range(const char *out, uint64_t *lo, uint64_t *hi)
{
	const char *text = strstr(out, "text ");

	assert_non_null(text);
	assert_int_equal(sscanf(text, "text %lx %lx", lo, hi), 2);
}

#endif
