// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/vmaheap/events: the ring of the /proc session as text, a line a record:
 *
 *   12.345678901 mm3 411/412 mprotect(0x7f2c10000000, 0x21000, 0x3):
 *       7f2c10000000-7f2c14000000 = 7f2c10000000-7f2c10021000 rw-p
 *       7f2c10021000-7f2c14000000 ---p
 *
 * (on one line): when, where, who, by which call, and what the range now holds.
 * Each open file has a position of its own; a read ends where
 * the ring ends, poll() tells when there is more, and whoever was too slow is
 * told how many records it missed.
 */
#include <linux/delay.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unistd.h>

#include "vh.h"

/* The longest line: a path of which each character is escaped, and its head. */
#define TEXT (2 * PATH_MAX + 128)
#define RECORD 8192 /* the longest record: FILE, a path and a header */

DECLARE_WAIT_QUEUE_HEAD(vh_events_wait);

struct reader {
	struct mutex lock; /* threads that share the open file */
	u64 pos; /* in the ring */
	u64 next; /* the seq expected there */
	u32 len; /* of text */
	u32 off; /* of what has been read of it */
	char text[TEXT];
	u64 record[RECORD / 8];
};

static const struct {
	s32 nr;
	u8 args;
	const char *name;
} calls[] = {
	{ __NR_mmap, 6, "mmap" },
	{ __NR_munmap, 2, "munmap" },
	{ __NR_brk, 1, "brk" },
	{ __NR_mprotect, 3, "mprotect" },
	{ __NR_mremap, 5, "mremap" },
	{ __NR_madvise, 3, "madvise" },
	{ __NR_mlock, 2, "mlock" },
	{ __NR_munlock, 2, "munlock" },
	{ __NR_remap_file_pages, 5, "remap_file_pages" },
	{ __NR_shmat, 3, "shmat" },
	{ __NR_shmdt, 1, "shmdt" },
	{ __NR_execve, 3, "execve" },
	{ __NR_execveat, 5, "execveat" },
	{ __NR_clone, 5, "clone" },
	{ __NR_clone3, 2, "clone3" },
#ifdef __NR_fork
	{ __NR_fork, 0, "fork" },
	{ __NR_vfork, 0, "vfork" },
#endif
};

/* --- formatting */

#define say(r, fmt, ...) \
	((r)->len +=     \
	 scnprintf((r)->text + (r)->len, TEXT - (r)->len, fmt, ##__VA_ARGS__))

static void say_call(struct reader *r, bool compat, s32 nr, const __u64 *args)
{
	int i, known = -1, n = 6;

	for (i = 0; i < ARRAY_SIZE(calls) && !compat; i++)
		if (calls[i].nr == nr)
			known = i;
	if (known >= 0) {
		n = calls[known].args;
		say(r, "%s(", calls[known].name);
	} else {
		say(r, "%ssyscall_%d(", compat ? "compat_" : "", nr);
	}
	for (i = 0; i < n; i++)
		say(r, "%s0x%llx", i ? ", " : "", args[i]);
	say(r, ")");
}

static void say_range(struct reader *r, const struct vmaheap_rec_range *rec)
{
	u32 i;

	if (rec->syscall < 0)
		say(r, rec->rec.tid ? "fault" : "kernel");
	else
		say_call(r, rec->rec.flags & VMAHEAP_F_COMPAT, rec->syscall,
			 rec->args);
	if (rec->rec.flags & VMAHEAP_F_LATE)
		say(r, " late");
	if (rec->coalesced)
		say(r, " coalesced=%u", rec->coalesced);
	say(r, ": %08llx-%08llx =", rec->lo, rec->hi);
	for (i = 0; i < rec->nr_vmas; i++) {
		u32 f = rec->vmas[i].flags;

		say(r, " %08llx-%08llx %c%c%c%c", rec->vmas[i].start,
		    rec->vmas[i].end, f & VMAHEAP_VMA_READ ? 'r' : '-',
		    f & VMAHEAP_VMA_WRITE ? 'w' : '-',
		    f & VMAHEAP_VMA_EXEC ? 'x' : '-',
		    f & VMAHEAP_VMA_SHARED ? 's' : 'p');
	}
	if (!rec->nr_vmas)
		say(r, " nothing");
}

static void say_mm(struct reader *r, const struct vmaheap_rec_mm *rec)
{
	static const char *const causes[] = { "?", "attach", "fork", "exec" };

	say(r, "new: %s, process %u %*pEs", causes[rec->cause], rec->owner,
	    (int)strnlen(rec->comm, sizeof(rec->comm)), rec->comm);
	if (rec->parent_mm)
		say(r, ", from mm%llu", rec->parent_mm);
}

static void say_record(struct reader *r)
{
	const struct vmaheap_record *rec = (void *)r->record;
	const struct vmaheap_rec_file *file = (void *)rec;
	const struct vmaheap_rec_task *task = (void *)rec;
	const struct vmaheap_rec_task_exit *bye = (void *)rec;
	const struct vmaheap_rec_madvise *adv = (void *)rec;
	const struct vmaheap_rec_lost *lost = (void *)rec;
	const struct vmaheap_rec_failed *failed = (void *)rec;
	const struct vmaheap_rec_fault *fault = (void *)rec;

	say(r, "%llu.%09llu ", rec->ts / NSEC_PER_SEC, rec->ts % NSEC_PER_SEC);
	if (rec->mm)
		say(r, "mm%llu ", rec->mm);
	if (rec->tgid)
		say(r, "%u/%u ", rec->tgid, rec->tid);
	switch (rec->type) {
	case VMAHEAP_REC_MM:
		say_mm(r, (void *)rec);
		break;
	case VMAHEAP_REC_RANGE:
		say_range(r, (void *)rec);
		break;
	case VMAHEAP_REC_FILE:
		say(r, "file %02x:%02x %llu %*pEs", file->dev >> 20,
		    file->dev & 0xfffff, file->ino, (int)file->len, file->path);
		break;
	case VMAHEAP_REC_MM_EXIT:
		say(r, "gone");
		break;
	case VMAHEAP_REC_TASK:
		say(r, "process %u joins", task->owner);
		break;
	case VMAHEAP_REC_TASK_EXIT:
		say(r, "exit status 0x%x", bye->status);
		break;
	case VMAHEAP_REC_MADVISE:
		say(r, "madvise(0x%llx, 0x%llx, %d)", adv->addr, adv->len,
		    adv->advice);
		break;
	case VMAHEAP_REC_FAILED:
		say_call(r, false, failed->syscall, failed->args);
		say(r, " failed: %pe", ERR_PTR(-(long)failed->error));
		break;
	case VMAHEAP_REC_FAULT:
		say(r, "fault at 0x%llx", fault->addr);
		break;
	case VMAHEAP_REC_LOST:
		say(r, "lost: %u of kind %u", lost->count, lost->what);
		break;
	}
	say(r, "\n");
}

/* --- reading */

/* The session that fills the ring, once there was a first +PID; it stays. */
static struct vh_session *session(void)
{
	/* Pairs with the release in proc.c, after which it is complete. */
	return smp_load_acquire(&vh_proc_session);
}

/* Copies the record at r->pos; false at the end of the ring. */
static bool next_record(struct vh_session *ses, struct reader *r, u64 *missed)
{
	struct vmaheap_record *rec = NULL;

	*missed = 0;
	raw_spin_lock(&ses->lock);
	if (r->pos < ses->tail) {
		*missed = ses->first - r->next;
		r->pos = ses->tail;
		r->next = ses->first;
	}
	while (!rec && r->pos < ses->head)
		rec = vh_step(ses, &r->pos);
	if (rec) {
		memcpy(r->record, rec, rec->size);
		r->next = rec->seq + 1;
	}
	raw_spin_unlock(&ses->lock);
	return rec;
}

/* Makes r->text the next line, or leaves it empty. */
static void next_line(struct reader *r)
{
	struct vh_session *ses = session();
	u64 missed;

	r->len = 0;
	r->off = 0;
	if (!ses || !next_record(ses, r, &missed))
		return;
	if (missed)
		say(r, "%llu records lost\n", missed);
	say_record(r);
}

/* The numbers of processes in the text mean nothing in another pid namespace. */
static bool may_read(void)
{
	return vh_may_look() && task_active_pid_ns(current) == &init_pid_ns;
}

static ssize_t events_read(struct file *file, char __user *buf, size_t count,
			   loff_t *pos)
{
	struct reader *r = file->private_data;
	size_t done = 0;

	if (!may_read())
		return -EPERM;
	if (mutex_lock_interruptible(&r->lock))
		return -EINTR;
	while (done < count) {
		u32 n;

		if (r->off == r->len)
			next_line(r);
		n = min_t(size_t, r->len - r->off, count - done);
		if (!n)
			break;
		if (copy_to_user(buf + done, r->text + r->off, n)) {
			mutex_unlock(&r->lock);
			return done ?: -EFAULT;
		}
		r->off += n;
		done += n;
	}
	mutex_unlock(&r->lock);
	return done;
}

static __poll_t events_poll(struct file *file, poll_table *wait)
{
	struct vh_session *ses = session();
	struct reader *r = file->private_data;

	poll_wait(file, &vh_events_wait, wait);
	if (r->off < r->len ||
	    (ses && READ_ONCE(r->pos) < READ_ONCE(ses->head)))
		return EPOLLIN | EPOLLRDNORM;
	return 0;
}

/* A new reader begins with the oldest record that there is. */
static int events_open(struct inode *inode, struct file *file)
{
	struct vh_session *ses = session();
	struct reader *r;

	if (!may_read())
		return -EPERM;
	r = kvzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	mutex_init(&r->lock);
	r->next = 1;
	if (ses) {
		raw_spin_lock(&ses->lock);
		r->pos = ses->tail;
		r->next = ses->first;
		raw_spin_unlock(&ses->lock);
	}
	file->private_data = r;
	return 0;
}

static int events_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
	return 0;
}

const struct proc_ops vh_events_ops = {
	.proc_open = events_open,
	.proc_read = events_read,
	.proc_poll = events_poll,
	.proc_release = events_release,
};

/*
 * The files are gone, but who polls one may still be queued here. POLLFREE
 * makes epoll let go; poll() and select() find the file gone when they wake,
 * and leave.
 */
void vh_events_drain(void)
{
	/* Nobody can join the queue any more, so the bare look at it is safe. */
	while (waitqueue_active(&vh_events_wait)) {
		__wake_up(&vh_events_wait, TASK_NORMAL, 0,
			  poll_to_key(EPOLLHUP | POLLFREE));
		msleep(20);
	}
	/* epoll's side of POLLFREE reads the queue under RCU. */
	synchronize_rcu();
}
