// SPDX-License-Identifier: GPL-2.0
/*
 * The clock of all records, and the page that shows it to a watched process.
 *
 * A thread that reads the page before and after a call knows which records were
 * caused inside: those with before < ts <= after. So the page is written with
 * the ts of each record before the lock that orders the change is released, and
 * never goes back; and since every ts comes from one strictly rising clock, a
 * later record's ts exceeds whatever the page has shown. A tick keeps the page
 * near the present where nothing happens. The process may raise the page itself,
 * to tell the order of its threads' events; what it makes of it is told to nobody
 * else, and the kernel never reads it but to raise it further.
 *
 * The page belongs to whoever still refers to it: the entries of the mm that
 * write it, and each mapping (a reference of the page, which the kernel drops
 * with the mapping). The mapping has no operations of ours, so it may outlive
 * the module; the page then stands still.
 */
#include <linux/cred.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "vh.h"

struct vh_stamp {
	struct kref ref;
	struct list_head node; /* stamps; stamps_lock */
	struct page *page;
	atomic64_t *value; /* at offset 0 of the page */
};

static LIST_HEAD(stamps);
static DEFINE_RAW_SPINLOCK(stamps_lock);
static atomic64_t last_ts;

/* CLOCK_MONOTONIC in ns, but never the same twice. */
u64 vh_clock(void)
{
	s64 old = atomic64_read(&last_ts);
	s64 ts;

	do {
		ts = max_t(s64, ktime_get_mono_fast_ns(), old + 1);
	} while (!atomic64_try_cmpxchg(&last_ts, &old, ts));
	return ts;
}

/* Raises the stamp to ts. Any number of writers; stamp may be NULL. */
void vh_stamp_write(struct vh_stamp *stamp, u64 ts)
{
	s64 old;

	if (!stamp)
		return;
	old = atomic64_read(stamp->value);
	while (old < (s64)ts && !atomic64_try_cmpxchg(stamp->value, &old, ts))
		;
}

struct vh_stamp *vh_stamp_get(struct vh_stamp *stamp)
{
	kref_get(&stamp->ref);
	return stamp;
}

static void stamp_free(struct kref *ref)
{
	struct vh_stamp *stamp = container_of(ref, struct vh_stamp, ref);

	raw_spin_lock(&stamps_lock);
	list_del(&stamp->node);
	raw_spin_unlock(&stamps_lock);
	__free_page(stamp->page);
	kfree(stamp);
}

void vh_stamp_put(struct vh_stamp *stamp)
{
	if (stamp)
		kref_put(&stamp->ref, stamp_free);
}

static struct vh_stamp *stamp_new(void)
{
	struct vh_stamp *stamp = kzalloc(sizeof(*stamp), GFP_KERNEL_ACCOUNT);

	if (!stamp)
		return NULL;
	stamp->page = alloc_page(VH_GFP_MAPPED | __GFP_ZERO);
	if (!stamp->page) {
		kfree(stamp);
		return NULL;
	}
	kref_init(&stamp->ref);
	stamp->value = page_address(stamp->page);
	raw_spin_lock(&stamps_lock);
	list_add(&stamp->node, &stamps);
	raw_spin_unlock(&stamps_lock);
	return stamp;
}

/* One reference is the stamp's own, each mapping holds another. */
unsigned int vh_stamps_mapped(void)
{
	struct vh_stamp *stamp;
	unsigned int n = 0;

	raw_spin_lock(&stamps_lock);
	list_for_each_entry(stamp, &stamps, node)
		n += page_count(stamp->page) > 1;
	raw_spin_unlock(&stamps_lock);
	return n;
}

static void tick_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(tick, tick_work);

static void tick_work(struct work_struct *work)
{
	struct vh_stamp *stamp;
	bool mapped = false;
	u64 now;

	raw_spin_lock(&stamps_lock);
	now = vh_clock();
	list_for_each_entry(stamp, &stamps, node) {
		mapped |= page_count(stamp->page) > 1;
		vh_stamp_write(stamp, now);
	}
	raw_spin_unlock(&stamps_lock);
	if (mapped)
		queue_delayed_work(vh_wq, &tick, 1);
}

/* Runs under the mmap_lock of the caller: vh_control is out of reach here. */
static int stamp_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vh_stamp *fresh, *stamp;
	int err;

	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != PAGE_SIZE ||
	    !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	fresh = stamp_new();
	if (!fresh)
		return -ENOMEM;
	stamp = vh_stamp_adopt(vma->vm_mm, fresh);
	vh_stamp_put(fresh);
	if (!stamp)
		return -ESRCH;
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
		     VM_MAYEXEC);
	vh_stamp_write(stamp, vh_clock());
	err = vm_insert_page(vma, vma->vm_start, stamp->page);
	if (!err)
		queue_delayed_work(vh_wq, &tick, 1);
	vh_stamp_put(stamp);
	return err;
}

static int stamp_open(struct inode *inode, struct file *file)
{
	return vh_may_look() ? 0 : -EPERM;
}

const struct proc_ops vh_stamp_ops = {
	.proc_open = stamp_open,
	.proc_mmap = stamp_mmap,
};

/* After /proc/vmaheap/stamp and the last entry have gone. */
void vh_stamp_exit(void)
{
	cancel_delayed_work_sync(&tick);
}
