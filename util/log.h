/* SPDX-License-Identifier: MIT */
/* Messages for the person who runs ferry: one line each, on standard error. */
#ifndef FERRY_UTIL_LOG_H
#define FERRY_UTIL_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * The level and the name shown before each line ("ferry web: ...") belong to
 * the process, as standard error does: they are the one exception to the rule
 * that state is passed explicitly. Set them before the first thread starts.
 */
void log_init(enum log_level level, const char *name);

/* Write one line; thread-safe, one write(2) per line. No trailing newline. */
void log_msg(enum log_level level, const char *fmt, ...) __printf_like(2, 3);

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

/*
 * Budget for messages that a guest can provoke: LOG_LIMIT_BURST lines per
 * LOG_LIMIT_INTERVAL_NS, the rest only counted. One per source of messages,
 * zero-initialised; any thread may use it.
 */
#define LOG_LIMIT_BURST       5
#define LOG_LIMIT_INTERVAL_NS (5ULL * 1000 * 1000 * 1000)

struct log_limit {
	_Atomic uint64_t window_ns; /* start of the current interval */
	_Atomic uint32_t used;      /* lines in it */
	_Atomic uint32_t dropped;   /* lines suppressed since the last one shown */
};

/*
 * As log_msg(), unless the budget of @limit is spent, or standard error does not
 * take the line at once: then it counts as dropped.
 */
void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
	__printf_like(3, 4);

#endif
