// SPDX-License-Identifier: GPL-2.0
#include "session/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>

/*
 * The daemon's:
 *   SYS_PTRACE    the module, /proc/PID, process_vm_readv, stopping a process
 *   SYS_ADMIN     frame numbers in pagemap (intake/proc.c: the kernel's zero pages);
 *                 putting the shim into what has a seccomp filter, and taking it out
 *                 (intake/seccomp.c, remote.c);
 *                 uprobes and BPF on kernels where libbpf asks for it
 *   DAC_OVERRIDE  /proc/PID/pagemap and trace directories of other users
 *   NET_ADMIN     a receive buffer beyond net.core.rmem_max (socket(7),
 *                 SO_RCVBUFFORCE), so that the module seldom has to wait
 */
static const unsigned int daemon_needs[] = { CAP_SYS_PTRACE, CAP_SYS_ADMIN,
					     CAP_DAC_OVERRIDE, CAP_NET_ADMIN };

/*
 * The command's: to unload the module that it loaded, to pass signals on to a
 * target that has become another user, to remove the directory that it made.
 */
static const unsigned int client_needs[] = { CAP_SYS_MODULE, CAP_KILL,
					     CAP_DAC_OVERRIDE };

static int keep(const unsigned int *needs, size_t nr)
{
	unsigned int kept[4];
	size_t i, n = 0;
	capng_select_t what;

	capng_get_caps_process();
	/* Who may not change the bounding set leaves it. */
	what = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) ?
		       CAPNG_SELECT_BOTH :
		       CAPNG_SELECT_CAPS;
	for (i = 0; i < nr; i++)
		if (capng_have_capability(CAPNG_PERMITTED, needs[i]))
			kept[n++] = needs[i];
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < n; i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
			     kept[i]);
	if (capng_apply(what))
		return errno ? -errno : -EPERM;
	return 0;
}

int privilege_daemon(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return keep(daemon_needs,
		    sizeof(daemon_needs) / sizeof(daemon_needs[0]));
}

int privilege_client(void)
{
	return keep(client_needs,
		    sizeof(client_needs) / sizeof(client_needs[0]));
}
