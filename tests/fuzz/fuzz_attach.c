// SPDX-License-Identifier: MIT
// Messages between a guest's process and ferry-net: what is taken can be said again.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/network/attach_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const char *text, size_t len)
{
	struct attach_request first, second;
	char again[ATTACH_MSG_BYTES], third[ATTACH_MSG_BYTES];
	struct err e;

	if (attach_request_parse(text, len, &first, &e) < 0)
		return;
	if (attach_request_format(&first, again) < 0 ||
	    attach_request_parse(again, strlen(again), &second, &e) < 0 ||
	    attach_request_format(&second, third) < 0 || strcmp(again, third) != 0)
		abort();
}

static void answer(const char *text, size_t len)
{
	struct attach_answer answer;
	char again[ATTACH_MSG_BYTES];
	struct err e;

	if (attach_answer_parse(text, len, &answer, &e) == 0 &&
	    attach_answer_format(&answer, again) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= ATTACH_MSG_BYTES)
		return 0;
	request((const char *)data, size);
	answer((const char *)data, size);
	return 0;
}
