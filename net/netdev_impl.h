/* SPDX-License-Identifier: MIT */
/* Inside net/: the back ends that netdev_open() chooses from. */
#ifndef FERRY_NET_NETDEV_IMPL_H
#define FERRY_NET_NETDEV_IMPL_H

#include "net/netdev.h"

/* As netdev_open(), for each kind. */
__must_check int netdev_open_tap(struct netdev **ret, const struct netdev_config *cfg,
				 struct err *e);
__must_check int netdev_open_user(struct netdev **ret, const struct netdev_config *cfg,
				  struct err *e);

#endif
