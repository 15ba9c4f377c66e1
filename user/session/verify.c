// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <string.h>

#include "session/verify.h"

#define MAPS_FLAGS (VMA_READ | VMA_WRITE | VMA_EXEC | VMA_SHARED)

/* [heap] and [stack] are properties of the mm; other names can change without it. */
static const char *mm_name(const char *name)
{
	if (!strcmp(name, "[heap]") || !strcmp(name, "[stack]"))
		return name;
	return "";
}

static void print_side(FILE *f, const char *side, const struct vma_desc *d,
		       const char *name)
{
	fprintf(f,
		"  %-5s %012" PRIx64 "-%012" PRIx64 " %c%c%c%c %08" PRIx64
		" %02x:%02x %" PRIu64 " %s\n",
		side, d->start, d->end, d->flags & VMA_READ ? 'r' : '-',
		d->flags & VMA_WRITE ? 'w' : '-',
		d->flags & VMA_EXEC ? 'x' : '-',
		d->flags & VMA_SHARED ? 's' : 'p', d->offset, d->dev >> 20,
		d->dev & 0xfffff, d->ino, name);
}

/*
 * What only touches the heap is called so by Linux up to 6.5 and not since
 * (vma_is_initial_heap(), include/linux/mm.h); the model has the older rule.
 */
static bool touches_heap(const struct space *s, const struct vma_desc *d)
{
	return d->end == s->start_brk || d->start == s->brk;
}

static bool same(const struct space *s, const struct vma_desc *a,
		 const char *a_name, const struct vma_desc *b,
		 const char *b_name)
{
	return a->start == b->start && a->end == b->end &&
	       (a->flags & MAPS_FLAGS) == (b->flags & MAPS_FLAGS) &&
	       a->offset == b->offset && a->dev == b->dev && a->ino == b->ino &&
	       (touches_heap(s, a) ||
		!strcmp(mm_name(a_name), mm_name(b_name)));
}

static unsigned int mismatch(const struct space *s,
			     const struct vma_desc *model,
			     const char *model_name, const struct proc_map *map,
			     FILE *f)
{
	fprintf(f, "mismatch in process %u:\n", s->owner);
	if (model)
		print_side(f, "model", model, model_name);
	else
		fprintf(f, "  model nothing\n");
	if (map)
		print_side(f, "maps", &map->d, map->name);
	else
		fprintf(f, "  maps  nothing\n");
	return 1;
}

unsigned int verify_maps(const struct model *m, const struct space *s,
			 const struct proc_map *maps, size_t nr, FILE *f)
{
	size_t count = vma_map_count(s->vmas), i = 0, j = 0;
	unsigned int bad = 0;

	while (i < count || j < nr) {
		const struct vma *v = i < count ? vma_map_at(s->vmas, i) : NULL;
		const struct proc_map *p = j < nr ? &maps[j] : NULL;
		const char *name = v ? model_vma_name(m, s, v) : "";

		if (v && (!p || v->d.start < p->d.start)) {
			bad += mismatch(s, &v->d, name, NULL, f);
			i++;
		} else if (p && (!v || p->d.start < v->d.start)) {
			bad += mismatch(s, NULL, "", p, f);
			j++;
		} else {
			if (!same(s, &v->d, name, &p->d, p->name))
				bad += mismatch(s, &v->d, name, p, f);
			i++;
			j++;
		}
	}
	return bad;
}
