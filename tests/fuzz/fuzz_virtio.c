// SPDX-License-Identifier: MIT
// Fuzz: the virtio-pci registers, and the requests of the small devices behind them.
//
// The input: a byte that picks the device, then steps of eight bytes: kind,
// argument, offset, value. Queues run when they are notified, on this thread.
#include <linux/virtio_pci.h>
#include <string.h>

#include "tests/fuzz/bare_vm.h"
#include "virtio/balloon.h"
#include "virtio/console.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "vmm/console.h"
#include "vmm/memmap.h"

#define NR_DEVICES 3
#define MEM        (1 * MIB)
#define SCRATCH    0x40000U /* memory that inputs can write */
#define RING_SIZE  16U
#define REGION     0x1000U /* common, ISR, device, notify: one page each */

struct step {
	uint8_t kind, arg;
	uint16_t offset;
	uint32_t value;
};

struct rig {
	struct vm vm;
	struct loop *loop;
	struct virtio_dev *devs[NR_DEVICES];
	uint64_t bars[NR_DEVICES];
};

static struct virtio_dev *find(struct vm *vm, const char *id)
{
	struct device *device = vm_find_device(vm, id);

	fuzz_require(device);
	return container_of(device, struct virtio_dev, device);
}

/* Devices 1, 2 and 3; their BARs lie where the first look at them finds them. */
static void set_up(struct rig *r)
{
	struct pci_host *pci = bare_vm_init(&r->vm, MEM);
	struct console *con;
	struct virtio_dev *balloon;

	log_init(LOG_ERROR, NULL);
	/* Not running, so that what is called on it runs here and now. */
	fuzz_require(loop_new(&r->loop, LOOP_NO_URING) == 0);
	fuzz_require(console_new(&con, r->vm.main_loop) == 0);
	fuzz_require(rng_new(&r->vm, pci, "rng", r->loop) == 0);
	fuzz_require(balloon_new(&r->vm, pci, "balloon", r->loop, &balloon) == 0);
	fuzz_require(vcon_new(&r->vm, pci, "console", r->loop, con) == 0);
	r->devs[0] = find(&r->vm, "rng");
	r->devs[1] = balloon;
	r->devs[2] = find(&r->vm, "console");
	for (unsigned i = 0; i < NR_DEVICES; i++) {
		uint32_t bar = 0;

		(void)bus_read(&r->vm.mmio, MAP_ECAM + (i + 1) * 0x8000ULL + 0x10, &bar, 4);
		r->bars[i] = bar & ~0xfU;
	}
}

static void write_reg(struct rig *r, unsigned n, uint64_t offset, uint64_t value, unsigned size)
{
	(void)bus_write(&r->vm.mmio, r->bars[n] + offset, &value, size);
}

static void run_queue(struct virtio_dev *dev, unsigned i)
{
	struct virtio_queue *q = &dev->queues[i % dev->nr_queues];

	if (q->running && !atomic_load(&dev->broken))
		dev->cls->run(q);
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
		uint64_t base = i * 0x800ULL;

		write_reg(r, n, VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_SIZE, RING_SIZE, 2);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_DESCLO, base, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_AVAILLO, base + 0x200, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_USEDLO, base + 0x400, 8);
		write_reg(r, n, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	}
	write_reg(r, n, VIRTIO_PCI_COMMON_STATUS, 0xf, 1);
}

static void do_step(struct rig *r, unsigned n, const struct step *s)
{
	struct virtio_dev *dev = r->devs[n];
	unsigned size = 1U << (s->arg % 4);
	uint64_t data = s->value;

	switch (s->kind % 8) {
	case 0:
		write_reg(r, n, s->offset % 64, data, size);
		break;
	case 1:
		(void)bus_read(&r->vm.mmio, r->bars[n] + s->offset % (4 * REGION), &data, size);
		break;
	case 2:
		fuzz_require(gmem_write(&r->vm.gmem, s->offset * 4U, &s->value, 4) == 0);
		break;
	case 3:
		run_queue(dev, s->arg);
		break;
	case 4:
		write_reg(r, n, s->offset % (4 * REGION), data, size);
		break;
	case 5:
		(void)bus_write(&r->vm.mmio, MAP_ECAM + (n + 1) * 0x8000ULL + s->offset % 256,
				&data, MIN(size, 4U));
		(void)bus_read(&r->vm.mmio, MAP_ECAM + (n + 1) * 0x8000ULL + s->offset % 256, &data,
			       MIN(size, 4U));
		break;
	case 6:
		bring_up(r, n, s->value);
		break;
	default:
		dev->device.ops->pause(&dev->device);
		dev->device.ops->resume(&dev->device);
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
	return 0;
}
