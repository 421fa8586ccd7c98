// SPDX-License-Identifier: MIT
// Tables of named settings: the types that fields can have.
#include "vmm/guest/config_field.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/io.h"

const struct field *field_find(const struct field *fields, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	}
	return NULL;
}

int field_set(const struct field *f, void *base, const char *text, struct err *e)
{
	return f->type->parse(f, field_at(f, base), text, e);
}

json_t *fields_to_json(const struct field *fields, size_t nr, const void *base)
{
	json_t *obj = json_object();

	for (size_t i = 0; obj && i < nr; i++) {
		const void *p = (const char *)base + fields[i].offset;

		if (json_object_set_new(obj, fields[i].name,
					fields[i].type->to_json(&fields[i], p)) < 0) {
			json_decref(obj);
			obj = NULL;
		}
	}
	return obj;
}

void fields_free(const struct field *fields, size_t nr, void *base)
{
	for (size_t i = 0; i < nr; i++) {
		if (fields[i].type->free)
			fields[i].type->free(&fields[i], field_at(&fields[i], base));
	}
}

/* --- strings --- */

static int string_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	char **value = p;
	char *copy = strdup(text);

	(void)f;
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(*value);
	*value = copy;
	return 0;
}

static json_t *string_to_json(const struct field *f, const void *p)
{
	const char *value = *(char *const *)p;
	json_t *json;

	(void)f;
	if (!value)
		return json_null();
	/* A path need not be UTF-8; JSON must be. */
	json = json_string(value);
	return json ? json : json_string("(not UTF-8)");
}

static void string_free(const struct field *f, void *p)
{
	(void)f;
	free(take_ptr(*(char **)p));
}

const struct field_type field_string = {
	.parse = string_parse,
	.to_json = string_to_json,
	.free = string_free,
};

/* --- numbers --- */

/* Digits only: strtoull() would also take signs and blanks. */
static int parse_digits(const char *text, char **end, uint64_t *ret)
{
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, end, 10);
	return -errno;
}

int field_parse_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *unit;
	uint64_t value;
	unsigned shift = 0;
	char *end;
	int rc = parse_digits(text, &end, &value);

	if (rc < 0)
		return rc;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (!strcasecmp(end, "iB"))
			end += 2;
	}
	if (*end)
		return -EINVAL;
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = value << shift;
	return 0;
}

/* A size as people write it, for messages. */
static const char *show_bytes(uint64_t value, char *buf, size_t len)
{
	static const char units[] = "\0KMGT";
	unsigned i = 0;

	while (i < 4 && value && value % 1024 == 0) {
		value /= 1024;
		i++;
	}
	(void)snprintf(buf, len, "%" PRIu64 "%.1s", value, &units[i]);
	return buf;
}

static bool in_range(const struct field *f, uint64_t value)
{
	return value >= f->min && (!f->max || value <= f->max);
}

static int bytes_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	char min[32], max[32];
	uint64_t value;
	int rc = field_parse_bytes(text, &value);

	if (rc == -EINVAL)
		return err_set(e, rc, "'%s' is not a size: write for example 512M or 2G", text);
	if (rc == 0 && in_range(f, value)) {
		*(uint64_t *)p = value;
		return 0;
	}
	if (!f->max)
		return err_set(e, -ERANGE, "%s is too %s", text, rc ? "large" : "small");
	return err_set(e, -ERANGE, "%s is out of range: %s to %s are possible", text,
		       show_bytes(f->min, min, sizeof(min)), show_bytes(f->max, max, sizeof(max)));
}

static json_t *u64_to_json(const struct field *f, const void *p)
{
	(void)f;
	return json_integer((json_int_t) * (const uint64_t *)p);
}

const struct field_type field_bytes = { .parse = bytes_parse, .to_json = u64_to_json };

/* @rc and *@ret: what came of parsing @text. */
static int check_range(const struct field *f, const char *text, int rc, const uint64_t *ret,
		       struct err *e)
{
	if (rc == 0 && in_range(f, *ret))
		return 0;
	if (!f->max)
		return err_set(e, -ERANGE, "%s is out of range", text);
	return err_set(e, -ERANGE, "%s is out of range: %" PRIu64 " to %" PRIu64 " are possible",
		       text, f->min, f->max);
}

static int parse_in_range(const struct field *f, const char *text, uint64_t *ret, struct err *e)
{
	char *end;
	int rc = parse_digits(text, &end, ret);

	if (rc == -EINVAL || (rc == 0 && *end))
		return err_set(e, -EINVAL, "'%s' is not a number", text);
	return check_range(f, text, rc, ret, e);
}

static int rate_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	static const char units[] = "KMGT";
	uint64_t value = 0, factor = 1;
	const char *unit;
	char *end;
	int rc = parse_digits(text, &end, &value);

	unit = rc == 0 && *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	for (const char *u = units; unit && u <= unit; u++)
		factor *= 1000;
	if (rc == -EINVAL || (rc == 0 && (unit ? end[1] : *end)))
		return err_set(e, -EINVAL, "'%s' is not a rate: write for example 1000 or 100M",
			       text);
	if (rc == 0 && value > UINT64_MAX / factor)
		rc = -ERANGE;
	value *= factor;
	rc = check_range(f, text, rc, &value, e);
	if (rc == 0)
		*(uint64_t *)p = value;
	return rc;
}

const struct field_type field_rate = { .parse = rate_parse, .to_json = u64_to_json };

static int number_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	uint64_t value = 0;
	int rc = parse_in_range(f, text, &value, e);

	if (rc == 0)
		*(uint64_t *)p = value;
	return rc;
}

const struct field_type field_number = { .parse = number_parse, .to_json = u64_to_json };

static int uint_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	uint64_t value = 0;
	int rc = parse_in_range(f, text, &value, e);

	if (rc < 0)
		return rc;
	if (value > UINT32_MAX)
		return err_set(e, -ERANGE, "%s is out of range", text);
	*(unsigned *)p = (unsigned)value;
	return 0;
}

static json_t *uint_to_json(const struct field *f, const void *p)
{
	(void)f;
	return json_integer(*(const unsigned *)p);
}

const struct field_type field_uint = { .parse = uint_parse, .to_json = uint_to_json };

/* --- flags and choices --- */

static int flag_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", NULL };

	(void)f;
	for (unsigned i = 0; words[i]; i++) {
		if (!strcasecmp(words[i], text)) {
			*(bool *)p = i % 2;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "'%s' is neither on nor off", text);
}

static json_t *flag_to_json(const struct field *f, const void *p)
{
	(void)f;
	return json_boolean(*(const bool *)p);
}

const struct field_type field_flag = {
	.parse = flag_parse,
	.to_json = flag_to_json,
	.kind = FIELD_FLAG,
};

static int choice_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	char all[256] = "";
	size_t len = 0;

	for (unsigned i = 0; f->choices[i]; i++) {
		if (!strcmp(f->choices[i], text)) {
			*(unsigned *)p = i;
			return 0;
		}
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					f->choices[i]);
	}
	return err_set(e, -EINVAL, "'%s' is not one of: %s", text, all);
}

static json_t *choice_to_json(const struct field *f, const void *p)
{
	return json_string(f->choices[*(const unsigned *)p]);
}

const struct field_type field_choice = { .parse = choice_parse, .to_json = choice_to_json };

/* --- records and lists of them --- */

/*
 * Cut the next part off @*cursor: up to a comma that is not doubled; doubled
 * ones become one. NULL at the end.
 */
static char *next_part(char **cursor)
{
	char *start = *cursor;
	char *in = start;
	char *out = start;

	if (!start)
		return NULL;
	while (*in && (*in != ',' || in[1] == ',')) {
		if (*in == ',')
			in++;
		*out++ = *in++;
	}
	*cursor = *in ? in + 1 : NULL;
	*out = '\0';
	return start;
}

static int parse_part(const struct field_record *rec, void *item, char *part, struct err *e)
{
	char *value = strchr(part, '=');
	const struct field *f;
	int rc;

	if (value)
		*value++ = '\0';
	f = field_find(rec->fields + 1, rec->nr_fields - 1, part);
	if (!f)
		return err_set(e, -EINVAL, "a %s has no property '%s'", rec->what, part);
	if (!value && f->type->kind != FIELD_FLAG)
		return err_set(e, -EINVAL, "%s wants a value: %s=%s", part, part, f->arg);
	rc = field_set(f, item, value ? value : "on", e);
	return rc < 0 ? err_prefix(e, "%s", part) : 0;
}

int field_parse_record(const struct field_record *rec, void *item, const char *text, struct err *e)
{
	_cleanup_free_ char *copy = strdup(text);
	char *cursor = copy;
	char *part;
	int rc;

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	rc = field_set(&rec->fields[0], item, next_part(&cursor), e);
	while (rc == 0 && (part = next_part(&cursor)))
		rc = parse_part(rec, item, part, e);
	if (rc == 0 && rec->check)
		rc = rec->check(item, e);
	return rc;
}

static void *list_item(const struct field *f, const struct field_list *list, size_t i)
{
	return (char *)list->items + i * f->record->bytes;
}

int field_list_add(const struct field *f, struct field_list *list, void **ret_item, struct err *e)
{
	const struct field_record *rec = f->record;
	void *items, *item;

	if (list->nr == rec->max_items)
		return err_set(e, -E2BIG, "more than %zu are not possible", rec->max_items);
	items = reallocarray(list->items, list->nr + 1, rec->bytes);
	if (!items)
		return err_set(e, -ENOMEM, "out of memory");
	list->items = items;
	item = list_item(f, list, list->nr);
	memset(item, 0, rec->bytes);
	if (rec->init)
		rec->init(item);
	list->nr++;
	*ret_item = item;
	return 0;
}

void field_list_drop(const struct field *f, struct field_list *list)
{
	list->nr--;
	fields_free(f->record->fields, f->record->nr_fields, list_item(f, list, list->nr));
}

void field_list_remove(const struct field *f, struct field_list *list, size_t index)
{
	char *item = list_item(f, list, index);
	size_t behind = list->nr - index - 1;

	fields_free(f->record->fields, f->record->nr_fields, item);
	memmove(item, item + f->record->bytes, behind * f->record->bytes);
	list->nr--;
}

static int list_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	void *item = NULL;
	int rc = field_list_add(f, p, &item, e);

	if (rc < 0)
		return rc;
	rc = field_parse_record(f->record, item, text, e);
	if (rc < 0)
		field_list_drop(f, p);
	return rc;
}

/* A list of one-field records is a list of plain values. */
static json_t *item_to_json(const struct field_record *rec, const void *item)
{
	if (rec->nr_fields == 1)
		return rec->fields->type->to_json(rec->fields,
						  (const char *)item + rec->fields->offset);
	return fields_to_json(rec->fields, rec->nr_fields, item);
}

static json_t *list_to_json(const struct field *f, const void *p)
{
	const struct field_list *list = p;
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->nr; i++) {
		if (json_array_append_new(array, item_to_json(f->record, list_item(f, list, i)))) {
			json_decref(array);
			array = NULL;
		}
	}
	return array;
}

static void list_free(const struct field *f, void *p)
{
	struct field_list *list = p;

	for (size_t i = 0; i < list->nr; i++)
		fields_free(f->record->fields, f->record->nr_fields, list_item(f, list, i));
	free(list->items);
	*list = (struct field_list){ 0 };
}

const struct field_type field_list = {
	.parse = list_parse,
	.to_json = list_to_json,
	.free = list_free,
	.kind = FIELD_LIST,
};

/* --- lists of whole texts --- */

static int texts_parse(const struct field *f, void *p, const char *text, struct err *e)
{
	void *item = NULL;
	int rc = field_list_add(f, p, &item, e);

	if (rc < 0)
		return rc;
	rc = field_set(f->record->fields, item, text, e);
	if (rc < 0)
		field_list_drop(f, p);
	return rc;
}

const struct field_type field_texts = {
	.parse = texts_parse,
	.to_json = list_to_json,
	.free = list_free,
	.kind = FIELD_LIST,
};
