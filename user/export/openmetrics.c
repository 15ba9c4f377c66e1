// SPDX-License-Identifier: GPL-2.0
/*
 *   # TYPE vmaheap_live_bytes gauge
 *   # UNIT vmaheap_live_bytes bytes
 *   # HELP vmaheap_live_bytes Bytes of live chunks.
 *   vmaheap_live_bytes{pid="12",comm="python3",arena="main"} 1853504
 *
 * What is not known of a process has no line. Counters of processes are left out
 * of "other": with those who are in it they would go up and down.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "export/export.h"
#include "export/intern.h"
#include "export/openmetrics.h"
#include "output/text.h"
#include "output/view.h"

/* The brk heap; arenas by their addresses; the rest of them; what is mapped alone. */
enum {
	MAIN,
	FIRST,
	MORE = FIRST + OPENMETRICS_ARENAS,
	MAPPED,
	POOL,
	ARENAS,
};

/* Sums, and whether they are known: of all that is in them. */
enum gauge { SIZE, LIVE, CHUNKS, RESIDENT, HELD, GAUGES };
enum total { VMAS, MAPPED_BYTES, RESIDENT_BYTES, SAMPLED_AGO, TOTALS };
enum counter {
	ALLOCATIONS,
	ASKED,
	FREES,
	TO_KERNEL,
	KERNEL_EVENTS,
	KERNEL_MAPPED,
	KERNEL_UNMAPPED,
	LOST,
	COUNTERS,
};

struct value {
	uint64_t n;
	bool known;
};

struct process {
	const struct space *s; /* NULL: the others */
	struct value arenas[ARENAS][GAUGES];
	struct value totals[TOTALS];
	struct value counters[COUNTERS];
};

struct metric {
	const char *name, *unit, *help; /* unit "": none */
};

static const struct metric gauges[GAUGES] = {
	[SIZE] = { "vmaheap_arena_size_bytes", "bytes",
		   "Bytes that the allocator has from the kernel." },
	[LIVE] = { "vmaheap_live_bytes", "bytes", "Bytes of live chunks." },
	[CHUNKS] = { "vmaheap_live_chunks", "", "Live chunks." },
	[RESIDENT] = { "vmaheap_arena_resident_bytes", "bytes",
		       "Resident bytes of the allocator's memory." },
	[HELD] = { "vmaheap_held_bytes", "bytes",
		   "Resident bytes of the allocator's memory under no live chunk." },
};

static const struct metric totals[TOTALS] = {
	[VMAS] = { "vmaheap_process_vmas", "", "VMAs of the process." },
	[MAPPED_BYTES] = { "vmaheap_process_mapped_bytes", "bytes",
			   "Size of all VMAs." },
	[RESIDENT_BYTES] = { "vmaheap_process_resident_bytes", "bytes",
			     "Resident bytes of all VMAs." },
	[SAMPLED_AGO] = { "vmaheap_process_sample_age_seconds", "seconds",
			  "Since residency was sampled." },
};

static const struct metric counters[COUNTERS] = {
	[ALLOCATIONS] = { "vmaheap_allocations", "",
			  "Allocator calls that gave memory." },
	[ASKED] = { "vmaheap_allocated_bytes", "bytes",
		    "Bytes that they asked for." },
	[FREES] = { "vmaheap_frees", "", "Calls of free." },
	[TO_KERNEL] = { "vmaheap_allocator_calls_to_kernel", "",
			"Allocator calls that went to the kernel." },
	[KERNEL_EVENTS] = { "vmaheap_vma_events", "",
			    "Changes of VMAs by the kernel." },
	[KERNEL_MAPPED] = { "vmaheap_vma_mapped_bytes", "bytes",
			    "Bytes that they mapped." },
	[KERNEL_UNMAPPED] = { "vmaheap_vma_unmapped_bytes", "bytes",
			      "Bytes that they unmapped." },
	[LOST] = { "vmaheap_lost_events", "",
		   "Allocator events that were lost." },
};

/* --- what a process has */

static void add(struct value *v, uint64_t n)
{
	v->n += n;
	v->known = true;
}

/* The arenas of threads are numbered as they come, by address. */
static unsigned int arena_of(enum view_kind kind, unsigned int *next)
{
	switch (kind) {
	case VIEW_HEAP:
		return MAIN;
	case VIEW_ARENA:
		return *next < MORE ? (*next)++ : MORE;
	case VIEW_POOL:
		return POOL;
	default:
		return MAPPED;
	}
}

static void add_arena(struct value a[GAUGES], const struct view *w)
{
	add(&a[SIZE], w->v->d.end - w->v->d.start);
	if (w->live_known) {
		add(&a[LIVE], w->live.bytes);
		add(&a[CHUNKS], w->live.chunks);
	}
	if (w->res)
		add(&a[RESIDENT], w->res->resident);
	if (w->res && w->live_known)
		add(&a[HELD], view_held(w));
}

static void add_vmas(struct process *p)
{
	const struct space *s = p->s;
	unsigned int next = FIRST;

	for (size_t i = 0; i < vma_map_count(s->vmas); i++) {
		struct view w = view_of(s, i);

		add(&p->totals[VMAS], 1);
		add(&p->totals[MAPPED_BYTES], w.v->d.end - w.v->d.start);
		if (w.res)
			add(&p->totals[RESIDENT_BYTES], w.res->resident);
		if (view_is_allocators(w.kind) && w.kind != VIEW_RESERVE)
			add_arena(p->arenas[arena_of(w.kind, &next)], &w);
	}
}

static void count_calls(struct process *p)
{
	const struct space *s = p->s;

	if (!s->has_calls)
		return;
	for (enum call_op op = CALL_NONE; op < CALL_OP_MAX; op++) {
		const struct op_tally *t = &s->ops[op];

		if (op == CALL_FREE)
			add(&p->counters[FREES], t->calls);
		else
			add(&p->counters[ALLOCATIONS], t->calls - t->failed);
		if (op != CALL_FREE)
			add(&p->counters[ASKED], t->bytes);
		if (!s->vmas_sampled)
			add(&p->counters[TO_KERNEL], t->to_kernel);
	}
	add(&p->counters[LOST], s->calls_lost);
}

static void count_kernel(struct process *p)
{
	const struct space *s = p->s;

	if (s->vmas_sampled)
		return;
	add(&p->counters[KERNEL_EVENTS], 0);
	add(&p->counters[KERNEL_MAPPED], 0);
	add(&p->counters[KERNEL_UNMAPPED], 0);
	for (size_t i = 0; i < s->nr_syscalls; i++) {
		add(&p->counters[KERNEL_EVENTS], s->syscalls[i].calls);
		add(&p->counters[KERNEL_MAPPED], s->syscalls[i].mapped);
		add(&p->counters[KERNEL_UNMAPPED], s->syscalls[i].unmapped);
	}
}

static struct process make(const struct space *s, uint64_t now)
{
	struct process p = { .s = s };

	add_vmas(&p);
	count_calls(&p);
	count_kernel(&p);
	if (s->sampled_at && now > s->sampled_at)
		add(&p.totals[SAMPLED_AGO], (now - s->sampled_at) / 1000000000);
	return p;
}

/* Its gauges become part of the others'; how old its sample is does not add up. */
static void fold(struct process *others, const struct process *p)
{
	for (int a = 0; a < ARENAS; a++)
		for (int g = 0; g < GAUGES; g++)
			if (p->arenas[a][g].known)
				add(&others->arenas[a][g], p->arenas[a][g].n);
	for (int t = 0; t < TOTALS; t++)
		if (t != SAMPLED_AGO && p->totals[t].known)
			add(&others->totals[t], p->totals[t].n);
}

/* --- text */

/* Backslash, quote and newline are escaped; the rest is UTF-8. */
static void put_label(FILE *f, const char *text)
{
	char *s = utf8_of(text);

	for (const char *c = s ? s : "?"; *c; c++) {
		if (*c == '\n')
			fputs("\\n", f);
		else if (*c == '"' || *c == '\\')
			fprintf(f, "\\%c", *c);
		else
			fputc(*c, f);
	}
	free(s);
}

static void put_labels(FILE *f, const struct process *p)
{
	if (!p->s) {
		fputs("{pid=\"other\",comm=\"\"", f);
		return;
	}
	fprintf(f, "{pid=\"%u\",comm=\"", p->s->owner);
	put_label(f, p->s->comm);
	fputc('"', f);
}

static void put_arena(FILE *f, unsigned int arena)
{
	if (arena >= FIRST && arena < MORE)
		fprintf(f, ",arena=\"%u\"", arena - FIRST + 1);
	else
		fprintf(f, ",arena=\"%s\"",
			arena == MAIN	? "main" :
			arena == MORE	? "more" :
			arena == MAPPED ? "mapped" :
					  "pool");
}

static void put_head(FILE *f, const struct metric *m, const char *type)
{
	fprintf(f, "# TYPE %s %s\n", m->name, type);
	if (*m->unit)
		fprintf(f, "# UNIT %s %s\n", m->name, m->unit);
	fprintf(f, "# HELP %s %s\n", m->name, m->help);
}

static void put_gauge(FILE *f, enum gauge g, const struct process *p, size_t nr)
{
	put_head(f, &gauges[g], "gauge");
	for (size_t i = 0; i < nr; i++)
		for (unsigned int a = 0; a < ARENAS; a++) {
			if (!p[i].arenas[a][g].known)
				continue;
			fputs(gauges[g].name, f);
			put_labels(f, &p[i]);
			put_arena(f, a);
			fprintf(f, "} %" PRIu64 "\n", p[i].arenas[a][g].n);
		}
}

static void put_value(FILE *f, const struct metric *m, const char *suffix,
		      const struct process *p, const struct value *v)
{
	if (!v->known)
		return;
	fprintf(f, "%s%s", m->name, suffix);
	put_labels(f, p);
	fprintf(f, "} %" PRIu64 "\n", v->n);
}

static void put_all(FILE *f, const struct process *p, size_t nr, size_t watched)
{
	static const struct metric processes = {
		"vmaheap_watched_processes", "", "Processes that are watched."
	};

	put_head(f, &processes, "gauge");
	fprintf(f, "%s %zu\n", processes.name, watched);
	for (int g = 0; g < GAUGES; g++)
		put_gauge(f, (enum gauge)g, p, nr);
	for (int t = 0; t < TOTALS; t++) {
		put_head(f, &totals[t], "gauge");
		for (size_t i = 0; i < nr; i++)
			put_value(f, &totals[t], "", &p[i], &p[i].totals[t]);
	}
	for (int c = 0; c < COUNTERS; c++) {
		put_head(f, &counters[c], "counter");
		for (size_t i = 0; i < nr; i++)
			put_value(f, &counters[c], "_total", &p[i],
				  &p[i].counters[c]);
	}
	fputs("# EOF\n", f);
}

/* --- which processes */

static bool lives(const struct model *m, const struct space *s)
{
	return !s->died && s == model_process(m, s->owner);
}

static uint64_t weight(const struct process *p)
{
	uint64_t live = 0;

	if (p->totals[RESIDENT_BYTES].known)
		return p->totals[RESIDENT_BYTES].n;
	for (int a = 0; a < ARENAS; a++)
		live += p->arenas[a][LIVE].n;
	return live;
}

static int by_weight(const void *va, const void *vb)
{
	const struct process *a = va, *b = vb;
	uint64_t x = weight(a), y = weight(b);

	if (x != y)
		return x > y ? -1 : 1;
	return a->s->owner < b->s->owner ? -1 : a->s->owner > b->s->owner;
}

/* All that live, heaviest first, with room for one more. NULL: no memory. */
static struct process *find(const struct model *const *models, size_t nr,
			    uint64_t now, size_t *found)
{
	struct process *p;
	size_t max = 1, m, i;

	for (m = 0; m < nr; m++)
		max += model_spaces(models[m]);
	p = calloc(max, sizeof(*p));
	*found = 0;
	for (m = 0; p && m < nr; m++)
		for (i = 0; i < model_spaces(models[m]); i++) {
			const struct space *s = model_space_at(models[m], i);

			if (lives(models[m], s))
				p[(*found)++] = make(s, now);
		}
	if (p && *found)
		qsort(p, *found, sizeof(*p), by_weight);
	return p;
}

int openmetrics_put(FILE *f, const struct model *const *models, size_t nr,
		    uint64_t now)
{
	struct process others = { .s = NULL };
	size_t watched, shown, i;
	struct process *p = find(models, nr, now, &watched);

	if (!p)
		return -ENOMEM;
	shown = watched < OPENMETRICS_PROCESSES ? watched :
						  OPENMETRICS_PROCESSES;
	for (i = shown; i < watched; i++)
		fold(&others, &p[i]);
	if (shown < watched)
		p[shown++] = others;
	put_all(f, p, shown, watched);
	free(p);
	return output_status(f);
}

int export_openmetrics(const struct export *x)
{
	return openmetrics_put(x->o->f, &x->o->model, 1, x->o->now);
}
