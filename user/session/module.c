// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session/module.h"

#define MODULE "vmaheap"
#define STATUS "/proc/vmaheap/status"

extern char **environ;

bool module_loaded(void)
{
	return !access(STATUS, F_OK);
}

/* What the errno of init_module(2) means here. */
static const char *load_problem(int err)
{
	switch (err) {
	case EPERM:
		return "loading modules needs root (CAP_SYS_MODULE), and a kernel that is not locked down or a signed module";
	case ENOEXEC:
		return "it is no module for this kernel (wrong version, or not built): run make module";
	case ENOSYS:
		return "this kernel cannot load modules";
	case EKEYREJECTED:
	case ENOKEY:
	case EBADMSG:
		return "this kernel wants modules to be signed (Secure Boot)";
	case EOPNOTSUPP:
	case ENOENT:
		return "this kernel lacks a hook point; dmesg names it";
	default:
		return strerror(err);
	}
}

static int load_file(const char *path, char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0) {
		err = errno;
		if (asprintf(why, "%s: %s", path, strerror(err)) < 0)
			*why = NULL;
		return -err;
	}
	err = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	close(fd);
	if (!err)
		return 1;
	if (err == EEXIST)
		return 0;
	if (asprintf(why, "%s: %s", path, load_problem(err)) < 0)
		*why = NULL;
	return -err;
}

/* With "-n" it only looks whether there is something to load. */
static int run_modprobe(const char *option)
{
	char *argv[] = { "modprobe", "-q", (char *)option, MODULE, NULL };
	int status;
	pid_t pid;

	/* Only root has it on the PATH. */
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) &&
	    posix_spawn(&pid, "/sbin/modprobe", NULL, NULL, argv, environ))
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

bool module_installed(void)
{
	return !run_modprobe("-n");
}

int module_load(char **why)
{
	const char *file = getenv("VMAHEAP_KO");

	*why = NULL;
	if (module_loaded())
		return 0;
	if (file && *file)
		return load_file(file, why);
	if (!run_modprobe("--") && module_loaded())
		return 1;
	if (asprintf(
		    why,
		    "the kernel module is not loaded and modprobe %s did not load it; insmod vmaheap.ko, or name the file in $VMAHEAP_KO (vmaheap doctor tells more)",
		    MODULE) < 0)
		*why = NULL;
	return -ENOENT;
}

/* The watches have just been closed; the module may still be letting them go. */
int module_unload(void)
{
	struct timespec nap = { .tv_nsec = 20000000 };
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (!syscall(SYS_delete_module, MODULE, O_NONBLOCK))
			return 0;
		if (errno != EAGAIN && errno != EBUSY && errno != EWOULDBLOCK)
			return -errno;
		nanosleep(&nap, NULL);
	}
	return -EBUSY;
}
