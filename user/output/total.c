// SPDX-License-Identifier: GPL-2.0
#include "output/total.h"

enum term term_of(enum view_kind kind, const struct cause *made)
{
	switch (kind) {
	case VIEW_HEAP:
	case VIEW_ARENA:
	case VIEW_RESERVE:
	case VIEW_MAPPED:
	case VIEW_POOL:
		return TERM_HELD;
	case VIEW_STACK:
	case VIEW_THREAD_STACK:
	case VIEW_GUARD:
		return TERM_STACK;
	case VIEW_FILE:
		return TERM_FILE;
	case VIEW_SHARED:
		return TERM_SHARED;
	case VIEW_KERNEL:
		return TERM_KERNEL;
	case VIEW_OURS:
		return TERM_OURS;
	case VIEW_BSS:
		return TERM_OTHER;
	case VIEW_ANON:
		break;
	}
	switch (made->kind) {
	case CAUSE_SYSCALL:
	case CAUSE_EXEC:
	case CAUSE_FAULT:
		return TERM_OTHER;
	default:
		return TERM_UNKNOWN;
	}
}

const char *term_key(enum term term)
{
	static const char *const keys[TERMS] = {
		[TERM_LIVE] = "live",	    [TERM_HELD] = "held",
		[TERM_STACK] = "stack",	    [TERM_FILE] = "file",
		[TERM_SHARED] = "shared",   [TERM_KERNEL] = "kernel",
		[TERM_OURS] = "vmaheap",    [TERM_OTHER] = "other",
		[TERM_UNKNOWN] = "unknown",
	};

	return keys[term];
}

static void add_resident(struct totals *t, const struct view *w)
{
	uint64_t live = w->res->live_resident;

	if (live > w->res->resident)
		live = w->res->resident;
	t->resident += w->res->resident;
	t->swapped += w->res->swapped;
	t->huge += w->res->huge;
	t->untouched += view_untouched(w);
	t->term[TERM_LIVE] += live;
	t->term[term_of(w->kind, w->made)] += w->res->resident - live;
}

struct totals totals_of(const struct space *s)
{
	struct totals t = { 0 };
	size_t i;

	t.vmas = vma_map_count(s->vmas);
	for (i = 0; i < t.vmas; i++) {
		struct view w = view_of(s, i);
		uint64_t size = w.v->d.end - w.v->d.start;

		t.size += size;
		if (w.res) {
			add_resident(&t, &w);
		} else {
			t.unsampled++;
			t.unsampled_size += size;
		}
	}
	return t;
}
