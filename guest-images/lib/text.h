/* SPDX-License-Identifier: MIT */
/* Strings and formatting: the standard names, as the compiler needs the mem ones. */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Copies bytes between areas that do not overlap; returns `to`. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

/* Copies bytes between areas that may overlap; returns `to`. */
void *memmove(void *to, const void *from, size_t bytes);

/* Fills bytes with the low 8 bits of value; returns `to`. */
void *memset(void *to, int value, size_t bytes);

/* The difference of the first bytes that differ, or 0. */
int memcmp(const void *a, const void *b, size_t bytes);

/* Bytes before the terminating 0. */
size_t strlen(const char *string);

/* As memcmp(), up to the terminating 0. */
int strcmp(const char *a, const char *b);

/* As strcmp(), of at most so many bytes. */
int strncmp(const char *a, const char *b, size_t bytes);

/* As in C, for the conversions that print() lists. */
int vsnprintf(char *to, size_t bytes, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

/* The same with the arguments themselves. */
int snprintf(char *to, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
