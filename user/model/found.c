// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks that nobody told of: malloc's own books name them as in use.
 *
 * When a running process begins to be watched its heap is looked at once, while
 * it stands still, soon after its calls began to be told. What an event tells of
 * an address until then is newer than what was seen there, or as good: a chunk
 * that is alive by the events, one that has died, one whose free found no chunk
 * (remembered here until the look is over). Else the chunk was there before the
 * watch, and is alive.
 *
 * One whose free was under way before calls were told is alive here for good, or
 * until another one is born in its place; that is counted, as `wrong`. And where
 * two threads freed and allocated at one address within a stamp, nothing says whether
 * there was a chunk before all that (life.h): as far as it fits, there was none. The look
 * knows better, if all of that stamp was over when it began; else it is not decided.
 *
 * Without any calls (--alloc=walk) each look says what came and went since the
 * one before.
 */
#include <errno.h>

#include "model/apply.h"

#define GONE_MAX (1u << 20)
#define STAMP_EXACT 1024 /* ns, to which chunk_died() knows */

/* Of a program that is executed under an attach nothing is heard at first. */
bool found_expected(const struct space *s)
{
	return !s->found.at && (s->cause == MM_ATTACH ||
				(s->cause == MM_EXEC && s->calls_lost));
}

/* A free found no chunk at addr. */
void found_gone(struct book *b, uint64_t addr)
{
	struct space *s = &b->s;

	if (!found_expected(s))
		return;
	if (b->gone.nr >= GONE_MAX || hash_put(&b->gone, addr, 0, b))
		s->found.too_many = true;
}

enum decision { NEW, KNOWN, OPEN };

static enum decision decide(const struct book *b, const struct chunk *c)
{
	const struct chunk_table *t = b->s.chunks;
	uint64_t over = b->s.found.before - STAMP_EXACT;

	if (!chunk_overlap(t, c->addr, c->size, NULL) ||
	    hash_get(&b->gone, c->addr, 0))
		return KNOWN;
	if (!chunk_died(t, c->addr, b->s.born, c->ts))
		return NEW;
	if (!chunk_crossed(t, c->addr))
		return KNOWN;
	return over > b->s.born && over < c->ts &&
			       chunk_died(t, c->addr, b->s.born, over) ?
		       NEW :
		       OPEN;
}

static int find_one(struct model *m, struct book *b, struct chunk *c,
		    bool doubtful)
{
	struct life e = { .c = c, .ts = c->ts };
	enum decision is = decide(b, c);
	struct space *s = &b->s;

	if (is == KNOWN)
		return 0;
	if (is == OPEN || doubtful || s->found.too_many) {
		s->found.undecided++;
		return 0;
	}
	s->found.chunks++;
	s->found.bytes += c->size;
	return life_birth(&m->lives, b, &e);
}

static int walk_one(struct space *s, const struct chunk *c, bool gone)
{
	struct chunk other;
	int ret = 0;

	if (gone) {
		ret = chunk_remove(s->chunks, c->addr, NULL);
		return ret == -ENOENT ? 0 : ret;
	}
	while (!ret && !chunk_overlap(s->chunks, c->addr, c->size, &other))
		ret = chunk_remove(s->chunks, other.addr, NULL);
	return ret ? ret : chunk_insert(s->chunks, c);
}

/* The whole heap has been seen, or could not be. */
static void end_look(struct book *b, const struct event *ev)
{
	struct space *s = &b->s;

	s->found.failed = ev->found.flags & FOUND_UNREAD;
	s->found.looks++;
	if (!s->found.failed)
		s->found.at = ev->ts;
	s->found.walked |= ev->found.flags & FOUND_WALK;
	hash_destroy(&b->gone);
}

int apply_found(struct model *m, const struct event *ev, struct outcome *out)
{
	struct book *b = model_book(m, ev->mm);
	uint32_t i;
	int ret = 0;

	if (!b)
		return -EINVAL;
	out->space = &b->s;
	if (ev->found.flags & FOUND_BEGIN) {
		b->s.found.before = m->lives.newest;
		return 0;
	}
	for (i = 0; i < ev->found.nr && !ret; i++) {
		uint64_t size = ev->found.chunks[i].size;
		struct chunk c = { .addr = ev->found.chunks[i].addr,
				   .size = size & ~FOUND_NOT,
				   .ts = ev->ts };

		ret = ev->found.flags & FOUND_WALK ?
			      walk_one(&b->s, &c, size & FOUND_NOT) :
			      find_one(m, b, &c, size & FOUND_NOT);
	}
	if (!(ev->found.flags & FOUND_MORE))
		end_look(b, ev);
	return ret;
}
