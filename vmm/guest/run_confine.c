// SPDX-License-Identifier: MIT
// What a guest's process needs of the host's files: told before it is confined.
#include "vmm/guest/run_confine.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/address.h"
#include "util/io.h"
#include "vmm/console_host.h"
#include "vmm/gdb/server.h"
#include "vmm/guest/config.h"
#include "vmm/guest/runtime.h"
#include "vmm/sandbox/keeper.h"
#include "vmm/sandbox/sandbox.h"

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/* A socket of ours, which goes with the guest. */
static int plan_socket(const char *path, struct err *e)
{
	_cleanup_free_ char *copy = strdup(path);
	int rc = copy ? keeper_remove_socket(path) : -ENOMEM;

	if (rc < 0)
		return err_set(e, rc, "%s: %s", path, strerror(-rc));
	return sandbox_allow_removal(dirname(copy), e);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static int plan_console(const struct config *cfg, struct err *e)
{
	struct console_spec spec;
	int rc = console_parse_spec(cfg->console, &spec, e);

	return rc == 0 && spec.kind == CONSOLE_UNIX ? plan_socket(spec.path, e) : rc;
}

static int plan_gdb(const struct config *cfg, struct err *e)
{
	struct gdb_server_spec spec;
	struct address address;
	int rc = cfg->gdb ? gdb_parse_spec(&spec, cfg->gdb, e) : 0;

	if (rc < 0 || !cfg->gdb)
		return rc;
	rc = address_parse(&address, spec.address, e);
	return rc == 0 && address.kind == ADDRESS_UNIX ? plan_socket(address.path, e) : rc;
}

/* What the guest has in the runtime directory, which must be there by now. */
static int plan_name(const struct config *cfg, struct err *e)
{
	char dir[128];
	int rc = cfg->ephemeral ? 0 : runtime_dir(dir, sizeof(dir), true, e);

	if (rc < 0 || cfg->ephemeral)
		return rc;
	rc = keeper_remove_guest(dir, cfg->name);
	if (rc < 0)
		return err_set(e, rc, "%s: %s", dir, strerror(-rc));
	return sandbox_allow_removal(dir, e);
}

static int plan_dumps(struct config *cfg, struct err *e)
{
	char *dir;
	int rc;

	/* One that is not there now cannot be written to later: then no core is kept. */
	if (!sandbox_hides_files())
		return cfg->dump_dir && access(cfg->dump_dir, F_OK) == 0
			       ? sandbox_allow_cores(cfg->dump_dir, e)
			       : 0;
	if (!cfg->dump_dir)
		return 0;
	dir = realpath(cfg->dump_dir, NULL);
	if (!dir)
		return err_set(e, -errno, "dump-dir: %s: %s", cfg->dump_dir, strerror(errno));
	free(cfg->dump_dir);
	cfg->dump_dir = dir;
	rc = sandbox_allow_cores(dir, e);
	return rc < 0 ? rc : sandbox_show_folder(dir, e);
}

/* User networks, those that come later among them, ask the host's name servers. */
static int plan_nets(const struct config *cfg, struct err *e)
{
	const struct nic_config *nics = cfg->nics.items;

	if (!sandbox_hides_net())
		return sandbox_show_resolver(e);
	for (size_t i = 0; i < cfg->nics.nr; i++) {
		if (nics[i].kind == NIC_USER)
			return err_set(e, -EINVAL,
				       "%s: user networking makes connections of the host's, "
				       "which --jail-net takes away: give --jail, or another --net",
				       nics[i].id);
	}
	return 0;
}

int run_plan_rename(const struct config *cfg, int lock_fd, struct err *e)
{
	char dir[128];
	int rc;

	if (cfg->ephemeral || keeper_exists())
		return 0;
	rc = runtime_dir(dir, sizeof(dir), false, e);
	return rc < 0 ? rc : sandbox_allow_rename(dir, lock_fd, e);
}

int run_plan_confinement(struct config *cfg, struct err *e)
{
	int rc = plan_console(cfg, e);

	if (rc == 0)
		rc = plan_gdb(cfg, e);
	if (rc == 0)
		rc = plan_name(cfg, e);
	if (rc == 0)
		rc = plan_dumps(cfg, e);
	return rc < 0 ? rc : plan_nets(cfg, e);
}
