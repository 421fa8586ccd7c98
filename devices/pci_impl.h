/* SPDX-License-Identifier: MIT */
/* Inside PCI: what the host bridge, configuration space and BARs share. */
#ifndef FERRY_DEVICES_PCI_IMPL_H
#define FERRY_DEVICES_PCI_IMPL_H

#include <linux/pci_regs.h>
#include <string.h>

#include "devices/pci.h"
#include "vmm/device.h"
#include "vmm/memmap.h"

/* What is saved of the bridge besides its configuration space. */
struct pci_host_state {
	uint32_t config_addr;  /* 0xcf8 */
	uint8_t reset_control; /* 0xcf9 */
};

/* What is left of BARs whose function was taken away by surprise; the oldest gives way. */
#define PCI_MAX_GHOSTS 16

struct pci_ghosts {
	uint64_t addrs[PCI_MAX_GHOSTS]; /* 0: none */
	unsigned next;
};

struct pci_host {
	struct vm *vm; /* const */
	struct device device;
	struct pci_func bridge;
	struct mutex lock; /* protects: all below, state and bars[].addr of every
			    * function; order: after a virtio transport's lock,
			    * before msix.lock, irq.lock and bus.lock */
	struct pci_host_state state;
	struct pci_func *funcs[PCI_MAX_DEVICES];
	struct pci_ghosts ghosts;
	uint32_t line_users[GSI_PCI_COUNT]; /* devices that assert it, one bit each */
};

static inline uint16_t cfg_get16(const uint8_t *cfg, unsigned offset)
{
	uint16_t value;

	memcpy(&value, cfg + offset, sizeof(value));
	return value;
}

static inline uint32_t cfg_get32(const uint8_t *cfg, unsigned offset)
{
	uint32_t value;

	memcpy(&value, cfg + offset, sizeof(value));
	return value;
}

static inline void cfg_set16(uint8_t *cfg, unsigned offset, uint16_t value)
{
	memcpy(cfg + offset, &value, sizeof(value));
}

static inline void cfg_set32(uint8_t *cfg, unsigned offset, uint32_t value)
{
	memcpy(cfg + offset, &value, sizeof(value));
}

/*
 * Find addresses in the PCI window for @f's BARs, where no function has its
 * home, and write them to the power-on values. 0 or -ENOSPC.
 */
__must_check int pci_assign_bars(struct pci_host *host, struct pci_func *f);

/* Bring the MMIO bus in step with the BARs and command registers of all functions. */
void pci_map_bars_locked(struct pci_host *host);

/* Take all of @f's BARs off the bus; one that was yanked leaves ghosts. */
void pci_unmap_bars_locked(struct pci_func *f);

/* No ghost is left. */
void pci_drop_ghosts_locked(struct pci_host *host);

/* Let MSI-X follow the bus master bit of @f's command register. */
void pci_apply_master_locked(struct pci_func *f);

/* Bring the line of @f's INTA in step with its status and command registers. */
void pci_update_intx_locked(struct pci_func *f);

/*
 * Count @f among those that assert its line, as its registers say, or not. True:
 * the line is to change. The line itself is left alone.
 */
bool pci_count_intx_locked(struct pci_func *f);

/* Set all lines as they are counted. */
void pci_set_lines_locked(struct pci_host *host);

#endif
