/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's loop: sessions that clients asked for, and their questions.
 * vmaheapd runs it for good; `vmaheap record` runs one of its own when no
 * daemon does.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

/*
 * Serves at the UNIX socket `path` (wire.h). `private`: ends when its last
 * client is gone. `ready` (a descriptor or -1) gets one byte when clients can
 * connect. Ends on SIGTERM (and SIGINT when not private) as well. 0 or -errno.
 */
int server_run(const char *path, int private, int ready);

#endif
