// SPDX-License-Identifier: MIT
// Names of guests: one owner each, nothing left when the owner dies.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "util/hash.h"
#include "util/io.h"
#include "vmm/guest/runtime.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/ferry-test-runtime-XXXXXX");
	return mkdtemp(dir) ? setenv("XDG_RUNTIME_DIR", dir, 1) : -1;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ferry/lock", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/ferry", dir);
	(void)rmdir(path);
	return rmdir(dir); /* fails if anything else is left */
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "web", "Web-2.old_x", "0" };
	static const char *const bad[] = {
		"",    ".x",  "-x",       "a/b",
		"a b", "a\n", "\xc3\xa4", "..",
		"a,b", "a=b", "@a",       "a123456789b123456789c123456789d123456789e12345678"
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(runtime_check_name(good[i], NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(runtime_check_name(bad[i], NULL), -EINVAL);
}

/* Whatever kind the first is, a second guest of either kind is refused. */
static void test_unique(void **state)
{
	struct runtime_claim first, second;
	struct err e;

	(void)state;
	for (int a = 0; a <= 1; a++) {
		assert_int_equal(runtime_check_free("web", &e), 0);
		assert_int_equal(runtime_claim(&first, "web", a, &e), 0);
		assert_int_equal(runtime_check_free("web", &e), -EEXIST);
		for (int b = 0; b <= 1; b++) {
			assert_int_equal(runtime_claim(&second, "web", b, &e), -EEXIST);
			assert_non_null(strstr(e.text, "web is running already"));
		}
		assert_int_equal(runtime_claim(&second, "web2", a, &e), 0);
		runtime_release(&second);
		runtime_release(&first);
		runtime_release(&first);
	}
}

struct cleaner {
	char path[80];
	_Atomic bool quit;
	_Atomic unsigned nr_removals;
};

static void *remove_all_the_time(void *opaque)
{
	struct cleaner *c = opaque;

	while (!atomic_load(&c->quit))
		c->nr_removals += runtime_remove_stale(c->path, "web");
	return NULL;
}

/* Whoever lists guests at that moment does no harm to one that starts. */
static void test_removal_of_stale_files(void **state)
{
	struct cleaner c = { 0 };
	struct runtime_claim claim;
	pthread_t thread;
	struct err e;

	(void)state;
	(void)snprintf(c.path, sizeof(c.path), "%s/ferry", dir);
	assert_int_equal(runtime_claim(&claim, "web", false, &e), 0);
	assert_false(runtime_remove_stale(c.path, "web"));
	assert_int_equal(pthread_create(&thread, NULL, remove_all_the_time, &c), 0);
	/* On a busy machine it takes longer until the other has met a stale file. */
	for (unsigned i = 0; i < 1000 || (c.nr_removals == 0 && i < 1000000); i++) {
		runtime_release(&claim);
		assert_int_equal(runtime_claim(&claim, "web", false, &e), 0);
		assert_int_equal(access(claim.path, F_OK), 0);
	}
	atomic_store(&c.quit, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(c.nr_removals > 0);
	runtime_release(&claim);
}

/* Somebody holds the lock for removals, which is the byte after the name's, and goes on to. */
static void test_removal_lock_is_held(void **state)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	struct runtime_claim claim, other;
	char path[96], lock[128];
	struct err e;
	int fd;

	(void)state;
	(void)alarm(10); /* a hang is the failure */
	(void)snprintf(path, sizeof(path), "%s/ferry", dir);
	(void)snprintf(lock, sizeof(lock), "%s/lock", path);
	assert_int_equal(runtime_claim(&claim, "web", false, &e), 0);
	fd = open(lock, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	fl.l_start = (off_t)(fnv1a_text("web") >> 2 & ~1ULL) + 1;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	close_fd(&claim.sock_fd);
	close_fd(&claim.lock_fd); /* as if it had been killed */
	assert_false(runtime_remove_stale(path, "web"));
	assert_int_equal(access(claim.path, F_OK), 0);
	assert_int_equal(runtime_claim(&other, "web", false, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "holds the lock of name web"));
	assert_int_equal(runtime_claim(&other, "db", false, &e), 0);
	runtime_release(&other);
	close_fd(&fd);
	assert_true(runtime_remove_stale(path, "web"));
	assert_int_not_equal(access(claim.path, F_OK), 0);
	assert_int_equal(runtime_claim(&other, "web", false, &e), 0);
	runtime_release(&other);
	(void)alarm(0);
}

/* Somebody who never accepts has the name, and holds nobody up. */
static void test_full_backlog(void **state)
{
	struct runtime_claim claim;
	int fds[64];
	unsigned nr = 0;
	struct err e;
	pid_t pid;

	(void)state;
	(void)alarm(10); /* a hang is the failure */
	assert_int_equal(runtime_claim(&claim, "web", true, &e), 0);
	while ((fds[nr] = runtime_connect("web", false, &pid, &e)) >= 0)
		assert_true(++nr < ARRAY_SIZE(fds));
	assert_int_equal(fds[nr], -EAGAIN);
	for (unsigned i = 0; i < 200; i++) /* 40 s, were there a wait */
		assert_int_equal(runtime_connect("web", true, &pid, &e), -EAGAIN);
	assert_int_equal(runtime_check_free("web", &e), -EEXIST);
	while (nr > 0)
		(void)close(fds[--nr]);
	runtime_release(&claim);
	(void)alarm(0);
}

static void test_connect_and_list(void **state)
{
	struct runtime_claim web, db;
	struct stat st;
	struct err e;
	char **names;
	pid_t pid;
	int fd;

	(void)state;
	assert_int_equal(runtime_connect("web", false, &pid, &e), -ENOENT);
	assert_int_equal(runtime_claim(&web, "web", false, &e), 0);
	assert_int_equal(runtime_claim(&db, "db", true, &e), 0);
	assert_int_equal(stat(web.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(db.path, &st), -1);
	fd = runtime_connect("web", false, &pid, &e);
	assert_true(fd >= 0);
	assert_int_equal(pid, getpid());
	(void)close(fd);
	fd = runtime_connect("db", false, &pid, &e);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(runtime_names(&names, &e), 2);
	assert_string_equal(names[0], "db");
	assert_string_equal(names[1], "web");
	runtime_free_names(names, 2);
	runtime_release(&web);
	runtime_release(&db);
	assert_int_equal(runtime_names(&names, &e), 0);
	runtime_free_names(names, 0);
}

/* A child claims the name and is killed. */
static void claim_and_die(const char *name)
{
	struct runtime_claim claim;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (runtime_claim(&claim, name, false, NULL) == 0)
			(void)raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_killed(void **state)
{
	struct runtime_claim claim;
	struct stat st;
	struct err e;
	char path[128];
	char **names;

	(void)state;
	claim_and_die("web");
	assert_int_equal(runtime_claim(&claim, "web", false, &e), 0);
	runtime_release(&claim);

	claim_and_die("web");
	(void)snprintf(path, sizeof(path), "%s/ferry/web.sock", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(runtime_names(&names, &e), 0);
	runtime_free_names(names, 0);
	assert_int_equal(stat(path, &st), -1);
}

static void test_unsafe_dir(void **state)
{
	struct runtime_claim claim;
	struct err e;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ferry", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(runtime_claim(&claim, "web", false, &e), -EPERM);
	assert_non_null(strstr(e.text, "chmod 700"));
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(runtime_claim(&claim, "web", false, &e), 0);
	runtime_release(&claim);
}

/* In a folder that others could have made, or behind a link, no file is a dead guest's. */
static void test_dir_of_others_is_left_alone(void **state)
{
	char path[128], other[128], stale[160];
	struct stat st;
	struct err e;
	char **names;

	(void)state;
	claim_and_die("web");
	(void)snprintf(path, sizeof(path), "%s/ferry", dir);
	(void)snprintf(other, sizeof(other), "%s/elsewhere", dir);
	(void)snprintf(stale, sizeof(stale), "%s/web.sock", other);
	assert_int_equal(chmod(path, 0770), 0);
	assert_int_equal(runtime_names(&names, &e), 0);
	runtime_free_names(names, 0);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(runtime_names(&names, &e), 0);
	runtime_free_names(names, 0);
	assert_int_equal(stat(stale, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(runtime_names(&names, &e), 0);
	runtime_free_names(names, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_unique, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_of_stale_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect_and_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_lock_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsafe_dir, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dir_of_others_is_left_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
