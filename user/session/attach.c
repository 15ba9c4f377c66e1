// SPDX-License-Identifier: GPL-2.0
#include "session/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/inject.h"

#define PATH 108 /* struct sockaddr_un */
#define TRIES 25 /* attach_look()s after an exec */

struct attach {
	uint32_t pid;
	int dir; /* the socket's, if it is not among our own files; or -1 */
	char seen[PATH]; /* the socket, as the process sees it */
	struct inject *main; /* NULL: the program that had it is gone */
	struct attach_cost cost; /* of those that are gone, and at last of all */
	unsigned int tries; /* to put it into the next one */
	bool misses; /* see attach_misses() */
	struct inject **others; /* its children */
	size_t nr;
};

struct attach *attach_new(uint32_t pid)
{
	struct attach *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->pid = pid;
	a->dir = -1;
	return a;
}

/* Is the folder of a file of ours the same one for the process? */
static bool sees_folder(uint32_t pid, const char *sock)
{
	char ours[PATH], theirs[2 * PATH];
	struct stat a, b;

	snprintf(ours, sizeof(ours), "%s", sock);
	dirname(ours);
	snprintf(theirs, sizeof(theirs), "/proc/%u/root%s", pid, ours);
	return !stat(ours, &a) && !stat(theirs, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool attach_place(struct attach *a, unsigned int i, const char *sock,
		  char *path, size_t size)
{
	static const char *const folders[] = { "/run", "/tmp", "/dev/shm",
					       "/var/tmp", "/" };
	const char *slash = strrchr(sock, '/'), *folder;
	char root[64];

	if (a->dir >= 0)
		close(a->dir);
	a->dir = -1;
	if (!slash || (!i && sees_folder(a->pid, sock))) {
		snprintf(path, size, "%s", sock);
		snprintf(a->seen, sizeof(a->seen), "%s", sock);
		return !i;
	}
	if (i >= sizeof(folders) / sizeof(*folders))
		return false;
	folder = folders[i];
	snprintf(root, sizeof(root), "/proc/%u/root%s", a->pid, folder);
	a->dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, size, "/proc/self/fd/%d/vmaheap-%s", a->dir, slash + 1);
	snprintf(a->seen, sizeof(a->seen), "%s/vmaheap-%.60s",
		 folder[1] ? folder : "", slash + 1);
	return true;
}

int attach_inject(struct attach *a, char **why)
{
	a->main = inject_open(a->pid, a->seen, why);
	return a->main ? 0 : -1;
}

static void add_cost(struct attach *a)
{
	struct inject_totals t = inject_totals(a->main);

	a->cost.pointers = inject_alive(a->main) ? t.pointers : 0;
	a->cost.stops += t.stops;
	a->cost.stopped_ns += t.stopped_ns;
	if (t.longest_ns > a->cost.longest_ns)
		a->cost.longest_ns = t.longest_ns;
}

char *attach_look(struct attach *a)
{
	char *why = NULL;

	if (a->main && !inject_alive(a->main)) {
		add_cost(a);
		inject_close(a->main);
		a->main = NULL;
		a->tries = TRIES;
	}
	if (a->main) {
		inject_look(a->main);
	} else if (a->tries) {
		a->main = inject_open(a->pid, a->seen, &why);
		a->tries--;
	}
	if (a->tries) {
		free(why);
		why = NULL;
	}
	return why;
}

bool attach_misses(struct attach *a)
{
	if (a->misses || !a->main)
		return false;
	a->misses = inject_totals(a->main).apart;
	return a->misses;
}

static uint64_t silence(struct inject *in)
{
	inject_silence(in);
	return inject_totals(in).unheard;
}

uint64_t attach_silence(struct attach *a, uint32_t pid)
{
	struct inject *in, **o;
	uint64_t unheard;

	if (pid == a->pid && a->main)
		return silence(a->main);
	in = inject_adopt(pid);
	if (!in)
		return 0;
	unheard = silence(in);
	o = realloc(a->others, (a->nr + 1) * sizeof(*o));
	if (o) {
		a->others = o;
		o[a->nr++] = in;
	} else {
		inject_close(in);
	}
	return unheard;
}

unsigned int attach_close(struct attach *a, struct attach_cost *cost)
{
	unsigned int inside = 0;
	size_t i;

	if (a->main) {
		inside += !inject_leave(a->main);
		add_cost(a);
		inject_free(a->main);
	}
	*cost = a->cost;
	for (i = 0; i < a->nr; i++)
		inside += !inject_close(a->others[i]);
	if (a->dir >= 0)
		close(a->dir);
	free(a->others);
	free(a);
	return inside;
}
