/* SPDX-License-Identifier: MIT */
/* Attributes and small macros used everywhere. */
#ifndef FERRY_UTIL_COMPILER_H
#define FERRY_UTIL_COMPILER_H

#include <stddef.h>

/* <sys/cdefs.h> may define it already, with the same meaning. */
#undef __must_check
#define __must_check             __attribute__((warn_unused_result))
#define __printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* For powers of two only. */
#define ALIGN_DOWN(x, a) ((x) & ~((a)-1))
#define ALIGN_UP(x, a)   ALIGN_DOWN((x) + ((a)-1), (a))

#define KIB (1024ULL)
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

#endif
