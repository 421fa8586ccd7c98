// SPDX-License-Identifier: MIT
// rtnetlink: the socket, requests and their answers.
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <stdlib.h>

#include "net/managed/netlink_impl.h"

int netlink_open(struct netlink **ret, struct err *e)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int rc;

	if (!nl)
		return err_set(e, -ENOMEM, "no memory");
	nl->sock = nl_socket_alloc();
	rc = nl->sock ? nl_connect(nl->sock, NETLINK_ROUTE) : -NLE_NOMEM;
	if (rc < 0) {
		rc = err_set(e, -EIO, "cannot talk to the kernel's network: %s", nl_geterror(rc));
		netlink_close(nl);
		return rc;
	}
	nl_socket_disable_seq_check(nl->sock);
	*ret = nl;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sock);
	free(nl);
}

int netlink_index(const char *name, unsigned *ret)
{
	unsigned index = if_nametoindex(name);

	if (index == 0)
		return -ENODEV;
	*ret = index;
	return 0;
}

struct nl_msg *netlink_new_request(int type, int flags, const void *hdr, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

	if (msg && nlmsg_append(msg, (void *)(uintptr_t)hdr, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* What the kernel answered, as it said it: libnl's own codes lose half of them. */
struct answer {
	int (*fn)(struct nl_msg *msg, void *opaque);
	void *opaque;
	int code;
	bool done;
};

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	struct answer *a = arg;

	(void)from;
	a->code = err->error;
	a->done = true;
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct answer *a = arg;

	(void)msg;
	a->done = true;
	return NL_STOP;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct answer *a = arg;

	/* After the first failure the rest of a dump is read, and dropped. */
	if (a->code == 0 && a->fn)
		a->code = a->fn(msg, a->opaque);
	return NL_OK;
}

/* Read until the kernel has said that it is finished. */
static int receive(struct netlink *nl, struct answer *a)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int rc = 0;

	if (!cb)
		return -ENOMEM;
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, a);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, a);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_ack, a);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_message, a);
	while (rc >= 0 && !a->done)
		rc = nl_recvmsgs(nl->sock, cb);
	nl_cb_put(cb);
	return a->done ? a->code : -EIO;
}

int netlink_query(struct netlink *nl, struct nl_msg *msg, bool failed,
		  int (*fn)(struct nl_msg *msg, void *opaque), void *opaque)
{
	struct answer a = { .fn = fn, .opaque = opaque };
	int rc;

	if (!msg)
		return -ENOMEM;
	if (failed) {
		nlmsg_free(msg);
		return -ENOBUFS;
	}
	nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
	rc = nl_send_auto(nl->sock, msg);
	nlmsg_free(msg);
	return rc < 0 ? -EIO : receive(nl, &a);
}

int netlink_request(struct netlink *nl, struct nl_msg *msg, bool failed)
{
	return netlink_query(nl, msg, failed, NULL, NULL);
}
