// SPDX-License-Identifier: MIT
// Threads: what they are called, and what they hear of their own mistakes.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "util/thread.h"

#define HEARD 42

static const int own_mistakes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };

static void run(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(thread_start(&thread, THREAD_IO, "tested", fn, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *get_mask(void *ret)
{
	(void)pthread_sigmask(SIG_BLOCK, NULL, ret);
	return NULL;
}

static bool is_own_mistake(int sig)
{
	for (unsigned i = 0; i < ARRAY_SIZE(own_mistakes); i++) {
		if (own_mistakes[i] == sig)
			return true;
	}
	return false;
}

/* From 32 on up there are glibc's own, which it lets nobody block. */
static void test_blocks_the_rest(void **state)
{
	sigset_t mask, before, after;

	(void)state;
	(void)get_mask(&before);
	run(get_mask, &mask);
	for (int sig = 1; sig < 32; sig++) {
		if (sig != SIGKILL && sig != SIGSTOP)
			assert_int_equal(sigismember(&mask, sig), !is_own_mistake(sig));
	}
	(void)get_mask(&after);
	for (int sig = 1; sig < 32; sig++)
		assert_int_equal(sigismember(&after, sig), sigismember(&before, sig));
}

static void on_mistake(int sig)
{
	_exit(HEARD + sig);
}

static void *blunder(void *sig)
{
	(void)raise(*(const int *)sig);
	return NULL;
}

static void *touch_nothing(void *addr)
{
	*(volatile char *)addr = 1;
	return NULL;
}

/* In a process of its own, which ends by the handler or not at all as it should. */
static int status_of(void *(*fn)(void *), void *arg, int sig)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(sig, on_mistake);
		run(fn, arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_handlers_run(void **state)
{
	void *addr;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(own_mistakes); i++) {
		int sig = own_mistakes[i];

		assert_int_equal(status_of(blunder, &sig, sig), HEARD + sig);
	}
	addr = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(addr, MAP_FAILED);
	assert_int_equal(status_of(touch_nothing, addr, SIGSEGV), HEARD + SIGSEGV);
	(void)munmap(addr, 1);
}

static void *get_names(void *ret)
{
	char(*names)[16] = ret;

	(void)prctl(PR_GET_NAME, names[0]);
	(void)snprintf(names[1], sizeof(names[1]), "%s", thread_own_name());
	return NULL;
}

static void test_name(void **state)
{
	char names[2][16];

	(void)state;
	run(get_names, names);
	assert_string_equal(names[0], "tested");
	assert_string_equal(names[1], "tested");
	assert_string_equal(thread_own_name(), "main");
}

static void *do_nothing(void *arg)
{
	return arg;
}

/* What a thread of class IO hears when it starts one of each class. */
static void *start_others(void *ret)
{
	int *rcs = ret;

	for (int i = 0; i < THREAD_NR_CLASSES; i++) {
		pthread_t thread;

		rcs[i] = thread_start(&thread, (enum thread_class)i, "other", do_nothing, NULL);
		if (rcs[i] == 0)
			(void)pthread_join(thread, NULL);
	}
	return NULL;
}

static void test_starts_its_like(void **state)
{
	int rcs[THREAD_NR_CLASSES];

	(void)state;
	run(start_others, rcs);
	for (int i = 0; i < THREAD_NR_CLASSES; i++)
		assert_int_equal(rcs[i], i == THREAD_IO ? 0 : -EPERM);
	(void)start_others(rcs);
	for (int i = 0; i < THREAD_NR_CLASSES; i++)
		assert_int_equal(rcs[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_the_rest),
		cmocka_unit_test(test_handlers_run),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_starts_its_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
