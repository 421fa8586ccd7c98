// SPDX-License-Identifier: MIT
// Folders: made with those above them, and what is in the way is said.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "util/io.h"

static void test_make_dirs(void **state)
{
	char dir[] = "/tmp/ferry-test-io-XXXXXX", path[64], longest[PATH_MAX + 2];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a/b/c", dir);
	assert_int_equal(io_make_dirs(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(io_make_dirs(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/a/b/c/", dir);
	assert_int_equal(io_make_dirs(path, 0755), 0);

	(void)snprintf(path, sizeof(path), "%s/file", dir);
	_cleanup_close_ int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)snprintf(path, sizeof(path), "%s/file/d", dir);
	assert_int_equal(io_make_dirs(path, 0755), -ENOTDIR);
	assert_int_equal(io_make_dirs("", 0755), -ENOENT);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(io_make_dirs(longest, 0755), -ENAMETOOLONG);

	for (const char *const *name =
		     (const char *const[]){ "/a/b/c", "/a/b", "/a", "/file", "", NULL };
	     *name; name++) {
		(void)snprintf(path, sizeof(path), "%s%s", dir, *name);
		assert_int_equal(remove(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_dirs),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
