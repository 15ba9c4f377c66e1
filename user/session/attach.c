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
#include "intake/proc.h"
#include "session/inside.h"

#define PATH 108 /* struct sockaddr_un */
/* From one look at a program that has been executed to the next, doubled each time. */
#define EXEC_LOOK_MS 1
#define LOOK_MS 200 /* for what a process has loaded */
#define TRIES 32 /* some five seconds */

/* The shim in one process, put there by us, or inherited and about to be taken out. */
struct member {
	uint32_t pid;
	struct inject *in; /* NULL: the program that had it is gone */
	unsigned int tries; /* left, to put it into the next one */
	unsigned int gap_ms;
	uint64_t due; /* ns, the next look */
	struct attach_news news; /* not told yet */
	bool misses; /* told, of this program */
	bool counted; /* in cost.others */
};

struct attach {
	uint32_t pid;
	int dir; /* the socket's, if it is not among our own files; or -1 */
	char seen[PATH]; /* the socket, as the process sees it */
	struct attach_cost cost; /* of those that are gone, and at last of all */
	struct member *members;
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
	snprintf(theirs, sizeof(theirs), "/proc/%u/root%s", proc_number(pid),
		 ours);
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
	snprintf(root, sizeof(root), "/proc/%u/root%s", proc_number(a->pid),
		 folder);
	a->dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, size, "/proc/self/fd/%d/vmaheap-%s", a->dir, slash + 1);
	snprintf(a->seen, sizeof(a->seen), "%s/vmaheap-%.60s",
		 folder[1] ? folder : "", slash + 1);
	return true;
}

static struct member *member_of(struct attach *a, uint32_t pid)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		if (a->members[i].pid == pid)
			return &a->members[i];
	return NULL;
}

static struct member *member_add(struct attach *a, uint32_t pid)
{
	struct member *m = realloc(a->members, (a->nr + 1) * sizeof(*m));

	if (!m)
		return NULL;
	a->members = m;
	m += a->nr++;
	*m = (struct member){ .pid = pid };
	return m;
}

int attach_inject(struct attach *a, char **why)
{
	struct member *m = member_add(a, a->pid);

	if (m)
		m->in = inject_open(a->pid, a->seen, why);
	return m && m->in ? 0 : -1;
}

static void add_cost(struct attach *a, struct member *m)
{
	struct inject_totals t = inject_totals(m->in);

	a->cost.others += m->pid != a->pid && !m->counted;
	m->counted = true;
	a->cost.pointers += inject_alive(m->in) ? t.pointers : 0;
	a->cost.stops += t.stops;
	a->cost.stopped_ns += t.stopped_ns;
	if (t.longest_ns > a->cost.longest_ns)
		a->cost.longest_ns = t.longest_ns;
}

/* The program that had it is gone, and nothing is left to be taken out. */
static void drop(struct attach *a, struct member *m)
{
	add_cost(a, m);
	inject_free(m->in);
	m->in = NULL;
	m->misses = false;
}

void attach_exec(struct attach *a, uint32_t pid)
{
	struct member *m = member_of(a, pid);

	if (!m)
		m = member_add(a, pid);
	if (!m)
		return;
	m->tries = TRIES;
	m->gap_ms = EXEC_LOOK_MS;
	m->due = 0;
}

void attach_gone(struct attach *a, uint32_t pid)
{
	struct member *m = member_of(a, pid);

	if (!m)
		return;
	if (m->in)
		drop(a, m);
	free(m->news.why);
	*m = a->members[--a->nr];
}

static void try_in(struct attach *a, struct member *m)
{
	char *why = NULL;

	m->in = inject_open(m->pid, a->seen, &why);
	m->tries = m->in ? 0 : m->tries - 1;
	m->news.entered = m->in;
	if (m->in || m->tries) {
		free(why);
		why = NULL;
	}
	free(m->news.why);
	m->news.why = why;
}

static void look_at(struct attach *a, struct member *m)
{
	/* attach_exec() or attach_gone() comes, or has come. */
	if (m->in && !inject_alive(m->in))
		drop(a, m);
	if (m->in)
		inject_look(m->in);
	else if (m->tries)
		try_in(a, m);
	if (m->in && !m->misses && inject_totals(m->in).apart)
		m->news.misses = m->misses = true;
	m->gap_ms = !m->in && m->tries && 2 * m->gap_ms < LOOK_MS ?
			    2 * m->gap_ms :
			    LOOK_MS;
	m->due = now_ns() + m->gap_ms * 1000000ull;
}

uint64_t attach_look(struct attach *a, uint64_t now)
{
	uint64_t next = now + LOOK_MS * 1000000ull;
	size_t i;

	for (i = 0; i < a->nr; i++) {
		if (now >= a->members[i].due)
			look_at(a, &a->members[i]);
		if (a->members[i].due < next)
			next = a->members[i].due;
	}
	return next;
}

bool attach_next(struct attach *a, struct attach_news *news)
{
	size_t i;

	for (i = 0; i < a->nr; i++) {
		struct member *m = &a->members[i];

		if (!m->news.entered && !m->news.why && !m->news.misses)
			continue;
		*news = m->news;
		news->pid = m->pid;
		m->news = (struct attach_news){ 0 };
		return true;
	}
	return false;
}

uint64_t attach_silence(struct attach *a, uint32_t pid)
{
	struct member *m = member_of(a, pid);

	if (!m)
		m = member_add(a, pid);
	if (m && !m->in)
		m->in = inject_adopt(pid);
	if (!m || !m->in)
		return 0;
	inject_silence(m->in);
	return inject_totals(m->in).unheard;
}

unsigned int attach_close(struct attach *a, struct attach_cost *cost)
{
	unsigned int inside = 0;
	size_t i;

	for (i = 0; i < a->nr; i++) {
		struct member *m = &a->members[i];

		if (m->in) {
			inside += !inject_leave(m->in);
			add_cost(a, m);
			inject_free(m->in);
		}
		free(m->news.why);
	}
	*cost = a->cost;
	if (a->dir >= 0)
		close(a->dir);
	free(a->members);
	free(a);
	return inside;
}
