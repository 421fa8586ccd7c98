// SPDX-License-Identifier: MIT
// A recording of nics and disks: from its document.
#include "plot/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_US (INT64_MAX / 1000)

bool recording_is(const json_t *doc)
{
	return json_is_array(json_object_get(doc, "devices"));
}

void recording_fini(struct recording *r)
{
	for (unsigned i = 0; i < r->nr_devices; i++) {
		free(r->devices[i].id);
		free(r->devices[i].samples);
	}
	free(r->devices);
	free(r->guest);
	*r = (struct recording){ 0 };
}

static int get_text(char **ret, const json_t *value)
{
	if (!json_is_string(value))
		return -EPROTO;
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : -ENOMEM;
}

static int get_sample(struct recording_sample *ret, const json_t *row)
{
	uint64_t v[7];

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		const json_t *value = json_array_get(row, i);

		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return -EPROTO;
		v[i] = (uint64_t)json_integer_value(value);
	}
	*ret = (struct recording_sample){ v[0], v[1], v[2], v[3], v[4], v[5], v[6] };
	return v[0] > MAX_US ? -EPROTO : 0;
}

/* Times go forward; counters do not go back. */
static bool follows(const struct recording_sample *a, const struct recording_sample *b)
{
	return b->at_us > a->at_us && b->in_bytes >= a->in_bytes && b->out_bytes >= a->out_bytes &&
	       b->in_ops >= a->in_ops && b->out_ops >= a->out_ops && b->dropped >= a->dropped &&
	       b->errors >= a->errors;
}

static int get_samples(struct recording_device *d, const json_t *list)
{
	size_t nr = json_array_size(list);

	if (!json_is_array(list) || nr > RECORDING_MAX_SAMPLES)
		return -EPROTO;
	d->samples = calloc(nr + 1, sizeof(*d->samples));
	if (!d->samples)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		int rc = get_sample(&d->samples[i], json_array_get(list, i));

		if (rc < 0)
			return rc;
		if (i > 0 && !follows(&d->samples[i - 1], &d->samples[i]))
			return -EPROTO;
		d->nr_samples++;
	}
	return 0;
}

static int get_device(struct recording_device *d, const json_t *obj)
{
	const char *kind = json_string_value(json_object_get(obj, "kind"));
	int rc = get_text(&d->id, json_object_get(obj, "id"));

	if (rc < 0)
		return rc;
	if (!kind || (strcmp(kind, "nic") != 0 && strcmp(kind, "disk") != 0))
		return -EPROTO;
	d->nic = !strcmp(kind, "nic");
	return get_samples(d, json_object_get(obj, "samples"));
}

static int get_devices(struct recording *r, const json_t *list)
{
	size_t nr = json_array_size(list);
	int rc = 0;

	if (nr > RECORDING_MAX_DEVICES)
		return -EPROTO;
	r->devices = calloc(nr + 1, sizeof(*r->devices));
	if (!r->devices)
		return -ENOMEM;
	for (size_t i = 0; i < nr && rc == 0; i++)
		rc = get_device(&r->devices[r->nr_devices++], json_array_get(list, i));
	return rc;
}

int recording_from_json(struct recording *ret, const json_t *doc, struct err *e)
{
	struct recording r = { 0 };
	int rc = get_text(&r.guest, json_object_get(doc, "guest"));

	if (rc == 0)
		rc = get_devices(&r, json_object_get(doc, "devices"));
	if (rc < 0) {
		recording_fini(&r);
		return err_set(e, rc, "the recording: %s",
			       rc == -EPROTO ? "it makes no sense" : strerror(-rc));
	}
	*ret = r;
	return 0;
}
