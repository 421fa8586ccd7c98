// SPDX-License-Identifier: MIT
// Counters of disks, for whoever asks on the control socket.
#include "vmm/control/stats.h"

#include "virtio/blk.h"
#include "virtio/net.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"

static json_int_t sum(const uint64_t *of_ops, unsigned a, unsigned b)
{
	return (json_int_t)of_ops[a] + (json_int_t)of_ops[b];
}

/* BlockDeviceStats of QMP, as far as ferry knows it. */
static json_t *blockstats(const struct blk_stats *s)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"rd_bytes", (json_int_t)s->bytes[BLOCK_READ], "rd_operations",
		(json_int_t)s->ops[BLOCK_READ], "rd_total_time_ns",
		(json_int_t)s->latency_ns[BLOCK_READ], "failed_rd_operations",
		(json_int_t)s->errors[BLOCK_READ], "wr_bytes", (json_int_t)s->bytes[BLOCK_WRITE],
		"wr_operations", (json_int_t)s->ops[BLOCK_WRITE], "wr_total_time_ns",
		(json_int_t)s->latency_ns[BLOCK_WRITE], "failed_wr_operations",
		(json_int_t)s->errors[BLOCK_WRITE], "flush_operations",
		(json_int_t)s->ops[BLOCK_FLUSH], "flush_total_time_ns",
		(json_int_t)s->latency_ns[BLOCK_FLUSH], "failed_flush_operations",
		(json_int_t)s->errors[BLOCK_FLUSH], "unmap_operations",
		sum(s->ops, BLOCK_DISCARD, BLOCK_WRITE_ZEROES), "failed_unmap_operations",
		sum(s->errors, BLOCK_DISCARD, BLOCK_WRITE_ZEROES), "in_flight",
		(json_int_t)s->in_flight, "throttled", (json_int_t)s->throttled);
}

static json_t *disk(struct virtio_dev *dev, const char *id)
{
	json_t *queues = json_array();
	struct blk_stats s;

	for (unsigned i = 0; i < blk_nr_queues(dev); i++) {
		blk_get_queue_stats(dev, i, &s);
		(void)json_array_append_new(queues, blockstats(&s));
	}
	blk_get_stats(dev, &s);
	return json_pack("{s:s, s:s, s:o, s:o}", "device", id, "qdev", id, "stats", blockstats(&s),
			 "queues", queues);
}

int control_cmd_blockstats(struct control_call *c)
{
	const struct machine *m = run_machine(c->opaque);
	const struct field_list *disks = &machine_config(m)->disks;

	c->ret = json_array();
	for (size_t i = 0; i < disks->nr; i++) {
		const struct disk_config *cfg = (const struct disk_config *)disks->items + i;

		if (machine_disk(m, i))
			(void)json_array_append_new(c->ret, disk(machine_disk(m, i), cfg->id));
	}
	return 0;
}

json_t *stats_counters(const struct net_counters *c)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "packets", (json_int_t)c->packets, "bytes",
			 (json_int_t)c->bytes, "dropped", (json_int_t)c->dropped, "errors",
			 (json_int_t)c->errors);
}
