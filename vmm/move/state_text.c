// SPDX-License-Identifier: MIT
// A saved guest as lines: offset, size, what it is.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/compiler.h"
#include "util/printable.h"
#include "vmm/move/state.h"

#define MAX_TEXT     64U /* characters of a value; --json has all of it */
#define MAX_CLEAN    1000U
#define MAX_ELEMENTS 16U

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* A file may hold names that do things to a terminal. */
static void print_clean(const char *string, size_t max, FILE *out)
{
	char clean[MAX_CLEAN + 1];
	size_t len = strlen(string);

	(void)snprintf(clean, MIN(max + 1, sizeof(clean)), "%s", string);
	printable(clean);
	(void)fputs(clean, out);
	if (len > max)
		(void)fprintf(out, "... (%zu characters)", len);
}

static void begin_line(const json_t *thing, unsigned depth, FILE *out)
{
	(void)fprintf(out, "%12lld %10lld  %*s", number(thing, "offset"), number(thing, "bytes"),
		      2 * (int)depth, "");
}

static void print_scalar(const json_t *value, FILE *out)
{
	if (json_is_boolean(value))
		(void)fprintf(out, "%s", json_is_true(value) ? "true" : "false");
	else if (json_is_integer(value))
		(void)fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_string(value))
		print_clean(json_string_value(value), MAX_TEXT, out);
}

static void print_fields(const json_t *fields, unsigned depth, FILE *out);

static bool is_structure(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

static void print_array(const json_t *array, FILE *out)
{
	size_t nr = json_array_size(array);

	(void)fputc('[', out);
	for (size_t i = 0; i < MIN(nr, MAX_ELEMENTS); i++) {
		(void)fputs(i ? " " : "", out);
		print_scalar(json_array_get(array, i), out);
	}
	(void)fprintf(out, nr > MAX_ELEMENTS ? " ... (%zu)]" : "]", nr);
}

/* An array of structures is an array of arrays of fields. */
static void print_structures(const json_t *array, unsigned depth, FILE *out)
{
	size_t i;
	json_t *fields;

	json_array_foreach(array, i, fields)
	{
		(void)fprintf(out, "%25s%*s[%zu]\n", "", 2 * (int)depth, "", i);
		print_fields(fields, depth + 1, out);
	}
}

static void print_value(const json_t *value, unsigned depth, FILE *out)
{
	const json_t *first = json_array_get(value, 0);
	bool structures = json_is_array(first);

	if (is_structure(value) || structures) {
		(void)fputc('\n', out);
		if (structures)
			print_structures(value, depth + 1, out);
		else
			print_fields(value, depth + 1, out);
		return;
	}
	(void)fputs(" = ", out);
	if (json_is_array(value))
		print_array(value, out);
	else
		print_scalar(value, out);
	(void)fputc('\n', out);
}

static void print_fields(const json_t *fields, unsigned depth, FILE *out)
{
	size_t i;
	json_t *field;

	json_array_foreach(fields, i, field)
	{
		const char *name = text(field, "name");

		begin_line(field, depth, out);
		if (name)
			(void)fputs(name, out);
		else
			(void)fprintf(out, "unknown %s field %lld (%s)",
				      json_is_true(json_object_get(field, "optional"))
					      ? "optional"
					      : "mandatory",
				      number(field, "tag"), text(field, "kind"));
		print_value(json_object_get(field, "value"), depth, out);
	}
}

static void print_part(const json_t *part, FILE *out)
{
	const char *checksum = text(part, "xxh3");
	bool known = json_is_true(json_object_get(part, "known"));

	begin_line(part, 1, out);
	(void)fprintf(out, "%s[%lld]%s%s%s\n", text(part, "name"), number(part, "index"),
		      known ? "" : ", unknown", checksum ? ", opaque, XXH3 " : "",
		      checksum ? checksum : "");
	print_fields(json_object_get(part, "fields"), 2, out);
}

/* Settings are easier to read as they are written than field by field. */
static void print_config(const json_t *config, FILE *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)config, key, value)
	{
		char *line = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		(void)fprintf(out, "%25s  ", "");
		print_clean(key, MAX_TEXT, out);
		(void)fputs(" = ", out);
		print_clean(line ? line : "", MAX_CLEAN, out);
		(void)fputc('\n', out);
		free(line);
	}
}

static void print_section(const json_t *section, FILE *out)
{
	const char *name = text(section, "name"), *device = text(section, "device");
	const char *type = text(section, "device-type"), *error = text(section, "error");
	size_t i;
	json_t *part;

	begin_line(section, 0, out);
	if (name)
		(void)fprintf(out, "section %s", name);
	else
		(void)fprintf(out, "unknown optional section 0x%llx", number(section, "type"));
	if (device) {
		(void)fputc(' ', out);
		print_clean(device, MAX_TEXT, out);
		(void)fputs(", ", out);
		print_clean(type ? type : "?", MAX_TEXT, out);
	} else if (name && !strcmp(name, "VCPU")) {
		(void)fprintf(out, " %lld", number(section, "id"));
	}
	if (error) {
		(void)fputs(": ", out);
		print_clean(error, MAX_CLEAN, out);
	}
	(void)fputc('\n', out);
	print_config(json_object_get(section, "config"), out);
	json_array_foreach(json_object_get(section, "parts"), i, part)
	{
		print_part(part, out);
	}
}

void state_print(const json_t *state, FILE *out)
{
	static const char *const areas[] = { "kernel", "initrd", "state", "memory" };
	size_t i;
	json_t *section;

	(void)fprintf(out, "%12s %10s  %s\n", "OFFSET", "BYTES", "WHAT");
	for (i = 0; i < ARRAY_SIZE(areas); i++) {
		begin_line(json_object_get(state, areas[i]), 0, out);
		(void)fputs(areas[i], out);
		if (i == ARRAY_SIZE(areas) - 1)
			(void)fprintf(out, " of %lld MiB, %lld pages stored, compression: %s",
				      number(state, "memory-bytes") >> 20,
				      number(state, "stored-pages"), text(state, "compression"));
		(void)fputc('\n', out);
	}
	json_array_foreach(json_object_get(state, "sections"), i, section)
	{
		print_section(section, out);
	}
}
