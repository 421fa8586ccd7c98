// SPDX-License-Identifier: MIT
// The control socket's commands that look into a guest.
#include "vmm/control/observe.h"

#include <errno.h>
#include <string.h>

#include "util/io.h"
#include "vmm/dump/dump.h"
#include "vmm/metrics/metrics.h"

static const char *const formats[] = { "elf", NULL };

const struct control_arg control_dump_args[] = {
	{ "protocol", JSON_STRING, false, .help = CONTROL_FD_ARG_HELP ": the file to write" },
	{ "paging", JSON_TRUE, true,
	  .help = "with the virtual addresses that the first vCPU sees" },
	{ "live", JSON_TRUE, true, .help = "the guest goes on while its memory is written" },
	{ "format", JSON_STRING, true, .help = "of the core", .choices = formats },
	{ "detach", JSON_TRUE, true,
	  .help = "the reply never waits for the end, whatever this says" },
	{ 0 },
};

/* A dump that nobody waits for any more is given up. */
static void on_dumper_gone(void *opaque, const struct control_session *session)
{
	dump_session_closed(opaque, session);
}

int control_cmd_dump(struct control_call *c)
{
	_cleanup_close_ int fd = control_take_fd_arg(c, "protocol");
	struct dump_params params = {
		.fd = fd,
		.live = json_is_true(json_object_get(c->args, "live")),
		.paging = json_is_true(json_object_get(c->args, "paging")),
		.session = c->session,
	};
	int rc;

	if (fd < 0)
		return fd;
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

int control_cmd_metrics(struct control_call *c)
{
	_cleanup_free_ char *text = metrics_text(c->opaque);

	if (!text)
		return err_set(c->e, -ENOMEM, "out of memory");
	c->ret = json_pack("{s:s}", "text", text);
	return 0;
}
