// SPDX-License-Identifier: MIT
// Who may join which network: verdicts of lists, and which files are believed.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/network/access.h"

static bool in_group(const struct access_user *user, const char *group)
{
	(void)user;
	return strcmp(group, "staff") == 0;
}

static const struct access_user alice = { .name = "alice", .in_group = in_group };

static const struct {
	const char *list;
	int lab, dmz; /* the verdicts on alice */
} cases[] = {
	{ "", -EACCES, -EACCES },
	{ "allow alice lab", 0, -EACCES },
	{ "allow alice lab\n", 0, -EACCES },
	{ "  allow\talice  lab  # why\n\n#allow alice dmz\n", 0, -EACCES },
	{ "allow alice *\n", 0, 0 },
	{ "allow @staff *\n", 0, 0 },
	{ "allow @wheel *\n", -EACCES, -EACCES },
	{ "allow bob *\n", -EACCES, -EACCES },
	{ "allow alic *\nallow alicex *\n", -EACCES, -EACCES },
	{ "deny alice lab\nallow alice *\n", -EACCES, 0 },
	{ "allow alice *\ndeny @staff dmz\n", 0, -EACCES },
	/* What is not understood might have been a deny. */
	{ "allow alice *\nforbid alice lab\n", -EINVAL, -EINVAL },
	{ "allow alice *\ndeny alice\n", -EINVAL, -EINVAL },
	{ "allow alice lab dmz\n", -EINVAL, -EINVAL },
	{ "allow alice LAB\n", -EINVAL, -EINVAL },
	{ "allow @ lab\n", -EINVAL, -EINVAL },
	{ "allowalice lab\n", -EINVAL, -EINVAL },
	{ "allow alice la*\n", -EINVAL, -EINVAL },
};

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].list);
		struct err e = { 0 };

		assert_int_equal(access_judge(cases[i].list, len, &alice, "lab", &e), cases[i].lab);
		assert_int_equal(access_judge(cases[i].list, len, &alice, "dmz", &e), cases[i].dmz);
	}
}

static void test_strange_lines(void **state)
{
	static const char nul[] = "allow alice *\0\n";
	char longest[600];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(access_judge(nul, sizeof(nul) - 1, &alice, "lab", &e), -EINVAL);
	(void)snprintf(longest, sizeof(longest), "%-*s", (int)sizeof(longest) - 1, "allow alice *");
	assert_int_equal(access_judge(longest, strlen(longest), &alice, "lab", &e), -EINVAL);
	assert_string_equal(e.text, "line 1 is not one of a list");
}

/* Whose list it is counts more than what is in it. */
static void test_files(void **state)
{
	char folder[] = "/tmp/ferry-test-access-XXXXXX", path[64];
	struct err e = { 0 };
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/list", folder);
	assert_int_equal(access_check(path, 0, "lab", &e), -EACCES);
	assert_non_null(strstr(e.text, "there is no"));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "allow root lab\n", 15), 15);
	assert_int_equal(access_check(path, 0, "lab", &e), 0);
	assert_int_equal(access_check(path, 0, "dmz", &e), -EACCES);
	assert_int_equal(fchmod(fd, 0664), 0);
	assert_int_equal(access_check(path, 0, "lab", &e), -EPERM);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(access_check(path, 0, "lab", &e), 0);
	assert_int_equal(fchown(fd, 65534, 0), 0);
	assert_int_equal(access_check(path, 0, "lab", &e), -EPERM);
	assert_int_equal(access_check_trusted(folder, true, &e), 0);
	assert_int_equal(access_check_trusted(folder, false, &e), -EPERM);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(access_check_trusted(folder, true, &e), -EPERM);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(access_check(path, 0, "lab", &e), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_strange_lines),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
