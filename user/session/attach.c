// SPDX-License-Identifier: GPL-2.0
#include "session/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "intake/inject.h"
#include "intake/proc.h"
#include "session/inside.h"

#define PATH 108 /* struct sockaddr_un */
/*
 * From one look at a program that has been executed to the next, as long as its dynamic
 * linker is at work, for it may fork as soon as that is done; then doubled each time.
 */
#define EXEC_LOOK_MS 1
/* A program that may have loaded it itself calls malloc before that, mostly. */
#define PRELOAD_MS 10
#define LOOK_MS 200 /* for what a process has loaded */
#define TRY_MS 5000 /* to put it into what is executed */
#define PLACES_MAX 256

/* The socket, for the processes that see this one by this name. */
struct place {
	int dir; /* its folder, if it is not among our own files; or -1 */
	char name[PATH]; /* as they see it */
	dev_t dev;
	ino_t ino;
};

/* The shim in one process, put there by us, or inherited and about to be taken out. */
struct member {
	uint32_t pid;
	struct inject *in; /* NULL: the program that had it is gone */
	uint64_t until; /* ns: to be put into the next one; 0: not (any more) */
	bool preloaded; /* it may be in that already */
	unsigned int gap_ms;
	uint64_t due; /* ns, the next look */
	struct attach_news news; /* not told yet */
	bool misses; /* told, of this program */
	bool counted; /* in cost.others */
};

struct attach {
	uint32_t pid;
	char sock[PATH];
	attach_listen_fn listen;
	void *ctx;
	struct place *places;
	size_t nr_places;
	struct attach_cost cost; /* of those that are gone, and at last of all */
	struct member *members;
	size_t nr;
};

struct attach *attach_new(uint32_t pid, const char *sock,
			  attach_listen_fn listen, void *ctx)
{
	struct attach *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	*a = (struct attach){ .pid = pid, .listen = listen, .ctx = ctx };
	snprintf(a->sock, sizeof(a->sock), "%s", sock);
	return a;
}

/* ---- where it finds the socket ---- */

/*
 * A file as the process sees it. A descriptor, or -1. Links of its own are followed among
 * its files, but where a filter forbids openat2() (systemd.exec(5), RestrictSUIDSGID=).
 */
static int open_theirs(uint32_t pid, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags | O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	char root[32];
	int dir, fd;

	snprintf(root, sizeof(root), "/proc/%u/root", proc_number(pid));
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS)
		fd = openat(dir, path[1] ? path + 1 : ".",
			    flags | O_PATH | O_CLOEXEC);
	close(dir);
	return fd;
}

/* It exits or has, and whoever watches it will say so: its memory goes first (exit_mm()). */
static bool is_gone(uint32_t pid)
{
	char exe[32];
	struct stat st;

	snprintf(exe, sizeof(exe), "/proc/%u/exe", proc_number(pid));
	return stat(exe, &st) && errno != EACCES;
}

static bool sees(uint32_t pid, const char *path, dev_t dev, ino_t ino)
{
	int fd = open_theirs(pid, path, 0);
	struct stat st;
	bool same = fd >= 0 && !fstat(fd, &st) && st.st_dev == dev &&
		    st.st_ino == ino;

	if (fd >= 0)
		close(fd);
	return same;
}

/* Is the folder of a file of ours the same one for the process? */
static bool sees_folder(uint32_t pid, const char *sock)
{
	char folder[PATH];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", sock);
	dirname(folder);
	return !stat(folder, &st) && sees(pid, folder, st.st_dev, st.st_ino);
}

/* Listens at path, which the processes of this place know as p->name. 0 or -errno. */
static int place_add(struct attach *a, struct place *p, const char *path)
{
	struct place *all;
	struct stat st;
	int err;

	all = realloc(a->places, (a->nr_places + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	a->places = all;
	err = a->listen(a->ctx, path);
	if (!err && stat(path, &st))
		err = -errno;
	if (err)
		return err;
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	all[a->nr_places++] = *p;
	return 0;
}

int attach_listen(struct attach *a)
{
	struct place p = { .dir = -1 };

	snprintf(p.name, sizeof(p.name), "%s", a->sock);
	return place_add(a, &p, a->sock);
}

/* In a folder of theirs. 0 or -errno. */
static int place_in(struct attach *a, uint32_t pid, const char *folder)
{
	const char *base = strrchr(a->sock, '/') + 1;
	struct place p;
	char path[PATH];
	int err;

	p.dir = open_theirs(pid, folder, O_DIRECTORY);
	if (p.dir < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/vmaheap-%.60s", p.dir,
		 base);
	snprintf(p.name, sizeof(p.name), "%s/vmaheap-%.60s",
		 folder[1] ? folder : "", base);
	err = place_add(a, &p, path);
	if (err)
		close(p.dir);
	return err;
}

static int place_make(struct attach *a, uint32_t pid)
{
	static const char *const folders[] = { "/run", "/tmp", "/dev/shm",
					       "/var/tmp", "/" };
	int err = -EPERM;
	size_t i;

	if (sees_folder(pid, a->sock))
		return attach_listen(a);
	for (i = 0; err && i < sizeof(folders) / sizeof(*folders); i++)
		err = place_in(a, pid, folders[i]);
	return err;
}

/* The socket's name for the process. NULL: none can be, and errno. */
static const char *name_for(struct attach *a, uint32_t pid)
{
	size_t i;
	int err;

	for (i = 0; i < a->nr_places; i++)
		if (sees(pid, a->places[i].name, a->places[i].dev,
			 a->places[i].ino))
			return a->places[i].name;
	err = a->nr_places < PLACES_MAX ? place_make(a, pid) : -ENOSPC;
	errno = -err;
	return err ? NULL : a->places[a->nr_places - 1].name;
}

/* ---- who has it ---- */

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

/* Into the program that it runs now. As inject_open(). */
static void put_in(struct attach *a, struct member *m, bool brief, char **why)
{
	const char *name = name_for(a, m->pid);

	*why = NULL;
	if (name) {
		m->in = inject_open(m->pid, name, brief, why);
		return;
	}
	if (asprintf(why, "no folder that it sees takes a socket: %s",
		     strerror(errno)) < 0)
		*why = NULL;
	errno = EPERM;
}

int attach_inject(struct attach *a, char **why)
{
	struct member *m = member_add(a, a->pid);

	*why = NULL;
	if (m)
		put_in(a, m, false, why);
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

void attach_exec(struct attach *a, uint32_t pid, bool preloaded)
{
	struct member *m = member_of(a, pid);

	if (!m)
		m = member_add(a, pid);
	if (!m)
		return;
	m->until = now_ns() + TRY_MS * 1000000ull;
	m->preloaded = preloaded;
	m->gap_ms = EXEC_LOOK_MS;
	m->due = preloaded ? now_ns() + PRELOAD_MS * 1000000ull : 0;
}

void attach_heard(struct attach *a, uint32_t pid)
{
	struct member *m = member_of(a, pid);

	if (m)
		m->until = 0;
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
	int has = m->preloaded ? inject_preloaded(m->pid) : 0;
	bool last = now_ns() >= m->until;
	char *why;
	int err;

	if (has == 1)
		m->until = 0;
	if (has == 1 || (has == -EAGAIN && !last))
		return;
	put_in(a, m, true, &why);
	err = errno;
	if (!m->in && is_gone(m->pid)) {
		free(why);
		return;
	}
	if (m->in || err == EPERM || last)
		m->until = 0;
	else if (err != EAGAIN && m->gap_ms < LOOK_MS)
		m->gap_ms *= 2;
	m->news.entered = m->in;
	if (m->in || m->until) {
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
	else if (m->until)
		try_in(a, m);
	if (m->in && !m->misses && inject_totals(m->in).apart)
		m->news.misses = m->misses = true;
	m->due = now_ns() + (m->until ? m->gap_ms : LOOK_MS) * 1000000ull;
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
	while (a->nr_places)
		if (a->places[--a->nr_places].dir >= 0)
			close(a->places[a->nr_places].dir);
	free(a->places);
	free(a->members);
	free(a);
	return inside;
}
