// SPDX-License-Identifier: MIT
// Lists of CPUs: what was understood, written and read again, is the same.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/cpulist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256] = "", again[8192];
	cpu_set_t set, same;
	struct err e;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	if (cpulist_parse(text, &set, &e) < 0)
		return 0;
	cpulist_format(&set, again, sizeof(again));
	if (cpulist_parse(again, &same, &e) < 0 || !CPU_EQUAL(&set, &same))
		abort();
	return 0;
}
