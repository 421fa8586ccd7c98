// SPDX-License-Identifier: MIT
// Queues of a macvtap: its device number from sysfs, a node of our own, opened again and again.
#include "net/managed/macvtap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/io.h"

/* A file system that nobody else sees; its root. A descriptor or -errno. */
static int mount_private(const char *type)
{
	_cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* The mounted /sys may be of another network namespace: it tells of the one it was mounted in. */
static int find_device(const char *name, dev_t *ret)
{
	_cleanup_close_ int sysfs = mount_private("sysfs");
	char path[80], text[32] = "";
	unsigned major, minor;

	if (sysfs < 0)
		return sysfs;
	(void)snprintf(path, sizeof(path), "class/net/%s/tap%u/dev", name, if_nametoindex(name));
	_cleanup_close_ int fd = openat(sysfs, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -errno;
	// NOLINTNEXTLINE(cert-err34-c): the kernel wrote it
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return -EIO;
	*ret = makedev(major, minor);
	return 0;
}

static int open_queue(int folder)
{
	const int bytes = NETDEV_HDR_BYTES;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	_cleanup_close_ int fd = openat(folder, "tap", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0)
		return -errno;
	return take_fd(&fd);
}

static int open_queues(struct tap_host *tap, const char *name, unsigned nr)
{
	_cleanup_close_ int folder = mount_private("tmpfs");
	dev_t dev = 0;
	int rc = folder < 0 ? folder : find_device(name, &dev);

	if (rc == 0 && mknodat(folder, "tap", S_IFCHR | 0600, dev) < 0)
		rc = -errno;
	while (rc == 0 && tap->nr_fds < nr) {
		int fd = open_queue(folder);

		if (fd < 0)
			rc = fd;
		else
			tap->fds[tap->nr_fds++] = fd;
	}
	return rc;
}

int macvtap_open(struct tap_host *tap, const char *name, unsigned nr, struct err *e)
{
	int rc;

	*tap = (struct tap_host){ 0 };
	(void)snprintf(tap->name, sizeof(tap->name), "%s", name);
	rc = open_queues(tap, name, nr);
	if (rc < 0) {
		tap_host_forget(tap);
		return err_set(e, rc, "%s: cannot open its queues: %s", name, strerror(-rc));
	}
	rc = hostif_get_mtu(name, &tap->mtu, e);
	if (rc < 0)
		tap_host_forget(tap);
	return rc;
}
