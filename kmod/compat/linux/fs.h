/* SPDX-License-Identifier: GPL-2.0 */
#include_next <linux/fs.h>
#ifndef _VH_COMPAT_LINUX_FS_H
#define _VH_COMPAT_LINUX_FS_H

/*
 * Since 6.8 a file of overlayfs is mapped by the file below it, and these lead
 * back to what /proc/PID/maps shows. Before, the mapped file was overlayfs's own.
 */
#ifndef VH_HAS_FILE_USER_INODE
static inline const struct inode *file_user_inode(const struct file *file)
{
	return file_inode(file);
}

static inline const struct path *file_user_path(const struct file *file)
{
	return &file->f_path;
}
#endif

#endif
