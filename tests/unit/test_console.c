// SPDX-License-Identifier: MIT
// The console: readers that keep up, readers that do not, input, escape keys.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "vmm/console.h"
#include "vmm/console_host.h"
#include "vmm/console_tty.h"
#include "vmm/loop.h"

struct fixture {
	struct loop *loop;
	struct console *con;
	unsigned inputs; /* calls of the input callback */
	struct console_input input;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f && loop_new(&f->loop, 0) == 0 && console_new(&f->con, f->loop) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	console_free(f->con);
	loop_free(f->loop);
	free(f);
	return 0;
}

struct body {
	struct fixture *f;
	void (*fn)(struct fixture *f);
};

static void run_body(void *opaque)
{
	const struct body *body = opaque;

	body->fn(body->f);
	loop_stop(body->f->loop);
}

/* Readers are served by a loop that runs, so that is where a test's body goes. */
static void on_loop(struct fixture *f, void (*fn)(struct fixture *f))
{
	struct body body = { .f = f, .fn = fn };
	struct loop_work work = { .fn = run_body, .opaque = &body };

	loop_post(f->loop, &work);
	assert_int_equal(loop_run(f->loop), 0);
}

/* A reader on a socket pair, whose other end is returned. */
static int add_reader(struct fixture *f, bool keep_reading)
{
	int pair[2];
	int out;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	out = dup(pair[0]);
	assert_int_equal(console_add_reader(f->con,
					    &(struct console_reader_params){
						    .in_fd = pair[0],
						    .out_fd = out,
						    .keep_reading = keep_reading,
					    }),
			 0);
	return pair[1];
}

static void expect(int fd, const char *text)
{
	char buf[256] = "";
	size_t want = strlen(text);

	assert_int_equal(recv(fd, buf, MIN(want, sizeof(buf) - 1), MSG_WAITALL), want);
	assert_string_equal(buf, text);
}

/* All readers get it, at once; one that comes later gets what is new. */
static void body_output(struct fixture *f)
{
	struct console_stats stats;
	int a, b;

	console_write(f->con, "early ", 6);
	a = add_reader(f, false);
	console_write(f->con, "hello\n", 6);
	expect(a, "early hello\n");
	b = add_reader(f, false);
	console_write(f->con, "again", 5);
	expect(a, "again");
	expect(b, "again");
	console_get_stats(f->con, &stats);
	assert_int_equal(stats.written, 17);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.readers, 2);
	(void)close(a);
	(void)close(b);
}

static bool has_no_readers(void *opaque)
{
	struct console_stats stats;

	console_get_stats(opaque, &stats);
	return stats.readers == 0;
}

/* A reader that hangs up is removed; output goes on. */
static void body_hangup(struct fixture *f)
{

	(void)close(add_reader(f, false));
	loop_drain(f->loop, has_no_readers, f->con);
	(void)close(add_reader(f, false));
	console_write(f->con, "x", 1);
	loop_drain(f->loop, has_no_readers, f->con);
	console_write(f->con, "y", 1);
}

struct slurp {
	struct fixture *f;
	int fd;
	uint64_t got;
	uint32_t last;
};

/* Read words that count up; they may skip, but never go back or tear. */
static bool slurp(void *opaque)
{
	struct slurp *s = opaque;
	uint32_t words[1024];
	ssize_t n;

	while ((n = recv(s->fd, words, sizeof(words), MSG_DONTWAIT)) > 0) {
		assert_int_equal(n % 4, 0);
		for (ssize_t i = 0; i < n / 4; i++) {
			assert_true(s->got == 0 || words[i] > s->last);
			s->last = words[i];
			s->got += 4;
		}
	}
	return s->last == 499999;
}

/* A reader that does not read: the guest goes on, the newest output is kept. */
static void body_slow_reader(struct fixture *f)
{
	struct slurp s = { .f = f, .fd = add_reader(f, false) };
	struct console_stats stats;

	for (uint32_t i = 0; i < 500000; i++)
		console_write(f->con, &i, sizeof(i));
	loop_drain(f->loop, slurp, &s);
	console_get_stats(f->con, &stats);
	assert_int_equal(stats.written, 2000000);
	assert_true(stats.lost > 0);
	assert_int_equal(stats.lost + s.got, stats.written);
	assert_true(s.got >= CONSOLE_RING_BYTES);
	(void)close(s.fd);
}

static void body_huge_write(struct fixture *f)
{
	size_t len = CONSOLE_RING_BYTES + 1000;
	char *big = calloc(1, len);
	struct console_stats stats;
	int fd;

	assert_non_null(big);
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): output is bytes, no string */
	memcpy(big + len - 4, "end.", 4);
	console_write(f->con, big, len);
	fd = add_reader(f, false);
	console_get_stats(f->con, &stats);
	assert_int_equal(stats.lost, 1000);
	free(big);
	(void)close(fd);
}

static void count_input(void *opaque)
{
	struct fixture *f = opaque;

	f->inputs++;
}

static bool has_input(void *opaque)
{
	const struct fixture *f = opaque;

	return f->inputs > 0;
}

static void take_input(struct fixture *f)
{
	f->input = (struct console_input){ .fn = count_input, .opaque = f };
	console_add_input(f->con, &f->input);
}

struct typist {
	struct fixture *f;
	int fd;
	unsigned sent, taken;
};

/* The device takes little by little; the typist sends whenever it can. */
static bool type_and_take(void *opaque)
{
	struct typist *t = opaque;
	uint8_t buf[100];
	size_t n;

	while (t->sent < 100000) {
		uint8_t byte = (uint8_t)t->sent;

		if (send(t->fd, &byte, 1, MSG_DONTWAIT) != 1)
			break;
		t->sent++;
	}
	while ((n = console_read(t->f->con, buf, sizeof(buf)))) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], (uint8_t)t->taken++);
	}
	return t->taken == 100000;
}

/* Input is not lost, however slowly the guest takes it. */
static void body_input(struct fixture *f)
{
	struct typist t = { .f = f, .fd = add_reader(f, false) };
	uint8_t byte;

	take_input(f);
	assert_int_equal(console_read(f->con, &byte, 1), 0);
	(void)type_and_take(&t);
	loop_drain(f->loop, has_input, f);
	loop_drain(f->loop, type_and_take, &t);
	(void)close(t.fd);
}

/* Who comes last has it, and leaves what he did not take to the one before. */
static void body_input_in_turn(struct fixture *f)
{
	struct fixture later = { .con = f->con };
	char buf[8] = "";
	int fd = add_reader(f, false);

	take_input(f);
	take_input(&later);
	assert_int_equal(send(fd, "abc", 3, 0), 3);
	loop_drain(f->loop, has_input, &later);
	assert_int_equal(f->inputs, 0);
	assert_int_equal(console_read(f->con, buf, 1), 1);
	console_remove_input(f->con, &later.input);
	assert_int_equal(f->inputs, 1);
	assert_int_equal(console_read(f->con, buf, sizeof(buf)), 2);
	f->inputs = 0;
	assert_int_equal(send(fd, "d", 1, 0), 1);
	loop_drain(f->loop, has_input, f);
	/* Nothing is left, so nobody is told. */
	take_input(&later);
	assert_int_equal(console_read(f->con, buf, sizeof(buf)), 1);
	f->inputs = 0;
	console_remove_input(f->con, &later.input);
	assert_int_equal(f->inputs, 0);
	(void)close(fd);
}

/* Files and /dev/null cannot be polled; they are input all the same. */
static void body_unpollable_input(struct fixture *f)
{
	char path[] = "/tmp/ferry-test-console-XXXXXX";
	int fd = mkstemp(path);
	char buf[8] = "";

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "typed", 5), 5);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	(void)unlink(path);
	take_input(f);
	assert_int_equal(
		console_add_reader(f->con,
				   &(struct console_reader_params){
					   .in_fd = fd, .out_fd = -1, .input_may_end = true }),
		0);
	loop_drain(f->loop, has_input, f);
	assert_int_equal(console_read(f->con, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "typed");
	loop_drain(f->loop, has_no_readers, f->con);
}

static void test_output(void **state)
{
	on_loop(*state, body_output);
}

static void test_hangup(void **state)
{
	on_loop(*state, body_hangup);
}

static void test_slow_reader(void **state)
{
	on_loop(*state, body_slow_reader);
}

static void test_huge_write(void **state)
{
	on_loop(*state, body_huge_write);
}

static void test_input(void **state)
{
	on_loop(*state, body_input);
}

static void test_input_in_turn(void **state)
{
	on_loop(*state, body_input_in_turn);
}

static void test_unpollable_input(void **state)
{
	on_loop(*state, body_unpollable_input);
}

static void set_flag(void *opaque)
{
	*(bool *)opaque = true;
}

static void test_keys(void **state)
{
	static const struct {
		const char *in, *out;
		bool quit;
	} cases[] = {
		{ "plain", "plain", false },     { "\001\001", "\001", false },
		{ "a\001zb", "ab", false },      { "\001x", "", true },
		{ "a\001Xb", "ab", true },       { "\001h!", "!", false },
		{ "\001\001x", "\001x", false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool quit = false;
		struct tty_keys keys = { .prefix = 1, .quit = set_flag, .opaque = &quit };
		char whole[16], bytewise[16];
		size_t n = 0;

		(void)snprintf(whole, sizeof(whole), "%s", cases[i].in);
		whole[tty_filter_keys(&keys, (uint8_t *)whole, strlen(whole))] = '\0';
		assert_string_equal(whole, cases[i].out);
		assert_int_equal(quit, cases[i].quit);
		for (const char *c = cases[i].in; *c; c++) {
			uint8_t byte = (uint8_t)*c;

			if (tty_filter_keys(&keys, &byte, 1))
				bytewise[n++] = (char)byte;
		}
		bytewise[n] = '\0';
		assert_string_equal(bytewise, cases[i].out);
	}
}

static void test_spec(void **state)
{
	static const char *const bad[] = { "", "std", "stdio2", "file", "file:", "unix:", "pty:x" };
	struct console_spec spec;
	struct err e;

	(void)state;
	assert_int_equal(console_parse_spec("unix:/run/x", &spec, &e), 0);
	assert_int_equal(spec.kind, CONSOLE_UNIX);
	assert_string_equal(spec.path, "/run/x");
	assert_int_equal(console_parse_spec("none", &spec, &e), 0);
	assert_int_equal(spec.kind, CONSOLE_NONE);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(console_parse_spec(bad[i], &spec, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hangup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unpollable_input, setup, teardown),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_spec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
