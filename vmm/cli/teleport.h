/* SPDX-License-Identifier: MIT */
/* `ferry teleport`: its options, and what a person sees of it. */
#ifndef FERRY_VMM_CLI_TELEPORT_H
#define FERRY_VMM_CLI_TELEPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest/config_field.h"

#define MAX_DOWNTIME_MS (3600U * 1000)

struct teleport_cli {
	bool stopped, auto_converge, verify, wait, detach, cancel, status, cont, json;
	unsigned streams, max_downtime_ms, timeout_s;
	unsigned on_timeout, clock; /* choices */
	uint64_t bandwidth;
	char *compress, *hold, *report;
	char *tls_ca, *tls_cert, *tls_key, *tls_psk, *tls_name;
};

extern const struct field teleport_fields[];
extern const size_t teleport_nr_fields;

/* A bar on a terminal, a line for each pass elsewhere; both on standard error. */
struct teleport_progress {
	bool quiet;
	bool drawn; /* the cursor is behind a bar */
	json_int_t passes;
	bool told_hold;
};

/* Show @st, query-migrate's answer. */
void teleport_show_progress(struct teleport_progress *p, const json_t *st);
void teleport_end_progress(struct teleport_progress *p);

/* One line about a teleport that is over, or that goes on. CLI_OK or CLI_FAILED. */
int teleport_print_summary(const char *name, const char *dest, const json_t *st);
int teleport_print_status(const char *name, const json_t *st);

#endif
