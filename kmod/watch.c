// SPDX-License-Identifier: GPL-2.0
/*
 * What is watched: two hash tables, of address spaces by mm and of processes by
 * thread group, with an entry for each session that watches it.
 *
 * Hooks look up under RCU by the value of a pointer that they never follow
 * unless it is found. Entries pin what they are keyed by (mmgrab, get_pid), so
 * a pointer that is found means what it meant.
 *
 * An address space is watched until it is torn down (exit_mmap) or the last
 * process that runs in it is unwatched; a process until it exits, is unwatched,
 * or execs without VMAHEAP_WATCH_EXEC.
 */
#include <linux/llist.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "vh.h"

struct hlist_head vh_mms[VH_MM_MASK + 1];
static DEFINE_HASHTABLE(procs, 10);
static DEFINE_RAW_SPINLOCK(vh_table_lock);
static atomic64_t last_id;

atomic_t vh_users;

#define for_each_entry_of_mm(m, ptr)                         \
	hlist_for_each_entry_rcu_notrace(m, vh_mm_head(ptr), \
					 hash) if ((m)->mm == (ptr))

/* --- the hot hooks */

/* Whether anybody watches mm, exactly. Preemption is off. */
bool vh_mm_known(struct mm_struct *mm)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm)
		return true;
	return false;
}

/* The tree of mm changes in [lo, hi); its mmap_lock is held for writing. */
void vh_mark(struct mm_struct *mm, unsigned long lo, unsigned long hi)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm) {
		m->lo = min(m->lo, lo);
		m->hi = max(m->hi, hi);
	}
}

/*
 * The write lock of mm is about to be released or downgraded, so what the tree
 * holds now is what the section made of it.
 *
 * When the record does not fit, the stamp page rises all the same: a reader of
 * the page must not take a later change for this one.
 */
static void release(struct vh_mm *m, unsigned long lo, unsigned long hi)
{
	struct vh_session *ses = m->ses;
	struct vh_actor who;

	raw_spin_lock(&ses->lock);
	if (!ses->dead && !m->dead && !m->exited) {
		m->lo = min(m->lo, lo);
		m->hi = max(m->hi, hi);
		vh_actor(ses, &who);
		vh_tell_owed(ses);
		if (!m->announced ||
		    !vh_emit_range(m, m->whole ? VMAHEAP_F_SNAPSHOT : 0,
				   &who)) {
			m->sections++;
			vh_stamp_write(READ_ONCE(m->stamp), vh_clock());
			vh_due(ses, &m->due);
			vh_kick(ses);
		}
		vh_settle(m);
	}
	raw_spin_unlock(&ses->lock);
}

void vh_on_release(struct mm_struct *mm)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm)
		if (m->lo < m->hi)
			release(m, m->lo, m->hi);
}

/*
 * A VMA of mm has grown to [lo, hi) under the read side of mmap_lock, which
 * shuts the mark hooks out but not other reporters: the range that is pending
 * already is widened, never replaced, under session.lock.
 */
void vh_on_growth(struct mm_struct *mm, unsigned long lo, unsigned long hi)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm)
		release(m, lo, hi);
}

void vh_on_madvise(struct mm_struct *mm, unsigned long addr, size_t len,
		   int advice)
{
	struct vh_actor who;
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm) {
		struct vh_session *ses = m->ses;

		raw_spin_lock(&ses->lock);
		if (!ses->dead && !m->dead && !m->exited) {
			vh_actor(ses, &who);
			vh_tell_owed(ses);
			vh_emit_madvise(m, &who, addr, len, advice);
		}
		raw_spin_unlock(&ses->lock);
	}
}

/*
 * A system call of the current task in its own mm. Preemption is off. False:
 * nobody watches it.
 */
bool vh_on_failed(struct mm_struct *mm, int error, u32 reason)
{
	struct vh_actor who;
	struct vh_mm *m;
	bool known = false;

	for_each_entry_of_mm(m, mm) {
		struct vh_session *ses = m->ses;

		known = true;
		raw_spin_lock(&ses->lock);
		if (!ses->dead && !m->dead && !m->exited) {
			vh_actor(ses, &who);
			vh_tell_owed(ses);
			vh_emit_failed(m, &who, error, reason);
		}
		raw_spin_unlock(&ses->lock);
	}
	return known;
}

/* A page fault of the current task in its own mm. Under RCU. */
void vh_on_fault(struct mm_struct *mm, unsigned long addr, u16 flags)
{
	struct vh_actor who;
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm) {
		struct vh_session *ses = m->ses;

		if (!READ_ONCE(m->faults))
			continue;
		raw_spin_lock(&ses->lock);
		if (!ses->dead && !m->dead && !m->exited) {
			vh_actor(ses, &who);
			vh_tell_owed(ses);
			vh_emit_fault(m, &who, addr, flags);
		}
		raw_spin_unlock(&ses->lock);
	}
}

void vh_on_exit_mmap(struct mm_struct *mm)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm) {
		struct vh_session *ses = m->ses;

		raw_spin_lock(&ses->lock);
		if (!ses->dead && !m->dead && !m->exited) {
			m->exited = true;
			vh_fill_bye(m);
			ses->owed++;
			vh_due(ses, &m->due);
			vh_tell_owed(ses);
			vh_kick(ses);
		}
		raw_spin_unlock(&ses->lock);
	}
}

/* --- births of mm entries */

/*
 * With PREEMPT_RT a hook cannot allocate: preemption is off, and the allocator's
 * locks sleep. So the worker keeps spares. Two are needed for a fork.
 */
#define SPARES 256

union entry {
	struct llist_node spare;
	struct vh_mm mm;
	struct vh_proc proc;
};

static LLIST_HEAD(spares); /* taken under vh_table_lock */
static atomic_t nr_spares;

static void *entry_alloc(size_t size, gfp_t gfp)
{
	struct llist_node *node;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT) || gfp != GFP_ATOMIC)
		return kzalloc(size, gfp | __GFP_NOWARN);
	raw_spin_lock(&vh_table_lock);
	node = llist_del_first(&spares);
	raw_spin_unlock(&vh_table_lock);
	if (!node)
		return NULL;
	atomic_dec(&nr_spares);
	return memset(node, 0, sizeof(union entry));
}

/* By a task that may sleep. */
void vh_spares_fill(void)
{
	union entry *e;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		return;
	while (atomic_read(&nr_spares) < SPARES) {
		e = kmalloc(sizeof(*e), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!e)
			return;
		atomic_inc(&nr_spares);
		llist_add(&e->spare, &spares);
	}
}

/* No hook takes one any more. */
void vh_spares_free(void)
{
	union entry *e, *next;

	llist_for_each_entry_safe(e, next, llist_del_all(&spares), spare)
		kfree(e);
}

/* --- births of mm entries */

/*
 * The mmap_lock of an mm that is about to be inserted could not be had. Then all
 * of it is dirty from the beginning: whoever releases the lock next reports it,
 * or the worker does. Before anybody else sees the entry.
 */
static void mm_report_later(struct vh_mm *m)
{
	m->lo = VH_LO;
	m->hi = VH_HI;
	m->whole = true;
	vh_kick(m->ses);
}

static struct vh_mm *mm_alloc_entry(struct vh_proc *p, struct mm_struct *mm,
				    gfp_t gfp)
{
	struct vh_session *ses = p->ses;
	struct vh_mm *m = entry_alloc(sizeof(*m), gfp);

	if (!m)
		return NULL;
	mmgrab(mm);
	m->mm = mm;
	m->ses = ses;
	m->faults = p->flags & VMAHEAP_WATCH_FAULTS;
	m->id = atomic64_inc_return(&last_id);
	m->lo = ULONG_MAX;
	INIT_LIST_HEAD(&m->due.node);
	return m;
}

static void mm_free(struct vh_mm *m)
{
	vh_stamp_put(m->stamp);
	mmdrop(m->mm);
	kfree(m);
}

/*
 * In a hook, which cannot free either: an entry that was not inserted. This is
 * not the last reference to the mm, for the task has it.
 */
static void mm_discard(struct vh_mm *m)
{
	mmdrop(m->mm);
	kfree_rcu(m, free.rcu);
}

/* Under session.lock. */
static struct vh_mm *mm_of_session(struct vh_session *ses, struct mm_struct *mm)
{
	struct vh_mm *m;

	for_each_entry_of_mm(m, mm)
		if (m->ses == ses && !m->dead && !m->exited)
			return m;
	return NULL;
}

/*
 * Begins to report an address space: MM now, and the whole of it with
 * mm_report(). Under session.lock; nothing in the mm can be missed between the
 * two if the caller holds its mmap_lock, or is the only one to know it.
 */
static void mm_insert(struct vh_mm *m, enum vmaheap_mm_cause cause,
		      u64 parent_mm, const struct vh_actor *who, u32 owner,
		      const char *comm)
{
	struct vh_session *ses = m->ses;
	struct vmaheap_rec_mm *hello = &m->hello;
	struct vh_mm *other;

	hello->rec.type = VMAHEAP_REC_MM;
	hello->rec.size = sizeof(*hello);
	hello->rec.mm = m->id;
	hello->rec.tgid = who->tgid;
	hello->rec.tid = who->tid;
	hello->cause = cause;
	hello->parent_mm = parent_mm;
	hello->owner = owner;
	hello->parent = cause == VMAHEAP_MM_FORK ? who->tgid : 0;
	strscpy(hello->comm, comm, sizeof(hello->comm));

	atomic_inc(&vh_users);
	raw_spin_lock(&vh_table_lock);
	for_each_entry_of_mm(other, m->mm)
		if (other->stamp && !m->stamp)
			m->stamp = vh_stamp_get(other->stamp);
	hlist_add_head_rcu(&m->hash, vh_mm_head(m->mm));
	raw_spin_unlock(&vh_table_lock);
	list_add_tail(&m->node, &ses->mms);

	ses->owed++;
	vh_due(ses, &m->due);
	vh_tell_owed(ses);
}

/* Under session.lock and the mmap_lock; what does not fit stays due. */
static void mm_report(struct vh_mm *m, u16 flags, const struct vh_actor *who)
{
	m->lo = VH_LO;
	m->hi = VH_HI;
	if (!m->announced || !vh_emit_range(m, flags, who)) {
		m->sections++;
		vh_due(m->ses, &m->due);
		vh_kick(m->ses);
	}
	vh_settle(m);
}

/* --- process entries */

static struct vh_proc *proc_alloc(struct vh_session *ses, struct pid *pid,
				  u32 flags, gfp_t gfp)
{
	struct vh_proc *p = entry_alloc(sizeof(*p), gfp);

	if (!p)
		return NULL;
	p->pid = get_pid(pid);
	p->ses = ses;
	p->flags = flags;
	p->nr = pid_nr_ns(pid, ses->ns);
	p->due.is_proc = true;
	INIT_LIST_HEAD(&p->due.node);
	return p;
}

static void proc_free(struct vh_proc *p)
{
	put_pid(p->pid);
	kfree(p);
}

/* As mm_discard(). */
static void proc_discard(struct vh_proc *p)
{
	put_pid(p->pid);
	kfree_rcu(p, free.rcu);
}

/* Under session.lock. */
static struct vh_proc *proc_of_session(struct vh_session *ses, struct pid *pid)
{
	struct vh_proc *p;

	hash_for_each_possible_rcu_notrace(procs, p, hash, (unsigned long)pid)
		if (p->pid == pid && p->ses == ses && !p->dead)
			return p;
	return NULL;
}

/* Under session.lock. */
static void proc_insert(struct vh_proc *p)
{
	atomic_inc(&vh_users);
	raw_spin_lock(&vh_table_lock);
	hash_add_rcu(procs, &p->hash, (unsigned long)p->pid);
	raw_spin_unlock(&vh_table_lock);
	list_add_tail(&p->node, &p->ses->procs);
}

/* Under session.lock. */
static void proc_kill(struct vh_proc *p)
{
	p->dead = true;
	p->ses->reap = true;
	vh_kick(p->ses);
}

static bool mm_has_process(struct vh_session *ses, u64 id)
{
	struct vh_proc *p;

	list_for_each_entry(p, &ses->procs, node)
		if (p->mm == id && !p->dead)
			return true;
	return false;
}

/*
 * A process of the session has left the address space `id`. When that was let
 * go of, and a vfork child was all that still held it, nothing else would end
 * it before its owner does. Under session.lock.
 */
static void mm_left(struct vh_session *ses, u64 id)
{
	struct vh_mm *m;

	list_for_each_entry(m, &ses->mms, node) {
		if (m->id != id || !m->let_go || mm_has_process(ses, id))
			continue;
		m->dead = true;
		ses->reap = true;
		vh_kick(ses);
	}
}

/* Nobody wants to know of p any more, nor of where it runs. Under session.lock. */
static void proc_let_go(struct vh_proc *p)
{
	struct vh_session *ses = p->ses;
	struct vh_mm *m;

	proc_kill(p);
	list_for_each_entry(m, &ses->mms, node)
		if (m->id == p->mm)
			m->let_go = true;
	mm_left(ses, p->mm);
}

/* p joins an address space that is already reported. Under session.lock. */
static void proc_join(struct vh_proc *p, struct vh_mm *m,
		      const struct vh_actor *who, u32 parent)
{
	struct vh_session *ses = p->ses;

	p->mm = m->id;
	p->hello = (struct vmaheap_rec_task){
		.rec.type = VMAHEAP_REC_TASK,
		.rec.size = sizeof(p->hello),
		.rec.mm = m->id,
		.rec.tgid = who->tgid,
		.rec.tid = who->tid,
		.owner = p->nr,
		.parent = parent,
	};
	p->task_due = true;
	ses->owed++;
	vh_due(ses, &p->due);
	vh_tell_owed(ses);
}

/* --- births and deaths */

#define for_each_proc_entry(p, ptr)                              \
	hash_for_each_possible_rcu_notrace(procs, p, hash,       \
					   (unsigned long)(ptr)) \
		if ((p)->pid == (ptr) && !READ_ONCE((p)->dead))

/*
 * An entry lives until its end has been told. A reader that is stuck, while the
 * watched fork, would make the kernel keep all that have come and gone since: so
 * there is a limit, in proportion to the ring, and what is beyond it is lost, and
 * counted. Each life owes up to three records.
 */
static bool owes_too_much(struct vh_session *ses)
{
	return ses->owed >= ses->size / 16;
}

/*
 * The child is not running yet (kernel/fork.c 6.1, kernel_clone), so the
 * snapshot of its address space is the one that it was born with. The trylock
 * fails only if somebody else found the new mm; then the worker does it.
 */
static void follow_fork(struct vh_proc *parent, struct task_struct *child)
{
	struct vh_session *ses = parent->ses;
	struct mm_struct *mm = child->mm;
	struct vh_proc *p =
		proc_alloc(ses, task_tgid(child), parent->flags, GFP_ATOMIC);
	struct vh_mm *fresh = mm_alloc_entry(parent, mm, GFP_ATOMIC);
	bool locked = mmap_read_trylock(mm);
	struct vh_actor who;
	struct vh_mm *m;

	raw_spin_lock(&ses->lock);
	if (ses->dead || parent->dead)
		goto out;
	/* It has a PID by now: WATCH may have been faster, and reports it. */
	if (proc_of_session(ses, task_tgid(child)))
		goto stamp;
	if (!p || !fresh || owes_too_much(ses)) {
		vh_lost(ses, VMAHEAP_LOST_CHILD);
		goto out;
	}
	vh_actor(ses, &who);
	m = mm_of_session(ses, mm);
	proc_insert(p);
	if (m) {
		proc_join(p, m, &who, who.tgid);
	} else {
		p->mm = fresh->id;
		if (!locked)
			mm_report_later(fresh);
		mm_insert(fresh, VMAHEAP_MM_FORK, parent->mm, &who, p->nr,
			  child->comm);
		if (locked)
			mm_report(fresh, 0, &who);
		fresh = NULL;
	}
	p = NULL;
stamp:
	/* What the parent does from here on is not the child's. */
	m = mm_of_session(ses, current->mm);
	if (m)
		vh_stamp_write(READ_ONCE(m->stamp), vh_clock());
out:
	raw_spin_unlock(&ses->lock);
	if (locked)
		mmap_read_unlock(mm);
	if (p)
		proc_discard(p);
	if (fresh)
		mm_discard(fresh);
}

void vh_on_fork(struct task_struct *parent, struct task_struct *child)
{
	struct vh_proc *p;

	if (child->tgid == parent->tgid || !child->mm)
		return;
	rcu_read_lock();
	for_each_proc_entry(p, task_tgid(parent))
		if ((READ_ONCE(p->flags) &
		     (VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_ON_EXEC)) ==
		    VMAHEAP_WATCH_FORK)
			follow_fork(p, child);
	rcu_read_unlock();
}

/*
 * The new image is complete and current->mm (fs/exec.c 6.1, exec_binprm). The
 * old one dies by exit_mmap(), or lives on in the parent of a vfork.
 */
static void follow_exec(struct vh_proc *p, struct task_struct *task)
{
	struct vh_session *ses = p->ses;
	struct mm_struct *mm = task->mm;
	struct vh_mm *fresh = mm_alloc_entry(p, mm, GFP_ATOMIC);
	bool locked = mmap_read_trylock(mm);
	struct vh_actor who;
	struct vh_mm *m;
	u64 old;

	raw_spin_lock(&ses->lock);
	if (ses->dead || p->dead)
		goto out;
	old = p->mm;
	m = mm_of_session(ses, mm);
	if (m) { /* WATCH came between the new mm and here */
		p->mm = m->id;
	} else if (!(p->flags & (VMAHEAP_WATCH_EXEC | VMAHEAP_WATCH_ON_EXEC))) {
		proc_kill(p);
	} else if (!fresh || owes_too_much(ses)) {
		p->mm = 0;
		vh_lost(ses, VMAHEAP_LOST_EXEC);
	} else {
		vh_actor(ses, &who);
		if (!locked)
			mm_report_later(fresh);
		mm_insert(fresh, VMAHEAP_MM_EXEC, p->mm, &who, p->nr,
			  task->comm);
		p->mm = fresh->id;
		if (locked)
			mm_report(fresh, 0, &who);
		fresh = NULL;
	}
	mm_left(ses, old);
	if (p->flags & VMAHEAP_WATCH_ON_EXEC)
		WRITE_ONCE(p->flags, p->flags ^ (VMAHEAP_WATCH_ON_EXEC |
						 VMAHEAP_WATCH_EXEC));
out:
	raw_spin_unlock(&ses->lock);
	if (locked)
		mmap_read_unlock(mm);
	if (fresh)
		mm_discard(fresh);
}

void vh_on_exec(struct task_struct *task)
{
	struct vh_proc *p;

	rcu_read_lock();
	for_each_proc_entry(p, task_tgid(task))
		follow_exec(p, task);
	rcu_read_unlock();
}

/* As wait_task_zombie() computes it (kernel/exit.c 5.10 and 6.1). */
static int wait_status(struct task_struct *task)
{
	struct signal_struct *sig = task->signal;

	return sig->flags & SIGNAL_GROUP_EXIT ? sig->group_exit_code :
						task->group_leader->exit_code;
}

/*
 * Told for each thread. signal->live fell to 0 before the last ones come here
 * (kernel/exit.c 6.1, do_exit), maybe two at once: the first one wins.
 */
void vh_on_exit(struct task_struct *task)
{
	struct vh_actor who;
	struct vh_proc *p;

	if (atomic_read(&task->signal->live))
		return;
	rcu_read_lock();
	for_each_proc_entry(p, task_tgid(task)) {
		struct vh_session *ses = p->ses;

		raw_spin_lock(&ses->lock);
		if (!ses->dead && !p->dead) {
			vh_actor(ses, &who);
			p->bye = (struct vmaheap_rec_task_exit){
				.rec.type = VMAHEAP_REC_TASK_EXIT,
				.rec.size = sizeof(p->bye),
				.rec.mm = p->mm,
				.rec.tgid = p->nr,
				.rec.tid = who.tid,
				.status = wait_status(task),
			};
			p->exit_due = true;
			ses->owed++;
			vh_due(ses, &p->due);
			proc_kill(p);
			mm_left(ses, p->mm);
			vh_tell_owed(ses);
		}
		raw_spin_unlock(&ses->lock);
	}
	rcu_read_unlock();
}

/* --- requests */

/* The address space of any thread that has one: the leader may have exited. */
static struct mm_struct *process_mm(struct task_struct *leader)
{
	struct mm_struct *mm = NULL;
	struct task_struct *t;

	rcu_read_lock();
	for_each_thread(leader, t) {
		mm = get_task_mm(t);
		if (mm)
			break;
	}
	rcu_read_unlock();
	return mm;
}

/*
 * The process first, then its address space: an exec in between finds the
 * process and reports the new image itself. Hash insertion and snapshot happen
 * in one read-locked section, so no change lies between them.
 *
 * Nobody waits for the mmap_lock: a process may hold its own for as long as it
 * likes (a page fault on a FUSE file that it serves itself), and all others wait
 * for vh_control meanwhile. Nor does the last user's teardown belong here.
 */
static int attach_mm(struct vh_proc *p, struct task_struct *leader, u64 *id)
{
	static const struct vh_actor nobody = { .syscall = -1 };
	struct vh_session *ses = p->ses;
	struct mm_struct *mm = process_mm(leader);
	struct vh_mm *fresh, *m;
	bool locked;
	int err = 0;

	if (!mm)
		return -ESRCH;
	fresh = mm_alloc_entry(p, mm, GFP_KERNEL_ACCOUNT);
	if (!fresh) {
		err = -ENOMEM;
		goto put;
	}
	locked = mmap_read_trylock(mm);
	raw_spin_lock(&ses->lock);
	m = mm_of_session(ses, mm);
	if (p->dead) {
		err = -ESRCH;
	} else if (p->mm) {
		*id = p->mm;
	} else if (m) {
		*id = m->id;
		m->let_go =
			false; /* it goes with exit_mmap() again, and says so */
		if (p->flags & VMAHEAP_WATCH_FAULTS)
			WRITE_ONCE(m->faults, true);
		proc_join(p, m, &nobody, 0);
	} else {
		*id = p->mm = fresh->id;
		if (!locked)
			mm_report_later(fresh);
		mm_insert(fresh, VMAHEAP_MM_ATTACH, 0, &nobody, p->nr,
			  leader->comm);
		if (locked)
			mm_report(fresh, VMAHEAP_F_SNAPSHOT, &nobody);
		fresh = NULL;
	}
	raw_spin_unlock(&ses->lock);
	if (locked)
		mmap_read_unlock(mm);
	if (fresh)
		mm_free(fresh);
put:
	mmput_async(mm);
	return err;
}

/*
 * Watches the process `nr` of the caller's pid namespace. Under vh_control,
 * with the hooks armed. Errors: see vmaheap.h.
 */
int vh_watch(struct vh_session *ses, u32 nr, u32 flags, u64 *id,
	     struct netlink_ext_ack *extack)
{
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task = pid ? get_pid_task(pid, PIDTYPE_TGID) : NULL;
	struct vh_proc *p;
	int err = -ESRCH;

	if (!task) {
		task = pid ? get_pid_task(pid, PIDTYPE_PID) : NULL;
		if (task) {
			NL_SET_ERR_MSG(
				extack,
				"this PID is a thread; name its process");
			err = -EINVAL;
		} else {
			NL_SET_ERR_MSG(extack,
				       "there is no process with this PID");
		}
		goto out;
	}
	*id = 0;
	vh_spares_fill();
	if (flags & VMAHEAP_WATCH_ON_EXEC)
		flags &= ~VMAHEAP_WATCH_EXEC; /* from that exec on */
	p = proc_alloc(ses, pid, flags, GFP_KERNEL_ACCOUNT);
	if (!p) {
		err = -ENOMEM;
		goto out;
	}
	/* It may die as soon as it is found, and a reaper would free it. */
	mutex_lock(&ses->send);
	raw_spin_lock(&ses->lock);
	if (proc_of_session(ses, pid)) {
		raw_spin_unlock(&ses->lock);
		mutex_unlock(&ses->send);
		proc_free(p);
		NL_SET_ERR_MSG(extack,
			       "this process is already watched by this port");
		err = -EEXIST;
		goto out;
	}
	proc_insert(p);
	raw_spin_unlock(&ses->lock);

	/*
	 * Pairs with the decrement of `live` in do_exit(): either this sees 0,
	 * or vh_on_exit() sees the process.
	 */
	smp_mb();
	if (!atomic_read(&task->signal->live))
		err = -ESRCH;
	else
		err = flags & VMAHEAP_WATCH_ON_EXEC ? 0 :
						      attach_mm(p, task, id);
	if (err) {
		raw_spin_lock(&ses->lock);
		proc_let_go(p); /* an exec may have found it already */
		raw_spin_unlock(&ses->lock);
		if (err == -ESRCH)
			NL_SET_ERR_MSG(extack,
				       "this process has no address space");
	}
	mutex_unlock(&ses->send);
out:
	if (task)
		put_task_struct(task);
	put_pid(pid);
	return err;
}

int vh_unwatch(struct vh_session *ses, u32 nr)
{
	struct pid *pid = find_get_pid(nr);
	struct vh_proc *p;

	raw_spin_lock(&ses->lock);
	p = pid ? proc_of_session(ses, pid) : NULL;
	if (p)
		proc_let_go(p);
	raw_spin_unlock(&ses->lock);
	put_pid(pid);
	return p ? 0 : -ENOENT;
}

/* Asks for the state of the address space `id`, or of all when 0. */
int vh_snapshot(struct vh_session *ses, u64 id)
{
	struct vh_mm *m;
	int found = 0;

	raw_spin_lock(&ses->lock);
	list_for_each_entry(m, &ses->mms, node) {
		if (m->dead || m->exited || (id && m->id != id))
			continue;
		m->snapshot = true;
		vh_due(ses, &m->due);
		found++;
	}
	vh_kick(ses);
	raw_spin_unlock(&ses->lock);
	return found || !id ? 0 : -ENOENT;
}

/* The VMAs of a task and its name, or 0 and "?" when it is about to go. */
static void show_task(struct seq_file *m, struct task_struct *task)
{
	int vmas = 0;

	if (!task) {
		seq_puts(m, " ? vmas=0");
		return;
	}
	task_lock(task);
	if (task->mm)
		vmas = READ_ONCE(task->mm->map_count);
	seq_printf(m, " %*pEs vmas=%d", (int)strnlen(task->comm, TASK_COMM_LEN),
		   task->comm, vmas);
	task_unlock(task);
}

/*
 * A line for each process that the caller's pid namespace can see: the entry
 * that comes first in its bucket speaks.
 */
void vh_show_watched(struct seq_file *m)
{
	struct vh_proc *p, *other, *first;
	int i, sessions;
	u32 nr;

	rcu_read_lock();
	hash_for_each_rcu(procs, i, p, hash) {
		first = NULL;
		sessions = 0;
		for_each_proc_entry(other, p->pid) {
			first = first ?: other;
			sessions++;
		}
		nr = pid_nr_ns(p->pid, task_active_pid_ns(current));
		if (p != first || !nr)
			continue;
		seq_printf(m, "%u", nr);
		show_task(m, pid_task(p->pid, PIDTYPE_TGID));
		seq_printf(m, " sessions=%d\n", sessions);
	}
	rcu_read_unlock();
}

/* --- burials */

static void mm_free_work(struct work_struct *work)
{
	mm_free(container_of(to_rcu_work(work), struct vh_mm, free));
}

static void proc_free_work(struct work_struct *work)
{
	proc_free(container_of(to_rcu_work(work), struct vh_proc, free));
}

static void unhash(struct hlist_node *node)
{
	raw_spin_lock(&vh_table_lock);
	if (hash_hashed(node)) {
		hash_del_rcu(node);
		atomic_dec(&vh_users);
	}
	raw_spin_unlock(&vh_table_lock);
}

/*
 * Takes out the entries about which everything has been said. Under
 * session.send, which keeps entries for the catch-up. A hook may still look at
 * them, so they are freed after a grace period, from a work item: mmdrop() may
 * take locks that a softirq may not.
 */
void vh_reap(struct vh_session *ses)
{
	struct vh_mm *m, *mnext;
	struct vh_proc *p, *pnext;

	raw_spin_lock(&ses->lock);
	if (!ses->reap || ses->dead)
		goto out;
	ses->reap = false;
	list_for_each_entry_safe(m, mnext, &ses->mms, node) {
		if (!m->dead && !m->exit_told)
			continue;
		ses->owed -= !m->announced + (m->exited && !m->exit_told);
		list_del_init(&m->due.node);
		list_del(&m->node);
		unhash(&m->hash);
		INIT_RCU_WORK(&m->free, mm_free_work);
		queue_rcu_work(vh_wq, &m->free);
	}
	list_for_each_entry_safe(p, pnext, &ses->procs, node) {
		if (!p->dead || p->task_due || p->exit_due)
			continue;
		list_del_init(&p->due.node);
		list_del(&p->node);
		unhash(&p->hash);
		INIT_RCU_WORK(&p->free, proc_free_work);
		queue_rcu_work(vh_wq, &p->free);
	}
out:
	raw_spin_unlock(&ses->lock);
}

/* No hook finds an entry of this session any more. */
void vh_forget(struct vh_session *ses)
{
	struct vh_proc *p;
	struct vh_mm *m;

	raw_spin_lock(&ses->lock);
	list_for_each_entry(m, &ses->mms, node)
		unhash(&m->hash);
	list_for_each_entry(p, &ses->procs, node)
		unhash(&p->hash);
	raw_spin_unlock(&ses->lock);
}

/* After a grace period, with the worker stopped. */
void vh_free_entries(struct vh_session *ses)
{
	struct vh_mm *m, *mnext;
	struct vh_proc *p, *pnext;

	list_for_each_entry_safe(m, mnext, &ses->mms, node)
		mm_free(m);
	list_for_each_entry_safe(p, pnext, &ses->procs, node)
		proc_free(p);
}

/*
 * Gives the watched mm a stamp page: the one that it has, or `fresh`. Returns
 * it with a reference of the caller, or NULL when mm is not watched.
 */
struct vh_stamp *vh_stamp_adopt(struct mm_struct *mm, struct vh_stamp *fresh)
{
	struct vh_stamp *stamp = NULL;
	struct vh_mm *m;

	raw_spin_lock(&vh_table_lock);
	for_each_entry_of_mm(m, mm)
		if (m->stamp)
			stamp = m->stamp;
	for_each_entry_of_mm(m, mm) {
		if (!stamp)
			stamp = fresh;
		if (!m->stamp)
			WRITE_ONCE(m->stamp, vh_stamp_get(stamp));
	}
	if (stamp)
		vh_stamp_get(stamp);
	raw_spin_unlock(&vh_table_lock);
	return stamp;
}
