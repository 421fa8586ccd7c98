// SPDX-License-Identifier: MIT
// The control socket's commands that look into a guest.
#include "vmm/control/observe.h"

#include <errno.h>
#include <string.h>

#include "vmm/dump/dump.h"

#define FILE_PROTOCOL "file:"

const struct control_arg control_dump_args[] = {
	{ "protocol", JSON_STRING, false, "file: and the absolute path of the file to write" },
	{ "paging", JSON_TRUE, true, "with the virtual addresses that the first vCPU sees" },
	{ "live", JSON_TRUE, true, "the guest goes on while its memory is written" },
	{ "force", JSON_TRUE, true, "replace a file that is there" },
	{ "format", JSON_STRING, true, "elf" },
	{ "detach", JSON_TRUE, true, "the reply never waits for the end, whatever this says" },
	{ 0 },
};

/* A dump that nobody waits for any more is given up. */
static void on_dumper_gone(void *opaque, const struct control_session *session)
{
	dump_session_closed(opaque, session);
}

int control_cmd_dump(struct control_call *c)
{
	const char *protocol = json_string_value(json_object_get(c->args, "protocol"));
	const char *format = json_string_value(json_object_get(c->args, "format"));
	struct dump_params params = {
		.force = json_is_true(json_object_get(c->args, "force")),
		.live = json_is_true(json_object_get(c->args, "live")),
		.paging = json_is_true(json_object_get(c->args, "paging")),
		.session = c->session,
	};
	int rc;

	if (strncmp(protocol, FILE_PROTOCOL "/", strlen(FILE_PROTOCOL "/")) != 0)
		return err_set(c->e, -EINVAL,
			       "Parameter 'protocol' must be file: and an absolute "
			       "path");
	if (format && strcmp(format, "elf") != 0)
		return err_set(c->e, -EINVAL, "Parameter 'format' must be elf");
	params.path = protocol + strlen(FILE_PROTOCOL);
	rc = dump_start(c->opaque, &params, c->e);
	if (rc == 0)
		c->session->closed = on_dumper_gone;
	return rc;
}

int control_cmd_query_dump(struct control_call *c)
{
	c->ret = dump_query(c->opaque);
	return 0;
}
