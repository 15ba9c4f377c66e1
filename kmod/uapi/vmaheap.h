/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The protocol between vmaheap.ko and its readers. This header is the
 * specification; both sides include it. vmaheap.yaml beside it says the same
 * in the form of Documentation/netlink/specs.
 *
 * Transport: generic netlink, family "vmaheap", initial network namespace.
 * Every command needs CAP_SYS_PTRACE in the initial user namespace, of the
 * sender and, when it was sent without an address, of the opener of its socket
 * (netlink_capable()).
 *
 * A reader uses two sockets. The *event socket* only receives; its port number
 * names the session. The *control socket* sends the requests. (With one socket
 * a full receive queue would also drop the acknowledgement of a request.) Set
 * NETLINK_NO_ENOBUFS on the event socket: the module knows at once when a
 * message does not fit, keeps it and sends it again.
 *
 *   request       attributes (all __u32 unless noted)      reply
 *   WATCH         PORT PID FLAGS                           MM(u64)
 *   UNWATCH       PORT PID                                 -
 *   SNAPSHOT      PORT [MM(u64), all when absent]          -
 *   SYNC          PORT                                     SEQ(u64) TS(u64)
 *   STATS         [PORT]                                   STATS (struct vmaheap_stats)
 *   EVENTS        (module -> event socket only)            RECORDS (binary)
 *
 * WATCH   starts to report the process PID (in the pid namespace of the
 *         sender) to the event socket PORT. The first records are a MM record
 *         and the whole address space; with VMAHEAP_WATCH_ON_EXEC they come at
 *         its next exec (or a TASK_EXIT, if there is none). Errors: EPERM,
 *         ESRCH (no such process, or it has no address space), EEXIST (already
 *         watched by this port),
 *         EINVAL (unknown flag, or a thread that is no process), ENOMEM,
 *         EXDEV (PORT is used from another pid namespace),
 *         ENOTCONN (no such port), EOPNOTSUPP (a hook could not be armed; the
 *         extack sentence names it; or page faults cannot be traced).
 * UNWATCH forgets the process PID. Errors: ENOENT (not watched).
 * SNAPSHOT asks for the whole state of one address space, or of all, as RANGE
 *         records with VMAHEAP_F_SNAPSHOT in the same ordered stream.
 * SYNC    hands everything that happened before the request to the event
 *         socket, then answers with the number of the last record. When the
 *         reader has applied that record, its model is the state of the moment
 *         of TS. EAGAIN: the event socket is full, or a target that has
 *         something to report is busy; read the socket and ask again.
 * A session ends, with all its watches, when the event socket closes. It begins
 * with an EVENTS message without RECORDS, by which the module learns whether
 * the port exists; readers ignore it.
 *
 * Records. RECORDS holds one or more records, each 8-byte aligned, each
 * starting with struct vmaheap_record; `size` leads to the next one, so that a
 * reader skips types that it does not know, and the tail of a record that has
 * grown. `seq` counts 1, 2, 3 ... in each session over all types, without gaps.
 * `ts` rises strictly within a session.
 *
 * What happens when the reader is slow: nothing is dropped. The address range
 * that changed stays marked as dirty and its state is sent later; what is lost
 * is the history in between, and `coalesced` counts the write sections that
 * were merged so. Births and deaths wait, too; when a great many of them do, new
 * processes and images are not watched any more, and counted (LOST).
 *
 * Page size, pointers and addresses: addresses are those of user space in
 * bytes; no kernel address is ever sent.
 */
#ifndef _UAPI_VMAHEAP_H
#define _UAPI_VMAHEAP_H

#include <linux/types.h>

#define VMAHEAP_GENL_NAME "vmaheap"
#define VMAHEAP_GENL_VERSION 1

enum vmaheap_cmd {
	VMAHEAP_CMD_UNSPEC,
	VMAHEAP_CMD_WATCH,
	VMAHEAP_CMD_UNWATCH,
	VMAHEAP_CMD_SNAPSHOT,
	VMAHEAP_CMD_SYNC,
	VMAHEAP_CMD_STATS,
	VMAHEAP_CMD_EVENTS,
	__VMAHEAP_CMD_MAX,
};
#define VMAHEAP_CMD_MAX (__VMAHEAP_CMD_MAX - 1)

enum vmaheap_attr {
	VMAHEAP_A_UNSPEC,
	VMAHEAP_A_PORT, /* u32: netlink port of the event socket */
	VMAHEAP_A_PID, /* u32: process (thread group) id */
	VMAHEAP_A_FLAGS, /* u32: VMAHEAP_WATCH_* */
	VMAHEAP_A_MM, /* u64: id of an address space */
	VMAHEAP_A_SEQ, /* u64: number of the last record handed over */
	VMAHEAP_A_TS, /* u64: CLOCK_MONOTONIC, ns */
	VMAHEAP_A_RECORDS, /* binary: records, see below */
	VMAHEAP_A_STATS, /* binary: struct vmaheap_stats */
	VMAHEAP_A_PAD,
	__VMAHEAP_A_MAX,
};
#define VMAHEAP_A_MAX (__VMAHEAP_A_MAX - 1)

/* WATCH flags */
/* and the children that it forks from now on */
#define VMAHEAP_WATCH_FORK (1U << 0)
/* and what it becomes by exec */
#define VMAHEAP_WATCH_EXEC (1U << 1)
/* nothing before its next exec (implies EXEC); the reply's MM is 0 */
#define VMAHEAP_WATCH_ON_EXEC (1U << 2)
/* and its page faults, in the address spaces that it begins to run in from now on */
#define VMAHEAP_WATCH_FAULTS (1U << 3)
#define VMAHEAP_WATCH_ALL                                                  \
	(VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_EXEC | VMAHEAP_WATCH_ON_EXEC | \
	 VMAHEAP_WATCH_FAULTS)

/* RECORDS of one message together are at most this long, unless one is longer. */
#define VMAHEAP_BATCH_BYTES 8192
/* A RANGE record holds at most so many VMAs; more are sent in parts (F_MORE). */
#define VMAHEAP_RANGE_VMAS 64

enum vmaheap_record_type {
	VMAHEAP_REC_MM = 1, /* an address space is watched from here on */
	VMAHEAP_REC_RANGE = 2, /* the VMAs in a range are now these */
	VMAHEAP_REC_FILE = 3, /* the path of a (device, inode) */
	VMAHEAP_REC_MM_EXIT = 4, /* an address space is about to be torn down */
	VMAHEAP_REC_TASK = 5, /* a process runs in an address space (vfork) */
	VMAHEAP_REC_TASK_EXIT = 6, /* a process has exited */
	VMAHEAP_REC_MADVISE = 7, /* madvise() was called */
	VMAHEAP_REC_LOST = 8, /* something could not be reported */
	VMAHEAP_REC_FAILED = 9, /* a system call on memory failed */
	VMAHEAP_REC_FAULT = 10, /* a page fault */
};

/* vmaheap_record.flags */
/* RANGE: further parts follow; map_count is no checksum yet */
#define VMAHEAP_F_MORE (1U << 0)
/* RANGE: sent because it was asked for, nothing changed */
#define VMAHEAP_F_SNAPSHOT (1U << 1)
/* RANGE: sent after back-pressure; who did it is not known */
#define VMAHEAP_F_LATE (1U << 2)
/* RANGE, FAULT: the system call is one of the 32-bit table */
#define VMAHEAP_F_COMPAT (1U << 3)
/* FAULT: there was a page, which may not be used so (copy on write, a guard ...) */
#define VMAHEAP_F_PRESENT (1U << 4)
/* FAULT: it was to be written; to be executed */
#define VMAHEAP_F_WRITE (1U << 5)
#define VMAHEAP_F_EXEC (1U << 6)

struct vmaheap_record {
	__u64 ts; /* CLOCK_MONOTONIC, ns; first, so that time and type are a CTF event header */
	__u16 type; /* enum vmaheap_record_type */
	__u16 flags; /* VMAHEAP_F_* */
	__u32 size; /* bytes, this header included; a multiple of 8 */
	__u64 seq;
	__u64 mm; /* id of the address space, never reused; 0: none */
	__u32 tgid; /* who did it, in the watcher's pid namespace; */
	__u32 tid; /* 0: the kernel, or a task that the namespace cannot see */
};

enum vmaheap_mm_cause {
	VMAHEAP_MM_ATTACH = 1, /* WATCH */
	VMAHEAP_MM_FORK = 2, /* record.tid is the parent's thread */
	VMAHEAP_MM_EXEC = 3,
};

/* Precedes everything else about `mm`. */
struct vmaheap_rec_mm {
	struct vmaheap_record rec;
	__u64 parent_mm; /* FORK: copied from; EXEC: replaced; 0: not watched */
	__u32 cause; /* enum vmaheap_mm_cause */
	__u32 owner; /* tgid of the process that it belongs to */
	__u32 parent; /* FORK: tgid of the parent */
	__u32 __pad;
	char comm[16]; /* of the owner, NUL-terminated */
};

/*
 * vmaheap_vma.flags. R, W, X and SHARED are what /proc/PID/maps prints. LOCKED
 * and DONTCOPY are those of the record's moment: mlock() or madvise() of exactly
 * a whole VMA changes them later without a RANGE record.
 */
#define VMAHEAP_VMA_READ (1U << 0)
#define VMAHEAP_VMA_WRITE (1U << 1)
#define VMAHEAP_VMA_EXEC (1U << 2)
#define VMAHEAP_VMA_SHARED (1U << 3)
#define VMAHEAP_VMA_GROWSDOWN (1U << 4)
#define VMAHEAP_VMA_LOCKED (1U << 5)
#define VMAHEAP_VMA_HUGETLB (1U << 6)
#define VMAHEAP_VMA_DONTCOPY (1U << 7)
#define VMAHEAP_VMA_FILE (1U << 8) /* dev, ino and offset are those of a file */
#define VMAHEAP_VMA_VDSO (1U << 9) /* [vdso] */
#define VMAHEAP_VMA_VVAR (1U << 10) /* [vvar], [vvar_vclock] */

struct vmaheap_vma {
	__u64 start; /* bytes, page-aligned */
	__u64 end; /* one past the last byte */
	__u64 offset; /* of `start` in the file, bytes; 0 when not FILE */
	__u64 ino; /* 0 when not FILE */
	__u32 dev; /* major << 20 | minor; 0 when not FILE */
	__u32 flags; /* VMAHEAP_VMA_* */
};

/*
 * As of record.seq, the VMAs of `mm` that overlap [lo, hi) are exactly vmas[].
 * [lo, hi) covers each of them whole, so a reader deletes what it has in
 * [lo, hi), cutting what reaches out of it, and inserts vmas[].
 */
struct vmaheap_rec_range {
	struct vmaheap_record rec;
	__u64 lo;
	__u64 hi;
	__u64 args[6]; /* of the system call in progress; 0 when syscall < 0 */
	__u64 ip; /* user instruction pointer and stack pointer of the */
	__u64 sp; /* thread that did it; 0: not known */
	__u64 start_brk; /* mm->start_brk, mm->brk, mm->start_stack */
	__u64 brk;
	__u64 start_stack;
	__u64 rss_file; /* RSS counters of the mm, bytes; approximate from */
	__u64 rss_anon; /* Linux 6.2 on (percpu_counter) */
	__u64 rss_shmem;
	__u64 swap;
	__s32 syscall; /* number; -1: none (page fault, kernel thread, unknown) */
	__u32 map_count; /* VMAs of the whole address space: the checksum */
	__u32 coalesced; /* write sections merged into this record, itself not counted */
	__u32 nr_vmas;
	struct vmaheap_vma vmas[];
};

/*
 * Sent before the first RANGE of a session that mentions (dev, ino), or, by a
 * kernel with PREEMPT_RT, soon after; may repeat.
 */
struct vmaheap_rec_file {
	struct vmaheap_record rec;
	__u64 ino;
	__u32 dev;
	__u32 len; /* of path, without the NUL */
	char path[]; /* NUL-terminated, padded with NULs to 8 bytes */
};

struct vmaheap_rec_mm_exit {
	struct vmaheap_record rec;
	__u64 rss_file; /* bytes, as the teardown begins */
	__u64 rss_anon;
	__u64 rss_shmem;
	__u64 swap;
	__u64 hiwater_rss; /* bytes */
};

struct vmaheap_rec_task {
	struct vmaheap_record rec;
	__u32 owner; /* tgid of the new process, which shares rec.mm */
	__u32 parent;
};

struct vmaheap_rec_task_exit {
	struct vmaheap_record rec; /* tgid is the process that exited */
	__s32 status; /* as wait(2) reports it */
	__u32 __pad;
};

/*
 * Told when the call is entered; one that fails has a FAILED record later. What
 * process_madvise() says is told by Linux 6.1 and 6.12, not by 5.10 nor 7.x.
 */
struct vmaheap_rec_madvise {
	struct vmaheap_record rec;
	__u64 addr;
	__u64 len;
	__s32 advice; /* MADV_* */
	__u32 __pad;
};

enum vmaheap_lost_what {
	/*
	 * A forked process, an exec'ed image, is not watched: no memory, or a reader
	 * to whom too many births and deaths (buffer_kib * 64) are owed already.
	 */
	VMAHEAP_LOST_CHILD = 1,
	VMAHEAP_LOST_EXEC = 2,
	VMAHEAP_LOST_MADVISE = 3, /* MADVISE records (no room) */
	VMAHEAP_LOST_FILE = 4, /* FILE records (no room or path too long) */
	VMAHEAP_LOST_FAILED = 5, /* FAILED records (no room) */
	VMAHEAP_LOST_FAULT = 6, /* FAULT records (the ring was half full) */
};

/* Why it was ENOMEM, as far as that can be seen as the call returns. */
enum vmaheap_failed_reason {
	VMAHEAP_FAILED_UNKNOWN = 0, /* or another error */
	VMAHEAP_FAILED_MAP_COUNT = 1, /* vm.max_map_count VMAs are there */
	VMAHEAP_FAILED_RLIMIT_AS = 2,
	VMAHEAP_FAILED_RLIMIT_DATA = 3,
	VMAHEAP_FAILED_REASONS
};

/*
 * brk, mmap, munmap, mremap, mprotect, pkey_mprotect, madvise, mlock, mlock2,
 * mlockall, mbind, remap_file_pages or shmat of the 64-bit table has failed. It
 * may have changed a part all the same, which RANGE records tell.
 */
struct vmaheap_rec_failed {
	struct vmaheap_record rec;
	__u64 args[6];
	__s32 syscall;
	__s32 error; /* errno, positive; of brk always ENOMEM */
	__u32 reason; /* enum vmaheap_failed_reason */
	__u32 map_count; /* VMAs of the address space */
};

/*
 * A thread has run into a page fault, as it begins: what becomes of it is not
 * told (a page, a retry, a signal). A fault of the kernel itself, as it reads or
 * writes for a system call, has the call's number; pages that come without a
 * fault (MAP_POPULATE, get_user_pages(), a huge page beyond its first) are not told.
 */
struct vmaheap_rec_fault {
	struct vmaheap_record rec;
	__u64 addr; /* the byte */
	__u64 ip; /* of the program, also where the kernel faulted */
	__s32 syscall; /* number; -1: the program itself touched it */
	__u32 __pad;
};

struct vmaheap_rec_lost {
	struct vmaheap_record rec;
	__u32 what; /* enum vmaheap_lost_what */
	__u32 count;
};

/* Counters since the session began; with no PORT, of the whole module since it was loaded. */
struct vmaheap_stats {
	__u64 records; /* put in line */
	__u64 coalesced; /* write sections merged into a later record */
	__u64 lost; /* sum of LOST counts */
	__u64 messages; /* EVENTS messages delivered */
	__u64 retries; /* EVENTS messages that did not fit and were sent again */
	__u32 processes; /* watched now */
	__u32 mms; /* watched now */
	__u32 sessions; /* open now (1 when PORT is given) */
	__u32 hooks; /* hook points armed now */
};

/*
 * The stamp page. A watched process that maps the first page of
 * /proc/vmaheap/stamp (MAP_SHARED, not PROT_EXEC) sees one __u64 at offset 0:
 * CLOCK_MONOTONIC ns, not less than the `ts` of any VMA change of its address
 * space that has been completed. It rises strictly at every change, before the
 * system call returns, at every FAULT, and on a tick of one jiffy. So a thread that loads it
 * before (a) and after (b) a function call knows: those records of its own with
 * a < ts <= b were caused inside that call, and no others. The process may add to
 * the value, to put events of its threads between two changes into an order, as
 * long as it stays behind CLOCK_MONOTONIC. The mapping is not inherited by fork.
 * mmap fails with ESRCH when the caller is not watched.
 * Opening the file needs CAP_SYS_PTRACE; the reader passes the descriptor on.
 */
#define VMAHEAP_STAMP_PATH "/proc/vmaheap/stamp"

#endif
