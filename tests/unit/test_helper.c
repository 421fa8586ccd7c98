// SPDX-License-Identifier: MIT
// Programs beside ferry: this test is one, started with an argument.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/helper.h"
#include "util/io.h"

#define SELF "test_helper"

/* --- what it does as a helper --- */

static int echo(void)
{
	int c;

	while ((c = getchar()) != EOF)
		(void)putchar(c);
	return 0;
}

static int refuse(void)
{
	(void)fputs(SELF ": the disk is full\nand more\n", stderr);
	return 1;
}

/* 0: three descriptors, no signal blocked or ignored. */
static int look(void)
{
	struct sigaction sa;
	sigset_t blocked;

	(void)sigprocmask(SIG_SETMASK, NULL, &blocked);
	(void)sigaction(SIGPIPE, NULL, &sa);
	if (sigismember(&blocked, SIGTERM) || sa.sa_handler == SIG_IGN)
		return 3;
	for (int fd = 3; fd < 64; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			return 4;
	}
	return 0;
}

static int helper_main(const char *how)
{
	if (!strcmp(how, "echo"))
		return echo();
	if (!strcmp(how, "fail"))
		return refuse();
	if (!strcmp(how, "die"))
		return raise(SIGKILL);
	if (!strcmp(how, "look"))
		return look();
	return 7;
}

/* --- the tests --- */

static void test_find(void **state)
{
	char path[PATH_MAX];
	struct err e;

	(void)state;
	assert_int_equal(helper_find(SELF, path, sizeof(path), &e), 0);
	assert_int_equal(access(path, X_OK), 0);
	assert_int_equal(helper_find("ferry-nothing", path, sizeof(path), &e), -ENOENT);
	assert_non_null(strstr(e.text, "ferry-nothing is not installed"));
	assert_non_null(strstr(e.text, "../libexec/ferry/"));
	assert_int_equal(helper_find(SELF, path, 4, &e), -ENOENT);
}

static int run(const char *how, struct err *e)
{
	const char *const args[] = { how, NULL };

	return helper_run(&(struct helper_call){ .name = SELF, .args = args, .out_fd = -1 }, e);
}

/* More than a pipe holds, in both directions. */
static void test_input_and_output(void **state)
{
	static const char *const args[] = { "echo", NULL };
	const size_t len = 1 << 20;
	char *in = test_malloc(len), *out = NULL;
	struct helper_call call = {
		.name = SELF, .args = args, .in = in, .in_bytes = len, .out_fd = -1
	};
	struct err e;

	(void)state;
	memset(in, 'x', len);
	assert_int_equal(helper_run_for(&call, &out, len, &e), 0);
	assert_int_equal(strlen(out), len);
	assert_memory_equal(in, out, len);
	free(out);
	assert_int_equal(helper_run_for(&call, &out, len - 1, &e), -EFBIG);
	test_free(in);
}

static void test_output_to_a_file(void **state)
{
	static const char *const args[] = { "echo", NULL };
	char path[] = "/tmp/ferry-helper-XXXXXX", text[8] = "";
	_cleanup_close_ int fd = mkstemp(path);
	struct err e;

	(void)state;
	assert_true(fd >= 0);
	(void)unlink(path);
	assert_int_equal(helper_run(&(struct helper_call){ .name = SELF,
							   .args = args,
							   .in = "hello",
							   .in_bytes = 5,
							   .out_fd = fd },
				    &e),
			 0);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 5);
	assert_string_equal(text, "hello");
}

static void test_failures(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(run("fail", &e), -EREMOTEIO);
	assert_string_equal(e.text, "the disk is full");
	assert_int_equal(run("die", &e), -EREMOTEIO);
	assert_string_equal(e.text, SELF " was ended by signal 9");
	assert_int_equal(run("nonsense", &e), -EREMOTEIO);
	assert_string_equal(e.text, SELF " failed with status 7");
	assert_int_equal(
		helper_run(&(struct helper_call){ .name = "ferry-nothing", .out_fd = -1 }, &e),
		-ENOENT);
}

/* Whatever is open or blocked here is not so there. */
static void test_nothing_else_is_inherited(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY); // NOLINT: inheritable on purpose
	sigset_t term;
	struct err e;
	int rc;

	(void)state;
	assert_true(fd > 2);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	rc = run("look", &e);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_UNBLOCK, &term, NULL);
	assert_int_equal(rc, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_input_and_output),
		cmocka_unit_test(test_output_to_a_file),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_nothing_else_is_inherited),
	};

	if (argc > 1)
		return helper_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
