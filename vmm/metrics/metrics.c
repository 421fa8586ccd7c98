// SPDX-License-Identifier: MIT
// All counters of a guest in Prometheus' text format: a table of families.
#include "vmm/metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/counter.h"
#include "util/io.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "vmm/console.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/host_memory.h"
#include "vmm/kvm_stats.h"
#include "vmm/move/run_mover.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

struct out {
	FILE *file;
	const struct run *run;
	const struct machine *m;
	const struct vm *vm;
	const struct family *family;
};

struct family {
	const char *name, *type;
	const char *labels; /* names, with commas between them: for the reader of the table */
	const char *help;
	void (*write)(struct out *o);
	size_t offset; /* of what @write shows in its structure of statistics */
};

/* --- samples --- */

static void put(struct out *o, const char *labels, uint64_t value)
{
	(void)fprintf(o->file, "%s%s %" PRIu64 "\n", o->family->name, labels, value);
}

static void put_seconds(struct out *o, const char *labels, uint64_t ns)
{
	(void)fprintf(o->file, "%s%s %.9f\n", o->family->name, labels, (double)ns / NSEC_PER_SEC);
}

/* --- the guest --- */

static void write_info(struct out *o)
{
	(void)fprintf(o->file, "%s{name=\"%s\",version=\"%s\"} 1\n", o->family->name,
		      run_name(o->run), FERRY_VERSION);
}

static void write_running(struct out *o)
{
	put(o, "", machine_state(o->m) == MACHINE_RUNNING);
}

static void write_uptime(struct out *o)
{
	uint64_t start_ns = machine_start_ns(o->m);

	put_seconds(o, "", start_ns ? clock_now_ns() - start_ns : 0);
}

static void write_memory(struct out *o)
{
	put(o, "", machine_config(o->m)->memory_bytes);
}

static void write_resident(struct out *o)
{
	put(o, "", run_resident_bytes(o->run));
}

static void write_cpu(struct out *o)
{
	put_seconds(o, "", clock_process_cpu_ns());
}

/* --- vCPUs --- */

static void write_vcpu_cpu(struct out *o)
{
	char labels[32];

	for (unsigned i = 0; o->vm->started && i < o->vm->nr_vcpus; i++) {
		(void)snprintf(labels, sizeof(labels), "{vcpu=\"%u\"}", i);
		put_seconds(o, labels, clock_thread_cpu_ns(o->vm->vcpus[i]->thread));
	}
}

static void write_exits(struct out *o)
{
	char labels[80];

	for (unsigned i = 0; i < o->vm->nr_vcpus; i++) {
		for (uint32_t reason = 0; reason < VCPU_EXIT_REASONS; reason++) {
			uint64_t n = counter_get(&o->vm->vcpus[i]->exits[reason]);

			(void)snprintf(labels, sizeof(labels), "{vcpu=\"%u\",reason=\"%s\"}", i,
				       kvm_exit_name(reason));
			if (n)
				put(o, labels, n);
		}
	}
}

struct kvm_call {
	struct out *o;
	const char *what; /* "vm" or the vCPU's number */
};

static void write_kvm_one(void *opaque, const char *name, uint64_t value)
{
	const struct kvm_call *call = opaque;
	char labels[320];

	(void)snprintf(labels, sizeof(labels), "{of=\"%s\",stat=\"%s\"}", call->what, name);
	if (value)
		put(call->o, labels, value);
}

static void write_kvm(struct out *o)
{
	_cleanup_close_ int vm_stats = kvm_stats_open(o->vm->vm_fd);
	struct kvm_call call = { .o = o, .what = "vm" };
	char number[16];

	/* Not every kernel has them, and none of it is worth failing for. */
	if (vm_stats >= 0)
		(void)!kvm_stats_read(vm_stats, write_kvm_one, &call);
	for (unsigned i = 0; i < o->vm->nr_vcpus; i++) {
		(void)snprintf(number, sizeof(number), "vcpu%u", i);
		call.what = number;
		if (o->vm->vcpus[i]->stats_fd >= 0)
			(void)!kvm_stats_read(o->vm->vcpus[i]->stats_fd, write_kvm_one, &call);
	}
}

/* --- virtqueues --- */

/* Each device with its queues: disks, nics, the balloon. */
static void write_queues_of(struct out *o, const struct virtio_dev *dev)
{
	char labels[128];

	for (unsigned i = 0; dev && i < dev->nr_queues; i++) {
		const char *q = (const char *)&dev->queues[i];

		(void)snprintf(labels, sizeof(labels), "{device=\"%s\",queue=\"%u\"}",
			       dev->device.id, i);
		put(o, labels,
		    counter_get((const _Atomic uint64_t *)(const void *)(q + o->family->offset)));
	}
}

static void write_queues(struct out *o)
{
	const struct config *cfg = machine_config(o->m);

	for (size_t i = 0; i < cfg->disks.nr; i++)
		write_queues_of(o, machine_disk(o->m, i));
	for (size_t i = 0; i < cfg->nics.nr; i++)
		write_queues_of(o, machine_nic(o->m, i));
	write_queues_of(o, machine_balloon(o->m));
}

/* --- disks --- */

static const char *const op_names[BLOCK_OP_MAX] = {
	[BLOCK_READ] = "read",
	[BLOCK_WRITE] = "write",
	[BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard",
	[BLOCK_WRITE_ZEROES] = "write-zeroes",
};

typedef void (*disk_writer)(struct out *o, const char *id, const struct blk_stats *s);

static void each_disk(struct out *o, disk_writer write)
{
	const struct field_list *disks = &machine_config(o->m)->disks;

	for (size_t i = 0; i < disks->nr; i++) {
		struct blk_stats s;

		if (!machine_disk(o->m, i))
			continue;
		blk_get_stats(machine_disk(o->m, i), &s);
		write(o, ((const struct disk_config *)disks->items)[i].id, &s);
	}
}

static void disk_number(struct out *o, const char *id, const struct blk_stats *s)
{
	const char *at = (const char *)s + o->family->offset;
	char labels[96];

	(void)snprintf(labels, sizeof(labels), "{disk=\"%s\"}", id);
	put(o, labels, *(const uint64_t *)(const void *)at);
}

static void disk_ops(struct out *o, const char *id, const struct blk_stats *s)
{
	const uint64_t *of = (const void *)((const char *)s + o->family->offset);
	char labels[128];

	for (unsigned op = 0; op < BLOCK_OP_MAX; op++) {
		(void)snprintf(labels, sizeof(labels), "{disk=\"%s\",op=\"%s\"}", id, op_names[op]);
		put(o, labels, of[op]);
	}
}

/* Buckets are counted as "less than", which whole nanoseconds make "at most". */
static void disk_histogram(struct out *o, const char *id, const struct blk_stats *s, unsigned op)
{
	const char *name = o->family->name;
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNTER_BUCKETS; i++) {
		char le[32] = "+Inf";

		if (i < COUNTER_BUCKETS - 1)
			(void)snprintf(le, sizeof(le), "%.9f",
				       (double)counter_bucket_limit_ns(i) / NSEC_PER_SEC);
		sum += s->latency[op][i];
		(void)fprintf(o->file, "%s_bucket{disk=\"%s\",op=\"%s\",le=\"%s\"} %" PRIu64 "\n",
			      name, id, op_names[op], le, sum);
	}
	(void)fprintf(o->file, "%s_sum{disk=\"%s\",op=\"%s\"} %.9f\n", name, id, op_names[op],
		      (double)s->latency_ns[op] / NSEC_PER_SEC);
	(void)fprintf(o->file, "%s_count{disk=\"%s\",op=\"%s\"} %" PRIu64 "\n", name, id,
		      op_names[op], sum);
}

static void disk_histograms(struct out *o, const char *id, const struct blk_stats *s)
{
	for (unsigned op = 0; op < BLOCK_OP_MAX; op++) {
		if (s->ops[op])
			disk_histogram(o, id, s, op);
	}
}

static void write_disk_number(struct out *o)
{
	each_disk(o, disk_number);
}

static void write_disk_ops(struct out *o)
{
	each_disk(o, disk_ops);
}

static void write_disk_times(struct out *o)
{
	each_disk(o, disk_histograms);
}

/* --- nics --- */

static void write_nics(struct out *o)
{
	const struct field_list *nics = &machine_config(o->m)->nics;
	char labels[128];

	for (size_t i = 0; i < nics->nr; i++) {
		const char *id = ((const struct nic_config *)nics->items)[i].id;
		struct net_stats s;
		const struct net_counters *both[] = { &s.rx, &s.tx };

		if (!machine_nic(o->m, i))
			continue;
		net_get_stats(machine_nic(o->m, i), &s);
		for (unsigned d = 0; d < ARRAY_SIZE(both); d++) {
			const char *at = (const char *)both[d] + o->family->offset;

			(void)snprintf(labels, sizeof(labels), "{nic=\"%s\",direction=\"%s\"}", id,
				       d ? "tx" : "rx");
			put(o, labels, *(const uint64_t *)(const void *)at);
		}
	}
}

/* --- balloon, console, teleport --- */

static void write_balloon(struct out *o)
{
	struct balloon_stats s;

	if (!machine_balloon(o->m))
		return;
	balloon_get_stats(machine_balloon(o->m), &s);
	put(o, "", *(const uint64_t *)(const void *)((const char *)&s + o->family->offset));
}

static void write_console(struct out *o)
{
	struct console_stats s;

	console_get_stats(machine_console(o->m), &s);
	put(o, "", *(const uint64_t *)(const void *)((const char *)&s + o->family->offset));
}

static void write_dirty_rate(struct out *o)
{
	struct run_mover *mv = run_mover(o->run);
	json_t *json = mv && mv->busy ? mv->ops->query(mv) : NULL;
	const json_t *rate = json_object_get(json_object_get(json, "ram"), "dirty-pages-rate");

	if (rate)
		put(o, "", (uint64_t)json_integer_value(rate));
	json_decref(json);
}

/* --- the table: docs/metrics.md is checked against it --- */

#define COUNTER         "counter"
#define GAUGE           "gauge"
#define DISK(member)    offsetof(struct blk_stats, member)
#define NIC(member)     offsetof(struct net_counters, member)
#define QUEUE(member)   offsetof(struct virtio_queue, member)
#define BALLOON(member) offsetof(struct balloon_stats, member)

static const struct family families[] = {
	{ "ferry_guest_info", GAUGE, "name, version", "The guest; always 1.", .write = write_info },
	{ "ferry_guest_running", GAUGE, "", "1 while the guest runs, 0 while it stands.",
	  .write = write_running },
	{ "ferry_guest_uptime_seconds", GAUGE, "", "Time since the guest was started here.",
	  .write = write_uptime },
	{ "ferry_guest_memory_bytes", GAUGE, "", "RAM that the guest was given.",
	  .write = write_memory },
	{ "ferry_process_resident_bytes", GAUGE, "", "Memory that ferry and its guest have now.",
	  .write = write_resident },
	{ "ferry_process_cpu_seconds_total", COUNTER, "", "CPU time of ferry and its guest.",
	  .write = write_cpu },
	{ "ferry_vcpu_cpu_seconds_total", COUNTER, "vcpu", "CPU time of a vCPU's thread.",
	  .write = write_vcpu_cpu },
	{ "ferry_vcpu_exits_total", COUNTER, "vcpu, reason",
	  "Exits from KVM to ferry; those that KVM deals with itself are not among them.",
	  .write = write_exits },
	{ "ferry_kvm_stat", "untyped", "of, stat",
	  "What KVM counts itself, of the VM and each vCPU, by KVM's names, without zeroes; "
	  "interrupts are irq_injections.",
	  .write = write_kvm },
	{ "ferry_virtqueue_kicks_total", COUNTER, "device, queue",
	  "Notifications by the driver that woke the queue's thread.", write_queues, QUEUE(kicks) },
	{ "ferry_virtqueue_interrupts_total", COUNTER, "device, queue",
	  "Interrupts raised for the queue.", write_queues, QUEUE(interrupts) },
	{ "ferry_disk_requests_total", COUNTER, "disk, op", "Requests that have ended.",
	  write_disk_ops, DISK(ops) },
	{ "ferry_disk_bytes_total", COUNTER, "disk, op", "Bytes of these requests.", write_disk_ops,
	  DISK(bytes) },
	{ "ferry_disk_errors_total", COUNTER, "disk, op", "Those that the host refused.",
	  write_disk_ops, DISK(errors) },
	{ "ferry_disk_request_seconds", "histogram", "disk, op",
	  "Time from when a request was taken from the ring to its end.",
	  .write = write_disk_times },
	{ "ferry_disk_in_flight", GAUGE, "disk", "Requests under way.", write_disk_number,
	  DISK(in_flight) },
	{ "ferry_disk_throttled_total", COUNTER, "disk",
	  "How often a queue had to wait for the disk's limit.", write_disk_number,
	  DISK(throttled) },
	{ "ferry_nic_packets_total", COUNTER, "nic, direction",
	  "Frames to (rx) and from (tx) the "
	  "guest.",
	  write_nics, NIC(packets) },
	{ "ferry_nic_bytes_total", COUNTER, "nic, direction", "Bytes of these frames.", write_nics,
	  NIC(bytes) },
	{ "ferry_nic_dropped_total", COUNTER, "nic, direction",
	  "Frames that were filtered out or had no room.", write_nics, NIC(dropped) },
	{ "ferry_nic_errors_total", COUNTER, "nic, direction",
	  "Frames that were malformed or that the host refused.", write_nics, NIC(errors) },
	{ "ferry_balloon_target_bytes", GAUGE, "", "Memory that the guest is asked to live with.",
	  write_balloon, BALLOON(target_bytes) },
	{ "ferry_balloon_actual_bytes", GAUGE, "", "Memory that the guest has now.", write_balloon,
	  BALLOON(actual_bytes) },
	{ "ferry_balloon_discarded_bytes_total", COUNTER, "",
	  "Memory that was given back to the host.", write_balloon, BALLOON(discarded_bytes) },
	{ "ferry_console_written_bytes_total", COUNTER, "", "What the guest has printed.",
	  write_console, offsetof(struct console_stats, written) },
	{ "ferry_console_lost_bytes_total", COUNTER, "", "What a slow reader of it never got.",
	  write_console, offsetof(struct console_stats, lost) },
	{ "ferry_teleport_dirty_pages_per_second", GAUGE, "",
	  "Pages that the guest writes; known only while it is teleported.",
	  .write = write_dirty_rate },
};

char *metrics_text(const struct run *run)
{
	struct out o = { .run = run, .m = run_machine(run), .vm = machine_vm(run_machine(run)) };
	char *text = NULL;
	size_t len;
	bool failed;

	o.file = open_memstream(&text, &len);
	if (!o.file)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct family *f = &families[i];

		o.family = f;
		(void)fprintf(o.file, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
			      f->type);
		f->write(&o);
	}
	failed = ferror(o.file) != 0;
	failed |= fclose(o.file) != 0;
	if (failed) {
		free(text);
		return NULL;
	}
	return text;
}
