// SPDX-License-Identifier: MIT
// What happens to a guest that clients of its control socket hear of.
#include "vmm/control/cmds.h"

static const char *const crash_actions[] = { "poweroff", "reset", "pause", NULL };

static const struct control_arg reset_data[] = {
	{ "guest", JSON_TRUE, false, .help = "it did that itself" },
	{ "reason", JSON_STRING, false, .help = "as QMP calls it" },
	{ 0 },
};

static const struct control_arg panic_data[] = {
	{ "action", JSON_STRING, false, .help = "what happens to it now",
	  .choices = crash_actions },
	{ 0 },
};

static const struct control_arg deleted_data[] = {
	{ "device", JSON_STRING, false, .help = "its id" },
	{ "path", JSON_STRING, false, .help = "as QMP has it: `/machine/peripheral/` and the id" },
	{ 0 },
};

static const struct control_arg ost_data[] = {
	{ "info", JSON_OBJECT, false,
	  .help = "`device` (its id, if there is one), `slot` (its PCI device number, as text), "
		  "`slot-type` (`PCI`), `source` (1: it came; 3: it was to go) and `status` (0: "
		  "done; ACPI 6.4, 6.3.5)" },
	{ 0 },
};

static const struct control_arg released_data[] = {
	{ "id", JSON_STRING, false, .help = "which it was" },
	{ 0 },
};

static const struct control_arg saved_data[] = {
	{ "pages", JSON_INTEGER, false, .help = "of memory that are in the file" },
	{ "data-bytes", JSON_INTEGER, false, .help = "of them, as they were" },
	{ "file-bytes", JSON_INTEGER, false, .help = "as they are in the file" },
	{ "paused-ms", JSON_REAL, false, .help = "how long the guest stood" },
	{ "running", JSON_TRUE, false, .help = "it goes on; otherwise it ends next" },
	{ 0 },
};

static const struct control_arg save_failed_data[] = {
	{ "desc", JSON_STRING, false, .help = "why" },
	{ 0 },
};

static const struct control_arg dump_data[] = {
	{ "result", JSON_OBJECT, false, .help = "as `query-dump`" },
	{ "pages", JSON_INTEGER, false, .help = "that are not zero" },
	{ "file-bytes", JSON_INTEGER, false, .help = "of the file" },
	{ "data-bytes", JSON_INTEGER, false, .help = "of them with data" },
	{ "error", JSON_STRING, true, .help = "if it failed, why" },
	{ 0 },
};

static const struct control_arg migration_data[] = {
	{ "status", JSON_STRING, false, .help = "as in `query-migrate`" },
	{ "phase", JSON_STRING, false, .help = "of the conversation" },
	{ "held", JSON_TRUE, false, .help = "it waits there for `migrate-continue`" },
	{ 0 },
};

static const struct control_arg pass_data[] = {
	{ "pass", JSON_INTEGER, false, .help = "its number" },
	{ "pages", JSON_INTEGER, false, .help = "sent" },
	{ "bytes", JSON_INTEGER, false, .help = "on the wire" },
	{ "duration-us", JSON_INTEGER, false, .help = "of the pass" },
	{ "remaining", JSON_INTEGER, false, .help = "bytes that are dirty now" },
	{ 0 },
};

const struct control_event_info control_guest_events[] = {
	{ "STOP", .help = "The guest was paused." },
	{ "RESUME", .help = "The guest goes on." },
	{ "POWERDOWN", .help = "The power button was pressed." },
	{ "RESET", .help = "The guest was reset.", .data = reset_data },
	{ "GUEST_PANICKED", .help = "The guest has crashed.", .data = panic_data },
	{ "DEVICE_DELETED", .help = "A device is gone, and its id is free.", .data = deleted_data },
	{ "DEVICE_UNPLUG_GUEST_ERROR",
	  .help = "The guest was asked to let go of a device, and says by `_OST` that it will "
		  "not: the request is over.",
	  .data = deleted_data },
	{ "ACPI_DEVICE_OST",
	  .help = "The guest says, by `_OST`, what came of a device that was added or is to go; "
		  "once for each time.",
	  .data = ost_data },
	{ "NIC_RELEASED",
	  .help = "Of a nic that was deleted nothing is left on the host: after `DEVICE_DELETED`.",
	  .data = released_data },
	{ "SAVE_WRITTEN",
	  .help = "The guest's file is complete and durable; the guest waits for "
		  "`ferry-save-finish`.",
	  .data = saved_data },
	{ "SAVE_COMPLETED", .help = "The guest has been saved: the file is complete and durable.",
	  .data = saved_data },
	{ "SAVE_FAILED", .help = "The guest was not saved, and goes on.",
	  .data = save_failed_data },
	{ "DUMP_COMPLETED", .help = "A core was written, or was not.", .data = dump_data },
	{ "MIGRATION",
	  .help = "A migration has come to another state, or is held at a phase, or goes on.",
	  .data = migration_data },
	{ "MIGRATION_PASS", .help = "A migration's pass over memory is over.", .data = pass_data },
	{ "SHUTDOWN", .help = "The guest has ended; the connection ends next.",
	  .data = reset_data },
	{ CONTROL_EVENT_LOG, .help = "Ferry has logged a line, and this client follows the log.",
	  .data = control_log_data },
	{ CONTROL_EVENT_LOST, .help = "This client did not read, and has missed events.",
	  .data = control_lost_data },
	{ 0 },
};
