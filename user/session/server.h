/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon's loop: sessions that clients asked for, and their questions.
 * vmaheapd runs it for good; `vmaheap record` runs one of its own when no
 * daemon does.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include <sys/types.h>

#define METRICS_SECONDS 5

/*
 * Serves at the UNIX socket `path` (wire.h), which is open to `group`, too, unless
 * WIRE_NO_GROUP (who may ask what: peer.h). `owner`: a connection to whom it is for,
 * its first client: it is private, and ends when its last client is gone; -1: none.
 * (An owner who had to connect could come too late: who asks in between would be the
 * last client.) `ready` (a descriptor or -1) gets one byte when clients can connect.
 * `metrics` (or NULL): this file is replaced each METRICS_SECONDS by what
 * export/openmetrics.h tells of all sessions. Ends on SIGTERM (and SIGINT when not
 * private) as well. 0 or -errno.
 */
int server_run(const char *path, gid_t group, const char *metrics, int owner,
	       int ready);

#endif
