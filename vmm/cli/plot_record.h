/* SPDX-License-Identifier: MIT */
/* `ferry plot`: counters of a guest's nics and disks over time. */
#ifndef FERRY_VMM_CLI_PLOT_RECORD_H
#define FERRY_VMM_CLI_PLOT_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/document.h"
#include "util/err.h"

#define RECORD_MAX_DEVICES 64U
#define RECORD_MAX_SAMPLES 2048U

struct control_client;

/* What is counted of each device; in is to the guest: received, read. */
enum record_counter {
	RECORD_IN_BYTES,
	RECORD_OUT_BYTES,
	RECORD_IN_OPS, /* packets, requests */
	RECORD_OUT_OPS,
	RECORD_DROPPED, /* a disk drops nothing */
	RECORD_ERRORS,
	RECORD_COUNTERS,
};

typedef uint64_t record_counts[RECORD_COUNTERS];

struct record_device {
	char id[64];
	bool nic; /* else a disk */
	record_counts now;
	record_counts *samples; /* as many as there are times */
};

/*
 * Theory of operation
 *
 * All devices are looked at together. When there is no room left every second
 * sample is forgotten, and from then on only every second one is kept: however long
 * it takes, memory is bounded, and distances are even.
 */
struct record {
	const char *guest;
	struct record_device devices[RECORD_MAX_DEVICES];
	unsigned nr_devices;
	uint64_t *times_us; /* since the first sample */
	unsigned nr_samples;
	uint64_t start_ns;
	uint64_t looks;
	unsigned stride; /* of the looks, those that are kept */
};

/*
 * Find the devices of @guest that @wanted names ("net0,disk1"; NULL: all). 0, or -errno
 * with @e. record_fini() is needed in any case.
 */
__must_check int record_init(struct record *r, const char *guest, const char *wanted,
			     struct control_client *c, struct err *e);
void record_fini(struct record *r);

/* Take a sample. 0, or -errno with @e, and it is as it was before. */
__must_check int record_sample(struct record *r, struct control_client *c, struct err *e);

/* Its forms: .svg, .json and .csv, and two of them alone; the document is a struct record. */
extern const struct document_form record_forms[];
int record_put_json(const void *what, FILE *out, struct err *e);
int record_put_csv(const void *what, FILE *out, struct err *e);

#endif
