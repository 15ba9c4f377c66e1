// SPDX-License-Identifier: GPL-2.0
/*
 * vmaheap: reports every change of the address space of watched processes.
 *
 * What it reports and how to ask for it: uapi/vmaheap.h. Where to begin
 * reading: hooks.c (when), emit.c (what), session.c (how it leaves).
 */
#include <linux/module.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include "vh.h"

unsigned int vh_buffer_kib = 256;
module_param_named(buffer_kib, vh_buffer_kib, uint, 0644);
MODULE_PARM_DESC(
	buffer_kib,
	"room for records that wait, in each session (64 to 65536 KiB)");

struct workqueue_struct *vh_wq;

static int __init vh_init(void)
{
	int err;

	vh_wq = alloc_workqueue("vmaheap", WQ_UNBOUND, 0);
	if (!vh_wq)
		return -ENOMEM;
	err = vh_hooks_init();
	if (err)
		goto hooks;
	err = vh_netlink_init();
	if (err)
		goto hooks;
	err = vh_proc_init();
	if (err)
		goto netlink;
	return 0;

netlink:
	vh_netlink_exit();
	vh_sessions_exit(); /* somebody may have asked already */
hooks:
	vh_hooks_exit();
	rcu_barrier(); /* as below */
	destroy_workqueue(vh_wq);
	return err;
}

/*
 * First nobody can ask for anything more, then nothing is watched, then nothing
 * calls us, then nothing of ours is waiting to run.
 */
static void __exit vh_exit(void)
{
	vh_proc_exit();
	vh_netlink_exit();
	vh_sessions_exit();
	vh_hooks_exit();
	rcu_barrier(); /* the RCU half of rcu_work; the other half is flushed below */
	vh_stamp_exit();
	vh_spares_free();
	destroy_workqueue(vh_wq);
}

module_init(vh_init);
module_exit(vh_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION(
	"Reports every change of the address space of watched processes");
MODULE_VERSION(VH_VERSION);
MODULE_ALIAS_GENL_FAMILY(VMAHEAP_GENL_NAME);
