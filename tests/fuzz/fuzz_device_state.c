// SPDX-License-Identifier: MIT
// Fuzz: saved state of every device. The first byte picks the device, the rest is
// what a peer or a file says its state is.
//
// What a device believes it must be able to run with, to save, and to believe again.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "devices/isa.h"
#include "devices/serial.h"
#include "migration/vstate.h"
#include "tests/fuzz/bare_vm.h"
#include "util/log.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "vmm/console.h"

#define MEM        (1 * MIB)
#define DISK_BYTES (64 * KIB)

static const char *const ids[] = {
	"serial", "rtc", "acpi-pm", "pci", "rng", "balloon", "console", "disk0", "net0",
};

struct rig {
	struct vm vm;
	struct loop *loop;
};

static void add_disk(struct rig *r, struct pci_host *pci)
{
	char path[] = "/tmp/ferry-fuzz-XXXXXX";
	const struct blk_config cfg = { .id = "disk0", .path = path, .overlay = true, .queues = 1 };
	struct virtio_dev *dev;
	int fd = mkstemp(path);

	fuzz_require(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	fuzz_require(blk_new(&r->vm, pci, &cfg, &dev, NULL) == 0);
	(void)unlink(path);
	(void)close(fd);
}

static void add_nic(struct rig *r, struct pci_host *pci)
{
	const struct net_config cfg = { .id = "net0",
					.mac = { 2, 0, 0, 0, 0, 1 },
					.backend = { .kind = NETDEV_USER, .nr_pairs = 1 } };
	struct virtio_dev *dev;

	fuzz_require(net_new(&r->vm, pci, &cfg, &dev, NULL) == 0);
}

static void set_up(struct rig *r)
{
	struct pci_host *pci = bare_vm_init(&r->vm, MEM);
	struct virtio_dev *balloon;
	struct acpi_pm *pm;
	struct console *con;

	r->vm.nr_vcpus = 1;
	/* What is broken on purpose need not be told. */
	log_init(LOG_ERROR, NULL);
	fuzz_require(loop_new(&r->loop, LOOP_NO_URING) == 0);
	fuzz_require(console_new(&con, r->vm.main_loop) == 0);
	fuzz_require(serial_new(&r->vm, con) == 0);
	fuzz_require(rtc_new(&r->vm) == 0);
	fuzz_require(acpi_pm_new(&r->vm, &pm) == 0);
	fuzz_require(rng_new(&r->vm, pci, "rng", r->loop) == 0);
	fuzz_require(balloon_new(&r->vm, pci, "balloon", r->loop, &balloon) == 0);
	fuzz_require(vcon_new(&r->vm, pci, "console", r->loop, con) == 0);
	add_disk(r, pci);
	add_nic(r, pci);
}

/* Load @data; 0 if the device believes it. */
static int load(struct device *dev, const void *data, size_t len)
{
	struct vstate_reader *reader = NULL;
	struct err e = { 0 };
	int rc = vstate_reader_new(&reader, data, len, &e);

	if (rc < 0)
		return rc;
	rc = dev->ops->load(dev, reader, &e);
	if (rc == 0)
		rc = vstate_reader_finish(reader, &e);
	vstate_reader_free(reader);
	fuzz_require(rc == 0 || (rc < 0 && e.text[0]));
	return rc;
}

static void save_and_load(struct device *dev)
{
	struct vstate_writer *writer = NULL;
	const void *data;
	size_t len;

	fuzz_require(vstate_writer_new(&writer) == 0);
	dev->ops->save(dev, writer);
	fuzz_require(vstate_writer_finish(writer, &data, &len) == 0);
	fuzz_require(load(dev, data, len) == 0);
	vstate_writer_free(writer);
}

static void pause_device(struct device *dev)
{
	if (dev->ops->pause)
		dev->ops->pause(dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rig;
	struct device *dev;

	if (!rig.loop)
		set_up(&rig);
	if (len < 1)
		return 0;
	dev = vm_find_device(&rig.vm, ids[data[0] % ARRAY_SIZE(ids)]);
	pause_device(dev);
	if (load(dev, data + 1, len - 1) == 0) {
		save_and_load(dev);
		if (dev->ops->resume)
			dev->ops->resume(dev);
		pause_device(dev);
		save_and_load(dev);
	}
	dev->ops->reset(dev);
	return 0;
}
