// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/words.h"
#include "session/client.h"
#include "session/launch.h"
#include "session/module.h"
#include "session/privilege.h"
#include "session/server.h"
#include "session/wire.h"

#define SHIM "libvmaheap-shim.so"

/* A session in the making or running, and what has to be undone after it. */
struct run {
	const struct record_opts *o;
	const char *alloc; /* "shim", "uprobe", "walk", "none" */
	bool opaque; /* the shim is of no use: it might see new, but no malloc */
	struct launch launch;
	int fd; /* to the daemon */
	pid_t server; /* our own one; 0: there was a daemon */
	int loaded; /* the module was loaded by us */
	char dir[PATH_MAX];
	int dirfd;
	bool made_dir;
	char shim_sock[160];
	pid_t child;
	int go; /* the child waits for this pipe before it calls exec */
	char *taken; /* PATH_MAX bytes: text goes there, not to standard output; NULL */
	bool quiet, gone; /* do not tell that the daemon is gone; it is */
	bool done; /* all that was watched has exited */
	int exec_error; /* and tells an exec that failed through this one */
	sigset_t awake; /* the signals that are blocked but while we wait */
	/* The flight recorder: what has fired, and how often it was emptied. */
	char fired[200];
	unsigned int dumps;
};

/* As we were given it, for the target. */
static struct sigaction sigchld;

/*
 * Where a standard descriptor is closed the next one that is opened, a connection to the
 * daemon, say, would get what is said: now nobody can write to it, as before. Where
 * SIGCHLD is ignored no child's status is to be had (wait(2)).
 */
void client_begin(void)
{
	const struct sigaction as_usual = { .sa_handler = SIG_DFL };
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	sigaction(SIGCHLD, &as_usual, &sigchld);
}

int client_beside(const char *name, char *path, size_t size)
{
	static const char *const places[] = { "", "../lib/vmaheap/" };
	char self[PATH_MAX], real[PATH_MAX], *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (len <= 0)
		return -ENOENT;
	self[len] = 0;
	slash = strrchr(self, '/');
	slash[1] = 0;
	for (i = 0; i < 2; i++) {
		if ((size_t)snprintf(path, size, "%s%s%s", self, places[i],
				     name) >= size ||
		    !realpath(path, real) || strlen(real) >= size)
			continue;
		strcpy(path, real);
		return 0;
	}
	return -ENOENT;
}

int client_shim_path(char *path, size_t size)
{
	return client_beside(SHIM, path, size);
}

/* --- answers -------------------------------------------------------------- */

/*
 * Takes one message and prints it when it is text. Its kind, 0 when the daemon
 * is gone, -EINTR; *status is that of an EXIT.
 */
static int read_message(struct run *r, int *status)
{
	static char buf[WIRE_MAX + 1];
	const char *v;
	ssize_t len;
	int pass;

	len = wire_recv(r->fd, buf, &pass);
	if (len == -EINTR)
		return -EINTR;
	if (len <= 0) {
		r->gone = true;
		if (!r->quiet)
			fprintf(stderr, "vmaheap: the daemon is gone\n");
		*status = STATUS_FAILED;
		return 0;
	}
	if (buf[0] == WIRE_OUT && r->taken)
		snprintf(r->taken, PATH_MAX, "%.*s", PATH_MAX - 1, buf + 1);
	else if (buf[0] == WIRE_OUT)
		fwrite(buf + 1, 1, (size_t)len - 1, stdout);
	else if (buf[0] == WIRE_ERR)
		fwrite(buf + 1, 1, (size_t)len - 1, stderr);
	else if (buf[0] == WIRE_EXIT)
		*status = atoi(buf + 1);
	r->done |= buf[0] == WIRE_DONE;
	if (buf[0] == WIRE_FIRED && !r->fired[0])
		snprintf(r->fired, sizeof(r->fired), "%.199s", buf + 1);
	v = wire_value(buf + 1, (size_t)len - 1, "shim_sock");
	if (buf[0] == WIRE_READY && v)
		snprintf(r->shim_sock, sizeof(r->shim_sock), "%s", v);
	return buf[0];
}

/*
 * Until the message `until`, an EXIT, or the daemon's end. The exit status of an
 * EXIT; 0 for `until`; STATUS_FAILED when the daemon is gone.
 */
static int read_answer(struct run *r, enum wire_kind until)
{
	int kind, status = 0;

	do {
		kind = read_message(r, &status);
	} while (kind && kind != WIRE_EXIT && kind != (int)until);
	return status;
}

/* --- the daemon ------------------------------------------------------------ */

/* Of our own daemon. */
static void server_path(char *path, size_t size)
{
	snprintf(path, size, "%s/%d.sock", wire_dir(), getpid());
}

/* Our own daemon, in a process of its own: it ends when we are gone. */
static int start_server(struct run *r)
{
	char path[200], byte;
	int ready[2], pair[2], err;

	server_path(path, sizeof(path));
	if (pipe2(ready, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	r->server = fork();
	if (!r->server) {
		close(ready[0]);
		close(pair[0]);
		setpgid(0, 0);
		err = server_run(path, WIRE_NO_GROUP, NULL, pair[1], ready[1]);
		if (err)
			fprintf(stderr, "vmaheap: %s: %s\n", path,
				strerror(-err));
		_exit(err ? STATUS_FAILED : 0);
	}
	close(ready[1]);
	close(pair[1]);
	r->fd = pair[0];
	wire_patience(r->fd, 10000);
	err = r->server < 0 ? -errno : read(ready[0], &byte, 1) == 1 ? 0 : -EIO;
	close(ready[0]);
	return err;
}

static int reach_daemon(struct run *r)
{
	char path[200];
	int err;

	snprintf(path, sizeof(path), "%s/vmaheapd.sock", wire_dir());
	r->fd = wire_connect(path);
	if (r->fd >= 0)
		return 0;
	err = start_server(r);
	if (err)
		fprintf(stderr, "vmaheap: no daemon: %s\n", strerror(-err));
	return err;
}

/* What --alloc=none needs is the module itself. */
static void propose_no_module(const struct run *r)
{
	if (strcmp(r->alloc, "none"))
		fprintf(stderr,
			"vmaheap: --kernel=none does without the module: allocator calls and live chunks, VMAs only as sampled%s\n",
			strcmp(r->alloc, "shim") ? "" : ", as any user");
}

static int need_module(struct run *r)
{
	char *why = NULL;

	if (r->o->no_module)
		return 0;
	r->loaded = module_load(&why);
	if (r->loaded < 0) {
		fprintf(stderr, "vmaheap: %s\n",
			why ? why : strerror(-r->loaded));
		propose_no_module(r);
	}
	free(why);
	return r->loaded < 0 ? r->loaded : 0;
}

/* --- the trace's directory -------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void name_dir(struct run *r)
{
	if (r->o->dir)
		snprintf(r->dir, sizeof(r->dir), "%s", r->o->dir);
	else if (r->o->argv)
		snprintf(r->dir, sizeof(r->dir), "vmaheap-%.64s-%d",
			 base_name(r->o->argv[0]), (int)getpid());
	else
		snprintf(r->dir, sizeof(r->dir), "vmaheap-pid-%u", r->o->pid);
}

/* Its descriptor or -errno, said; *made: it was not there. */
static int open_dir(const char *dir, bool *made)
{
	int fd = -1;

	*made = !mkdir(dir, 0777);
	if (*made || errno == EEXIST)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = -errno;
	fprintf(stderr, "vmaheap: %s: %s\n", dir, strerror(errno));
	return fd;
}

static int make_dir(struct run *r)
{
	name_dir(r);
	r->dirfd = open_dir(r->dir, &r->made_dir);
	return r->dirfd < 0 ? r->dirfd : 0;
}

/* A directory that we made and nothing was written to. */
static void drop_dir(struct run *r)
{
	if (r->made_dir)
		rmdir(r->dir);
}

/* --- the request ------------------------------------------------------------ */

static void command_line(const struct run *r, char *text, size_t size)
{
	size_t n = (size_t)snprintf(text, size, "command=");
	char **a;

	if (!r->o->argv) {
		snprintf(text + n, size - n, "pid %u", r->o->pid);
		return;
	}
	for (a = r->o->argv; *a && n < size; a++) {
		const char *q =
			strpbrk(*a, " \t\n\"'$\\*?;&|<>()") || !**a ? "'" : "";

		n += (size_t)snprintf(text + n, size - n, "%s%s%s%s",
				      a == r->o->argv ? "" : " ", q, *a, q);
	}
}

/* How much of the trace is kept. Returns how many there are. */
static size_t limit_args(const struct record_opts *o, char text[4][300],
			 const char **args)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = { { "flight", o->flight },
			{ "max_size", o->max_size },
			{ "max_age", o->max_age } };
	size_t n = 0, i;

	for (i = 0; i < 3; i++) {
		if (!numbers[i].value)
			continue;
		snprintf(text[n], sizeof(text[n]), "%s=%" PRIu64,
			 numbers[i].name, numbers[i].value);
		args[n] = text[n];
		n++;
	}
	if (o->triggers) {
		snprintf(text[n], sizeof(text[n]), "triggers=%s", o->triggers);
		args[n] = text[n];
		n++;
	}
	return n;
}

static int request_start(struct run *r, uint32_t pid)
{
	char pid_arg[32], verify[32], alloc[32], ring[48], stacks[32],
		command[600];
	char probe[PATH_MAX + 8], program[PATH_MAX + 8], limits[4][300];
	const char *args[WIRE_ARGS] = { "start", pid_arg, alloc, command };
	size_t n = 4;
	int err;

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	snprintf(alloc, sizeof(alloc), "alloc=%s", r->alloc);
	command_line(r, command, sizeof(command));
	if (!strcmp(r->alloc, "uprobe") && r->launch.allocator[0]) {
		snprintf(probe, sizeof(probe), "probe=%s", r->launch.allocator);
		snprintf(program, sizeof(program), "program=%s",
			 r->launch.path);
		args[n++] = probe;
		args[n++] = program;
	}
	if (r->o->no_module)
		args[n++] = "no_module=1";
	if (r->o->faults)
		args[n++] = "faults=1";
	if (r->o->follow)
		args[n++] = "follow=1";
	if (r->o->argv)
		args[n++] = "on_exec=1";
	if (r->o->verify_ms) {
		snprintf(verify, sizeof(verify), "verify=%u", r->o->verify_ms);
		args[n++] = verify;
	}
	if (r->o->ring) {
		snprintf(ring, sizeof(ring), "ring=%s", r->o->ring);
		args[n++] = ring;
	}
	if (r->o->stack_bytes) {
		snprintf(stacks, sizeof(stacks), "stacks=%" PRIu64,
			 r->o->stack_bytes);
		args[n++] = stacks;
	}
	n += limit_args(r->o, limits, args + n);
	err = wire_request(r->fd, args, r->dirfd);
	if (!err)
		return read_answer(r, WIRE_READY);
	fprintf(stderr, "vmaheap: the daemon: %s\n", strerror(-err));
	return STATUS_FAILED;
}

/*
 * The target has called exec, and is there still, if only as a zombie: without the
 * module the daemon sees neither by itself.
 */
static void tell_runs(struct run *r)
{
	static const char *const args[] = { "runs", NULL };

	if (r->o->no_module && !wire_request(r->fd, args, -1))
		read_answer(r, WIRE_EXIT);
}

/* The watch ends, whoever is watched still. */
static int request_finish(struct run *r)
{
	static const char *const args[] = { "finish", "now=1", NULL };

	if (wire_request(r->fd, args, -1))
		return STATUS_FAILED;
	return read_answer(r, WIRE_EXIT);
}

/* --- the flight recorder ----------------------------------------------------- */

static volatile sig_atomic_t dump_wanted;

static void on_dump(int sig)
{
	(void)sig;
	dump_wanted = 1;
}

/* SIGUSR1 is for us from here on; it is taken while we wait (r->awake). */
static void catch_dump(struct run *r)
{
	struct sigaction sa = { .sa_handler = on_dump };
	sigset_t block;

	sigemptyset(&block);
	if (r->o->flight) {
		sigaddset(&block, SIGUSR1);
		sigaction(SIGUSR1, &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, &r->awake);
}

/* What it has goes into a directory beside that of the end: DIR.1, DIR.2 ... */
static void dump(struct run *r, const char *because)
{
	static const char *const args[] = { "dump", NULL };
	char dir[PATH_MAX + 16];
	bool made;
	int fd;

	snprintf(dir, sizeof(dir), "%s.%u", r->dir, ++r->dumps);
	fd = open_dir(dir, &made);
	if (fd < 0)
		return;
	if (!wire_request(r->fd, args, fd) && !read_answer(r, WIRE_EXIT))
		fprintf(stderr, "vmaheap: %s: what was recorded is in %s\n",
			because, dir);
	else if (made)
		rmdir(dir); /* what could be written stays */
	close(fd);
}

/* After each wait. */
static void dump_if_asked(struct run *r)
{
	char because[sizeof(r->fired)];

	if (dump_wanted) {
		dump_wanted = 0;
		dump(r, "SIGUSR1");
	}
	while (r->fired[0] && !r->gone) {
		memcpy(because, r->fired, sizeof(because));
		r->fired[0] = 0;
		dump(r, because);
	}
}

/* --- the target ------------------------------------------------------------- */

static void preload(const char *shim_sock)
{
	char shim[PATH_MAX], both[2 * PATH_MAX];
	const char *old = getenv("LD_PRELOAD");

	if (client_shim_path(shim, sizeof(shim)))
		return;
	/* First, or the allocator that is preloaded hides the calls from it. */
	snprintf(both, sizeof(both), "%s%s%s", shim, old && *old ? ":" : "",
		 old && *old ? old : "");
	setenv("LD_PRELOAD", both, 1);
	setenv(SHIM_SOCK_ENV, shim_sock, 1);
}

/* In the child: waits for the word to go (a socket name, may be empty). */
static void child_main(struct run *r, int go, int exec_error)
{
	char sock[160] = "";
	ssize_t len = read(go, sock, sizeof(sock) - 1);
	int err;

	if (len <= 0)
		_exit(STATUS_FAILED); /* no session: the parent has said why */
	if (!strcmp(r->alloc, "shim") && !r->opaque)
		preload(sock);
	sigaction(SIGCHLD, &sigchld, NULL);
	execvp(r->o->argv[0], r->o->argv);
	err = errno;
	if (write(exec_error, &err, sizeof(err)) < 0)
		err = errno;
	_exit(err == ENOENT ? 127 : 126);
}

static int fork_child(struct run *r)
{
	int go[2], error[2];

	if (pipe2(go, O_CLOEXEC) || pipe2(error, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	r->child = fork();
	if (r->child < 0)
		return -errno;
	if (!r->child) {
		close(go[1]);
		close(error[0]);
		child_main(r, go[0], error[1]);
	}
	close(go[0]);
	close(error[1]);
	r->go = go[1];
	r->exec_error = error[0];
	catch_dump(r);
	return 0;
}

/* 0: the target runs; else the errno of its exec. */
static int let_go(struct run *r)
{
	int err = 0;

	if (write(r->go, r->shim_sock, strlen(r->shim_sock) + 1) < 0)
		err = errno;
	close(r->go);
	if (!err && read(r->exec_error, &err, sizeof(err)) < 0)
		err = errno;
	close(r->exec_error);
	return err;
}

static pid_t forward_to;

static void forward(int sig)
{
	if (forward_to > 0)
		kill(forward_to, sig);
}

/*
 * Until the target has exited, printing what the daemon says meanwhile. The
 * daemon's end does not end the wait: the target goes on without it.
 */
static void wait_exit(struct run *r)
{
	struct pollfd p[2] = {
		{ .fd = (int)syscall(SYS_pidfd_open, r->child, 0),
		  .events = POLLIN },
		{ .fd = r->fd, .events = POLLIN },
	};
	int status, n;

	while (p[0].fd >= 0 && !p[0].revents) {
		/* A trigger may have fired while something else was answered. */
		dump_if_asked(r);
		n = ppoll(p, 2, NULL, &r->awake);
		if (n > 0 && p[1].revents && !read_message(r, &status))
			p[1].fd = -1;
		if (n < 0)
			p[0].revents = p[1].revents = 0;
	}
	if (p[0].fd >= 0)
		close(p[0].fd);
}

static int wait_child(struct run *r)
{
	int status;

	forward_to = r->child;
	signal(SIGINT,
	       SIG_IGN); /* the terminal sends it to the target as well */
	signal(SIGQUIT, SIG_IGN);
	signal(SIGTERM, forward);
	signal(SIGHUP, forward);
	wait_exit(r);
	while (waitpid(r->child, &status, 0) < 0)
		if (errno != EINTR)
			return STATUS_FAILED;
	forward_to = 0;
	if (WIFSIGNALED(status)) {
		fprintf(stderr,
			"vmaheap: the target was killed by signal %d (%s)\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

/* --- ^C ------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* It is taken while we wait (r->awake), from here on. */
static void catch_interrupt(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt };
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/*
 * Prints what the daemon says until it says this, or that it ends, or is gone, or
 * somebody says ^C. Returns what it said last; 0: it is gone.
 */
static int await(struct run *r, enum wire_kind until, int *status)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	int kind = -EINTR;

	while (!interrupted && kind && kind != (int)until &&
	       kind != WIRE_EXIT) {
		dump_if_asked(r);
		if (ppoll(&p, 1, NULL, &r->awake) > 0)
			kind = read_message(r, status);
	}
	return kind;
}

/* --- record ------------------------------------------------------------------ */

/* What our daemon would have removed, had it not been killed. */
static void remove_sockets(const struct run *r)
{
	char path[200];

	server_path(path, sizeof(path));
	unlink(path);
	if (r->shim_sock[0])
		unlink(r->shim_sock);
}

static void clean_up(struct run *r)
{
	int status = 0;

	if (r->fd >= 0)
		close(r->fd);
	if (r->server > 0)
		while (waitpid(r->server, &status, 0) < 0 && errno == EINTR)
			;
	if (r->gone && WIFSIGNALED(status)) {
		fprintf(stderr,
			"vmaheap: the daemon was killed by signal %d (%s)\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
		remove_sockets(r);
	}
	if (r->dirfd >= 0)
		close(r->dirfd);
	if (r->loaded == 1 && module_unload())
		fprintf(stderr,
			"vmaheap: the module could not be unloaded: somebody else uses it now\n");
}

/* The allocator calls of what cannot take the shim: by uprobes, or not at all. */
static void choose_other(struct run *r)
{
	const char *what = launch_what(r->launch.kind);
	const char *who = r->o->argv[0];
	bool can_probe = r->launch.kind == LAUNCH_STATIC ||
			 r->launch.kind == LAUNCH_OWN ||
			 r->launch.kind == LAUNCH_BESIDE ||
			 r->launch.kind == LAUNCH_SECURE;

	if (can_probe && !geteuid() && launch_find_allocator(&r->launch)) {
		r->alloc = "uprobe";
		fprintf(stderr,
			"vmaheap: %s %s, so the preloaded shim sees no call of its malloc: uprobes do, at microseconds each\n",
			who, what);
		return;
	}
	/* There the shim sees what goes to the C library's. */
	r->opaque = r->launch.kind != LAUNCH_BESIDE;
	if (r->launch.kind == LAUNCH_OPAQUE)
		r->alloc = "walk";
	else if (r->opaque && !r->o->no_module)
		r->alloc = "none";
	fprintf(stderr,
		"vmaheap: %s %s, so the preloaded shim sees no call of its malloc%s%s\n",
		who, what, r->opaque ? ": allocator opaque" : "",
		can_probe ? " (uprobes need root)" :
		r->launch.kind == LAUNCH_OPAQUE ?
			    ", unless its books are found (--alloc=walk)" :
			    "");
}

static int choose_alloc(struct run *r)
{
	const char *what;

	r->alloc = r->o->alloc;
	if (!r->o->argv)
		return 0;
	launch_look(r->o->argv[0], &r->launch);
	what = launch_what(r->launch.kind);
	if (!strcmp(r->alloc, "uprobe") && !launch_find_allocator(&r->launch)) {
		fprintf(stderr,
			"vmaheap: %s: no malloc found (allocator opaque), so there is nothing to probe\n",
			r->o->argv[0]);
		return -ENOENT;
	}
	if (!what || strcmp(r->alloc, "shim"))
		return 0;
	if (!r->o->alloc_given && !r->o->follow)
		choose_other(r);
	else
		fprintf(stderr,
			"vmaheap: %s %s, so the preloaded shim sees no call of its malloc; those of programs that it executes it may\n",
			r->o->argv[0], what);
	return 0;
}

static int prepare(struct run *r)
{
	char path[PATH_MAX];
	int err = choose_alloc(r);

	if (err)
		return err;
	if (!strcmp(r->alloc, "shim") && r->o->argv &&
	    client_shim_path(path, sizeof(path))) {
		fprintf(stderr,
			"vmaheap: " SHIM
			" is not beside vmaheap nor in ../lib/vmaheap\n");
		return -ENOENT;
	}
	if (need_module(r) || reach_daemon(r) ||
	    (!r->o->no_trace && make_dir(r)))
		return -1;
	return 0;
}

/* What the target started is watched until it has exited, too. */
static int finish_family(struct run *r)
{
	static const char *const args[] = { "finish", NULL };
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	int status = STATUS_FAILED, kind;

	if (wire_request(r->fd, args, -1))
		return STATUS_FAILED;
	catch_interrupt();
	if (!r->done && !poll(&p, 1, 1000))
		fprintf(stderr,
			"vmaheap: what it started is still watched, ^C ends it\n");
	kind = await(r, WIRE_EXIT, &status);
	return kind && kind != WIRE_EXIT ? request_finish(r) : status;
}

/* The target's own exit status, unless there is something to tell. */
static int record_run(struct run *r)
{
	int status, rc, err;

	if (fork_child(r)) {
		fprintf(stderr, "vmaheap: fork: %s\n", strerror(errno));
		return STATUS_FAILED;
	}
	rc = request_start(r, (uint32_t)r->child);
	if (rc) {
		close(r->go); /* the child leaves without a word */
		waitpid(r->child, NULL, 0);
		drop_dir(r);
		return rc;
	}
	err = let_go(r);
	if (err)
		fprintf(stderr, "vmaheap: %s: %s\n", r->o->argv[0],
			strerror(err));
	else
		tell_runs(r);
	privilege_client();
	status = wait_child(r);
	dump_if_asked(r);
	rc = r->o->follow ? finish_family(r) : request_finish(r);
	fprintf(stderr, "vmaheap: trace in %s\n", r->dir);
	return rc && (!status || rc == STATUS_MISMATCH) ? rc : status;
}

int client_record(const struct record_opts *o)
{
	struct run r = { .o = o, .fd = -1, .dirfd = -1 };
	int status = prepare(&r) ? STATUS_FAILED : record_run(&r);

	clean_up(&r);
	return status;
}

/* --- attach ------------------------------------------------------------------ */

static int attach_run(struct run *r)
{
	int rc = request_start(r, r->o->pid);

	if (rc) {
		drop_dir(r);
		return rc;
	}
	privilege_client();
	catch_dump(r);
	fprintf(stderr, "vmaheap: watching process %u, ^C ends it\n",
		r->o->pid);
	catch_interrupt();
	if (await(r, WIRE_DONE, &rc) == WIRE_DONE)
		fprintf(stderr, "vmaheap: process %u has exited\n", r->o->pid);
	if (!rc)
		rc = request_finish(r);
	fprintf(stderr, "vmaheap: trace in %s\n", r->dir);
	return rc;
}

int client_attach(const struct record_opts *o)
{
	struct run r = { .o = o, .fd = -1, .dirfd = -1 };
	int status = prepare(&r) ? STATUS_FAILED : attach_run(&r);

	clean_up(&r);
	return status;
}

/* The same, as long as somebody else wants it. */
struct watch {
	struct record_opts o;
	struct run run;
};

struct watch *client_watch(const struct record_opts *o)
{
	struct watch *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct watch){ .o = *o };
	w->o.no_trace = true;
	w->run = (struct run){ .o = &w->o, .fd = -1, .dirfd = -1 };
	if (!prepare(&w->run) && !request_start(&w->run, o->pid)) {
		privilege_client();
		return w;
	}
	clean_up(&w->run);
	free(w);
	return NULL;
}

int client_watch_end(struct watch *w)
{
	int rc = request_finish(&w->run);

	clean_up(&w->run);
	free(w);
	return rc;
}

/* --- questions ---------------------------------------------------------------- */

static int ask_one(const char *path, const char *const *args, char *taken)
{
	struct run r = { .fd = wire_connect(path),
			 .quiet = true,
			 .taken = taken };
	int rc = -ESRCH;

	if (r.fd < 0)
		return r.fd == -EACCES ? r.fd : -ESRCH;
	if (!wire_request(r.fd, args, -1))
		rc = read_answer(&r, WIRE_EXIT);
	close(r.fd);
	/* One that ends as we ask does not watch it any more. */
	return r.gone ? -ESRCH : rc;
}

struct asking {
	const char *const *args;
	char *taken;
	int rc;
};

static bool ask_next(void *ctx, const char *path)
{
	struct asking *a = ctx;

	a->rc = ask_one(path, a->args, a->taken);
	return a->rc != -ESRCH && a->rc != -EACCES;
}

/*
 * Each daemon is asked in turn: the one that watches the process answers, on
 * standard output, or into PATH_MAX bytes at `taken`.
 */
static int ask_all(const char *const *args, char *taken)
{
	struct asking a = { .args = args, .taken = taken, .rc = -ESRCH };

	wire_each(ask_next, &a);
	return a.rc;
}

/* Asks about process pid, and says what is the matter when nobody answers. */
static int ask_about(uint32_t pid, const char *const *args)
{
	int rc = ask_all(args, NULL);

	if (rc >= 0)
		return rc;
	if (rc == -EACCES)
		fprintf(stderr,
			"vmaheap: the daemon's socket is not for you: run as root (sudo)\n");
	else if (kill((pid_t)pid, 0) && errno == ESRCH)
		fprintf(stderr,
			"vmaheap: process %u: no such process (of watched ones that have ended the last are kept)\n",
			pid);
	else
		fprintf(stderr,
			"vmaheap: process %u is not watched: start it with vmaheap record, or vmaheap attach -p %u\n",
			pid, pid);
	return STATUS_FAILED;
}

int client_ask(const char *question, uint32_t pid, bool json)
{
	char pid_arg[32];
	const char *args[WIRE_ARGS] = { question, pid_arg };

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	if (json)
		args[2] = "json=1";
	return ask_about(pid, args);
}

int client_why(const char *what, uint64_t addr, uint32_t pid, bool json)
{
	char pid_arg[32], what_arg[64];
	const char *args[WIRE_ARGS] = { "why", pid_arg, what_arg };

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	if (what)
		snprintf(what_arg, sizeof(what_arg), "what=%s", what);
	else
		snprintf(what_arg, sizeof(what_arg), "addr=%" PRIx64, addr);
	if (json)
		args[3] = "json=1";
	return ask_all(args, NULL);
}

int client_trace(uint32_t pid, char path[PATH_MAX])
{
	char pid_arg[32];
	const char *args[WIRE_ARGS] = { "trace", pid_arg };

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	path[0] = 0;
	return ask_all(args, path);
}

int client_ask_sites(const char *question, uint32_t pid, const char *by,
		     bool folded, bool json)
{
	char pid_arg[32], by_arg[64];
	const char *args[WIRE_ARGS] = { question, pid_arg, by_arg };
	size_t n = 3;

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	snprintf(by_arg, sizeof(by_arg), "by=%s", by);
	if (folded)
		args[n++] = "folded=1";
	if (json)
		args[n++] = "json=1";
	return ask_about(pid, args);
}

int client_ask_export(uint32_t pid, const char *format)
{
	char pid_arg[32], format_arg[64];
	const char *args[WIRE_ARGS] = { "export", pid_arg, format_arg };

	snprintf(pid_arg, sizeof(pid_arg), "pid=%u", pid);
	snprintf(format_arg, sizeof(format_arg), "format=%s", format);
	return ask_about(pid, args);
}
