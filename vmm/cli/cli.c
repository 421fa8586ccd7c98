// SPDX-License-Identifier: MIT
// The command line: finding the command, parsing its options, telling errors.
#include "vmm/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/dump.h"
#include "vmm/cli/remote.h"
#include "vmm/cli/teleport.h"
#include "vmm/guest/config.h"
#include "vmm/guest/net_show.h"
#include "vmm/move/receive.h"
#include "vmm/move/restore.h"
#include "vmm/move/save_options.h"
#include "vmm/move/state.h"

static int cmd_help(const struct cli *cli);
static int cmd_version(const struct cli *cli);

static const size_t no_fields = 0;

const struct command cli_commands[] = {
	{ "run", "CONFIG", CLI_ARG_OPTIONAL, "start a guest", config_fields, &config_nr_fields,
	  .run = cli_run },
	{ "list", NULL, CLI_ARG_NONE, "list the running guests", plain_fields, &plain_nr_fields,
	  .run = cli_list },
	{ "info", "NAME", CLI_ARG_REQUIRED, "tell about a guest", plain_fields, &plain_nr_fields,
	  .run = cli_info },
	{ "pause", "NAME", CLI_ARG_REQUIRED, "stop a guest's CPUs", NULL, &no_fields,
	  .run = cli_pause },
	{ "resume", "NAME", CLI_ARG_REQUIRED, "let a paused guest go on", resume_fields,
	  &resume_nr_fields, .run = cli_resume },
	{ "shutdown", "NAME", CLI_ARG_REQUIRED, "press a guest's power button", shutdown_fields,
	  &shutdown_nr_fields, .run = cli_shutdown },
	{ "reset", "NAME", CLI_ARG_REQUIRED, "reset a guest, as its reset button", NULL, &no_fields,
	  .run = cli_reset },
	{ "destroy", "NAME", CLI_ARG_REQUIRED, "end a guest at once", NULL, &no_fields,
	  .run = cli_destroy },
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
	{ "net", "ACTION", CLI_ARG_REQUIRED, "make, show and remove networks of guests", net_fields,
	  &net_nr_fields, .run = cli_net, .arg2 = "NAME", .positional2 = CLI_ARG_OPTIONAL },
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

/* --- options --- */

#define HELP_VAL 1000 /* what getopt_long() returns for --help */

/* getopt's tables from ours: @longs ends with zeroes, @shorts with '\0'. */
static void make_getopt(const struct command *cmd, struct option *longs, char *shorts)
{
	size_t nr = *cmd->nr_fields;

	*shorts++ = ':'; /* tell a missing value from an unknown option */
	*shorts++ = 'h';
	for (size_t i = 0; i < nr; i++) {
		const struct field *f = &cmd->fields[i];
		bool flag = f->type->kind == FIELD_FLAG;

		longs[i] = (struct option){ .name = f->name,
					    .has_arg = flag ? no_argument : required_argument,
					    .val = HELP_VAL + 1 + (int)i };
		if (f->letter)
			*shorts++ = f->letter;
	}
	longs[nr] = (struct option){ .name = "help", .val = HELP_VAL };
	longs[nr + 1] = (struct option){ 0 };
	*shorts = '\0';
}

static const struct field *field_of_opt(const struct command *cmd, int opt)
{
	for (size_t i = 0; i < *cmd->nr_fields; i++) {
		if (opt == HELP_VAL + 1 + (int)i || opt == cmd->fields[i].letter)
			return &cmd->fields[i];
	}
	return NULL;
}

static int add_option(struct cli *cli, int opt, struct err *e)
{
	if (opt == 'h' || opt == HELP_VAL) {
		cli->help = true;
		return 0;
	}
	if (cli->nr_options == CLI_MAX_OPTIONS)
		return err_set(e, -EINVAL, "more than %d options", CLI_MAX_OPTIONS);
	cli->options[cli->nr_options++] = (struct cli_option){
		.field = field_of_opt(cli->cmd, opt),
		.text = optarg ? optarg : "on",
	};
	return 0;
}

static int bad_option(int opt, char *const *argv, struct err *e)
{
	const char *word = argv[optind - 1];

	if (opt == ':')
		return err_set(e, -EINVAL, "option %s wants a value", word);
	if (optopt > HELP_VAL)
		return err_set(e, -EINVAL, "option %.*s takes no value", (int)strcspn(word, "="),
			       word);
	if (optopt)
		return err_set(e, -EINVAL, "there is no option -%c", optopt);
	return err_set(e, -EINVAL, "there is no option %s", word);
}

/* The next positional argument, if there is one; @words ends with NULL. */
static int take_word(const char **ret, char ***words, enum cli_positional how, const char *what,
		     struct err *e)
{
	if (**words && how != CLI_ARG_NONE)
		*ret = *(*words)++;
	else if (how == CLI_ARG_REQUIRED)
		return err_set(e, -EINVAL, "%s is missing", what);
	return 0;
}

static int take_positional(struct cli *cli, char **words, struct err *e)
{
	const struct command *cmd = cli->cmd;
	int rc = take_word(&cli->arg, &words, cmd->positional, cmd->arg, e);

	if (rc == 0)
		rc = take_word(&cli->arg2, &words, cmd->positional2, cmd->arg2, e);
	if (rc == 0 && *words)
		return err_set(e, -EINVAL, "'%s' is one argument too many", *words);
	return cli->help ? 0 : rc;
}

int cli_parse(struct cli *cli, const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct option longs[CLI_MAX_OPTIONS + 2];
	char shorts[CLI_MAX_OPTIONS + 3];
	int rc = 0;
	int opt;

	*cli = (struct cli){ .cmd = cmd };
	make_getopt(cmd, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while (rc == 0 && (opt = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			rc = bad_option(opt, argv, e);
		else
			rc = add_option(cli, opt, e);
	}
	return rc < 0 ? rc : take_positional(cli, argv + optind, e);
}

int cli_apply(const struct cli *cli, void *base, struct err *e)
{
	for (unsigned i = 0; i < cli->nr_options; i++) {
		const struct cli_option *o = &cli->options[i];

		if (field_set(o->field, base, o->text, e) < 0)
			return err_prefix(e, "--%s", o->field->name);
	}
	return 0;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
int cli_absolute_path(const char *path, char **ret)
{
	_cleanup_free_ char *cwd = *path == '/' ? strdup("") : realpath(".", NULL);

	if (!cwd)
		return -errno;
	if (asprintf(ret, "%s%s%s", cwd, *path == '/' ? "" : "/", path) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* --- output --- */

int cli_fail(const struct cli *cli, const struct err *e)
{
	(void)fprintf(stderr, "ferry %s: %s\n", cli->cmd->name, e->text);
	return CLI_FAILED;
}

int cli_usage(const struct command *cmd, const struct err *e)
{
	if (cmd)
		(void)fprintf(stderr, "ferry %s: %s; see 'ferry %s --help'\n", cmd->name, e->text,
			      cmd->name);
	else
		(void)fprintf(stderr, "ferry: %s; see 'ferry help'\n", e->text);
	return CLI_USAGE;
}

int cli_print_json(json_t *json)
{
	bool ok = json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;

	json_decref(json);
	return ok && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
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
	return cli_print_help(cli->arg ? cli_find_command(cli->arg) : NULL);
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
