// SPDX-License-Identifier: MIT
// Fuzz: documents that ferry-plot is to draw.
#include <stdint.h>
#include <stdio.h>

#include "plot/draw.h"

#define MAX_BYTES 16384U /* more tells nothing new, and takes its time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static FILE *null;
	struct err e;

	if (!null)
		null = fopen("/dev/null", "we");
	if (!null || len > MAX_BYTES)
		return 0;
	(void)!draw_document((const char *)data, len, null, &e);
	return 0;
}
