// SPDX-License-Identifier: MIT
// JSON text that nobody vouches for: what is checked before the parser sees it.
#include "vmm/json_text.h"

bool json_nesting_ok(const char *text, size_t len, unsigned max)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if ((c == '[' || c == '{') && ++depth > max)
			return false;
		else if ((c == ']' || c == '}') && depth)
			depth--;
	}
	return true;
}
