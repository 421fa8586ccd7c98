// SPDX-License-Identifier: MIT
/* The command line, copied and cut into words. */
#include "param.h"
#include "power.h"
#include "text.h"
#include <stddef.h>

#define CMDLINE_BYTES 2048

static char words[CMDLINE_BYTES + 1]; /* each ends with 0 */
static size_t words_bytes;

void param_init(const char *cmdline)
{
	for (; cmdline && *cmdline && words_bytes < CMDLINE_BYTES; cmdline++)
		words[words_bytes++] = *cmdline == ' ' ? 0 : *cmdline;
	words_bytes++;
}

const char *param_get(const char *key)
{
	const char *found = NULL;
	size_t length = strlen(key);

	for (size_t at = 0; at < words_bytes; at += strlen(words + at) + 1) {
		const char *end = words + at + length;

		if (strncmp(words + at, key, length) != 0)
			continue;
		if (*end == '=')
			found = end + 1;
		else if (!*end)
			found = end;
	}
	return found;
}

/* -1: not a digit of that base. */
static int digit(char c, unsigned int base)
{
	int value = -1;

	if (c >= '0' && c <= '9')
		value = c - '0';
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		value = (c | 0x20) - 'a' + 10;
	return value < (int)base ? value : -1;
}

static unsigned int suffix_shift(char c)
{
	switch (c) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return 0;
	}
}

uint64_t param_number(const char *key, uint64_t otherwise)
{
	const char *text = param_get(key);
	unsigned int base = 10, shift;
	uint64_t value = 0;
	const char *first;

	if (!text)
		return otherwise;
	if (!strncmp(text, "0x", 2)) {
		base = 16;
		text += 2;
	}
	for (first = text; digit(*text, base) >= 0; text++)
		value = value * base + (uint64_t)digit(*text, base);
	shift = suffix_shift(*text);
	if (text == first || text[shift ? 1 : 0])
		power_usage(key);
	return value << shift;
}

bool param_is(const char *key, const char *word)
{
	const char *value = param_get(key);

	return value && !strcmp(value, word);
}
