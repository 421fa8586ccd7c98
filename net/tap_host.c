// SPDX-License-Identifier: MIT
// Taps as the host has them: opened, set up, put back.
#include "net/tap_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/io.h"

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
static int open_first(struct tap_host *tap, const char *name, unsigned nr_pairs,
		      unsigned *ret_flags, struct err *e)
{
	bool existed = if_nametoindex(name) != 0;
	unsigned flags = nr_pairs > 1 ? IFF_MULTI_QUEUE : 0;
	int fd = open_tun(e), rc;

	if (fd < 0)
		return fd;
	tap->fds[0] = fd;
	tap->nr_fds = 1;
	rc = set_iff(fd, name, flags, tap->name);
	if (rc == -EINVAL && existed && nr_pairs == 1) {
		flags = IFF_MULTI_QUEUE;
		rc = set_iff(fd, name, flags, tap->name);
	}
	if (rc < 0)
		return explain_iff(rc, name, existed, nr_pairs, e);
	tap->existed = existed;
	hostif_note(tap->name, &tap->before);
	*ret_flags = flags;
	return 0;
}

static int open_pairs(struct tap_host *tap, const struct netdev_config *cfg, struct err *e)
{
	char name[IF_NAMESIZE];
	unsigned flags = 0;
	int rc = open_first(tap, cfg->tap ? cfg->tap : "ferry%d", cfg->nr_pairs, &flags, e);

	while (rc == 0 && tap->nr_fds < cfg->nr_pairs) {
		int fd = open_tun(e);

		if (fd < 0)
			return fd;
		tap->fds[tap->nr_fds++] = fd;
		rc = set_iff(fd, tap->name, flags, name);
		if (rc < 0)
			(void)explain_iff(rc, tap->name, true, cfg->nr_pairs, e);
	}
	return rc;
}

static int set_header_size(struct tap_host *tap, struct err *e)
{
	const int bytes = NETDEV_HDR_BYTES;

	for (unsigned i = 0; i < tap->nr_fds; i++) {
		if (ioctl(tap->fds[i], TUNSETVNETHDRSZ, &bytes) < 0)
			return err_set(e, -errno, "tap %s: virtio headers: %s", tap->name,
				       strerror(errno));
	}
	return 0;
}

/* Up comes last, so that nothing half done is seen. */
static int set_up_host(struct tap_host *tap, const struct netdev_config *cfg, struct err *e)
{
	int rc = 0;

	if (!tap->existed)
		rc = hostif_raise_mac(tap->name, e);
	if (rc == 0 && cfg->mtu)
		rc = hostif_set_mtu(tap->name, cfg->mtu, e);
	if (rc == 0 && cfg->bridge)
		rc = hostif_add_to_bridge(tap->name, cfg->bridge, e);
	if (rc == 1)
		(void)strncpy(tap->before.bridge, cfg->bridge, IF_NAMESIZE - 1);
	if (rc >= 0)
		rc = hostif_up(tap->name, e);
	if (rc == 0)
		rc = hostif_get_mtu(tap->name, &tap->mtu, e);
	return rc;
}

void tap_host_forget(struct tap_host *tap)
{
	for (unsigned i = 0; i < tap->nr_fds; i++)
		close_fd(&tap->fds[i]);
	tap->nr_fds = 0;
}

void tap_host_close(struct tap_host *tap)
{
	if (tap->existed)
		hostif_put_back(tap->name, &tap->before);
	tap->existed = false;
	tap_host_forget(tap);
}

static int check_name(const char *name, struct err *e)
{
	if (!name || (*name && strlen(name) < IF_NAMESIZE && !strpbrk(name, "/% ")))
		return 0;
	return err_set(e, -EINVAL, "tap '%s': not a name for an interface", name);
}

int tap_host_open(struct tap_host *tap, const struct netdev_config *cfg, struct err *e)
{
	int rc = check_name(cfg->tap, e);

	*tap = (struct tap_host){ 0 };
	if (rc == 0)
		rc = open_pairs(tap, cfg, e);
	if (rc == 0)
		rc = set_header_size(tap, e);
	if (rc == 0)
		rc = set_up_host(tap, cfg, e);
	if (rc < 0)
		tap_host_close(tap);
	return rc;
}

bool tap_host_changes(const struct netdev_config *cfg)
{
	struct hostif_before now;

	if (!cfg->tap || check_name(cfg->tap, NULL) < 0 || if_nametoindex(cfg->tap) == 0)
		return false;
	hostif_note(cfg->tap, &now);
	return cfg->bridge || !now.up || (cfg->mtu && cfg->mtu != now.mtu);
}
