// SPDX-License-Identifier: MIT
// What the listener of `ferry receive` tells a source, and what it believes of its processes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/move/receive_impl.h"

/* Nobody may be told "never" by a process that may still run it, nor "running" by one that
 * may still give it back. */
static void test_answers(void **state)
{
	static const struct {
		enum session_state state;
		bool ended;
		enum handover_answer answer;
	} cases[] = {
		{ SESSION_KNOCKS, false, HANDOVER_WAIT },
		{ SESSION_COMES, false, HANDOVER_WAIT },
		{ SESSION_COMES, true, HANDOVER_NEVER },
		{ SESSION_COMMITTED, false, HANDOVER_WAIT },
		{ SESSION_COMMITTED, true, HANDOVER_RUNNING },
		{ SESSION_RUNS, false, HANDOVER_RUNNING },
		{ SESSION_RUNS, true, HANDOVER_RUNNING },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct session s = { .state = cases[i].state, .ended = cases[i].ended };

		if (session_answer(&s) != cases[i].answer)
			fail_msg("case %zu: %d", i, session_answer(&s));
	}
}

/* What guests under way may come to use is kept for them; those that run do not count. */
static void test_promised_memory(void **state)
{
	static const struct {
		struct session session;
		uint64_t promised; /* in TiB, of the other's point of view */
	} cases[] = {
		{ { .state = SESSION_COMES, .reserved_bytes = 2048 * GIB }, 2 },
		{ { .state = SESSION_COMMITTED, .reserved_bytes = 1024 * GIB }, 1 },
		{ { .state = SESSION_RUNS, .reserved_bytes = 4096 * GIB }, 0 },
		{ { .state = SESSION_COMES, .reserved_bytes = 4096 * GIB, .ended = true }, 0 },
		{ { .state = SESSION_COMES }, 0 },
	};
	struct receiver r = { 0 };
	struct session sessions[ARRAY_SIZE(cases)], newcomer = { .r = &r };
	uint64_t bytes;

	(void)state;
	TAILQ_INIT(&r.sessions);
	TAILQ_INSERT_TAIL(&r.sessions, &newcomer, link);
	newcomer.reserved_bytes = 4096 * GIB; /* its own does not count */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		sessions[i] = cases[i].session;
		TAILQ_INSERT_TAIL(&r.sessions, &sessions[i], link);
		assert_int_equal(session_promised_bytes(&newcomer), cases[i].promised * 1024 * GIB);
		TAILQ_REMOVE(&r.sessions, &sessions[i], link);
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		TAILQ_INSERT_TAIL(&r.sessions, &sessions[i], link);
	assert_int_equal(session_promised_bytes(&newcomer), 3072 * GIB);
	/* What a process has already, it takes out of what is left. */
	sessions[0].pid = getpid();
	bytes = session_promised_bytes(&newcomer);
	assert_true(bytes < 3072 * GIB && bytes > 3000 * GIB);
	sessions[1].pid = getpid();
	sessions[1].reserved_bytes = 1; /* less than it has: nothing */
	assert_true(session_promised_bytes(&newcomer) < 2048 * GIB);
}

/* A reason may quote a peer: what would move a cursor or is no UTF-8 does not get through. */
static void test_reasons_are_clean(void **state)
{
	struct receive_msg msg = { .kind = RECEIVE_FAILED }, got;
	int socks[2], fd;

	(void)state;
	(void)snprintf(msg.text, sizeof(msg.text), "no '\033[2J\n\xff' here");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks), 0);
	assert_int_equal(receive_msg_send(socks[0], &msg, -1), 0);
	assert_int_equal(receive_msg_recv(socks[1], &got, &fd), 1);
	assert_int_equal(fd, -1);
	assert_string_equal(got.text, "no '?[2J?\?' here");
	(void)close(socks[0]);
	(void)close(socks[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_promised_memory),
		cmocka_unit_test(test_reasons_are_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
