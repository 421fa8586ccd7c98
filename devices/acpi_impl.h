/* SPDX-License-Identifier: MIT */
/* Inside ACPI: what fixed hardware (acpi_pm.c) and hotplug (acpi_hotplug.c) share. */
#ifndef FERRY_DEVICES_ACPI_IMPL_H
#define FERRY_DEVICES_ACPI_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/acpi_hotplug.h"
#include "util/thread.h"
#include "vmm/device.h"
#include "vmm/memmap.h"

struct vm;

struct acpi_hotplug_state {
	uint32_t up, down; /* the registers */
	uint32_t requested, ejected;
	uint32_t unanswered_up, unanswered_down; /* slots that _OST has not been evaluated for */
	uint8_t gpe_sts, gpe_en;
};

struct acpi_pm_state {
	uint16_t sts, en, cnt;
	uint8_t sci_level;
	uint64_t timer_ns; /* what the PM timer counts; as of the last pause */
	struct acpi_hotplug_state hotplug;
};

struct acpi_hotplug {
	const struct acpi_hotplug_ops *ops; /* const once the guest runs; NULL: nobody listens */
	void *opaque;
	/* acpi_pm.lock: what the guest answered, and nobody has taken yet */
	struct acpi_hotplug_answer ups[PCI_MAX_HOT_SLOTS + 1], downs[PCI_MAX_HOT_SLOTS + 1];
	uint32_t answered_up, answered_down; /* slots of them */
};

struct acpi_pm {
	struct device device;
	struct vm *vm;     /* const */
	struct mutex lock; /* protects: state; order: before irq */
	struct acpi_pm_state state;
	struct acpi_hotplug hotplug;
	bool paused; /* the line stays as it is */
	bool loaded; /* the timer starts at the resume, with the guest's other clocks */
	/* The timer minus the host's clock, modulo 2^64; const while vCPUs run. */
	uint64_t offset_ns;
};

/* What an access of @size bytes sees of @value. */
static inline uint64_t acpi_low_bytes(uint64_t value, unsigned size)
{
	return size >= 8 ? value : value & ((1ULL << (8 * size)) - 1);
}

/* Bring the SCI in step with status and enable registers of both. */
void acpi_update_sci_locked(struct acpi_pm *pm);

/* Does hotplug assert the SCI? */
bool acpi_hotplug_sci_locked(const struct acpi_pm *pm);

/* Its part of the device's life. -errno with nothing left. */
__must_check int acpi_hotplug_init(struct acpi_pm *pm);
void acpi_hotplug_fini(struct acpi_pm *pm);

/* What its registers are after a reset that found them as @st. */
struct acpi_hotplug_state acpi_hotplug_after_reset(const struct acpi_hotplug_state *st);

#endif
