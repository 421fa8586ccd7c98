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
 * the process, as standard error does: they and the lines that are kept are the one
 * exception to the rule that state is passed explicitly. Any thread may set them, while
 * others log. Where standard error is the journal, lines begin with their priority (<4>).
 */
void log_init(enum log_level level, const char *name);

/*
 * The last LOG_KEPT lines stay in memory, cut to LOG_TEXT_BYTES; lines are numbered from 1.
 * They can be asked for when standard error is long gone, or was never read.
 */
#define LOG_KEPT       256
#define LOG_TEXT_BYTES 240

struct log_line {
	uint64_t nr;
	uint64_t wall_ns;
	enum log_level level;
	char text[LOG_TEXT_BYTES]; /* without the name in front */
};

/* The oldest line that is kept and has a number above @after. False: none. Any thread. */
bool log_next(uint64_t after, struct log_line *ret);

struct log_stats {
	uint64_t lines[LOG_DEBUG + 1]; /* by level, kept or not */
	uint64_t limited;              /* not shown, since too many of the kind came at once */
};

/* Any thread. */
void log_get_stats(struct log_stats *ret);

/* Signal this eventfd with each line; -1: none. Not while others log. */
void log_set_wake(int eventfd);

/* "error", "warning", "info", "debug". */
extern const char *const log_level_names[];

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
