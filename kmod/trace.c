// SPDX-License-Identifier: GPL-2.0
/*
 * Every record is a trace event as well (vh_trace.h); this costs one patched-out
 * jump a record while nobody has enabled any.
 */
#include "vh.h"

#define CREATE_TRACE_POINTS
#include "vh_trace.h"

DEFINE_STATIC_KEY_FALSE(vh_traced);

int vh_trace_reg(void)
{
	static_branch_inc(&vh_traced);
	return 0;
}

void vh_trace_unreg(void)
{
	static_branch_dec(&vh_traced);
}

static void trace_range(u32 session, const struct vmaheap_rec_range *rec)
{
	u32 i;

	trace_vmaheap_range(session, rec);
	if (trace_vmaheap_vma_enabled())
		for (i = 0; i < rec->nr_vmas; i++)
			trace_vmaheap_vma(session, &rec->rec, &rec->vmas[i]);
}

/* A record that is complete. Under session.lock, in any context. */
void vh_trace(u32 session, const struct vmaheap_record *rec)
{
	const void *r = rec;

	switch (rec->type) {
	case VMAHEAP_REC_RANGE:
		trace_range(session, r);
		break;
	case VMAHEAP_REC_MM:
		trace_vmaheap_mm(session, r);
		break;
	case VMAHEAP_REC_FILE:
		trace_vmaheap_file(session, r);
		break;
	case VMAHEAP_REC_MM_EXIT:
		trace_vmaheap_mm_exit(session, r);
		break;
	case VMAHEAP_REC_TASK:
		trace_vmaheap_task(session, r);
		break;
	case VMAHEAP_REC_TASK_EXIT:
		trace_vmaheap_task_exit(session, r);
		break;
	case VMAHEAP_REC_MADVISE:
		trace_vmaheap_madvise(session, r);
		break;
	case VMAHEAP_REC_FAILED:
		trace_vmaheap_failed(session, r);
		break;
	case VMAHEAP_REC_FAULT:
		trace_vmaheap_fault(session, r);
		break;
	case VMAHEAP_REC_LOST:
		trace_vmaheap_lost(session, r);
		break;
	}
}
