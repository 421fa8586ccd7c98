// SPDX-License-Identifier: MIT
// Fuzz: all virtio devices, by their registers and queues, as a driver has them.
//
// The input: a byte that picks the device, then steps of eight bytes: kind,
// argument, offset, value. Disks and nics have threads of their own, as in a
// guest; the queues of the others run on this thread when they are notified.
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Fuzz targets are linked from one file each. */
/* NOLINTBEGIN(bugprone-suspicious-include): on purpose, for that reason */
#include "tests/unit/net_rig.c"
#include "tests/unit/ring.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include "tests/fuzz/round_trip.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "vmm/console.h"
#include "vmm/memmap.h"

enum { RNG, BALLOON, CONSOLE, DISK, OVERLAY, LIMITED, READONLY, NIC, NR_DEVICES };

#define MEM        (1 * MIB)
#define DISK_BYTES (256 * KIB)
#define SCRATCH    0x40000U /* memory that inputs can write */
#define RING_SIZE  16U
#define RING_GAP   0x800ULL
#define AVAIL      0x200U /* from a ring's start: three parts */
#define USED       0x400U
#define HEADERS    0x8000U /* what a request begins with: 64 bytes for each descriptor */
#define STATUSES   0x9000U
#define DATA       0x10000U
#define REGION     0x1000U /* common, ISR, device, notify: one page each */

struct step {
	uint8_t kind, arg;
	uint16_t offset;
	uint32_t value;
};

struct rig {
	struct vm vm;
	struct loop *loop;
	struct loop_work stop;
	struct net_rig net; /* the network of the nic; the transport is not its own */
	int input;          /* of the console */
	struct virtio_dev *devs[NR_DEVICES];
	uint64_t bars[NR_DEVICES];
};

/* --- the machine ------------------------------------------------------------------ */

static struct virtio_dev *find(struct vm *vm, const char *id)
{
	struct device *device = vm_find_device(vm, id);

	fuzz_require(device);
	return container_of(device, struct virtio_dev, device);
}

static void add_console(struct rig *r, struct pci_host *pci)
{
	struct console_reader_params reader = { .out_fd = -1, .history = true };
	struct console *con;
	int pair[2];

	fuzz_require(console_new(&con, r->vm.main_loop) == 0);
	fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	r->input = pair[0];
	reader.in_fd = pair[1];
	fuzz_require(console_add_reader(con, &reader) == 0);
	fuzz_require(vcon_new(&r->vm, pci, "console", r->loop, con) == 0);
	r->devs[CONSOLE] = find(&r->vm, "console");
}

static void add_disks(struct rig *r, struct pci_host *pci)
{
	char paths[4][32];
	const struct blk_config cfgs[] = {
		{ .id = "disk0", .queues = 2 },
		{ .id = "disk1", .queues = 1, .overlay = true, .engine = BLK_ENGINE_THREADS },
		/* Never so slow that an input waits for it. */
		{ .id = "disk2", .queues = 1, .iops = 1000000, .bps = 1ULL << 40 },
		{ .id = "disk3", .queues = 1, .readonly = true, .engine = BLK_ENGINE_THREADS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cfgs); i++) {
		struct blk_config cfg = cfgs[i];
		struct err e;
		int fd;

		(void)snprintf(paths[i], sizeof(paths[i]), "/tmp/ferry-fuzz-virtio-XXXXXX");
		fd = mkstemp(paths[i]);
		fuzz_require(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
		(void)close(fd);
		cfg.path = paths[i];
		cfg.queue_size = RING_SIZE;
		fuzz_require(blk_new(&r->vm, pci, &cfg, &r->devs[DISK + i], &e) == 0);
		(void)unlink(paths[i]);
	}
}

static void add_nic(struct rig *r, struct pci_host *pci)
{
	const struct net_config cfg = {
		.id = "net0",
		.mac = { 0x02, 0, 0, 0, 0, 1 },
		.queue_size = NET_RIG_SIZE,
	};

	r->net.vm = &r->vm;
	r->net.be = new_backend();
	r->net.be->nr_room = 0;
	fuzz_require(net_create(&r->net.net, &r->vm, &cfg, &r->net.be->nd) == 0);
	fuzz_require(virtio_pci_attach(&r->net.net->dev, pci, 0) == 0);
	r->devs[NIC] = &r->net.net->dev;
}

static void stop_loop(void *opaque)
{
	loop_stop(opaque);
}

/* Devices from 1 on; their BARs lie where the first look at them finds them. */
static void set_up(struct rig *r)
{
	struct pci_host *pci = bare_vm_init(&r->vm, MEM);

	log_init(LOG_ERROR, NULL);
	r->vm.nr_vcpus = 1;
	r->stop = (struct loop_work){ .fn = stop_loop, .opaque = r->vm.main_loop };
	/* Not running, so that what is called on it runs here and now. */
	fuzz_require(loop_new(&r->loop, LOOP_NO_URING) == 0);
	fuzz_require(rng_new(&r->vm, pci, "rng", r->loop) == 0);
	r->devs[RNG] = find(&r->vm, "rng");
	fuzz_require(balloon_new(&r->vm, pci, "balloon", r->loop, &r->devs[BALLOON]) == 0);
	add_console(r, pci);
	add_disks(r, pci);
	add_nic(r, pci);
	for (unsigned i = 0; i < NR_DEVICES; i++) {
		uint32_t bar = 0;

		(void)bus_read(&r->vm.mmio, MAP_ECAM + (i + 1) * 0x8000ULL + 0x10, &bar, 4);
		r->bars[i] = bar & ~0xfU;
		fuzz_require(r->bars[i] != 0);
	}
}

/* --- the driver -------------------------------------------------------------------- */

static void write_reg(struct rig *r, unsigned n, uint64_t offset, uint64_t value, unsigned size)
{
	(void)bus_write(&r->vm.mmio, r->bars[n] + offset, &value, size);
}

/* As the loop does when the queue is notified. */
static void notify(struct rig *r, struct virtio_dev *dev, unsigned i)
{
	struct virtio_queue *q = &dev->queues[i % dev->nr_queues];

	if (q->loop == r->loop)
		run_queue(q);
	else
		loop_call_sync(q->loop, run_queue, q);
}

/* What a driver does first, so that inputs get to the requests soon. */
static void bring_up(struct rig *r, unsigned n, uint32_t features)
{
	write_reg(r, n, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	write_reg(r, n, VIRTIO_PCI_COMMON_STATUS, 3, 1);
	write_reg(r, n, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	write_reg(r, n, VIRTIO_PCI_COMMON_GF, features & r->devs[n]->offered, 4);
	write_reg(r, n, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	write_reg(r, n, VIRTIO_PCI_COMMON_GF, 1, 4);
	write_reg(r, n, VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	for (unsigned i = 0; i < r->devs[n]->nr_queues; i++) {
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_SIZE, RING_SIZE, 2);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_DESCLO, i * RING_GAP, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_AVAILLO, i * RING_GAP + AVAIL, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_USEDLO, i * RING_GAP + USED, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	}
	write_reg(r, n, VIRTIO_PCI_COMMON_STATUS, 0xf, 1);
	/* Who may write to memory also runs: without this, nothing would. */
	(void)bus_write(&r->vm.mmio, MAP_ECAM + (n + 1) * 0x8000ULL + 4, &(uint16_t){ 6 }, 2);
}

static void put(struct rig *r, uint64_t gpa, const void *data, size_t len)
{
	fuzz_require(gmem_write(&r->vm.gmem, gpa, data, len) == 0);
}

static void link_to_next(struct rig *r, uint64_t desc_gpa)
{
	uint16_t flags = 0;

	fuzz_require(gmem_read(&r->vm.gmem, desc_gpa + 12, &flags, 2) == 0);
	flags |= RING_NEXT;
	put(r, desc_gpa + 12, &flags, 2);
}

/*
 * A chain in the queue's ring: @header bytes of the driver's, @out and @in bytes of
 * data, @status bytes for the device; what has no bytes is left out.
 */
struct request {
	uint32_t header, out, in, status;
};

static void offer(struct rig *r, unsigned queue, const struct request *rq)
{
	const uint64_t ring = queue * RING_GAP;
	const struct ring_desc pieces[] = {
		{ .addr = HEADERS, .len = rq->header },
		{ .addr = DATA, .len = rq->out },
		{ .addr = DATA, .len = rq->in, .flags = RING_WRITE },
		{ .addr = STATUSES, .len = rq->status, .flags = RING_WRITE },
	};
	uint16_t idx = 0, first, at, n = 0;

	fuzz_require(gmem_read(&r->vm.gmem, ring + AVAIL + 2, &idx, 2) == 0);
	first = at = (uint16_t)(idx * 4U % RING_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct ring_desc d = pieces[i];

		if (d.len == 0)
			continue;
		if (n++)
			link_to_next(r, ring + (at - 1U) * 16U);
		d.next = (uint16_t)(at + 1U);
		put(r, ring + at * 16U, &d, sizeof(d));
		at++;
	}
	put(r, ring + AVAIL + 4 + idx % RING_SIZE * 2U, &first, 2);
	idx++;
	put(r, ring + AVAIL + 2, &idx, 2);
}

/* The step's value is how the request begins, its offset how long it is. */
static void do_request(struct rig *r, unsigned n, const struct step *s)
{
	const unsigned queue = s->arg % r->devs[n]->nr_queues;
	const uint32_t bytes = s->offset % 0x4000U, sectors = s->offset % 32U * 512U;
	struct request rq = { .in = bytes };

	memset(gmem_ptr(&r->vm.gmem, HEADERS, 64), 0, 64);
	if (n >= DISK && n <= READONLY) {
		const struct {
			uint32_t type, unused;
			uint64_t sector;
		} header = { s->value & 0xff, 0, s->value >> 8 & 0xfff };
		bool out = header.type & 1, range = header.type > 8;

		put(r, HEADERS, &header, sizeof(header));
		rq = (struct request){
			.header = sizeof(header),
			.out = range ? 16
			       : out ? sectors
				     : 0,
			.in = header.type == 8 ? bytes
			      : range || out   ? 0
					       : sectors,
			.status = 1,
		};
	} else if (n == NIC && queue % 2 == 0 && queue > 0) {
		put(r, HEADERS, &s->value, 2);
		rq = (struct request){ .header = 2, .out = bytes % 512, .status = 1 };
	} else if (n == NIC && queue % 2) {
		put(r, HEADERS, &s->value, sizeof(s->value));
		rq = (struct request){ .header = 12, .out = bytes };
	} else if ((n == BALLOON && queue < 3) || (n == CONSOLE && queue == 1)) {
		rq = (struct request){ .out = bytes };
	}
	offer(r, queue, &rq);
	/* Several at once, too. */
	if (s->kind % 16 != 15)
		notify(r, r->devs[n], queue);
}

/* --- the host ------------------------------------------------------------------------- */

static void turn(struct rig *r)
{
	loop_post(r->vm.main_loop, &r->stop);
	fuzz_require(loop_run(r->vm.main_loop) == 0);
}

/* Somebody watches for a while: reads what there is, and asks for the end or just goes. */
static void capture(struct rig *r, bool ask)
{
	char record[256];
	int pair[2];

	fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
	if (net_capture(r->devs[NIC], pair[1], 64) < 0)
		(void)close(pair[1]);
	notify(r, r->devs[NIC], 1);
	while (recv(pair[0], record, sizeof(record), 0) > 0)
		;
	if (ask)
		(void)!write(pair[0], "", 1);
	(void)close(pair[0]);
}

static void host_of_nic(struct rig *r, const struct step *s)
{
	struct net_rig_backend *be = r->net.be;
	const struct net_rate none = { 0 }, high = { .bps = 1ULL << 40, .pps = 1U << 30 };

	be->nr_room = s->arg % 8U;
	be->nr_waiting = s->value % 8U;
	be->waiting_bytes = MIN(s->offset + 26U, NET_RIG_FRAME);
	memcpy(be->waiting + 12, gmem_ptr(&r->vm.gmem, DATA, 64), 64);
	if (s->arg & 0x40)
		capture(r, s->arg & 0x20);
	if (s->arg & 0x80)
		net_set_rates(r->devs[NIC], s->value & 16 ? &high : &none, &high);
	net_rig_readable(&r->net, s->arg % NET_RIG_PAIRS);
	net_rig_writable(&r->net, s->arg % NET_RIG_PAIRS);
	net_set_link(r->devs[NIC], s->value & 8);
	if (s->arg & 0x10)
		net_send_announce(r->devs[NIC]);
	else
		(void)net_announce(r->devs[NIC]);
}

/* Never so slow that an input waits for it. */
static void host_of_disk(struct virtio_dev *dev, const struct step *s)
{
	const struct blk_limits limits = {
		.iops = s->value & 1 ? 1000000 : 0,
		.bps = s->value & 2 ? 1ULL << 40 : 0,
	};
	struct blk_stats stats;
	struct err e;

	dev->device.ops->pause(&dev->device);
	blk_set_limits(dev, &limits);
	/* Without its lock every request fails. */
	if (s->arg & 1)
		(void)!blk_release_lock(dev, &e);
	if (s->arg & 2)
		(void)!blk_take_lock(dev, &e);
	dev->device.ops->resume(&dev->device);
	blk_get_stats(dev, &stats);
}

/* What happens on the other side of the device. */
static void do_host(struct rig *r, unsigned n, const struct step *s)
{
	struct balloon_stats stats;

	if (n == BALLOON) {
		(void)!balloon_set_target(r->devs[n], s->value);
		balloon_get_stats(r->devs[n], &stats);
	} else if (n == CONSOLE) {
		(void)!write(r->input, &s->value, 1U + s->arg % 4U);
		turn(r);
	} else if (n == NIC) {
		host_of_nic(r, s);
	} else if (n >= DISK) {
		host_of_disk(r->devs[n], s);
	}
}

/* --- one input ------------------------------------------------------------------------- */

static void do_step(struct rig *r, unsigned n, const struct step *s)
{
	struct virtio_dev *dev = r->devs[n];
	const uint64_t cfg = MAP_ECAM + (n + 1) * 0x8000ULL + s->offset % 256;
	unsigned size = 1U << (s->arg % 4);
	uint64_t data = s->value;

	switch (s->kind % 16) {
	case 0:
		write_reg(r, n, s->offset % 64, data, size);
		break;
	case 1:
		(void)bus_read(&r->vm.mmio, r->bars[n] + s->offset % (4 * REGION), &data, size);
		break;
	case 2:
		put(r, s->offset * 4U, &s->value, 4);
		break;
	case 3:
		notify(r, dev, s->arg);
		break;
	case 4:
		write_reg(r, n, s->offset % (4 * REGION), data, size);
		break;
	case 5:
		(void)bus_write(&r->vm.mmio, cfg, &data, MIN(size, 4U));
		(void)bus_read(&r->vm.mmio, cfg, &data, MIN(size, 4U));
		break;
	case 6:
		bring_up(r, n, s->value);
		break;
	case 7:
		dev->device.ops->pause(&dev->device);
		dev->device.ops->resume(&dev->device);
		break;
	case 8:
		do_host(r, n, s);
		break;
	case 9:
		round_trip(&dev->device);
		break;
	default:
		do_request(r, n, s);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rig;
	unsigned n;

	if (!rig.loop)
		set_up(&rig);
	if (len < 1)
		return 0;
	n = data[0] % NR_DEVICES;
	memset(rig.vm.gmem.base, 0, SCRATCH);
	for (data++, len--; len >= sizeof(struct step); data += 8, len -= 8) {
		struct step s;

		memcpy(&s, data, sizeof(s));
		do_step(&rig, n, &s);
	}
	rig.devs[n]->device.ops->reset(&rig.devs[n]->device);
	fuzz_require(!atomic_load(&rig.devs[n]->broken));
	for (unsigned i = 0; i < rig.devs[n]->nr_queues; i++)
		fuzz_require(!rig.devs[n]->queues[i].running);
	/* The next input finds the lock where it belongs. */
	if (n >= DISK && n <= READONLY)
		host_of_disk(rig.devs[n], &(struct step){ .arg = 2 });
	return 0;
}
