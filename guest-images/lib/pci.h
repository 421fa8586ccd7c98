/* SPDX-License-Identifier: MIT */
/* PCI bus 0: configuration space, BARs, capabilities, MSI-X. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_BARS 6

enum { /* PCI Local Bus 3.0, chapter 6 */
       PCI_VENDOR_ID = 0x00,
       PCI_DEVICE_ID = 0x02,
       PCI_COMMAND = 0x04,
       PCI_STATUS = 0x06,
       PCI_HEADER_TYPE = 0x0e,
       PCI_BAR0 = 0x10,
       PCI_CAP_POINTER = 0x34,
       PCI_INTERRUPT_LINE = 0x3c,
       PCI_INTERRUPT_PIN = 0x3d,

       PCI_COMMAND_MEMORY = 1 << 1,
       PCI_COMMAND_MASTER = 1 << 2,
       PCI_COMMAND_NO_INTX = 1 << 10,
       PCI_STATUS_CAPS = 1 << 4,

       PCI_CAP_VENDOR = 0x09,
       PCI_CAP_MSIX = 0x11,
};

struct pci_dev {
	uint16_t bdf; /* device << 3 | function, on bus 0 */
	uint16_t vendor;
	uint16_t device;
	uint16_t msix_entries;      /* set by pci_msix_enable() */
	uint64_t msix_table_gpa;    /* set by pci_msix_enable() */
	uint64_t bar_gpa[PCI_BARS]; /* set by pci_bar_map() */
};

/* Accesses of @size 1, 2 or 4 bytes, naturally aligned; by ECAM if the machine has it, else by
 * ports 0xcf8 and 0xcfc. */
uint32_t pci_read(const struct pci_dev *dev, unsigned int offset, unsigned int size);
void pci_write(const struct pci_dev *dev, unsigned int offset, unsigned int size, uint32_t value);

/* Finds the @nth function of bus 0 with these numbers. */
bool pci_find(struct pci_dev *dev, uint16_t vendor, uint16_t device, unsigned int nth);

/* Finds the function with this number; false if there is none. */
bool pci_probe(struct pci_dev *dev, unsigned int bdf);

/* The next capability @id after the one at offset @after (0: the first); 0 if there is none. */
uint8_t pci_next_cap(const struct pci_dev *dev, uint8_t id, uint8_t after);

/* Maps a memory BAR, with an address of our own choice if nobody has given it one, and enables
 * decoding and bus mastering. Returns its address, 0 if it is not a memory BAR. */
uint64_t pci_bar_map(struct pci_dev *dev, unsigned int bar);

/* Enables MSI-X; false if the device has none. Its entries are still masked. */
bool pci_msix_enable(struct pci_dev *dev);

/* Unmasks entry @entry of the table, for @vector of the boot CPU. */
void pci_msix_route(const struct pci_dev *dev, unsigned int entry, unsigned int vector);

#endif
