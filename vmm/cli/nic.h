/* SPDX-License-Identifier: MIT */
/* `ferry nic`: its options, and the actions that have a file of their own. */
#ifndef FERRY_VMM_CLI_NIC_H
#define FERRY_VMM_CLI_NIC_H

#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

struct nic_options {
	bool json, force;
	unsigned timeout_s;
};

extern const struct field nic_cli_fields[];
extern const size_t nic_cli_nr_fields;

/* One action on a guest, which @client is connected to. */
struct nic_call {
	const struct cli *cli;
	const struct nic_options *o;
	struct control_client *client;
	struct err *e;
};

/* 0; -EINVAL: it was asked for wrongly; another -errno; with @c->e. */
__must_check int nic_attach(const struct nic_call *c);
__must_check int nic_detach(const struct nic_call *c);

#endif
