// SPDX-License-Identifier: GPL-2.0
/* The daemon: see session/server.h. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "session/server.h"
#include "session/wire.h"

static int usage(FILE *f, int status)
{
	fputs("usage: vmaheapd [-s SOCKET]\n"
	      "Runs in the foreground until SIGTERM; vmaheap finds it by its socket\n"
	      "(/run/vmaheap/vmaheapd.sock).\n",
	      f);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char path[200];
	int c, err;

	snprintf(path, sizeof(path), "%s/vmaheapd.sock", wire_dir());
	while ((c = getopt_long(argc, argv, "s:h", longopts, NULL)) != -1) {
		if (c == 's')
			snprintf(path, sizeof(path), "%s", optarg);
		else
			return c == 'h' ? usage(stdout, 0) : usage(stderr, 125);
	}
	if (optind != argc)
		return usage(stderr, 125);
	err = server_run(path, 0, -1);
	if (err)
		fprintf(stderr, "vmaheapd: %s: %s\n", path, strerror(-err));
	return err ? 125 : 0;
}
