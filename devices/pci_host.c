// SPDX-License-Identifier: MIT
// PCI host bridge: from ECAM and ports 0xcf8-0xcff to a function's configuration space.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/pci_impl.h"
#include "devices/vstate.h"
#include "vmm/vm.h"

/* Offsets from 0xcf8 of the ports (PCI 3.0, 3.2.2.3.2, and the chipset's reset register). */
#define PORT_BASE        0xcf8
#define PORT_COUNT       8
#define PORT_CONFIG_ADDR 0
#define PORT_RST_CNT     1
#define PORT_CONFIG_DATA 4

#define CONFIG_ENABLE        0x80000000U
#define CONFIG_ADDR_WRITABLE 0x80fffffcU
#define RST_CNT_WRITABLE     0x0e
#define RST_CNT_RESET        0x04

static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36, /* Red Hat: the generic host bridge that hypervisors show */
	.device = 0x0008,
	.class_code = 0x06, /* bridge; subclass 0: host */
};

/*
 * The function at bus/device/function number @bdf, or NULL: not there, or hidden. It goes
 * only while vCPUs are parked.
 */
static struct pci_func *find_func(struct pci_host *host, unsigned bdf)
{
	struct pci_func *f;

	if (bdf >= PCI_MAX_DEVICES * 8 || bdf % 8)
		return NULL;
	mutex_lock(&host->lock);
	f = host->funcs[bdf / 8];
	if (f && f->hidden)
		f = NULL;
	mutex_unlock(&host->lock);
	return f;
}

static uint32_t all_ones(unsigned size)
{
	return UINT32_MAX >> (32 - 8 * size);
}

/* --- ECAM (PCIe 4.0, 7.2.2) --------------------------------------------------- */

static uint32_t ecam_read32(struct pci_host *host, uint64_t offset, unsigned size)
{
	struct pci_func *f = find_func(host, (unsigned)(offset >> 12));

	return f ? pci_cfg_read(f, offset & 0xfff, size) : all_ones(size);
}

static void ecam_write32(struct pci_host *host, uint64_t offset, uint32_t value, unsigned size)
{
	struct pci_func *f = find_func(host, (unsigned)(offset >> 12));

	if (f)
		pci_cfg_write(f, offset & 0xfff, value, size);
}

/* Eight bytes are two accesses; PCIe leaves them to the host bridge. */
static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t high;

	if (size < 8)
		return ecam_read32(opaque, offset, size);
	high = ecam_read32(opaque, offset + 4, 4);
	return high << 32 | ecam_read32(opaque, offset, 4);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	ecam_write32(opaque, offset, (uint32_t)value, MIN(size, 4U));
	if (size == 8)
		ecam_write32(opaque, offset + 4, (uint32_t)(value >> 32), 4);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* --- ports -------------------------------------------------------------------- */

/* What 0xcfc + @byte reaches now; NULL: nothing. */
static struct pci_func *find_selected(struct pci_host *host, unsigned byte, unsigned *ret_offset)
{
	uint32_t addr;

	mutex_lock(&host->lock);
	addr = host->state.config_addr;
	mutex_unlock(&host->lock);
	if (!(addr & CONFIG_ENABLE))
		return NULL;
	*ret_offset = (addr & 0xfc) + byte;
	return find_func(host, addr >> 8 & 0xffff);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_host *host = opaque;
	struct pci_func *f;
	unsigned reg;

	if (offset >= PORT_CONFIG_DATA && offset + size <= PORT_COUNT) {
		f = find_selected(host, (unsigned)offset - PORT_CONFIG_DATA, &reg);
		return f ? pci_cfg_read(f, reg, size) : all_ones(size);
	}
	MUTEX_SCOPE(&host->lock);
	if (offset == PORT_CONFIG_ADDR && size == 4)
		return host->state.config_addr;
	if (offset == PORT_RST_CNT && size == 1)
		return host->state.reset_control;
	return UINT64_MAX;
}

static void write_reset_control(struct pci_host *host, uint8_t value)
{
	mutex_lock(&host->lock);
	host->state.reset_control = value & RST_CNT_WRITABLE;
	mutex_unlock(&host->lock);
	if (value & RST_CNT_RESET)
		vm_raise_event(host->vm, VM_EVENT_RESET, 0);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_host *host = opaque;
	struct pci_func *f;
	unsigned reg;

	if (offset >= PORT_CONFIG_DATA && offset + size <= PORT_COUNT) {
		f = find_selected(host, (unsigned)offset - PORT_CONFIG_DATA, &reg);
		if (f)
			pci_cfg_write(f, reg, (uint32_t)value, size);
	} else if (offset == PORT_CONFIG_ADDR && size == 4) {
		MUTEX_SCOPE(&host->lock);
		/* 3.2.2.3.2: bits 30-24 and 1-0 are reserved, and read as zero. */
		host->state.config_addr = (uint32_t)value & CONFIG_ADDR_WRITABLE;
	} else if (offset == PORT_RST_CNT && size == 1) {
		write_reset_control(host, (uint8_t)value);
	}
}

static const struct bus_ops port_ops = { .read = port_read, .write = port_write };

/* --- life cycle ---------------------------------------------------------------- */

static void host_reset(struct device *dev)
{
	struct pci_host *host = container_of(dev, struct pci_host, device);

	mutex_lock(&host->lock);
	host->state = (struct pci_host_state){ 0 };
	pci_drop_ghosts_locked(host);
	mutex_unlock(&host->lock);
	pci_reset(&host->bridge);
}

/*
 * Levels of lines are part of the interrupt controllers' state, and that agrees
 * with ours. Saying it once more changes nothing: these lines are level-triggered.
 * It costs little, and a line that hangs would cost the guest a device.
 */
static void host_resume(struct device *dev)
{
	struct pci_host *host = container_of(dev, struct pci_host, device);

	MUTEX_SCOPE(&host->lock);
	pci_set_lines_locked(host);
}

static const struct vstate_field host_fields[] = {
	VS_U32(1, struct pci_host_state, config_addr),
	VS_U8_MAX(2, struct pci_host_state, reset_control, RST_CNT_WRITABLE),
};

const struct vstate_table pci_host_vstate = {
	VSTATE_TABLE("pci-host", struct pci_host_state, host_fields),
};

static void host_save(struct device *dev, struct vstate_writer *w)
{
	struct pci_host *host = container_of(dev, struct pci_host, device);

	mutex_lock(&host->lock);
	vstate_put(w, &pci_host_vstate, 0, &host->state);
	mutex_unlock(&host->lock);
	pci_save(&host->bridge, w);
}

static int host_load(struct device *dev, struct vstate_reader *r, struct err *e)
{
	struct pci_host *host = container_of(dev, struct pci_host, device);
	int rc;

	mutex_lock(&host->lock);
	rc = vstate_get(r, &pci_host_vstate, 0, &host->state, e);
	host->state.config_addr &= CONFIG_ADDR_WRITABLE;
	mutex_unlock(&host->lock);
	return rc < 0 ? rc : pci_load(&host->bridge, r, e);
}

static void host_free(struct device *dev)
{
	struct pci_host *host = container_of(dev, struct pci_host, device);

	bus_remove(&host->vm->mmio, MAP_ECAM, host);
	bus_remove(&host->vm->pio, PORT_BASE, host);
	pci_func_fini(&host->bridge);
	mutex_fini(&host->lock);
	free(host);
}

static const struct device_ops host_device_ops = {
	.type = "pci-host",
	.reset = host_reset,
	.resume = host_resume,
	.save = host_save,
	.load = host_load,
	.free = host_free,
};

int pci_host_new(struct vm *vm, struct pci_host **ret)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int rc;

	if (!host)
		return -ENOMEM;
	host->vm = vm;
	host->device = (struct device){ .ops = &host_device_ops, .id = "pci" };
	mutex_init(&host->lock);
	pci_func_init(&host->bridge, vm, &bridge_ids);
	rc = pci_add(host, &host->bridge, 0);
	if (rc == 0)
		rc = bus_add(&vm->mmio, MAP_ECAM, MAP_ECAM_BYTES, &ecam_ops, host);
	if (rc == 0)
		rc = bus_add(&vm->pio, PORT_BASE, PORT_COUNT, &port_ops, host);
	if (rc == 0)
		rc = vm_add_device(vm, &host->device);
	if (rc < 0) {
		host_free(&host->device);
		return rc;
	}
	*ret = host;
	return 0;
}
