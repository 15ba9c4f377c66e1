// SPDX-License-Identifier: GPL-2.0
/*
 * How ptmalloc's memory is recognised (glibc malloc/arena.c). A thread's arena
 * is a heap of HEAP_MAX_SIZE = 64 MiB, aligned to it, of which a part is
 * committed by mprotect:
 *
 *   7f2a54000000-7f2a54021000 rw-p     arena
 *   7f2a54021000-7f2a58000000 ---p     reserve, up to the next 64 MiB
 *
 * These two in a row are it, also where we did not see them being made. A heap
 * that is committed to its end is one when an allocator call made it and no
 * chunk begins where a mapped chunk's user memory would (16 bytes from the
 * start, behind the chunk's header).
 */
#include <string.h>

#include "output/syscall.h"
#include "output/view.h"

#define ARENA_BYTES (64ull << 20)
#define CHUNK_HEADER 16

#define RWX (VMA_READ | VMA_WRITE | VMA_EXEC)

static bool is_anon(const struct vma_desc *d)
{
	return !(d->flags & (VMA_FILE | VMA_SHARED | VMA_VDSO | VMA_VVAR));
}

const struct cause *view_made(const struct space *s, const struct vma *v,
			      unsigned int *parts)
{
	const struct cause *most = v->made;
	uint64_t at = v->d.start, bytes = 0, end;

	*parts = 0;
	for (; at < v->d.end; at = end, ++*parts) {
		const struct cause *c = vma_map_origin(s->vmas, at, NULL, &end);

		if (!c)
			break;
		if (end > v->d.end)
			end = v->d.end;
		if (end - at > bytes) {
			bytes = end - at;
			most = c;
		}
	}
	return most;
}

static bool in_call(const struct space *s, const struct vma *v)
{
	unsigned int parts;

	return view_made(s, v, &parts)->op != CALL_NONE;
}

static bool is_writable_anon(const struct vma_desc *d)
{
	return is_anon(d) && (d->flags & RWX) == (VMA_READ | VMA_WRITE);
}

static bool is_reserve(const struct vma_desc *d)
{
	return is_anon(d) && !(d->flags & RWX);
}

static bool is_arena(const struct space *s, size_t i)
{
	const struct vma *v = vma_map_at(s->vmas, i);
	const struct vma *next = i + 1 < vma_map_count(s->vmas) ?
					 vma_map_at(s->vmas, i + 1) :
					 NULL;
	uint64_t end = v->d.start + ARENA_BYTES;
	struct chunk c;

	if (v->d.start % ARENA_BYTES || !is_writable_anon(&v->d))
		return false;
	if (next && is_reserve(&next->d) && next->d.start == v->d.end &&
	    v->d.end < end && next->d.end >= end)
		return true;
	return v->d.end == end && in_call(s, v) &&
	       chunk_get(s->chunks, v->d.start + CHUNK_HEADER, &c);
}

static bool is_arena_reserve(const struct space *s, size_t i)
{
	const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;

	return is_reserve(d) && i &&
	       vma_map_at(s->vmas, i - 1)->d.end == d->start &&
	       is_arena(s, i - 1);
}

/* Memory behind a file's last writable segment. */
static bool is_bss(const struct space *s, size_t i)
{
	const struct vma *v = vma_map_at(s->vmas, i), *before;

	if (!i || !(v->d.flags & RWX) || in_call(s, v))
		return false;
	before = vma_map_at(s->vmas, i - 1);
	return before->d.end == v->d.start && before->d.flags & VMA_FILE &&
	       before->d.flags & VMA_WRITE && !(before->d.flags & VMA_SHARED);
}

static bool made_as_stack(const struct space *s, const struct vma *v)
{
	unsigned int parts;
	const struct cause *c = view_made(s, v, &parts);

	return c->kind == CAUSE_SYSCALL &&
	       syscall_maps_stack(c->syscall, c->compat, c->args);
}

/*
 * A stack that the kernel merged with a mapped chunk above it has the chunk's
 * creator, also when the chunk is gone; its guard tells.
 */
static bool is_thread_stack(const struct space *s, size_t i)
{
	const struct vma *v = vma_map_at(s->vmas, i), *guard;

	if (made_as_stack(s, v))
		return true;
	guard = i ? vma_map_at(s->vmas, i - 1) : NULL;
	return guard && guard->d.end == v->d.start && is_reserve(&guard->d) &&
	       made_as_stack(s, guard);
}

/* glibc and musl map what is large alone; others put all that they have into mappings. */
static enum view_kind mapped_kind(const struct space *s)
{
	const char *kind = s->allocator.kind;

	return s->allocator.known && *kind && strcmp(kind, "glibc") &&
			       strcmp(kind, "musl") ?
		       VIEW_POOL :
		       VIEW_MAPPED;
}

/* A live chunk lies in it, or a part of one. */
static bool has_chunk(const struct space *s, const struct vma_desc *d)
{
	return !chunk_overlap(s->chunks, d->start, d->end - d->start, NULL);
}

static enum view_kind anon_kind(const struct space *s, size_t i)
{
	const struct vma *v = vma_map_at(s->vmas, i);
	const struct vma_desc *d = &v->d;

	if (d->start < s->brk && d->end > s->start_brk)
		return VIEW_HEAP;
	if (d->flags & VMA_GROWSDOWN ||
	    (d->start <= s->start_stack && s->start_stack < d->end))
		return VIEW_STACK;
	if (is_arena(s, i))
		return VIEW_ARENA;
	if (is_arena_reserve(s, i))
		return VIEW_RESERVE;
	if (has_chunk(s, d))
		return mapped_kind(s);
	if (is_thread_stack(s, i))
		return d->flags & RWX ? VIEW_THREAD_STACK : VIEW_GUARD;
	if (in_call(s, v))
		return d->flags & RWX ? mapped_kind(s) : VIEW_RESERVE;
	return is_bss(s, i) ? VIEW_BSS : VIEW_ANON;
}

enum view_kind view_kind_at(const struct space *s, size_t i)
{
	const struct vma_desc *d = &vma_map_at(s->vmas, i)->d;

	if (vma_is_ours(d))
		return VIEW_OURS;
	if (d->flags & (VMA_VDSO | VMA_VVAR))
		return VIEW_KERNEL;
	if (d->flags & VMA_SHARED)
		return VIEW_SHARED;
	if (d->flags & VMA_FILE)
		return VIEW_FILE;
	return anon_kind(s, i);
}

/* The sample of exactly this VMA; they are sorted by start. */
static const struct vma_resident *sample_of(const struct space *s,
					    const struct vma_desc *d)
{
	size_t lo = 0, hi = s->sampled_at ? s->nr_resident : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct vma_resident *r = &s->resident[mid];

		if (r->start == d->start)
			return r->end == d->end ? r : NULL;
		if (r->start < d->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct view view_of(const struct space *s, size_t i)
{
	struct view w = { .v = vma_map_at(s->vmas, i) };
	const struct vma_desc *d = &w.v->d;

	w.made = view_made(s, w.v, &w.parts);
	w.live = chunk_range(s->chunks, d->start, d->end);
	w.kind = view_kind_at(s, i);
	w.live_known = space_has_chunks(s) && (w.live.chunks || w.live.bytes ||
					       view_is_allocators(w.kind));
	w.res = sample_of(s, d);
	return w;
}

uint64_t view_untouched(const struct view *w)
{
	uint64_t size = w->res->end - w->res->start;
	uint64_t has = w->res->resident + w->res->swapped;

	return size > has ? size - has : 0;
}

const char *view_kind_name(enum view_kind kind)
{
	static const char *const names[] = {
		[VIEW_HEAP] = "heap",
		[VIEW_ARENA] = "arena",
		[VIEW_RESERVE] = "reserve",
		[VIEW_MAPPED] = "mapped chunk",
		[VIEW_POOL] = "pool",
		[VIEW_STACK] = "stack",
		[VIEW_THREAD_STACK] = "thread stack",
		[VIEW_GUARD] = "stack guard",
		[VIEW_FILE] = "file",
		[VIEW_BSS] = "bss",
		[VIEW_SHARED] = "shared",
		[VIEW_KERNEL] = "kernel",
		[VIEW_OURS] = "vmaheap",
		[VIEW_ANON] = "anon",
	};

	return names[kind];
}

/* Pages are looked at a moment after the chunks: they may be fewer by then. */
uint64_t view_held(const struct view *w)
{
	return w->res->resident > w->res->live_resident ?
		       w->res->resident - w->res->live_resident :
		       0;
}

bool view_is_allocators(enum view_kind kind)
{
	return kind == VIEW_HEAP || kind == VIEW_ARENA ||
	       kind == VIEW_RESERVE || kind == VIEW_MAPPED || kind == VIEW_POOL;
}
