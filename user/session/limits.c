// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/limits.h"

/* What follows `key` at the beginning of a line of the file; false: nothing does. */
static bool value_in(const char *path, const char *key, char *value,
		     size_t size)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		found = !strncmp(line, key, strlen(key));
		if (found)
			snprintf(value, size, "%s", line + strlen(key));
	}
	fclose(f);
	return found;
}

static bool kib_in(const char *path, const char *key, uint64_t *bytes)
{
	char value[256];

	if (!value_in(path, key, value, sizeof(value)))
		return false;
	*bytes = strtoull(value, NULL, 10) * 1024;
	return true;
}

/* The soft limit, first of its columns: "unlimited", or bytes. */
static bool limit_in(const char *path, const char *key, uint64_t *bytes)
{
	char value[256];
	char *p = value;

	if (!value_in(path, key, value, sizeof(value)))
		return false;
	while (*p == ' ')
		p++;
	*bytes = !strncmp(p, "unlimited", 9) ? LIMIT_NONE :
					       strtoull(p, NULL, 10);
	return true;
}

int limits_read(uint32_t pid, struct enomem_limits *l)
{
	char limits[64], status[64], value[256];

	*l = (struct enomem_limits){ .overcommit = -1 };
	snprintf(limits, sizeof(limits), "/proc/%" PRIu32 "/limits", pid);
	snprintf(status, sizeof(status), "/proc/%" PRIu32 "/status", pid);
	/* VmSize is total_vm, VmData data_vm: what may_expand_vm() compares. */
	if (!kib_in(status, "VmSize:", &l->vm_size))
		return -ESRCH;
	l->has_limits = kib_in(status, "VmData:", &l->vm_data) &&
			limit_in(limits, "Max address space", &l->as) &&
			limit_in(limits, "Max data size", &l->data);
	if (value_in("/proc/sys/vm/max_map_count", "", value, sizeof(value)))
		l->max_map_count = strtoull(value, NULL, 10);
	if (value_in("/proc/sys/vm/overcommit_memory", "", value,
		     sizeof(value)))
		l->overcommit = atoi(value);
	kib_in("/proc/meminfo", "CommitLimit:", &l->commit_limit);
	kib_in("/proc/meminfo", "Committed_AS:", &l->committed);
	return 0;
}
