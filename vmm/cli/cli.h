/* SPDX-License-Identifier: MIT */
/* The command line: sub-commands, their options, and help made from the tables. */
#ifndef FERRY_VMM_CLI_CLI_H
#define FERRY_VMM_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"

/* Exit statuses of every command; those of `run` are in run.h. */
enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1, /* ferry could not do it */
	CLI_USAGE = 2,  /* it was asked for wrongly */
};

#define CLI_MAX_OPTIONS 64
#define CLI_MAX_MORE    1024 /* words */

/* An option as given; applied to the settings structure when its turn comes. */
struct cli_option {
	const struct field *field;
	const char *text;
};

struct cli {
	const struct command *cmd;
	char **argv;       /* from the command's name on; reordered by parsing */
	const char *arg;   /* the positional argument; NULL: not given */
	const char *arg2;  /* the one after it */
	char *const *more; /* those after it */
	unsigned nr_more;
	struct cli_option options[CLI_MAX_OPTIONS];
	unsigned nr_options;
	bool help;
};

enum cli_positional { CLI_ARG_NONE, CLI_ARG_OPTIONAL, CLI_ARG_REQUIRED };

struct command {
	const char *name;
	const char *arg; /* what the positional argument is called */
	enum cli_positional positional;
	const char *summary;
	const struct field *fields;
	const size_t *nr_fields;
	/* Returns the exit status. */
	int (*run)(const struct cli *cli);
	const char *arg2; /* what the second one is called; NULL: there is none */
	enum cli_positional positional2;
	const char *more; /* what further ones are called */
	unsigned max_more;
};

extern const struct command cli_commands[];
extern const unsigned cli_nr_commands;

/* The command called @name, or NULL. */
const struct command *cli_find_command(const char *name);

/* Everything from main() on; returns the exit status. */
int cli_main(int argc, char **argv);

/*
 * Parse what follows the command's name (argv[0]). 0, or -EINVAL with @e. The
 * texts stay argv's.
 */
__must_check int cli_parse(struct cli *cli, const struct command *cmd, int argc, char **argv,
			   struct err *e);

/* Apply the options in their order to @base. 0, or -errno with the option in @e. */
__must_check int cli_apply(const struct cli *cli, void *base, struct err *e);

/* "ferry run: TEXT" on standard error; returns CLI_USAGE or CLI_FAILED by the code. */
int cli_fail(const struct cli *cli, const struct err *e);
int cli_usage(const struct command *cmd, const struct err *e);

/*
 * Print @json and a newline, by @flags of json_dumps(), and release it. In ASCII: C1's control
 * characters are escaped, too (util/printable.h). 0, or -EIO with @e.
 */
__must_check int cli_write_json(json_t *json, size_t flags, struct err *e);

/* The same for a reader's eyes, and without a word why not. CLI_OK, or CLI_FAILED. */
int cli_print_json(json_t *json);

/* The help of one command on standard output. CLI_OK, or CLI_FAILED. */
int cli_print_help(const struct command *cmd);

/* The same of ferry: all commands. */
int cli_print_overview(void);

/*
 * The same as an object: all commands with their options, and what the control socket
 * offers. NULL: no memory.
 */
json_t *cli_help_json(void);

/* Commands that are not in a file of their own name. */
int cli_run(const struct cli *cli);
int cli_list(const struct cli *cli);
int cli_info(const struct cli *cli);
int cli_pause(const struct cli *cli);
int cli_resume(const struct cli *cli);
int cli_shutdown(const struct cli *cli);
int cli_reset(const struct cli *cli);
int cli_destroy(const struct cli *cli);
int cli_reboot(const struct cli *cli);
int cli_nmi(const struct cli *cli);
int cli_sysrq(const struct cli *cli);
int cli_uptime(const struct cli *cli);
int cli_rename(const struct cli *cli);
int cli_disk(const struct cli *cli);
int cli_memory(const struct cli *cli);
int cli_vcpu(const struct cli *cli);
int cli_log(const struct cli *cli);
int cli_weight(const struct cli *cli);
int cli_cap(const struct cli *cli);
int cli_console(const struct cli *cli);
int cli_doctor(const struct cli *cli);
int cli_teleport(const struct cli *cli);
int cli_receive(const struct cli *cli);
int cli_save(const struct cli *cli);
int cli_dump_core(const struct cli *cli);
int cli_wait(const struct cli *cli);
int cli_metrics(const struct cli *cli);
int cli_top(const struct cli *cli);
int cli_restore(const struct cli *cli);
int cli_state(const struct cli *cli);
int cli_net(const struct cli *cli);
int cli_nic(const struct cli *cli);
int cli_plot(const struct cli *cli);
int cli_capture(const struct cli *cli);

#endif
