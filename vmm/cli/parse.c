// SPDX-License-Identifier: MIT
// The command line: options of one command, and telling what is wrong with them.
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/cli/cli.h"

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
		if (f->letter && !flag)
			*shorts++ = ':';
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
	cli->more = words;
	while (rc == 0 && *words && cli->nr_more < cmd->max_more) {
		cli->nr_more++;
		words++;
	}
	if (rc == 0 && *words)
		return err_set(e, -EINVAL, "'%s' is one argument too many", *words);
	return cli->help ? 0 : rc;
}

int cli_parse(struct cli *cli, const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct option longs[CLI_MAX_OPTIONS + 2];
	char shorts[2 * CLI_MAX_OPTIONS + 3];
	int rc = 0;
	int opt;

	*cli = (struct cli){ .cmd = cmd, .argv = argv };
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

int cli_write_json(json_t *json, size_t flags, struct err *e)
{
	bool ok = json && json_dumpf(json, stdout, flags | JSON_ENSURE_ASCII) == 0 &&
		  putchar('\n') != EOF && fflush(stdout) == 0;

	json_decref(json);
	return ok ? 0 : err_set(e, -EIO, "cannot write to standard output");
}

int cli_print_json(json_t *json)
{
	return cli_write_json(json, JSON_INDENT(2), NULL) == 0 ? CLI_OK : CLI_FAILED;
}
