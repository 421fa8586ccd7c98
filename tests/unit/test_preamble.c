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
#include "migration/ram.h"
#include "util/io.h"
#include "util/thread.h"

static const struct preamble sample = {
	.version = TELEPORT_VERSION,
	.role = PREAMBLE_STREAM,
	.flags = PREAMBLE_TLS,
	.stream = 7,
	.session = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
};

static const struct ticket ticket = { .ask = { 1, 2, 3 }, .answer = { 4, 5, 6 } };

/* As docs/teleport.md has it. */
static void test_bytes(void **state)
{
	static const uint8_t expected[PREAMBLE_BYTES] = {
		'F', 'E', 'R', 'R', 'Y', 'T', 'P', 0, 2, 0,  1,  0,  1,  7,  0,  0,
		1,   2,   3,   4,   5,   6,   7,   8, 9, 10, 11, 12, 13, 14, 15, 16,
	};
	static const uint8_t busy[PREAMBLE_REPLY_BYTES] = {
		'F', 'E', 'R', 'R', 'Y', 'T', 'P', 0, 2, 0, 5, 0,
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
				assert_true(rc == (buf[i] < RAM_MAX_STREAMS ? 0 : -EPROTO));
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
	const struct ticket *ticket; /* that it looks for; NULL: it does not */
	bool stranger;               /* it shows another one */
	struct preamble seen;
	int rc; /* of the ticket that it is shown */
};

static void *fake_peer(void *opaque)
{
	static const struct ticket nobodys;
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
	    !f->ticket || channel_new(&ch, fd, &e) < 0)
		return NULL;
	(void)take_fd(&fd);
	f->rc = preamble_check_ticket(ch, f->ticket, &e);
	if (f->seen.role == PREAMBLE_QUESTION && f->rc == 0)
		(void)!preamble_tell(ch, f->stranger ? &nobodys : f->ticket, f->answer, &e);
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
	assert_int_equal(thread_start(&f->thread, THREAD_MOVE, "fake", fake_peer, f), 0);
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
			.ticket = &ticket,
		};
		enum handover_answer got;
		struct err e;
		int rc;

		fake_start(&f);
		rc = preamble_ask(&f.target, &ticket, &got, &e);
		fake_stop(&f);
		if (answer > HANDOVER_NEVER) {
			assert_int_equal(rc, -EPROTO);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(got, answer);
	}
}

/* An answer counts from the one who gave the ticket, and he tells nobody else. */
static void test_question_of_others(void **state)
{
	(void)state;
	for (int stranger = 0; stranger < 2; stranger++) {
		struct ticket mine = ticket;
		struct fake f = {
			.reply_bytes = PREAMBLE_REPLY_BYTES,
			.answer = HANDOVER_NEVER,
			.stranger = stranger,
			.ticket = &ticket,
		};
		enum handover_answer got;
		struct err e;

		mine.ask[0] ^= !stranger;
		fake_start(&f);
		assert_int_equal(preamble_ask(&f.target, &mine, &got, &e),
				 stranger ? -EACCES : -ECONNRESET);
		fake_stop(&f);
		assert_int_equal(f.rc, stranger ? 0 : -EACCES);
	}
}

static void test_stream_shows_its_ticket(void **state)
{
	(void)state;
	for (int right = 0; right < 2; right++) {
		struct fake f = { .reply_bytes = PREAMBLE_REPLY_BYTES };
		struct ticket wanted = ticket;
		struct channel *ch;
		struct err e;

		wanted.ask[TICKET_BYTES - 1] ^= !right;
		f.ticket = &wanted;
		fake_start(&f);
		assert_int_equal(preamble_open_stream(&ch, &f.target, 3, &ticket, &e), 0);
		fake_stop(&f);
		channel_free(ch);
		assert_int_equal(f.seen.stream, 3);
		assert_int_equal(f.rc, right ? 0 : -EACCES);
	}
}

static void test_ticket_as_text(void **state)
{
	static const char *const bad[] = { NULL, "", "00", "zz" };
	char hex[TICKET_HEX_BYTES + 1], long_hex[TICKET_HEX_BYTES + 3];
	struct ticket a, b;

	(void)state;
	assert_int_equal(ticket_new(&a), 0);
	assert_int_equal(ticket_new(&b), 0);
	assert_false(ticket_equal(a.ask, b.ask) || ticket_equal(a.ask, a.answer));
	ticket_to_hex(&a, hex);
	assert_int_equal(strlen(hex), TICKET_HEX_BYTES);
	assert_int_equal(ticket_from_hex(hex, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	(void)snprintf(long_hex, sizeof(long_hex), "%s00", hex);
	assert_int_equal(ticket_from_hex(long_hex, &b), -EPROTO);
	hex[7] = ' ';
	assert_int_equal(ticket_from_hex(hex, &b), -EPROTO);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ticket_from_hex(bad[i], &b), -EPROTO);
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
		cmocka_unit_test(test_question_of_others),
		cmocka_unit_test(test_stream_shows_its_ticket),
		cmocka_unit_test(test_ticket_as_text),
		cmocka_unit_test(test_sessions_differ),
	};

	return cmocka_run_group_tests_name("preamble", tests, NULL, NULL);
}
