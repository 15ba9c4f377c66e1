// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "intake/records.h"
#include "uapi/vmaheap.h"

/* The model's names for the protocol's values: one layout, so no copying. */
_Static_assert(sizeof(struct vma_desc) == sizeof(struct vmaheap_vma), "vma");
_Static_assert(offsetof(struct vma_desc, flags) ==
		       offsetof(struct vmaheap_vma, flags),
	       "vma");
_Static_assert(VMA_VVAR == VMAHEAP_VMA_VVAR && VMA_FILE == VMAHEAP_VMA_FILE &&
		       VMA_SHARED == VMAHEAP_VMA_SHARED &&
		       VMA_DONTCOPY == VMAHEAP_VMA_DONTCOPY,
	       "vma flags");
_Static_assert((int)FAILED_TOLD == (int)VMAHEAP_FAILED_REASONS &&
		       (int)FAILED_RLIMIT_AS == (int)VMAHEAP_FAILED_RLIMIT_AS,
	       "failed reason");
_Static_assert(RECORD_SAMPLED > VMAHEAP_F_EXEC, "no flag of the module's");
_Static_assert((int)MM_EXEC == (int)VMAHEAP_MM_EXEC, "mm cause");
_Static_assert((int)RANGE_MORE == (int)VMAHEAP_F_MORE &&
		       (int)RANGE_COMPAT == (int)VMAHEAP_F_COMPAT &&
		       (int)RANGE_LATE == (int)VMAHEAP_F_LATE &&
		       (int)RANGE_SNAPSHOT == (int)VMAHEAP_F_SNAPSHOT,
	       "range flags");

_Static_assert((int)FAULT_COMPAT == (int)VMAHEAP_F_COMPAT &&
		       (int)FAULT_PRESENT == (int)VMAHEAP_F_PRESENT &&
		       (int)FAULT_WRITE == (int)VMAHEAP_F_WRITE &&
		       (int)FAULT_EXEC == (int)VMAHEAP_F_EXEC,
	       "fault flags");

static int decode_mm(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_mm *r = p;

	if (size < sizeof(*r) || !memchr(r->comm, 0, sizeof(r->comm)) ||
	    r->cause < VMAHEAP_MM_ATTACH || r->cause > VMAHEAP_MM_EXEC)
		return -EINVAL;
	ev->kind = EV_MM;
	ev->mm_start.parent_mm = r->parent_mm;
	ev->mm_start.cause = (enum mm_cause)r->cause;
	ev->mm_start.owner = r->owner;
	ev->mm_start.parent = r->parent;
	ev->mm_start.sampled = r->rec.flags & RECORD_SAMPLED;
	ev->mm_start.comm = r->comm;
	return 0;
}

static int decode_range(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_range *r = p;

	if (size < sizeof(*r) ||
	    (size - sizeof(*r)) / sizeof(r->vmas[0]) < r->nr_vmas)
		return -EINVAL;
	ev->kind = EV_RANGE;
	ev->range.lo = r->lo;
	ev->range.hi = r->hi;
	memcpy(ev->range.args, r->args, sizeof(ev->range.args));
	ev->range.ip = r->ip;
	ev->range.sp = r->sp;
	ev->range.start_brk = r->start_brk;
	ev->range.brk = r->brk;
	ev->range.start_stack = r->start_stack;
	ev->range.rss =
		(struct rss){ r->rss_file, r->rss_anon, r->rss_shmem, r->swap };
	ev->range.syscall = r->syscall;
	ev->range.map_count = r->map_count;
	ev->range.coalesced = r->coalesced;
	ev->range.flags = r->rec.flags;
	ev->range.nr_vmas = r->nr_vmas;
	ev->range.vmas = (const struct vma_desc *)r->vmas;
	return 0;
}

static int decode_file(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_file *r = p;

	if (size < sizeof(*r) || r->len >= size - sizeof(*r) ||
	    r->path[r->len] || strlen(r->path) != r->len)
		return -EINVAL;
	ev->kind = EV_FILE;
	ev->file.ino = r->ino;
	ev->file.dev = r->dev;
	ev->file.path = r->path;
	return 0;
}

static int decode_mm_exit(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_mm_exit *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_MM_EXIT;
	ev->mm_exit.rss =
		(struct rss){ r->rss_file, r->rss_anon, r->rss_shmem, r->swap };
	ev->mm_exit.hiwater_rss = r->hiwater_rss;
	return 0;
}

static int decode_task(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_task *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_TASK;
	ev->task.owner = r->owner;
	ev->task.parent = r->parent;
	return 0;
}

static int decode_task_exit(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_task_exit *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_TASK_EXIT;
	ev->task_exit.status = r->status;
	return 0;
}

static int decode_madvise(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_madvise *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_MADVISE;
	ev->madvise.addr = r->addr;
	ev->madvise.len = r->len;
	ev->madvise.advice = r->advice;
	return 0;
}

static int decode_failed(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_failed *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_FAILED;
	memcpy(ev->failed.args, r->args, sizeof(ev->failed.args));
	ev->failed.syscall = r->syscall;
	ev->failed.error = r->error;
	/* Of a newer module there may be reasons that we do not know. */
	ev->failed.reason = r->reason < FAILED_TOLD ? r->reason :
						      FAILED_UNKNOWN;
	ev->failed.map_count = r->map_count;
	return 0;
}

static int decode_fault(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_fault *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_FAULT;
	ev->fault.addr = r->addr;
	ev->fault.ip = r->ip;
	ev->fault.syscall = r->syscall;
	ev->fault.flags = r->rec.flags;
	return 0;
}

static int decode_lost(const void *p, size_t size, struct event *ev)
{
	const struct vmaheap_rec_lost *r = p;

	if (size < sizeof(*r))
		return -EINVAL;
	ev->kind = EV_LOST;
	ev->lost.what = r->what;
	ev->lost.count = r->count;
	return 0;
}

static int (*const decoders[])(const void *p, size_t size, struct event *ev) = {
	[VMAHEAP_REC_MM] = decode_mm,
	[VMAHEAP_REC_RANGE] = decode_range,
	[VMAHEAP_REC_FILE] = decode_file,
	[VMAHEAP_REC_MM_EXIT] = decode_mm_exit,
	[VMAHEAP_REC_TASK] = decode_task,
	[VMAHEAP_REC_TASK_EXIT] = decode_task_exit,
	[VMAHEAP_REC_MADVISE] = decode_madvise,
	[VMAHEAP_REC_LOST] = decode_lost,
	[VMAHEAP_REC_FAILED] = decode_failed,
	[VMAHEAP_REC_FAULT] = decode_fault,
};

long record_decode(const void *rec, size_t bytes, struct event *ev)
{
	const struct vmaheap_record *r = rec;
	int err = 0;

	memset(ev, 0, sizeof(*ev));
	if (bytes < sizeof(*r) || r->size < sizeof(*r) || r->size > bytes ||
	    r->size % 8)
		return -EINVAL;
	ev->ts = r->ts;
	ev->mm = r->mm;
	ev->tgid = r->tgid;
	ev->tid = r->tid;
	if (r->type < sizeof(decoders) / sizeof(decoders[0]) &&
	    decoders[r->type])
		err = decoders[r->type](rec, r->size, ev);
	return err ? err : (long)r->size;
}
