/* SPDX-License-Identifier: MIT */
/* Lists of host CPUs as people write them: "0-3,5,^1". */
#ifndef FERRY_UTIL_CPULIST_H
#define FERRY_UTIL_CPULIST_H

#include <sched.h>
#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Parse numbers and ranges with commas between them; "^" takes those after it out
 * again, whatever the order; "all" is every CPU that there can be. 0, or -EINVAL with
 * @e: not such a list, or nothing is left.
 */
__must_check int cpulist_parse(const char *text, cpu_set_t *ret, struct err *e);

/* Write @set as such a list into @buf, cut where it does not fit. */
void cpulist_format(const cpu_set_t *set, char *buf, size_t len);

#endif
