// SPDX-License-Identifier: MIT
// The disks of a guest that runs: found, enlarged, limited, and its settings with them.
#include "vmm/guest/machine_disks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/guest/machine_impl.h"

static struct disk_config *config_of(const struct machine *m, size_t i)
{
	return (struct disk_config *)m->cfg->disks.items + i;
}

int machine_find_disk(const struct machine *m, const char *id, struct err *e)
{
	for (size_t i = 0; i < m->cfg->disks.nr; i++) {
		if (m->disks[i] && !strcmp(config_of(m, i)->id, id))
			return (int)i;
	}
	return err_set(e, -ENOENT, "the guest has no disk '%.64s'", id);
}

/* --- loops for those that come later --- */

int machine_make_disk_loops(struct machine *m, struct err *e)
{
	unsigned nr = MIN(m->cfg->vcpus, MACHINE_DISK_LOOPS);

	for (; m->nr_disk_loops < nr; m->nr_disk_loops++) {
		int rc = loop_new(&m->disk_loops[m->nr_disk_loops], LOOP_SHARED);

		if (rc < 0)
			return err_set(e, rc, "event loops of disks: %s", strerror(-rc));
	}
	return 0;
}

int machine_run_disk_loops(struct machine *m, struct err *e)
{
	for (; m->nr_disk_loops_run < m->nr_disk_loops; m->nr_disk_loops_run++) {
		unsigned i = m->nr_disk_loops_run;
		char name[32];
		int rc;

		(void)snprintf(name, sizeof(name), "disks/%u", i);
		rc = loop_start(m->disk_loops[i], THREAD_IO, name);
		if (rc < 0)
			return err_set(e, rc, "threads of disks: %s", strerror(-rc));
	}
	return 0;
}

void machine_free_disk_loops(struct machine *m)
{
	for (unsigned i = 0; i < m->nr_disk_loops; i++)
		loop_free(m->disk_loops[i]);
}

/* --- changes --- */

int machine_resize_disk(struct machine *m, size_t i, uint64_t bytes, struct err *e)
{
	struct disk_config *disk = config_of(m, i);
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	vm_pause(m->vm);
	rc = blk_resize(m->disks[i], bytes, e);
	if (rc == 0 && disk->overlay)
		disk->size_bytes = blk_capacity_bytes(m->disks[i]);
	vm_resume(m->vm);
	return rc;
}

int machine_limit_disk(struct machine *m, size_t i, const struct blk_limits *limits, struct err *e)
{
	struct disk_config *disk = config_of(m, i), wanted = *disk;
	int rc = machine_check_free(m, e);

	wanted.iops = limits->iops;
	wanted.bytes_per_s = limits->bps;
	wanted.burst_ms = limits->burst_ms;
	if (rc == 0)
		rc = config_check_limits(&wanted, e);
	if (rc < 0)
		return rc;
	/* A queue that waits for its allowance looks at it anew. */
	vm_pause(m->vm);
	blk_set_limits(m->disks[i], limits);
	*disk = wanted;
	vm_resume(m->vm);
	return 0;
}
