// SPDX-License-Identifier: GPL-2.0
/*
 * Shuts itself in, as sandboxes do, so that a system call that it does not make itself
 * kills it. Then it allocates, and so does a thread that it starts after that.
 * Prints the counts of this file. With probe it only asks whether it could, with raw
 * its request goes past libc. Last it waits, if it is to (alloc_wait.h).
 * Usage: alloc_guarded prctl|syscall|probe|raw [thread]
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc_wait.h"

extern char __executable_start, etext;

#define PAIRS 400000 /* more than the largest ring holds */
#define THREAD_PAIRS 1000

#define ALLOW(nr)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static const struct sock_filter for_all[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(write),
	ALLOW(read),
	ALLOW(clock_nanosleep),
	ALLOW(newfstatat),
	ALLOW(brk),
	ALLOW(getrandom),
	ALLOW(exit_group),
};

static const struct sock_filter for_threads[] = {
	ALLOW(mmap),	     ALLOW(munmap),
	ALLOW(mprotect),     ALLOW(madvise),
	ALLOW(rt_sigaction), ALLOW(rt_sigprocmask),
	ALLOW(clone3),	     ALLOW(clone),
	ALLOW(rseq),	     ALLOW(set_robust_list),
	ALLOW(futex),	     ALLOW(exit),
};

static const struct sock_filter kills[] = {
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static struct sock_filter filter[100];
static unsigned short filter_len;

static void add(const struct sock_filter *f, size_t bytes)
{
	memcpy(filter + filter_len, f, bytes);
	filter_len += (unsigned short)(bytes / sizeof(*f));
}

static void make_filter(bool threads)
{
	add(for_all, sizeof(for_all));
	if (threads)
		add(for_threads, sizeof(for_threads));
	add(kills, sizeof(kills));
}

static unsigned long allocs, frees;

static void pairs(int nr)
{
	for (int i = 0; i < nr; i++) {
		void *p = malloc(100);

		allocs++;
		frees++;
		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
	}
}

static void *work(void *arg)
{
	pairs(THREAD_PAIRS);
	return arg;
}

/* As libseccomp does: bad arguments, so that nothing is done. */
static int probe(void)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) != -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) != -1)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0,
			    &(unsigned int){ SECCOMP_RET_KILL_PROCESS });
}

static int raw(const struct sock_fprog *prog)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER),
			   "S"(0), "d"(prog)
			 : "rcx", "r11", "memory");
	return ret ? -1 : usleep(500000); /* until somebody has seen it */
}

static int guard(const char *how)
{
	struct sock_fprog prog = { filter_len, filter };

	if (!strcmp(how, "probe"))
		return probe();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	if (!strcmp(how, "raw"))
		return raw(&prog);
	return !strcmp(how, "syscall") ?
		       (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
				    &prog) :
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int main(int argc, char **argv)
{
	pthread_t t;
	int waits;
	char c;

	if (argc < 2)
		return 2;
	waits = wait_for_start();
	/* libc's wrappers as they are: results and errno */
	if (syscall(SYS_getpid) != getpid() || syscall(-1) != -1 ||
	    prctl(-1, 0, 0, 0, 0) != -1)
		return 3;
	make_filter(argc > 2);
	if (guard(argv[1])) {
		perror("seccomp");
		return 4;
	}
	pairs(PAIRS);
	if (argc > 2 &&
	    (pthread_create(&t, NULL, work, NULL) || pthread_join(t, NULL)))
		return 5;
	printf("text %#lx %#lx\n", (unsigned long)&__executable_start,
	       (unsigned long)&etext);
	printf("allocs %lu frees %lu live %lu\n", allocs, frees,
	       allocs - frees);
	fflush(stdout);
	return waits && read(STDIN_FILENO, &c, 1) < 0;
}
