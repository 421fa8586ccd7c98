// SPDX-License-Identifier: MIT
// A plain channel: whole transfers, timeouts, cancelling, a peer that goes.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/channel.h"
#include "migration/section.h"
#include "util/clock.h"
#include "util/thread.h"

#define BIG_BYTES (8U * 1024 * 1024)

struct pair {
	struct channel *ch;
	int fd; /* the peer's end, blocking */
};

static int open_pair(struct pair *p)
{
	int fds[2];
	struct err e;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || channel_new(&p->ch, fds[0], &e) < 0)
		return -1;
	p->fd = fds[1];
	return 0;
}

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	*state = p;
	return p ? open_pair(p) : -1;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	channel_free(p->ch);
	if (p->fd >= 0)
		(void)close(p->fd);
	free(p);
	return 0;
}

static uint8_t *pattern(size_t bytes)
{
	uint8_t *buf = malloc(bytes);

	for (size_t i = 0; buf && i < bytes; i++)
		buf[i] = (uint8_t)(i * 7 + i / 251);
	return buf;
}

struct transfer {
	struct pair *p;
	uint8_t *buf;
	int rc;
};

/* The peer: reads in odd pieces. */
static void *read_all(void *opaque)
{
	struct transfer *t = opaque;
	size_t got = 0;

	while (got < BIG_BYTES) {
		size_t want = got % 70001 + 1;
		ssize_t n = read(t->p->fd, t->buf + got,
				 want < BIG_BYTES - got ? want : BIG_BYTES - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return NULL;
}

/* More than any buffer holds, from several pieces, some of them empty. */
static void test_send_is_whole(void **state)
{
	struct pair *p = *state;
	uint8_t *out = pattern(BIG_BYTES);
	struct transfer t = { .p = p, .buf = calloc(1, BIG_BYTES) };
	struct iovec iov[] = {
		{ out, 0 },
		{ out, 5 },
		{ out + 5, 0 },
		{ out + 5, BIG_BYTES - 105 },
		{ out + BIG_BYTES - 100, 100 },
		{ out, 0 },
	};
	pthread_t thread;

	assert_non_null(out);
	assert_non_null(t.buf);
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "reader", read_all, &t), 0);
	assert_int_equal(channel_sendv(p->ch, iov, ARRAY_SIZE(iov)), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_memory_equal(out, t.buf, BIG_BYTES);
	free(out);
	free(t.buf);
}

static void *write_all(void *opaque)
{
	struct transfer *t = opaque;

	for (size_t done = 0; done < BIG_BYTES;) {
		size_t want = done % 50021 + 1;
		ssize_t n = write(t->p->fd, t->buf + done,
				  want < BIG_BYTES - done ? want : BIG_BYTES - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return NULL;
}

static void test_recv_is_whole(void **state)
{
	struct pair *p = *state;
	struct transfer t = { .p = p, .buf = pattern(BIG_BYTES) };
	uint8_t *in = calloc(1, BIG_BYTES);
	struct iovec iov[] = { { in, 3 }, { in, 0 }, { in + 3, BIG_BYTES - 3 } };
	pthread_t thread;

	assert_non_null(in);
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "writer", write_all, &t), 0);
	assert_int_equal(channel_recvv(p->ch, iov, ARRAY_SIZE(iov)), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_memory_equal(in, t.buf, BIG_BYTES);
	free(in);
	free(t.buf);
}

/* A peer that says nothing, and one that reads nothing. */
static void test_timeout(void **state)
{
	struct pair *p = *state;
	uint8_t *buf = calloc(1, BIG_BYTES);
	uint64_t start = clock_now_ns();

	assert_non_null(buf);
	channel_set_timeout(p->ch, 30);
	assert_int_equal(channel_recv(p->ch, buf, 1), -ETIMEDOUT);
	assert_int_equal(channel_send(p->ch, buf, BIG_BYTES), -ETIMEDOUT);
	assert_true(clock_now_ns() - start >= 60 * NSEC_PER_MSEC);
	free(buf);
}

/* Progress is what counts: many small steps may take longer than the timeout. */
static void test_half_is_no_success(void **state)
{
	struct pair *p = *state;
	char buf[8];

	channel_set_timeout(p->ch, 30);
	assert_int_equal(write(p->fd, "1234", 4), 4);
	assert_int_equal(channel_recv(p->ch, buf, sizeof(buf)), -ETIMEDOUT);
}

static void test_peer_goes(void **state)
{
	struct pair *p = *state;
	uint8_t *buf = calloc(1, BIG_BYTES);

	assert_non_null(buf);
	assert_int_equal(write(p->fd, "1234", 4), 4);
	(void)close(p->fd);
	p->fd = -1;
	assert_int_equal(channel_recv(p->ch, buf, 4), 0);
	assert_int_equal(channel_recv(p->ch, buf, 4), -ECONNRESET);
	/* No SIGPIPE: we would not be here. */
	assert_int_equal(channel_send(p->ch, buf, BIG_BYTES), -EPIPE);
	free(buf);
}

static void *wait_for_byte(void *opaque)
{
	struct transfer *t = opaque;
	uint8_t byte;

	t->rc = channel_recv(t->p->ch, &byte, 1);
	return NULL;
}

/* A transfer that waits without limit ends, and later ones fail at once. */
static void test_cancel(void **state)
{
	struct pair *p = *state;
	struct transfer t = { .p = p };
	pthread_t thread;
	char byte = 1;

	channel_set_timeout(p->ch, 0);
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "waiter", wait_for_byte, &t), 0);
	channel_cancel(p->ch);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.rc, -ECANCELED);
	assert_int_equal(write(p->fd, "1", 1), 1);
	assert_int_equal(channel_recv(p->ch, &byte, 1), -ECANCELED);
	assert_int_equal(channel_send(p->ch, &byte, 1), -ECANCELED);
}

/* --- sections --- */

static void test_sections(void **state)
{
	static const char text[] = "{\"a\":1}";
	struct pair *p = *state;
	struct channel *peer;
	struct section s;
	struct err e;

	assert_int_equal(channel_new(&peer, dup(p->fd), &e), 0);
	assert_int_equal(section_send(peer, SECTION_OPTIONAL | 0x1234, 0, "new", 3, &e), 0);
	assert_int_equal(section_send(peer, SECTION_HELLO, 0, text, strlen(text), &e), 0);
	assert_int_equal(section_send(peer, SECTION_END, 7, NULL, 0, &e), 0);
	assert_int_equal(section_recv(p->ch, &s, &e), 0);
	assert_int_equal(s.type, SECTION_HELLO);
	assert_int_equal(s.bytes, strlen(text));
	assert_string_equal(s.payload, text); /* a NUL follows */
	section_fini(&s);
	assert_int_equal(section_recv(p->ch, &s, &e), 0);
	assert_int_equal(s.type, SECTION_END);
	assert_int_equal(s.id, 7);
	section_fini(&s);
	channel_free(peer);
}

/* Every prefix ends in "hung up", every changed byte is found, nothing is leaked. */
static void test_damaged_sections(void **state)
{
	static const char word[] = { 'h', 'e', 'l', 'l', 'o' };
	uint8_t wire[SECTION_HEADER_BYTES + sizeof(word)], bad[sizeof(wire)];
	struct section s;
	struct err e;

	(void)state;
	section_seal(wire, SECTION_HELLO, 3, word, sizeof(word));
	memcpy(wire + SECTION_HEADER_BYTES, word, sizeof(word));
	for (size_t i = 0; i < 2 * sizeof(wire); i++) {
		size_t len = i < sizeof(wire) ? i : sizeof(wire);
		struct pair p = { 0 };
		int rc;

		memcpy(bad, wire, sizeof(wire));
		if (i >= sizeof(wire))
			bad[i - sizeof(wire)] ^= 0x10;
		assert_int_equal(open_pair(&p), 0);
		assert_int_equal(write(p.fd, bad, len), len);
		(void)close(p.fd);
		rc = section_recv(p.ch, &s, &e);
		assert_true(rc < 0);
		if (i < sizeof(wire))
			assert_int_equal(rc, -ECONNRESET);
		channel_free(p.ch);
	}
}

/* A peer that sends nothing but what may be skipped gets tired first. */
static void test_endless_optional(void **state)
{
	uint8_t header[SECTION_HEADER_BYTES];
	struct pair *p = *state;
	struct section s;
	struct err e;

	section_seal(header, SECTION_OPTIONAL | 1, 0, NULL, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(write(p->fd, header, sizeof(header)), sizeof(header));
	assert_int_equal(section_recv(p->ch, &s, &e), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_send_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recv_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_is_no_success, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sections, setup, teardown),
		cmocka_unit_test(test_damaged_sections),
		cmocka_unit_test_setup_teardown(test_endless_optional, setup, teardown),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
