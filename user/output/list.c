// SPDX-License-Identifier: GPL-2.0
/*
 * What is watched, and how it is now: the short answer, for those who ask every
 * second (top). Nothing is looked at for it: the counters are those of the last
 * round, and resident memory is what the last sample found.
 *
 * --json (top --json): [ one for each process that is watched and lives:
 *   everything that report --json says of a space (`callers` excepted);
 *   alloc, vmas_at, start, now, totals: as maps --json;
 *   socket: where the daemon listens that watches it ]
 * top --json -p PID: one of these.
 */
#include <errno.h>

#include "output/text.h"

int output_list_entry(const struct output *o, const struct space *s)
{
	json_t *j;

	if (!s)
		return -ESRCH;
	j = json_books(o, s, false);
	json_object_set_new(j, "alloc", json_string(o->alloc));
	json_object_set_new(j, "vmas_at",
			    s->vmas_at ? json_u64(s->vmas_at) : json_null());
	json_object_set_new(j, "start", json_u64(o->start));
	json_object_set_new(j, "now", json_u64(o->now));
	json_object_set_new(j, "totals", json_totals(s));
	return json_print(o, j, true);
}
