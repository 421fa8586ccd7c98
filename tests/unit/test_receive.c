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
		cmocka_unit_test(test_reasons_are_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
