// SPDX-License-Identifier: GPL-2.0
/*
 * The files that processes have mapped, and whether whoever reads the trace will find
 * them, for that is where names come from:
 *
 *   /usr/lib/x86_64-linux-gnu/libc.so.6    this very file: nothing is to be done
 *   /srv/server                            a container's: another one here, or none
 *   /usr/bin/python3.11                    a newer one has replaced it meanwhile
 *
 * Of the last two the trace keeps the symbols, as long as a process has the file mapped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/build_id.h"
#include "intake/proc.h"
#include "intake/symbol_tables.h"
#include "session/inside.h"

static bool drop(void *val, void *ctx)
{
	struct mapped_file *f = val;

	(void)ctx;
	free(f->path);
	free(f);
	return true;
}

void session_free_files(struct session *s)
{
	hash_filter(&s->files, drop, NULL);
	hash_destroy(&s->files);
}

struct mapped_file *session_file(struct session *s, uint32_t dev, uint64_t ino)
{
	struct mapped_file *f = hash_get(&s->files, dev, ino);

	if (f)
		return f;
	if (s->files.nr == FILES_MAX) /* then they are read again */
		session_free_files(s);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->dev = dev;
	f->ino = ino;
	if (!hash_put(&s->files, dev, ino, f))
		return f;
	free(f);
	return NULL;
}

void session_note_path(struct session *s, const struct event *ev)
{
	struct mapped_file *f = session_file(s, ev->file.dev, ev->file.ino);
	char *path = f ? strdup(ev->file.path) : NULL;

	if (!path)
		return;
	free(f->path);
	f->path = path;
}

/* (Or the path is not told yet.) */
static bool is_here(const struct mapped_file *f)
{
	struct stat st;

	return !f->path || (!stat(f->path, &st) && st.st_dev == f->st_dev &&
			    st.st_ino == f->st_ino);
}

/* What the trace has no room for, or cannot be read, goes without. */
static void keep_symbols(struct session *s, int fd)
{
	uint8_t id[BUILD_ID_BYTES];
	char hex[2 * BUILD_ID_BYTES + 1];
	int i, len = build_id_read(fd, id);
	size_t bytes;
	void *p;

	if (len <= 0 || symbol_tables_read(fd, &p, &bytes))
		return;
	for (i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	trace_symbols(s->trace, hex, p, bytes);
	free(p);
}

void session_mind_file(struct session *s, struct mapped_file *f, int fd)
{
	struct stat st;

	if (!s->trace || fstat(fd, &st))
		return;
	f->st_dev = st.st_dev;
	f->st_ino = st.st_ino;
	f->minded = is_here(f);
	if (!f->minded)
		keep_symbols(s, fd);
}

static bool keep_of(struct session *s, const struct space *sp,
		    const struct mapped_file *f)
{
	size_t i, nr = vma_map_count(sp->vmas);
	int fd;

	for (i = 0; i < nr; i++) {
		const struct vma_desc *d = &vma_map_at(sp->vmas, i)->d;

		if (!(d->flags & VMA_FILE) || d->ino != f->ino ||
		    d->dev != f->dev)
			continue;
		fd = proc_open_mapped(sp->owner, d);
		if (fd < 0)
			continue;
		keep_symbols(s, fd);
		close(fd);
		return true;
	}
	return false;
}

static bool look_for(void *val, void *ctx)
{
	struct mapped_file *f = val;
	struct session *s = ctx;
	bool kept = false;
	size_t i;

	if (!f->minded || is_here(f))
		return false;
	f->minded = false;
	for (i = 0; i < s->nr_processes && !kept; i++) {
		const struct process *p = s->processes[i];
		const struct space *sp =
			p->alive ? session_living_space(s, p->tgid) : NULL;

		kept = sp && keep_of(s, sp, f);
	}
	return false;
}

void session_look_for_files(struct session *s)
{
	hash_filter(&s->files, look_for, s);
}
