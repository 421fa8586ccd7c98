// SPDX-License-Identifier: MIT
// The report's document, and the files made of it.
#include "migration/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/report_impl.h"
#include "util/clock.h"
#include "util/document.h"
#include "util/io.h"

struct number {
	const char *name;
	size_t offset;
};

#define NUMBER(text, member)                                                                       \
	{                                                                                          \
		text, offsetof(struct report, member)                                              \
	}

/* A time beyond this, 285 years, is none. */
#define MAX_US (INT64_MAX / (int64_t)NSEC_PER_USEC)

static const struct number summary[] = {
	NUMBER("total-us", total_us),        NUMBER("setup-us", setup_us),
	NUMBER("stopped-at-us", stopped_us), NUMBER("running-at-us", running_us),
	NUMBER("downtime-us", downtime_us),  NUMBER("memory-bytes", memory_bytes),
	NUMBER("wire-bytes", wire_bytes),    NUMBER("payload-bytes", payload_bytes),
	NUMBER("pages-sent", pages_sent),    NUMBER("pages-zero", pages_zero),
};

static const struct number texts[] = {
	NUMBER("guest", guest),
	NUMBER("destination", destination),
	NUMBER("status", status),
	NUMBER("error", error),
};

static const uint64_t *number_at(const struct report *r, const struct number *n)
{
	return (const uint64_t *)(const void *)((const char *)r + n->offset);
}

static char *const *text_at(const struct report *r, const struct number *n)
{
	return (char *const *)(const void *)((const char *)r + n->offset);
}

void report_fini(struct report *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*text_at(r, &texts[i]));
	free(r->samples);
	free(r->passes);
	*r = (struct report){ 0 };
}

/* --- the document --- */

static json_t *samples_to_json(const struct report *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->nr_samples; i++) {
		const struct stats_sample *s = &r->samples[i];

		if (json_array_append_new(
			    list, json_pack("[I, I, i]", (json_int_t)(s->at_ns / NSEC_PER_USEC),
					    (json_int_t)s->bytes, (int)s->throttle)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *passes_to_json(const struct report *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->nr_passes; i++) {
		const struct source_pass *p = &r->passes[i];
		json_t *pass = json_pack(
			"[I, I, I, I, I, i]", (json_int_t)(p->start_ns / NSEC_PER_USEC),
			(json_int_t)(p->duration_ns / NSEC_PER_USEC), (json_int_t)p->pages,
			(json_int_t)p->bytes_wire, (json_int_t)p->dirty_pages, (int)p->throttle);

		if (json_array_append_new(list, pass) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

json_t *report_to_json(const struct report *r)
{
	json_t *numbers = json_object();
	json_t *doc;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(summary); i++)
		rc |= json_object_set_new(numbers, summary[i].name,
					  json_integer((json_int_t)*number_at(r, &summary[i])));
	doc = json_pack("{s:o, s:[s, s, s], s:o, s:[s, s, s, s, s, s], s:i, s:o}", "summary",
			numbers, "sample-fields", "time-us", "wire-bytes", "throttle-percent",
			"samples", samples_to_json(r), "pass-fields", "start-us", "duration-us",
			"pages", "wire-bytes", "left-pages", "throttle-percent", "first-pass",
			(int)r->first_pass, "passes", passes_to_json(r));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = *text_at(r, &texts[i]);

		rc |= json_object_set_new(doc, texts[i].name,
					  text ? json_string(text) : json_null());
	}
	if (rc < 0) {
		json_decref(doc);
		return NULL;
	}
	return doc;
}

/* The numbers of @list, all not negative, into @ret. */
static int get_numbers(const json_t *list, uint64_t *ret, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const json_t *value = json_array_get(list, i);

		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return -EPROTO;
		ret[i] = (uint64_t)json_integer_value(value);
	}
	return 0;
}

/* As many as the sampler gives out; times do not go back, nor do bytes. */
static int get_samples(struct report *ret, const json_t *list)
{
	size_t nr = json_array_size(list);

	if (nr > STATS_MAX)
		return -EPROTO;
	ret->samples = calloc(nr + 1, sizeof(*ret->samples));
	if (!ret->samples)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		struct stats_sample *s = &ret->samples[i];
		uint64_t v[3];

		if (get_numbers(json_array_get(list, i), v, ARRAY_SIZE(v)) < 0 || v[0] > MAX_US)
			return -EPROTO;
		*s = (struct stats_sample){ v[0] * NSEC_PER_USEC, v[1], (unsigned)MIN(v[2], 100U) };
		if (i > 0 && (s->at_ns < s[-1].at_ns || s->bytes < s[-1].bytes))
			return -EPROTO; /* neither goes back */
		ret->nr_samples++;
	}
	return 0;
}

static int get_passes(struct report *ret, const json_t *list)
{
	size_t nr = json_array_size(list);

	if (nr > REPORT_MAX_PASSES)
		return -EPROTO;
	ret->passes = calloc(nr + 1, sizeof(*ret->passes));
	if (!ret->passes)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		uint64_t v[6];

		if (get_numbers(json_array_get(list, i), v, ARRAY_SIZE(v)) < 0 || v[0] > MAX_US ||
		    v[1] > MAX_US)
			return -EPROTO;
		ret->passes[ret->nr_passes++] = (struct source_pass){
			.start_ns = v[0] * NSEC_PER_USEC,
			.duration_ns = v[1] * NSEC_PER_USEC,
			.pages = v[2],
			.bytes_wire = v[3],
			.dirty_pages = v[4],
			.throttle = (unsigned)MIN(v[5], 100U),
		};
	}
	return 0;
}

static int get_texts(struct report *ret, const json_t *doc)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const json_t *value = json_object_get(doc, texts[i].name);
		bool optional = texts[i].offset == offsetof(struct report, error);
		char *text;

		if (optional && (!value || json_is_null(value)))
			continue;
		if (!json_is_string(value))
			return -EPROTO;
		text = strdup(json_string_value(value));
		if (!text)
			return -ENOMEM;
		memcpy((char *)ret + texts[i].offset, &text, sizeof(text));
	}
	return 0;
}

static bool is_time(const char *name)
{
	return strlen(name) > 3 && !strcmp(name + strlen(name) - 3, "-us");
}

static int get_summary(struct report *ret, const json_t *doc)
{
	const json_t *numbers = json_object_get(doc, "summary");
	const json_t *first = json_object_get(doc, "first-pass");

	for (size_t i = 0; i < ARRAY_SIZE(summary); i++) {
		const json_t *value = json_object_get(numbers, summary[i].name);
		uint64_t number = (uint64_t)json_integer_value(value);

		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    (is_time(summary[i].name) && json_integer_value(value) > MAX_US))
			return -EPROTO;
		memcpy((char *)ret + summary[i].offset, &number, sizeof(number));
	}
	if (!json_is_integer(first) || json_integer_value(first) < 1 ||
	    json_integer_value(first) > INT32_MAX)
		return -EPROTO;
	ret->first_pass = (unsigned)json_integer_value(first);
	return 0;
}

int report_from_json(struct report *ret, const json_t *doc, struct err *e)
{
	struct report r = { 0 };
	int rc;

	if ((rc = get_texts(&r, doc)) < 0 || (rc = get_summary(&r, doc)) < 0 ||
	    (rc = get_samples(&r, json_object_get(doc, "samples"))) < 0 ||
	    (rc = get_passes(&r, json_object_get(doc, "passes"))) < 0) {
		report_fini(&r);
		return err_set(e, rc, "the report of the teleport: %s",
			       rc == -EPROTO ? "it makes no sense" : strerror(-rc));
	}
	*ret = r;
	return 0;
}

/* --- files --- */

static int put_json(const void *what, FILE *out, struct err *e)
{
	json_t *doc = report_to_json(what);
	int rc = doc ? json_dumpf(doc, out, JSON_COMPACT) : -1;

	json_decref(doc);
	if (rc < 0 || fputc('\n', out) == EOF)
		return err_set(e, -EIO, "%s", strerror(ferror(out) ? errno : ENOMEM));
	return 0;
}

static int put_svg(const void *what, FILE *out, struct err *e)
{
	json_t *doc = report_to_json(what);
	_cleanup_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	return text ? document_draw(text, out, e) : err_set(e, -ENOMEM, "out of memory");
}

static const struct document_form forms[] = {
	{ ".svg", put_svg, DOCUMENT_PLOTTER },
	{ ".json", put_json, NULL },
	{ ".csv", report_put_csv, NULL },
	{ 0 },
};

int report_check_name(const char *path, struct err *e)
{
	return document_check_name(forms, path, e);
}

int report_write(const struct report *r, const char *path, struct err *e)
{
	return document_write(forms, r, path, e);
}
