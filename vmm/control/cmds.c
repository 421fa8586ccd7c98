// SPDX-License-Identifier: MIT
// What the control socket of a guest offers: the table, and the commands.
#include "vmm/control/cmds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "util/io.h"
#include "virtio/balloon.h"
#include "vmm/console.h"
#include "vmm/control/migrate.h"
#include "vmm/control/observe.h"
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

static int query_status(struct control_call *c)
{
	const struct machine *m = machine_of(c);

	c->ret = json_pack("{s:s, s:b, s:b}", "status", run_status_name(c->opaque), "running",
			   m && machine_state(m) == MACHINE_RUNNING, "singlestep", 0);
	return 0;
}

static int query_name(struct control_call *c)
{
	c->ret = json_pack("{s:s}", "name", run_name(c->opaque));
	return 0;
}

static int query_cpus(struct control_call *c)
{
	const struct vm *vm = machine_vm(machine_of(c));

	c->ret = json_array();
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		(void)json_array_append_new(c->ret,
					    json_pack("{s:i, s:i, s:s, s:{s:i}}", "cpu-index", i,
						      "thread-id", atomic_load(&vm->vcpus[i]->tid),
						      "target", "x86_64", "props", "core-id", i));
	return 0;
}

static int stop(struct control_call *c)
{
	return machine_pause(machine_of(c), c->e);
}

static int cont(struct control_call *c)
{
	if (json_is_true(json_object_get(c->args, "force")))
		return control_force_resume(c);
	return machine_resume(machine_of(c), c->e);
}

static int system_powerdown(struct control_call *c)
{
	return machine_power_button(machine_of(c), c->e);
}

static int system_reset(struct control_call *c)
{
	return machine_reset(machine_of(c), c->e);
}

static int quit(struct control_call *c)
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

static int query_balloon(struct control_call *c)
{
	struct virtio_dev *dev = balloon_of(c);
	struct balloon_stats stats;

	if (!dev)
		return -ENODEV;
	balloon_get_stats(dev, &stats);
	c->ret = json_pack("{s:I}", "actual", (json_int_t)stats.actual_bytes);
	return 0;
}

static int balloon(struct control_call *c)
{
	json_int_t value = json_integer_value(json_object_get(c->args, "value"));
	struct virtio_dev *dev = balloon_of(c);

	if (!dev)
		return -ENODEV;
	if (value <= 0 || balloon_set_target(dev, (uint64_t)value) < 0)
		return err_set(c->e, -EINVAL, "Parameter 'value' must be 1 to %llu",
			       (unsigned long long)machine_config(machine_of(c))->memory_bytes);
	return 0;
}

/* --- ferry's own --- */

/* The connection becomes a reader of the console. */
static int take_over_console(void *opaque, int fd)
{
	_cleanup_close_ int out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int rc;

	if (out < 0)
		return -errno;
	rc = console_add_reader(machine_console(run_machine(opaque)),
				&(struct console_reader_params){ .in_fd = fd, .out_fd = out });
	if (rc == 0)
		(void)take_fd(&out);
	return rc;
}

static int ferry_console(struct control_call *c)
{
	c->session->take_over = take_over_console;
	return 0;
}

/* A save that nobody waits for any more is given up. */
static void on_saver_gone(void *opaque, const struct control_session *session)
{
	save_session_closed(opaque, session);
}

static int ferry_save(struct control_call *c)
{
	const char *compress = json_string_value(json_object_get(c->args, "compress"));
	const struct save_params params = {
		.file = {
			.path = json_string_value(json_object_get(c->args, "file")),
			.force = json_is_true(json_object_get(c->args, "force")),
			.zstd = compress != NULL,
		},
		.keep_running = json_is_true(json_object_get(c->args, "keep-running")),
		.session = c->session,
	};
	int rc;

	if (params.file.path[0] != '/')
		return err_set(c->e, -EINVAL, "Parameter 'file' must be an absolute path");
	if (compress && strcmp(compress, "zstd") != 0)
		return err_set(c->e, -EINVAL, "Parameter 'compress' must be zstd");
	rc = save_start(c->opaque, &params, c->e);
	if (rc == 0)
		c->session->closed = on_saver_gone;
	return rc;
}

static const struct control_arg save_args[] = {
	{ "file", JSON_STRING, false, "absolute path of the file to write" },
	{ "keep-running", JSON_TRUE, true, "the guest goes on afterwards; otherwise it ends" },
	{ "compress", JSON_STRING, true, "zstd" },
	{ "force", JSON_TRUE, true, "replace a file that is there" },
	{ 0 },
};

static const struct control_arg balloon_args[] = {
	{ "value", JSON_INTEGER, false, "bytes that the guest shall live with" },
	{ 0 },
};

static const struct control_arg cont_args[] = {
	{ "force", JSON_TRUE, true, "the guest does not run elsewhere, whatever ferry fears" },
	{ 0 },
};

/* A guest that has moved can still be asked how that went. */
static int admit(struct control_call *c)
{
	const char *where = run_moved_to(c->opaque);

	return where ? err_set(c->e, -EINVAL, "the guest has moved to %s", where) : 0;
}

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities, .anytime = true,
	  .help = "End the negotiation; no other command works before it." },
	{ "query-version", control_cmd_version, .anytime = true, .help = "The version of ferry." },
	{ "query-commands", control_cmd_commands, .anytime = true,
	  .help = "The names of all commands." },
	{ "query-events", control_cmd_events, .anytime = true, .help = "The names of all events." },
	{ "query-status", query_status, .anytime = true,
	  .help = "Whether the guest runs, and if not, why." },
	{ "query-name", query_name, .anytime = true, .help = "The name of the guest." },
	{ "query-cpus-fast", query_cpus, .help = "The vCPUs and their threads." },
	{ "stop", stop, .help = "Pause the guest." },
	{ "cont", cont, .help = "Let a paused guest go on.", .args = cont_args },
	{ "system_powerdown", system_powerdown, .help = "Press the power button." },
	{ "system_reset", system_reset, .help = "Reset the guest." },
	{ "quit", quit, .anytime = true, .help = "End the guest at once." },
	{ "query-balloon", query_balloon, .help = "How much memory the guest has now." },
	{ "balloon", balloon, .help = "Ask the guest to live with less memory, or more.",
	  .args = balloon_args },
	{ "migrate", control_cmd_migrate, .args = control_migrate_args,
	  .help = "Begin to move the guest to another host; see query-migrate and MIGRATION." },
	{ "query-migrate", control_cmd_query_migrate, .anytime = true,
	  .help = "How far the last migration is, or how it ended." },
	{ "ferry-migrate-report", control_cmd_migrate_report, .anytime = true,
	  .help = "Samples and passes of the last migration, if migrate asked for a report." },
	{ "migrate_cancel", control_cmd_migrate_cancel,
	  .help = "Give the migration up; the guest goes on here." },
	{ "migrate-continue", control_cmd_migrate_continue,
	  .help = "Go on from the phase where the migration is held." },
	{ "ferry-info", control_cmd_info, .anytime = true,
	  .help = "All about the guest, with its settings and counters." },
	{ "ferry-save", ferry_save, .args = save_args,
	  .help = "Begin to save the guest to a file; SAVE_COMPLETED or SAVE_FAILED follows. Given "
		  "up if the client goes." },
	{ "dump-guest-memory", control_cmd_dump, .args = control_dump_args,
	  .help = "Begin to write an ELF core of the guest; DUMP_COMPLETED follows. Given up if "
		  "the client goes." },
	{ "query-dump", control_cmd_query_dump, .anytime = true,
	  .help = "Whether a core is being written, or how the last one ended." },
	{ "ferry-console", ferry_console,
	  .help = "After the reply the connection is the guest's console: raw bytes both ways." },
};

static const struct control_event_info events[] = {
	{ "STOP", "The guest was paused." },
	{ "RESUME", "The guest goes on." },
	{ "POWERDOWN", "The power button was pressed." },
	{ "RESET", "The guest was reset." },
	{ "GUEST_PANICKED", "The guest has crashed." },
	{ "SAVE_COMPLETED", "The guest has been saved: the file is complete and durable." },
	{ "SAVE_FAILED", "The guest was not saved, and goes on." },
	{ "DUMP_COMPLETED", "A core was written, or was not." },
	{ "MIGRATION", "A migration has come to another state, or is held at a phase." },
	{ "MIGRATION_PASS", "A migration's pass over memory is over." },
	{ "SHUTDOWN", "The guest has ended; the connection ends next." },
};

const struct control_table control_guest_table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
	.events = events,
	.nr_events = ARRAY_SIZE(events),
	.admit = admit,
};
