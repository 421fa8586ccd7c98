// SPDX-License-Identifier: MIT
// The control connection of a teleport: what is said, and how it ends. Phases and HELLO, too.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "migration/channel.h"
#include "migration/hello.h"
#include "migration/phase.h"
#include "migration/section_list.h"
#include "migration/talk.h"
#include "util/clock.h"
#include "util/compiler.h"
#include "util/thread.h"

/* Both ends of a conversation. */
struct pair {
	struct channel *channels[2];
	struct talk *source, *dest;
	struct mutex lock; /* protects: the rest */
	pthread_cond_t changed;
	struct err ended; /* how the source's end saw it end */
};

static void on_ended(void *opaque, const struct err *why)
{
	struct pair *p = opaque;

	MUTEX_SCOPE(&p->lock);
	p->ended = *why;
	(void)pthread_cond_broadcast(&p->changed);
}

static void ignore_end(void *opaque, const struct err *why)
{
	(void)opaque;
	(void)why;
}

static int wait_ended(struct pair *p)
{
	MUTEX_SCOPE(&p->lock);
	while (!p->ended.code)
		(void)pthread_cond_wait(&p->changed, &p->lock.m);
	return p->ended.code;
}

static void open_pair(struct pair *p)
{
	struct talk_params params = { .opaque = p };
	struct err e;
	int fds[2];

	*p = (struct pair){ 0 };
	mutex_init(&p->lock);
	(void)pthread_cond_init(&p->changed, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(channel_new(&p->channels[i], fds[i], &e), 0);
	params.ch = p->channels[0];
	params.ended = on_ended;
	assert_int_equal(talk_new(&p->source, &params, &e), 0);
	params.ch = p->channels[1];
	params.ended = ignore_end;
	assert_int_equal(talk_new(&p->dest, &params, &e), 0);
}

static void close_dest(struct pair *p)
{
	talk_free(p->dest);
	channel_free(p->channels[1]);
	p->dest = NULL;
	p->channels[1] = NULL;
}

static void close_pair(struct pair *p)
{
	close_dest(p);
	talk_free(p->source);
	channel_free(p->channels[0]);
	(void)pthread_cond_destroy(&p->changed);
	mutex_fini(&p->lock);
}

/* --- what is said --- */

static void test_messages(void **state)
{
	const uint64_t sent[STOPPED_VALUES] = { STOPPED_CHECKED, 0x1122334455667788 };
	uint64_t got[STOPPED_VALUES] = { 0 };
	struct pair p;
	struct err e;

	(void)state;
	open_pair(&p);
	assert_int_equal(talk_send_message(p.source, MESSAGE_STOPPED, sent, STOPPED_VALUES, &e), 0);
	assert_int_equal(talk_recv_message(p.dest, MESSAGE_STOPPED, got, STOPPED_VALUES, &e), 0);
	assert_memory_equal(sent, got, sizeof(sent));
	assert_int_equal(talk_send_reply(p.dest, 0, "", &e), 0);
	assert_int_equal(talk_recv_reply(p.source, &e), 0);
	close_pair(&p);
}

static void test_what_does_not_belong(void **state)
{
	uint64_t value = 0;
	struct section s;
	struct pair p;
	struct err e;

	(void)state;
	open_pair(&p);
	assert_int_equal(talk_send_message(p.source, MESSAGE_RELEASED, NULL, 0, &e), 0);
	assert_int_equal(talk_recv_message(p.dest, MESSAGE_COMMIT, NULL, 0, &e), -EPROTO);
	assert_int_equal(talk_send_message(p.source, MESSAGE_RUNNING, &value, 1, &e), 0);
	assert_int_equal(talk_recv_message(p.dest, MESSAGE_RUNNING, NULL, 0, &e), -EPROTO);
	assert_int_equal(talk_send(p.source, SECTION_CONFIG, 0, "x", 1, &e), 0);
	assert_int_equal(talk_recv(p.dest, SECTION_HELLO, &s, &e), -EPROTO);
	close_pair(&p);
}

/* --- how it ends --- */

static void test_refusal_is_known_at_once(void **state)
{
	struct err e = { 0 };
	struct pair p;

	(void)state;
	open_pair(&p);
	assert_int_equal(talk_send_reply(p.dest, -ENOSPC, "no\nroom", &e), 0);
	assert_int_equal(wait_ended(&p), -EREMOTEIO);
	assert_string_equal(p.ended.text, "the destination: no?room");
	assert_true(talk_was_refused(p.source));
	assert_int_equal(talk_recv_reply(p.source, &e), -EREMOTEIO);
	assert_int_equal(talk_send(p.source, SECTION_END, 0, NULL, 0, &e), -EREMOTEIO);
	close_pair(&p);
}

/* What was said before the end is heard. */
static void test_end_comes_last(void **state)
{
	struct err e = { 0 };
	struct pair p;

	(void)state;
	open_pair(&p);
	assert_int_equal(talk_send_reply(p.dest, 0, "", &e), 0);
	close_dest(&p);
	assert_int_equal(wait_ended(&p), -ECONNRESET);
	assert_int_equal(talk_recv_reply(p.source, &e), 0);
	assert_int_equal(talk_recv_reply(p.source, &e), -ECONNRESET);
	assert_false(talk_was_refused(p.source));
	close_pair(&p);
}

static void test_first_reason_stays(void **state)
{
	const struct err mine = { .code = -ETIME, .text = "mine" };
	struct err e = { .code = -EIO, .text = "a consequence" };
	struct pair p;

	(void)state;
	open_pair(&p);
	talk_cancel(p.source, &mine);
	close_dest(&p);
	assert_int_equal(talk_recv_reply(p.source, &e), -ETIME);
	e = (struct err){ .code = -EIO };
	assert_int_equal(talk_explain(p.source, 0, &e), -ETIME);
	assert_string_equal(e.text, "mine");
	close_pair(&p);
}

static void test_cancel_is_told(void **state)
{
	struct err e = { 0 };
	struct pair p;

	(void)state;
	open_pair(&p);
	talk_say_cancel(p.source);
	assert_int_equal(talk_recv_message(p.dest, MESSAGE_COMMIT, NULL, 0, &e), -ECANCELED);
	assert_true(talk_was_refused(p.dest));
	close_pair(&p);
}

/* Nobody says anything for longer than a sign of life takes: it goes on. */
static void test_signs_of_life(void **state)
{
	struct err e = { 0 };
	struct pair p;

	(void)state;
	open_pair(&p);
	channel_set_timeout(p.channels[0], 1300);
	channel_set_timeout(p.channels[1], 1300);
	assert_int_equal(talk_explain(p.source, 1500, &e), 0);
	assert_int_equal(talk_send_reply(p.dest, 0, "", &e), 0);
	assert_int_equal(talk_recv_reply(p.source, &e), 0);
	close_pair(&p);
}

/* A peer that is merely alive has not said anything. */
static void test_wait(void **state)
{
	struct pair p;
	struct err e;

	(void)state;
	open_pair(&p);
	assert_int_equal(talk_send_message(p.dest, MESSAGE_ALIVE, NULL, 0, &e), 0);
	assert_false(talk_wait(p.source, 20));
	assert_int_equal(talk_send_reply(p.dest, 0, "", &e), 0);
	assert_true(talk_wait(p.source, 10000));
	assert_int_equal(talk_recv_reply(p.source, &e), 0);
	assert_false(talk_wait(p.source, 0));
	close_dest(&p);
	assert_true(talk_wait(p.source, 10000));
	close_pair(&p);
}

/* --- HELLO --- */

static int decode_hello(const char *text, struct hello *ret)
{
	const struct section s = section_of(SECTION_HELLO, 0, text, strlen(text));
	struct err e;

	return hello_decode(&s, ret, &e);
}

static void test_hello(void **state)
{
	struct hello hello = { .nr_streams = 8, .compress = RAM_COMPRESS_ZSTD };
	struct hello got = { 0 };
	char *text = hello_encode(&hello);

	(void)state;
	assert_non_null(text);
	assert_int_equal(decode_hello(text, &got), 0);
	assert_int_equal(got.nr_streams, 8);
	assert_int_equal(got.compress, RAM_COMPRESS_ZSTD);
	assert_false(got.has_ticket);
	free(text);
	hello.has_ticket = true;
	assert_int_equal(ticket_new(&hello.ticket), 0);
	text = hello_encode(&hello);
	assert_non_null(text);
	assert_int_equal(decode_hello(text, &got), 0);
	assert_true(got.has_ticket);
	assert_memory_equal(&got.ticket, &hello.ticket, sizeof(got.ticket));
	free(text);
}

static void test_bad_hello(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"protocol\":2,\"page-size\":4096,\"streams\":1,\"compress\":\"none\"}",
		"{\"protocol\":1,\"page-size\":65536,\"streams\":1,\"compress\":\"none\"}",
		"{\"protocol\":1,\"page-size\":4096,\"streams\":0,\"compress\":\"none\"}",
		"{\"protocol\":1,\"page-size\":4096,\"streams\":17,\"compress\":\"none\"}",
		"{\"protocol\":1,\"page-size\":4096,\"streams\":-1,\"compress\":\"none\"}",
		"{\"protocol\":1,\"page-size\":4096,\"streams\":1,\"compress\":\"gzip\"}",
		"{\"protocol\":1,\"page-size\":4096,\"streams\":1}",
	};
	static const char *const tickets[] = { "7", "null", "\"\"", "\"00\"", "[]" };
	struct hello got;
	char text[160];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(decode_hello(bad[i], &got), -EPROTO);
	for (unsigned i = 0; i < ARRAY_SIZE(tickets); i++) {
		(void)snprintf(text, sizeof(text),
			       "{\"protocol\":1,\"page-size\":4096,\"streams\":1,"
			       "\"compress\":\"none\",\"ticket\":%s}",
			       tickets[i]);
		assert_int_equal(decode_hello(text, &got), -EPROTO);
	}
}

/* --- phases --- */

static void test_phase_sets(void **state)
{
	uint32_t set = 99;
	struct err e;

	(void)state;
	assert_int_equal(phase_parse_set(NULL, &set, &e), 0);
	assert_int_equal(set, 0);
	assert_int_equal(phase_parse_set("connect,running", &set, &e), 0);
	assert_int_equal(set, 1U << PHASE_CONNECT | 1U << PHASE_RUNNING);
	assert_int_equal(phase_parse_set("precopy,done", &set, &e), -EINVAL);
	assert_int_equal(phase_parse_set("pre", &set, &e), -EINVAL);
}

static void *pass_held(void *opaque)
{
	struct phase_gate *gate = opaque;
	struct err e;

	return (void *)(intptr_t)phase_gate_pass(gate, PHASE_STOP, &e);
}

static void wait_held(struct phase_gate *gate)
{
	bool held = false;

	while (!held)
		(void)phase_gate_at(gate, &held);
}

static void test_gate(void **state)
{
	const struct err why = { .code = -ECANCELED, .text = "cancelled" };
	struct phase_gate gate;
	struct err e = { 0 };
	pthread_t thread;
	void *rc;

	(void)state;
	phase_gate_init(&gate, 1U << PHASE_STOP, NULL, NULL);
	assert_int_equal(phase_gate_pass(&gate, PHASE_PRECOPY, &e), 0);
	assert_int_equal(phase_gate_continue(&gate, &e), -EINVAL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(thread_start(&thread, THREAD_MOVE, "held", pass_held, &gate), 0);
		wait_held(&gate);
		if (i == 0)
			assert_int_equal(phase_gate_continue(&gate, &e), 0);
		else
			phase_gate_close(&gate, &why);
		(void)pthread_join(thread, &rc);
		assert_int_equal((intptr_t)rc, i == 0 ? 0 : -ECANCELED);
	}
	assert_int_equal(phase_gate_pass(&gate, PHASE_STATE, &e), -ECANCELED);
	assert_int_equal(phase_gate_sleep(&gate, clock_now_ns() + NSEC_PER_SEC, &e), -ECANCELED);
	assert_string_equal(e.text, "cancelled");
	phase_gate_fini(&gate);
}

/* --- lists of sections --- */

static int put_nothing(void *opaque, uint32_t type, uint32_t id, const void *payload, size_t bytes,
		       struct err *e)
{
	(void)opaque;
	(void)type;
	(void)id;
	(void)payload;
	(void)bytes;
	return err_set(e, -EIO, "full");
}

static void test_section_list(void **state)
{
	const struct section_sink full = { .put = put_nothing };
	struct section_list *list = section_list_new(), *copy = section_list_new();
	const struct section_sink *sink = section_list_sink(list);
	const struct section_source *source;
	struct section s;
	struct err e;

	(void)state;
	assert_int_equal(sink->put(sink->opaque, SECTION_VCPU, 3, "abc", 3, &e), 0);
	assert_int_equal(sink->put(sink->opaque, SECTION_END, 0, NULL, 0, &e), 0);
	assert_int_equal(section_list_put(list, &full, &e), -EIO);
	assert_int_equal(section_list_fill(copy, section_list_source(list), &e), 0);
	source = section_list_source(copy);
	assert_int_equal(source->get(source->opaque, &s, &e), 0);
	assert_int_equal(s.type, SECTION_VCPU);
	assert_int_equal(s.id, 3);
	assert_int_equal(s.bytes, 3);
	assert_memory_equal(s.payload, "abc", 3);
	section_fini(&s);
	assert_int_equal(source->get(source->opaque, &s, &e), 0);
	section_fini(&s);
	assert_int_equal(source->get(source->opaque, &s, &e), -ENODATA);
	section_list_free(copy);
	section_list_free(list);
}

/* A peer that never says END: bounded. */
static void test_endless_list(void **state)
{
	struct section_list *list = section_list_new(), *copy = section_list_new();
	const struct section_sink *sink = section_list_sink(list);
	struct err e;

	(void)state;
	for (unsigned i = 0; i < SECTION_LIST_MAX + 1; i++)
		assert_int_equal(sink->put(sink->opaque, SECTION_VCPU, i, "", 0, &e), 0);
	assert_int_equal(section_list_fill(copy, section_list_source(list), &e), -EPROTO);
	section_list_free(copy);
	section_list_free(list);
}

static int give_large(void *opaque, struct section *ret, struct err *e)
{
	unsigned *nr = opaque;

	(void)e;
	(*nr)++;
	*ret = (struct section){ .type = SECTION_DEVICE,
				 .bytes = section_max_bytes(SECTION_DEVICE),
				 .payload = calloc(1, 1) };
	assert_non_null(ret->payload);
	return 0;
}

/* Each section is allowed, but all of them would fill the host. */
static void test_list_of_large_ones(void **state)
{
	struct section_list *list = section_list_new();
	unsigned nr = 0;
	const struct section_source source = { .get = give_large, .opaque = &nr };
	struct err e;

	(void)state;
	assert_int_equal(section_list_fill(list, &source, &e), -EPROTO);
	assert_non_null(strstr(e.text, "1280 MiB together"));
	assert_int_equal(nr, 16);
	section_list_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_what_does_not_belong),
		cmocka_unit_test(test_refusal_is_known_at_once),
		cmocka_unit_test(test_end_comes_last),
		cmocka_unit_test(test_first_reason_stays),
		cmocka_unit_test(test_cancel_is_told),
		cmocka_unit_test(test_signs_of_life),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_bad_hello),
		cmocka_unit_test(test_phase_sets),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_section_list),
		cmocka_unit_test(test_endless_list),
		cmocka_unit_test(test_list_of_large_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
