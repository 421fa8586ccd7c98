// SPDX-License-Identifier: MIT
// Help on all commands: for people, and as JSON for completion, the tests and the documentation.
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/control/cmds.h"

int cli_print_overview(void)
{
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
