/* SPDX-License-Identifier: MIT */
/* The queues of a macvtap, which are opens of a character device. */
#ifndef FERRY_NET_MANAGED_MACVTAP_H
#define FERRY_NET_MANAGED_MACVTAP_H

#include "net/tap_host.h"
#include "util/compiler.h"
#include "util/err.h"

/*
 * Open @nr queues of macvtap @name, with virtio headers, into @tap, which then
 * is as that of a tap (tap_host_open()). Needs CAP_SYS_ADMIN and CAP_MKNOD: /dev/tapINDEX
 * would do without, but its number may be that of an interface in
 * another network namespace, and it is there only where devtmpfs is. 0, or -errno
 * with the reason. Source: Linux, drivers/net/tap.c.
 */
__must_check int macvtap_open(struct tap_host *tap, const char *name, unsigned nr, struct err *e);

#endif
