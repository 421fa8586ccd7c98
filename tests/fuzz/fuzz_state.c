// SPDX-License-Identifier: MIT
// Fuzz: loading the state of every device, and of clocks, controllers and vCPUs into a real VM.
//
// The input: a byte that picks what is loaded, and one that says how the rest is
// meant. Either it is the state itself; or it is changes (offset, two bytes;
// how; value) of the state that the thing has when it is new, so that inputs
// get through the framing. What was loaded is then started, stopped and reset.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/isa.h"
#include "devices/serial.h"
#include "migration/vstate.h"
#include "tests/fuzz/bare_vm.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "vmm/console.h"
#include "vmm/move/state.h"
#include "vmm/vm_state.h"

#define MEM         (1 * MIB)
#define DISK_BYTES  (256 * KIB)
#define MAX_DEVICES 16U
#define MAX_BYTES   65536U

/* Sections without a device. */
enum { CLOCK, IRQCHIP, VCPU, NR_SECTIONS };

struct target {
	struct device *dev; /* NULL: a section */
	unsigned section;
	uint8_t *fresh; /* the state when it is new */
	size_t fresh_bytes;
};

struct rig {
	struct vm vm;         /* without KVM: has the devices */
	struct vm *real;      /* NULL: there is no KVM here */
	struct vm_state *new; /* of the real one */
	struct loop *loop;
	struct target targets[MAX_DEVICES];
	unsigned nr_targets;
};

/* --- the machine --- */

static void add_disks(struct rig *r, struct pci_host *pci)
{
	char path[] = "/tmp/ferry-fuzz-state-XXXXXX";
	const struct blk_config cfgs[] = {
		{ .id = "disk0", .path = path, .queues = 1, .iops = 1000, .incoming = true },
		{ .id = "disk1", .path = path, .queues = 1, .overlay = true, .incoming = true },
	};
	int fd = mkstemp(path);
	struct err e;

	fuzz_require(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	(void)close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(cfgs); i++) {
		struct virtio_dev *dev;

		fuzz_require(blk_new(&r->vm, pci, &cfgs[i], &dev, &e) == 0);
	}
	(void)unlink(path);
}

static void add_devices(struct rig *r, struct pci_host *pci)
{
	const struct net_config net = {
		.id = "net0",
		.backend = { .kind = NETDEV_USER, .nr_pairs = 1, .max_sockets = 4 },
		.mac = { 2, 0, 0, 0, 0, 1 },
	};
	struct virtio_dev *dev;
	struct acpi_pm *pm;
	struct console *con;
	struct err e;

	/* Not running, so that what is called on it runs here and now. */
	fuzz_require(loop_new(&r->loop, LOOP_NO_URING) == 0);
	fuzz_require(console_new(&con, r->vm.main_loop) == 0);
	fuzz_require(acpi_pm_new(&r->vm, &pm) == 0);
	fuzz_require(serial_new(&r->vm, con) == 0);
	fuzz_require(rtc_new(&r->vm) == 0);
	fuzz_require(i8042_new(&r->vm) == 0);
	fuzz_require(rng_new(&r->vm, pci, "rng", r->loop) == 0);
	fuzz_require(balloon_new(&r->vm, pci, "balloon", r->loop, &dev) == 0);
	fuzz_require(vcon_new(&r->vm, pci, "console", r->loop, con) == 0);
	fuzz_require(net_new(&r->vm, pci, &net, &dev, &e) == 0);
	add_disks(r, pci);
}

static void set_up_kvm(struct rig *r)
{
	const struct vm_params params = { .memory_bytes = MEM, .nr_vcpus = 1 };
	struct err e;

	fuzz_require(vm_state_new(&r->new, 1) == 0);
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return;
	fuzz_require(vm_new(&r->real, &params, r->vm.main_loop, &e) == 0);
	fuzz_require(vm_state_get(r->real, r->new, &e) == 0);
}

/* --- what is loaded, as it is when it is new --- */

static void put_section(const struct rig *r, unsigned section, struct vstate_writer *w)
{
	if (section == CLOCK)
		vm_state_put_clock(r->new, w);
	else if (section == IRQCHIP)
		vm_state_put_irqchip(r->new, w);
	else
		vm_state_put_vcpu(r->new, 0, w);
}

static void add_target(struct rig *r, struct target t)
{
	struct vstate_writer *w = NULL;
	const void *data = NULL;

	fuzz_require(r->nr_targets < MAX_DEVICES && vstate_writer_new(&w) == 0);
	if (t.dev)
		t.dev->ops->save(t.dev, w);
	else
		put_section(r, t.section, w);
	fuzz_require(vstate_writer_finish(w, &data, &t.fresh_bytes) == 0);
	t.fresh = malloc(t.fresh_bytes + 1);
	fuzz_require(t.fresh != NULL);
	memcpy(t.fresh, data, t.fresh_bytes);
	vstate_writer_free(w);
	r->targets[r->nr_targets++] = t;
}

static void pause_device(struct device *dev)
{
	if (dev->ops->pause)
		dev->ops->pause(dev);
}

static void set_up(struct rig *r)
{
	struct pci_host *pci = bare_vm_init(&r->vm, MEM);
	struct device *dev;

	log_init(LOG_ERROR, NULL);
	add_devices(r, pci);
	set_up_kvm(r);
	for (unsigned i = 0; i < NR_SECTIONS; i++)
		add_target(r, (struct target){ .section = i });
	TAILQ_FOREACH(dev, &r->vm.devices, link)
	{
		pause_device(dev);
		if (dev->ops->save && dev->ops->load)
			add_target(r, (struct target){ .dev = dev });
	}
}

/* --- one input --- */

/* Changes of four bytes each; ones that add bytes keep the framing as it says it is. */
static size_t change(const struct target *t, const uint8_t *data, size_t len, uint8_t *ret)
{
	size_t bytes = MIN(t->fresh_bytes, (size_t)MAX_BYTES);

	memcpy(ret, t->fresh, bytes);
	for (; len >= 4 && bytes > 0; data += 4, len -= 4) {
		size_t at = (data[0] | (size_t)data[1] << 8) % bytes;

		if (data[2] % 4 == 0)
			ret[at] ^= (uint8_t)(1U << data[3] % 8);
		else if (data[2] % 4 == 1)
			memset(ret + at, data[3], MIN(bytes - at, (size_t)8));
		else
			ret[at] = data[3];
	}
	return bytes;
}

/* What `ferry state` makes of it. */
static void show(const uint8_t *data, size_t len)
{
	static FILE *out;
	json_t *parts = vstate_to_json(data, len, 0, state_find_table);
	json_t *state;

	if (!out)
		out = fopen("/dev/null", "we");
	fuzz_require(out != NULL);
	if (!parts)
		return;
	state = json_pack("{s:[{s:o}]}", "sections", "parts", parts);
	fuzz_require(state != NULL);
	state_print(state, out);
	json_decref(state);
}

static void load_device(const struct target *t, struct vstate_reader *r)
{
	struct device *dev = t->dev;
	struct err e = { 0 };

	if (dev->ops->load(dev, r, &e) == 0 && vstate_reader_finish(r, &e) == 0) {
		if (dev->ops->resume)
			dev->ops->resume(dev);
		pause_device(dev);
	} else {
		fuzz_require(e.text[0] != '\0');
	}
	if (dev->ops->reset)
		dev->ops->reset(dev);
}

static int load_part(struct vm_state *st, unsigned section, struct vstate_reader *r, struct err *e)
{
	switch (section) {
	case CLOCK:
		return vm_state_load_clock(st, r, e);
	case IRQCHIP:
		return vm_state_load_irqchip(st, r, e);
	default:
		return vm_state_load_vcpu(st, 0, r, e);
	}
}

/* What is not fuzzed is as it was when the machine was new. */
static void load_fresh(const struct rig *rig, struct vm_state *st, unsigned section)
{
	const struct target *t = &rig->targets[section];
	struct vstate_reader *r = NULL;
	struct err e;

	fuzz_require(vstate_reader_new(&r, t->fresh, t->fresh_bytes, &e) == 0);
	fuzz_require(load_part(st, section, r, &e) == 0);
	vstate_reader_free(r);
}

/* KVM has the last word on what passes. The machine does not run. */
static void load_section(const struct rig *rig, const struct target *t, struct vstate_reader *r)
{
	struct vm_state *st = NULL;
	struct err e = { 0 };
	int rc;

	fuzz_require(vm_state_new(&st, 1) == 0);
	rc = load_part(st, t->section, r, &e);
	for (unsigned i = 0; i < NR_SECTIONS && rc == 0 && rig->real; i++) {
		if (i != t->section)
			load_fresh(rig, st, i);
	}
	if (rc == 0 && rig->real)
		rc = vm_state_set(rig->real, st, &e);
	if (rc == 0 && rig->real)
		rc = vm_state_start(rig->real, st, 1000000, &e);
	fuzz_require(rc == 0 || e.text[0] != '\0');
	vm_state_free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rig;
	static uint8_t bytes[MAX_BYTES];
	struct vstate_reader *r = NULL;
	const struct target *t;
	size_t nr;
	struct err e;

	if (!rig.loop)
		set_up(&rig);
	if (len < 2 || len > MAX_BYTES)
		return 0;
	t = &rig.targets[data[0] % rig.nr_targets];
	nr = len - 2;
	if (data[1] & 1)
		nr = change(t, data + 2, len - 2, bytes);
	else
		memcpy(bytes, data + 2, nr);
	show(bytes, nr);
	if (vstate_reader_new(&r, bytes, nr, &e) < 0)
		return 0;
	if (t->dev)
		load_device(t, r);
	else
		load_section(&rig, t, r);
	vstate_reader_free(r);
	return 0;
}
