// SPDX-License-Identifier: MIT
/*
 * PCI bus 0: configuration space, BARs, capabilities, MSI-X.
 *
 * Whoever starts the guest assigns the BARs: ferry itself, under QEMU its firmware. A BAR that is
 * zero all the same gets an address above the others.
 */
#include "pci.h"
#include "guest.h"

enum {
	PORT_ADDRESS = 0xcf8,
	PORT_DATA = 0xcfc,

	MSIX_CONTROL = 2, /* PCI 3.0, 6.8.2 */
	MSIX_TABLE = 4,
	MSIX_CONTROL_SIZE = 0x7ff,
	MSIX_CONTROL_ENABLE = 1 << 15,
	MSIX_ENTRY_BYTES = 16,

	BAR_IO = 1,
	BAR_64BIT = 4,
};

#define FUNCTIONS 256u

/* Free for BARs on ferry, q35 and microvm alike, above those that are there. */
#define WINDOW_START 0xc0000000u
#define WINDOW_END   0xe0000000u
#define BAR_SIZE_MAX 0x1000000u /* of other devices: a graphics card's */

/* Configuration space of bus 0 as memory; 0: by ports. ecam= overrides the MCFG: QEMU's microvm has
 * such memory, but no MCFG. */
static uint64_t pci_ecam_gpa(void)
{
	static uint64_t ecam_gpa;
	static bool looked;
	struct acpi_ecam ecam;

	if (looked)
		return ecam_gpa;
	looked = true;
	ecam = acpi_ecam();
	ecam_gpa = param_number("ecam", ecam.first_bus ? 0 : ecam.base_gpa);
	if (ecam_gpa)
		memory_map(ecam_gpa, MIB, MEMORY_DEVICE);
	return ecam_gpa;
}

/* The address of a register in the ECAM area; 0 without one. */
static uint64_t pci_reg_gpa(const struct pci_dev *dev, unsigned int offset)
{
	uint64_t ecam_gpa = pci_ecam_gpa();

	return ecam_gpa ? ecam_gpa + ((uint64_t)dev->bdf << 12) + offset : 0;
}

/* The port that a register appears at, after it was selected. */
static uint16_t pci_port(const struct pci_dev *dev, unsigned int offset)
{
	out32(PORT_ADDRESS, 1u << 31 | (uint32_t)dev->bdf << 8 | (offset & 0xfc));
	return (uint16_t)(PORT_DATA + (offset & 3));
}

uint32_t pci_read(const struct pci_dev *dev, unsigned int offset, unsigned int size)
{
	uint64_t gpa = pci_reg_gpa(dev, offset);
	uint16_t port = gpa ? 0 : pci_port(dev, offset);

	if (size == 1)
		return gpa ? mmio_read8(gpa) : in8(port);
	if (size == 2)
		return gpa ? mmio_read16(gpa) : in16(port);
	return gpa ? mmio_read32(gpa) : in32(port);
}

void pci_write(const struct pci_dev *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	uint64_t gpa = pci_reg_gpa(dev, offset);
	uint16_t port = gpa ? 0 : pci_port(dev, offset);

	if (size == 1)
		gpa ? mmio_write8(gpa, (uint8_t)value) : out8(port, (uint8_t)value);
	else if (size == 2)
		gpa ? mmio_write16(gpa, (uint16_t)value) : out16(port, (uint16_t)value);
	else
		gpa ? mmio_write32(gpa, value) : out32(port, value);
}

bool pci_probe(struct pci_dev *dev, unsigned int bdf)
{
	*dev = (struct pci_dev){ .bdf = (uint16_t)bdf };
	dev->vendor = (uint16_t)pci_read(dev, PCI_VENDOR_ID, 2);
	if (dev->vendor == 0xffff)
		return false;
	dev->device = (uint16_t)pci_read(dev, PCI_DEVICE_ID, 2);
	return true;
}

/* Functions 1 to 7 exist only where function 0 says so. */
static unsigned int pci_next_bdf(const struct pci_dev *dev, bool present)
{
	if (dev->bdf & 7 || (present && pci_read(dev, PCI_HEADER_TYPE, 1) & 0x80))
		return dev->bdf + 1u;
	return dev->bdf + 8u;
}

bool pci_find(struct pci_dev *dev, uint16_t vendor, uint16_t device, unsigned int nth)
{
	bool present;

	for (unsigned int bdf = 0; bdf < FUNCTIONS; bdf = pci_next_bdf(dev, present)) {
		present = pci_probe(dev, bdf);
		if (present && dev->vendor == vendor && dev->device == device && !nth--)
			return true;
	}
	return false;
}

uint8_t pci_next_cap(const struct pci_dev *dev, uint8_t id, uint8_t after)
{
	uint8_t at = after;

	if (!(pci_read(dev, PCI_STATUS, 2) & PCI_STATUS_CAPS))
		return 0;
	/* 48 capabilities fill the space: more are a loop. */
	for (int i = 0; i < 48; i++) {
		at = pci_read(dev, at ? at + 1u : PCI_CAP_POINTER, 1) & 0xfc;
		if (!at || pci_read(dev, at, 1) == id)
			return at;
	}
	return 0;
}

/* The size of a memory BAR, by writing ones to it (PCI 3.0, 6.2.5.1); its value is put back. */
static uint64_t pci_bar_bytes(const struct pci_dev *dev, unsigned int reg, uint32_t low,
			      uint32_t high)
{
	uint64_t mask = ~0xfull;

	pci_write(dev, reg, 4, ~0u);
	mask &= 0xffffffff00000000 | pci_read(dev, reg, 4);
	pci_write(dev, reg, 4, low);
	if (low & BAR_64BIT) {
		pci_write(dev, reg + 4, 4, ~0u);
		mask &= (uint64_t)pci_read(dev, reg + 4, 4) << 32 | 0xffffffff;
		pci_write(dev, reg + 4, 4, high);
	}
	return (uint32_t)mask ? ~mask + 1 : 0;
}

/* The end of the BARs of one device in the window, at least @end. */
static uint32_t pci_window_end(const struct pci_dev *dev, uint32_t end)
{
	if (pci_read(dev, PCI_HEADER_TYPE, 1) & 0x7f)
		return end; /* a bridge has other registers there */
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		uint32_t low = pci_read(dev, PCI_BAR0 + 4 * i, 4);

		if (low & BAR_IO)
			continue;
		if (low >= end && low < WINDOW_END)
			end = (low & ~0xfu) + BAR_SIZE_MAX;
		i += (low & BAR_64BIT) != 0;
	}
	return end;
}

static uint32_t pci_window_alloc(uint64_t bytes)
{
	uint32_t end = WINDOW_START;
	struct pci_dev dev;
	bool present;

	for (unsigned int bdf = 0; bdf < FUNCTIONS; bdf = pci_next_bdf(&dev, present)) {
		present = pci_probe(&dev, bdf);
		if (present)
			end = pci_window_end(&dev, end);
	}
	if (bytes > WINDOW_END - align_up(end, bytes))
		panic("pci: no room for a BAR of %lu bytes", bytes);
	return (uint32_t)align_up(end, bytes);
}

uint64_t pci_bar_map(struct pci_dev *dev, unsigned int bar)
{
	unsigned int reg = PCI_BAR0 + 4 * bar;
	uint32_t low = pci_read(dev, reg, 4), high = 0, command;
	uint64_t bytes;

	if (dev->bar_gpa[bar] || low & BAR_IO)
		return dev->bar_gpa[bar];
	if (low & BAR_64BIT)
		high = pci_read(dev, reg + 4, 4);
	command = pci_read(dev, PCI_COMMAND, 2);
	pci_write(dev, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MEMORY);
	bytes = pci_bar_bytes(dev, reg, low, high);
	if (bytes && !high && !(low & ~0xfu)) {
		low |= pci_window_alloc(bytes);
		pci_write(dev, reg, 4, low);
	}
	pci_write(dev, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (!bytes)
		return 0;
	dev->bar_gpa[bar] = (uint64_t)high << 32 | (low & ~0xfu);
	memory_map(dev->bar_gpa[bar], bytes, MEMORY_DEVICE);
	return dev->bar_gpa[bar];
}

bool pci_msix_enable(struct pci_dev *dev)
{
	uint8_t cap = pci_next_cap(dev, PCI_CAP_MSIX, 0);
	uint32_t control, table;
	uint64_t bar_gpa;

	if (!cap)
		return false;
	control = pci_read(dev, cap + MSIX_CONTROL, 2);
	table = pci_read(dev, cap + MSIX_TABLE, 4);
	bar_gpa = pci_bar_map(dev, table & 7);
	if (!bar_gpa)
		return false;
	dev->msix_entries = (uint16_t)((control & MSIX_CONTROL_SIZE) + 1);
	dev->msix_table_gpa = bar_gpa + (table & ~7u);
	pci_write(dev, cap + MSIX_CONTROL, 2, control | MSIX_CONTROL_ENABLE);
	return true;
}

void pci_msix_route(const struct pci_dev *dev, unsigned int entry, unsigned int vector)
{
	uint64_t gpa = dev->msix_table_gpa + (uint64_t)entry * MSIX_ENTRY_BYTES;
	uint64_t address = MSI_ADDRESS(acpi_cpu_apic_id(0));

	mmio_write32(gpa, (uint32_t)address);
	mmio_write32(gpa + 4, (uint32_t)(address >> 32));
	mmio_write32(gpa + 8, MSI_DATA(vector));
	mmio_write32(gpa + 12, 0); /* not masked */
}
