// SPDX-License-Identifier: MIT
// Weight and cap, in a folder that looks like a cgroup's.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/cli/cgroup.h"

static const char *const files[] = { "cpu.weight", "cpu.max", "cgroup.procs" };

struct rig {
	char root[64], dir[96];
};

static void put(const struct rig *r, const char *name, const char *text)
{
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	*state = r;
	(void)snprintf(r->root, sizeof(r->root), "/tmp/test_cgroup-XXXXXX");
	assert_non_null(mkdtemp(r->root));
	(void)snprintf(r->dir, sizeof(r->dir), "%s/web", r->root);
	assert_int_equal(mkdir(r->dir, 0700), 0);
	put(r, "cpu.weight", "100\n");
	put(r, "cpu.max", "max 100000\n");
	put(r, "cgroup.procs", "4711\n");
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;
	char path[160];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", r->dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(r->dir);
	(void)rmdir(r->root);
	free(r);
	return 0;
}

static void test_found(void **state)
{
	const struct rig *r = *state;
	char dir[PATH_MAX];

	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, NULL), 0);
	assert_string_equal(dir, r->dir);
	assert_int_equal(cgroup_find(r->root, "4:memory:/x\n0::/web\n", 4711, dir, NULL), 0);
	assert_int_equal(cgroup_find(r->dir, "0::/\n", 4711, dir, NULL), 0);
}

static void test_refused(void **state)
{
	const struct rig *r = *state;
	char dir[PATH_MAX];
	struct err e;

	assert_int_equal(cgroup_find(r->root, "1:cpu:/web\n", 4711, dir, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "no cgroups of version 2"));
	assert_int_equal(cgroup_find(r->root, "0::/db\n", 4711, dir, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "/db has no cpu controller"));
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 471, dir, &e), -EBUSY);
	put(r, "cgroup.procs", "4711\n4712\n");
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, &e), -EBUSY);
	assert_non_null(strstr(e.text, "has other processes"));
}

/* Children of ours belong to us, and to nobody else. */
static void test_family(void **state)
{
	const struct rig *r = *state;
	char dir[PATH_MAX], procs[64];
	struct err e;
	int pipe_fds[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(pipe_fds[1]);
		_exit((int)read(pipe_fds[0], &byte, 1));
	}
	(void)snprintf(procs, sizeof(procs), "%d\n%d\n", (int)child, (int)getpid());
	put(r, "cgroup.procs", procs);
	assert_int_equal(cgroup_find(r->root, "0::/web\n", getpid(), dir, NULL), 0);
	assert_int_equal(cgroup_find(r->root, "0::/web\n", child, dir, &e), -EBUSY);
	assert_int_equal(cgroup_find(r->root, "0::/web\n", getppid(), dir, &e), -EBUSY);
	(void)snprintf(procs, sizeof(procs), "%d\n", (int)child);
	put(r, "cgroup.procs", procs);
	assert_int_equal(cgroup_find(r->root, "0::/web\n", getpid(), dir, &e), -EBUSY);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Until Linux 6.13 KVM has a thread for each guest, in the guest's group. */
static void test_kernel_thread(void **state)
{
	const struct rig *r = *state;
	char dir[PATH_MAX], name[16] = "";
	FILE *file = fopen("/proc/2/comm", "re");
	struct err e;

	put(r, "cgroup.procs", "4711\n0\n");
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, NULL), 0);
	put(r, "cgroup.procs", "4711\n1\n");
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, &e), -EBUSY);
	if (file) {
		(void)!fgets(name, sizeof(name), file);
		(void)fclose(file);
	}
	if (strcmp(name, "kthreadd\n") != 0)
		return; /* a namespace of processes: the kernel's have no numbers */
	put(r, "cgroup.procs", "4711\n2\n");
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, NULL), 0);
}

static void test_many_processes(void **state)
{
	const struct rig *r = *state;
	char dir[PATH_MAX], procs[1024];
	struct err e;

	memset(procs, '\n', sizeof(procs) - 1);
	procs[sizeof(procs) - 1] = '\0';
	memcpy(procs, "4711", 4);
	put(r, "cgroup.procs", procs);
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, &e), -EBUSY);
	put(r, "cgroup.procs", "");
	assert_int_equal(cgroup_find(r->root, "0::/web\n", 4711, dir, &e), -EBUSY);
}

static void test_weight(void **state)
{
	const struct rig *r = *state;
	unsigned weight;

	assert_int_equal(cgroup_get_weight(r->dir, &weight, NULL), 0);
	assert_int_equal(weight, 100);
	assert_int_equal(cgroup_set_weight(r->dir, 250, NULL), 0);
	assert_int_equal(cgroup_get_weight(r->dir, &weight, NULL), 0);
	assert_int_equal(weight, 250);
}

static void test_cap(void **state)
{
	const struct rig *r = *state;
	unsigned percent;

	assert_int_equal(cgroup_get_cap(r->dir, &percent, NULL), 0);
	assert_int_equal(percent, 0);
	put(r, "cpu.max", "");
	assert_int_equal(cgroup_set_cap(r->dir, 150, NULL), 0);
	assert_int_equal(cgroup_get_cap(r->dir, &percent, NULL), 0);
	assert_int_equal(percent, 150);
	put(r, "cpu.max", "");
	assert_int_equal(cgroup_set_cap(r->dir, 0, NULL), 0);
	assert_int_equal(cgroup_get_cap(r->dir, &percent, NULL), 0);
	assert_int_equal(percent, 0);
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_found),         RIG_TEST(test_refused),        RIG_TEST(test_family),
		RIG_TEST(test_kernel_thread), RIG_TEST(test_many_processes), RIG_TEST(test_weight),
		RIG_TEST(test_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
