// SPDX-License-Identifier: MIT
// Network back ends: choosing one.
#include <errno.h>

#include "net/netdev_impl.h"

int netdev_open(struct netdev **ret, const struct netdev_config *cfg, struct err *e)
{
	if (cfg->nr_pairs < 1 || cfg->nr_pairs > NETDEV_MAX_PAIRS)
		return err_set(e, -EINVAL, "%u queue pairs: must be 1 to %u", cfg->nr_pairs,
			       NETDEV_MAX_PAIRS);
	if (cfg->mtu && (cfg->mtu < NETDEV_MIN_MTU || cfg->mtu > NETDEV_MAX_MTU))
		return err_set(e, -EINVAL, "MTU %u: must be %u to %u", cfg->mtu, NETDEV_MIN_MTU,
			       NETDEV_MAX_MTU);
	if (cfg->kind == NETDEV_TAP)
		return netdev_open_tap(ret, cfg, e);
	return netdev_open_user(ret, cfg, e);
}

void netdev_close(struct netdev *nd)
{
	if (nd)
		nd->ops->close(nd);
}
