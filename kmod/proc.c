// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/vmaheap/: the module for people and scripts.
 *
 *   status    counters, key: value; shows no address
 *   watched   one line a process; write +PID or -PID
 *   events    the last changes as text (events.c)
 *   stamp     to be mapped by a watched process (stamp.c)
 *
 * What shows addresses or processes asks for CAP_SYS_PTRACE when it is opened,
 * and again at each read and write: a descriptor may have been passed on, and
 * who opened it may not be who looks (vh_may_look()). A stamp shows nothing but
 * a clock, to processes that are watched: its descriptor is there to be passed.
 */
#include <linux/capability.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "vh.h"

struct vh_session *vh_proc_session;

/*
 * May the caller look at other people's address spaces? capable() asks in the
 * initial user namespace: what root of another one may do there is of no account
 * here, since any process can be named.
 */
bool vh_may_look(void)
{
	return capable(CAP_SYS_PTRACE);
}

/* --- status */

static int status_show(struct seq_file *m, void *unused)
{
	struct vmaheap_stats stats = {};

	mutex_lock(&vh_control);
	vh_total_stats(&stats);
	seq_printf(m, "version: %s\n", VH_VERSION);
	seq_printf(m, "sessions: %u\n", stats.sessions);
	seq_printf(m, "processes: %u\n", stats.processes);
	seq_printf(m, "mms: %u\n", stats.mms);
	seq_printf(m, "records: %llu\n", stats.records);
	seq_printf(m, "coalesced: %llu\n", stats.coalesced);
	seq_printf(m, "lost: %llu\n", stats.lost);
	seq_printf(m, "messages: %llu\n", stats.messages);
	seq_printf(m, "retries: %llu\n", stats.retries);
	seq_printf(m, "stamps mapped: %u\n", vh_stamps_mapped());
	seq_printf(m, "hooks armed: %u\n", stats.hooks);
	vh_hooks_show(m);
	vh_failed_show(m);
	vh_fault_show(m);
	mutex_unlock(&vh_control);
	return 0;
}

static int status_open(struct inode *inode, struct file *file)
{
	return single_open(file, status_show, NULL);
}

static const struct proc_ops status_ops = {
	.proc_open = status_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

/* --- watched */

static int watched_show(struct seq_file *m, void *unused)
{
	vh_show_watched(m);
	return 0;
}

static int watched_open(struct inode *inode, struct file *file)
{
	return vh_may_look() ? single_open(file, watched_show, NULL) : -EPERM;
}

static ssize_t watched_read(struct file *file, char __user *buf, size_t count,
			    loff_t *pos)
{
	return vh_may_look() ? seq_read(file, buf, count, pos) : -EPERM;
}

/*
 * The session of /proc begins with the first +PID, and stays. It may be anybody's
 * who may look, so its records have the numbers of the initial pid namespace.
 */
static int session_begin(void)
{
	struct vh_session *ses;

	if (vh_proc_session)
		return 0;
	ses = vh_session_new(0, &init_pid_ns);
	if (!ses)
		return -ENOMEM;
	ses->overwrite = true;
	ses->wait = &vh_events_wait;
	/* Pairs with session() in events.c. */
	smp_store_release(&vh_proc_session, ses);
	return 0;
}

static int watch_pid(u32 pid)
{
	const char *refusal;
	u64 id;
	int err = session_begin();

	if (err)
		return err;
	if (vh_arm(&refusal))
		return -EOPNOTSUPP;
	err = vh_watch(vh_proc_session, pid,
		       VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_EXEC, &id, NULL);
	if (err && !atomic_read(&vh_users))
		vh_disarm();
	return err;
}

static ssize_t watched_write(struct file *file, const char __user *buf,
			     size_t count, loff_t *pos)
{
	char text[16];
	u32 pid;
	int err;

	if (!vh_may_look())
		return -EPERM;
	if (count < 2 || count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = '\0';
	if ((text[0] != '+' && text[0] != '-') || text[1] < '0' ||
	    text[1] > '9' || kstrtou32(text + 1, 10, &pid) || !pid)
		return -EINVAL;
	mutex_lock(&vh_control);
	if (text[0] == '+')
		err = watch_pid(pid);
	else
		err = vh_proc_session ? vh_unwatch(vh_proc_session, pid) :
					-ENOENT;
	mutex_unlock(&vh_control);
	return err ?: count;
}

static const struct proc_ops watched_ops = {
	.proc_open = watched_open,
	.proc_read = watched_read,
	.proc_write = watched_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

/* --- lifetime */

int __init vh_proc_init(void)
{
	struct proc_dir_entry *dir = proc_mkdir("vmaheap", NULL);

	if (dir && proc_create("status", 0444, dir, &status_ops) &&
	    proc_create("watched", 0600, dir, &watched_ops) &&
	    proc_create("events", 0400, dir, &vh_events_ops) &&
	    proc_create("stamp", 0600, dir, &vh_stamp_ops))
		return 0;
	vh_proc_exit();
	return -ENOMEM;
}

/* Returns when no operation of ours runs, and nobody waits on a queue of ours. */
void vh_proc_exit(void)
{
	remove_proc_subtree("vmaheap", NULL);
	vh_events_drain();
}
