/* SPDX-License-Identifier: MIT */
/* JSON text that nobody vouches for: what is checked before the parser sees it. */
#ifndef FERRY_VMM_JSON_TEXT_H
#define FERRY_VMM_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Are arrays and objects nested at most @max deep, strings left out? The parser
 * recurses, so depth is checked first.
 */
bool json_nesting_ok(const char *text, size_t len, unsigned max);

#endif
