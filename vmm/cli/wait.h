/* SPDX-License-Identifier: MIT */
/* `ferry wait`. */
#ifndef FERRY_VMM_CLI_WAIT_H
#define FERRY_VMM_CLI_WAIT_H

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"

extern const struct field wait_fields[];
extern const size_t wait_nr_fields;

struct control_client;

/* Exit statuses, besides those of every command: 0 it happened, 1 the guest has gone. */
enum wait_status { WAIT_TIMEOUT = 124 };

/*
 * Ask @address, IPv4 or IPv6, for an ICMP echo until it answers. 0, -ETIMEDOUT at
 * @deadline_ns (CLOCK_MONOTONIC), -EPIPE if the guest's process ends before, or
 * -errno, with @e.
 */
__must_check int wait_ping(const struct control_client *c, const char *address,
			   uint64_t deadline_ns, struct err *e);

#endif
