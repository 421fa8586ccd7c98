// SPDX-License-Identifier: MIT
// Messages on standard error, with a budget for those a guest can provoke.
#include "util/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/printable.h"

static _Atomic enum log_level max_level = LOG_INFO;

const char *const log_level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static struct {
	/* protects: the rest; order: innermost. Not struct mutex, which logs its misuse. */
	pthread_mutex_t lock;
	struct log_line lines[LOG_KEPT]; /* number n in n % LOG_KEPT */
	uint64_t last;
	struct log_stats stats;
	char prefix[80];
	bool to_journal;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER, .prefix = "ferry" };
static _Atomic int wake_fd = -1;

static void keep(enum log_level level, const char *text)
{
	struct log_line *line;
	int fd;

	(void)pthread_mutex_lock(&kept.lock);
	line = &kept.lines[++kept.last % LOG_KEPT];
	line->nr = kept.last;
	line->wall_ns = clock_wall_ns();
	line->level = level;
	(void)snprintf(line->text, sizeof(line->text), "%s", text);
	kept.stats.lines[level]++;
	(void)pthread_mutex_unlock(&kept.lock);
	fd = atomic_load_explicit(&wake_fd, memory_order_relaxed);
	if (fd >= 0)
		eventfd_signal(fd);
}

bool log_next(uint64_t after, struct log_line *ret)
{
	uint64_t nr;
	bool found;

	(void)pthread_mutex_lock(&kept.lock);
	nr = kept.last > LOG_KEPT && after < kept.last - LOG_KEPT ? kept.last - LOG_KEPT + 1
								  : after + 1;
	found = after < kept.last;
	if (found)
		*ret = kept.lines[nr % LOG_KEPT];
	(void)pthread_mutex_unlock(&kept.lock);
	return found;
}

void log_get_stats(struct log_stats *ret)
{
	(void)pthread_mutex_lock(&kept.lock);
	*ret = kept.stats;
	(void)pthread_mutex_unlock(&kept.lock);
}

void log_set_wake(int eventfd)
{
	atomic_store_explicit(&wake_fd, eventfd, memory_order_relaxed);
}

/* systemd.exec(5), $JOURNAL_STREAM: is it what standard error is connected to? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return !strcmp(stream, own);
}

void log_init(enum log_level level, const char *name)
{
	bool to_journal = stderr_is_journal();

	atomic_store_explicit(&max_level, level, memory_order_relaxed);
	(void)pthread_mutex_lock(&kept.lock);
	kept.to_journal = to_journal;
	if (name && *name)
		(void)snprintf(kept.prefix, sizeof(kept.prefix), "ferry %s", name);
	(void)pthread_mutex_unlock(&kept.lock);
}

static bool is_shown(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* What a line begins with, before its tag. */
static void begin_line(char *line, size_t size, const char *priority)
{
	(void)pthread_mutex_lock(&kept.lock);
	(void)snprintf(line, size, "%s%s: ", kept.to_journal ? priority : "", kept.prefix);
	(void)pthread_mutex_unlock(&kept.lock);
}

__printf_like(2, 0) static void vlog(enum log_level level, const char *fmt, va_list ap,
				     uint32_t dropped, bool show)
{
	static const char *const tag[] = {
		[LOG_ERROR] = "",
		[LOG_WARN] = "warning: ",
		[LOG_INFO] = "",
		[LOG_DEBUG] = "debug: ",
	};
	/* sd-daemon(3): syslog's numbers. */
	static const char *const priority[] = {
		[LOG_ERROR] = "<3>",
		[LOG_WARN] = "<4>",
		[LOG_INFO] = "<6>",
		[LOG_DEBUG] = "<7>",
	};
	char line[1024];
	size_t len;

	begin_line(line, sizeof(line), priority[level]);
	len = strlen(line);
	(void)snprintf(line + len, sizeof(line) - len, "%s", tag[level]);
	len += strlen(tag[level]);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	printable(line + len); /* names and values in it may be anybody's */
	keep(level, line + len);
	if (!show)
		return;
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

	if (!is_shown(level))
		return;
	va_start(ap, fmt);
	vlog(level, fmt, ap, 0, true);
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
		(void)pthread_mutex_lock(&kept.lock);
		kept.stats.limited++;
		(void)pthread_mutex_unlock(&kept.lock);
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
	bool show;

	if (!is_shown(level) || !limit_allows(limit, &dropped))
		return;
	/* Whoever reads standard error, or does not, must not stop a vCPU. */
	show = stderr_takes_lines();
	if (!show)
		atomic_fetch_add_explicit(&limit->dropped, dropped + 1, memory_order_relaxed);
	va_start(ap, fmt);
	vlog(level, fmt, ap, dropped, show);
	va_end(ap);
}
