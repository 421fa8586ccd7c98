// SPDX-License-Identifier: MIT
// What the control socket of a guest offers: the table, and the commands.
#include "vmm/control_cmds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/console.h"
#include "vmm/machine.h"
#include "vmm/run.h"
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

	c->ret = json_pack("{s:s, s:b, s:b}", "status", machine_status(m), "running",
			   machine_state(m) == MACHINE_RUNNING, "singlestep", 0);
	return 0;
}

static int query_name(struct control_call *c)
{
	c->ret = json_pack("{s:s}", "name", machine_config(machine_of(c))->name);
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

/* --- ferry's own --- */

static json_t *console_json(const struct control_call *c)
{
	const struct machine *m = machine_of(c);
	struct console_stats stats;

	console_get_stats(machine_console(m), &stats);
	return json_pack("{s:s, s:s?, s:I, s:I, s:i}", "kind", machine_config(m)->console, "path",
			 run_console_path(c->opaque), "written_bytes", (json_int_t)stats.written,
			 "lost_bytes", (json_int_t)stats.lost, "readers", stats.readers);
}

/* Exits to ferry by reason, summed over the vCPUs; reasons that never came are left out. */
static json_t *exits_json(const struct vm *vm)
{
	json_t *obj = json_object();

	for (uint32_t reason = 0; reason < VCPU_EXIT_REASONS; reason++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < vm->nr_vcpus; i++)
			sum += atomic_load_explicit(&vm->vcpus[i]->exits[reason],
						    memory_order_relaxed);
		if (sum)
			(void)json_object_set_new(obj, kvm_exit_name(reason),
						  json_integer((json_int_t)sum));
	}
	return obj;
}

static int ferry_info(struct control_call *c)
{
	const struct machine *m = machine_of(c);
	const struct config *cfg = machine_config(m);
	uint64_t up_ns = clock_now_ns() - machine_start_ns(m);

	c->ret = json_pack("{s:s, s:s, s:i, s:s, s:I, s:i, s:b, s:f, s:o, s:o, s:o}", "name",
			   cfg->name, "status", machine_status(m), "pid", getpid(), "version",
			   FERRY_VERSION, "memory", (json_int_t)cfg->memory_bytes, "vcpus",
			   cfg->vcpus, "ephemeral", cfg->ephemeral, "uptime_s",
			   (double)up_ns / NSEC_PER_SEC, "console", console_json(c), "exits",
			   exits_json(machine_vm(m)), "config", config_to_json(cfg));
	return 0;
}

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

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities,
	  .help = "End the negotiation; no other command works before it." },
	{ "query-version", control_cmd_version, .help = "The version of ferry." },
	{ "query-commands", control_cmd_commands, .help = "The names of all commands." },
	{ "query-events", control_cmd_events, .help = "The names of all events." },
	{ "query-status", query_status, .help = "Whether the guest runs, and if not, why." },
	{ "query-name", query_name, .help = "The name of the guest." },
	{ "query-cpus-fast", query_cpus, .help = "The vCPUs and their threads." },
	{ "stop", stop, .help = "Pause the guest." },
	{ "cont", cont, .help = "Let a paused guest go on." },
	{ "system_powerdown", system_powerdown, .help = "Press the power button." },
	{ "system_reset", system_reset, .help = "Reset the guest." },
	{ "quit", quit, .help = "End the guest at once." },
	{ "ferry-info", ferry_info,
	  .help = "All about the guest, with its settings and counters." },
	{ "ferry-console", ferry_console,
	  .help = "After the reply the connection is the guest's console: raw bytes both ways." },
};

static const struct control_event_info events[] = {
	{ "STOP", "The guest was paused." },
	{ "RESUME", "The guest goes on." },
	{ "POWERDOWN", "The power button was pressed." },
	{ "RESET", "The guest was reset." },
	{ "GUEST_PANICKED", "The guest has crashed." },
	{ "SHUTDOWN", "The guest has ended; the connection ends next." },
};

const struct control_table control_guest_table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
	.events = events,
	.nr_events = ARRAY_SIZE(events),
};
