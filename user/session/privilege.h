/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SESSION_PRIVILEGE_H
#define SESSION_PRIVILEGE_H

/*
 * Gives up every capability that the rest of the program's work does not need,
 * for good (permitted, bounding set, no_new_privs). 0 or -errno. Who has none
 * gives up none.
 */
int privilege_daemon(void);
/* For `vmaheap record` and `attach` once their target runs. */
int privilege_client(void);

#endif
