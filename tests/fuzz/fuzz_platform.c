// SPDX-License-Identifier: MIT
// Fuzz: the ports of the platform devices: serial, RTC, i8042, ACPI, pvpanic, debug-exit, PCI.
//
// The input is a list of steps of eight bytes: kind, size, port, value.
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/acpi_hotplug.h"
#include "devices/isa.h"
#include "devices/serial.h"
#include "tests/fuzz/round_trip.h"
#include "vmm/console.h"
#include "vmm/memmap.h"

struct step {
	uint8_t kind, size_log2;
	uint16_t port;
	uint32_t value;
};

struct rig {
	struct vm vm;
	struct acpi_pm *pm;
	struct device *serial;
	struct loop_work stop;
	int input; /* what is written there the guest may read from its serial port */
};

/* Each with one port more than there are. */
static const struct {
	uint16_t base, ports;
} ranges[] = {
	{ PORT_SERIAL, 9 },    { PORT_RTC, 3 },    { PORT_I8042_DATA, 6 }, { PORT_PM1A_EVT, 5 },
	{ PORT_PM1A_CNT, 3 },  { PORT_PM_TMR, 5 }, { PORT_PVPANIC, 2 },    { PORT_DEBUG_EXIT, 2 },
	{ PORT_RESET - 1, 9 }, { PORT_GPE0, 3 },   { PORT_HOTPLUG, 17 },
};

/* Devices are not told of slots that they do not have. */
static void on_ejected(void *opaque, uint32_t slots)
{
	const struct rig *r = opaque;

	fuzz_require(slots && !(slots & ~PCI_HOT_SLOTS(r->vm.nr_hot_slots)));
	for (; slots; slots &= slots - 1)
		acpi_hotplug_set_ejected(r->pm, (unsigned)__builtin_ctz(slots));
}

/* Each answer is to something, so there are not many. */
static void on_answered(void *opaque)
{
	const struct rig *r = opaque;
	struct acpi_hotplug_answer answer;
	unsigned nr = 0;

	while (acpi_hotplug_take_answer(r->pm, &answer)) {
		fuzz_require(answer.slot >= 1 && answer.slot <= r->vm.nr_hot_slots);
		fuzz_require(!answer.refused || answer.status);
		nr++;
	}
	fuzz_require(nr == 1);
}

static const struct acpi_hotplug_ops hotplug_ops = {
	.ejected = on_ejected,
	.answered = on_answered,
};

/* The machine's side: a device comes, is to go, has gone. */
static void hotplug(const struct rig *r, uint32_t data)
{
	unsigned slot = 1 + data / 4 % 16;

	switch (data % 4) {
	case 0:
		acpi_hotplug_added(r->pm, slot);
		break;
	case 1:
		acpi_hotplug_request(r->pm, slot);
		break;
	default:
		acpi_hotplug_removed(r->pm, slot, data % 4 == 3);
		fuzz_require(!(acpi_hotplug_requested(r->pm) & 1U << slot));
		fuzz_require(!(acpi_hotplug_ejected(r->pm) & 1U << slot));
		break;
	}
}

static void stop_loop(void *opaque)
{
	loop_stop(opaque);
}

static void set_up(struct rig *r)
{
	struct console_reader_params reader = { .out_fd = -1, .history = true };
	struct console *con;
	int pair[2];

	(void)bare_vm_init(&r->vm, 1 * MIB);
	log_init(LOG_ERROR, NULL);
	r->stop = (struct loop_work){ .fn = stop_loop, .opaque = r->vm.main_loop };
	fuzz_require(console_new(&con, r->vm.main_loop) == 0);
	fuzz_require(serial_new(&r->vm, con) == 0);
	fuzz_require(rtc_new(&r->vm) == 0);
	fuzz_require(i8042_new(&r->vm) == 0);
	fuzz_require(acpi_pm_new(&r->vm, &r->pm) == 0);
	acpi_hotplug_set_ops(r->pm, &hotplug_ops, r);
	fuzz_require(pvpanic_new(&r->vm) == 0);
	fuzz_require(debug_exit_new(&r->vm) == 0);
	fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	r->input = pair[0];
	reader.in_fd = pair[1];
	fuzz_require(console_add_reader(con, &reader) == 0);
	r->serial = vm_find_device(&r->vm, "serial");
	fuzz_require(r->serial != NULL);
}

/* The main loop has a turn: timers, input, what was posted to it. */
static void turn(struct rig *r)
{
	loop_post(r->vm.main_loop, &r->stop);
	fuzz_require(loop_run(r->vm.main_loop) == 0);
}

static void round_trip_all(struct rig *r)
{
	struct device *dev;

	TAILQ_FOREACH(dev, &r->vm.devices, link)
	round_trip(dev);
}

static void do_step(struct rig *r, const struct step *s)
{
	unsigned range = s->port / 256U % ARRAY_SIZE(ranges);
	uint16_t port = (uint16_t)(ranges[range].base + s->port % 256U % ranges[range].ports);
	unsigned size = 1U << (s->size_log2 % 3);
	uint32_t data = s->value;

	switch (s->kind % 8) {
	case 0:
	case 1:
	case 2:
		(void)bus_write(&r->vm.pio, port, &data, size);
		break;
	case 3:
	case 4:
		(void)bus_read(&r->vm.pio, port, &data, size);
		break;
	case 5:
		acpi_pm_power_button(r->pm);
		(void)!serial_send_break(r->serial, (uint8_t)data);
		hotplug(r, data);
		break;
	case 6:
		(void)!write(r->input, &data, size);
		turn(r);
		break;
	default:
		round_trip_all(r);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rig;
	struct device *dev;
	struct step s;

	if (!rig.serial)
		set_up(&rig);
	for (; len >= sizeof(s); data += sizeof(s), len -= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		do_step(&rig, &s);
	}
	/* What waits on timers comes to an end with the reset. */
	TAILQ_FOREACH(dev, &rig.vm.devices, link)
	if (dev->ops->reset)
		dev->ops->reset(dev);
	turn(&rig);
	return 0;
}
