// SPDX-License-Identifier: MIT
// `ferry net`: a program of its own, since only it needs the libraries for networks.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/helper.h"
#include "vmm/cli/cli.h"

int cli_net(const struct cli *cli)
{
	char path[PATH_MAX], name[] = "ferry-net";
	struct err e = { 0 };

	if (helper_find("ferry-net", path, sizeof(path), &e) < 0)
		return cli_fail(cli, &e);
	cli->argv[0] = name;
	(void)execv(path, cli->argv);
	(void)err_set(&e, -errno, "cannot start %.300s: %s", path, strerror(errno));
	return cli_fail(cli, &e);
}
