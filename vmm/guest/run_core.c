// SPDX-License-Identifier: MIT
// Cores of guests that have crashed, or that are kept by --on-... rename-restart.
#include <stdio.h>
#include <unistd.h>

#include "util/log.h"
#include "vmm/dump/dump.h"
#include "vmm/guest/config.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/guest/run_core.h"

/* So many of one guest, then no more: a guest that crashes again and again fills no disk. */
#define MAX_CORES 8

/* The first free one of DIR/NAME-1.core, ... False: there are enough. */
static bool choose_path(const struct config *cfg, char *path, size_t len)
{
	for (unsigned i = 1; i <= MAX_CORES; i++) {
		(void)snprintf(path, len, "%s/%s-%u.core", cfg->dump_dir, cfg->name, i);
		if (access(path, F_OK) < 0)
			return true;
	}
	return false;
}

static void on_written(void *opaque, int rc)
{
	(void)rc; /* the dump has said it */
	machine_kept(run_machine(opaque));
}

bool run_keep_core(struct run *run, const struct config *cfg)
{
	char path[4096];
	struct dump_params params = { .path = path, .done = on_written, .opaque = run };
	struct err e;

	if (!choose_path(cfg, path, sizeof(path))) {
		log_warn("no core is kept: %s has %d of this guest", cfg->dump_dir, MAX_CORES);
		return false;
	}
	if (dump_start(run, &params, &e) < 0) {
		log_warn("no core is kept: %s", e.text);
		return false;
	}
	log_info("its core goes to %s", path);
	return true;
}
