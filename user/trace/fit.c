// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "trace/format.h"

/* Of each type: the part before its array, and the array's element. */
struct layout {
	size_t fixed;
	size_t element; /* 0: no array */
	size_t count_at; /* where the __u32 lies that counts the elements */
};

static const struct layout layouts[] = {
	[VMAHEAP_REC_MM] = { sizeof(struct vmaheap_rec_mm), 0, 0 },
	[VMAHEAP_REC_RANGE] = { sizeof(struct vmaheap_rec_range),
				sizeof(struct vmaheap_vma),
				offsetof(struct vmaheap_rec_range, nr_vmas) },
	[VMAHEAP_REC_FILE] = { sizeof(struct vmaheap_rec_file), 1,
			       offsetof(struct vmaheap_rec_file, len) },
	[VMAHEAP_REC_MM_EXIT] = { sizeof(struct vmaheap_rec_mm_exit), 0, 0 },
	[VMAHEAP_REC_TASK] = { sizeof(struct vmaheap_rec_task), 0, 0 },
	[VMAHEAP_REC_TASK_EXIT] = { sizeof(struct vmaheap_rec_task_exit), 0,
				    0 },
	[VMAHEAP_REC_MADVISE] = { sizeof(struct vmaheap_rec_madvise), 0, 0 },
	[VMAHEAP_REC_FAILED] = { sizeof(struct vmaheap_rec_failed), 0, 0 },
	[VMAHEAP_REC_FAULT] = { sizeof(struct vmaheap_rec_fault), 0, 0 },
	[VMAHEAP_REC_LOST] = { sizeof(struct vmaheap_rec_lost), 0, 0 },
	[TRACE_NOTE_RESIDENT] = { sizeof(struct trace_resident),
				  sizeof(struct trace_resident_vma),
				  offsetof(struct trace_resident, nr_vmas) },
	[TRACE_NOTE_VERIFY] = { sizeof(struct trace_verify), 0, 0 },
	[TRACE_NOTE_ALLOCATOR] = { sizeof(struct trace_allocator), 0, 0 },
	[TRACE_NOTE_FOUND] = { sizeof(struct trace_found),
			       sizeof(struct trace_found_chunk),
			       offsetof(struct trace_found, nr_chunks) },
	[TRACE_TABLE_STACK] = { sizeof(struct trace_stack), sizeof(__u64),
				offsetof(struct trace_stack, nr_frames) },
	[TRACE_TABLE_BUILD_ID] = { sizeof(struct trace_build_id), 1,
				   offsetof(struct trace_build_id, len) },
};

static const struct layout *layout_of(const struct vmaheap_record *r)
{
	if (r->type >= sizeof(layouts) / sizeof(layouts[0]) ||
	    !layouts[r->type].fixed)
		return NULL;
	return &layouts[r->type];
}

/* Elements that the record says it has and that lie within it. */
static uint32_t elements(const struct vmaheap_record *r, const struct layout *l)
{
	const char *p = (const char *)r;
	uint32_t n;

	if (!l->element || r->size < l->fixed)
		return 0;
	if (r->type ==
	    VMAHEAP_REC_FILE) /* CTF: a string ends at its first NUL */
		return (uint32_t)strnlen(p + l->fixed, r->size - l->fixed);
	memcpy(&n, p + l->count_at, sizeof(n));
	if (n > (r->size - l->fixed) / l->element)
		n = (uint32_t)((r->size - l->fixed) / l->element);
	return n;
}

/* The end of the last field; a path's NUL is its last. */
static size_t content_bytes(const struct vmaheap_record *r,
			    const struct layout *l)
{
	return l->fixed + elements(r, l) * l->element +
	       (r->type == VMAHEAP_REC_FILE);
}

size_t fitted_bytes(const struct vmaheap_record *r)
{
	const struct layout *l = layout_of(r);

	return l ? round8(content_bytes(r, l)) : 0;
}

size_t fit_record(const struct vmaheap_record *r, void *out)
{
	const struct layout *l = layout_of(r);
	uint32_t n = elements(r, l);
	size_t content = content_bytes(r, l), size = round8(content);
	struct vmaheap_record *to = out;

	memset(out, 0, size);
	memcpy(out, r, r->size < content ? r->size : content);
	to->size = (uint32_t)size;
	if (l->element)
		memcpy((char *)out + l->count_at, &n, sizeof(n));
	if (r->type == VMAHEAP_REC_FILE)
		((char *)out)[content - 1] = 0;
	return content;
}
