// SPDX-License-Identifier: MIT
// `ferry plot`: taking samples of a guest's counters, and their forms.
#include "vmm/cli/plot_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/control/client.h"

/* What they are called in the forms. */
static const char *const names[RECORD_COUNTERS] = {
	"in_bytes", "out_bytes", "in_operations", "out_operations", "dropped", "errors",
};

/* --- what the guest says --- */

static uint64_t number(const json_t *obj, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(obj, key));
}

static void read_disk(const json_t *item, record_counts ret)
{
	const json_t *s = json_object_get(item, "stats");

	ret[RECORD_IN_BYTES] = number(s, "rd_bytes");
	ret[RECORD_OUT_BYTES] = number(s, "wr_bytes");
	ret[RECORD_IN_OPS] = number(s, "rd_operations");
	ret[RECORD_OUT_OPS] = number(s, "wr_operations");
	ret[RECORD_DROPPED] = 0;
	ret[RECORD_ERRORS] = number(s, "failed_rd_operations") + number(s, "failed_wr_operations") +
			     number(s, "failed_flush_operations");
}

static void read_nic(const json_t *item, record_counts ret)
{
	const json_t *rx = json_object_get(json_object_get(item, "stats"), "rx");
	const json_t *tx = json_object_get(json_object_get(item, "stats"), "tx");

	ret[RECORD_IN_BYTES] = number(rx, "bytes");
	ret[RECORD_OUT_BYTES] = number(tx, "bytes");
	ret[RECORD_IN_OPS] = number(rx, "packets");
	ret[RECORD_OUT_OPS] = number(tx, "packets");
	ret[RECORD_DROPPED] = number(rx, "dropped") + number(tx, "dropped");
	ret[RECORD_ERRORS] = number(rx, "errors") + number(tx, "errors");
}

static const struct kind {
	const char *command, *id;
	void (*read)(const json_t *item, record_counts ret);
	bool nic;
} kinds[] = {
	{ "ferry-nics", "id", read_nic, true },
	{ "query-blockstats", "device", read_disk, false },
};

static const char *id_of(const struct kind *k, const json_t *item)
{
	const char *id = json_string_value(json_object_get(item, k->id));

	return id ? id : "";
}

/* Is @id in the list @wanted? */
static bool is_wanted(const char *wanted, const char *id)
{
	size_t len = strlen(id);

	if (!wanted)
		return true;
	for (;; wanted++) {
		if (!strncmp(wanted, id, len) && (wanted[len] == ',' || !wanted[len]))
			return true;
		wanted = strchr(wanted, ',');
		if (!wanted)
			return false;
	}
}

static struct record_device *find_device(struct record *r, const char *id, size_t len)
{
	for (unsigned i = 0; i < r->nr_devices; i++) {
		if (strlen(r->devices[i].id) == len && !strncmp(r->devices[i].id, id, len))
			return &r->devices[i];
	}
	return NULL;
}

static int add_device(struct record *r, const struct kind *k, const json_t *item, struct err *e)
{
	struct record_device *d = &r->devices[r->nr_devices];

	if (r->nr_devices == RECORD_MAX_DEVICES)
		return err_set(e, -E2BIG, "more than %u devices: name those that you want",
			       RECORD_MAX_DEVICES);
	(void)snprintf(d->id, sizeof(d->id), "%s", id_of(k, item));
	d->nic = k->nic;
	d->samples = calloc(RECORD_MAX_SAMPLES, sizeof(*d->samples));
	r->nr_devices++;
	return d->samples ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* All that was asked for must be there. */
static int check_wanted(struct record *r, const char *wanted, struct err *e)
{
	for (const char *at = wanted; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		int len = (int)strcspn(at, ",");

		if (!find_device(r, at, (size_t)len))
			return err_set(e, -ENOENT, "%s has no nic or disk '%.*s': see 'ferry info'",
				       r->guest, MIN(len, 64), at);
	}
	return r->nr_devices ? 0 : err_set(e, -ENOENT, "%s has no nic and no disk", r->guest);
}

int record_init(struct record *r, const char *guest, const char *wanted, struct control_client *c,
		struct err *e)
{
	int rc = 0;

	*r = (struct record){ .guest = guest, .stride = 1 };
	r->times_us = calloc(RECORD_MAX_SAMPLES, sizeof(*r->times_us));
	if (!r->times_us)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t k = 0; k < ARRAY_SIZE(kinds) && rc == 0; k++) {
		json_t *list = NULL;
		const json_t *item;
		size_t i;

		rc = client_execute(c, kinds[k].command, &list, e);
		json_array_foreach(list, i, item)
		{
			if (rc == 0 && is_wanted(wanted, id_of(&kinds[k], item)))
				rc = add_device(r, &kinds[k], item, e);
		}
		json_decref(list);
	}
	return rc < 0 ? rc : check_wanted(r, wanted, e);
}

void record_fini(struct record *r)
{
	for (unsigned i = 0; i < r->nr_devices; i++)
		free(r->devices[i].samples);
	free(r->times_us);
	*r = (struct record){ 0 };
}

/* --- samples --- */

static int look(struct record *r, struct control_client *c, struct err *e)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		json_t *list = NULL;
		const json_t *item;
		size_t i;
		int rc = client_execute(c, kinds[k].command, &list, e);

		if (rc < 0)
			return rc;
		json_array_foreach(list, i, item)
		{
			const char *id = id_of(&kinds[k], item);
			struct record_device *d = find_device(r, id, strlen(id));

			if (d)
				kinds[k].read(item, d->now);
		}
		json_decref(list);
	}
	return 0;
}

/* Forget every second sample. */
static void thin(struct record *r)
{
	for (unsigned i = 1; 2 * i < r->nr_samples; i++) {
		r->times_us[i] = r->times_us[2 * i];
		for (unsigned d = 0; d < r->nr_devices; d++)
			memcpy(r->devices[d].samples[i], r->devices[d].samples[2 * i],
			       sizeof(record_counts));
	}
	r->nr_samples = (r->nr_samples + 1) / 2;
	r->stride *= 2;
}

int record_sample(struct record *r, struct control_client *c, struct err *e)
{
	int rc = look(r, c, e);
	uint64_t now = clock_now_ns();

	if (rc < 0)
		return rc;
	if (r->nr_samples == RECORD_MAX_SAMPLES)
		thin(r);
	if (r->looks++ % r->stride)
		return 0;
	if (r->nr_samples == 0)
		r->start_ns = now;
	r->times_us[r->nr_samples] = (now - r->start_ns) / NSEC_PER_USEC;
	for (unsigned d = 0; d < r->nr_devices; d++)
		memcpy(r->devices[d].samples[r->nr_samples], r->devices[d].now,
		       sizeof(record_counts));
	r->nr_samples++;
	return 0;
}

/* --- forms --- */

static json_t *samples_json(const struct record *r, const struct record_device *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->nr_samples; i++) {
		json_t *row = json_array();

		(void)json_array_append_new(row, json_integer((json_int_t)r->times_us[i]));
		for (unsigned n = 0; n < RECORD_COUNTERS; n++)
			(void)json_array_append_new(row,
						    json_integer((json_int_t)d->samples[i][n]));
		(void)json_array_append_new(list, row);
	}
	return list;
}

static json_t *to_json(const struct record *r)
{
	json_t *devices = json_array(), *fields = json_pack("[s]", "time_us");

	for (unsigned n = 0; n < RECORD_COUNTERS; n++)
		(void)json_array_append_new(fields, json_string(names[n]));
	for (unsigned d = 0; d < r->nr_devices; d++)
		(void)json_array_append_new(devices,
					    json_pack("{s:s, s:s, s:o}", "id", r->devices[d].id,
						      "kind", r->devices[d].nic ? "nic" : "disk",
						      "samples", samples_json(r, &r->devices[d])));
	return json_pack("{s:s, s:o, s:o}", "guest", r->guest, "sample-fields", fields, "devices",
			 devices);
}

int record_put_json(const void *what, FILE *out, struct err *e)
{
	json_t *doc = to_json(what);
	int rc = doc ? json_dumpf(doc, out, JSON_COMPACT) : -1;

	json_decref(doc);
	if (rc < 0 || fputc('\n', out) == EOF)
		return err_set(e, -EIO, "%s", strerror(ferror(out) ? errno : ENOMEM));
	return 0;
}

int record_put_csv(const void *what, FILE *out, struct err *e)
{
	const struct record *r = what;

	(void)fputs("device,kind,time_us", out);
	for (unsigned n = 0; n < RECORD_COUNTERS; n++)
		(void)fprintf(out, ",%s", names[n]);
	(void)fputc('\n', out);
	for (unsigned d = 0; d < r->nr_devices; d++) {
		const struct record_device *dev = &r->devices[d];

		for (unsigned i = 0; i < r->nr_samples; i++) {
			(void)fprintf(out, "%s,%s,%" PRIu64, dev->id, dev->nic ? "nic" : "disk",
				      r->times_us[i]);
			for (unsigned n = 0; n < RECORD_COUNTERS; n++)
				(void)fprintf(out, ",%" PRIu64, dev->samples[i][n]);
			(void)fputc('\n', out);
		}
	}
	return ferror(out) ? err_set(e, -EIO, "%s", strerror(errno)) : 0;
}

static int put_svg(const void *what, FILE *out, struct err *e)
{
	json_t *doc = to_json(what);
	_cleanup_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	return text ? document_draw(text, out, e) : err_set(e, -ENOMEM, "out of memory");
}

const struct document_form record_forms[] = {
	{ ".svg", put_svg, DOCUMENT_PLOTTER },
	{ ".json", record_put_json, NULL },
	{ ".csv", record_put_csv, NULL },
	{ 0 },
};
