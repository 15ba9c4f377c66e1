// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "command/command.h"
#include "session/client.h"

static int show_maps(struct view *v, const struct space *s,
		     const struct args *a)
{
	(void)a;
	return output_maps(&v->o, s);
}

int run_maps(const struct command *c, const struct args *a)
{
	if (a->at && !a->nr_rest)
		return usage_of(c, stderr);
	if (a->pid && !a->nr_rest)
		return client_ask("maps", a->pid, a->json);
	if (a->nr_rest != 1)
		return usage_of(c, stderr);
	return view_each(a, a->rest[0], show_maps);
}
