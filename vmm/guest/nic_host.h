/* SPDX-License-Identifier: MIT */
/* What a nic is on the host, besides a device: opened by whoever may do that. */
#ifndef FERRY_VMM_GUEST_NIC_HOST_H
#define FERRY_VMM_GUEST_NIC_HOST_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config.h"
#include "vmm/guest/net_helper.h"

/* Whose nic it is. */
struct nic_owner {
	const char *guest; /* its name */
	unsigned number;   /* below CONFIG_MAX_NICS, and no other nic of the guest's */
	bool trial;        /* a dry run */
};

/* Is more to be changed of the host than a tap that vanishes with its descriptors? */
bool nic_host_needs_helper(const struct nic_config *nic);

/*
 * Ask a helper for it. 0, and @answer with the queues' descriptors, which are the caller's;
 * or -errno with @e, and nothing is left.
 */
__must_check int nic_host_ask(struct net_helper *h, const struct nic_owner *owner,
			      const struct nic_config *nic, struct attach_answer *answer,
			      struct err *e);

#endif
