// SPDX-License-Identifier: MIT
// Addresses: parsing, connecting, listening; and who may come from where.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/address.h"
#include "migration/allow.h"
#include "util/io.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/ferry-test-address-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir); /* fails if anything is left */
}

static void test_parse(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		const char *path;
	} good[] = {
		{ "tcp:host2:8002", "host2", 8002, "" },
		{ "tcp:0.0.0.0:0", "0.0.0.0", 0, "" },
		{ "tcp:[::]:65535", "::", 65535, "" },
		{ "tcp:[fe80::1%eth0]:1", "fe80::1%eth0", 1, "" },
		{ "unix:/run/x.sock", "", 0, "/run/x.sock" },
		{ "unix:a:b", "", 0, "a:b" },
	};
	static const char *const bad[] = {
		"",          "tcp:",           "tcp:host",  "tcp:host:",
		"tcp::1",    "tcp:h:65536",    "tcp:h:1x",  "tcp:h:-1",
		"tcp:h: 1",  "tcp:fd00::1:80", "tcp:[::1]", "tcp:[::1]80",
		"tcp:[]:80", "tcp:[[]:0",      "tcp:a]:1",  "tcp:[::1:80",
		"unix:",     "host:80",        "udp:h:1",   "tcp:h:99999999999999999999",
	};
	struct address a;
	char shown[300];
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(address_parse(&a, good[i].text, &e), 0);
		assert_string_equal(a.host, good[i].host);
		assert_int_equal(a.port, good[i].port);
		assert_string_equal(a.path, good[i].path);
		address_show(&a, shown, sizeof(shown));
		assert_string_equal(shown, good[i].text);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		e.text[0] = '\0';
		assert_int_equal(address_parse(&a, bad[i], &e), -EINVAL);
		assert_true(e.text[0]);
	}
}

static void test_parse_long(void **state)
{
	char text[600];
	struct address a;
	struct err e;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:", 5);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(address_parse(&a, text, &e), -EINVAL);
	memcpy(text, "tcp:a", 5);
	memcpy(text + 500, ":80", 4);
	assert_int_equal(address_parse(&a, text, &e), -EINVAL);
}

/* Listen at @text, connect there, and see both ends agree about who they are. */
static void round_trip(const char *text, const char *peer)
{
	struct address_listener l;
	_cleanup_close_ int fd = -1;
	_cleanup_close_ int in = -1;
	struct address a;
	char shown[300];
	struct err e;

	assert_int_equal(address_parse(&a, text, &e), 0);
	assert_int_equal(address_listen(&l, &a, &e), 0);
	assert_int_equal(address_parse(&a, l.shown, &e), 0); /* with the port in it */
	fd = address_connect(&a, 1000, -1, &e);
	assert_true(fd >= 0);
	in = accept(l.fds[0], NULL, NULL);
	assert_true(in >= 0);
	address_of_peer(in, shown, sizeof(shown));
	assert_memory_equal(shown, peer, strlen(peer));
	address_unlisten(&l);
	close_fd(&fd);
	assert_true(address_connect(&a, 1000, -1, &e) < 0);
	assert_non_null(strstr(e.text, "ferry receive"));
}

static void test_tcp(void **state)
{
	(void)state;
	round_trip("tcp:127.0.0.1:0", "tcp 127.0.0.1:");
	round_trip("tcp:localhost:0", "tcp ");
}

static void test_unix(void **state)
{
	char text[128];

	(void)state;
	(void)snprintf(text, sizeof(text), "unix:%s/sock", dir);
	round_trip(text, "unix");
}

static void test_port_in_use(void **state)
{
	struct address_listener first, second;
	struct address a;
	struct err e;

	(void)state;
	assert_int_equal(address_parse(&a, "tcp:127.0.0.1:0", &e), 0);
	assert_int_equal(address_listen(&first, &a, &e), 0);
	assert_int_equal(address_parse(&a, first.shown, &e), 0);
	assert_int_equal(address_listen(&second, &a, &e), -EADDRINUSE);
	assert_int_equal(second.nr, 0);
	address_unlisten(&first);
}

/* A dead socket is replaced; a living one, a file, and somebody else's never. */
static void test_stale_socket(void **state)
{
	struct address_listener dead, living, l;
	struct address a = { .kind = ADDRESS_UNIX };
	struct stat st;
	struct err e;
	int fd;

	(void)state;
	(void)snprintf(a.path, sizeof(a.path), "%s/sock", dir);
	assert_int_equal(address_listen(&dead, &a, &e), 0);
	(void)close(dead.fds[0]); /* the process has died: the file stays */
	assert_int_equal(address_listen(&living, &a, &e), 0);
	assert_int_equal(stat(a.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(address_listen(&l, &a, &e), -EADDRINUSE);
	assert_int_equal(stat(a.path, &st), 0);
	address_unlisten(&living);
	assert_int_equal(access(a.path, F_OK), -1);

	fd = open(a.path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(address_listen(&l, &a, &e), -EADDRINUSE);
	assert_int_equal(unlink(a.path), 0);
	(void)snprintf(a.path, sizeof(a.path), "%s/no/sock", dir);
	assert_int_equal(address_listen(&l, &a, &e), -ENOENT);
}

/* What has taken our file's place is not ours to remove. */
static void test_unlisten_checks(void **state)
{
	struct address_listener l;
	struct address a = { .kind = ADDRESS_UNIX };
	struct err e;
	int fd;

	(void)state;
	(void)snprintf(a.path, sizeof(a.path), "%s/sock", dir);
	assert_int_equal(address_listen(&l, &a, &e), 0);
	assert_int_equal(unlink(a.path), 0);
	fd = open(a.path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	address_unlisten(&l);
	assert_int_equal(access(a.path, F_OK), 0);
	(void)close(fd);
	assert_int_equal(unlink(a.path), 0);
}

static void test_connect_cancel(void **state)
{
	struct address_listener l;
	struct address a = { .kind = ADDRESS_UNIX };
	int fds[512], fd;
	unsigned nr = 0;
	struct err e;
	int cancel = eventfd(1, EFD_CLOEXEC);

	(void)state;
	(void)snprintf(a.path, sizeof(a.path), "%s/sock", dir);
	assert_int_equal(address_listen(&l, &a, &e), 0);
	/* Nobody accepts: at some point the queue is full. */
	while ((fd = address_connect(&a, 0, -1, &e)) >= 0 && nr < ARRAY_SIZE(fds))
		fds[nr++] = fd;
	assert_int_equal(fd, -ETIMEDOUT);
	assert_int_equal(address_connect(&a, 60000, cancel, &e), -ECANCELED);
	while (nr)
		(void)close(fds[--nr]);
	(void)close(cancel);
	address_unlisten(&l);
}

static void test_unknown_host(void **state)
{
	struct address a;
	struct err e;

	(void)state;
	assert_int_equal(address_parse(&a, "tcp:no.such.host.invalid:1", &e), 0);
	assert_int_equal(address_connect(&a, 1000, -1, &e), -EHOSTUNREACH);
	assert_non_null(strstr(e.text, "no.such.host.invalid"));
}

/* --- the allow-list --- */

static bool allowed(const struct allow *allow, const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return allow_address(allow, (const struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return allow_address(allow, (const struct sockaddr *)&in6);
}

static void test_allow(void **state)
{
	static const struct {
		const char *rule, *address;
		bool allowed;
	} cases[] = {
		{ NULL, "127.0.0.1", true },
		{ NULL, "127.255.255.254", true },
		{ NULL, "128.0.0.1", false },
		{ NULL, "::1", true },
		{ NULL, "::2", false },
		{ NULL, "::ffff:127.0.0.1", true },
		{ NULL, "10.0.0.1", false },
		{ "10.1.0.0/16", "10.1.255.255", true },
		{ "10.1.0.0/16", "10.2.0.0", false },
		{ "10.1.0.0/16", "::ffff:10.1.2.3", true },
		{ "10.1.0.0/16", "127.0.0.1", false },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3", "10.1.2.2", false },
		{ "10.1.2.2/31", "10.1.2.3", true },
		{ "10.1.2.3/32", "10.1.2.2", false },
		{ "0.0.0.0/0", "192.0.2.1", true },
		{ "0.0.0.0/0", "fd00::1", false },
		{ "::/0", "fd00::1", true },
		{ "::/0", "10.0.0.1", true },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "fd00::1", "fd00::1", true },
		{ "::ffff:10.0.0.0/104", "10.9.9.9", true },
		{ "localhost", "127.0.0.1", true },
		{ "localhost", "127.0.0.2", false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct allow *allow;
		struct err e;

		assert_int_equal(allow_new(&allow, &cases[i].rule, cases[i].rule ? 1 : 0, &e), 0);
		assert_int_equal(allowed(allow, cases[i].address), cases[i].allowed);
		allow_free(allow);
	}
}

static void test_allow_refuses(void **state)
{
	static const char *const bad[] = {
		"10.1.2.3/16", "10.0.0.0/33", "fd00::/129", "10.0.0.0/",       "10.0.0.0/x",
		"10.0.0.0/8x", "host/8",      "/8",         "10.0.0.0/-1",     "10.0.0.0/ 8",
		"fd00::1/64",  "10.0.0/8",    "",           "no.such.invalid",
	};
	struct allow *allow;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		e.text[0] = '\0';
		assert_true(allow_new(&allow, &bad[i], 1, &e) < 0);
		assert_true(e.text[0]);
	}
}

/* A UNIX socket of our own user: welcome, whatever the rules say. */
static void test_allow_unix(void **state)
{
	static const char *const rule = "192.0.2.1";
	struct allow *allow;
	struct err e;
	int fds[2];

	(void)state;
	assert_int_equal(allow_new(&allow, &rule, 1, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(allow_peer(allow, fds[0]));
	(void)close(fds[1]);
	(void)close(fds[0]);
	allow_free(allow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_long),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_unlisten_checks),
		cmocka_unit_test(test_connect_cancel),
		cmocka_unit_test(test_unknown_host),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_allow_refuses),
		cmocka_unit_test(test_allow_unix),
	};

	return cmocka_run_group_tests_name("address", tests, setup, teardown);
}
