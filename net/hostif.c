// SPDX-License-Identifier: MIT
// Interfaces of the host: looked at and set up.
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/hostif.h"
#include "util/io.h"

/* One ioctl on interface @name, on a socket made for it. 0 or -errno. */
static int if_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memset(ifr->ifr_name, 0, IF_NAMESIZE);
	(void)strncpy(ifr->ifr_name, name, IF_NAMESIZE - 1);
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

bool hostif_is_tap(const char *name)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (void *)&info };

	return if_ioctl(name, SIOCETHTOOL, &ifr) == 0 && strcmp(info.driver, "tun") == 0 &&
	       strcmp(info.bus_info, "tap") == 0;
}

static int refused(int code, const char *name, const char *what, struct err *e)
{
	if (code == -EPERM || code == -EACCES)
		return err_set(e, code,
			       "%s: no permission to %s: do so by ip(8) beforehand, or run with "
			       "CAP_NET_ADMIN",
			       name, what);
	return err_set(e, code, "%s: cannot %s: %s", name, what, strerror(-code));
}

static int set_up(const char *name, bool up)
{
	struct ifreq ifr = { 0 };
	int rc = if_ioctl(name, SIOCGIFFLAGS, &ifr);

	if (rc < 0 || !(ifr.ifr_flags & IFF_UP) == !up)
		return rc;
	ifr.ifr_flags ^= IFF_UP;
	return if_ioctl(name, SIOCSIFFLAGS, &ifr);
}

int hostif_up(const char *name, struct err *e)
{
	int rc = set_up(name, true);

	return rc < 0 ? refused(rc, name, "bring it up", e) : 0;
}

int hostif_get_mtu(const char *name, unsigned *ret, struct err *e)
{
	struct ifreq ifr = { 0 };
	int rc = if_ioctl(name, SIOCGIFMTU, &ifr);

	if (rc < 0)
		return refused(rc, name, "get its MTU", e);
	*ret = (unsigned)ifr.ifr_mtu;
	return 0;
}

static int set_mtu(const char *name, unsigned mtu)
{
	struct ifreq ifr = { 0 };
	int rc = if_ioctl(name, SIOCGIFMTU, &ifr);

	if (rc < 0 || ifr.ifr_mtu == (int)mtu)
		return rc;
	ifr.ifr_mtu = (int)mtu;
	return if_ioctl(name, SIOCSIFMTU, &ifr);
}

int hostif_set_mtu(const char *name, unsigned mtu, struct err *e)
{
	int rc = set_mtu(name, mtu);

	return rc < 0 ? refused(rc, name, "set its MTU", e) : 0;
}

int hostif_raise_mac(const char *name, struct err *e)
{
	struct ifreq ifr = { 0 };
	int rc = if_ioctl(name, SIOCGIFHWADDR, &ifr);

	/* The highest first byte of an address that is local and no group's. */
	ifr.ifr_hwaddr.sa_data[0] = (char)0xfe;
	if (rc == 0)
		rc = if_ioctl(name, SIOCSIFHWADDR, &ifr);
	return rc < 0 ? refused(rc, name, "set its MAC address", e) : 0;
}

/* The bridge knows its ports; netlink would need a parser for the same answer. */
static bool is_port_of(unsigned index, const char *bridge)
{
	int ports[1024] = { 0 };
	unsigned long args[] = { BRCTL_GET_PORT_LIST, (unsigned long)ports, ARRAY_SIZE(ports) };
	struct ifreq ifr = { .ifr_data = (void *)args };

	if (if_ioctl(bridge, SIOCDEVPRIVATE, &ifr) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		if (ports[i] == (int)index)
			return true;
	}
	return false;
}

int hostif_add_to_bridge(const char *name, const char *bridge, struct err *e)
{
	unsigned index = if_nametoindex(name);
	struct ifreq ifr = { .ifr_ifindex = (int)index };
	int rc;

	if (if_nametoindex(bridge) == 0)
		return err_set(e, -ENODEV,
			       "bridge %s: no such interface: create it by 'ip link "
			       "add %s type bridge'",
			       bridge, bridge);
	rc = if_ioctl(bridge, SIOCBRADDIF, &ifr);
	if (rc == -EBUSY && is_port_of(index, bridge))
		return 0;
	if (rc == -EOPNOTSUPP || rc == -EINVAL)
		return err_set(e, rc, "%s: exists, but is not a bridge", bridge);
	if (rc == -EBUSY)
		return err_set(e, rc, "%s: is a port of another bridge than %s already", name,
			       bridge);
	return rc < 0 ? refused(rc, bridge, "add a port to it", e) : 1;
}

void hostif_note(const char *name, struct hostif_before *ret)
{
	struct ifreq ifr = { 0 };
	struct err e;

	*ret = (struct hostif_before){ 0 };
	if (if_ioctl(name, SIOCGIFFLAGS, &ifr) == 0 && hostif_get_mtu(name, &ret->mtu, &e) == 0)
		ret->up = ifr.ifr_flags & IFF_UP;
}

void hostif_put_back(const char *name, const struct hostif_before *before)
{
	struct ifreq ifr = { .ifr_ifindex = (int)if_nametoindex(name) };

	if (*before->bridge && is_port_of((unsigned)ifr.ifr_ifindex, before->bridge))
		(void)if_ioctl(before->bridge, SIOCBRDELIF, &ifr);
	if (!before->mtu)
		return;
	(void)set_mtu(name, before->mtu);
	(void)set_up(name, before->up);
}
