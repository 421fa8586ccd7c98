// SPDX-License-Identifier: MIT
// The connections for memory of a guest that comes: whose they are, and that none holds up others.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/channel.h"
#include "migration/tls.h"
#include "tls_rig.h"
#include "util/clock.h"
#include "util/compiler.h"
#include "util/thread.h"
#include "vmm/move/receive_streams.h"

#define STREAMS 4U

static const struct ticket ticket = { .ask = { 1, 2, 3 }, .answer = { 4, 5, 6 } };

/* A session with a control connection, plain. */
struct rig {
	struct receive_streams *streams;
	struct channel *control, *peer;
};

static void channel_pair(struct channel **a, struct channel **b)
{
	struct err e;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(channel_new(a, fds[0], &e), 0);
	assert_int_equal(channel_new(b, fds[1], &e), 0);
}

static void rig_init(struct rig *r, unsigned expected)
{
	channel_pair(&r->control, &r->peer);
	assert_int_equal(receive_streams_new(&r->streams, r->control, NULL, &ticket), 0);
	if (expected)
		receive_streams_expect(r->streams, expected);
}

static void rig_fini(struct rig *r)
{
	receive_streams_free(r->streams);
	channel_free(r->control);
	channel_free(r->peer);
}

/* A connection as stream @index; returns the peer's end. */
static int offer(struct rig *r, unsigned index)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	receive_streams_offer(r->streams, fds[0], index);
	return fds[1];
}

static void show(int fd, const struct ticket *t)
{
	assert_int_equal(send(fd, t->ask, sizeof(t->ask), MSG_NOSIGNAL), sizeof(t->ask));
}

/* It is hung up on. */
static void is_refused(int fd)
{
	char byte;

	assert_true(recv(fd, &byte, 1, 0) <= 0);
	(void)close(fd);
}

static void take(struct rig *r, unsigned index, const char *expected)
{
	struct channel *ch = NULL;
	char byte = 0;
	struct err e;

	assert_int_equal(receive_streams_take(r->streams, index, &ch, &e), 0);
	assert_int_equal(channel_recv(ch, &byte, 1), 0);
	assert_int_equal(byte, *expected);
	channel_free(ch);
}

static void test_in_any_order(void **state)
{
	struct rig r;
	int fds[STREAMS];

	(void)state;
	rig_init(&r, STREAMS);
	for (unsigned i = STREAMS; i-- > 0;) {
		fds[i] = offer(&r, i);
		show(fds[i], &ticket);
		assert_int_equal(send(fds[i], &"abcd"[i], 1, 0), 1);
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		take(&r, i, &"abcd"[i]);
		(void)close(fds[i]);
	}
	rig_fini(&r);
}

/* A stranger knows the session's id alone; who has the ticket can still be wrong. */
static void test_refused(void **state)
{
	struct ticket other = ticket;
	struct channel *ch;
	struct rig r;
	struct err e;
	int first, fd;

	(void)state;
	other.ask[TICKET_BYTES - 1] ^= 0x80;
	rig_init(&r, STREAMS);
	fd = offer(&r, 0);
	show(fd, &other);
	is_refused(fd);
	fd = offer(&r, STREAMS); /* there is none */
	show(fd, &ticket);
	is_refused(fd);
	assert_int_equal(receive_streams_take(r.streams, STREAMS, &ch, &e), -EINVAL);
	first = offer(&r, 1);
	show(first, &ticket);
	assert_int_equal(send(first, "x", 1, 0), 1);
	take(&r, 1, "x");
	fd = offer(&r, 1); /* again */
	show(fd, &ticket);
	is_refused(fd);
	(void)close(first);
	rig_fini(&r);
}

static void test_none_before_it_is_known_how_many(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_init(&r, 0);
	fd = offer(&r, 0);
	show(fd, &ticket);
	is_refused(fd);
	rig_fini(&r);
}

/* More connections that say nothing than there is room for: the right one is let in at once. */
static void test_silent_crowd(void **state)
{
	int crowd[2 * RECEIVE_MAX_ARRIVALS];
	uint64_t start_ns = clock_now_ns();
	struct rig r;
	int fd;

	(void)state;
	rig_init(&r, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(crowd); i++)
		crowd[i] = offer(&r, 0);
	fd = offer(&r, 0);
	show(fd, &ticket);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	take(&r, 0, "x");
	is_refused(crowd[0]); /* who came first had to go */
	(void)close(fd);
	rig_fini(&r); /* waits for none of them */
	assert_true(clock_now_ns() - start_ns < 4 * NSEC_PER_SEC);
	for (unsigned i = 1; i < ARRAY_SIZE(crowd); i++)
		(void)close(crowd[i]);
}

static void test_close_ends_the_wait(void **state)
{
	struct channel *ch;
	struct rig r;
	struct err e;

	(void)state;
	rig_init(&r, 1);
	receive_streams_close(r.streams);
	assert_int_equal(receive_streams_take(r.streams, 0, &ch, &e), -ECANCELED);
	rig_fini(&r);
}

/* --- TLS --- */

struct server {
	struct channel *ch;
	const struct tls_credentials *creds;
	int rc;
};

static void *serve(void *opaque)
{
	struct server *s = opaque;
	struct err e;

	s->rc = channel_start_tls(s->ch, s->creds, 1, NULL, &e);
	return NULL;
}

static struct tls_credentials *load(const struct tls_rig *files, const char *name, bool server)
{
	const struct tls_files f = {
		.cert = tls_rig_path(files, name, ".pem"),
		.key = tls_rig_path(files, name, ".key"),
		.ca = tls_rig_path(files, "ca", ".pem"),
	};
	struct tls_credentials *creds = NULL;
	struct err e;

	assert_int_equal(tls_credentials_new(&creds, &f, server, &e), 0);
	return creds;
}

/* The peer's end of a connection, with TLS as @creds. */
static struct channel *connect_as(struct rig *r, const struct tls_credentials *creds)
{
	struct channel *ch;
	struct err e;

	assert_int_equal(channel_new(&ch, offer(r, 0), &e), 0);
	assert_int_equal(channel_start_tls(ch, creds, 0, NULL, &e), 0);
	assert_int_equal(channel_send(ch, ticket.ask, sizeof(ticket.ask)), 0);
	return ch;
}

/* One who stalls in his handshake holds up nobody, nor does another host's certificate do. */
static void test_tls(void **state)
{
	static const char *const names[] = { "host1", "host2", "host3" };
	struct tls_credentials *here, *there, *other;
	struct channel *good, *bad;
	struct tls_rig files = { .dir = "" };
	uint64_t start_ns;
	struct server s;
	pthread_t thread;
	struct rig r;
	struct err e;
	int stalled;
	char byte;

	(void)state;
	tls_rig_init(&files);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		tls_rig_make(&files, &(struct tls_rig_cert){ .name = names[i], .issuer = "ca" });
	here = load(&files, "host2", true);
	there = load(&files, "host1", false);
	other = load(&files, "host3", false);
	channel_pair(&r.control, &r.peer);
	s = (struct server){ .ch = r.control, .creds = here };
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "server", serve, &s), 0);
	assert_int_equal(channel_start_tls(r.peer, there, 0, NULL, &e), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(s.rc, 0);
	assert_int_equal(receive_streams_new(&r.streams, r.control, here, &ticket), 0);
	receive_streams_expect(r.streams, 1);
	start_ns = clock_now_ns();
	stalled = offer(&r, 0);
	bad = connect_as(&r, other);
	assert_true(channel_recv(bad, &byte, 1) < 0);
	good = connect_as(&r, there);
	assert_int_equal(channel_send(good, "x", 1), 0);
	take(&r, 0, "x");
	assert_true(clock_now_ns() - start_ns < 4 * NSEC_PER_SEC);
	channel_free(bad);
	channel_free(good);
	(void)close(stalled);
	rig_fini(&r);
	tls_credentials_free(here);
	tls_credentials_free(there);
	tls_credentials_free(other);
	tls_rig_fini(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_any_order),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_none_before_it_is_known_how_many),
		cmocka_unit_test(test_silent_crowd),
		cmocka_unit_test(test_close_ends_the_wait),
		cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
