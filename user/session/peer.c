// SPDX-License-Identifier: GPL-2.0
#include "session/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is the process in our user namespace? False when it cannot be told. */
static bool same_user_ns(uint32_t pid)
{
	struct stat ours, theirs;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%u/ns/user", pid);
	return !stat(path, &theirs) && !stat("/proc/self/ns/user", &ours) &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/*
 * The namespace is that of the process that has the number now. To borrow
 * another's number a peer would have to die, and its successor to be ours; and it
 * would have to be root already, outside of namespaces, to get here.
 */
struct peer peer_of(int fd)
{
	struct peer p = { (uid_t)-1, (gid_t)-1, false };
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return p;
	p.uid = cred.uid;
	p.gid = cred.gid;
	p.trusted = (cred.uid == 0 || cred.uid == geteuid()) && cred.pid > 0 &&
		    same_user_ns((uint32_t)cred.pid);
	return p;
}

/* "Uid:\t0\t0\t0\t0": real, effective, saved, file system; all must be `id`. */
static bool all_are(const char *line, const char *key, uint32_t id)
{
	uint32_t v[4];

	return sscanf(line + strlen(key),
		      "%" SCNu32 "%" SCNu32 "%" SCNu32 "%" SCNu32, &v[0], &v[1],
		      &v[2], &v[3]) == 4 &&
	       v[0] == id && v[1] == id && v[2] == id && v[3] == id;
}

static bool status_allows(const struct peer *p, uint32_t pid)
{
	bool uids = false, gids = false, caps = false;
	char path[48], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Uid:", 4))
			uids = all_are(line, "Uid:", p->uid);
		else if (!strncmp(line, "Gid:", 4))
			gids = all_are(line, "Gid:", p->gid);
		else if (!strncmp(line, "CapPrm:", 7))
			caps = !strcmp(line, "CapPrm:\t0000000000000000\n");
	}
	fclose(f);
	return uids && gids && caps;
}

/* What is not dumpable belongs to root in /proc (proc(5)). */
static bool is_dumpable(const struct peer *p, uint32_t pid)
{
	struct stat st;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	return !stat(path, &st) && st.st_uid == p->uid;
}

bool peer_may_see(const struct peer *p, uint32_t pid)
{
	if (p->trusted)
		return true;
	return p->uid && status_allows(p, pid) && is_dumpable(p, pid) &&
	       same_user_ns(pid);
}
