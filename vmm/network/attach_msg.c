// SPDX-License-Identifier: MIT
// Messages between a guest's process and ferry-net: JSON, and descriptors beside it.
#include "vmm/network/attach_msg.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "net/managed/netdef.h"
#include "net/netdev.h"
#include "util/io.h"

static const char *const kinds[ATTACH_NR_KINDS] = {
	[ATTACH_NETWORK] = "network",
	[ATTACH_TAP] = "tap",
	[ATTACH_MACVTAP] = "macvtap",
};

/* --- requests --- */

static int dump(json_t *json, char buf[ATTACH_MSG_BYTES])
{
	size_t len = json ? json_dumpb(json, buf, ATTACH_MSG_BYTES - 1, JSON_COMPACT) : 0;

	json_decref(json);
	if (len == 0 || len >= ATTACH_MSG_BYTES)
		return -EINVAL;
	buf[len] = '\0';
	return 0;
}

/* "" for none. */
static const char *show_addr(const struct net_prefix *addr, char buf[NET_PREFIX_TEXT])
{
	buf[0] = '\0';
	return addr->family ? net_addr_format(addr, buf) : buf;
}

int attach_request_format(const struct attach_request *req, char buf[ATTACH_MSG_BYTES])
{
	char v4[NET_PREFIX_TEXT], v6[NET_PREFIX_TEXT], mac[MAC_TEXT_BYTES];

	mac_format(req->mac, mac);
	return dump(
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:s, s:s, s:s}",
			  "kind", kinds[req->kind], "name", req->name, "bridge", req->bridge,
			  "mode", req->mode, "guest", req->guest, "nic", (int)req->nic, "queues",
			  (int)req->queues, "mtu", (int)req->mtu, "vlan", (int)req->vlan,
			  "unfiltered", (int)req->unfiltered, "trial", (int)req->trial, "mac", mac,
			  "ip", show_addr(&req->v4, v4), "ip6", show_addr(&req->v6, v6)),
		buf);
}

/* What is read of a request before it is judged. */
struct raw {
	const char *kind, *name, *bridge, *mode, *guest, *mac, *ip, *ip6;
	int nic, queues, mtu, vlan, unfiltered, trial;
};

static int check_interface(const char *text, struct err *e)
{
	size_t len = strlen(text);

	if (len > 0 && len < IF_NAMESIZE && !strpbrk(text, "/:% \t\n") && text[0] != '.')
		return 0;
	return err_set(e, -EINVAL, "'%.40s' is not the name of an interface", text);
}

/* "" for all but macvtap. */
static int check_mode(const char *mode, bool is_macvtap, struct err *e)
{
	static const char *const modes[] = { "bridge", "vepa", "private" };

	for (size_t i = 0; is_macvtap && i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i], mode) == 0)
			return 0;
	}
	return is_macvtap || *mode ? err_set(e, -EINVAL, "mode: '%.20s' is none", mode) : 0;
}

static int set_name(const struct raw *raw, struct attach_request *ret, struct err *e)
{
	unsigned kind = 0;
	int rc;

	while (kind < ATTACH_NR_KINDS && strcmp(kinds[kind], raw->kind) != 0)
		kind++;
	if (kind == ATTACH_NR_KINDS)
		return err_set(e, -EINVAL, "kind: unknown");
	ret->kind = (enum attach_kind)kind;
	rc = kind == ATTACH_NETWORK ? netdef_check_name(raw->name, e)
				    : check_interface(raw->name, e);
	if (rc == 0 && raw->bridge[0])
		rc = check_interface(raw->bridge, e);
	if (rc == 0)
		rc = check_mode(raw->mode, kind == ATTACH_MACVTAP, e);
	if (rc == 0)
		rc = runtime_check_name(raw->guest, e);
	if (rc < 0)
		return rc;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", raw->name);
	(void)snprintf(ret->bridge, sizeof(ret->bridge), "%s", raw->bridge);
	(void)snprintf(ret->mode, sizeof(ret->mode), "%s", raw->mode);
	(void)snprintf(ret->guest, sizeof(ret->guest), "%s", raw->guest);
	return 0;
}

static int set_number(unsigned *ret, int value, unsigned min, unsigned max, const char *what,
		      struct err *e)
{
	if (value < 0 || (unsigned)value < min || (unsigned)value > max)
		return err_set(e, -EINVAL, "%s: %d is out of range", what, value);
	*ret = (unsigned)value;
	return 0;
}

static int set_numbers(const struct raw *raw, struct attach_request *ret, struct err *e)
{
	int rc = set_number(&ret->nic, raw->nic, 0, 255, "nic", e);

	if (rc == 0)
		rc = set_number(&ret->queues, raw->queues, 1, ATTACH_MAX_QUEUES, "queues", e);
	if (rc == 0)
		rc = set_number(&ret->vlan, raw->vlan, 0, 4094, "vlan", e);
	if (rc == 0 && raw->mtu)
		rc = set_number(&ret->mtu, raw->mtu, NETDEV_MIN_MTU, NETDEV_MAX_MTU, "mtu", e);
	ret->unfiltered = raw->unfiltered != 0;
	ret->trial = raw->trial != 0;
	return rc;
}

static int set_addr(struct net_prefix *ret, const char *text, int family, struct err *e)
{
	if (!*text)
		return 0;
	if (strchr(text, '/') || net_prefix_parse(text, ret) < 0 || ret->family != family)
		return err_set(e, -EINVAL, "'%.60s' is not an address", text);
	return 0;
}

static int judge(const struct raw *raw, struct attach_request *ret, struct err *e)
{
	struct attach_request req = { 0 };
	int rc = set_name(raw, &req, e);

	if (rc == 0)
		rc = set_numbers(raw, &req, e);
	if (rc == 0 && mac_parse(raw->mac, req.mac) < 0)
		rc = err_set(e, -EINVAL, "'%.40s' is not the MAC of a nic", raw->mac);
	if (rc == 0)
		rc = set_addr(&req.v4, raw->ip, AF_INET, e);
	if (rc == 0)
		rc = set_addr(&req.v6, raw->ip6, AF_INET6, e);
	if (rc == 0)
		*ret = req;
	return rc;
}

int attach_request_parse(const char *text, size_t len, struct attach_request *ret, struct err *e)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_error_t why = { 0 };
	struct raw raw;
	int rc;

	if (json_unpack_ex(json, &why, JSON_STRICT,
			   "{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:s, s:s, s:s}",
			   "kind", &raw.kind, "name", &raw.name, "bridge", &raw.bridge, "mode",
			   &raw.mode, "guest", &raw.guest, "nic", &raw.nic, "queues", &raw.queues,
			   "mtu", &raw.mtu, "vlan", &raw.vlan, "unfiltered", &raw.unfiltered,
			   "trial", &raw.trial, "mac", &raw.mac, "ip", &raw.ip, "ip6",
			   &raw.ip6) < 0)
		rc = err_set(e, -EINVAL, "not a request: %.100s", json ? why.text : "not JSON");
	else
		rc = judge(&raw, ret, e);
	json_decref(json);
	return rc;
}

/* --- answers --- */

int attach_answer_format(const struct attach_answer *answer, char buf[ATTACH_MSG_BYTES])
{
	json_t *text = json_string(answer->e.code ? answer->e.text : "");

	/* What failed may quote bytes that are not UTF-8. */
	if (!text)
		text = json_string("it failed, for a reason that cannot be shown");
	return dump(json_pack("{s:i, s:o, s:s, s:i}", "code", answer->e.code, "error", text,
			      "interface", answer->interface, "mtu", (int)answer->mtu),
		    buf);
}

int attach_answer_parse(const char *text, size_t len, struct attach_answer *ret, struct err *e)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *error, *interface;
	int code, mtu, rc = 0;

	if (json_unpack(json, "{s:i, s:s, s:s, s:i}", "code", &code, "error", &error, "interface",
			&interface, "mtu", &mtu) < 0 ||
	    code > 0 || mtu < 0 || (unsigned)mtu > NETDEV_MAX_MTU ||
	    strlen(interface) >= IF_NAMESIZE) {
		rc = err_set(e, -EPROTO, "ferry-net gave an answer that cannot be read");
	} else {
		*ret = (struct attach_answer){ .mtu = (unsigned)mtu };
		(void)snprintf(ret->interface, sizeof(ret->interface), "%s", interface);
		if (code)
			(void)err_set(&ret->e, code, "%s", error);
	}
	json_decref(json);
	return rc;
}

/* --- packets --- */

union fd_space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(ATTACH_MAX_FDS * sizeof(int))];
};

int attach_send(int sock, const char *text, const int *fds, unsigned nr_fds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_space space = { 0 };
	struct cmsghdr *cmsg;

	if (nr_fds > ATTACH_MAX_FDS)
		return -E2BIG;
	if (nr_fds) {
		hdr.msg_control = space.bytes;
		hdr.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	return sendmsg(sock, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Those that came; -EPROTO: more than fit, and none is kept. */
static int take_fds(struct msghdr *hdr, int *fds, unsigned max, unsigned *ret_nr)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr);
	int got[ATTACH_MAX_FDS];
	unsigned nr;

	*ret_nr = 0;
	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return 0;
	nr = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(got, CMSG_DATA(cmsg), nr * sizeof(int));
	if (nr > max || (hdr->msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
		for (unsigned i = 0; i < nr; i++)
			close_fd(&got[i]);
		return -EPROTO;
	}
	memcpy(fds, got, nr * sizeof(int));
	*ret_nr = nr;
	return 0;
}

static int wait_readable(int sock, int timeout_ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
}

ssize_t attach_receive(int sock, int timeout_ms, char buf[ATTACH_MSG_BYTES], int *fds,
		       unsigned max_fds, unsigned *ret_nr_fds)
{
	struct iovec iov = { .iov_base = buf, .iov_len = ATTACH_MSG_BYTES };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_space space = { 0 };
	int rc = wait_readable(sock, timeout_ms);
	ssize_t n;

	*ret_nr_fds = 0;
	if (rc < 0)
		return rc;
	/* Without room for them the kernel drops descriptors that nobody asked for. */
	if (max_fds) {
		hdr.msg_control = space.bytes;
		hdr.msg_controllen = sizeof(space.bytes);
	}
	n = recvmsg(sock, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	rc = take_fds(&hdr, fds, max_fds, ret_nr_fds);
	return rc < 0 || (hdr.msg_flags & MSG_TRUNC) ? -EPROTO : n;
}
