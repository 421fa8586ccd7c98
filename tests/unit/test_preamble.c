// SPDX-License-Identifier: MIT
// The first words on a connection: bytes, refusals, questions.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/preamble.h"
#include "util/io.h"
#include "util/thread.h"

static const struct preamble sample = {
	.version = TELEPORT_VERSION,
	.role = PREAMBLE_STREAM,
	.flags = PREAMBLE_TLS,
	.stream = 7,
	.session = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
};

/* As docs/teleport.md has it. */
static void test_bytes(void **state)
{
	static const uint8_t expected[PREAMBLE_BYTES] = {
		'F', 'E', 'R', 'R', 'Y', 'T', 'P', 0, 1, 0,  1,  0,  1,  7,  0,  0,
		1,   2,   3,   4,   5,   6,   7,   8, 9, 10, 11, 12, 13, 14, 15, 16,
	};
	static const uint8_t busy[PREAMBLE_REPLY_BYTES] = {
		'F', 'E', 'R', 'R', 'Y', 'T', 'P', 0, 1, 0, 5, 0,
	};
	uint8_t buf[PREAMBLE_BYTES];
	struct preamble p;
	struct err e;

	(void)state;
	preamble_encode(buf, &sample);
	assert_memory_equal(buf, expected, sizeof(buf));
	assert_int_equal(preamble_decode(buf, &p, &e), 0);
	assert_memory_equal(&p, &sample, sizeof(p));
	preamble_encode_reply(buf, PREAMBLE_BUSY);
	assert_memory_equal(buf, busy, sizeof(busy));
}

/*
 * A changed byte in front of the session is either refused, or means another
 * valid thing: version, role, flag, stream number.
 */
static void test_flipped(void **state)
{
	uint8_t buf[PREAMBLE_BYTES];
	struct preamble p;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			int rc;

			preamble_encode(buf, &sample);
			buf[i] ^= (uint8_t)(1U << bit);
			rc = preamble_decode(buf, &p, &e);
			if (i < 8 || i >= 14)
				assert_int_equal(rc, -EPROTO);
			else if (i < 10)
				assert_true(rc == 0 && p.version != TELEPORT_VERSION);
			else if (i < 12)
				assert_true(rc == -EPROTO || p.role != sample.role);
			else if (i == 12)
				assert_true(rc == -EPROTO || p.flags == 0);
			else
				assert_true(rc == 0 && p.stream != sample.stream);
		}
	}
}

static void test_stream_number_elsewhere(void **state)
{
	struct preamble p = sample;
	uint8_t buf[PREAMBLE_BYTES];
	struct err e;

	(void)state;
	p.role = PREAMBLE_CONTROL;
	preamble_encode(buf, &p);
	assert_int_equal(preamble_decode(buf, &p, &e), -EPROTO);
}

static void test_replies(void **state)
{
	uint8_t buf[PREAMBLE_REPLY_BYTES];
	struct err e;

	(void)state;
	for (unsigned code = 0; code < PREAMBLE_NR_CODES; code++) {
		preamble_encode_reply(buf, (enum preamble_code)code);
		e.text[0] = '\0';
		assert_true((preamble_decode_reply(buf, &e) == 0) == (code == PREAMBLE_OK));
		assert_true(!!e.text[0] == (code != PREAMBLE_OK));
	}
	for (unsigned i = 0; i < sizeof(buf); i++) {
		preamble_encode_reply(buf, PREAMBLE_OK);
		buf[i] ^= 0x40;
		assert_true(preamble_decode_reply(buf, &e) < 0);
	}
}

/* --- conversations --- */

/* A listener that does as it is told, once. */
struct fake {
	struct address_listener l;
	struct preamble_target target;
	pthread_t thread;
	enum preamble_code code;
	size_t reply_bytes; /* fewer: it hangs up in the middle of its reply */
	enum handover_answer answer;
	struct preamble seen;
};

static void *fake_peer(void *opaque)
{
	struct fake *f = opaque;
	uint8_t hello[PREAMBLE_BYTES], reply[PREAMBLE_REPLY_BYTES];
	_cleanup_close_ int fd = -1;
	struct channel *ch;
	struct err e;

	do {
		fd = accept(f->l.fds[0], NULL, NULL);
	} while (fd < 0 && errno == EAGAIN);
	if (fd < 0 || io_read_full(fd, hello, sizeof(hello)) < 0 ||
	    preamble_decode(hello, &f->seen, &e) < 0)
		return NULL;
	preamble_encode_reply(reply, f->code);
	if (io_write_full(fd, reply, f->reply_bytes) < 0 || f->reply_bytes < sizeof(reply) ||
	    f->seen.role != PREAMBLE_QUESTION || channel_new(&ch, fd, &e) < 0)
		return NULL;
	(void)take_fd(&fd);
	(void)!preamble_tell(ch, f->answer, &e);
	channel_free(ch);
	return NULL;
}

static void fake_start(struct fake *f)
{
	struct address a;
	struct err e;

	assert_int_equal(address_parse(&a, "tcp:127.0.0.1:0", &e), 0);
	assert_int_equal(address_listen(&f->l, &a, &e), 0);
	assert_int_equal(address_parse(&f->target.address, f->l.shown, &e), 0);
	f->target.cancel_fd = -1;
	memset(f->target.session, 0x5a, sizeof(f->target.session));
	assert_int_equal(thread_start(&f->thread, "fake", fake_peer, f), 0);
}

static void fake_stop(struct fake *f)
{
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	address_unlisten(&f->l);
}

static void test_connect(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes <= PREAMBLE_REPLY_BYTES; bytes++) {
		struct fake f = { .reply_bytes = bytes };
		struct channel *ch;
		struct err e;
		int rc;

		fake_start(&f);
		rc = preamble_connect(&ch, &f.target, PREAMBLE_STREAM, 3, &e);
		fake_stop(&f);
		if (bytes < PREAMBLE_REPLY_BYTES) {
			assert_int_equal(rc, -ECONNRESET);
			assert_non_null(strstr(e.text, "hung up"));
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(f.seen.role, PREAMBLE_STREAM);
		assert_int_equal(f.seen.stream, 3);
		assert_memory_equal(f.seen.session, f.target.session, PREAMBLE_SESSION_BYTES);
		channel_free(ch);
	}
}

static void test_refused(void **state)
{
	struct fake f = { .reply_bytes = PREAMBLE_REPLY_BYTES, .code = PREAMBLE_TLS_REQUIRED };
	struct channel *ch;
	struct err e;

	(void)state;
	fake_start(&f);
	assert_int_equal(preamble_connect(&ch, &f.target, PREAMBLE_CONTROL, 0, &e), -EACCES);
	assert_non_null(strstr(e.text, "TLS"));
	fake_stop(&f);
}

static void test_question(void **state)
{
	(void)state;
	for (unsigned answer = 0; answer <= HANDOVER_NEVER + 1; answer++) {
		struct fake f = {
			.reply_bytes = PREAMBLE_REPLY_BYTES,
			.answer = (enum handover_answer)answer,
		};
		enum handover_answer got;
		struct err e;
		int rc;

		fake_start(&f);
		rc = preamble_ask(&f.target, &got, &e);
		fake_stop(&f);
		if (answer > HANDOVER_NEVER) {
			assert_int_equal(rc, -EPROTO);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(got, answer);
	}
}

static void test_sessions_differ(void **state)
{
	uint8_t a[PREAMBLE_SESSION_BYTES], b[PREAMBLE_SESSION_BYTES];

	(void)state;
	assert_int_equal(preamble_new_session(a), 0);
	assert_int_equal(preamble_new_session(b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_stream_number_elsewhere),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_sessions_differ),
	};

	return cmocka_run_group_tests_name("preamble", tests, NULL, NULL);
}
