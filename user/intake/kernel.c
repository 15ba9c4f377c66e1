// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink by libmnl. Requests and their answers go over one socket,
 * events come in over the other, whose port number names the session.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include "intake/kernel.h"
#include "intake/record_queue.h"

#define REQUEST_BYTES 512
/* A message: one batch, or one record of VMAHEAP_RANGE_VMAS VMAs, and headers. */
#define MESSAGE_BYTES (64 * 1024)
#define EVENT_RCVBUF (8 * 1024 * 1024)

struct kernel {
	struct mnl_socket *ctl, *ev;
	uint16_t family;
	uint32_t request; /* sequence number of the last request */
	records_fn raw;
	void *ctx;
	char why[256];

	struct record_queue queue;

	uint64_t seq; /* of the last record received */
	uint64_t gaps;
};

/* What an answer may carry. */
struct answer {
	uint64_t mm, seq, ts;
	struct vmaheap_stats stats;
	uint16_t family;
};

/* libmnl 1.0.4 takes the length for an int, so one of 2^31 and more passes. */
static bool message_ok(const struct nlmsghdr *nlh, int len)
{
	return mnl_nlmsg_ok(nlh, len) && nlh->nlmsg_len <= (unsigned int)len;
}

/* One datagram of the kernel (whose port is 0). Its length, or -1 and errno. */
static int receive(struct mnl_socket *s, void *buf, size_t size, int flags)
{
	struct sockaddr_nl from;
	socklen_t from_len;
	ssize_t len;

	do {
		from_len = sizeof(from);
		len = recvfrom(mnl_socket_get_fd(s), buf, size, flags,
			       (struct sockaddr *)&from, &from_len);
	} while (len < 0 ? errno == EINTR : from.nl_pid != 0);
	return (int)len;
}

static int attr_cb(const struct nlattr *attr, void *data)
{
	struct answer *a = data;
	size_t len = mnl_attr_get_payload_len(attr);

	switch (mnl_attr_get_type(attr)) {
	case VMAHEAP_A_MM:
		a->mm = len == 8 ? mnl_attr_get_u64(attr) : 0;
		break;
	case VMAHEAP_A_SEQ:
		a->seq = len == 8 ? mnl_attr_get_u64(attr) : 0;
		break;
	case VMAHEAP_A_TS:
		a->ts = len == 8 ? mnl_attr_get_u64(attr) : 0;
		break;
	case VMAHEAP_A_STATS:
		memcpy(&a->stats, mnl_attr_get_payload(attr),
		       len < sizeof(a->stats) ? len : sizeof(a->stats));
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int family_cb(const struct nlattr *attr, void *data)
{
	struct answer *a = data;

	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
	    mnl_attr_get_payload_len(attr) == sizeof(a->family))
		a->family = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

/* The extack sentence of an error message (NLMSGERR_ATTR_MSG), if there is one. */
static void keep_sentence(struct kernel *k, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	size_t skip = sizeof(*err);
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += mnl_nlmsg_get_payload_len(&err->msg);
	if (skip > mnl_nlmsg_get_payload_len(nlh))
		return;
	mnl_attr_for_each(attr, nlh, skip) {
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(k->why, sizeof(k->why), "%.*s",
				 (int)mnl_attr_get_payload_len(attr),
				 mnl_attr_get_str(attr));
	}
}

/* One message of an answer: 1: it ends the answer, 0: more follows, or -errno. */
static int answer_message(struct kernel *k, const struct nlmsghdr *nlh,
			  struct answer *a)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_seq != k->request)
		return 0;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
			return -EBADMSG;
		if (!err->error)
			return 1;
		if (err->error > 0 || err->error == INT_MIN)
			return -EBADMSG;
		snprintf(k->why, sizeof(k->why), "%s", strerror(-err->error));
		keep_sentence(k, nlh);
		return err->error;
	}
	mnl_attr_parse(nlh, sizeof(struct genlmsghdr),
		       nlh->nlmsg_type == GENL_ID_CTRL ? family_cb : attr_cb,
		       a);
	return 0;
}

static int read_answer(struct kernel *k, struct answer *a)
{
	char buf[8192] __attribute__((aligned(8)));
	const struct nlmsghdr *nlh;
	int len, rc;

	for (;;) {
		len = receive(k->ctl, buf, sizeof(buf), 0);
		if (len < 0)
			return -errno;
		nlh = (const struct nlmsghdr *)buf;
		for (; message_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			rc = answer_message(k, nlh, a);
			if (rc)
				return rc < 0 ? rc : 0;
		}
	}
}

static struct nlmsghdr *request(struct kernel *k, char *buf, uint16_t type,
				uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++k->request;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = 1;
	return nlh;
}

static int ask(struct kernel *k, struct nlmsghdr *nlh, struct answer *a)
{
	memset(a, 0, sizeof(*a));
	k->why[0] = 0;
	if (mnl_socket_sendto(k->ctl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return read_answer(k, a);
}

/* A request that names the session, to which the caller adds attributes. */
static struct nlmsghdr *session_request(struct kernel *k, char *buf,
					uint8_t cmd)
{
	struct nlmsghdr *nlh = request(k, buf, k->family, cmd);

	mnl_attr_put_u32(nlh, VMAHEAP_A_PORT, mnl_socket_get_portid(k->ev));
	return nlh;
}

static int find_family(struct kernel *k)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *nlh =
		request(k, buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	struct answer a;
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, VMAHEAP_GENL_NAME);
	err = ask(k, nlh, &a);
	if (!err && !a.family)
		err = -ENOENT;
	k->family = a.family;
	return err;
}

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	int err;

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = errno;
		mnl_socket_close(s);
		errno = err;
		return NULL;
	}
	return s;
}

static int open_sockets(struct kernel *k)
{
	int one = 1, rcvbuf = EVENT_RCVBUF;

	k->ctl = open_socket();
	k->ev = k->ctl ? open_socket() : NULL;
	if (!k->ev)
		return -errno;
	/* Comfort, not correctness: without it errors have no sentence. */
	mnl_socket_setsockopt(k->ctl, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(k->ev, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	setsockopt(mnl_socket_get_fd(k->ev), SOL_SOCKET, SO_RCVBUFFORCE,
		   &rcvbuf, sizeof(rcvbuf));
	return 0;
}

struct kernel *kernel_open(records_fn raw, records_fn taken, void *ctx)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return NULL;
	k->raw = raw;
	k->ctx = k->queue.ctx = ctx;
	k->queue.taken = taken;
	err = open_sockets(k);
	if (!err)
		err = find_family(k);
	if (!err)
		return k;
	kernel_close(k);
	errno = -err;
	return NULL;
}

void kernel_close(struct kernel *k)
{
	if (!k)
		return;
	if (k->ctl)
		mnl_socket_close(k->ctl);
	if (k->ev)
		mnl_socket_close(k->ev);
	record_queue_free(&k->queue);
	free(k);
}

int kernel_fd(const struct kernel *k)
{
	return mnl_socket_get_fd(k->ev);
}

const char *kernel_why(const struct kernel *k)
{
	return k->why;
}

uint64_t kernel_gaps(const struct kernel *k)
{
	return k->gaps;
}

int kernel_watch(struct kernel *k, uint32_t pid, uint32_t flags)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = session_request(k, buf, VMAHEAP_CMD_WATCH);
	struct answer a;

	mnl_attr_put_u32(nlh, VMAHEAP_A_PID, pid);
	mnl_attr_put_u32(nlh, VMAHEAP_A_FLAGS, flags);
	return ask(k, nlh, &a);
}

int kernel_unwatch(struct kernel *k, uint32_t pid)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = session_request(k, buf, VMAHEAP_CMD_UNWATCH);
	struct answer a;

	mnl_attr_put_u32(nlh, VMAHEAP_A_PID, pid);
	return ask(k, nlh, &a);
}

int kernel_snapshot(struct kernel *k, uint64_t mm)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = session_request(k, buf, VMAHEAP_CMD_SNAPSHOT);
	struct answer a;

	if (mm)
		mnl_attr_put_u64(nlh, VMAHEAP_A_MM, mm);
	return ask(k, nlh, &a);
}

int kernel_stats(struct kernel *k, struct vmaheap_stats *st)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct answer a;
	int err = ask(k, session_request(k, buf, VMAHEAP_CMD_STATS), &a);

	*st = a.stats;
	return err;
}

/* Sequence numbers are counted as records come in, whatever they are. */
static size_t count_records(struct kernel *k, const char *p, size_t bytes)
{
	struct vmaheap_record r;
	size_t n = 0;

	for (; bytes >= sizeof(r); n++) {
		memcpy(&r, p, sizeof(r));
		if (r.size < sizeof(r) || r.size > bytes || r.size % 8)
			break;
		if (r.seq != k->seq + 1)
			k->gaps += r.seq - k->seq - 1;
		k->seq = r.seq;
		p += r.size;
		bytes -= r.size;
	}
	if (bytes)
		k->gaps++;
	return n;
}

static long take_message(struct kernel *k, const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;
	const void *records;
	long n = 0;

	if (nlh->nlmsg_type != k->family ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		size_t bytes = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) != VMAHEAP_A_RECORDS)
			continue;
		records = record_queue_add(&k->queue,
					   mnl_attr_get_payload(attr), bytes);
		if (!records)
			return -ENOMEM;
		n += (long)count_records(k, records, bytes);
		if (k->raw)
			k->raw(k->ctx, records, bytes);
	}
	return n;
}

long kernel_drain(struct kernel *k)
{
	char buf[MESSAGE_BYTES] __attribute__((aligned(8)));
	long n = 0, got;
	int len;

	for (;;) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;

		len = receive(k->ev, buf, sizeof(buf), MSG_DONTWAIT);
		if (len < 0)
			return errno == EAGAIN || errno == ENOBUFS ? n : -errno;
		for (; message_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			got = take_message(k, nlh);
			if (got < 0)
				return got;
			n += got;
		}
	}
}

/*
 * EAGAIN says that the event socket is full: empty it and ask again. Each round
 * takes at least one message, so the loop ends when the target's changes do not
 * outrun us for good; the bound is against a module that does not keep its word.
 */
int kernel_sync(struct kernel *k, uint64_t *ts)
{
	char buf[REQUEST_BYTES] __attribute__((aligned(8)));
	struct answer a = { 0 };
	int err = -EAGAIN, tries;
	long n;

	for (tries = 0; tries < 1000 && err == -EAGAIN; tries++) {
		err = ask(k, session_request(k, buf, VMAHEAP_CMD_SYNC), &a);
		n = kernel_drain(k);
		if (n < 0)
			return (int)n;
	}
	if (err)
		return err;
	if (k->seq < a.seq) {
		snprintf(k->why, sizeof(k->why),
			 "the module handed over %llu records, %llu arrived",
			 (unsigned long long)a.seq, (unsigned long long)k->seq);
		return -EIO;
	}
	*ts = a.ts;
	return 0;
}

const struct event *kernel_peek(void *kernel, bool *sure)
{
	*sure = true;
	return record_queue_peek(&((struct kernel *)kernel)->queue);
}

void kernel_pop(void *kernel)
{
	record_queue_pop(&((struct kernel *)kernel)->queue);
}
