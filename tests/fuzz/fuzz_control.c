// SPDX-License-Identifier: MIT
// Requests on the control socket: any bytes get a reply.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/control/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes what was left under a name. */
static int take(struct control_call *c)
{
	int fd = control_take_fd(c, json_string_value(json_object_get(c->args, "fdname")));

	if (fd < 0)
		return fd;
	return close(fd) == 0 ? 0 : -errno;
}

static int echo(struct control_call *c)
{
	c->ret = json_incref(c->args);
	return 0;
}

static const struct control_arg echo_args[] = {
	{ "text", JSON_STRING, true, .help = "" }, { "count", JSON_INTEGER, true, .help = "" },
	{ "loud", JSON_TRUE, true, .help = "" },   { "list", JSON_ARRAY, true, .help = "" },
	{ "more", JSON_OBJECT, true, .help = "" }, { 0 },
};

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities, .help = "" },
	{ "query-commands", control_cmd_commands, .help = "" },
	{ "query-version", control_cmd_version, .help = "" },
	{ "echo", echo, .help = "", .args = echo_args },
	{ "getfd", control_cmd_getfd, .help = "", .args = control_getfd_args,
	  .fd = CONTROL_FD_REQUIRED },
	{ "closefd", control_cmd_closefd, .help = "", .args = control_closefd_args },
	{ "take", take, .help = "", .args = control_closefd_args },
};

static const struct control_table table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
};

static void one_line(struct control_session *session, const char *line, size_t len, int fd)
{
	const struct control_request req = { line, len, fd };
	json_t *reply = control_handle(&table, session, NULL, &req);
	char *text;

	if (!reply)
		abort();
	text = json_dumps(reply, JSON_COMPACT);
	if (!text)
		abort();
	free(text);
	json_decref(reply);
}

/* The lines of one client; a descriptor comes with every other, beginning with the first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned nr_fds = 0;
	struct control_session session = { .negotiated = size % 2, .fds.nr_all = &nr_fds };
	const char *line = (const char *)data, *end = line + size;

	for (unsigned i = 0; i < 64; i++) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((stop ? stop : end) - line);

		one_line(&session, line, len, i % 2 ? -1 : eventfd(0, EFD_CLOEXEC));
		if (!stop)
			break;
		line = stop + 1;
	}
	if (nr_fds > CONTROL_MAX_FDS)
		abort();
	control_fds_close(&session.fds);
	if (nr_fds)
		abort();
	return 0;
}
