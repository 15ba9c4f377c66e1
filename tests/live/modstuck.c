// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that get in the way of whoever watches them.
 *
 *   modstuck lock DIR   serves a FUSE file below DIR, and has a child that maps it:
 *                       one thread faults on a page whose writeback the server
 *                       does not answer, another waits for the mmap_lock behind
 *                       it. Prints "stuck PID"; answers after a line on stdin, and
 *                       prints "free"; ends with stdin.
 *   modstuck forks N    forks N children, one after the other, which exit at once
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* --- the child */

static char *page;
static int start[2], tids[2];

static void *lock_seeker(void *unused)
{
	pid_t tid = gettid();
	char c;

	if (write(tids[1], &tid, sizeof(tid)) != sizeof(tid) ||
	    read(start[0], &c, 1) != 1)
		die("pipe");
	/*
	 * Of the same VMA: with per-VMA locks it holds mmap_lock, and waits. The
	 * write that it waits for may be tried again behind it, and is still allowed.
	 */
	mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	return unused;
}

static void child(const char *path)
{
	pthread_t thread;
	int fd = open(path, O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0)
		die(path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		die("mmap");
	if (pthread_create(&thread, NULL, lock_seeker, NULL))
		die("thread");
	page[0] = 1;
	if (sync_file_range(fd, 0, PAGE, SYNC_FILE_RANGE_WRITE))
		die("sync_file_range");
	/* fuse_page_mkwrite() waits for the writeback, under mmap_lock (6.1) */
	page[0] = 2;
	pthread_join(thread, NULL);
	for (;;)
		pause();
}

static char state_of(pid_t pid, pid_t tid)
{
	char path[64], line[512], *p = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "r");
	if (!f)
		die(path);
	if (fgets(line, sizeof(line), f))
		p = strrchr(line, ')');
	fclose(f);
	return p ? p[2] : 0;
}

static void wait_until_stuck(pid_t pid, pid_t tid)
{
	while (state_of(pid, tid) != 'D')
		usleep(10000);
}

/* --- the server */

static int fuse;

static void answer(uint64_t unique, int err, const void *data, size_t len)
{
	char buf[sizeof(struct fuse_out_header) + PAGE];
	struct fuse_out_header *out = (void *)buf;

	out->unique = unique;
	out->error = -err;
	out->len = sizeof(*out) + len;
	if (len)
		memcpy(out + 1, data, len);
	/* ENOENT: who asked was killed meanwhile */
	if (write(fuse, buf, out->len) != out->len && errno != ENOENT)
		die("answer");
}

static struct fuse_attr attr_of(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = PAGE,
		.blocks = 8,
		.blksize = PAGE,
		.nlink = 1,
		.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644,
	};
}

static void serve(const struct fuse_in_header *in, const void *arg)
{
	static const char zeros[PAGE];
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = 31,
				      .max_readahead = PAGE,
				      .max_write = PAGE };
	struct fuse_entry_out entry = { .nodeid = 2,
					.entry_valid = 1000,
					.attr_valid = 1000,
					.attr = attr_of(2) };
	struct fuse_attr_out attr = { .attr_valid = 1000,
				      .attr = attr_of(in->nodeid) };
	struct fuse_write_out written = { .size = PAGE };
	struct fuse_open_out opened = { 0 };

	switch (in->opcode) {
	case FUSE_INIT:
		answer(in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer(in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		answer(in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		answer(in->unique, 0, zeros,
		       ((const struct fuse_read_in *)arg)->size);
		break;
	case FUSE_WRITE:
		answer(in->unique, 0, &written, sizeof(written));
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_FSYNC:
		answer(in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(in->unique, ENOSYS, NULL, 0);
	}
}

static const char *dir;

static void unmount(void)
{
	umount2(dir, MNT_DETACH);
}

static char buf[FUSE_MIN_READ_BUFFER + PAGE];

/* A request into buf. False: there is none after all. */
static bool get_request(void)
{
	if (read(fuse, buf, sizeof(buf)) >= 0)
		return true;
	if (errno != EINTR && errno != EAGAIN && errno != ENOENT)
		die("/dev/fuse");
	return false;
}

/* Until something is on stdin, or that has ended. */
static void serve_on(void)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
			       { .fd = fuse, .events = POLLIN } };
	const struct fuse_in_header *in = (void *)buf;

	while (poll(p, 2, -1) >= 0 && !p[0].revents)
		if (get_request())
			serve(in, in + 1);
}

static int lock(void)
{
	const struct fuse_in_header *in = (void *)buf;
	char text[64], path[256], line[16];
	pid_t pid, tid;
	bool held = false;

	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (fuse < 0 || pipe(start) || pipe(tids) ||
	    mount("modstuck", dir, "fuse", MS_NOSUID, text))
		die(dir);
	snprintf(path, sizeof(path), "%s/file", dir);
	pid = fork();
	if (!pid) {
		close(fuse);
		child(path);
	}
	atexit(unmount);
	for (;;) {
		if (!get_request())
			continue;
		if (in->opcode == FUSE_WRITE && !held) {
			held = true;
			wait_until_stuck(pid, pid);
			if (read(tids[0], &tid, sizeof(tid)) != sizeof(tid) ||
			    write(start[1], "", 1) != 1)
				die("pipe");
			wait_until_stuck(pid, tid);
			printf("stuck %d\n", pid);
			if (!fgets(line, sizeof(line), stdin))
				break;
			serve(in, in + 1);
			while (state_of(pid, pid) == 'D')
				usleep(10000);
			printf("free\n");
			serve_on();
			break;
		}
		serve(in, in + 1);
	}
	kill(pid, SIGKILL);
	/* Closed, the server is gone, and what waits for it ends. */
	close(fuse);
	waitpid(pid, NULL, 0);
	return 0;
}

static int forks(int n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3)
		return 2;
	dir = argv[2];
	if (!strcmp(argv[1], "lock"))
		return lock();
	if (!strcmp(argv[1], "forks"))
		return forks(atoi(argv[2]));
	return 2;
}
