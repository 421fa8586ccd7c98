/* SPDX-License-Identifier: MIT */
/* The static ACPI tables (ACPI 6.4, chapter 5). Everything here only reads. */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acpi_header {
	char signature[4];
	uint32_t bytes;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	uint32_t creator_id;
	uint32_t creator_revision;
} __attribute__((packed));

/* 5.2.3.2 */
struct acpi_address {
	uint8_t space; /* enum acpi_space */
	uint8_t bits;
	uint8_t offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));

enum acpi_space { ACPI_MEMORY = 0, ACPI_IO = 1 };

/* 5.2.9; the fields between those that are used have no names. */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t unused1[2];
	uint16_t sci_irq;
	uint32_t smi_command;
	uint8_t acpi_enable;
	uint8_t unused2[3];
	uint32_t pm1a_event;
	uint32_t pm1b_event;
	uint32_t pm1a_control;
	uint32_t pm1b_control;
	uint8_t unused3[8];
	uint32_t gpe0;
	uint32_t gpe1;
	uint8_t pm1_event_bytes;
	uint8_t unused4[3];
	uint8_t gpe0_bytes;
	uint8_t unused6[19];
	uint32_t flags;
	struct acpi_address reset_register;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	uint8_t unused5[96];
	struct acpi_address sleep_control;
	struct acpi_address sleep_status;
} __attribute__((packed));

#define ACPI_FADT_RESET_REG_SUP    (1u << 10)
#define ACPI_FADT_HW_REDUCED       (1u << 20)
#define ACPI_PM1_STS_PWRBTN        (1u << 8)
#define ACPI_PM1_EN_PWRBTN         (1u << 8)
#define ACPI_PM1_CNT_SCI_EN        (1u << 0)
#define ACPI_PM1_CNT_SLP_EN        (1u << 13)
#define ACPI_PM1_CNT_SLP_TYP_SHIFT 10

/* Called once by the runtime with the start info's address of the RSDP, 0 if it has none. */
void acpi_init(uint64_t rsdp_gpa);

/* The first table with that signature and a good checksum, or NULL. */
const void *acpi_find(const char signature[4]);
const struct acpi_fadt *acpi_fadt(void);

/* SLP_TYPa of \_S5, found in the DSDT's bytes; -1 if it is not there. */
int acpi_s5_type(void);

/* Usable processors of the MADT: their number, and the APIC ID of the n-th. At least 1. */
unsigned int acpi_cpu_count(void);
uint32_t acpi_cpu_apic_id(unsigned int n);

/* The address of the I/O APIC. */
uint64_t acpi_ioapic_gpa(void);

struct acpi_isa_route {
	uint32_t gsi;
	bool level;
	bool active_low;
};

/* Where an ISA interrupt arrives, with the MADT's overrides. */
struct acpi_isa_route acpi_isa_route(unsigned int isa_irq);

struct acpi_ecam {
	uint64_t base_gpa;
	uint8_t first_bus;
	uint8_t last_bus;
};

/* The MCFG's window of PCI segment 0; base_gpa 0 if there is none. It is mapped already. */
struct acpi_ecam acpi_ecam(void);

/* One write through a generic address structure. */
void acpi_write8(const struct acpi_address *reg, uint8_t value);

#endif
