// SPDX-License-Identifier: GPL-2.0
/*
 * A change becomes a record.
 *
 * A RANGE record says: [lo, hi) now holds exactly these VMAs. It is taken while
 * the mm's mmap_lock is held, so it is one true state, and it names each VMA of
 * the changed range whole:
 *
 *   before   7f10-7f40 rw   mprotect(7f20-7f28, r) ->
 *   record   [7f20, 7f40)   7f20-7f28 r   7f28-7f40 rw
 *
 * What was there before ends where the range begins, so that growing, shrinking,
 * splitting and merging need no word of their own, and what only touches the
 * range none at all.
 *
 * Everything here runs under session.lock, mostly inside a system call of the
 * watched process.
 */
#include <linux/compat.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <asm/syscall.h>

#include "vh.h"

/*
 * A kernel thread is nobody; a worker of io_uring is in no system call of its
 * own. Otherwise the number is -1 where the kernel was entered by a fault or an
 * interrupt: the entry code writes -1 into orig_ax (arch/x86/entry/entry_64.S
 * 6.1, idtentry_body).
 */
void vh_actor(struct vh_session *ses, struct vh_actor *who)
{
	struct pt_regs *regs = task_pt_regs(current);

	if (current->flags & PF_KTHREAD) {
		*who = (struct vh_actor){ .syscall = -1 };
		return;
	}
	if (ses->ns == &init_pid_ns) { /* whose numbers the task itself holds */
		who->tgid = current->tgid;
		who->tid = current->pid;
	} else {
		who->tgid = __task_pid_nr_ns(current, PIDTYPE_TGID, ses->ns);
		who->tid = __task_pid_nr_ns(current, PIDTYPE_PID, ses->ns);
	}
	if (current->flags & PF_IO_WORKER) {
		*who = (struct vh_actor){ .tgid = who->tgid,
					  .tid = who->tid,
					  .syscall = -1 };
		return;
	}
	who->ip = instruction_pointer(regs);
	who->sp = user_stack_pointer(regs);
	who->syscall = syscall_get_nr(current, regs);
	who->compat = who->syscall >= 0 && in_compat_syscall();
}

/* Of the call that vh_actor() has found the current task in. */
static void put_args(__u64 args[6], const struct vh_actor *who)
{
	BUILD_BUG_ON(sizeof(*args) != sizeof(unsigned long));
	if (who->syscall < 0)
		memset(args, 0, 6 * sizeof(*args));
	else
		syscall_get_arguments(current, task_pt_regs(current),
				      (unsigned long *)args);
}

static void head(struct vmaheap_record *rec, u16 type, u32 size, u64 mm,
		 u32 tgid, u32 tid)
{
	rec->type = type;
	rec->size = size;
	rec->mm = mm;
	rec->tgid = tgid;
	rec->tid = tid;
}

/* Puts a record that is complete but for seq and ts in line. */
static bool put(struct vh_session *ses, const struct vmaheap_record *rec)
{
	void *p = vh_reserve(ses, rec->size, VH_KEEP_OWED);

	if (!p)
		return false;
	memcpy(p, rec, rec->size);
	vh_commit(ses, p);
	return true;
}

void vh_due(struct vh_session *ses, struct vh_due *due)
{
	if (list_empty(&due->node))
		list_add_tail(&due->node, &ses->due);
}

static bool tell_mm(struct vh_mm *m)
{
	struct vh_session *ses = m->ses;

	if (!m->announced) {
		if (!put(ses, &m->hello.rec))
			return false;
		m->announced = true;
		ses->owed--;
	}
	if (m->exited && !m->exit_told) {
		if (!put(ses, &m->bye.rec))
			return false;
		m->exit_told = true;
		ses->owed--;
		ses->reap = true;
	}
	vh_settle(m);
	return true;
}

static bool tell_proc(struct vh_proc *p)
{
	struct vh_session *ses = p->ses;

	if (p->task_due) {
		if (!put(ses, &p->hello.rec))
			return false;
		p->task_due = false;
		ses->owed--;
	}
	if (p->exit_due) {
		if (!put(ses, &p->bye.rec))
			return false;
		p->exit_due = false;
		ses->owed--;
	}
	list_del_init(&p->due.node);
	ses->reap |= p->dead; /* the reaper has waited for this */
	return true;
}

static bool tell_lost(struct vh_session *ses)
{
	struct vmaheap_rec_lost rec = {};
	unsigned int what;

	for (what = 1; what < VH_LOST_MAX; what++) {
		if (!ses->lost[what])
			continue;
		head(&rec.rec, VMAHEAP_REC_LOST, sizeof(rec), 0, 0, 0);
		rec.what = what;
		rec.count = ses->lost[what];
		if (!put(ses, &rec.rec))
			return false;
		ses->lost[what] = 0;
		ses->owed--;
	}
	return true;
}

bool vh_tell_all_owed(struct vh_session *ses)
{
	struct vh_due *due, *next;
	bool fits = true;

	list_for_each_entry_safe(due, next, &ses->due, node) {
		fits = due->is_proc ?
			       tell_proc(
				       container_of(due, struct vh_proc, due)) :
			       tell_mm(container_of(due, struct vh_mm, due));
		if (!fits)
			break;
	}
	fits = fits && tell_lost(ses);
	if (!fits)
		vh_kick(ses);
	return fits;
}

void vh_lost(struct vh_session *ses, unsigned int what)
{
	if (!ses->lost[what]++)
		ses->owed++;
	ses->stats.lost++;
	vh_tell_owed(ses);
}

/*
 * ext4 gives the next file the number of one that was removed, and another
 * generation; overlayfs has no generations, but another inode in memory.
 */
static struct vh_file file_id(const struct file *file)
{
	const struct inode *inode = file_user_inode(file);

	return (struct vh_file){
		.ino = inode->i_ino,
		.dev = MAJOR(inode->i_sb->s_dev) << 20 |
		       MINOR(inode->i_sb->s_dev),
		.mine = hash_ptr(inode, 32) ^ inode->i_generation,
	};
}

/* False: no room. A path that is too long or cannot be told is lost. */
static bool put_file(struct vh_session *ses, const struct vh_file *id,
		     const char *path)
{
	struct vmaheap_rec_file *rec;
	size_t len, size;

	if (IS_ERR(path)) {
		vh_lost(ses, VMAHEAP_LOST_FILE);
		return true;
	}
	len = strlen(path);
	size = ALIGN(sizeof(*rec) + len + 1, 8);
	rec = vh_reserve(ses, size, VH_KEEP_CHANGE);
	if (!rec)
		return false;
	memset(rec, 0, sizeof(*rec));
	head(&rec->rec, VMAHEAP_REC_FILE, size, 0, 0, 0);
	rec->ino = id->ino;
	rec->dev = id->dev;
	rec->len = len;
	memset(rec->path + len, 0, size - sizeof(*rec) - len);
	memcpy(rec->path, path, len);
	vh_commit(ses, &rec->rec);
	return true;
}

/* Leaves the file to the worker, soon. */
static void park_file(struct vh_session *ses, struct file *file)
{
	if (ses->nr_parked == ARRAY_SIZE(ses->parked)) {
		vh_lost(ses, VMAHEAP_LOST_FILE);
		return;
	}
	ses->parked[ses->nr_parked++] = get_file(file);
	vh_kick(ses);
}

/*
 * Tells the path of a file that the session may not know yet. False: no room.
 * d_path() does not sleep, and perf_event_mmap() calls it at the same place; but
 * with PREEMPT_RT it may, for the locks of fs/dcache.c do.
 */
static bool tell_file(struct vh_session *ses, struct file *file)
{
	const struct vh_file id = file_id(file);
	struct vh_file *known = &ses->files[hash_64(
		id.ino ^ ((u64)id.dev << 32), ilog2(VH_FILES))];
	const char *path = ERR_PTR(-ESRCH);

	if (known->ino == id.ino && known->dev == id.dev &&
	    known->mine == id.mine)
		return true;
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		park_file(ses, file);
		*known = id;
		return true;
	}
	/* An exiting task has no root to which a path could be relative. */
	if (current->fs)
		path = d_path(file_user_path(file), ses->path,
			      sizeof(ses->path));
	if (!put_file(ses, &id, path))
		return false;
	if (path != ERR_PTR(-ESRCH))
		*known = id;
	return true;
}

/*
 * The worker's part of park_file(). Under session.send, which keeps others from
 * taking files out, and from session.path.
 */
void vh_tell_parked(struct vh_session *ses)
{
	struct vh_file id;
	struct file *file;
	const char *path;
	bool told;

	while (READ_ONCE(ses->nr_parked)) {
		file = ses->parked[0];
		id = file_id(file);
		path = d_path(file_user_path(file), ses->path,
			      sizeof(ses->path));
		raw_spin_lock(&ses->lock);
		told = !ses->dead && put_file(ses, &id, path);
		if (told)
			ses->parked[0] = ses->parked[--ses->nr_parked];
		raw_spin_unlock(&ses->lock);
		if (!told)
			break;
		fput(file);
	}
}

/*
 * [vdso], and [vvar] or [vvar_vclock], name themselves (mm/mmap.c 6.1,
 * special_mapping_name); no other name begins so.
 */
static u32 special_flag(struct vm_area_struct *vma)
{
	const char *name = NULL;

	if (vma->vm_ops && vma->vm_ops->name)
		name = vma->vm_ops->name(vma);
	if (!name || name[0] != '[' || name[1] != 'v')
		return 0;
	return name[2] == 'd' ? VMAHEAP_VMA_VDSO : VMAHEAP_VMA_VVAR;
}

/* No table: the compiler makes a few shifts of this, for each VMA of each record. */
static u32 vma_flags(unsigned long vm)
{
#define FLAG(bit, name) ((vm & (bit)) ? VMAHEAP_VMA_##name : 0)
	return FLAG(VM_READ, READ) | FLAG(VM_WRITE, WRITE) |
	       FLAG(VM_EXEC, EXEC) |
	       FLAG(VM_MAYSHARE, SHARED) | /* the `s` of /proc/PID/maps */
	       FLAG(VM_GROWSDOWN, GROWSDOWN) | FLAG(VM_LOCKED, LOCKED) |
	       FLAG(VM_HUGETLB, HUGETLB) | FLAG(VM_DONTCOPY, DONTCOPY);
#undef FLAG
}

static void fill_vma(struct vmaheap_vma *v, struct vm_area_struct *vma)
{
	struct vh_file file = {};

	v->start = vma->vm_start;
	v->end = vma->vm_end;
	v->flags = vma_flags(vma->vm_flags);
	v->offset = 0;
	if (vma->vm_file) {
		file = file_id(vma->vm_file);
		v->flags |= VMAHEAP_VMA_FILE;
		v->offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	} else {
		v->flags |= special_flag(vma);
	}
	v->ino = file.ino;
	v->dev = file.dev;
}

static u64 counter_bytes(struct mm_struct *mm, int member)
{
	return (u64)get_mm_counter(mm, member) << PAGE_SHIFT;
}

static void fill_range(struct vmaheap_rec_range *rec, struct vh_mm *m,
		       const struct vh_actor *who)
{
	struct mm_struct *mm = m->mm;

	put_args(rec->args, who);
	rec->ip = who->ip;
	rec->sp = who->sp;
	rec->start_brk = mm->start_brk;
	rec->brk = mm->brk;
	rec->start_stack = mm->start_stack;
	rec->rss_file = counter_bytes(mm, MM_FILEPAGES);
	rec->rss_anon = counter_bytes(mm, MM_ANONPAGES);
	rec->rss_shmem = counter_bytes(mm, MM_SHMEMPAGES);
	rec->swap = counter_bytes(mm, MM_SWAPENTS);
	rec->syscall = who->syscall;
	rec->map_count = mm->map_count;
}

/* One part: [lo, hi) with the n VMAs of session.vmas. False: no room. */
static bool put_part(struct vh_mm *m, u16 flags, const struct vh_actor *who,
		     unsigned long lo, unsigned long hi, unsigned int n)
{
	struct vh_session *ses = m->ses;
	struct vmaheap_rec_range *rec;
	u32 size = struct_size(rec, vmas, n);
	unsigned int i;

	for (i = 0; i < n; i++)
		if (ses->vmas[i]->vm_file &&
		    !tell_file(ses, ses->vmas[i]->vm_file))
			return false;
	rec = vh_reserve(ses, size, VH_KEEP_CHANGE);
	if (!rec)
		return false;
	head(&rec->rec, VMAHEAP_REC_RANGE, size, m->id, who->tgid, who->tid);
	rec->rec.flags = flags | (who->compat ? VMAHEAP_F_COMPAT : 0);
	rec->lo = lo;
	rec->hi = hi;
	fill_range(rec, m, who);
	rec->coalesced = m->sections;
	if (rec->coalesced && (flags & VMAHEAP_F_LATE))
		rec->coalesced--; /* the last of them is this record itself */
	rec->nr_vmas = n;
	for (i = 0; i < n; i++)
		fill_vma(&rec->vmas[i], ses->vmas[i]);
	ses->stats.coalesced += rec->coalesced;
	m->sections = 0;
	vh_stamp_write(READ_ONCE(m->stamp), vh_commit(ses, &rec->rec));
	return true;
}

/*
 * Says what [m->lo, m->hi) holds, and makes that range empty. When the ring has
 * no room, false, and the part that is not said stays.
 *
 * A VMA that only touches the range has not changed, for its own store would have
 * been marked. To look for it would cost a search of the tree.
 */
bool vh_emit_range(struct vh_mm *m, u16 flags, const struct vh_actor *who)
{
	struct vh_session *ses = m->ses;
	unsigned long lo = m->lo, hi = m->hi, start, end;
	/* vma_find() takes it for included (6.1) or not (since 6.3). */
	unsigned long last = min(hi, VH_HI);
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned int n;
	bool more;

	vma_iter_init(&vmi, m->mm, lo);
	vma = vma_find(&vmi, last);
	do {
		for (n = 0, end = lo;
		     n < VMAHEAP_RANGE_VMAS && vma && vma->vm_start < hi; n++) {
			ses->vmas[n] = vma;
			end = vma->vm_end;
			vma = end < hi ? vma_find(&vmi, last) : NULL;
		}
		start = n ? min_t(unsigned long, lo, ses->vmas[0]->vm_start) :
			    lo;
		more = vma && vma->vm_start < hi;
		if (!put_part(m, flags | (more ? VMAHEAP_F_MORE : 0), who,
			      start, more ? end : max(end, hi), n)) {
			m->lo = lo;
			return false;
		}
		lo = end;
	} while (more);
	m->lo = ULONG_MAX;
	m->hi = 0;
	m->whole = false;
	return true;
}

/*
 * Room for a record of its own, which owes nothing to others: zeroed, but for its
 * head. NULL: there is none, and it is counted as lost.
 */
static void *single(struct vh_mm *m, const struct vh_actor *who, u16 type,
		    u32 size, u32 keep, unsigned int lost)
{
	void *rec = m->announced ? vh_reserve(m->ses, size, keep) : NULL;

	if (!rec) {
		vh_lost(m->ses, lost);
		return NULL;
	}
	memset(rec, 0, size);
	head(rec, type, size, m->id, who->tgid, who->tid);
	return rec;
}

/* Told at the entry of madvise(); with no room the reader learns how many. */
void vh_emit_madvise(struct vh_mm *m, const struct vh_actor *who, u64 addr,
		     u64 len, int advice)
{
	struct vmaheap_rec_madvise *rec = single(m, who, VMAHEAP_REC_MADVISE,
						 sizeof(*rec), VH_KEEP_CHANGE,
						 VMAHEAP_LOST_MADVISE);

	if (!rec)
		return;
	rec->addr = addr;
	rec->len = len;
	rec->advice = advice;
	vh_stamp_write(READ_ONCE(m->stamp), vh_commit(m->ses, &rec->rec));
}

/* Told as the call returns; it changed nothing, so the stamp stays. */
void vh_emit_failed(struct vh_mm *m, const struct vh_actor *who, int error,
		    u32 reason)
{
	struct vmaheap_rec_failed *rec = single(m, who, VMAHEAP_REC_FAILED,
						sizeof(*rec), VH_KEEP_CHANGE,
						VMAHEAP_LOST_FAILED);

	if (!rec)
		return;
	put_args(rec->args, who);
	rec->syscall = who->syscall;
	rec->error = error;
	rec->reason = reason;
	rec->map_count = READ_ONCE(m->mm->map_count);
	vh_commit(m->ses, &rec->rec);
}

/* It moves the stamp, so that its place among the thread's allocator calls is known. */
void vh_emit_fault(struct vh_mm *m, const struct vh_actor *who, u64 addr,
		   u16 flags)
{
	struct vmaheap_rec_fault *rec = single(m, who, VMAHEAP_REC_FAULT,
					       sizeof(*rec), VH_KEEP_FAULT,
					       VMAHEAP_LOST_FAULT);

	if (!rec)
		return;
	rec->rec.flags = flags;
	rec->addr = addr;
	rec->ip = who->ip;
	rec->syscall = who->syscall;
	if (who->compat)
		rec->rec.flags |= VMAHEAP_F_COMPAT;
	vh_stamp_write(READ_ONCE(m->stamp), vh_commit(m->ses, &rec->rec));
}

void vh_fill_bye(struct vh_mm *m)
{
	struct vmaheap_rec_mm_exit *bye = &m->bye;
	struct vh_actor who;

	vh_actor(m->ses, &who);
	head(&bye->rec, VMAHEAP_REC_MM_EXIT, sizeof(*bye), m->id, who.tgid,
	     who.tid);
	bye->rss_file = counter_bytes(m->mm, MM_FILEPAGES);
	bye->rss_anon = counter_bytes(m->mm, MM_ANONPAGES);
	bye->rss_shmem = counter_bytes(m->mm, MM_SHMEMPAGES);
	bye->swap = counter_bytes(m->mm, MM_SWAPENTS);
	bye->hiwater_rss = (u64)get_mm_hiwater_rss(m->mm) << PAGE_SHIFT;
}
