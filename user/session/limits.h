/* SPDX-License-Identifier: GPL-2.0 */
/* The limits on a process's memory, its own and the machine's. */
#ifndef SESSION_LIMITS_H
#define SESSION_LIMITS_H

#include "output/enomem.h"

/* As they are now. 0; -ESRCH: there is no such process. */
int limits_read(uint32_t pid, struct enomem_limits *l);

#endif
