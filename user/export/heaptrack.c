// SPDX-License-Identifier: GPL-2.0
/*
 * heaptrack's interpreted data (https://invent.kde.org/sdk/heaptrack, file version
 * 3; src/analyze/accumulatedtracedata.cpp reads it). Lines of a letter and
 * hexadecimal numbers; what they define is numbered by its order, from 1:
 *
 *   s LENGTH TEXT                       a string
 *   i ADDRESS MODULE (FUNCTION FILE LINE)...   an address; the innermost function first
 *   t ADDRESS PARENT                    a node of the tree of stacks, 0: has no parent
 *   a SIZE NODE                         a kind of allocation (from 0)
 *   + KIND   - KIND                     one is made, one is gone
 *   c MS     R PAGES                    the time; resident pages
 *
 * It is about one process. What it held is gone when it calls exec.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "export/export.h"
#include "export/intern.h"
#include "model/hash.h"
#include "output/text.h"

#define VERSION "v 10400 3" /* of heaptrack, and of the file */
#define PAGE 4096

struct heaptrack {
	const struct export *x;
	FILE *f;
	const struct space *s; /* its address space now */
	uint32_t pid; /* 0: none yet */
	struct intern strings;
	struct hash addresses; /* mm, address -> number */
	struct hash nodes; /* address's number, parent -> number */
	struct hash places; /* mm, a chunk's caller -> node */
	struct hash kinds; /* size, node -> number + 1 */
	uint64_t nr_addresses, nr_nodes, nr_kinds;
	uint64_t ms;
	int err;
};

static void fail(struct heaptrack *h, int err)
{
	if (!h->err)
		h->err = err;
}

static uint64_t string(struct heaptrack *h, const char *text)
{
	const char *fresh;
	uint64_t nr = intern(&h->strings, text, &fresh);

	if (fresh)
		fprintf(h->f, "s %zx %s\n", strlen(fresh), fresh);
	if (!nr)
		fail(h, -ENOMEM);
	return nr;
}

/* The number that the next one gets, or, in *known, the one that it has. */
static bool is_new(struct heaptrack *h, struct hash *set, uint64_t a,
		   uint64_t b, uint64_t next, uint64_t *known)
{
	*known = (uintptr_t)hash_get(set, a, b);
	if (*known)
		return false;
	*known = next;
	if (hash_put(set, a, b, (void *)(uintptr_t)next))
		fail(h, -ENOMEM);
	return true;
}

static const char *file_of(const struct heaptrack *h, const struct space *s,
			   uint64_t addr)
{
	const struct vma *v = vma_map_find(s->vmas, addr);

	return v ? model_vma_name(h->x->o->model, s, v) : "";
}

/* Of a return address; heaptrack, too, takes what is before it. */
static uint64_t address(struct heaptrack *h, const struct space *s,
			uint64_t frame)
{
	const struct output *o = h->x->o;
	uint64_t nr, module, names[34];
	struct symbol sym;
	size_t n = 0, i;
	char buf[512];

	if (!is_new(h, &h->addresses, frame, s->mm, h->nr_addresses + 1, &nr))
		return nr;
	sym = symbols_find(o->symbols, o->model, s, frame - 1);
	module = string(h, file_of(h, s, frame - 1));
	for (i = 0; i < sym.nr_inlined && n < 32; i++)
		names[n++] = string(h, sym.inlined[i]);
	names[n++] = string(h, sym.function ? sym.function :
					      symbols_name(o->symbols, o->model,
							   s, frame - 1, 1, buf,
							   sizeof(buf)));
	h->nr_addresses++;
	fprintf(h->f, "i %" PRIx64 " %" PRIx64, frame - 1, module);
	for (i = 0; i < n; i++)
		fprintf(h->f, " %" PRIx64 " 0 0", names[i]);
	fputc('\n', h->f);
	return nr;
}

/* An address of no code: what is not known has a name alone. */
static uint64_t nowhere(struct heaptrack *h)
{
	uint64_t nr, name = string(h, "[not known]");

	if (!is_new(h, &h->addresses, 0, 0, h->nr_addresses + 1, &nr))
		return nr;
	h->nr_addresses++;
	fprintf(h->f, "i 0 0 %" PRIx64 " 0 0\n", name);
	return nr;
}

static uint64_t node(struct heaptrack *h, uint64_t at, uint64_t parent)
{
	uint64_t nr;

	if (!is_new(h, &h->nodes, at, parent, h->nr_nodes + 1, &nr))
		return nr;
	h->nr_nodes++;
	fprintf(h->f, "t %" PRIx64 " %" PRIx64 "\n", at, parent);
	return nr;
}

static uint64_t node_of(struct heaptrack *h, const struct space *s,
			uint64_t caller)
{
	const struct stack *st = model_stack(h->x->o->model, caller);
	bool stack = caller & CALLER_STACK;
	uint64_t at = 0;

	if (!st || st->truncated)
		at = node(h, nowhere(h), 0);
	if (!st)
		return stack || !caller ? at :
					  node(h, address(h, s, caller), at);
	for (uint32_t i = st->nr; i-- > 0;)
		at = node(h, address(h, s, st->frames[i]), at);
	return at;
}

/* All is numbered as it is met, and what it refers to before it. */
static uint64_t kind_of(struct heaptrack *h, const struct space *s,
			const struct chunk *c)
{
	uint64_t at = (uintptr_t)hash_get(&h->places, c->caller, s->mm), nr;

	if (!at) {
		at = node_of(h, s, c->caller);
		if (hash_put(&h->places, c->caller, s->mm,
			     (void *)(uintptr_t)at))
			fail(h, -ENOMEM);
	}
	if (is_new(h, &h->kinds, c->size, at, h->nr_kinds + 1, &nr)) {
		h->nr_kinds++;
		fprintf(h->f, "a %" PRIx64 " %" PRIx64 "\n", c->size, at);
	}
	return nr - 1;
}

static void advance(struct heaptrack *h, uint64_t ts)
{
	uint64_t start = h->x->o->start;
	uint64_t ms = ts > start ? (ts - start) / 1000000 : 0;

	if (ms <= h->ms)
		return;
	h->ms = ms;
	fprintf(h->f, "c %" PRIx64 "\n", ms);
}

static bool is_ours(const struct heaptrack *h, const struct space *s)
{
	return s && s->owner == h->pid;
}

static void born(void *ctx, const struct space *s, const struct chunk *c)
{
	struct heaptrack *h = ctx;

	if (!is_ours(h, s) || h->err)
		return;
	advance(h, c->ts);
	fprintf(h->f, "+ %" PRIx64 "\n", kind_of(h, s, c));
}

static void died(void *ctx, const struct space *s, const struct chunk *c,
		 uint64_t ts, uint32_t tid)
{
	struct heaptrack *h = ctx;

	(void)tid;
	if (!is_ours(h, s) || h->err)
		return;
	advance(h, ts);
	fprintf(h->f, "- %" PRIx64 "\n", kind_of(h, s, c));
}

/* What was there before: all of it goes (exec), or was there already (fork). */
static void all(struct heaptrack *h, const struct space *s, uint64_t ts,
		bool gone)
{
	struct chunk c;
	uint64_t at = 0;

	for (; !h->err && !chunk_next(s->chunks, at, UINT64_MAX, &c);
	     at = c.addr + 1) {
		advance(h, ts);
		fprintf(h->f, "%c %" PRIx64 "\n", gone ? '-' : '+',
			kind_of(h, s, &c));
	}
}

/* Without -p it is the process that was watched first. */
static void on_mm(struct heaptrack *h, const struct outcome *out)
{
	if (!h->pid)
		h->pid = out->space->owner;
	if (!is_ours(h, out->space) || out->space == h->s)
		return;
	if (h->s)
		all(h, h->s, out->ev->ts, true);
	all(h, out->space, out->ev->ts, false);
	h->s = out->space;
}

static void on_resident(struct heaptrack *h, const struct outcome *out)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < out->ev->resident.nr_vmas; i++)
		bytes += out->ev->resident.vmas[i].resident;
	advance(h, out->ev->ts);
	fprintf(h->f, "R %" PRIx64 "\n", bytes / PAGE);
}

static void tell(void *ctx, const struct outcome *out)
{
	struct heaptrack *h = ctx;

	if (!out->space || h->err)
		return;
	if (out->ev->kind == EV_MM)
		on_mm(h, out);
	else if (out->ev->kind == EV_RESIDENT && is_ours(h, out->space))
		on_resident(h, out);
}

static void put_head(const struct heaptrack *h)
{
	fputs(VERSION "\nX ", h->f);
	put_name(h->f, h->x->command ? h->x->command : "?");
	fprintf(h->f, "\nI %x 0\n", PAGE);
}

int export_heaptrack(const struct export *x)
{
	struct heaptrack h = { .x = x, .f = x->o->f, .pid = x->pid };
	const struct model_watch watch = { born, died, &h };

	put_head(&h);
	x->replay(x->replay_ctx, &watch, tell, &h);
	intern_free(&h.strings);
	hash_destroy(&h.addresses);
	hash_destroy(&h.nodes);
	hash_destroy(&h.places);
	hash_destroy(&h.kinds);
	return h.err ? h.err : !h.nr_kinds ? -ENODATA : output_status(h.f);
}
