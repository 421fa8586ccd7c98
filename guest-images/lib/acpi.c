// SPDX-License-Identifier: MIT
/* The ACPI tables; section numbers are those of ACPI 6.4. */
#include "acpi.h"
#include "io.h"
#include "memory.h"
#include "text.h"

/* 5.2.5.3 */
struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_gpa;
	uint32_t bytes;
	uint64_t xsdt_gpa;
} __attribute__((packed));

#define RSDP_V1_BYTES 20
#define BIOS_START    0xe0000
#define BIOS_END      0x100000

static const struct rsdp *rsdp;

static bool checksum_good(const void *table, size_t bytes)
{
	const uint8_t *byte = table;
	uint8_t sum = 0;

	while (bytes--)
		sum += *byte++;
	return sum == 0;
}

static bool rsdp_good(const struct rsdp *candidate)
{
	return !memcmp(candidate->signature, "RSD PTR ", 8) &&
	       checksum_good(candidate, RSDP_V1_BYTES);
}

/* 5.2.5.1: on a 16-byte boundary. */
void acpi_init(uint64_t rsdp_gpa)
{
	if (rsdp_gpa && rsdp_good((const void *)rsdp_gpa)) {
		rsdp = (const void *)rsdp_gpa;
		return;
	}
	for (uintptr_t gpa = BIOS_START; gpa < BIOS_END; gpa += 16) {
		if (rsdp_good((const void *)gpa)) {
			rsdp = (const void *)gpa;
			return;
		}
	}
}

/* The n-th entry of the XSDT, or of the RSDT (5.2.7, 5.2.8); NULL behind the last. */
static const struct acpi_header *table_at(unsigned int n)
{
	bool wide = rsdp->revision >= 2 && rsdp->xsdt_gpa;
	uint64_t root_gpa = wide ? rsdp->xsdt_gpa : rsdp->rsdt_gpa;
	const struct acpi_header *root = (const void *)root_gpa;
	size_t entry_bytes = wide ? 8 : 4;
	uint64_t gpa = 0;

	if ((n + 1) * entry_bytes > root->bytes - sizeof(*root))
		return NULL;
	memcpy(&gpa, (const uint8_t *)(root + 1) + n * entry_bytes, entry_bytes);
	return (const void *)gpa;
}

const void *acpi_find(const char signature[4])
{
	const struct acpi_header *table;

	if (!rsdp)
		return NULL;
	for (unsigned int n = 0; (table = table_at(n)); n++)
		if (!memcmp(table->signature, signature, 4) && checksum_good(table, table->bytes))
			return table;
	return NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
	return acpi_find("FACP");
}

/*
 * Name (_S5_, Package () { a, ... }): NameOp 08, name, PackageOp 12, PkgLength,
 * element count, then `a` as ZeroOp 00, OneOp 01 or BytePrefix 0a (20.2).
 */
int acpi_s5_type(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	const struct acpi_header *dsdt;
	const uint8_t *aml, *end;

	if (!fadt)
		return -1;
	dsdt = (const void *)(fadt->header.revision >= 3 && fadt->x_dsdt ? fadt->x_dsdt
									 : (uint64_t)fadt->dsdt);
	if (!dsdt)
		return -1;
	end = (const uint8_t *)dsdt + dsdt->bytes;
	for (aml = (const uint8_t *)(dsdt + 1); aml + 10 < end; aml++) {
		if (memcmp(aml, "_S5_\x12", 5) != 0)
			continue;
		aml += 5;
		aml += (*aml >> 6) + 2; /* PkgLength, element count */
		return *aml == 0x0a ? aml[1] : *aml;
	}
	return -1;
}

/* --- MADT (5.2.12) ---------------------------------------------------------- */

enum madt_type {
	MADT_LOCAL_APIC = 0,
	MADT_IO_APIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LOCAL_X2APIC = 9,
};

#define MADT_ENABLED      1u
#define MADT_HEADER_BYTES (sizeof(struct acpi_header) + 8)

union madt_entry {
	struct {
		uint8_t type;
		uint8_t bytes;
	} __attribute__((packed));
	struct {
		uint8_t header[2];
		uint8_t uid;
		uint8_t id;
		uint32_t flags;
	} __attribute__((packed)) apic;
	struct {
		uint8_t header[2];
		uint16_t reserved;
		uint32_t id;
		uint32_t flags;
		uint32_t uid;
	} __attribute__((packed)) x2apic;
	struct {
		uint8_t header[2];
		uint8_t id;
		uint8_t reserved;
		uint32_t gpa;
		uint32_t gsi_base;
	} __attribute__((packed)) io_apic;
	struct {
		uint8_t header[2];
		uint8_t bus;
		uint8_t source;
		uint32_t gsi;
		uint16_t flags;
	} __attribute__((packed)) override;
};

/* The entry after `entry`, the first one after NULL; NULL behind the last. */
static const union madt_entry *madt_next(const union madt_entry *entry)
{
	static const struct acpi_header *madt;
	const uint8_t *at;

	if (!madt)
		madt = acpi_find("APIC");
	if (!madt)
		return NULL;
	at = entry ? (const uint8_t *)entry + entry->bytes
		   : (const uint8_t *)madt + MADT_HEADER_BYTES;
	return at + 2 <= (const uint8_t *)madt + madt->bytes ? (const void *)at : NULL;
}

static bool madt_is_cpu(const union madt_entry *entry, uint32_t *ret_apic_id)
{
	if (entry->type == MADT_LOCAL_APIC && (entry->apic.flags & MADT_ENABLED)) {
		*ret_apic_id = entry->apic.id;
		return true;
	}
	if (entry->type == MADT_LOCAL_X2APIC && (entry->x2apic.flags & MADT_ENABLED)) {
		*ret_apic_id = entry->x2apic.id;
		return true;
	}
	return false;
}

unsigned int acpi_cpu_count(void)
{
	const union madt_entry *entry;
	unsigned int count = 0;
	uint32_t apic_id;

	for (entry = madt_next(NULL); entry; entry = madt_next(entry))
		count += madt_is_cpu(entry, &apic_id);
	return count ? count : 1;
}

uint32_t acpi_cpu_apic_id(unsigned int n)
{
	const union madt_entry *entry;
	uint32_t apic_id = 0;

	for (entry = madt_next(NULL); entry; entry = madt_next(entry))
		if (madt_is_cpu(entry, &apic_id) && !n--)
			break;
	return apic_id;
}

uint64_t acpi_ioapic_gpa(void)
{
	const union madt_entry *entry;

	for (entry = madt_next(NULL); entry; entry = madt_next(entry))
		if (entry->type == MADT_IO_APIC && entry->io_apic.gsi_base == 0)
			return entry->io_apic.gpa;
	return 0xfec00000;
}

/* 5.2.12.5; the MPS INTI flags are polarity (3: active low) and trigger mode (3: level). */
struct acpi_isa_route acpi_isa_route(unsigned int isa_irq)
{
	const union madt_entry *entry;

	for (entry = madt_next(NULL); entry; entry = madt_next(entry))
		if (entry->type == MADT_OVERRIDE && entry->override.source == isa_irq)
			return (struct acpi_isa_route){
				.gsi = entry->override.gsi,
				.level = (entry->override.flags >> 2 & 3) == 3,
				.active_low = (entry->override.flags & 3) == 3,
			};
	return (struct acpi_isa_route){ .gsi = isa_irq };
}

/* --- MCFG (PCI Firmware Specification 3.2, 4.1.2) ---------------------------- */

struct mcfg_entry {
	uint64_t base_gpa;
	uint16_t segment;
	uint8_t first_bus;
	uint8_t last_bus;
	uint32_t reserved;
} __attribute__((packed));

#define MCFG_HEADER_BYTES (sizeof(struct acpi_header) + 8)

struct acpi_ecam acpi_ecam(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");
	const struct mcfg_entry *entry;

	if (!mcfg || mcfg->bytes < MCFG_HEADER_BYTES + sizeof(*entry))
		return (struct acpi_ecam){ 0 };
	entry = (const void *)((const uint8_t *)mcfg + MCFG_HEADER_BYTES);
	memory_map(entry->base_gpa, ((uint64_t)entry->last_bus + 1 - entry->first_bus) << 20,
		   MEMORY_DEVICE);
	return (struct acpi_ecam){ entry->base_gpa, entry->first_bus, entry->last_bus };
}

void acpi_write8(const struct acpi_address *reg, uint8_t value)
{
	if (reg->space == ACPI_IO)
		out8((uint16_t)reg->address, value);
	else if (reg->space == ACPI_MEMORY)
		mmio_write8(reg->address, value);
}
