// SPDX-License-Identifier: MIT
// Commands of the control socket: what QMP has for running, stopping and ending a guest.
#include "vmm/control/cmds.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "util/io.h"
#include "virtio/balloon.h"
#include "vmm/console.h"
#include "vmm/control/migrate.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/move/run_mover.h"
#include "vmm/move/save.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

static struct machine *machine_of(const struct control_call *c)
{
	return run_machine(c->opaque);
}

/* --- QMP's commands --- */

int control_cmd_query_status(struct control_call *c)
{
	const struct machine *m = machine_of(c);

	c->ret = json_pack("{s:s, s:b, s:b}", "status", run_status_name(c->opaque), "running",
			   m && machine_state(m) == MACHINE_RUNNING, "singlestep", 0);
	return 0;
}

int control_cmd_query_name(struct control_call *c)
{
	c->ret = json_pack("{s:s}", "name", run_name(c->opaque));
	return 0;
}

int control_cmd_stop(struct control_call *c)
{
	return machine_pause(machine_of(c), c->e);
}

int control_cmd_cont(struct control_call *c)
{
	if (json_is_true(json_object_get(c->args, "force")))
		return control_force_resume(c);
	return machine_resume(machine_of(c), c->e);
}

int control_cmd_powerdown(struct control_call *c)
{
	return machine_power_button(machine_of(c), c->e);
}

int control_cmd_reset(struct control_call *c)
{
	return machine_reset(machine_of(c), c->e);
}

int control_cmd_reboot(struct control_call *c)
{
	return machine_reboot(machine_of(c), c->e);
}

int control_cmd_rename(struct control_call *c)
{
	return run_rename(c->opaque, json_string_value(json_object_get(c->args, "name")), c->e);
}

int control_cmd_nmi(struct control_call *c)
{
	return machine_nmi(machine_of(c), c->e);
}

int control_cmd_sysrq(struct control_call *c)
{
	const char *key = json_string_value(json_object_get(c->args, "key"));

	if (!isalnum((unsigned char)key[0]) || key[1])
		return err_set(c->e, -EINVAL, "Parameter 'key' must be one letter or digit");
	return machine_sysrq(machine_of(c), key[0], c->e);
}

int control_cmd_quit(struct control_call *c)
{
	run_quit(c->opaque, "host-qmp-quit");
	return 0;
}

static struct virtio_dev *balloon_of(const struct control_call *c)
{
	struct virtio_dev *dev = machine_balloon(machine_of(c));

	if (!dev)
		(void)err_set(c->e, -ENODEV, "No balloon device has been activated");
	return dev;
}

int control_cmd_query_balloon(struct control_call *c)
{
	struct virtio_dev *dev = balloon_of(c);
	struct balloon_stats stats;

	if (!dev)
		return -ENODEV;
	balloon_get_stats(dev, &stats);
	c->ret = json_pack("{s:I}", "actual", (json_int_t)stats.actual_bytes);
	return 0;
}

int control_cmd_balloon(struct control_call *c)
{
	json_int_t value = json_integer_value(json_object_get(c->args, "value"));
	struct virtio_dev *dev = balloon_of(c);

	if (!dev)
		return -ENODEV;
	if (value <= 0 || balloon_set_target(dev, (uint64_t)value) < 0)
		return err_set(
			c->e, -EINVAL,
			"Parameter 'value' must be 1 to %llu: what the guest was started with",
			(unsigned long long)machine_config(machine_of(c))->memory_bytes);
	return 0;
}

/* --- ferry's own --- */

/* How: flags of take_over_console(). */
#define CONSOLE_HISTORY   1U
#define CONSOLE_READ_ONLY 2U

/* The connection becomes a reader of the console. */
static int take_over_console(void *opaque, int fd, unsigned how)
{
	_cleanup_close_ int out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct console_reader_params p = {
		.in_fd = fd,
		.history = how & CONSOLE_HISTORY,
		.typing = how & CONSOLE_READ_ONLY ? CONSOLE_READS : CONSOLE_IN_TURN,
	};
	int rc;

	if (out < 0)
		return -errno;
	p.out_fd = out;
	rc = console_add_reader(machine_console(run_machine(opaque)), &p);
	if (rc == 0)
		(void)take_fd(&out);
	return rc;
}

int control_cmd_console(struct control_call *c)
{
	bool read_only = json_is_true(json_object_get(c->args, "read-only"));

	c->session->take_over = take_over_console;
	c->session->take_over_how =
		(json_is_true(json_object_get(c->args, "history")) ? CONSOLE_HISTORY : 0U) |
		(read_only ? CONSOLE_READ_ONLY : 0U);
	read_only |= console_is_typed_to(machine_console(machine_of(c)));
	c->ret = json_pack("{s:b}", "read-only", read_only);
	return 0;
}

const struct control_arg control_console_args[] = {
	{ "history", JSON_TRUE, true,
	  .help = "begin with what was printed before, up to 64 KiB of it" },
	{ "read-only", JSON_TRUE, true,
	  .help = "leave the keyboard to others; what comes is dropped" },
	{ 0 },
};

/* A save that nobody waits for any more is given up. */
static void on_saver_gone(void *opaque, const struct control_session *session)
{
	save_session_closed(opaque, session);
}

int control_cmd_save(struct control_call *c)
{
	const char *compress = json_string_value(json_object_get(c->args, "compress"));
	_cleanup_close_ int fd = control_take_fd_arg(c, "file");
	const struct save_params params = {
		.file = {
			.fd = fd,
			.zstd = compress != NULL,
		},
		.keep_running = json_is_true(json_object_get(c->args, "keep-running")),
		.session = c->session,
	};
	int rc;

	if (fd < 0)
		return fd;
	rc = save_start(c->opaque, &params, c->e);
	if (rc == 0)
		c->session->closed = on_saver_gone;
	return rc;
}

int control_cmd_save_finish(struct control_call *c)
{
	return save_finish(c->opaque, c->session, c->e);
}

static const char *const save_compressions[] = { "zstd", NULL };

const struct control_arg control_save_args[] = {
	{ "file", JSON_STRING, false, .help = CONTROL_FD_ARG_HELP ": the file to write" },
	{ "keep-running", JSON_TRUE, true,
	  .help = "the guest goes on afterwards; otherwise it ends" },
	{ "compress", JSON_STRING, true, .help = "how, if at all", .choices = save_compressions },
	{ 0 },
};

const struct control_arg control_balloon_args[] = {
	{ "value", JSON_INTEGER, false, .help = "bytes that the guest shall live with" },
	{ 0 },
};

const struct control_arg control_sysrq_args[] = {
	{ "key", JSON_STRING, false, .help = "a letter or digit" },
	{ 0 },
};

const struct control_arg control_rename_args[] = {
	{ "name", JSON_STRING, false, .help = "which no other guest has" },
	{ 0 },
};

const struct control_arg control_cont_args[] = {
	{ "force", JSON_TRUE, true,
	  .help = "go on even from `handover-unknown`: the guest runs nowhere else, "
		  "whatever ferry fears" },
	{ 0 },
};
