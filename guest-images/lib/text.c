// SPDX-License-Identifier: MIT
/*
 * Strings. memcpy() and memset() are `rep` instructions: fast in CPL 3, and the
 * compiler cannot turn them into calls of themselves.
 */
#include "text.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	unsigned char *t = (unsigned char *)to + bytes;
	const unsigned char *f = (const unsigned char *)from + bytes;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (bytes--) {
		*--t = *--f;
		__asm__ volatile("" ::: "memory");
	}
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *x = a, *y = b;

	for (; bytes; bytes--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *string)
{
	const char *end = string;

	while (*end)
		end++;
	return (size_t)(end - string);
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t bytes)
{
	for (; bytes && *a && *a == *b; bytes--, a++, b++)
		;
	return bytes ? (unsigned char)*a - (unsigned char)*b : 0;
}
