// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "intake/page.h"
#include "output/held.h"
#include "output/threshold.h"
#include "session/ask.h"
#include "session/client.h"
#include "session/limits.h"
#include "session/look.h"
#include "session/session.h"

/* What its own book-keeping says now; how it came to be, only a watch could tell. */
static int answer_threshold(const struct look_view *v)
{
	return output_threshold(&(struct threshold_view){
		.o = v->o,
		.s = v->s,
		.no_history = "nobody watches it",
		.no_plays = "its calls were not recorded",
		.now = v->book->par.addr ? &v->book->par : NULL });
}

static const struct {
	const char *name;
	int (*answer)(const struct look_view *v);
	bool opaque; /* makes sense with another allocator, too */
} questions[] = {
	{ "held", output_held, false },
	{ "arena", output_arenas, false },
	{ "rss", output_rss, true },
	{ "threshold", answer_threshold, false },
	{ "enomem", NULL, true }, /* needs no look at the heap */
};
#define NR_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static size_t question(const char *what)
{
	size_t i;

	for (i = 0; i < NR_QUESTIONS; i++)
		if (!strcmp(what, questions[i].name))
			break;
	return i;
}

bool ask_is_known(const char *what)
{
	return question(what) < NR_QUESTIONS;
}

/* 0 or -errno, told on `err`; `opaque`: another allocator than glibc's will do. */
static int open_view(struct look *l, struct look_view *v,
		     const struct output *o, const struct space *s, bool opaque,
		     FILE *err)
{
	const char *why;
	int ret;

	if (s->died) {
		fprintf(err,
			"vmaheap: process %u has ended: its heap cannot be read any more\n",
			s->owner);
		return -ESRCH;
	}
	ret = look_open(l, s->owner, LOOK_TRY_STOP, LOOK_SYMBOLS | LOOK_RSS,
			&why);
	if (ret && !(l->opaque && opaque)) {
		fprintf(err, "vmaheap: process %u: %s\n", s->owner,
			why ? why : strerror(-ret));
		look_close(l);
		return ret;
	}
	memory_forget(l->memory);
	*v = (struct look_view){ .o = o,
				 .s = s,
				 .book = &l->book,
				 .opaque = l->opaque,
				 .stopped = l->stopped,
				 .at = l->at,
				 .nr_at = l->nr_at,
				 .incomplete = why,
				 .rss = l->rss,
				 .page_tables = l->page_tables,
				 .resident = memory_resident,
				 .page = memory_page,
				 .ctx = l->memory };
	return 0;
}

static int ask_enomem(const struct output *o, const struct space *s)
{
	struct enomem_limits l;

	return output_enomem(
		o, s, !s->died && !limits_read(s->owner, &l) ? &l : NULL);
}

int ask_look(const char *what, const struct output *o, const struct space *s,
	     FILE *err)
{
	size_t q = question(what);
	struct look_view v;
	struct look l;
	int ret;

	if (q == NR_QUESTIONS || !s)
		return -EINVAL;
	if (!questions[q].answer)
		return ask_enomem(o, s);
	ret = open_view(&l, &v, o, s, questions[q].opaque, err);
	if (ret)
		return ret;
	v.khugepaged = look_khugepaged(s->owner);
	ret = questions[q].answer(&v);
	look_close(&l);
	return ret;
}

int ask_waste(const struct output *o, const struct space *s,
	      enum waste_order by, bool folded, FILE *err)
{
	struct look_view v;
	struct look l;
	int ret = s ? open_view(&l, &v, o, s, true, err) : -EINVAL;

	if (ret)
		return ret;
	if (v.opaque)
		v.book = NULL;
	ret = (folded ? output_waste_folded : output_waste)(&v, by);
	if (ret == -ENODATA)
		fprintf(err, "vmaheap: %s\n", WASTE_UNKNOWN);
	look_close(&l);
	return ret;
}

/* What cannot be looked at is not known: the format leaves it out. */
int ask_export(const struct export_format *format, struct export *x)
{
	FILE *err = format->waste ? fopen("/dev/null", "we") : NULL;
	struct look_view v;
	struct waste w = { 0 };
	struct look l;
	int ret = -ENODATA;

	if (err && !open_view(&l, &v, x->o, x->only, true, err)) {
		if (v.opaque)
			v.book = NULL;
		ret = waste_count(&v, &w);
		look_close(&l);
	}
	if (err)
		fclose(err);
	if (!ret)
		x->waste = &w;
	ret = format->state(x);
	x->waste = NULL;
	waste_free(&w);
	return ret;
}

/* Could malloc's memory lie there? Only then is it worth a stop of the process. */
static bool may_be_malloced(const struct vma *v)
{
	return v->d.flags & VMA_WRITE &&
	       !(v->d.flags & (VMA_SHARED | VMA_FILE));
}

int ask_why(const struct output *o, const struct space *s, uint64_t addr,
	    bool trusted)
{
	const struct vma *v = s && !s->died ? vma_map_find(s->vmas, addr) :
					      NULL;
	struct why_look w = { NULL };
	struct page_look page;
	struct look l = { 0 };
	const char *why;
	int ret;

	if (v && !page_look(s->owner, &v->d, addr, trusted, &page))
		w.page = &page;
	if (v && may_be_malloced(v) && chunk_find(s->chunks, addr, NULL) &&
	    !look_open(&l, s->owner, LOOK_TRY_STOP, LOOK_SYMBOLS, &why))
		w.book = &l.book;
	ret = output_why(o, s, addr, &w);
	look_close(&l);
	return ret;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int ask_stranger(const char *what, uint64_t addr, uint32_t pid, bool json)
{
	struct session_opts so = { .pid = pid,
				   .no_module = true,
				   .trace_dir = -1 };
	struct output o = { .f = stdout, .json = json, .alloc = "none" };
	const struct space *space;
	char *why = NULL;
	struct session *s = session_start(&so, &why);
	int err;

	if (!s) {
		fprintf(stderr, "vmaheap: %s\n", why ? why : strerror(errno));
		free(why);
		return STATUS_FAILED;
	}
	o.symbols = symbols_new(NULL);
	err = session_refresh(s, pid);
	o.model = session_model(s);
	o.start = session_began(s);
	o.now = now_ns();
	space = model_process(o.model, pid);
	if (!space || !vma_map_count(space->vmas))
		err = -ESRCH;
	if (err == -ESRCH)
		fprintf(stderr,
			"vmaheap: process %u has no memory: it has ended, or is a kernel thread\n",
			pid);
	else if (err)
		fprintf(stderr, "vmaheap: process %u: %s\n", pid,
			strerror(-err));
	else if (what)
		err = ask_look(what, &o, space, stderr);
	else
		err = ask_why(&o, space, addr, true);
	symbols_free(o.symbols);
	session_stop(s);
	return err ? STATUS_FAILED : 0;
}
