// SPDX-License-Identifier: MIT
// The ferry command.
#include <fcntl.h>
#include <unistd.h>

#include "vmm/cli/cli.h"

/*
 * Started with standard input, output or error closed, the next files that are
 * opened would take their places, and get what is meant for them.
 */
static int open_missing_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -1 : close(fd);
}

int main(int argc, char **argv)
{
	if (open_missing_stdio() < 0)
		return CLI_FAILED;
	return cli_main(argc, argv);
}
