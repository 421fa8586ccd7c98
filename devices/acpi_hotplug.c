// SPDX-License-Identifier: MIT
// Hotplug of PCI devices by ACPI: GPE block 0 (ACPI 6.4, 4.8.4.1) and the slots' registers.
#include "devices/acpi_hotplug.h"

#include "devices/acpi_impl.h"
#include "devices/vstate.h"
#include "vmm/bus.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define GPE_BYTES    2U
#define GPE_HOTPLUG  0x02U /* \_GPE._E01 in the DSDT */
#define UP_ANY       0x01U /* bit 0 of UP */
#define HOTPLUG_REGS 4U
#define REG_BYTES    4U

enum { REG_UP, REG_DOWN, REG_EJECT, REG_STATUS };

bool acpi_hotplug_sci_locked(const struct acpi_pm *pm)
{
	return pm->state.hotplug.gpe_sts & pm->state.hotplug.gpe_en;
}

static void raise_gpe_locked(struct acpi_pm *pm)
{
	pm->state.hotplug.gpe_sts |= GPE_HOTPLUG;
	acpi_update_sci_locked(pm);
}

/* --- GPE block 0: status in the first byte, enable in the second -------------- */

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;
	const struct acpi_hotplug_state *st = &pm->state.hotplug;

	MUTEX_SCOPE(&pm->lock);
	return acpi_low_bytes((st->gpe_sts | (unsigned)st->gpe_en << 8) >> (8 * offset), size);
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	struct acpi_hotplug_state *st = &pm->state.hotplug;
	unsigned bits = (unsigned)(acpi_low_bytes(value, size) << (8 * offset));

	MUTEX_SCOPE(&pm->lock);
	st->gpe_sts &= (uint8_t)~bits; /* write 1 to clear */
	if (offset + size == GPE_BYTES)
		st->gpe_en = bits >> 8 & GPE_HOTPLUG;
	acpi_update_sci_locked(pm);
}

/* --- the slots' registers ------------------------------------------------------ */

static uint64_t slots_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint64_t value = 0;

	MUTEX_SCOPE(&pm->lock);
	const uint32_t regs[HOTPLUG_REGS] = {
		[REG_UP] = pm->state.hotplug.up,
		[REG_DOWN] = pm->state.hotplug.down,
		[REG_EJECT] = PCI_HOT_SLOTS(pm->vm->nr_hot_slots),
	};

	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;

		value |= (uint64_t)(regs[at / REG_BYTES] >> (8 * (at % REG_BYTES)) & 0xff)
			 << (8 * i);
	}
	return value;
}

/* --- what the guest answers ------------------------------------------------------ */

static bool is_down(unsigned source)
{
	return source == ACPI_EJECT_REQUEST || source == ACPI_EJECT_PROCESSING;
}

/* Not an answer: it is under way, or nothing that the guest was told of. */
static bool is_idle(unsigned source, unsigned status)
{
	if (is_down(source))
		return status == ACPI_EJECT_IN_PROGRESS;
	return (source != ACPI_DEVICE_CHECK && source != ACPI_INSERTION) ||
	       status == ACPI_INSERTION_IN_PROGRESS;
}

static bool take_status_locked(struct acpi_pm *pm, uint32_t value)
{
	struct acpi_hotplug_state *st = &pm->state.hotplug;
	struct acpi_hotplug *hp = &pm->hotplug;
	struct acpi_hotplug_answer answer = {
		.slot = value >> 24,
		.source = value >> 8 & 0xffff,
		.status = value & 0xff,
	};
	bool down = is_down(answer.source);
	uint32_t *unanswered = down ? &st->unanswered_down : &st->unanswered_up;
	uint32_t bit = answer.slot <= pm->vm->nr_hot_slots ? 1U << answer.slot : 0;

	if (!(*unanswered & bit) || is_idle(answer.source, answer.status))
		return false;
	*unanswered &= ~bit;
	answer.refused = down && answer.status && st->requested & bit;
	if (answer.refused) {
		st->requested &= ~bit;
		st->down &= ~bit;
	}
	(down ? hp->downs : hp->ups)[answer.slot] = answer;
	*(down ? &hp->answered_down : &hp->answered_up) |= bit;
	return true;
}

static void write_status(struct acpi_pm *pm, uint32_t value)
{
	bool heard;

	mutex_lock(&pm->lock);
	heard = take_status_locked(pm, value);
	mutex_unlock(&pm->lock);
	if (heard && pm->hotplug.ops)
		pm->hotplug.ops->answered(pm->hotplug.opaque);
}

bool acpi_hotplug_take_answer(struct acpi_pm *pm, struct acpi_hotplug_answer *ret)
{
	struct acpi_hotplug *hp = &pm->hotplug;
	uint32_t *mask;
	unsigned slot;

	MUTEX_SCOPE(&pm->lock);
	mask = hp->answered_up ? &hp->answered_up : &hp->answered_down;
	if (!*mask)
		return false;
	slot = (unsigned)__builtin_ctz(*mask);
	*ret = (mask == &hp->answered_up ? hp->ups : hp->downs)[slot];
	*mask &= *mask - 1;
	return true;
}

/* --- the slots' registers, written ------------------------------------------------ */

static void slots_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint32_t bits[HOTPLUG_REGS] = { 0 };
	uint32_t ejected;

	for (unsigned i = 0; i < size; i++) {
		uint64_t at = offset + i;

		bits[at / REG_BYTES] |= (uint32_t)(value >> (8 * i) & 0xff)
					<< (8 * (at % REG_BYTES));
	}
	mutex_lock(&pm->lock);
	pm->state.hotplug.up &= ~bits[REG_UP];
	pm->state.hotplug.down &= ~bits[REG_DOWN];
	ejected = bits[REG_EJECT] & PCI_HOT_SLOTS(pm->vm->nr_hot_slots);
	mutex_unlock(&pm->lock);
	if (ejected && pm->hotplug.ops)
		pm->hotplug.ops->ejected(pm->hotplug.opaque, ejected);
	if (offset == (uint64_t)REG_STATUS * REG_BYTES && size == REG_BYTES)
		write_status(pm, (uint32_t)value);
}

static const struct bus_ops gpe_ports = { .read = gpe_read, .write = gpe_write };
static const struct bus_ops slots_ports = { .read = slots_read, .write = slots_write };

/* --- the machine's side --------------------------------------------------------- */

void acpi_hotplug_set_ops(struct acpi_pm *pm, const struct acpi_hotplug_ops *ops, void *opaque)
{
	pm->hotplug.ops = ops;
	pm->hotplug.opaque = opaque;
}

void acpi_hotplug_added(struct acpi_pm *pm, unsigned slot)
{
	MUTEX_SCOPE(&pm->lock);
	pm->state.hotplug.up |= 1U << slot;
	pm->state.hotplug.unanswered_up |= 1U << slot;
	raise_gpe_locked(pm);
}

void acpi_hotplug_request(struct acpi_pm *pm, unsigned slot)
{
	MUTEX_SCOPE(&pm->lock);
	pm->state.hotplug.down |= 1U << slot;
	pm->state.hotplug.requested |= 1U << slot;
	pm->state.hotplug.unanswered_down |= 1U << slot;
	raise_gpe_locked(pm);
}

void acpi_hotplug_set_ejected(struct acpi_pm *pm, unsigned slot)
{
	struct acpi_hotplug_state *st = &pm->state.hotplug;
	uint32_t others = ~(1U << slot);

	MUTEX_SCOPE(&pm->lock);
	st->ejected |= ~others;
	st->requested &= others;
	st->up &= others;
	st->down &= others;
}

void acpi_hotplug_removed(struct acpi_pm *pm, unsigned slot, bool surprise)
{
	struct acpi_hotplug_state *st = &pm->state.hotplug;
	uint32_t others = ~(1U << slot);

	MUTEX_SCOPE(&pm->lock);
	st->ejected &= others;
	st->requested &= others;
	st->up &= others;
	st->down &= others;
	if (surprise) {
		st->up |= UP_ANY;
		raise_gpe_locked(pm);
	}
}

uint32_t acpi_hotplug_requested(struct acpi_pm *pm)
{
	MUTEX_SCOPE(&pm->lock);
	return pm->state.hotplug.requested;
}

uint32_t acpi_hotplug_ejected(struct acpi_pm *pm)
{
	MUTEX_SCOPE(&pm->lock);
	return pm->state.hotplug.ejected;
}

/*
 * The guest that starts now looks at all slots by itself. What it was asked to let go
 * of it is asked again, if the machine has not taken that away by now.
 */
struct acpi_hotplug_state acpi_hotplug_after_reset(const struct acpi_hotplug_state *st)
{
	return (struct acpi_hotplug_state){
		.down = st->requested,
		.requested = st->requested,
		.ejected = st->ejected,
		.unanswered_down = st->requested,
		.gpe_sts = st->requested ? GPE_HOTPLUG : 0,
	};
}

/* --- saved state ----------------------------------------------------------------- */

/* Slot 0 means something in UP only, and no harm elsewhere, as do slots without hotplug. */
static const struct vstate_field hotplug_fields[] = {
	VS_U32(1, struct acpi_hotplug_state, up),
	VS_U32(2, struct acpi_hotplug_state, down),
	VS_U32(3, struct acpi_hotplug_state, requested),
	VS_U32(4, struct acpi_hotplug_state, ejected),
	VS_U8_MAX(5, struct acpi_hotplug_state, gpe_sts, GPE_HOTPLUG),
	VS_U8_MAX(6, struct acpi_hotplug_state, gpe_en, GPE_HOTPLUG),
	VS_U32(7 | VSTATE_OPTIONAL, struct acpi_hotplug_state, unanswered_up),
	VS_U32(8 | VSTATE_OPTIONAL, struct acpi_hotplug_state, unanswered_down),
};

const struct vstate_table acpi_hotplug_vstate = {
	VSTATE_TABLE("acpi-hotplug", struct acpi_hotplug_state, hotplug_fields),
};

/* --- life cycle ------------------------------------------------------------------- */

int acpi_hotplug_init(struct acpi_pm *pm)
{
	int rc = bus_add(&pm->vm->pio, PORT_GPE0, GPE_BYTES, &gpe_ports, pm);

	if (rc < 0)
		return rc;
	return bus_add(&pm->vm->pio, PORT_HOTPLUG, HOTPLUG_REGS * REG_BYTES, &slots_ports, pm);
}

void acpi_hotplug_fini(struct acpi_pm *pm)
{
	bus_remove(&pm->vm->pio, PORT_GPE0, pm);
	bus_remove(&pm->vm->pio, PORT_HOTPLUG, pm);
}
