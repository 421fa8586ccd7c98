// SPDX-License-Identifier: MIT
// The ferry command.
#include "vmm/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
