// SPDX-License-Identifier: GPL-2.0
#include "session/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "intake/allocator.h"

#define SCRIPTS \
	4 /* interpreters that are scripts (BINPRM_MAX_RECURSION of Linux) */

static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* As execvp(3): a name with a slash is a path, another is looked for in $PATH. */
static bool find_program(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH"), *end;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return is_program(path);
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; dirs; dirs = end) {
		size_t len = strcspn(dirs, ":");

		end = dirs[len] ? dirs + len + 1 : NULL;
		snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, dirs,
			 len ? "/" : "", name);
		if (is_program(path))
			return true;
	}
	return false;
}

/* "#!/usr/bin/perl -w": the path of the interpreter. False: it is no script. */
static bool read_script(const char *path, char interpreter[PATH_MAX])
{
	char line[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	char *start;

	if (fd >= 0)
		close(fd);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = 0;
	start = line + 2 + strspn(line + 2, " \t");
	start[strcspn(start, " \t\n")] = 0;
	snprintf(interpreter, PATH_MAX, "%s", start);
	return true;
}

/*
 * Will the kernel set AT_SECURE (security/commoncap.c, cap_bprm_creds_from_file())?
 * A file system that is mounted nosuid is not asked for: then the shim is there,
 * though it was not expected.
 */
static bool is_secure(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	if (st.st_mode & S_ISUID && st.st_uid != getuid())
		return true;
	if (st.st_mode & S_ISGID && st.st_mode & S_IXGRP &&
	    st.st_gid != getgid())
		return true;
	return getuid() && getxattr(path, "security.capability", NULL, 0) > 0;
}

void launch_look(const char *argv0, struct launch *l)
{
	char next[PATH_MAX];
	struct allocator a, beside;
	int i, err;

	l->kind = LAUNCH_DYNAMIC;
	l->linker[0] = l->allocator[0] = 0;
	if (!find_program(argv0, l->path))
		return;
	for (i = 0; i < SCRIPTS && read_script(l->path, next); i++)
		memcpy(l->path, next, sizeof(next));
	if (realpath(l->path, next))
		memcpy(l->path, next, sizeof(next));
	err = allocator_read(l->path, &a);
	/* The linker, run by its name, loads a program and preloads. */
	if (strstr(l->path, "/ld-"))
		return;
	memcpy(l->linker, a.linker, sizeof(l->linker));
	if (!err)
		memcpy(l->allocator, l->path, sizeof(l->allocator));
	if (is_secure(l->path))
		l->kind = LAUNCH_SECURE;
	else if (a.is_static)
		l->kind = err ? LAUNCH_OPAQUE : LAUNCH_STATIC;
	else if (!err)
		l->kind = LAUNCH_OWN;
	else if (err == -ENOEXEC)
		l->kind = LAUNCH_FOREIGN;
	else if (!allocator_read_beside(l->path, &beside))
		l->kind = LAUNCH_BESIDE;
}

/* Starts "LINKER --list PROGRAM"; what it prints, or NULL. */
static FILE *list_libraries(char *linker, char *program, pid_t *pid)
{
	char *argv[] = { linker, "--list", program, NULL };
	posix_spawn_file_actions_t fa;
	int out[2], err;
	FILE *f;

	if (pipe2(out, O_CLOEXEC))
		return NULL;
	f = fdopen(out[0], "r");
	if (!f)
		goto out_close;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	err = posix_spawn(pid, linker, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(out[1]);
	if (!err)
		return f;
	fclose(f);
	return NULL;

out_close:
	close(out[0]);
	close(out[1]);
	return NULL;
}

/* "\tlibm.so.6 => /lib/libm.so.6 (0x7f...)", "\t/lib/ld.so (0x7f...)": the path. */
static char *library_of(char *line)
{
	char *path = strstr(line, " => "), *end = strstr(line, " (0x");

	path = path ? path + 4 : line + strspn(line, "\t ");
	if (!end || end < path || path[0] != '/')
		return NULL;
	*end = 0;
	return path;
}

static void find_in_libraries(struct launch *l)
{
	char *line = NULL, *path;
	struct allocator a;
	size_t size = 0;
	pid_t pid;
	FILE *f;

	f = list_libraries(l->linker, l->path, &pid);
	if (!f)
		return;
	while (getline(&line, &size, f) > 0) {
		path = l->allocator[0] ? NULL : library_of(line);
		if (path && !allocator_read(path, &a) &&
		    !realpath(path, l->allocator))
			l->allocator[0] = 0;
	}
	free(line);
	fclose(f);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

bool launch_find_allocator(struct launch *l)
{
	if (!l->allocator[0] && l->linker[0])
		find_in_libraries(l);
	return l->allocator[0] || (l->kind == LAUNCH_DYNAMIC && !l->linker[0]);
}

const char *launch_what(enum launch_kind kind)
{
	switch (kind) {
	case LAUNCH_STATIC:
		return "is statically linked";
	case LAUNCH_OWN:
		return "defines malloc itself, which goes before any preloaded one";
	case LAUNCH_BESIDE:
		return "calls an allocator by names of its own (je_malloc, _rjem_malloc, mi_malloc)";
	case LAUNCH_OPAQUE:
		return "is statically linked and has no symbols of an allocator";
	case LAUNCH_SECURE:
		return "runs with other rights than yours (set-user-ID, capabilities)";
	case LAUNCH_FOREIGN:
		return "is no 64-bit program for x86-64";
	case LAUNCH_DYNAMIC:
		break;
	}
	return NULL;
}
