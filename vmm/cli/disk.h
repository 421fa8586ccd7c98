/* SPDX-License-Identifier: MIT */
/* `ferry disk`: its options, and the actions that have a file of their own. */
#ifndef FERRY_VMM_CLI_DISK_H
#define FERRY_VMM_CLI_DISK_H

#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

struct disk_options {
	bool json, force;
	unsigned timeout_s;
};

extern const struct field disk_cli_fields[];
extern const size_t disk_cli_nr_fields;

/* One action on a guest, which @client is connected to. */
struct disk_call {
	const struct cli *cli;
	const struct disk_options *o;
	struct control_client *client;
	struct err *e;
};

/* 0; -EINVAL: it was asked for wrongly; another -errno; with @c->e. */
__must_check int disk_attach(const struct disk_call *c);
__must_check int disk_detach(const struct disk_call *c);

/* Print @ret as it is, if that is wanted; it is released. 0 or -EIO. */
__must_check int disk_print_reply(const struct disk_call *c, json_t *ret);

#endif
