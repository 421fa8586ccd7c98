// SPDX-License-Identifier: MIT
// `ferry run`: from the command line to a running guest.
#include <errno.h>

#include "util/log.h"
#include "vmm/cli/cli.h"
#include "vmm/guest/config.h"
#include "vmm/guest/run.h"

/* Wrong settings are wrong usage; all else is a failure. */
static int status_of(const struct cli *cli, const struct err *e)
{
	if (e->code == -EINVAL || e->code == -ERANGE || e->code == -E2BIG)
		return cli_usage(cli->cmd, e);
	return cli_fail(cli, e);
}

static int read_settings(const struct cli *cli, struct config *cfg, struct err *e)
{
	int rc = cli->arg ? config_read_file(cfg, cli->arg, e) : 0;

	if (rc == 0)
		rc = cli_apply(cli, cfg, e);
	return rc < 0 ? rc : config_finish(cfg, e);
}

static int run(const struct cli *cli, struct config *cfg)
{
	struct err e;
	int rc;

	log_init(cfg->verbose ? LOG_DEBUG : LOG_INFO, cfg->name);
	rc = cfg->dry_run ? run_check(cfg, &e) : run_guest(cfg, &e);
	if (rc < 0)
		return cli_fail(cli, &e);
	return cfg->dry_run ? cli_print_json(config_to_json(cfg)) : rc;
}

int cli_run(const struct cli *cli)
{
	struct config cfg;
	struct err e;
	int status;

	config_init(&cfg);
	if (read_settings(cli, &cfg, &e) < 0)
		status = status_of(cli, &e);
	else
		status = run(cli, &cfg);
	config_fini(&cfg);
	return status;
}
