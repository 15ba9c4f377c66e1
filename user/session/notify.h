/* SPDX-License-Identifier: GPL-2.0 */
/* What a service manager wants to hear (sd_notify(3), which this is the protocol of). */
#ifndef SESSION_NOTIFY_H
#define SESSION_NOTIFY_H

/*
 * "READY=1", "STOPPING=1": a datagram to the socket in $NOTIFY_SOCKET. 0, also when
 * nobody asked (it is not set), or -errno.
 */
int notify_manager(const char *state);

#endif
