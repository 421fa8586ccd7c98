// SPDX-License-Identifier: MIT
// Options that are times.
#include "vmm/cli/duration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct unit {
	const char *name;
	unsigned ms;
} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 } };

static unsigned find_unit(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(units[i].name, name))
			return units[i].ms;
	}
	return 0;
}

static int parse(const struct field *f, void *p, const char *text, unsigned plain_ms, struct err *e)
{
	size_t digits = strspn(text, "0123456789");
	unsigned unit_ms = text[digits] ? find_unit(text + digits) : plain_ms;
	unsigned long value = digits ? strtoul(text, NULL, 10) : 0;

	if (!digits || !unit_ms)
		return err_set(e, -EINVAL, "'%s' is not a time: write for example 300ms or 2s",
			       text);
	if (value > f->max / unit_ms || value * unit_ms < f->min)
		return err_set(e, -ERANGE, "%s is out of range", text);
	*(unsigned *)p = (unsigned)value * unit_ms;
	return 0;
}

static int parse_milliseconds(const struct field *f, void *p, const char *text, struct err *e)
{
	return parse(f, p, text, 1, e);
}

static int parse_seconds(const struct field *f, void *p, const char *text, struct err *e)
{
	return parse(f, p, text, 1000, e);
}

static json_t *to_json(const struct field *f, const void *p)
{
	(void)f;
	return json_integer(*(const unsigned *)p);
}

const struct field_type field_milliseconds = { .parse = parse_milliseconds, .to_json = to_json };
const struct field_type field_seconds = { .parse = parse_seconds, .to_json = to_json };
