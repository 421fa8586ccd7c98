// SPDX-License-Identifier: MIT
// ACPI fixed hardware (ACPI 6.4, 4.8.3): sleep states, power button, PM timer.
#include <errno.h>
#include <stdlib.h>

#include "devices/acpi_impl.h"
#include "devices/isa.h"
#include "devices/vstate.h"
#include "util/clock.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define EVT_BYTES 4U
#define CNT_BYTES 2U
#define TMR_BYTES 4U

/* PM1 status and enable, 4.8.3.1 */
#define PM1_TMR     (1U << 0)
#define PM1_GBL     (1U << 5)
#define PM1_PWRBTN  (1U << 8)
#define PM1_RTC     (1U << 10)
#define PM1_WAK     (1U << 15)
#define PM1_EN_MASK (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

/* PM1 control, 4.8.3.2 */
#define CNT_SCI_EN       (1U << 0)
#define CNT_SLP_TYP(cnt) ((cnt) >> 10 & 7)
#define CNT_SLP_EN       (1U << 13)
#define CNT_KEPT         (7U << 10) /* bits that read back */
#define SLP_TYP_S5       5U         /* \_S5 in dsdt.asl */

#define PM_TIMER_HZ 3579545ULL

void acpi_update_sci_locked(struct acpi_pm *pm)
{
	struct acpi_pm_state *st = &pm->state;
	bool level = (st->sts & st->en & PM1_EN_MASK) || acpi_hotplug_sci_locked(pm);

	if (level == st->sci_level || pm->paused)
		return;
	st->sci_level = level;
	irq_set_line(&pm->vm->irq, GSI_SCI, level);
}

/* Status in the low word, enable in the high one: any byte of it. */
static uint64_t evt_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint32_t both;

	mutex_lock(&pm->lock);
	both = pm->state.sts | (uint32_t)pm->state.en << 16;
	mutex_unlock(&pm->lock);
	return acpi_low_bytes(both >> (8 * offset), size);
}

static void evt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint32_t mask = (uint32_t)(acpi_low_bytes(UINT64_MAX, size) << (8 * offset));
	uint32_t bits = (uint32_t)(value << (8 * offset)) & mask;

	mutex_lock(&pm->lock);
	pm->state.sts &= (uint16_t)~bits; /* write 1 to clear */
	pm->state.en = (uint16_t)((pm->state.en & ~(mask >> 16)) | (bits >> 16 & PM1_EN_MASK));
	acpi_update_sci_locked(pm);
	mutex_unlock(&pm->lock);
}

static uint64_t cnt_read(void *opaque, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint16_t cnt;

	mutex_lock(&pm->lock);
	cnt = pm->state.cnt | CNT_SCI_EN; /* there is no legacy mode to leave */
	mutex_unlock(&pm->lock);
	return acpi_low_bytes((uint64_t)cnt >> (8 * offset), size);
}

static void cnt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint16_t mask = (uint16_t)(acpi_low_bytes(UINT64_MAX, size) << (8 * offset));
	uint16_t cnt;

	mutex_lock(&pm->lock);
	cnt = (uint16_t)((pm->state.cnt & ~mask) | ((value << (8 * offset)) & mask));
	pm->state.cnt = cnt & CNT_KEPT;
	mutex_unlock(&pm->lock);
	if (cnt & CNT_SLP_EN && CNT_SLP_TYP(cnt) == SLP_TYP_S5)
		vm_raise_event(pm->vm, VM_EVENT_POWEROFF, 0);
}

static uint64_t timer_now_ns(const struct acpi_pm *pm)
{
	return clock_now_ns() + pm->offset_ns;
}

/* A free-running 32-bit counter, 4.8.3.3; its carry interrupt is not offered. */
static uint64_t tmr_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t now = timer_now_ns(opaque);
	uint64_t ticks =
		now / NSEC_PER_SEC * PM_TIMER_HZ + now % NSEC_PER_SEC * PM_TIMER_HZ / NSEC_PER_SEC;

	return acpi_low_bytes((ticks & UINT32_MAX) >> (8 * offset), size);
}

static void tmr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)opaque, (void)offset, (void)value, (void)size;
}

static const struct bus_ops evt_ports = { .read = evt_read, .write = evt_write };
static const struct bus_ops cnt_ports = { .read = cnt_read, .write = cnt_write };
static const struct bus_ops tmr_ports = { .read = tmr_read, .write = tmr_write };

void acpi_pm_power_button(struct acpi_pm *pm)
{
	mutex_lock(&pm->lock);
	pm->state.sts |= PM1_PWRBTN;
	acpi_update_sci_locked(pm);
	mutex_unlock(&pm->lock);
}

static void acpi_pm_reset(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);

	mutex_lock(&pm->lock);
	irq_set_line(&pm->vm->irq, GSI_SCI, false);
	pm->state = (struct acpi_pm_state){
		.hotplug = acpi_hotplug_after_reset(&pm->state.hotplug),
	};
	mutex_unlock(&pm->lock);
}

/*
 * A button that is pressed meanwhile shows in the status, but moves the line only
 * when the guest runs again.
 */
static void acpi_pm_pause(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);

	mutex_lock(&pm->lock);
	pm->paused = true;
	pm->state.timer_ns = timer_now_ns(pm);
	mutex_unlock(&pm->lock);
}

/*
 * The timer goes on from where it was, and by as much as the guest's other
 * clocks were put forward: Linux compares them, and distrusts the TSC if they
 * differ.
 */
static void acpi_pm_resume(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);

	mutex_lock(&pm->lock);
	if (pm->loaded)
		pm->offset_ns = pm->state.timer_ns + pm->vm->clock_forward_ns - clock_now_ns();
	pm->loaded = false;
	pm->paused = false;
	acpi_update_sci_locked(pm);
	mutex_unlock(&pm->lock);
}

/* --- saved state ------------------------------------------------------------- */

static const struct vstate_field acpi_pm_fields[] = {
	VS_U16(1, struct acpi_pm_state, sts),
	VS_U16(2, struct acpi_pm_state, en),
	VS_U16(3, struct acpi_pm_state, cnt),
	VS_U8_MAX(4, struct acpi_pm_state, sci_level, 1),
	VS_U64(5, struct acpi_pm_state, timer_ns),
	VS_STRUCT(6 | VSTATE_OPTIONAL, struct acpi_pm_state, hotplug, &acpi_hotplug_vstate),
};

static int check_state(const void *state, struct err *e)
{
	const struct acpi_pm_state *st = state;

	if (st->sts & ~PM1_EN_MASK || st->en & ~PM1_EN_MASK || st->cnt & ~CNT_KEPT)
		return err_set(e, -EINVAL, "bits that do not exist: sts %#x, en %#x, cnt %#x",
			       st->sts, st->en, st->cnt);
	return 0;
}

const struct vstate_table acpi_pm_vstate = {
	VSTATE_TABLE("acpi-pm", struct acpi_pm_state, acpi_pm_fields),
	.check = check_state,
};

static void acpi_pm_save(struct device *dev, struct vstate_writer *w)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);

	mutex_lock(&pm->lock);
	vstate_put(w, &acpi_pm_vstate, 0, &pm->state);
	mutex_unlock(&pm->lock);
}

static int acpi_pm_load(struct device *dev, struct vstate_reader *r, struct err *e)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);
	int rc;

	mutex_lock(&pm->lock);
	pm->paused = true;
	rc = vstate_get(r, &acpi_pm_vstate, 0, &pm->state, e);
	pm->loaded = rc == 0;
	mutex_unlock(&pm->lock);
	return rc;
}

static void acpi_pm_free(struct device *dev)
{
	struct acpi_pm *pm = container_of(dev, struct acpi_pm, device);

	bus_remove(&pm->vm->pio, PORT_PM1A_EVT, pm);
	bus_remove(&pm->vm->pio, PORT_PM1A_CNT, pm);
	bus_remove(&pm->vm->pio, PORT_PM_TMR, pm);
	acpi_hotplug_fini(pm);
	mutex_fini(&pm->lock);
	free(pm);
}

static const struct device_ops acpi_pm_ops = {
	.type = "acpi-pm",
	.reset = acpi_pm_reset,
	.pause = acpi_pm_pause,
	.resume = acpi_pm_resume,
	.save = acpi_pm_save,
	.load = acpi_pm_load,
	.free = acpi_pm_free,
};

int acpi_pm_new(struct vm *vm, struct acpi_pm **ret)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int rc;

	if (!pm)
		return -ENOMEM;
	pm->device = (struct device){ .ops = &acpi_pm_ops, .id = "acpi-pm" };
	pm->vm = vm;
	mutex_init(&pm->lock);
	if ((rc = bus_add(&vm->pio, PORT_PM1A_EVT, EVT_BYTES, &evt_ports, pm)) < 0 ||
	    (rc = bus_add(&vm->pio, PORT_PM1A_CNT, CNT_BYTES, &cnt_ports, pm)) < 0 ||
	    (rc = bus_add(&vm->pio, PORT_PM_TMR, TMR_BYTES, &tmr_ports, pm)) < 0 ||
	    (rc = acpi_hotplug_init(pm)) < 0 || (rc = vm_add_device(vm, &pm->device)) < 0) {
		acpi_pm_free(&pm->device);
		return rc;
	}
	*ret = pm;
	return 0;
}
