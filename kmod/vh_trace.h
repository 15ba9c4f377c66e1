/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records as trace events, so that perf, ftrace and bpftrace have them, too:
 *
 *   # echo +PID > /proc/vmaheap/watched
 *   # perf record -e 'vmaheap:*' -a
 *
 *   vmaheap_range: session=0 seq=7 mm=3 tgid=149 tid=149 lo=0x1c94000 hi=0x1cd6000
 *                  vmas=1 syscall=12 brk=0x1cd6000 map_count=23 coalesced=0 flags=0x0
 *   vmaheap_vma: session=0 seq=7 mm=3 start=0x1c94000 end=0x1cd6000 flags=0x3 ...
 *
 * A range comes first, then its VMAs. Fields are those of uapi/vmaheap.h, under
 * the same names. A process that several sessions watch is told by each; session
 * is the netlink port, 0 that of /proc/vmaheap/watched.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vmaheap

#if !defined(_VH_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VH_TRACE_H

#include <linux/tracepoint.h>

#include "uapi/vmaheap.h"

/* Any of them is enabled. */
int vh_trace_reg(void);
void vh_trace_unreg(void);

/* clang-format off */
#define VH_HEAD                                                               \
	__field(u64, seq) __field(u64, mm) __field(u32, session)              \
		__field(u32, tgid) __field(u32, tid)
#define VH_HEAD_ASSIGN(r)                                                     \
	do {                                                                  \
		__entry->session = session;                                   \
		__entry->seq = (r)->seq;                                      \
		__entry->mm = (r)->mm;                                        \
		__entry->tgid = (r)->tgid;                                    \
		__entry->tid = (r)->tid;                                      \
	} while (0)
#define VH_HEAD_FMT "session=%u seq=%llu mm=%llu tgid=%u tid=%u "
#define VH_HEAD_ARGS                                                          \
	__entry->session, __entry->seq, __entry->mm, __entry->tgid,           \
		__entry->tid

TRACE_EVENT_FN(vmaheap_range,
	TP_PROTO(u32 session, const struct vmaheap_rec_range *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, lo)
		__field(u64, hi)
		__field(u64, ip)
		__field(u64, brk)
		__field(u64, rss_file)
		__field(u64, rss_anon)
		__field(u64, rss_shmem)
		__field(u64, swap)
		__field(s32, syscall)
		__field(u32, nr_vmas)
		__field(u32, map_count)
		__field(u32, coalesced)
		__field(u16, flags)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->lo = rec->lo;
		__entry->hi = rec->hi;
		__entry->ip = rec->ip;
		__entry->brk = rec->brk;
		__entry->rss_file = rec->rss_file;
		__entry->rss_anon = rec->rss_anon;
		__entry->rss_shmem = rec->rss_shmem;
		__entry->swap = rec->swap;
		__entry->syscall = rec->syscall;
		__entry->nr_vmas = rec->nr_vmas;
		__entry->map_count = rec->map_count;
		__entry->coalesced = rec->coalesced;
		__entry->flags = rec->rec.flags;
	),
	TP_printk(VH_HEAD_FMT "lo=0x%llx hi=0x%llx vmas=%u syscall=%d brk=0x%llx map_count=%u coalesced=%u flags=0x%x",
		VH_HEAD_ARGS, __entry->lo, __entry->hi, __entry->nr_vmas,
		__entry->syscall, __entry->brk, __entry->map_count,
		__entry->coalesced, __entry->flags),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_vma,
	TP_PROTO(u32 session, const struct vmaheap_record *rec,
		 const struct vmaheap_vma *vma),
	TP_ARGS(session, rec, vma),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, start)
		__field(u64, end)
		__field(u64, offset)
		__field(u64, ino)
		__field(u32, dev)
		__field(u32, flags)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(rec);
		__entry->start = vma->start;
		__entry->end = vma->end;
		__entry->offset = vma->offset;
		__entry->ino = vma->ino;
		__entry->dev = vma->dev;
		__entry->flags = vma->flags;
	),
	TP_printk(VH_HEAD_FMT "start=0x%llx end=0x%llx flags=0x%x offset=0x%llx dev=%u:%u ino=%llu",
		VH_HEAD_ARGS, __entry->start, __entry->end, __entry->flags,
		__entry->offset, __entry->dev >> 20, __entry->dev & 0xfffff,
		__entry->ino),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_file,
	TP_PROTO(u32 session, const struct vmaheap_rec_file *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, ino)
		__field(u32, dev)
		__dynamic_array(char, path, rec->len + 1)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->ino = rec->ino;
		__entry->dev = rec->dev;
		memcpy(__get_dynamic_array(path), rec->path, rec->len + 1);
	),
	TP_printk(VH_HEAD_FMT "dev=%u:%u ino=%llu path=%s", VH_HEAD_ARGS,
		__entry->dev >> 20, __entry->dev & 0xfffff, __entry->ino,
		__get_str(path)),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_mm,
	TP_PROTO(u32 session, const struct vmaheap_rec_mm *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, parent_mm)
		__field(u32, cause)
		__field(u32, owner)
		__field(u32, parent)
		__array(char, comm, 16)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->parent_mm = rec->parent_mm;
		__entry->cause = rec->cause;
		__entry->owner = rec->owner;
		__entry->parent = rec->parent;
		memcpy(__entry->comm, rec->comm, sizeof(__entry->comm));
	),
	TP_printk(VH_HEAD_FMT "cause=%u parent_mm=%llu owner=%u parent=%u comm=%s",
		VH_HEAD_ARGS, __entry->cause, __entry->parent_mm,
		__entry->owner, __entry->parent, __entry->comm),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_mm_exit,
	TP_PROTO(u32 session, const struct vmaheap_rec_mm_exit *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, rss_file)
		__field(u64, rss_anon)
		__field(u64, rss_shmem)
		__field(u64, swap)
		__field(u64, hiwater_rss)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->rss_file = rec->rss_file;
		__entry->rss_anon = rec->rss_anon;
		__entry->rss_shmem = rec->rss_shmem;
		__entry->swap = rec->swap;
		__entry->hiwater_rss = rec->hiwater_rss;
	),
	TP_printk(VH_HEAD_FMT "rss_file=%llu rss_anon=%llu rss_shmem=%llu swap=%llu hiwater_rss=%llu",
		VH_HEAD_ARGS, __entry->rss_file, __entry->rss_anon,
		__entry->rss_shmem, __entry->swap, __entry->hiwater_rss),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_task,
	TP_PROTO(u32 session, const struct vmaheap_rec_task *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u32, owner)
		__field(u32, parent)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->owner = rec->owner;
		__entry->parent = rec->parent;
	),
	TP_printk(VH_HEAD_FMT "owner=%u parent=%u", VH_HEAD_ARGS,
		__entry->owner, __entry->parent),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_task_exit,
	TP_PROTO(u32 session, const struct vmaheap_rec_task_exit *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(s32, status)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->status = rec->status;
	),
	TP_printk(VH_HEAD_FMT "status=0x%x", VH_HEAD_ARGS, __entry->status),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_madvise,
	TP_PROTO(u32 session, const struct vmaheap_rec_madvise *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, addr)
		__field(u64, len)
		__field(s32, advice)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->addr = rec->addr;
		__entry->len = rec->len;
		__entry->advice = rec->advice;
	),
	TP_printk(VH_HEAD_FMT "addr=0x%llx len=%llu advice=%d", VH_HEAD_ARGS,
		__entry->addr, __entry->len, __entry->advice),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_failed,
	TP_PROTO(u32 session, const struct vmaheap_rec_failed *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__array(u64, args, 6)
		__field(s32, syscall)
		__field(s32, error)
		__field(u32, reason)
		__field(u32, map_count)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		memcpy(__entry->args, rec->args, sizeof(__entry->args));
		__entry->syscall = rec->syscall;
		__entry->error = rec->error;
		__entry->reason = rec->reason;
		__entry->map_count = rec->map_count;
	),
	TP_printk(VH_HEAD_FMT "syscall=%d args=0x%llx,0x%llx,0x%llx error=%d reason=%u map_count=%u",
		VH_HEAD_ARGS, __entry->syscall, __entry->args[0],
		__entry->args[1], __entry->args[2], __entry->error,
		__entry->reason, __entry->map_count),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_fault,
	TP_PROTO(u32 session, const struct vmaheap_rec_fault *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u64, addr)
		__field(u64, ip)
		__field(s32, syscall)
		__field(u16, flags)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->addr = rec->addr;
		__entry->ip = rec->ip;
		__entry->syscall = rec->syscall;
		__entry->flags = rec->rec.flags;
	),
	TP_printk(VH_HEAD_FMT "addr=0x%llx ip=0x%llx syscall=%d flags=0x%x",
		VH_HEAD_ARGS, __entry->addr, __entry->ip, __entry->syscall,
		__entry->flags),
	vh_trace_reg, vh_trace_unreg
);

TRACE_EVENT_FN(vmaheap_lost,
	TP_PROTO(u32 session, const struct vmaheap_rec_lost *rec),
	TP_ARGS(session, rec),
	TP_STRUCT__entry(
		VH_HEAD
		__field(u32, what)
		__field(u32, count)
	),
	TP_fast_assign(
		VH_HEAD_ASSIGN(&rec->rec);
		__entry->what = rec->what;
		__entry->count = rec->count;
	),
	TP_printk(VH_HEAD_FMT "what=%u count=%u", VH_HEAD_ARGS,
		__entry->what, __entry->count),
	vh_trace_reg, vh_trace_unreg
);

/* clang-format on */

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vh_trace
#include <trace/define_trace.h>
