// SPDX-License-Identifier: MIT
// Anybody's words, before they are shown.
#include "util/printable.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/compiler.h"

#define DEL      0x7f
#define C1_LEAD  0xc2 /* U+0080 to U+009F in UTF-8: this, and one of: */
#define C1_FIRST 0x80
#define C1_LAST  0x9f
#define ESCAPE_U 6U /* bytes of \uXXXX */

static bool is_c1(unsigned char lead, unsigned char next)
{
	return lead == C1_LEAD && next >= C1_FIRST && next <= C1_LAST;
}

void printable(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (is_c1(at[0], at[1]))
			at[1] = *at = '?';
		else if (*at < ' ' || *at == DEL)
			*at = '?';
	}
}

void printable_ascii(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

/* What \uXXXX at @at stands for: a control character? Newline and tab are none here. */
static bool is_escaped_control(const char *at)
{
	char digits[] = { at[2], at[3], at[4], at[5], '\0' };
	unsigned long code;

	for (unsigned i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)digits[i]))
			return false;
	}
	code = strtoul(digits, NULL, 16);
	return (code < ' ' && code != '\n' && code != '\t') || (code >= DEL && code <= C1_LAST);
}

/* The escape at @at, with @left bytes from there. Its length. */
static size_t clean_escape(char *at, size_t left)
{
	static const char question[] = { '0', '0', '3', 'f' };

	if (left >= ESCAPE_U && at[1] == 'u') {
		if (is_escaped_control(at))
			memcpy(at + 2, question, sizeof(question));
		return ESCAPE_U;
	}
	if (left >= 2 && (at[1] == 'b' || at[1] == 'f' || at[1] == 'r'))
		at[1] = 't';
	return MIN(left, (size_t)2);
}

/* Unescaped ones below ' ' are not in strings: that would not be JSON. */
void printable_json(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char next = i + 1 < len ? (unsigned char)text[i + 1] : 0;

		if (text[i] == '\\') {
			i += clean_escape(text + i, len - i);
			continue;
		}
		if (is_c1((unsigned char)text[i], next))
			text[i] = text[i + 1] = '?';
		else if (text[i] == DEL)
			text[i] = '?';
		i++;
	}
}
