/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the module share.
 *
 *   hooks.c    where the kernel calls us; the table of hook points
 *   direct.c   the same at the least cost, for what everybody runs through
 *   emit.c     a change -> a record in the ring of a session
 *   session.c  the ring, and the worker that empties it
 *   watch.c    which address spaces and processes are watched
 *   failed.c   system calls that fail, which change nothing
 *   fault.c    page faults, where somebody asked for them
 *   netlink.c  requests, and the messages that carry records away
 *   proc.c     /proc/vmaheap/
 *   stamp.c    the clock, and the page that shows it to a watched process
 *
 * Locks, outermost first:
 *
 *   vh_control    (mutex) who is watched, and whether the hooks are armed
 *   session.send  (mutex) one consumer of the ring; one reaper of its entries, or
 *                         nobody, where one is in use that may have died
 *   mmap_lock             of a watched mm (read), or held by whoever ran into
 *                         a hook (write)
 *   session.lock  (raw)   the ring, and the state of the entries of a session
 *   vh_table_lock (raw)   writers of the two hash tables; their readers use RCU
 *
 * A hook takes the last two only. All hooks run in process context, so the raw
 * locks need not shut out interrupts. Nothing that a hook calls may sleep,
 * allocate with GFP_KERNEL, print, or wake a task. With PREEMPT_RT spinlocks
 * sleep, so there it may not allocate at all, nor follow the path of a file.
 */
#ifndef _VH_H
#define _VH_H

#include <linux/atomic.h>
#include <linux/ftrace.h>
#include <linux/irq_work.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/pid_namespace.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "uapi/vmaheap.h"

#define VH_VERSION "0.1"

struct seq_file;
struct vh_stamp;

/*
 * An entry about which something is still to be said. Everything passes through
 * session.due: mostly it leaves at once; when the ring is full it stays there,
 * in order, until it fits.
 */
struct vh_due {
	struct list_head node; /* session.due; session.lock */
	bool is_proc; /* embedded in a vh_proc, else in a vh_mm */
};

/*
 * One address space in one session. Announced by a MM record before anything
 * else is said about it. `mm` is pinned (mmgrab), so the pointer is not reused
 * while the entry can be found.
 */
struct vh_mm {
	struct hlist_node hash; /* by mm; vh_table_lock, RCU */
	/* session.mms; added under session.lock, removed under .send and .lock */
	struct list_head node;
	struct rcu_work free;
	struct vh_due due;
	struct mm_struct *mm;
	struct vh_session *ses;
	struct vh_stamp *stamp; /* set once; vh_table_lock */
	u64 id; /* never reused */
	bool faults; /* page faults are told, too; set before it is found, or later */

	/*
	 * [lo, hi) has changed since the last RANGE; empty: lo >= hi. Widened
	 * by the mark hooks under the write side of mm's mmap_lock. Reset by
	 * whoever reports it: a hook on that same write side, or a worker
	 * under the read side plus session.lock.
	 */
	unsigned long lo;
	unsigned long hi;

	/* session.lock protects the rest. */
	u32 sections; /* write sections that have ended, merged in [lo, hi) */
	u32 visit; /* the session.round that saw this entry last */
	bool announced; /* the MM record is in line */
	bool snapshot; /* SNAPSHOT wants all of it */
	bool whole; /* nothing of it is told yet; [lo, hi) is all of it */
	bool exited; /* exit_mmap() has begun; nothing but MM_EXIT follows */
	bool exit_told;
	bool let_go; /* UNWATCH of its owner; only sharers (vfork) hold it */
	bool dead; /* unwatched; a reaper may take it */
	struct vmaheap_rec_mm hello; /* what the MM record says */
	struct vmaheap_rec_mm_exit bye;
};

/* One watched process (thread group) in one session. */
struct vh_proc {
	struct hlist_node hash; /* by pid; vh_table_lock, RCU */
	struct list_head node; /* session.procs; as vh_mm.node */
	struct rcu_work free;
	struct vh_due due;
	struct pid *pid; /* of the thread group, pinned */
	struct vh_session *ses;
	u32 flags; /* VMAHEAP_WATCH_* */

	/* session.lock */
	u32 nr; /* tgid as the session's namespace sees it */
	u64 mm; /* id of the address space it runs in; 0: none yet */
	bool task_due; /* a TASK record is owed */
	bool exit_due; /* a TASK_EXIT record is owed */
	bool dead; /* exited or unwatched */
	struct vmaheap_rec_task hello;
	struct vmaheap_rec_task_exit bye;
};

#define VH_FILES 1024 /* announced files a session remembers; a power of 2 */
#define VH_PARKED 64
#define VH_LOST_MAX (VMAHEAP_LOST_FAULT + 1)

/* An inode number comes again, for another file: mine tells one from the other. */
struct vh_file {
	u64 ino;
	u32 dev;
	u32 mine;
};

/*
 * One receiver of records: an event socket, or /proc/vmaheap/events.
 *
 * The ring: bytes [tail, head) of free-running offsets. Many producers, one
 * after the other under `lock`, write at head; one consumer, under `send`,
 * reads at tail without `lock` and publishes the new tail when it is done. (In
 * an overwriting ring the producers move the tail and readers copy under
 * `lock`.) A record never wraps: a filler takes the rest of the ring.
 */
struct vh_session {
	struct list_head node; /* vh_sessions or the dying; vh_control */
	u32 port; /* of the event socket; 0: the /proc session */
	bool overwrite; /* the ring drops its oldest records */
	struct pid_namespace *ns; /* numbers of tasks are told in this one */
	struct mutex send;
	u32 round; /* of catching up; send */
	struct delayed_work work; /* empties the ring */
	struct irq_work kick; /* starts `work` from a hook */
	wait_queue_head_t *wait; /* readers of an overwriting ring, or NULL */

	raw_spinlock_t lock; /* ring producers, and all that follows */
	bool dead; /* nothing is put in line any more */
	bool congested; /* the receiver is full: do not hurry */
	u8 kicked; /* 0, 1: work is due in some ms, 2: at once */
	u64 seen; /* stats.records when the worker ran last */
	bool reap; /* an entry has died */
	u8 *ring;
	u32 size; /* of the ring, a power of 2 */
	u64 head;
	u64 tail;
	u64 seq; /* of the last record */
	u64 first; /* seq of the record at tail (overwriting ring) */
	u32 owed; /* MM, MM_EXIT, TASK, TASK_EXIT, LOST records not in line yet */
	u32 lost[VH_LOST_MAX]; /* by enum vmaheap_lost_what, not told yet */
	struct list_head due;
	struct list_head mms;
	struct list_head procs;
	struct vmaheap_stats stats; /* messages, retries: `send` */
	struct vh_file files[VH_FILES];
	/* PREEMPT_RT: the paths of these, each pinned, the worker will tell. */
	struct file *parked[VH_PARKED];
	u32 nr_parked;

	/* Scratch of emit.c: too large for the stack of whom we interrupt. */
	struct vm_area_struct *vmas[VMAHEAP_RANGE_VMAS];
	char path[PATH_MAX];
};

/* Who did it: the record's answer, relative to one session. */
struct vh_actor {
	u32 tgid;
	u32 tid;
	s32 syscall;
	bool compat;
	u64 ip;
	u64 sp;
};

/* The whole of an address space, as a range. */
#define VH_LO 0UL
#define VH_HI ((unsigned long)TASK_SIZE_MAX)

extern struct mutex vh_control;
extern struct list_head vh_sessions; /* vh_control */
extern struct workqueue_struct *vh_wq;
extern unsigned int vh_buffer_kib;

/* hooks.c: all but vh_hooks_init(), _exit() and vh_function() under vh_control */
int vh_hooks_init(void);
void vh_hooks_exit(void);
int vh_arm(const char **refusal);
void vh_disarm(void);
unsigned int vh_hooks_armed(void);
unsigned long vh_function(const char *symbol);
void vh_hooks_show(struct seq_file *m);

/* failed.c: all but vh_call_returned() under vh_control */
void vh_failed_arm(void);
void vh_failed_disarm(void);
void vh_failed_show(struct seq_file *m);
void vh_call_returned(unsigned long ret);

/* fault.c: under vh_control */
int vh_fault_arm(void);
void vh_fault_disarm(void);
void vh_fault_show(struct seq_file *m);

/* direct.c: all under vh_control, but for vh_direct_exit() */
#define VH_DIRECT_MAX 5
struct vh_direct {
	const char *const *symbols; /* functions, all or none; NULL ends them */
	unsigned long addrs[VH_DIRECT_MAX]; /* 0: not looked for yet */
	void (*stub)(void);
	struct ftrace_ops ops;
};

void vh_release_stub(void);
void vh_page_prot_stub(void);
void vh_call_stub(void);
int vh_direct_arm(struct vh_direct *d);
void vh_direct_disarm(struct vh_direct *d);
void vh_direct_exit(void);

/* watch.c */
extern atomic_t vh_users; /* entries alive; the hooks are needed while > 0 */
/*
 * vh_mm.hash, by some bits of where the mmap_lock lies (direct.c reads it, too, so
 * it is made to be found in few instructions).
 */
#define VH_MM_SHIFT 6
#define VH_MM_MASK 1023
extern struct hlist_head vh_mms[VH_MM_MASK + 1];

static __always_inline struct hlist_head *vh_mm_head(const struct mm_struct *mm)
{
	return &vh_mms[(unsigned long)&mm->mmap_lock >> VH_MM_SHIFT &
		       VH_MM_MASK];
}

/*
 * A hook's filter, which needs neither RCU nor a pointer that is valid: false
 * when nobody watches mm. Where a change must not be missed, the mmap_lock that
 * the hook's caller holds orders this behind the insertion, made under it too.
 */
static __always_inline bool vh_maybe_watched(const struct mm_struct *mm)
{
	return READ_ONCE(vh_mm_head(mm)->first);
}

bool vh_mm_known(struct mm_struct *mm);
void vh_mark(struct mm_struct *mm, unsigned long lo, unsigned long hi);
void vh_on_release(struct mm_struct *mm);
void vh_on_growth(struct mm_struct *mm, unsigned long lo, unsigned long hi);
void vh_on_exit_mmap(struct mm_struct *mm);
void vh_on_madvise(struct mm_struct *mm, unsigned long addr, size_t len,
		   int advice);
bool vh_on_failed(struct mm_struct *mm, int error, u32 reason);
void vh_on_fault(struct mm_struct *mm, unsigned long addr, u16 flags);
void vh_on_fork(struct task_struct *parent, struct task_struct *child);
void vh_on_exec(struct task_struct *p);
void vh_on_exit(struct task_struct *p);
int vh_watch(struct vh_session *ses, u32 nr, u32 flags, u64 *id,
	     struct netlink_ext_ack *extack);
int vh_unwatch(struct vh_session *ses, u32 nr);
int vh_snapshot(struct vh_session *ses, u64 id);
void vh_spares_fill(void);
void vh_spares_free(void);
void vh_show_watched(struct seq_file *m);
void vh_forget(struct vh_session *ses);
void vh_reap(struct vh_session *ses);
void vh_free_entries(struct vh_session *ses);
struct vh_stamp *vh_stamp_adopt(struct mm_struct *mm, struct vh_stamp *fresh);

/* emit.c: under session.lock */
void vh_actor(struct vh_session *ses, struct vh_actor *who);
bool vh_emit_range(struct vh_mm *m, u16 flags, const struct vh_actor *who);
void vh_emit_madvise(struct vh_mm *m, const struct vh_actor *who, u64 addr,
		     u64 len, int advice);
void vh_emit_failed(struct vh_mm *m, const struct vh_actor *who, int error,
		    u32 reason);
void vh_emit_fault(struct vh_mm *m, const struct vh_actor *who, u64 addr,
		   u16 flags);
void vh_fill_bye(struct vh_mm *m);
void vh_due(struct vh_session *ses, struct vh_due *due);
bool vh_tell_all_owed(struct vh_session *ses);
void vh_tell_parked(struct vh_session *ses);
void vh_lost(struct vh_session *ses, unsigned int what);

/* Nothing may be left to be said about m. */
static inline void vh_settle(struct vh_mm *m)
{
	if (!list_empty(&m->due.node) && m->announced &&
	    m->exited == m->exit_told &&
	    (m->exited || (m->lo >= m->hi && !m->snapshot)))
		list_del_init(&m->due.node);
}

/* Says what is owed, in order. False: the ring is full, the worker goes on. */
static inline bool vh_tell_owed(struct vh_session *ses)
{
	return !ses->owed || vh_tell_all_owed(ses);
}

/* session.c */
struct vh_session *vh_session_new(u32 port, struct pid_namespace *ns);
struct vh_session *vh_session_find(u32 port);
bool vh_port_known(u32 port);
void vh_session_end(struct vh_session *ses);
void vh_sessions_exit(void);
void vh_tidy(void);
int vh_flush(struct vh_session *ses, u64 *seq, u64 *ts);
int vh_send(struct vh_session *ses, u64 upto);
struct vmaheap_record *vh_step(struct vh_session *ses, u64 *pos);
/* Eighths of the ring that a record leaves free. */
#define VH_KEEP_OWED 0
#define VH_KEEP_CHANGE 1
#define VH_KEEP_FAULT 4
void *vh_reserve(struct vh_session *ses, u32 size, u32 eighths);
u64 vh_commit(struct vh_session *ses, struct vmaheap_record *rec);
void vh_kick(struct vh_session *ses);
void vh_add_stats(struct vh_session *ses, struct vmaheap_stats *sum);
void vh_total_stats(struct vmaheap_stats *sum);

/* netlink.c */
int vh_netlink_init(void);
void vh_netlink_exit(void);
int vh_send_records(u32 port, const void *records, u32 len);

/* trace.c */
DECLARE_STATIC_KEY_FALSE(vh_traced); /* somebody listens */
void vh_trace(u32 session, const struct vmaheap_record *rec);

/* proc.c, events.c */
extern struct vh_session *vh_proc_session; /* vh_control */
bool vh_may_look(void);
int vh_proc_init(void);
void vh_proc_exit(void);
extern const struct proc_ops vh_events_ops;
extern wait_queue_head_t vh_events_wait;
void vh_events_drain(void);

/* stamp.c */
u64 vh_clock(void);
void vh_stamp_write(struct vh_stamp *stamp, u64 ts);
struct vh_stamp *vh_stamp_get(struct vh_stamp *stamp);
void vh_stamp_put(struct vh_stamp *stamp);
unsigned int vh_stamps_mapped(void);
extern const struct proc_ops vh_stamp_ops;
void vh_stamp_exit(void);

#endif
