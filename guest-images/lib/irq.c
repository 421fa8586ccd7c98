// SPDX-License-Identifier: MIT
/* The 8259s off, the LAPIC (SDM vol. 3, 11) on, routes of the I/O APIC (82093AA data sheet). */
#include "irq.h"
#include "acpi.h"
#include "clock.h"
#include "io.h"
#include "power.h"

#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

#define LAPIC_ID       0x020
#define LAPIC_ISR      0x100
#define LAPIC_SVR      0x0f0
#define LAPIC_ICR_LOW  0x300
#define LAPIC_ICR_HIGH 0x310
#define SVR_ENABLE     0x100
#define ICR_PENDING    0x1000
#define ICR_INIT       0x0500
#define ICR_STARTUP    0x0600
#define ICR_ASSERT     0x4000
#define ICR_OTHERS     0xc0000

#define INIT_DELAY_NS (100 * NS_PER_US)

#define IOAPIC_SELECT     0x00
#define IOAPIC_WINDOW     0x10
#define IOAPIC_REDIRECT   0x10 /* register number of input 0 */
#define REDIRECT_LOW_TRUE 0x2000
#define REDIRECT_LEVEL    0x8000

static unsigned int next_level = VECTOR_LEVEL;
static unsigned int next_edge = VECTOR_EDGE;

uint32_t lapic_read(uint32_t offset)
{
	return mmio_read32(LAPIC_GPA + offset);
}

void lapic_write(uint32_t offset, uint32_t value)
{
	mmio_write32(LAPIC_GPA + offset, value);
}

void irq_init(void)
{
	if (cpu_self() == &boot_cpu) {
		out8(PIC1_DATA, 0xff);
		out8(PIC2_DATA, 0xff);
	}
	cpu_self()->apic_id = lapic_read(LAPIC_ID) >> 24;
	lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	kernel_call(KERNEL_IRQ_ON, 0, 0);
}

unsigned int irq_alloc(void)
{
	if (next_edge == VECTOR_SPURIOUS)
		panic("out of interrupt vectors");
	return next_edge++;
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
	uint64_t gpa = acpi_ioapic_gpa();

	mmio_write32(gpa + IOAPIC_SELECT, reg);
	mmio_write32(gpa + IOAPIC_WINDOW, value);
}

unsigned int irq_route_gsi(uint32_t gsi, bool level, bool active_low)
{
	unsigned int vector = level ? next_level++ : irq_alloc();
	uint32_t low = vector;

	if (next_level > VECTOR_EDGE)
		panic("out of level-triggered vectors");
	if (level)
		low |= REDIRECT_LEVEL;
	if (active_low)
		low |= REDIRECT_LOW_TRUE;
	ioapic_write(IOAPIC_REDIRECT + 2 * gsi + 1, acpi_cpu_apic_id(0) << 24);
	ioapic_write(IOAPIC_REDIRECT + 2 * gsi, low);
	return vector;
}

unsigned int irq_route_isa(unsigned int isa_irq)
{
	struct acpi_isa_route route = acpi_isa_route(isa_irq);

	return irq_route_gsi(route.gsi, route.level, route.active_low);
}

bool irq_is_level(unsigned int vector)
{
	return vector < VECTOR_EDGE;
}

/* The EOI only if it is in service: one too many would end another interrupt. */
void irq_ack(unsigned int vector)
{
	if (!irq_is_level(vector))
		return;
	if (lapic_read(LAPIC_ISR + vector / 32 * 16) >> vector % 32 & 1)
		lapic_write(LAPIC_EOI, 0);
	lapic_write(LAPIC_TPR, 0);
}

static void icr_write(uint32_t high, uint32_t low)
{
	while (lapic_read(LAPIC_ICR_LOW) & ICR_PENDING)
		cpu_relax();
	lapic_write(LAPIC_ICR_HIGH, high);
	lapic_write(LAPIC_ICR_LOW, low);
}

void irq_send(uint32_t apic_id, unsigned int vector)
{
	icr_write(apic_id << 24, ICR_ASSERT | vector);
}

void irq_send_others(unsigned int vector)
{
	icr_write(0, ICR_OTHERS | ICR_ASSERT | vector);
}

void lapic_start_cpu(uint32_t apic_id, uint32_t entry_gpa)
{
	icr_write(apic_id << 24, ICR_ASSERT | ICR_INIT);
	clock_spin(INIT_DELAY_NS);
	icr_write(apic_id << 24, ICR_ASSERT | ICR_STARTUP | entry_gpa >> 12);
}
