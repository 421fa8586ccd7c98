// SPDX-License-Identifier: MIT
// Back end "tap": frames go to an interface of the host, offloads included.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/hostif.h"
#include "net/netdev_impl.h"
#include "util/io.h"

/*
 * Theory of operation
 *
 * One descriptor of /dev/net/tun for each queue pair; the kernel spreads flows
 * over them. They are not made persistent: an interface that we created goes
 * when the last of them is closed, however the process ends. An interface that
 * was there stays, and gets back what we changed: bridge, MTU, up or down.
 *
 * Frames are read straight into the guest's buffers and written straight from
 * them: see virtio/net_rx.c and net_tx.c.
 */
struct tap_pair {
	int fd;
	bool attached; /* a queue of the interface, as opposed to a parked one */
	struct loop *loop;
	struct netdev_client client;
	struct loop_fd watch;
};

struct tap {
	struct netdev nd;
	struct tap_pair pairs[NETDEV_MAX_PAIRS];
	bool existed; /* the interface, before we came */
	struct hostif_before before;
};

/* Newer than Debian 12's headers (Linux 6.2). */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const struct {
	unsigned netdev, tun;
} offload_table[] = {
	{ NETDEV_CSUM, TUN_F_CSUM },   { NETDEV_TSO4, TUN_F_TSO4 }, { NETDEV_TSO6, TUN_F_TSO6 },
	{ NETDEV_ECN, TUN_F_TSO_ECN }, { NETDEV_UFO, TUN_F_UFO },   { NETDEV_USO4, TUN_F_USO4 },
	{ NETDEV_USO6, TUN_F_USO6 },
};

static struct tap *to_tap(struct netdev *nd)
{
	return container_of(nd, struct tap, nd);
}

static int set_offloads(struct tap *tap, unsigned offloads)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offload_table); i++) {
		if (offloads & offload_table[i].netdev)
			flags |= offload_table[i].tun;
	}
	/* The kernel has no use for the rest without checksums. */
	if (!(flags & TUN_F_CSUM))
		flags = 0;
	return ioctl(tap->pairs[0].fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static int tap_set_offloads(struct netdev *nd, unsigned offloads)
{
	return set_offloads(to_tap(nd), offloads & nd->offloads);
}

/* What this kernel takes: USO only since 6.2, and only both together. */
static unsigned probe_offloads(struct tap *tap)
{
	const unsigned base = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_ECN;
	const unsigned sets[] = { base | NETDEV_UFO | NETDEV_USO4 | NETDEV_USO6, base | NETDEV_UFO,
				  base, NETDEV_CSUM };
	unsigned found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sets) && !found; i++) {
		if (set_offloads(tap, sets[i]) == 0)
			found = sets[i];
	}
	/* Nothing is on until the guest has negotiated it. */
	return set_offloads(tap, 0) == 0 ? found : 0;
}

static void tap_ready(void *opaque, unsigned events)
{
	struct tap_pair *p = opaque;

	if (events & (LOOP_READ | LOOP_HANGUP))
		p->client.readable(p->client.opaque);
	if (events & (LOOP_WRITE | LOOP_HANGUP))
		p->client.writable(p->client.opaque);
}

static int tap_attach(struct netdev *nd, unsigned pair, struct loop *loop,
		      const struct netdev_client *client)
{
	struct tap_pair *p = &to_tap(nd)->pairs[pair];

	p->loop = loop;
	p->client = *client;
	p->watch = (struct loop_fd){ .fn = tap_ready, .opaque = p, .fd = p->fd, .slot = -1 };
	return loop_add_fd(loop, &p->watch);
}

static void tap_detach(struct netdev *nd, unsigned pair)
{
	struct tap_pair *p = &to_tap(nd)->pairs[pair];

	if (p->loop)
		loop_del_fd(p->loop, &p->watch);
	p->loop = NULL;
}

static void tap_watch(struct netdev *nd, unsigned pair, unsigned events)
{
	struct tap_pair *p = &to_tap(nd)->pairs[pair];

	loop_mod_fd(p->loop, &p->watch,
		    (events & NETDEV_READABLE ? LOOP_READ : 0U) |
			    (events & NETDEV_WRITABLE ? LOOP_WRITE : 0U));
}

static ssize_t tap_send(struct netdev *nd, unsigned pair, const struct iovec *iov, unsigned nr_iov)
{
	ssize_t n = writev(to_tap(nd)->pairs[pair].fd, iov, (int)nr_iov);

	return n < 0 ? -errno : n;
}

static ssize_t tap_receive(struct netdev *nd, unsigned pair, const struct iovec *iov,
			   unsigned nr_iov)
{
	ssize_t n = readv(to_tap(nd)->pairs[pair].fd, iov, (int)nr_iov);

	return n < 0 ? -errno : n;
}

static int set_attached(struct tap_pair *p, bool attached)
{
	struct ifreq ifr = { .ifr_flags = (short)(attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE) };

	if (p->attached == attached)
		return 0;
	if (ioctl(p->fd, TUNSETQUEUE, &ifr) < 0)
		return -errno;
	p->attached = attached;
	return 0;
}

static int tap_set_pairs(struct netdev *nd, unsigned nr)
{
	struct tap *tap = to_tap(nd);
	int rc = 0;

	for (unsigned i = 0; i < nd->nr_pairs && rc == 0; i++)
		rc = set_attached(&tap->pairs[i], i < nr);
	return rc;
}

static void tap_close(struct netdev *nd)
{
	struct tap *tap = to_tap(nd);

	if (tap->existed)
		hostif_put_back(nd->host_if, &tap->before);
	for (unsigned i = 0; i < nd->nr_pairs; i++)
		close_fd(&tap->pairs[i].fd);
	free(tap);
}

static const struct netdev_ops tap_ops_single = {
	.type = "tap",
	.attach = tap_attach,
	.detach = tap_detach,
	.watch = tap_watch,
	.send = tap_send,
	.receive = tap_receive,
	.set_offloads = tap_set_offloads,
	.close = tap_close,
};

static const struct netdev_ops tap_ops_multi = {
	.type = "tap",
	.attach = tap_attach,
	.detach = tap_detach,
	.watch = tap_watch,
	.send = tap_send,
	.receive = tap_receive,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
	.close = tap_close,
};

static int open_tun(struct err *e)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return err_set(e, -errno,
			       "no /dev/net/tun: load the kernel module (modprobe tun), or use "
			       "user networking");
	return err_set(e, -errno, "/dev/net/tun: %s: make it accessible, or use user networking",
		       strerror(errno));
}

static int set_iff(int fd, const char *name, unsigned flags, char ret_name[IF_NAMESIZE])
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };

	(void)strncpy(ifr.ifr_name, name, IF_NAMESIZE - 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	memcpy(ret_name, ifr.ifr_name, IF_NAMESIZE);
	return 0;
}

/* The kernel refused: find out why. */
static int explain_iff(int code, const char *name, bool existed, unsigned nr_pairs, struct err *e)
{
	if (!existed && (code == -EPERM || code == -EACCES))
		return err_set(e, code,
			       "tap %s: no such interface, and no permission to create it: "
			       "create it by 'ip tuntap add dev %s mode tap vnet_hdr user NAME', "
			       "run with CAP_NET_ADMIN, or use user networking",
			       name, name);
	if (code == -EPERM || code == -EACCES)
		return err_set(e, code,
			       "tap %s: belongs to somebody else: give it to this user by 'ip "
			       "tuntap add ... user NAME', or run with CAP_NET_ADMIN",
			       name);
	if (code == -EBUSY || code == -E2BIG)
		return err_set(e, code, "tap %s: in use by another process", name);
	if (existed && !hostif_is_tap(name))
		return err_set(e, code, "%s: exists, but is not a tap interface", name);
	if (existed && nr_pairs > 1)
		return err_set(e, code,
			       "tap %s: has a single queue, but %u queue pairs are wanted: create "
			       "it with multi_queue, or ask for one pair",
			       name, nr_pairs);
	return err_set(e, code, "tap %s: %s", name, strerror(-code));
}

/*
 * The first descriptor decides about the kind of the interface. One pair goes
 * with both kinds; whether an interface that exists has several queues is only
 * found out by trying.
 */
static int open_first(struct tap *tap, const char *name, unsigned nr_pairs, unsigned *ret_flags,
		      struct err *e)
{
	bool existed = if_nametoindex(name) != 0;
	unsigned flags = nr_pairs > 1 ? IFF_MULTI_QUEUE : 0;
	int fd = open_tun(e), rc;

	if (fd < 0)
		return fd;
	tap->pairs[0].fd = fd;
	tap->nd.nr_pairs = 1;
	rc = set_iff(fd, name, flags, tap->nd.host_if);
	if (rc == -EINVAL && existed && nr_pairs == 1) {
		flags = IFF_MULTI_QUEUE;
		rc = set_iff(fd, name, flags, tap->nd.host_if);
	}
	if (rc < 0)
		return explain_iff(rc, name, existed, nr_pairs, e);
	tap->existed = existed;
	hostif_note(tap->nd.host_if, &tap->before);
	*ret_flags = flags;
	return 0;
}

static int open_pairs(struct tap *tap, const struct netdev_config *cfg, struct err *e)
{
	struct netdev *nd = &tap->nd;
	char name[IF_NAMESIZE];
	unsigned flags = 0;
	int rc = open_first(tap, cfg->tap ? cfg->tap : "ferry%d", cfg->nr_pairs, &flags, e);

	while (rc == 0 && nd->nr_pairs < cfg->nr_pairs) {
		int fd = open_tun(e);

		if (fd < 0)
			return fd;
		tap->pairs[nd->nr_pairs++].fd = fd;
		rc = set_iff(fd, nd->host_if, flags, name);
		if (rc < 0)
			(void)explain_iff(rc, nd->host_if, true, cfg->nr_pairs, e);
	}
	for (unsigned i = 0; i < nd->nr_pairs; i++)
		tap->pairs[i].attached = true;
	return rc;
}

static int set_header_size(struct tap *tap, struct err *e)
{
	const int bytes = NETDEV_HDR_BYTES;

	for (unsigned i = 0; i < tap->nd.nr_pairs; i++) {
		if (ioctl(tap->pairs[i].fd, TUNSETVNETHDRSZ, &bytes) < 0)
			return err_set(e, -errno, "tap %s: virtio headers: %s", tap->nd.host_if,
				       strerror(errno));
	}
	return 0;
}

/* Up comes last, so that nothing half done is seen. */
static int set_up_host(struct tap *tap, const struct netdev_config *cfg, struct err *e)
{
	struct netdev *nd = &tap->nd;
	int rc = 0;

	if (cfg->mtu)
		rc = hostif_set_mtu(nd->host_if, cfg->mtu, e);
	if (rc == 0 && cfg->bridge)
		rc = hostif_add_to_bridge(nd->host_if, cfg->bridge, e);
	if (rc == 1)
		(void)strncpy(tap->before.bridge, cfg->bridge, IF_NAMESIZE - 1);
	if (rc >= 0)
		rc = hostif_up(nd->host_if, e);
	if (rc == 0)
		rc = hostif_get_mtu(nd->host_if, &nd->mtu, e);
	return rc;
}

int netdev_open_tap(struct netdev **ret, const struct netdev_config *cfg, struct err *e)
{
	struct tap *tap;
	int rc;

	if (cfg->tap && (!*cfg->tap || strlen(cfg->tap) >= IF_NAMESIZE || strpbrk(cfg->tap, "/% ")))
		return err_set(e, -EINVAL, "tap '%s': not a name for an interface", cfg->tap);
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return err_set(e, -ENOMEM, "tap: no memory");
	tap->nd.ops = cfg->nr_pairs > 1 ? &tap_ops_multi : &tap_ops_single;
	rc = open_pairs(tap, cfg, e);
	if (rc == 0)
		rc = set_header_size(tap, e);
	if (rc == 0)
		rc = set_up_host(tap, cfg, e);
	if (rc < 0) {
		tap_close(&tap->nd);
		return rc;
	}
	tap->nd.offloads = probe_offloads(tap);
	*ret = &tap->nd;
	return 0;
}
