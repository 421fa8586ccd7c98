// SPDX-License-Identifier: MIT
// The ferry command.
#include "util/io.h"
#include "vmm/cli/cli.h"

int main(int argc, char **argv)
{
	if (io_open_missing_stdio() < 0)
		return CLI_FAILED;
	return cli_main(argc, argv);
}
