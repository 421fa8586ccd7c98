/* SPDX-License-Identifier: MIT */
/* `ferry top`: what guests do, sampled and shown. */
#ifndef FERRY_VMM_CLI_TOP_H
#define FERRY_VMM_CLI_TOP_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"

extern const struct field top_fields[];
extern const size_t top_nr_fields;

#define TOP_NAME_BYTES   64
#define TOP_STATUS_BYTES 24

/* What is known of a guest: counters, and what they became per second since the last sample. */
struct top_guest {
	char name[TOP_NAME_BYTES], status[TOP_STATUS_BYTES];
	json_int_t pid;
	uint64_t at_ns; /* CLOCK_MONOTONIC of the sample */

	/* counters */
	double cpu_s;
	uint64_t net_rx, net_tx, disk_rd, disk_wr, disk_ops; /* bytes, bytes, ..., requests */

	/* now, or per second */
	double cpu_percent, net_rx_s, net_tx_s, disk_rd_s, disk_wr_s, iops, dirty_s;
	double memory, resident, vcpus; /* bytes, bytes, number */
};

struct top_sample {
	struct top_guest *guests;
	size_t nr;
};

/*
 * Ask all guests, at once; rates are those since @before (nr 0: none, then they are 0). One
 * that does not answer within two seconds is there with that status. 0 or -errno with @e;
 * top_free() releases it.
 */
__must_check int top_take(struct top_sample *ret, const struct top_sample *before, struct err *e);
void top_free(struct top_sample *sample);

/* A column of the table, and a member of the JSON. */
struct top_column {
	const char *title, *json;
	char key; /* sorts by it */
	int width;
	size_t offset; /* of a double; of text if @is_text */
	bool is_text;
	enum { TOP_PLAIN, TOP_TENTHS, TOP_BYTES } unit;
};

extern const struct top_column top_columns[];
extern const unsigned top_nr_columns;

/* Number of the column that @key or the JSON name @name sorts by; -1: none does. */
int top_column_by_key(char key);
int top_column_by_name(const char *name);

/* Sort by a column: text from A, numbers from the largest; @reverse: the other way. */
void top_sort(struct top_sample *sample, unsigned column, bool reverse);

/* What of the table is seen: names whole, then the columns from @first to below @end. */
struct top_view {
	int name_width;
	unsigned first, end;
};

/*
 * A view of @sample for a screen of @width characters (0: there is no limit), moved from
 * @first no further than that column @wanted is in it (0, the name, always is). At least
 * one column is.
 */
struct top_view top_fit(const struct top_sample *sample, unsigned width, unsigned first,
			unsigned wanted);

/* The heading, and one guest, as a line without its end. @buf is cut at @len. */
void top_show_heading(char *buf, size_t len, const struct top_view *view);
void top_show_guest(char *buf, size_t len, const struct top_guest *g, const struct top_view *view);

/* All of it as an array; NULL: no memory. */
json_t *top_json(const struct top_sample *sample);

#endif
