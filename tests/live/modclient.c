// SPDX-License-Identifier: GPL-2.0
/*
 * A reader of the module that shares no code with user/: it keeps the most
 * naive model that the protocol allows and compares it with /proc/PID/maps.
 *
 *   modclient run [-b RCVBUF] [-i MS] [-s LOG] [-x] [-f N] -- CMD...
 *       watches CMD and all that it forks and execs; every MS milliseconds
 *       stops all of them, syncs and compares (less often where that would
 *       take more than a fifth of the time). -s: CMD gets the stamp page as
 *       descriptor 3 and writes to LOG (descriptor 4) what it read there.
 *       -x: from its exec on. -b: reads slowly, too. -f: forgets each Nth RANGE,
 *       which must not go unnoticed.
 *   modclient hold PID       watches PID until it is killed; tells its port
 *   modclient look PID       watches PID, which nobody stops, until it is known and at
 *       rest (one thread, asleep); compares
 *   modclient try CMD PID FLAGS [PORT]
 *       sends one request (watch, twice, unwatch, sync, stats, junk) and prints
 *       "ok" or the errno's name and the sentence of the refusal. lend: watch by
 *       sockets that were opened with CAP_SYS_PTRACE, without it; borrow: the
 *       other way round, like a privileged program that writes to a descriptor
 *       which it was given. family: prints its number; $FAMILY is taken for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uapi/vmaheap.h"

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* --- sockets */

static struct mnl_socket *control, *events;
static uint16_t family;
static unsigned int sequence;
static char sentence[256];
static bool plain; /* no address with a message: a mere write() */

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *s = mnl_socket_open(NETLINK_GENERIC);

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		die("netlink socket");
	return s;
}

static int get_attr(const struct nlattr *a, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_get_type(a) <= VMAHEAP_A_MAX)
		tb[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

/* Sends a request; 0 or -errno, with the kernel's sentence. tb is of `buf`. */
static int request(struct nlmsghdr *nlh, char *buf, size_t size,
		   const struct nlattr **tb, int max)
{
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++sequence;
	sentence[0] = '\0';
	if ((plain ? send(mnl_socket_get_fd(control), nlh, nlh->nlmsg_len, 0) :
		     mnl_socket_sendto(control, nlh, nlh->nlmsg_len)) < 0)
		die("send");
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(control, buf, size);
		struct nlmsghdr *h = (void *)buf;

		if (n < 0)
			die("receive");
		if (h->nlmsg_type != NLMSG_ERROR) {
			const struct nlattr *a;

			memset(tb, 0, (max + 1) * sizeof(*tb));
			mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
				if (mnl_attr_get_type(a) <= max)
					tb[mnl_attr_get_type(a)] = a;
			buf += NLMSG_ALIGN(n);
			size -= NLMSG_ALIGN(n);
			continue;
		}
		struct nlmsgerr *err = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_flags & NLM_F_ACK_TLVS) {
			size_t off = sizeof(*err);
			const struct nlattr *a;

			if (!(h->nlmsg_flags & NLM_F_CAPPED))
				off += err->msg.nlmsg_len - sizeof(err->msg);
			mnl_attr_for_each(a, h, off)
				if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
					snprintf(sentence, sizeof(sentence),
						 "%s", mnl_attr_get_str(a));
		}
		return err->error;
	}
}

static struct nlmsghdr *new_request(char *buf, int type, int cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g;

	nlh->nlmsg_type = type;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->cmd = cmd;
	g->version = 1;
	return nlh;
}

static bool find_family(void)
{
	char out[256], in[16384];
	const struct nlattr *tb[CTRL_ATTR_MAX + 1] = { 0 };
	struct nlmsghdr *nlh =
		new_request(out, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, VMAHEAP_GENL_NAME);
	if (request(nlh, in, sizeof(in), tb, CTRL_ATTR_MAX) ||
	    !tb[CTRL_ATTR_FAMILY_ID])
		return false;
	family = mnl_attr_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return true;
}

struct answer {
	uint64_t mm, seq, ts;
	struct vmaheap_stats stats;
};

/* pid 0 and flags -1: not sent */
static int ask(int cmd, uint32_t port, uint32_t pid, int64_t flags,
	       struct answer *ans)
{
	char out[256], in[8192];
	const struct nlattr *tb[VMAHEAP_A_MAX + 1] = { 0 };
	struct nlmsghdr *nlh = new_request(out, family, cmd);
	int err;

	if (port)
		mnl_attr_put_u32(nlh, VMAHEAP_A_PORT, port);
	if (pid)
		mnl_attr_put_u32(nlh, VMAHEAP_A_PID, pid);
	if (flags >= 0)
		mnl_attr_put_u32(nlh, VMAHEAP_A_FLAGS, flags);
	err = request(nlh, in, sizeof(in), tb, VMAHEAP_A_MAX);
	memset(ans, 0, sizeof(*ans));
	if (tb[VMAHEAP_A_MM])
		ans->mm = mnl_attr_get_u64(tb[VMAHEAP_A_MM]);
	if (tb[VMAHEAP_A_SEQ])
		ans->seq = mnl_attr_get_u64(tb[VMAHEAP_A_SEQ]);
	if (tb[VMAHEAP_A_TS])
		ans->ts = mnl_attr_get_u64(tb[VMAHEAP_A_TS]);
	if (tb[VMAHEAP_A_STATS])
		memcpy(&ans->stats, mnl_attr_get_payload(tb[VMAHEAP_A_STATS]),
		       sizeof(ans->stats));
	return err;
}

static uint32_t port(void)
{
	return mnl_socket_get_portid(events);
}

static void open_all(int rcvbuf)
{
	int one = 1;

	control = open_socket();
	events = open_socket();
	mnl_socket_setsockopt(control, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(control, NETLINK_CAP_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(events, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (rcvbuf)
		setsockopt(mnl_socket_get_fd(events), SOL_SOCKET, SO_RCVBUF,
			   &rcvbuf, sizeof(rcvbuf));
}

/* --- the naive model */

struct space {
	uint64_t id;
	struct vmaheap_vma *vmas;
	unsigned int n;
	bool gone;
	bool partial; /* the last record said that more follows */
};

struct process {
	uint32_t tgid;
	uint64_t mm;
	bool exited;
};

struct change { /* for the stamp */
	uint64_t ts;
	uint32_t tid;
	int32_t syscall;
	bool late;
};

static struct space *spaces;
static struct process *processes;
static struct change *changes;
static unsigned int nspaces, nprocesses, nchanges;

static uint64_t last_seq, last_ts;
static struct {
	uint64_t checks, vmas, mismatches, records, gaps, backwards, map_count,
		unknown, coalesced, late, again, forks, execs, exits, files,
		madvises, failed, lost, lost_madvise, snapshots;
} sum;
static int exit_status = -1;
static uint32_t root;
static bool on_exec;
static unsigned int forget;

static struct space *space_of(uint64_t id)
{
	for (unsigned int i = nspaces; i-- > 0;)
		if (spaces[i].id == id)
			return &spaces[i];
	return NULL;
}

static struct process *process_of(uint32_t tgid)
{
	for (unsigned int i = nprocesses; i-- > 0;)
		if (processes[i].tgid == tgid && !processes[i].exited)
			return &processes[i];
	return NULL;
}

static void set_process(uint32_t tgid, uint64_t mm)
{
	struct process *p = process_of(tgid);

	if (!p) {
		processes = realloc(processes,
				    (nprocesses + 1) * sizeof(*processes));
		p = &processes[nprocesses++];
		*p = (struct process){ .tgid = tgid };
	}
	p->mm = mm;
}

static void insert(struct space *s, unsigned int at,
		   const struct vmaheap_vma *v)
{
	s->vmas = realloc(s->vmas, (s->n + 1) * sizeof(*v));
	memmove(s->vmas + at + 1, s->vmas + at, (s->n - at) * sizeof(*v));
	s->vmas[at] = *v;
	s->n++;
}

/* Deletes [lo, hi), cutting what reaches out of it, and inserts the VMAs. */
static void apply(struct space *s, const struct vmaheap_rec_range *r)
{
	unsigned int i = 0, j;

	while (i < s->n) {
		struct vmaheap_vma *v = &s->vmas[i], right = *v;

		if (v->end <= r->lo || v->start >= r->hi) {
			i++;
			continue;
		}
		if (v->end > r->hi) {
			if (v->flags & VMAHEAP_VMA_FILE)
				right.offset += r->hi - right.start;
			right.start = r->hi;
			insert(s, i + 1, &right);
			v = &s->vmas[i];
		}
		if (v->start < r->lo) {
			v->end = r->lo;
			i++;
			continue;
		}
		memmove(v, v + 1, (s->n - i - 1) * sizeof(*v));
		s->n--;
	}
	for (i = 0; i < s->n && s->vmas[i].start < r->lo; i++)
		;
	for (j = 0; j < r->nr_vmas; j++)
		insert(s, i + j, &r->vmas[j]);
	for (j = 1; j < s->n; j++)
		if (s->vmas[j].start < s->vmas[j - 1].end) {
			printf("# mm %" PRIu64 ": VMAs overlap\n", s->id);
			sum.mismatches++;
		}
}

static void range(const struct vmaheap_rec_range *r)
{
	struct space *s = space_of(r->rec.mm);
	static unsigned int nth;

	if (forget && ++nth % forget == 0)
		return;

	if (!s || s->gone) {
		sum.unknown++;
		return;
	}
	if (r->rec.size < sizeof(*r) + r->nr_vmas * sizeof(r->vmas[0]))
		sum.unknown++;
	apply(s, r);
	sum.coalesced += r->coalesced;
	sum.late += !!(r->rec.flags & VMAHEAP_F_LATE);
	sum.snapshots += !!(r->rec.flags & VMAHEAP_F_SNAPSHOT);
	s->partial = r->rec.flags & VMAHEAP_F_MORE;
	if (!s->partial && s->n != r->map_count) {
		if (sum.map_count++ < 20)
			printf("# record %" PRIu64 " mm %" PRIu64
			       " syscall %d: map_count %u, model %u\n",
			       (uint64_t)r->rec.seq, s->id, r->syscall,
			       r->map_count, s->n);
	}
}

static void note_change(const struct vmaheap_record *rec, int syscall)
{
	if (!(nchanges & (nchanges - 1)))
		changes = realloc(changes, (nchanges ? 2 * nchanges : 1) *
						   sizeof(*changes));
	changes[nchanges++] = (struct change){ rec->ts, rec->tid, syscall,
					       rec->flags & VMAHEAP_F_LATE };
}

static void record(const struct vmaheap_record *rec)
{
	const struct vmaheap_rec_mm *mm = (void *)rec;
	const struct vmaheap_rec_task *task = (void *)rec;
	const struct vmaheap_rec_task_exit *bye = (void *)rec;
	struct process *p;
	struct space *s;

	sum.records++;
	if (rec->seq != last_seq + 1 && sum.gaps++ < 20)
		printf("# seq %" PRIu64 " after %" PRIu64 "\n",
		       (uint64_t)rec->seq, last_seq);
	if (rec->ts <= last_ts)
		sum.backwards++;
	last_seq = rec->seq;
	last_ts = rec->ts;
	switch (rec->type) {
	case VMAHEAP_REC_MM:
		spaces = realloc(spaces, (nspaces + 1) * sizeof(*spaces));
		spaces[nspaces++] = (struct space){ .id = rec->mm };
		set_process(mm->owner, rec->mm);
		sum.forks += mm->cause == VMAHEAP_MM_FORK;
		sum.execs += mm->cause == VMAHEAP_MM_EXEC;
		break;
	case VMAHEAP_REC_RANGE:
		range((void *)rec);
		note_change(rec, ((struct vmaheap_rec_range *)rec)->syscall);
		break;
	case VMAHEAP_REC_FILE:
		sum.files++;
		break;
	case VMAHEAP_REC_MM_EXIT:
		s = space_of(rec->mm);
		if (!s || s->gone)
			sum.unknown++;
		else
			s->gone = true;
		break;
	case VMAHEAP_REC_TASK:
		set_process(task->owner, rec->mm);
		break;
	case VMAHEAP_REC_TASK_EXIT:
		p = process_of(rec->tgid);
		if (!p)
			sum.unknown++;
		else
			p->exited = true;
		if (rec->tgid == root)
			exit_status = bye->status;
		sum.exits++;
		break;
	case VMAHEAP_REC_MADVISE:
		note_change(rec, -2);
		sum.madvises++;
		break;
	case VMAHEAP_REC_FAILED:
		sum.failed++;
		break;
	case VMAHEAP_REC_LOST:
		if (((struct vmaheap_rec_lost *)rec)->what ==
			    VMAHEAP_LOST_MADVISE ||
		    ((struct vmaheap_rec_lost *)rec)->what ==
			    VMAHEAP_LOST_FAILED)
			sum.lost_madvise +=
				((struct vmaheap_rec_lost *)rec)->count;
		else
			sum.lost += ((struct vmaheap_rec_lost *)rec)->count;
		break;
	default:
		sum.unknown++;
	}
}

/* Reads the messages that are there; false when there was none. */
static bool drain(int timeout)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct pollfd pfd = { .fd = mnl_socket_get_fd(events),
			      .events = POLLIN };
	const struct nlattr *tb[VMAHEAP_A_MAX + 1] = { 0 };
	bool any = false;

	while (poll(&pfd, 1, any ? 0 : timeout) > 0) {
		ssize_t n = recv(pfd.fd, buf, sizeof(buf), MSG_DONTWAIT);
		struct nlmsghdr *h = (void *)buf;
		char *p, *end;

		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
			break;
		if (n < 0)
			die("event socket");
		any = true;
		memset(tb, 0, sizeof(tb));
		mnl_attr_parse(h, sizeof(struct genlmsghdr), get_attr, tb);
		if (!tb[VMAHEAP_A_RECORDS]) { /* the probe of a new session */
			sum.unknown += sum.records != 0;
			continue;
		}
		p = mnl_attr_get_payload(tb[VMAHEAP_A_RECORDS]);
		end = p + mnl_attr_get_payload_len(tb[VMAHEAP_A_RECORDS]);
		while (p < end) {
			struct vmaheap_record *rec = (void *)p;

			if (((uintptr_t)p & 7) || rec->size & 7 ||
			    rec->size > end - p)
				sum.unknown++;
			record(rec);
			p += rec->size;
		}
	}
	return any;
}

static bool sync_all(void)
{
	struct answer ans;
	int err;

	while ((err = ask(VMAHEAP_CMD_SYNC, port(), 0, -1, &ans)) == -EAGAIN) {
		sum.again++;
		drain(100);
	}
	if (err == -ENOENT)
		return false;
	if (err) {
		printf("# sync: %s: %s\n", strerror(-err), sentence);
		return false;
	}
	while (last_seq < ans.seq)
		if (!drain(2000)) {
			printf("# sync: %" PRIu64 " promised, %" PRIu64
			       " came\n",
			       ans.seq, last_seq);
			sum.gaps++;
			return false;
		}
	if (last_seq == ans.seq && last_ts > ans.ts)
		sum.backwards++;
	return true;
}

/* --- the truth */

/* Field 3 of a stat file of proc(5); 0: it is gone. */
static char state_in(const char *path)
{
	char line[512], *p, c = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f) && (p = strrchr(line, ')')))
		c = p[2];
	fclose(f);
	return c;
}

static char state_of(uint32_t tgid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/stat", tgid);
	return state_in(path);
}

/*
 * All threads: the leader's state is one thread's, so look at each. (By programs
 * it takes seconds on the debug kernel, of which the test has few.)
 */
static bool stopped(uint32_t tgid)
{
	char path[320];
	struct dirent *e;
	bool all = true;
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		char c;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%u/task/%s/stat", tgid,
			 e->d_name);
		c = state_in(path);
		n += c != 0;
		all &= !c || strchr("TtZX", c);
	}
	if (d)
		closedir(d);
	return n && all;
}

/* One thread is left, and it sleeps: nothing changes any more. */
static bool at_rest(uint32_t tgid)
{
	char path[64], line[512], *p, state = 0;
	int threads = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/stat", tgid);
	f = fopen(path, "r");
	if (!f)
		return true;
	p = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	/* proc(5): from the 3rd field to the 20th */
	return p &&
	       sscanf(p + 1,
		      " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d",
		      &state, &threads) == 2 &&
	       state == 'S' && threads == 1;
}

static void compare(struct process *p)
{
	char path[64], line[4608], rest[3];
	struct space *s = space_of(p->mm);
	unsigned int i = 0;
	bool bad = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/maps", p->tgid);
	f = fopen(path, "r");
	if (!f || !s)
		return;
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end, offset, ino;
		unsigned int maj, min;
		char perms[5], mine[5];

		if (strstr(line, "[vsyscall]"))
			continue;
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%2s", &start, &end,
			   perms, &offset, &maj, &min, &ino, rest) < 7)
			die("maps");
		struct vmaheap_vma none = { 0 },
				   *v = i < s->n ? &s->vmas[i] : &none;

		snprintf(mine, sizeof(mine), "%c%c%c%c",
			 v->flags & VMAHEAP_VMA_READ ? 'r' : '-',
			 v->flags & VMAHEAP_VMA_WRITE ? 'w' : '-',
			 v->flags & VMAHEAP_VMA_EXEC ? 'x' : '-',
			 v->flags & VMAHEAP_VMA_SHARED ? 's' : 'p');
		if (v->start != start || v->end != end || strcmp(mine, perms) ||
		    v->offset != offset || v->ino != ino ||
		    v->dev != (maj << 20 | min)) {
			if (sum.mismatches < 20)
				printf("# pid %u mm %" PRIu64
				       " vma %u: %s#   model %llx-%llx %s %llx %x:%x %llu\n",
				       p->tgid, s->id, i, line, v->start,
				       v->end, mine, v->offset, v->dev >> 20,
				       v->dev & 0xfffff, v->ino);
			bad = true;
		}
		i++;
	}
	fclose(f);
	sum.vmas += i;
	sum.checks++;
	if (i != s->n || s->partial)
		bad = true;
	sum.mismatches += bad;
}

static void checkpoint(void)
{
	unsigned int i, n;
	bool *still;

	static unsigned int nth;
	struct answer ans;

	drain(0);
	n = nprocesses;
	still = calloc(n + 1, 1);
	for (i = 0; i < n; i++)
		if (!processes[i].exited)
			kill(processes[i].tgid, SIGSTOP);
	for (int tries = 0; tries < 20; tries++) {
		bool all = true;

		for (i = 0; i < n; i++)
			if (!processes[i].exited && !still[i] &&
			    state_of(processes[i].tgid) != 'Z' &&
			    state_of(processes[i].tgid))
				all &= still[i] = stopped(processes[i].tgid);
		if (all)
			break;
		usleep(2000);
		drain(0);
	}
	/* Now and then the whole state is asked for: nothing may differ from before. */
	if (nth++ % 4 == 3 && ask(VMAHEAP_CMD_SNAPSHOT, port(), 0, -1, &ans))
		sum.unknown++;
	if (sync_all())
		for (i = 0; i < n; i++)
			if (still[i] && !processes[i].exited &&
			    state_of(processes[i].tgid) == 'T')
				compare(&processes[i]);
	for (i = 0; i < n; i++)
		if (!processes[i].exited)
			kill(processes[i].tgid, SIGCONT);
	free(still);
}

/* --- the stamp: what the victim saw, against the records of its threads */

static int by_ts(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->ts < y->ts ? -1 : x->ts > y->ts;
}

/* LOG: lines "tid a b nr made", nr the call between the two loads (-2: madvise). */
static int check_stamp(const char *log)
{
	uint64_t a, b, calls = 0, wrong = 0, inside = 0, own = 0;
	uint64_t first[64], last[64];
	uint32_t tid, tids[64];
	unsigned int i, t, ntids = 0;
	FILE *f = fopen(log, "r");
	int nr;

	if (!f)
		die(log);
	qsort(changes, nchanges, sizeof(*changes), by_ts);
	while (fscanf(f, "%u %" SCNu64 " %" SCNu64 " %d", &tid, &a, &b, &nr) ==
	       4) {
		unsigned int lo = 0, hi = nchanges, found = 0;

		for (t = 0; t < ntids && tids[t] != tid; t++)
			;
		if (t == ntids && ntids < 64) {
			tids[ntids++] = tid;
			first[t] = a;
		}
		last[t] = b;
		while (lo < hi) {
			unsigned int mid = (lo + hi) / 2;

			if (changes[mid].ts <= a)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (i = lo; i < nchanges && changes[i].ts <= b; i++)
			if (changes[i].tid == tid && !changes[i].late) {
				found++;
				if (changes[i].syscall != nr &&
				    !(nr == 28 && changes[i].syscall == -2))
					wrong++;
			}
		if (!found || a >= b)
			wrong++;
		inside += found;
		calls++;
	}
	fclose(f);
	/* Every record of such a thread, between its first and last load, lies in a call. */
	for (i = 0; i < nchanges; i++)
		for (t = 0; t < ntids; t++)
			if (changes[i].tid == tids[t] && !changes[i].late &&
			    changes[i].ts > first[t] &&
			    changes[i].ts <= last[t])
				own++;
	printf("# stamp: calls=%" PRIu64 " threads=%u records_inside=%" PRIu64
	       " own=%" PRIu64 " wrong=%" PRIu64 "\n",
	       calls, ntids, inside, own, wrong);
	return wrong || !calls || inside != own;
}

/* --- commands */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int run(char **cmd, int rcvbuf, int interval, const char *log)
{
	struct answer ans;
	int status, err;
	pid_t pid;

	open_all(rcvbuf);
	if (!find_family()) {
		fprintf(stderr, "the module is not loaded\n");
		return 2;
	}
	pid = fork();
	if (!pid) {
		if (log) {
			int stamp = open(VMAHEAP_STAMP_PATH, O_RDONLY);
			int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

			if (stamp < 0 || out < 0)
				die(VMAHEAP_STAMP_PATH);
			dup2(stamp, 10);
			dup2(out, 11);
			dup2(10, 3);
			dup2(11, 4);
		}
		raise(SIGSTOP);
		execvp(cmd[0], cmd);
		die(cmd[0]);
	}
	root = pid;
	waitpid(pid, &status, WUNTRACED);
	err = ask(VMAHEAP_CMD_WATCH, port(), pid,
		  on_exec ? VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_ON_EXEC :
			    VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_EXEC,
		  &ans);
	if (!err && on_exec && ans.mm)
		sum.unknown++;
	if (err) {
		fprintf(stderr, "watch: %s: %s\n", strerror(-err), sentence);
		kill(pid, SIGKILL);
		return 2;
	}
	kill(pid, SIGCONT);
	int64_t next = now_ms() + interval;

	for (;;) {
		int64_t begun, took;

		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		/* A slow reader on purpose, when the buffer is small on purpose. */
		if (rcvbuf)
			usleep(10000);
		drain(5);
		begun = now_ms();
		if (begun < next)
			continue;
		checkpoint();
		took = now_ms() - begun;
		next = begun + took +
		       (4 * took > interval ? 4 * took : interval);
	}
	sync_all();
	ask(VMAHEAP_CMD_STATS, port(), 0, -1, &ans);
	printf("# checks=%" PRIu64 " vmas=%" PRIu64 " mismatches=%" PRIu64
	       " records=%" PRIu64 " gaps=%" PRIu64 " backwards=%" PRIu64
	       " map_count=%" PRIu64 " unknown=%" PRIu64 "\n",
	       sum.checks, sum.vmas, sum.mismatches, sum.records, sum.gaps,
	       sum.backwards, sum.map_count, sum.unknown);
	printf("# forks=%" PRIu64 " execs=%" PRIu64 " exits=%" PRIu64
	       " files=%" PRIu64 " madvises=%" PRIu64 " lost=%" PRIu64
	       " lost_madvise=%" PRIu64 " coalesced=%" PRIu64 " late=%" PRIu64
	       " snapshots=%" PRIu64 " sync_again=%" PRIu64 " messages=%" PRIu64
	       " retries=%" PRIu64 "\n",
	       sum.forks, sum.execs, sum.exits, sum.files, sum.madvises,
	       sum.lost, sum.lost_madvise, sum.coalesced, sum.late,
	       sum.snapshots, sum.again, (uint64_t)ans.stats.messages,
	       (uint64_t)ans.stats.retries);
	if (exit_status != status)
		printf("# exit status: TASK_EXIT says %#x, wait %#x\n",
		       exit_status, status);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		printf("# the command exits with %d\n", WEXITSTATUS(status));
	err = sum.mismatches || sum.gaps || sum.backwards || sum.map_count ||
	      sum.unknown || !sum.checks || exit_status != status ||
	      ans.stats.records != sum.records;
	if (log)
		err |= check_stamp(log);
	return err;
}

static int hold(uint32_t pid, bool look)
{
	struct answer ans;
	int err;

	open_all(0);
	if (!find_family())
		return 2;
	err = ask(VMAHEAP_CMD_WATCH, port(), pid,
		  VMAHEAP_WATCH_FORK | VMAHEAP_WATCH_EXEC, &ans);
	printf("%s\n", err ? sentence : "watching");
	printf("port %u\n", port());
	fflush(stdout);
	if (err)
		return 1;
	while (!look)
		drain(1000);
	if (sync_all()) {
		while (!at_rest(pid))
			drain(100);
		if (sync_all() && process_of(pid))
			compare(process_of(pid));
	}
	printf("# checks=%" PRIu64 " vmas=%" PRIu64 " mismatches=%" PRIu64
	       " map_count=%" PRIu64 " snapshots=%" PRIu64
	       " sync_again=%" PRIu64 "\n",
	       sum.checks, sum.vmas, sum.mismatches, sum.map_count,
	       sum.snapshots, sum.again);
	return !sum.checks || sum.mismatches || sum.map_count || sum.gaps;
}

/* CAP_SYS_PTRACE, effective or only permitted. */
static void set_ptrace(bool on)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		die("capget");
	d[0].effective &= ~(1u << CAP_SYS_PTRACE);
	if (on)
		d[0].effective |= 1u << CAP_SYS_PTRACE;
	if (syscall(SYS_capset, &h, d))
		die("capset");
}

static int try(const char *what, uint32_t pid, uint32_t flags, uint32_t to)
{
	struct answer ans;
	int err = -EINVAL;

	plain = !strcmp(what, "borrow");
	if (plain)
		set_ptrace(false);
	open_all(0);
	if (getenv("FAMILY")) {
		family = atoi(getenv("FAMILY"));
	} else if (!find_family()) {
		printf("no family\n");
		return 2;
	}
	to = to ?: port();
	if (!strcmp(what, "lend") || !strcmp(what, "borrow")) {
		set_ptrace(!strcmp(what, "borrow"));
		err = ask(VMAHEAP_CMD_WATCH, to, pid, flags, &ans);
	}
	if (!strcmp(what, "family")) {
		printf("%u\n", family);
		return 0;
	}
	if (!strcmp(what, "watch"))
		err = ask(VMAHEAP_CMD_WATCH, to, pid, flags, &ans);
	if (!strcmp(what, "twice")) {
		ask(VMAHEAP_CMD_WATCH, to, pid, flags, &ans);
		err = ask(VMAHEAP_CMD_WATCH, to, pid, flags, &ans);
	}
	if (!strcmp(what, "unwatch"))
		err = ask(VMAHEAP_CMD_UNWATCH, to, pid, -1, &ans);
	if (!strcmp(what, "sync"))
		err = ask(VMAHEAP_CMD_SYNC, to, 0, -1, &ans);
	if (!strcmp(what, "stats"))
		err = ask(VMAHEAP_CMD_STATS, 0, 0, -1, &ans);
	if (!strcmp(what, "noport"))
		err = ask(VMAHEAP_CMD_WATCH, 0, pid, flags, &ans);
	if (!strcmp(what, "junk")) /* an attribute that SYNC does not take */
		err = ask(VMAHEAP_CMD_SYNC, to, pid, -1, &ans);
	if (err)
		printf("%s: %s\n", strerrorname_np(-err), sentence);
	else
		printf("ok\n");
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	int opt, rcvbuf = 0, interval = 50;
	const char *log = NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && (!strcmp(argv[1], "hold") || !strcmp(argv[1], "look")))
		return hold(atoi(argv[2]), !strcmp(argv[1], "look"));
	if (argc > 4 && !strcmp(argv[1], "try"))
		return try(argv[2], atoi(argv[3]), atoi(argv[4]),
			   argc > 5 ? atoi(argv[5]) : 0);
	if (argc < 3 || strcmp(argv[1], "run"))
		return 2;
	argv++;
	argc--;
	while ((opt = getopt(argc, argv, "+b:f:i:s:x")) != -1) {
		if (opt == 'b')
			rcvbuf = atoi(optarg);
		else if (opt == 'i')
			interval = atoi(optarg);
		else if (opt == 's')
			log = optarg;
		else if (opt == 'f')
			forget = atoi(optarg);
		else if (opt == 'x')
			on_exec = true;
		else
			return 2;
	}
	return run(argv + optind, rcvbuf, interval, log);
}
