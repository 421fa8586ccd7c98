// SPDX-License-Identifier: MIT
// Settings out of JSON: what fields_to_json() made, by somebody else.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vmm/guest/config.h"

/*
 * Each value becomes the text that a person would have written, and takes the
 * same way as that: there is one judge of what a setting may be.
 */

static bool is_nothing(const json_t *value)
{
	return json_is_null(value) || json_is_false(value) ||
	       (json_is_integer(value) && json_integer_value(value) == 0) ||
	       (json_is_array(value) && json_array_size(value) == 0);
}

/* 0 is a value like others where without it there is another one. */
static bool takes_zero(const struct field *f, const json_t *value)
{
	return f && f->usual && json_is_integer(value);
}

static bool wants_text(const struct field *f)
{
	return f->type == &field_string || f->type == &field_choice;
}

static int set_value(const struct field *f, void *base, const json_t *value, struct err *e)
{
	char number[32];

	if (f->type->kind == FIELD_FLAG && json_is_true(value))
		return field_set(f, base, "on", e);
	if (f->type->kind == FIELD_VALUE && wants_text(f) && json_is_string(value))
		return field_set(f, base, json_string_value(value), e);
	if (f->type->kind == FIELD_VALUE && !wants_text(f) && json_is_integer(value)) {
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			       json_integer_value(value));
		return field_set(f, base, number, e);
	}
	return err_set(e, -EINVAL, "a value of another type");
}

static int set_item(const struct field *f, void *item, const json_t *value, struct err *e)
{
	const struct field_record *rec = f->record;
	int rc;

	if (rec->nr_fields == 1)
		return set_value(rec->fields, item, value, e);
	if (!json_is_object(value))
		return err_set(e, -EINVAL, "not an object");
	rc = fields_from_json(rec->fields, rec->nr_fields, item, value, e);
	/* The first field is what a person must write. */
	if (rc == 0 && !*(char **)field_at(&rec->fields[0], item))
		rc = err_set(e, -EINVAL, "%s is missing", rec->fields[0].name);
	return rc == 0 && rec->check ? rec->check(item, e) : rc;
}

static int set_list(const struct field *f, void *base, const json_t *value, struct err *e)
{
	struct field_list *list = field_at(f, base);
	const json_t *one;
	size_t i;
	void *item;
	int rc = 0;

	if (!json_is_array(value))
		return err_set(e, -EINVAL, "not a list");
	json_array_foreach(value, i, one)
	{
		rc = field_list_add(f, list, &item, e);
		if (rc < 0)
			return rc;
		rc = set_item(f, item, one, e);
		if (rc < 0) {
			field_list_drop(f, list);
			return err_prefix(e, "%zu", i);
		}
	}
	return 0;
}

int fields_from_json(const struct field *fields, size_t nr, void *base, const json_t *obj,
		     struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)obj, key, value)
	{
		const struct field *f = field_find(fields, nr, key);
		int rc;

		if (is_nothing(value) && !takes_zero(f, value))
			continue;
		if (!f || f->cli_only || f->local)
			return err_set(e, -EINVAL, "%.64s: this version has no such setting", key);
		rc = f->type->kind == FIELD_LIST ? set_list(f, base, value, e)
						 : set_value(f, base, value, e);
		if (rc < 0)
			return err_prefix(e, "%s", f->name);
	}
	return 0;
}

int config_from_json(struct config *cfg, const json_t *obj, struct err *e)
{
	int rc;

	if (!json_is_object(obj))
		return err_set(e, -EINVAL, "settings: not an object");
	rc = fields_from_json(config_fields, config_nr_fields, cfg, obj, e);
	return rc == 0 ? config_finish(cfg, e) : rc;
}
