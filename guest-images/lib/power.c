// SPDX-License-Identifier: MIT
/* The ways a guest ends, and the button that asks it to. */
#include "power.h"
#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "io.h"
#include "irq.h"
#include "text.h"

#define PORT_DEBUG_EXIT   0xf4
#define PORT_PVPANIC      0x505
#define PORT_RESET        0xcf9
#define PORT_I8042        0x64
#define PVPANIC_PANICKED  1
#define RESET_HARD        0x06 /* after 0x02: hard reset, now */
#define I8042_PULSE_RESET 0xfe

/* SLP_TYP and SLP_EN of the sleep control register (ACPI 6.4, 4.8.3.7). */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_ENABLE     0x20

/*
 * The monitor may act on the write a moment later: so halt, and do not try
 * another way, which could win.
 */
void power_off(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	int type = acpi_s5_type();

	if (!fadt || type < 0)
		power_exit(0);
	if (fadt->flags & ACPI_FADT_HW_REDUCED)
		acpi_write8(&fadt->sleep_control,
			    (uint8_t)(type << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
	else
		out16((uint16_t)fadt->pm1a_control,
		      (uint16_t)(type << ACPI_PM1_CNT_SLP_TYP_SHIFT | ACPI_PM1_CNT_SLP_EN));
	power_halt();
}

void power_reset(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();

	if (fadt && (fadt->flags & ACPI_FADT_RESET_REG_SUP))
		acpi_write8(&fadt->reset_register, fadt->reset_value);
	out8(PORT_RESET, 0x02);
	out8(PORT_RESET, RESET_HARD);
	out8(PORT_I8042, I8042_PULSE_RESET);
	power_halt();
}

void power_exit(uint8_t value)
{
	out8(PORT_DEBUG_EXIT, value);
	power_halt();
}

void power_halt(void)
{
	for (;;)
		kernel_call(KERNEL_HALT, 0, 0);
}

void power_triple_fault(void)
{
	kernel_call(KERNEL_TRIPLE_FAULT, 0, 0);
	power_halt();
}

void power_trap(void)
{
	__builtin_trap();
}

void power_pvpanic(void)
{
	out8(PORT_PVPANIC, PVPANIC_PANICKED);
	power_halt();
}

void panic(const char *format, ...)
{
	static bool again;
	char text[256];
	va_list arguments;

	if (!__atomic_exchange_n(&again, true, __ATOMIC_RELAXED)) {
		va_start(arguments, format);
		vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
		print("panic: %s\n", text);
	}
	power_exit(EXIT_PANIC);
}

void power_usage(const char *key)
{
	print("usage: parameter %s\n", key);
	power_exit(EXIT_USAGE);
}

/* --- power button (ACPI 6.4, 4.8.2.2.1 and 4.8.3.1) -------------------------- */

static unsigned int button_vector;
static uint16_t button_status_port;

unsigned int power_button_enable(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	struct acpi_isa_route sci;
	uint16_t enable_port;

	if (!fadt || (fadt->flags & ACPI_FADT_HW_REDUCED) || !fadt->pm1a_event)
		return 0;
	sci = acpi_isa_route(fadt->sci_irq);
	button_vector = irq_route_gsi(sci.gsi, true, sci.active_low);
	button_status_port = (uint16_t)fadt->pm1a_event;
	enable_port = (uint16_t)(button_status_port + fadt->pm1_event_bytes / 2);
	if (!(in16((uint16_t)fadt->pm1a_control) & ACPI_PM1_CNT_SCI_EN) && fadt->smi_command)
		out8((uint16_t)fadt->smi_command, fadt->acpi_enable);
	out16(button_status_port, ACPI_PM1_STS_PWRBTN);
	out16(enable_port, ACPI_PM1_EN_PWRBTN);
	return button_vector;
}

bool power_button_pressed(void)
{
	bool pressed;

	if (!button_vector)
		return false;
	pressed = in16(button_status_port) & ACPI_PM1_STS_PWRBTN;
	if (pressed)
		out16(button_status_port, ACPI_PM1_STS_PWRBTN);
	irq_ack(button_vector);
	return pressed;
}
