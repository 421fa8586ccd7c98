// SPDX-License-Identifier: MIT
// A client of a guest's control socket, for the sub-commands. Blocking.
#include "vmm/control/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "util/clock.h"
#include "util/fdpass.h"
#include "util/io.h"
#include "util/printable.h"
#include "vmm/guest/runtime.h"

static void set_timeout_us(const struct control_client *c, uint64_t us)
{
	const struct timeval tv = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};

	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

void client_set_timeout(const struct control_client *c, unsigned timeout_s)
{
	set_timeout_us(c, timeout_s * 1000000ULL);
}

/* Read what there is; @flags as recv(2)'s. Bytes, 0 at the end, or -errno. */
static ssize_t fill(struct control_client *c, int flags)
{
	ssize_t n;

	if (c->bytes == CLIENT_BUFFER_BYTES)
		return -EMSGSIZE;
	do {
		n = recv(c->fd, c->buf + c->bytes, CLIENT_BUFFER_BYTES - c->bytes, flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	c->bytes += (size_t)n;
	return n;
}

static int err_read(ssize_t rc, struct err *e)
{
	if (rc == 0 || rc == -ECONNRESET)
		return err_set(e, -EPIPE, "the guest has ended");
	if (rc == -ETIMEDOUT)
		return err_set(e, -ETIMEDOUT, "the guest does not answer");
	return err_set(e, (int)rc, "control socket: %s", strerror((int)-rc));
}

/* Take the line that ends at @end as JSON, a new reference. 0 or -errno. */
static int take_line(struct control_client *c, const char *end, json_t **ret, struct err *e)
{
	size_t len = (size_t)(end - c->buf) + 1;

	if (!c->exact)
		printable_json(c->buf, len);
	*ret = json_loadb(c->buf, len, 0, NULL);
	c->bytes -= len;
	memmove(c->buf, c->buf + len, c->bytes);
	if (!*ret)
		return err_set(e, -EPROTO, "control socket: not a ferry guest on the other end");
	return 0;
}

int client_hear(struct control_client *c, json_t **ret, struct err *e)
{
	const char *end;
	ssize_t rc;

	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): not before it was made */
	while (!(end = memchr(c->buf, '\n', c->bytes))) {
		rc = fill(c, MSG_DONTWAIT);
		if (rc == -ETIMEDOUT)
			return 0;
		if (rc <= 0)
			return err_read(rc, e);
	}
	rc = take_line(c, end, ret, e);
	return rc < 0 ? (int)rc : 1;
}

/* The next line as JSON, a new reference. 0 or -errno. */
static int receive(struct control_client *c, json_t **ret, struct err *e)
{
	const char *end;

	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): err_set() is never 0 */
	while (!(end = memchr(c->buf, '\n', c->bytes))) {
		ssize_t rc = fill(c, 0);

		if (rc <= 0)
			return err_read(rc, e);
	}
	return take_line(c, end, ret, e);
}

/* @args is taken over; NULL: none. @fd: -1: none. */
static int send_command(const struct control_client *c, const char *command, json_t *args, int fd,
			struct err *e)
{
	json_t *request = json_pack("{s:s, s:o*}", "execute", command, "arguments", args);
	_cleanup_free_ char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	ssize_t n;

	json_decref(request);
	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	text[len++] = '\n'; /* instead of the final zero */
	n = fdpass_send(c->fd, text, len, fd, 0);
	if (n == (ssize_t)len)
		return 0;
	return err_set(e, n < 0 ? (int)n : -EIO, "control socket: %s",
		       strerror(n < 0 ? (int)-n : EIO));
}

/* Take @reply apart; it is ours. 1: an event, not a reply. */
static int judge_reply(const struct control_client *c, json_t *reply, json_t **ret, struct err *e)
{
	const json_t *error = json_object_get(reply, "error");
	json_t *value = json_object_get(reply, "return");
	int rc = 0;

	if (error) {
		const char *desc = json_string_value(json_object_get(error, "desc"));

		rc = err_set(e, -EREMOTEIO, "%s", desc ? desc : "refused");
	} else if (!value) {
		rc = 1;
		if (c->on_event && json_object_get(reply, "event"))
			c->on_event(c->opaque, reply);
	} else if (ret) {
		*ret = json_incref(value);
	}
	json_decref(reply);
	return rc;
}

int client_execute_fd(struct control_client *c, const char *command, json_t *args, int fd,
		      json_t **ret, struct err *e)
{
	int rc = send_command(c, command, args, fd, e);

	if (rc < 0)
		return rc;
	do {
		json_t *reply = NULL;

		rc = receive(c, &reply, e);
		if (rc == 0)
			rc = judge_reply(c, reply, ret, e);
	} while (rc > 0);
	return rc;
}

int client_execute_with(struct control_client *c, const char *command, json_t *args, json_t **ret,
			struct err *e)
{
	return client_execute_fd(c, command, args, -1, ret, e);
}

int client_execute(struct control_client *c, const char *command, json_t **ret, struct err *e)
{
	return client_execute_with(c, command, NULL, ret, e);
}

int client_pass_fd(struct control_client *c, const char *name, int fd, struct err *e)
{
	json_t *args = json_pack("{s:s}", "fdname", name);

	if (!args)
		return err_set(e, -EINVAL, "a descriptor's name is not UTF-8");
	return client_execute_fd(c, "getfd", args, fd, NULL, e);
}

int client_execute_on_fd(struct control_client *c, const char *command, json_t *args,
			 const char *name, int fd, struct err *e)
{
	int rc = client_pass_fd(c, name, fd, e);

	if (rc == 0)
		return client_execute_with(c, command, args, NULL, e);
	json_decref(args);
	return rc;
}

/* The next read gives up at @deadline_ns. False: it is over. */
static bool limit(const struct control_client *c, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();

	if (now_ns >= deadline_ns)
		return false;
	if (deadline_ns == UINT64_MAX)
		client_set_timeout(c, 0);
	else
		set_timeout_us(c, (deadline_ns - now_ns) / 1000 + 1);
	return true;
}

int client_next_event(struct control_client *c, json_t **ret, struct err *e)
{
	return client_next_event_until(c, UINT64_MAX, ret, e);
}

/* Where @name, which may be NULL, is in @names; their number: nowhere. */
static unsigned place_of(const char *name, const char *const *names)
{
	unsigned i = 0;

	while (names[i] && (!name || strcmp(names[i], name) != 0))
		i++;
	return i;
}

json_t *client_next_of(struct control_client *c, const char *const *names, unsigned *ret_which,
		       struct err *e)
{
	for (;;) {
		json_t *event = NULL, *data;
		unsigned which;

		if (client_next_event(c, &event, e) < 0)
			return NULL;
		which = place_of(json_string_value(json_object_get(event, "event")), names);
		data = json_incref(json_object_get(event, "data"));
		json_decref(event);
		if (names[which]) {
			*ret_which = which;
			return data ? data : json_object();
		}
		json_decref(data);
	}
}

int client_next_event_until(struct control_client *c, uint64_t deadline_ns, json_t **ret,
			    struct err *e)
{
	int rc;

	for (;;) {
		json_t *reply = NULL;

		if (!limit(c, deadline_ns))
			return err_set(e, -ETIMEDOUT, "it did not happen in time");
		rc = receive(c, &reply, e);
		if (rc < 0)
			return rc;
		if (json_object_get(reply, "event")) {
			*ret = reply;
			return 0;
		}
		json_decref(reply);
	}
}

int client_negotiate(struct control_client *c, struct err *e)
{
	json_t *greeting = NULL;
	int rc = receive(c, &greeting, e);

	if (rc < 0)
		return rc;
	if (!json_object_get(greeting, "QMP"))
		rc = err_set(e, -EPROTO, "control socket: not a ferry guest on the other end");
	json_decref(greeting);
	return rc < 0 ? rc : client_execute(c, "qmp_capabilities", NULL, e);
}

static int open_socket(struct control_client *c, const char *name, bool now, struct err *e)
{
	pid_t pid = 0;

	*c = (struct control_client){ .fd = runtime_connect(name, now, &pid, e), .pidfd = -1 };
	if (c->fd < 0)
		return c->fd;
	c->pidfd = pidfd_open(pid, 0);
	c->buf = malloc(CLIENT_BUFFER_BYTES);
	if (c->pidfd >= 0 && c->buf)
		return 0;
	client_close(c);
	(void)err_set(e, -ENOENT, "guest %s has just ended", name);
	return -ENOENT;
}

int client_connect(struct control_client *c, const char *name, unsigned timeout_s, struct err *e)
{
	int rc = open_socket(c, name, false, e);

	if (rc == 0)
		client_set_timeout(c, timeout_s);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

int client_connect_now(struct control_client *c, const char *name, struct err *e)
{
	return open_socket(c, name, true, e);
}

int client_tell(const struct control_client *c, const char *command, struct err *e)
{
	return send_command(c, command, NULL, -1, e);
}

int client_open(struct control_client *c, const char *name, unsigned timeout_s, struct err *e)
{
	int rc = client_connect(c, name, timeout_s, e);

	if (rc < 0)
		return rc;
	rc = client_negotiate(c, e);
	if (rc < 0)
		client_close(c);
	return rc;
}

void client_close(struct control_client *c)
{
	close_fd(&c->fd);
	close_fd(&c->pidfd);
	free(take_ptr(c->buf));
}

/* Events in the buffer are old news: whatever they told is asked for next. */
int client_wait_event(struct control_client *c, unsigned timeout_ms, struct err *e)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	int rc = poll(&pfd, 1, (int)timeout_ms);

	if (rc < 0 && errno != EINTR)
		return err_set(e, -errno, "control socket: %s", strerror(errno));
	if (rc <= 0)
		return 0;
	rc = (int)fill(c, 0);
	return rc > 0 ? 0 : err_read(rc, e);
}

int client_wait_end(const struct control_client *c, unsigned timeout_s, struct err *e)
{
	struct pollfd pfd = { .fd = c->pidfd, .events = POLLIN };
	int rc;

	do {
		rc = poll(&pfd, 1, timeout_s ? (int)timeout_s * 1000 : -1);
	} while (rc < 0 && errno == EINTR);
	return rc > 0 ? 0 : err_set(e, -ETIMEDOUT, "the guest's process does not end");
}

bool client_says(const json_t *obj, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(obj, key));

	return value && !strcmp(value, text);
}

int client_kill(const struct control_client *c, struct err *e)
{
	if (pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0) == 0)
		return 0;
	return err_set(e, -errno, "cannot kill the guest's process: %s", strerror(errno));
}
