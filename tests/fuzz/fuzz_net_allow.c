// SPDX-License-Identifier: MIT
// The access list: any bytes are a verdict, and garbage allows nothing.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/network/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool in_group(const struct access_user *user, const char *group)
{
	(void)user;
	return strcmp(group, "staff") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct access_user user = { .name = "alice", .in_group = in_group };
	struct err e;

	/* Without the word no list allows anything. */
	if (access_judge((const char *)data, size, &user, "lab", &e) == 0 &&
	    !memmem(data, size, "allow", 5))
		abort();
	return 0;
}
