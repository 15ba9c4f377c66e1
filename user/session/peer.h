/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is at the other end of the daemon's socket, and may he see this process?
 *
 * Root, and whoever the daemon runs as, may do anything: the kernel has let them
 * have CAP_SYS_PTRACE. Others reach the socket only by --group. They may ask, but
 * start nothing, and only about processes that they could read themselves
 * (ptrace(2), "Ptrace access mode checking", PTRACE_MODE_READ_FSCREDS): all ids
 * theirs, dumpable, without capabilities. Root of another user namespace is nobody.
 */
#ifndef SESSION_PEER_H
#define SESSION_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct peer {
	uid_t uid;
	gid_t gid;
	bool trusted;
};

/* The peer of a connected socket, as it was when it connected. */
struct peer peer_of(int fd);
/* May it see the process as it is now? A process that is gone: nobody's. */
bool peer_may_see(const struct peer *p, uint32_t pid);

#endif
