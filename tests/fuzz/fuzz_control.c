// SPDX-License-Identifier: MIT
// Requests on the control socket: any bytes get a reply.
#include <stdint.h>
#include <stdlib.h>

#include "vmm/control/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
};

static const struct control_table table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_session session = { .negotiated = size % 2 };
	const struct control_request req = { (const char *)data, size, -1 };
	json_t *reply = control_handle(&table, &session, NULL, &req);
	char *text;

	if (!reply)
		abort();
	text = json_dumps(reply, JSON_COMPACT);
	if (!text)
		abort();
	free(text);
	json_decref(reply);
	return 0;
}
