// SPDX-License-Identifier: MIT
// Lists of host CPUs as people write them: "0-3,5,^1".
#include "util/cpulist.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number; *@p is moved behind it. -1: there is none, or no such CPU. */
static int parse_cpu(const char **p)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)**p))
		return -1;
	value = strtoul(*p, &end, 10);
	*p = end;
	return value < CPU_SETSIZE ? (int)value : -1;
}

/* "5", "2-4", "^1"; adds to one of the sets. False: none of these. */
static bool parse_item(const char **p, cpu_set_t *in, cpu_set_t *out)
{
	cpu_set_t *set = **p == '^' ? out : in;
	int first, last;

	*p += **p == '^';
	first = last = parse_cpu(p);
	if (first >= 0 && **p == '-') {
		++*p;
		last = parse_cpu(p);
	}
	if (first < 0 || last < first)
		return false;
	for (int cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, set);
	return true;
}

int cpulist_parse(const char *text, cpu_set_t *ret, struct err *e)
{
	const char *p = text;
	cpu_set_t in, out;

	CPU_ZERO(&in);
	CPU_ZERO(&out);
	if (!strcmp(text, "all")) {
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, ret);
		return 0;
	}
	do {
		if (!parse_item(&p, &in, &out))
			return err_set(e, -EINVAL, "'%.60s' is not a list of CPUs such as 0-3,5,^1",
				       text);
	} while (*p++ == ',');
	if (p[-1])
		return err_set(e, -EINVAL, "'%.60s' is not a list of CPUs such as 0-3,5,^1", text);
	CPU_AND(&out, &in, &out);
	CPU_XOR(ret, &in, &out);
	return CPU_COUNT(ret) ? 0 : err_set(e, -EINVAL, "'%.60s' leaves no CPU", text);
}

void cpulist_format(const cpu_set_t *set, char *buf, size_t len)
{
	size_t used = 0;

	if (len)
		*buf = '\0';
	for (int first = 0; first < CPU_SETSIZE && used < len; first++) {
		int last = first;

		if (!CPU_ISSET(first, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		used += (size_t)snprintf(buf + used, len - used, "%s%d", used ? "," : "", first);
		if (last > first && used < len)
			used += (size_t)snprintf(buf + used, len - used, "-%d", last);
		first = last;
	}
}
