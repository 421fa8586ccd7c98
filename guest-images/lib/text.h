/* SPDX-License-Identifier: MIT */
/* Strings and formatting: the standard names, as the compiler needs the mem ones. */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* As in C. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *string);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t bytes);

/* As in C, for the conversions that print() lists. */
int vsnprintf(char *to, size_t bytes, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
int snprintf(char *to, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
