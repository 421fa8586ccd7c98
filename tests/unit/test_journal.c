// SPDX-License-Identifier: MIT
// Journals of network operations: done, undone, cut short; on the real kernel.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/managed/journal.h"
#include "net/managed/netlink.h"
#include "net/managed/nft.h"
#include "util/io.h"

struct rig {
	char dir[64], path[96];
	struct netop_env env;
	struct netlink *nl;
};

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/ferry-journal-XXXXXX");
	if (!mkdtemp(r->dir))
		return -1;
	(void)snprintf(r->path, sizeof(r->path), "%s/lab.journal", r->dir);
	if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && netlink_open(&r->nl, NULL) == 0)
		r->env = (struct netop_env){ .nl = r->nl, .dir = r->dir };
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	netlink_close(r->nl);
	(void)unlink(r->path);
	/* Nothing else may be left in it. */
	if (rmdir(r->dir) < 0)
		return -1;
	free(r);
	return 0;
}

static struct rig *need(void **state)
{
	struct rig *r = *state;

	if (!r->nl)
		skip();
	return r;
}

#define ARGS(...) ((const char *const[NETOP_ARGS]){ __VA_ARGS__ })

static void add(struct rig *r, struct journal *j, enum netop_kind kind,
		const char *const args[NETOP_ARGS], const char *text)
{
	struct err e = { 0 };
	struct netop op;

	assert_int_equal(netop_set(&op, kind, args[0], args[1], args[2], NULL), 0);
	if (journal_do(j, &r->env, &op, text, &e) < 0)
		fail_msg("%s", e.text);
}

static bool is_there(struct rig *r, const char *name)
{
	struct netlink_link link;

	return netlink_get_link(r->nl, name, &link) == 0;
}

static char read_byte(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, &c, 1), 1);
	return c;
}

#define FORWARD "/proc/sys/net/ipv4/ip_forward"

static void make_network(struct rig *r, struct journal *j)
{
	add(r, j, NETOP_BRIDGE, ARGS("br0", "ferry:lab"), NULL);
	add(r, j, NETOP_ADDR, ARGS("br0", "10.9.0.1/24"), NULL);
	add(r, j, NETOP_ROUTE, ARGS("br0", "192.0.2.7/32", "10.9.0.1"), NULL);
	add(r, j, NETOP_PROXY, ARGS("br0", "10.9.0.9"), NULL);
	add(r, j, NETOP_SYSCTL, ARGS("net/ipv4/ip_forward", "1", "lab"), NULL);
	add(r, j, NETOP_NFT, ARGS("inet ferry-lab"),
	    "table inet ferry-lab {\n set guests {\n type ipv4_addr\n }\n}\n");
	add(r, j, NETOP_ELEMENT, ARGS("inet ferry-lab", "guests", "10.9.0.9"), NULL);
}

static void check_gone(struct rig *r)
{
	assert_false(is_there(r, "br0"));
	assert_int_equal(read_byte(FORWARD), '0');
	assert_int_equal(nft_run("list table inet ferry-lab", NULL), -ENOENT);
	assert_int_equal(access(r->path, F_OK), -1);
}

static void test_do_and_undo(void **state)
{
	struct rig *r = need(state);
	struct err e = { 0 };
	struct journal *j;

	assert_int_equal(journal_create(&j, r->path, &e), 0);
	make_network(r, j);
	assert_true(is_there(r, "br0"));
	assert_int_equal(read_byte(FORWARD), '1');
	assert_int_equal(journal_undo(j, &r->env, &e), 0);
	journal_close(j);
	check_gone(r);
}

/* What one process began, another takes back: after every line, and a torn one. */
static void test_another_process(void **state)
{
	struct rig *r = need(state);
	struct err e = { 0 };
	struct journal *j;
	int fd;

	assert_int_equal(journal_create(&j, r->path, &e), 0);
	make_network(r, j);
	assert_int_equal(journal_complete(j, &e), 0);
	journal_close(j);

	fd = open(r->path, O_WRONLY | O_APPEND);
	assert_int_equal(io_write_full(fd, "[\"bridge\",\"lo", 13), 0);
	close_fd(&fd);
	assert_int_equal(journal_open(&j, r->path, &e), 0);
	assert_true(journal_is_complete(j));
	assert_int_equal(journal_nr_ops(j), 7);
	/* What comes next has a line of its own. */
	add(r, j, NETOP_MTU, ARGS("br0", "1400"), NULL);
	journal_close(j);
	assert_int_equal(journal_open(&j, r->path, &e), 0);
	assert_int_equal(journal_nr_ops(j), 8);
	assert_int_equal(journal_undo(j, &r->env, &e), 0);
	journal_close(j);
	check_gone(r);
}

/* Written down, never done: the process died in between. */
static void test_never_done(void **state)
{
	static const char lines[] = "[\"bridge\",\"br0\",\"ferry:lab\"]\n"
				    "[\"addr\",\"br0\",\"10.9.0.1/24\"]\n"
				    "[\"sysctl\",\"net/ipv4/ip_forward\",\"1\",\"lab\"]\n"
				    "[\"nft\",\"inet ferry-lab\"]\n"
				    "[\"element\",\"inet ferry-lab\",\"guests\",\"10.9.0.9\"]\n"
				    "[\"dhcp\",\"/nonexistent/dhcp\"]\n"
				    "[\"uplink\",\"eth9\",\"br0\",\"/nonexistent/uplink\"]\n"
				    "[\"file\",\"/nonexistent/file\"]\n";
	struct rig *r = need(state);
	struct err e = { 0 };
	struct journal *j;
	int fd = open(r->path, O_WRONLY | O_CREAT, 0600);

	assert_int_equal(io_write_full(fd, lines, sizeof(lines) - 1), 0);
	close_fd(&fd);
	assert_int_equal(journal_open(&j, r->path, &e), 0);
	assert_false(journal_is_complete(j));
	assert_int_equal(journal_undo(j, &r->env, &e), 0);
	journal_close(j);
	check_gone(r);
}

/* Somebody else's bridge of the same name stays. */
static void test_not_ours(void **state)
{
	struct rig *r = need(state);
	const struct netlink_bridge opt = { 0 };
	struct err e = { 0 };
	struct journal *j;
	struct netop op;

	assert_int_equal(netlink_add_bridge(r->nl, "br0", &opt), 0);
	assert_int_equal(journal_create(&j, r->path, &e), 0);
	assert_int_equal(netop_set(&op, NETOP_BRIDGE, "br0", "ferry:lab", NULL, NULL), 0);
	assert_int_equal(journal_do(j, &r->env, &op, NULL, &e), -EEXIST);
	assert_non_null(strstr(e.text, "br0"));
	assert_int_equal(journal_undo(j, &r->env, &e), 0);
	journal_close(j);
	assert_true(is_there(r, "br0"));
	assert_int_equal(netlink_del_link(r->nl, "br0"), 0);
}

/* Two networks need forwarding; the second to go switches it off. */
static void test_shared_sysctl(void **state)
{
	struct rig *r = need(state);
	struct netop one, two;
	struct err e = { 0 };

	assert_int_equal(netop_set(&one, NETOP_SYSCTL, "net/ipv4/ip_forward", "1", "a", NULL), 0);
	assert_int_equal(netop_set(&two, NETOP_SYSCTL, "net/ipv4/ip_forward", "1", "b", NULL), 0);
	assert_int_equal(netop_apply(&r->env, &one, NULL, &e), 0);
	assert_int_equal(netop_apply(&r->env, &two, NULL, &e), 0);
	assert_int_equal(netop_apply(&r->env, &two, NULL, &e), 0);
	assert_int_equal(netop_revert(&r->env, &one, &e), 0);
	assert_int_equal(read_byte(FORWARD), '1');
	assert_int_equal(netop_revert(&r->env, &two, &e), 0);
	assert_int_equal(read_byte(FORWARD), '0');
	assert_int_equal(netop_revert(&r->env, &two, &e), 0);
}

static void test_undo_one(void **state)
{
	struct rig *r = need(state);
	struct err e = { 0 };
	struct journal *j;
	struct netop op;

	assert_int_equal(journal_create(&j, r->path, &e), 0);
	make_network(r, j);
	assert_int_equal(
		netop_set(&op, NETOP_ELEMENT, "inet ferry-lab", "guests", "10.9.0.9", NULL), 0);
	assert_int_equal(journal_undo_one(j, &r->env, &op, &e), 0);
	assert_int_equal(journal_undo_one(j, &r->env, &op, &e), 0);
	journal_close(j);
	assert_int_equal(journal_open(&j, r->path, &e), 0);
	assert_int_equal(journal_nr_ops(j), 6);
	assert_int_equal(journal_undo(j, &r->env, &e), 0);
	journal_close(j);
	check_gone(r);
}

static void test_bad_files(void **state)
{
	static const char *const bad[] = { "x\n", "[]\n", "[1]\n", "[\"nosuch\"]\n", "{}\n" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		struct journal *j;
		int fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(io_write_full(fd, bad[i], strlen(bad[i])), 0);
		close_fd(&fd);
		assert_int_equal(journal_open(&j, r->path, &e), -EBADMSG);
		assert_non_null(strstr(e.text, r->path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_do_and_undo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_never_done, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared_sysctl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_undo_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_files, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
