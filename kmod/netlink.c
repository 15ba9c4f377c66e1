// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family: requests, and the messages that carry records.
 * uapi/vmaheap.h is the specification.
 *
 * Each request asks for CAP_SYS_PTRACE, of the sender and, unless he named the
 * kernel as the address, of who opened the socket (so that nobody can make a
 * privileged program write a request to a descriptor that he gave it), in the
 * initial user namespace (netlink_ns_capable() would let root of another one
 * in). GENL_ADMIN_PERM would be CAP_NET_ADMIN. netnsok stays 0: the family is
 * seen in the initial network namespace only.
 */
#include <linux/capability.h>
#include <linux/notifier.h>
#include <net/genetlink.h>

#include "vh.h"

static struct genl_family family;

/*
 * What each request may carry; anything else is refused by its policy. A port
 * of 0 would be the kernel itself.
 */
static const struct nla_policy watch_policy[VMAHEAP_A_MAX + 1] = {
	[VMAHEAP_A_PORT] = NLA_POLICY_MIN(NLA_U32, 1),
	[VMAHEAP_A_PID] = NLA_POLICY_MIN(NLA_U32, 1),
	[VMAHEAP_A_FLAGS] = { .type = NLA_U32 },
};

static const struct nla_policy unwatch_policy[VMAHEAP_A_MAX + 1] = {
	[VMAHEAP_A_PORT] = NLA_POLICY_MIN(NLA_U32, 1),
	[VMAHEAP_A_PID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy snapshot_policy[VMAHEAP_A_MAX + 1] = {
	[VMAHEAP_A_PORT] = NLA_POLICY_MIN(NLA_U32, 1),
	[VMAHEAP_A_MM] = { .type = NLA_U64 },
};

static const struct nla_policy port_policy[VMAHEAP_A_MAX + 1] = {
	[VMAHEAP_A_PORT] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* --- requests */

static int allow(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_PTRACE))
		return 0;
	NL_SET_ERR_MSG(info->extack, "CAP_SYS_PTRACE is needed");
	return -EPERM;
}

static int need(struct genl_info *info, int attr, const char *sentence)
{
	if (info->attrs[attr])
		return 0;
	/* The sentences are literals: NL_SET_ERR_MSG() wants the array itself. */
	if (info->extack)
		info->extack->_msg = sentence;
	return -EINVAL;
}

static const char no_port[] =
	"VMAHEAP_A_PORT is missing: the port of the event socket";
static const char no_pid[] = "VMAHEAP_A_PID is missing";

/* The session that a request is about, under vh_control; NULL: none. */
static struct vh_session *session_of(struct genl_info *info)
{
	struct vh_session *ses =
		vh_session_find(nla_get_u32(info->attrs[VMAHEAP_A_PORT]));

	if (!ses)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMAHEAP_A_PORT],
				    "this port watches nothing");
	return ses;
}

static struct sk_buff *reply_new(struct genl_info *info, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &family, 0, info->genlhdr->cmd);
	if (*hdr)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/* Consumes skb. */
static int reply(struct genl_info *info, struct sk_buff *skb, void *hdr,
		 int attr, u64 value, int attr2, u64 value2)
{
	if (nla_put_u64_64bit(skb, attr, value, VMAHEAP_A_PAD) ||
	    (attr2 && nla_put_u64_64bit(skb, attr2, value2, VMAHEAP_A_PAD))) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

/*
 * A session for the port, if there is a socket with it: an empty message finds
 * out. The session is listed before that, so that a socket which closes after
 * it has taken the message finds the session to end (released() below).
 */
static struct vh_session *session_begin(struct genl_info *info, u32 port)
{
	struct vh_session *ses =
		vh_session_new(port, task_active_pid_ns(current));
	int err;

	if (!ses)
		return ERR_PTR(-ENOMEM);
	err = vh_send_records(port, NULL, 0);
	if (!err || err == -EAGAIN)
		return ses;
	vh_session_end(ses);
	if (err != -ECONNREFUSED)
		return ERR_PTR(err);
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMAHEAP_A_PORT],
			    "no netlink socket has this port");
	return ERR_PTR(-ENOTCONN);
}

static int watch(struct genl_info *info, u32 port, u64 *id)
{
	u32 flags = info->attrs[VMAHEAP_A_FLAGS] ?
			    nla_get_u32(info->attrs[VMAHEAP_A_FLAGS]) :
			    0;
	u32 pid = nla_get_u32(info->attrs[VMAHEAP_A_PID]);
	struct vh_session *ses = vh_session_find(port);
	bool fresh = !ses;
	int err;

	if (fresh)
		ses = session_begin(info, port);
	if (IS_ERR(ses))
		return PTR_ERR(ses);
	if (ses->ns != task_active_pid_ns(current)) {
		NL_SET_ERR_MSG_ATTR(
			info->extack, info->attrs[VMAHEAP_A_PORT],
			"this port is used from another pid namespace");
		return -EXDEV;
	}
	err = vh_watch(ses, pid, flags, id, info->extack);
	if (err && fresh)
		vh_session_end(ses);
	return err;
}

/* Under vh_control. On an error, *refusal says what could not be hooked. */
static int arm(struct genl_info *info, const char **refusal)
{
	int err = vh_arm(refusal);

	if (err || !info->attrs[VMAHEAP_A_FLAGS] ||
	    !(nla_get_u32(info->attrs[VMAHEAP_A_FLAGS]) & VMAHEAP_WATCH_FAULTS))
		return err;
	*refusal = "this kernel does not let page faults be traced";
	return vh_fault_arm();
}

static int do_watch(struct sk_buff *skb, struct genl_info *info)
{
	const char *refusal;
	struct sk_buff *msg;
	u64 id = 0;
	void *hdr;
	int err;

	err = allow(skb, info)				  ?:
		      need(info, VMAHEAP_A_PORT, no_port) ?:
		      need(info, VMAHEAP_A_PID, no_pid);
	if (err)
		return err;
	if (info->attrs[VMAHEAP_A_FLAGS] &&
	    (nla_get_u32(info->attrs[VMAHEAP_A_FLAGS]) & ~VMAHEAP_WATCH_ALL)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMAHEAP_A_FLAGS],
				    "unknown flag of WATCH");
		return -EINVAL;
	}
	/* First of all: what is watched must not be answered with ENOMEM. */
	msg = reply_new(info, &hdr);
	if (!msg)
		return -ENOMEM;
	mutex_lock(&vh_control);
	err = arm(info, &refusal);
	if (err) {
		info->extack->_msg = refusal;
		err = -EOPNOTSUPP;
	} else {
		err = watch(info, nla_get_u32(info->attrs[VMAHEAP_A_PORT]),
			    &id);
	}
	if (!atomic_read(&vh_users))
		vh_disarm();
	mutex_unlock(&vh_control);
	if (!err)
		return reply(info, msg, hdr, VMAHEAP_A_MM, id, 0, 0);
	nlmsg_free(msg);
	return err;
}

static int do_unwatch(struct sk_buff *skb, struct genl_info *info)
{
	struct vh_session *ses;
	int err;

	err = allow(skb, info)				  ?:
		      need(info, VMAHEAP_A_PORT, no_port) ?:
		      need(info, VMAHEAP_A_PID, no_pid);
	if (err)
		return err;
	mutex_lock(&vh_control);
	ses = session_of(info);
	err = -ENOENT;
	if (ses) {
		err = vh_unwatch(ses, nla_get_u32(info->attrs[VMAHEAP_A_PID]));
		if (err)
			NL_SET_ERR_MSG_ATTR(
				info->extack, info->attrs[VMAHEAP_A_PID],
				"this process is not watched by this port");
	}
	mutex_unlock(&vh_control);
	return err;
}

static int do_snapshot(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *mm = info->attrs[VMAHEAP_A_MM];
	struct vh_session *ses;
	int err;

	err = allow(skb, info) ?: need(info, VMAHEAP_A_PORT, no_port);
	if (err)
		return err;
	mutex_lock(&vh_control);
	ses = session_of(info);
	err = -ENOENT;
	if (ses) {
		err = vh_snapshot(ses, mm ? nla_get_u64(mm) : 0);
		if (err)
			NL_SET_ERR_MSG(info->extack,
				       "this address space is not watched");
	}
	mutex_unlock(&vh_control);
	return err;
}

static int do_sync(struct sk_buff *skb, struct genl_info *info)
{
	struct vh_session *ses;
	struct sk_buff *msg;
	u64 seq, ts;
	void *hdr;
	int err;

	err = allow(skb, info) ?: need(info, VMAHEAP_A_PORT, no_port);
	if (err)
		return err;
	mutex_lock(&vh_control);
	ses = session_of(info);
	err = ses ? vh_flush(ses, &seq, &ts) : -ENOENT;
	mutex_unlock(&vh_control);
	if (err == -EAGAIN)
		NL_SET_ERR_MSG(
			info->extack,
			"the event socket is full, or the target busy: read and ask again");
	if (err == -ECONNREFUSED) {
		NL_SET_ERR_MSG(info->extack,
			       "the event socket has been closed");
		err = -ENOTCONN;
	}
	if (err)
		return err;
	msg = reply_new(info, &hdr);
	if (!msg)
		return -ENOMEM;
	return reply(info, msg, hdr, VMAHEAP_A_SEQ, seq, VMAHEAP_A_TS, ts);
}

static int do_stats(struct sk_buff *skb, struct genl_info *info)
{
	struct vmaheap_stats stats = {};
	struct vh_session *ses;
	struct sk_buff *msg;
	void *hdr;
	int err;

	err = allow(skb, info);
	if (err)
		return err;
	mutex_lock(&vh_control);
	if (info->attrs[VMAHEAP_A_PORT]) {
		ses = session_of(info);
		if (ses)
			vh_add_stats(ses, &stats);
		else
			err = -ENOENT;
		stats.hooks = vh_hooks_armed();
	} else {
		vh_total_stats(&stats);
	}
	mutex_unlock(&vh_control);
	if (err)
		return err;

	msg = reply_new(info, &hdr);
	if (!msg)
		return -ENOMEM;
	if (nla_put_64bit(msg, VMAHEAP_A_STATS, sizeof(stats), &stats,
			  VMAHEAP_A_PAD)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

#define REQUEST(CMD, fn, pol)                                        \
	{                                                            \
		.cmd = VMAHEAP_CMD_##CMD, .doit = fn, .policy = pol, \
		.maxattr = VMAHEAP_A_MAX                             \
	}

static const struct genl_ops ops[] = {
	REQUEST(WATCH, do_watch, watch_policy),
	REQUEST(UNWATCH, do_unwatch, unwatch_policy),
	REQUEST(SNAPSHOT, do_snapshot, snapshot_policy),
	REQUEST(SYNC, do_sync, port_policy),
	REQUEST(STATS, do_stats, port_policy),
};

static struct genl_family family __ro_after_init = {
	.name = VMAHEAP_GENL_NAME,
	.version = VMAHEAP_GENL_VERSION,
	.maxattr = VMAHEAP_A_MAX,
	.module = THIS_MODULE,
	.parallel_ops =
		true, /* vh_control does it; other families need not wait */
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
};

/* --- messages */

/*
 * One EVENTS message; without records when len is 0. -EAGAIN: the socket has no
 * room for it now (an empty one takes any message); -ECONNREFUSED: there is no
 * such socket. The records begin 24 bytes into the message, so they are as
 * aligned as the reader's buffer.
 */
int vh_send_records(u32 port, const void *records, u32 len)
{
	struct sk_buff *skb = genlmsg_new(nla_total_size(len), GFP_KERNEL);
	void *hdr;

	if (!skb)
		return -ENOMEM;
	hdr = genlmsg_put(skb, 0, 0, &family, 0, VMAHEAP_CMD_EVENTS);
	if (!hdr || (len && nla_put(skb, VMAHEAP_A_RECORDS, len, records))) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_unicast(&init_net, skb, port);
}

/* A socket closes: its session, if it has one, ends. The others do not wait. */
static int released(struct notifier_block *nb, unsigned long event, void *data)
{
	struct netlink_notify *n = data;
	struct vh_session *ses;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC ||
	    n->net != &init_net || !vh_port_known(n->portid))
		return NOTIFY_DONE;
	mutex_lock(&vh_control);
	ses = vh_session_find(n->portid);
	if (ses)
		vh_session_end(ses);
	mutex_unlock(&vh_control);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = released };

int __init vh_netlink_init(void)
{
	int err = genl_register_family(&family);

	if (err)
		return err;
	err = netlink_register_notifier(&notifier);
	if (err)
		genl_unregister_family(&family);
	return err;
}

/* Returns when no request is being served. Sessions remain. */
void vh_netlink_exit(void)
{
	genl_unregister_family(&family);
	netlink_unregister_notifier(&notifier);
}
