// SPDX-License-Identifier: MIT
// Fuzz: what user networking makes of the headers of a guest's frame.
#include "net/user_limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	(void)user_may_open_socket(data, len);
	return 0;
}
