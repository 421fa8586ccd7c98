// SPDX-License-Identifier: MIT
// One guest's nics: attached when it asks, detached when it has gone.
#include "vmm/network/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include "net/managed/macvtap.h"
#include "net/tap_host.h"
#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/guest/config.h"
#include "vmm/network/access.h"
#include "vmm/network/attach_msg.h"
#include "vmm/network/paths.h"
#include "vmm/network/privilege.h"

/* What was done for one request. */
struct attached {
	struct tap_host tap;
	unsigned tap_index;
	/*
	 * Its descriptors stay open until the network was left: what is taken back then
	 * goes by the tap's name, which the next guest must not have before.
	 */
	bool holds_tap;
	struct net_join join;
	char made[NETDEF_NAME_MAX + 1]; /* a network that is there for this trial alone; "": none */
};

struct server {
	int sock;
	const struct privilege *priv;
	bool is_root; /* guarded: has become it */
	struct network_paths paths;
	struct attached nics[CONFIG_MAX_NICS];
	unsigned nr;
};

/* --- kinds of back ends --- */

/* What the nic asks of its network; the network is up then. */
static int prepare(const struct server *s, const struct attach_request *req, struct attached *nic,
		   struct netdef *def, struct net_member *member, struct err *e)
{
	bool trial = req->trial && !network_is_up(&s->paths.dirs, req->name);
	int rc = netdef_load(def, s->paths.defs, req->name, e);

	if (rc < 0)
		return rc;
	if (req->vlan && !def->vlan)
		return err_set(e, -EINVAL, "vlan: network %s was made without --vlan", def->name);
	*member = (struct net_member){
		.guest = req->guest,
		.index = req->nic,
		.v4 = req->v4,
		.v6 = req->v6,
		.unfiltered = req->unfiltered,
		.vlan = (uint16_t)req->vlan,
	};
	memcpy(member->mac, req->mac, sizeof(member->mac));
	rc = network_up(&s->paths.dirs, def, e);
	if (rc == 0 && trial)
		memcpy(nic->made, def->name, sizeof(nic->made));
	return rc < 0 ? rc : network_choose_addresses(&s->paths.dirs, def, member, e);
}

static int attach_network(struct server *s, const struct attach_request *req, struct attached *nic,
			  struct err *e)
{
	struct netdev_config tap = { .nr_pairs = req->queues, .mtu = req->mtu };
	struct net_member member;
	struct netdef def;
	int rc = prepare(s, req, nic, &def, &member, e);

	if (rc == 0 && !tap.mtu)
		tap.mtu = def.mtu;
	if (rc == 0)
		rc = tap_host_open(&nic->tap, &tap, e);
	if (rc < 0)
		return rc;
	nic->holds_tap = true;
	(void)snprintf(member.tap, sizeof(member.tap), "%s", nic->tap.name);
	return network_join(&s->paths.dirs, &def, &member, &nic->join, e);
}

static int attach_tap(struct server *s, const struct attach_request *req, struct attached *nic,
		      struct err *e)
{
	const struct netdev_config tap = {
		.nr_pairs = req->queues,
		.mtu = req->mtu,
		.tap = req->name,
		.bridge = req->bridge[0] ? req->bridge : NULL,
	};

	(void)s;
	return tap_host_open(&nic->tap, &tap, e);
}

/* The nic's own MAC is that of the interface: the one below takes its frames in. */
static int attach_macvtap(struct server *s, const struct attach_request *req, struct attached *nic,
			  struct err *e)
{
	struct net_macvtap macvtap = {
		.guest = req->guest,
		.index = req->nic,
		.lower = req->name,
		.mode = req->mode,
		.mtu = req->mtu,
	};
	char name[IF_NAMESIZE];
	int rc;

	memcpy(macvtap.mac, req->mac, sizeof(macvtap.mac));
	rc = network_join_macvtap(&s->paths.dirs, &macvtap, &nic->join, name, e);
	return rc < 0 ? rc : macvtap_open(&nic->tap, name, req->queues, e);
}

static int (*const attach_kinds[ATTACH_NR_KINDS])(struct server *s,
						  const struct attach_request *req,
						  struct attached *nic, struct err *e) = {
	[ATTACH_NETWORK] = attach_network,
	[ATTACH_TAP] = attach_tap,
	[ATTACH_MACVTAP] = attach_macvtap,
};

/* Whoever has a tap's descriptor may make it outlive that. */
static void remove_tap(const struct attached *nic)
{
	struct netlink_link link;
	struct netlink *nl;

	if (netlink_open(&nl, NULL) < 0)
		return;
	if (netlink_get_link(nl, nic->tap.name, &link) == 0 && link.index == nic->tap_index)
		(void)!netlink_del_link(nl, nic->tap.name);
	netlink_close(nl);
}

static void detach(struct server *s, struct attached *nic)
{
	network_leave(&s->paths.dirs, &nic->join);
	tap_host_close(&nic->tap);
	if (s->priv->guarded && nic->tap_index)
		remove_tap(nic);
	/* Whoever has joined it meanwhile keeps it. */
	if (nic->made[0])
		(void)!network_down(&s->paths.dirs, nic->made, NULL);
}

/* --- callers who are not root --- */

static int check_modest(const struct attach_request *req, struct err *e)
{
	if (req->kind != ATTACH_NETWORK)
		return err_set(e, -EPERM, "%s: only root may use it: join a network by its name",
			       req->name);
	if (req->unfiltered || req->vlan)
		return err_set(e, -EPERM, "network %s: filter=off and vlan need root", req->name);
	return 0;
}

/* What is believed is root's alone: the list, and what the network is. */
static int check_files(struct server *s, const struct attach_request *req, struct err *e)
{
	char path[sizeof(s->paths.defs) + 32];
	int rc = access_check_trusted("/etc/ferry", true, e);

	if (rc == -ENOENT)
		return err_set(e, -EACCES, "no user but root may join networks: there is no %s",
			       ACCESS_FILE);
	if (rc == 0)
		rc = access_check(ACCESS_FILE, s->priv->uid, req->name, e);
	if (rc == 0)
		rc = network_paths_get(&s->paths, e);
	if (rc == 0)
		rc = access_check_trusted(s->paths.defs, true, e);
	(void)snprintf(path, sizeof(path), "%s/%s.json", s->paths.defs, req->name);
	return rc < 0 ? rc : access_check_trusted(path, false, e);
}

static int guard(struct server *s, const struct attach_request *req, struct err *e)
{
	char mac[MAC_TEXT_BYTES];
	int rc = check_modest(req, e);

	if (rc == 0 && !s->is_root) {
		rc = privilege_become_root(e);
		s->is_root = rc == 0;
	}
	if (rc == 0)
		rc = check_files(s, req, e);
	mac_format(req->mac, mac);
	syslog(rc < 0 ? LOG_WARNING : LOG_INFO, "user %u, guest %s.%u, mac %s, network %s: %s",
	       (unsigned)s->priv->uid, req->guest, req->nic, mac, req->name,
	       rc < 0 ? e->text : "allowed");
	return rc;
}

/* --- the conversation --- */

static int attach(struct server *s, const struct attach_request *req, struct attached *nic,
		  struct err *e)
{
	int rc = network_paths_get(&s->paths, e);

	*nic = (struct attached){ 0 };
	net_join_init(&nic->join);
	if (rc < 0)
		return rc;
	rc = attach_kinds[req->kind](s, req, nic, e);
	nic->tap_index = nic->tap.name[0] ? if_nametoindex(nic->tap.name) : 0;
	if (rc < 0)
		detach(s, nic);
	return rc;
}

/* The descriptors go with it; ours are closed, but for those that hold a name. */
static int grant(struct server *s, struct attached *nic)
{
	struct attach_answer answer = { .mtu = nic->tap.mtu };
	char text[ATTACH_MSG_BYTES];
	int fds[ATTACH_MAX_FDS], rc;
	unsigned nr = 0;

	memcpy(answer.interface, nic->tap.name, sizeof(answer.interface));
	while (nr < nic->tap.nr_fds && nr < ATTACH_MAX_QUEUES) {
		fds[nr] = nic->tap.fds[nr];
		nr++;
	}
	if (nic->join.lock_fd >= 0)
		fds[nr++] = nic->join.lock_fd;
	rc = attach_answer_format(&answer, text);
	if (rc == 0)
		rc = attach_send(s->sock, text, fds, nr);
	if (!nic->holds_tap)
		tap_host_forget(&nic->tap);
	close_fd(&nic->join.lock_fd);
	return rc;
}

static int refuse(const struct server *s, const struct err *e)
{
	const struct attach_answer answer = { .e = *e };
	char text[ATTACH_MSG_BYTES];
	int rc = attach_answer_format(&answer, text);

	return rc < 0 ? rc : attach_send(s->sock, text, NULL, 0);
}

/* One request; negative: no more of them. */
static int handle(struct server *s, const char *text, size_t len)
{
	struct attach_request req;
	struct err e = { 0 };
	int rc = attach_request_parse(text, len, &req, &e);

	if (rc == 0 && s->nr == ARRAY_SIZE(s->nics))
		rc = err_set(&e, -E2BIG, "more than %zu nics", ARRAY_SIZE(s->nics));
	if (rc == 0 && s->priv->guarded)
		rc = guard(s, &req, &e);
	if (rc == 0)
		rc = attach(s, &req, &s->nics[s->nr], &e);
	if (rc < 0)
		return refuse(s, &e);
	return grant(s, &s->nics[s->nr++]);
}

static void serve(struct server *s)
{
	char text[ATTACH_MSG_BYTES];
	unsigned nr_fds;
	ssize_t len;

	do {
		len = attach_receive(s->sock, -1, text, NULL, 0, &nr_fds);
	} while (len > 0 && handle(s, text, (size_t)len) == 0);
	while (s->nr > 0)
		detach(s, &s->nics[--s->nr]);
}

/* --- the process --- */

static bool is_packet_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && domain == AF_UNIX &&
	       type == SOCK_SEQPACKET;
}

/* Whoever started us chose these; a guest that is shut down needs us to the end. */
static int settle_signals(void)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ, SIGTSTP
	};
	const struct itimerval off = { 0 };
	sigset_t none;

	(void)setitimer(ITIMER_REAL, &off, NULL);
	(void)setitimer(ITIMER_VIRTUAL, &off, NULL);
	(void)setitimer(ITIMER_PROF, &off, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
		if (signal(ignored[i], SIG_IGN) == SIG_ERR)
			return -errno;
	}
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		return -errno;
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

/* The socket alone, and nothing of the guest's terminal or pipes. Returns the socket. */
static int settle_descriptors(void)
{
	int sock = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (sock < 0 || null < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (dup2(null, fd) < 0)
			return -errno;
	}
	sock = dup3(sock, STDERR_FILENO + 1, O_CLOEXEC) >= 0 || errno == EINVAL ? STDERR_FILENO + 1
										: -errno;
	(void)close_range(STDERR_FILENO + 2, ~0U, 0);
	return sock;
}

int attach_serve(const struct privilege *priv)
{
	struct server s = { .sock = -1, .priv = priv };

	if (!is_packet_socket(STDIN_FILENO)) {
		(void)fprintf(stderr, "ferry-net attach: it is for ferry run, which talks to it by "
				      "its standard input\n");
		return CLI_USAGE;
	}
	(void)setsid();
	(void)umask(022);
	if (chdir("/") < 0 || settle_signals() < 0)
		return CLI_FAILED;
	s.sock = settle_descriptors();
	if (s.sock < 0)
		return CLI_FAILED;
	if (priv->guarded)
		openlog("ferry-net", LOG_PID, LOG_AUTHPRIV);
	serve(&s);
	(void)close(s.sock);
	return CLI_OK;
}
