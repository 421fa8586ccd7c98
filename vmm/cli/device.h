/* SPDX-License-Identifier: MIT */
/* What `ferry disk` and `ferry nic` have in common: options, a call, and how a device goes. */
#ifndef FERRY_VMM_CLI_DEVICE_H
#define FERRY_VMM_CLI_DEVICE_H

#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

struct device_options {
	bool json, force;
	unsigned timeout_s; /* detach; set from the start, see DEVICE_OPTIONS */
};

#define DEVICE_OPTIONS                                                                             \
	(struct device_options)                                                                    \
	{                                                                                          \
		.timeout_s = 10                                                                    \
	}

extern const struct field device_fields[];
extern const size_t device_nr_fields;

/* One action on a guest, which @client is connected to. */
struct device_call {
	const struct cli *cli;
	const struct device_options *o;
	struct control_client *client;
	struct err *e;
};

/* 0; -EINVAL: it was asked for wrongly; another -errno; with @c->e. */
typedef int (*device_action)(const struct device_call *c);

/* Connect to the guest that the command names, and do it. CLI_...; the error is told. */
int device_perform(const struct cli *cli, const struct device_options *o, device_action fn);

/* Print @ret as it is, if that is wanted; it is released. 0, or -EIO with @c->e. */
__must_check int device_print_reply(const struct device_call *c, json_t *ret);

/* Do @command with @args, which are released, and print what it replied as above. 0 or -errno. */
__must_check int device_execute(const struct device_call *c, const char *command, json_t *args);

/* device_print_reply() for a device that has come: without JSON its id alone. */
__must_check int device_print_added(const struct device_call *c, json_t *ret);

/* A kind of devices that leave. */
struct device_kind {
	const char *query, *query_id; /* a command that lists them, and which key has the id */
	const char *none;             /* "the guest has no disk", where the id is not among them */
	const char *event, *event_id; /* told when one has left, and which key has the id */
};

/*
 * Have the guest let go of the device that the command names, or take it away (--force), and
 * wait until it has left: --timeout seconds, then -ETIMEDOUT. JSON tells its id.
 * 0 or -errno with @c->e.
 */
__must_check int device_leave(const struct device_call *c, const struct device_kind *kind);

#endif
