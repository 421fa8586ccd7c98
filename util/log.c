// SPDX-License-Identifier: MIT
// Messages on standard error, with a budget for those a guest can provoke.
#include "util/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"

static enum log_level max_level = LOG_INFO;
static char prefix[80] = "ferry";

void log_init(enum log_level level, const char *name)
{
	max_level = level;
	if (name && *name)
		(void)snprintf(prefix, sizeof(prefix), "ferry %s", name);
}

__printf_like(2, 0) static void vlog(enum log_level level, const char *fmt, va_list ap,
				     uint32_t dropped)
{
	static const char *const tag[] = {
		[LOG_ERROR] = "",
		[LOG_WARN] = "warning: ",
		[LOG_INFO] = "",
		[LOG_DEBUG] = "debug: ",
	};
	char line[1024];
	size_t len;

	(void)snprintf(line, sizeof(line), "%s: %s", prefix, tag[level]);
	len = strlen(line);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	len = strlen(line);
	if (dropped) {
		(void)snprintf(line + len, sizeof(line) - len - 1, " (%u more like this)", dropped);
		len = strlen(line);
	}
	line[len++] = '\n';
	/* Nothing sensible can be done where standard error fails. */
	(void)!write(STDERR_FILENO, line, len);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vlog(level, fmt, ap, 0);
	va_end(ap);
}

/*
 * Relaxed everywhere: threads that race at the edge of an interval may show a
 * line more or less, which does no harm; the bound per interval still holds
 * within the number of threads.
 */
static bool limit_allows(struct log_limit *limit, uint32_t *ret_dropped)
{
	uint64_t now = clock_now_ns();
	uint64_t start = atomic_load_explicit(&limit->window_ns, memory_order_relaxed);

	if (start == 0 || now - start >= LOG_LIMIT_INTERVAL_NS) {
		atomic_store_explicit(&limit->window_ns, now, memory_order_relaxed);
		atomic_store_explicit(&limit->used, 0, memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&limit->used, 1, memory_order_relaxed) >= LOG_LIMIT_BURST) {
		atomic_fetch_add_explicit(&limit->dropped, 1, memory_order_relaxed);
		return false;
	}
	*ret_dropped = atomic_exchange_explicit(&limit->dropped, 0, memory_order_relaxed);
	return true;
}

/* Would a line be taken at once? So is one that fails. */
static bool stderr_takes_lines(void)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, 0) != 0;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	uint32_t dropped = 0;
	va_list ap;

	if (level > max_level || !limit_allows(limit, &dropped))
		return;
	/* Whoever reads standard error, or does not, must not stop a vCPU. */
	if (!stderr_takes_lines()) {
		atomic_fetch_add_explicit(&limit->dropped, dropped + 1, memory_order_relaxed);
		return;
	}
	va_start(ap, fmt);
	vlog(level, fmt, ap, dropped);
	va_end(ap);
}
