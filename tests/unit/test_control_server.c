// SPDX-License-Identifier: MIT
// The control socket's server: descriptors that come with requests, clients that do not read.
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/fdpass.h"
#include "util/io.h"
#include "vmm/control/control.h"
#include "vmm/loop.h"

struct rig {
	struct loop *loop;
	struct control *ctl;
	int listen_fd;
	int client;
	char buf[4096]; /* of the client: read, not yet looked at */
	size_t bytes;
	sem_t shouted; /* posted by the command, when all has been said */
};

/* --- commands --- */

/* Which file it is that came. */
static int which(struct control_call *c)
{
	char byte = 0;

	if (c->fd >= 0 && pread(c->fd, &byte, 1, 0) != 1)
		return -EIO;
	c->ret = json_pack("{s:s%}", "file", &byte, (size_t)(c->fd >= 0));
	return 0;
}

/* Which file it is that was left under a name, which this takes. */
static int take(struct control_call *c)
{
	_cleanup_close_ int fd =
		control_take_fd(c, json_string_value(json_object_get(c->args, "fdname")));
	char byte = 0;

	if (fd < 0)
		return fd;
	if (pread(fd, &byte, 1, 0) != 1)
		return -EIO;
	c->ret = json_pack("{s:s%}", "file", &byte, (size_t)1);
	return 0;
}

/* Keeps it, and gives it back by its number. */
static int keep(struct control_call *c)
{
	c->ret = json_pack("{s:i}", "fd", take_fd(&c->fd));
	return 0;
}

static int plain(struct control_call *c)
{
	(void)c;
	return 0;
}

/* As many events as are asked for, each of some hundred bytes. */
static int shout(struct control_call *c)
{
	struct rig *r = c->opaque;
	json_int_t nr = json_integer_value(json_object_get(c->args, "count"));
	char text[401];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (json_int_t i = 0; i < nr; i++)
		control_event(r->ctl, "SHOUT", json_pack("{s:I, s:s}", "nr", i, "text", text));
	(void)sem_post(&r->shouted);
	return 0;
}

static const struct control_arg shout_args[] = {
	{ "count", JSON_INTEGER, false, .help = "" },
	{ 0 },
};

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities, .help = "" },
	{ "which", which, .help = "", .fd = CONTROL_FD_OPTIONAL },
	{ "keep", keep, .help = "", .fd = CONTROL_FD_REQUIRED },
	{ "plain", plain, .help = "" },
	{ "take", take, .help = "", .args = control_closefd_args },
	{ "getfd", control_cmd_getfd, .help = "", .args = control_getfd_args,
	  .fd = CONTROL_FD_REQUIRED },
	{ "closefd", control_cmd_closefd, .help = "", .args = control_closefd_args },
	{ "shout", shout, .help = "", .args = shout_args },
};

static const struct control_table table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
};

/* --- a server and its clients --- */

static int connect_to(const struct rig *r)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&sun, &len), 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, len), 0);
	return fd;
}

/* The next object that the client gets. */
static json_t *receive(struct rig *r)
{
	json_t *json;
	size_t len;
	char *end;

	while (!(end = memchr(r->buf, '\n', r->bytes))) {
		ssize_t n = recv(r->client, r->buf + r->bytes, sizeof(r->buf) - r->bytes, 0);

		assert_true(n > 0);
		r->bytes += (size_t)n;
	}
	len = (size_t)(end - r->buf) + 1;
	json = json_loadb(r->buf, len, 0, NULL);
	r->bytes -= len;
	memmove(r->buf, r->buf + len, r->bytes);
	assert_non_null(json);
	return json;
}

/* The next reply, or event, is @want, but for its time. */
static void expect(struct rig *r, const char *want)
{
	json_t *json = receive(r);
	char *text;

	(void)json_object_del(json, "timestamp");
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, want);
	free(text);
	json_decref(json);
}

static void say(const struct rig *r, const char *text, int fd)
{
	assert_int_equal(fdpass_send(r->client, text, strlen(text), fd, 0), strlen(text));
}

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct sockaddr_un any = { .sun_family = AF_UNIX };

	assert_non_null(r);
	*state = r;
	assert_int_equal(sem_init(&r->shouted, 0, 0), 0);
	r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* An address of the kernel's choice, without a file. */
	assert_int_equal(bind(r->listen_fd, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(r->listen_fd, 8), 0);
	assert_int_equal(loop_new(&r->loop, 0), 0);
	assert_int_equal(control_new(&r->ctl, &(struct control_params){ .loop = r->loop,
									.listen_fd = r->listen_fd,
									.table = &table,
									.opaque = r }),
			 0);
	assert_int_equal(loop_start(r->loop, THREAD_MAIN, "control"), 0);
	r->client = connect_to(r);
	json_decref(receive(r));
	say(r, "{\"execute\":\"qmp_capabilities\"}\n", -1);
	expect(r, "{\"return\":{}}");
	return 0;
}

static void free_server(void *opaque)
{
	control_free(((struct rig *)opaque)->ctl);
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	loop_call_sync(r->loop, free_server, r);
	loop_free(r->loop);
	(void)close(r->listen_fd);
	(void)close(r->client);
	(void)sem_destroy(&r->shouted);
	free(r);
	return 0;
}

/* A file that has one byte. */
static int make_file(char byte)
{
	char path[] = "/tmp/test_control_server-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, &byte, 1), 1);
	return fd;
}

/* --- descriptors --- */

#define WHICH  "{\"execute\":\"which\"}\n"
#define GOT(x) "{\"return\":{\"file\":\"" x "\"}}"

static void test_fd_belongs_to_its_request(void **state)
{
	struct rig *r = *state;
	int a = make_file('a'), b = make_file('b');

	/* Read together or not, each request gets what came with it. */
	say(r, WHICH WHICH, -1);
	say(r, WHICH, a);
	say(r, WHICH, -1);
	say(r, WHICH, b);
	expect(r, GOT(""));
	expect(r, GOT(""));
	expect(r, GOT("a"));
	expect(r, GOT(""));
	expect(r, GOT("b"));
	/* With any part of it, also if the next one begins in the same piece. */
	say(r, "{\"execute\":", a);
	say(r, "\"which\"}\n", -1);
	say(r, "{\"execute\":", -1);
	say(r, "\"which\"", b);
	say(r, "}\n" WHICH, -1);
	expect(r, GOT("a"));
	expect(r, GOT("b"));
	expect(r, GOT(""));
	(void)close(a);
	(void)close(b);
}

static void test_fd_is_refused(void **state)
{
	struct rig *r = *state;
	int a = make_file('a');

	say(r, "{\"execute\":\"plain\"}\n", a);
	expect(r, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"The command plain takes no "
		  "descriptor\"}}");
	say(r, "{\"execute\":\"keep\"}\n", -1);
	expect(r, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"The command keep wants a "
		  "descriptor with it\"}}");
	say(r, "{\"execute\":", a);
	say(r, "\"which\"}\n", a);
	expect(r, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"A request brings one "
		  "descriptor at most\"}}");
	say(r, WHICH, -1);
	expect(r, GOT(""));
	(void)close(a);
}

static unsigned count_fds(void)
{
	unsigned nr = 0;

	for (int fd = 0; fd < 256; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

/* Two in one message: what the kernel's room for one and its padding would hold. */
static void say_with_two(const struct rig *r, const char *text, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} space = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space.bytes,
			      .msg_controllen = sizeof(space.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);
	const int fds[2] = { fd, fd };

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(r->client, &hdr, MSG_NOSIGNAL), strlen(text));
}

#define ABOUT(command, name)                                                                       \
	"{\"execute\":\"" command "\",\"arguments\":{\"fdname\":\"" name "\"}}\n"
#define DONE        "{\"return\":{}}"
#define ERROR(desc) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" desc "\"}}"
#define NONE(name)  ERROR("File descriptor named '" name "' has not been found")
#define NO_NAME     ERROR("Parameter 'fdname' must be a name that does not begin with a digit")

static void ask(struct rig *r, const char *text, int fd, const char *want)
{
	say(r, text, fd);
	expect(r, want);
}

/* Another client, who has heard the greeting and negotiated; the rig's is @*ret_first. */
static void another_client(struct rig *r, int *ret_first)
{
	*ret_first = r->client;
	r->client = connect_to(r);
	r->bytes = 0;
	json_decref(receive(r));
	ask(r, "{\"execute\":\"qmp_capabilities\"}\n", -1, DONE);
}

/* What a client leaves is there for it under its name, once. */
static void test_named_fds(void **state)
{
	struct rig *r = *state;
	int a = make_file('a'), b = make_file('b'), first;

	ask(r, ABOUT("getfd", "x"), a, DONE);
	ask(r, ABOUT("getfd", "y"), b, DONE);
	ask(r, ABOUT("take", "y"), -1, GOT("b"));
	ask(r, ABOUT("take", "y"), -1, NONE("y"));
	ask(r, ABOUT("getfd", "x"), b, DONE); /* instead of the other */
	/* Not another client's. */
	another_client(r, &first);
	ask(r, ABOUT("take", "x"), -1, NONE("x"));
	(void)close(r->client);
	r->client = first;
	ask(r, ABOUT("take", "x"), -1, GOT("b"));
	ask(r, ABOUT("getfd", "x"), a, DONE);
	ask(r, ABOUT("closefd", "x"), -1, DONE);
	ask(r, ABOUT("closefd", "x"), -1, NONE("x"));
	(void)close(a);
	(void)close(b);
}

static void test_named_fds_are_refused(void **state)
{
	struct rig *r = *state;
	int a = make_file('a');

	ask(r, ABOUT("getfd", "x"), -1, ERROR("The command getfd wants a descriptor with it"));
	ask(r, ABOUT("closefd", "x"), a, ERROR("The command closefd takes no descriptor"));
	ask(r, ABOUT("getfd", ""), a, NO_NAME);
	ask(r, ABOUT("getfd", "1st"), a, NO_NAME);
	ask(r, ABOUT("closefd", ""), -1, NONE(""));
	ask(r, ABOUT("take", ""), -1, NONE(""));
#define TEN "abcdefghij"
	ask(r, ABOUT("getfd", TEN TEN TEN TEN TEN TEN "klmn"), a,
	    ERROR("Parameter 'fdname' must have at most 63 bytes"));
	ask(r, ABOUT("getfd", TEN TEN TEN TEN TEN TEN "klm"), a, DONE);
	say_with_two(r, ABOUT("getfd", "x"), a);
	expect(r, ERROR("A request brings one descriptor at most"));
	ask(r, ABOUT("take", "x"), -1, NONE("x"));
	/* In halves, the descriptor with the first, then with both. */
	say(r, "{\"execute\":\"getfd\",", a);
	ask(r, "\"arguments\":{\"fdname\":\"x\"}}\n", -1, DONE);
	say(r, "{\"execute\":\"getfd\",", a);
	ask(r, "\"arguments\":{\"fdname\":\"y\"}}\n", a,
	    ERROR("A request brings one descriptor at most"));
	ask(r, ABOUT("take", "x"), -1, GOT("a"));
	(void)close(a);
}

/* Leave descriptors until it is refused, how many that were. */
static unsigned leave_all(struct rig *r, int fd, const char *want_refusal)
{
	for (unsigned nr = 0;; nr++) {
		json_t *reply, *error;
		char line[128];

		(void)snprintf(line, sizeof(line), ABOUT("getfd", "n%u"), nr);
		say(r, line, fd);
		reply = receive(r);
		error = json_object_get(reply, "error");
		if (error)
			assert_string_equal(json_string_value(json_object_get(error, "desc")),
					    want_refusal);
		json_decref(reply);
		if (error)
			return nr;
	}
}

/* Of each client some, of all together some; they go with their client. */
static void test_named_fds_are_bounded(void **state)
{
	enum { NR = CONTROL_MAX_ALL_FDS / CONTROL_MAX_FDS };
	struct rig *r = *state;
	int a = make_file('a'), clients[NR];
	unsigned before = count_fds();

	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(leave_all(r, a, "A client leaves at most 20 descriptors here"),
				 CONTROL_MAX_FDS);
		another_client(r, &clients[i]);
	}
	assert_int_equal(leave_all(r, a, "All clients together leave at most 80 descriptors here"),
			 0);
	for (unsigned i = 0; i < NR; i++)
		(void)close(clients[i]);
	/* Two turns of the loop: one that reads the end, one that frees. */
	for (unsigned i = 0; i < 3; i++)
		ask(r, ABOUT("take", "x"), -1, NONE("x"));
	assert_int_equal(count_fds(), before);
	assert_int_equal(leave_all(r, a, "A client leaves at most 20 descriptors here"),
			 CONTROL_MAX_FDS);
	(void)close(a);
}

static void test_no_fd_is_left(void **state)
{
	struct rig *r = *state;
	int a = make_file('a');
	unsigned before = count_fds();
	json_t *reply;
	int kept;

	say(r, "not json\n", a);
	json_decref(receive(r));
	say(r, "{\"execute\":\"nothing\"}\n", a);
	json_decref(receive(r));
	say(r, "\n", a);
	say(r, WHICH, a);
	expect(r, GOT("a"));
	say_with_two(r, WHICH, a);
	expect(r, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"A request brings one "
		  "descriptor at most\"}}");
	assert_int_equal(count_fds(), before);
	say(r, "{\"execute\":\"keep\"}\n", a);
	reply = receive(r);
	kept = (int)json_integer_value(json_object_get(json_object_get(reply, "return"), "fd"));
	json_decref(reply);
	assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
	assert_int_equal(close(kept), 0);
	(void)close(a);
}

/* Whoever hangs up with a descriptor on its way leaves none behind. */
static void test_hang_up_with_fd(void **state)
{
	struct rig *r = *state;
	int a = make_file('a');
	unsigned before = count_fds();
	int first = r->client;

	say(r, "{\"execute\":", a);
	r->client = connect_to(r);
	r->bytes = 0;
	json_decref(receive(r));
	(void)close(first);
	/* Two turns of the loop: one that reads the end, one that frees. */
	for (unsigned i = 0; i < 3; i++) {
		say(r, "{\"execute\":\"qmp_capabilities\"}\n", -1);
		expect(r, "{\"return\":{}}");
	}
	assert_int_equal(count_fds(), before);
	(void)close(a);
}

/* --- events that nobody reads --- */

static void test_lost_events(void **state)
{
	struct rig *r = *state;
	json_int_t next = 0, lost = 0;
	json_t *json;

	say(r, "{\"execute\":\"shout\",\"arguments\":{\"count\":5000}}\n", -1);
	/* Nothing is read before: far more than a socket and the server hold. */
	assert_int_equal(sem_wait(&r->shouted), 0);
	for (json = receive(r); !json_object_get(json, "return"); json = receive(r)) {
		assert_int_equal(
			json_integer_value(json_object_get(json_object_get(json, "data"), "nr")),
			next);
		next++;
		json_decref(json);
	}
	json_decref(json);
	assert_in_range(next, CONTROL_MAX_QUEUE_BYTES / 600, 4999);
	/* The note comes before anything else, and nothing is missing from it. */
	json = receive(r);
	assert_string_equal(json_string_value(json_object_get(json, "event")), CONTROL_EVENT_LOST);
	lost = json_integer_value(json_object_get(json_object_get(json, "data"), "count"));
	json_decref(json);
	assert_int_equal(next + lost, 5000);
	say(r, "{\"execute\":\"shout\",\"arguments\":{\"count\":1}}\n", -1);
	json = receive(r);
	assert_string_equal(json_string_value(json_object_get(json, "event")), "SHOUT");
	json_decref(json);
	expect(r, "{\"return\":{}}");
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_fd_belongs_to_its_request),
		RIG_TEST(test_fd_is_refused),
		RIG_TEST(test_no_fd_is_left),
		RIG_TEST(test_hang_up_with_fd),
		RIG_TEST(test_named_fds),
		RIG_TEST(test_named_fds_are_refused),
		RIG_TEST(test_named_fds_are_bounded),
		RIG_TEST(test_lost_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
