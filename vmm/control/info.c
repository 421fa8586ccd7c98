// SPDX-License-Identifier: MIT
// ferry-info: all about a running guest.
#include <stdatomic.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "vmm/console.h"
#include "vmm/control/cmds.h"
#include "vmm/control/stats.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/host_memory.h"
#include "vmm/move/run_mover.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

static json_t *console_json(const struct control_call *c)
{
	const struct machine *m = run_machine(c->opaque);
	struct console_stats stats;

	console_get_stats(machine_console(m), &stats);
	return json_pack("{s:s, s:s?, s:I, s:I, s:i}", "kind", machine_config(m)->console, "path",
			 run_console_path(c->opaque), "written_bytes", (json_int_t)stats.written,
			 "lost_bytes", (json_int_t)stats.lost, "readers", stats.readers);
}

/* Exits to ferry by reason, summed over the vCPUs; reasons that never came are left out. */
static json_t *exits_json(const struct vm *vm)
{
	json_t *obj = json_object();

	for (uint32_t reason = 0; reason < VCPU_EXIT_REASONS; reason++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < vm->nr_vcpus; i++)
			sum += atomic_load_explicit(&vm->vcpus[i]->exits[reason],
						    memory_order_relaxed);
		if (sum)
			(void)json_object_set_new(obj, kvm_exit_name(reason),
						  json_integer((json_int_t)sum));
	}
	return obj;
}

static json_t *disk_json(struct virtio_dev *dev, const struct disk_config *disk)
{
	struct blk_stats s;
	uint64_t errors;
	char how[64];

	blk_get_stats(dev, &s);
	errors = s.errors[BLOCK_READ] + s.errors[BLOCK_WRITE] + s.errors[BLOCK_FLUSH];
	blk_describe(dev, how, sizeof(how));
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", disk->id, "how",
			 how, "reads", (json_int_t)s.ops[BLOCK_READ], "read_bytes",
			 (json_int_t)s.bytes[BLOCK_READ], "writes", (json_int_t)s.ops[BLOCK_WRITE],
			 "write_bytes", (json_int_t)s.bytes[BLOCK_WRITE], "flushes",
			 (json_int_t)s.ops[BLOCK_FLUSH], "errors", (json_int_t)errors, "throttled",
			 (json_int_t)s.throttled);
}

static json_t *disks_json(const struct machine *m)
{
	const struct field_list *disks = &machine_config(m)->disks;
	json_t *array = json_array();

	for (size_t i = 0; i < disks->nr; i++)
		(void)json_array_append_new(
			array, disk_json(machine_disk(m, i),
					 (const struct disk_config *)disks->items + i));
	return array;
}

static json_t *nic_json(struct virtio_dev *dev, const struct nic_config *nic)
{
	const struct netdev *nd = net_backend(dev);
	struct net_stats s;

	net_get_stats(dev, &s);
	return json_pack("{s:s, s:s, s:s?, s:o, s:o}", "id", nic->id, "backend", nd->ops->type,
			 "host_interface", *nd->host_if ? nd->host_if : NULL, "rx",
			 stats_counters(&s.rx), "tx", stats_counters(&s.tx));
}

static json_t *nics_json(const struct machine *m)
{
	const struct field_list *nics = &machine_config(m)->nics;
	json_t *array = json_array();

	for (size_t i = 0; i < nics->nr; i++) {
		if (machine_nic(m, i))
			(void)json_array_append_new(
				array, nic_json(machine_nic(m, i),
						(const struct nic_config *)nics->items + i));
	}
	return array;
}

/* NULL: there is no balloon. */
static json_t *balloon_json(const struct machine *m)
{
	/* By VIRTIO_BALLOON_S_*, in bytes but for the faults and huge pages. */
	static const char *const names[VIRTIO_BALLOON_S_NR] = {
		"swap_in", "swap_out",  "major_faults", "minor_faults",        "free",
		"total",   "available", "disk_caches",  "hugetlb_allocations", "hugetlb_failures",
	};
	struct balloon_stats s;
	json_t *json, *guest;

	if (!machine_balloon(m))
		return NULL;
	balloon_get_stats(machine_balloon(m), &s);
	json = json_pack("{s:I, s:I, s:I}", "target_bytes", (json_int_t)s.target_bytes,
			 "actual_bytes", (json_int_t)s.actual_bytes, "discarded_bytes",
			 (json_int_t)s.discarded_bytes);
	guest = json_object();
	for (unsigned i = 0; s.guest_time_ns && i < VIRTIO_BALLOON_S_NR; i++) {
		if (s.guest[i] != BALLOON_UNKNOWN)
			(void)json_object_set_new(guest, names[i],
						  json_integer((json_int_t)s.guest[i]));
	}
	(void)json_object_set_new(json, "guest", guest);
	return json;
}

static void add_broken(json_t *ids, const struct virtio_dev *dev)
{
	if (dev && atomic_load(&dev->broken))
		(void)json_array_append_new(ids, json_string(dev->device.id));
}

/* Devices whose driver broke the rules and has not reset them since. */
static json_t *broken_json(const struct machine *m)
{
	const struct config *cfg = machine_config(m);
	json_t *ids = json_array();

	for (size_t i = 0; i < cfg->disks.nr; i++)
		add_broken(ids, machine_disk(m, i));
	for (size_t i = 0; i < cfg->nics.nr; i++)
		add_broken(ids, machine_nic(m, i));
	add_broken(ids, machine_balloon(m));
	return ids;
}

/* What the guest, and others, gave cause for; see query-log. */
static json_t *log_json(void)
{
	struct log_stats s;

	log_get_stats(&s);
	return json_pack("{s:I, s:I, s:I}", "errors", (json_int_t)s.lines[LOG_ERROR], "warnings",
			 (json_int_t)s.lines[LOG_WARN], "suppressed", (json_int_t)s.limited);
}

int control_cmd_info(struct control_call *c)
{
	const struct machine *m = run_machine(c->opaque);
	const struct config *cfg;
	uint64_t up_ns;

	if (!m) {
		c->ret = json_pack("{s:s, s:s, s:s}", "name", run_name(c->opaque), "status",
				   run_status_name(c->opaque), "moved_to", run_moved_to(c->opaque));
		return 0;
	}
	cfg = machine_config(m);
	up_ns = clock_now_ns() - machine_start_ns(m);
	c->ret = json_pack("{s:s, s:s, s:i, s:s, s:I, s:i, s:b, s:f, s:f, s:I, s:o, s:o, s:o, "
			   "s:o, s:o?, s:o}",
			   "name", cfg->name, "status", run_status_name(c->opaque), "pid", getpid(),
			   "version", FERRY_VERSION, "memory", (json_int_t)cfg->memory_bytes,
			   "vcpus", cfg->vcpus, "ephemeral", cfg->ephemeral, "uptime_s",
			   (double)up_ns / NSEC_PER_SEC, "cpu_s",
			   (double)clock_process_cpu_ns() / NSEC_PER_SEC, "resident_bytes",
			   (json_int_t)run_resident_bytes(c->opaque), "console", console_json(c),
			   "exits", exits_json(machine_vm(m)), "disks", disks_json(m), "nics",
			   nics_json(m), "balloon", balloon_json(m), "config", config_to_json(cfg));
	(void)json_object_set_new(c->ret, "confinement", sandbox_json());
	(void)json_object_set_new(c->ret, "needs_reset", broken_json(m));
	(void)json_object_set_new(c->ret, "log", log_json());
	return 0;
}
