// SPDX-License-Identifier: MIT
// The command line: the commands of ferry.
#include "vmm/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/capture.h"
#include "vmm/cli/device.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/dump.h"
#include "vmm/cli/plot.h"
#include "vmm/cli/power.h"
#include "vmm/cli/remote.h"
#include "vmm/cli/teleport.h"
#include "vmm/cli/top.h"
#include "vmm/cli/tune.h"
#include "vmm/cli/wait.h"
#include "vmm/guest/config.h"
#include "vmm/move/receive.h"
#include "vmm/move/restore.h"
#include "vmm/move/save_options.h"
#include "vmm/move/state.h"
#include "vmm/network/options.h"

static int cmd_help(const struct cli *cli);
static int cmd_version(const struct cli *cli);

static const size_t no_fields = 0;

const struct command cli_commands[] = {
	{ "run", "CONFIG", CLI_ARG_OPTIONAL, "start a guest", config_fields, &config_nr_fields,
	  .run = cli_run },
	{ "list", "NAME", CLI_ARG_OPTIONAL, "list the running guests", guests_fields,
	  &guests_nr_fields, .run = cli_list, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "info", "NAME", CLI_ARG_OPTIONAL, "tell about a guest", guests_fields, &guests_nr_fields,
	  .run = cli_info, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "uptime", "NAME", CLI_ARG_OPTIONAL, "tell how long a guest runs", guests_fields,
	  &guests_nr_fields, .run = cli_uptime, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "rename", "NAME", CLI_ARG_REQUIRED, "give a guest another name", plain_fields,
	  &plain_nr_fields, .run = cli_rename, .arg2 = "NEW", .positional2 = CLI_ARG_REQUIRED },
	{ "pause", "NAME", CLI_ARG_OPTIONAL, "stop a guest's CPUs", guests_fields,
	  &guests_nr_fields, .run = cli_pause, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "resume", "NAME", CLI_ARG_OPTIONAL, "let a paused guest go on", resume_fields,
	  &resume_nr_fields, .run = cli_resume, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "shutdown", "NAME", CLI_ARG_OPTIONAL, "press a guest's power button", shutdown_fields,
	  &shutdown_nr_fields, .run = cli_shutdown, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "reboot", "NAME", CLI_ARG_OPTIONAL, "press a guest's power button and start it again",
	  shutdown_fields, &shutdown_nr_fields, .run = cli_reboot, .more = "NAME",
	  .max_more = CLI_MAX_MORE },
	{ "top", NULL, CLI_ARG_NONE, "show what the guests do", top_fields, &top_nr_fields,
	  .run = cli_top },
	{ "metrics", "NAME", CLI_ARG_REQUIRED, "print a guest's counters for Prometheus",
	  plain_fields, &plain_nr_fields, .run = cli_metrics },
	{ "wait", "NAME", CLI_ARG_REQUIRED, "wait until something happens to a guest", wait_fields,
	  &wait_nr_fields, .run = cli_wait },
	{ "reset", "NAME", CLI_ARG_OPTIONAL, "reset a guest, as its reset button", guests_fields,
	  &guests_nr_fields, .run = cli_reset, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "destroy", "NAME", CLI_ARG_OPTIONAL, "end a guest at once", guests_fields,
	  &guests_nr_fields, .run = cli_destroy, .more = "NAME", .max_more = CLI_MAX_MORE },
	{ "nmi", "NAME", CLI_ARG_OPTIONAL, "send a guest's CPUs a non-maskable interrupt",
	  guests_fields, &guests_nr_fields, .run = cli_nmi, .more = "NAME",
	  .max_more = CLI_MAX_MORE },
	{ "sysrq", "NAME", CLI_ARG_REQUIRED, "press a key of a guest's SysRq", plain_fields,
	  &plain_nr_fields, .run = cli_sysrq, .arg2 = "KEY", .positional2 = CLI_ARG_REQUIRED },
	{ "memory", "set|stats", CLI_ARG_REQUIRED, "set and show how much memory a guest has",
	  memory_fields, &memory_nr_fields, .run = cli_memory, .arg2 = "NAME",
	  .positional2 = CLI_ARG_REQUIRED, .more = "SIZE", .max_more = 1 },
	{ "vcpu", "list|pin|set", CLI_ARG_REQUIRED, "show a guest's CPUs and pin them",
	  plain_fields, &plain_nr_fields, .run = cli_vcpu, .arg2 = "NAME",
	  .positional2 = CLI_ARG_REQUIRED, .more = "VALUE", .max_more = 2 },
	{ "disk", "list|attach|detach|resize|limit", CLI_ARG_REQUIRED,
	  "show a guest's disks and change them", device_fields, &device_nr_fields, .run = cli_disk,
	  .arg2 = "NAME", .positional2 = CLI_ARG_REQUIRED, .more = "WORD", .max_more = 4 },
	{ "weight", "NAME", CLI_ARG_REQUIRED, "set and show a guest's share of busy CPUs",
	  plain_fields, &plain_nr_fields, .run = cli_weight, .arg2 = "WEIGHT",
	  .positional2 = CLI_ARG_OPTIONAL },
	{ "cap", "NAME", CLI_ARG_REQUIRED, "set and show the most CPU time of a guest",
	  plain_fields, &plain_nr_fields, .run = cli_cap, .arg2 = "PERCENT",
	  .positional2 = CLI_ARG_OPTIONAL },
	{ "log", "NAME", CLI_ARG_REQUIRED, "show what ferry has logged about a guest", log_fields,
	  &log_nr_fields, .run = cli_log },
	{ "console", "NAME", CLI_ARG_REQUIRED, "attach to a guest's console", NULL, &no_fields,
	  .run = cli_console },
	{ "dump-core", "NAME", CLI_ARG_REQUIRED, "write a guest's memory for a debugger",
	  dump_fields, &dump_nr_fields, .run = cli_dump_core, .arg2 = "FILE",
	  .positional2 = CLI_ARG_REQUIRED },
	{ "save", "NAME", CLI_ARG_REQUIRED, "save a guest to a file", save_fields, &save_nr_fields,
	  .run = cli_save, .arg2 = "FILE", .positional2 = CLI_ARG_REQUIRED },
	{ "restore", "FILE", CLI_ARG_REQUIRED, "run a guest that was saved", restore_fields,
	  &restore_nr_fields, .run = cli_restore },
	{ "receive", NULL, CLI_ARG_NONE, "wait for guests that are teleported here", receive_fields,
	  &receive_nr_fields, .run = cli_receive },
	{ "teleport", "NAME", CLI_ARG_REQUIRED, "move a running guest to another host",
	  teleport_fields, &teleport_nr_fields, .run = cli_teleport, .arg2 = "DESTINATION",
	  .positional2 = CLI_ARG_OPTIONAL },
	{ "state", "FILE", CLI_ARG_REQUIRED, "show what is in a saved guest", state_fields,
	  &state_nr_fields, .run = cli_state },
	{ "net", "create|list|show|delete|forward|repair|start", CLI_ARG_REQUIRED,
	  "make, show and remove networks of guests", net_fields, &net_nr_fields, .run = cli_net,
	  .arg2 = "NAME", .positional2 = CLI_ARG_OPTIONAL, .more = "WORD", .max_more = 2 },
	{ "nic", "list|attach|detach|limit|link", CLI_ARG_REQUIRED,
	  "show and change the nics of a running guest", device_fields, &device_nr_fields,
	  .run = cli_nic, .arg2 = "NAME", .positional2 = CLI_ARG_REQUIRED, .more = "WORD",
	  .max_more = 5 },
	{ "capture", "NAME", CLI_ARG_REQUIRED, "write the frames of a guest's nic to a file",
	  capture_fields, &capture_nr_fields, .run = cli_capture, .arg2 = "NIC",
	  .positional2 = CLI_ARG_OPTIONAL },
	{ "plot", "NAME", CLI_ARG_REQUIRED, "record and draw what a guest's nics and disks do",
	  plot_fields, &plot_nr_fields, .run = cli_plot, .arg2 = "DEVICES",
	  .positional2 = CLI_ARG_OPTIONAL },
	{ "doctor", NULL, CLI_ARG_NONE, "tell what this host can do and what is missing",
	  plain_fields, &plain_nr_fields, .run = cli_doctor },
	{ "help", "COMMAND", CLI_ARG_OPTIONAL, "explain a command", plain_fields, &plain_nr_fields,
	  .run = cmd_help },
	{ "version", NULL, CLI_ARG_NONE, "print ferry's version", plain_fields, &plain_nr_fields,
	  .run = cmd_version },
};
const unsigned cli_nr_commands = ARRAY_SIZE(cli_commands);

const struct command *cli_find_command(const char *name)
{
	for (unsigned i = 0; i < cli_nr_commands; i++) {
		if (!strcmp(cli_commands[i].name, name))
			return &cli_commands[i];
	}
	return NULL;
}

/* --- commands --- */

static int cmd_help(const struct cli *cli)
{
	struct plain_options o = { 0 };
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (o.json)
		return cli_print_json(cli_help_json());
	if (cli->arg && !cli_find_command(cli->arg)) {
		(void)err_set(&e, -EINVAL, "there is no command '%s'", cli->arg);
		return cli_usage(NULL, &e);
	}
	return cli->arg ? cli_print_help(cli_find_command(cli->arg)) : cli_print_overview();
}

static int cmd_version(const struct cli *cli)
{
	struct plain_options o = { 0 };
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (o.json)
		return cli_print_json(json_pack("{s:s}", "version", FERRY_VERSION));
	return puts("ferry " FERRY_VERSION) < 0 ? CLI_FAILED : CLI_OK;
}

int cli_doctor(const struct cli *cli)
{
	struct plain_options o = { 0 };
	struct err e;

	return cli_apply(cli, &o, &e) < 0 ? cli_usage(cli->cmd, &e) : doctor_print(o.json);
}

/* "ferry --help" and the like, for those who try that first. */
static const char *alias(const char *word)
{
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return "help";
	if (!strcmp(word, "--version") || !strcmp(word, "-V"))
		return "version";
	return word;
}

int cli_main(int argc, char **argv)
{
	const struct command *cmd;
	struct cli cli;
	struct err e;

	if (argc < 2) {
		(void)err_set(&e, -EINVAL, "a command is missing");
		return cli_usage(NULL, &e);
	}
	cmd = cli_find_command(alias(argv[1]));
	if (!cmd) {
		(void)err_set(&e, -EINVAL, "there is no command '%s'", argv[1]);
		return cli_usage(NULL, &e);
	}
	if (cli_parse(&cli, cmd, argc - 1, argv + 1, &e) < 0)
		return cli_usage(cmd, &e);
	if (cli.help)
		return cli_print_help(cmd);
	return cmd->run(&cli);
}
