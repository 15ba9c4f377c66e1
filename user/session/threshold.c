// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "output/threshold.h"
#include "session/rehearsal.h"
#include "session/threshold.h"

/* What is tried; each is what a program could set with mallopt(3), too. */
static const char *const settings[] = {
	"glibc.malloc.mmap_threshold=131072",
	"glibc.malloc.mmap_threshold=4194304",
	"glibc.malloc.mmap_threshold=33554432",
	"glibc.malloc.trim_threshold=1073741824",
	"glibc.malloc.top_pad=1048576",
	"glibc.malloc.top_pad=67108864",
	"glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1073741824",
};
#define NR_SETTINGS (sizeof(settings) / sizeof(settings[0]))

struct scores {
	struct hash by_mm; /* mm -> struct score, owned */
	struct score *last;
	bool no_memory;
};

static struct score *score_of(struct scores *all, uint64_t mm)
{
	struct score *s = all->last;

	if (s && s->mm == mm)
		return s;
	s = hash_get(&all->by_mm, mm, 0);
	if (!s) {
		s = score_new(mm);
		if (!s || hash_put(&all->by_mm, mm, 0, s)) {
			score_free(s);
			return NULL;
		}
	}
	return all->last = s;
}

static void on_event(void *ctx, const struct outcome *out)
{
	struct scores *all = ctx;
	struct score *s;

	if (!out->space ||
	    (out->ev->kind != EV_CALL && out->ev->kind != EV_RANGE))
		return;
	s = score_of(all, out->space->mm);
	if (s)
		score_take(s, out);
	else
		all->no_memory = true;
}

struct scores *scores_take(struct replay *r)
{
	struct scores *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	replay_run(r, on_event, all);
	if (!all->no_memory)
		return all;
	scores_free(all);
	return NULL;
}

static bool drop_score(void *val, void *ctx)
{
	(void)ctx;
	score_free(val);
	return true;
}

void scores_free(struct scores *all)
{
	if (!all)
		return;
	hash_filter(&all->by_mm, drop_score, NULL);
	hash_destroy(&all->by_mm);
	free(all);
}

/* --- can it be told at all? */

static const char *no_threshold(const struct space *s, const struct score *sc)
{
	if (!s->has_calls)
		return "there are no allocator events";
	if (s->allocator.known && strcmp(s->allocator.kind, "glibc"))
		return "its allocator is not the malloc of glibc";
	if (!s->chunks_known_from_start)
		return "it had allocated before the watch began";
	if (!sc || sc->late)
		return "the trace has lost its beginning";
	return NULL;
}

static const char *no_rehearsal(const struct space *s, const struct score *sc)
{
	const char *why = no_threshold(s, sc);

	if (why)
		return why;
	if (!sc || !sc->nr)
		return "it has allocated nothing";
	if (sc->no_memory)
		return "there is no memory for so many calls";
	if (s->calls_lost)
		return "allocator events were lost";
	if (sc->disorder || s->unknown_frees || s->double_allocs)
		return "the order of some calls is not known";
	return NULL;
}

/* --- what was set */

/* The value of a setting in the environment's text; 0: it is not there. */
static uint64_t value_of(const char *env, const char *name)
{
	const char *p = strstr(env, name);

	return p ? strtoull(p + strlen(name), NULL, 0) : 0;
}

/* M_MMAP_THRESHOLD where the environment fixes it (glibc 2.36, do_set_...()); 0: it does not. */
static uint64_t fixed_threshold(const char *env)
{
	static const char *const others[] = {
		"glibc.malloc.trim_threshold=",
		"glibc.malloc.top_pad=",
		"glibc.malloc.mmap_max=",
		"MALLOC_TRIM_THRESHOLD_=",
		"MALLOC_TOP_PAD_=",
		"MALLOC_MMAP_MAX_=",
	};
	uint64_t n = value_of(env, "glibc.malloc.mmap_threshold=");
	size_t i;

	if (!n)
		n = value_of(env, "MALLOC_MMAP_THRESHOLD_=");
	for (i = 0; !n && i < sizeof(others) / sizeof(others[0]); i++)
		n = strstr(env, others[i]) ? THRESHOLD_FIRST : 0;
	return n;
}

/* --- the rehearsal */

/* The environment as it was, with one tunable more. */
static void with_setting(char *to, size_t size, const char *env,
			 const char *setting)
{
	static const char name[] = "GLIBC_TUNABLES=";
	const char *p = strstr(env, name);

	if (!setting)
		snprintf(to, size, "%s", env);
	else if (p)
		snprintf(to, size, "%.*s%s%s:%s", (int)(p - env), env, name,
			 setting, p + strlen(name));
	else
		snprintf(to, size, "%s%s %s", name, setting, env);
}

struct trial {
	struct rehearsal *r;
	struct threshold_view *v;
	struct what_if plays[NR_SETTINGS + 2];
	char *why; /* malloc'ed */
};

static int play(struct trial *t, const char *setting)
{
	struct what_if *w = &t->plays[t->v->nr_plays];
	char env[1024];
	int err;

	with_setting(env, sizeof(env), t->v->s->allocator.settings, setting);
	free(t->why);
	t->why = NULL;
	err = rehearsal_run(t->r, env, &w->n, &t->why);
	if (err)
		return err;
	w->setting = setting;
	t->v->nr_plays++;
	return 0;
}

static void try_settings(struct trial *t, const char *setting)
{
	size_t i;
	int err = setting ? play(t, setting) : 0;

	for (i = 0; i < NR_SETTINGS && !err; i++)
		err = play(t, settings[i]);
	if (err)
		t->v->nr_plays = 1;
}

/* As it was; without the module this also tells which chunks had mappings. */
static int play_first(struct trial *t, const struct score *sc, uint64_t fixed,
		      struct threshold *history)
{
	int err = play(t, NULL);

	if (err) {
		t->v->no_plays = t->why ? t->why : strerror(-err);
		return err;
	}
	if (t->v->t || t->v->no_history || !threshold_exact(t->v))
		return 0;
	err = threshold_history(sc, rehearsal_heard(t->r), fixed, history);
	if (!err)
		t->v->t = history;
	return err;
}

static void rehearse(struct trial *t, const struct score *sc,
		     const char *setting, uint64_t fixed,
		     struct threshold *history)
{
	struct threshold_view *v = t->v;

	v->no_plays = no_rehearsal(v->s, sc);
	if (v->no_plays)
		return;
	t->r = rehearsal_new(sc, &t->why);
	if (!t->r) {
		v->no_plays = t->why ? t->why : "there is no memory";
		return;
	}
	if (!play_first(t, sc, fixed, history) && threshold_exact(v))
		try_settings(t, setting);
}

int threshold_answer(const struct scores *all, const struct output *o,
		     const struct space *s, const char *setting,
		     const struct pt_par *now)
{
	struct score *sc = hash_get(&all->by_mm, s->mm, 0);
	uint64_t fixed = fixed_threshold(s->allocator.settings);
	struct threshold history = { 0 };
	struct threshold_view v = { .o = o,
				    .s = s,
				    .libc = gnu_get_libc_version(),
				    .no_history = no_threshold(s, sc),
				    .now = now };
	struct trial t = { .v = &v };
	int err = 0;

	v.plays = t.plays;
	if (sc)
		score_end(sc);
	if (sc && !v.no_history && sc->mapped) {
		err = threshold_history(sc, NULL, fixed, &history);
		v.t = err ? NULL : &history;
	}
	if (!err)
		rehearse(&t, sc, setting, fixed, &history);
	if (!v.t && !v.no_history)
		v.no_history =
			"without the module it would take a rehearsal that comes out as recorded";
	if (!err)
		err = output_threshold(&v);
	threshold_free(&history);
	rehearsal_free(t.r);
	free(t.why);
	return err;
}
