// SPDX-License-Identifier: MIT
// What ferry and ferry-net say to each other: strict texts, descriptors that arrive or are dropped.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/network/attach_msg.h"

/* clang-format would put the backslashes beyond column 100 */
/* clang-format off */
#define GOOD \
	"{\"kind\":\"network\",\"name\":\"lab\",\"bridge\":\"\",\"mode\":\"\"," \
	"\"guest\":\"web\",\"nic\":1,\"queues\":2,\"mtu\":1400,\"vlan\":7," \
	"\"unfiltered\":true,\"trial\":false,\"mac\":\"02:00:00:00:00:01\"," \
	"\"ip\":\"10.0.0.5\",\"ip6\":\"fd00::5\"}"
/* clang-format on */

static void test_request_round_trip(void **state)
{
	struct attach_request req;
	char text[ATTACH_MSG_BYTES];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(attach_request_parse(GOOD, strlen(GOOD), &req, &e), 0);
	assert_int_equal(req.kind, ATTACH_NETWORK);
	assert_string_equal(req.name, "lab");
	assert_string_equal(req.guest, "web");
	assert_int_equal(req.nic, 1);
	assert_int_equal(req.queues, 2);
	assert_int_equal(req.vlan, 7);
	assert_true(req.unfiltered);
	assert_int_equal(req.v4.family, AF_INET);
	assert_int_equal(req.v6.family, AF_INET6);
	assert_int_equal(attach_request_format(&req, text), 0);
	assert_string_equal(text, GOOD);
}

/* GOOD with @from replaced by @to. */
static int parse_with(const char *from, const char *to)
{
	const char *at = strstr(GOOD, from);
	struct attach_request req;
	char text[ATTACH_MSG_BYTES];
	struct err e = { 0 };
	int rc;

	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - GOOD), GOOD, to,
		       at + strlen(from));
	rc = attach_request_parse(text, strlen(text), &req, &e);
	assert_true(rc == 0 || e.text[0]);
	return rc;
}

static void test_bad_requests(void **state)
{
	static const char *const cases[][2] = {
		{ "\"kind\":\"network\"", "\"kind\":\"root\"" },
		{ "\"lab\"", "\"../lab\"" },
		{ "\"lab\"", "\"LAB\"" },
		{ "\"lab\"", "\"\"" },
		{ "\"lab\"", "\"a-name-that-is-too-long\"" },
		{ "\"lab\"", "7" },
		{ "\"bridge\":\"\"", "\"bridge\":\"a/b\"" },
		{ "\"bridge\":\"\"", "\"bridge\":\"sixteen-bytes-xx\"" },
		{ "\"mode\":\"\"", "\"mode\":\"vepa\"" },
		{ "\"kind\":\"network\"", "\"kind\":\"macvtap\"" },
		{ "\"web\"", "\"../web\"" },
		{ "\"web\"", "\"w@b\"" },
		{ "\"web\"", "\"web\\u0000\"" },
		{ "\"web\"", "\".web\"" },
		{ "\"nic\":1", "\"nic\":-1" },
		{ "\"nic\":1", "\"nic\":256" },
		{ "\"queues\":2", "\"queues\":0" },
		{ "\"queues\":2", "\"queues\":17" },
		{ "\"queues\":2", "\"queues\":99999999999" },
		{ "1400", "67" },
		{ "1400", "70000" },
		{ "\"vlan\":7", "\"vlan\":4095" },
		{ "02:00:00:00:00:01", "03:00:00:00:00:01" },
		{ "02:00:00:00:00:01", "" },
		{ "10.0.0.5", "10.0.0.5/24" },
		{ "10.0.0.5", "fd00::5" },
		{ "fd00::5", "10.0.0.5" },
		{ "\"vlan\":7,", "" },
		{ "\"vlan\":7", "\"vlan\":7,\"vlan\":8" },
		{ "\"vlan\":7", "\"vlan\":7,\"more\":8" },
		{ "}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(parse_with(cases[i][0], cases[i][1]), -EINVAL);
	assert_int_equal(parse_with("1400", "0"), 0);
}

static void test_answers(void **state)
{
	struct attach_answer said = { .interface = "ferry0", .mtu = 1500 }, heard;
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"code\":1,\"error\":\"\",\"interface\":\"\",\"mtu\":0}",
		"{\"code\":0,\"error\":\"\",\"interface\":\"sixteen-bytes-xx\",\"mtu\":0}",
		"{\"code\":0,\"error\":\"\",\"interface\":\"a\",\"mtu\":65536}"
	};
	char text[ATTACH_MSG_BYTES];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(attach_answer_format(&said, text), 0);
	assert_int_equal(attach_answer_parse(text, strlen(text), &heard, &e), 0);
	assert_string_equal(heard.interface, "ferry0");
	assert_int_equal(heard.e.code, 0);
	/* Whatever the reason says, it must get through. */
	(void)err_set(&said.e, -EADDRINUSE, "file \xff\xfe is bad");
	assert_int_equal(attach_answer_format(&said, text), 0);
	assert_int_equal(attach_answer_parse(text, strlen(text), &heard, &e), 0);
	assert_int_equal(heard.e.code, -EADDRINUSE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(attach_answer_parse(bad[i], strlen(bad[i]), &heard, &e), -EPROTO);
}

static void test_descriptors(void **state)
{
	int pair[2], fds[ATTACH_MAX_FDS], given[3];
	char text[ATTACH_MSG_BYTES];
	unsigned nr;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		given[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(given[i] >= 0);
	}
	assert_int_equal(attach_send(pair[0], "abc", given, 3), 0);
	assert_int_equal(attach_receive(pair[1], -1, text, fds, ATTACH_MAX_FDS, &nr), 3);
	assert_int_equal(nr, 3);
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		(void)close(fds[i]);
	}
	/* More than the receiver wants: none is left open. */
	assert_int_equal(attach_send(pair[0], "abc", given, 3), 0);
	assert_int_equal(attach_receive(pair[1], -1, text, fds, 2, &nr), -EPROTO);
	assert_int_equal(nr, 0);
	assert_int_equal(fcntl(fds[2], F_GETFD), -1);
	assert_int_equal(attach_send(pair[0], "abc", given, 3), 0);
	assert_int_equal(attach_receive(pair[1], -1, text, NULL, 0, &nr), 3);
	assert_int_equal(attach_send(pair[0], "abc", given, ATTACH_MAX_FDS + 1), -E2BIG);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		(void)close(given[i]);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void test_packets(void **state)
{
	char text[ATTACH_MSG_BYTES], large[ATTACH_MSG_BYTES + 1];
	unsigned nr;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(attach_receive(pair[1], 1, text, NULL, 0, &nr), -ETIMEDOUT);
	memset(large, 'x', sizeof(large));
	assert_int_equal(send(pair[0], large, sizeof(large), 0), sizeof(large));
	assert_int_equal(attach_receive(pair[1], -1, text, NULL, 0, &nr), -EPROTO);
	(void)close(pair[0]);
	assert_int_equal(attach_receive(pair[1], -1, text, NULL, 0, &nr), 0);
	assert_int_equal(attach_send(pair[1], "abc", NULL, 0), -EPIPE);
	(void)close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_round_trip),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_packets),
	};

	return cmocka_run_group_tests_name("attach_msg", tests, NULL, NULL);
}
