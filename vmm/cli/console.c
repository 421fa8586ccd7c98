// SPDX-License-Identifier: MIT
// `ferry console`: the user's terminal on a running guest's console.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/console_tty.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 10
#define CTRL_BRACKET    0x1d /* Ctrl-] */

enum outcome { GO_ON, LEFT, GUEST_GONE, BROKEN };

/* What was typed and the guest has not taken yet. */
struct typed {
	bool raw; /* a terminal: read on when it is full, for the key that leaves */
	char buf[4096];
	size_t bytes;
};

/* Read the keyboard, up to the key that leaves. What does not fit is dropped. */
static enum outcome copy_input(struct typed *typed, struct pollfd *in)
{
	char buf[sizeof(typed->buf)];
	size_t room = sizeof(typed->buf) - typed->bytes;
	ssize_t n = read(in->fd, buf, typed->raw ? sizeof(buf) : room);
	const char *leave;

	if (n < 0 && errno == EINTR)
		return GO_ON;
	if (n <= 0) {
		in->fd = -1; /* no more input; the output is still wanted */
		return GO_ON;
	}
	leave = typed->raw ? memchr(buf, CTRL_BRACKET, (size_t)n) : NULL;
	if (leave)
		return LEFT;
	n = (ssize_t)MIN((size_t)n, room);
	memcpy(typed->buf + typed->bytes, buf, (size_t)n);
	typed->bytes += (size_t)n;
	return GO_ON;
}

/* Pass on what the guest takes. */
static enum outcome send_typed(struct typed *typed, int sock)
{
	ssize_t n = send(sock, typed->buf, typed->bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? GO_ON : GUEST_GONE;
	typed->bytes -= (size_t)n;
	memmove(typed->buf, typed->buf + n, typed->bytes);
	return GO_ON;
}

static enum outcome copy_output(int sock)
{
	char buf[16384];
	ssize_t n = recv(sock, buf, sizeof(buf), 0);

	if (n < 0 && errno == EINTR)
		return GO_ON;
	if (n <= 0)
		return GUEST_GONE;
	return io_write_full(STDOUT_FILENO, buf, (size_t)n) < 0 ? BROKEN : GO_ON;
}

static enum outcome copy(int sock, bool raw)
{
	struct typed typed = { .raw = raw };
	struct pollfd fds[2] = {
		{ .fd = STDIN_FILENO },
		{ .fd = sock },
	};
	enum outcome outcome = GO_ON;

	while (outcome == GO_ON) {
		fds[0].events = raw || typed.bytes < sizeof(typed.buf) ? POLLIN : 0;
		fds[1].events = typed.bytes ? POLLIN | POLLOUT : POLLIN;
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return BROKEN;
		if (fds[0].revents && fds[0].events)
			outcome = copy_input(&typed, &fds[0]);
		if (outcome == GO_ON && typed.bytes)
			outcome = send_typed(&typed, sock);
		if (outcome == GO_ON && fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			outcome = copy_output(sock);
	}
	return outcome;
}

/* Talk raw on the client's connection. */
static int attach(const struct cli *cli, struct control_client *c, bool read_only)
{
	bool raw = tty_enter_raw(STDIN_FILENO) == 0;
	enum outcome outcome;

	if (raw)
		(void)fprintf(stderr, "Connected to %s%s. Ctrl-] leaves.\r\n", cli->arg,
			      read_only
				      ? ", where another terminal has the keyboard until it leaves"
				      : "");
	/* What came in one piece with the reply is output already. */
	if (c->bytes && io_write_full(STDOUT_FILENO, c->buf, c->bytes) < 0)
		outcome = BROKEN;
	else
		outcome = copy(c->fd, raw);
	tty_restore();
	if (raw)
		(void)fprintf(stderr, "\n%s\n",
			      outcome == GUEST_GONE ? "The guest has ended." : "Left.");
	return outcome == BROKEN ? CLI_FAILED : CLI_OK;
}

int cli_console(const struct cli *cli)
{
	struct control_client c;
	json_t *reply = NULL;
	struct err e;
	int status;

	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	if (client_execute(&c, "ferry-console", &reply, &e) < 0)
		status = cli_fail(cli, &e);
	else
		status = attach(cli, &c, json_is_true(json_object_get(reply, "read-only")));
	json_decref(reply);
	client_close(&c);
	return status;
}
