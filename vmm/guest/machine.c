// SPDX-License-Identifier: MIT
// A guest made from its settings: devices, boot image, and what it is up to.
#include "vmm/guest/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "devices/isa.h"
#include "devices/serial.h"
#include "util/clock.h"
#include "virtio/blk.h"
#include "vmm/boot.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/guest/state.h"
#include "vmm/vm.h"
#include "vmm/vm_state.h"

/* --- what the user does --- */

/* Refuse what makes no sense for a guest that has crashed or ended. */
static int check_alive(const struct machine *m, struct err *e)
{
	if (m->ended)
		return err_set(e, -EINVAL, "the guest has ended");
	if (m->over)
		return err_set(e, -EINVAL, "the guest %s: reset or destroy it",
			       m->crashed ? "has crashed" : "is off");
	return 0;
}

int machine_check_free(const struct machine *m, struct err *e)
{
	if (m->held)
		return err_set(e, -EBUSY, "the guest cannot be changed now: %s", m->held);
	if (m->arriving)
		return err_set(e, -EBUSY, "the guest has not arrived yet");
	return check_alive(m, e);
}

int machine_pause(struct machine *m, struct err *e)
{
	int rc = machine_check_free(m, e);

	if (rc < 0 || m->paused)
		return rc;
	vm_pause(m->vm);
	m->paused = true;
	machine_tell(m, "STOP", NULL);
	return 0;
}

int machine_resume(struct machine *m, struct err *e)
{
	int rc = machine_check_free(m, e);

	if (rc < 0 || !m->paused)
		return rc;
	m->paused = false;
	vm_resume(m->vm);
	machine_tell(m, "RESUME", NULL);
	return 0;
}

int machine_reset(struct machine *m, struct err *e)
{
	int rc = m->over && !m->held ? 0 : machine_check_free(m, e);

	if (rc < 0)
		return rc;
	loop_disarm(m->loop, &m->restart);
	vm_pause(m->vm);
	if (!machine_boot_again(m, MACHINE_RESET_BY_USER))
		return err_set(e, -EIO, "the guest could not be reset, and has ended");
	vm_resume(m->vm);
	if (m->over)
		vm_event_done(m->vm);
	m->over = m->crashed = m->keeping = false;
	return 0;
}

int machine_power_button(struct machine *m, struct err *e)
{
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	acpi_pm_power_button(m->pm);
	machine_tell(m, "POWERDOWN", NULL);
	return 0;
}

int machine_reboot(struct machine *m, struct err *e)
{
	int rc = machine_power_button(m, e);

	if (rc == 0)
		m->rebooting = true;
	return rc;
}

/* A message to the local APICs of all CPUs, physical mode (Intel SDM 3A, 11.11). */
#define MSI_ADDRESS_ALL 0xfeeff000U
#define MSI_DATA_NMI    0x400U

int machine_nmi(struct machine *m, struct err *e)
{
	int rc = machine_check_free(m, e);

	if (rc == 0)
		rc = kvm_signal_msi(m->vm->vm_fd, MSI_ADDRESS_ALL, MSI_DATA_NMI);
	return rc < 0 && !e->text[0] ? err_set(e, rc, "NMI: %s", strerror(-rc)) : rc;
}

int machine_sysrq(struct machine *m, char key, struct err *e)
{
	struct device *port = vm_find_device(m->vm, "serial");
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	if (!port || serial_send_break(port, (uint8_t)key) < 0)
		return err_set(e, -EBUSY, "the guest does not read its serial port");
	return 0;
}

int machine_hold(struct machine *m, const char *why, struct err *e)
{
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	if (!m->started)
		return err_set(e, -EINVAL, "the guest has not been started");
	vm_pause(m->vm);
	if (vm_has_event(m->vm)) {
		vm_resume(m->vm);
		return err_set(e, -EAGAIN, "the guest is about to end or to reset");
	}
	m->held = why;
	if (!m->paused)
		machine_tell(m, "STOP", NULL);
	return 0;
}

int machine_hold_to_look(struct machine *m, const char *why, struct err *e)
{
	if (!m->over || m->held || m->ended)
		return machine_hold(m, why, e);
	loop_disarm(m->loop, &m->restart);
	vm_pause(m->vm);
	m->held = why;
	return 0;
}

void machine_hold_stopped(struct machine *m, const char *why)
{
	vm_pause(m->vm);
	vm_event_done(m->vm);
	m->held = why;
	if (!m->paused)
		machine_tell(m, "STOP", NULL);
}

void machine_set_held(struct machine *m, const char *why)
{
	m->held = why;
}

void machine_set_debugged(struct machine *m, bool debugged)
{
	m->debugged = debugged;
}

bool machine_is_debugged(const struct machine *m)
{
	return m->debugged;
}

void machine_release(struct machine *m)
{
	m->held = NULL;
	machine_hotplug_changeable(m);
	vm_resume(m->vm);
	if (m->over && !m->keeping)
		machine_go_on(m);
	else if (!m->paused)
		machine_tell(m, "RESUME", NULL);
}

/* --- making it --- */

static int add_all(struct machine *m, struct err *e)
{
	int rc = machine_add_platform(m, e);

	m->vm->on_event = machine_on_event;
	m->vm->on_event_opaque = m;
	if (rc == 0)
		machine_hotplug_init(m);
	return rc < 0 ? rc : machine_add_devices(m, e);
}

static int assemble(struct machine *m, struct err *e)
{
	const struct config *cfg = m->cfg;
	const struct boot_params_files files = {
		.kernel = cfg->kernel,
		.initrd = cfg->initrd,
		.cmdline = cfg->append,
	};
	const struct vm_params params = {
		.memory_bytes = cfg->memory_bytes,
		.nr_vcpus = cfg->vcpus,
		.nr_hot_slots = cfg->hotplug_slots,
		.hugepages = cfg->hugepages,
	};
	int rc = boot_open(&m->boot, &files, e);

	if (rc == 0)
		rc = vm_new(&m->vm, &params, m->loop, e);
	if (rc == 0)
		rc = add_all(m, e);
	return rc < 0 ? rc : boot_load(m->boot, m->vm, e);
}

/* A guest must not find its disks larger or smaller than they were. */
static int check_disks(const struct machine *m, const struct guest_spec *spec, struct err *e)
{
	const struct disk_config *disks = m->cfg->disks.items;

	for (size_t i = 0; i < m->cfg->disks.nr; i++) {
		uint64_t bytes = blk_capacity_bytes(m->disks[i]);

		if (bytes != spec->disk_bytes[i])
			return err_set(e, -EINVAL,
				       "disk %s: %s has %llu bytes, but the guest's disk has %llu",
				       disks[i].id, disks[i].path, (unsigned long long)bytes,
				       (unsigned long long)spec->disk_bytes[i]);
	}
	return 0;
}

/* What its drivers use must be there: known before a byte of its memory has travelled. */
static int check_features(const struct machine *m, const struct guest_spec *spec, struct err *e)
{
	const struct disk_config *disks = m->cfg->disks.items;
	const struct nic_config *nics = m->cfg->nics.items;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < m->cfg->disks.nr; i++) {
		rc = virtio_check_features(m->disks[i], spec->disk_features[i], e);
		if (rc < 0)
			(void)err_prefix(e, "disk %s", disks[i].id);
	}
	for (size_t i = 0; rc == 0 && i < m->cfg->nics.nr; i++) {
		if (m->nics[i])
			rc = virtio_check_features(m->nics[i], spec->nic_features[i], e);
		if (rc < 0)
			(void)err_prefix(e, "nic %s", nics[i].id);
	}
	return rc;
}

/* The same for a guest that is not to boot: its state will be loaded. */
static int assemble_incoming(struct machine *m, const struct machine_incoming *in, struct err *e)
{
	const struct gmem_file ram = { .fd = in->ram_fd, .offset = in->ram_offset };
	const struct vm_params params = {
		.memory_bytes = m->cfg->memory_bytes,
		.nr_vcpus = m->cfg->vcpus,
		.nr_hot_slots = m->cfg->hotplug_slots,
		.hugepages = m->cfg->hugepages,
		.ram = in->ram_fd >= 0 ? &ram : NULL,
		.cpuid = in->spec->cpuid,
		.tsc_khz = in->spec->tsc_khz,
	};
	int rc = vm_new(&m->vm, &params, m->loop, e);

	if (rc == 0)
		rc = add_all(m, e);
	if (rc == 0)
		rc = guest_slots_apply(m, &in->spec->slots, e);
	if (rc == 0)
		rc = check_disks(m, in->spec, e);
	if (rc == 0)
		rc = check_features(m, in->spec, e);
	/* Undone by machine_start(), or by the resume of a guest that its user paused. */
	if (rc == 0)
		vm_pause(m->vm);
	return rc;
}

static struct machine *new_machine(struct config *cfg, struct loop *loop, struct console *con,
				   const struct machine_listener *listener)
{
	struct rlimit rl = { .rlim_cur = RLIM_INFINITY };
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->cfg = cfg;
	m->loop = loop;
	m->con = con;
	m->listener = *listener;
	m->restart.fn = machine_restart_now;
	m->restart.opaque = m;
	(void)getrlimit(RLIMIT_NOFILE, &rl);
	m->max_files = rl.rlim_cur;
	m->sockets.max = (unsigned)MIN(rl.rlim_cur / 2, UINT32_MAX);
	machine_nics_init(m);
	return m;
}

int machine_new(struct machine **ret, struct config *cfg, struct loop *loop, struct console *con,
		const struct machine_listener *listener, struct err *e)
{
	struct machine *m = new_machine(cfg, loop, con, listener);
	int rc = m ? assemble(m, e) : err_set(e, -ENOMEM, "out of memory");

	if (rc < 0) {
		machine_free(m);
		return rc;
	}
	*ret = m;
	return 0;
}

int machine_new_incoming(struct machine **ret, const struct machine_incoming *in, struct loop *loop,
			 struct console *con, const struct machine_listener *listener,
			 struct err *e)
{
	struct machine *m = new_machine(&in->spec->cfg, loop, con, listener);
	int rc;

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	m->arriving = true;
	rc = assemble_incoming(m, in, e);
	if (rc < 0) {
		machine_free(m);
		return rc;
	}
	*ret = m;
	return 0;
}

void machine_set_clock(struct machine *m, enum machine_clock clock)
{
	m->clock = clock;
}

void machine_set_paused(struct machine *m)
{
	m->paused = true;
}

/* Clocks go from here on. The state has served its purpose. */
static int start_clocks(struct machine *m, struct err *e)
{
	uint64_t age_ns = 0;
	int rc;

	if (m->clock == MACHINE_CLOCK_REALTIME)
		age_ns = vm_state_age_by_realtime_ns(m->state);
	else if (m->clock == MACHINE_CLOCK_ARRIVAL)
		age_ns = vm_state_age_by_arrival_ns(m->state);
	rc = vm_state_start(m->vm, m->state, age_ns, e);

	vm_state_free(m->state);
	m->state = NULL;
	return rc;
}

int machine_prepare(struct machine *m, struct err *e)
{
	int rc = vm_start(m->vm);

	return rc < 0 ? err_set(e, rc, "cannot start the vCPUs: %s", strerror(-rc)) : 0;
}

int machine_start(struct machine *m, struct err *e)
{
	bool arrived = m->arriving;
	int rc = 0;

	if (m->arriving && !m->state)
		return err_set(e, -EINVAL, "the guest has not arrived yet");
	if (arrived)
		rc = start_clocks(m, e);
	if (rc < 0)
		return rc;
	m->start_ns = m->boot_ns = clock_now_ns();
	m->started = true;
	m->arriving = false;
	machine_hotplug_start(m);
	rc = machine_prepare(m, e);
	if (rc < 0)
		return rc;
	if (arrived && !m->paused)
		vm_resume(m->vm);
	return 0;
}

void machine_set_boot(struct machine *m, struct boot *boot)
{
	boot_close(m->boot);
	m->boot = boot;
}

struct boot *machine_boot(const struct machine *m)
{
	return m->boot;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	loop_disarm(m->loop, &m->restart);
	vm_free(m->vm);
	machine_hotplug_fini(m); /* no vCPU is left that could eject anything */
	machine_nics_fini(m);
	vm_state_free(m->state);
	loop_free(m->io_loop);
	machine_free_disk_loops(m);
	boot_close(m->boot);
	free(m);
}

/* --- what others want to know --- */

enum machine_state machine_state(const struct machine *m)
{
	if (m->ended)
		return MACHINE_ENDED;
	if (m->over)
		return m->crashed ? MACHINE_CRASHED : MACHINE_OFF;
	if (m->arriving)
		return MACHINE_INCOMING;
	if (m->paused || m->held)
		return MACHINE_PAUSED;
	return m->started ? MACHINE_RUNNING : MACHINE_READY;
}

const char *machine_status(const struct machine *m)
{
	static const char *const names[] = {
		[MACHINE_READY] = "prelaunch",        [MACHINE_INCOMING] = "inmigrate",
		[MACHINE_RUNNING] = "running",        [MACHINE_PAUSED] = "paused",
		[MACHINE_CRASHED] = "guest-panicked", [MACHINE_OFF] = "shutdown",
		[MACHINE_ENDED] = "shutdown",
	};

	return names[machine_state(m)];
}

struct vm *machine_vm(const struct machine *m)
{
	return m->vm;
}

const struct config *machine_config(const struct machine *m)
{
	return m->cfg;
}

struct console *machine_console(const struct machine *m)
{
	return m->con;
}

struct virtio_dev *machine_disk(const struct machine *m, size_t i)
{
	return m->disks[i];
}

struct virtio_dev *machine_nic(const struct machine *m, size_t i)
{
	return m->nics[i];
}

struct virtio_dev *machine_balloon(const struct machine *m)
{
	return m->balloon;
}

uint64_t machine_start_ns(const struct machine *m)
{
	return m->start_ns;
}
