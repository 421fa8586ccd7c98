// SPDX-License-Identifier: MIT
// Port numbers in text.
#include "net/port.h"

#include <errno.h>

int net_port_parse(const char *text, size_t len)
{
	int port = 0;

	if (len > 5)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		port = port * 10 + (text[i] - '0');
	}
	return port >= 1 && port <= 65535 ? port : -EINVAL;
}
