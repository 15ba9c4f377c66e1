// SPDX-License-Identifier: GPL-2.0
/* Warns when it is loaded: tests/vm/selftest wants to see that this fails a run. */
#include <linux/bug.h>
#include <linux/module.h>

static int __init warn_init(void)
{
	WARN(1, "a warning on purpose");
	return 0;
}

static void __exit warn_exit(void)
{
}

module_init(warn_init);
module_exit(warn_exit);
MODULE_DESCRIPTION("a warning on purpose");
MODULE_LICENSE("GPL");
