/* SPDX-License-Identifier: MIT */
/* PCI Express: the host bridge, functions on bus 0, BARs, capabilities, INTx. */
#ifndef FERRY_DEVICES_PCI_H
#define FERRY_DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/msix.h"
#include "util/compiler.h"
#include "util/thread.h"
#include "vmm/bus.h"

struct vm;

#define PCI_CFG_BYTES   4096U
#define PCI_MAX_DEVICES 32
#define PCI_NR_BARS     6

/*
 * A memory BAR. @ops get offsets into the BAR. @mapped, if set, is called
 * after the guest moved, enabled or disabled it (addr 0: disabled), on the
 * vCPU's thread with the function's lock held, so that ioeventfds can follow.
 */
struct pci_bar {
	uint64_t bytes; /* power of two, >= 16; 0: not there */
	const struct bus_ops *ops;
	void *opaque;
	void (*mapped)(void *opaque, uint64_t addr);
	bool is_64bit;
	uint64_t addr; /* where it is decoded now; 0: nowhere */
};

/* The part of a function that is saved: configuration space as the guest left it. */
struct pci_state {
	uint8_t cfg[PCI_CFG_BYTES];
	uint8_t intx_level;
};

struct pci_func {
	struct vm *vm;     /* const after pci_add() */
	unsigned device;   /* const after pci_add(): device number, function 0 */
	struct mutex lock; /* protects: state, bars[].addr; order: after virtio
			    * transport lock, before irq.lock and bus.lock */
	struct pci_state state;
	uint8_t writable[PCI_CFG_BYTES]; /* const after set-up: bits that the guest may write */
	struct pci_bar bars[PCI_NR_BARS];
	struct msix msix;  /* nr_vectors 0: none */
	unsigned next_cap; /* where the next capability goes (set-up only) */

	/* Accesses to [hook_start, hook_start + hook_bytes) of configuration
	 * space (virtio's PCI_CFG capability window); NULL: none. No lock held. */
	void (*cfg_hook)(struct pci_func *f, unsigned offset, unsigned size, bool write);
	unsigned hook_start, hook_bytes;
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t class_code, subclass, prog_if, revision;
};

struct pci_host;

/*
 * The host bridge (device 0) with ECAM at MAP_ECAM and ports 0xcf8-0xcff.
 * Accesses to anything that is not there read as all ones.
 */
__must_check int pci_host_new(struct vm *vm, struct pci_host **ret);
void pci_host_free(struct pci_host *host);
/* Power-on values for every function: BARs where ferry put them, decoding enabled. */
void pci_host_reset(struct pci_host *host);

/* Write the header; the function is not on the bus yet. */
void pci_func_init(struct pci_func *f, const struct pci_ids *ids);

/*
 * Append a capability (PCI 3.0, 6.7) of @bytes, whose first two bytes are
 * filled in here. Returns its offset in configuration space. Set-up only.
 */
unsigned pci_add_cap(struct pci_func *f, uint8_t id, const void *body, unsigned bytes);

/* Describe BAR @n; before pci_add(). */
void pci_set_bar(struct pci_func *f, unsigned n, const struct pci_bar *bar);

/*
 * Put @f on the bus at @device (1-31), or at the first free one if it is 0:
 * BARs get addresses in the PCI window and are decoded at once. 0, -ENOSPC,
 * -EEXIST or -errno. Main thread, vCPUs parked or not yet started.
 */
__must_check int pci_add(struct pci_host *host, struct pci_func *f, unsigned device);
/* Take it off the bus again: ranges and interrupts are gone. */
void pci_remove(struct pci_host *host, struct pci_func *f);

/* Assert or release the function's INTA; shared lines are ORed. Any thread. */
void pci_set_intx(struct pci_func *f, bool level);

/* The GSI that INTA of @device reaches: for the ACPI _PRT and the MADT. */
unsigned pci_intx_gsi(unsigned device);

#endif
