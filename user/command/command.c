// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/command.h"
#include "session/client.h"

int usage_of(const struct command *c, FILE *f)
{
	fprintf(f, "usage: vmaheap %s %s\n%s\n", c->name, c->synopsis, c->what);
	return f == stdout ? 0 : STATUS_FAILED;
}

int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("vmaheap: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return STATUS_FAILED;
}

int remove_file(const char *name)
{
	struct stat st;

	if (lstat(name, &st))
		return -1;
	if (S_ISREG(st.st_mode))
		return unlink(name);
	errno = EEXIST;
	return -1;
}

bool parse_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(text, &end);
	if (errno || end == text || *end || !(s >= 0 && s < 1e9))
		return false;
	*ns = (uint64_t)(s * 1e9 + 0.5);
	return true;
}
