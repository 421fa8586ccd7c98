/* SPDX-License-Identifier: MIT */
/* The report of a teleport: the data of it, as JSON, CSV, and a picture. */
#ifndef FERRY_MIGRATION_REPORT_H
#define FERRY_MIGRATION_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "migration/source.h"
#include "migration/stats.h"
#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * The guest's process collects, and tells as JSON (query-migrate-report); the
 * command that waits for it makes a file of that: the same document, a table,
 * or a picture, which ferry-plot draws (plot/). So fonts, drawing and the user's
 * files stay out of the process that holds a guest.
 */
#define REPORT_MAX_PASSES 256U

/* Times in microseconds since the start; 0: it did not come to that. */
struct report {
	char *guest, *destination;
	char *status; /* of the migration: "completed" */
	char *error;  /* NULL: none */
	uint64_t total_us, setup_us;
	uint64_t stopped_us, running_us, downtime_us;
	uint64_t memory_bytes, wire_bytes, payload_bytes;
	uint64_t pages_sent, pages_zero;
	struct stats_sample *samples;
	unsigned nr_samples;
	struct source_pass *passes;
	unsigned nr_passes;
	unsigned first_pass; /* number of passes[0], from 1; earlier ones are forgotten */
};

/* Release what it holds, and zero it. */
void report_fini(struct report *r);

/* A new reference; NULL: no memory. */
json_t *report_to_json(const struct report *r);

/* Fill @ret, to be fini'd, from such a document. 0, or -EPROTO, -ENOMEM with @e: then untouched. */
__must_check int report_from_json(struct report *ret, const json_t *doc, struct err *e);

/*
 * Can a file of that name be written: .svg (if ferry-plot is installed), .json or
 * .csv, in a directory that is there? 0, or -EINVAL or another -errno with @e.
 */
__must_check int report_check_name(const char *path, struct err *e);

/* Write it, replacing what is there, or nothing at all. 0 or -errno with @e. */
__must_check int report_write(const struct report *r, const char *path, struct err *e);

#endif
