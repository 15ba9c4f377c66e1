// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/command.h"
#include "export/export.h"
#include "session/client.h"
#include "session/pager.h"
#include "trace/trace.h"

/* NULL: why is said. */
static const struct export_format *parse_format(const struct args *a)
{
	const struct export_format *f = export_format(a->format), *known;

	if (f)
		return f;
	fprintf(stderr, "vmaheap: --format=%s: it is one of", a->format);
	for (size_t i = 0; (known = export_format_at(i)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", known->name);
	putc('\n', stderr);
	return NULL;
}

/* Where it goes to: standard output becomes FILE. 0, or the exit status. */
static int export_to(const struct args *a, const struct export_format *f)
{
	if (f->file && !a->out)
		return fail("--format=%s: it needs -o FILE", f->name);
	if (f->binary && !a->out && isatty(STDOUT_FILENO))
		return fail("--format=%s is nothing for a terminal: -o FILE",
			    f->name);
	if (f->file)
		return remove_file(a->out) && errno != ENOENT ?
			       fail("%s: %s", a->out, strerror(errno)) :
			       0;
	if (a->out && !freopen(a->out, "we", stdout))
		return fail("%s: %s", a->out, strerror(errno));
	return 0;
}

static void export_replay(void *ctx, const struct model_watch *w,
			  void (*told)(void *ctx, const struct outcome *out),
			  void *told_ctx)
{
	replay_listen(ctx, w);
	replay_run(ctx, told, told_ctx);
	replay_listen(ctx, NULL);
}

static int export_view(struct view *v, const struct args *a,
		       const struct export_format *f)
{
	struct export x = { .o = &v->o,
			    .clock_offset = replay_env(v->r)->clock_offset_ns,
			    .replay = export_replay,
			    .replay_ctx = v->r,
			    .command = replay_env(v->r)->command,
			    .pid = a->pid,
			    .path = a->out };
	int err;

	v->o.start = replay_first(v->r);
	if (f->story) {
		if (a->out || !isatty(STDOUT_FILENO))
			replay_on_packet(v->r, progress_show);
		err = f->story(&x);
		progress_end();
		return err;
	}
	if (view_run(v, a))
		return STATUS_FAILED;
	if (a->pid) {
		x.only = model_process(v->o.model, a->pid);
		if (!x.only)
			return fail("%s: process %u is not in this trace",
				    a->rest[0], a->pid);
	}
	return f->state(&x);
}

/* Of a trace as a whole nothing can be chosen. 0, or the exit status. */
static int check_whole(const struct args *a, const struct export_format *f)
{
	if (!a->at && (!a->pid || f->one_process))
		return 0;
	return fail("--format=%s is of a whole trace: without %s", f->name,
		    a->at ? "--at" : "-p");
}

static int export_trace(const struct args *a, const struct export_format *f)
{
	struct view v;
	int err;

	if (f->story && check_whole(a, f))
		return STATUS_FAILED;
	if (view_open(&v, a, a->rest[0]))
		return STATUS_FAILED;
	err = export_view(&v, a, f);
	if (err == -ENODATA)
		err = fail(
			"%s: there are no allocator events in it, and %s tells of nothing else",
			a->rest[0], f->name);
	if (err > 0) {
		view_close(&v, 0);
		return err;
	}
	return view_close(&v, err);
}

/* A directory of files, and closes it. */
static void remove_dir(const char *name, int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0); /* not . and .. */
	if (d)
		closedir(d);
	rmdir(name);
}

/* The trace's own files, into a directory that is new. */
static int copy_trace(const char *dir, int from, const char *name)
{
	uint64_t damage = 0;
	char *why = NULL;
	int to, err;

	if (mkdir(name, 0777))
		return fail("%s: %s", name, strerror(errno));
	to = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = to < 0 ? -errno :
		       trace_ctf2(from, to, progress_show, &damage, &why);
	progress_end();
	if (err) {
		fail("%s: %s", why ? dir : name, why ? why : strerror(-err));
		free(why);
		remove_dir(name, to);
		return STATUS_FAILED;
	}
	close(to);
	return view_damage(damage);
}

static int export_copy(const struct args *a, const struct export_format *f)
{
	int from, status;

	if (!a->out)
		return fail("--format=%s: it needs -o DIR", f->name);
	if (check_whole(a, f))
		return STATUS_FAILED;
	from = open(a->rest[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return fail("%s: %s", a->rest[0], strerror(errno));
	status = copy_trace(a->rest[0], from, a->out);
	close(from);
	return status;
}

int run_export(const struct command *c, const struct args *a)
{
	const struct export_format *f;
	int status;

	if (!a->format || a->nr_rest > 1 || (!a->nr_rest && (!a->pid || a->at)))
		return usage_of(c, stderr);
	f = parse_format(a);
	if (!f)
		return STATUS_FAILED;
	if (!a->nr_rest && !f->state)
		return fail(
			"--format=%s is of a trace: give its DIR, which may still be being written",
			f->name);
	if (f->copy)
		return export_copy(a, f);
	status = export_to(a, f);
	if (status)
		return status;
	if (a->nr_rest)
		status = export_trace(a, f);
	else
		status = client_ask_export(a->pid, f->name);
	/* Of a damaged trace the rest is there, and the status is 1. */
	if (status == STATUS_FAILED && a->out)
		remove_file(a->out);
	return status;
}
