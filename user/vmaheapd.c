// SPDX-License-Identifier: GPL-2.0
/* The daemon: see session/server.h. */
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>

#include "session/server.h"
#include "session/wire.h"

static int usage(FILE *f, int status)
{
	fputs("usage: vmaheapd [-s SOCKET] [--group=NAME] [--metrics=FILE]\n"
	      "Runs in the foreground until SIGTERM; vmaheap finds it by its socket\n"
	      "(/run/vmaheap/vmaheapd.sock). The socket is root's alone; with --group its\n"
	      "members may ask about processes of their own that root watches. FILE is replaced\n"
	      "every 5 seconds by OpenMetrics text of all that is watched (vmaheap-export(1)).\n",
	      f);
	return status;
}

static int find_group(const char *name, gid_t *group)
{
	const struct group *g = getgrnam(name);

	if (!g) {
		fprintf(stderr, "vmaheapd: there is no group '%s'\n", name);
		return -1;
	}
	*group = g->gr_gid;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "group", required_argument, NULL, 'g' },
		{ "metrics", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	gid_t group = WIRE_NO_GROUP;
	const char *metrics = NULL;
	char path[200];
	int c, err;

	snprintf(path, sizeof(path), "%s/vmaheapd.sock", wire_dir());
	while ((c = getopt_long(argc, argv, "s:h", longopts, NULL)) != -1) {
		if (c == 's')
			snprintf(path, sizeof(path), "%s", optarg);
		else if (c == 'm')
			metrics = optarg;
		else if (c == 'g' && find_group(optarg, &group))
			return 125;
		else if (c != 'g')
			return c == 'h' ? usage(stdout, 0) : usage(stderr, 125);
	}
	if (optind != argc)
		return usage(stderr, 125);
	err = server_run(path, group, metrics, -1, -1);
	if (err)
		fprintf(stderr, "vmaheapd: %s: %s\n", path, strerror(-err));
	return err ? 125 : 0;
}
