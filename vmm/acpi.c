// SPDX-License-Identifier: MIT
// ACPI tables (ACPI 6.4, 5.2).
#include "vmm/acpi.h"

#include <errno.h>
#include <string.h>

#include "vmm/acpi_slots.h"
#include "vmm/dsdt.hex"
#include "vmm/memmap.h"

#define OEM_ID       "FERRY "
#define OEM_TABLE_ID "FERRYVMM"
#define CREATOR_ID   "FRRY"

/* 5.2.6 */
struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* 5.2.5.3 */
struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_gpa;
	uint32_t length;
	uint64_t xsdt_gpa;
	uint8_t ext_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

#define NR_XSDT_ENTRIES 3

struct xsdt {
	struct header h;
	uint64_t entries[NR_XSDT_ENTRIES];
} __attribute__((packed));

/* 5.2.3.2 */
struct gas {
	uint8_t space; /* 0: memory, 1: I/O */
	uint8_t bits;
	uint8_t offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));

/* 5.2.9, up to X_PM_TMR_BLK; the rest is zero: not there. */
struct fadt {
	struct header h;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	uint32_t pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl, x_dsdt;
	struct gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
	struct gas x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
	struct gas sleep_control_reg, sleep_status_reg;
	uint64_t hypervisor_id;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.4, table 5.9");

#define FADT_WBINVD        (1U << 0)
#define FADT_PROC_C1       (1U << 2)
#define FADT_SLP_BUTTON    (1U << 5) /* no fixed sleep button; the power button is one */
#define FADT_TMR_VAL_EXT   (1U << 8)
#define FADT_RESET_REG_SUP (1U << 10)

#define IAPC_LEGACY_DEVICES  (1U << 0)
#define IAPC_VGA_NOT_PRESENT (1U << 2)

/* PORT_RESET: full reset (PCI host bridges of Intel: RST_CPU | SYS_RST). */
#define RESET_VALUE 0x06

/* 5.2.10 */
struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));

/* 5.2.12 and its entries 5.2.12.2, .3, .5, .7 */
struct madt {
	struct header h;
	uint32_t lapic_gpa;
	uint32_t flags;
} __attribute__((packed));

struct madt_lapic {
	uint8_t type, length;
	uint8_t processor_uid, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id, reserved;
	uint32_t gpa;
	uint32_t gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length;
	uint8_t bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

#define MADT_PCAT_COMPAT 1U
#define MADT_ENABLED     1U
#define INTI_ACTIVE_HIGH 1U
#define INTI_LEVEL       (3U << 2)

struct mcfg {
	struct header h;
	uint64_t reserved0;
	uint64_t ecam_gpa;
	uint16_t segment;
	uint8_t start_bus, end_bus;
	uint32_t reserved1;
} __attribute__((packed));

/* The tables are put together here and written to guest memory in one piece. */
struct builder {
	uint8_t buf[16 * KIB];
	size_t used;
};

/* Reserve room for a table; NULL when the area is full. */
static void *take(struct builder *b, size_t bytes, size_t align)
{
	size_t at = ALIGN_UP(b->used, align);

	if (bytes > sizeof(b->buf) || at > sizeof(b->buf) - bytes)
		return NULL;
	b->used = at + bytes;
	return b->buf + at;
}

static gpa_t gpa_of(const struct builder *b, const void *p)
{
	return MAP_ACPI + (gpa_t)((const uint8_t *)p - b->buf);
}

static uint8_t checksum(const void *p, size_t len)
{
	const uint8_t *bytes = p;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

static void seal(struct header *h, const char *signature, uint8_t revision, size_t length)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = (uint32_t)length;
	h->revision = revision;
	memcpy(h->oem_id, OEM_ID, sizeof(h->oem_id));
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(h->oem_table_id));
	h->oem_revision = 1;
	memcpy(h->creator_id, CREATOR_ID, sizeof(h->creator_id));
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(h, length);
}

static struct gas io_port(uint16_t port, uint8_t bytes)
{
	return (struct gas){ .space = 1, .bits = (uint8_t)(bytes * 8), .address = port };
}

static void fill_fadt(struct fadt *t, gpa_t facs, gpa_t dsdt)
{
	t->firmware_ctrl = (uint32_t)facs;
	t->dsdt = (uint32_t)dsdt;
	t->x_dsdt = dsdt;
	t->sci_int = GSI_SCI;
	t->pm1a_evt_blk = PORT_PM1A_EVT;
	t->pm1a_cnt_blk = PORT_PM1A_CNT;
	t->pm_tmr_blk = PORT_PM_TMR;
	t->pm1_evt_len = 4;
	t->pm1_cnt_len = 2;
	t->pm_tmr_len = 4;
	t->p_lvl2_lat = 0xfff; /* above 100 and 1000 us: no C2, no C3 */
	t->p_lvl3_lat = 0xfff;
	t->century = 0x32;
	t->iapc_boot_arch = IAPC_LEGACY_DEVICES | IAPC_VGA_NOT_PRESENT;
	t->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT |
		   FADT_RESET_REG_SUP;
	t->reset_reg = io_port(PORT_RESET, 1);
	t->reset_value = RESET_VALUE;
	t->minor_version = 4;
	t->x_pm1a_evt_blk = io_port(PORT_PM1A_EVT, 4);
	t->x_pm1a_cnt_blk = io_port(PORT_PM1A_CNT, 2);
	t->x_pm_tmr_blk = io_port(PORT_PM_TMR, 4);
}

static void fill_gpe(struct fadt *t)
{
	t->gpe0_blk = PORT_GPE0;
	t->gpe0_blk_len = 2;
	t->x_gpe0_blk = io_port(PORT_GPE0, 2);
}

static gpa_t add_dsdt(struct builder *b, unsigned nr_hot_slots)
{
	uint8_t slots[ACPI_SLOTS_MAX_BYTES];
	size_t slots_bytes = acpi_slots_write(slots, nr_hot_slots);
	size_t bytes = sizeof(dsdt_aml_code) + slots_bytes;
	struct header *dsdt = take(b, bytes, 16);

	if (!dsdt)
		return 0;
	memcpy(dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
	memcpy((uint8_t *)dsdt + sizeof(dsdt_aml_code), slots, slots_bytes);
	dsdt->length = (uint32_t)bytes;
	dsdt->checksum = 0;
	dsdt->checksum = checksum(dsdt, bytes);
	return gpa_of(b, dsdt);
}

static gpa_t add_fadt(struct builder *b, unsigned nr_hot_slots)
{
	struct facs *facs = take(b, sizeof(*facs), 64);
	gpa_t dsdt = add_dsdt(b, nr_hot_slots);
	struct fadt *fadt = take(b, sizeof(*fadt), 16);

	if (!facs || !dsdt || !fadt)
		return 0;
	memcpy(facs->signature, "FACS", sizeof(facs->signature));
	facs->length = sizeof(*facs);
	facs->version = 2;
	fill_fadt(fadt, gpa_of(b, facs), dsdt);
	if (nr_hot_slots)
		fill_gpe(fadt);
	seal(&fadt->h, "FACP", 6, sizeof(*fadt));
	return gpa_of(b, fadt);
}

/* ISA lines keep their numbers, but the PIT is on input 2 and the SCI is level-triggered. */
static int add_overrides(struct builder *b)
{
	const struct madt_override overrides[] = {
		{ .type = 2, .length = sizeof(overrides[0]), .source = 0, .gsi = 2 },
		{ .type = 2,
		  .length = sizeof(overrides[0]),
		  .source = GSI_SCI,
		  .gsi = GSI_SCI,
		  .flags = INTI_ACTIVE_HIGH | INTI_LEVEL },
	};
	void *p = take(b, sizeof(overrides), 1);

	if (!p)
		return -1;
	memcpy(p, overrides, sizeof(overrides));
	return 0;
}

static gpa_t add_madt(struct builder *b, unsigned nr_vcpus)
{
	struct madt *madt = take(b, sizeof(*madt), 16);
	struct madt_lapic *cpus = take(b, nr_vcpus * sizeof(*cpus), 1);
	struct madt_ioapic *ioapic = take(b, sizeof(*ioapic), 1);

	if (!madt || !cpus || !ioapic || add_overrides(b) < 0)
		return 0;
	madt->lapic_gpa = MAP_LAPIC;
	madt->flags = MADT_PCAT_COMPAT;
	for (unsigned i = 0; i < nr_vcpus; i++)
		cpus[i] = (struct madt_lapic){
			.type = 0,
			.length = sizeof(*cpus),
			.processor_uid = (uint8_t)i,
			.apic_id = (uint8_t)i,
			.flags = MADT_ENABLED,
		};
	*ioapic = (struct madt_ioapic){ .type = 1, .length = sizeof(*ioapic), .gpa = MAP_IOAPIC };
	seal(&madt->h, "APIC", 5, (size_t)(b->buf + b->used - (uint8_t *)madt));
	return gpa_of(b, madt);
}

static gpa_t add_mcfg(struct builder *b)
{
	struct mcfg *mcfg = take(b, sizeof(*mcfg), 16);

	if (!mcfg)
		return 0;
	mcfg->ecam_gpa = MAP_ECAM;
	seal(&mcfg->h, "MCFG", 1, sizeof(*mcfg));
	return gpa_of(b, mcfg);
}

static void fill_rsdp(struct rsdp *rsdp, gpa_t xsdt)
{
	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, OEM_ID, sizeof(rsdp->oem_id));
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt_gpa = xsdt;
	rsdp->checksum = checksum(rsdp, 20);
	rsdp->ext_checksum = checksum(rsdp, sizeof(*rsdp));
}

int acpi_write(struct gmem *gm, unsigned nr_vcpus, unsigned nr_hot_slots, gpa_t *ret_rsdp_gpa)
{
	struct builder b = { .used = 0 };
	/* First, so that a scan from MAP_ACPI on meets it at once. */
	struct rsdp *rsdp = take(&b, sizeof(*rsdp), 16);
	struct xsdt *xsdt = take(&b, sizeof(*xsdt), 16);

	if (!rsdp || !xsdt)
		return -ENOSPC;
	xsdt->entries[0] = add_fadt(&b, nr_hot_slots);
	xsdt->entries[1] = add_madt(&b, nr_vcpus);
	xsdt->entries[2] = add_mcfg(&b);
	for (unsigned i = 0; i < NR_XSDT_ENTRIES; i++) {
		uint64_t gpa = xsdt->entries[i];

		if (!gpa)
			return -ENOSPC;
	}
	seal(&xsdt->h, "XSDT", 1, sizeof(*xsdt));
	fill_rsdp(rsdp, gpa_of(&b, xsdt));
	*ret_rsdp_gpa = gpa_of(&b, rsdp);
	return gmem_write(gm, MAP_ACPI, b.buf, b.used);
}
