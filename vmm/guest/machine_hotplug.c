// SPDX-License-Identifier: MIT
// Devices that come and go while the guest runs.
#include "vmm/guest/hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/acpi_hotplug.h"
#include "devices/pci.h"
#include "util/log.h"
#include "virtio/virtio.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/memmap.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/vm.h"

/* Why the list of devices must stay as it is; NULL: it need not. */
static const char *why_fixed(const struct machine *m)
{
	return m->held ? m->held : m->moving;
}

int machine_check_changeable(const struct machine *m, struct err *e)
{
	if (why_fixed(m))
		return err_set(e, -EBUSY, "no device can come or go now: %s", why_fixed(m));
	if (m->arriving || !m->started)
		return err_set(e, -EBUSY, "no device can come or go before the guest has started");
	if (m->ended || m->over)
		return err_set(e, -EINVAL, "the guest %s", m->crashed ? "has crashed" : "is off");
	return 0;
}

int machine_check_slot(const struct machine *m, struct err *e)
{
	unsigned nr = m->vm->nr_hot_slots;

	if (nr == 0)
		return err_set(e, -ENOTSUP,
			       "no device can come: the guest was started with --hotplug-slots 0");
	for (unsigned slot = 1; slot <= nr; slot++) {
		if (!virtio_pci_find(m->vm, slot))
			return 0;
	}
	return err_set(e, -ENOSPC, "no PCI slot is free: detach a device first%s",
		       nr < PCI_MAX_HOT_SLOTS ? ", or start the guest with more --hotplug-slots"
					      : "");
}

/* --- plug ----------------------------------------------------------------------- */

/* What a device is called in the config, by kind; NULL: it has no list. */
static const char *const lists[] = {
	[MACHINE_PLUG_DISK] = "disk",
	[MACHINE_PLUG_NIC] = "net",
	[MACHINE_PLUG_RNG] = NULL,
};

static int plug_rng(struct machine *m, struct device **ret, struct err *e)
{
	int rc;

	if (m->cfg->rng)
		return err_set(e, -EEXIST, "the guest has an entropy device");
	rc = machine_add_rng(m, e);
	if (rc < 0)
		return rc;
	m->cfg->rng = true;
	*ret = vm_find_device(m->vm, MACHINE_RNG);
	return 0;
}

/* User networking would make its connections where there is nobody. */
static int check_net(const struct machine *m, size_t i, struct err *e)
{
	const struct nic_config *nic = (const struct nic_config *)m->cfg->nics.items + i;

	if (nic->kind != NIC_USER || !sandbox_hides_net())
		return 0;
	return err_set(e, -EPERM,
		       "%s: the guest runs with --jail-net, which takes away the network that user "
		       "networking needs: attach another, a tap or a managed network",
		       nic->id);
}

static int plug_item(struct machine *m, const struct machine_plug *plug, struct device **ret,
		     struct err *e)
{
	const char *list = lists[plug->kind];
	struct virtio_dev *dev;
	size_t i = 0;
	int rc = config_plug(m->cfg, list, plug->text, &i, e);

	if (rc < 0)
		return rc;
	if (plug->kind == MACHINE_PLUG_DISK) {
		rc = machine_add_disk(m, i, plug->disk, e);
		dev = m->disks[i];
	} else {
		rc = check_net(m, i, e);
		if (rc == 0)
			rc = machine_add_nic(m, i, plug->nic, e);
		dev = m->nics[i];
	}
	if (rc < 0) {
		config_unplug(m->cfg, list, i);
		return rc;
	}
	*ret = &dev->device;
	return 0;
}

int machine_plug(struct machine *m, const struct machine_plug *plug, const char **ret_id,
		 struct err *e)
{
	struct device *dev = NULL;
	int rc = machine_check_changeable(m, e);

	if (rc == 0)
		rc = machine_check_slot(m, e);
	if (rc == 0)
		rc = plug->kind == MACHINE_PLUG_RNG ? plug_rng(m, &dev, e)
						    : plug_item(m, plug, &dev, e);
	if (rc < 0)
		return rc;
	acpi_hotplug_added(m->pm, virtio_pci_slot(dev));
	log_debug("%s: plugged into slot %u", dev->id, virtio_pci_slot(dev));
	*ret_id = dev->id;
	return 0;
}

/* --- unplug ------------------------------------------------------------------------ */

/* The index of @dev in an array of @nr; @nr: it is not there. */
static size_t index_of(struct virtio_dev *const *devs, size_t nr, const struct device *dev)
{
	size_t i = 0;

	while (i < nr && (!devs[i] || &devs[i]->device != dev))
		i++;
	return i;
}

static void forget_item(struct machine *m, struct virtio_dev **devs, size_t nr, size_t index,
			const char *list)
{
	for (size_t i = index; i + 1 < nr; i++)
		devs[i] = devs[i + 1];
	devs[nr - 1] = NULL;
	config_unplug(m->cfg, list, index);
}

/*
 * Neither settings nor pointers know of @dev any more. @ret_host gets what a nic has on the
 * host, for machine_release_nic() once @dev is freed. False: it is no nic.
 */
static bool forget(struct machine *m, const struct device *dev, struct machine_nic_host *ret_host)
{
	size_t disk = index_of(m->disks, m->cfg->disks.nr, dev);
	size_t nr_nics = m->cfg->nics.nr, nic = index_of(m->nics, nr_nics, dev);

	if (disk < m->cfg->disks.nr) {
		forget_item(m, m->disks, m->cfg->disks.nr, disk, "disk");
	} else if (nic < m->cfg->nics.nr) {
		machine_take_nic_host(m, nic, ret_host);
		forget_item(m, m->nics, m->cfg->nics.nr, nic, "net");
	} else if (m->balloon && &m->balloon->device == dev) {
		m->balloon = NULL;
		m->cfg->balloon = false;
	} else if (!strcmp(dev->id, MACHINE_RNG)) {
		m->cfg->rng = false;
	} else {
		m->cfg->virtio_console = false;
	}
	return nic < nr_nics;
}

/* What events say of a device. */
static json_t *name_device(const struct device *dev)
{
	return json_pack("{s:s, s:o}", "device", dev->id, "path",
			 json_sprintf("/machine/peripheral/%s", dev->id));
}

/* The vCPUs are parked. */
static void remove_parked(struct machine *m, unsigned slot, bool surprise)
{
	struct device *dev = virtio_pci_find(m->vm, slot);
	struct machine_nic_host host;
	json_t *data;
	char id[DEVICE_ID_BYTES];
	bool nic;

	acpi_hotplug_removed(m->pm, slot, surprise && dev);
	if (!dev)
		return;
	data = name_device(dev);
	log_debug("%s: unplugged from slot %u", dev->id, slot);
	(void)snprintf(id, sizeof(id), "%s", dev->id);
	nic = forget(m, dev, &host);
	if (surprise)
		virtio_pci_yank(dev);
	vm_remove_device(m->vm, dev);
	dev->ops->free(dev);
	machine_tell(m, "DEVICE_DELETED", data);
	if (nic)
		machine_release_nic(m, &host, id);
}

static void remove_slots(struct machine *m, uint32_t slots, bool surprise)
{
	vm_park(m->vm);
	for (; slots; slots &= slots - 1)
		remove_parked(m, (unsigned)__builtin_ctz(slots), surprise);
	vm_unpark(m->vm);
}

/* What has been ejected touches nothing of the guest any more, even if it must stay. */
static void silence_slots(struct machine *m, uint32_t slots)
{
	vm_park(m->vm);
	for (; slots; slots &= slots - 1) {
		struct device *dev = virtio_pci_find(m->vm, (unsigned)__builtin_ctz(slots));

		if (dev)
			dev->ops->reset(dev);
	}
	vm_unpark(m->vm);
}

/* On the main loop: some slots have been ejected, or may be emptied at last. */
static void empty_ejected(void *opaque)
{
	struct machine *m = opaque;
	uint32_t slots = acpi_hotplug_ejected(m->pm);

	if (!slots || m->ended)
		return;
	if (why_fixed(m))
		silence_slots(m, slots);
	else
		remove_slots(m, slots, false);
}

/* A vCPU's thread. */
static void on_ejected(void *opaque, uint32_t slots)
{
	struct machine *m = opaque;

	slots = pci_hide(m->pci, slots);
	if (!slots)
		return;
	for (uint32_t left = slots; left; left &= left - 1)
		acpi_hotplug_set_ejected(m->pm, (unsigned)__builtin_ctz(left));
	loop_post(m->loop, &m->ejected_work);
}

/* As QEMU's events: each answer, and of a device that stays that it does. */
static void tell_answer(struct machine *m, const struct acpi_hotplug_answer *answer)
{
	struct device *dev = virtio_pci_find(m->vm, answer->slot);
	json_t *info =
		json_pack("{s:o, s:s, s:i, s:i}", "slot", json_sprintf("%u", answer->slot),
			  "slot-type", "PCI", "source", answer->source, "status", answer->status);

	if (dev)
		(void)json_object_set_new(info, "device", json_string(dev->id));
	machine_tell(m, "ACPI_DEVICE_OST", json_pack("{s:o}", "info", info));
	if (dev && answer->refused)
		machine_tell(m, "DEVICE_UNPLUG_GUEST_ERROR", name_device(dev));
}

/* On the main loop: the guest has said what came of a notification. */
static void tell_answers(void *opaque)
{
	struct machine *m = opaque;
	struct acpi_hotplug_answer answer;

	while (acpi_hotplug_take_answer(m->pm, &answer)) {
		if (!m->ended)
			tell_answer(m, &answer);
	}
}

/* A vCPU's thread. */
static void on_answered(void *opaque)
{
	struct machine *m = opaque;

	loop_post(m->loop, &m->answered_work);
}

static const struct acpi_hotplug_ops hotplug_ops = {
	.ejected = on_ejected,
	.answered = on_answered,
};

static struct device *find_plugged(struct machine *m, const char *id, struct err *e)
{
	struct device *dev = vm_find_device(m->vm, id);

	if (!dev || !virtio_pci_slot(dev) ||
	    acpi_hotplug_ejected(m->pm) & 1U << virtio_pci_slot(dev)) {
		(void)err_set(e, -ENOENT, "Device '%s' not found", id);
		return NULL;
	}
	return dev;
}

int machine_unplug(struct machine *m, const char *id, bool force, struct err *e)
{
	int rc = machine_check_changeable(m, e);
	struct device *dev = rc == 0 ? find_plugged(m, id, e) : NULL;
	unsigned slot = dev ? virtio_pci_slot(dev) : 0;

	if (!dev)
		return rc < 0 ? rc : -ENOENT;
	if (slot > m->vm->nr_hot_slots)
		return err_set(e, -ENOTSUP,
			       "%s is in PCI slot %u, which no device can leave: start the guest "
			       "with --hotplug-slots %u, or more",
			       id, slot, slot);
	if (force)
		remove_slots(m, 1U << slot, true);
	else
		acpi_hotplug_request(m->pm, slot);
	return 0;
}

unsigned machine_slot(struct machine *m, const char *id)
{
	struct device *dev = vm_find_device(m->vm, id);

	return dev ? virtio_pci_slot(dev) : 0;
}

void machine_set_moving(struct machine *m, const char *why)
{
	m->moving = why;
	machine_hotplug_changeable(m);
}

void machine_hotplug_changeable(struct machine *m)
{
	if (!why_fixed(m))
		loop_post(m->loop, &m->ejected_work);
}

/* --- life of the machine ------------------------------------------------------------- */

void machine_hotplug_init(struct machine *m)
{
	m->ejected_work = (struct loop_work){ .fn = empty_ejected, .opaque = m };
	m->answered_work = (struct loop_work){ .fn = tell_answers, .opaque = m };
	acpi_hotplug_set_ops(m->pm, &hotplug_ops, m);
}

void machine_hotplug_fini(struct machine *m)
{
	loop_unpost(m->loop, &m->ejected_work);
	loop_unpost(m->loop, &m->answered_work);
}

void machine_hotplug_start(struct machine *m)
{
	uint32_t slots = acpi_hotplug_ejected(m->pm);

	if (!slots)
		return;
	(void)pci_hide(m->pci, slots);
	loop_post(m->loop, &m->ejected_work);
}

void machine_hotplug_reset(struct machine *m)
{
	uint32_t slots = acpi_hotplug_ejected(m->pm) | acpi_hotplug_requested(m->pm);

	if (slots && !why_fixed(m))
		remove_slots(m, slots, false);
}
