// SPDX-License-Identifier: MIT
// The ferry-net program: managed networks, for whoever may change the host's network.
#include <string.h>

#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/network/attach.h"
#include "vmm/network/command.h"
#include "vmm/network/options.h"
#include "vmm/network/privilege.h"

static const struct command net_command = {
	.name = "net",
	.arg = "ACTION",
	.positional = CLI_ARG_REQUIRED,
	.summary = "make, show and remove networks of guests",
	.fields = net_fields,
	.nr_fields = &net_nr_fields,
	.run = network_command,
	.arg2 = "NAME",
	.positional2 = CLI_ARG_OPTIONAL,
	.more = "WORD",
	.max_more = 2,
};

/* `ferry net WORDS` is `ferry-net WORDS`. */
static int run_command(int argc, char **argv)
{
	struct cli cli;
	struct err e = { 0 };

	if (cli_parse(&cli, &net_command, argc, argv, &e) < 0)
		return cli_usage(&net_command, &e);
	return cli.help ? cli_print_help(&net_command) : net_command.run(&cli);
}

int main(int argc, char **argv)
{
	struct privilege priv;

	if (privilege_begin(&priv) < 0 || io_open_missing_stdio() < 0)
		return CLI_FAILED;
	if (argc == 2 && strcmp(argv[1], "attach") == 0)
		return attach_serve(&priv);
	/* All else is for whoever may do it anyway. */
	if (privilege_drop(&priv) < 0)
		return CLI_FAILED;
	return run_command(argc, argv);
}
