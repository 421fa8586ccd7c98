// SPDX-License-Identifier: MIT
// What the control socket of a guest offers: the table of its commands. Dispatch,
// query-qmp-schema and docs/control.md are made from it.
#include "vmm/control/cmds.h"

#include <errno.h>

#include "vmm/control/capture.h"
#include "vmm/control/disks.h"
#include "vmm/control/migrate.h"
#include "vmm/control/nics.h"
#include "vmm/control/observe.h"
#include "vmm/control/stats.h"
#include "vmm/guest/run.h"
#include "vmm/move/run_mover.h"

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities, .anytime = true,
	  .help = "End the negotiation; no other command works before it." },
	{ "query-version", control_cmd_version, .anytime = true, .help = "The version of ferry.",
	  .returns = "as in the greeting" },
	{ "query-commands", control_cmd_commands, .anytime = true,
	  .help = "The names of all commands.", .returns = "`[{\"name\": ...}]`" },
	{ "query-events", control_cmd_events, .anytime = true, .help = "The names of all events.",
	  .returns = "`[{\"name\": ...}]`" },
	{ "query-qmp-schema", control_cmd_schema, .anytime = true,
	  .help = "All commands and events with their arguments, as QMP's introspection tells "
		  "them.",
	  .returns = "an array of SchemaInfo; what commands return has the type `any`" },
	{ "query-status", control_cmd_query_status, .anytime = true,
	  .help = "Whether the guest runs, and if not, why.",
	  .returns = "`status` (`prelaunch`, `running`, `paused`, `guest-panicked`, `shutdown` "
		     "(also of one that is kept by `--on-poweroff preserve`); "
		     "`save-vm` while it is being saved; during a teleport also `inmigrate`, "
		     "`finish-migrate`, `postmigrate`, `handover-unknown`), `running`, "
		     "`singlestep`" },
	{ "query-name", control_cmd_query_name, .anytime = true, .help = "The name of the guest.",
	  .returns = "`name`" },
	{ "query-cpus-fast", control_cmd_query_cpus, .help = "The vCPUs and their threads.",
	  .returns = "for each vCPU `cpu-index`, `thread-id`, `target`, `props`, `affinity` (the "
		     "host's CPUs it may run on) and `cpu-time-ns`" },
	{ "ferry-pin", control_cmd_pin, .args = control_pin_args,
	  .help = "Let vCPUs run on some of the host's CPUs only." },
	{ "stop", control_cmd_stop, .help = "Pause the guest; harmless when it is paused." },
	{ "cont", control_cmd_cont, .args = control_cont_args,
	  .help = "Let a paused guest go on; harmless when it runs." },
	{ "system_powerdown", control_cmd_powerdown, .help = "Press the power button." },
	{ "system_reset", control_cmd_reset,
	  .help = "Reset the guest; a paused one stays paused, one that crashed runs again." },
	{ "ferry-reboot", control_cmd_reboot,
	  .help = "Press the power button, and start the guest again when it has switched itself "
		  "off. A guest that does not heed the button goes on." },
	{ "inject-nmi", control_cmd_nmi, .help = "A non-maskable interrupt to all vCPUs." },
	{ "ferry-sysrq", control_cmd_sysrq, .args = control_sysrq_args,
	  .help = "A break on the serial port and a key: what a Linux guest whose console is there "
		  "takes for SysRq." },
	{ "ferry-rename", control_cmd_rename, .args = control_rename_args,
	  .help = "Give the guest another name, which its control socket then has; clients stay." },
	{ "quit", control_cmd_quit, .anytime = true,
	  .help = "End the guest at once, with status 0." },
	{ "query-balloon", control_cmd_query_balloon, .help = "How much memory the guest has now.",
	  .returns = "`actual`: bytes" },
	{ "balloon", control_cmd_balloon, .args = control_balloon_args,
	  .help = "Ask the guest to live with less memory, or more." },
	{ "device_add", control_cmd_device_add, .args = control_device_add_args,
	  .help = "Add a device while the guest runs.",
	  .returns = "of a disk or nic its `id` and `slot`" },
	{ "device_del", control_cmd_device_del, .args = control_device_del_args,
	  .help = "Ask the guest to let go of a device; `DEVICE_DELETED` follows when it has, "
		  "`DEVICE_UNPLUG_GUEST_ERROR` if it says that it will not. "
		  "Asking again reminds it." },
	{ "migrate", control_cmd_migrate, .args = control_migrate_args,
	  .help = "Begin to move the guest to another host: see below, `query-migrate` and "
		  "`MIGRATION`." },
	{ "query-migrate", control_cmd_query_migrate, .anytime = true,
	  .help = "How far the last migration is, or how it ended.", .returns = "see below" },
	{ "ferry-migrate-report", control_cmd_migrate_report, .anytime = true,
	  .help = "Samples and passes of the last migration, if `migrate` had `report`.",
	  .returns = "see below" },
	{ "migrate_cancel", control_cmd_migrate_cancel,
	  .help = "Give the migration up; the guest goes on here. Refused once the commit was "
		  "sent." },
	{ "migrate-continue", control_cmd_migrate_continue,
	  .help = "Go on from the phase where the migration is held, on either side." },
	{ "query-block", control_cmd_query_block, .help = "The disks, as QMP's.",
	  .returns =
		  "for each disk `device`, `qdev`, `type`, `removable`, `locked`, `inserted` "
		  "(`file`, `node-name`, `ro`, `drv`, `image`, `cache`, `bps`, `iops` and what "
		  "else QMP has), and `ferry`: `slot` (its PCI device number), `overlay`, `how`, "
		  "`burst`" },
	{ "block_resize", control_cmd_block_resize, .args = control_block_resize_args,
	  .help = "Enlarge a disk while the guest runs, and tell its driver. A file grows, a "
		  "device's size is looked up, and an overlay grows alone.",
	  .returns = "`size`: what the guest sees now, in bytes" },
	{ "block_set_io_throttle", control_cmd_block_limits, .args = control_block_limits_args,
	  .help = "Limit a disk otherwise; what is not given stays." },
	{ "query-blockstats", control_cmd_blockstats, .help = "Counters of each disk, as QMP's.",
	  .returns =
		  "for each disk `device`, `qdev`, `stats` and `queues`: `stats` of each queue" },
	{ "ferry-nics", control_cmd_nics, .help = "The nics, with their limits and counters.",
	  .returns = "for each nic `id`, `backend` (`tap` or `user`), `host_interface`, `net` (as "
		     "`--net` has it), `kind` (`user`, `tap`, `macvtap`, `network`), `network`, "
		     "`bridge`, `mac`, `slot` (PCI device), `link` (`up`, `down`, or `failed`: its "
		     "interface is gone), `limits` (`rx-bps`, `rx-pps`, `tx-bps`, `tx-pps`; 0: "
		     "none), `stats` (`rx` is to the guest, `tx` from it) and `queues`: `stats` of "
		     "each pair" },
	{ "ferry-nic-check", control_cmd_nic_check, .args = control_nic_check_args,
	  .help = "Could `device_add` bring this nic? Chooses what is not said of it; nothing is "
		  "kept.",
	  .returns = "`guest` (its name), `id`, `mac`, `number` (of the nic, for ferry-net)" },
	{ "ferry-nic-limits", control_cmd_nic_limits, .args = control_nic_limits_args,
	  .help = "Other limits for a nic, from now on. Refused while the guest is being moved, "
		  "saved or dumped." },
	{ "set_link", control_cmd_set_link, .args = control_set_link_args,
	  .help = "Put a nic's cable in, or take it out: the guest sees its carrier come or go, "
		  "and frames of either direction are lost meanwhile." },
	{ "ferry-capture", control_cmd_capture, .args = control_capture_args,
	  .fd = CONTROL_FD_REQUIRED,
	  .help = "Send copies of a nic's frames to the socket that comes with the request, as "
		  "`net/capture.h` has it, until its other end is closed or asks for the end.",
	  .returns = "`id`, `backend`, `host_interface`" },
	{ "ferry-info", control_cmd_info, .anytime = true,
	  .help = "All about the guest, with its settings and counters.",
	  .returns = "everything that `ferry info` shows" },
	{ "query-log", control_cmd_log, .args = control_log_args, .anytime = true,
	  .help = "The last lines that ferry has logged, 256 at most.",
	  .returns = "for each line what `LOG` has" },
	{ "ferry-save", control_cmd_save, .args = control_save_args,
	  .help = "Begin to save the guest to a file. `SAVE_COMPLETED` or `SAVE_FAILED` follows; "
		  "where the guest shall end, `SAVE_WRITTEN` comes first, and the guest waits for "
		  "`ferry-save-finish`. Given up when this client hangs up, or by "
		  "`migrate_cancel`." },
	{ "ferry-save-finish", control_cmd_save_finish,
	  .help = "The file that `SAVE_WRITTEN` has told of has its name: the guest may end. From "
		  "the client that has begun the save." },
	{ "dump-guest-memory", control_cmd_dump, .args = control_dump_args,
	  .help = "Begin to write an ELF core of the guest to a file; `DUMP_COMPLETED` follows. "
		  "Given up when this client hangs up." },
	{ "query-dump", control_cmd_query_dump, .anytime = true,
	  .help = "Whether a core is being written, or how the last one ended, if nothing was "
		  "saved or moved since.",
	  .returns = "`status` (`none`, `active`, `completed`, `failed`), `completed` and `total` "
		     "(bytes of the guest's memory)" },
	{ "ferry-metrics", control_cmd_metrics,
	  .help = "All counters, as `ferry metrics` prints them.",
	  .returns = "`text` in the exposition format of Prometheus" },
	{ "getfd", control_cmd_getfd, .args = control_getfd_args, .fd = CONTROL_FD_REQUIRED,
	  .help = "Leave a descriptor for a later command of this client, which names it; it is "
		  "closed when the client hangs up." },
	{ "closefd", control_cmd_closefd, .args = control_closefd_args,
	  .help = "Close a descriptor that `getfd` has left." },
	{ "ferry-console", control_cmd_console, .args = control_console_args,
	  .help = "After the reply the connection is the guest's console: raw bytes both ways. "
		  "Of several such clients the one that has been there longest types.",
	  .returns = "`read-only`: it is not this client's turn to type, or it does not want to" },
};

/* A guest that has moved can still be asked how that went. */
static int admit(struct control_call *c)
{
	const char *where = run_moved_to(c->opaque);

	return where ? err_set(c->e, -EINVAL, "the guest has moved to %s", where) : 0;
}

const struct control_table control_guest_table = {
	.commands = commands,
	.nr_commands = ARRAY_SIZE(commands),
	.events = control_guest_events,
	.admit = admit,
};
