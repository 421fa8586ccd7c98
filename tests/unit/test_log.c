// SPDX-License-Identifier: MIT
// The log: lines that are kept, and the budget of what a guest can provoke.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/log.h"

#define NAMED_LINES 5000

/* Standard error is not looked at here. */
static int silence(void **state)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	return close(fd);
}

static uint64_t last_nr(void)
{
	struct log_line line = { 0 };
	uint64_t nr = 0;

	while (log_next(nr, &line))
		nr = line.nr;
	return nr;
}

static void test_kept(void **state)
{
	struct log_line line;
	uint64_t before = last_nr();

	(void)state;
	log_warn("one %d", 1);
	log_debug("not at this level");
	log_error("two");
	assert_true(log_next(before, &line));
	assert_int_equal(line.nr, before + 1);
	assert_int_equal(line.level, LOG_WARN);
	assert_string_equal(line.text, "one 1");
	assert_true(log_next(line.nr, &line));
	assert_string_equal(line.text, "two");
	assert_false(log_next(line.nr, &line));
	assert_false(log_next(UINT64_MAX, &line));
}

static void test_oldest_go(void **state)
{
	uint64_t before = last_nr();
	struct log_line line;
	char text[16];

	(void)state;
	for (unsigned i = 0; i < 3 * LOG_KEPT; i++)
		log_info("%u", i);
	assert_true(log_next(before, &line));
	assert_int_equal(line.nr, before + 2 * LOG_KEPT + 1);
	(void)snprintf(text, sizeof(text), "%d", 2 * LOG_KEPT);
	assert_string_equal(line.text, text);
	assert_int_equal(last_nr(), before + 3 * LOG_KEPT);
}

static void test_long_lines_are_cut(void **state)
{
	struct log_line line;
	uint64_t before = last_nr();
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_true(log_next(before, &line));
	assert_int_equal(strlen(line.text), LOG_TEXT_BYTES - 1);
}

static void test_suppressed_are_counted(void **state)
{
	struct log_limit limit = { 0 };
	struct log_stats before, after;

	(void)state;
	log_get_stats(&before);
	for (unsigned i = 0; i < LOG_LIMIT_BURST + 100; i++)
		log_limited(&limit, LOG_WARN, "again");
	log_get_stats(&after);
	assert_int_equal(after.lines[LOG_WARN] - before.lines[LOG_WARN], LOG_LIMIT_BURST);
	assert_int_equal(after.limited - before.limited, 100);
}

static void *say_much(void *arg)
{
	for (unsigned i = 0; i < NAMED_LINES; i++)
		log_info("said");
	return arg;
}

static const char name_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char name_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static void check_names(FILE *said)
{
	char line[128], a[128], b[128];
	unsigned nr = 0;

	(void)snprintf(a, sizeof(a), "ferry %s: said\n", name_a);
	(void)snprintf(b, sizeof(b), "ferry %s: said\n", name_b);
	rewind(said);
	while (fgets(line, sizeof(line), said)) {
		nr++;
		assert_true(!strcmp(line, a) || !strcmp(line, b));
	}
	assert_int_equal(nr, NAMED_LINES);
}

/* A guest that arrives gets its name while threads log that let its streams in. */
static void test_named_while_others_log(void **state)
{
	FILE *said = tmpfile();
	pthread_t thread;

	assert_non_null(said);
	assert_true(dup2(fileno(said), STDERR_FILENO) >= 0);
	log_init(LOG_INFO, name_a);
	assert_int_equal(pthread_create(&thread, NULL, say_much, NULL), 0);
	for (unsigned i = 0; i < NAMED_LINES; i++)
		log_init(LOG_INFO, i % 2 ? name_a : name_b);
	assert_int_equal(pthread_join(thread, NULL), 0);
	check_names(said);
	(void)fclose(said);
	assert_int_equal(silence(state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_oldest_go),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_suppressed_are_counted),
		cmocka_unit_test(test_named_while_others_log),
	};

	return cmocka_run_group_tests(tests, silence, NULL);
}
