/* SPDX-License-Identifier: MIT */
/* Port numbers in text. */
#ifndef FERRY_NET_PORT_H
#define FERRY_NET_PORT_H

#include <stddef.h>

#include "util/compiler.h"

/* @len characters of @text, decimal digits alone: the port, 1 to 65535, or -EINVAL. */
__must_check int net_port_parse(const char *text, size_t len);

#endif
