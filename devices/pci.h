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

struct err;
struct vm;
struct vstate_reader;
struct vstate_writer;
struct pci_host;

/*
 * Theory of operation
 *
 * One bus, one function a device. Functions are PCI Express root complex
 * integrated endpoints (PCIe 4.0, 1.3.2.3): no ports, no links, so nothing of
 * PCIe but ECAM and the Express capability is needed, and guests still see
 * express devices. No function has extended capabilities: registers from 256
 * on read as zero.
 *
 * Configuration space is an array of bytes with a mask of the bits that the
 * guest may write. After a write the parts of ferry that follow from it are
 * brought in step: BARs on the MMIO bus, MSI-X, the INTx line. All of that
 * happens under the host's lock; configuration accesses are rare.
 */
#define PCI_CFG_BYTES   256U
#define PCI_MAX_DEVICES 32
#define PCI_NR_BARS     6

/*
 * A memory BAR. @ops get offsets into the BAR. @mapped, if set, is called
 * after the guest moved, enabled or disabled it (addr 0: disabled), with the
 * host's lock held, so that ioeventfds can follow.
 */
struct pci_bar {
	uint64_t bytes; /* power of two, >= 16; 0: not there */
	const struct bus_ops *ops;
	void *opaque;
	void (*mapped)(void *opaque, uint64_t addr);
	bool is_64bit;
	uint64_t home_addr; /* power-on address; set by pci_add() */
	uint64_t addr;      /* where it is decoded now; 0: nowhere */
};

/* The part of a function that is saved: configuration space as the guest left it. */
struct pci_state {
	uint8_t cfg[PCI_CFG_BYTES];
};

struct pci_func {
	struct vm *vm;          /* const */
	struct pci_host *host;  /* const while on the bus */
	unsigned device;        /* const while on the bus: device number, function 0 */
	bool hidden;            /* host.lock: the guest has ejected it */
	bool yanked;            /* main thread: it leaves without the guest's knowledge */
	struct pci_state state; /* host.lock */
	/* const after set-up: the bits that the guest may write, and power-on values */
	uint8_t writable[PCI_CFG_BYTES];
	uint8_t power_on[PCI_CFG_BYTES];
	struct pci_bar bars[PCI_NR_BARS]; /* addr: host.lock; the rest const after pci_add() */
	struct msix msix;                 /* nr_vectors 0: none */
	unsigned msix_cap;                /* its capability; 0: none */
	unsigned last_cap, next_cap;      /* set-up only: end of the list, free space */

	/*
	 * The command register was written; NULL: nobody cares. Called on the
	 * vCPU's thread without a lock, so it looks up what holds by now.
	 */
	void (*command_written)(struct pci_func *f);

	/*
	 * A window of four bytes in configuration space (virtio's PCI_CFG
	 * capability); NULL: none. Called without a lock before a read of the
	 * window, to say what it shows, and after a write with its contents.
	 */
	uint32_t (*window)(struct pci_func *f, bool write, uint32_t data);
	unsigned window_offset;
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t class_code, subclass, prog_if, revision;
};

/*
 * The host bridge (device 0) with ECAM at MAP_ECAM, ports 0xcf8-0xcff, and the
 * reset control register that chipsets have at 0xcf9. Accesses to anything
 * that is not there read as all ones. It goes into the machine's device list
 * as "pci", which frees it after the functions on it.
 */
__must_check int pci_host_new(struct vm *vm, struct pci_host **ret);

/*
 * Write the header and the Express capability; the function is not on the bus
 * yet. pci_func_fini() releases it after pci_remove().
 */
void pci_func_init(struct pci_func *f, struct vm *vm, const struct pci_ids *ids);
void pci_func_fini(struct pci_func *f);

/*
 * Append a capability (PCI 3.0, 6.7) of @bytes, whose first two bytes are
 * filled in here. Returns its offset in configuration space. Set-up only.
 */
unsigned pci_add_cap(struct pci_func *f, uint8_t id, const void *body, unsigned bytes);

/* Describe BAR @n; before pci_add(). */
void pci_set_bar(struct pci_func *f, unsigned n, const struct pci_bar *bar);

/* Give the function @nr_vectors MSI-X vectors, table and PBA in BAR @bar. 0 or -errno. */
__must_check int pci_add_msix(struct pci_func *f, unsigned bar, unsigned nr_vectors);

/*
 * Put @f on the bus at @device (1-31), or at the first free one if it is 0:
 * BARs get addresses in the PCI window and are decoded at once. In a guest that was
 * started only its slots for hotplug count as free, and the function comes as hardware does:
 * nothing is decoded before the guest wants that. vCPUs may run, and find it
 * before this returns. 0, -ENOSPC, -EEXIST or -errno. Main thread.
 */
__must_check int pci_add(struct pci_host *host, struct pci_func *f, unsigned device);
/* Take it off the bus again: ranges and interrupts are gone. Not there: no-op. vCPUs parked. */
void pci_remove(struct pci_func *f);

/*
 * pci_remove() comes next, by surprise. Until something else wants the place, what was in
 * BARs reads as 0 and not as all ones: Linux' virtio drivers wait for ever for a status of
 * 0, even when they know that the device is gone. Main thread.
 */
void pci_yank(struct pci_func *f);

/*
 * The guest has ejected devices: of those in @slots that are there it sees nothing any
 * more, whatever becomes of them; a reset does not change that. Returns which
 * the guest had seen until then. Any thread.
 */
uint32_t pci_hide(struct pci_host *host, uint32_t slots);

/*
 * Power-on values: BARs where ferry put them and decoded, MSI-X off with
 * nothing pending, INTA released. The owner of @f calls it when its own reset
 * is done, so that nothing raises interrupts any more.
 */
void pci_reset(struct pci_func *f);

/*
 * May the function access memory (command register, bit 2)? Where not, its MSI-X
 * stays pending by itself, and all other access is its owner's to stop. Any thread.
 */
bool pci_is_master(struct pci_func *f);

/* Assert or release the function's INTA; shared lines are ORed. Any thread. */
void pci_set_intx(struct pci_func *f, bool level);

/*
 * Pause: the function's interrupts have all reached the vCPUs, and what it raises
 * from now on waits for the resume. Main thread, its device is quiet.
 */
void pci_pause(struct pci_func *f);
void pci_resume(struct pci_func *f);

/*
 * Configuration space and MSI-X of a paused function. What is loaded must be of
 * the same function: all that the guest cannot write is compared. BARs are
 * decoded where the guest put them at once. 0, or -errno with the reason in @e.
 */
void pci_save(struct pci_func *f, struct vstate_writer *w);
__must_check int pci_load(struct pci_func *f, struct vstate_reader *r, struct err *e);

/* The GSI that INTA of @device reaches: for the ACPI _PRT and the MADT. */
unsigned pci_intx_gsi(unsigned device);

/*
 * A guest's access to configuration space: 1, 2 or 4 bytes at @offset. What
 * ECAM and 0xcfc come down to; any thread, no lock held.
 */
uint32_t pci_cfg_read(struct pci_func *f, unsigned offset, unsigned size);
void pci_cfg_write(struct pci_func *f, unsigned offset, uint32_t value, unsigned size);

#endif
