/* SPDX-License-Identifier: MIT */
/* `ferry receive`: waits for guests that come by teleport, one process for each. */
#ifndef FERRY_VMM_MOVE_RECEIVE_H
#define FERRY_VMM_MOVE_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/tls.h"
#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"
#include "vmm/sandbox/sandbox.h"

struct receive_options {
	char *listen;
	struct field_list allow;     /* of char * */
	struct field_list maps;      /* of char *: "disk:ID=PATH", "net:ID=..." */
	struct field_list disk_dirs; /* of char * */
	struct field_list net_allow; /* of char *: see guest_net_rule_check() */
	char *tls_cert, *tls_key, *tls_ca, *tls_psk;
	char *name, *console, *hold;
	unsigned limit; /* guests at a time; 0: no limit of the user's */
	bool insecure, once, json, verbose;
	struct sandbox_options sandbox;
};

extern const struct field receive_fields[];
extern const size_t receive_nr_fields;

/*
 * Listen until a signal comes, or with --once until a guest has arrived. Also
 * returns in each process that was forked for a guest, when that has ended.
 * The exit status, or -errno with @e. Main thread.
 */
__must_check int receive(const struct receive_options *o, struct err *e);

#endif
