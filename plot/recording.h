/* SPDX-License-Identifier: MIT */
/* What `ferry plot` has recorded of a guest's nics and disks, and its picture. */
#ifndef FERRY_PLOT_RECORDING_H
#define FERRY_PLOT_RECORDING_H

#include <cairo.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

#define RECORDING_MAX_DEVICES 64U
#define RECORDING_MAX_SAMPLES 4096U

/* Counters since the device was made, but for the time; in is to the guest. */
struct recording_sample {
	uint64_t at_us, in_bytes, out_bytes, in_ops, out_ops, dropped, errors;
};

struct recording_device {
	char *id;
	bool nic; /* else a disk */
	struct recording_sample *samples;
	unsigned nr_samples;
};

struct recording {
	char *guest;
	struct recording_device *devices;
	unsigned nr_devices;
};

/* Is @doc such a recording? */
bool recording_is(const json_t *doc);

/* Fill @ret, to be fini'd, from @doc, which is hostile. 0, or -EPROTO, -ENOMEM with @e. */
__must_check int recording_from_json(struct recording *ret, const json_t *doc, struct err *e);
void recording_fini(struct recording *r);

/* How high its picture is; draw it on @cr, DRAW_WIDTH wide. */
double recording_height(const struct recording *r);
void recording_draw(const struct recording *r, cairo_t *cr);

#endif
