// SPDX-License-Identifier: GPL-2.0
/*
 * The player (user/rehearse.c) says in its shared file which of its threads is
 * inside of a call. A seccomp filter stops it at the system calls that count, and
 * only there, so a call that stays in user space costs what malloc costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/ptmalloc.h"
#include "session/client.h"
#include "session/rehearsal.h"
#include "session/rehearse.h"

#define PROGRAM "vmaheap-rehearse"
#define PAGE 4096ull

struct rehearsal {
	const struct score *score;
	struct rehearse_head *head;
	size_t bytes;
	int fd;
	char program[PATH_MAX];
};

static int say(char **why, int err, const char *what)
{
	if (asprintf(why, "%s: %s", what, strerror(-err)) < 0)
		*why = NULL;
	return err;
}

static int share(struct rehearsal *r)
{
	const struct score *s = r->score;

	r->bytes = sizeof(*r->head) + s->nr * (sizeof(struct score_note) +
					       sizeof(struct score_heard));
	r->fd = memfd_create(PROGRAM, MFD_CLOEXEC);
	if (r->fd < 0 || ftruncate(r->fd, (off_t)r->bytes))
		return -errno;
	r->head = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, 0);
	if (r->head == MAP_FAILED) {
		r->head = NULL;
		return -errno;
	}
	*r->head = (struct rehearse_head){ .nr_notes = s->nr,
					   .nr_slots = s->nr_slots + 1,
					   .nr_threads = s->nr_threads + 1 };
	memcpy(rehearse_notes(r->head), s->notes, s->nr * sizeof(*s->notes));
	return 0;
}

struct rehearsal *rehearsal_new(const struct score *s, char **why)
{
	struct rehearsal *r = calloc(1, sizeof(*r));
	int err = r ? 0 : -ENOMEM;

	*why = NULL;
	if (!r)
		return NULL;
	r->score = s;
	r->fd = -1;
	err = client_beside(PROGRAM, r->program, sizeof(r->program));
	if (!err)
		err = share(r);
	if (!err)
		return r;
	say(why, err, PROGRAM);
	rehearsal_free(r);
	return NULL;
}

void rehearsal_free(struct rehearsal *r)
{
	if (!r)
		return;
	if (r->head)
		munmap(r->head, r->bytes);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

const struct score_heard *rehearsal_heard(const struct rehearsal *r)
{
	return rehearse_heard(r->head);
}

/* --- the player's process, until it runs the program */

#define COUNTED(name)                                          \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)

static int filter_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		COUNTED(brk),
		COUNTED(mmap),
		COUNTED(munmap),
		COUNTED(mremap),
		COUNTED(mprotect),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

/* When memory is short, it is the rehearsal that goes first. */
static void be_first_to_go(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1000", 4) != 4)
		fprintf(stderr, "vmaheap: oom_score_adj: %s\n",
			strerror(errno));
	close(fd);
}

/* "A=1 B=2": environ, and nothing else; of no use after the next call. */
static char **environment(const char *text)
{
	static char copy[1024];
	static char *env[32];
	char *word, *rest = copy;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while (n < 31 && (word = strsep(&rest, " ")))
		if (*word)
			env[n++] = word;
	env[n] = NULL;
	return env;
}

__attribute__((noreturn)) static void become_player(const struct rehearsal *r,
						    const char *env)
{
	char *argv[] = { (char *)PROGRAM, NULL };

	be_first_to_go();
	if (dup2(r->fd, REHEARSE_FD) < 0 ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP) ||
	    filter_calls())
		_exit(126);
	if (r->fd == REHEARSE_FD)
		fcntl(r->fd, F_SETFD, 0);
	execve(r->program, argv, environment(env));
	_exit(127);
}

/* --- counting */

struct count {
	const struct rehearse_head *head;
	struct rehearsed *n;
	uint64_t brk; /* where its heap ends; 0: as in the head */
};

static uint64_t pages(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE;
}

static void count_brk(struct count *c, uint64_t to)
{
	uint64_t old = c->brk ? c->brk : c->head->brk;

	if (!to) /* asks where it is */
		return;
	c->n->brk++;
	if (to > old)
		c->n->fresh_pages += pages(to - old);
	c->brk = to;
}

/* The system call that thread tid is about to make. */
static void count_call(struct count *c, pid_t tid)
{
	struct user_regs_struct regs;

	if (c->head->inside != tid || ptrace(PTRACE_GETREGS, tid, NULL, &regs))
		return;
	switch (regs.orig_rax) {
	case SYS_brk:
		count_brk(c, regs.rdi);
		break;
	case SYS_mmap:
		c->n->mmap++;
		if (regs.rdx != PROT_NONE)
			c->n->fresh_pages += pages(regs.rsi);
		break;
	case SYS_munmap:
		c->n->munmap++;
		break;
	case SYS_mremap:
		c->n->mremap++;
		if (regs.rdx > regs.rsi)
			c->n->fresh_pages += pages(regs.rdx - regs.rsi);
		break;
	case SYS_mprotect:
		c->n->mprotect++;
		if (regs.rdx != PROT_NONE)
			c->n->fresh_pages += pages(regs.rsi);
		break;
	}
}

/* Which signal a stopped thread shall have: none for the stops that are ours. */
static int signal_of(int status)
{
	int sig = WSTOPSIG(status);

	return sig == SIGSTOP || sig == SIGTRAP ? 0 : sig;
}

/* Until the player has ended. Its wait status, or -errno. */
static int watch_player(struct count *c, pid_t pid)
{
	int status;
	pid_t tid;

	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return -errno;
		if (!WIFSTOPPED(status)) {
			if (tid == pid)
				return status;
			continue;
		}
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8))
			count_call(c, tid);
		ptrace(PTRACE_CONT, tid, NULL,
		       (void *)(intptr_t)signal_of(status));
	}
}

static int begin_watch(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	if (!WIFSTOPPED(status)) /* TRACEME was refused */
		return -EPERM;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE |
			    PTRACE_O_EXITKILL)) ||
	    ptrace(PTRACE_CONT, pid, NULL, NULL))
		return -errno;
	return 0;
}

/* --- is it as it was? */

/*
 * Where the heap begins is for chance to say, so chunks of it must all be the same
 * distance away; those of other arenas lie at the same place in 64 MiB, those with
 * a mapping of their own in a page.
 */
static uint64_t place_mask(uint64_t head)
{
	if (head & PT_IS_MMAPPED)
		return PAGE - 1;
	return head & PT_NON_MAIN ? (64ull << 20) - 1 : UINT64_MAX;
}

static void compare(const struct rehearsal *r, struct rehearsed *n)
{
	const struct score_heard *h = rehearsal_heard(r);
	const uint64_t *addrs = r->score->addrs;
	uint64_t shift = 0;
	bool have_shift = false;
	size_t i;

	for (i = 0; i < r->score->nr; i++) {
		uint64_t mask = place_mask(h[i].head), differ;

		if (!addrs[i])
			continue;
		if (mask == UINT64_MAX && !have_shift) {
			shift = addrs[i] - h[i].addr;
			have_shift = true;
		}
		differ = addrs[i] - h[i].addr;
		if (mask == UINT64_MAX)
			differ -= shift;
		n->chunks++;
		n->elsewhere += (differ & mask) != 0;
	}
}

int rehearsal_run(struct rehearsal *r, const char *env,
		  struct rehearsed *result, char **why)
{
	struct count c = { .head = r->head, .n = result };
	pid_t pid;
	int status;

	*result = (struct rehearsed){ 0 };
	r->head->done = r->head->inside = 0;
	pid = fork();
	if (pid < 0)
		return say(why, -errno, PROGRAM);
	if (!pid)
		become_player(r, env);
	status = begin_watch(pid);
	if (!status)
		status = watch_player(&c, pid);
	if (status < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, __WALL);
		return say(why, status, PROGRAM);
	}
	if (!r->head->done)
		return say(why, WIFSIGNALED(status) ? -EINTR : -ECHILD,
			   PROGRAM " came to no end");
	compare(r, result);
	return 0;
}
