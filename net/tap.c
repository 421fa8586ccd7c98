// SPDX-License-Identifier: MIT
// Back end "tap": frames go to an interface of the host, offloads included.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/netdev_impl.h"
#include "net/tap_host.h"

/*
 * Theory of operation
 *
 * tap_host.h opens the interface, or ferry-net has done so and given us its descriptors.
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
	struct tap_host host; /* owns the descriptors */
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

	tap_host_close(&tap->host);
	free(tap);
}

static const struct netdev_ops tap_ops_single = {
	.type = "tap",
	.thread_class = THREAD_IO,
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
	.thread_class = THREAD_IO,
	.attach = tap_attach,
	.detach = tap_detach,
	.watch = tap_watch,
	.send = tap_send,
	.receive = tap_receive,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
	.close = tap_close,
};

/*
 * The descriptor can be any: make sure that what is read and written there are frames
 * with our header, and that neither waits. 0 or -errno with @e.
 */
static int settle_queue(int fd, bool multi, struct ifreq *ret, struct err *e)
{
	const short wanted =
		(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi ? IFF_MULTI_QUEUE : 0));
	const int bytes = NETDEV_HDR_BYTES;
	struct stat st;
	int flags;

	*ret = (struct ifreq){ 0 };
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || ioctl(fd, TUNGETIFF, ret) < 0)
		return err_set(e, -EINVAL, "the descriptor is not the queue of a tap");
	ret->ifr_name[IF_NAMESIZE - 1] = '\0';
	if ((ret->ifr_flags & wanted) != wanted || ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0)
		return err_set(e, -EINVAL,
			       "tap %s: it must be opened with IFF_NO_PI, IFF_VNET_HDR%s",
			       ret->ifr_name, multi ? " and IFF_MULTI_QUEUE" : "");
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(e, -errno, "tap %s: %s", ret->ifr_name, strerror(errno));
	return 0;
}

static int take_queue(struct tap_host *host, int given, bool multi, struct err *e)
{
	struct ifreq ifr;
	int rc = settle_queue(given, multi, &ifr, e), fd;

	if (rc < 0)
		return rc;
	if (host->nr_fds == 0)
		memcpy(host->name, ifr.ifr_name, sizeof(host->name));
	if (strcmp(host->name, ifr.ifr_name) != 0)
		return err_set(e, -EINVAL, "queues of two interfaces, %s and %s", host->name,
			       ifr.ifr_name);
	fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "tap %s: %s", host->name, strerror(errno));
	host->fds[host->nr_fds++] = fd;
	return 0;
}

/* The interface is somebody else's: what is left to do is to use its queues. */
static int take_over(struct tap_host *host, const struct netdev_config *cfg, struct err *e)
{
	int rc = 0;

	*host = (struct tap_host){ .mtu = cfg->host_mtu };
	if (cfg->host_mtu < NETDEV_MIN_MTU || cfg->host_mtu > NETDEV_MAX_MTU)
		rc = err_set(e, -EINVAL, "MTU %u of the tap: must be %u to %u", cfg->host_mtu,
			     NETDEV_MIN_MTU, NETDEV_MAX_MTU);
	for (unsigned i = 0; i < cfg->nr_pairs && rc == 0; i++)
		rc = take_queue(host, cfg->fds[i], cfg->nr_pairs > 1, e);
	if (rc < 0)
		tap_host_forget(host);
	return rc;
}

int netdev_open_tap(struct netdev **ret, const struct netdev_config *cfg, struct err *e)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int rc;

	if (!tap)
		return err_set(e, -ENOMEM, "tap: no memory");
	rc = cfg->fds ? take_over(&tap->host, cfg, e) : tap_host_open(&tap->host, cfg, e);
	if (rc < 0) {
		free(tap);
		return rc;
	}
	tap->nd = (struct netdev){
		.ops = cfg->nr_pairs > 1 ? &tap_ops_multi : &tap_ops_single,
		.nr_pairs = cfg->nr_pairs,
		.mtu = tap->host.mtu,
	};
	memcpy(tap->nd.host_if, tap->host.name, IF_NAMESIZE);
	for (unsigned i = 0; i < cfg->nr_pairs; i++)
		tap->pairs[i] = (struct tap_pair){ .fd = tap->host.fds[i], .attached = true };
	tap->nd.offloads = probe_offloads(tap);
	*ret = &tap->nd;
	return 0;
}
