// SPDX-License-Identifier: MIT
// Help on one command.
#include <stdio.h>

#include "vmm/cli/cli.h"

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

int cli_print_help(const struct command *cmd)
{
	size_t nr = *cmd->nr_fields;

	(void)printf("usage: ferry %s", cmd->name);
	print_positional(cmd->positional, cmd->arg);
	print_positional(cmd->positional2, cmd->arg2);
	if (cmd->max_more)
		(void)printf(cmd->max_more == 1 ? " [%s]" : " [%s ...]", cmd->more);
	(void)printf(" [options]\n\n%s\n\noptions:\n", cmd->summary);
	for (size_t i = 0; i < nr; i++) {
		print_option(&cmd->fields[i]);
		if (cmd->fields[i].type->kind == FIELD_LIST)
			print_properties(cmd->fields[i].record);
	}
	(void)printf("%-*s %s\n\nmanual: man ferry-%s\n", HELP_COLUMN, "  -h, --help", "this text",
		     cmd->name);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
