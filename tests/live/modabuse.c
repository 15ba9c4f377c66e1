// SPDX-License-Identifier: GPL-2.0
/*
 * Treats the module as nobody should. What it did and how often goes to stdout,
 * what it should not have seen as well, and then it exits with 1.
 *
 *   modabuse fuzz N SEED PID    sends N random and mutated messages, which may
 *                               name PID, to the family from several sockets
 *   modabuse sockets THREADS N SEED PID...
 *                               N times in each thread: a socket watches, asks,
 *                               does not read, unwatches or closes
 *   modabuse race N SEED        watches N processes that just then exit, exec,
 *                               vfork or start threads, and wants each to end
 *   modabuse slow SECONDS       watches processes that are killed meanwhile, with less
 *                               of the CPU than anybody else has
 *   modabuse born N             watches N processes while their fork goes on, in which
 *                               they are followed: each is one process and ends once
 *   modabuse fail NAME...       does NAME with the 1st, 2nd, 3rd... allocation
 *                               failing, until it succeeds without a failure
 *                               (/proc/PID/fail-nth); modabuse fail: the names
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uapi/vmaheap.h"

static uint16_t family;
static atomic_ulong errors[256]; /* how often each errno was answered */
static atomic_uint wrong;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Every thread has its own. */
static uint32_t pick(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return (*seed >> 33) % below;
}

static void show_errors(void)
{
	for (int e = 0; e < 256; e++)
		if (errors[e])
			printf("# %s: %lu\n", e ? strerrorname_np(e) : "ok",
			       errors[e]);
}

/* --- sockets */

struct sock {
	int fd;
	uint32_t port;
	uint32_t seq;
};

/* False when the kernel has no memory for it. */
static bool sock_open(struct sock *s)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(addr);

	s->seq = 0;
	s->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (s->fd < 0)
		return false;
	if (bind(s->fd, (void *)&addr, sizeof(addr)) ||
	    getsockname(s->fd, (void *)&addr, &len)) {
		close(s->fd);
		return false;
	}
	s->port = addr.nl_pid;
	return true;
}

static void need_sock(struct sock *s)
{
	if (!sock_open(s))
		die("netlink socket");
}

static void tiny(struct sock *s)
{
	int one = 1;

	/* The kernel makes the least of it that it allows. */
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
}

static struct nlmsghdr *begin(void *buf, int type, int cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->cmd = cmd;
	g->version = VMAHEAP_GENL_VERSION;
	return nlh;
}

/* 0 or -errno; the answer before the acknowledgement, if any, is in buf. */
static int talk(struct sock *s, struct nlmsghdr *nlh, void *buf, size_t size)
{
	char in[8192] __attribute__((aligned(8)));
	struct nlmsghdr *h = (void *)in;
	ssize_t n;

	nlh->nlmsg_seq = ++s->seq;
	if (send(s->fd, nlh, nlh->nlmsg_len, 0) < 0)
		return -errno;
	do {
		n = recv(s->fd, in, sizeof(in), 0);
		if (n < 0)
			return -errno;
		if (h->nlmsg_type != NLMSG_ERROR && (size_t)n <= size)
			memcpy(buf, in, n);
	} while (h->nlmsg_type != NLMSG_ERROR);
	return ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
}

static int get_u64(const struct nlattr *a, void *data)
{
	uint64_t *values = data;

	if (mnl_attr_get_type(a) <= VMAHEAP_A_MAX &&
	    mnl_attr_get_payload_len(a) == 8)
		values[mnl_attr_get_type(a)] = mnl_attr_get_u64(a);
	return MNL_CB_OK;
}

static int get_stats(const struct nlattr *a, void *data)
{
	if (mnl_attr_get_type(a) == VMAHEAP_A_STATS)
		memcpy(data, mnl_attr_get_payload(a),
		       sizeof(struct vmaheap_stats));
	return MNL_CB_OK;
}

static int ask(struct sock *s, int cmd, uint32_t port, uint32_t pid, int flags,
	       uint64_t *values)
{
	char out[256] __attribute__((aligned(8)));
	char in[8192] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *nlh = begin(out, family, cmd), *h = (void *)in;
	int err;

	if (port)
		mnl_attr_put_u32(nlh, VMAHEAP_A_PORT, port);
	if (pid)
		mnl_attr_put_u32(nlh, VMAHEAP_A_PID, pid);
	if (flags >= 0)
		mnl_attr_put_u32(nlh, VMAHEAP_A_FLAGS, flags);
	err = talk(s, nlh, in, sizeof(in));
	if (!err && values && h->nlmsg_len)
		mnl_attr_parse(h, sizeof(struct genlmsghdr),
			       cmd == VMAHEAP_CMD_STATS ? get_stats : get_u64,
			       values);
	return err;
}

static int get_family(const struct nlattr *a, void *data)
{
	if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
		*(uint16_t *)data = mnl_attr_get_u16(a);
	return MNL_CB_OK;
}

static void find_family(void)
{
	char out[256] __attribute__((aligned(8)));
	char in[8192] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = begin(out, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	struct sock s;

	need_sock(&s);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, VMAHEAP_GENL_NAME);
	if (talk(&s, nlh, in, sizeof(in)))
		die("family");
	mnl_attr_parse((void *)in, sizeof(struct genlmsghdr), get_family,
		       &family);
	close(s.fd);
}

/* --- fuzz */

#define SOCKETS 6

struct fuzz {
	uint64_t seed;
	struct sock socks[SOCKETS];
	uint32_t target;
	unsigned long answers, events;
};

static uint32_t some_value(struct fuzz *f)
{
	switch (pick(&f->seed, 8)) {
	case 0:
	case 1:
		return f->target;
	case 2:
	case 3:
	case 4:
		return f->socks[pick(&f->seed, SOCKETS)].port;
	case 5:
		return pick(&f->seed, 16);
	case 6:
		return -pick(&f->seed, 16);
	default:
		return pick(&f->seed, INT32_MAX) * 2;
	}
}

/* Sizes and types that fit most of the time, so that what is behind is reached. */
static void put_some_attr(struct fuzz *f, struct nlmsghdr *nlh)
{
	uint64_t value[8];
	uint16_t type = 1 + pick(&f->seed, VMAHEAP_A_MAX + 2);
	size_t len = type == VMAHEAP_A_MM ? 8 : 4;

	for (int i = 0; i < 8; i++)
		value[i] = some_value(f) | (uint64_t)some_value(f) << 32;
	if (type == VMAHEAP_A_FLAGS && pick(&f->seed, 4))
		value[0] = pick(&f->seed, VMAHEAP_WATCH_ALL + 1);
	if (!pick(&f->seed, 8))
		len = pick(&f->seed, sizeof(value));
	if (!pick(&f->seed, 16))
		type |= pick(&f->seed, 4) << 14; /* nested, byte order */
	mnl_attr_put(nlh, type, len, value);
}

static void put_good_attrs(struct fuzz *f, struct nlmsghdr *nlh, int cmd)
{
	mnl_attr_put_u32(nlh, VMAHEAP_A_PORT,
			 f->socks[pick(&f->seed, SOCKETS)].port);
	if (cmd == VMAHEAP_CMD_WATCH || cmd == VMAHEAP_CMD_UNWATCH)
		mnl_attr_put_u32(nlh, VMAHEAP_A_PID,
				 pick(&f->seed, 8) ? f->target : some_value(f));
	if (cmd == VMAHEAP_CMD_WATCH && pick(&f->seed, 2))
		mnl_attr_put_u32(nlh, VMAHEAP_A_FLAGS,
				 pick(&f->seed, VMAHEAP_WATCH_ALL + 1));
}

static void mutate(struct fuzz *f, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (uint32_t n = 1 + pick(&f->seed, 4); n--;) {
		/* The type stays: other families are not our business. */
		uint32_t at = pick(&f->seed, len);

		if (at < 4 || at > 5)
			p[at] ^= 1 << pick(&f->seed, 8);
	}
}

static size_t some_message(struct fuzz *f, void *buf)
{
	int cmd = 1 + pick(&f->seed, 5);
	bool good = pick(&f->seed, 2);
	struct nlmsghdr *nlh;

	if (!good && !pick(&f->seed, 4))
		cmd = pick(&f->seed, 256);
	nlh = begin(buf, family, cmd);
	if (good)
		put_good_attrs(f, nlh, cmd);
	for (uint32_t n = good ? !pick(&f->seed, 8) : pick(&f->seed, 6); n--;)
		put_some_attr(f, nlh);
	if (!pick(&f->seed, 16))
		nlh->nlmsg_flags = pick(&f->seed, 65536);
	if (!good || !pick(&f->seed, 4))
		mutate(f, buf, nlh->nlmsg_len);
	/* What is sent may be shorter or longer than the header says. */
	return pick(&f->seed, 16) ? NLMSG_ALIGN(nlh->nlmsg_len) & 1023 :
				    pick(&f->seed, 512);
}

static void hear(struct fuzz *f, struct sock *s)
{
	static char in[65536] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = recv(s->fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
		struct nlmsghdr *h = (void *)in;
		int left = n;

		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			struct genlmsghdr *g = mnl_nlmsg_get_payload(h);
			struct nlmsgerr *e = (void *)g;

			if (h->nlmsg_type == NLMSG_ERROR && e->error <= 0 &&
			    e->error > -256) {
				errors[-e->error]++;
				f->answers++;
			} else if (h->nlmsg_type == family &&
				   g->cmd == VMAHEAP_CMD_EVENTS) {
				f->events++;
			} else if (h->nlmsg_type != family &&
				   h->nlmsg_type != NLMSG_DONE && !wrong++) {
				printf("# answer of type %u\n", h->nlmsg_type);
			}
		}
	}
}

static int fuzz(unsigned long n, uint64_t seed, uint32_t target)
{
	static char buf[4][1024] __attribute__((aligned(8)));
	struct fuzz f = { .seed = seed, .target = target };

	for (int i = 0; i < SOCKETS; i++)
		need_sock(&f.socks[i]);
	for (unsigned long sent = 0; sent < n; sent++) {
		struct sock *s = &f.socks[pick(&f.seed, SOCKETS)];
		struct iovec iov[4];
		struct msghdr msg = { .msg_iov = iov };

		/* Several messages in one datagram, now and then. */
		msg.msg_iovlen = pick(&f.seed, 8) ? 1 : 4;
		for (size_t i = 0; i < msg.msg_iovlen; i++) {
			memset(buf[i], 0, sizeof(buf[i]));
			iov[i].iov_len = some_message(&f, buf[i]);
			iov[i].iov_base = buf[i];
		}
		sendmsg(s->fd, &msg, MSG_DONTWAIT);
		if (!pick(&f.seed, 4))
			hear(&f, &f.socks[pick(&f.seed, SOCKETS)]);
		if (!pick(&f.seed, 64)) {
			close(s->fd);
			need_sock(s);
			if (pick(&f.seed, 2))
				tiny(s);
		}
	}
	for (int i = 0; i < SOCKETS; i++)
		hear(&f, &f.socks[i]);
	printf("# seed %" PRIu64 ": %lu messages, %lu answers, %lu events\n",
	       seed, n, f.answers, f.events);
	show_errors();
	return wrong || !errors[0] || !errors[EINVAL] || !f.events;
}

/* --- sockets */

struct job {
	pthread_t thread;
	uint64_t seed;
	unsigned long n;
	char **pids;
	int nr_pids;
};

/* The refusals that a race may earn. */
static const int expected[] = { 0, ESRCH, EEXIST, ENOENT, ENOTCONN, EAGAIN };

static void note(const char *what, int err)
{
	errors[-err]++;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		if (expected[i] == -err)
			return;
	if (!wrong++)
		printf("# %s: %s\n", what, strerror(-err));
}

static void *abuse_sockets(void *arg)
{
	char in[65536];
	struct job *j = arg;
	struct sock control;

	need_sock(&control);
	while (j->n--) {
		struct sock events;

		need_sock(&events);
		if (!pick(&j->seed, 3))
			tiny(&events);
		for (uint32_t n = pick(&j->seed, 8); n--;) {
			static const int cmds[] = {
				VMAHEAP_CMD_WATCH,    VMAHEAP_CMD_WATCH,
				VMAHEAP_CMD_UNWATCH,  VMAHEAP_CMD_SYNC,
				VMAHEAP_CMD_SNAPSHOT, VMAHEAP_CMD_STATS
			};
			int cmd = cmds[pick(&j->seed, 6)];
			bool one = cmd == VMAHEAP_CMD_WATCH ||
				   cmd == VMAHEAP_CMD_UNWATCH;
			const char *pid = j->pids[pick(&j->seed, j->nr_pids)];
			int flags = cmd == VMAHEAP_CMD_WATCH ?
					    (int)pick(&j->seed,
						      VMAHEAP_WATCH_ALL + 1) :
					    -1;

			note("request", ask(&control, cmd, events.port,
					    one ? atoi(pid) : 0, flags, NULL));
			if (pick(&j->seed, 2))
				while (recv(events.fd, in, sizeof(in),
					    MSG_DONTWAIT) > 0)
					;
		}
		close(events.fd);
	}
	close(control.fd);
	return NULL;
}

static int sockets(int threads, unsigned long n, uint64_t seed, char **pids,
		   int nr_pids)
{
	struct job jobs[64];

	if (threads > 64)
		return 2;
	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){ .seed = seed + i,
					.n = n,
					.pids = pids,
					.nr_pids = nr_pids };
		if (pthread_create(&jobs[i].thread, NULL, abuse_sockets,
				   &jobs[i]))
			die("thread");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(jobs[i].thread, NULL);
	printf("# seed %" PRIu64 ": %d threads, %lu sockets each\n", seed,
	       threads, n);
	show_errors();
	return wrong || !errors[0];
}

/* --- race */

static void *exec_from_thread(void *arg)
{
	execl("/bin/true", "true", NULL);
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

/* What a process is about when the watch comes. */
static void live(int how)
{
	pthread_t t;

	switch (how) {
	case 0:
		_exit(0);
	case 1:
		execl("/bin/true", "true", NULL);
		break;
	case 2:
		if (!vfork()) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		break;
	case 3:
		if (!vfork())
			_exit(0);
		break;
	case 4: /* the leader goes first */
		pthread_create(&t, NULL, nothing, NULL);
		syscall(SYS_exit, 0);
		break;
	case 5: /* the thread becomes the leader */
		pthread_create(&t, NULL, exec_from_thread, NULL);
		pthread_join(t, NULL);
		break;
	case 6:
		if (!fork())
			_exit(0);
		execl("/bin/true", "true", NULL);
		break;
	default:
		munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0),
		       4096);
		kill(getpid(), SIGKILL);
	}
	_exit(0);
}

/* Reads all; the number of processes that it says have ended. */
static unsigned int count_ends(int fd, unsigned int *gaps)
{
	static char in[65536] __attribute__((aligned(8)));
	static uint64_t last;
	unsigned int ends = 0;
	ssize_t n;

	while ((n = recv(fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
		struct nlattr *a = (void *)(in + NLMSG_HDRLEN + GENL_HDRLEN);
		char *p, *end;

		if ((size_t)n <= NLMSG_HDRLEN + GENL_HDRLEN + sizeof(*a))
			continue; /* the probe of a new session */
		p = mnl_attr_get_payload(a);
		end = p + mnl_attr_get_payload_len(a);
		while (p < end) {
			struct vmaheap_record *rec = (void *)p;

			/* The session ends with its socket only, so one count. */
			*gaps += rec->seq != ++last;
			last = rec->seq;
			ends += rec->type == VMAHEAP_REC_TASK_EXIT;
			p += rec->size;
		}
	}
	return ends;
}

/* The second one for what is told, of which it says nothing when some is lost. */
static void need_both(struct sock *control, struct sock *events)
{
	int keep = 1;

	need_sock(control);
	need_sock(events);
	setsockopt(events->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &keep,
		   sizeof(keep));
}

/* So that the session, and its hooks, have a life of their own. */
static void watch_myself(struct sock *control, struct sock *events)
{
	if (ask(control, VMAHEAP_CMD_WATCH, events->port, getpid(), 0, NULL))
		die("watch of myself");
}

static int race(unsigned long n, uint64_t seed)
{
	unsigned long started = 0, caught = 0;
	unsigned int ends = 0, gaps = 0;
	struct vmaheap_stats stats = { 0 };
	struct sock control, events;
	int err;

	need_both(&control, &events);
	watch_myself(&control, &events);
	for (; started < n; started++) {
		int how = pick(&seed, 8), go[2];
		uint32_t wait = pick(&seed, 3000);
		pid_t pid;

		if (pipe(go))
			die("pipe");
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			char c;

			close(go[1]);
			if (read(go[0], &c, 1) < 0)
				_exit(2);
			live(how);
		}
		close(go[1]); /* now it lives */
		for (atomic_uint i = 0; i < wait * 20; i++)
			;
		err = ask(&control, VMAHEAP_CMD_WATCH, events.port, pid,
			  pick(&seed, VMAHEAP_WATCH_ALL + 1), NULL);
		note("watch", err);
		caught += !err;
		if (!pick(&seed, 4))
			note("unwatch", ask(&control, VMAHEAP_CMD_UNWATCH,
					    events.port, pid, -1, NULL));
		close(go[0]);
		waitpid(pid, NULL, 0);
		ends += count_ends(events.fd, &gaps);
	}
	/* Children of the children may still be on their way. */
	for (int i = 0; i < 1000; i++) {
		err = ask(&control, VMAHEAP_CMD_SYNC, events.port, 0, -1, NULL);
		ends += count_ends(events.fd, &gaps);
		ask(&control, VMAHEAP_CMD_STATS, events.port, 0, -1,
		    (uint64_t *)&stats);
		if (!err && stats.processes == 1)
			break;
		usleep(10000);
	}
	printf("# %lu processes, %lu watched in time, %u ends told, %u gaps, "
	       "left: %u processes, %u address spaces\n",
	       started, caught, ends, gaps, stats.processes - 1, stats.mms - 1);
	show_errors();
	return wrong || gaps || !caught || !ends || stats.processes != 1 ||
	       stats.mms != 1;
}

/* --- slow */

static pid_t child(void (*what)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		what();
	}
	return pid;
}

static void spin(void)
{
	for (;;)
		;
}

static _Atomic pid_t *target; /* of spoil(); shared */

/* A process that is asked about for longer than usual is no more. */
static void spoil(void)
{
	pid_t seen = 0;

	for (;;) {
		usleep(10000);
		if (*target && *target == seen)
			kill(seen, SIGKILL);
		seen = *target;
	}
}

/* Goes at once when it is killed, whoever else wants to run. */
static void wait_for_the_end(void)
{
	struct sched_param first = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("SCHED_FIFO");
	for (;;)
		pause();
}

/*
 * The CPUs are busy, and we have a 70th of one: in the middle of a request nothing
 * happens for long.
 */
static int slow(unsigned int seconds)
{
	unsigned long spoilt = 0, watched = 0;
	struct sock control, events;
	pid_t others[66], pid = 0;
	int n = 0, err;
	time_t end = time(NULL) + seconds;

	need_both(&control, &events);
	watch_myself(&control, &events);
	target = mmap(NULL, sizeof(*target), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	others[n++] = child(spoil);
	while (n <= sysconf(_SC_NPROCESSORS_ONLN) && n < 65)
		others[n++] = child(spin);
	if (nice(19) < 0)
		die("nice");
	while (time(NULL) < end) {
		unsigned int gaps;

		if (!pid)
			pid = child(wait_for_the_end);
		count_ends(events.fd, &gaps);
		*target = pid;
		err = ask(&control, VMAHEAP_CMD_WATCH, events.port, pid, 0,
			  NULL);
		*target = 0;
		note("watch", err);
		if (!err) {
			watched++;
			note("unwatch", ask(&control, VMAHEAP_CMD_UNWATCH,
					    events.port, pid, -1, NULL));
		}
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			spoilt++;
			pid = 0;
		}
	}
	if (pid)
		others[n++] = pid;
	while (n--) {
		kill(others[n], SIGKILL);
		waitpid(others[n], NULL, 0);
	}
	printf("# %lu watches, %lu processes killed meanwhile\n", watched,
	       spoilt);
	show_errors();
	return wrong || !watched || !spoilt;
}

/* --- born */

static int orders[2], reports[2];

/* Of the PID that it is told, so that somebody else knows it before. */
static void bear(void)
{
	pid_t pid;
	char c;

	while (read(orders[0], &pid, sizeof(pid)) == sizeof(pid)) {
		struct clone_args args = { .exit_signal = SIGCHLD,
					   .set_tid = (uintptr_t)&pid,
					   .set_tid_size = 1 };

		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (!pid)
			for (;;)
				pause();
		if (pid > 0 && read(orders[0], &c, 1) == 1) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		if (write(reports[1], &pid, sizeof(pid)) != sizeof(pid))
			break;
	}
	_exit(0);
}

static int born(unsigned long n)
{
	unsigned long made = 0, first = 0, followed = 0, twice = 0, missing = 0;
	struct vmaheap_stats stats = { 0 };
	struct sock control, events;
	pid_t parent, pid, next;
	unsigned int gaps = 0;

	need_both(&control, &events);
	if (pipe(orders) || pipe(reports))
		die("pipe");
	parent = child(bear);
	if (ask(&control, VMAHEAP_CMD_WATCH, events.port, parent,
		VMAHEAP_WATCH_FORK, NULL))
		die("watch of the parent");
	/* Until we were first once, within reason. */
	for (next = parent + 1; n > made || (!first && 20 * n > made);
	     next++, made++) {
		unsigned int ends;
		int err;

		if (write(orders[1], &next, sizeof(next)) != sizeof(next))
			die("pipe");
		do
			err = ask(&control, VMAHEAP_CMD_WATCH, events.port,
				  next, 0, NULL);
		while (err == -ESRCH);
		if (write(orders[1], "", 1) != 1 ||
		    read(reports[0], &pid, sizeof(pid)) != sizeof(pid))
			die("pipe");
		if (pid != next) { /* it was somebody else's */
			fprintf(stderr, "clone3 with PID %d\n", next);
			return 2;
		}
		first += !err;
		followed += err == -EEXIST;
		while (ask(&control, VMAHEAP_CMD_SYNC, events.port, 0, -1,
			   NULL) == -EAGAIN)
			;
		ends = count_ends(events.fd, &gaps);
		twice += ends > 1;
		missing += !ends;
	}
	ask(&control, VMAHEAP_CMD_STATS, events.port, 0, -1,
	    (uint64_t *)&stats);
	printf("# %lu watched first, %lu followed first, %lu ended twice, %lu not, "
	       "%u gaps, left: %u processes\n",
	       first, followed, twice, missing, gaps, stats.processes - 1);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	return !first || twice || missing || gaps || stats.processes != 1;
}

/* --- fail: one allocation after the other */

static struct sock control, events;
static pid_t victim;
static int stamp_fd;

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		for (;;)
			pause();
	return pid;
}

static int do_watch(void)
{
	return ask(&control, VMAHEAP_CMD_WATCH, events.port, victim,
		   VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_EXEC, NULL);
}

static int do_unwatch(void)
{
	return ask(&control, VMAHEAP_CMD_UNWATCH, events.port, victim, -1,
		   NULL);
}

static int do_snapshot(void)
{
	return ask(&control, VMAHEAP_CMD_SNAPSHOT, events.port, 0, -1, NULL);
}

static int do_sync(void)
{
	return ask(&control, VMAHEAP_CMD_SYNC, events.port, 0, -1, NULL);
}

static int do_stats(void)
{
	return ask(&control, VMAHEAP_CMD_STATS, events.port, 0, -1, NULL);
}

static int do_read(const char *path)
{
	char buf[4096];
	int fd = open(path, O_RDONLY), err = 0;

	if (fd < 0)
		return -errno;
	if (read(fd, buf, sizeof(buf)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int do_status(void)
{
	return do_read("/proc/vmaheap/status");
}

static int do_watched(void)
{
	return do_read("/proc/vmaheap/watched");
}

static int do_events(void)
{
	return do_read("/proc/vmaheap/events");
}

static int do_plus(void)
{
	char text[16];
	int fd = open("/proc/vmaheap/watched", O_WRONLY), err = 0;

	if (fd < 0)
		return -errno;
	sprintf(text, "+%d", victim);
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void undo_plus(void)
{
	char text[16];
	int fd = open("/proc/vmaheap/watched", O_WRONLY);

	sprintf(text, "-%d", victim);
	if (write(fd, text, strlen(text)) < 0)
		wrong += errno != ENOENT;
	close(fd);
}

static int do_stamp(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, stamp_fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, 4096);
	return 0;
}

/* The caller is watched, and so is its child. */
static int do_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return 0;
}

static int do_load(void)
{
	int fd = open(getenv("VMAHEAP_KO"), O_RDONLY), err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0))
		err = -errno;
	close(fd);
	return err;
}

static void unload(void)
{
	if (syscall(SYS_delete_module, "vmaheap", O_NONBLOCK) &&
	    errno != ENOENT)
		wrong++;
}

enum { MODULE = 1, WATCHED = 2, SELF = 4 };

static const struct act {
	const char *name;
	int (*run)(void);
	void (*undo)(void);
	unsigned int with; /* what it finds there */
} acts[] = {
	{ "watch", do_watch, NULL, MODULE },
	{ "unwatch", do_unwatch, NULL, MODULE | WATCHED },
	{ "snapshot", do_snapshot, NULL, MODULE | WATCHED },
	{ "sync", do_sync, NULL, MODULE | WATCHED },
	{ "stats", do_stats, NULL, MODULE | WATCHED },
	{ "status", do_status, NULL, MODULE | WATCHED },
	{ "watched", do_watched, NULL, MODULE | WATCHED },
	{ "events", do_events, NULL, MODULE | WATCHED },
	{ "plus", do_plus, undo_plus, MODULE },
	{ "stamp", do_stamp, NULL, MODULE | WATCHED | SELF },
	{ "fork", do_fork, NULL, MODULE | WATCHED | SELF },
	{ "load", do_load, unload, 0 },
};

static void write_number(int fd, unsigned int n)
{
	char text[16];

	if (pwrite(fd, text, sprintf(text, "%u", n), 0) < 0)
		die("fail-nth");
}

/* Whether the failure was used up; 0 is read as "0\n". */
static bool used(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		die("fail-nth");
	return atoi(text) == 0;
}

/* LOST records, after the worker has said all. */
static unsigned int count_lost(void)
{
	static char in[65536] __attribute__((aligned(8)));
	unsigned int lost = 0;
	ssize_t n;

	ask(&control, VMAHEAP_CMD_SYNC, events.port, 0, -1, NULL);
	while ((n = recv(events.fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
		char *p =
			in + NLMSG_HDRLEN + GENL_HDRLEN + sizeof(struct nlattr);

		while (p < in + n) {
			struct vmaheap_record *rec = (void *)p;

			lost += rec->type == VMAHEAP_REC_LOST;
			p += rec->size;
		}
	}
	return lost;
}

/* In a process of its own, so that SELF watches nobody else. */
static int fail_one(const struct act *act)
{
	int nth = open("/proc/thread-self/fail-nth", O_RDWR);
	unsigned int n = 0, refused = 0, lost = 0;
	bool injected = true;
	int err = 0;

	if (nth < 0)
		die("fail-nth (CONFIG_FAULT_INJECTION)");
	victim = act->with & SELF ? getpid() : sleeper();
	stamp_fd = open("/proc/vmaheap/stamp", O_RDWR);
	if (act->with & MODULE)
		find_family();
	while (injected && n < 5000) {
		need_sock(&control);
		need_sock(&events);
		if (act->with & WATCHED && do_watch())
			die("watch");
		write_number(nth, ++n);
		err = act->run();
		injected = used(nth);
		write_number(nth, 0);
		refused += err != 0;
		errors[-err]++;
		if (act->undo)
			act->undo();
		if (act->with & SELF)
			lost += count_lost();
		close(events.fd);
		close(control.fd);
	}
	if (!(act->with & SELF))
		kill(victim, SIGKILL);
	printf("# %s: %u failures, %u refusals, %u losses told, then %s\n",
	       act->name, n - 1, refused, lost, err ? strerror(-err) : "ok");
	show_errors();
	return wrong || err || injected;
}

static int fail(int n, char **names)
{
	const size_t nr = sizeof(acts) / sizeof(*acts);
	int bad = 0, status;

	for (size_t i = 0; i < nr && !n; i++)
		puts(acts[i].name);
	for (int k = 0; k < n; k++)
		for (size_t i = 0; i < nr; i++) {
			if (strcmp(acts[i].name, names[k]))
				continue;
			fflush(stdout);
			if (!fork())
				exit(fail_one(&acts[i]));
			wait(&status);
			bad |= status;
		}
	return bad != 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "fail"))
		return fail(argc - 2, argv + 2);
	find_family();
	if (argc == 5 && !strcmp(argv[1], "fuzz"))
		return fuzz(atol(argv[2]), atol(argv[3]), atoi(argv[4]));
	if (argc > 5 && !strcmp(argv[1], "sockets"))
		return sockets(atoi(argv[2]), atol(argv[3]), atol(argv[4]),
			       argv + 5, argc - 5);
	if (argc == 4 && !strcmp(argv[1], "race"))
		return race(atol(argv[2]), atol(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "born"))
		return born(atol(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "slow"))
		return slow(atoi(argv[2]));
	return 2;
}
