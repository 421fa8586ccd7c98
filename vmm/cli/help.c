// SPDX-License-Identifier: MIT
// Help: for people, and as JSON for completion, the tests and the documentation.
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/control/cmds.h"

#define HELP_COLUMN 26

static void print_option(const struct field *f)
{
	char left[64];
	int n = snprintf(left, sizeof(left), "  %s%c%s --%s%s%s", f->letter ? "-" : " ",
			 f->letter ? f->letter : ' ', f->letter ? "," : " ", f->name,
			 f->arg ? " " : "", f->arg ? f->arg : "");

	(void)printf("%-*s%s%s\n", HELP_COLUMN, left, n >= HELP_COLUMN ? "  " : " ", f->help);
}

/* The parts of an option that is a record: "  ,readonly   refuse writes". */
static void print_properties(const struct field_record *rec)
{
	for (size_t i = 1; i < rec->nr_fields; i++) {
		const struct field *f = &rec->fields[i];
		char left[64];

		(void)snprintf(left, sizeof(left), "         ,%s%s%s", f->name, f->arg ? "=" : "",
			       f->arg ? f->arg : "");
		(void)printf("%-*s %s\n", HELP_COLUMN, left, f->help);
	}
}

/* " NAME", " [NAME]" or nothing. */
static void print_positional(enum cli_positional how, const char *what)
{
	if (how == CLI_ARG_REQUIRED)
		(void)printf(" %s", what);
	else if (how == CLI_ARG_OPTIONAL)
		(void)printf(" [%s]", what);
}

static void print_command(const struct command *cmd)
{
	size_t nr = *cmd->nr_fields;

	(void)printf("usage: ferry %s", cmd->name);
	print_positional(cmd->positional, cmd->arg);
	print_positional(cmd->positional2, cmd->arg2);
	(void)printf(" [options]\n\n%s\n\noptions:\n", cmd->summary);
	for (size_t i = 0; i < nr; i++) {
		print_option(&cmd->fields[i]);
		if (cmd->fields[i].type->kind == FIELD_LIST)
			print_properties(cmd->fields[i].record);
	}
	(void)printf("%-*s %s\n\nmanual: man ferry-%s\n", HELP_COLUMN, "  -h, --help", "this text",
		     cmd->name);
}

int cli_print_help(const struct command *cmd)
{
	if (cmd) {
		print_command(cmd);
		return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	}
	(void)printf("usage: ferry COMMAND ...\n\ncommands:\n");
	for (unsigned i = 0; i < cli_nr_commands; i++)
		(void)printf("  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
	(void)printf("\n'ferry COMMAND --help' and 'man ferry-COMMAND' tell more.\n");
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static json_t *fields_help(const struct field *fields, size_t nr);

static json_t *field_help(const struct field *f)
{
	json_t *json = json_pack("{s:s, s:s?, s:s, s:b, s:b}", "name", f->name, "arg", f->arg,
				 "help", f->help, "repeatable", f->type->kind == FIELD_LIST,
				 "in_config_file", !f->cli_only);
	char letter[2] = { f->letter };

	if (f->letter)
		(void)json_object_set_new(json, "letter", json_string(letter));
	if (f->record)
		(void)json_object_set_new(json, "parts",
					  fields_help(f->record->fields, f->record->nr_fields));
	return json;
}

static json_t *fields_help(const struct field *fields, size_t nr)
{
	json_t *array = json_array();

	for (size_t i = 0; i < nr; i++)
		(void)json_array_append_new(array, field_help(&fields[i]));
	return array;
}

json_t *cli_help_json(void)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < cli_nr_commands; i++) {
		const struct command *cmd = &cli_commands[i];

		(void)json_array_append_new(
			array, json_pack("{s:s, s:s?, s:s, s:o}", "name", cmd->name, "arg",
					 cmd->arg, "summary", cmd->summary, "options",
					 fields_help(cmd->fields, *cmd->nr_fields)));
	}
	return json_pack("{s:o, s:o}", "commands", array, "control",
			 control_describe(&control_guest_table));
}
